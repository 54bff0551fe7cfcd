//! 6. Crash atomicity: what is written was stored before, and what is stored was really held.

use serde_json::Value;

use crate::checkers::{Arrival, Facts};
use crate::field::Field;
use crate::ledger::{Notes, Place};
use crate::systems::Standing;
use crate::violation::Findings;

/// A write that reaches a system is stored and not settled.
pub(crate) fn arrives(_: &Facts<'_>, arrival: &Arrival<'_>, findings: &mut Findings) {
    if arrival.decided.is_none() {
        findings.add(
            6,
            format!(
                "{} arrives, and no write that says so is stored as under way",
                arrival.words()
            ),
        );
    }
}

/// Each image in the base of a pair was really held by that record at some time.
pub(crate) fn committed(facts: &Facts<'_>, notes: &Notes, findings: &mut Findings) {
    let agreement = &facts.agreements[notes.sync];
    for link in &notes.links {
        for (name, base) in &link.base.fields {
            let Some(mapping) = agreement.mapping_called(name) else {
                continue;
            };
            for (index, (id, image)) in [(&link.a, &base.a), (&link.b, &base.b)]
                .into_iter()
                .enumerate()
            {
                let place = (agreement.systems[index], id.clone());
                if !was_held(facts, &place, mapping.field, image) {
                    findings.add(
                        6,
                        format!(
                            "the base of {}-{} says that {id} held {image} in {:?}, and it never did",
                            link.a, link.b, mapping.field
                        ),
                    );
                }
            }
        }
    }
}

/// Whether a record, or one that was merged into it, ever held exactly this value.
fn was_held(facts: &Facts<'_>, place: &Place, field: Field, value: &Value) -> bool {
    let (system, id) = place;
    let records = &facts.systems[*system].records;
    let Some(record) = records.get(id) else {
        return false;
    };
    let held = |versions: &[std::sync::Arc<crate::systems::Version>]| {
        versions
            .iter()
            .rev()
            .any(|version| version.values[field.index()] == *value)
    };
    let mut merged = vec![id.clone()];
    let mut next = 0;
    while let Some(into) = merged.get(next).cloned() {
        next += 1;
        let absorbed = records
            .iter()
            .filter(|(_, other)| other.now().standing == Standing::Merged(into.clone()));
        merged.extend(absorbed.map(|(id, _)| id.clone()));
    }
    held(&record.versions)
        || merged
            .iter()
            .filter_map(|id| records.get(id))
            .any(|other| held(&other.versions))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::hand::Hand;

    #[test]
    fn a_write_that_is_not_stored_is_found() {
        let hand = Hand::pair();
        let op = hand.update("b001", Field::Name, "n1");
        let mut findings = Findings::default();
        arrives(&hand.facts(), &hand.arrival(&op, None), &mut findings);
        assert_eq!(findings.0[0].invariant, 6);
    }

    #[test]
    fn a_base_that_was_never_held_is_found() {
        let hand = Hand::pair();
        let mut findings = Findings::default();
        committed(&hand.facts(), &hand.link_notes("n1", "n1"), &mut findings);
        assert!(findings.0.is_empty(), "{findings:?}");
        committed(&hand.facts(), &hand.link_notes("n1", "n9"), &mut findings);
        assert_eq!(findings.0[0].invariant, 6);
    }
}
