//! What waits for a person: conflicts, holds and parked records.

mod conflicts;
mod decided;
mod entry;
mod holds;
mod parked;
mod select;

pub use conflicts::{Detailed, ListConflicts, ListedConflicts, ResolveConflicts, ShowConflict};
pub use decided::{Decided, DecidedEntry, NEXT};
pub use entry::{Entry, Group, ParkedEntry};
pub use holds::{ApproveHolds, ListHolds, ListedHolds, RejectHolds};
pub use parked::{DropParked, Dropped, ListParked, ListedParked, Retried, RetryParked, Settled};
pub use select::Selection;

pub(crate) use entry::{entries, parked_entries};
pub(crate) use select::{at_once, patiently};
