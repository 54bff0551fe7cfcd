//! Syncs: how they are, what a run would do, running, comparing, undoing, steering.

mod running;
mod status;
mod steering;

pub use running::{Compared, PlanSync, Planned, Ran, RunSync, UndoRun, Undone, VerifySync};
pub use status::{Holder, ListSyncs, ShowSync, Status, Statuses};
pub use steering::{PauseSync, Paused, PurgeSync, Purged, Reset, ResetSync, ResumeSync, Resumed};
