//! What is written to a remote, and what became of it.

use crate::consent::{Consent, Deliverability};
use crate::record::{Entity, Fields, RecordId, Revision};

/// A new record.
#[derive(Debug, Clone, PartialEq)]
pub struct Create {
    /// The same for every attempt at the same create.
    pub idempotency_key: String,
    /// Its values.
    pub fields: Fields,
    /// The consents it starts with.
    pub consents: Vec<Consent>,
    /// What is known about its address.
    pub deliverability: Option<Deliverability>,
}

/// A change of a record.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    /// Which record.
    pub id: RecordId,
    /// The revision that the change was decided on.
    pub precondition: Option<Revision>,
    /// Only what changes; `null` clears.
    pub patch: Fields,
    /// Only what changes.
    pub consents: Vec<Consent>,
    /// Only if it changes.
    pub deliverability: Option<Deliverability>,
    /// Fields with a role, as last seen and before the patch.
    pub known: Fields,
}

/// How a record is taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Removal {
    /// Hidden, restorable.
    Archive,
    /// For good.
    Delete,
}

/// Taking a record away.
#[derive(Debug, Clone, PartialEq)]
pub struct Remove {
    /// Which record.
    pub id: RecordId,
    /// The revision that the decision was made on.
    pub precondition: Option<Revision>,
    /// How.
    pub how: Removal,
    /// Fields with a role, as last seen.
    pub known: Fields,
}

/// One write.
#[derive(Debug, Clone, PartialEq)]
pub enum WriteOp {
    /// Make a record.
    Create(Create),
    /// Change a record.
    Update(Update),
    /// Take a record away.
    Remove(Remove),
}

/// What became of one write; see `wit/remote.wit`.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Done; the record as the remote now holds it.
    Written(Entity),
    /// Not done: the precondition failed.
    Stale(Option<Entity>),
    /// There is no such record (any more).
    Gone,
    /// The record lives on under another id.
    Moved(RecordId),
    /// A record with the same unique key exists.
    Duplicate(Option<RecordId>),
    /// Refused for the person's protection; not a failure.
    Suppressed(String),
    /// Refused for good: the reason and, where known, the field.
    Rejected {
        /// The remote's words.
        reason: String,
        /// The field to blame.
        field: Option<String>,
    },
    /// Certainly not applied; worth a retry.
    Deferred {
        /// The remote's words.
        reason: String,
        /// Milliseconds to wait, where the remote says so.
        retry_after: Option<u64>,
    },
    /// It may have been applied.
    Unknown(String),
}
