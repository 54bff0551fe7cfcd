//! 3. No lost update: a value that was observed is current, superseded on its own side, propagated, or told as a loser.
//!
//! Every value that a person writes is unique, so that each of them can be looked for by itself. Only a write of the
//! sync can lose one: each value that such a write overwrites is kept here until it is explained.

use serde_json::Value;

use crate::checkers::{Arrival, Facts};
use crate::field::{Field, is_empty, same, words};
use crate::ledger::Place;
use crate::systems::{By, Version};
use crate::violation::Findings;

/// A person's value that a write overwrote.
#[derive(Debug)]
struct Overwritten {
    sync: usize,
    place: Place,
    field: Field,
    value: Value,
    /// The versions that held it.
    held: (u64, u64),
    step: u64,
}

/// Values that are to be explained.
#[derive(Debug, Default)]
pub(crate) struct Lost {
    open: Vec<Overwritten>,
}

impl Lost {
    /// A write changed a record.
    pub fn applied(
        &mut self,
        facts: &Facts<'_>,
        arrival: &Arrival<'_>,
        place: Place,
        before: &Version,
        after: &Version,
    ) {
        // A call that a process had begun before it stood still, and that arrives after another one has found that it
        // was not applied and has given it up: nothing tells it from what a person writes there.
        if arrival
            .decided
            .as_ref()
            .is_some_and(|decided| !decided.open)
        {
            return;
        }
        for field in Field::ALL {
            let (old, new) = (&before.values[field.index()], &after.values[field.index()]);
            if is_empty(old) || same(field, old, new) {
                continue;
            }
            if field == Field::Tags {
                let kept = words(new);
                for word in words(old) {
                    if !kept.contains(&word) {
                        let holds = |value: &Value| words(value).contains(&word);
                        self.overwritten(
                            facts,
                            arrival,
                            &place,
                            field,
                            &word.clone().into(),
                            &holds,
                        );
                    }
                }
            } else {
                let holds = |value: &Value| same(field, value, old);
                self.overwritten(facts, arrival, &place, field, old, &holds);
            }
        }
    }

    fn overwritten(
        &mut self,
        facts: &Facts<'_>,
        arrival: &Arrival<'_>,
        place: &Place,
        field: Field,
        value: &Value,
        holds: &dyn Fn(&Value) -> bool,
    ) {
        let Some(record) = facts.systems[place.0].records.get(&place.1) else {
            return;
        };
        // The versions before the one that the write made, back to the one that brought the value.
        let held: Vec<&Version> = record
            .versions
            .iter()
            .rev()
            .map(|version| &**version)
            .skip(1)
            .take_while(|version| holds(&version.values[field.index()]))
            .collect();
        let (Some(first), Some(last)) = (held.last(), held.first()) else {
            return;
        };
        if first.by != By::User {
            return;
        }
        let elsewhere = facts.systems.iter().any(|system| {
            system.index != place.0
                && system.records.values().any(|other| {
                    other
                        .versions
                        .iter()
                        .any(|version| holds(&version.values[field.index()]))
                })
        });
        if elsewhere {
            return;
        }
        self.open.push(Overwritten {
            sync: arrival.sync,
            place: place.clone(),
            field,
            value: value.clone(),
            held: (first.seq, last.seq),
            step: facts.step,
        });
    }

    /// A sync has nothing under way: what its writes overwrote must be explained.
    pub fn settled(&mut self, facts: &Facts<'_>, sync: usize, findings: &mut Findings) {
        self.open.retain(|lost| {
            if lost.sync != sync {
                return true;
            }
            let (from, to) = lost.held;
            // What nobody ever observed is not an observed value.
            if !facts.ledger.was_stored(&lost.place, from, to, lost.field) {
                return false;
            }
            let told = facts.ledger.syncs.iter().zip(facts.agreements).any(|(ledger, agreement)| {
                let rule = agreement.rule_name(lost.field);
                ledger.told.iter().any(|(about, value)| {
                    *about == rule
                        && match lost.field {
                            Field::Tags => lost
                                .value
                                .as_str()
                                .is_some_and(|word| words(value).contains(word)),
                            field => same(field, value, &lost.value),
                        }
                })
            });
            if !told {
                findings.add(
                    3,
                    format!(
                        "{} in {:?} of {} was observed, was overwritten at step {}, is nowhere else, and is told as no loser",
                        lost.value, lost.field, lost.place.1, lost.step
                    ),
                );
            }
            false
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::hand::Hand;

    #[test]
    fn only_a_write_that_was_given_up_before_it_arrived_need_not_be_explained() {
        for (open, wrong) in [(true, true), (false, false)] {
            let mut hand = Hand::pair();
            hand.edit("b001", Field::Note, "o5", By::User);
            hand.store_all();
            let before = hand.version("b001");
            hand.edit("b001", Field::Note, "o6", By::Sync(0));
            let after = hand.version("b001");
            let op = hand.update("b001", Field::Note, "o6");
            let mut decided = hand.decided(&op, "a001");
            decided.open = open;
            let mut lost = Lost::default();
            lost.applied(
                &hand.facts(),
                &hand.arrival(&op, Some(decided)),
                (1, "b001".into()),
                &before,
                &after,
            );
            let mut findings = Findings::default();
            lost.settled(&hand.facts(), 0, &mut findings);
            assert_eq!(!findings.0.is_empty(), wrong, "{findings:?}");
        }
    }

    #[test]
    fn an_observed_value_that_is_overwritten_and_not_told_is_found() {
        for (told, wrong) in [(false, true), (true, false)] {
            let mut hand = Hand::pair();
            hand.edit("b001", Field::Note, "o5", By::User);
            hand.store_all();
            let before = hand.version("b001");
            hand.edit("b001", Field::Note, "o6", By::Sync(0));
            let after = hand.version("b001");
            let op = hand.update("b001", Field::Note, "o6");
            let mut lost = Lost::default();
            let place = (1, "b001".into());
            lost.applied(
                &hand.facts(),
                &hand.arrival(&op, None),
                place,
                &before,
                &after,
            );
            if told {
                hand.tell(Field::Note, "o5");
            }
            let mut findings = Findings::default();
            lost.settled(&hand.facts(), 0, &mut findings);
            assert_eq!(!findings.0.is_empty(), wrong, "{findings:?}");
        }
    }
}
