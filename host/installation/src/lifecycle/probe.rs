//! A revision answers for an account, in throwaway instances, before it is used: who it is, whether it does what every
//! connector must, and what it would lead to that the revision in use does not.

use std::collections::BTreeSet;
use std::sync::Arc;

use samspel_model::registry::ConnectorRevision;
use samspel_model::{Collection, Connector, Failure, Side};
use samspel_runtime::{BoundConnector, LoadedConnector};
use samspel_sync::{Comparison, SyncError};
use serde::Serialize;

use super::Lifecycle;
use super::conformance::{self, Trouble};
use crate::error::{Error, Kind};

/// Linked records of each sync that the revision in use is asked for, too.
const COMPARED: u32 = 20;
/// Differences that are told.
const TOLD: usize = 5;

/// What came of asking a revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Probe {
    /// The account that it was asked for.
    pub account: String,
    /// Who the account is, if the revision found out.
    pub identity: Option<String>,
    /// Why it is not known whether the revision is any good: the remote is down, or refuses the account.
    pub inconclusive: Option<String>,
    /// Linked records of which it was compared what would be written.
    pub compared: u64,
    /// What would be written otherwise than with the revision in use, for people.
    pub differs: Vec<String>,
    /// The same without records.
    #[serde(skip)]
    pub differing: Vec<String>,
}

impl Probe {
    /// What came of comparing the two revisions for a sync.
    fn tell(&mut self, sync: &str, side: Side, comparison: &Comparison) {
        let Comparison {
            records,
            differences,
        } = comparison;
        self.compared += records;
        if differences.is_empty() {
            return;
        }
        let left = TOLD.saturating_sub(self.differs.len());
        for one in differences.iter().take(left) {
            self.differs.push(format!(
                "sync `{sync}`: of record {} of side {side} it leads to other writes: {}",
                one.record,
                one.about.join(", ")
            ));
        }
        let more = differences.len().saturating_sub(left);
        if more > 0 {
            self.differs.push(format!(
                "sync `{sync}`: {more} more of {records} records of side {side}"
            ));
        }
        let about: BTreeSet<&str> = differences
            .iter()
            .flat_map(|one| one.about.iter().map(String::as_str))
            .collect();
        self.differing.push(format!(
            "sync `{sync}`: {} of {records} records of side {side}: {}",
            differences.len(),
            Vec::from_iter(about).join(", ")
        ));
    }
}

impl Lifecycle<'_> {
    /// Asks a revision what it is to know. `Err`: the revision is no good for the account. `is_successor`: another one
    /// is in use, and compared with.
    pub(super) async fn probe(
        &self,
        account: &str,
        revision: &ConnectorRevision,
        loaded: &LoadedConnector,
        is_successor: bool,
    ) -> Result<Probe, Error> {
        let no_good = |why: String| {
            Error::new(
                Kind::Connector,
                format!(
                    "{} {} does not work for account `{account}`: {why}",
                    revision.name, revision.version
                ),
            )
        };
        let mut probe = Probe {
            account: account.to_owned(),
            identity: None,
            inconclusive: None,
            compared: 0,
            differs: Vec::new(),
            differing: Vec::new(),
        };
        let bound = match self.host.bind_throwaway(account, loaded).await {
            Ok(bound) => Arc::new(bound),
            // A secret that cannot be read here says nothing about the revision.
            Err(error) if error.kind() == Kind::Account => {
                probe.inconclusive = Some(error.to_string());
                return Ok(probe);
            }
            Err(error) => return Err(no_good(error.to_string())),
        };
        match self.ask(account, &bound, &mut probe).await {
            Ok(()) => {}
            Err(Trouble::Against(why)) => return Err(no_good(why)),
            Err(Trouble::Failed(
                failure @ (Failure::Stopped(_) | Failure::Bug(_) | Failure::Misconfigured { .. }),
            )) => return Err(no_good(failure.to_string())),
            Err(Trouble::Failed(failure)) => {
                probe.identity = None;
                probe.inconclusive = Some(failure.to_string());
                return Ok(probe);
            }
        }
        if is_successor {
            self.compare(account, loaded, &bound, &mut probe)
                .await
                .map_err(no_good)?;
        }
        Ok(probe)
    }

    /// Who the account is, what it offers, and a page of what is used.
    async fn ask(
        &self,
        account: &str,
        bound: &BoundConnector,
        probe: &mut Probe,
    ) -> Result<(), Trouble> {
        let identity = bound.check().await?;
        let known = self.host.store().account(account).await;
        if let Ok(Some(known)) = known
            && known != identity.id
        {
            // An operator may have set up another account; then the revision in use says so, too.
            match self.said_now(account).await {
                Some(now) if now != known => {}
                Some(_) => {
                    return Err(Trouble::Against(format!(
                        "it says that the account is `{}`, and the one in use says `{known}`: what is stored would belong to nobody",
                        identity.id
                    )));
                }
                None => {
                    return Err(Trouble::Against(format!(
                        "it says that the account is `{}`, what is stored belongs to `{known}`, and the one in use could not be asked",
                        identity.id
                    )));
                }
            }
        }
        let offered: Vec<Collection> = bound.collections().await?;
        for wanted in self.host.collections_of(account) {
            let Some(collection) = offered.iter().find(|offered| offered.name == wanted) else {
                return Err(Trouble::Against(format!(
                    "it does not offer the collection `{wanted}`, which a sync uses"
                )));
            };
            conformance::look(bound, collection).await?;
        }
        probe.identity = Some(identity.label);
        Ok(())
    }

    /// Who the account is, as the revision in use says.
    async fn said_now(&self, account: &str) -> Option<String> {
        let account = self.host.account(account).await.ok()?;
        let identity = account.connector.check().await.ok()?;
        Some(identity.id)
    }

    /// What each sync of the account would write with the revision, and would not with the one in use. `Err`: a sync
    /// cannot go on with it.
    async fn compare(
        &self,
        account: &str,
        loaded: &LoadedConnector,
        bound: &Arc<BoundConnector>,
        probe: &mut Probe,
    ) -> Result<(), String> {
        for (name, spec) in &self.host.config().syncs {
            for (side, of) in [(Side::A, &spec.a), (Side::B, &spec.b)] {
                if of.account != account {
                    continue;
                }
                // The other account, or the revision in use, may be what does not work.
                let opened = match self.host.open_sync(name).await {
                    Ok(opened) => opened,
                    Err(error) => {
                        tracing::warn!(sync = name, %error, "revisions could not be compared");
                        continue;
                    }
                };
                let party = self
                    .host
                    .party_with(of, Arc::clone(bound), &loaded.descriptor);
                match opened.sync.compare(side, &party, COMPARED).await {
                    Ok(comparison) => probe.tell(name, side, &comparison),
                    Err(error @ (SyncError::Policy { .. } | SyncError::NoCollection { .. })) => {
                        return Err(error.to_string());
                    }
                    Err(SyncError::Account {
                        failure: failure @ (Failure::Stopped(_) | Failure::Bug(_)),
                        ..
                    }) => return Err(failure.to_string()),
                    Err(error) => {
                        tracing::warn!(sync = name, %error, "revisions could not be compared");
                    }
                }
            }
        }
        Ok(())
    }
}
