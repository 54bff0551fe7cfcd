//! The port to installed connectors: revisions that never change, which of them is active, who is trusted, and what was
//! done.
//!
//! A revision is a component's digest. What moves is the pointer to it, one for each connector's name, and every move
//! is compared with the generation that it was decided from: of two that move it at once, one is told to look again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::store::StoreError;

/// How far a revision came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// It was fetched, and its digest is known.
    Staged,
    /// Its signature is that of somebody who is trusted, or nobody asked for one.
    Verified,
    /// It was compiled, described itself, and is what its manifest says.
    Compiled,
    /// It answered for an account, in throwaway instances. If it would write otherwise than what is active, it waits
    /// here.
    Probed,
    /// Chosen accounts use it.
    Canary,
    /// All accounts use it that no other revision is kept for.
    Active,
    /// Another one is active; runs that began with this one end with it.
    Draining,
    /// No run uses it any more. It can be gone back to.
    Retired,
    /// It is not used; the revision says why.
    Refused,
}

impl Stage {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Staged => "staged",
            Self::Verified => "verified",
            Self::Compiled => "compiled",
            Self::Probed => "probed",
            Self::Canary => "canary",
            Self::Active => "active",
            Self::Draining => "draining",
            Self::Retired => "retired",
            Self::Refused => "refused",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// What a connector asks for. Each is a line that a person can read and agree to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Rights {
    /// Where it sends requests: `GET https://api.example.com/v1`, or `ANY` for every method.
    pub egress: BTreeSet<String>,
    /// Which credentials it uses, and how.
    pub credentials: BTreeSet<String>,
    /// Which records it reads and writes.
    pub collections: BTreeSet<String>,
}

impl Rights {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.egress.is_empty() && self.credentials.is_empty() && self.collections.is_empty()
    }
}

/// A component that was installed, or is about to be. What it is never changes; `stage` and `why` do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectorRevision {
    /// SHA-256 of the component, in lower-case hexadecimal.
    pub sha256: String,
    /// What it calls itself; empty until it was asked.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// Size of the component.
    pub bytes: u64,
    /// Where it came from.
    pub source: String,
    /// The manifest that was signed, to the byte.
    pub manifest: Option<String>,
    /// The name of the trusted key that signed it. `None`: nobody did, and an operator allowed that.
    pub signer: Option<String>,
    /// What it asks for.
    pub rights: Rights,
    /// The layout of the cursors it writes.
    pub cursor_version: u32,
    /// The layouts that it reads besides.
    pub cursor_versions_read: Vec<u32>,
    /// How far it came.
    pub stage: Stage,
    /// Why it is where it is, if there is more to say.
    pub why: Option<String>,
    /// When it was staged.
    pub staged: Timestamp,
    /// When it changed its stage last.
    pub changed: Timestamp,
}

/// A revision that some accounts try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Canary {
    /// The revision.
    pub sha256: String,
    /// The accounts.
    pub accounts: BTreeSet<String>,
}

/// Which revisions of a connector are used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct InstalledConnector {
    /// Its name.
    pub name: String,
    /// Grows by one with each change; 0: it is not stored yet.
    pub generation: u64,
    /// What accounts use.
    pub active: Option<String>,
    /// What was active before, and can be gone back to.
    pub previous: Option<String>,
    /// What some accounts try.
    pub canary: Option<Canary>,
    /// Accounts that went back by themselves, and to which revision. They stay there until another one is activated.
    pub kept: BTreeMap<String, String>,
    /// What an operator agreed to, in all.
    pub approved: Rights,
}

impl InstalledConnector {
    /// A connector of which nothing is installed.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }

    /// The revision that an account uses.
    pub fn revision_of(&self, account: &str) -> Option<&str> {
        let tried = self
            .canary
            .as_ref()
            .filter(|canary| canary.accounts.contains(account))
            .map(|canary| &canary.sha256);
        tried
            .or_else(|| self.kept.get(account))
            .or(self.active.as_ref())
            .map(String::as_str)
    }

    /// Whether anything points to a revision.
    pub fn uses(&self, sha256: &str) -> bool {
        self.active.as_deref() == Some(sha256)
            || self.kept.values().any(|kept| kept == sha256)
            || self
                .canary
                .as_ref()
                .is_some_and(|canary| canary.sha256 == sha256)
    }
}

/// Who may sign connectors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TrustedKey {
    /// What the operator calls it.
    pub name: String,
    /// A minisign public key, in base64.
    pub key: String,
    /// Since when it is trusted.
    pub added: Timestamp,
}

/// What was done to a connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum RegistryAct {
    /// A component was fetched.
    Staged,
    /// It is not used.
    Refused,
    /// It asks for more than was granted, or would write otherwise than what is active, and waits.
    Waiting,
    /// An operator agreed to what it asks for.
    Approved,
    /// Accounts try it.
    Canary,
    /// It is what accounts use.
    Activated,
    /// An account went back by itself.
    AccountRolledBack,
    /// All accounts went back.
    RolledBack,
    /// No run uses it any more.
    Retired,
    /// A key is trusted.
    Trusted,
    /// A key is not trusted any more.
    Distrusted,
}

impl RegistryAct {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Staged => "staged",
            Self::Refused => "refused",
            Self::Waiting => "waiting",
            Self::Approved => "approved",
            Self::Canary => "canary",
            Self::Activated => "activated",
            Self::AccountRolledBack => "account-rolled-back",
            Self::RolledBack => "rolled-back",
            Self::Retired => "retired",
            Self::Trusted => "trusted",
            Self::Distrusted => "distrusted",
        }
    }
}

/// One line of the history, which only grows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RegistryEntry {
    /// When.
    pub at: Timestamp,
    /// Who: a person at a command line, or a server by itself.
    pub who: String,
    /// What.
    pub act: RegistryAct,
    /// Of which connector; empty where that is not known or not meant.
    pub name: String,
    /// Which revision.
    pub sha256: Option<String>,
    /// Which account, if it concerns one.
    pub account: Option<String>,
    /// More, for people and programs.
    pub detail: Value,
}

/// What an account has made of a revision since it got it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Trial {
    /// Runs.
    pub runs: u32,
    /// Calls that were stopped, and requests that were denied.
    pub strikes: u32,
}

/// A change of the registry. Those that are applied together are one commit.
#[derive(Debug, Clone)]
pub enum RegistryChange {
    /// A component and what is known about it. What was known before is replaced; the bytes of a digest are the same.
    Stage(Box<ConnectorRevision>, Vec<u8>),
    /// What is known about a revision now.
    Put(Box<ConnectorRevision>),
    /// Which revisions are used. `generation` is the one that this was decided from; one more is stored.
    Point(InstalledConnector),
    /// Nobody goes back to the revision of this digest: its component is removed. What is known about it stays.
    DropComponent(String),
    /// A revision begins anew with all accounts.
    ForgetTrials(String),
    /// A key is trusted.
    Trust(TrustedKey),
    /// The key of this name is not trusted any more.
    Distrust(String),
    /// The history.
    Tell(RegistryEntry),
}

/// Where installed connectors are kept.
#[async_trait]
pub trait Registry: Send + Sync {
    /// Applies all changes, or none. `false`: none, because somebody has moved a pointer since; look again.
    async fn apply(&self, changes: Vec<RegistryChange>) -> Result<bool, StoreError>;

    /// Which revisions of a connector are used. Asked at the beginning of each run, so it must be cheap.
    async fn installed(&self, name: &str) -> Result<Option<InstalledConnector>, StoreError>;

    /// All of them, by name.
    async fn all_installed(&self) -> Result<Vec<InstalledConnector>, StoreError>;

    /// A revision.
    async fn revision(&self, sha256: &str) -> Result<Option<ConnectorRevision>, StoreError>;

    /// The revisions of a connector, or of all; the one that was staged last comes first.
    async fn revisions(&self, name: Option<&str>) -> Result<Vec<ConnectorRevision>, StoreError>;

    /// The component of a revision; `None` if there is none, or it was removed. The caller compares its digest.
    async fn component(&self, sha256: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// The keys that are trusted, by name.
    async fn trusted(&self) -> Result<Vec<TrustedKey>, StoreError>;

    /// The history of a connector, or of all, newest first.
    async fn told(
        &self,
        name: Option<&str>,
        limit: u32,
    ) -> Result<Vec<(u64, RegistryEntry)>, StoreError>;

    /// Counts a run of an account with a revision, and its strikes. Gives what there are in all.
    async fn ran(&self, sha256: &str, account: &str, strikes: u32) -> Result<Trial, StoreError>;
}
