//! A sync's specification, checked against what both collections offer: everything `plan` needs to decide.

mod compile;

use jiff::SignedDuration;
use samspel_model::store::Observation;
use samspel_model::{Field, Fields, Presence, Side};
use serde_json::Value;

pub use compile::{PolicyError, PolicyErrors, check_expressions};

use crate::matching;
use crate::normalize::{Normalizer, is_empty};
use crate::spec::{FirstSync, NewMembers, Normalize, OnConflict};
use crate::transform::Transform;

/// How one field of A and one of B are kept in step.
#[derive(Debug, Clone)]
pub struct FieldRule {
    /// `email=email_address`: names the rule in the base, in conflicts and in the journal.
    pub name: String,
    /// The field of each side.
    pub fields: [String; 2],
    /// Whether values may flow to each side.
    pub to: [bool; 2],
    /// Which value holds when both changed.
    pub on_conflict: OnConflict,
    /// Which value holds at first.
    pub first_sync: FirstSync,
    /// How values are compared.
    pub normalizer: Normalizer,
    /// What each side holds of the other's value; `None`: the value itself.
    pub transforms: [Option<Transform>; 2],
    /// The JSON type that each side's field wants.
    wants: [Wanted; 2],
    /// Changes when values are compared or mapped differently.
    pub fingerprint: String,
    /// The field is an address that deliverability belongs to.
    pub is_email: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Text,
    Number,
    Integer,
    Boolean,
    Anything,
}

impl FieldRule {
    /// The name of a side's field.
    pub fn field(&self, side: Side) -> &str {
        &self.fields[side.index()]
    }

    /// What `target` would hold of the other side's value.
    ///
    /// # Errors
    /// The transform cannot be applied to this value; for people.
    pub fn map(&self, target: Side, value: &Value, record: &Fields) -> Result<Value, String> {
        let mapped = match &self.transforms[target.index()] {
            Some(transform) => transform.apply(value, record)?,
            None => value.clone(),
        };
        Ok(coerce(
            mapped,
            self.wants[target.index()],
            self.normalizer.kind(),
        ))
    }

    /// Whether a value that flows both ways, and became `mapped` on the way from `source`, would come back as it was.
    /// Where it would not, each side would take the other's copy for an edit.
    pub fn comes_back(
        &self,
        source: Side,
        value: &Value,
        mapped: &Value,
        records: [&Fields; 2],
    ) -> bool {
        if self.to != [true, true] || self.transforms.iter().all(Option::is_none) {
            return true;
        }
        let target = source.other();
        let mut record = records[target.index()].clone();
        record.insert(self.field(target).to_owned(), mapped.clone());
        self.map(source, mapped, &record)
            .is_ok_and(|back| self.normalizer.same(&back, value))
    }

    /// Whether the two sides' values mean the same.
    ///
    /// # Errors
    /// As [`map`](Self::map).
    pub fn equal(&self, values: [&Value; 2], records: [&Fields; 2]) -> Result<bool, String> {
        // The direction that values flow in decides; where both do, what B would hold.
        let target = if self.to[Side::B.index()] {
            Side::B
        } else {
            Side::A
        };
        let source = target.other();
        let mapped = self.map(target, values[source.index()], records[source.index()])?;
        Ok(self.normalizer.same(&mapped, values[target.index()]))
    }
}

/// How one consent of A and one of B are kept in step.
#[derive(Debug, Clone)]
pub struct ConsentRule {
    /// `email/marketing`: A's name of it, the key in the base.
    pub name: String,
    /// The channel of both.
    pub channel: String,
    /// Each side's name of the purpose.
    pub purposes: [String; 2],
    /// Whether each side holds it. An opt-out of the other side is remembered for a side that does not, so that it
    /// reaches what that side's records are linked to by other syncs.
    pub held: [bool; 2],
    /// Whether an opt-out can be written to each side.
    pub can_restrict: [bool; 2],
    /// Whether an opt-in can be written to each side.
    pub can_grant: [bool; 2],
}

impl ConsentRule {
    /// A side's name of the purpose.
    pub fn purpose(&self, side: Side) -> &str {
        &self.purposes[side.index()]
    }
}

/// When a field whose values go to and fro is left alone.
#[derive(Debug, Clone, Copy)]
pub struct Oscillation {
    /// The same value was written so often already.
    pub repeats: u8,
    /// Within this time.
    pub window: SignedDuration,
}

/// How to decide everything about a sync.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The account of each side.
    pub accounts: [String; 2],
    /// Which records of each side take part.
    filters: [Option<Transform>; 2],
    /// When a field is left alone.
    pub oscillation: Oscillation,
    /// The mapping.
    pub fields: Vec<FieldRule>,
    /// Which of them tells that two records are one.
    match_rule: usize,
    /// The field of each side that records are matched on.
    match_fields: [Field; 2],
    /// The consents.
    pub consents: Vec<ConsentRule>,
    /// Whether a side's newer opt-in may lift an opt-out.
    pub opt_in_from: [bool; 2],
    /// Whether deliverability is written to each side.
    pub deliverability_to: [bool; 2],
    /// What a new record without opt-in evidence becomes.
    pub new_members: NewMembers,
    /// Whether records are created in each side.
    pub create_in: [bool; 2],
    /// Whether a record is archived because its partner is gone, per side.
    pub archive_in: [bool; 2],
    /// The field of each side whose remote refuses two equal values, if the match field is one.
    pub unique_match: [bool; 2],
    /// Fields without which a side refuses a create.
    pub required: [Vec<String>; 2],
    /// Fields that have a role, which a write names as known.
    pub roles: [Vec<String>; 2],
}

impl Policy {
    /// The rule that tells that two records are one.
    pub fn match_rule(&self) -> &FieldRule {
        &self.fields[self.match_rule]
    }

    /// The key by which a record of a side is matched, if it has one. Both sides' keys are in one form.
    pub fn match_key(&self, side: Side, fields: &Fields) -> Option<String> {
        let field = &self.match_fields[side.index()];
        matching::key(field, fields.get(&field.name)?)
    }

    /// Whether a record of a side takes part in the sync.
    ///
    /// # Errors
    /// The side's filter cannot be applied to this record; for people.
    pub fn takes_part(&self, side: Side, fields: &Fields) -> Result<bool, String> {
        let Some(filter) = &self.filters[side.index()] else {
            return Ok(true);
        };
        match filter.apply(&Value::Null, fields)? {
            Value::Bool(takes_part) => Ok(takes_part),
            _ => Err(format!(
                "the filter `{}` gives neither true nor false",
                filter.source()
            )),
        }
    }

    /// A record that was seen, as the sync's filter sees it: one that it leaves out is out of scope. With the reason,
    /// for people, where the filter cannot be applied to the record.
    pub fn scoped(&self, side: Side, mut seen: Observation) -> (Observation, Option<String>) {
        if seen.presence != Presence::Present {
            return (seen, None);
        }
        match self.takes_part(side, &seen.fields) {
            Ok(true) => (seen, None),
            Ok(false) => {
                seen.presence = Presence::OutOfScope;
                (seen, None)
            }
            Err(why) => (seen, Some(why)),
        }
    }

    /// The names of the fields of a side that the sync needs.
    pub fn needed(&self, side: Side) -> Vec<String> {
        let mut names: Vec<String> = self
            .fields
            .iter()
            .map(|rule| rule.field(side).to_owned())
            .chain(self.roles[side.index()].iter().cloned())
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// Whether any expression reads the whole record, so that fields outside the mapping are needed too.
    pub fn reads_whole_records(&self) -> bool {
        self.fields
            .iter()
            .flat_map(|rule| rule.transforms.iter().flatten())
            .chain(self.filters.iter().flatten())
            .any(|transform| transform.source().contains("record"))
    }
}

/// Gives a value the JSON type that the target's field wants, where that loses nothing; a value that does not fit is
/// left for the remote to judge. Addresses are sent without the spaces around them: remotes refuse those.
fn coerce(value: Value, wanted: Wanted, kind: Normalize) -> Value {
    if is_empty(&value) {
        return Value::Null;
    }
    match (wanted, value) {
        (Wanted::Text, Value::Bool(flag)) => Value::String(flag.to_string()),
        (Wanted::Text, Value::Number(number)) => Value::String(number.to_string()),
        (_, Value::String(text)) if kind == Normalize::Email => {
            Value::String(text.trim().to_owned())
        }
        (Wanted::Integer, Value::String(text)) => match text.trim().parse::<i64>() {
            Ok(number) => Value::from(number),
            Err(_) => Value::String(text),
        },
        (Wanted::Number, Value::String(text)) => match text.trim().parse::<serde_json::Number>() {
            Ok(number) => Value::Number(number),
            Err(_) => Value::String(text),
        },
        (Wanted::Boolean, Value::String(text)) => match text.trim().to_lowercase().as_str() {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ => Value::String(text),
        },
        (_, value) => value,
    }
}
