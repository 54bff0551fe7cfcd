//! Accounts with their secrets: where each is, trying it before it is kept, keeping it, and authorising it anew.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use samspel_model::access::{Authorisations, Refused};
use samspel_model::{Connector, Failure, Identity};
use samspel_runtime::outbound::Authorisation;
use samspel_runtime::{AccountConfig, Credential, EndpointOverride, OauthClient, TokenStore};
use samspel_store::KeySource;
use secrecy::SecretString;
use url::Url;

use crate::config::{AccountSettings, CredentialSettings, SecretSettings};
use crate::credentials;
use crate::error::{Error, Kind};
use crate::failure::of_account;
use crate::host::{Host, not_bound};
use crate::tokens::{self, VaultTokens};

/// Secrets of one account, by their places in the vault.
pub type Secrets = BTreeMap<String, SecretString>;

/// Where an OAuth client's own secret is sealed. No credential is called so: names have no slash.
pub fn place_of_client(credential: &str) -> String {
    format!("{credential}/client-secret")
}

impl Host {
    /// Asks the remote who an account would be, with these secrets in the place of sealed ones. Keeps nothing; gives
    /// the secrets as they are then, because a server may replace one when it is used.
    ///
    /// # Errors
    /// The account cannot be used like this.
    pub async fn try_account(
        &self,
        name: &str,
        settings: &AccountSettings,
        mut secrets: Secrets,
    ) -> Result<(Identity, Secrets), Error> {
        let installed = self.connector(&settings.connector).await?;
        let replaced = Arc::new(Replaced::default());
        let mut config = self.account_config(name, settings, &secrets).await?;
        config.tokens = Some(Arc::clone(&replaced) as Arc<dyn TokenStore>);
        let bound = self
            .library
            .runtime()
            .bind(&installed.loaded, &config)
            .map_err(|error| not_bound(name, &error))?;
        let checked = bound.check().await;
        let identity = checked.map_err(|failure| {
            let error = of_account(name, &failure);
            match error.kind() {
                // What is tried is the account: whatever has no other name is wrong with it.
                Kind::Failure => error.as_kind(Kind::Account),
                _ => error,
            }
        })?;
        // The old ones are void.
        secrets.append(&mut replaced.0.lock());
        Ok((identity, secrets))
    }

    /// Seals secrets of an account, which works again if it did not.
    pub async fn seal(&self, account: &str, secrets: &Secrets) -> Result<(), Error> {
        let vault = self.vault().await?;
        for (place, secret) in secrets {
            vault
                .put(self.config.account_id(account), place, secret)
                .await
                .map_err(tokens::unusable)?;
            self.store.accepted(account, place).await?;
        }
        Ok(())
    }

    /// Forgets what is sealed for an account.
    pub async fn forget(&self, account: &str) -> Result<u64, Error> {
        for refused in self.refused().await? {
            if refused.account == account {
                self.store.accepted(account, &refused.credential).await?;
            }
        }
        let vault = self.vault().await?;
        let id = self.config.account_id(account);
        vault.forget(id).await.map_err(tokens::unusable)
    }

    /// What it takes to authorise a credential anew. `client`: the client's secret, if it is not where the settings
    /// say.
    pub async fn authorisation(
        &self,
        name: &str,
        settings: &AccountSettings,
        credential: &str,
        client: Option<&SecretString>,
    ) -> Result<Authorisation, Error> {
        let installed = self.connector(&settings.connector).await?;
        // The other credentials are not needed, and the secret of this one is not there yet.
        let mut alone = settings.clone();
        alone.credentials.retain(|other, _| other == credential);
        let mut given = Secrets::from([(credential.to_owned(), SecretString::from("none yet"))]);
        if let Some(client) = client {
            given.insert(place_of_client(credential), client.clone());
        }
        let config = self.account_config(name, &alone, &given).await?;
        self.library
            .runtime()
            .authorisation(&installed.loaded, &config, credential)
            .map_err(|error| not_bound(name, &error))
    }

    /// The credentials that a person must authorise again.
    pub async fn refused(&self) -> Result<Vec<Refused>, Error> {
        let known = |refused: &Refused| {
            self.config
                .accounts
                .get(&refused.account)
                .is_some_and(|account| account.credentials.contains_key(&refused.credential))
        };
        let mut all = self.store.all_refused().await?;
        all.retain(known);
        Ok(all)
    }

    /// A failure of an account, with what is known about its credentials.
    pub async fn explain(&self, account: &str, failure: &Failure) -> Error {
        let refused = self.refused().await.unwrap_or_default();
        match refused
            .into_iter()
            .find(|refused| refused.account == account)
        {
            Some(refused) => needs_authorisation(&refused),
            None => of_account(account, failure),
        }
    }

    /// Seals everything with another key; how many secrets that were.
    pub async fn rotate_key(&self, next: Option<&KeySource>) -> Result<u64, Error> {
        let vault = self.vault().await?;
        vault.rotate(next).await.map_err(tokens::unusable)
    }

    /// The file of the vault's key, if it is one that is kept here.
    pub fn key_file(&self) -> Option<PathBuf> {
        tokens::key_file(&self.config)
    }

    pub(crate) async fn account_config(
        &self,
        name: &str,
        settings: &AccountSettings,
        given: &Secrets,
    ) -> Result<AccountConfig, Error> {
        let mut credentials = BTreeMap::new();
        for (credential, settings) in &settings.credentials {
            let found = self.credential(name, credential, settings, given).await?;
            credentials.insert(credential.clone(), found);
        }
        let tokens = self.vault.get().map(|vault| {
            let store = Arc::clone(&self.store);
            let id = self.config.account_id(name);
            let kept = VaultTokens::new(Arc::clone(vault), store, id, settings, &credentials);
            Arc::new(kept) as Arc<dyn TokenStore>
        });
        Ok(AccountConfig {
            name: name.to_owned(),
            settings: settings.settings.clone(),
            credentials,
            endpoints: overrides(name, settings)?,
            rate_limits: settings.rate_limits,
            limits: settings.limits.clone(),
            tokens,
        })
    }

    async fn credential(
        &self,
        account: &str,
        name: &str,
        settings: &CredentialSettings,
        given: &Secrets,
    ) -> Result<Credential, Error> {
        let client = match &settings.client_id {
            None => None,
            Some(id) => {
                let place = place_of_client(name);
                let secret = match &settings.client_secret {
                    None => None,
                    Some(secret) => Some(self.secret(account, &place, secret, given).await?),
                };
                Some(OauthClient {
                    id: id.clone(),
                    secret,
                })
            }
        };
        Ok(Credential {
            scheme: settings.scheme.clone(),
            secret: self
                .secret(account, name, &settings.secret(), given)
                .await?,
            client,
        })
    }

    /// A secret, from where the settings say it is.
    pub async fn secret(
        &self,
        account: &str,
        place: &str,
        settings: &SecretSettings,
        given: &Secrets,
    ) -> Result<SecretString, Error> {
        if let Some(secret) = given.get(place) {
            return Ok(secret.clone());
        }
        if settings.vault {
            let vault = self.vault().await?;
            let id = self.config.account_id(account);
            let sealed = vault.get(id, place).await.map_err(tokens::unusable)?;
            return sealed.ok_or_else(|| {
                Error::new(
                    Kind::Account,
                    format!(
                        "accounts.{account}.credentials.{place}: nothing is sealed in the vault"
                    ),
                )
                .remedy(format!(
                    "`samspel account reauthorise {account}` asks for it"
                ))
            });
        }
        credentials::read(&self.config, settings).map_err(|error| {
            Error::new(
                Kind::Account,
                format!("accounts.{account}.credentials.{place}: {error}"),
            )
            .remedy(error.remedy())
        })
    }
}

/// Says that a person must authorise an account again.
pub fn needs_authorisation(refused: &Refused) -> Error {
    Error::new(
        Kind::Account,
        format!(
            "account `{}` needs re-authorisation since {:.0}: credential `{}`: {}",
            refused.account, refused.since, refused.credential, refused.why
        ),
    )
    .remedy(format!("`samspel account authorise {}`", refused.account))
    .detail("needs_authorisation", serde_json::json!(refused))
}

fn overrides(account: &str, settings: &AccountSettings) -> Result<Vec<EndpointOverride>, Error> {
    let parse = |origin: &str| {
        Url::parse(origin).map_err(|error| {
            Error::new(
                Kind::Config,
                format!("accounts.{account}.endpoints: {error}"),
            )
        })
    };
    settings
        .endpoints
        .iter()
        .map(|(from, to)| {
            Ok(EndpointOverride {
                from: parse(from)?,
                to: parse(to)?,
            })
        })
        .collect()
}

/// Refresh tokens that were replaced while an account was tried.
#[derive(Default)]
struct Replaced(Mutex<Secrets>);

#[async_trait]
impl TokenStore for Replaced {
    async fn load(&self, _: &str, credential: &str) -> Result<Option<SecretString>, String> {
        Ok(self.0.lock().get(credential).cloned())
    }

    async fn save(&self, _: &str, credential: &str, token: &SecretString) -> Result<(), String> {
        self.0.lock().insert(credential.to_owned(), token.clone());
        Ok(())
    }
}
