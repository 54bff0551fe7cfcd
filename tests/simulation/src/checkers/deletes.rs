//! 9. Delete safety: nothing is taken away without evidence, and not too much at once.

use std::collections::BTreeMap;

use samspel_model::WriteOp;

use crate::checkers::invention::merged;
use crate::checkers::{Arrival, Facts};
use crate::field::{is_empty, same};
use crate::ledger::Place;
use crate::systems::{By, Standing, Version};
use crate::violation::Findings;

/// Removals, by run.
#[derive(Debug, Default)]
pub(crate) struct Deletes {
    runs: BTreeMap<String, (u64, u64)>,
}

impl Deletes {
    /// A removal reaches a system: the partner was really deleted or archived, now or when it was last shown.
    pub fn arrives(&mut self, facts: &Facts<'_>, arrival: &Arrival<'_>, findings: &mut Findings) {
        let (WriteOp::Remove(_), Some(decided), Some(source)) =
            (arrival.op, &arrival.decided, arrival.source(facts))
        else {
            return;
        };
        let gone = |version: &Version| {
            matches!(
                version.standing,
                Standing::Deleted | Standing::Archived | Standing::Merged(_)
            )
        };
        let record = facts.systems[source.0].records.get(&source.1);
        let evidence = record.is_some_and(|record| {
            gone(record.now())
                || record
                    .shown_versions()
                    .next_back()
                    .is_some_and(|last| gone(last))
        });
        if !evidence {
            let standing = record.map(|record| record.now().standing.clone());
            findings.add(
                9,
                format!(
                    "{} arrives because of {}, which is {standing:?} and was never shown to be gone",
                    arrival.words(),
                    source.1
                ),
            );
        }
        edited(facts, arrival, &source, findings);
        let sync = &facts.ledger.syncs[arrival.sync];
        let links = sync.links.len() as u64;
        let (count, most) = self
            .runs
            .entry(decided.intent.run.clone())
            .or_insert((0, links));
        *count += 1;
        *most = (*most).max(links);
        let allowed = (*most / 10).max(10);
        if *count > allowed && sync.approvals == 0 {
            findings.add(
                9,
                format!("a run takes {count} records away of {most} pairs; {allowed} are allowed"),
            );
        }
    }
}

/// An edit beats a delete: what somebody has written to the record that is taken away was shown to the other side, or
/// is told as lost.
fn edited(facts: &Facts<'_>, arrival: &Arrival<'_>, source: &Place, findings: &mut Findings) {
    let agreement = &facts.agreements[arrival.sync];
    let sync = &facts.ledger.syncs[arrival.sync];
    let other = arrival.side.other();
    let (Some(decided), Some(target)) = (&arrival.decided, arrival.target()) else {
        return;
    };
    // Where the gone one would not be made anew, its partner goes with it.
    if !agreement.create[other.index()] {
        return;
    }
    let records = |place: &Place| facts.systems[place.0].records.get(&place.1);
    let Some(here) = records(&target) else {
        return;
    };
    // What others held that were merged into the source had arrived, too.
    let mut sources = vec![source.clone()];
    merged(facts, &mut sources);
    for mapping in agreement
        .fields
        .iter()
        .filter(|mapping| mapping.to[other.index()])
    {
        let field = mapping.field;
        // An answer with some of the fields does not tell of the others.
        let known = facts.ledger.value_by(&target, decided.step, field);
        let Some((seq, version)) = known.and_then(|seq| Some((seq, here.version(seq)?))) else {
            continue;
        };
        let value = &version.values[field.index()];
        let by_user = here
            .versions
            .iter()
            .rev()
            .skip_while(|version| version.seq != seq)
            .take_while(|version| same(field, &version.values[field.index()], value))
            .last()
            .is_some_and(|version| version.by == By::User);
        let arrived = sources.iter().filter_map(records).any(|there| {
            let mut versions = there.versions.iter();
            versions.any(|version| same(field, &version.values[field.index()], value))
        });
        let left = sync
            .left
            .iter()
            .any(|(_, id, _)| *id == source.1 || *id == target.1);
        let told = left || sync.told.iter().any(|(_, told)| same(field, told, value));
        if by_user && !is_empty(value) && !arrived && !told {
            findings.add(
                9,
                format!(
                    "{} takes {value} in {field:?} away, which somebody wrote and {} never held",
                    arrival.words(),
                    source.1
                ),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::hand::Hand;

    #[test]
    fn a_removal_whose_partner_is_there_or_only_left_is_found() {
        for (standing, wrong) in [
            (Standing::Live, true),
            (Standing::OutOfScope, true),
            (Standing::Archived, false),
        ] {
            let mut hand = Hand::pair();
            hand.stand("a001", standing);
            let op = hand.remove("b001");
            let decided = hand.decided(&op, "a001");
            let mut findings = Findings::default();
            Deletes::default().arrives(
                &hand.facts(),
                &hand.arrival(&op, Some(decided)),
                &mut findings,
            );
            assert_eq!(!findings.0.is_empty(), wrong, "{findings:?}");
        }
    }

    #[test]
    fn the_eleventh_removal_of_a_run_is_found() {
        let mut hand = Hand::pair();
        hand.stand("a001", Standing::Deleted);
        let op = hand.remove("b001");
        let decided = hand.decided(&op, "a001");
        let mut deletes = Deletes::default();
        let mut findings = Findings::default();
        for _ in 0..10 {
            deletes.arrives(
                &hand.facts(),
                &hand.arrival(&op, Some(decided.clone())),
                &mut findings,
            );
        }
        assert!(findings.0.is_empty(), "{findings:?}");
        deletes.arrives(
            &hand.facts(),
            &hand.arrival(&op, Some(decided)),
            &mut findings,
        );
        assert_eq!(findings.0[0].invariant, 9);
    }
}
