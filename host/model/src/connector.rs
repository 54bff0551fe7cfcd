//! The port to a remote system: one connector bound to one account.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::change::{Extent, Fetched, Page, ReadRequest};
use crate::record::{Entity, RecordId};
use crate::schema::Collection;
use crate::write::{Outcome, WriteOp};

/// Who an account is at the remote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Identity {
    /// Stable.
    pub id: String,
    /// For people.
    pub label: String,
}

/// Why a whole call failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Failure {
    /// The remote or the account's budget asks for patience. Nothing was applied.
    #[error("throttled{}", .retry_after.map(|d| format!(", retry after {d:?}")).unwrap_or_default())]
    Throttled {
        /// How long to wait, where known.
        retry_after: Option<Duration>,
    },
    /// The credential is missing, wrong or expired.
    #[error("not authorised: {0}; check the account's credential")]
    Unauthorized(String),
    /// The credential may not do this.
    #[error("forbidden: {0}; check what the credential is allowed to do (scopes, roles)")]
    Forbidden(String),
    /// The cursor is unknown or too old; a snapshot is needed.
    #[error("the cursor has expired")]
    ExpiredCursor,
    /// A setting must be corrected.
    #[error("setting `{setting}`: {why}")]
    Misconfigured {
        /// The setting.
        setting: String,
        /// What is wrong and what to do.
        why: String,
    },
    /// The remote is down or unreachable; worth a retry.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// The connector met what its author did not expect, or gave the host something malformed.
    #[error("the connector failed: {0}")]
    Bug(String),
    /// The sandbox ended the call: a trap or a limit.
    #[error("the connector was stopped: {0}")]
    Stopped(String),
    /// Of a newer contract.
    #[error("{0}")]
    Other(String),
}

impl Failure {
    /// Whether the same call may succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Throttled { .. } | Self::Unavailable(_))
    }
}

/// A failed write call, with what is needed to know whether anything may have been applied.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{failure}")]
pub struct CallFailure {
    /// Why.
    pub failure: Failure,
    /// At least one request that changes something may have reached the remote, so that every item is unknown.
    pub may_have_applied: bool,
}

/// A remote system, bound to one account. Calls may run concurrently.
#[async_trait]
pub trait Connector: Send + Sync {
    /// Can this account be used, and who is it?
    async fn check(&self) -> Result<Identity, Failure>;

    /// The collections of this account.
    async fn collections(&self) -> Result<Vec<Collection>, Failure>;

    /// One page of changes or of a snapshot.
    async fn changes(&self, request: ReadRequest) -> Result<Page, Failure>;

    /// One answer per id, in order. Of [`Extent::Values`], what the answers say of consents means nothing.
    async fn fetch(
        &self,
        collection: &str,
        ids: &[RecordId],
        fields: Option<&[String]>,
        extent: Extent,
    ) -> Result<Vec<Fetched>, Failure>;

    /// Waits until a request would not have to wait for the account's budget. Whether there was something to wait for:
    /// what is to be asked for is best chosen after that.
    async fn ready(&self) -> bool {
        false
    }

    /// Per value the records whose field equals it, in order.
    async fn find(
        &self,
        collection: &str,
        field: &str,
        values: &[String],
    ) -> Result<Vec<Vec<Entity>>, Failure>;

    /// One outcome per write, in order.
    async fn write(
        &self,
        collection: &str,
        writes: Vec<WriteOp>,
    ) -> Result<Vec<Outcome>, CallFailure>;
}
