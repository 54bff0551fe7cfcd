//! The simulators' clock: the machine's, plus an offset that a test may advance.
//!
//! Both vendors stamp records with their own time, HubSpot to the millisecond and Mailchimp to the second. A test that
//! needs "three days later" moves this clock instead of waiting.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use serde::{Serialize, Serializer};

/// A point in time, in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Millis(pub i64);

impl Millis {
    /// The whole second this instant lies in, as a number of seconds since the Unix epoch.
    #[must_use]
    pub fn seconds(self) -> Seconds {
        Seconds(self.0.div_euclid(1000))
    }

    /// This instant, `ms` milliseconds later.
    #[must_use]
    pub fn plus(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// As the `Date` header of an answer (RFC 9110, section 5.6.7).
    #[must_use]
    pub fn http_date(self) -> String {
        DateTimePrinter::new()
            .timestamp_to_rfc9110_string(&self.timestamp())
            .unwrap_or_default()
    }

    fn timestamp(self) -> Timestamp {
        Timestamp::from_millisecond(self.0).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// Reads an RFC 3339 time, or a number of milliseconds since the epoch, as HubSpot accepts both.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(ms) = text.parse::<i64>() {
            return Some(Self(ms));
        }
        text.parse::<Timestamp>()
            .ok()
            .map(|at| Self(at.as_millisecond()))
    }
}

/// `2026-03-01T09:30:00.123Z`, HubSpot's form.
impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.timestamp())
    }
}

impl Serialize for Millis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A point in time, in seconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Seconds(pub i64);

/// `2026-03-01T09:30:00+00:00`, Mailchimp's form.
impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = Timestamp::from_second(self.0).unwrap_or(Timestamp::UNIX_EPOCH);
        let text = format!("{at:.0}");
        write!(f, "{}+00:00", text.trim_end_matches('Z'))
    }
}

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The clock of one simulator.
#[derive(Debug, Default)]
pub struct Clock {
    offset_ms: AtomicI64,
}

impl Clock {
    /// The simulator's present.
    #[must_use]
    pub fn now(&self) -> Millis {
        Millis(Timestamp::now().as_millisecond()).plus(self.offset_ms.load(Ordering::Relaxed))
    }

    /// Moves the clock forward by `ms` milliseconds (a negative value moves it back) and answers the new time.
    pub fn advance(&self, ms: i64) -> Millis {
        self.offset_ms.fetch_add(ms, Ordering::Relaxed);
        self.now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_vendor_gets_its_own_format() {
        let at = Millis(1_772_357_400_123);
        assert_eq!(at.to_string(), "2026-03-01T09:30:00.123Z");
        assert_eq!(at.seconds().to_string(), "2026-03-01T09:30:00+00:00");
        assert_eq!(
            Millis(1_772_357_400_000).to_string(),
            "2026-03-01T09:30:00.000Z"
        );
        assert_eq!(at.http_date(), "Sun, 01 Mar 2026 09:30:00 GMT");
    }

    #[test]
    fn times_are_read_as_text_and_as_milliseconds() {
        assert_eq!(
            Millis::parse("2026-03-01T09:30:00.123Z"),
            Some(Millis(1_772_357_400_123))
        );
        assert_eq!(
            Millis::parse("1772357400123"),
            Some(Millis(1_772_357_400_123))
        );
        assert_eq!(Millis::parse("yesterday"), None);
    }

    #[test]
    fn the_clock_can_be_advanced() {
        let clock = Clock::default();
        let before = clock.now();
        assert!(clock.advance(86_400_000) >= before.plus(86_400_000));
    }
}
