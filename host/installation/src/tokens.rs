//! Refresh tokens that a server replaced, sealed in the store.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use samspel_runtime::{Credential, TokenStore};
use samspel_store::{KeySource, SqliteStore, Vault, VaultError};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use crate::config::Config;
use crate::error::{Error, Kind};

/// Holds the vault's key, where a file is not wanted.
const VARIABLE: &str = "SAMSPEL_KEY";

/// The vault of a configuration. Its key is made if there is none and nothing was ever made with one.
pub async fn vault(config: &Config, store: &SqliteStore) -> Result<Arc<Vault>, Error> {
    let key = match std::env::var(VARIABLE) {
        Ok(text) if !text.is_empty() => KeySource::Base64(SecretString::from(text)),
        _ => KeySource::File(config.resolve(&config.host.key)),
    };
    let vault = Vault::open(store, key).await.map_err(unusable)?;
    Ok(Arc::new(vault))
}

/// Whether an account needs the vault: there is a credential that its server may replace.
pub fn are_kept(config: &Config) -> bool {
    config
        .accounts
        .values()
        .flat_map(|account| account.credentials.values())
        .any(|credential| credential.client_id.is_some())
}

/// What to do about a vault that does not open.
pub fn unusable(error: VaultError) -> Error {
    match error {
        VaultError::Store(error) => error.into(),
        error => Error::new(Kind::Failure, error).remedy(format!(
            "`host.key` names the file of the key; the environment variable {VARIABLE} can hold it instead"
        )),
    }
}

/// Refresh tokens of one account.
pub struct VaultTokens {
    vault: Arc<Vault>,
    /// What the account's are kept under.
    account: String,
    /// Where each credential's tokens are kept.
    places: BTreeMap<String, String>,
}

impl VaultTokens {
    /// The tokens that follow from these credentials. A replacement is kept together with a fingerprint of the token
    /// that the operator configured: once a person authorises the account anew and configures another, the old one's
    /// replacements count no more.
    pub fn new(
        vault: Arc<Vault>,
        account: &str,
        credentials: &BTreeMap<String, Credential>,
    ) -> Self {
        let places = credentials
            .iter()
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
}
