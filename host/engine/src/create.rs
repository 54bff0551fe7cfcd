//! What becomes of a record that has no partner.

use jiff::Timestamp;
use samspel_model::link::{ConsentBase, DeliverabilityBase, Restriction};
use samspel_model::store::Observation;
use samspel_model::{Consent, ConsentState, FieldBase, Guard, Side};
use serde_json::Value;

use crate::consent::{self, Restrictions};
use crate::deliverability;
use crate::merge;
use crate::normalize::is_empty;
use crate::plan::SideWrite;
use crate::policy::{ConsentRule, Policy};
use crate::spec::NewMembers;

/// Why a record does not flow to the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Skip {
    /// The sync does not create records on that side.
    NotWanted,
    /// The record has no value in the match field.
    NoKey,
    /// The other side requires a field that the record does not have.
    MissingRequired,
    /// There is no opt-in evidence, and `new-members = "skip"`.
    NoOptIn,
    /// It is outside the sync's `filter`.
    Filtered,
    /// An operator said so.
    Rejected,
}

/// What becomes of a record that has no partner.
#[derive(Debug, Clone, PartialEq)]
pub enum CreatePlan {
    /// Create it.
    Create(Box<NewRecord>),
    /// Do not.
    Skip(Skip),
    /// A value cannot be mapped; why.
    Failed(String),
}

/// A record to be created on the other side, and what its source says about consent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NewRecord {
    /// What it starts with.
    pub write: SideWrite,
    /// Opt-outs that are in force from now on, by the name of the consent rule.
    pub restrict: Vec<(String, Restriction)>,
    /// Opt-outs that its source has lifted, and by what, by the name of the consent rule.
    pub lifted: Vec<(String, Restriction, Consent)>,
}

/// Decides how a record of `source` is created on the other side. `restricted`: the opt-outs in force for its person.
pub fn plan_create(
    policy: &Policy,
    source: Side,
    seen: &Observation,
    restricted: &Restrictions,
    now: Timestamp,
) -> CreatePlan {
    let target = source.other();
    if !policy.create_in[target.index()] {
        return CreatePlan::Skip(Skip::NotWanted);
    }
    if policy.match_key(source, &seen.fields).is_none() {
        return CreatePlan::Skip(Skip::NoKey);
    }
    let mut new = NewRecord::default();
    if let Err(why) = fields(policy, source, seen, &mut new.write) {
        return CreatePlan::Failed(why);
    }
    if policy.required[target.index()]
        .iter()
        .any(|name| new.write.patch.get(name).is_none_or(is_empty))
    {
        return CreatePlan::Skip(Skip::MissingRequired);
    }
    for rule in &policy.consents {
        if !consents(rule, policy, source, seen, restricted, now, &mut new) {
            debug_assert_eq!(policy.new_members, NewMembers::Skip);
            return CreatePlan::Skip(Skip::NoOptIn);
        }
    }
    let known = seen.deliverability.as_ref();
    let carried = known.filter(|known| {
        policy.deliverability_to[target.index()] && deliverability::is_failing(&known.state)
    });
    let mut base = DeliverabilityBase { a: None, b: None };
    *deliverability::image_mut(&mut base, source) = known.map(|known| known.state.clone());
    *deliverability::image_mut(&mut base, target) = carried.map(|carried| carried.state.clone());
    new.write.deliverability = carried.cloned();
    new.write.base.deliverability = Some(base);
    CreatePlan::Create(Box::new(new))
}

fn fields(
    policy: &Policy,
    source: Side,
    seen: &Observation,
    write: &mut SideWrite,
) -> Result<(), String> {
    let target = source.other();
    for rule in &policy.fields {
        let Some(value) = seen.fields.get(rule.field(source)) else {
            continue;
        };
        let mut mapped = Value::Null;
        if rule.to[target.index()] {
            mapped = rule.map(target, value, &seen.fields)?;
            if !is_empty(&mapped) {
                let name = rule.field(target).to_owned();
                write.patch.insert(name, mapped.clone());
            }
        }
        let mut images = FieldBase {
            a: mapped.clone(),
            b: mapped,
            rule: rule.fingerprint.clone(),
            undone: false,
        };
        *merge::image_mut(&mut images, source) = value.clone();
        write.base.fields.insert(rule.name.clone(), images);
    }
    Ok(())
}

/// One consent of the new record. Whether it may be created with it.
fn consents(
    rule: &ConsentRule,
    policy: &Policy,
    source: Side,
    seen: &Observation,
    restricted: &Restrictions,
    now: Timestamp,
    new: &mut NewRecord,
) -> bool {
    let target = source.other();
    let said = consent::find(rule, source, &seen.consents);
    let mut in_force = restricted
        .get(rule)
        .filter(|_| Guard::OptOutIsRemembered.stands());
    if let (Some(restriction), Some(said)) = (in_force, said)
        && said.state == ConsentState::Subscribed
        && said.at > Some(restriction.at)
        && policy.opt_in_from[source.index()]
    {
        let lifted = (rule.name.clone(), restriction.clone(), said.clone());
        new.lifted.push(lifted);
        in_force = None;
    }
    let account = &policy.accounts[source.index()];
    let otherwise = seen.modified.unwrap_or(now);
    if let Some(raised) = consent::shown(in_force, account, said, otherwise) {
        new.restrict.push((rule.name.clone(), raised));
    }
    if !rule.held[target.index()] {
        return true;
    }
    let Some(initial) = consent::initial(rule, policy, target, said, in_force) else {
        return false;
    };
    let state = said.map_or(ConsentState::Unspecified, |said| said.state.clone());
    let restricts = initial.state == ConsentState::Unsubscribed;
    if restricts && state != ConsentState::Unsubscribed && rule.can_restrict[source.index()] {
        // The source is told, or a person is asked, once there is a pair.
        new.write.shared.push(rule.name.clone());
    }
    let mut base = ConsentBase {
        a: initial.state.clone(),
        b: initial.state.clone(),
        since: [None, None],
        told: [restricts; 2],
    };
    base.since[target.index()] = consent::opted_out(&initial);
    base.since[source.index()] = said.and_then(consent::opted_out);
    *consent::image_mut(&mut base, source) = state;
    new.write.base.consents.insert(rule.name.clone(), base);
    new.write.consents.push(initial);
    true
}
