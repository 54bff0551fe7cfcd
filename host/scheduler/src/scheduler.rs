//! The loop that starts runs when they are due, or when somebody tells that something changed.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::future::FutureExt;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use samspel_model::Clock;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::delay::{BUSY, Pace};
use crate::job::{Job, Reason, RunEnd};
use crate::turns::Turns;

/// Runs that somebody asked for are short, and have turns of their own: so many times those of the others.
const TOLD_TURNS: usize = 4;

/// How runs are spread.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Runs on intervals at the same time; at least 1. Those that somebody asked for have turns of their own.
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

/// What is known of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobStatus {
    /// The sync's name.
    pub name: String,
    /// Whether it runs now.
    pub running: bool,
    /// Whether somebody told that there is something to do, which no run has taken up yet.
    pub told: bool,
    /// When the last run ended, and how.
    pub last: Option<(Timestamp, RunEnd)>,
    /// Failures in a row.
    pub failures: u32,
    /// When the next run on its interval is due.
    pub due: Option<Timestamp>,
}

/// Runs jobs on their intervals, and when they are told to, until it is stopped.
pub struct Scheduler {
    clock: Arc<dyn Clock>,
    options: Options,
    due: Turns,
    told: Turns,
    random: Mutex<ChaCha8Rng>,
    slots: Mutex<BTreeMap<String, Arc<Slot>>>,
    /// There are other slots than before.
    changed: Notify,
}

/// A job's place. It stays when the job is replaced by one of the same name.
struct Slot {
    state: Mutex<SlotState>,
    /// There is something to do earlier than was known.
    woken: Notify,
    /// The job was taken away.
    removed: CancellationToken,
}

struct SlotState {
    job: Job,
    /// Its loop was started.
    started: bool,
    /// Somebody told that there is something to do from then on.
    told: Option<Timestamp>,
    /// Ends the run that is under way.
    run: Option<CancellationToken>,
    status: JobStatus,
}

impl Slot {
    fn new(job: Job) -> Self {
        Self {
            woken: Notify::new(),
            removed: CancellationToken::new(),
            state: Mutex::new(SlotState {
                started: false,
                told: None,
                run: None,
                status: JobStatus {
                    name: job.name.clone(),
                    running: false,
                    told: false,
                    last: None,
                    failures: 0,
                    due: None,
                },
                job,
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, SlotState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Scheduler {
    /// A scheduler that waits on this clock.
    pub fn new(clock: Arc<dyn Clock>, options: Options) -> Self {
        Self {
            clock,
            due: Turns::new(options.concurrent),
            told: Turns::new(options.concurrent.saturating_mul(TOLD_TURNS)),
            random: Mutex::new(ChaCha8Rng::seed_from_u64(options.seed)),
            slots: Mutex::default(),
            changed: Notify::new(),
            options,
        }
    }

    /// These are the jobs from now on. One of a name that is there already goes on as it is, with what it now is; a run
    /// of one that is not among them ends as if it was stopped.
    pub fn replace(&self, jobs: Vec<Job>) {
        let mut slots = self.slots();
        let names: BTreeSet<&str> = jobs.iter().map(|job| job.name.as_str()).collect();
        slots.retain(|name, slot| {
            let stays = names.contains(name.as_str());
            if !stays {
                slot.removed.cancel();
            }
            stays
        });
        for job in jobs {
            match slots.get(&job.name) {
                Some(slot) => {
                    slot.state().job = job;
                    slot.woken.notify_one();
                }
                None => {
                    slots.insert(job.name.clone(), Arc::new(Slot::new(job)));
                }
            }
        }
        drop(slots);
        self.changed.notify_one();
    }

    /// Records of a sync may have changed: it runs in so much time, or earlier. Whether there is such a job.
    pub fn tell(&self, name: &str, within: Duration) -> bool {
        let Some(slot) = self.slots().get(name).cloned() else {
            return false;
        };
        self.tell_slot(&slot, within);
        true
    }

    /// The run of a job that is under way ends as if everything was stopped: nothing is left half done. Whether there
    /// is one. The next one is due as usual.
    pub fn interrupt(&self, name: &str) -> bool {
        let slot = self.slots().get(name).cloned();
        let run = slot.and_then(|slot| slot.state().run.clone());
        run.inspect(CancellationToken::cancel).is_some()
    }

    fn tell_slot(&self, slot: &Slot, within: Duration) {
        let at = self.clock.now().saturating_add(within).ok();
        let mut state = slot.state();
        state.told = match (state.told, at) {
            (Some(known), Some(at)) => Some(known.min(at)),
            (known, at) => known.or(at),
        };
        drop(state);
        slot.woken.notify_one();
    }

    /// What is known of all jobs, by name.
    pub fn status(&self) -> Vec<JobStatus> {
        let slots: Vec<_> = self.slots().values().cloned().collect();
        slots
            .iter()
            .map(|slot| {
                let state = slot.state();
                JobStatus {
                    told: state.told.is_some(),
                    ..state.status.clone()
                }
            })
            .collect()
    }

    /// Runs the jobs until `stop` is cancelled; then starts nothing new, and returns when what is running has ended or
    /// the time for that is over.
    pub async fn run(&self, jobs: Vec<Job>, stop: CancellationToken) -> Drained {
        self.replace(jobs);
        let mut loops = FuturesUnordered::new();
        let deadline = async {
            stop.cancelled().await;
            self.clock.sleep(self.options.drain).await;
        };
        tokio::pin!(deadline);
        loop {
            if !stop.is_cancelled() {
                for slot in self.not_started() {
                    loops.push(self.repeat(slot, &stop));
                }
            }
            tokio::select! {
                biased;
                ended = loops.next(), if !loops.is_empty() => {
                    let _: Option<()> = ended;
                }
                () = self.changed.notified(), if !stop.is_cancelled() => {}
                () = stop.cancelled(), if loops.is_empty() => break,
                () = &mut deadline => break,
            }
        }
        let running = self.status().into_iter().filter(|job| job.running);
        let cut_off: Vec<String> = running.map(|job| job.name).collect();
        for sync in &cut_off {
            warn!(
                sync,
                "the run did not end in time and is cut off; the next run recovers it"
            );
        }
        Drained { cut_off }
    }

    fn not_started(&self) -> Vec<Arc<Slot>> {
        let slots = self.slots();
        let new = slots
            .values()
            .filter(|slot| !std::mem::replace(&mut slot.state().started, true));
        new.cloned().collect()
    }

    /// Runs one job again and again. Runs of one job cannot overlap, because this is one sequence.
    async fn repeat(&self, slot: Arc<Slot>, stop: &CancellationToken) {
        let interval = slot.state().job.interval;
        let mut due = self.after(self.options.pace.first(interval, self.random()));
        loop {
            slot.state().status.due = Some(due);
            let next = async {
                let reason = self.next(&slot, due).await;
                let accounts = slot.state().job.accounts.clone();
                let turns = match reason {
                    Reason::Due => &self.due,
                    Reason::Told => &self.told,
                };
                (reason, turns.wait(&accounts).await)
            };
            let next = slot.removed.run_until_cancelled(next);
            let Some(Some((reason, mut turn))) = stop.run_until_cancelled(next).await else {
                return;
            };
            let job = slot.state().job.clone();
            let started = self.clock.now();
            let end = self.run_once(&slot, &job, reason, stop).await;
            let took = self.clock.now().duration_since(started);
            let took = Duration::try_from(took).unwrap_or_default();
            turn.took(took);
            drop(turn);
            let failures = self.ended(&slot, &end);
            match end {
                RunEnd::Busy(_) if reason == Reason::Told => self.tell_slot(&slot, BUSY),
                RunEnd::TurnOver => self.tell_slot(&slot, Duration::ZERO),
                _ => {}
            }
            // A run on hints leaves the interval as it is, unless it failed: then nothing is tried before the backoff.
            if reason == Reason::Due || failures > 0 {
                let pace = &self.options.pace;
                let wait = pace.next(job.interval, took, &end, failures, self.random());
                due = self.after(wait);
            }
            report(&job.name, reason, &end, failures, took);
        }
    }

    /// Waits until there is something to do.
    async fn next(&self, slot: &Slot, due: Timestamp) -> Reason {
        loop {
            let now = self.clock.now();
            if due <= now {
                return Reason::Due;
            }
            let (told, failures) = {
                let state = slot.state();
                (state.told, state.status.failures)
            };
            // After a failure the backoff holds for everybody.
            let told = told.filter(|_| failures == 0);
            if told.is_some_and(|told| told <= now) {
                return Reason::Told;
            }
            let until = told.map_or(due, |told| told.min(due));
            let wait = Duration::try_from(until.duration_since(now)).unwrap_or_default();
            tokio::select! {
                biased;
                () = slot.woken.notified() => {}
                () = self.clock.sleep(wait) => {}
            }
        }
    }

    /// One run. A panic is a failure of this run and of nothing else.
    async fn run_once(
        &self,
        slot: &Slot,
        job: &Job,
        reason: Reason,
        stop: &CancellationToken,
    ) -> RunEnd {
        let stop = stop.child_token();
        {
            let mut state = slot.state();
            state.status.running = true;
            state.run = Some(stop.clone());
            // What is told from now on may come too late for this run.
            state.told = None;
        }
        let run = AssertUnwindSafe(job.runner.run(reason, stop.clone())).catch_unwind();
        tokio::pin!(run);
        let end = tokio::select! {
            biased;
            end = &mut run => end,
            () = slot.removed.cancelled() => {
                stop.cancel();
                run.await
            }
        };
        end.unwrap_or_else(|_| RunEnd::Failed {
            why: "the run panicked; this is a bug in Samspel, and the log holds the place"
                .to_owned(),
            retry_after: None,
        })
    }

    /// Notes how a run ended. Failures in a row.
    fn ended(&self, slot: &Slot, end: &RunEnd) -> u32 {
        let mut state = slot.state();
        state.run = None;
        let status = &mut state.status;
        status.running = false;
        status.last = Some((self.clock.now(), end.clone()));
        status.failures = match end {
            RunEnd::Failed { .. } => status.failures.saturating_add(1),
            RunEnd::Done | RunEnd::TurnOver | RunEnd::Skipped(_) | RunEnd::Busy(_) => 0,
        };
        status.failures
    }

    fn after(&self, wait: Duration) -> Timestamp {
        let now = self.clock.now();
        now.saturating_add(wait).unwrap_or(Timestamp::MAX)
    }

    fn slots(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn random(&self) -> f64 {
        self.random
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .random()
    }
}

fn report(sync: &str, reason: Reason, end: &RunEnd, failures: u32, took: Duration) {
    let seconds = took.as_secs_f64();
    match (end, reason) {
        (RunEnd::Done, Reason::Due) => info!(sync, seconds, "run ended"),
        (RunEnd::Done, Reason::Told) => debug!(sync, seconds, "run on hints ended"),
        (RunEnd::TurnOver, _) => debug!(sync, seconds, "run gave its turn up"),
        (RunEnd::Busy(who), _) => debug!(sync, who, "run put off"),
        (RunEnd::Skipped(why), _) => warn!(sync, why, "run skipped"),
        (RunEnd::Failed { why, .. }, _) => {
            error!(sync, seconds, failures, why, "run failed");
        }
    }
}
