//! What to do about one link: a pure function of what is known.

use jiff::Timestamp;
use samspel_model::consent::Consent;
use samspel_model::link::Restriction;
use samspel_model::store::{Decision as Told, Observation, Verdict};
use samspel_model::write::Removal;
use samspel_model::{Base, ConsentState, Deliverability, Fields, Guard, Presence, Side};
use serde_json::Value;

use crate::consent::{self, Restrictions, Said, merge_consent};
use crate::deliverability::merge_deliverability;
use crate::merge::{Decision, SideValue, merge};
use crate::normalize::is_empty;
use crate::oscillation;
use crate::policy::{FieldRule, Policy};

/// What is known about a link.
#[derive(Debug, Clone, Copy)]
pub struct LinkState<'a> {
    /// What both sides held when last reconciled.
    pub base: &'a Base,
    /// What each side was last seen to hold.
    pub seen: [&'a Observation; 2],
    /// The opt-outs in force for the person.
    pub restricted: &'a Restrictions,
    /// What an operator said about this link.
    pub told: &'a [Told],
}

impl LinkState<'_> {
    /// The side that an operator named for a field or a consent.
    fn verdict(&self, about: &str) -> Option<Side> {
        self.told.iter().find_map(|told| match told.verdict {
            Verdict::Take(side) if told.about == about => Some(side),
            _ => None,
        })
    }
}

/// A change of one record.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SideWrite {
    /// Fields to set; `null` clears.
    pub patch: Fields,
    /// What they held before.
    pub before: Fields,
    /// Consents to set.
    pub consents: Vec<Consent>,
    /// Deliverability to set.
    pub deliverability: Option<Deliverability>,
    /// The base entries that become true when this is written.
    pub base: Base,
    /// Entries of `base` whose other side is written too.
    pub shared: Vec<String>,
}

impl SideWrite {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.patch.is_empty() && self.consents.is_empty() && self.deliverability.is_none()
    }

    /// Whether it carries an opt-out.
    pub fn restricts(&self) -> bool {
        self.consents
            .iter()
            .any(|consent| consent.state == ConsentState::Unsubscribed)
    }

    /// Whether it carries an opt-in, which must be checked again before it is sent.
    pub fn grants(&self) -> bool {
        self.consents.iter().any(|consent| {
            matches!(
                consent.state,
                ConsentState::Subscribed | ConsentState::Pending
            )
        })
    }
}

/// A value that lost against another.
#[derive(Debug, Clone, PartialEq)]
pub struct Loser {
    /// The rule.
    pub rule: String,
    /// The side that held it.
    pub side: Side,
    /// The value.
    pub value: Value,
}

/// A decision that is left to a person.
#[derive(Debug, Clone, PartialEq)]
pub struct Undecided {
    /// The rule, the consent, or `delete`.
    pub about: String,
    /// Why.
    pub why: String,
    /// The values in question, A's first.
    pub values: [Value; 2],
}

/// What happens to a pair of which one record is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Both stay as they are, and nothing flows any more.
    End,
    /// The survivor on this side is taken away too.
    Remove(Side, Removal),
    /// The survivor was edited since: it is created anew on this side. (An edit beats a delete.)
    Recreate(Side),
    /// Both records are there again: the pair goes on.
    Resume,
}

/// What to do about one link.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LinkPlan {
    /// What to write to each side.
    pub writes: [Option<SideWrite>; 2],
    /// Base entries that are true without a write.
    pub advance: Base,
    /// Decisions left to a person.
    pub undecided: Vec<Undecided>,
    /// Values that lost.
    pub losers: Vec<Loser>,
    /// Opt-outs that are in force and were not known, or not as new, by the name of the consent rule.
    pub restrict: Vec<(String, Restriction)>,
    /// Opt-outs that were lifted, and by what, by the name of the consent rule.
    pub lifted: Vec<(String, Restriction, Consent)>,
    /// The pair comes apart or together.
    pub ending: Option<Ending>,
}

impl LinkPlan {
    /// Whether nothing needs to be written or decided.
    pub fn is_at_rest(&self) -> bool {
        self.writes.iter().all(Option::is_none)
            && self.undecided.is_empty()
            && !matches!(self.ending, Some(Ending::Remove(..) | Ending::Recreate(_)))
    }

    /// Whether the base changes without a write.
    pub fn advances(&self) -> bool {
        !self.advance.fields.is_empty()
            || !self.advance.consents.is_empty()
            || self.advance.deliverability.is_some()
    }
}

/// Decides what to do about a link.
pub fn plan(state: &LinkState<'_>, policy: &Policy, now: Timestamp) -> LinkPlan {
    let present = state.seen.map(|seen| seen.presence == Presence::Present);
    match present {
        [true, true] => reconcile(state, policy, now),
        [false, false] => LinkPlan {
            ending: (!state.base.ended).then_some(Ending::End),
            ..LinkPlan::default()
        },
        [true, false] => part(state, policy, Side::A),
        [false, true] => part(state, policy, Side::B),
    }
}

/// One record is gone, the survivor is there.
fn part(state: &LinkState<'_>, policy: &Policy, survivor: Side) -> LinkPlan {
    let mut plan = LinkPlan::default();
    if state.base.ended {
        return plan;
    }
    let gone = survivor.other();
    // Leaving a filter is not a delete.
    let left_only = state.seen[gone.index()].presence == Presence::OutOfScope
        && Guard::LeavingIsNoDelete.stands();
    let survives = Guard::EditBeatsDelete.stands() && edited(state, policy, survivor);
    plan.ending = Some(if left_only {
        Ending::End
    } else if survives && policy.create_in[gone.index()] {
        Ending::Recreate(gone)
    } else if policy.archive_in[survivor.index()] {
        Ending::Remove(survivor, Removal::Archive)
    } else {
        Ending::End
    });
    plan
}

/// Whether a side's record was changed since the two were last reconciled, in what flows from it. What was never
/// reconciled counts as changed: nothing is taken away with a partner that never had it.
fn edited(state: &LinkState<'_>, policy: &Policy, side: Side) -> bool {
    policy.fields.iter().any(|rule| {
        rule.to[side.other().index()]
            && state.seen[side.index()]
                .fields
                .get(rule.field(side))
                .is_some_and(|value| match state.base.fields.get(&rule.name) {
                    Some(base) => !rule.normalizer.same(value, base.image(side)),
                    None => !is_empty(value),
                })
    })
}

fn reconcile(state: &LinkState<'_>, policy: &Policy, now: Timestamp) -> LinkPlan {
    let mut plan = LinkPlan::default();
    let mut writes = [SideWrite::default(), SideWrite::default()];
    let mut address_changes = false;
    if state.base.ended {
        plan.ending = Some(Ending::Resume);
    }
    for rule in &policy.fields {
        reconcile_field(
            rule,
            state,
            policy,
            now,
            &mut plan,
            &mut writes,
            &mut address_changes,
        );
    }
    reconcile_consents(state, policy, now, &mut plan, &mut writes);
    reconcile_deliverability(state, policy, address_changes, &mut plan, &mut writes);
    plan.writes = writes.map(|write| (!write.is_empty()).then_some(write));
    plan
}

fn reconcile_field(
    rule: &FieldRule,
    state: &LinkState<'_>,
    policy: &Policy,
    now: Timestamp,
    plan: &mut LinkPlan,
    writes: &mut [SideWrite; 2],
    address_changes: &mut bool,
) {
    let values = Side::BOTH.map(|side| {
        let seen = state.seen[side.index()];
        seen.fields.get(rule.field(side)).map(|value| SideValue {
            value,
            record: &seen.fields,
            modified: seen.modified,
        })
    });
    // A field that was never read says nothing.
    let [Some(a), Some(b)] = values else { return };
    let sides = [a, b];
    // What is known of one address says nothing about another.
    *address_changes |=
        rule.is_email && rule.equal([a.value, b.value], [a.record, b.record]) != Ok(true);
    let base = state.base.fields.get(&rule.name);
    let verdict = state.verdict(&rule.name);
    let mut decision = merge(rule, base, sides, verdict);
    if let Decision::Write(write) = &decision
        && verdict.is_none()
        && oscillation::is_repeated(rule, policy, state.base.flips.get(&rule.name), write, now)
    {
        decision = Decision::Conflict(oscillation::WHY.to_owned());
    }
    match decision {
        Decision::Nothing => {}
        Decision::Advance(images) => {
            plan.advance.fields.insert(rule.name.clone(), images);
        }
        Decision::Conflict(why) => {
            plan.undecided.push(Undecided {
                about: rule.name.clone(),
                why,
                values: sides.map(|side| side.value.clone()),
            });
        }
        Decision::Write(write) => {
            if let Some((side, value)) = write.lost {
                plan.losers.push(Loser {
                    rule: rule.name.clone(),
                    side,
                    value,
                });
            }
            let both = write.to.iter().all(Option::is_some);
            for side in Side::BOTH {
                let Some(value) = write.to[side.index()].clone() else {
                    continue;
                };
                let target = &mut writes[side.index()];
                let name = rule.field(side).to_owned();
                target
                    .before
                    .insert(name.clone(), sides[side.index()].value.clone());
                target.patch.insert(name, value);
                if both {
                    // Neither write alone makes the base true: once both are done the two are found to be equal.
                    target.shared.push(rule.name.clone());
                } else {
                    target
                        .base
                        .fields
                        .insert(rule.name.clone(), write.base.clone());
                }
            }
        }
    }
}

fn reconcile_consents(
    state: &LinkState<'_>,
    policy: &Policy,
    now: Timestamp,
    plan: &mut LinkPlan,
    writes: &mut [SideWrite; 2],
) {
    for rule in &policy.consents {
        let said =
            Side::BOTH.map(|side| consent::find(rule, side, &state.seen[side.index()].consents));
        let base = state.base.consents.get(&rule.name);
        let known = state.restricted.get(rule);
        let decision = merge_consent(
            rule,
            policy,
            Said {
                base,
                said,
                restricted: known,
                verdict: state.verdict(&rule.name),
            },
            now,
        );
        if let Some(why) = decision.conflict {
            plan.undecided.push(Undecided {
                about: rule.name.clone(),
                why,
                values: said.map(|consent| serde_json::to_value(consent).unwrap_or(Value::Null)),
            });
            continue;
        }
        if let Some((restriction, evidence)) = decision.lifted {
            plan.lifted.push((rule.name.clone(), restriction, evidence));
        }
        if let Some(restriction) = decision.restriction {
            plan.restrict.push((rule.name.clone(), restriction));
        }
        if decision.to == [None, None] {
            if base != Some(&decision.base) {
                plan.advance
                    .consents
                    .insert(rule.name.clone(), decision.base);
            }
            continue;
        }
        let both = decision.to.iter().all(Option::is_some);
        for side in Side::BOTH {
            let Some(consent) = decision.to[side.index()].clone() else {
                continue;
            };
            let target = &mut writes[side.index()];
            target.consents.push(consent);
            if both {
                target.shared.push(rule.name.clone());
            }
            target
                .base
                .consents
                .insert(rule.name.clone(), decision.base.clone());
        }
    }
}

fn reconcile_deliverability(
    state: &LinkState<'_>,
    policy: &Policy,
    address_changes: bool,
    plan: &mut LinkPlan,
    writes: &mut [SideWrite; 2],
) {
    let said = state.seen.map(|seen| seen.deliverability.as_ref());
    let base = state.base.deliverability.as_ref();
    let decision = merge_deliverability(policy, base, said, address_changes);
    match Side::BOTH
        .into_iter()
        .find(|side| decision.to[side.index()].is_some())
    {
        Some(side) => {
            let target = &mut writes[side.index()];
            target.deliverability = decision.to[side.index()].clone();
            target.base.deliverability = Some(decision.base);
        }
        None if base != Some(&decision.base) => {
            plan.advance.deliverability = Some(decision.base);
        }
        None => {}
    }
}

/// Whether the two records say the same, in everything that the sync keeps in step: the names of what differs.
pub fn differences(state: &LinkState<'_>, policy: &Policy) -> Vec<String> {
    let mut names = Vec::new();
    for rule in &policy.fields {
        let values = Side::BOTH.map(|side| state.seen[side.index()].fields.get(rule.field(side)));
        let [Some(a), Some(b)] = values else { continue };
        let records = state.seen.map(|seen| &seen.fields);
        if rule.equal([a, b], records) != Ok(true) {
            names.push(rule.name.clone());
        }
    }
    for rule in &policy.consents {
        let said = Side::BOTH.map(|side| {
            consent::find(rule, side, &state.seen[side.index()].consents)
                .map_or(ConsentState::Unspecified, |consent| consent.state.clone())
        });
        let base = state
            .base
            .consents
            .get(&rule.name)
            .filter(|base| base.told != [false, false] && !state.base.ended);
        let in_force = base.is_some() || state.restricted.get(rule).is_some();
        let restricted = said
            .each_ref()
            .map(|state| *state == ConsentState::Unsubscribed);
        // Some remotes keep no opt-out of somebody who never opted in: they were told, and answered this.
        let taken = |side: Side| {
            said[side.index()] == ConsentState::Unspecified
                && base.is_some_and(|base| *base.image(side) == ConsentState::Unspecified)
        };
        let missing = Side::BOTH.into_iter().any(|side| {
            !restricted[side.index()]
                && !taken(side)
                && rule.can_restrict[side.index()]
                && (in_force || restricted[side.other().index()])
        });
        if missing {
            names.push(rule.name.clone());
        }
    }
    names
}
