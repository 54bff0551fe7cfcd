//! Making a policy of a specification: everything that is wrong with it is told at once, by the name of the setting.

use std::fmt;

use jiff::SignedDuration;
use phonenumber::country;
use samspel_model::schema::DeliverabilitySupport;
use samspel_model::{Access, Collection, Field, Role, Side};
use serde_json::Value;
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::{ConsentRule, FieldRule, Oscillation, Policy, Wanted};
use crate::matching;
use crate::normalize::Normalizer;
use crate::spec::{
    Deletes, Direction, FieldSpec, FirstSync, Flow, Normalize, OnConflict, SideName, SyncSpec,
};
use crate::transform::Transform;

/// One thing that is wrong with a sync's specification.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{setting}`: {why}")]
pub struct PolicyError {
    /// The setting, relative to the sync: `fields[2].to-b`.
    pub setting: String,
    /// What is wrong and what to do.
    pub why: String,
}

/// Everything that is wrong with a sync's specification.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct PolicyErrors(pub Vec<PolicyError>);

impl fmt::Display for PolicyErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl Policy {
    /// Checks a specification against the two collections.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn compile(spec: &SyncSpec, a: &Collection, b: &Collection) -> Result<Self, PolicyErrors> {
        let mut errors = Errors::default();
        let collections = [a, b];
        let mut fields = Vec::with_capacity(spec.fields.len());
        for (index, field) in spec.fields.iter().enumerate() {
            if let Some(rule) = field_rule(spec, field, index, collections, &mut errors) {
                fields.push(rule);
            }
        }
        duplicates(spec, &mut errors);
        let match_rule = fields.iter().position(|rule| {
            rule.fields[0] == spec.match_on.a && rule.fields[1] == spec.match_on.b
        });
        if match_rule.is_none() {
            errors.add(
                "match",
                format!(
                    "`{}` and `{}` must be mapped to each other in `fields`",
                    spec.match_on.a, spec.match_on.b
                ),
            );
        }
        for (field, collection) in [(&spec.match_on.a, a), (&spec.match_on.b, b)] {
            if let Some(found) = collection.field(field)
                && !matching::is_key(found)
            {
                errors.add(
                    "match",
                    format!(
                        "`{field}` of `{}` is neither unique nor an e-mail address or a phone number; match on one that is",
                        collection.name
                    ),
                );
            }
        }
        let consents = consent_rules(spec, collections, &mut errors);
        let filters = filters(spec, &mut errors);
        let window = duration("oscillation.window", &spec.oscillation.window, &mut errors);
        for (direction, collection, allowed) in [
            ("a", a, matches!(spec.create, Flow::BToA)),
            ("b", b, matches!(spec.create, Flow::AToB)),
        ] {
            if allowed && !collection.capabilities.can_create {
                errors.add(
                    "create",
                    format!(
                        "side {direction} (`{}`) cannot create records",
                        collection.name
                    ),
                );
            }
        }
        if spec.deletes == Deletes::Archive
            && !a.capabilities.can_archive
            && !b.capabilities.can_archive
        {
            errors.add(
                "deletes",
                "neither side can archive; use `unlink`".to_owned(),
            );
        }
        errors.into_result()?;
        let (Some(match_rule), Some(match_a), Some(match_b)) = (
            match_rule,
            a.field(&spec.match_on.a),
            b.field(&spec.match_on.b),
        ) else {
            return Err(PolicyErrors(Vec::new()));
        };
        let match_fields = [match_a.clone(), match_b.clone()];
        let per_side = |f: &dyn Fn(Side, &Collection) -> bool| [f(Side::A, a), f(Side::B, b)];
        Ok(Self {
            accounts: [spec.a.account.clone(), spec.b.account.clone()],
            filters,
            oscillation: Oscillation {
                repeats: spec.oscillation.repeats.max(1),
                window,
            },
            unique_match: match_fields
                .each_ref()
                .map(|field| field.has(&Role::UniqueKey)),
            match_fields,
            match_rule,
            consents,
            opt_in_from: [
                spec.consent.opt_in_from.contains(&SideName::A),
                spec.consent.opt_in_from.contains(&SideName::B),
            ],
            deliverability_to: per_side(&|side, collection| {
                flows(spec.deliverability, side)
                    && collection.deliverability == DeliverabilitySupport::ReadWrite
            }),
            new_members: spec.new_members,
            create_in: per_side(&|side, collection| {
                flows(spec.create, side) && collection.capabilities.can_create
            }),
            archive_in: per_side(&|_, collection| {
                spec.deletes == Deletes::Archive && collection.capabilities.can_archive
            }),
            required: collections.map(|collection| {
                collection
                    .fields
                    .iter()
                    .filter(|field| field.required && field.access != Access::ReadOnly)
                    .map(|field| field.name.clone())
                    .collect()
            }),
            roles: collections.map(|collection| {
                collection
                    .fields
                    .iter()
                    .filter(|field| !field.roles.is_empty())
                    .map(|field| field.name.clone())
                    .collect()
            }),
            fields,
        })
    }
}

/// Checks the expressions and the sets of a specification, without knowing the collections.
///
/// # Errors
/// Everything that is wrong.
pub fn check_expressions(spec: &SyncSpec) -> Result<(), PolicyErrors> {
    let mut errors = Errors::default();
    if spec.fields.is_empty() {
        errors.add("fields", "at least one field must be mapped".to_owned());
    }
    for (index, field) in spec.fields.iter().enumerate() {
        transforms(field, index, &mut errors);
        region(field, index, &mut errors);
    }
    duplicates(spec, &mut errors);
    filters(spec, &mut errors);
    for (setting, text) in [
        ("interval", &spec.interval),
        ("full-comparison", &spec.full_comparison),
        ("oscillation.window", &spec.oscillation.window),
    ] {
        duration(setting, text, &mut errors);
    }
    for (setting, threshold) in [
        ("valves.deletes", spec.valves.deletes),
        ("valves.creates", spec.valves.creates),
        ("valves.changes", spec.valves.changes),
    ] {
        if threshold.percent > 100 {
            errors.add(
                format!("{setting}.percent"),
                "there are 100 percent".to_owned(),
            );
        }
    }
    if !(1..=10).contains(&spec.oscillation.repeats) {
        errors.add("oscillation.repeats", "must be from 1 to 10".to_owned());
    }
    if !spec
        .fields
        .iter()
        .any(|field| field.a == spec.match_on.a && field.b == spec.match_on.b)
    {
        errors.add(
            "match",
            format!(
                "`{}` and `{}` must be mapped to each other in `fields`",
                spec.match_on.a, spec.match_on.b
            ),
        );
    }
    errors.into_result()
}

#[derive(Default)]
struct Errors(Vec<PolicyError>);

impl Errors {
    fn add(&mut self, setting: impl Into<String>, why: String) {
        self.0.push(PolicyError {
            setting: setting.into(),
            why,
        });
    }

    fn into_result(self) -> Result<(), PolicyErrors> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(PolicyErrors(self.0))
        }
    }
}

/// A positive duration; an hour where it is none, which is an error.
fn duration(setting: &str, text: &str, errors: &mut Errors) -> SignedDuration {
    match text.parse::<SignedDuration>() {
        Ok(duration) if duration.is_positive() => duration,
        _ => {
            errors.add(
                setting,
                format!("`{text}` is not a duration such as `30s`, `5m` or `24h`"),
            );
            SignedDuration::from_hours(1)
        }
    }
}

fn filters(spec: &SyncSpec, errors: &mut Errors) -> [Option<Transform>; 2] {
    [("filter.a", &spec.filter.a), ("filter.b", &spec.filter.b)].map(|(setting, source)| {
        Transform::compile(source.as_deref()?)
            .map_err(|why| errors.add(setting, why))
            .ok()
    })
}

fn flows(flow: Flow, to: Side) -> bool {
    match flow {
        Flow::Both => true,
        Flow::AToB => to == Side::B,
        Flow::BToA => to == Side::A,
        Flow::None => false,
    }
}

fn duplicates(spec: &SyncSpec, errors: &mut Errors) {
    for (index, field) in spec.fields.iter().enumerate() {
        // Several fields may feed one, but only one rule may write a field.
        for (other_index, other) in spec.fields.iter().enumerate().take(index) {
            let b_twice = field.b == other.b
                && field.direction != Direction::BToA
                && other.direction != Direction::BToA;
            let a_twice = field.a == other.a
                && field.direction != Direction::AToB
                && other.direction != Direction::AToB;
            if a_twice || b_twice {
                let name = if b_twice { &field.b } else { &field.a };
                errors.add(
                    format!("fields[{index}]"),
                    format!("`{name}` is written by fields[{other_index}] already"),
                );
            }
        }
    }
}

fn transforms(field: &FieldSpec, index: usize, errors: &mut Errors) -> [Option<Transform>; 2] {
    [("to-a", &field.to_a), ("to-b", &field.to_b)].map(|(setting, source)| {
        let source = source.as_deref()?;
        Transform::compile(source)
            .map_err(|why| errors.add(format!("fields[{index}].{setting}"), why))
            .ok()
    })
}

fn region(field: &FieldSpec, index: usize, errors: &mut Errors) {
    if let Some(code) = &field.region
        && code.parse::<country::Id>().is_err()
    {
        errors.add(
            format!("fields[{index}].region"),
            format!("`{code}` is not a country code such as `DE` or `SE`"),
        );
    }
}

fn field_rule(
    spec: &SyncSpec,
    field: &FieldSpec,
    index: usize,
    collections: [&Collection; 2],
    errors: &mut Errors,
) -> Option<FieldRule> {
    let compiled = transforms(field, index, errors);
    region(field, index, errors);
    let names = [&field.a, &field.b];
    let mut found = [None, None];
    for side in Side::BOTH {
        let (name, collection) = (names[side.index()], collections[side.index()]);
        let known = collection.field(name);
        if known.is_none() {
            errors.add(
                format!("fields[{index}].{side}"),
                format!(
                    "`{}` has no field `{name}`; it has {}",
                    collection.name,
                    nearest(name, collection)
                ),
            );
        }
        found[side.index()] = known;
    }
    let [Some(a), Some(b)] = found else {
        return None;
    };
    let to = [
        field.direction != Direction::AToB,
        field.direction != Direction::BToA,
    ];
    for side in Side::BOTH {
        let (target, writable) = ([a, b][side.index()], to[side.index()]);
        if writable && target.access == Access::ReadOnly {
            let direction = if side == Side::A { "a-to-b" } else { "b-to-a" };
            errors.add(
                format!("fields[{index}].direction"),
                format!(
                    "`{}` of `{}` is read-only; set `direction = \"{direction}\"`",
                    target.name,
                    collections[side.index()].name
                ),
            );
        }
    }
    let kind = field.normalize.unwrap_or_else(|| default_normalizer(a, b));
    let first_sync = field.first_sync.unwrap_or(spec.first_sync);
    let on_conflict = field.on_conflict.unwrap_or(match first_sync {
        FirstSync::A => OnConflict::A,
        FirstSync::B => OnConflict::B,
        FirstSync::Newest => OnConflict::Newest,
        FirstSync::Queue => OnConflict::Queue,
    });
    if on_conflict == OnConflict::Union && kind != Normalize::Set {
        errors.add(
            format!("fields[{index}].on-conflict"),
            "`union` is for sets; set `normalize = \"set\"` or choose another policy".to_owned(),
        );
    }
    let normalizer = Normalizer::new(kind, field.region.as_deref()).ok()?;
    Some(FieldRule {
        name: format!("{}={}", field.a, field.b),
        fields: [field.a.clone(), field.b.clone()],
        // A create-only field takes a value at the create and none later.
        to,
        on_conflict,
        first_sync,
        normalizer,
        wants: [wanted(a), wanted(b)],
        fingerprint: fingerprint(field, kind, &compiled),
        transforms: compiled,
        is_email: a.has(&Role::Email) || b.has(&Role::Email),
    })
}

/// What a mistyped name could have meant, or the first few names.
fn nearest(name: &str, collection: &Collection) -> String {
    let lower = name.to_lowercase();
    let mut names: Vec<&str> = collection
        .fields
        .iter()
        .map(|field| field.name.as_str())
        .filter(|candidate| {
            let candidate = candidate.to_lowercase();
            candidate.contains(&lower) || lower.contains(&candidate)
        })
        .collect();
    if names.is_empty() {
        names = collection.fields.iter().map(|f| f.name.as_str()).collect();
    }
    let shown: Vec<String> = names.iter().take(8).map(|n| format!("`{n}`")).collect();
    let more = if names.len() > 8 { ", ..." } else { "" };
    format!("{}{more}", shown.join(", "))
}

fn default_normalizer(a: &Field, b: &Field) -> Normalize {
    let either = |role: &Role| a.has(role) || b.has(role);
    if either(&Role::Email) {
        return Normalize::Email;
    }
    if either(&Role::Phone) {
        return Normalize::Phone;
    }
    let schemas = [&a.schema, &b.schema];
    let any = |test: &dyn Fn(&Value) -> bool| schemas.iter().any(|schema| test(schema));
    if any(&|schema| schema["uniqueItems"] == Value::Bool(true)) {
        Normalize::Set
    } else if any(&|schema| matches!(schema["format"].as_str(), Some("date" | "date-time"))) {
        Normalize::Date
    } else if any(&|schema| matches!(wanted_type(schema), Wanted::Number | Wanted::Integer)) {
        Normalize::Number
    } else if any(&|schema| wanted_type(schema) == Wanted::Boolean) {
        Normalize::Boolean
    } else if any(&|schema| wanted_type(schema) == Wanted::Text) {
        Normalize::Text
    } else {
        Normalize::Exact
    }
}

fn wanted(field: &Field) -> Wanted {
    wanted_type(&field.schema)
}

fn wanted_type(schema: &Value) -> Wanted {
    let names: Vec<&str> = match &schema["type"] {
        Value::String(name) => vec![name],
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    match names.iter().find(|name| **name != "null") {
        Some(&"string") => Wanted::Text,
        Some(&"integer") => Wanted::Integer,
        Some(&"number") => Wanted::Number,
        Some(&"boolean") => Wanted::Boolean,
        _ => Wanted::Anything,
    }
}

fn fingerprint(field: &FieldSpec, kind: Normalize, transforms: &[Option<Transform>; 2]) -> String {
    let sources = transforms
        .each_ref()
        .map(|transform| transform.as_ref().map_or("", Transform::source));
    let text = format!(
        "{kind:?}\u{0}{:?}\u{0}{}\u{0}{}",
        field.region, sources[0], sources[1]
    );
    hex::encode(&Sha256::digest(text.as_bytes())[..4])
}

fn consent_rules(
    spec: &SyncSpec,
    [a, b]: [&Collection; 2],
    errors: &mut Errors,
) -> Vec<ConsentRule> {
    let pairs: Vec<(String, String, String)> = match &spec.consent.purposes {
        Some(purposes) => purposes
            .iter()
            .map(|p| (p.channel.clone(), p.a.clone(), p.b.clone()))
            .collect(),
        None => a
            .consent_slots
            .iter()
            .chain(
                b.consent_slots
                    .iter()
                    .filter(|slot| a.slot(&slot.channel, &slot.purpose).is_none()),
            )
            .map(|slot| {
                (
                    slot.channel.clone(),
                    slot.purpose.clone(),
                    slot.purpose.clone(),
                )
            })
            .collect(),
    };
    let mut rules = Vec::new();
    for (index, (channel, purpose_a, purpose_b)) in pairs.into_iter().enumerate() {
        let slots = [a.slot(&channel, &purpose_a), b.slot(&channel, &purpose_b)];
        if slots == [None, None] {
            errors.add(
                format!("consent.purposes[{index}]"),
                format!(
                    "neither side has a consent `{channel}/{purpose_a}` or `{channel}/{purpose_b}`"
                ),
            );
            continue;
        }
        rules.push(ConsentRule {
            name: format!("{channel}/{purpose_a}"),
            held: slots.map(|slot| slot.is_some()),
            can_restrict: slots.map(|slot| slot.is_some_and(|slot| slot.can_restrict)),
            can_grant: slots.map(|slot| slot.is_some_and(|slot| slot.can_grant)),
            purposes: [purpose_a, purpose_b],
            channel,
        });
    }
    rules
}
