//! A sync, seen from the scheduler.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

/// How a run ended, as far as it matters for the next one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunEnd {
    /// It did what there was to do.
    Done,
    /// It gave its turn up, and goes on when it has the next one.
    TurnOver,
    /// There was nothing it may do (paused, first plan not confirmed); says why. The next attempt is due after the
    /// usual interval.
    Skipped(String),
    /// Somebody else works on it; says who. What the run was for is tried again soon.
    Busy(String),
    /// It failed; says why. The next attempt is due after a backoff.
    Failed {
        /// What happened, for people.
        why: String,
        /// The remote asked for at least this much patience.
        retry_after: Option<Duration>,
    },
}

/// Why a run happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Its interval is over.
    Due,
    /// Somebody told that records changed, which wait in the queue.
    Told,
}

/// Something that can be run again and again.
#[async_trait]
pub trait Runner: Send + Sync {
    /// Runs once. When `stop` is cancelled, it ends as soon as nothing is left half done.
    async fn run(&self, reason: Reason, stop: CancellationToken) -> RunEnd;
}

/// A sync and its interval.
#[derive(Clone)]
pub struct Job {
    /// The sync's name.
    pub name: String,
    /// From the start of one run to the start of the next.
    pub interval: Duration,
    /// The accounts that it uses, among which turns are shared fairly.
    pub accounts: Vec<String>,
    /// What runs.
    pub runner: Arc<dyn Runner>,
}
