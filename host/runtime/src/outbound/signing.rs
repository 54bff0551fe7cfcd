//! Credentials that sign and are never sent.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use samspel_model::descriptor::{KeyEncoding, Signing};
use secrecy::{ExposeSecret, SecretBox, SecretString};
use sha1::Sha1;
use sha2::{Sha256, Sha512};

use super::{Algorithm, SecretError};

/// One signing credential.
pub struct Signer {
    name: String,
    declared: Signing,
    secret: SecretString,
}

impl Signer {
    /// A credential of this name, as the descriptor declares it.
    pub fn new(name: &str, declared: Signing, secret: SecretString) -> Self {
        Self {
            name: name.to_owned(),
            declared,
            secret,
        }
    }

    /// The public part, and the text of the key.
    fn split(&self) -> Result<(Option<&str>, &str), SecretError> {
        let secret = self.secret.expose_secret();
        let Some(separator) = self.declared.key_id_separator.as_deref() else {
            return Ok((None, secret));
        };
        match secret.split_once(separator) {
            Some((id, key)) if !id.is_empty() && !key.is_empty() => Ok((Some(id), key)),
            _ => Err(self.malformed(&format!("<key id>{separator}<key>"))),
        }
    }

    fn malformed(&self, expected: &str) -> SecretError {
        SecretError::Malformed(format!("credential `{}` must be {expected}", self.name))
    }

    /// The text of the key, which must never be seen; all of it where it cannot be split.
    pub fn key_text(&self) -> SecretString {
        match self.split() {
            Ok((_, key)) => key.into(),
            Err(_) => self.secret.clone(),
        }
    }

    /// The public part.
    pub fn key_id(&self) -> Result<String, SecretError> {
        match self.split()? {
            (Some(id), _) => Ok(id.to_owned()),
            (None, _) => Err(SecretError::NotDeclared(format!(
                "credential `{}` has no key id",
                self.name
            ))),
        }
    }

    fn key(&self, algorithm: Algorithm) -> Result<SecretBox<Vec<u8>>, SecretError> {
        let declared = &self.declared.algorithms;
        if !declared.iter().any(|name| name == algorithm.name()) {
            return Err(SecretError::NotDeclared(format!(
                "credential `{}` is not declared for {}",
                self.name,
                algorithm.name()
            )));
        }
        let (_, text) = self.split()?;
        let key = match self.declared.key_encoding {
            KeyEncoding::Utf8 => text.as_bytes().to_vec(),
            KeyEncoding::Hex => hex::decode(text).map_err(|_| self.malformed("hexadecimal"))?,
            KeyEncoding::Base64 => STANDARD
                .decode(text)
                .map_err(|_| self.malformed("base64"))?,
        };
        Ok(SecretBox::new(Box::new(key)))
    }

    /// The message's authentication code.
    pub fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Result<Vec<u8>, SecretError> {
        let key = self.key(algorithm)?;
        let key = key.expose_secret();
        Ok(match algorithm {
            Algorithm::HmacSha1 => code(keyed::<Hmac<Sha1>>(key, message)?),
            Algorithm::HmacSha256 => code(keyed::<Hmac<Sha256>>(key, message)?),
            Algorithm::HmacSha512 => code(keyed::<Hmac<Sha512>>(key, message)?),
        })
    }

    /// Whether the code is right, compared in constant time.
    pub fn verify(
        &self,
        algorithm: Algorithm,
        message: &[u8],
        code: &[u8],
    ) -> Result<bool, SecretError> {
        let key = self.key(algorithm)?;
        let key = key.expose_secret();
        Ok(match algorithm {
            Algorithm::HmacSha1 => keyed::<Hmac<Sha1>>(key, message)?
                .verify_slice(code)
                .is_ok(),
            Algorithm::HmacSha256 => keyed::<Hmac<Sha256>>(key, message)?
                .verify_slice(code)
                .is_ok(),
            Algorithm::HmacSha512 => keyed::<Hmac<Sha512>>(key, message)?
                .verify_slice(code)
                .is_ok(),
        })
    }
}

fn keyed<M: Mac + KeyInit>(key: &[u8], message: &[u8]) -> Result<M, SecretError> {
    let mut mac = <M as KeyInit>::new_from_slice(key)
        .map_err(|_| SecretError::Other("the key has an unusable length".to_owned()))?;
    mac.update(message);
    Ok(mac)
}

fn code<M: Mac>(mac: M) -> Vec<u8> {
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn signer(encoding: KeyEncoding, separator: Option<&str>, secret: &str) -> Signer {
        let declared = Signing {
            algorithms: ["hmac-sha1", "hmac-sha256", "hmac-sha512"]
                .map(str::to_owned)
                .to_vec(),
            key_encoding: encoding,
            key_id_separator: separator.map(str::to_owned),
        };
        Signer::new("admin", declared, secret.into())
    }

    /// RFC 2202 and RFC 4231, test case 2.
    #[test]
    fn codes_are_those_of_the_standards() {
        let message = b"what do ya want for nothing?";
        for (algorithm, code) in [
            (
                Algorithm::HmacSha1,
                "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79",
            ),
            (
                Algorithm::HmacSha256,
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                Algorithm::HmacSha512,
                "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a3\
                 4d4a6b4b636e070a38bce737",
            ),
        ] {
            for signer in [
                signer(KeyEncoding::Utf8, None, "Jefe"),
                signer(KeyEncoding::Hex, Some(":"), "id:4a656665"),
                signer(KeyEncoding::Base64, Some("."), "id.SmVmZQ=="),
            ] {
                let signed = signer.sign(algorithm, message).unwrap();
                assert_eq!(hex::encode(&signed), code);
                assert_eq!(signer.verify(algorithm, message, &signed), Ok(true));
                assert_eq!(signer.verify(algorithm, b"other", &signed), Ok(false));
                let half = &signed[..signed.len() / 2];
                assert_eq!(signer.verify(algorithm, message, half), Ok(false));
            }
        }
    }

    #[test]
    fn the_key_id_is_public_and_the_key_is_not() {
        let good = signer(KeyEncoding::Hex, Some(":"), "id:00ff");
        assert_eq!(good.key_id(), Ok("id".to_owned()));
        assert_eq!(good.key_text().expose_secret(), "00ff");
        let without = signer(KeyEncoding::Utf8, None, "id:00ff");
        assert!(matches!(without.key_id(), Err(SecretError::NotDeclared(_))));
    }

    #[test]
    fn malformed_keys_are_told_without_showing_them() {
        for (encoding, secret) in [
            (KeyEncoding::Hex, "id:topsecret"),
            (KeyEncoding::Base64, "id:top secret"),
            (KeyEncoding::Hex, "topsecret"),
            (KeyEncoding::Hex, ":topsecret"),
            (KeyEncoding::Hex, "topsecret:"),
        ] {
            let error = signer(encoding, Some(":"), secret)
                .sign(Algorithm::HmacSha256, b"")
                .unwrap_err();
            assert!(matches!(error, SecretError::Malformed(_)), "{error}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn only_declared_algorithms_are_used() {
        let mut signer = signer(KeyEncoding::Utf8, None, "key");
        signer.declared.algorithms = vec!["hmac-sha256".to_owned()];
        assert!(signer.sign(Algorithm::HmacSha256, b"").is_ok());
        for algorithm in [Algorithm::HmacSha1, Algorithm::HmacSha512] {
            assert!(matches!(
                signer.sign(algorithm, b""),
                Err(SecretError::NotDeclared(_))
            ));
            assert!(signer.verify(algorithm, b"", b"").is_err());
        }
    }
}
