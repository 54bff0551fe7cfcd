//! How fast an account may send where nobody says it: additive increase, multiplicative decrease, as congestion control
//! does it (Chiu and Jain, 1989). An answer that throttles halves the rate; from then on it grows by a constant in each
//! second. Where the remote says how long to wait, that is done instead.
//!
//! Pure: times come from the caller, as what has passed since the account was bound.

use std::time::Duration;

use super::told::Told;

/// Requests in a second by which the rate grows in a second.
const STEP: f64 = 1.0;
/// The rate never falls below this: two in a second harm nobody, and a run must not stand still.
const LEAST: f64 = 2.0;
/// At this rate other limits count, and this one goes.
const MOST: f64 = 200.0;

/// What is known about the rate.
#[derive(Debug, Clone, Default)]
pub struct Pace {
    /// The rate, in requests a second, and when it was that. `None`: it was never throttled.
    rate: Option<(f64, Duration)>,
    /// When the rate was halved. Answers to what was sent before say nothing new.
    halved: Option<Duration>,
    /// When the next request may go out, by the rate.
    next: Duration,
    /// When the next request may go out, by what the remote said.
    blocked: Duration,
    /// What the remote said is left.
    remaining: Option<u64>,
    /// Requests in the second before, and in this one.
    sent: [u32; 2],
    second: u64,
}

/// What is left, for people and metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Left {
    /// Requests a second that are allowed, if the remote has throttled.
    pub rate: Option<f64>,
    /// How long nothing may be sent.
    pub blocked: Duration,
    /// What the remote said is left of its window.
    pub remaining: Option<u64>,
}

impl Pace {
    /// How long a request must wait that wants to go out now. Its turn is taken only if it is not longer than
    /// `longest`.
    ///
    /// # Errors
    /// The wait, which is longer.
    pub fn turn(&mut self, now: Duration, longest: Duration) -> Result<Duration, Duration> {
        let rate = self.rate(now);
        let paced = if rate.is_some() { self.next } else { now };
        let at = now.max(paced).max(self.blocked);
        let wait = at - now;
        if wait > longest {
            return Err(wait);
        }
        if let Some(rate) = rate {
            self.next = at + Duration::from_secs_f64(1.0 / rate);
        }
        self.count(at);
        Ok(wait)
    }

    /// An answer came to a request that was sent at `sent`.
    pub fn answered(&mut self, now: Duration, sent: Duration, throttled: bool, told: Told) {
        if told.remaining.is_some() {
            self.remaining = told.remaining;
        }
        if let Some(wait) = told.wait {
            self.blocked = self.blocked.max(now + wait);
        } else if throttled && self.halved.is_none_or(|halved| sent > halved) {
            let rate = self.rate(now).unwrap_or(f64::INFINITY);
            let used = f64::from(self.sent[0].max(self.sent[1]));
            let halved = (rate.min(used) / 2.0).max(LEAST);
            self.rate = Some((halved, now));
            self.halved = Some(now);
            self.next = self.next.max(now + Duration::from_secs_f64(1.0 / halved));
        }
    }

    /// What is left.
    pub fn left(&self, now: Duration) -> Left {
        Left {
            rate: self.rate(now),
            blocked: self.blocked.saturating_sub(now),
            remaining: self.remaining,
        }
    }

    fn rate(&self, now: Duration) -> Option<f64> {
        let (rate, since) = self.rate?;
        let grown = rate + STEP * now.saturating_sub(since).as_secs_f64();
        (grown < MOST).then_some(grown)
    }

    fn count(&mut self, at: Duration) {
        let second = at.as_secs();
        match second.checked_sub(self.second) {
            // A turn that was given for later than this one is in the second of that.
            None | Some(0) => {}
            Some(1) => self.sent = [self.sent[1], 0],
            Some(_) => self.sent = [0, 0],
        }
        self.second = self.second.max(second);
        self.sent[1] = self.sent[1].saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FOREVER: Duration = Duration::MAX;

    fn millis(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn throttle(pace: &mut Pace, ms: u64) {
        pace.answered(millis(ms), millis(ms), true, Told::default());
    }

    fn waits(pace: &mut Pace, ms: u64) -> Duration {
        pace.turn(millis(ms), FOREVER).unwrap_or(FOREVER)
    }

    #[test]
    fn nothing_waits_before_the_remote_throttles() {
        let mut pace = Pace::default();
        for _ in 0..1_000 {
            assert_eq!(waits(&mut pace, 5), Duration::ZERO);
        }
        assert_eq!(pace.left(millis(5)), Left::default());
    }

    #[test]
    fn a_burst_that_is_throttled_halves_the_rate_once() {
        let mut pace = Pace::default();
        for _ in 0..40 {
            waits(&mut pace, 10);
        }
        for _ in 0..40 {
            pace.answered(millis(500), millis(10), true, Told::default());
        }
        assert_eq!(pace.left(millis(500)).rate, Some(20.0));
        assert_eq!(pace.left(millis(2_500)).rate, Some(22.0));
        pace.answered(millis(2_500), millis(2_400), true, Told::default());
        assert!(pace.left(millis(2_500)).rate < Some(11.1));
    }

    #[test]
    fn what_the_remote_says_is_done_and_nothing_else() {
        let mut pace = Pace::default();
        let told = Told {
            remaining: Some(0),
            wait: Some(millis(700)),
        };
        pace.answered(millis(100), millis(90), true, told);
        let left = pace.left(millis(300));
        assert_eq!((left.rate, left.blocked), (None, millis(500)));
        assert_eq!(left.remaining, Some(0));
        assert_eq!(pace.turn(millis(300), millis(100)), Err(millis(500)));
        assert_eq!(waits(&mut pace, 300), millis(500));
        assert_eq!(waits(&mut pace, 800), Duration::ZERO);
    }

    #[test]
    fn the_limit_goes_once_it_is_of_no_use() {
        let mut pace = Pace::default();
        throttle(&mut pace, 0);
        assert!(pace.left(millis(1)).rate.is_some());
        assert_eq!(pace.left(millis(300_000)).rate, None);
        for _ in 0..100 {
            assert_eq!(waits(&mut pace, 300_000), Duration::ZERO);
        }
    }

    #[derive(Debug, Clone)]
    enum Event {
        Send,
        Throttle,
        Told(u64),
    }

    fn events() -> impl Strategy<Value = Vec<(u64, Event)>> {
        let event = prop_oneof![
            8 => Just(Event::Send),
            1 => Just(Event::Throttle),
            1 => (0_u64..3_000).prop_map(Event::Told),
        ];
        prop::collection::vec((0_u64..400, event), 1..200)
    }

    proptest! {
        #[test]
        fn rates_are_halved_and_grow_by_the_step(events in events()) {
            let mut pace = Pace::default();
            let mut now = 0;
            for (later, event) in events {
                let before = pace.left(millis(now)).rate;
                now += later;
                let grown = pace.left(millis(now)).rate;
                if let (Some(before), Some(grown)) = (before, grown) {
                    let step = STEP * Duration::from_millis(later).as_secs_f64();
                    prop_assert!((grown - before - step).abs() < 1e-6);
                }
                match event {
                    Event::Send => { waits(&mut pace, now); }
                    Event::Throttle => {
                        now += 1;
                        throttle(&mut pace, now);
                        let rate = pace.left(millis(now)).rate.unwrap_or(f64::INFINITY);
                        let most = grown.map_or(f64::INFINITY, |grown| grown / 2.0 + 0.001);
                        prop_assert!(rate >= LEAST && rate <= most.max(LEAST));
                    }
                    Event::Told(wait) => {
                        let told = Told { remaining: None, wait: Some(millis(wait)) };
                        pace.answered(millis(now), millis(now), true, told);
                    }
                }
            }
        }

        #[test]
        fn no_turn_is_in_a_wait_or_sooner_than_the_rate_allows(events in events()) {
            let mut pace = Pace::default();
            let (mut now, mut last, mut blocked) = (0, None, Duration::ZERO);
            for (later, event) in events {
                now += later;
                match event {
                    Event::Send => {
                        let rate = pace.left(millis(now)).rate;
                        let at = millis(now) + waits(&mut pace, now);
                        prop_assert!(at >= blocked);
                        if let (Some(_), Some((last, then))) = (rate, last) {
                            let period = Duration::from_secs_f64(1.0 / then);
                            prop_assert!(at + Duration::from_micros(1) >= last + period);
                        }
                        last = rate.map(|rate| (at, rate));
                    }
                    Event::Throttle => {
                        now += 1;
                        throttle(&mut pace, now);
                    }
                    Event::Told(wait) => {
                        let told = Told { remaining: None, wait: Some(millis(wait)) };
                        pace.answered(millis(now), millis(now), true, told);
                        blocked = blocked.max(millis(now + wait));
                    }
                }
            }
        }
    }
}
