//! What a run tells while it works.

use serde::{Deserialize, Serialize};

/// What a run is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Asking both accounts what they offer, and finding out what became of earlier writes.
    Starting,
    /// Reading, planning and writing overlap.
    Syncing,
    /// Looking for records that are no longer listed.
    Comparing,
    /// Everything is done.
    Finished,
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Snapshot {
    /// What it is doing.
    pub phase: Phase,
    /// Records read, per side.
    pub read: [u64; 2],
    /// Whether the side is read to its end.
    pub read_done: [bool; 2],
    /// Records looked at by the planner.
    pub planned: u64,
    /// Writes decided so far; more may follow.
    pub decided: u64,
    /// Writes settled.
    pub written: u64,
}

/// Takes what a run tells.
pub trait Progress: Send + Sync {
    /// Called often; returns quickly.
    fn update(&self, snapshot: &Snapshot);
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn update(&self, _: &Snapshot) {}
}
