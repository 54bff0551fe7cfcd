//! Invariant 10: Consent monotonicity: a restriction is lifted only by newer, dated evidence from a side that is
//! allowed to give it, and an opt-out precedes any later write for that person.

use samspel_model::intent::Effect;
use samspel_model::{Consent, ConsentState, DeliverabilityState, WriteOp};

use crate::checkers::{Arrival, Facts};
use crate::field::{Field, Plain, plain};
use crate::ledger::{CONSENT, Place, Stored};
use crate::quirk::Quirk;
use crate::systems::{By, Version, lifts};
use crate::time::Millis;
use crate::violation::Findings;

/// A write reaches a system.
pub(crate) fn arrives(facts: &Facts<'_>, arrival: &Arrival<'_>, findings: &mut Findings) {
    let (Some(source), Some(decided)) = (arrival.source(facts), &arrival.decided) else {
        return;
    };
    let consents = match arrival.op {
        WriteOp::Create(create) => &create.consents,
        WriteOp::Update(update) => &update.consents,
        WriteOp::Remove(_) => return,
    };
    // The rest of a create that ended half way belongs to it.
    let create = decided.intent.effect == Effect::Create;
    let mut person = facts
        .ledger
        .person(&source, facts.agreements, facts.systems, arrival.begun);
    if let Some(target) = arrival.target() {
        let ledger = facts.ledger;
        person.extend(ledger.person(&target, facts.agreements, facts.systems, arrival.begun));
    }
    let person: Vec<Place> = person.into_iter().collect();
    // An operator may say which side's word holds.
    let told = facts.ledger.syncs.iter().any(|sync| {
        person
            .iter()
            .any(|(_, id)| sync.consents_taken.contains(id))
    });
    for consent in consents {
        if lifts(consent) && !told {
            lifted(facts, arrival, consent, &person, create, findings);
        }
    }
    if let WriteOp::Update(update) = arrival.op {
        let restricts = update
            .consents
            .iter()
            .any(|consent| consent.state == ConsentState::Unsubscribed);
        let markets = !update.patch.is_empty() || update.consents.iter().any(lifts);
        if !restricts && markets && !told {
            precedes(facts, arrival, &source, &person, decided.step, findings);
        }
    }
    bounced(facts, arrival, &source, &person, findings);
}

/// Somebody is subscribed, or asked whether they want to be.
fn lifted(
    facts: &Facts<'_>,
    arrival: &Arrival<'_>,
    consent: &Consent,
    person: &[Place],
    create: bool,
    findings: &mut Findings,
) {
    let mut out: Option<Millis> = None;
    let mut evidence: Option<Millis> = None;
    for place in person {
        let allowed = facts.agreements.iter().any(|agreement| {
            agreement
                .side(place.0)
                .is_some_and(|side| agreement.opt_in_from[side.index()])
        });
        // What the host knew when it could look for the last time.
        for version in known(facts, place, facts.ledger.stored.get(place), arrival.begun) {
            // An opt-out that we wrote says nothing new, whatever time the remote gives it.
            // Who is gone shows nothing but that.
            if version.is_live()
                && version.said.is_out()
                && by_user(facts, place, version)
                && !is_answer(facts, place, version)
            {
                out = out.max(Some(said_at(facts, place, version)));
            }
        }
        for version in known(facts, place, facts.ledger.shown.get(place), arrival.begun) {
            let said = &version.said;
            let dated = !facts.systems[place.0].has(Quirk::NoConsentDate);
            if said.state == ConsentState::Subscribed && dated && (allowed || create) {
                evidence = evidence.max(said.at);
            }
        }
    }
    if consent.state == ConsentState::Subscribed && evidence.is_none() {
        findings.add(
            10,
            format!(
                "{} subscribes somebody, and no dated opt-in from an allowed side was stored",
                arrival.words()
            ),
        );
    }
    if let Some(out) = out
        && evidence.is_none_or(|evidence| evidence <= out)
    {
        findings.add(
            10,
            format!(
                "{} lifts to {:?}, although an opt-out of {out} ms was stored and the newest evidence is of {evidence:?} ms",
                arrival.words(),
                consent.state
            ),
        );
    }
}

/// The versions of a record that were stored, or shown, before a step.
fn known<'a>(
    facts: &Facts<'a>,
    place: &Place,
    versions: Option<&'a Stored>,
    before: u64,
) -> impl Iterator<Item = &'a Version> {
    let record = facts.systems[place.0].records.get(&place.1);
    versions
        .into_iter()
        .flatten()
        .filter(move |(_, step)| *step < before)
        .filter_map(move |(seq, _)| record?.version(*seq).map(|version| &**version))
}

/// Whether what the person says in a version was said by the person, and not by a write of ours.
fn by_user(facts: &Facts<'_>, place: &Place, version: &Version) -> bool {
    facts.systems[place.0].said_by(&place.1, version.seq) == By::User
}

/// Whether an opt-out without a date was first shown when one was being written there: nobody can know whether the
/// person said it, too.
fn is_answer(facts: &Facts<'_>, place: &Place, version: &Version) -> bool {
    if !facts.systems[place.0].has(Quirk::NoConsentDate) {
        return false;
    }
    let record = facts.systems[place.0].records.get(&place.1);
    let shown = facts.ledger.shown.get(place).into_iter().flatten();
    // Of the versions that say the same, the first that was shown.
    let first = shown
        .rev()
        .skip_while(|(seq, _)| *seq != version.seq)
        .take_while(|(seq, _)| {
            let version = record.and_then(|record| record.version(*seq));
            version.is_some_and(|version| version.said.is_out())
        })
        .last();
    let Some((_, shown)) = first else {
        return false;
    };
    facts.ledger.syncs.iter().any(|sync| {
        sync.decided.values().any(|decided| {
            let intent = &decided.intent;
            let says = |consent: &Consent| consent.state == ConsentState::Unsubscribed;
            intent.effect.target_record() == Some(&place.1)
                && intent.consents.iter().any(says)
                && decided.step < *shown
                && (decided.open || decided.closed >= *shown)
        })
    })
}

/// When it was said, as far as the host can know.
fn said_at(facts: &Facts<'_>, place: &Place, version: &Version) -> Millis {
    version
        .said
        .at
        .filter(|_| !facts.systems[place.0].has(Quirk::NoConsentDate))
        .or_else(|| facts.systems[place.0].said_since(&place.1, version.seq))
        .unwrap_or(version.at)
}

/// The person opted out at the source, and the host knew when it decided: the target has to be told before anything
/// else.
fn precedes(
    facts: &Facts<'_>,
    arrival: &Arrival<'_>,
    source: &Place,
    person: &[Place],
    decided: u64,
    findings: &mut Findings,
) {
    let Some(target) = &arrival.target() else {
        return;
    };
    let held = |place: &Place| {
        let seq = facts.ledger.stored_before(place, decided)?;
        facts.systems[place.0].records.get(&place.1)?.version(seq)
    };
    let (Some(there), Some(here), Some(now)) = (held(source), held(target), facts.record(target))
    else {
        return;
    };
    // The answer to a write need not show the whole record, and tells of the opt-out that was written all the same.
    let answered = known(facts, target, facts.ledger.shown.get(target), decided).last();
    let is_told = [Some(&**here), answered, Some(now)]
        .into_iter()
        .flatten()
        .any(|version| version.said.is_out());
    if !there.is_live() || !there.said.is_out() || is_told {
        return;
    }
    // What the person said last. Whether newer evidence may lift an opt-out is asked where something is lifted.
    let last = person
        .iter()
        .flat_map(|place| {
            known(facts, place, facts.ledger.shown.get(place), decided)
                .filter(|version| by_user(facts, place, version))
                .map(|version| (said_at(facts, place, version), version.said.is_out()))
        })
        .max();
    if last.is_some_and(|(_, out)| !out) {
        return;
    }
    if said_since(facts, (source, there), (target, here)) {
        return;
    }
    // The remote protects the person, and takes nothing more.
    let sync = &facts.ledger.syncs[arrival.sync];
    if sync.suppressed.contains(&target.1) || sync.suppressed.contains(&source.1) {
        return;
    }
    // Somebody decides whether a newer opt-in holds.
    let undecided = sync
        .conflicts
        .keys()
        .any(|(_, id, about)| (*id == source.1 || *id == target.1) && about == CONSENT);
    if undecided {
        return;
    }
    findings.add(
        10,
        format!(
            "{} goes before the opt-out of {}, which was stored when it was decided",
            arrival.words(),
            source.1
        ),
    );
}

/// A bounce belongs to an address.
fn bounced(
    facts: &Facts<'_>,
    arrival: &Arrival<'_>,
    source: &Place,
    person: &[Place],
    findings: &mut Findings,
) {
    let (mail, address) = match arrival.op {
        WriteOp::Create(create) => (&create.deliverability, Some(&create.fields)),
        WriteOp::Update(update) => (&update.deliverability, Some(&update.patch)),
        WriteOp::Remove(_) => (&None, None),
    };
    let fails = mail
        .as_ref()
        .is_some_and(|mail| mail.state != DeliverabilityState::Deliverable);
    if !fails {
        return;
    }
    let written = address
        .and_then(|fields| fields.get(Field::Email.name(arrival.system)))
        .map(|value| plain(Field::Email, value));
    let told = arrival
        .target()
        .and_then(|target| {
            // What the host knew when it sent the write: that the target moved since is a race that nobody can win.
            let told = |seq: &u64| {
                let at = facts.ledger.values.get(&target).and_then(|at| at.get(seq));
                at.is_some_and(|bits| bits & (1 << Field::Email.index()) != 0)
            };
            // It may have been written to a record that left the collection, and was stored as one that is there.
            let shown = facts.ledger.shown.get(&target)?.iter();
            let before = shown.filter(|(_, step)| *step < arrival.begun);
            // A page that was on its way when the address was written shows the former one, and is not believed.
            let seq = before.map(|(seq, _)| *seq).filter(told).max()?;
            let record = facts.systems[target.0].records.get(&target.1)?;
            record.version(seq)?.address()
        })
        .map(Plain::Text);
    let Some(Plain::Text(address)) = written.or(told) else {
        return;
    };
    // Whoever of theirs it failed for: another sync may have told the source of it, whose address moved on before it
    // was told.
    let failed = person.iter().any(|place| {
        let record = facts.systems[place.0].records.get(&place.1);
        let mut shown = record
            .into_iter()
            .flat_map(|record| record.shown_versions());
        shown.any(|version| {
            version.bounced.is_some() && version.address().as_deref() == Some(address.as_str())
        })
    });
    if !failed {
        findings.add(
            10,
            format!(
                "{} says that mail to {address} fails, which neither {} nor another record of the person showed of that \
                 address",
                arrival.words(),
                source.1
            ),
        );
    }
}

/// Whether a record shows an opt-in that is newer than an opt-out, and that the person has given in a record which was
/// theirs then: what was brought over from there holds, also when that pair has come apart since.
fn said_since(
    facts: &Facts<'_>,
    (place, out): (&Place, &Version),
    (brought_to, shows): (&Place, &Version),
) -> bool {
    let said = &shows.said;
    let Some(at) = said.at.filter(|_| said.state == ConsentState::Subscribed) else {
        return false;
    };
    // Some tell when they were told.
    let stamps = facts.systems[brought_to.0].has(Quirk::StampsConsent);
    let since = said_at(facts, place, out);
    let ever = facts
        .ledger
        .person_ever(place, facts.agreements, facts.systems);
    ever.iter().any(|place| {
        let record = facts.systems[place.0].records.get(&place.1);
        let mut versions = record.into_iter().flat_map(|record| &record.versions);
        versions.any(|version| {
            let given = version
                .said
                .at
                .is_some_and(|given| given > since && (given == at || (stamps && given < at)));
            version.said.state == said.state && given && by_user(facts, place, version)
        })
    })
}

#[cfg(test)]
mod tests {
    use samspel_model::LinkId;

    use super::*;
    use crate::checkers::hand::Hand;
    use crate::ledger::LinkFacts;

    fn findings(hand: &Hand, op: &WriteOp) -> Findings {
        let decided = hand.decided(op, "a001");
        let mut findings = Findings::default();
        arrives(
            &hand.facts(),
            &hand.arrival(op, Some(decided)),
            &mut findings,
        );
        findings
    }

    #[test]
    fn an_opt_in_without_evidence_is_found() {
        let mut hand = Hand::pair();
        hand.store_all();
        let op = hand.consent("b001", ConsentState::Subscribed);
        assert_eq!(findings(&hand, &op).0[0].invariant, 10);
        hand.say("a001", ConsentState::Subscribed, 50);
        hand.store_all();
        assert!(findings(&hand, &op).0.is_empty());
    }

    #[test]
    fn an_opt_in_over_a_newer_opt_out_is_found() {
        let mut hand = Hand::pair();
        hand.say("a001", ConsentState::Subscribed, 50);
        hand.store_all();
        hand.say("b001", ConsentState::Unsubscribed, 60);
        hand.store_all();
        let op = hand.consent("b001", ConsentState::Subscribed);
        assert_eq!(findings(&hand, &op).0[0].invariant, 10);
    }

    #[test]
    fn a_write_that_goes_before_a_known_opt_out_is_found() {
        let mut hand = Hand::pair();
        hand.say("a001", ConsentState::Unsubscribed, 60);
        hand.store_all();
        let op = hand.update("b001", Field::Name, "n2");
        assert_eq!(findings(&hand, &op).0[0].invariant, 10);
        let op = hand.consent("b001", ConsentState::Unsubscribed);
        assert!(findings(&hand, &op).0.is_empty());
    }

    #[test]
    fn an_opt_in_that_was_brought_over_from_a_former_partner_holds_if_it_is_newer() {
        for (at, wrong) in [(70, false), (50, true)] {
            let mut hand = Hand::pair();
            hand.say("a001", ConsentState::Unsubscribed, 60);
            hand.person("a", "p1@example.org");
            hand.say("a002", ConsentState::Subscribed, at);
            hand.said("b001", ConsentState::Subscribed, at, By::Sync(0));
            hand.ledger().syncs[0]
                .former
                .push(["a002".into(), "b001".into()]);
            hand.ledger().syncs[0]
                .former
                .push(["a001".into(), "b001".into()]);
            hand.store_all();
            let op = hand.update("b001", Field::Name, "n2");
            let found = findings(&hand, &op);
            assert_eq!(!found.0.is_empty(), wrong, "{at}: {found:?}");
        }
    }

    #[test]
    fn a_bounce_that_another_record_of_the_person_showed_is_true() {
        let mut hand = Hand::pair();
        hand.person("a", "p1@example.org");
        hand.bounce("a002");
        hand.store_all();
        let op = hand.bounces("b001");
        assert_eq!(findings(&hand, &op).0[0].invariant, 10);
        let link = LinkFacts {
            records: ["a002".into(), "b001".into()],
            ended: false,
            since: 0,
            reconciled: std::collections::BTreeMap::new(),
        };
        hand.ledger().syncs[0]
            .links
            .insert(LinkId("l2".to_owned()), link);
        assert!(findings(&hand, &op).0.is_empty());
    }

    #[test]
    fn a_bounce_that_moves_to_another_address_is_found() {
        let mut hand = Hand::pair();
        hand.bounce("a001");
        hand.store_all();
        let op = hand.bounces("b001");
        assert!(findings(&hand, &op).0.is_empty());
        hand.edit("b001", Field::Email, "new@example.org", By::User);
        hand.store_all();
        assert_eq!(findings(&hand, &op).0[0].invariant, 10);
    }
}
