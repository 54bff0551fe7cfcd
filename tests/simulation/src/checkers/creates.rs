//! 5. One identity, one create: under crashes, lost answers and repeated delivery.

use std::collections::BTreeSet;

use samspel_model::{Create, RecordId, WriteOp};

use crate::checkers::{Arrival, Facts};
use crate::field::{Field, Plain, plain};
use crate::ledger::Place;
use crate::quirk::Quirk;
use crate::systems::{Applied, Version};
use crate::time::Millis;
use crate::violation::Findings;

/// A create reaches a system: nobody with that address may be known to the host there.
pub(crate) fn arrives(facts: &Facts<'_>, arrival: &Arrival<'_>, findings: &mut Findings) {
    let Some(decided) = &arrival.decided else {
        return;
    };
    // An address that another record has makes one person of two.
    let fields = match arrival.op {
        WriteOp::Create(create) => &create.fields,
        WriteOp::Update(update) => &update.patch,
        WriteOp::Remove(_) => return,
    };
    let target = arrival.target();
    let name = Field::Email.name(arrival.system);
    let Some(Plain::Text(address)) = fields.get(name).map(|value| plain(Field::Email, value))
    else {
        return;
    };
    let system = &facts.systems[arrival.system];
    for id in system.holders(&address) {
        let place = (arrival.system, id.clone());
        if target.as_ref() == Some(&place) {
            continue;
        }
        let Some(seq) = facts.ledger.stored_before(&place, decided.step) else {
            continue;
        };
        let known = system
            .records
            .get(id)
            .and_then(|record| record.version(seq))
            .is_some_and(|version| {
                // An answer with some of the fields need not tell of the address.
                let told = facts.ledger.values.get(&place).and_then(|at| at.get(&seq));
                let told = told.is_some_and(|bits| bits & (1 << Field::Email.index()) != 0);
                told && version.is_live() && version.address().as_deref() == Some(address.as_str())
            });
        if known {
            findings.add(
                5,
                format!(
                    "{} arrives for {address}, and {id}, which has that address, was stored before it was decided",
                    arrival.words()
                ),
            );
        }
    }
}

/// How long listings may lag behind, in milliseconds.
const LAG: Millis = 20_000;

/// A create reaches a system in a run that reads both sides: who was there before it began must have been seen.
pub(crate) fn after_reading(
    facts: &Facts<'_>,
    arrival: &Arrival<'_>,
    begun: Option<Millis>,
    findings: &mut Findings,
) {
    let (WriteOp::Create(create), Some(begun)) = (arrival.op, begun) else {
        return;
    };
    let address = create.fields.get(Field::Email.name(arrival.system));
    let Some(Plain::Text(address)) = address.map(|value| plain(Field::Email, value)) else {
        return;
    };
    let system = &facts.systems[arrival.system];
    for (id, record) in &system.records {
        let holds = |version: &&std::sync::Arc<Version>| {
            version.is_live() && version.address().as_deref() == Some(address.as_str())
        };
        let since = record.versions.iter().rev().take_while(holds).last();
        let old = since.is_some_and(|first| first.at < begun - LAG);
        let shown = facts
            .ledger
            .shown
            .contains_key(&(arrival.system, id.clone()));
        if old && !shown {
            findings.add(
                5,
                format!(
                    "{} arrives for {address}, and {id}, which had that address before the run began, was not read yet",
                    arrival.words()
                ),
            );
        }
    }
}

/// Records that were made by calls which a process had begun before it stood still, and which arrived when another one
/// had looked for them in vain: only a remote that knows a create again could refuse either.
#[derive(Debug, Default)]
pub(crate) struct Creates {
    late: BTreeSet<Place>,
}

impl Creates {
    /// A create was applied: the record that it comes from must not have another one there.
    pub fn applied(
        &mut self,
        facts: &Facts<'_>,
        arrival: &Arrival<'_>,
        applied: &Applied,
        findings: &mut Findings,
    ) {
        let (WriteOp::Create(create), Some(made)) = (arrival.op, &applied.id) else {
            return;
        };
        if !applied.done {
            return;
        }
        if arrival
            .decided
            .as_ref()
            .is_some_and(|decided| !decided.open)
        {
            self.late.insert((arrival.system, made.clone()));
        } else {
            self.only_one(facts, arrival, create, made, findings);
        }
    }

    fn only_one(
        &self,
        facts: &Facts<'_>,
        arrival: &Arrival<'_>,
        create: &Create,
        made: &RecordId,
        findings: &mut Findings,
    ) {
        let Some(source) = arrival.source(facts) else {
            return;
        };
        let sync = &facts.ledger.syncs[arrival.sync];
        let system = &facts.systems[arrival.system];
        for (id, record) in &system.records {
            let Some(key) = record.key.as_ref().filter(|_| id != made) else {
                continue;
            };
            let same_source = *key == create.idempotency_key
                || sync
                    .decided
                    .get(key)
                    .is_some_and(|other| other.intent.source_record == source.1);
            // A remote that knows no create again and has no other key than the address: where somebody changed that
            // meanwhile, the contract leaves no way to find what was made.
            let unfindable = !system.has(Quirk::IdempotentCreate)
                && record.now().address() != record.versions[0].address();
            // It was taken away, and came back when another one was to take its place.
            let decided = arrival.decided.as_ref().map_or(0, |decided| decided.step);
            let known = facts
                .ledger
                .stored_before(&(arrival.system, id.clone()), decided);
            let was_gone = known
                .and_then(|seq| record.version(seq))
                .is_some_and(|version| !version.is_live());
            // Its source was gone, as everybody knew, and it goes on with the one that was made in place of that.
            let partner = sync.link_of(arrival.side, id).filter(|link| !link.ended);
            let other = arrival.side.other().index();
            let is_anothers = partner.is_some_and(|link| link.records[other] != source.1)
                && facts.ledger.was_gone(&source, facts.systems);
            let is_late = self.late.contains(&(arrival.system, id.clone()));
            let explained = unfindable || was_gone || is_anothers || is_late;
            if same_source && record.now().is_live() && !explained {
                findings.add(
                    5,
                    format!(
                        "{made} was created for {}, for which {id} was created already",
                        source.1
                    ),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::hand::Hand;
    use crate::systems::Standing;

    #[test]
    fn a_create_for_somebody_who_is_known_there_is_found() {
        let mut hand = Hand::pair();
        hand.store_all();
        let op = hand.create("k1", "P1@example.org");
        let decided = hand.decided(&op, "a001");
        let mut findings = Findings::default();
        arrives(
            &hand.facts(),
            &hand.arrival(&op, Some(decided)),
            &mut findings,
        );
        assert_eq!(findings.0[0].invariant, 5);
    }

    #[test]
    fn a_second_record_for_the_same_source_is_found() {
        let mut hand = Hand::pair();
        let op = hand.create("k1", "p1@example.org");
        let decided = hand.decided(&op, "a001");
        hand.made("k1", "p1@example.org");
        let made = hand.made("k1", "p1@example.org");
        let outcome = Applied {
            outcome: samspel_model::Outcome::Gone,
            id: Some(made),
            done: true,
        };
        let mut findings = Findings::default();
        let arrival = hand.arrival(&op, Some(decided));
        let mut creates = Creates::default();
        creates.applied(&hand.facts(), &arrival, &outcome, &mut findings);
        assert_eq!(findings.0[0].invariant, 5);
    }

    #[test]
    fn a_call_that_arrives_after_it_was_looked_for_in_vain_is_nobodys_fault() {
        let mut hand = Hand::pair();
        let op = hand.create("k1", "p1@example.org");
        let mut late = hand.decided(&op, "a001");
        late.open = false;
        let mut creates = Creates::default();
        let mut findings = Findings::default();
        for decided in [late, hand.decided(&op, "a001")] {
            let outcome = Applied {
                outcome: samspel_model::Outcome::Gone,
                id: Some(hand.made("k1", "p1@example.org")),
                done: true,
            };
            let arrival = hand.arrival(&op, Some(decided));
            creates.applied(&hand.facts(), &arrival, &outcome, &mut findings);
        }
        assert!(findings.0.is_empty(), "{findings:?}");
    }

    #[test]
    fn a_record_that_came_back_while_its_successor_was_made_is_nobodys_fault() {
        for (gone, wrong) in [(true, false), (false, true)] {
            let mut hand = Hand::pair();
            let op = hand.create("k1", "p1@example.org");
            let made = hand.made("k1", "p1@example.org");
            if gone {
                hand.stand(made.as_str(), Standing::Archived);
            }
            hand.store_all();
            let decided = hand.decided(&op, "a001");
            hand.stand(made.as_str(), Standing::Live);
            let outcome = Applied {
                outcome: samspel_model::Outcome::Gone,
                id: Some(hand.made("k1", "p1@example.org")),
                done: true,
            };
            let mut findings = Findings::default();
            let arrival = hand.arrival(&op, Some(decided));
            Creates::default().applied(&hand.facts(), &arrival, &outcome, &mut findings);
            assert_eq!(!findings.0.is_empty(), wrong, "{findings:?}");
        }
    }
}
