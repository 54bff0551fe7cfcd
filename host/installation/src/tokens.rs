//! The vault of an installation: where its key is, and refresh tokens that a server replaced.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use samspel_model::Clock;
use samspel_model::access::{Authorisations, Refused};
use samspel_runtime::{Credential, TokenStore};
use samspel_store::{KeySource, SqliteStore, Vault, VaultError};
use samspel_sync::system::SystemClock;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use crate::config::{AccountSettings, Config};
use crate::error::{Error, Kind};

/// Holds the vault's key, where a file is not wanted.
const VARIABLE: &str = "SAMSPEL_KEY";

/// The name under which systemd gives the key (`LoadCredential=samspel.key:...`).
const GIVEN: &str = "samspel.key";

/// The vault of a configuration. Its key is made if there is none and nothing was ever made with one.
pub async fn vault(config: &Config, store: &SqliteStore) -> Result<Arc<Vault>, Error> {
    let vault = Vault::open(store, key(config)).await.map_err(unusable)?;
    Ok(Arc::new(vault))
}

/// Where the key is: in the environment, among the credentials that systemd gives, or in the configured file.
fn key(config: &Config) -> KeySource {
    if let Some(text) = std::env::var(VARIABLE).ok().filter(|text| !text.is_empty()) {
        return KeySource::Base64(SecretString::from(text));
    }
    let given = std::env::var_os("CREDENTIALS_DIRECTORY")
        .map(|directory| PathBuf::from(directory).join(GIVEN))
        .filter(|file| file.exists());
    match given {
        Some(file) => KeySource::Given(file),
        None => KeySource::File(config.resolve(&config.host.key)),
    }
}

/// The file of the key, if it is one that is kept here.
pub fn key_file(config: &Config) -> Option<PathBuf> {
    match key(config) {
        KeySource::File(file) => Some(file),
        KeySource::Given(_) | KeySource::Base64(_) => None,
    }
}

/// Where another key is: `env:VARIABLE` or `file:PATH`.
///
/// # Errors
/// [`Kind::Usage`].
pub fn key_at(place: &str) -> Result<KeySource, Error> {
    match place.split_once(':') {
        Some(("file", path)) => Ok(KeySource::Given(path.into())),
        Some(("env", variable)) => match std::env::var(variable) {
            Ok(text) => Ok(KeySource::Base64(SecretString::from(text))),
            Err(_) => Err(Error::new(
                Kind::Usage,
                format!("environment variable {variable} does not hold a key"),
            )),
        },
        _ => Err(Error::new(Kind::Usage, "this does not say where a key is")
            .remedy("write `env:VARIABLE` or `file:PATH`")),
    }
}

/// Whether an account needs the vault: a credential is sealed in it, or its server may replace it.
pub fn are_kept(config: &Config) -> bool {
    config
        .accounts
        .values()
        .flat_map(|account| account.credentials.values())
        .any(|credential| credential.vault || credential.client_id.is_some())
}

/// What to do about a vault that does not open.
pub fn unusable(error: VaultError) -> Error {
    match error {
        VaultError::Store(error) => error.into(),
        error => Error::new(Kind::Failure, error).remedy(format!(
            "`host.key` names the file of the key; the environment variable {VARIABLE}, or systemd's credential {GIVEN}, \
             can hold it instead"
        )),
    }
}

/// Refresh tokens of one account.
pub struct VaultTokens {
    vault: Arc<Vault>,
    /// What the account's are kept under.
    account: String,
    store: Arc<SqliteStore>,
    /// Where each credential's tokens are kept.
    places: BTreeMap<String, String>,
}

impl VaultTokens {
    /// The tokens that follow from these credentials. One that is sealed is replaced where it is. One that is referred
    /// to cannot be: its replacement is kept together with a fingerprint of the token that the operator configured, so
    /// that once a person authorises the account anew and configures another, the old one's replacements count no more.
    pub fn new(
        vault: Arc<Vault>,
        store: Arc<SqliteStore>,
        account: &str,
        settings: &AccountSettings,
        credentials: &BTreeMap<String, Credential>,
    ) -> Self {
        let is_sealed = |name: &str| {
            settings
                .credentials
                .get(name)
                .is_some_and(|credential| credential.vault)
        };
        let places = credentials
            .iter()
            .filter(|(name, _)| !is_sealed(name))
            .map(|(name, credential)| {
                let digest = Sha256::digest(credential.secret.expose_secret());
                (
                    name.clone(),
                    format!("{name}@{}", hex::encode(&digest[..8])),
                )
            })
            .collect();
        Self {
            vault,
            account: account.to_owned(),
            store,
            places,
        }
    }

    fn place<'a>(&'a self, credential: &'a str) -> &'a str {
        self.places
            .get(credential)
            .map_or(credential, String::as_str)
    }
}

#[async_trait]
impl TokenStore for VaultTokens {
    async fn load(&self, _: &str, credential: &str) -> Result<Option<SecretString>, String> {
        self.vault
            .get(&self.account, self.place(credential))
            .await
            .map_err(|error| error.to_string())
    }

    async fn save(&self, _: &str, credential: &str, token: &SecretString) -> Result<(), String> {
        self.vault
            .put(&self.account, self.place(credential), token)
            .await
            .map_err(|error| error.to_string())
    }

    async fn refused(&self, account: &str, credential: &str, why: &str) -> Result<(), String> {
        let refused = Refused {
            account: account.to_owned(),
            credential: credential.to_owned(),
            since: SystemClock.now(),
            why: why.to_owned(),
        };
        Authorisations::refused(self.store.as_ref(), refused)
            .await
            .map_err(|error| error.to_string())
    }

    async fn accepted(&self, account: &str, credential: &str) -> Result<(), String> {
        Authorisations::accepted(self.store.as_ref(), account, credential)
            .await
            .map(drop)
            .map_err(|error| error.to_string())
    }
}
