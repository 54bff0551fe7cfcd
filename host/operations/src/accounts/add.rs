//! Adding an account: tried, sealed, and only then written into the configuration.

use std::collections::BTreeMap;

use samspel_installation::config::edit::Editor;
use samspel_installation::config::{AccountSettings, HookMode, is_name};
use samspel_installation::connectors::is_path;
use samspel_installation::{Error, Kind, Secrets};
use samspel_model::Identity;
use samspel_model::access::Role;
use samspel_runtime::Limits;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::given::GivenCredentials;
use super::scheme;
use crate::act::Act;
use crate::operation::{Operation, Route, Work};

/// Adds an account: tries it, seals its secrets, and writes the configuration.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddAccount {
    /// How it is to be called.
    #[schema(pattern = "^[a-z0-9][a-z0-9_-]{0,62}$")]
    pub account: String,
    /// The connector: its name, or the path of a `.wasm` file at the host.
    pub connector: String,
    /// The connector's own settings.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub settings: Map<String, Value>,
    /// Requests for the origin on the left go to the one on the right: for simulators and tests.
    #[serde(default)]
    pub endpoints: BTreeMap<String, String>,
    /// Its credentials by the names that the connector gives them.
    #[serde(default)]
    pub credentials: GivenCredentials,
}

/// An account that was added.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AddedAccount {
    /// Its name.
    pub account: String,
    /// Who it is at the remote.
    pub identity: Identity,
    /// What of its secrets is sealed in the store.
    pub sealed: Vec<String>,
    /// The configuration that it stands in.
    pub file: String,
}

impl Operation for AddAccount {
    type Output = AddedAccount;
    const ROUTE: Route = Route::post(
        "addAccount",
        "/accounts",
        Role::Admin,
        "Add an account: try it, seal its secrets, and write the configuration",
    )
    .confidential();

    fn act(&self) -> Option<Act> {
        let act = Act::new("account add", self.account.clone());
        Some(act.with(json!({ "connector": self.connector })))
    }

    async fn run(&self, work: &Work<'_>) -> Result<AddedAccount, Error> {
        let (host, name) = (work.host, self.account.as_str());
        free(work, name)?;
        if is_path(&self.connector) {
            work.must_be_at_host("a file of the host's")?;
        }
        let mut editor = Editor::open(host.config().file())?;
        let installed = host.connector(&self.connector).await?;
        let descriptor = &installed.loaded.descriptor;
        let (mut secrets, mut credentials) = (Secrets::new(), BTreeMap::new());
        for (credential, given) in &self.credentials {
            let found = scheme(descriptor, credential, given.scheme.as_deref())?;
            let settings = given
                .settings(work, (name, credential), found, &mut secrets)
                .await?;
            credentials.insert(credential.clone(), settings);
        }
        let account = AccountSettings {
            id: None,
            hooks: HookMode::default(),
            connector: self.connector.clone(),
            settings: self.settings.clone(),
            credentials,
            endpoints: self.endpoints.clone(),
            rate_limits: true,
            limits: Limits::default(),
        };
        let (identity, secrets) = host.try_account(name, &account, secrets).await?;
        editor.add_account(name, &account)?;
        host.seal(name, &secrets).await?;
        if let Err(error) = editor.save() {
            host.forget(name).await?;
            return Err(error);
        }
        Ok(AddedAccount {
            account: name.to_owned(),
            identity,
            sealed: secrets.into_keys().collect(),
            file: host.config().file().display().to_string(),
        })
    }
}

/// Whether an account can be called so.
pub(super) fn free(work: &Work<'_>, name: &str) -> Result<(), Error> {
    if !is_name(name) {
        return Err(Error::new(Kind::Usage, format!("`{name}` is not a name")).remedy(
            "use up to 63 lower-case letters, digits, `-` and `_`, beginning with a letter or a digit",
        ));
    }
    if work.host.config().accounts.contains_key(name) {
        return Err(
            Error::new(Kind::Usage, format!("there is an account `{name}`")).remedy(format!(
                "choose another name; `samspel account reauthorise {name}` replaces its secrets"
            )),
        );
    }
    Ok(())
}
