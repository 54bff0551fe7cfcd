//! The configured installation: from settings to accounts, and from accounts to syncs that can be run.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use samspel_engine::SyncSpec;
use samspel_engine::pseudonym::Pseudonyms;
use samspel_engine::spec::EndpointSpec;
use samspel_model::access::{Access, Requests};
use samspel_model::descriptor::Descriptor;
use samspel_model::hook::HookStore;
use samspel_model::notice::Notices;
use samspel_model::store::{Endpoint, SyncCounts, SyncState};
use samspel_model::{Clock, Store};
use samspel_runtime::{BindError, BoundConnector, BoundHooks};
use samspel_store::{SqliteStore, Vault};
use samspel_sync::system::{SystemClock, SystemIds};
use samspel_sync::{Offers, Operator, Party, Sync, SyncError, SyncParts};
use secrecy::SecretString;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::sync::{Mutex, OnceCell};

use crate::config::Config;
use crate::error::{Error, Kind};
use crate::library::{Installed, Library};
use crate::lifecycle::{Ended, Lifecycle, RolledBack, Verdict};
use crate::renamed::Renamed;
use crate::revisions::{Revisions, Watched};
use crate::tokens;

/// A process that dies blocks its sync for so long.
const LEASE: Duration = Duration::from_secs(60);

/// What the key is for under which erased people's addresses are hashed.
const ERASURE: &str = "erasure";

/// What secrets of addresses for notifications are kept under: no account can be called so.
const HOOKS: &str = "hook:";

/// The only tenant of an installation that is run from a configuration file.
pub(crate) const TENANT: &str = "main";

/// A configured installation.
pub struct Host {
    pub(crate) config: Config,
    pub(crate) library: Library,
    pub(crate) store: Arc<SqliteStore>,
    /// The same, under the names of the configuration.
    renamed: Arc<Renamed<SqliteStore>>,
    /// Opened when it is needed: by an account whose server may replace its credential, and once somebody was erased.
    pub(crate) vault: OnceCell<Arc<Vault>>,
    clock: Arc<dyn Clock>,
    owner: String,
    /// Accounts that were opened. One connector serves all syncs of an account, so that its budget is one.
    pub(crate) accounts: Mutex<HashMap<String, Arc<Account>>>,
    pub(crate) revisions: Arc<Revisions>,
    /// What the accounts of each sync were last found to offer.
    offers: parking_lot::Mutex<HashMap<String, Arc<Offers>>>,
}

/// An account that can be used.
pub struct Account {
    /// Its name.
    pub name: String,
    /// The revision of its connector, if that is installed and not a file.
    pub revision: Option<String>,
    /// Its connector, before it was bound.
    pub installed: Installed,
    /// The connector, bound to the account.
    pub connector: Arc<BoundConnector>,
    /// Origins whose requests go elsewhere.
    pub overrides: BTreeMap<String, String>,
    pub(crate) watched: Watched,
}

/// A sync that can be run, and the accounts that it was given: a run keeps them, whatever is activated meanwhile.
pub struct Opened {
    /// The sync.
    pub sync: Sync,
    /// Its accounts.
    pub accounts: [Arc<Account>; 2],
}

impl Host {
    /// Opens the store and sets up the sandbox. Accounts are opened when they are needed. `command` tells other
    /// processes who holds a sync.
    pub async fn open(config: Config, command: &str) -> Result<Self, Error> {
        let library = Library::open(Some(&config))?;
        Self::with_library(config, library, command).await
    }

    /// The same, in a sandbox that is there.
    pub async fn with_library(
        config: Config,
        library: Library,
        command: &str,
    ) -> Result<Self, Error> {
        let store = Arc::new(open_store(&config).await?);
        let vault = OnceCell::new();
        if tokens::are_kept(&config) {
            vault
                .set(tokens::vault(&config, &store).await?)
                .map_err(|_| Error::new(Kind::Failure, "the vault is open already"))?;
        }
        Ok(Self {
            library,
            renamed: Arc::new(Renamed::new(Arc::clone(&store), &config)),
            store,
            vault,
            clock: Arc::new(SystemClock),
            owner: owner(command),
            accounts: Mutex::default(),
            offers: parking_lot::Mutex::default(),
            revisions: Arc::default(),
            config,
        })
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Where connectors are looked for, and the sandbox that they are loaded into.
    pub fn library(&self) -> &Library {
        &self.library
    }

    /// What survives.
    pub fn store(&self) -> &dyn Store {
        self.renamed.as_ref()
    }

    /// What survives, to be kept.
    pub fn shared_store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.renamed) as Arc<dyn Store>
    }

    /// Where notifications are kept.
    pub fn hook_store(&self) -> Arc<dyn HookStore> {
        Arc::clone(&self.renamed) as Arc<dyn HookStore>
    }

    /// Who may use the installation, and who did what.
    pub fn access(&self) -> &dyn Access {
        self.store.as_ref()
    }

    /// What people were told of.
    pub fn notices(&self) -> &dyn Notices {
        self.store.as_ref()
    }

    /// Which requests were done.
    pub fn requests(&self) -> &dyn Requests {
        self.store.as_ref()
    }

    pub(crate) async fn vault(&self) -> Result<&Arc<Vault>, Error> {
        self.vault
            .get_or_try_init(|| tokens::vault(&self.config, &self.store))
            .await
    }

    /// Recognises the addresses of erased people; `None` if nobody was ever erased. Asked for each run anew: another
    /// process may erase somebody while this one serves.
    async fn pseudonyms(&self) -> Result<Option<Pseudonyms>, Error> {
        if !self.store.needs_key_for(ERASURE).await? {
            return Ok(None);
        }
        let key = self.vault().await?.key_for(ERASURE).await;
        Ok(key
            .map_err(tokens::unusable)?
            .map(|key| Pseudonyms::new(&key)))
    }

    /// The same, to erase somebody: from now on the store needs the key.
    pub async fn pseudonyms_to_erase(&self) -> Result<Pseudonyms, Error> {
        let key = self.vault().await?.keep_key(ERASURE).await;
        Ok(Pseudonyms::new(&key.map_err(tokens::unusable)?))
    }

    /// The secret of an address for notifications, if it was ever made. `place`: what it is kept under.
    pub async fn hook_secret(&self, place: &str) -> Result<Option<SecretString>, Error> {
        let secret = self.vault().await?.get(HOOKS, place).await;
        secret.map_err(tokens::unusable)
    }

    /// A new secret of an address for notifications. The old one is void.
    pub async fn new_hook_secret(&self, place: &str) -> Result<SecretString, Error> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|error| Error::new(Kind::Failure, error))?;
        let secret = SecretString::from(URL_SAFE_NO_PAD.encode(bytes));
        let kept = self.vault().await?.put(HOOKS, place, &secret).await;
        kept.map_err(tokens::unusable)?;
        Ok(secret)
    }

    /// The same installation under another configuration. Accounts of which nothing changed stay open, with their
    /// budgets.
    ///
    /// # Errors
    /// The configuration names another store, or connectors cannot be looked for where it says.
    pub async fn reconfigured(&self, config: Config) -> Result<Self, Error> {
        let store = |config: &Config| config.resolve(&config.host.store);
        if store(&config) != store(&self.config) {
            return Err(Error::new(
                Kind::Config,
                "`host.store` names another store than the one that is open",
            )
            .remedy("restart samspel to use another store"));
        }
        let library = if config.host == self.config.host {
            self.library.clone()
        } else {
            Library::open(Some(&config))?
        };
        let vault = OnceCell::new();
        if let Some(open) = self.vault.get() {
            // It is empty.
            let _ = vault.set(Arc::clone(open));
        } else if tokens::are_kept(&config) {
            let _ = vault.set(Arc::clone(self.vault().await?));
        }
        let same = |name: &str| {
            config.host == self.config.host
                && config.accounts.get(name) == self.config.accounts.get(name)
        };
        let open = self.accounts.lock().await;
        let accounts: HashMap<_, _> = open
            .iter()
            .filter(|(name, _)| same(name))
            .map(|(name, account)| (name.clone(), Arc::clone(account)))
            .collect();
        drop(open);
        Ok(Self {
            library,
            renamed: Arc::new(Renamed::new(Arc::clone(&self.store), &config)),
            store: Arc::clone(&self.store),
            vault,
            clock: Arc::clone(&self.clock),
            owner: self.owner.clone(),
            accounts: Mutex::new(accounts),
            revisions: Arc::clone(&self.revisions),
            offers: parking_lot::Mutex::default(),
            config,
        })
    }

    /// Whether a sync may be forgotten: one that is configured is not.
    ///
    /// # Errors
    /// It is configured.
    pub fn may_purge(&self, id: &str) -> Result<(), Error> {
        let configured = self.config.syncs.keys();
        let by = configured
            .map(String::as_str)
            .find(|name| *name == id || self.config.sync_id(name) == id);
        match by {
            None => Ok(()),
            Some(name) => Err(Error::new(
                Kind::Usage,
                format!("sync `{name}` is configured, and would lose what it needs to go on"),
            )
            .remedy("remove it from the configuration first, or use `samspel sync reset`")),
        }
    }

    /// Forgets everything about a sync that is not configured. The journal and remembered opt-outs stay.
    ///
    /// # Errors
    /// It is configured, nothing is known of it, or another process works on it.
    pub async fn purge(&self, id: &str) -> Result<(), Error> {
        self.may_purge(id)?;
        let nothing = self.store.runs(id, 1).await?.is_empty()
            && self.store.counts(id).await? == SyncCounts::default()
            && self.store.state(id).await? == SyncState::default();
        if nothing {
            return Err(Error::new(
                Kind::NotFound,
                format!("nothing is stored about a sync `{id}`"),
            )
            .remedy(
                "name it as the configuration called it when it was last run, or by its `id`",
            ));
        }
        let now = self.clock.now();
        let lease = self
            .store
            .acquire_lease(id, &self.owner, now, LEASE)
            .await?;
        let reset = self.store.reset(&lease).await;
        self.store.release_lease(&lease).await?;
        Ok(reset?)
    }

    /// The accounts that are open, by name.
    pub async fn opened(&self) -> Vec<(String, Arc<Account>)> {
        let accounts = self.accounts.lock().await;
        let mut open: Vec<_> = accounts
            .iter()
            .map(|(name, account)| (name.clone(), Arc::clone(account)))
            .collect();
        open.sort_by(|(a, _), (b, _)| a.cmp(b));
        open
    }

    /// An operator at work on a sync.
    pub fn operator(&self, name: &str) -> Result<Operator, Error> {
        let spec = self.spec(name)?;
        Ok(Operator {
            store: self.shared_store(),
            clock: Arc::clone(&self.clock),
            owner: self.owner.clone(),
            sync: name.to_owned(),
            endpoints: [&spec.a, &spec.b].map(endpoint),
        })
    }

    /// The time.
    pub fn clock(&self) -> &dyn Clock {
        self.clock.as_ref()
    }

    /// The time, to be kept.
    pub fn shared_clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    /// The machine's name, for people.
    pub fn name(&self) -> String {
        gethostname::gethostname().to_string_lossy().into_owned()
    }

    /// Who holds the leases that are taken here.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// What the operator wrote about a sync.
    pub fn spec(&self, name: &str) -> Result<&SyncSpec, Error> {
        self.config
            .syncs
            .get(name)
            .ok_or_else(|| unknown("sync", name, self.config.syncs.keys()))
    }

    /// An account's connector as one that takes notifications.
    ///
    /// # Errors
    /// The account is not in order, or its connector takes none.
    pub async fn hooked(&self, name: &str) -> Result<BoundHooks, Error> {
        let account = self.account(name).await?;
        account.connector.hooked().ok_or_else(|| {
            Error::new(
                Kind::Usage,
                format!("the connector of account `{name}` takes no notifications"),
            )
        })
    }

    /// A sync that can be run.
    pub async fn sync(&self, name: &str) -> Result<Sync, Error> {
        Ok(self.open_sync(name).await?.sync)
    }

    /// A sync that can be run, with its accounts, so that what becomes of the run can be told to their connectors'
    /// lifecycle ([`Host::ran`]).
    pub async fn open_sync(&self, name: &str) -> Result<Opened, Error> {
        let spec = self.spec(name)?;
        let accounts = [
            self.account(&spec.a.account).await?,
            self.account(&spec.b.account).await?,
        ];
        let parties = [
            self.party(&spec.a, &accounts[0]),
            self.party(&spec.b, &accounts[1]),
        ];
        let sync = Sync::new(SyncParts {
            name: name.to_owned(),
            spec: spec.clone(),
            parties,
            store: self.shared_store(),
            clock: Arc::clone(&self.clock),
            ids: Arc::new(SystemIds),
            pseudonyms: self.pseudonyms().await?,
            offers: self.offers(name),
            owner: self.owner.clone(),
            lease_ttl: LEASE,
        });
        Ok(Opened { sync, accounts })
    }

    fn offers(&self, sync: &str) -> Arc<Offers> {
        let mut offers = self.offers.lock();
        Arc::clone(offers.entry(sync.to_owned()).or_default())
    }

    /// Tells the connectors' lifecycle what became of a run. Gives what was rolled back: the next run is with another
    /// revision.
    pub async fn ran(
        &self,
        opened: &Opened,
        error: Option<&SyncError>,
    ) -> Result<Vec<RolledBack>, Error> {
        let lifecycle = Lifecycle::new(self, self.owner());
        let mut back = Vec::new();
        for account in &opened.accounts {
            let ended = Ended::of(&account.name, error);
            if let Verdict::RolledBack(one) = lifecycle.ran(account, ended).await? {
                back.push(one);
            }
        }
        Ok(back)
    }

    fn party(&self, side: &EndpointSpec, account: &Account) -> Party {
        let connector = Arc::clone(&account.connector);
        self.party_with(side, connector, &account.installed.loaded.descriptor)
    }

    /// A side of a sync with a revision of its account's connector.
    pub(crate) fn party_with(
        &self,
        side: &EndpointSpec,
        connector: Arc<BoundConnector>,
        descriptor: &Descriptor,
    ) -> Party {
        Party {
            endpoint: endpoint(side),
            connector,
            cursor_version: descriptor.cursor_version,
            cursor_versions_read: descriptor.cursor_versions_read.clone(),
            scope: Some(self.scope(&side.account, &descriptor.name)),
        }
    }

    /// Stands for what an account's settings say: under others, another part of the remote may be listed.
    fn scope(&self, account: &str, connector: &str) -> String {
        let settings = self
            .config
            .accounts
            .get(account)
            .map(|known| &known.settings);
        let text = json!([connector, settings]).to_string();
        hex::encode(&Sha256::digest(text.as_bytes())[..8])
    }
}

fn endpoint(side: &EndpointSpec) -> Endpoint {
    Endpoint {
        account: side.account.clone(),
        collection: side.collection.clone(),
    }
}

pub(crate) fn not_bound(account: &str, error: &BindError) -> Error {
    let (kind, remedy) = match error {
        BindError::Setting { setting, .. } => (
            Kind::Config,
            format!(
                "correct `accounts.{account}.settings.{setting}`; `samspel connector inspect` explains each"
            ),
        ),
        BindError::Credential { credential, .. } => (
            Kind::Config,
            format!(
                "correct `accounts.{account}.credentials.{credential}`; `samspel connector inspect` shows what is asked \
                 for"
            ),
        ),
        BindError::Endpoint { .. } => (
            Kind::Config,
            format!("correct `accounts.{account}.endpoints`"),
        ),
        BindError::Sandbox { .. } => (Kind::Connector, "RUST_LOG=debug shows more".to_owned()),
    };
    Error::new(kind, error).remedy(remedy)
}

pub(crate) fn unknown<'a>(
    what: &str,
    name: &str,
    known: impl Iterator<Item = &'a String>,
) -> Error {
    let known: Vec<_> = known.map(String::as_str).collect();
    Error::new(Kind::NotFound, format!("there is no {what} `{name}`")).remedy(if known.is_empty() {
        format!("the configuration has none; add `[{what}s.{name}]`")
    } else {
        format!("the configuration has {}", known.join(", "))
    })
}

/// Opens the store of a configuration, and makes it if it is not there.
pub async fn open_store(config: &Config) -> Result<SqliteStore, Error> {
    let file = config.resolve(&config.host.store);
    Ok(SqliteStore::open(&file, TENANT).await?)
}

/// Who we are, for whoever finds a sync held.
fn owner(command: &str) -> String {
    let host = gethostname::gethostname();
    format!(
        "samspel {command} on {}, process {}",
        host.to_string_lossy(),
        std::process::id()
    )
}
