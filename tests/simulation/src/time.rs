//! Virtual time. It stands still while anything can run, and jumps to the next timer when nothing can.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use jiff::Timestamp;
use parking_lot::Mutex;

/// A point of the virtual time, in milliseconds since it began.
pub(crate) type Millis = i64;

/// What the virtual time began at, in milliseconds of Unix time: 1 January 2026.
const BEGINNING: i64 = 1_767_225_600_000;

/// The instant of a point of the virtual time.
pub(crate) fn timestamp(at: Millis) -> Timestamp {
    Timestamp::from_millisecond(BEGINNING + at).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// The point of the virtual time of an instant.
pub(crate) fn millis(at: Timestamp) -> Millis {
    at.as_millisecond() - BEGINNING
}

/// The virtual time of one world.
#[derive(Debug, Default)]
pub(crate) struct SimClock {
    timers: Mutex<Timers>,
}

#[derive(Debug, Default)]
struct Timers {
    now: Millis,
    /// How far the host's clock is ahead of the systems'.
    skew: Millis,
    next: u64,
    queue: BTreeMap<(Millis, u64), Waker>,
    fired: u64,
    /// Who is told when the time moved, and when it cannot.
    watcher: Option<Waker>,
    stuck: bool,
}

impl SimClock {
    /// The time by the systems' clocks.
    pub fn now(&self) -> Millis {
        self.timers.lock().now
    }

    /// The time by the host's clock, which may jump.
    pub fn host_now(&self) -> Timestamp {
        let timers = self.timers.lock();
        timestamp(timers.now + timers.skew)
    }

    /// The host's clock jumps.
    pub fn jump(&self, by: Millis) {
        self.timers.lock().skew += by;
    }

    /// How often a timer fired.
    pub fn fired(&self) -> u64 {
        self.timers.lock().fired
    }

    /// Returns when so many milliseconds have passed.
    pub fn sleep(self: &Arc<Self>, millis: Millis) -> Sleep {
        Sleep {
            clock: Arc::clone(self),
            millis,
            key: None,
        }
    }

    /// Nothing can run: the time moves to the next timer, and whoever waits for it is woken. Without a timer, the world
    /// is stuck.
    pub fn advance(&self) {
        let (waker, watcher) = {
            let mut timers = self.timers.lock();
            let waker = match timers.queue.pop_first() {
                Some(((due, _), waker)) => {
                    timers.now = timers.now.max(due);
                    timers.fired += 1;
                    Some(waker)
                }
                None => {
                    timers.stuck = true;
                    None
                }
            };
            (waker, timers.watcher.clone())
        };
        for waker in waker.into_iter().chain(watcher) {
            waker.wake();
        }
    }

    /// Wakes this one whenever the time moves or cannot.
    pub fn watch(&self, waker: &Waker) {
        let mut timers = self.timers.lock();
        match &mut timers.watcher {
            Some(known) if known.will_wake(waker) => {}
            watcher => *watcher = Some(waker.clone()),
        }
    }

    /// Whether nothing could run and no timer was left.
    pub fn is_stuck(&self) -> bool {
        self.timers.lock().stuck
    }
}

/// Waiting for the virtual time.
#[derive(Debug)]
pub(crate) struct Sleep {
    clock: Arc<SimClock>,
    millis: Millis,
    key: Option<(Millis, u64)>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let clock = Arc::clone(&self.clock);
        let mut timers = clock.timers.lock();
        match self.key {
            None => {
                let key = (timers.now + self.millis.max(0), timers.next);
                timers.next += 1;
                timers.queue.insert(key, context.waker().clone());
                self.key = Some(key);
                Poll::Pending
            }
            Some(key) => match timers.queue.get_mut(&key) {
                Some(waker) => {
                    if !waker.will_wake(context.waker()) {
                        *waker = context.waker().clone();
                    }
                    Poll::Pending
                }
                None => Poll::Ready(()),
            },
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        // A timer that nobody waits for must not move the time.
        if let Some(key) = self.key {
            self.clock.timers.lock().queue.remove(&key);
        }
    }
}
