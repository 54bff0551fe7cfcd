//! The configured installation: from settings to accounts, and from accounts to syncs that can be run.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use samspel_engine::SyncSpec;
use samspel_engine::pseudonym::Pseudonyms;
use samspel_engine::spec::EndpointSpec;
use samspel_model::access::Access;
use samspel_model::store::Endpoint;
use samspel_model::{Clock, Connector, Store};
use samspel_runtime::{BindError, BoundConnector};
use samspel_store::{SqliteStore, Vault};
use samspel_sync::system::{SystemClock, SystemIds};
use samspel_sync::{Operator, Party, Sync, SyncParts};
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::sync::{Mutex, OnceCell};

use crate::accounts::Secrets;
use crate::config::{AccountSettings, Config};
use crate::error::{Error, Kind};
use crate::library::{Installed, Library};
use crate::tokens;

/// A process that dies blocks its sync for so long.
const LEASE: Duration = Duration::from_secs(60);

/// What the key is for under which erased people's addresses are hashed.
const ERASURE: &str = "erasure";

/// The only tenant of an installation that is run from a configuration file.
const TENANT: &str = "main";

/// A configured installation.
pub struct Host {
    pub(crate) config: Config,
    pub(crate) library: Library,
    pub(crate) store: Arc<SqliteStore>,
    /// Opened when it is needed: by an account whose server may replace its credential, and once somebody was erased.
    pub(crate) vault: OnceCell<Arc<Vault>>,
    clock: Arc<dyn Clock>,
    owner: String,
    /// Accounts that were opened. One connector serves all syncs of an account, so that its budget is one.
    accounts: Mutex<HashMap<String, Arc<Account>>>,
}

/// An account that can be used.
pub struct Account {
    /// Its connector, before it was bound.
    pub installed: Installed,
    /// The connector, bound to the account.
    pub connector: Arc<BoundConnector>,
    /// Origins whose requests go elsewhere.
    pub overrides: BTreeMap<String, String>,
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
            store,
            vault,
            clock: Arc::new(SystemClock),
            owner: owner(command),
            accounts: Mutex::default(),
            config,
        })
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What survives.
    pub fn store(&self) -> &dyn Store {
        self.store.as_ref()
    }

    /// Who may use the installation, and who did what.
    pub fn access(&self) -> &dyn Access {
        self.store.as_ref()
    }

    fn shared_store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store) as Arc<dyn Store>
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

    /// An operator at work on a sync.
    pub fn operator(&self, name: &str) -> Result<Operator, Error> {
        let spec = self.spec(name)?;
        Ok(Operator {
            store: self.shared_store(),
            clock: Arc::clone(&self.clock),
            owner: self.owner.clone(),
            sync: name.to_owned(),
            endpoints: [&spec.a, &spec.b].map(|side| Endpoint {
                account: side.account.clone(),
                collection: side.collection.clone(),
            }),
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

    /// A sync that can be run.
    pub async fn sync(&self, name: &str) -> Result<Sync, Error> {
        let spec = self.spec(name)?;
        let (a, b) = futures::future::try_join(self.party(&spec.a), self.party(&spec.b)).await?;
        Ok(Sync::new(SyncParts {
            name: name.to_owned(),
            spec: spec.clone(),
            parties: [a, b],
            store: self.shared_store(),
            clock: Arc::clone(&self.clock),
            ids: Arc::new(SystemIds),
            pseudonyms: self.pseudonyms().await?,
            owner: self.owner.clone(),
            lease_ttl: LEASE,
        }))
    }

    async fn party(&self, endpoint: &EndpointSpec) -> Result<Party, Error> {
        let account = self.account(&endpoint.account).await?;
        let descriptor = &account.installed.loaded.descriptor;
        Ok(Party {
            endpoint: Endpoint {
                account: endpoint.account.clone(),
                collection: endpoint.collection.clone(),
            },
            connector: Arc::clone(&account.connector) as Arc<dyn Connector>,
            cursor_version: descriptor.cursor_version,
            cursor_versions_read: descriptor.cursor_versions_read.clone(),
            scope: Some(self.scope(&endpoint.account, &descriptor.name)),
        })
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

    /// An account, opened the first time it is asked for.
    pub async fn account(&self, name: &str) -> Result<Arc<Account>, Error> {
        let mut accounts = self.accounts.lock().await;
        if let Some(account) = accounts.get(name) {
            return Ok(Arc::clone(account));
        }
        let settings = self
            .config
            .accounts
            .get(name)
            .ok_or_else(|| unknown("account", name, self.config.accounts.keys()))?;
        let account = Arc::new(self.open_account(name, settings).await?);
        accounts.insert(name.to_owned(), Arc::clone(&account));
        Ok(account)
    }

    async fn open_account(&self, name: &str, settings: &AccountSettings) -> Result<Account, Error> {
        let installed = self
            .library
            .configured(&self.config, &settings.connector)
            .await?;
        let config = self.account_config(name, settings, &Secrets::new()).await?;
        let bound = self
            .library
            .runtime()
            .bind(&installed.loaded, &config)
            .map_err(|error| not_bound(name, &error))?;
        Ok(Account {
            installed,
            connector: Arc::new(bound),
            overrides: settings.endpoints.clone(),
        })
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

fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a String>) -> Error {
    let known: Vec<_> = known.map(String::as_str).collect();
    Error::new(Kind::Usage, format!("there is no {what} `{name}`")).remedy(if known.is_empty() {
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
