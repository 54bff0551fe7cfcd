//! Who an account is at the remote, what it offers, and where requests really go.

use std::collections::BTreeMap;

use samspel_installation::{Error, Host};
use samspel_model::access::{Refused, Role};
use samspel_model::{Collection, Connector, Identity};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::known;
use crate::operation::{Operation, Route, Work};

/// Lists the accounts, without asking a remote.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ListAccounts {}

/// All accounts.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = AccountList)]
pub struct Accounts {
    /// In the order of their names.
    pub accounts: Vec<ListedAccount>,
}

/// An account, as it is configured.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ListedAccount {
    /// Its name.
    pub account: String,
    /// Its connector.
    pub connector: String,
    /// Its credentials.
    pub credentials: Vec<Credential>,
    /// The syncs that use it.
    pub syncs: Vec<String>,
    /// Origins whose requests go elsewhere.
    pub overrides: BTreeMap<String, String>,
    /// Credentials that a person must authorise again.
    pub needs_authorisation: Vec<Refused>,
}

/// A credential. Its secret is never told.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Credential {
    /// Its name.
    pub name: String,
    /// The scheme by which it is used, where there are several.
    pub scheme: Option<String>,
    /// Where its secret is: `sealed`, `env:VARIABLE` or `file:PATH`.
    pub place: String,
}

impl Operation for ListAccounts {
    type Output = Accounts;
    const ROUTE: Route = Route::get(
        "listAccounts",
        "/accounts",
        Role::Viewer,
        "List the accounts, without asking a remote",
    );

    async fn run(&self, work: &Work<'_>) -> Result<Accounts, Error> {
        let config = work.host.config();
        let refused = work.host.refused().await?;
        let accounts = config
            .accounts
            .iter()
            .map(|(name, settings)| ListedAccount {
                account: name.clone(),
                connector: settings.connector.clone(),
                credentials: settings
                    .credentials
                    .iter()
                    .map(|(name, credential)| Credential {
                        name: name.clone(),
                        scheme: credential.scheme.clone(),
                        place: match (&credential.env, &credential.file) {
                            (Some(variable), _) => format!("env:{variable}"),
                            (None, Some(file)) => format!("file:{}", file.display()),
                            (None, None) => "sealed".to_owned(),
                        },
                    })
                    .collect(),
                syncs: config.syncs_of(name).map(str::to_owned).collect(),
                overrides: settings.endpoints.clone(),
                needs_authorisation: refused
                    .iter()
                    .filter(|one| one.account == *name)
                    .cloned()
                    .collect(),
            });
        Ok(Accounts {
            accounts: accounts.collect(),
        })
    }
}

/// Asks the remote of one account who we are and what it offers.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckAccount {
    /// The account.
    pub account: String,
}

/// Asks the remotes of all accounts.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckAccounts {}

/// An account that its remote knows.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Checked {
    /// The account.
    pub account: String,
    /// Its connector, with its version.
    pub connector: String,
    /// Who it is at the remote.
    pub identity: Identity,
    /// Origins whose requests go elsewhere.
    pub overrides: BTreeMap<String, String>,
    /// What the account may reach, overrides included.
    pub reaches: Vec<String>,
    /// What the remote offers.
    pub collections: Vec<Offered>,
}

/// A collection that a remote offers.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Offered {
    /// Its name.
    pub name: String,
    /// For people.
    pub title: String,
    /// The names of its fields.
    pub fields: Vec<String>,
    /// Its consents, as `channel/purpose`.
    pub consents: Vec<String>,
}

/// All accounts.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CheckedAccounts {
    /// In the order of their names.
    pub accounts: Vec<AccountCheck>,
}

/// What came of asking.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum AccountCheck {
    /// The remote knows it.
    Works(Checked),
    /// It does not work.
    Fails {
        /// The account.
        account: String,
        /// The class of the failure.
        code: String,
        /// What happened.
        message: String,
        /// What to do, where there is advice.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        remedy: Option<String>,
    },
}

impl From<Collection> for Offered {
    fn from(collection: Collection) -> Self {
        Self {
            fields: collection
                .fields
                .iter()
                .map(|field| field.name.clone())
                .collect(),
            consents: collection
                .consent_slots
                .iter()
                .map(|slot| format!("{}/{}", slot.channel, slot.purpose))
                .collect(),
            name: collection.name,
            title: collection.title,
        }
    }
}

impl Operation for CheckAccount {
    type Output = Checked;
    const ROUTE: Route = Route::post(
        "checkAccount",
        "/accounts/{account}/check",
        Role::Operator,
        "Ask the remote of an account who we are and what it offers",
    );

    async fn run(&self, work: &Work<'_>) -> Result<Checked, Error> {
        known(work.host, &self.account)?;
        check(work.host, &self.account).await
    }
}

impl Operation for CheckAccounts {
    type Output = CheckedAccounts;
    const ROUTE: Route = Route::post(
        "checkAccounts",
        "/accounts/check",
        Role::Operator,
        "Ask the remotes of all accounts who we are and what they offer",
    );

    async fn run(&self, work: &Work<'_>) -> Result<CheckedAccounts, Error> {
        let mut accounts = Vec::new();
        for name in work.host.config().accounts.keys() {
            accounts.push(match check(work.host, name).await {
                Ok(checked) => AccountCheck::Works(checked),
                Err(error) => failed(name, &error),
            });
        }
        Ok(CheckedAccounts { accounts })
    }
}

fn failed(account: &str, error: &Error) -> AccountCheck {
    let told = error.to_json();
    let text = |name: &str| told.get(name).and_then(Value::as_str).map(str::to_owned);
    AccountCheck::Fails {
        account: account.to_owned(),
        code: error.kind().code().to_owned(),
        message: text("message").unwrap_or_default(),
        remedy: text("remedy"),
    }
}

async fn check(host: &Host, name: &str) -> Result<Checked, Error> {
    let account = host.account(name).await?;
    let identity = match account.connector.check().await {
        Ok(identity) => identity,
        Err(failure) => return Err(host.explain(name, &failure).await),
    };
    let collections = match account.connector.collections().await {
        Ok(collections) => collections,
        Err(failure) => return Err(host.explain(name, &failure).await),
    };
    let descriptor = &account.installed.loaded.descriptor;
    Ok(Checked {
        account: name.to_owned(),
        connector: format!("{} {}", descriptor.name, descriptor.version),
        identity,
        overrides: account.overrides.clone(),
        reaches: account.connector.grants(),
        collections: collections.into_iter().map(Offered::from).collect(),
    })
}
