//! 4. No invention: every value in a write was shown by the record that it comes from, or was decided by an operator.

use samspel_model::{ConsentState, Fields, WriteOp};
use serde_json::Value;

use crate::checkers::{Arrival, Facts};
use crate::field::{Field, Plain, is_empty, plain, same, words};
use crate::ledger::Place;
use crate::systems::Standing;
use crate::violation::Findings;

/// A write reaches a system. `undoing`: it gives back what the target held before, which an operator asked for.
pub(crate) fn arrives(
    facts: &Facts<'_>,
    arrival: &Arrival<'_>,
    undoing: bool,
    findings: &mut Findings,
) {
    let Some(source) = arrival.source(facts) else {
        return;
    };
    let (patch, consents): (&Fields, _) = match arrival.op {
        WriteOp::Create(create) => (&create.fields, &create.consents),
        WriteOp::Update(update) => (&update.patch, &update.consents),
        WriteOp::Remove(_) => return,
    };
    let mut places = vec![source.clone()];
    places.extend(arrival.target());
    merged(facts, &mut places);
    for (name, value) in patch {
        let Some(field) = Field::of(arrival.system, name) else {
            findings.add(
                4,
                format!("{} names a field `{name}` that is none", arrival.words()),
            );
            continue;
        };
        if !was_shown(facts, &places, &source, undoing, field, value) {
            findings.add(
                4,
                format!(
                    "{} carries {value} in {field:?}, which {} never showed",
                    arrival.words(),
                    source.1
                ),
            );
        }
    }
    for consent in consents {
        if consent.state == ConsentState::Unsubscribed {
            let person = facts
                .ledger
                .person_ever(&source, facts.agreements, facts.systems);
            let known = person.iter().chain(&places).any(|(system, id)| {
                facts.systems[*system]
                    .records
                    .get(id)
                    .is_some_and(|record| {
                        record.shown_versions().any(|version| version.said.is_out())
                    })
            });
            // An address that is stored as suppressed after an erasure has no record any more.
            if !known {
                findings.add(
                    4,
                    format!("{} opts somebody out who never did", arrival.words()),
                );
            }
        }
    }
}

/// Adds the records that were merged into some.
pub(super) fn merged(facts: &Facts<'_>, places: &mut Vec<Place>) {
    let mut index = 0;
    while index < places.len() {
        let (system, id) = places[index].clone();
        for (other, record) in &facts.systems[system].records {
            let place = (system, other.clone());
            if record.now().standing == Standing::Merged(id.clone()) && !places.contains(&place) {
                places.push(place);
            }
        }
        index += 1;
    }
}

/// Whether one of some records showed the value. Of a set, each word may be from another time, and from the target.
fn was_shown(
    facts: &Facts<'_>,
    places: &[Place],
    source: &Place,
    undoing: bool,
    field: Field,
    value: &Value,
) -> bool {
    let shown = |test: &dyn Fn(&Value) -> bool, from: &dyn Fn(&Place) -> bool| {
        places
            .iter()
            .filter(|place| from(place))
            .any(|(system, id)| {
                facts.systems[*system]
                    .records
                    .get(id)
                    .is_some_and(|record| {
                        record
                            .shown_versions()
                            .any(|version| test(&version.values[field.index()]))
                    })
            })
    };
    let anywhere = |_: &Place| true;
    let at_source = |place: &Place| undoing || place.0 == source.0;
    match plain(field, value) {
        Plain::Set(set) => set
            .iter()
            .all(|word| shown(&|held| words(held).contains(word), &anywhere)),
        Plain::Nothing => shown(&is_empty, &at_source) || field == Field::Tags,
        Plain::Text(_) => shown(&|held| same(field, held, value), &at_source),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::hand::Hand;

    #[test]
    fn a_value_that_nobody_showed_is_found() {
        let mut hand = Hand::pair();
        hand.show_all();
        for (value, invented) in [("n1", false), ("n7", true)] {
            let op = hand.update("b001", Field::Name, value);
            let decided = hand.decided(&op, "a001");
            let mut findings = Findings::default();
            arrives(
                &hand.facts(),
                &hand.arrival(&op, Some(decided)),
                false,
                &mut findings,
            );
            assert_eq!(!findings.0.is_empty(), invented, "{findings:?}");
        }
    }
}
