//! Connectors that are installed: where they come from, who vouches for them, which of their revisions is used, and how
//! an account goes back by itself.
//!
//! A revision is a component's digest. It is `staged`, `verified` (`manifest`), `compiled` (it described itself, and is
//! what its manifest says), waits for an operator if it asks for more than was agreed to (`rights`), is `probed` in
//! throwaway instances (`probe`), and then is a `canary` for some accounts or `active` (`activate`). Nothing is granted
//! to what nobody agreed to: the probe with an account's settings comes after the approval.
//!
//! A run pins what it began with: it holds the bound connector. The next run asks which revision is active
//! ([`Host::account`]). What became of a run is told to [`Lifecycle::ran`], which takes an account back to the previous
//! revision if this one is no good for it.

mod activate;
mod conformance;
mod install;
pub mod manifest;
pub mod oci;
mod probe;
pub mod rights;
mod source;
mod strikes;
mod watch;

use std::sync::Arc;

use jiff::Timestamp;
use samspel_model::registry::{
    ConnectorRevision, InstalledConnector, Registry, RegistryAct, RegistryChange, RegistryEntry,
    Stage, TrustedKey,
};
use serde_json::{Value, json};

use crate::config;
use crate::error::{Error, Kind};
use crate::host::Host;

pub use activate::RolledBack;
pub use install::{Installation, Outcome, Wish};
pub use manifest::Manifest;
pub use probe::Probe;
pub use source::{Fetched, Source};
pub use strikes::{Ended, Verdict};
pub use watch::{Found, Watch, components_in};

/// The connectors that are installed, and somebody who works on them.
pub struct Lifecycle<'h> {
    host: &'h Host,
    /// For the history.
    who: String,
}

impl<'h> Lifecycle<'h> {
    /// `who`: for the history.
    pub fn new(host: &'h Host, who: impl Into<String>) -> Self {
        Self {
            host,
            who: who.into(),
        }
    }

    fn registry(&self) -> Arc<dyn Registry> {
        self.host.registry()
    }

    fn now(&self) -> Timestamp {
        self.host.clock().now()
    }

    fn entry(&self, act: RegistryAct, name: &str, detail: Value) -> RegistryEntry {
        RegistryEntry {
            at: self.now(),
            who: self.who.clone(),
            act,
            name: name.to_owned(),
            sha256: None,
            account: None,
            detail,
        }
    }

    fn tell(
        &self,
        act: RegistryAct,
        revision: &ConnectorRevision,
        detail: Value,
    ) -> RegistryChange {
        RegistryChange::Tell(RegistryEntry {
            sha256: Some(revision.sha256.clone()),
            ..self.entry(act, &revision.name, detail)
        })
    }

    /// The same revision, further on.
    fn moved(
        &self,
        revision: &ConnectorRevision,
        stage: Stage,
        why: Option<String>,
    ) -> ConnectorRevision {
        ConnectorRevision {
            stage,
            why,
            changed: self.now(),
            ..revision.clone()
        }
    }

    /// Applies changes that were decided from a pointer.
    async fn apply(&self, name: &str, changes: Vec<RegistryChange>) -> Result<(), Error> {
        if self.registry().apply(changes).await? {
            Ok(())
        } else {
            Err(Error::new(
                Kind::Held,
                format!("somebody else has changed connector `{name}` meanwhile; nothing was done"),
            )
            .remedy(format!(
                "look at `samspel connector history {name}`, then do it again"
            )))
        }
    }

    /// Which revisions of a connector are used.
    ///
    /// # Errors
    /// The store fails, or nothing is installed under that name.
    pub async fn installed(&self, name: &str) -> Result<InstalledConnector, Error> {
        let known = self.registry().installed(name).await?;
        known.ok_or_else(|| {
            Error::new(
                Kind::NotFound,
                format!("no connector `{name}` is installed"),
            )
            .remedy(
                "`samspel connector list` shows what is; `samspel connector install` installs one",
            )
        })
    }

    /// The revision that is meant: by its version, or by eight or more digits of its SHA-256.
    ///
    /// # Errors
    /// There is none, or several.
    pub async fn named(&self, name: &str, which: &str) -> Result<ConnectorRevision, Error> {
        let all = self.registry().revisions(Some(name)).await?;
        let digest = which.len() >= 8 && which.chars().all(|c| c.is_ascii_hexdigit());
        let which_lower = which.to_ascii_lowercase();
        let mut found: Vec<_> = all
            .into_iter()
            .filter(|one| one.version == which || (digest && one.sha256.starts_with(&which_lower)))
            .collect();
        // Of several with one version, the one that is used.
        if found.len() > 1 {
            found.retain(|one| one.stage != Stage::Refused);
        }
        match (found.pop(), found.is_empty()) {
            (Some(one), true) => Ok(one),
            (None, _) => Err(Error::new(
                Kind::NotFound,
                format!("connector `{name}` has no revision `{which}`"),
            )
            .remedy(format!("`samspel connector history {name}` shows them"))),
            (Some(_), false) => Err(Error::new(
                Kind::Usage,
                format!("several revisions of connector `{name}` are meant by `{which}`"),
            )
            .remedy("give more digits of the SHA-256")),
        }
    }

    /// Trusts a key from now on.
    ///
    /// # Errors
    /// It is no key, the name is none, or another key has the name.
    pub async fn trust(&self, name: &str, key: &str) -> Result<TrustedKey, Error> {
        if !config::is_name(name) {
            return Err(Error::new(Kind::Usage, format!("`{name}` is not a name")).remedy(
                "use up to 63 lower-case letters, digits, `-` and `_`, beginning with a letter or a digit",
            ));
        }
        let key = manifest::public_key(key).map_err(|why| {
            Error::new(Kind::Usage, why)
                .remedy("name the file that `minisign -G` wrote (`minisign.pub`), or its last line")
        })?;
        let known = self.registry().trusted().await?;
        if let Some(other) = known
            .iter()
            .find(|known| known.name == name && known.key != key)
        {
            return Err(Error::new(
                Kind::Usage,
                format!("another key is trusted as `{}`", other.name),
            )
            .remedy(format!(
                "remove it first: `samspel connector trust remove {name}`"
            )));
        }
        let key = TrustedKey {
            name: name.to_owned(),
            key,
            added: self.now(),
        };
        let told = self.entry(
            RegistryAct::Trusted,
            "",
            json!({ "key": key.name, "public": key.key }),
        );
        self.apply(
            "",
            vec![
                RegistryChange::Trust(key.clone()),
                RegistryChange::Tell(told),
            ],
        )
        .await?;
        Ok(key)
    }

    /// Trusts a key no longer. What it has signed and is installed stays as it is.
    ///
    /// # Errors
    /// There is no such key.
    pub async fn distrust(&self, name: &str) -> Result<(), Error> {
        if !self
            .registry()
            .trusted()
            .await?
            .iter()
            .any(|key| key.name == name)
        {
            return Err(
                Error::new(Kind::NotFound, format!("no key is trusted as `{name}`"))
                    .remedy("`samspel connector trust list` shows them"),
            );
        }
        let told = self.entry(RegistryAct::Distrusted, "", json!({ "key": name }));
        let changes = vec![
            RegistryChange::Distrust(name.to_owned()),
            RegistryChange::Tell(told),
        ];
        self.apply("", changes).await
    }
}
