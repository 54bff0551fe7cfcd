//! Removing an account.

use samspel_installation::config::edit::Editor;
use samspel_installation::{Error, Kind};
use samspel_model::access::Role;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::known;
use crate::act::Act;
use crate::operation::{Operation, Route, Work};

/// Takes an account out of the configuration, and forgets its secrets.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveAccount {
    /// The account.
    pub account: String,
    /// Somebody agreed to it.
    #[serde(default)]
    pub yes: bool,
}

/// An account that was removed.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RemovedAccount {
    /// Its name.
    pub account: String,
    /// How many sealed secrets are forgotten.
    pub forgotten_secrets: u64,
}

impl Operation for RemoveAccount {
    type Output = RemovedAccount;
    const ROUTE: Route = Route::post(
        "removeAccount",
        "/accounts/{account}/remove",
        Role::Admin,
        "Take an account out of the configuration, and forget its secrets",
    );

    fn act(&self) -> Option<Act> {
        Some(Act::new("account remove", self.account.clone()))
    }

    async fn run(&self, work: &Work<'_>) -> Result<RemovedAccount, Error> {
        let (host, name) = (work.host, self.account.as_str());
        known(host, name)?;
        let used: Vec<&str> = host.config().syncs_of(name).collect();
        if !used.is_empty() {
            return Err(Error::new(
                Kind::Usage,
                format!("account {name} is used by the syncs {}", used.join(", ")),
            )
            .remedy("remove those from the configuration first"));
        }
        let question = format!(
            "Take account {name} out of the configuration, with the comments that belong to it, and forget its secrets?"
        );
        let what = format!("account remove forgets the secrets of {name}");
        work.agree(self.yes, question, what).await?;
        let mut editor = Editor::open(host.config().file())?;
        editor.remove_account(name)?;
        // First the file: an account without secrets would be left otherwise, if this ended in between.
        editor.save()?;
        Ok(RemovedAccount {
            account: name.to_owned(),
            forgotten_secrets: host.forget(name).await?,
        })
    }
}
