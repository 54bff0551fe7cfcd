//! Where every record went: observed = applied + no-op + filtered + conflict + parked + pending.
//!
//! The planner says what became of each record that left the queue; here the writes that some of them led to are
//! followed until they are settled. A run whose accounts do not balance is an error: a record would have been lost.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// What became of a record, from the least to the most that a person has to do with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// There was nothing to do.
    Noop,
    /// It does not flow.
    Filtered,
    /// What was to be written is written.
    Applied,
    /// A person decides.
    Conflict,
    /// It failed for good.
    Parked,
}

/// A record that left the queue.
#[derive(Debug, Clone)]
pub struct Row {
    /// What became of it, apart from its writes.
    pub class: Class,
    /// The writes that it led to.
    pub intents: Vec<String>,
}

impl Row {
    /// Whether there was nothing to do.
    pub fn is_at_rest(&self) -> bool {
        self.class == Class::Noop && self.intents.is_empty()
    }
}

/// How a write ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// In this class.
    As(Class),
    /// It was given up, and its records are in the queue again.
    Again,
}

/// The numbers. `observed` is the sum of the others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub struct Accounts {
    /// Records that said something new, or waited from an earlier run.
    pub observed: u64,
    /// Written to the other side.
    pub applied: u64,
    /// Nothing to do.
    pub noop: u64,
    /// They do not flow; the reasons are counted apart.
    pub filtered: u64,
    /// Left to a person, holds included.
    pub conflict: u64,
    /// Failed for good.
    pub parked: u64,
    /// Still to be looked at, or with writes whose outcome is not known.
    pub pending: u64,
}

impl Accounts {
    /// Whether every record is accounted for.
    pub fn balance(&self) -> bool {
        self.observed
            == self.applied + self.noop + self.filtered + self.conflict + self.parked + self.pending
    }
}

/// A record whose writes are under way.
#[derive(Debug)]
struct Open {
    class: Class,
    left: usize,
    again: bool,
}

/// Follows records until they are accounted for. Its size is bounded by the writes under way.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Records that left the queue for good, counted where they leave it.
    left_queue: u64,
    accounts: Accounts,
    open: HashMap<u64, Open>,
    of_intent: HashMap<String, Vec<u64>>,
    next: u64,
}

impl Ledger {
    /// A batch was planned: so many records left the queue, and this is what became of them.
    pub fn planned(&mut self, left_queue: u64, rows: &[Row]) {
        self.left_queue += left_queue;
        for row in rows {
            if row.intents.is_empty() {
                self.count(row.class);
                continue;
            }
            let number = self.next;
            self.next += 1;
            for intent in &row.intents {
                self.of_intent
                    .entry(intent.clone())
                    .or_default()
                    .push(number);
            }
            self.open.insert(
                number,
                Open {
                    class: row.class.max(Class::Applied),
                    left: row.intents.len(),
                    again: false,
                },
            );
        }
    }

    /// A write ended.
    pub fn closed(&mut self, intent: &str, closing: Closing) {
        for number in self.of_intent.remove(intent).unwrap_or_default() {
            let Some(open) = self.open.get_mut(&number) else {
                continue;
            };
            open.left -= 1;
            match closing {
                Closing::As(class) => open.class = open.class.max(class),
                Closing::Again => open.again = true,
            }
            if open.left > 0 {
                continue;
            }
            let (class, again) = (open.class, open.again);
            self.open.remove(&number);
            if again {
                // It is counted when it leaves the queue again, or as pending.
                self.left_queue -= 1;
            } else {
                self.count(class);
            }
        }
    }

    fn count(&mut self, class: Class) {
        *match class {
            Class::Noop => &mut self.accounts.noop,
            Class::Filtered => &mut self.accounts.filtered,
            Class::Applied => &mut self.accounts.applied,
            Class::Conflict => &mut self.accounts.conflict,
            Class::Parked => &mut self.accounts.parked,
        } += 1;
    }

    /// The numbers so far, with so many records in the queue.
    pub fn accounts(&self, queue: u64) -> Accounts {
        Accounts {
            observed: self.left_queue + queue,
            pending: self.open.len() as u64 + queue,
            ..self.accounts
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(class: Class, intents: &[&str]) -> Row {
        Row {
            class,
            intents: intents.iter().map(|&id| id.to_owned()).collect(),
        }
    }

    #[test]
    fn every_record_is_counted_once_when_its_last_write_ends() {
        let mut ledger = Ledger::default();
        ledger.planned(
            3,
            &[
                row(Class::Noop, &[]),
                row(Class::Noop, &["one", "two"]),
                row(Class::Conflict, &["three"]),
            ],
        );
        ledger.closed("one", Closing::As(Class::Applied));
        let open = ledger.accounts(5);
        assert_eq!((open.noop, open.applied, open.pending), (1, 0, 7));
        assert!(open.balance());
        ledger.closed("two", Closing::As(Class::Applied));
        ledger.closed("three", Closing::As(Class::Applied));
        let closed = ledger.accounts(0);
        assert_eq!((closed.applied, closed.conflict, closed.pending), (1, 1, 0));
        assert!(closed.balance());
    }

    #[test]
    fn a_record_whose_write_was_given_up_is_counted_when_it_comes_again() {
        let mut ledger = Ledger::default();
        ledger.planned(1, &[row(Class::Noop, &["one"])]);
        ledger.closed("one", Closing::Again);
        let waiting = ledger.accounts(1);
        assert_eq!((waiting.observed, waiting.pending), (1, 1));
        assert!(waiting.balance());
    }

    #[test]
    fn a_record_that_nobody_counted_does_not_balance() {
        let mut ledger = Ledger::default();
        ledger.planned(2, &[row(Class::Noop, &[])]);
        assert!(!ledger.accounts(0).balance());
    }
}
