//! Values that go to and fro: a field to which the same value is written again and again in a short time is left alone,
//! while all other fields keep flowing. Two remotes that rewrite each other's values would otherwise never rest.

use jiff::Timestamp;
use samspel_model::link::Flips;
use samspel_model::{Guard, Side};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::merge::FieldWrite;
use crate::policy::{FieldRule, Policy};

/// How many writes of a field are remembered.
const REMEMBERED: usize = 12;

/// What an operator is told.
pub const WHY: &str = "its values go to and fro: the same value was written again and again, and changed back. Something \
    at one of the remotes rewrites it; stop that, let the field flow one way only, or say which value holds";

/// Whether a write repeats what was written often within the window already.
pub fn is_repeated(
    rule: &FieldRule,
    policy: &Policy,
    flips: Option<&Flips>,
    write: &FieldWrite,
    now: Timestamp,
) -> bool {
    let Some(flips) = flips.filter(|_| Guard::OscillationBreaker.stands()) else {
        return false;
    };
    let since = now - policy.oscillation.window;
    Side::BOTH.into_iter().any(|side| {
        write.to[side.index()].as_ref().is_some_and(|value| {
            let mark = mark(rule, side, value);
            let before = flips.written.iter();
            let repeats = before
                .filter(|(at, known)| *at >= since && *known == mark)
                .count();
            repeats >= policy.oscillation.repeats as usize
        })
    })
}

/// Remembers that a value was written.
pub(crate) fn remember(
    flips: &mut Flips,
    rule: &FieldRule,
    side: Side,
    value: &Value,
    at: Timestamp,
) {
    flips.written.push((at, mark(rule, side, value)));
    let surplus = flips.written.len().saturating_sub(REMEMBERED);
    flips.written.drain(..surplus);
}

/// Stands for a value of a side, in the form in which it is compared.
fn mark(rule: &FieldRule, side: Side, value: &Value) -> String {
    let normal = format!("{side}\u{0}{:?}", rule.normalizer.normal(value));
    hex::encode(&Sha256::digest(normal.as_bytes())[..4])
}
