//! Whether the two transforms of a field undo each other, tried on records that are there.
//!
//! A value that does not come back as it was cannot flow both ways: each side would take the other's copy for an edit.
//! A run leaves such a value to a person ([`crate::merge`]); here it is found before the first run.

use samspel_model::{Fields, Side};

use crate::policy::{FieldRule, Policy};

/// What became of a field's values on their way to the other side and back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoundTrip {
    /// The mapping, `a=b`.
    pub rule: String,
    /// The side whose values were tried.
    pub source: Side,
    /// How many values were tried.
    pub tried: u64,
    /// How many came back as another value.
    pub lost: u64,
    /// How many an expression cannot be applied to.
    pub failed: u64,
}

impl RoundTrip {
    /// Whether every value comes back.
    pub fn holds(&self) -> bool {
        self.lost == 0 && self.failed == 0
    }
}

/// Tries every field that flows both ways through a transform, on these records of a side.
pub fn round_trips<'r>(
    policy: &Policy,
    source: Side,
    records: impl IntoIterator<Item = &'r Fields>,
) -> Vec<RoundTrip> {
    let rules: Vec<&FieldRule> = policy.fields.iter().filter(|rule| at_stake(rule)).collect();
    let mut tried: Vec<RoundTrip> = rules
        .iter()
        .map(|rule| RoundTrip {
            rule: rule.name.clone(),
            source,
            tried: 0,
            lost: 0,
            failed: 0,
        })
        .collect();
    if tried.is_empty() {
        return tried;
    }
    for record in records {
        let copy = copy_of(policy, source, record);
        let sides = match source {
            Side::A => [record, &copy],
            Side::B => [&copy, record],
        };
        for (rule, result) in rules.iter().zip(&mut tried) {
            let Some(value) = record.get(rule.field(source)) else {
                continue;
            };
            result.tried += 1;
            match rule.map(source.other(), value, record) {
                Err(_) => result.failed += 1,
                Ok(mapped) if !rule.comes_back(source, value, &mapped, sides) => result.lost += 1,
                Ok(_) => {}
            }
        }
    }
    tried
}

fn at_stake(rule: &FieldRule) -> bool {
    rule.to == [true, true] && rule.transforms.iter().any(Option::is_some)
}

/// What the other side would hold of a record, for expressions that look at more than their own field.
fn copy_of(policy: &Policy, source: Side, record: &Fields) -> Fields {
    let target = source.other();
    policy
        .fields
        .iter()
        .filter_map(|rule| {
            let value = record.get(rule.field(source))?;
            let mapped = rule.map(target, value, record).ok()?;
            Some((rule.field(target).to_owned(), mapped))
        })
        .collect()
}
