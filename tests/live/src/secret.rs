//! Credentials for servers that live as long as a test. They are random not for safety on the loopback interface but so
//! that a test can search records and logs for them.

use rand::Rng;

/// A new password, long and varied enough for any server's rules.
pub(crate) fn random() -> String {
    let mut bytes = [0_u8; 16];
    rand::rng().fill_bytes(&mut bytes);
    format!("Live-{}!", hex::encode(bytes))
}
