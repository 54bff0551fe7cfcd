//! A revision answers for an account, in throwaway instances, before it is used.

use samspel_model::registry::ConnectorRevision;
use samspel_model::{Connector, Failure};
use samspel_runtime::LoadedConnector;
use serde::Serialize;

use super::Lifecycle;
use crate::error::{Error, Kind};

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
}

impl Lifecycle<'_> {
    /// Asks a revision who an account is and what it offers. `Err`: the revision is no good for the account.
    pub(super) async fn probe(
        &self,
        account: &str,
        revision: &ConnectorRevision,
        loaded: &LoadedConnector,
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
        let inconclusive = |why: String| Probe {
            account: account.to_owned(),
            identity: None,
            inconclusive: Some(why),
        };
        let bound = match self.host.bind_throwaway(account, loaded).await {
            Ok(bound) => bound,
            // A secret that cannot be read here says nothing about the revision.
            Err(error) if error.kind() == Kind::Account => {
                return Ok(inconclusive(error.to_string()));
            }
            Err(error) => return Err(no_good(error.to_string())),
        };
        let asked = async {
            let identity = bound.check().await?;
            Ok((identity, bound.collections().await?))
        };
        match asked.await {
            Ok((identity, collections)) => {
                let missing = self
                    .host
                    .collections_of(account)
                    .into_iter()
                    .find(|wanted| !collections.iter().any(|offered| offered.name == *wanted));
                match missing {
                    Some(missing) => Err(no_good(format!(
                        "it does not offer the collection `{missing}`, which a sync uses"
                    ))),
                    None => Ok(Probe {
                        account: account.to_owned(),
                        identity: Some(identity.label),
                        inconclusive: None,
                    }),
                }
            }
            Err(
                failure @ (Failure::Stopped(_) | Failure::Bug(_) | Failure::Misconfigured { .. }),
            ) => Err(no_good(failure.to_string())),
            Err(failure) => Ok(inconclusive(failure.to_string())),
        }
    }
}
