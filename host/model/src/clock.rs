//! Time and identifiers come through ports, so that a simulation can decide them.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

/// The time, and waiting.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;

    /// Returns when the duration has passed.
    async fn sleep(&self, duration: Duration);
}

/// Identifiers that never repeat, and chance.
pub trait Ids: Send + Sync {
    /// A new identifier, safe in URLs and at most 40 bytes.
    fn next(&self) -> String;

    /// A random number, for waits that must not coincide.
    fn random(&self) -> u64;
}
