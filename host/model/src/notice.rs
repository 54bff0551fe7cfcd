//! What people are told of: that something lasts which they should look at.

use async_trait::async_trait;
use jiff::Timestamp;

use crate::store::StoreError;

/// What a notice is about: a kind of trouble, and the sync, account or connector that has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject {
    /// The kind, such as `holds`.
    pub kind: String,
    /// What has it.
    pub name: String,
}

/// Something that lasts, and that people are told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// What it is about.
    pub subject: Subject,
    /// Since when it lasts.
    pub since: Timestamp,
    /// When they were told last; `None`: nobody was yet.
    pub told: Option<Timestamp>,
}

/// Where it is remembered what people were told of, so that a restart tells them nothing twice and forgets nothing.
#[async_trait]
pub trait Notices: Send + Sync {
    /// What lasts.
    async fn notices(&self) -> Result<Vec<Notice>, StoreError>;

    /// What lasts now, and what is over.
    async fn put_notices(&self, notices: Vec<Notice>, over: Vec<Subject>)
    -> Result<(), StoreError>;
}
