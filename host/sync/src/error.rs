//! Why a run ended before its end.

use samspel_engine::PolicyErrors;
use samspel_model::{Failure, Side, StoreError};
use thiserror::Error;

use crate::report::PlanReport;

/// Why a run ended before its end. Everything that was settled stays settled, and the next run continues there.
#[derive(Debug, Error)]
pub enum SyncError {
    /// The store failed, or another process holds the sync.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The specification does not fit the collections.
    #[error("sync `{sync}`: {errors}")]
    Policy {
        /// The sync.
        sync: String,
        /// Everything that is wrong.
        errors: PolicyErrors,
    },
    /// The account does not offer the collection.
    #[error(
        "sync `{sync}`: setting `{side}.collection`: account `{account}` has no collection `{collection}`; it has {known}"
    )]
    NoCollection {
        /// The sync.
        sync: String,
        /// The side.
        side: Side,
        /// The account.
        account: String,
        /// The collection that was asked for.
        collection: String,
        /// Those that it has.
        known: String,
    },
    /// An account failed.
    #[error("account `{account}` (side {side}): {failure}")]
    Account {
        /// The side.
        side: Side,
        /// The account.
        account: String,
        /// Why.
        failure: Failure,
    },
    /// The sync is paused.
    #[error("sync `{sync}` is paused: {reason}; `samspel sync resume {sync}` lets it run again")]
    Paused {
        /// The sync.
        sync: String,
        /// Why.
        reason: String,
    },
    /// The first plan was not confirmed.
    #[error(
        "the first run of sync `{sync}` needs a confirmation of its plan: look at `samspel sync plan {sync}`, then run it with `--yes`"
    )]
    NotConfirmed {
        /// The sync.
        sync: String,
        /// What would be done.
        plan: Box<PlanReport>,
    },
}
