//! What runs say about a revision: an account for which it is no good goes back by itself, and if several do, all go
//! back.

use samspel_model::Failure;
use samspel_model::registry::{
    InstalledConnector, RegistryAct, RegistryChange, RegistryEntry, Stage,
};
use samspel_sync::SyncError;
use serde_json::json;
use tracing::{error, warn};

use super::Lifecycle;
use super::activate::{RolledBack, short};
use crate::error::{Error, Kind};
use crate::host::Account;

/// Runs of an account in which a revision is watched.
const WATCHED: u32 = 5;

/// Strikes within those runs at which an account goes back. One call that is stopped is a record that the connector
/// cannot bear; the run goes on without it.
const STRIKES: u32 = 3;

/// Accounts that went back from a revision, at which all of them do.
const ACCOUNTS: usize = 2;

/// Why, for the history; the log of the run says more.
const STOPPED: &str = "calls were stopped, or requests denied";

/// How often a decision is made anew if somebody moves the pointer meanwhile.
const ATTEMPTS: usize = 5;

/// How a run ended, as far as it concerns a connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was not the connector that ended it.
    Done,
    /// The connector ended it: it was stopped, or returned what cannot be used.
    Failed,
}

impl Ended {
    /// How a run ended for one of its accounts.
    pub fn of(account: &str, error: Option<&SyncError>) -> Self {
        match error {
            Some(SyncError::Account {
                account: failed,
                failure: Failure::Stopped(_) | Failure::Bug(_),
                ..
            }) if failed == account => Self::Failed,
            _ => Self::Done,
        }
    }
}

/// What follows from a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Stays,
    /// The account's next run is with another revision.
    RolledBack(RolledBack),
}

impl Lifecycle<'_> {
    /// Tells what became of a run. To be called after each, for each of its accounts.
    ///
    /// # Errors
    /// The store fails.
    pub async fn ran(&self, account: &Account, ended: Ended) -> Result<Verdict, Error> {
        let Some(sha256) = &account.revision else {
            // A file of the operator's: there is nothing to go back to.
            return Ok(Verdict::Stays);
        };
        let name = account.installed.loaded.descriptor.name.clone();
        let strikes = match (account.new_strikes(), ended) {
            (_, Ended::Failed) => STRIKES,
            (new, Ended::Done) => new,
        };
        if account.watched() {
            let trial = self.registry().ran(sha256, &account.name, strikes).await?;
            if trial.runs > WATCHED {
                account.trusted();
            } else if trial.strikes >= STRIKES {
                for _ in 0..ATTEMPTS {
                    match self.no_good(&name, sha256, &account.name, STOPPED).await {
                        // Somebody moved the pointer: it is decided anew from where it is.
                        Err(error) if error.kind() == Kind::Held => {}
                        other => return other,
                    }
                }
            }
        }
        self.retire(&name).await?;
        Ok(Verdict::Stays)
    }

    /// Takes an account back from a revision that is no good for it, and all of them if several went.
    pub(crate) async fn no_good(
        &self,
        name: &str,
        sha256: &str,
        account: &str,
        what: &str,
    ) -> Result<Verdict, Error> {
        let Some(mut pointer) = self.registry().installed(name).await? else {
            return Ok(Verdict::Stays);
        };
        if pointer.revision_of(account) != Some(sha256) {
            // It is on another one already.
            return Ok(Verdict::Stays);
        }
        let mut changes = Vec::new();
        let why = format!("account `{account}`: {what}");
        let on_trial = pointer
            .canary
            .as_ref()
            .is_some_and(|canary| canary.sha256 == sha256);
        let to = if on_trial {
            end_canary(&mut pointer, account);
            if pointer.canary.is_none()
                && let Some(revision) = self.registry().revision(sha256).await?
            {
                changes.push(self.put(&revision, Stage::Refused, Some(why.clone())));
            }
            pointer.revision_of(account).map(str::to_owned)
        } else {
            pointer.previous.clone()
        };
        let Some(to) = to.filter(|to| to != sha256) else {
            warn!(
                connector = name,
                account,
                revision = short(sha256),
                "the connector is stopped again and again, and there is no earlier revision to go back to"
            );
            return Ok(Verdict::Stays);
        };
        if !on_trial {
            pointer.kept.insert(account.to_owned(), to.clone());
            let users = self.host.accounts_of(name);
            if pointer.kept.len() >= ACCOUNTS
                || users.iter().all(|user| pointer.kept.contains_key(user))
            {
                return self.all_back(pointer, sha256, &to).await;
            }
        }
        if !on_trial && let Some(back) = self.registry().revision(&to).await? {
            let kept = Some(format!("used by account `{account}`"));
            changes.push(self.put(&back, Stage::Draining, kept));
        }
        changes.push(RegistryChange::Tell(RegistryEntry {
            sha256: Some(to.clone()),
            account: Some(account.to_owned()),
            ..self.entry(
                RegistryAct::AccountRolledBack,
                name,
                json!({ "from": sha256, "why": why }),
            )
        }));
        changes.push(RegistryChange::Point(pointer));
        self.apply(name, changes).await?;
        error!(
            connector = name,
            account,
            from = short(sha256),
            to = short(&to),
            "ROLLED BACK: the new revision does not work for this account, which uses the previous one again; \
             other accounts stay"
        );
        Ok(Verdict::RolledBack(RolledBack {
            name: name.to_owned(),
            from: sha256.to_owned(),
            to,
            account: Some(account.to_owned()),
        }))
    }

    async fn all_back(
        &self,
        pointer: InstalledConnector,
        from: &str,
        to: &str,
    ) -> Result<Verdict, Error> {
        let struck: Vec<_> = pointer.kept.keys().cloned().collect();
        let why = format!("it does not work for {}", struck.join(", "));
        let pointer = InstalledConnector {
            active: Some(to.to_owned()),
            previous: None,
            kept: Default::default(),
            ..pointer
        };
        let name = pointer.name.clone();
        let back = self.go_back(pointer, from, to, &why).await?;
        error!(
            connector = name,
            accounts = struck.join(", "),
            from = short(from),
            to = short(to),
            "ROLLED BACK: the new revision does not work for these accounts; all accounts use the previous one again"
        );
        Ok(Verdict::RolledBack(back))
    }
}

/// An account tries a canary no longer; the last one that leaves ends it.
fn end_canary(pointer: &mut InstalledConnector, account: &str) {
    if let Some(canary) = &mut pointer.canary {
        canary.accounts.remove(account);
        if canary.accounts.is_empty() {
            pointer.canary = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use samspel_model::Side;

    use super::*;

    #[test]
    fn only_what_the_connector_did_counts_against_it() {
        let error = |failure| SyncError::Account {
            side: Side::A,
            account: "crm".to_owned(),
            failure,
        };
        let stopped = error(Failure::Stopped("trap".to_owned()));
        assert_eq!(Ended::of("crm", Some(&stopped)), Ended::Failed);
        assert_eq!(Ended::of("mail", Some(&stopped)), Ended::Done);
        let down = error(Failure::Unavailable("down".to_owned()));
        assert_eq!(Ended::of("crm", Some(&down)), Ended::Done);
        assert_eq!(Ended::of("crm", None), Ended::Done);
    }
}
