//! A seed is a story: what the systems are like, what the operator wants, and what happens, one act after the other. It
//! is plain data, so that a story that fails can be made shorter and told again.

mod draw;
mod tell;

use samspel_model::{Extent, Side};

use crate::agreement::Agreement;
use crate::failpoint::Failpoint;
use crate::people::PeopleAct;
use crate::quirk::Quirk;
use crate::systems::SystemConfig;
use crate::time::Millis;

/// A kind of call on a system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Call {
    /// What it offers.
    Collections,
    /// A page.
    Changes,
    /// Records by id.
    Fetch,
    /// Records by value.
    Find,
    /// Writes.
    Write,
}

/// What happens to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// On which system.
    pub system: usize,
    /// To which kind of call.
    pub call: Call,
    /// How many such calls go well before.
    pub after: u32,
    /// What.
    pub quirk: Quirk,
    /// Which item, how long: as the quirk needs it.
    pub number: u32,
}

/// What happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Act {
    /// Somebody uses a system.
    People(PeopleAct),
    /// A run of a sync begins.
    Run {
        /// Which sync.
        sync: usize,
        /// Everything is read.
        full: bool,
    },
    /// Both sides are read and compared.
    Verify {
        /// Which sync.
        sync: usize,
        /// What differs is decided anew.
        heal: bool,
    },
    /// A run is taken back.
    Undo {
        /// Which sync.
        sync: usize,
        /// How many runs back.
        back: u32,
    },
    /// Hints arrive: targeted runs of these persons' records, repeated, out of order and stale.
    Hints {
        /// Which sync.
        sync: usize,
        /// The side.
        side: Side,
        /// Whose records.
        persons: Vec<usize>,
        /// How much of them may have changed.
        extent: Extent,
    },
    /// A run is told to end early.
    Stop {
        /// Which sync.
        sync: usize,
    },
    /// The process will die.
    Crash {
        /// Where.
        at: Failpoint,
        /// How often it passes there before.
        after: u32,
    },
    /// A call will go wrong.
    Fault(Fault),
    /// A commit will fail.
    StoreFails {
        /// How many go well before.
        after: u32,
    },
    /// The connector of a system is replaced by one that writes other cursors.
    Swap {
        /// Which system.
        system: usize,
        /// It reads the old ones too.
        reads_old: bool,
    },
    /// The host's clock jumps.
    Jump(Millis),
    /// The process stands still; another one may take over.
    Stall(Millis),
    /// The operator decides about what waits.
    Operate {
        /// Which sync.
        sync: usize,
        /// Which of what waits, and how.
        number: u32,
    },
}

/// An act, and how long after the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    /// Milliseconds after the act before.
    pub after: Millis,
    /// What happens.
    pub act: Act,
}

/// A story.
#[derive(Debug, Clone)]
pub(crate) struct Story {
    /// The seed that it was drawn from, and that decides how long everything takes.
    pub seed: u64,
    /// The systems.
    pub systems: Vec<SystemConfig>,
    /// The syncs.
    pub agreements: Vec<Agreement>,
    /// What happens.
    pub steps: Vec<Step>,
}
