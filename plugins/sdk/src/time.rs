//! Times as APIs spell them.

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;

/// RFC 3339 with an offset, such as `2026-11-24T05:16:00+00:00`. `None` for anything else.
pub fn rfc3339(text: &str) -> Option<Timestamp> {
    text.trim().parse().ok()
}

/// The date of an HTTP header (RFC 9110): `Tue, 24 Nov 2026 05:16:00 GMT`.
pub fn http_date(text: &str) -> Option<Timestamp> {
    DateTimeParser::new().parse_timestamp(text.trim()).ok()
}

/// Milliseconds since 1970.
pub fn millis(ms: i64) -> Option<Timestamp> {
    Timestamp::from_millisecond(ms).ok()
}

/// `2026-11-24 05:16:00`, as databases print it, in UTC.
pub fn database(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let (date, clock) = text.split_once(' ')?;
    format!("{date}T{clock}Z").parse().ok()
}

/// `2026-11-24 05:16:00` in UTC, without fractions.
pub fn to_database(time: Timestamp) -> String {
    let seconds = Timestamp::from_second(time.as_second()).unwrap_or(time);
    seconds.to_string().replace('T', " ").replace('Z', "")
}

/// Milliseconds since 1970 as a revision's order. Times before 1970 are 0.
pub fn order(time: Timestamp) -> u64 {
    u64::try_from(time.as_millisecond()).unwrap_or(0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_instant_are_equal() {
        let expected = rfc3339("2026-11-24T05:16:00Z");
        assert!(expected.is_some());
        assert_eq!(rfc3339("2026-11-24T06:16:00+01:00"), expected);
        assert_eq!(rfc3339("2026-11-24T05:16:00+00:00"), expected);
        assert_eq!(http_date("Tue, 24 Nov 2026 05:16:00 GMT"), expected);
        assert_eq!(database("2026-11-24 05:16:00"), expected);
        assert_eq!(millis(1_795_497_360_000), expected);
        assert_eq!(to_database(expected.unwrap()), "2026-11-24 05:16:00");
    }

    #[test]
    fn a_time_without_offset_is_no_instant() {
        assert_eq!(rfc3339("2026-11-24T05:16:00"), None);
        assert_eq!(rfc3339(""), None);
        assert_eq!(http_date("yesterday"), None);
        assert_eq!(database("2026-11-24"), None);
    }

    #[test]
    fn fractions_are_cut_for_databases() {
        assert_eq!(
            to_database(rfc3339("2026-11-24T05:16:00.999Z").unwrap()),
            "2026-11-24 05:16:00"
        );
    }
}
