//! The scheduler under a clock that the test advances: nothing here waits for real time.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use futures::channel::oneshot;
use futures::executor::LocalPool;
use futures::task::LocalSpawnExt;
use jiff::Timestamp;
use samspel_model::Clock;
use samspel_scheduler::{Drained, Job, Options, Pace, Reason, RunEnd, Runner, Scheduler};
use tokio_util::sync::CancellationToken;

/// Time that passes only when the test says so.
#[derive(Default)]
struct ManualClock {
    state: Mutex<Sleepers>,
}

#[derive(Default)]
struct Sleepers {
    now: Duration,
    waiting: BTreeMap<(Duration, usize), oneshot::Sender<()>>,
    count: usize,
}

impl ManualClock {
    /// Moves to the next moment at which somebody wakes up, unless that is later than `until`.
    fn step(&self, until: Duration) -> bool {
        let mut state = self.state.lock().unwrap();
        let Some((&key, _)) = state.waiting.first_key_value() else {
            return false;
        };
        if key.0 > until {
            return false;
        }
        state.now = state.now.max(key.0);
        // A sleeper that was dropped no longer listens.
        let _ = state.waiting.remove(&key).unwrap().send(());
        true
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        let now = self.state.lock().unwrap().now;
        Timestamp::UNIX_EPOCH + now
    }

    async fn sleep(&self, duration: Duration) {
        let woken = {
            let mut state = self.state.lock().unwrap();
            state.count += 1;
            let key = (state.now + duration, state.count);
            let (sender, receiver) = oneshot::channel();
            state.waiting.insert(key, sender);
            receiver
        };
        let _ = woken.await;
    }
}

/// Notes when its runs begin, takes `takes`, and ends as `end` says for the n-th run.
struct Scripted {
    clock: Arc<ManualClock>,
    takes: Duration,
    end: fn(usize) -> RunEnd,
    begins: Mutex<Vec<Duration>>,
    active: Arc<AtomicUsize>,
    most_active: Arc<AtomicUsize>,
    heeds_stop: bool,
}

#[async_trait]
impl Runner for Scripted {
    async fn run(&self, _: Reason, stop: CancellationToken) -> RunEnd {
        let n = {
            let mut begins = self.begins.lock().unwrap();
            begins.push(self.clock.state.lock().unwrap().now);
            begins.len()
        };
        let active = self.active.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_active.fetch_max(active, Ordering::SeqCst);
        if self.heeds_stop {
            stop.run_until_cancelled(self.clock.sleep(self.takes)).await;
        } else {
            self.clock.sleep(self.takes).await;
        }
        self.active.fetch_sub(1, Ordering::SeqCst);
        (self.end)(n)
    }
}

struct World {
    clock: Arc<ManualClock>,
    active: Arc<AtomicUsize>,
    most_active: Arc<AtomicUsize>,
    jobs: Vec<Job>,
    runners: Vec<Arc<Scripted>>,
    /// When the first job's run is interrupted.
    interrupt: Option<Duration>,
    stop: CancellationToken,
}

fn options(concurrent: usize) -> Options {
    Options {
        concurrent,
        pace: Pace::default(),
        drain: Duration::from_secs(30),
        seed: 7,
    }
}

impl World {
    fn new() -> Self {
        Self {
            clock: Arc::default(),
            active: Arc::default(),
            most_active: Arc::default(),
            jobs: Vec::new(),
            runners: Vec::new(),
            interrupt: None,
            stop: CancellationToken::new(),
        }
    }

    fn job(&mut self, interval: u64, takes: u64, heeds_stop: bool, end: fn(usize) -> RunEnd) {
        let runner = Arc::new(Scripted {
            clock: self.clock.clone(),
            takes: Duration::from_secs(takes),
            end,
            begins: Mutex::default(),
            active: self.active.clone(),
            most_active: self.most_active.clone(),
            heeds_stop,
        });
        self.jobs.push(Job {
            name: format!("sync-{}", self.jobs.len()),
            interval: Duration::from_secs(interval),
            accounts: vec![format!("account-{}", self.jobs.len())],
            runner: runner.clone(),
        });
        self.runners.push(runner);
    }

    /// Runs until `seconds`, then asks for a stop and lets everything end.
    fn play(&mut self, concurrent: usize, seconds: u64) -> Drained {
        let scheduler = Arc::new(Scheduler::new(self.clock.clone(), options(concurrent)));
        let told = Arc::clone(&scheduler);
        let mut pool = LocalPool::new();
        let (jobs, stop) = (self.jobs.clone(), self.stop.clone());
        let mut end = pool
            .spawner()
            .spawn_local_with_handle(async move { scheduler.run(jobs, stop).await })
            .unwrap();
        let until = Duration::from_secs(seconds);
        pool.run_until_stalled();
        while self.clock.step(until) {
            let now = self.clock.state.lock().unwrap().now;
            if self.interrupt.take_if(|at| *at <= now).is_some() {
                assert!(told.interrupt("sync-0"), "it is running");
            }
            pool.run_until_stalled();
        }
        self.clock.state.lock().unwrap().now = until;
        self.stop.cancel();
        loop {
            pool.run_until_stalled();
            if let Some(drained) = (&mut end).now_or_never() {
                return drained;
            }
            assert!(
                self.clock.step(Duration::MAX),
                "nothing to wait for, and it has not ended"
            );
        }
    }

    fn begins(&self, job: usize) -> Vec<Duration> {
        self.runners[job].begins.lock().unwrap().clone()
    }
}

fn fail(_: usize) -> RunEnd {
    RunEnd::Failed {
        why: "down".to_owned(),
        retry_after: None,
    }
}

#[test]
fn runs_happen_on_their_interval() {
    let mut world = World::new();
    world.job(60, 10, true, |_| RunEnd::Done);
    world.play(4, 3600);
    let begins = world.begins(0);
    assert!((56..=64).contains(&begins.len()), "{begins:?}");
    for pair in begins.windows(2) {
        let gap = (pair[1] - pair[0]).as_secs_f64();
        assert!((56.9..=63.1).contains(&gap), "{gap}");
    }
}

#[test]
fn a_slow_run_is_never_overlapped_by_itself() {
    let mut world = World::new();
    world.job(10, 45, true, |_| RunEnd::Done);
    world.play(4, 600);
    assert_eq!(world.most_active.load(Ordering::SeqCst), 1);
    assert!(world.begins(0).len() >= 13, "the next run follows at once");
}

#[test]
fn no_more_runs_at_once_than_allowed_and_all_get_their_turn() {
    let mut world = World::new();
    for _ in 0..6 {
        world.job(60, 20, true, |_| RunEnd::Done);
    }
    world.play(2, 1200);
    assert_eq!(world.most_active.load(Ordering::SeqCst), 2);
    for job in 0..6 {
        assert!(world.begins(job).len() >= 15, "job {job}");
    }
}

#[test]
fn a_failing_sync_backs_off_and_stops_no_other() {
    let mut world = World::new();
    world.job(60, 1, true, fail);
    world.job(60, 1, true, |_| panic!("a bug"));
    world.job(60, 1, true, |_| RunEnd::Done);
    world.play(4, 6 * 3600);
    let healthy = world.begins(2).len();
    assert!((350..=372).contains(&healthy), "{healthy}");
    for job in [0, 1] {
        let failing = world.begins(job).len();
        assert!(
            (20..=120).contains(&failing),
            "six hours of backoff up to 15 min: {failing}"
        );
    }
}

#[test]
fn a_success_ends_the_backoff() {
    let mut world = World::new();
    world.job(60, 0, true, |n| if n <= 8 { fail(n) } else { RunEnd::Done });
    world.play(4, 4 * 3600);
    let begins = world.begins(0);
    let after = &begins[9..];
    assert!(after.len() > 10);
    for pair in after.windows(2) {
        assert!((pair[1] - pair[0]).as_secs() <= 63);
    }
}

#[test]
fn a_stop_lets_runs_end_and_starts_none() {
    let mut world = World::new();
    world.job(60, 1000, true, |_| RunEnd::Done);
    world.job(60, 10, false, |_| RunEnd::Done);
    let drained = world.play(4, 100);
    assert_eq!(drained.cut_off, Vec::<String>::new());
    let last = *world.begins(1).last().unwrap();
    assert!(last <= Duration::from_secs(100));
    assert_eq!(world.active.load(Ordering::SeqCst), 0);
}

#[test]
fn a_run_that_gave_its_turn_up_goes_on_when_others_had_theirs() {
    let mut world = World::new();
    world.job(3600, 1, true, |n| {
        if n <= 5 {
            RunEnd::TurnOver
        } else {
            RunEnd::Done
        }
    });
    world.job(3600, 1, true, |_| RunEnd::Done);
    world.play(1, 3000);
    let first = world.begins(0);
    assert_eq!(first.len(), 6, "{first:?}");
    assert!(first[5] - first[0] < Duration::from_secs(30), "{first:?}");
    assert_eq!(world.begins(1).len(), 1);
}

#[test]
fn an_interrupted_run_ends_and_the_next_one_is_due_as_usual() {
    let mut world = World::new();
    world.job(60, 1000, true, |_| RunEnd::Done);
    world.job(10, 1, true, |_| RunEnd::Done);
    world.interrupt = Some(Duration::from_secs(200));
    world.play(4, 600);
    let begins = world.begins(0);
    let [first, second] = begins[..] else {
        panic!("one run was interrupted, and one is under way: {begins:?}");
    };
    assert!(first < Duration::from_secs(200));
    assert!((200..=275).contains(&second.as_secs()), "{begins:?}");
    let idle = Scheduler::new(world.clock.clone(), options(4));
    assert!(!idle.interrupt("sync-0"), "nothing is running");
}

#[test]
fn a_run_that_does_not_end_is_cut_off() {
    let mut world = World::new();
    world.job(60, 100_000, false, |_| RunEnd::Done);
    let drained = world.play(4, 100);
    assert_eq!(drained.cut_off, vec!["sync-0".to_owned()]);
    assert_eq!(
        world.clock.state.lock().unwrap().now,
        Duration::from_secs(130),
        "it gave the run its 30 seconds"
    );
}
