//! Addresses of notifications: `/hooks/{endpoint}/{secret}`.
//!
//! An endpoint is an account, or a name of `[hooks]` that stands for several. Its secret is random, kept in the vault,
//! and made when somebody first needs the address. It is not a credential: the remote and the connector know it, and
//! who knows it can make the host look at records, and nothing else.

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use crate::config::{Config, HookMode};
use crate::error::{Error, Kind};
use crate::host::Host;

/// An address, for whoever enters it at the remote.
#[derive(Debug, Clone)]
pub struct Address {
    /// The endpoint.
    pub endpoint: String,
    /// The accounts that it serves.
    pub accounts: Vec<String>,
    /// The whole address; only the path where `server.public-url` is not set.
    pub url: String,
}

/// The accounts that an endpoint serves.
///
/// # Errors
/// Nothing is called so, or its notifications are switched off.
pub fn accounts<'a>(config: &'a Config, endpoint: &str) -> Result<&'a [String], Error> {
    if let Some(hook) = config.hooks.get(endpoint) {
        return Ok(&hook.accounts);
    }
    let (name, account) = config.accounts.get_key_value(endpoint).ok_or_else(|| {
        Error::new(
            Kind::NotFound,
            format!("there is no account and no `[hooks]` entry `{endpoint}`"),
        )
        .remedy("`samspel hooks endpoints` shows which there are")
    })?;
    if account.hooks == HookMode::Off {
        return Err(Error::new(
            Kind::Usage,
            format!("`accounts.{endpoint}.hooks` is `off`"),
        ));
    }
    Ok(std::slice::from_ref(name))
}

/// What an endpoint's secret is kept under: an account that is renamed keeps its address.
fn place<'a>(config: &'a Config, endpoint: &'a str) -> &'a str {
    config.account_id(endpoint)
}

/// The secret of an endpoint, if its address was ever given out.
///
/// # Errors
/// It cannot be read.
pub async fn secret(host: &Host, endpoint: &str) -> Result<Option<SecretString>, Error> {
    host.hook_secret(place(host.config(), endpoint)).await
}

/// The address of an endpoint. It is made if it was never given out.
///
/// # Errors
/// As [`accounts`]; the secret cannot be kept.
pub async fn address(host: &Host, endpoint: &str) -> Result<Address, Error> {
    let config = host.config();
    let accounts = accounts(config, endpoint)?.to_vec();
    let secret = match secret(host, endpoint).await? {
        Some(secret) => secret,
        None => host.new_hook_secret(place(config, endpoint)).await?,
    };
    Ok(told(config, endpoint, accounts, &secret))
}

/// Another address of an endpoint. The old one is void.
///
/// # Errors
/// As [`accounts`]; the secret cannot be kept.
pub async fn new_address(host: &Host, endpoint: &str) -> Result<Address, Error> {
    let config = host.config();
    let accounts = accounts(config, endpoint)?.to_vec();
    let secret = host.new_hook_secret(place(config, endpoint)).await?;
    Ok(told(config, endpoint, accounts, &secret))
}

fn told(config: &Config, endpoint: &str, accounts: Vec<String>, secret: &SecretString) -> Address {
    Address {
        endpoint: endpoint.to_owned(),
        accounts,
        url: url(config, endpoint, secret, ""),
    }
}

/// The address with what a remote appended.
pub fn url(config: &Config, endpoint: &str, secret: &SecretString, rest: &str) -> String {
    let base = config.server.public_url.as_ref();
    let base = base.map_or("", |url| url.as_str().trim_end_matches('/'));
    format!("{base}/hooks/{endpoint}/{}{rest}", secret.expose_secret())
}

/// Stands for an address in the store, which does not hold its secret in clear.
pub fn fingerprint(url: &str) -> String {
    hex::encode(&Sha256::digest(url.as_bytes())[..16])
}
