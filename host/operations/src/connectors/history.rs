//! The versions of connectors, which of them are used, who did what, and going back.

use jiff::Timestamp;
use samspel_installation::{Error, Kind, Lifecycle};
use samspel_model::access::Role;
use samspel_model::registry::{
    ConnectorRevision, InstalledConnector, RegistryEntry, Rights, Stage,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use crate::act::Act;
use crate::operation::{Operation, Route, Work};
use crate::values::Limit;

/// Shows the versions of a connector, which of them is used, and who did what.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConnectorHistory {
    /// The connector; all of them if it is left out.
    #[serde(default)]
    pub name: Option<String>,
    /// At most so many events.
    #[serde(default)]
    pub limit: Limit,
}

/// Versions, and what was done.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct HistoryOfConnectors {
    /// Which revisions are used.
    pub installed: Vec<InstalledConnector>,
    /// The revisions.
    pub revisions: Vec<Revision>,
    /// What was done, newest first.
    pub events: Vec<RegistryEntry>,
}

/// A revision, without the manifest's text.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Revision {
    /// What it calls itself.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// SHA-256 of the component.
    pub sha256: String,
    /// How far it came.
    pub stage: Stage,
    /// Why it is where it is, if there is more to say.
    pub why: Option<String>,
    /// Where it came from.
    pub source: String,
    /// The name of the trusted key that signed it.
    pub signer: Option<String>,
    /// Size of the component.
    pub bytes: u64,
    /// What it asks for.
    pub rights: Rights,
    /// When it was staged.
    pub staged: Timestamp,
    /// When it changed its stage last.
    pub changed: Timestamp,
}

impl From<ConnectorRevision> for Revision {
    fn from(one: ConnectorRevision) -> Self {
        Self {
            name: one.name,
            version: one.version,
            sha256: one.sha256,
            stage: one.stage,
            why: one.why,
            source: one.source,
            signer: one.signer,
            bytes: one.bytes,
            rights: one.rights,
            staged: one.staged,
            changed: one.changed,
        }
    }
}

impl Operation for ConnectorHistory {
    type Output = HistoryOfConnectors;
    const ROUTE: Route = Route::get(
        "connectorHistory",
        "/connectors/history",
        Role::Viewer,
        "Show the versions of connectors, which of them are used, and who did what",
    );

    async fn run(&self, work: &Work<'_>) -> Result<HistoryOfConnectors, Error> {
        let registry = work.host.registry();
        let lifecycle = Lifecycle::new(work.host, work.who);
        let name = self.name.as_deref();
        let revisions = registry.revisions(name).await?;
        let events = registry.told(name, self.limit.get()).await?;
        let installed = match name {
            Some(name) => match lifecycle.installed(name).await {
                Ok(installed) => vec![installed],
                // Of one that was only ever refused or waits there is no pointer.
                Err(error)
                    if error.kind() == Kind::NotFound
                        && !(revisions.is_empty() && events.is_empty()) =>
                {
                    vec![InstalledConnector::new(name)]
                }
                Err(error) => return Err(error),
            },
            None => registry.all_installed().await?,
        };
        Ok(HistoryOfConnectors {
            installed,
            revisions: revisions.into_iter().map(Revision::from).collect(),
            events: events.into_iter().map(|(_, event)| event).collect(),
        })
    }
}

/// Goes back to the version that was active before; from a canary, to what is active.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RollbackConnector {
    /// The connector.
    pub connector: String,
    /// Which revision: its version, or at least 8 digits of its SHA-256. Without it, the one that was active before.
    #[serde(default)]
    pub to: Option<String>,
}

/// What was gone back from, and to.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct RolledBack {
    /// The connector.
    pub name: String,
    /// The revision that is left.
    pub from: String,
    /// The revision that is used from now on.
    pub to: String,
    /// The account that went back; all of them if there is none.
    pub account: Option<String>,
}

impl Operation for RollbackConnector {
    type Output = RolledBack;
    const ROUTE: Route = Route::post(
        "rollbackConnector",
        "/connectors/{connector}/rollback",
        Role::Operator,
        "Go back to the version that was active before",
    );

    fn act(&self) -> Option<Act> {
        let act = Act::new("connector rollback", self.connector.clone());
        Some(act.with(json!({ "to": self.to })))
    }

    async fn run(&self, work: &Work<'_>) -> Result<RolledBack, Error> {
        let lifecycle = Lifecycle::new(work.host, work.who);
        let back = lifecycle
            .rollback(&self.connector, self.to.as_deref())
            .await?;
        Ok(RolledBack {
            name: back.name,
            from: back.from,
            to: back.to,
            account: back.account,
        })
    }
}
