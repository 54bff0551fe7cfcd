//! An account's secrets, entered anew.

use std::collections::BTreeMap;

use samspel_installation::config::edit::Editor;
use samspel_installation::{Error, Kind, Secrets};
use samspel_model::Identity;
use samspel_model::access::Role;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::given::Given;
use super::known;
use crate::act::Act;
use crate::operation::{Operation, Route, Work};

/// Replaces secrets of an account: tries it with the new ones and seals them.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplaceSecrets {
    /// The account.
    pub account: String,
    /// The new secrets, by the names of the credentials.
    pub credentials: BTreeMap<String, Given>,
}

/// An account that works with its new secrets.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ReplacedSecrets {
    /// The account.
    pub account: String,
    /// Who it is at the remote.
    pub identity: Identity,
    /// What of its secrets was sealed in the store.
    pub sealed: Vec<String>,
    /// Credentials that were elsewhere before, and of which the configuration says now that they are sealed.
    pub moved: Vec<String>,
}

impl Operation for ReplaceSecrets {
    type Output = ReplacedSecrets;
    const ROUTE: Route = Route::post(
        "replaceSecrets",
        "/accounts/{account}/secrets",
        Role::Admin,
        "Replace secrets of an account: try it with the new ones and seal them",
    )
    .confidential();

    fn act(&self) -> Option<Act> {
        let names: Vec<&String> = self.credentials.keys().collect();
        let act = Act::new("account reauthorise", self.account.clone());
        Some(act.with(json!({ "credentials": names })))
    }

    async fn run(&self, work: &Work<'_>) -> Result<ReplacedSecrets, Error> {
        let (host, name) = (work.host, self.account.as_str());
        let mut account = known(host, name)?.clone();
        let (mut secrets, mut moved) = (Secrets::new(), Vec::new());
        for (credential, given) in &self.credentials {
            let settings = account.credentials.get_mut(credential).ok_or_else(|| {
                Error::new(
                    Kind::NotFound,
                    format!("account {name} has no credential `{credential}`"),
                )
            })?;
            let place = (name, credential.as_str(), credential.as_str());
            let new = given.take(work, place, &mut secrets).await?;
            if !new.vault {
                return Err(Error::new(
                    Kind::Usage,
                    format!("credential `{credential}` is to stay where it is"),
                )
                .remedy("replace the secret there, or hand it over to have it sealed"));
            }
            if !settings.vault {
                moved.push(credential.clone());
                settings.vault = true;
                (settings.env, settings.file) = (None, None);
            }
        }
        if secrets.is_empty() {
            return Err(Error::new(
                Kind::Usage,
                format!("no secret of account {name} was entered"),
            ));
        }
        let (identity, secrets) = host.try_account(name, &account, secrets).await?;
        host.seal(name, &secrets).await?;
        if !moved.is_empty() {
            let mut editor = Editor::open(host.config().file())?;
            for credential in &moved {
                editor.seal(name, credential)?;
            }
            editor.save()?;
        }
        Ok(ReplacedSecrets {
            account: name.to_owned(),
            identity,
            sealed: secrets.into_keys().collect(),
            moved,
        })
    }
}
