//! One field: what to do about two values and their base.
//!
//! | a vs base.a | b vs base.b | decision |
//! | --- | --- | --- |
//! | same | same | nothing |
//! | changed | same | B := a if the direction allows, else keep both |
//! | same | changed | A := b, likewise |
//! | changed | changed, a == b | advance the base |
//! | changed | changed, a != b | the owning side, a union, the newest, or a person |

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use samspel_model::{FieldBase, Fields, Guard, Side};
use serde_json::Value;

use crate::normalize::{Normal, is_empty};
use crate::policy::FieldRule;
use crate::spec::{FirstSync, OnConflict};

/// Times closer than this are not told apart: two remotes' clocks differ.
pub const SKEW_MARGIN: SignedDuration = SignedDuration::from_secs(120);

/// One side's part in the merge of a field.
#[derive(Debug, Clone, Copy)]
pub struct SideValue<'a> {
    /// The value as last seen.
    pub value: &'a Value,
    /// The whole record, for transforms.
    pub record: &'a Fields,
    /// When the record last changed, by the remote's clock.
    pub modified: Option<Timestamp>,
}

/// What follows for one field.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// Neither side moved.
    Nothing,
    /// Nothing to write, and these images are the new base.
    Advance(FieldBase),
    /// Write to one or both sides.
    Write(FieldWrite),
    /// A person decides; nothing is written and the base stays.
    Conflict(String),
}

/// A field to write.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldWrite {
    /// The value for each side that is written.
    pub to: [Option<Value>; 2],
    /// The base once it is written: the source's image, and what the target is expected to hold.
    pub base: FieldBase,
    /// The value that lost, and the side that held it.
    pub lost: Option<(Side, Value)>,
}

/// Decides about one field. Without a base the two records meet for the first time: then an empty value is filled
/// from the other side, and nothing is cleared. `verdict`: the side whose value holds, if an operator named one; it
/// decides what would be left to a person.
pub fn merge(
    rule: &FieldRule,
    base: Option<&FieldBase>,
    sides: [SideValue<'_>; 2],
    verdict: Option<Side>,
) -> Decision {
    let decision = decide(rule, base, sides).unwrap_or_else(Decision::Conflict);
    match (decision, verdict) {
        (Decision::Conflict(_), Some(side)) => {
            win(rule, sides, side).unwrap_or_else(Decision::Conflict)
        }
        (decision, _) => decision,
    }
}

fn decide(
    rule: &FieldRule,
    base: Option<&FieldBase>,
    sides: [SideValue<'_>; 2],
) -> Result<Decision, String> {
    let advance = || Decision::Advance(images(rule, sides));
    let equal = || rule.equal(sides.map(|side| side.value), sides.map(|side| side.record));
    let Some(base) = base else {
        if equal()? {
            return Ok(advance());
        }
        return first(rule, sides);
    };
    let moved = Side::BOTH.map(|side| {
        !rule
            .normalizer
            .same(sides[side.index()].value, base.image(side))
    });
    match moved {
        [_, _] if !Guard::ThreeWayMerge.stands() && !equal()? => flow(rule, sides, Side::A),
        [false, false] if base.undone && !equal()? => Ok(undecided(
            "a write of this field was taken back; say which value holds, or change one of them",
        )),
        [false, false] if base.rule == rule.fingerprint => Ok(Decision::Nothing),
        // The mapping changed and the records did not: taken over without a write.
        [false, false] => Ok(advance()),
        _ if equal()? => Ok(advance()),
        [true, false] => flow_over(rule, base, sides, Side::A),
        [false, true] => flow_over(rule, base, sides, Side::B),
        [true, true] => both_changed(rule, base, sides),
    }
}

fn first(rule: &FieldRule, sides: [SideValue<'_>; 2]) -> Result<Decision, String> {
    let empty = sides.map(|side| is_empty_value(rule, side.value));
    match empty {
        [true, true] => Ok(Decision::Advance(images(rule, sides))),
        // Filled from the other side where the direction allows; the first sync clears nothing.
        [true, false] => flow(rule, sides, Side::B),
        [false, true] => flow(rule, sides, Side::A),
        [false, false] => match rule.to {
            [false, true] => win(rule, sides, Side::A),
            [true, false] => win(rule, sides, Side::B),
            _ => match rule.first_sync {
                FirstSync::A => win(rule, sides, Side::A),
                FirstSync::B => win(rule, sides, Side::B),
                FirstSync::Newest => newest(rule, sides),
                FirstSync::Queue => Ok(undecided("the two sides differed at the first sync")),
            },
        },
    }
}

fn both_changed(
    rule: &FieldRule,
    base: &FieldBase,
    sides: [SideValue<'_>; 2],
) -> Result<Decision, String> {
    if !Guard::ConflictIsDecided.stands() {
        return Ok(Decision::Advance(images(rule, sides)));
    }
    match rule.to {
        [false, true] => return win(rule, sides, Side::A),
        [true, false] => return win(rule, sides, Side::B),
        _ => {}
    }
    match rule.on_conflict {
        OnConflict::A => win(rule, sides, Side::A),
        OnConflict::B => win(rule, sides, Side::B),
        OnConflict::Newest => newest(rule, sides),
        OnConflict::Union => Ok(union(rule, base, sides)),
        OnConflict::Queue => Ok(undecided("both sides changed it")),
    }
}

fn newest(rule: &FieldRule, sides: [SideValue<'_>; 2]) -> Result<Decision, String> {
    let [Some(a), Some(b)] = sides.map(|side| side.modified) else {
        return Ok(undecided(
            "both sides have a value and one of them does not tell when it changed",
        ));
    };
    let ahead = a.duration_since(b);
    if ahead > SKEW_MARGIN {
        win(rule, sides, Side::A)
    } else if ahead < -SKEW_MARGIN {
        win(rule, sides, Side::B)
    } else {
        Ok(undecided("both sides changed within two minutes"))
    }
}

fn undecided(why: &str) -> Decision {
    Decision::Conflict(why.to_owned())
}

/// The source's value flows to the other side, whose own value is overruled and goes to the journal.
fn win(rule: &FieldRule, sides: [SideValue<'_>; 2], source: Side) -> Result<Decision, String> {
    let mut decision = flow(rule, sides, source)?;
    if let Decision::Write(write) = &mut decision {
        let loser = source.other();
        let value = sides[loser.index()].value;
        if !is_empty(value) && Guard::LoserIsJournalled.stands() {
            write.lost = Some((loser, value.clone()));
        }
    }
    Ok(decision)
}

/// The source moved and the target did not. Where the target's value is its own, and not what the source's was when the
/// two were last reconciled (it may not flow back, or a person left the two apart), it is overruled.
fn flow_over(
    rule: &FieldRule,
    base: &FieldBase,
    sides: [SideValue<'_>; 2],
    source: Side,
) -> Result<Decision, String> {
    let target = source.other();
    let written = rule.map(target, base.image(source), sides[source.index()].record);
    let own =
        !written.is_ok_and(|written| rule.normalizer.same(&written, sides[target.index()].value));
    if own {
        win(rule, sides, source)
    } else {
        flow(rule, sides, source)
    }
}

/// The source's value flows to the other side, if the direction allows; otherwise both keep theirs.
fn flow(rule: &FieldRule, sides: [SideValue<'_>; 2], source: Side) -> Result<Decision, String> {
    let target = source.other();
    if !rule.to[target.index()] {
        return Ok(Decision::Advance(images(rule, sides)));
    }
    let from = sides[source.index()];
    let value = rule.map(target, from.value, from.record)?;
    if rule.normalizer.same(&value, sides[target.index()].value) {
        return Ok(Decision::Advance(images(rule, sides)));
    }
    if !rule.comes_back(source, from.value, &value, sides.map(|side| side.record)) {
        return Ok(Decision::Conflict(format!(
            "the value of side {source} does not come back as it was: `to-a` and `to-b` of this field do not undo each \
             other; correct them, or let the field flow one way only"
        )));
    }
    let mut base = images(rule, sides);
    *image_mut(&mut base, target) = value.clone();
    let mut to = [None, None];
    to[target.index()] = Some(value);
    Ok(Decision::Write(FieldWrite {
        to,
        base,
        lost: None,
    }))
}

fn union(rule: &FieldRule, base: &FieldBase, sides: [SideValue<'_>; 2]) -> Decision {
    let set = |value: &Value| match rule.normalizer.normal(value) {
        Normal::Set(items) => items,
        Normal::Text(text) => BTreeSet::from([text]),
        Normal::Empty => BTreeSet::new(),
    };
    let mut merged: BTreeSet<String> = sides.iter().flat_map(|side| set(side.value)).collect();
    for side in Side::BOTH {
        let now = set(sides[side.index()].value);
        for item in set(base.image(side)) {
            if !now.contains(&item) {
                merged.remove(&item);
            }
        }
    }
    let value = Value::Array(merged.into_iter().map(Value::String).collect());
    let to = sides.map(|side| (!rule.normalizer.same(side.value, &value)).then(|| value.clone()));
    let base = FieldBase {
        a: to[0].clone().unwrap_or_else(|| sides[0].value.clone()),
        b: to[1].clone().unwrap_or_else(|| sides[1].value.clone()),
        rule: rule.fingerprint.clone(),
        undone: false,
    };
    if to == [None, None] {
        return Decision::Advance(base);
    }
    Decision::Write(FieldWrite {
        to,
        base,
        lost: None,
    })
}

fn is_empty_value(rule: &FieldRule, value: &Value) -> bool {
    rule.normalizer.normal(value).is_empty()
}

fn images(rule: &FieldRule, sides: [SideValue<'_>; 2]) -> FieldBase {
    FieldBase {
        a: sides[0].value.clone(),
        b: sides[1].value.clone(),
        rule: rule.fingerprint.clone(),
        undone: false,
    }
}

/// The image of a side, to set it.
pub(crate) fn image_mut(base: &mut FieldBase, side: Side) -> &mut Value {
    match side {
        Side::A => &mut base.a,
        Side::B => &mut base.b,
    }
}
