//! What the remote allows per account: requests in a window, requests in flight, and what it says or shows meanwhile.

use std::num::NonZeroU32;
use std::time::{Duration, Instant, SystemTime};

use governor::clock::{Clock, MonotonicClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
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

/// One account's budget.
#[derive(Debug)]
pub struct Budget {
    slots: Semaphore,
    limiters: Vec<DefaultDirectRateLimiter>,
    /// `None`: the operator wants no limits of the remote's to be kept.
    pace: Option<Mutex<Pace>>,
    began: Instant,
}

impl Budget {
    /// `declared`: the limits of the remote, if they are to be kept.
    pub fn new(limits: &Limits, declared: Option<&[RateLimit]>) -> Self {
        let pace = declared.map(|_| Mutex::default());
        let declared = declared.unwrap_or_default();
        let concurrent = declared
            .iter()
            .map(|limit| limit.concurrent as usize)
            .filter(|most| *most > 0)
            .fold(limits.concurrent_requests, usize::min);
        Self {
            slots: Semaphore::new(concurrent.clamp(1, Semaphore::MAX_PERMITS)),
            limiters: declared
                .iter()
                .filter_map(quota)
                .map(RateLimiter::direct)
                .collect(),
            pace,
            began: Instant::now(),
        }
    }

    /// Waits until a request may go out. It is in flight as long as the permit lives.
    ///
    /// # Errors
    /// The wait is longer than may happen inside of this call.
    pub async fn enter(&self, call: &Call) -> Result<SemaphorePermit<'_>, HttpError> {
        let permit = self
            .slots
            .acquire()
            .await
            .map_err(|error| HttpError::Other(error.to_string()))?;
        for limiter in &self.limiters {
            let mut waited = Duration::ZERO;
            while let Err(early) = limiter.check() {
                let wait = early.wait_time_from(MonotonicClock.now());
                if !call.may_wait(waited + wait) {
                    return Err(HttpError::Throttled(millis(wait)));
                }
                tokio::time::sleep(wait).await;
                waited += wait;
            }
        }
        if let Some(pace) = &self.pace {
            let turn = pace.lock().turn(self.began.elapsed(), call.patience());
            match turn {
                Ok(wait) if wait.is_zero() => {}
                Ok(wait) => tokio::time::sleep(wait).await,
                Err(wait) => return Err(HttpError::Throttled(millis(wait))),
            }
        }
        Ok(permit)
    }

    /// Learns from an answer to a request that was sent at `sent`.
    pub fn answered(&self, sent: Instant, answer: &Answer) {
        let Some(pace) = &self.pace else { return };
        let refused = matches!(answer.status, 429 | 503);
        let told = Told::by(&answer.headers, SystemTime::now(), refused);
        // A server that is down says nothing about how fast it may be asked.
        let throttled = answer.status == 429;
        let sent = sent.saturating_duration_since(self.began);
        pace.lock()
            .answered(self.began.elapsed(), sent, throttled, told);
    }

    /// What is left, as far as the remote said or showed it.
    pub fn left(&self) -> Left {
        let now = self.began.elapsed();
        self.pace
            .as_ref()
            .map(|pace| pace.lock().left(now))
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
                .available_permits()
        };
        assert_eq!(slots(&[]), 8);
        assert_eq!(slots(&[of(0)]), 8);
        assert_eq!(slots(&[of(10)]), 8);
        assert_eq!(slots(&[of(10), of(4)]), 4);
    }
}
