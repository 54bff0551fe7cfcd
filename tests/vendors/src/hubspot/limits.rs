//! HubSpot's request limits: so many requests in any ten seconds, and so many searches in any second.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// At most so many events in any window of this length.
#[derive(Debug)]
struct Window {
    length: Duration,
    events: VecDeque<Instant>,
}

impl Window {
    fn new(length: Duration) -> Self {
        Self {
            length,
            events: VecDeque::new(),
        }
    }

    /// Takes one place of `limit` and answers how many are left, or `None` when there was none.
    fn take(&mut self, limit: usize, now: Instant) -> Option<usize> {
        while self
            .events
            .front()
            .is_some_and(|at| now.duration_since(*at) >= self.length)
        {
            self.events.pop_front();
        }
        if self.events.len() >= limit {
            return None;
        }
        self.events.push_back(now);
        Some(limit - self.events.len())
    }
}

/// The account's windows.
#[derive(Debug)]
pub(crate) struct Limits {
    burst: Window,
    search: Window,
}

impl Limits {
    pub(crate) fn new() -> Self {
        Self {
            burst: Window::new(Duration::from_secs(10)),
            search: Window::new(Duration::from_secs(1)),
        }
    }

    pub(crate) fn burst(&mut self, limit: usize, now: Instant) -> Option<usize> {
        self.burst.take(limit, now)
    }

    pub(crate) fn search(&mut self, limit: usize, now: Instant) -> Option<usize> {
        self.search.take(limit, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_comes_back_when_its_own_window_has_passed() {
        let mut limits = Limits::new();
        let start = Instant::now();
        assert_eq!(limits.search(2, start), Some(1));
        assert_eq!(
            limits.search(2, start + Duration::from_millis(600)),
            Some(0)
        );
        assert_eq!(limits.search(2, start + Duration::from_millis(900)), None);
        assert_eq!(
            limits.search(2, start + Duration::from_millis(1_000)),
            Some(0),
            "the first is a second old"
        );
        assert_eq!(
            limits.search(2, start + Duration::from_millis(1_100)),
            None,
            "the second is not"
        );
    }
}
