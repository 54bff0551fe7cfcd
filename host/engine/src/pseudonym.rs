//! What is left of an erased person: a keyed hash of the address, so that an opt-out is recognised when the address
//! comes back, and nobody without the installation's key can tell whose it was.

use hmac::digest::common::Key;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use crate::normalize::Normalizer;
use crate::spec::Normalize;

/// Makes pseudonyms (HMAC-SHA-256, RFC 2104) under the installation's key.
#[derive(Clone)]
pub struct Pseudonyms(Hmac<Sha256>);

impl Pseudonyms {
    /// Under a key of 32 random bytes. Other uses of the same key are told apart by what is hashed first.
    pub fn new(key: &[u8; 32]) -> Self {
        // HMAC fills a key that is shorter than its block with zeros (RFC 2104).
        let mut block = Key::<Hmac<Sha256>>::default();
        block[..key.len()].copy_from_slice(key);
        let mut mac = <Hmac<Sha256> as KeyInit>::new(&block);
        mac.update(b"samspel suppression\0");
        Self(mac)
    }

    /// The pseudonym of an address, however it is spelt; none for an empty one.
    pub fn of(&self, address: &str) -> Option<String> {
        let normalizer = Normalizer::new(Normalize::Email, None).ok()?;
        let normal = normalizer.normal(&Value::from(address));
        let mut mac = self.0.clone();
        mac.update(normal.as_text()?.as_bytes());
        Some(hex::encode(mac.finalize().into_bytes()))
    }
}

impl std::fmt::Debug for Pseudonyms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pseudonyms(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_an_address_have_one_pseudonym_and_other_keys_another() {
        let (one, other) = (Pseudonyms::new(&[1; 32]), Pseudonyms::new(&[2; 32]));
        assert_eq!(one.of(" Ann@X.org"), one.of("ann@x.ORG"));
        assert_ne!(one.of("ann@x.org"), one.of("bob@x.org"));
        assert_ne!(one.of("ann@x.org"), other.of("ann@x.org"));
        assert_eq!(one.of("  "), None);
    }
}
