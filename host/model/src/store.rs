//! The port to what must survive.
//!
//! Reading is a handful of batch queries. Writing is one function: [`Store::commit`] applies a list of [`Change`]s
//! in one transaction, under the fence of a lease, or none of them. A store is opened for one tenant.

mod values;

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use thiserror::Error;

use crate::change::{Extent, Tombstone};
use crate::intent::Intent;
use crate::journal::JournalEntry;
use crate::link::{Link, LinkId, Side};
use crate::record::RecordId;

pub use values::{
    Conflict, Cursor, Decision, Dirty, Drift, Endpoint, Observation, Observed, Parked,
    RecordRestriction, RunRecord, Sequence, SnapshotProgress, Source, Suppression, SyncCounts,
    SyncState, Verdict, forgotten_opt_outs, subject,
};

/// A step of a run that must be on disk before the next one begins. It names what was being done in an error, and
/// where a simulation may let the process die.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Who an account is at the remote.
    Identify,
    /// A run begins.
    Begin,
    /// The first plan of a sync was agreed to.
    Confirm,
    /// A page, and the position behind it.
    Page,
    /// Records that a complete listing did not show were asked for.
    Missing,
    /// A snapshot is complete, and nothing that it did not show is left to ask for.
    Compared,
    /// Records that may be older than our own write were fetched.
    Refetch,
    /// Decisions, and the writes that they lead to.
    Decide,
    /// What became of writes.
    Settle,
    /// What became of writes that an earlier run left open.
    Recover,
    /// Writes that were not sent are given up.
    GiveUp,
    /// A run ends.
    End,
    /// An operator acts.
    Operate,
}

impl Step {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Identify,
        Self::Begin,
        Self::Confirm,
        Self::Page,
        Self::Missing,
        Self::Compared,
        Self::Refetch,
        Self::Decide,
        Self::Settle,
        Self::Recover,
        Self::GiveUp,
        Self::End,
        Self::Operate,
    ];

    /// What is being done, to follow "while".
    pub fn doing(self) -> &'static str {
        match self {
            Self::Identify => "noting who an account is",
            Self::Begin => "noting that a run begins",
            Self::Confirm => "noting that the plan was agreed to",
            Self::Page => "storing a page",
            Self::Missing => "storing what became of records that are not listed",
            Self::Compared => "noting that a listing is complete",
            Self::Refetch => "storing records that were asked for again",
            Self::Decide => "storing decisions",
            Self::Settle => "storing what became of writes",
            Self::Recover => "storing what became of writes of an earlier run",
            Self::GiveUp => "giving up writes that were not sent",
            Self::End => "noting that a run ends",
            Self::Operate => "storing what an operator decided",
        }
    }
}

/// Changes that are stored together or not at all.
#[derive(Debug, Clone)]
pub struct Commit {
    /// What is being done.
    pub step: Step,
    /// When. Records that become dirty wait since then.
    pub at: Timestamp,
    /// What to store, in this order.
    pub changes: Vec<Change>,
}

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

/// One thing to store.
#[derive(Debug, Clone)]
pub enum Change {
    /// What was read of an endpoint. Values are laid over what is stored (an absent field was not read); what says
    /// nothing new changes nothing. A record whose content changed, or that the sync has neither linked nor seen,
    /// becomes dirty in every sync registered on the endpoint (from [`Source::Write`]: in all but the committing one).
    ///
    /// What may be older than what is stored is not stored but marked for refetch. What is newer by its order, or
    /// (where there is none) by the time of its modification, is believed. Otherwise, if it differs:
    /// - from [`Source::Listing`] it may be older if its order or time is lower, if the record was ever written or
    ///   asked for by itself (a listing may lag behind that for any time), or if it was asked (`sent`) before that;
    /// - from [`Source::Fetch`] and [`Source::Write`] it may be older if something else was stored since it was asked.
    ///
    /// The answer to a write to a record that is out of scope is asked again too: it does not tell whether it is back.
    /// So is a record of which values alone were read, and which is not known to be there.
    ///
    /// An opt-out that a record no longer shows is stored as one in force ([`forgotten_opt_outs`]); those of a record
    /// that was merged into another one are in force for that one too.
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
    /// Ids that a listing without fields showed. Known present records are marked as seen by the snapshot. Unknown
    /// ones, and those known as absent, become dirty with refetch.
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
        /// Fetch so much of them first.
        refetch: Option<Extent>,
    },
    /// What these records owed was asked for: nothing is owed any more, unless they were marked again at a later
    /// position.
    Fetched(Vec<Dirty>),
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
    /// Decisions left to a person; replaces what is known about the same side, record and subject, but for the time
    /// since when it is undecided.
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
    /// Of the runs that are stored, only so many stay: the newest.
    KeepRuns(u32),
    /// What was decided about the sync.
    PutState(SyncState),
    /// What an operator said; replaces what was said about the same side, record and subject.
    PutDecisions(Vec<Decision>),
    /// Decisions that are carried out, or no longer about anything: side, record and subject.
    RemoveDecisions(Vec<(Side, RecordId, String)>),
    /// Opt-outs in force. One that is newer than what was ever stored about the same record, channel and purpose (or
    /// the first) replaces it and makes the record dirty in every sync on its endpoint but the committing one; others
    /// change nothing.
    Restrict(Vec<RecordRestriction>),
    /// Opt-outs that newer opt-in evidence has lifted: record, channel and purpose. They do not come back.
    Lift {
        /// Where.
        endpoint: Endpoint,
        /// Which.
        restrictions: Vec<(RecordId, String, String)>,
    },
    /// What is left of erased people. The later time is kept.
    Suppress(Vec<Suppression>),
    /// Everything that is known about these records is forgotten: observations, keys, restrictions, and in every sync
    /// of the tenant links, queues and intents. What the journal tells about the records and their links stays without
    /// the values: each such entry's detail becomes `{"erased": TIME}`, with the time of the commit.
    Erase {
        /// Where.
        endpoint: Endpoint,
        /// Which.
        records: Vec<RecordId>,
    },
    /// Who an account is at the remote; replaces.
    PutAccount {
        /// The account's name.
        account: String,
        /// The remote's identity.
        identity: String,
    },
}

impl Change {
    /// Whether it changes nothing, because it is about nothing.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Observe {
                records,
                tombstones,
                ..
            } => records.is_empty() && tombstones.is_empty(),
            Self::Seen { ids, .. } | Self::MarkDirty { ids, .. } | Self::Unpark { ids, .. } => {
                ids.is_empty()
            }
            Self::Clean(rows) | Self::Fetched(rows) => rows.is_empty(),
            Self::PutLinks(links) => links.is_empty(),
            Self::RemoveLinks(ids) => ids.is_empty(),
            Self::PutIntents(intents) => intents.is_empty(),
            Self::RemoveIntents(ids) => ids.is_empty(),
            Self::PutConflicts(conflicts) => conflicts.is_empty(),
            Self::RemoveConflicts { records, .. } => records.is_empty(),
            Self::Park(parked) => parked.is_empty(),
            Self::Journal(entries) => entries.is_empty(),
            Self::PutDecisions(decisions) => decisions.is_empty(),
            Self::RemoveDecisions(decisions) => decisions.is_empty(),
            Self::Restrict(restrictions) => restrictions.is_empty(),
            Self::Lift { restrictions, .. } => restrictions.is_empty(),
            Self::Suppress(suppressions) => suppressions.is_empty(),
            Self::Erase { records, .. } => records.is_empty(),
            Self::PutCursor { .. }
            | Self::PutRun(_)
            | Self::KeepRuns(_)
            | Self::PutState(_)
            | Self::PutAccount { .. } => false,
        }
    }
}

/// Which of the decisions that are left to a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// Both.
    All,
    /// What is undecided.
    Conflicts,
    /// What a valve holds.
    Holds,
}

/// Which part of a sync's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JournalOf<'a> {
    /// All of it.
    Sync,
    /// What is told about a record.
    Record(Side, &'a RecordId),
    /// What is told about a link, under whatever record.
    Link(&'a LinkId),
    /// What a run did.
    Run(&'a str),
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
    /// Records that entered the committing sync's queue and were not in it.
    pub queued: u64,
    /// Records that left it.
    pub cleaned: u64,
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
    async fn commit(&self, lease: &Lease, commit: Commit) -> Result<Receipt, StoreError>;

    /// Forgets links, bases, cursors, queues, decisions and runs of a sync; observations, restrictions and the journal
    /// stay. The sync must be leased.
    async fn reset(&self, lease: &Lease) -> Result<(), StoreError>;

    /// Records waiting to be planned, after a position, in order.
    async fn dirty(&self, sync: &str, after: u64, limit: u32) -> Result<Vec<Dirty>, StoreError>;

    /// Those of these records that must be fetched before they are planned, in order of their ids.
    async fn owed(
        &self,
        sync: &str,
        side: Side,
        ids: &[RecordId],
    ) -> Result<Vec<Dirty>, StoreError>;

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

    /// Updates of these records that other syncs have decided and not settled, by sync and id.
    async fn writes_of_others(
        &self,
        sync: &str,
        endpoint: &Endpoint,
        ids: &[RecordId],
    ) -> Result<Vec<Intent>, StoreError>;

    /// Decisions left to a person, oldest first, after so many.
    async fn conflicts(
        &self,
        sync: &str,
        which: Waiting,
        offset: u64,
        limit: u32,
    ) -> Result<Vec<Conflict>, StoreError>;

    /// Records that failed for good, oldest first, after so many.
    async fn parked(&self, sync: &str, offset: u64, limit: u32) -> Result<Vec<Parked>, StoreError>;

    /// What operators said about these records and is not carried out yet, in order of record and subject.
    async fn decisions(
        &self,
        sync: &str,
        side: Side,
        records: &[RecordId],
    ) -> Result<Vec<Decision>, StoreError>;

    /// The opt-outs in force at these records, in order of record, channel and purpose.
    async fn restrictions(
        &self,
        endpoint: &Endpoint,
        records: &[RecordId],
    ) -> Result<Vec<RecordRestriction>, StoreError>;

    /// What is left of erased people whose addresses have these pseudonyms, in order.
    async fn suppressions(&self, pseudonyms: &[String]) -> Result<Vec<Suppression>, StoreError>;

    /// Who an account was at the remote when it was last used.
    async fn account(&self, account: &str) -> Result<Option<String>, StoreError>;

    /// History, newest first, with the entries' numbers; only entries with a lower number than `before`.
    async fn journal(
        &self,
        sync: &str,
        of: JournalOf<'_>,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<(u64, JournalEntry)>, StoreError>;

    /// The position in a side's changes.
    async fn cursor(&self, sync: &str, side: Side) -> Result<Option<Cursor>, StoreError>;

    /// What was decided about a sync.
    async fn state(&self, sync: &str) -> Result<SyncState, StoreError>;

    /// Runs, newest first.
    async fn runs(&self, sync: &str, limit: u32) -> Result<Vec<RunRecord>, StoreError>;

    /// How many records wait to be planned. Unlike [`Self::counts`] it is quick, however many links there are.
    async fn queued(&self, sync: &str) -> Result<u64, StoreError>;

    /// Numbers about a sync.
    async fn counts(&self, sync: &str) -> Result<SyncCounts, StoreError>;
}
