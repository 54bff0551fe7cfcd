//! An author who signs, in minisign's format (<https://jedisct1.github.io/minisign/>), without minisign: the crate that
//! signs wants features of what wasmtime shares, and tests would compile all of wasmtime once more than programs do.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The algorithm that signs a text itself, and not its hash.
const ALGORITHM: &[u8; 2] = b"Ed";

/// A key that signs.
#[derive(Debug)]
pub struct Author {
    key: Ed25519KeyPair,
    number: [u8; 8],
}

impl Author {
    /// A new key.
    pub fn new() -> Self {
        let key = Ed25519KeyPair::generate().unwrap();
        // Any number will do: it tells keys apart for people.
        let number = key.public_key().as_ref()[..8].try_into().unwrap();
        Self { key, number }
    }

    /// The public key, as `minisign.pub` has it in its last line.
    pub fn public(&self) -> String {
        STANDARD.encode([ALGORITHM, &self.number[..], self.key.public_key().as_ref()].concat())
    }

    /// The content of a `.minisig` file.
    pub fn sign(&self, text: &[u8]) -> String {
        let comment = "signed by a test";
        let signature = self.key.sign(text);
        let whole = self
            .key
            .sign(&[signature.as_ref(), comment.as_bytes()].concat());
        format!(
            "untrusted comment: signature\n{}\ntrusted comment: {comment}\n{}\n",
            STANDARD.encode([ALGORITHM, &self.number[..], signature.as_ref()].concat()),
            STANDARD.encode(whole.as_ref())
        )
    }
}

impl Default for Author {
    fn default() -> Self {
        Self::new()
    }
}
