//! 8. No regression: an older observation never overwrites a newer one.

use std::collections::BTreeMap;

use samspel_model::Presence;
use samspel_model::store::Observation;

use crate::checkers::Facts;
use crate::field::Field;
use crate::ledger::Place;
use crate::systems::{Record, Version};
use crate::violation::Findings;

/// How many things are told of a record: its fields, its presence, and what its person said.
const PARTS: usize = 7;

/// For each part of each record, the oldest version that held what is stored.
#[derive(Debug, Default)]
pub(crate) struct Regression {
    known: BTreeMap<Place, [u64; PARTS]>,
}

impl Regression {
    /// This is stored of some records now.
    pub fn stored(
        &mut self,
        facts: &Facts<'_>,
        system: usize,
        stored: &[Observation],
        findings: &mut Findings,
    ) {
        for observation in stored {
            let Some(record) = facts.systems[system].records.get(&observation.id) else {
                continue;
            };
            let known = self
                .known
                .entry((system, observation.id.clone()))
                .or_default();
            for (part, known) in known.iter_mut().enumerate() {
                // What was never held is another checker's business.
                let Some((first, last)) = span(record, system, observation, part) else {
                    continue;
                };
                if last < *known {
                    findings.add(
                        8,
                        format!(
                            "{} of {} is stored as it was at change {last}; before, it was stored as of change {} or later",
                            part_name(part),
                            observation.id,
                            *known
                        ),
                    );
                }
                *known = (*known).max(first);
            }
        }
    }
}

/// The first and the last version in which the record held what is stored.
fn span(record: &Record, system: usize, stored: &Observation, part: usize) -> Option<(u64, u64)> {
    let holds = |version: &Version| match part {
        0..5 => stored
            .fields
            .get(Field::ALL[part].name(system))
            .is_some_and(|value| *value == version.values[part]),
        5 => (stored.presence == Presence::Present) == version.is_live(),
        _ => stored
            .consents
            .first()
            .is_some_and(|consent| consent.state == version.said.state),
    };
    let mut held = record.versions.iter().filter(|version| holds(version));
    let first = held.next()?;
    Some((first.seq, held.next_back().unwrap_or(first).seq))
}

fn part_name(part: usize) -> &'static str {
    [
        "the address",
        "the name",
        "the phone number",
        "the tags",
        "the note",
        "the presence",
        "the consent",
    ][part]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::hand::Hand;
    use crate::systems::By;

    #[test]
    fn a_newer_observation_that_is_overwritten_by_an_older_one_is_found() {
        let mut hand = Hand::pair();
        let old = hand.observation("a001");
        hand.edit("a001", Field::Name, "n2", By::User);
        let new = hand.observation("a001");
        let mut regression = Regression::default();
        let mut findings = Findings::default();
        for observation in [&old, &new] {
            regression.stored(
                &hand.facts(),
                0,
                std::slice::from_ref(observation),
                &mut findings,
            );
        }
        assert!(findings.0.is_empty(), "{findings:?}");
        regression.stored(&hand.facts(), 0, &[old], &mut findings);
        assert_eq!(findings.0[0].invariant, 8);
    }
}
