//! Reading what changed since a point in time, without leaving anything out.
//!
//! Three things make "everything modified since T" lose changes: clocks that differ, an index or a transaction that
//! shows a change later than its stamp says, and stamps of a coarse resolution. So the next position is the newest
//! modification seen, but never later than the *server's* time when the reading began; and a read starts an overlap
//! before the position, rounded down. What is said twice costs little: the host knows what it has seen.

use jiff::{SignedDuration, Timestamp};

/// Where a read that continues from `position` starts: `overlap` earlier, rounded down to `resolution`.
pub fn since(
    position: Timestamp,
    overlap: SignedDuration,
    resolution: SignedDuration,
) -> Timestamp {
    let early = position
        .checked_sub(overlap)
        .unwrap_or(Timestamp::UNIX_EPOCH)
        .max(Timestamp::UNIX_EPOCH);
    let step = resolution.as_millis().max(1);
    let ms = i128::from(early.as_millisecond());
    i64::try_from(ms - ms.rem_euclid(step))
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok())
        .unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Follows one incremental read and says where the next one continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    position: Timestamp,
    seen: Option<Timestamp>,
    server_start: Option<Timestamp>,
}

impl Progress {
    /// A read that continues from `position`. `server_start` is the server's time before its first request, which
    /// the first answer's `Date` header tells; without it there is no upper bound.
    pub fn new(position: Timestamp, server_start: Option<Timestamp>) -> Self {
        Self {
            position,
            seen: None,
            server_start,
        }
    }

    /// A record was read that was last modified at that time.
    pub fn saw(&mut self, modified: Timestamp) {
        self.seen = self.seen.max(Some(modified));
    }

    /// The next position: min(newest modification seen, server's time at the start), and never a step back.
    pub fn next(&self) -> Timestamp {
        let seen = self.seen.unwrap_or(self.position);
        self.server_start
            .map_or(seen, |start| seen.min(start))
            .max(self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_read_starts_early_and_on_a_full_step() {
        let second = SignedDuration::from_secs(1);
        assert_eq!(since(at(100_999), second * 10, second), at(90_000));
        assert_eq!(since(at(100_000), second * 10, second), at(90_000));
        assert_eq!(since(at(5_000), second * 10, second), at(0));
        assert_eq!(
            since(at(1_234), SignedDuration::ZERO, SignedDuration::ZERO),
            at(1_234)
        );
    }

    #[test]
    fn a_stamp_from_the_future_does_not_move_the_position_past_the_server_s_time() {
        let mut progress = Progress::new(at(100), Some(at(500)));
        progress.saw(at(300));
        assert_eq!(progress.next(), at(300));
        progress.saw(at(9_999));
        assert_eq!(progress.next(), at(500));
        progress.saw(at(200));
        assert_eq!(progress.next(), at(500));
    }

    #[test]
    fn a_position_never_moves_back() {
        let mut progress = Progress::new(at(100), Some(at(50)));
        assert_eq!(progress.next(), at(100));
        progress.saw(at(70));
        assert_eq!(progress.next(), at(100));
        assert_eq!(Progress::new(at(100), None).next(), at(100));
    }
}
