//! What a person allows, and whether mail reaches the address.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What a person said about being written to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConsentState {
    /// An explicit opt-in.
    Subscribed,
    /// An explicit opt-out: the restriction that only newer opt-in evidence lifts.
    Unsubscribed,
    /// An opt-in was asked for and is not confirmed.
    Pending,
    /// Nothing was ever said.
    Unspecified,
    /// A state of a newer contract, in the connector's words. Treated as unspecified.
    Other(String),
}

/// A consent as a remote holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consent {
    /// `email`, `sms`, ...
    pub channel: String,
    /// `marketing`, or another purpose that the collection declares.
    pub purpose: String,
    /// What was said.
    pub state: ConsentState,
    /// When the state was entered. Without it an opt-in is no evidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// What proves it, in the remote's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
}

/// One channel and purpose for which a collection holds consent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsentSlot {
    /// `email`, `sms`, ...
    pub channel: String,
    /// `marketing`, or another purpose.
    pub purpose: String,
    /// An opt-out can be written.
    pub can_restrict: bool,
    /// An opt-in can be written.
    pub can_grant: bool,
}

/// Whether mail reaches an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeliverabilityState {
    /// Nothing is known against the address.
    Deliverable,
    /// A temporary failure was seen.
    SoftBounced,
    /// The address failed permanently.
    HardBounced,
    /// The recipient reported spam.
    Complained,
    /// A state of a newer contract, in the connector's words.
    Other(String),
}

/// The deliverability of a record's address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deliverability {
    /// What is known.
    pub state: DeliverabilityState,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// The remote's reason, for people to read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
