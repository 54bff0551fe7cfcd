//! What the remote allows per account: requests in a window, requests in flight, and what it says or shows meanwhile.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use governor::clock::{Clock, DefaultClock, MonotonicClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use parking_lot::Mutex;
use samspel_model::descriptor::RateLimit;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::exchange::Answer;
use super::pace::{Left, Pace};
use super::told::Told;
use super::{Call, HttpError};
use crate::limits::Limits;

/// The part of a window's requests that may go out at once. The rest is spread over the window: a larger burst would
/// leave less for it, because any window may begin with a burst.
const BURST: u32 = 10;

/// One account's budget. Its parts outlive a binding: what one used up, the next does not have.
#[derive(Debug, Clone)]
pub struct Budget {
    slots: Slots,
    limiters: Vec<Limiter>,
    pace: Option<Arc<Learnt>>,
}

#[derive(Debug, Clone)]
struct Slots {
    most: usize,
    free: Arc<Semaphore>,
}

#[derive(Debug, Clone)]
struct Limiter {
    of: RateLimit,
    pace: Arc<Paced>,
}

/// A rate that also tells when it lets the next request out.
#[derive(Debug)]
struct Paced {
    limiter: RateLimiter<NotKeyed, InMemoryState, DefaultClock, StateInformationMiddleware>,
    period: Duration,
    /// Nothing goes out before, as far as is known.
    next: Mutex<Instant>,
}

impl Paced {
    fn new(quota: Quota) -> Self {
        Self {
            limiter: RateLimiter::direct(quota).with_middleware(),
            period: quota.replenish_interval(),
            next: Mutex::new(Instant::now()),
        }
    }

    /// Lets a request out, or says how long it has to wait.
    fn check(&self) -> Result<(), Duration> {
        match self.limiter.check() {
            Ok(state) => {
                if state.remaining_burst_capacity() == 0 {
                    *self.next.lock() = Instant::now() + self.period;
                }
                Ok(())
            }
            Err(early) => Err(early.wait_time_from(MonotonicClock.now())),
        }
    }
}

/// What the remote said or showed. None of it is kept where the operator wants no limits of the remote's to be kept.
#[derive(Debug)]
struct Learnt {
    pace: Mutex<Pace>,
    /// What the times of `pace` count from.
    began: Instant,
}

impl Budget {
    /// `declared`: the limits of the remote, if they are to be kept.
    pub fn new(limits: &Limits, declared: Option<&[RateLimit]>) -> Self {
        let pace = declared.map(|_| {
            Arc::new(Learnt {
                pace: Mutex::default(),
                began: Instant::now(),
            })
        });
        let declared = declared.unwrap_or_default();
        let concurrent = declared
            .iter()
            .map(|limit| limit.concurrent as usize)
            .filter(|most| *most > 0)
            .fold(limits.concurrent_requests, usize::min);
        let most = concurrent.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            slots: Slots {
                most,
                free: Arc::new(Semaphore::new(most)),
            },
            limiters: declared
                .iter()
                .filter_map(|limit| {
                    Some(Limiter {
                        of: *limit,
                        pace: Arc::new(Paced::new(quota(limit)?)),
                    })
                })
                .collect(),
            pace,
        }
    }

    /// The same limits, where they are those of a budget of the same account: both bindings draw on one.
    #[must_use]
    pub fn shared_with(mut self, before: &Self) -> Self {
        if self.slots.most == before.slots.most {
            self.slots = before.slots.clone();
        }
        for limiter in &mut self.limiters {
            if let Some(known) = before.limiters.iter().find(|known| known.of == limiter.of) {
                limiter.pace = Arc::clone(&known.pace);
            }
        }
        if let (Some(pace), Some(known)) = (&mut self.pace, &before.pace) {
            *pace = Arc::clone(known);
        }
        self
    }

    /// Waits until a request may go out. It is in flight as long as the permit lives.
    ///
    /// # Errors
    /// The wait is longer than may happen inside of this call.
    pub async fn enter(&self, call: &Call) -> Result<SemaphorePermit<'_>, HttpError> {
        let permit = self
            .slots
            .free
            .acquire()
            .await
            .map_err(|error| HttpError::Other(error.to_string()))?;
        for limiter in &self.limiters {
            let mut waited = Duration::ZERO;
            while let Err(wait) = limiter.pace.check() {
                if !call.may_wait(waited + wait) {
                    return Err(HttpError::Throttled(millis(wait)));
                }
                tokio::time::sleep(wait).await;
                waited += wait;
            }
        }
        if let Some(learnt) = &self.pace {
            let turn = learnt
                .pace
                .lock()
                .turn(learnt.began.elapsed(), call.patience());
            match turn {
                Ok(wait) if wait.is_zero() => {}
                Ok(wait) => tokio::time::sleep(wait).await,
                Err(wait) => return Err(HttpError::Throttled(millis(wait))),
            }
        }
        Ok(permit)
    }

    /// Waits, for `patience` at most, until the rate would let a request out. Takes nothing of it: somebody else may be
    /// first. Whether there was something to wait for.
    pub async fn ready(&self, patience: Duration) -> bool {
        let next = self
            .limiters
            .iter()
            .map(|limiter| *limiter.pace.next.lock());
        let wait = next
            .max()
            .map(|next| next.saturating_duration_since(Instant::now()))
            .unwrap_or_default();
        if wait.is_zero() {
            return false;
        }
        tokio::time::sleep(wait.min(patience)).await;
        true
    }

    /// Learns from an answer to a request that was sent at `sent`.
    pub fn answered(&self, sent: Instant, answer: &Answer) {
        let Some(learnt) = &self.pace else { return };
        let refused = matches!(answer.status, 429 | 503);
        let told = Told::by(&answer.headers, SystemTime::now(), refused);
        // A server that is down says nothing about how fast it may be asked.
        let throttled = answer.status == 429;
        let sent = sent.saturating_duration_since(learnt.began);
        let now = learnt.began.elapsed();
        learnt.pace.lock().answered(now, sent, throttled, told);
    }

    /// What is left, as far as the remote said or showed it.
    pub fn left(&self) -> Left {
        self.pace
            .as_ref()
            .map(|learnt| learnt.pace.lock().left(learnt.began.elapsed()))
            .unwrap_or_default()
    }
}

/// At least 1: "wait for 0 ms" would be no answer.
fn millis(wait: Duration) -> u64 {
    u64::try_from(wait.as_nanos().div_ceil(1_000_000))
        .unwrap_or(u64::MAX)
        .max(1)
}

/// A quota that lets no more than the declared requests out in any window of the declared length.
///
/// A generic cell rate lets a full burst out at once and then one request per period, so that a window sees at most
/// the burst and one request for each period that begins in it. The period is chosen so that both make up the limit.
fn quota(limit: &RateLimit) -> Option<Quota> {
    let requests = NonZeroU32::new(limit.requests)?;
    if limit.per_ms == 0 {
        return None;
    }
    let burst = NonZeroU32::new(requests.get() / BURST).unwrap_or(NonZeroU32::MIN);
    let spread = requests.get() - burst.get() + 1;
    let window = Duration::from_millis(u64::from(limit.per_ms));
    // Rounded up: a nanosecond less would let one request too many into the window.
    let nanos = window.as_nanos().div_ceil(u128::from(spread));
    let period = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
    Some(Quota::with_period(period)?.allow_burst(burst))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    /// When requests go out that are sent as early as the quota allows.
    fn departures(limit: RateLimit, windows: u32) -> Vec<Duration> {
        let clock = FakeRelativeClock::default();
        let limiter = RateLimiter::direct_with_clock(quota(&limit).unwrap(), clock.clone());
        let end = Duration::from_millis(u64::from(limit.per_ms) * u64::from(windows));
        let mut now = Duration::ZERO;
        let mut departures = Vec::new();
        while now < end {
            match limiter.check() {
                Ok(()) => departures.push(now),
                Err(early) => {
                    let wait = early
                        .wait_time_from(clock.now())
                        .max(Duration::from_nanos(1));
                    clock.advance(wait);
                    now += wait;
                }
            }
        }
        departures
    }

    #[test]
    fn no_window_sees_more_than_the_limit_and_most_of_it_is_used() {
        for (requests, per_ms) in [
            (1, 1_000),
            (2, 1_000),
            (3, 1_000),
            (5, 1_000),
            (100, 10_000),
            (190, 10_000),
        ] {
            let limit = RateLimit {
                requests,
                per_ms,
                concurrent: 0,
            };
            let departures = departures(limit, 5);
            let window = Duration::from_millis(u64::from(per_ms));
            for (index, start) in departures.iter().enumerate() {
                let inside = departures[index..]
                    .iter()
                    .take_while(|at| **at < *start + window)
                    .count();
                assert!(
                    inside <= requests as usize,
                    "{inside} of {requests} in {per_ms} ms"
                );
            }
            let least = f64::from(requests * 5) * 0.88;
            assert!(
                departures.len() as f64 >= least,
                "{} of {requests}",
                departures.len()
            );
        }
    }

    #[tokio::test]
    async fn a_request_that_would_wait_is_waited_for_before_it_is_made() {
        // One at once, and then one in 20 ms.
        let limit = RateLimit {
            requests: 5,
            per_ms: 100,
            concurrent: 0,
        };
        let limits = Limits::default();
        let call = Call::new(&limits);
        let budget = Budget::new(&limits, Some(&[limit]));
        let patience = Duration::from_secs(1);
        assert!(!budget.ready(patience).await, "nothing was asked for yet");
        drop(budget.enter(&call).await.unwrap());
        assert!(budget.ready(patience).await);
        assert!(!budget.ready(patience).await, "the wait is over");
    }

    #[test]
    fn zero_is_no_limit() {
        for (requests, per_ms) in [(0, 1_000), (10, 0)] {
            let limit = RateLimit {
                requests,
                per_ms,
                concurrent: 3,
            };
            assert!(quota(&limit).is_none());
        }
    }

    #[test]
    fn the_strictest_number_of_requests_in_flight_counts() {
        let of = |concurrent| RateLimit {
            requests: 0,
            per_ms: 0,
            concurrent,
        };
        let slots = |declared: &[RateLimit]| {
            Budget::new(&Limits::default(), Some(declared))
                .slots
                .free
                .available_permits()
        };
        assert_eq!(slots(&[]), 8);
        assert_eq!(slots(&[of(0)]), 8);
        assert_eq!(slots(&[of(10)]), 8);
        assert_eq!(slots(&[of(10), of(4)]), 4);
    }

    #[tokio::test]
    async fn what_is_in_flight_counts_for_the_next_binding_too() {
        let limit = |requests| RateLimit {
            requests,
            per_ms: 3_600_000,
            concurrent: 2,
        };
        let limits = Limits::default();
        let call = Call::new(&limits);
        let before = Budget::new(&limits, Some(&[limit(10)]));
        let _permit = before.enter(&call).await.unwrap();
        let same = Budget::new(&limits, Some(&[limit(10)])).shared_with(&before);
        assert_eq!(same.slots.free.available_permits(), 1);
        assert!(matches!(
            same.enter(&call).await,
            Err(HttpError::Throttled(_))
        ));
        // Another pace begins anew; the places are the same.
        let other = Budget::new(&limits, Some(&[limit(20)])).shared_with(&before);
        assert_eq!(other.slots.free.available_permits(), 1);
        drop(other.enter(&call).await.unwrap());
    }
}
