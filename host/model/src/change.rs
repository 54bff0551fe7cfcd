//! What is read from a remote.

use serde::{Deserialize, Serialize};

use crate::record::{Entity, RecordId, Revision};

/// How a collection is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadMode {
    /// Everything that changed since this cursor.
    Incremental(String),
    /// Everything there is, from the start or from a page token.
    Snapshot(Option<String>),
}

/// One page to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadRequest {
    /// The collection.
    pub collection: String,
    /// Incremental or snapshot.
    pub mode: ReadMode,
    /// Only these fields; `None`: all; empty: ids and revisions only.
    pub fields: Option<Vec<String>>,
    /// About so many records.
    pub limit: u32,
}

/// How much of a record a fetch must bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Extent {
    /// Everything but its consents, of which it is known that they have not changed.
    Values,
    /// Everything.
    Whole,
}

/// Why a record is not listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Absence {
    /// Gone for good.
    Deleted,
    /// Hidden; it can come back under the same id.
    Archived,
    /// It lives on in another record.
    MergedInto(RecordId),
    /// It exists and no longer belongs to the collection.
    OutOfScope,
    /// Of a newer contract.
    Other(String),
}

/// A record that is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// Which.
    pub id: RecordId,
    /// Why.
    pub why: Absence,
    /// Its last revision, where known.
    pub revision: Option<Revision>,
}

/// One page of a reading.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// Records as they are.
    pub records: Vec<Entity>,
    /// Records that are gone.
    pub tombstones: Vec<Tombstone>,
    /// Incremental: the cursor to continue from. Snapshot: the next page's token.
    pub next: Option<String>,
    /// More can be read right now.
    pub more: bool,
    /// On a snapshot's first page: the cursor taken before it began.
    pub resume_cursor: Option<String>,
    /// On a snapshot's last page: nothing was left out.
    pub complete: bool,
}

/// What became of one id that was fetched.
#[derive(Debug, Clone, PartialEq)]
pub enum Fetched {
    /// As it is now.
    Found(Entity),
    /// It is gone.
    Absent(Absence),
    /// It could not be read; says why.
    Failed(String),
}
