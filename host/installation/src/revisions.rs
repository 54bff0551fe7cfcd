//! Which revision of its connector an account uses, and loading it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use samspel_model::Registry;
use samspel_runtime::{BoundConnector, LoadedConnector};
use tokio::sync::Mutex;
use tracing::info;

use crate::accounts::Secrets;
use crate::config::AccountSettings;
use crate::connectors;
use crate::error::{Error, Kind};
use crate::host::{Account, Host, not_bound, unknown};
use crate::library::Installed;
use crate::lifecycle::{Lifecycle, Verdict};

/// What this process holds of installed connectors.
#[derive(Default)]
pub(crate) struct Revisions {
    /// By digest: what is active and what was before stay compiled, so that going back costs nothing.
    loaded: Mutex<HashMap<String, LoadedConnector>>,
    /// Accounts that were replaced, as long as runs hold them.
    replaced: Mutex<Vec<(String, Weak<Account>)>>,
    /// By the name of a connector that was swapped: whether an earlier revision may still be on its way out. Nothing is
    /// known of those that are not in here.
    draining: Mutex<HashMap<String, bool>>,
}

/// What an account's runs were reported to have met.
#[derive(Debug)]
pub(crate) struct Watched {
    strikes: AtomicU64,
    open: AtomicBool,
}

impl Default for Watched {
    fn default() -> Self {
        Self {
            strikes: AtomicU64::new(0),
            open: AtomicBool::new(true),
        }
    }
}

impl Account {
    /// Calls that were stopped and requests that were denied since this was asked last. Runs may share an account: each
    /// strike counts once.
    pub(crate) fn new_strikes(&self) -> u32 {
        let stats = self.connector.stats();
        let all = stats.stopped.saturating_add(stats.denied);
        let told = self.watched.strikes.fetch_max(all, Ordering::AcqRel);
        u32::try_from(all.saturating_sub(told)).unwrap_or(u32::MAX)
    }

    /// Whether its revision is still watched.
    pub(crate) fn watched(&self) -> bool {
        self.watched.open.load(Ordering::Acquire)
    }

    /// It did well for long enough.
    pub(crate) fn trusted(&self) {
        self.watched.open.store(false, Ordering::Release);
    }
}

impl Host {
    /// Where installed connectors are kept.
    pub fn registry(&self) -> Arc<dyn Registry> {
        Arc::clone(&self.store) as Arc<dyn Registry>
    }

    /// The accounts whose connector is called that.
    pub fn accounts_of(&self, connector: &str) -> Vec<String> {
        let accounts = self.config.accounts.iter();
        accounts
            .filter(|(_, settings)| settings.connector == connector)
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// The collections of an account that syncs use.
    pub(crate) fn collections_of(&self, account: &str) -> BTreeSet<String> {
        let sides = self
            .config
            .syncs
            .values()
            .flat_map(|sync| [&sync.a, &sync.b]);
        sides
            .filter(|side| side.account == account)
            .map(|side| side.collection.clone())
            .collect()
    }

    /// The revisions that this process holds.
    pub(crate) async fn revisions_in_use(&self) -> BTreeSet<String> {
        let accounts = self.accounts.lock().await;
        let mut used: BTreeSet<String> = accounts
            .values()
            .filter_map(|account| account.revision.clone())
            .collect();
        let mut replaced = self.revisions.replaced.lock().await;
        replaced.retain(|(_, account)| account.strong_count() > 0);
        used.extend(replaced.iter().map(|(sha256, _)| sha256.clone()));
        used
    }

    /// Whether an earlier revision of a connector may still be on its way out.
    pub(crate) async fn may_drain(&self, connector: &str) -> bool {
        let draining = self.revisions.draining.lock().await;
        draining.get(connector).copied().unwrap_or(true)
    }

    /// Notes whether one is.
    pub(crate) async fn drains(&self, connector: &str, some: bool) {
        let mut draining = self.revisions.draining.lock().await;
        draining.insert(connector.to_owned(), some);
    }

    /// An account, with the revision of its connector that is active for it now. One that was opened before is given
    /// again as long as that is the same; a run keeps what it was given.
    ///
    /// # Errors
    /// There is no such account, or its connector, settings or credentials are not in order.
    pub async fn account(&self, name: &str) -> Result<Arc<Account>, Error> {
        let accounts = &self.config.accounts;
        let settings = accounts
            .get(name)
            .ok_or_else(|| unknown("account", name, accounts.keys()))?;
        let mut opened = self.accounts.lock().await;
        let wanted = self.wanted(name, settings).await?;
        let before = opened.get(name).cloned();
        if let Some(account) = before.as_ref().filter(|known| known.revision == wanted) {
            return Ok(Arc::clone(account));
        }
        let account = match self
            .open_account(name, settings, wanted.as_deref(), before.as_deref())
            .await
        {
            Ok(account) => account,
            Err(error) => {
                self.fall_back(name, settings, wanted, before.as_deref(), error)
                    .await?
            }
        };
        let account = Arc::new(account);
        opened.insert(name.to_owned(), Arc::clone(&account));
        if let Some(before) = before {
            info!(
                account = name,
                version = account.installed.loaded.descriptor.version,
                before = before.installed.loaded.descriptor.version,
                "the connector was swapped"
            );
            self.drains(&settings.connector, true).await;
            if let Some(sha256) = &before.revision {
                let mut replaced = self.revisions.replaced.lock().await;
                replaced.push((sha256.clone(), Arc::downgrade(&before)));
            }
        }
        Ok(account)
    }

    /// The revision that an account is to use; `None`: a file.
    async fn wanted(
        &self,
        name: &str,
        settings: &AccountSettings,
    ) -> Result<Option<String>, Error> {
        if connectors::is_path(&settings.connector) {
            return Ok(None);
        }
        let pointer = self.store_registry().installed(&settings.connector).await?;
        Ok(pointer.and_then(|pointer| pointer.revision_of(name).map(str::to_owned)))
    }

    /// A revision that does not even open for an account. If the previous one does, it is the revision's fault.
    async fn fall_back(
        &self,
        name: &str,
        settings: &AccountSettings,
        wanted: Option<String>,
        before: Option<&Account>,
        error: Error,
    ) -> Result<Account, Error> {
        let Some(wanted) =
            wanted.filter(|_| matches!(error.kind(), Kind::Config | Kind::Connector))
        else {
            return Err(error);
        };
        let pointer = self.store_registry().installed(&settings.connector).await?;
        let earlier = pointer.and_then(|pointer| {
            let tried = pointer
                .canary
                .as_ref()
                .is_some_and(|canary| canary.sha256 == wanted);
            if tried {
                pointer.active
            } else {
                pointer.previous
            }
        });
        let Some(earlier) = earlier.filter(|earlier| *earlier != wanted) else {
            return Err(error);
        };
        let Ok(account) = self
            .open_account(name, settings, Some(&earlier), before)
            .await
        else {
            return Err(error);
        };
        let lifecycle = Lifecycle::new(self, self.owner());
        match lifecycle
            .no_good(&settings.connector, &wanted, name, &error.to_string())
            .await?
        {
            Verdict::RolledBack(_) => Ok(account),
            Verdict::Stays => Err(error),
        }
    }

    fn store_registry(&self) -> &dyn Registry {
        self.store.as_ref()
    }

    async fn open_account(
        &self,
        name: &str,
        settings: &AccountSettings,
        revision: Option<&str>,
        before: Option<&Account>,
    ) -> Result<Account, Error> {
        let installed = self.revision_or_file(revision, &settings.connector).await?;
        let bound = self.bind(name, settings, &installed.loaded, before).await?;
        Ok(Account {
            name: name.to_owned(),
            revision: revision.map(str::to_owned),
            installed,
            connector: Arc::new(bound),
            overrides: BTreeMap::clone(&settings.endpoints),
            watched: Watched::default(),
        })
    }

    /// The connector that a new account with this setting would use: what is active of those that are installed, or
    /// else a file.
    ///
    /// # Errors
    /// There is none, or it cannot be loaded.
    pub async fn connector(&self, named: &str) -> Result<Installed, Error> {
        let revision = if connectors::is_path(named) {
            None
        } else {
            let pointer = self.store_registry().installed(named).await?;
            pointer.and_then(|pointer| pointer.active)
        };
        self.revision_or_file(revision.as_deref(), named).await
    }

    async fn revision_or_file(
        &self,
        revision: Option<&str>,
        connector: &str,
    ) -> Result<Installed, Error> {
        let Some(sha256) = revision else {
            return self.library.configured(&self.config, connector).await;
        };
        let loaded = self.load_revision(sha256).await?;
        Ok(Installed {
            file: PathBuf::from(format!("installed:{}", loaded.sha256)),
            loaded,
        })
    }

    async fn bind(
        &self,
        name: &str,
        settings: &AccountSettings,
        loaded: &LoadedConnector,
        before: Option<&Account>,
    ) -> Result<BoundConnector, Error> {
        let config = self.account_config(name, settings, &Secrets::new()).await?;
        let before = before.map(|before| before.connector.as_ref());
        self.library
            .runtime()
            .bind_beside(loaded, &config, before)
            .map_err(|error| not_bound(name, &error))
    }

    /// Binds a revision that the account does not use (yet). It draws on the account's budget.
    pub(crate) async fn bind_throwaway(
        &self,
        name: &str,
        loaded: &LoadedConnector,
    ) -> Result<BoundConnector, Error> {
        let accounts = &self.config.accounts;
        let settings = accounts
            .get(name)
            .ok_or_else(|| unknown("account", name, accounts.keys()))?;
        let before = self.accounts.lock().await.get(name).cloned();
        self.bind(name, settings, loaded, before.as_deref()).await
    }

    /// Compiles a component and lets it describe itself.
    pub(crate) async fn load_bytes(
        &self,
        name: &str,
        bytes: Vec<u8>,
    ) -> Result<LoadedConnector, Error> {
        let loaded = self.library.load_bytes(name, bytes).await?;
        let mut known = self.revisions.loaded.lock().await;
        known.insert(loaded.sha256.clone(), loaded.clone());
        Ok(loaded)
    }

    /// A revision that is installed. What the store gives is hashed again before it is compiled.
    pub(crate) async fn load_revision(&self, sha256: &str) -> Result<LoadedConnector, Error> {
        if let Some(loaded) = self.revisions.loaded.lock().await.get(sha256) {
            return Ok(loaded.clone());
        }
        let damaged = |why: &str| {
            Error::new(Kind::Connector, format!("the connector {sha256} {why}")).remedy(
                "install it again, go back with `samspel connector rollback`, or restore the store from a backup",
            )
        };
        let registry = self.store_registry();
        let bytes = registry.component(sha256).await?;
        let bytes = bytes.ok_or_else(|| damaged("is not in the store"))?;
        if hex::encode(<sha2::Sha256 as sha2::Digest>::digest(&bytes)) != sha256 {
            return Err(damaged(
                "is not what was installed: its SHA-256 is another one",
            ));
        }
        let loaded = self.load_bytes(sha256, bytes).await?;
        self.forget_unused(&loaded.descriptor.name).await?;
        Ok(loaded)
    }

    /// What nothing points to any more need not stay compiled in memory.
    async fn forget_unused(&self, name: &str) -> Result<(), Error> {
        let Some(pointer) = self.store_registry().installed(name).await? else {
            return Ok(());
        };
        self.revisions.loaded.lock().await.retain(|sha256, loaded| {
            loaded.descriptor.name != name
                || pointer.uses(sha256)
                || pointer.previous.as_ref() == Some(sha256)
        });
        Ok(())
    }
}
