//! What one call of a guest has used, and whether it may have changed something.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::limits::Limits;

/// The counters of one guest call.
#[derive(Debug)]
pub struct Call {
    /// Requests that may still be sent.
    left: AtomicU32,
    /// Requests that may have changed something.
    applied: AtomicU32,
    began: Instant,
    wall: Duration,
    longest_wait: Duration,
}

impl Call {
    /// A call with all its budget, which begins now.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self {
            left: AtomicU32::new(limits.requests),
            applied: AtomicU32::new(0),
            began: Instant::now(),
            wall: Duration::from_millis(limits.wall_ms),
            longest_wait: Duration::from_millis(limits.wait_ms),
        }
    }

    /// Whether a request that may change something may have reached the remote. True from the moment such a request
    /// is being sent, so that it also holds for a call that is ended in the middle of it.
    #[must_use]
    pub fn may_have_applied(&self) -> bool {
        self.applied.load(Ordering::Acquire) > 0
    }

    /// Takes one request from the budget; false if there is none left.
    pub(super) fn take(&self) -> bool {
        self.left
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| {
                left.checked_sub(1)
            })
            .is_ok()
    }

    /// Whether the budget has a request left.
    pub(super) fn has_requests(&self) -> bool {
        self.left.load(Ordering::Acquire) > 0
    }

    /// Whether a wait may happen inside of the call: one that the operator allows, and that the call outlives.
    pub(super) fn may_wait(&self, wait: Duration) -> bool {
        self.outlives(self.began.elapsed(), wait)
    }

    /// The same for a call that has lasted so long.
    fn outlives(&self, elapsed: Duration, wait: Duration) -> bool {
        wait <= self.longest_wait && elapsed + wait < self.wall
    }

    /// The longest wait that may happen now inside of this call.
    pub(super) fn patience(&self) -> Duration {
        let left = self.wall.saturating_sub(self.began.elapsed());
        self.longest_wait
            .min(left.saturating_sub(Duration::from_millis(1)))
    }

    /// Notes that a request is being sent. `changes`: it may change something.
    pub(super) fn sending(&self, changes: bool) -> Sending<'_> {
        if changes {
            self.applied.fetch_add(1, Ordering::AcqRel);
        }
        Sending {
            call: self,
            changes,
        }
    }
}

/// A request that is being sent. Dropped, it counts as one that may have been executed.
#[derive(Debug)]
pub struct Sending<'a> {
    call: &'a Call,
    changes: bool,
}

impl Sending<'_> {
    /// It was certainly not executed.
    pub fn not_executed(self) {
        if self.changes {
            self.call.applied.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_fits_into_the_call() {
        let call = Call::new(&Limits::default());
        let ms = Duration::from_millis;
        assert!(call.outlives(ms(0), ms(2_000)));
        assert!(!call.outlives(ms(0), ms(2_001)));
        assert!(call.outlives(ms(29_000), ms(999)));
        assert!(!call.outlives(ms(29_000), ms(1_000)));
    }

    #[test]
    fn what_was_not_executed_has_not_applied() {
        let call = Call::new(&Limits::default());
        let first = call.sending(true);
        let second = call.sending(true);
        assert!(call.may_have_applied());
        first.not_executed();
        assert!(call.may_have_applied());
        second.not_executed();
        assert!(!call.may_have_applied());
        let _ = call.sending(false);
        assert!(!call.may_have_applied());
        let _ = call.sending(true);
        assert!(call.may_have_applied());
    }
}
