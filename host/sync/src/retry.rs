//! Trying a whole call again. Single requests are retried by the runtime; this is for a remote that stays away longer.

use std::future::Future;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use samspel_model::{Clock, Failure, Ids};

/// How often a call is tried again before the run gives up.
pub const ATTEMPTS: usize = 5;

/// The waits between attempts: exponential with full jitter from half a second to 30 s.
pub fn waits(ids: &dyn Ids) -> impl Iterator<Item = Duration> + use<> {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(500))
        .with_max_delay(Duration::from_secs(30))
        .with_jitter()
        .with_jitter_seed(ids.random())
        .with_max_times(ATTEMPTS)
        .build()
}

/// Calls until it succeeds, fails for a reason that waiting does not cure, or was tried often enough. A remote's own
/// word on how long to wait is kept.
pub async fn retry<T, F, Fut>(
    clock: &dyn Clock,
    ids: &dyn Ids,
    what: &str,
    mut call: F,
) -> Result<T, Failure>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, Failure>>,
{
    let mut waits = waits(ids);
    loop {
        let failure = match call().await {
            Ok(value) => return Ok(value),
            Err(failure) => failure,
        };
        if !failure.is_transient() {
            return Err(failure);
        }
        let Some(wait) = waits.next() else {
            return Err(failure);
        };
        let wait = match &failure {
            Failure::Throttled {
                retry_after: Some(asked),
            } => (*asked).max(Duration::from_millis(50)),
            _ => wait,
        };
        tracing::warn!(call = what, %failure, wait_ms = wait.as_millis() as u64, "trying again");
        clock.sleep(wait).await;
    }
}
