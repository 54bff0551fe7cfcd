//! The append-only history of what was decided and what became of it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::link::{LinkId, Side};
use crate::record::RecordId;

/// What an entry tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum JournalKind {
    /// Two records were found to be one.
    Linked,
    /// A link was dissolved.
    Unlinked,
    /// A write was done.
    Settled,
    /// A write was given up and is planned again.
    Abandoned,
    /// A value lost against another one; the detail holds it.
    Lost,
    /// A mapping changed and the images were taken over without a write.
    Rebased,
    /// A decision is left to a person.
    Conflict,
    /// A record failed for good until it changes.
    Parked,
    /// A remote refused for the person's protection.
    Suppressed,
    /// A restriction was lifted by newer opt-in evidence; the detail holds the evidence.
    OptIn,
    /// An operator acted.
    Operator,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// When.
    pub at: Timestamp,
    /// Which run, if one.
    pub run: Option<String>,
    /// What it tells.
    pub kind: JournalKind,
    /// The link, if one.
    pub link: Option<LinkId>,
    /// The side and record it is about.
    pub side: Option<Side>,
    /// The record.
    pub record: Option<RecordId>,
    /// Values and reasons.
    pub detail: Value,
}
