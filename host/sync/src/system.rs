//! The real clock and real identifiers.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use samspel_model::{Clock, Ids};

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// Identifiers that sort by the time of their making (UUID version 7, RFC 9562).
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemIds;

impl Ids for SystemIds {
    fn next(&self) -> String {
        uuid::Uuid::now_v7().simple().to_string()
    }

    fn random(&self) -> u64 {
        let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
        high ^ low
    }
}
