//! What a remote tells about its limits in the headers of an answer.

use std::time::{Duration, SystemTime};

use reqwest::header::HeaderMap;
use sfv::{List, ListEntry, Parameters, Parser};

use super::retry::retry_after;

/// What an answer tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Told {
    /// Requests that are left until the window ends.
    pub remaining: Option<u64>,
    /// When nothing may be sent before: after so long.
    pub wait: Option<Duration>,
}

/// Longer waits are taken for this one; a remote that writes nonsense must not stop an account for ever.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// `X-RateLimit-Reset` is a moment in some APIs and a wait in others. No wait is so long.
const EPOCH: u64 = 1_000_000_000;

impl Told {
    /// Reads the headers: `Retry-After`, HubSpot's, those of the IETF's drafts and their forerunners. Where several
    /// tell something, the strictest counts.
    /// `throttled`: the remote did not do it. Of what was done, `Retry-After` says something else: when to look again.
    pub fn by(headers: &HeaderMap, now: SystemTime, throttled: bool) -> Self {
        let mut told = Self::default();
        if throttled {
            told.consider(None, retry_after(headers, now));
        }
        told.consider(
            number(headers, "x-hubspot-ratelimit-remaining"),
            // When the window began is not told: it may have been just now.
            number(headers, "x-hubspot-ratelimit-interval-milliseconds").map(Duration::from_millis),
        );
        for prefix in ["ratelimit", "x-ratelimit", "x-rate-limit"] {
            let reset = number(headers, &format!("{prefix}-reset"));
            let reset = reset.map(|reset| until(reset, now));
            told.consider(number(headers, &format!("{prefix}-remaining")), reset);
        }
        for parameters in policies(headers) {
            let of = |name: &str| -> Option<u64> {
                let number = parameters.get(name)?.as_integer()?;
                number.try_into().ok()
            };
            told.consider(of("r"), of("t").map(Duration::from_secs));
        }
        told
    }

    /// A wait counts where nothing is left, or where nothing is said about what is left.
    fn consider(&mut self, remaining: Option<u64>, reset: Option<Duration>) {
        if let Some(remaining) = remaining {
            self.remaining = Some(
                self.remaining
                    .map_or(remaining, |least| least.min(remaining)),
            );
        }
        if remaining.is_none_or(|remaining| remaining == 0)
            && let Some(reset) = reset
        {
            self.wait = Some(self.wait.unwrap_or_default().max(reset.min(LONGEST)));
        }
    }
}

/// What `RateLimit` says of each policy: a list of items with parameters (RFC 9651), of which each line is a part.
fn policies(headers: &HeaderMap) -> impl Iterator<Item = Parameters> {
    let lines = headers.get_all("ratelimit").into_iter();
    let entries = lines.flat_map(|line| Parser::new(line).parse::<List>().unwrap_or_default());
    entries.map(|entry| match entry {
        ListEntry::Item(item) => item.params,
        ListEntry::InnerList(list) => list.params,
    })
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

fn until(reset: u64, now: SystemTime) -> Duration {
    let since = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    if reset > EPOCH {
        Duration::from_secs(reset).saturating_sub(since)
    } else {
        Duration::from_secs(reset)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use reqwest::header::HeaderName;

    use super::*;

    fn told(headers: &[(&str, &str)]) -> (Option<u64>, Option<u64>) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            map.append(name, value.parse().unwrap());
        }
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000);
        let told = Told::by(&map, now, true);
        let millis = told
            .wait
            .map(|wait| u64::try_from(wait.as_millis()).unwrap());
        (told.remaining, millis)
    }

    #[test]
    fn headers_of_each_kind_are_understood() {
        for (headers, expected) in [
            (&[][..], (None, None)),
            (&[("retry-after", "3")], (None, Some(3_000))),
            (
                &[
                    ("x-hubspot-ratelimit-remaining", "7"),
                    ("x-hubspot-ratelimit-interval-milliseconds", "10000"),
                ],
                (Some(7), None),
            ),
            (
                &[
                    ("x-hubspot-ratelimit-remaining", "0"),
                    ("x-hubspot-ratelimit-interval-milliseconds", "10000"),
                ],
                (Some(0), Some(10_000)),
            ),
            (
                &[("ratelimit-remaining", "0"), ("ratelimit-reset", "5")],
                (Some(0), Some(5_000)),
            ),
            (
                &[
                    ("x-ratelimit-remaining", "0"),
                    ("x-ratelimit-reset", "2000000009"),
                ],
                (Some(0), Some(9_000)),
            ),
            (&[("ratelimit", "\"default\";r=50;t=30")], (Some(50), None)),
            (
                &[("ratelimit", "\"day\";r=900;t=3600, \"burst\"; r=0; t=4")],
                (Some(0), Some(4_000)),
            ),
        ] {
            assert_eq!(told(headers), expected, "{headers:?}");
        }
    }

    #[test]
    fn nonsense_is_nothing_and_the_strictest_counts() {
        assert_eq!(told(&[("ratelimit", ";;r=x;t, =,r=5")]), (None, None));
        assert_eq!(told(&[("x-ratelimit-remaining", "-1")]), (None, None));
        let day = Some(u64::try_from(LONGEST.as_millis()).unwrap());
        assert_eq!(told(&[("retry-after", "4294967295")]), (None, day));
        let several = [
            ("retry-after", "2"),
            ("ratelimit", "\"a\";r=0;t=7"),
            ("x-ratelimit-remaining", "3"),
        ];
        assert_eq!(told(&several), (Some(0), Some(7_000)));
    }
}
