//! 12. What the remote refused for good is not tried again until something changes, or an operator says so.

use std::collections::BTreeMap;

use samspel_model::store::Step;
use samspel_model::{RecordId, Side};

use crate::checkers::Facts;
use crate::ledger::Notes;
use crate::violation::Findings;

/// How often it may be: both records of a pair may wait to be looked at.
const ATTEMPTS: u32 = 2;

/// A record that failed for good.
#[derive(Debug, Default)]
struct Refused {
    /// How many commits there had been about records and operators' words.
    news: u64,
    /// How often it was tried again since then.
    attempts: u32,
}

/// Records that failed for good, by sync.
#[derive(Debug, Default)]
pub(crate) struct Tried {
    refused: BTreeMap<(usize, Side, RecordId), Refused>,
    news: u64,
}

impl Tried {
    /// Somebody told of records.
    pub fn told(&mut self) {
        self.news += 1;
    }

    /// A commit succeeded.
    pub fn committed(&mut self, _: &Facts<'_>, notes: &Notes, findings: &mut Findings) {
        if !notes.observed.is_empty()
            || !notes.values.is_empty()
            || notes.step == Step::Operate
            || notes.step == Step::Begin
        {
            self.news += 1;
        }
        for intent in &notes.intents {
            let side = intent.target.other();
            let key = (notes.sync, side, intent.source_record.clone());
            let Some(refused) = self.refused.get_mut(&key) else {
                continue;
            };
            if refused.news != self.news {
                self.refused.remove(&key);
                continue;
            }
            refused.attempts += 1;
            if refused.attempts > ATTEMPTS {
                findings.add(
                    12,
                    format!(
                        "a write for {} is tried again, although nothing changed since it was refused",
                        intent.source_record
                    ),
                );
            }
        }
        for ((side, id), _) in &notes.parked {
            let key = (notes.sync, *side, id.clone());
            let refused = self.refused.entry(key).or_default();
            if refused.news != self.news {
                *refused = Refused {
                    news: self.news,
                    attempts: 0,
                };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::hand::Hand;
    use crate::field::Field;

    #[test]
    fn a_refused_write_that_is_tried_again_and_again_is_found() {
        let hand = Hand::pair();
        let op = hand.update("b001", Field::Name, "n2");
        let intent = hand.decided(&op, "a001").intent;
        let mut tried = Tried::default();
        let mut findings = Findings::default();
        tried.committed(&hand.facts(), &hand.parked_notes("a001"), &mut findings);
        assert!(findings.0.is_empty());
        for _ in 0..ATTEMPTS {
            let again = hand.intent_notes(intent.clone());
            tried.committed(&hand.facts(), &again, &mut findings);
        }
        assert!(findings.0.is_empty());
        tried.committed(&hand.facts(), &hand.intent_notes(intent), &mut findings);
        assert_eq!(findings.0[0].invariant, 12);
    }
}
