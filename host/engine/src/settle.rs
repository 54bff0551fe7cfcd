//! What a confirmed write makes true.

use jiff::Timestamp;
use samspel_model::intent::{Effect, Intent};
use samspel_model::store::Observation;
use samspel_model::{Base, Consent, ConsentState, Entity, Fields, Guard, Presence};
use serde_json::Value;

use crate::consent;
use crate::deliverability;
use crate::merge;
use crate::normalize::is_empty;
use crate::oscillation;
use crate::policy::{FieldRule, Policy};

/// Lays the base entries of a confirmed write over a link's base. The source's image is what was planned from; the
/// target's is what the remote says it now holds, which may differ from what was sent.
/// `at`: when it was written. `tried_before`: a create under the same key was sent before, and not found.
pub fn settle(
    base: &mut Base,
    intent: &Intent,
    written: &Entity,
    policy: &Policy,
    at: Timestamp,
    tried_before: bool,
) {
    let target = intent.target;
    if matches!(intent.effect, Effect::Update(_)) {
        for (name, sent) in &intent.patch {
            if let Some(rule) = rule(intent, name, policy) {
                let flips = base.flips.entry(rule.name.clone()).or_default();
                oscillation::remember(flips, rule, target, sent, at);
            }
        }
    }
    // Some remotes answer a create with the record that an earlier attempt has made, as people have changed it since.
    let made_before = matches!(intent.effect, Effect::Create)
        && (tried_before
            || policy.match_key(target, &intent.patch)
                != policy.match_key(target, &written.fields));
    for (name, planned) in &intent.base.fields {
        let mut images = planned.clone();
        if let Some(rule) = policy.fields.iter().find(|rule| &rule.name == name)
            && let Some(value) = written.fields.get(rule.field(target))
            && Guard::WhatTheRemoteHolds.stands()
        {
            let differs = !rule.normalizer.same(value, planned.image(target));
            let sent = intent.patch.contains_key(rule.field(target));
            if differs && (!sent || made_before) {
                // The two have to meet in it yet.
                base.fields.remove(name);
                continue;
            }
            *merge::image_mut(&mut images, target) = value.clone();
        }
        base.fields.insert(name.clone(), images);
    }
    for (name, planned) in &intent.base.consents {
        let mut images = planned.clone();
        if let Some(rule) = policy.consents.iter().find(|rule| &rule.name == name)
            && let Some(said) = consent::find(rule, target, &written.consents)
        {
            let opted_out = said.state == ConsentState::Unsubscribed;
            let restricted = *planned.image(target) == ConsentState::Unsubscribed;
            // Some remotes answer a create with the record that an earlier attempt has made, and some people opt in
            // again before it is found: it was not told of the opt-out then.
            let untold = restricted
                && matches!(intent.effect, Effect::Create)
                && !matches!(
                    said.state,
                    ConsentState::Unsubscribed | ConsentState::Unspecified
                );
            if opted_out && !restricted || untold {
                // That is news, whatever was written.
                *consent::image_mut(&mut images, target) = ConsentState::Unspecified;
                images.since[target.index()] = None;
                images.told[target.index()] &= !untold;
            } else {
                *consent::image_mut(&mut images, target) = said.state.clone();
                images.since[target.index()] = consent::opted_out(said);
            }
        }
        if intent.shared.contains(name) {
            // The other side has a write of its own, which makes its image true.
            let other = target.other();
            let known = base.consents.get(name);
            images.told[other.index()] = known.is_some_and(|known| known.told[other.index()]);
            images.since[other.index()] = known.and_then(|known| known.since[other.index()]);
            *consent::image_mut(&mut images, other) = known
                .map_or(ConsentState::Unspecified, |known| {
                    known.image(other).clone()
                });
        }
        base.consents.insert(name.clone(), images);
    }
    if let Some(planned) = &intent.base.deliverability {
        let mut images = planned.clone();
        if let Some(said) = &written.deliverability {
            *deliverability::image_mut(&mut images, target) = Some(said.state.clone());
        }
        base.deliverability = Some(images);
    }
    if !Guard::OnlyPatchedFieldsAdvance.stands() {
        for rule in &policy.fields {
            if let (Some(value), Some(known)) = (
                written.fields.get(rule.field(target)),
                base.fields.get_mut(&rule.name),
            ) {
                *merge::image_mut(known, target) = value.clone();
            }
        }
    }
}

/// What a create that was tried makes true of the record with its key that was found since, and that people may have
/// changed: fields that hold what was to be written. In everything else the two meet for the first time.
pub fn adopted(intent: &Intent, now: &Entity, policy: &Policy) -> Base {
    let target = intent.target;
    let fields = intent.base.fields.iter().filter_map(|(name, planned)| {
        let rule = policy.fields.iter().find(|rule| &rule.name == name)?;
        let value = now.fields.get(rule.field(target))?;
        let mut images = planned.clone();
        let same = rule.normalizer.same(value, planned.image(target));
        *merge::image_mut(&mut images, target) = value.clone();
        same.then(|| (name.clone(), images))
    });
    Base {
        fields: fields.collect(),
        ..Base::default()
    }
}

/// Lays base entries that are true without a write over a link's base.
pub fn advance(base: &mut Base, entries: Base) {
    base.fields.extend(entries.fields);
    base.consents.extend(entries.consents);
    if entries.deliverability.is_some() {
        base.deliverability = entries.deliverability;
    }
}

/// Whether a record read back from the target shows that an intent was applied: every patched field, consent and the
/// deliverability are as expected.
pub fn is_applied(intent: &Intent, now: &Entity, policy: &Policy) -> bool {
    let consents = intent
        .consents
        .iter()
        .all(|expected| said_of(now, expected).is_some_and(|said| said.state == expected.state));
    let deliverability = intent.deliverability.as_ref().is_none_or(|expected| {
        now.deliverability
            .as_ref()
            .is_some_and(|said| said.state == expected.state)
    });
    fields_are_applied(intent, now, policy) && consents && deliverability
}

/// What of a write that takes a run back holds, although the rest does not: those fields are as they were before that
/// run, and stay so until somebody says which value holds. Nothing else would tell that from an edit.
pub fn taken_back(intent: &Intent, now: &Entity, policy: &Policy) -> Option<Intent> {
    let holds = |name: &String| {
        let sent = &intent.patch[name];
        let value = now.fields.get(name);
        value.is_some_and(|value| same(intent, name, value, sent, policy))
    };
    let undone: Vec<(&String, &FieldRule)> = intent
        .patch
        .keys()
        .filter(|name| holds(name))
        .filter_map(|name| Some((name, rule(intent, name, policy)?)))
        .filter(|(_, rule)| {
            let base = intent.base.fields.get(&rule.name);
            base.is_some_and(|base| base.undone)
        })
        .collect();
    if undone.is_empty() {
        return None;
    }
    let mut part = Intent {
        consents: Vec::new(),
        deliverability: None,
        shared: Vec::new(),
        ..intent.clone()
    };
    part.patch
        .retain(|name, _| undone.iter().any(|(held, _)| *held == name));
    part.before
        .retain(|name, _| undone.iter().any(|(held, _)| *held == name));
    part.base = Base {
        fields: intent.base.fields.clone(),
        ..Base::default()
    };
    part.base
        .fields
        .retain(|name, _| undone.iter().any(|(_, rule)| rule.name == *name));
    Some(part)
}

/// Whether what is known of the target has moved since a write was decided: it is gone, or a field that is to be
/// written holds something else than it did, and not what is to be written.
pub fn is_overtaken(intent: &Intent, seen: &Observation, policy: &Policy) -> bool {
    seen.presence != Presence::Present
        || intent.before.iter().any(|(name, before)| {
            moved(intent, name, before, &seen.fields, policy)
                .is_some_and(|value| !same(intent, name, value, &intent.patch[name], policy))
        })
}

/// Values that were read while a write was under way and that it overwrites, by the name of the field's mapping.
/// `written`: what the remote holds since, once that is known.
pub fn overwritten<'s>(
    intent: &Intent,
    seen: &'s Fields,
    written: Option<&Entity>,
    policy: &Policy,
) -> Vec<(String, &'s Value)> {
    intent
        .before
        .iter()
        .filter_map(|(name, before)| {
            let value = moved(intent, name, before, seen, policy)?;
            let now = written.map(|written| written.fields.get(name).unwrap_or(&Value::Null));
            let lost = !is_empty(value)
                && !same(intent, name, value, &intent.patch[name], policy)
                && now.is_none_or(|now| !same(intent, name, value, now, policy));
            let rule = rule(intent, name, policy)?;
            lost.then(|| (rule.name.clone(), value))
        })
        .collect()
}

/// The value of a field that is to be written, if it is no longer what the write was decided on.
fn moved<'s>(
    intent: &Intent,
    name: &str,
    before: &Value,
    seen: &'s Fields,
    policy: &Policy,
) -> Option<&'s Value> {
    let value = seen.get(name)?;
    let moved = intent.patch.contains_key(name) && !same(intent, name, value, before, policy);
    moved.then_some(value)
}

fn rule<'p>(intent: &Intent, name: &str, policy: &'p Policy) -> Option<&'p FieldRule> {
    let mut rules = policy.fields.iter();
    rules.find(|rule| rule.field(intent.target) == name)
}

fn same(intent: &Intent, name: &str, one: &Value, other: &Value, policy: &Policy) -> bool {
    rule(intent, name, policy).map_or(one == other, |rule| rule.normalizer.same(one, other))
}

/// Whether a record that was found is what a create has made, although its person has said something else since.
pub fn is_made(intent: &Intent, now: &Entity, policy: &Policy) -> bool {
    fields_are_applied(intent, now, policy)
}

/// Whether a record that was found looks like a create that ended half way: its fields are as they were to be written,
/// and nobody has said anything yet about what is missing.
pub fn is_half_created(intent: &Intent, now: &Entity, policy: &Policy) -> bool {
    fields_are_applied(intent, now, policy)
        && intent.consents.iter().all(|expected| {
            said_of(now, expected).is_none_or(|said| {
                said.state == expected.state || said.state == ConsentState::Unspecified
            })
        })
}

fn said_of<'a>(now: &'a Entity, expected: &Consent) -> Option<&'a Consent> {
    now.consents
        .iter()
        .find(|said| said.channel == expected.channel && said.purpose == expected.purpose)
}

fn fields_are_applied(intent: &Intent, now: &Entity, policy: &Policy) -> bool {
    intent.patch.iter().all(|(name, expected)| {
        let value = now.fields.get(name);
        value.is_some_and(|value| same(intent, name, value, expected, policy))
    })
}

/// Whether a record that was just written holds something in a mapped field that the base does not know: somebody
/// changed it meanwhile, and it must be planned again.
pub fn shows_more(base: &Base, intent: &Intent, written: &Entity, policy: &Policy) -> bool {
    let target = intent.target;
    let fields = policy.fields.iter().any(|rule| {
        match (
            written.fields.get(rule.field(target)),
            base.fields.get(&rule.name),
        ) {
            (Some(value), Some(base)) => !rule.normalizer.same(value, base.image(target)),
            (Some(_), None) => intent.base.fields.contains_key(&rule.name),
            _ => false,
        }
    });
    let consents = policy.consents.iter().any(|rule| {
        match (
            consent::find(rule, target, &written.consents),
            base.consents.get(&rule.name),
        ) {
            (Some(said), Some(base)) => said.state != *base.image(target),
            _ => false,
        }
    });
    fields || consents
}

/// Whether the answer to a write shows something in a mapped field or a consent that was neither written nor known.
pub fn tells_more(intent: &Intent, known: &Observation, written: &Entity, policy: &Policy) -> bool {
    let target = intent.target;
    let consents = policy.consents.iter().any(|rule| {
        let told = consent::find(rule, target, &intent.consents).is_some();
        let shown = consent::find(rule, target, &written.consents);
        let known = consent::find(rule, target, &known.consents)
            .map_or(&ConsentState::Unspecified, |known| &known.state);
        !told && shown.is_some_and(|shown| shown.state != *known)
    });
    let fields = policy.fields.iter().any(|rule| {
        let name = rule.field(intent.target);
        let shown = written.fields.get(name);
        !intent.patch.contains_key(name)
            && shown.is_some_and(|shown| {
                let known = known.fields.get(name).unwrap_or(&Value::Null);
                !rule.normalizer.same(shown, known)
            })
    });
    fields || consents
}

/// What the remote holds after a write, where its answer left something out: what was sent.
pub fn completed(intent: &Intent, mut written: Entity) -> Entity {
    for (name, value) in &intent.patch {
        written
            .fields
            .entry(name.clone())
            .or_insert_with(|| value.clone());
    }
    for sent in &intent.consents {
        let known = written
            .consents
            .iter()
            .any(|said| said.channel == sent.channel && said.purpose == sent.purpose);
        if !known {
            written.consents.push(sent.clone());
        }
    }
    if written.deliverability.is_none() {
        written.deliverability.clone_from(&intent.deliverability);
    }
    written
}
