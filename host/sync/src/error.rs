//! Why a run ended before its end.

use samspel_engine::PolicyErrors;
use samspel_model::{Failure, Side, StoreError};
use thiserror::Error;

use crate::accounts::Accounts;
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
    /// The plan is not the one that was agreed to.
    #[error(
        "sync `{sync}`: nothing was done: the plan is no longer `{wanted}` but `{}`; look at `samspel sync plan {sync}` again", .plan.hash
    )]
    PlanChanged {
        /// The sync.
        sync: String,
        /// What was agreed to.
        wanted: String,
        /// What would be done now.
        plan: Box<PlanReport>,
    },
    /// A stop was asked for while the plan was made that somebody was to agree to.
    #[error("sync `{sync}`: stopped before everything was read and planned; nothing was written")]
    Stopped {
        /// The sync.
        sync: String,
    },
    /// The account is somebody else's than what is stored.
    #[error(
        "sync `{sync}`: account `{account}` is `{now}` now and was `{known}` when its records were read; nothing was done. \
         Use the former credential and settings, or give the new account a name of its own in `[accounts]`"
    )]
    OtherAccount {
        /// The sync.
        sync: String,
        /// The account.
        account: String,
        /// Whose it was.
        known: String,
        /// Whose it is.
        now: String,
    },
    /// The run's accounts do not balance.
    #[error(
        "sync `{sync}`: records are missing in the accounts of this run ({accounts:?}); this is a bug in Samspel. \
         Nothing is lost: `samspel sync run {sync} --full` looks at every record again"
    )]
    Unbalanced {
        /// The sync.
        sync: String,
        /// The numbers.
        accounts: Box<Accounts>,
    },
    /// What an operator asked for cannot be done.
    #[error("sync `{sync}`: {why}")]
    Refused {
        /// The sync.
        sync: String,
        /// Why, and what can be done.
        why: String,
    },
}
