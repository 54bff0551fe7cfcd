//! A remote write decided and stored before it is sent.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::consent::{Consent, Deliverability};
use crate::link::{Base, LinkId, Side};
use crate::record::{Fields, RecordId, Revision};
use crate::store::Decision;
use crate::write::Removal;

/// What is to be done to the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// Make a record for the source record.
    Create,
    /// Change the target record.
    Update(RecordId),
    /// Take the target record away.
    Remove(RecordId, Removal),
}

impl Effect {
    /// The target record, where it exists already.
    pub fn target_record(&self) -> Option<&RecordId> {
        match self {
            Self::Create => None,
            Self::Update(id) | Self::Remove(id, _) => Some(id),
        }
    }
}

/// A write that is decided: everything needed to send it, to recognise it on the remote after a crash, and to settle
/// it. While an intent is stored, the write may have been sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Intent {
    /// Never repeats. For a create also the idempotency key, kept when the same create is planned again.
    pub id: String,
    /// The run that decided it.
    pub run: String,
    /// The side that is written.
    pub target: Side,
    /// The record on the other side that it comes from.
    pub source_record: RecordId,
    /// The link. Of a create, whose link is made when it is settled: the one that it replaces, if there is one.
    pub link: Option<LinkId>,
    /// What to do.
    pub effect: Effect,
    /// The fields to set; they are also the expected after-image of those fields.
    pub patch: Fields,
    /// What the patched fields held before.
    pub before: Fields,
    /// Consents to set.
    pub consents: Vec<Consent>,
    /// Deliverability to set.
    pub deliverability: Option<Deliverability>,
    /// The revision that the decision was made on.
    pub precondition: Option<Revision>,
    /// The base entries that become true when this is settled: the source's images as planned, the target's as
    /// expected.
    pub base: Base,
    /// Entries of `base` whose other side is written too, by an intent of its own: that one makes its image true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shared: Vec<String>,
    /// It carries an opt-out and goes before everything else.
    pub restricts: bool,
    /// There is more to write to the pair once this is done: it was left out for the sake of the opt-out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub and_more: bool,
    /// The time of the target's own opt-out, as it was when this was decided: an opt-in that it carries is newer than
    /// that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overrules: Option<Timestamp>,
    /// What operators had said about the records. It holds again if the write is given up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub told: Vec<Decision>,
    /// Of a create that may have been applied: when it was looked for in vain. What a search does not show yet may be
    /// there all the same, so that it stays stored, with the key under which it was tried. It is no longer under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<Timestamp>,
}
