//! Accounts: who we are at the remotes, adding, removing and authorising.

mod add;
mod authorise;
mod check;
mod given;
mod remove;
mod secrets;

pub use add::{AddAccount, AddedAccount};
pub use authorise::{Authorisations, BeginAuthorisation, BegunAuthorisation};
pub use check::{
    AccountCheck, Accounts, CheckAccount, CheckAccounts, Checked, CheckedAccounts, Credential,
    ListAccounts, ListedAccount, Offered,
};
pub use given::{Given, GivenCredential};
pub use remove::{RemoveAccount, RemovedAccount};
pub use secrets::{ReplaceSecrets, ReplacedSecrets};

use samspel_installation::config::AccountSettings;
use samspel_installation::{Error, Host, Kind};
use samspel_model::descriptor::{AuthScheme, Descriptor};

/// The settings of an account.
fn known<'h>(host: &'h Host, name: &str) -> Result<&'h AccountSettings, Error> {
    host.config().accounts.get(name).ok_or_else(|| {
        let names: Vec<&str> = host.config().accounts.keys().map(String::as_str).collect();
        Error::new(Kind::NotFound, format!("there is no account `{name}`"))
            .remedy(format!("the configuration has: {}", names.join(", ")))
    })
}

/// The scheme by which a credential is used, and whether there are others.
fn scheme<'d>(
    descriptor: &'d Descriptor,
    credential: &str,
    wanted: Option<&str>,
) -> Result<(&'d AuthScheme, bool), Error> {
    let offered: Vec<&AuthScheme> = descriptor
        .authentication
        .iter()
        .filter(|scheme| scheme.credential == credential)
        .collect();
    if offered.is_empty() {
        let names: Vec<&str> = descriptor
            .authentication
            .iter()
            .map(|scheme| scheme.credential.as_str())
            .collect();
        return Err(Error::new(
            Kind::Usage,
            format!("the connector has no credential `{credential}`"),
        )
        .remedy(format!("it has {}", names.join(", "))));
    }
    let several = offered.len() > 1;
    let found = match wanted {
        Some(wanted) => offered.iter().find(|scheme| scheme.name == wanted),
        None if several => None,
        None => offered.first(),
    };
    let found = found.ok_or_else(|| {
        let names: Vec<&str> = offered.iter().map(|scheme| scheme.name.as_str()).collect();
        let what = match wanted {
            Some(wanted) => format!("credential `{credential}` has no scheme `{wanted}`"),
            None => format!("credential `{credential}` has several schemes"),
        };
        Error::new(Kind::Usage, what).remedy(format!(
            "choose one: --credential {credential}:SCHEME=..., of {}",
            names.join(", ")
        ))
    })?;
    Ok((found, several))
}
