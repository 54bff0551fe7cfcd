//! Connectors: what there are, installing, upgrading, going back, whose signatures are accepted.

mod history;
mod inspect;
mod install;
mod trust;

pub use history::{ConnectorHistory, HistoryOfConnectors, Revision, RollbackConnector, RolledBack};
pub use inspect::{
    FoundConnector, InspectConnector, Inspected, ListConnectors, ListedConnectors, list,
};
pub use install::{
    ApproveConnector, Component, InstallConnector, InstalledRevision, Outcome, Probed,
    UpgradeConnector,
};
pub use trust::{DistrustKey, DistrustedKey, ListKeys, TrustKey, Trusted};
