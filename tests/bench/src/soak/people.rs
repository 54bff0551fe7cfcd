//! People who work in both vendors, and what they did last.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use samspel_vendors::hubspot::NEWSLETTER;
use serde_json::json;

use crate::error::BenchError;
use crate::stage::Pair;
use crate::wire::{self, Marks};

/// Of so many changes, this many are new people ...
const OF: u64 = 100;
const NEW: u64 = 3;
/// ... and this many are opt-outs. All others are edits.
const OPT_OUTS: u64 = 2;

/// Somebody at one pair of vendors: the pair, and the address.
pub type Who = (usize, String);

/// Whose turn it is, and where.
struct Turn<'p> {
    /// The change.
    number: u64,
    /// The pair of vendors.
    index: usize,
    pair: &'p Pair,
    /// In the CRM, not in the e-mail platform.
    in_crm: bool,
}

/// Somebody's first name as it was written last.
#[derive(Debug, Clone, Copy)]
pub struct Last {
    /// The change.
    pub number: u64,
    /// An earlier one was on its way then: either of them holds.
    pub raced: bool,
}

/// What people did.
#[derive(Debug, Default)]
pub struct People {
    /// By pair: whose turn is next.
    next: BTreeMap<usize, usize>,
    last: BTreeMap<Who, Last>,
    opted_out: BTreeSet<Who>,
    came: BTreeSet<Who>,
    changes: u64,
    races: u64,
}

impl People {
    /// Somebody changes something. Everybody of a pair has a turn before anybody has another one.
    ///
    /// # Errors
    /// The vendor refuses it.
    pub fn change(&mut self, pairs: &[Pair], marks: &Marks, number: u64) -> Result<(), BenchError> {
        let count = pairs.len() as u64;
        let index = usize::try_from(number % count).unwrap_or_default();
        let round = number / count;
        let turn = Turn {
            number,
            index,
            pair: &pairs[index],
            in_crm: round.is_multiple_of(2),
        };
        self.changes += 1;
        match round % OF {
            kind if kind < NEW => self.come(&turn, marks),
            kind if kind < NEW + OPT_OUTS => self.opt_out(&turn),
            _ => self.edit(&turn, marks),
        }
    }

    fn come(&mut self, turn: &Turn<'_>, marks: &Marks) -> Result<(), BenchError> {
        let (email, value) = (
            format!("new{}@harbour.example", turn.number),
            wire::value(turn.number),
        );
        let who = (turn.index, email.clone());
        self.begin(turn, marks, &who);
        self.came.insert(who);
        if turn.in_crm {
            turn.pair.in_crm(json!({
                "act": "create",
                "properties": { "email": email, "firstname": value, "lastname": "New" },
            }))
        } else {
            turn.pair.in_list(json!({
                "act": "create",
                "email": email,
                "merge_fields": { "FNAME": value, "LNAME": "New" },
            }))
        }
    }

    fn opt_out(&mut self, turn: &Turn<'_>) -> Result<(), BenchError> {
        let email = self.next(turn);
        if !self.opted_out.insert((turn.index, email.clone())) {
            // They have left already: the vendors do not let them leave twice.
            return Ok(());
        }
        if turn.in_crm {
            turn.pair
                .in_crm(json!({ "act": "unsubscribe", "email": email, "subscription": NEWSLETTER }))
        } else {
            turn.pair
                .in_list(json!({ "act": "unsubscribe", "member": email }))
        }
    }

    fn edit(&mut self, turn: &Turn<'_>, marks: &Marks) -> Result<(), BenchError> {
        let (email, value) = (self.next(turn), wire::value(turn.number));
        self.begin(turn, marks, &(turn.index, email.clone()));
        if turn.in_crm {
            turn.pair.in_crm(
                json!({ "act": "edit", "contact": email, "properties": { "firstname": value } }),
            )
        } else {
            turn.pair.in_list(
                json!({ "act": "edit", "member": email, "merge_fields": { "FNAME": value } }),
            )
        }
    }

    fn begin(&mut self, turn: &Turn<'_>, marks: &Marks, who: &Who) {
        let number = turn.number;
        let raced = self
            .last
            .get(who)
            .is_some_and(|last| marks.is_under_way(last.number));
        self.races += u64::from(raced);
        self.last.insert(who.clone(), Last { number, raced });
        let target = if turn.in_crm {
            turn.pair.list_wire
        } else {
            turn.pair.crm_wire
        };
        marks.begin(number, Instant::now(), target);
    }

    /// Who has a turn. Only who was there from the start: those who come must be known on both sides before they can be
    /// edited on either.
    fn next(&mut self, turn: &Turn<'_>) -> String {
        let people = &turn.pair.people;
        let next = self.next.entry(turn.index).or_default();
        let email = people[*next % people.len()].clone();
        *next += 1;
        email
    }

    /// How much they did.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// How many changes met an earlier one of the same person on its way.
    pub fn races(&self) -> u64 {
        self.races
    }

    /// What was written last of everybody who was written about.
    pub fn last(&self) -> impl Iterator<Item = (&Who, Last)> {
        self.last.iter().map(|(who, last)| (who, *last))
    }

    /// Who has left.
    pub fn opted_out(&self) -> impl Iterator<Item = &Who> {
        self.opted_out.iter()
    }

    /// Who came.
    pub fn came(&self) -> impl Iterator<Item = &Who> {
        self.came.iter()
    }
}
