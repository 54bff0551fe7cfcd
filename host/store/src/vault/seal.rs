//! Sealing with one key.

use chacha20poly1305::aead::{Aead, Generate, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::digest::Key;
use hmac::{Hmac, Mac};
use samspel_model::store::StoreError;
use secrecy::SecretString;
use sha2::Sha256;

use super::VaultError;
use super::key::VaultKey;
use crate::context::encode;

/// Bytes of an XChaCha20 nonce.
const NONCE: usize = 24;

/// A place in the vault.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub tenant: &'a str,
    pub account: &'a str,
    pub credential: &'a str,
}

impl Place<'_> {
    /// What is sealed there is bound to this. A JSON array, so that no two places are spelt the same.
    fn bound(&self) -> Result<String, StoreError> {
        encode(
            "the place of a credential",
            &[self.tenant, self.account, self.credential],
        )
    }

    pub fn broken(&self) -> VaultError {
        VaultError::Sealed {
            account: self.account.to_owned(),
            credential: self.credential.to_owned(),
        }
    }
}

/// Seals and opens with one key.
#[derive(Clone)]
pub(super) struct Seal {
    cipher: XChaCha20Poly1305,
    derive: Hmac<Sha256>,
}

impl Seal {
    pub fn new(key: &VaultKey) -> Self {
        // HMAC fills a key that is shorter than its block with zeros (RFC 2104).
        let mut block = Key::<Hmac<Sha256>>::default();
        block[..key.len()].copy_from_slice(key);
        Self {
            cipher: XChaCha20Poly1305::new(key),
            derive: Hmac::new(&block),
        }
    }

    pub fn close(&self, place: Place<'_>, clear: &str) -> Result<Vec<u8>, VaultError> {
        let nonce = XNonce::generate();
        let bound = place.bound()?;
        let payload = Payload {
            msg: clear.as_bytes(),
            aad: bound.as_bytes(),
        };
        let cipher_text = self
            .cipher
            .encrypt(&nonce, payload)
            .map_err(|_| place.broken())?;
        Ok([nonce.as_slice(), &cipher_text].concat())
    }

    pub fn open(&self, place: Place<'_>, sealed: &[u8]) -> Result<SecretString, VaultError> {
        let bound = place.bound()?;
        let broken = || place.broken();
        let (nonce, cipher_text) = sealed.split_first_chunk::<NONCE>().ok_or_else(broken)?;
        let payload = Payload {
            msg: cipher_text,
            aad: bound.as_bytes(),
        };
        let clear = self
            .cipher
            .decrypt(&XNonce::from(*nonce), payload)
            .map_err(|_| broken())?;
        String::from_utf8(clear)
            .map(SecretString::from)
            .map_err(|_| broken())
    }

    /// What earlier versions made keys for purposes of: HMAC-SHA-256 under the vault's own.
    pub fn derived(&self, purpose: &str) -> [u8; 32] {
        let mut mac = self.derive.clone();
        mac.update(b"samspel key\0");
        mac.update(purpose.as_bytes());
        mac.finalize().into_bytes().into()
    }
}
