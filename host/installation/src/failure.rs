//! Failures of the parts below, as they are told to people: their class, and what to do.

use samspel_model::{Failure, StoreError};
use samspel_sync::SyncError;
use serde_json::json;

use crate::error::{Error, Kind};

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        let kind = match &error {
            StoreError::Held { .. } | StoreError::LeaseLost { .. } => Kind::Held,
            StoreError::Damaged { .. } | StoreError::Backend { .. } => Kind::Failure,
        };
        let failed = Self::new(kind, &error);
        match &error {
            StoreError::LeaseLost { .. } => {
                failed.remedy("let only one process run the sync, then run it again")
            }
            StoreError::Damaged { .. } => failed
                .remedy("restore the store from a backup; nothing was changed by this command"),
            StoreError::Backend { .. } => failed
                .remedy("`samspel doctor` checks the store's file, its directory and the disk"),
            StoreError::Held { .. } => failed,
        }
    }
}

impl From<SyncError> for Error {
    fn from(error: SyncError) -> Self {
        match error {
            SyncError::Store(error) => error.into(),
            SyncError::Account {
                account, failure, ..
            } => of_account(&account, &failure),
            SyncError::Policy { sync, errors } => {
                let lines: Vec<_> = errors
                    .0
                    .iter()
                    .map(|error| format!("  syncs.{sync}.{}: {}", error.setting, error.why))
                    .collect();
                Self::new(
                    Kind::Config,
                    format!(
                        "sync `{sync}` does not fit its collections:\n{}",
                        lines.join("\n")
                    ),
                )
                .remedy("correct the mapping; `samspel account check` lists collections and fields")
            }
            error @ SyncError::NoCollection { .. } => Self::new(Kind::Config, error),
            error @ SyncError::Paused { .. } => Self::new(Kind::Paused, error),
            SyncError::NotConfirmed { sync, plan } => Self::new(
                Kind::NotConfirmed,
                format!(
                    "the first run of sync `{sync}` writes nothing before its plan is confirmed"
                ),
            )
            .remedy(format!(
                "look at `samspel sync plan {sync}`, then `samspel sync run {sync} --yes`"
            ))
            .detail("plan", json!(plan)),
            SyncError::PlanChanged { sync, wanted, plan } => Self::new(
                Kind::NotConfirmed,
                format!(
                    "nothing was done: the plan of sync `{sync}` is no longer {wanted} but {}",
                    plan.hash
                ),
            )
            .remedy(format!("look at `samspel sync plan {sync}` again"))
            .detail("plan", json!(plan)),
            error @ SyncError::Stopped { .. } => Self::new(Kind::Interrupted, error),
            error @ SyncError::OtherAccount { .. } => Self::new(Kind::Account, error),
            error @ SyncError::Unbalanced { .. } => Self::new(Kind::Failure, error),
            error @ SyncError::Refused { .. } => Self::new(Kind::Usage, error),
        }
    }
}

/// A failure of an account, wherever it happened.
pub fn of_account(account: &str, failure: &Failure) -> Error {
    let kind = match failure {
        Failure::Throttled { .. } | Failure::Unavailable(_) => Kind::Unavailable,
        Failure::Unauthorized(_) | Failure::Forbidden(_) => Kind::Account,
        Failure::Misconfigured { .. } => Kind::Config,
        Failure::Bug(_) | Failure::Stopped(_) => Kind::Connector,
        Failure::ExpiredCursor | Failure::Other(_) => Kind::Failure,
    };
    let failed = Error::new(kind, format!("account `{account}`: {failure}"));
    match failure {
        Failure::Throttled { .. } | Failure::Unavailable(_) => failed.remedy("try again later"),
        Failure::Misconfigured { setting, .. } => {
            failed.remedy(format!("correct `accounts.{account}.settings.{setting}`"))
        }
        Failure::Stopped(_) => failed.remedy(format!(
            "`accounts.{account}.limits` can widen a limit; otherwise report it to the connector's author"
        )),
        Failure::Bug(_) => failed.remedy("RUST_LOG=debug shows more; report it to the connector's author"),
        _ => failed,
    }
}
