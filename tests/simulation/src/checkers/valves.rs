//! 9 and 2. No more at once than the valves let through, and no value written again and again.

use std::collections::{BTreeMap, BTreeSet};

use samspel_model::intent::Effect;
use samspel_model::store::{Verdict, subject};
use samspel_model::{LinkId, WriteOp};

use crate::checkers::{Arrival, Facts};
use crate::field::{Field, Plain, plain};
use crate::ledger::Place;
use crate::time::Millis;
use crate::violation::Findings;

/// The window in which the same value may not be written again and again, in milliseconds.
const WINDOW: Millis = 6 * 60 * 60 * 1000;
/// How often it may: what the engine allows, and a write whose outcome it never learnt.
const REPEATS: usize = 4;

/// What a run did so far.
#[derive(Debug, Default)]
struct Run {
    /// Whether the first sync was complete when it began.
    later: bool,
    /// The most pairs that there were meanwhile.
    pairs: u64,
    creates: BTreeSet<String>,
    changes: BTreeMap<Field, BTreeSet<LinkId>>,
}

/// What runs did, and what was written lately.
#[derive(Debug, Default)]
pub(crate) struct Valves {
    runs: BTreeMap<String, Run>,
    written: BTreeMap<(Place, Field, Plain), Vec<Millis>>,
}

impl Valves {
    /// A write reaches a system. `now`: by the clock of the host, which is to notice what it writes again and again.
    pub fn arrives(
        &mut self,
        facts: &Facts<'_>,
        arrival: &Arrival<'_>,
        now: Millis,
        findings: &mut Findings,
    ) {
        // A call that a process had begun before it stood still, and that arrives in the run of another one, is counted
        // by nobody.
        let Some(decided) = arrival.decided.as_ref().filter(|decided| decided.open) else {
            return;
        };
        let intent = &decided.intent;
        let sync = &facts.ledger.syncs[arrival.sync];
        let agreement = &facts.agreements[arrival.sync];
        let run = self.runs.entry(intent.run.clone()).or_insert_with(|| Run {
            later: sync.first_done,
            ..Run::default()
        });
        run.pairs = run.pairs.max(sync.links.len() as u64);
        let approved = |about: &str| {
            let mut told = intent.told.iter();
            told.any(|told| told.about == about && told.verdict == Verdict::Approve)
        };
        match arrival.op {
            WriteOp::Create(_) if intent.link.is_none() && !approved(subject::HOLD_CREATE) => {
                run.creates.insert(intent.id.clone());
                let allowed = most(agreement.valves.creates, run.pairs);
                let made = run.creates.len() as u64;
                if run.later && made > allowed {
                    findings.add(
                        9,
                        format!(
                            "a run creates {made} records beside {} pairs; {allowed} are allowed",
                            run.pairs
                        ),
                    );
                }
            }
            WriteOp::Update(update) if matches!(intent.effect, Effect::Update(_)) => {
                for name in update.patch.keys() {
                    let (Some(field), Some(link)) = (Field::of(arrival.system, name), &intent.link)
                    else {
                        continue;
                    };
                    let about = format!("{}{}", subject::HOLD_CHANGE, agreement.rule_name(field));
                    // Two that meet in this run are filled from each other, and so are those whose first sync was cut
                    // short: until it is complete, what was agreed to with its plan is done.
                    let met = sync.met_in.get(link) == Some(&intent.run);
                    let rule = agreement.rule_name(field);
                    let known = sync.links.get(link);
                    let meets = !run.later
                        && known.is_some_and(|pair| !pair.reconciled.contains_key(&rule));
                    if met || meets || approved(&about) {
                        continue;
                    }
                    let changed = run.changes.entry(field).or_default();
                    changed.insert(link.clone());
                    let allowed = most(agreement.valves.changes, run.pairs);
                    let made = changed.len() as u64;
                    if made > allowed {
                        findings.add(
                            9,
                            format!(
                                "a run changes {field:?} of {made} records of {} pairs; {allowed} are allowed",
                                run.pairs
                            ),
                        );
                    }
                }
            }
            _ => {}
        }
        if intent.told.is_empty() {
            self.repeats(arrival, now, findings);
        }
    }

    fn repeats(&mut self, arrival: &Arrival<'_>, now: Millis, findings: &mut Findings) {
        let (WriteOp::Update(update), Some(place)) = (arrival.op, arrival.target()) else {
            return;
        };
        for (name, value) in &update.patch {
            let Some(field) = Field::of(arrival.system, name) else {
                continue;
            };
            let key = (place.clone(), field, plain(field, value));
            let written = self.written.entry(key).or_default();
            written.retain(|at| *at > now - WINDOW);
            written.push(now);
            if written.len() > REPEATS {
                findings.add(
                    2,
                    format!(
                        "{} writes {value} in {field:?} for the {}th time in six hours",
                        arrival.words(),
                        written.len()
                    ),
                );
            }
        }
    }
}

/// The count, or the percentage of the pairs.
fn most((count, percent): (u64, u64), pairs: u64) -> u64 {
    count.max(pairs * percent / 100)
}

#[cfg(test)]
mod tests {
    use samspel_model::FieldBase;

    use super::*;
    use crate::checkers::hand::Hand;
    use crate::ledger::LinkFacts;

    #[test]
    fn a_value_that_is_written_again_and_again_is_found() {
        let hand = Hand::pair();
        let op = hand.update("b001", Field::Name, "n2");
        let decided = hand.decided(&op, "a001");
        let mut valves = Valves::default();
        let mut findings = Findings::default();
        for round in 0..5 {
            assert!(findings.0.is_empty(), "round {round}: {findings:?}");
            let arrival = hand.arrival(&op, Some(decided.clone()));
            valves.arrives(&hand.facts(), &arrival, round, &mut findings);
        }
        assert_eq!(findings.0[0].invariant, 2);
    }

    /// What is found when a run changes the names of 201 pairs.
    fn changes(hand: &Hand) -> Findings {
        let mut valves = Valves::default();
        let mut findings = Findings::default();
        for number in 0..201 {
            assert!(findings.0.is_empty(), "change {number}: {findings:?}");
            let op = hand.update("b001", Field::Name, &format!("n{number}"));
            let mut decided = hand.decided(&op, "a001");
            decided.intent.link = Some(LinkId(format!("l{number}")));
            let arrival = hand.arrival(&op, Some(decided));
            valves.arrives(&hand.facts(), &arrival, 0, &mut findings);
        }
        findings
    }

    #[test]
    fn more_changes_than_the_valve_lets_through_are_found() {
        assert_eq!(changes(&Hand::pair()).0[0].invariant, 9);
    }

    #[test]
    fn only_pairs_that_never_met_in_a_field_are_filled_by_a_first_sync_without_end() {
        for (reconciled, first_done, found) in [
            (false, false, false),
            (true, false, true),
            (false, true, true),
        ] {
            let mut hand = Hand::pair();
            let rule = hand.facts().agreements[0].rule_name(Field::Name);
            let sync = &mut hand.ledger().syncs[0];
            sync.first_done = first_done;
            for number in 0..201 {
                let nothing = FieldBase {
                    a: serde_json::Value::Null,
                    b: serde_json::Value::Null,
                    rule: String::new(),
                    undone: false,
                };
                let facts = LinkFacts {
                    records: ["a001".into(), "b001".into()],
                    ended: false,
                    since: 0,
                    reconciled: reconciled
                        .then(|| (rule.clone(), (nothing, 0)))
                        .into_iter()
                        .collect(),
                };
                sync.links.insert(LinkId(format!("l{number}")), facts);
            }
            let found_now = !changes(&hand).0.is_empty();
            assert_eq!(found_now, found, "{reconciled} {first_done}");
        }
    }
}
