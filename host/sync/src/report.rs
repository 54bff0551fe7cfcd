//! What a run did, what a plan would do, what a comparison found.

use std::collections::BTreeMap;

use jiff::Timestamp;
use samspel_model::Side;
use serde::{Deserialize, Serialize};

use crate::accounts::Accounts;

/// A number per side.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Sides {
    /// Of A.
    pub a: u64,
    /// Of B.
    pub b: u64,
}

impl Sides {
    /// Adds to a side.
    pub fn add(&mut self, side: Side, number: u64) {
        match side {
            Side::A => self.a += number,
            Side::B => self.b += number,
        }
    }

    /// Of both.
    pub fn sum(self) -> u64 {
        self.a + self.b
    }
}

/// What a run did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunReport {
    /// Identifies the run.
    pub run: String,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// It was told to stop before everything was done.
    pub stopped: bool,
    /// It was told of records, and gave its turn up before everything was done: the next run goes on.
    #[serde(default)]
    pub turn_over: bool,
    /// Nothing was written because the sync only observes.
    pub observe_only: bool,
    /// Records read.
    pub read: Sides,
    /// Records that said something new.
    pub changed: Sides,
    /// Records looked at by the planner.
    pub planned: u64,
    /// Records that were linked with one that existed.
    pub linked: u64,
    /// Records created on each side.
    pub created: Sides,
    /// Records changed on each side.
    pub updated: Sides,
    /// Records archived or deleted on each side.
    pub removed: Sides,
    /// All writes that were done.
    pub writes: u64,
    /// Records that needed nothing.
    pub noop: u64,
    /// Records that the sync leaves alone, by reason.
    pub filtered: BTreeMap<String, u64>,
    /// Records with a decision that is left to a person.
    pub conflicts: u64,
    /// What the valves hold.
    #[serde(default)]
    pub holds: u64,
    /// Records that failed for good.
    pub parked: u64,
    /// Writes that a remote refused for the person's protection.
    pub suppressed: u64,
    /// Writes that were given up and planned again.
    pub abandoned: u64,
    /// Records that are left for the next run.
    pub pending: u64,
    /// Where every record went: observed = applied + noop + filtered + conflict + parked + pending.
    #[serde(default)]
    pub accounts: Accounts,
    /// Write calls sent to each side.
    pub batches: Sides,
}

/// One thing that a plan would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PlanSample {
    /// `link`, `create`, `update`, `remove`, `conflict` or `hold`.
    pub what: String,
    /// The side that would be written.
    pub side: Side,
    /// The record it comes from, or that is written.
    pub record: String,
    /// The fields that would change.
    pub fields: Vec<String>,
    /// For a conflict: why.
    pub why: Option<String>,
}

/// What a plan would do.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PlanReport {
    /// Records that were read.
    pub read: Sides,
    /// Records that would be linked with one that exists.
    pub link: u64,
    /// Records that would be created on each side.
    pub create: Sides,
    /// Records that would be changed on each side.
    pub update: Sides,
    /// Records that would be archived on each side.
    pub remove: Sides,
    /// Opt-outs that would be written to each side.
    pub restrict: Sides,
    /// Records that need nothing.
    pub unchanged: u64,
    /// Records that the sync leaves alone, by reason.
    pub skipped: BTreeMap<String, u64>,
    /// Records with a decision that is left to a person.
    pub conflicts: u64,
    /// What the valves would hold.
    #[serde(default)]
    pub holds: u64,
    /// Stands for everything that would be done: `sync run --plan HASH` does exactly that, or refuses.
    #[serde(default)]
    pub hash: String,
    /// Of each as many as were asked for.
    pub samples: Vec<PlanSample>,
    /// How many samples of one kind and side are kept.
    #[serde(skip)]
    pub(crate) keep: usize,
}

impl PlanReport {
    /// How many samples of one kind and side are kept, unless somebody asks for more.
    pub const SAMPLES: usize = 3;

    /// Keeps a sample, unless there are enough of its kind.
    pub(crate) fn sample(&mut self, sample: impl FnOnce() -> PlanSample, what: &str, side: Side) {
        let enough = self
            .samples
            .iter()
            .filter(|known| known.what == what && known.side == side)
            .count()
            >= self.keep;
        if !enough {
            self.samples.push(sample());
        }
    }
}

/// A linked pair that is not equal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VerifySample {
    /// A's record.
    pub a: String,
    /// B's record.
    pub b: String,
    /// The mappings and consents that differ.
    pub differs: Vec<String>,
}

/// What a comparison of both sides found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VerifyReport {
    /// Records read.
    pub read: Sides,
    /// Linked pairs of which both records are there.
    pub links: u64,
    /// Pairs that differ.
    pub unequal: u64,
    /// Pairs of which a record is gone.
    pub ended: u64,
    /// Present records without a partner.
    pub unlinked: Sides,
    /// Conflicts in the queue.
    pub conflicts: u64,
    /// What the valves hold.
    pub holds: u64,
    /// Parked records.
    pub parked: u64,
    /// The share of the linked pairs that are equal, from 0 to 1.
    pub equal_share: f64,
    /// Since when the oldest change that is not carried over waits.
    pub oldest_unsynced: Option<Timestamp>,
    /// Pairs that differed and are equal now.
    pub healed: u64,
    /// A few pairs that differ.
    pub samples: Vec<VerifySample>,
}
