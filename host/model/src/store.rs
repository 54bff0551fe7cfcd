//! The port to what must survive.
//!
//! Reading is a handful of batch queries. Writing is one function: [`Store::commit`] applies a list of [`Change`]s
//! in one transaction, under the fence of a lease, or none of them. A store is opened for one tenant.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::change::Tombstone;
use crate::consent::{Consent, Deliverability};
use crate::intent::Intent;
use crate::journal::JournalEntry;
use crate::link::{Link, LinkId, Presence, Side};
use crate::record::{Entity, Fields, RecordId, Revision};

/// A number that grows with every commit. An observation carries the number that was current when its request was
/// sent, so that what was asked before a write is told from what was asked after it.
pub type Sequence = u64;

/// Why the store could not do something.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Another process works on the sync.
    #[error(
        "sync `{sync}` is being run by {owner} (lease until {until}); wait for it, stop it, or talk to it"
    )]
    Held {
        /// The sync.
        sync: String,
        /// Who: program, host, process id.
        owner: String,
        /// When the lease ends unless it is renewed.
        until: Timestamp,
    },
    /// The lease was lost: it ran out and another process took it. Nothing was changed.
    #[error(
        "the lease on sync `{sync}` was lost to another process; nothing of this step was stored"
    )]
    LeaseLost {
        /// The sync.
        sync: String,
    },
    /// What is stored cannot be understood. Nothing was changed.
    #[error("{what} in the store is damaged: {why}")]
    Damaged {
        /// What: a table and key, or the file.
        what: String,
        /// Why.
        why: String,
    },
    /// The database could not be opened, read or written.
    #[error("the store failed while {doing}: {source}")]
    Backend {
        /// What was being done.
        doing: String,
        /// The database's own error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// One collection of one account: where observations belong.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Endpoint {
    /// The account's name.
    pub account: String,
    /// The collection's name.
    pub collection: String,
}

/// The exclusive right to work on a sync.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The sync.
    pub sync: String,
    /// Who holds it.
    pub owner: String,
    /// Grows each time the lease changes hands; commits under an older one are refused.
    pub token: u64,
}

/// What a side was last seen to hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// The record.
    pub id: RecordId,
    /// Whether it is there. The values of an absent record are the last ones seen.
    pub presence: Presence,
    /// Every field ever read, as last read.
    pub fields: Fields,
    /// As last read.
    pub consents: Vec<Consent>,
    /// As last read.
    pub deliverability: Option<Deliverability>,
    /// The remote's version.
    pub revision: Option<Revision>,
    /// When it last changed, by the remote's clock.
    pub modified: Option<Timestamp>,
    /// Earlier ids of this record, as last read.
    pub aliases: Vec<RecordId>,
    /// [`crate::record::content_hash`] of the values.
    pub hash: String,
}

/// A record as it was read, with the keys by which others may match it.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// As the connector returned it.
    pub entity: Entity,
    /// Field name and normalised value, for every field that may be matched on. Empty values are left out.
    pub keys: Vec<(String, String)>,
}

/// How something came to be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A listing or a feed: it may lag behind our own writes.
    Listing,
    /// The record itself, read by its id or key.
    Fetch,
    /// The answer to our own write.
    Write,
}

/// A record that must be planned by a sync.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dirty {
    /// Position in the queue; grows.
    pub position: u64,
    /// The side.
    pub side: Side,
    /// The record.
    pub id: RecordId,
    /// It must be fetched before it is planned: what is stored may be older than our own write.
    pub refetch: bool,
}

/// Why a decision is left to a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Conflict {
    /// The side of `record`.
    pub side: Side,
    /// The record (of a link: A's).
    pub record: RecordId,
    /// What it is about: the name of a field mapping or of a consent, or `identity`, `merge`, `delete`.
    pub about: String,
    /// The link, if there is one.
    pub link: Option<LinkId>,
    /// Since when.
    pub at: Timestamp,
    /// For people: what is undecided and what can be done.
    pub why: String,
    /// The values or records in question.
    pub detail: serde_json::Value,
}

/// A record that failed for good, until it changes or an operator says otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Parked {
    /// The side of the record that would have been the source of the write.
    pub side: Side,
    /// That record.
    pub record: RecordId,
    /// Since when.
    pub at: Timestamp,
    /// What the remote or the host said.
    pub cause: String,
}

/// The position of a sync in a side's changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// For incremental reading, once a snapshot is complete.
    pub incremental: Option<String>,
    /// A snapshot under way.
    pub snapshot: Option<SnapshotProgress>,
    /// When the last complete snapshot ended.
    pub compared: Option<Timestamp>,
    /// The connector's cursor version that wrote this.
    pub version: u32,
}

/// A snapshot under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotProgress {
    /// Its number: records seen in it carry it.
    pub number: Sequence,
    /// The next page; `None`: from the start.
    pub token: Option<String>,
    /// The incremental cursor taken before it began.
    pub resume: Option<String>,
}

/// What an operator or the host decided about a sync.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncState {
    /// The first plan was confirmed.
    pub confirmed: Option<Timestamp>,
    /// Runs are refused; why.
    pub paused: Option<String>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Identifies it.
    pub id: String,
    /// When it began.
    pub started: Timestamp,
    /// When it ended; `None` while it runs, or if the process died.
    pub ended: Option<Timestamp>,
    /// The error that ended it, if one did.
    pub error: Option<String>,
    /// Counts, as `samspel-sync` reports them.
    pub report: serde_json::Value,
}

/// Numbers about a sync.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncCounts {
    /// Linked pairs.
    pub links: u64,
    /// Records waiting to be planned.
    pub dirty: u64,
    /// Writes that may be under way.
    pub intents: u64,
    /// Decisions left to a person.
    pub conflicts: u64,
    /// Records that failed for good.
    pub parked: u64,
}

/// One thing to store.
#[derive(Debug, Clone)]
pub enum Change {
    /// What was read of an endpoint. Values are laid over what is stored (an absent field was not read); what says
    /// nothing new changes nothing. A record whose content changed, or that the sync has neither linked nor seen,
    /// becomes dirty in every sync registered on the endpoint (from [`Source::Write`]: in all but the committing one).
    /// From [`Source::Listing`], a record is not stored but marked for refetch if its order is lower than the stored
    /// one's while its content differs, or if it was asked (`sent`) before our last write to that record and differs.
    Observe {
        /// Where.
        endpoint: Endpoint,
        /// How it came to be known.
        source: Source,
        /// [`Store::sequence`] when the request was sent.
        sent: Sequence,
        /// The snapshot that saw it.
        snapshot: Option<Sequence>,
        /// Records as they are.
        records: Vec<Observed>,
        /// Records that are gone. Unknown ones are ignored; known ones change their presence and become dirty.
        tombstones: Vec<Tombstone>,
    },
    /// Ids that a listing without fields showed. Known present records are marked as seen by the snapshot. Unknown ones, and those
    /// known as absent, become dirty with refetch.
    Seen {
        /// Where.
        endpoint: Endpoint,
        /// The snapshot.
        snapshot: Sequence,
        /// The ids.
        ids: Vec<RecordId>,
    },
    /// Records that must be planned by the committing sync.
    MarkDirty {
        /// The side.
        side: Side,
        /// The records.
        ids: Vec<RecordId>,
        /// Fetch them first.
        refetch: bool,
    },
    /// Records that were planned: removed from the queue unless they were marked again at a later position.
    Clean(Vec<Dirty>),
    /// Links as they now are, by id.
    PutLinks(Vec<Link>),
    /// Links that are dissolved.
    RemoveLinks(Vec<LinkId>),
    /// Writes about to be sent.
    PutIntents(Vec<Intent>),
    /// Writes that are settled or given up.
    RemoveIntents(Vec<String>),
    /// Decisions left to a person; replaces what is known about the same side, record and subject.
    PutConflicts(Vec<Conflict>),
    /// Every conflict about these records that is not about one of `keep` is over.
    RemoveConflicts {
        /// The side.
        side: Side,
        /// The record and the subjects that remain.
        records: Vec<(RecordId, Vec<String>)>,
    },
    /// Records that failed for good; replaces.
    Park(Vec<Parked>),
    /// Records that are no longer parked.
    Unpark {
        /// The side.
        side: Side,
        /// The records.
        ids: Vec<RecordId>,
    },
    /// History.
    Journal(Vec<JournalEntry>),
    /// The position in a side's changes.
    PutCursor {
        /// The side.
        side: Side,
        /// The new position.
        cursor: Cursor,
    },
    /// A run's progress or end; replaces by id.
    PutRun(RunRecord),
    /// What was decided about the sync.
    PutState(SyncState),
}

/// What a commit did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Receipt {
    /// The sequence number of the commit.
    pub sequence: Sequence,
    /// Observed records and tombstones that said something new.
    pub changed: u64,
    /// Observed records that said nothing new.
    pub unchanged: u64,
    /// Records marked for refetch.
    pub refetch: u64,
}

/// What must survive, for one tenant.
///
/// Errors: every function can fail with [`StoreError::Backend`] or [`StoreError::Damaged`]; then nothing was changed.
#[async_trait]
pub trait Store: Send + Sync {
    /// The number of the newest commit of this process; never waits.
    fn sequence(&self) -> Sequence;

    /// Makes the sync known, so that observations of its endpoints reach it. Naming other endpoints than before is
    /// an error ([`StoreError::Damaged`]) until the sync is [`reset`](Self::reset).
    async fn register(&self, sync: &str, endpoints: &[Endpoint; 2]) -> Result<(), StoreError>;

    /// Takes the lease on a sync, if it is free or ran out.
    ///
    /// # Errors
    /// [`StoreError::Held`] if another owner has it.
    async fn acquire_lease(
        &self,
        sync: &str,
        owner: &str,
        now: Timestamp,
        ttl: Duration,
    ) -> Result<Lease, StoreError>;

    /// Extends a lease.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`].
    async fn renew_lease(
        &self,
        lease: &Lease,
        now: Timestamp,
        ttl: Duration,
    ) -> Result<(), StoreError>;

    /// Gives a lease back. Not an error if it was lost.
    async fn release_lease(&self, lease: &Lease) -> Result<(), StoreError>;

    /// Who holds the lease on a sync, and until when, whether or not it ran out.
    async fn lease_holder(&self, sync: &str) -> Result<Option<(String, Timestamp)>, StoreError>;

    /// Applies all changes in one transaction.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] if the lease is no longer held.
    async fn commit(&self, lease: &Lease, changes: Vec<Change>) -> Result<Receipt, StoreError>;

    /// Forgets links, bases, cursors, queues and runs of a sync; observations, the journal and consents in the
    /// journal stay. The sync must be leased.
    async fn reset(&self, lease: &Lease) -> Result<(), StoreError>;

    /// Records waiting to be planned, after a position, in order.
    async fn dirty(&self, sync: &str, after: u64, limit: u32) -> Result<Vec<Dirty>, StoreError>;

    /// What is known of these records; unknown ones are left out.
    async fn observations(
        &self,
        endpoint: &Endpoint,
        ids: &[RecordId],
    ) -> Result<Vec<Observation>, StoreError>;

    /// Present records whose key equals one of the values: (value, record), at most `limit` per value.
    async fn records_by_key(
        &self,
        endpoint: &Endpoint,
        field: &str,
        values: &[String],
        limit: u32,
    ) -> Result<Vec<(String, RecordId)>, StoreError>;

    /// Known records of an endpoint after an id, in order of their ids.
    async fn records(
        &self,
        endpoint: &Endpoint,
        after: Option<&RecordId>,
        limit: u32,
    ) -> Result<Vec<Observation>, StoreError>;

    /// Present records that the snapshot did not see, after an id, in order of their ids.
    async fn unseen(
        &self,
        endpoint: &Endpoint,
        snapshot: Sequence,
        after: Option<&RecordId>,
        limit: u32,
    ) -> Result<Vec<RecordId>, StoreError>;

    /// The links of these records.
    async fn links_by_record(
        &self,
        sync: &str,
        side: Side,
        ids: &[RecordId],
    ) -> Result<Vec<Link>, StoreError>;

    /// Links after an id, in order of their ids.
    async fn links(
        &self,
        sync: &str,
        after: Option<&LinkId>,
        limit: u32,
    ) -> Result<Vec<Link>, StoreError>;

    /// Writes that may have been sent and are not settled, after an id, in order of their ids.
    async fn intents(
        &self,
        sync: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Intent>, StoreError>;

    /// Decisions left to a person, oldest first.
    async fn conflicts(&self, sync: &str, limit: u32) -> Result<Vec<Conflict>, StoreError>;

    /// Records that failed for good, oldest first.
    async fn parked(&self, sync: &str, limit: u32) -> Result<Vec<Parked>, StoreError>;

    /// The history of a record, or of the whole sync, newest first.
    async fn journal(
        &self,
        sync: &str,
        record: Option<(Side, &RecordId)>,
        limit: u32,
    ) -> Result<Vec<JournalEntry>, StoreError>;

    /// The position in a side's changes.
    async fn cursor(&self, sync: &str, side: Side) -> Result<Option<Cursor>, StoreError>;

    /// What was decided about a sync.
    async fn state(&self, sync: &str) -> Result<SyncState, StoreError>;

    /// Runs, newest first.
    async fn runs(&self, sync: &str, limit: u32) -> Result<Vec<RunRecord>, StoreError>;

    /// Numbers about a sync.
    async fn counts(&self, sync: &str) -> Result<SyncCounts, StoreError>;
}
