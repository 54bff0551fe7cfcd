//! Opt-ins and opt-outs. A restriction only ever rises by itself; it is lifted only by newer, dated opt-in evidence
//! from a side that is allowed to give it. Absence, `unspecified` and conflict policies never lift it.

use jiff::Timestamp;
use samspel_model::link::{ConsentBase, Restriction};
use samspel_model::{Consent, ConsentState, Side};

use crate::policy::{ConsentRule, Policy};
use crate::spec::NewMembers;

/// What follows for one consent of a link.
#[derive(Debug, Clone, PartialEq)]
pub struct ConsentDecision {
    /// What to write to each side.
    pub to: [Option<Consent>; 2],
    /// The base once everything is written.
    pub base: ConsentBase,
    /// The restriction that newer evidence lifted, and that evidence.
    pub lifted: Option<(Restriction, Consent)>,
    /// A person has to decide; why.
    pub conflict: Option<String>,
}

/// The consent of a record that a rule speaks about.
pub fn find<'a>(rule: &ConsentRule, side: Side, consents: &'a [Consent]) -> Option<&'a Consent> {
    consents
        .iter()
        .find(|c| c.channel == rule.channel && c.purpose == rule.purposes[side.index()])
}

/// Decides about one consent of two linked records.
pub fn merge_consent(
    rule: &ConsentRule,
    policy: &Policy,
    base: Option<&ConsentBase>,
    said: [Option<&Consent>; 2],
    now: Timestamp,
) -> ConsentDecision {
    let state = |side: Side| {
        said[side.index()].map_or(ConsentState::Unspecified, |consent| consent.state.clone())
    };
    let image = |side: Side| base.map(|base| base.image(side));
    let mut decision = ConsentDecision {
        to: [None, None],
        base: ConsentBase {
            a: state(Side::A),
            b: state(Side::B),
            restricted: base.and_then(|base| base.restricted.clone()),
        },
        lifted: None,
        conflict: None,
    };
    for side in Side::BOTH {
        if state(side) == ConsentState::Unsubscribed
            && image(side) != Some(&ConsentState::Unsubscribed)
        {
            raise(&mut decision.base.restricted, side, said[side.index()], now);
        }
    }
    let opt_in = Side::BOTH.into_iter().find(|side| {
        base.is_some()
            && state(*side) == ConsentState::Subscribed
            && image(*side) != Some(&ConsentState::Subscribed)
            && said[side.index()].is_some_and(|consent| consent.at.is_some())
    });
    if let (Some(side), Some(restriction)) = (opt_in, decision.base.restricted.clone())
        && let Some(evidence) = said[side.index()]
        && evidence.at > Some(restriction.at)
    {
        if policy.opt_in_from[side.index()] {
            decision.base.restricted = None;
            decision.lifted = Some((restriction, evidence.clone()));
        } else {
            // Explicit, dated and newer, yet from a side that may not decide: neither copy it nor fight it.
            decision.conflict = Some(format!(
                "side {side} shows a newer opt-in than the opt-out of {}, and `consent.opt-in-from` does not name it",
                restriction.at
            ));
            decision.base = base.cloned().unwrap_or(decision.base);
            return decision;
        }
    }
    match decision.base.restricted.clone() {
        Some(restriction) => {
            let settled = base.is_some_and(|base| base.restricted.is_some());
            for side in Side::BOTH {
                let known = settled && image(side) == Some(&state(side));
                if state(side) != ConsentState::Unsubscribed
                    && rule.can_restrict[side.index()]
                    && !known
                {
                    decision.to[side.index()] = Some(restrict(rule, side, &restriction));
                }
            }
        }
        None => {
            if let Some(source) = opt_in
                && policy.opt_in_from[source.index()]
                && let Some(evidence) = said[source.index()]
            {
                let target = source.other();
                if state(target) != ConsentState::Subscribed && rule.can_grant[target.index()] {
                    decision.to[target.index()] = Some(Consent {
                        purpose: rule.purposes[target.index()].clone(),
                        ..evidence.clone()
                    });
                }
            }
        }
    }
    for side in Side::BOTH {
        if let Some(consent) = &decision.to[side.index()] {
            *image_mut(&mut decision.base, side) = consent.state.clone();
        }
    }
    decision
}

/// An opt-out was seen: the newest one is kept.
fn raise(
    restricted: &mut Option<Restriction>,
    side: Side,
    consent: Option<&Consent>,
    now: Timestamp,
) {
    let at = consent.and_then(|consent| consent.at).unwrap_or(now);
    if restricted.as_ref().is_none_or(|known| known.at < at) {
        *restricted = Some(Restriction {
            side,
            at,
            evidence: consent.and_then(|consent| consent.evidence.clone()),
        });
    }
}

fn restrict(rule: &ConsentRule, side: Side, restriction: &Restriction) -> Consent {
    Consent {
        channel: rule.channel.clone(),
        purpose: rule.purposes[side.index()].clone(),
        state: ConsentState::Unsubscribed,
        at: Some(restriction.at),
        evidence: restriction.evidence.clone(),
    }
}

/// What a new record in `target` starts with, or `None` if it must not be created.
///
/// `restricted` is an opt-out in force that the source does not show (its record was created anew).
pub fn initial(
    rule: &ConsentRule,
    policy: &Policy,
    target: Side,
    said: Option<&Consent>,
    restricted: Option<&Restriction>,
) -> Option<Consent> {
    let of = |state: ConsentState, at: Option<Timestamp>, evidence: Option<String>| Consent {
        channel: rule.channel.clone(),
        purpose: rule.purposes[target.index()].clone(),
        state,
        at,
        evidence,
    };
    if let Some(restriction) = restricted {
        return Some(restrict(rule, target, restriction));
    }
    match said {
        Some(Consent {
            state: ConsentState::Unsubscribed,
            at,
            evidence,
            ..
        }) => Some(of(ConsentState::Unsubscribed, *at, evidence.clone())),
        // Dated: stored evidence of an opt-in.
        Some(Consent {
            state: ConsentState::Subscribed,
            at: Some(at),
            evidence,
            ..
        }) => Some(of(ConsentState::Subscribed, Some(*at), evidence.clone())),
        _ => match policy.new_members {
            NewMembers::Transactional => Some(of(ConsentState::Unspecified, None, None)),
            NewMembers::Pending => Some(of(ConsentState::Pending, None, None)),
            NewMembers::Skip => None,
        },
    }
}

/// The image of a side, to set it.
pub(crate) fn image_mut(base: &mut ConsentBase, side: Side) -> &mut ConsentState {
    match side {
        Side::A => &mut base.a,
        Side::B => &mut base.b,
    }
}
