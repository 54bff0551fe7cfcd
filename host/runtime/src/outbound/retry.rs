//! Whether and when the host sends a request again by itself.
//!
//! It does so only where a repetition cannot do harm: the request was certainly not executed, or the connector says
//! that doing it twice equals doing it once.

use std::time::{Duration, SystemTime};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use reqwest::header::{HeaderMap, RETRY_AFTER};

use super::HttpError;
use super::exchange::Answer;

/// Delays where the remote names none: two, so that there are three attempts at most.
const DELAYS: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(200))
    .with_factor(3.0)
    .with_max_delay(Duration::from_secs(1))
    .with_max_times(2)
    .with_jitter();

/// The attempts at one request.
pub struct Retries {
    delays: ExponentialBackoff,
    replay_safe: bool,
}

impl Retries {
    /// `replay_safe`: doing it twice equals doing it once.
    pub fn new(replay_safe: bool) -> Self {
        Self {
            delays: DELAYS.build(),
            replay_safe,
        }
    }

    /// How long to wait before the next attempt; `None` if there is to be none.
    pub fn after(&mut self, outcome: &Result<Answer, HttpError>) -> Option<Duration> {
        let asked = match outcome {
            Ok(answer) => {
                let repeatable = match answer.status {
                    429 => true,
                    503 => self.replay_safe,
                    _ => false,
                };
                if !repeatable {
                    return None;
                }
                retry_after(&answer.headers, SystemTime::now())
            }
            Err(HttpError::NotSent(_)) => None,
            Err(HttpError::Interrupted(_)) if self.replay_safe => None,
            Err(_) => return None,
        };
        let delay = self.delays.next()?;
        Some(asked.unwrap_or(delay))
    }
}

/// The wait that `Retry-After` asks for (RFC 9110, section 10.2.3): seconds, or a date.
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn answer(status: u16, retry_after: Option<&str>) -> Result<Answer, HttpError> {
        let mut headers = HeaderMap::new();
        if let Some(value) = retry_after {
            headers.insert(RETRY_AFTER, value.parse().unwrap());
        }
        Ok(Answer {
            status,
            headers,
            body: Vec::new(),
        })
    }

    fn repeats(replay_safe: bool, outcome: &Result<Answer, HttpError>) -> bool {
        Retries::new(replay_safe).after(outcome).is_some()
    }

    #[test]
    fn only_what_cannot_do_harm_is_repeated() {
        let not_sent = Err(HttpError::NotSent(String::new()));
        let interrupted = Err(HttpError::Interrupted(String::new()));
        for (outcome, safe, not_safe) in [
            (answer(200, None), false, false),
            (answer(400, None), false, false),
            (answer(429, None), true, true),
            (answer(500, None), false, false),
            (answer(503, None), true, false),
            (answer(503, Some("1")), true, false),
            (not_sent, true, true),
            (interrupted, true, false),
            (Err(HttpError::TooLarge(1)), false, false),
            (Err(HttpError::Throttled(1)), false, false),
            (Err(HttpError::Denied(String::new())), false, false),
        ] {
            assert_eq!(repeats(true, &outcome), safe, "{outcome:?}");
            assert_eq!(repeats(false, &outcome), not_safe, "{outcome:?}");
        }
    }

    #[test]
    fn there_are_three_attempts() {
        let mut retries = Retries::new(true);
        let outcome = answer(429, Some("1"));
        assert_eq!(retries.after(&outcome), Some(Duration::from_secs(1)));
        assert_eq!(retries.after(&outcome), Some(Duration::from_secs(1)));
        assert_eq!(retries.after(&outcome), None);
    }

    #[test]
    fn delays_grow_and_vary() {
        let outcome = answer(429, None);
        let delays: Vec<_> = (0..20)
            .map(|_| {
                let mut retries = Retries::new(true);
                let first = retries.after(&outcome).unwrap();
                let second = retries.after(&outcome).unwrap();
                assert!(first >= Duration::from_millis(200) && first <= Duration::from_millis(400));
                assert!(second >= Duration::from_millis(600) && second <= Duration::from_secs(2));
                first
            })
            .collect();
        assert!(delays.iter().any(|delay| *delay != delays[0]));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = httpdate::parse_http_date("Tue, 15 Nov 1994 08:12:31 GMT").unwrap();
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            retry_after(&headers, now)
        };
        assert_eq!(of("120"), Some(Duration::from_secs(120)));
        assert_eq!(
            of("Tue, 15 Nov 1994 08:12:41 GMT"),
            Some(Duration::from_secs(10))
        );
        assert_eq!(of("Tue, 15 Nov 1994 08:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(of("soon"), None);
        assert_eq!(of("-1"), None);
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
