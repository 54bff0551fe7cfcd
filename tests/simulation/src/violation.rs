//! What is found when an invariant does not hold.

use serde::Serialize;

/// An invariant that did not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Its number in the specification, 1 to 12.
    pub invariant: u8,
    /// What happened, for people.
    pub what: String,
    /// The step of the world.
    pub step: u64,
    /// The seed.
    pub seed: u64,
    /// The end of the trace, where one was kept.
    pub tail: Vec<String>,
}

/// What a checker found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// The invariant.
    pub invariant: u8,
    /// What happened, for people.
    pub what: String,
}

/// What checkers found.
#[derive(Debug, Default)]
pub(crate) struct Findings(pub Vec<Finding>);

impl Findings {
    /// Adds one.
    pub fn add(&mut self, invariant: u8, what: impl Into<String>) {
        self.0.push(Finding {
            invariant,
            what: what.into(),
        });
    }
}
