//! Installing connectors, replacing them by other versions, agreeing to what waits.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use samspel_installation::lifecycle::{self, Fetched, Installation, Probe, Source, Wish};
use samspel_installation::{Error, Kind, Lifecycle};
use samspel_model::access::Role;
use samspel_model::registry::Rights;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use crate::act::Act;
use crate::operation::{Operation, Route, Work};

/// A component that is handed over. All parts are base64 (RFC 4648, section 4).
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Component {
    /// Where it was, for the history.
    pub source: String,
    /// The component.
    pub component: String,
    /// Its manifest, if there is one.
    #[serde(default)]
    pub manifest: Option<String>,
    /// The manifest's signature, if there is one.
    #[serde(default)]
    pub signature: Option<String>,
}

impl From<Fetched> for Component {
    fn from(fetched: Fetched) -> Self {
        let text = |bytes: Vec<u8>| STANDARD.encode(bytes);
        Self {
            source: fetched.source,
            component: text(fetched.component),
            manifest: fetched.manifest.map(text),
            signature: fetched.signature.map(text),
        }
    }
}

impl Component {
    fn source(&self) -> Result<Source, Error> {
        let bytes = |what: &str, text: &String| {
            STANDARD
                .decode(text)
                .map_err(|_| Error::new(Kind::Usage, format!("`component.{what}` is not base64")))
        };
        let part = |what: &str, text: &Option<String>| {
            text.as_ref().map(|text| bytes(what, text)).transpose()
        };
        Ok(Source::Given(Box::new(Fetched {
            source: self.source.clone(),
            component: bytes("component", &self.component)?,
            manifest: part("manifest", &self.manifest)?,
            signature: part("signature", &self.signature)?,
        })))
    }
}

/// Installs a connector for the first time. Either `source` or `component` is said.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InstallConnector {
    /// Where it is: `https://...` together with `sha256`, or `oci://REGISTRY/REPOSITORY:TAG`; at the host, also a file.
    #[serde(default)]
    pub source: Option<String>,
    /// It is handed over.
    #[serde(default)]
    pub component: Option<Component>,
    /// The SHA-256 of the component, in hexadecimal.
    #[serde(default)]
    pub sha256: Option<String>,
    /// Take what nobody signed, and another build of the same version. For development.
    #[serde(default)]
    pub dev: bool,
    /// Agree to what it asks for.
    #[serde(default)]
    pub yes: bool,
    /// Take it only if it is newer than what is active, also in the place of another version.
    #[serde(default)]
    pub newer: bool,
}

/// Replaces an installed connector by another version. Either `source` or `component` is said.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpgradeConnector {
    /// The connector.
    pub connector: String,
    /// Where it is, as for an installation.
    #[serde(default)]
    pub source: Option<String>,
    /// It is handed over.
    #[serde(default)]
    pub component: Option<Component>,
    /// The SHA-256 of the component, in hexadecimal.
    #[serde(default)]
    pub sha256: Option<String>,
    /// Take what nobody signed, and another build of the same version. For development.
    #[serde(default)]
    pub dev: bool,
    /// Agree to what it asks for.
    #[serde(default)]
    pub yes: bool,
    /// Only these accounts use it for now.
    #[serde(default)]
    pub canary: BTreeSet<String>,
}

/// Agrees to what waits: a version that asks for more than was agreed to, or would write otherwise, or a canary that
/// did well.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApproveConnector {
    /// The connector.
    pub connector: String,
    /// Which revision: its version, or at least 8 digits of its SHA-256. Without it, the newest that waits.
    #[serde(default)]
    pub revision: Option<String>,
    /// Only these accounts use it for now.
    #[serde(default)]
    pub canary: BTreeSet<String>,
}

/// What became of a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was active already.
    Unchanged,
    /// It asks for more than was agreed to, or would write otherwise than what is active, and nobody agreed to it yet.
    Waiting,
    /// Some accounts try it.
    Canary,
    /// It is what accounts use.
    Active,
}

/// A revision, and what became of it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct InstalledRevision {
    /// The connector.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The SHA-256 of the component.
    pub sha256: String,
    /// Where it came from.
    pub source: String,
    /// The name of the trusted key that signed it.
    pub signer: Option<String>,
    /// What became of it.
    pub outcome: Outcome,
    /// The accounts that try it.
    pub canary: BTreeSet<String>,
    /// What it asks for that was not granted before.
    pub more: Rights,
    /// The same, and what it would write otherwise than the revision in use, in lines that a person can agree to.
    pub asks: Vec<String>,
    /// What came of asking it.
    pub probes: Vec<Probed>,
}

/// What came of asking a revision who an account is.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Probed {
    /// The account.
    pub account: String,
    /// Who it is, if the revision found out.
    pub identity: Option<String>,
    /// Why it is not known whether the revision is any good.
    pub inconclusive: Option<String>,
    /// Linked records of which it was compared what would be written.
    #[serde(default)]
    pub compared: u64,
    /// What would be written otherwise than with the revision in use.
    #[serde(default)]
    pub differs: Vec<String>,
}

impl From<Probe> for Probed {
    fn from(probe: Probe) -> Self {
        Self {
            account: probe.account,
            identity: probe.identity,
            inconclusive: probe.inconclusive,
            compared: probe.compared,
            differs: probe.differs,
        }
    }
}

impl From<Installation> for InstalledRevision {
    fn from(done: Installation) -> Self {
        let (outcome, canary) = match done.outcome {
            lifecycle::Outcome::Unchanged => (Outcome::Unchanged, BTreeSet::new()),
            lifecycle::Outcome::Waiting(_) => (Outcome::Waiting, BTreeSet::new()),
            lifecycle::Outcome::Canary(accounts) => (Outcome::Canary, accounts),
            lifecycle::Outcome::Active => (Outcome::Active, BTreeSet::new()),
        };
        let revision = done.revision;
        let mut asks = lifecycle::rights::told(&done.more);
        if outcome == Outcome::Waiting {
            let differs = done.probes.iter().flat_map(|probe| probe.differs.clone());
            asks.extend(differs);
        }
        Self {
            name: revision.name,
            version: revision.version,
            sha256: revision.sha256,
            source: revision.source,
            signer: revision.signer,
            outcome,
            canary,
            asks,
            more: done.more,
            probes: done.probes.into_iter().map(Probed::from).collect(),
        }
    }
}

/// Where a component comes from.
fn source(
    work: &Work<'_>,
    source: Option<&str>,
    component: Option<&Component>,
) -> Result<Source, Error> {
    match (source, component) {
        (Some(source), None) => {
            let source = Source::parse(source)?;
            if matches!(source, Source::File(_)) {
                work.must_be_at_host("a file of the host's")?;
            }
            Ok(source)
        }
        (None, Some(component)) => component.source(),
        _ => Err(Error::new(
            Kind::Usage,
            "either where the component is has to be said, or it is handed over",
        )),
    }
}

impl Operation for InstallConnector {
    type Output = InstalledRevision;
    const ROUTE: Route = Route::post(
        "installConnector",
        "/connectors",
        Role::Admin,
        "Install a connector for the first time",
    )
    .long()
    .large();

    fn act(&self) -> Option<Act> {
        let source = told(self.source.as_deref(), self.component.as_ref());
        let detail = json!({ "source": source, "dev": self.dev, "yes": self.yes });
        Some(Act::new("connector install", None).with(detail))
    }

    async fn run(&self, work: &Work<'_>) -> Result<InstalledRevision, Error> {
        let source = source(work, self.source.as_deref(), self.component.as_ref())?;
        let wish = Wish {
            sha256: self.sha256.clone(),
            dev: self.dev,
            approve: self.yes,
            newer: self.newer,
            ..Wish::default()
        };
        let lifecycle = Lifecycle::new(work.host, work.who);
        Ok(lifecycle.install(&source, &wish).await?.into())
    }
}

impl Operation for UpgradeConnector {
    type Output = InstalledRevision;
    const ROUTE: Route = Route::post(
        "upgradeConnector",
        "/connectors/{connector}/upgrade",
        Role::Admin,
        "Replace an installed connector by another version",
    )
    .long()
    .large();

    fn act(&self) -> Option<Act> {
        let source = told(self.source.as_deref(), self.component.as_ref());
        let detail = json!({
            "source": source, "dev": self.dev, "yes": self.yes, "canary": self.canary,
        });
        Some(Act::new("connector upgrade", self.connector.clone()).with(detail))
    }

    async fn run(&self, work: &Work<'_>) -> Result<InstalledRevision, Error> {
        let lifecycle = Lifecycle::new(work.host, work.who);
        // Told before anything is fetched.
        lifecycle.installed(&self.connector).await?;
        let source = source(work, self.source.as_deref(), self.component.as_ref())?;
        let wish = Wish {
            sha256: self.sha256.clone(),
            dev: self.dev,
            approve: self.yes,
            upgrade: Some(self.connector.clone()),
            canary: self.canary.clone(),
            ..Wish::default()
        };
        Ok(lifecycle.install(&source, &wish).await?.into())
    }
}

impl Operation for ApproveConnector {
    type Output = InstalledRevision;
    const ROUTE: Route = Route::post(
        "approveConnector",
        "/connectors/{connector}/approve",
        Role::Admin,
        "Agree to a version that waits, or to a canary that did well",
    );

    fn act(&self) -> Option<Act> {
        let detail = json!({ "revision": self.revision, "canary": self.canary });
        Some(Act::new("connector approve", self.connector.clone()).with(detail))
    }

    async fn run(&self, work: &Work<'_>) -> Result<InstalledRevision, Error> {
        let lifecycle = Lifecycle::new(work.host, work.who);
        let done = lifecycle
            .approve(
                &self.connector,
                self.revision.as_deref(),
                self.canary.clone(),
            )
            .await?;
        Ok(done.into())
    }
}

/// Where a component came from, without what may be a token.
fn told(source: Option<&str>, component: Option<&Component>) -> Option<String> {
    let given = component.map(|component| component.source.clone());
    given.or_else(|| Some(Source::parse(source?).ok()?.to_string()))
}
