//! Faults a simulator can be told to show: at random with a seeded generator, or scripted for the next matching calls.
//!
//! None of these is a vendor's documented behaviour; they are what networks and overloaded servers do to every client.

use std::collections::BTreeMap;

use json_patch::Patch;
use parking_lot::Mutex;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// What happens to one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// 500 with the vendor's error body; the request is not applied.
    InternalError,
    /// 503 without a body; the request is not applied.
    Unavailable,
    /// 429 in the vendor's form; the request is not applied.
    TooManyRequests,
    /// 403 without a JSON body, as Mailchimp's edge answers when it throttles; the request is not applied.
    BareForbidden,
    /// The connection is closed before anything is applied.
    DropBefore,
    /// The request is applied, then the connection is closed without an answer.
    DropAfterCommit,
    /// The request is applied, then answered with 502 and an HTML page.
    BadGatewayAfterCommit,
    /// The answer's body is cut in the middle; the request is applied.
    Truncated,
    /// The answer comes after `slow_ms`; the request is applied.
    Slow,
    /// The answer is another than the vendor's own.
    Altered(Alteration),
}

/// How an answer differs from the vendor's own, such as `{"status": 429, "headers": {"retry-after": "7"}}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Alteration {
    /// The request is not applied, and there is no answer of the vendor's to start from.
    pub instead: bool,
    /// Another status; without it the vendor's, or 200 where there is none.
    pub status: Option<u16>,
    /// Headers that are set.
    pub headers: BTreeMap<String, String>,
    /// Another body.
    pub body: Option<String>,
    /// Changes of the body where it is JSON (RFC 6902).
    pub patch: Patch,
}

/// Every fault that the random mode draws from.
static RANDOM: [Fault; 6] = [
    Fault::InternalError,
    Fault::Unavailable,
    Fault::DropBefore,
    Fault::DropAfterCommit,
    Fault::Truncated,
    Fault::Slow,
];

/// How often requests go wrong by chance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FaultRates {
    /// The share of requests that meet a fault, 0.0 to 1.0.
    pub rate: f64,
    /// The faults to draw from; empty means each of 500, 503, both kinds of dropped connection, a truncated answer and
    /// a slow one.
    pub kinds: Vec<Fault>,
    /// How long a slow answer takes, in milliseconds.
    pub slow_ms: u64,
}

impl Default for FaultRates {
    fn default() -> Self {
        Self {
            rate: 0.0,
            kinds: Vec::new(),
            slow_ms: 2_000,
        }
    }
}

/// A fault for the next calls that match.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scripted {
    /// What happens.
    pub fault: Fault,
    /// Only requests with this method; absent means any.
    #[serde(default)]
    pub method: Option<String>,
    /// Only requests whose path contains this text.
    #[serde(default)]
    pub path_contains: String,
    /// Let this many matching requests through first.
    #[serde(default)]
    pub after: u32,
    /// How many matching requests meet the fault.
    #[serde(default = "once")]
    pub times: u32,
}

fn once() -> u32 {
    1
}

/// The faults still to come of one simulator.
#[derive(Debug)]
pub struct Faults {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    rng: ChaCha8Rng,
    script: Vec<Scripted>,
}

impl Faults {
    /// A generator that draws the same faults for the same seed and the same order of requests.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            inner: Mutex::new(Inner {
                rng: ChaCha8Rng::seed_from_u64(seed),
                script: Vec::new(),
            }),
        }
    }

    /// Adds scripted faults behind those already there.
    pub fn script(&self, faults: impl IntoIterator<Item = Scripted>) {
        self.inner.lock().script.extend(faults);
    }

    /// Forgets the scripted faults that have not happened, and answers how many there were.
    pub fn clear_script(&self) -> usize {
        std::mem::take(&mut self.inner.lock().script).len()
    }

    /// The scripted faults that have not happened yet.
    #[must_use]
    pub fn pending(&self) -> Vec<Scripted> {
        self.inner.lock().script.clone()
    }

    /// What happens to this request. A scripted fault comes before a random one.
    pub fn draw(&self, rates: &FaultRates, method: &str, path: &str) -> Option<Fault> {
        let mut inner = self.inner.lock();
        let hit = inner.script.iter().position(|s| {
            s.method
                .as_deref()
                .is_none_or(|m| m.eq_ignore_ascii_case(method))
                && path.contains(&s.path_contains)
        });
        if let Some(at) = hit {
            let entry = &mut inner.script[at];
            if entry.after > 0 {
                entry.after -= 1;
            } else {
                let fault = entry.fault.clone();
                entry.times = entry.times.saturating_sub(1);
                if entry.times == 0 {
                    inner.script.remove(at);
                }
                return Some(fault);
            }
        }
        if rates.rate <= 0.0 || !inner.rng.random_bool(rates.rate.min(1.0)) {
            return None;
        }
        let kinds: &[Fault] = if rates.kinds.is_empty() {
            &RANDOM
        } else {
            &rates.kinds
        };
        let at = inner.rng.random_range(0..kinds.len());
        Some(kinds[at].clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_hits_only_what_it_names_and_then_ends() {
        let faults = Faults::new(1);
        faults.script([Scripted {
            fault: Fault::DropAfterCommit,
            method: Some("PUT".to_owned()),
            path_contains: "/members/".to_owned(),
            after: 1,
            times: 1,
        }]);
        let none = FaultRates::default();
        assert_eq!(faults.draw(&none, "GET", "/3.0/lists/x/members/y"), None);
        assert_eq!(
            faults.draw(&none, "PUT", "/3.0/lists/x/members/y"),
            None,
            "the first is let through"
        );
        assert_eq!(
            faults.draw(&none, "PUT", "/3.0/lists/x/members/y"),
            Some(Fault::DropAfterCommit)
        );
        assert_eq!(faults.draw(&none, "PUT", "/3.0/lists/x/members/y"), None);
        assert!(faults.pending().is_empty());
    }

    #[test]
    fn the_same_seed_draws_the_same_faults() {
        let rates = FaultRates {
            rate: 0.3,
            ..FaultRates::default()
        };
        let draw = |seed| {
            let faults = Faults::new(seed);
            (0..200)
                .map(|_| faults.draw(&rates, "GET", "/"))
                .collect::<Vec<_>>()
        };
        let first = draw(7);
        assert_eq!(first, draw(7));
        assert_ne!(first, draw(8));
        let hits = first.iter().flatten().count();
        assert!((30..=90).contains(&hits), "{hits} of 200 at a rate of 0.3");
    }
}
