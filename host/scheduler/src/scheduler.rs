//! The loop that starts runs when they are due.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::{FutureExt, join_all, select};
use futures::pin_mut;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use samspel_model::Clock;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::delay::Pace;
use crate::job::{Job, RunEnd};

/// How runs are spread.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Runs at the same time; at least 1. The others wait in the order in which they became due.
    pub concurrent: usize,
    /// Intervals, jitter and backoff.
    pub pace: Pace,
    /// How long runs may take to end once a stop was asked for. A run cut off there is recovered by the next one.
    pub drain: Duration,
    /// Seed of the jitter.
    pub seed: u64,
}

/// What a graceful end left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drained {
    /// Syncs whose run did not end in time and was cut off.
    pub cut_off: Vec<String>,
}

/// Runs jobs on their intervals until it is told to stop.
pub struct Scheduler {
    clock: Arc<dyn Clock>,
    options: Options,
    turns: Semaphore,
    random: Mutex<ChaCha8Rng>,
    running: Mutex<Vec<String>>,
}

impl Scheduler {
    /// A scheduler that waits on this clock.
    pub fn new(clock: Arc<dyn Clock>, options: Options) -> Self {
        Self {
            clock,
            turns: Semaphore::new(options.concurrent.max(1)),
            random: Mutex::new(ChaCha8Rng::seed_from_u64(options.seed)),
            running: Mutex::new(Vec::new()),
            options,
        }
    }

    /// Runs the jobs until `stop` is cancelled; then starts nothing new, and returns when what is running has ended or
    /// the time for that is over.
    pub async fn run(&self, jobs: Vec<Job>, stop: CancellationToken) -> Drained {
        let all = join_all(jobs.iter().map(|job| self.repeat(job, &stop)));
        let deadline = async {
            stop.cancelled().await;
            self.clock.sleep(self.options.drain).await;
        };
        pin_mut!(all, deadline);
        select(all, deadline).await;
        let cut_off = self.running().clone();
        for sync in &cut_off {
            warn!(
                sync,
                "the run did not end in time and is cut off; the next run recovers it"
            );
        }
        Drained { cut_off }
    }

    /// Runs one job again and again. Runs of one job cannot overlap, because this is one sequence.
    async fn repeat(&self, job: &Job, stop: &CancellationToken) {
        let mut wait = self.options.pace.first(job.interval, self.random());
        let mut failures = 0_u32;
        loop {
            let due = async {
                self.clock.sleep(wait).await;
                self.turns.acquire().await
            };
            // The semaphore is never closed.
            let Some(Ok(_turn)) = stop.run_until_cancelled(due).await else {
                return;
            };
            let started = self.clock.now();
            let end = self.run_once(job, stop.child_token()).await;
            let took = self.clock.now().duration_since(started);
            let took = Duration::try_from(took).unwrap_or_default();
            failures = match end {
                RunEnd::Failed { .. } => failures.saturating_add(1),
                RunEnd::Done | RunEnd::Skipped(_) => 0,
            };
            wait = self
                .options
                .pace
                .next(job.interval, took, &end, failures, self.random());
            report(&job.name, &end, failures, took, wait);
        }
    }

    /// One run. A panic is a failure of this run and of nothing else.
    async fn run_once(&self, job: &Job, stop: CancellationToken) -> RunEnd {
        self.running().push(job.name.clone());
        let end = AssertUnwindSafe(job.runner.run(stop)).catch_unwind().await;
        self.running().retain(|name| *name != job.name);
        end.unwrap_or_else(|_| RunEnd::Failed {
            why: "the run panicked; this is a bug in Samspel, and the log holds the place"
                .to_owned(),
            retry_after: None,
        })
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn random(&self) -> f64 {
        self.random
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .random()
    }
}

fn report(sync: &str, end: &RunEnd, failures: u32, took: Duration, wait: Duration) {
    let seconds = took.as_secs_f64();
    let next = wait.as_secs_f64();
    match end {
        RunEnd::Done => info!(sync, seconds, next_in = next, "run ended"),
        RunEnd::Skipped(why) => warn!(sync, next_in = next, why, "run skipped"),
        RunEnd::Failed { why, .. } => {
            error!(sync, seconds, failures, next_in = next, why, "run failed");
        }
    }
}
