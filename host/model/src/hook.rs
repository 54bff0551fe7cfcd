//! Notifications: what a remote sends by itself when something changed. A notification is a hint and never more.
//!
//! [`Notified`] is the port to a connector that takes them, [`HookStore`] the one to where they are kept between being
//! received and being understood.

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::change::Extent;
use crate::connector::Failure;
use crate::record::RecordId;
use crate::store::{Endpoint, StoreError};

/// What an endpoint belongs to at the remote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HookScope {
    /// To one account.
    Account,
    /// To an app that serves many accounts; each hint names its own.
    App,
}

/// When a remote wants a certain answer to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HookReplies {
    /// Never: it is enough that the request was accepted.
    Never,
    /// To `GET`.
    Probes,
    /// To every request.
    Always,
}

/// How a notification shows that it comes from the remote, besides by the secret in its address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Proof {
    /// By nothing else.
    Address,
    /// By an authentication code that the host checks.
    Hmac(HmacScheme),
    /// By something that the connector checks.
    Connector,
}

/// An authentication code in a header (HMAC, RFC 2104).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HmacScheme {
    /// The credential that holds the key.
    pub credential: String,
    /// `hmac-sha256`, ...
    pub algorithm: String,
    /// The header that holds the code, in lower case.
    pub header: String,
    /// What stands in the header before the code.
    pub prefix: String,
    /// How the code is written.
    pub encoding: CodeEncoding,
    /// What is signed: these parts, one after the other.
    pub message: Vec<SignedPart>,
    /// When it was sent, where the remote tells.
    pub sent_at: Option<SentAt>,
}

/// How an authentication code is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CodeEncoding {
    /// Hexadecimal, in either case.
    Hex,
    /// Base64 (RFC 4648, section 4).
    Base64,
}

/// A part of what is signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignedPart {
    /// The method, in upper case.
    Method,
    /// The address that the remote was given, with what it appended.
    Url,
    /// The body.
    Body,
    /// The text of the header that says when it was sent.
    SentAt,
    /// This text.
    Text(String),
}

/// The header that says when a notification was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentAt {
    /// Its name, in lower case.
    pub header: String,
    /// What it counts since 1970.
    pub unit: TimeUnit,
    /// Seconds by which it may differ from our time.
    pub tolerance: u32,
}

/// What a time counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TimeUnit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
}

/// How notifications of a remote work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookDescriptor {
    /// What an endpoint belongs to.
    pub scope: HookScope,
    /// When a certain answer is wanted.
    pub replies: HookReplies,
    /// How they are proven.
    pub proof: Proof,
    /// Whether the connector can ask the remote to send them.
    pub can_subscribe: bool,
    /// For whoever enters the address at the remote.
    pub help: String,
}

/// A notification as a connector sees it: without the host's part of the address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookRequest {
    /// The method, in upper case.
    pub method: String,
    /// What the remote appended to the address that it was given, with the query.
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl HookRequest {
    /// The first header of this name, which is given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }
}

/// A record that may have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// Which account, where one endpoint serves many: who it is at the remote.
    pub account_key: Option<String>,
    /// The collection.
    pub collection: String,
    /// The record.
    pub id: RecordId,
    /// How much of it may have changed.
    pub extent: Extent,
}

/// A certain answer that a remote wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookReply {
    /// Status code of HTTP.
    pub status: u16,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// What a notification says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HookReceipt {
    /// Records that may have changed.
    pub hints: Vec<Hint>,
    /// The answer that the remote wants.
    pub reply: Option<HookReply>,
}

/// That a remote sends notifications to an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookSubscription {
    /// What the remote calls it.
    pub id: String,
    /// When the remote drops it, where it does.
    pub expires: Option<Timestamp>,
}

/// A connector that takes notifications, bound to one account.
#[async_trait]
pub trait Notified: Send + Sync {
    /// How they work.
    fn hooks(&self) -> &HookDescriptor;

    /// Which records a notification is about. [`Failure::Unauthorized`]: it does not come from the remote.
    async fn receive(&self, request: HookRequest) -> Result<HookReceipt, Failure>;

    /// Asks the remote to send notifications about a collection to an address. Twice is once.
    async fn subscribe(&self, collection: &str, url: &str) -> Result<HookSubscription, Failure>;

    /// Ends a subscription; one that the remote does not know has ended.
    async fn unsubscribe(&self, id: &str) -> Result<(), Failure>;
}

/// A notification that was received and not understood yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// Its place among all that were received; grows. 0 before it is kept.
    pub position: u64,
    /// The endpoint that it came to.
    pub endpoint: String,
    /// When it came.
    pub received: Timestamp,
    /// As it came.
    pub request: HookRequest,
    /// How often a connector failed to understand it.
    pub attempts: u32,
    /// Why it was not understood.
    pub error: Option<String>,
    /// It is tried again then; `None`: not by itself.
    pub due: Option<Timestamp>,
}

/// Records of one endpoint that may have changed, and how much of them.
pub type Hinted = (Endpoint, Vec<(RecordId, Extent)>);

/// Where notifications are kept until they are understood. What is kept survives a crash.
#[async_trait]
pub trait HookStore: Send + Sync {
    /// Keeps a notification, due at once, and tells its position.
    async fn keep_hook(&self, hook: &Hook) -> Result<u64, StoreError>;

    /// Those of an endpoint (or of all) after a position, in order, with or without those that are not tried again by
    /// themselves.
    async fn hooks(
        &self,
        endpoint: Option<&str>,
        after: u64,
        failed_too: bool,
        limit: u32,
    ) -> Result<Vec<Hook>, StoreError>;

    /// The endpoints of which there are any that are tried again by themselves.
    async fn hook_endpoints(&self) -> Result<Vec<String>, StoreError>;

    /// Notifications were understood: they are forgotten, and in the same transaction the records are marked to be
    /// fetched and planned in every sync that is registered on their endpoint. Tells the syncs.
    async fn hooks_understood(
        &self,
        positions: &[u64],
        hinted: &[Hinted],
        at: Timestamp,
    ) -> Result<Vec<String>, StoreError>;

    /// One was not understood. `due`: when it is tried again.
    async fn hook_failed(
        &self,
        position: u64,
        error: &str,
        due: Option<Timestamp>,
    ) -> Result<(), StoreError>;

    /// Those that are not tried again by themselves become due now; without a position, all of them. How many.
    async fn retry_hooks(&self, position: Option<u64>, now: Timestamp) -> Result<u64, StoreError>;

    /// Forgets one that is not tried again by itself; whether it was there.
    async fn drop_hook(&self, position: u64) -> Result<bool, StoreError>;

    /// How many wait, and how many are not tried again by themselves.
    async fn hook_counts(&self) -> Result<(u64, u64), StoreError>;

    /// Keeps that a remote sends notifications about an endpoint's records to an address, of which `address` is a
    /// fingerprint; replaces.
    async fn put_subscription(
        &self,
        endpoint: &Endpoint,
        address: &str,
        subscription: &HookSubscription,
    ) -> Result<(), StoreError>;

    /// All subscriptions: endpoint, fingerprint of the address, subscription.
    async fn subscriptions(&self) -> Result<Vec<(Endpoint, String, HookSubscription)>, StoreError>;

    /// Forgets a subscription.
    async fn remove_subscription(&self, endpoint: &Endpoint) -> Result<(), StoreError>;
}
