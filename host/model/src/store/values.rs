//! What is kept: what was seen, what is undecided, how far a sync has come.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::change::Extent;
use crate::consent::{Consent, ConsentState, Deliverability};
use crate::link::{LinkId, Presence, Restriction, Side};
use crate::record::{Entity, Fields, RecordId, Revision};

/// A number that grows with every commit. An observation carries the number that was current when its request was
/// sent, so that what was asked before a write is told from what was asked after it.
pub type Sequence = u64;

/// One collection of one account: where observations belong.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Endpoint {
    /// The account's name.
    pub account: String,
    /// The collection's name.
    pub collection: String,
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

/// What an operator said about a conflict or a hold. It stays until a run has carried it out; that something is not to
/// be done stays for as long as it is about the same.
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

/// The opt-outs that a record no longer shows, although nobody opted in again: some remotes forget them with the
/// address, or take an older date for the newer one. They stay in force. `at`: when that was noticed, for an opt-out of
/// which neither the record tells when it was given.
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
    /// The position that another version of the connector has stored: a way back to that one goes on from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former: Option<Box<Self>>,
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

/// Ten hexadecimal digits that follow from what a queue's entry is about.
fn reference(side: Side, record: &RecordId, about: &str) -> String {
    let mut hasher = Sha256::new();
    for part in [side.to_string().as_str(), record.as_str(), about] {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hex::encode(&hasher.finalize()[..5])
}
