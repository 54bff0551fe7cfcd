//! Waiting for what a foreign server does in its own time. There is no event to await, so it is asked again and again.

use std::time::{Duration, Instant};

use crate::error::LiveError;

/// How often is asked.
const INTERVAL: Duration = Duration::from_millis(100);

/// Asks until the answer is `Some`, an error, or the time is up.
pub async fn until<T>(
    what: &str,
    limit: Duration,
    mut ask: impl AsyncFnMut() -> Result<Option<T>, LiveError>,
) -> Result<T, LiveError> {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask().await? {
            return Ok(answer);
        }
        if started.elapsed() >= limit {
            return Err(LiveError::NotObserved {
                what: what.to_owned(),
                seconds: limit.as_secs(),
            });
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
