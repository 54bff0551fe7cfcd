//! What a confirmed write makes true.

use samspel_model::intent::Intent;
use samspel_model::{Base, Consent, ConsentState, Entity};
use serde_json::Value;

use crate::consent;
use crate::deliverability;
use crate::merge;
use crate::policy::Policy;

/// Lays the base entries of a confirmed write over a link's base. The source's image is what was planned from; the
/// target's is what the remote says it now holds, which may differ from what was sent.
pub fn settle(base: &mut Base, intent: &Intent, written: &Entity, policy: &Policy) {
    let target = intent.target;
    for (name, planned) in &intent.base.fields {
        let mut images = planned.clone();
        if let Some(rule) = policy.fields.iter().find(|rule| &rule.name == name)
            && let Some(value) = written.fields.get(rule.field(target))
        {
            *merge::image_mut(&mut images, target) = value.clone();
        }
        if let Some(known) = base.fields.get(name)
            && intent.shared.contains(name)
        {
            let other = target.other();
            *merge::image_mut(&mut images, other) = known.image(other).clone();
        }
        base.fields.insert(name.clone(), images);
    }
    for (name, planned) in &intent.base.consents {
        let mut images = planned.clone();
        if let Some(rule) = policy.consents.iter().find(|rule| &rule.name == name)
            && let Some(said) = consent::find(rule, target, &written.consents)
        {
            *consent::image_mut(&mut images, target) = said.state.clone();
        }
        if let Some(known) = base.consents.get(name)
            && intent.shared.contains(name)
        {
            let other = target.other();
            *consent::image_mut(&mut images, other) = known.image(other).clone();
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
    base.ended = false;
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
    let same = |name: &String, expected: &Value| {
        let Some(value) = now.fields.get(name) else {
            return false;
        };
        let rule = policy
            .fields
            .iter()
            .find(|rule| rule.field(intent.target) == name);
        rule.map_or(value == expected, |rule| {
            rule.normalizer.same(value, expected)
        })
    };
    intent
        .patch
        .iter()
        .all(|(name, expected)| same(name, expected))
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
