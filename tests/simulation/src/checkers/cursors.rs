//! 7. Cursor safety: nothing at or below a stored position is unstored.

use std::collections::BTreeMap;

use samspel_model::Side;

use crate::checkers::Facts;
use crate::ledger::Notes;
use crate::quirk::Quirk;
use crate::violation::Findings;

/// How far each position was looked at.
#[derive(Debug, Default)]
pub(crate) struct Cursors {
    seen: BTreeMap<(usize, Side), u64>,
}

impl Cursors {
    /// A commit succeeded.
    pub fn committed(&mut self, facts: &Facts<'_>, notes: &Notes, findings: &mut Findings) {
        for (side, cursor) in &notes.cursors {
            let Some(place) = cursor
                .incremental
                .as_ref()
                .and_then(|text| text.split_once(':')?.1.parse::<u64>().ok())
            else {
                continue;
            };
            let system = &facts.systems[facts.agreements[notes.sync].system(*side)];
            let empty = system
                .records
                .values()
                .all(|record| !record.now().is_live());
            let from = self.seen.entry((notes.sync, *side)).or_default();
            for (id, version) in system.feed.iter().take(place as usize).skip(*from as usize) {
                if !version.told {
                    continue;
                }
                let at = (system.index, id.clone());
                let stored = facts.ledger.stored.get(&at);
                // What was not believed because it may be older is owed a fetch.
                let noted = facts.ledger.noted.get(&at);
                let known = noted.is_some_and(|seq| *seq >= version.seq)
                    || stored
                        .is_some_and(|stored| stored.iter().any(|(seq, _)| *seq >= version.seq));
                // A record that the host never saw is not missed when it is gone; a remote that does not report that
                // something is gone does not hold it in its feed; and what an empty listing does not show is not taken
                // as gone (the specification: "an empty listing opens a new epoch: absences there delete nothing"). So
                // is one that is known to be gone, and came back and went again. Where the only position had to be
                // thrown away, the next complete listing is to find what is missing from one that was cut.
                let known_gone = stored
                    .and_then(|stored| stored.last())
                    .is_some_and(|(seq, _)| {
                        system
                            .records
                            .get(id)
                            .and_then(|record| record.version(*seq))
                            .is_some_and(|version| !version.is_live())
                    });
                let unheld = stored.is_none()
                    || system.has(Quirk::DeletesByListing)
                    || empty
                    || known_gone
                    || cursor.incomplete;
                let gone = !version.is_live() && unheld;
                let passed = system.records.get(id).and_then(|record| {
                    let mut back = record.versions.iter().rev();
                    back.find(|version| version.seq <= place)
                });
                // What changed once more is in the feed once more.
                let told_later = system.records.get(id).is_some_and(|record| {
                    let mut later = record.versions.iter().rev();
                    later.any(|version| version.seq > place && version.told)
                });
                let superseded = told_later
                    || passed.is_some_and(|passed| !passed.is_live() && unheld)
                    || system.now(id).is_some_and(|now| !now.is_live() && unheld);
                let here = notes.observed.iter().any(|(place, _)| *place == at);
                if !known && !gone && !superseded && !here {
                    findings.add(
                        7,
                        format!(
                            "the position of side {side} is behind change {} of {id}, which is not stored",
                            version.seq
                        ),
                    );
                }
            }
            *from = (*from).max(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::hand::Hand;

    #[test]
    fn a_position_behind_what_is_not_stored_is_found() {
        let mut hand = Hand::pair();
        let mut findings = Findings::default();
        let notes = hand.cursor_notes("1:1");
        Cursors::default().committed(&hand.facts(), &notes, &mut findings);
        assert_eq!(findings.0[0].invariant, 7);
        hand.store_all();
        let mut findings = Findings::default();
        Cursors::default().committed(&hand.facts(), &notes, &mut findings);
        assert!(findings.0.is_empty(), "{findings:?}");
    }
}
