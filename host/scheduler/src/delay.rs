//! How long to wait: pure functions of what happened and of one random number.

use std::time::Duration;

use crate::job::RunEnd;

/// Somebody else's work on a sync is looked at so often: most of it takes moments.
pub(crate) const BUSY: Duration = Duration::from_secs(1);

/// Full-jitter backoff: after the n-th failure in a row, a random time up to `first * 2^(n-1)`, at most `most`. Many
/// hosts that failed together do not come back together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The longest wait after the first failure.
    pub first: Duration,
    /// The longest wait after any number of failures.
    pub most: Duration,
    /// The shortest wait, so that a lucky draw does not hammer a remote that is down.
    pub least: Duration,
}

impl Default for Backoff {
    /// From one second up to ten seconds, doubling to a quarter of an hour.
    fn default() -> Self {
        Self {
            first: Duration::from_secs(10),
            most: Duration::from_secs(15 * 60),
            least: Duration::from_secs(1),
        }
    }
}

impl Backoff {
    /// The wait after `failures` in a row (from 1). `random` is in `0.0..1.0`.
    pub fn delay(&self, failures: u32, random: f64) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let ceiling = self.first.saturating_mul(1 << doublings).min(self.most);
        ceiling.mul_f64(random.clamp(0.0, 1.0)).max(self.least)
    }
}

/// When the next run of a sync is due.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// The share of the interval by which a start is moved, later or earlier, at random: syncs with the same interval
    /// drift apart.
    pub jitter: f64,
    /// After failures.
    pub backoff: Backoff,
}

impl Default for Pace {
    /// 5 % of jitter.
    fn default() -> Self {
        Self {
            jitter: 0.05,
            backoff: Backoff::default(),
        }
    }
}

impl Pace {
    /// The wait from the end of a run that took `took` to the next start. `failures` counts failures in a row, this one
    /// included.
    pub fn next(
        &self,
        interval: Duration,
        took: Duration,
        end: &RunEnd,
        failures: u32,
        random: f64,
    ) -> Duration {
        match end {
            RunEnd::Done | RunEnd::TurnOver | RunEnd::Skipped(_) => {
                let factor = 1.0 + self.jitter * (2.0 * random - 1.0);
                interval.mul_f64(factor.max(0.0)).saturating_sub(took)
            }
            RunEnd::Busy(_) => BUSY,
            RunEnd::Failed { retry_after, .. } => self
                .backoff
                .delay(failures, random)
                .max(retry_after.unwrap_or_default()),
        }
    }

    /// The wait before the very first run: syncs do not all start in the same moment, and nobody waits long.
    pub fn first(&self, interval: Duration, random: f64) -> Duration {
        interval
            .mul_f64(self.jitter)
            .min(Duration::from_secs(2))
            .mul_f64(random)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn failed(retry_after: Option<Duration>) -> RunEnd {
        RunEnd::Failed {
            why: "down".to_owned(),
            retry_after,
        }
    }

    #[test]
    fn a_run_longer_than_its_interval_is_followed_at_once() {
        let pace = Pace::default();
        let minute = Duration::from_secs(60);
        assert_eq!(
            pace.next(minute, minute * 2, &RunEnd::Done, 0, 0.5),
            Duration::ZERO
        );
    }

    #[test]
    fn the_interval_counts_from_the_start_of_a_run() {
        let pace = Pace::default();
        let wait = pace.next(
            Duration::from_secs(60),
            Duration::from_secs(20),
            &RunEnd::Done,
            0,
            0.5,
        );
        assert_eq!(wait, Duration::from_secs(40));
    }

    #[test]
    fn patience_asked_for_by_the_remote_is_kept() {
        let asked = Duration::from_secs(3600);
        let wait = Pace::default().next(
            Duration::from_secs(60),
            Duration::ZERO,
            &failed(Some(asked)),
            1,
            0.1,
        );
        assert_eq!(wait, asked);
    }

    proptest! {
        #[test]
        fn backoff_stays_between_its_bounds(failures in 1_u32..1000, random in 0.0..1.0) {
            let backoff = Backoff::default();
            let wait = backoff.delay(failures, random);
            prop_assert!(wait >= backoff.least && wait <= backoff.most);
        }

        #[test]
        fn the_ceiling_doubles(failures in 1_u32..6) {
            let backoff = Backoff::default();
            prop_assert_eq!(backoff.delay(failures + 1, 1.0), backoff.delay(failures, 1.0) * 2);
        }

        #[test]
        fn jitter_is_bounded(random in 0.0..1.0) {
            let interval = Duration::from_secs(1000);
            let wait = Pace::default().next(interval, Duration::ZERO, &RunEnd::Done, 0, random);
            prop_assert!(wait >= Duration::from_secs(950) && wait <= Duration::from_secs(1050));
        }
    }
}
