//! Credentials by name, for APIs whose requests must be signed. The connector never holds a secret; credentials that
//! are merely sent are added by the host, see [`Request::credential`](crate::http::Request::credential).

use crate::{Failure, imports};

pub use crate::bindings::samspel::connector::secrets::{Algorithm, SecretError};

impl From<SecretError> for Failure {
    fn from(error: SecretError) -> Self {
        match error {
            SecretError::Missing(what) | SecretError::Malformed(what) => Self::Unauthorized(what),
            SecretError::NotDeclared(what) => Self::Bug(what),
            SecretError::Other(what) => Self::Other(what),
        }
    }
}

/// The public part of a credential whose descriptor declares a key-id separator.
pub fn key_id(credential: &str) -> Result<String, SecretError> {
    imports::key_id(credential)
}

/// The message's authentication code under the credential's key.
pub fn sign(
    credential: &str,
    algorithm: Algorithm,
    message: &[u8],
) -> Result<Vec<u8>, SecretError> {
    imports::sign(credential, algorithm, message)
}

/// Whether the code is right, compared in constant time.
pub fn verify(
    credential: &str,
    algorithm: Algorithm,
    message: &[u8],
    code: &[u8],
) -> Result<bool, SecretError> {
    imports::verify(credential, algorithm, message, code)
}
