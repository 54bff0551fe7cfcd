//! The port to what must survive.
//!
//! Reading is a handful of batch queries. Writing is one function: [`Store::commit`] applies a list of [`Change`]s
//! in one transaction, under the fence of a lease, or none of them. A store is opened for one tenant.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::change::{Extent, Tombstone};
use crate::consent::{Consent, ConsentState, Deliverability};
use crate::intent::Intent;
use crate::journal::JournalEntry;
use crate::link::{Link, LinkId, Presence, Restriction, Side};
use crate::record::{Entity, Fields, RecordId, Revision};

/// A number that grows with every commit. An observation carries the number that was current when its request was
/// sent, so that what was asked before a write is told from what was asked after it.
pub type Sequence = u64;

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
    /// The record that this one lives on in, if it is gone for that reason.
    pub merged_into: Option<RecordId>,
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
    /// How much of it was read. Of [`Extent::Values`], what is known of the consents stays.
    pub extent: Extent,
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
    /// So much of it must be fetched before it is planned: what is stored may be older than our own write, or than what
    /// somebody told of.
    pub refetch: Option<Extent>,
    /// Since when it waits. Marking it again changes the position and not this.
    pub since: Timestamp,
}

/// What conflicts, holds and decisions can be about, besides field mappings and consents (which are called by their
/// names: `email=email_address`, `email/marketing`).
pub mod subject {
    /// Several records have one key.
    pub const IDENTITY: &str = "identity";
    /// A key that is to be written belongs to another record.
    pub const MERGE: &str = "merge";
    /// What a valve holds is about `hold:` and one of these words.
    pub const HOLD: &str = "hold:";
    /// Removals.
    pub const HOLD_DELETE: &str = "hold:delete";
    /// Creates.
    pub const HOLD_CREATE: &str = "hold:create";
    /// Changes of one field: followed by the name of its mapping.
    pub const HOLD_CHANGE: &str = "hold:change:";

    /// Whether it is held by a valve, rather than undecided.
    pub fn is_hold(about: &str) -> bool {
        about.starts_with(HOLD)
    }
}

/// Why a decision is left to a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Conflict {
    /// The side of `record`.
    pub side: Side,
    /// The record (of a link: A's).
    pub record: RecordId,
    /// What it is about: the name of a field mapping or of a consent, or one of [`subject`].
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

impl Conflict {
    /// By which an operator refers to it: the same for as long as the same is undecided about the same record.
    pub fn id(&self) -> String {
        reference(self.side, &self.record, &self.about)
    }
}

/// Ten hexadecimal digits that follow from what a queue's entry is about.
fn reference(side: Side, record: &RecordId, about: &str) -> String {
    let mut hasher = Sha256::new();
    for part in [side.to_string().as_str(), record.as_str(), about] {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hex::encode(&hasher.finalize()[..5])
}

/// What an operator said about a conflict or a hold. It stays until a run has carried it out; that something is not to be done
/// stays for as long as it is about the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// As in the conflict.
    pub side: Side,
    /// As in the conflict.
    pub record: RecordId,
    /// As in the conflict.
    pub about: String,
    /// What was said.
    pub verdict: Verdict,
    /// When.
    pub at: Timestamp,
    /// Who said it, for the journal.
    pub by: String,
    /// Of a rejection that was carried out: what it was about. About the same, nobody is asked again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
}

/// What can be said about a conflict or a hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// What this side has holds.
    Take(Side),
    /// The record belongs to this one of the other side.
    Link(RecordId),
    /// What is held may be done.
    Approve,
    /// What was asked about is not done, and is not asked about again unless it changes.
    Reject,
}

/// An opt-out in force, at a record. The records of a link share theirs, so that it reaches every sync of the person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordRestriction {
    /// Where the record is.
    pub endpoint: Endpoint,
    /// The record.
    pub record: RecordId,
    /// `email`, `sms`, ...
    pub channel: String,
    /// The collection's own name of the purpose.
    pub purpose: String,
    /// The opt-out.
    pub restriction: Restriction,
}

/// The opt-outs that a record no longer shows, although nobody opted in again: some remotes forget them with the address,
/// or take an older date for the newer one. They stay in force. `at`: when that was noticed, for an opt-out of which neither the record tells when it was given.
pub fn forgotten_opt_outs(
    endpoint: &Endpoint,
    before: &Observation,
    now: &[Consent],
    at: Timestamp,
) -> Vec<RecordRestriction> {
    let opt_outs = before
        .consents
        .iter()
        .filter(|consent| consent.state == ConsentState::Unsubscribed);
    opt_outs
        .filter(|before| {
            !now.iter().any(|now| {
                now.channel == before.channel
                    && now.purpose == before.purpose
                    && match now.state {
                        ConsentState::Unspecified => false,
                        ConsentState::Unsubscribed => now.at >= before.at,
                        _ => true,
                    }
            })
        })
        .map(|consent| RecordRestriction {
            endpoint: endpoint.clone(),
            record: before.id.clone(),
            channel: consent.channel.clone(),
            purpose: consent.purpose.clone(),
            restriction: Restriction {
                account: endpoint.account.clone(),
                at: consent.at.or(before.modified).unwrap_or(at),
                evidence: consent.evidence.clone(),
            },
        })
        .collect()
}

/// What is left of an erased person: that an address opted out, under the installation's key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suppression {
    /// Keyed hash of the normalised address.
    pub pseudonym: String,
    /// `email`, `sms`, ...
    pub channel: String,
    /// When the person was erased, or had opted out.
    pub at: Timestamp,
}

/// A record that failed for good, until it changes or an operator says otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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

impl Parked {
    /// By which an operator refers to it.
    pub fn id(&self) -> String {
        reference(self.side, &self.record, "parked")
    }
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
    /// The last snapshot was not complete, and there was no older position to go back to: deletes may have been missed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub incomplete: bool,
    /// Fingerprint of what the account was when this was written: its settings and who it is at the remote. Under
    /// another one, what is not listed tells nothing about deletes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
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
    /// It is the first one of another scope: what it does not show is not asked for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub new_scope: bool,
    /// Records that it showed so far.
    #[serde(default)]
    pub shown: u64,
}

/// What an operator or the host decided about a sync.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncState {
    /// The first plan was confirmed.
    pub confirmed: Option<Timestamp>,
    /// Runs are refused; why.
    pub paused: Option<String>,
    /// The first sync is complete: from then on the valve for creates counts.
    #[serde(default)]
    pub first_done: Option<Timestamp>,
    /// What the last comparison of both sides left.
    #[serde(default)]
    pub drift: Option<Drift>,
}

/// How far the two sides of a sync were apart when they were compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Drift {
    /// When.
    pub at: Timestamp,
    /// Linked pairs of which both records are there.
    pub links: u64,
    /// Those that differed, and still did after healing.
    pub unequal: u64,
}

impl Drift {
    /// The share of pairs that differed, 0.0 to 1.0.
    pub fn unequal_share(&self) -> f64 {
        if self.links == 0 {
            0.0
        } else {
            self.unequal as f64 / self.links as f64
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SyncCounts {
    /// Linked pairs.
    pub links: u64,
    /// Records waiting to be planned.
    pub dirty: u64,
    /// Since when the oldest of them waits.
    pub oldest: Option<Timestamp>,
    /// Writes that may be under way.
    pub intents: u64,
    /// Decisions left to a person, without holds.
    pub conflicts: u64,
    /// What the valves hold.
    pub holds: u64,
    /// Records that failed for good.
    pub parked: u64,
}

/// One thing to store.
#[derive(Debug, Clone)]
pub enum Change {
    /// What was read of an endpoint. Values are laid over what is stored (an absent field was not read); what says
    /// nothing new changes nothing. A record whose content changed, or that the sync has neither linked nor seen,
    /// becomes dirty in every sync registered on the endpoint (from [`Source::Write`]: in all but the committing one).
    ///
    /// What may be older than what is stored is not stored but marked for refetch. What is newer by its order, or (where
    /// there is none) by the time of its modification, is believed. Otherwise, if it differs:
    /// - from [`Source::Listing`] it may be older if its order or time is lower, if the record was ever written or
    ///   asked for by itself (a listing may lag behind that for any time), or if it was asked (`sent`) before that;
    /// - from [`Source::Fetch`] and [`Source::Write`] it may be older if something else was stored since it was asked.
    ///
    /// The answer to a write to a record that is out of scope is asked again too: it does not tell whether it is back. So is a
    /// record of which values alone were read, and which is not known to be there.
    ///
    /// An opt-out that a record no longer shows is stored as one in force ([`forgotten_opt_outs`]); those of a record that was
    /// merged into another one are in force for that one too.
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
        /// Fetch so much of them first.
        refetch: Option<Extent>,
    },
    /// What these records owed was asked for: nothing is owed any more, unless they were marked again at a later position.
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
    /// Decisions left to a person; replaces what is known about the same side, record and subject, but for the time since when
    /// it is undecided.
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
    /// Opt-outs in force. One that is newer than what was ever stored about the same record, channel and purpose (or the
    /// first) replaces it and makes the record dirty in every sync on its endpoint but the committing one; others
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
