//! Opt-ins and opt-outs. A restriction only ever rises by itself; it is lifted only by newer, dated opt-in evidence
//! from a side that is allowed to give it, or by an operator who is shown such evidence. Absence, `unspecified` and
//! conflict policies never lift it. It is the person's: it is stored with the records, and every sync of one of them
//! finds it there.

use std::collections::BTreeMap;

use jiff::Timestamp;
use samspel_model::link::{ConsentBase, Restriction};
use samspel_model::store::{Observation, RecordRestriction};
use samspel_model::{Consent, ConsentState, Guard, Side};

use crate::policy::{ConsentRule, Policy};
use crate::spec::NewMembers;

/// The opt-outs in force for the person behind some records, by the name of the consent rule.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restrictions(BTreeMap<String, Restriction>);

impl Restrictions {
    /// What is stored with the records of one person: the newest opt-out of each rule. Rows are of the given side.
    #[must_use]
    pub fn with(mut self, policy: &Policy, side: Side, rows: &[RecordRestriction]) -> Self {
        for rule in &policy.consents {
            let stored = rows
                .iter()
                .filter(|row| row.channel == rule.channel && row.purpose == rule.purpose(side));
            for row in stored {
                self.add(rule, &row.restriction);
            }
        }
        self
    }

    /// With what a record said that is gone, because it was merged into another one: it was said by the same person.
    #[must_use]
    pub fn with_last_words(mut self, policy: &Policy, side: Side, seen: &Observation) -> Self {
        let account = &policy.accounts[side.index()];
        for rule in &policy.consents {
            let said = find(rule, side, &seen.consents);
            let otherwise = seen.modified.unwrap_or(Timestamp::UNIX_EPOCH);
            if let Some(restriction) = shown(None, account, said, otherwise) {
                self.add(rule, &restriction);
            }
        }
        self
    }

    /// An opt-out of a channel: of all its purposes.
    #[must_use]
    pub fn with_channel(
        mut self,
        policy: &Policy,
        channel: &str,
        restriction: &Restriction,
    ) -> Self {
        for rule in policy
            .consents
            .iter()
            .filter(|rule| rule.channel == channel)
        {
            self.add(rule, restriction);
        }
        self
    }

    fn add(&mut self, rule: &ConsentRule, restriction: &Restriction) {
        let newer = self.get(rule).is_none_or(|known| known.at < restriction.at);
        if newer {
            self.0.insert(rule.name.clone(), restriction.clone());
        }
    }

    /// The opt-out of a rule.
    pub fn get(&self, rule: &ConsentRule) -> Option<&Restriction> {
        self.0.get(&rule.name)
    }
}

/// What follows for one consent of a link.
#[derive(Debug, Clone, PartialEq)]
pub struct ConsentDecision {
    /// What to write to each side.
    pub to: [Option<Consent>; 2],
    /// The base once everything is written.
    pub base: ConsentBase,
    /// The opt-out that is in force now.
    pub restriction: Option<Restriction>,
    /// The restriction that newer evidence lifted, and that evidence.
    pub lifted: Option<(Restriction, Consent)>,
    /// A person has to decide; why.
    pub conflict: Option<String>,
}

/// What was said about one consent of two linked records.
#[derive(Debug, Clone, Copy)]
pub struct Said<'a> {
    /// What both said when last reconciled.
    pub base: Option<&'a ConsentBase>,
    /// What each side says now.
    pub said: [Option<&'a Consent>; 2],
    /// The opt-out in force.
    pub restricted: Option<&'a Restriction>,
    /// The side whose word holds, if an operator said so.
    pub verdict: Option<Side>,
}

/// The consent of a record that a rule speaks about.
pub fn find<'a>(rule: &ConsentRule, side: Side, consents: &'a [Consent]) -> Option<&'a Consent> {
    consents
        .iter()
        .find(|c| c.channel == rule.channel && c.purpose == rule.purpose(side))
}

/// Decides about one consent of two linked records.
pub fn merge_consent(
    rule: &ConsentRule,
    policy: &Policy,
    known: Said<'_>,
    now: Timestamp,
) -> ConsentDecision {
    let Said {
        base,
        said,
        restricted,
        verdict,
    } = known;
    let state = |side: Side| {
        said[side.index()].map_or(ConsentState::Unspecified, |consent| consent.state.clone())
    };
    let image = |side: Side| base.map(|base| base.image(side));
    let mut decision = ConsentDecision {
        to: [None, None],
        base: ConsentBase {
            a: state(Side::A),
            b: state(Side::B),
            since: said.map(|said| said.and_then(opted_out)),
            told: [false, false],
        },
        restriction: restricted
            .filter(|_| Guard::OptOutIsRemembered.stands())
            .cloned(),
        lifted: None,
        conflict: None,
    };
    for side in Side::BOTH {
        let since = base.and_then(|base| base.since[side.index()]);
        let again = since.is_some() && said[side.index()].and_then(opted_out) > since;
        let is_news = image(side) != Some(&ConsentState::Unsubscribed) || again;
        // Some remotes keep an opt-out with an address, and forget it with that.
        let other = side.other();
        let is_forgotten = image(other) == Some(&ConsentState::Unsubscribed)
            && state(other) == ConsentState::Unspecified;
        if state(side) == ConsentState::Unsubscribed
            && (is_news || is_forgotten || verdict == Some(side))
        {
            let account = &policy.accounts[side.index()];
            raise(&mut decision.restriction, account, said[side.index()], now);
            if verdict == Some(side)
                && let Some(restriction) = &mut decision.restriction
            {
                // Somebody says so now.
                restriction.at = restriction.at.max(now);
            }
        }
    }
    let opt_in = Side::BOTH
        .into_iter()
        .find(|side| {
            base.is_some()
                && state(*side) == ConsentState::Subscribed
                && image(*side) != Some(&ConsentState::Subscribed)
                && said[side.index()].is_some_and(|consent| consent.at.is_some())
        })
        .or(verdict.filter(|side| state(*side) == ConsentState::Subscribed));
    let allowed = |side: Side| policy.opt_in_from[side.index()] || verdict == Some(side);
    if let (Some(side), Some(restriction)) = (opt_in, decision.restriction.clone())
        && let Some(evidence) = said[side.index()]
        && (evidence.at > Some(restriction.at)
            || verdict == Some(side)
            || !Guard::OptInNeedsEvidence.stands())
    {
        if allowed(side) {
            decision.restriction = None;
            decision.lifted = Some((restriction, evidence.clone()));
        } else if verdict.is_none() {
            // Explicit, dated and newer, yet from a side that may not decide: neither copy it nor fight it.
            decision.conflict = Some(format!(
                "side {side} shows a newer opt-in than the opt-out of {}, and `consent.opt-in-from` does not name it",
                restriction.at
            ));
            return decision;
        }
    }
    decision.base.told = [decision.restriction.is_some(); 2];
    match decision.restriction.clone() {
        Some(restriction) => {
            for side in Side::BOTH {
                let told = base.is_some_and(|base| base.told[side.index()]);
                let answered = told && image(side) == Some(&state(side));
                if state(side) != ConsentState::Unsubscribed
                    && rule.can_restrict[side.index()]
                    && !answered
                {
                    decision.to[side.index()] = Some(restrict(rule, side, &restriction));
                }
            }
        }
        None => {
            if let Some(source) = opt_in
                && !allowed(source)
                && state(source.other()) == ConsentState::Unsubscribed
            {
                decision.conflict = Some(format!(
                    "side {source} shows a newer opt-in than the opt-out of side {}, and `consent.opt-in-from` does not name it",
                    source.other()
                ));
                return decision;
            }
            if let Some(source) = opt_in
                && allowed(source)
                && let Some(evidence) = said[source.index()]
            {
                let target = source.other();
                if state(target) != ConsentState::Subscribed && rule.can_grant[target.index()] {
                    decision.to[target.index()] = Some(Consent {
                        purpose: rule.purpose(target).to_owned(),
                        ..evidence.clone()
                    });
                }
            }
        }
    }
    for side in Side::BOTH {
        if let Some(consent) = &decision.to[side.index()] {
            *image_mut(&mut decision.base, side) = consent.state.clone();
            decision.base.since[side.index()] = opted_out(consent);
        }
    }
    decision
}

/// When somebody opted out, if that is what is said, and dated.
pub fn opted_out(said: &Consent) -> Option<Timestamp> {
    said.at.filter(|_| said.state == ConsentState::Unsubscribed)
}

/// An opt-out was seen: the newest one is kept.
fn raise(
    restricted: &mut Option<Restriction>,
    account: &str,
    consent: Option<&Consent>,
    now: Timestamp,
) {
    let at = consent.and_then(|consent| consent.at).unwrap_or(now);
    if restricted.as_ref().is_none_or(|known| known.at < at) {
        *restricted = Some(Restriction {
            account: account.to_owned(),
            at,
            evidence: consent.and_then(|consent| consent.evidence.clone()),
        });
    }
}

/// The opt-out that a record shows, if it does, or the newer one that is known already.
pub(crate) fn shown(
    known: Option<&Restriction>,
    account: &str,
    said: Option<&Consent>,
    otherwise: Timestamp,
) -> Option<Restriction> {
    let mut restriction = known.cloned();
    if said.is_some_and(|said| said.state == ConsentState::Unsubscribed) {
        raise(&mut restriction, account, said, otherwise);
    }
    restriction
}

fn restrict(rule: &ConsentRule, side: Side, restriction: &Restriction) -> Consent {
    Consent {
        channel: rule.channel.clone(),
        purpose: rule.purpose(side).to_owned(),
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
        purpose: rule.purpose(target).to_owned(),
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
        // Without evidence.
        Some(Consent {
            state: ConsentState::Subscribed,
            at,
            evidence,
            ..
        }) if !Guard::ConsentIsNotInvented.stands() => {
            Some(of(ConsentState::Subscribed, *at, evidence.clone()))
        }
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
