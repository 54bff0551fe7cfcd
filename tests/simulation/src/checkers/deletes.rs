//! 9. Delete safety: nothing is taken away without evidence, and not too much at once.

use std::collections::BTreeMap;

use samspel_model::WriteOp;

use crate::checkers::{Arrival, Facts};
use crate::systems::{Standing, Version};
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
