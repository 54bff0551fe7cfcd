//! From bytes to a revision that is used: every step is stored, so that whoever was interrupted goes on by doing the
//! same again.

use std::collections::BTreeSet;

use samspel_model::registry::{
    ConnectorRevision, InstalledConnector, RegistryAct, RegistryChange, Rights, Stage,
};
use samspel_runtime::LoadedConnector;
use semver::Version;
use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::source::Fetched;
use super::{Lifecycle, Manifest, Probe, Source, manifest, rights};
use crate::error::{Error, Kind};

/// Accounts that are asked until one answers.
const PROBES: usize = 3;

/// What somebody wants of a component.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// Its SHA-256 in hexadecimal, where that is known.
    pub sha256: Option<String>,
    /// It need not be signed, and may be another build of a version that is known.
    pub dev: bool,
    /// What it asks for is agreed to.
    pub approve: bool,
    /// Only these accounts get it.
    pub canary: BTreeSet<String>,
    /// The connector that is to be upgraded. `None`: it is installed for the first time.
    pub upgrade: Option<String>,
    /// Nothing older than what is active is taken, and nothing that the same version is claimed of.
    pub newer: bool,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was active already.
    Unchanged,
    /// It asks for this, or would write otherwise than what is active (then the probes say how), and nobody agreed to
    /// it yet.
    Waiting(Rights),
    /// These accounts try it.
    Canary(BTreeSet<String>),
    /// It is what accounts use.
    Active,
}

/// A revision, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// The revision.
    pub revision: ConnectorRevision,
    /// What it asks for that was not granted before.
    pub more: Rights,
    /// What became of it.
    pub outcome: Outcome,
    /// What came of asking it.
    pub probes: Vec<Probe>,
}

impl Lifecycle<'_> {
    /// Fetches a component and takes it as far as it gets.
    ///
    /// # Errors
    /// It cannot be fetched, or is refused; the history says why.
    pub async fn install(&self, source: &Source, wish: &Wish) -> Result<Installation, Error> {
        if source.needs_digest() && wish.sha256.is_none() {
            return Err(Error::new(
                Kind::Usage,
                format!("what {source} is today may be something else tomorrow"),
            )
            .remedy("say which component is meant: `--sha256 DIGEST`"));
        }
        let fetched = source.fetch().await?;
        let (revision, loaded) = self.stage(fetched, wish).await?;
        self.advance(revision, &loaded, wish).await
    }

    /// Agrees to what waits: a revision that asks for more, one that would write otherwise, or a canary.
    ///
    /// # Errors
    /// Nothing waits, or the revision is no good.
    pub async fn approve(
        &self,
        name: &str,
        which: Option<&str>,
        canary: BTreeSet<String>,
    ) -> Result<Installation, Error> {
        let revision = match which {
            Some(which) => self.named(name, which).await?,
            None => {
                let all = self.registry().revisions(Some(name)).await?;
                let waits = |one: &ConnectorRevision| {
                    matches!(one.stage, Stage::Compiled | Stage::Probed | Stage::Canary)
                };
                all.into_iter().find(waits).ok_or_else(|| {
                    Error::new(
                        Kind::NotFound,
                        format!("nothing of connector `{name}` waits"),
                    )
                    .remedy(format!(
                        "`samspel connector history {name}` shows what happened"
                    ))
                })?
            }
        };
        if matches!(
            revision.stage,
            Stage::Staged | Stage::Verified | Stage::Refused
        ) {
            return Err(Error::new(
                Kind::Usage,
                format!(
                    "{} {} is {}{}",
                    revision.name,
                    revision.version,
                    revision.stage,
                    revision
                        .why
                        .as_deref()
                        .map(|why| format!(": {why}"))
                        .unwrap_or_default()
                ),
            )
            .remedy("install it again; approving is about what it asks for"));
        }
        let loaded = self.host.load_revision(&revision.sha256).await?;
        let wish = Wish {
            approve: true,
            canary,
            ..Wish::default()
        };
        self.advance(revision, &loaded, &wish).await
    }

    /// Stores, verifies and compiles.
    async fn stage(
        &self,
        fetched: Fetched,
        wish: &Wish,
    ) -> Result<(ConnectorRevision, LoadedConnector), Error> {
        let sha256 = hex::encode(Sha256::digest(&fetched.component));
        if let Some(wanted) = &wish.sha256
            && !wanted.eq_ignore_ascii_case(&sha256)
        {
            // Nothing of it is kept: it is not what was asked for.
            let why = format!("its SHA-256 is {sha256}, not {wanted}");
            let told = self.entry(
                RegistryAct::Refused,
                wish.upgrade.as_deref().unwrap_or_default(),
                json!({ "source": fetched.source, "why": why }),
            );
            self.apply("", vec![RegistryChange::Tell(told)]).await?;
            return Err(refused(&fetched.source, &why)
                .remedy("compare with what its author publishes; it may have been replaced"));
        }
        if let Some(known) = self.registry().revision(&sha256).await? {
            // Found in a directory: whoever refused it, or went back from it, is not asked again at each start.
            if wish.newer && known.stage == Stage::Refused && !known.name.is_empty() {
                let why = known.why.as_deref().unwrap_or("it was refused before");
                return Err(refused(&fetched.source, why)
                    .remedy("`samspel connector upgrade` tries it again"));
            }
            if !matches!(
                known.stage,
                Stage::Staged | Stage::Verified | Stage::Refused
            ) {
                if !(wish.newer && was_used(&known))
                    && let Err(why) = self.may_follow(&known, wish).await?
                {
                    return Err(refused(&fetched.source, &why));
                }
                if wish.newer && was_used(&known) {
                    // Nothing becomes of it, and its component may have been removed.
                    let (source, component) = (&fetched.source, fetched.component);
                    let loaded = self.host.load_bytes(source, component).await?;
                    return Ok((known, loaded));
                }
                if self.registry().component(&sha256).await?.is_none() {
                    // Somebody wants it back.
                    let known = Box::new(known.clone());
                    let stage = RegistryChange::Stage(known, fetched.component.clone());
                    self.apply("", vec![stage]).await?;
                }
                let loaded = self.host.load_revision(&sha256).await?;
                return Ok((known, loaded));
            }
        }
        let now = self.now();
        let mut revision = ConnectorRevision {
            sha256,
            name: String::new(),
            version: String::new(),
            bytes: fetched.component.len() as u64,
            source: fetched.source.clone(),
            manifest: None,
            signer: None,
            rights: Rights::default(),
            cursor_version: 0,
            cursor_versions_read: Vec::new(),
            stage: Stage::Staged,
            why: None,
            staged: now,
            changed: now,
        };
        let staged = vec![
            RegistryChange::Stage(Box::new(revision.clone()), fetched.component.clone()),
            self.tell(
                RegistryAct::Staged,
                &revision,
                json!({ "source": fetched.source }),
            ),
        ];
        self.apply("", staged).await?;
        let signed = match self.verify(&fetched, &revision.sha256, wish.dev).await {
            Ok(signed) => signed,
            Err(why) => return Err(self.refuse(revision, why).await),
        };
        if let Some((manifest, text, signer)) = &signed {
            revision.name.clone_from(&manifest.name);
            revision.version.clone_from(&manifest.version);
            revision.manifest = Some(text.clone());
            revision.signer = Some(signer.clone());
        }
        revision = self.moved(&revision, Stage::Verified, None);
        let put = RegistryChange::Put(Box::new(revision.clone()));
        self.apply("", vec![put]).await?;
        let loaded = match self
            .host
            .load_bytes(&fetched.source, fetched.component)
            .await
        {
            Ok(loaded) => loaded,
            Err(error) => return Err(self.refuse(revision, error.to_string()).await),
        };
        let descriptor = &loaded.descriptor;
        revision.name.clone_from(&descriptor.name);
        revision.version.clone_from(&descriptor.version);
        revision.rights = rights::of(descriptor);
        revision.cursor_version = descriptor.cursor_version;
        revision
            .cursor_versions_read
            .clone_from(&descriptor.cursor_versions_read);
        let fits = match &signed {
            Some((manifest, ..)) => manifest.fits(descriptor),
            None => Ok(()),
        };
        let fits = match fits {
            Ok(()) => self.may_follow(&revision, wish).await?,
            Err(why) => Err(why),
        };
        if let Err(why) = fits {
            return Err(self.refuse(revision, why).await);
        }
        revision = self.moved(&revision, Stage::Compiled, None);
        let put = RegistryChange::Put(Box::new(revision.clone()));
        self.apply("", vec![put]).await?;
        Ok((revision, loaded))
    }

    /// The manifest, its text and who signed it; `None` if nobody did, and nobody need have.
    async fn verify(
        &self,
        fetched: &Fetched,
        sha256: &str,
        dev: bool,
    ) -> Result<Option<(Manifest, String, String)>, String> {
        let (manifest, signature) = match (&fetched.manifest, &fetched.signature) {
            (Some(manifest), Some(signature)) => (manifest, signature),
            _ if dev => return Ok(None),
            (None, _) => return Err("it has no manifest, so nobody signed it".to_owned()),
            (Some(_), None) => return Err("its manifest is not signed".to_owned()),
        };
        let text = |bytes: &[u8], what: &str| {
            String::from_utf8(bytes.to_vec()).map_err(|_| format!("its {what} is no text"))
        };
        let trusted = self.registry().trusted().await;
        let trusted = trusted.map_err(|error| error.to_string())?;
        let signer = manifest::signer(manifest, &text(signature, "signature")?, &trusted)?;
        let text = text(manifest, "manifest")?;
        Ok(Some((Manifest::read(&text, sha256)?, text, signer)))
    }

    /// Whether it can follow on what is installed.
    async fn may_follow(
        &self,
        revision: &ConnectorRevision,
        wish: &Wish,
    ) -> Result<Result<(), String>, Error> {
        if let Some(name) = &wish.upgrade
            && *name != revision.name
        {
            return Ok(Err(format!("it is `{}`, not `{name}`", revision.name)));
        }
        let others = self.registry().revisions(Some(&revision.name)).await?;
        let twin = others.iter().find(|other| {
            other.version == revision.version
                && other.sha256 != revision.sha256
                && other.stage >= Stage::Compiled
                && other.stage != Stage::Refused
        });
        if let Some(twin) = twin
            && !wish.dev
        {
            return Ok(Err(format!(
                "another component is installed as version {}: {}; a version means one component",
                twin.version, twin.sha256
            )));
        }
        let active = others.iter().find(|other| other.stage == Stage::Active);
        if let Some(active) = active
            && wish.newer
        {
            let of = |revision: &ConnectorRevision| Version::parse(&revision.version).ok();
            if of(revision) <= of(active) {
                return Ok(Err(format!(
                    "version {} does not follow on {}, which is active; `samspel connector upgrade` takes it all the same",
                    revision.version, active.version
                )));
            }
        }
        Ok(Ok(()))
    }

    /// From a compiled revision to one that is used.
    async fn advance(
        &self,
        mut revision: ConnectorRevision,
        loaded: &LoadedConnector,
        wish: &Wish,
    ) -> Result<Installation, Error> {
        let name = revision.name.clone();
        if wish.newer && was_used(&revision) {
            return Ok(Installation {
                revision,
                more: Rights::default(),
                outcome: Outcome::Unchanged,
                probes: Vec::new(),
            });
        }
        let known = self.registry().installed(&name).await?;
        if let (Some(known), None, false) = (&known, &wish.upgrade, wish.approve || wish.newer)
            && known
                .active
                .as_ref()
                .is_some_and(|active| *active != revision.sha256)
        {
            return Err(Error::new(
                Kind::Usage,
                format!("connector `{name}` is installed already"),
            )
            .remedy("`samspel connector upgrade` replaces it"));
        }
        let users = self.host.accounts_of(&name);
        if let Some(foreign) = wish.canary.iter().find(|account| !users.contains(account)) {
            return Err(Error::new(
                Kind::Usage,
                format!("account `{foreign}` does not use connector `{name}`"),
            )
            .remedy(format!("it is used by: {}", users.join(", "))));
        }
        let mut pointer = known.unwrap_or_else(|| InstalledConnector::new(&name));
        let more = rights::beyond(&revision.rights, &pointer.approved);
        let ended = |revision, outcome, probes| Installation {
            revision,
            more: more.clone(),
            outcome,
            probes,
        };
        if pointer.active.as_deref() == Some(&revision.sha256) && pointer.kept.is_empty() {
            return Ok(ended(revision, Outcome::Unchanged, Vec::new()));
        }
        if !more.is_empty() && !wish.approve {
            let lines = rights::told(&more);
            revision = self.moved(
                &revision,
                Stage::Compiled,
                Some(format!("it waits for an approval: {}", lines.join("; "))),
            );
            let changes = vec![
                RegistryChange::Put(Box::new(revision.clone())),
                self.tell(RegistryAct::Waiting, &revision, json!({ "more": more })),
            ];
            self.apply(&name, changes).await?;
            return Ok(ended(revision, Outcome::Waiting(more.clone()), Vec::new()));
        }
        let is_successor = pointer
            .active
            .as_ref()
            .is_some_and(|active| *active != revision.sha256);
        let probes = self.probes(&revision, loaded, &wish.canary, is_successor);
        let probes = match probes.await {
            Ok(probes) => probes,
            Err(error) => return Err(self.refuse(revision, error.to_string()).await),
        };
        // The history is kept for good, and names no records.
        let differs: Vec<&String> = probes.iter().flat_map(|probe| &probe.differing).collect();
        if !differs.is_empty() && !wish.approve && wish.canary.is_empty() {
            revision = self.moved(
                &revision,
                Stage::Probed,
                Some(
                    "it waits for an approval: it would write otherwise than what is active"
                        .to_owned(),
                ),
            );
            let changes = vec![
                RegistryChange::Put(Box::new(revision.clone())),
                self.tell(
                    RegistryAct::Waiting,
                    &revision,
                    json!({ "differs": differs }),
                ),
            ];
            self.apply(&name, changes).await?;
            return Ok(ended(revision, Outcome::Waiting(Rights::default()), probes));
        }
        let mut changes = Vec::new();
        if !more.is_empty() {
            pointer.approved = rights::union(&pointer.approved, &more);
            changes.push(self.tell(RegistryAct::Approved, &revision, json!({ "more": more })));
        }
        revision = self.moved(&revision, Stage::Probed, None);
        let outcome = if wish.canary.is_empty() {
            self.activate(pointer, &mut revision, changes).await?;
            Outcome::Active
        } else {
            self.try_out(pointer, &mut revision, &wish.canary, changes)
                .await?;
            Outcome::Canary(wish.canary.clone())
        };
        Ok(ended(revision, outcome, probes))
    }

    /// Asks the revision for accounts that are to use it, until one of them says something about it.
    async fn probes(
        &self,
        revision: &ConnectorRevision,
        loaded: &LoadedConnector,
        canary: &BTreeSet<String>,
        is_successor: bool,
    ) -> Result<Vec<Probe>, Error> {
        let mut accounts = self.host.accounts_of(&revision.name);
        // Those that get it are asked first.
        accounts.sort_by_key(|account| !canary.contains(account));
        let mut probes = Vec::new();
        for account in accounts.iter().take(PROBES.max(canary.len())) {
            let probe = self.probe(account, revision, loaded, is_successor).await?;
            // Where nothing could be compared, another account may tell more.
            let conclusive = probe.inconclusive.is_none() && (!is_successor || probe.compared > 0);
            probes.push(probe);
            if conclusive && !canary.contains(account) {
                break;
            }
        }
        Ok(probes)
    }

    /// Stores that a revision is not used, and why.
    async fn refuse(&self, revision: ConnectorRevision, why: String) -> Error {
        let refused_now = self.moved(&revision, Stage::Refused, Some(why.clone()));
        let changes = vec![
            self.tell(RegistryAct::Refused, &refused_now, json!({ "why": why })),
            RegistryChange::Put(Box::new(refused_now)),
        ];
        let remedy = match revision.stage {
            Stage::Staged => {
                "`samspel connector trust add` trusts an author's key; `--dev` takes what nobody signed, for development"
            }
            _ => "use another version of it, or report it to its author",
        };
        match self.registry().apply(changes).await {
            Ok(_) => refused(&revision.source, &why).remedy(remedy),
            Err(error) => error.into(),
        }
    }
}

/// Whether accounts use it, or have used it.
fn was_used(revision: &ConnectorRevision) -> bool {
    matches!(
        revision.stage,
        Stage::Canary | Stage::Active | Stage::Draining | Stage::Retired
    )
}

fn refused(source: &str, why: &str) -> Error {
    Error::new(
        Kind::Connector,
        format!("the connector from {source} is refused: {why}"),
    )
}
