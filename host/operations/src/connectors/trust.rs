//! Whose signatures are accepted.

use samspel_installation::{Error, Lifecycle};
use samspel_model::access::Role;
use samspel_model::registry::TrustedKey;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use crate::act::Act;
use crate::operation::{Operation, Route, Work};

/// Accepts what a key signs.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TrustKey {
    /// What the key is to be called.
    #[schema(pattern = "^[a-z0-9][a-z0-9_-]{0,62}$")]
    pub name: String,
    /// A public key of minisign's: what its file holds, or its last line.
    pub key: String,
}

impl Operation for TrustKey {
    type Output = TrustedKey;
    const ROUTE: Route = Route::post("trustKey", "/trust", Role::Admin, "Accept what a key signs");

    fn act(&self) -> Option<Act> {
        let act = Act::new("connector trust add", self.name.clone());
        Some(act.with(json!({ "key": self.key })))
    }

    async fn run(&self, work: &Work<'_>) -> Result<TrustedKey, Error> {
        let lifecycle = Lifecycle::new(work.host, work.who);
        lifecycle.trust(&self.name, &self.key).await
    }
}

/// Lists the keys whose signatures are accepted.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ListKeys {}

/// All keys.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Trusted {
    /// In the order of their names.
    pub keys: Vec<TrustedKey>,
}

impl Operation for ListKeys {
    type Output = Trusted;
    const ROUTE: Route = Route::get(
        "listKeys",
        "/trust",
        Role::Viewer,
        "List the keys whose signatures are accepted",
    );

    async fn run(&self, work: &Work<'_>) -> Result<Trusted, Error> {
        Ok(Trusted {
            keys: work.host.registry().trusted().await?,
        })
    }
}

/// Accepts what a key signs no longer; what is installed stays.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DistrustKey {
    /// What the key is called.
    pub name: String,
}

/// A key that is not trusted any more.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DistrustedKey {
    /// What it was called.
    pub removed: String,
}

impl Operation for DistrustKey {
    type Output = DistrustedKey;
    const ROUTE: Route = Route::delete(
        "distrustKey",
        "/trust/{name}",
        Role::Admin,
        "Accept what a key signs no longer; what is installed stays",
    );

    fn act(&self) -> Option<Act> {
        Some(Act::new("connector trust remove", self.name.clone()))
    }

    async fn run(&self, work: &Work<'_>) -> Result<DistrustedKey, Error> {
        let lifecycle = Lifecycle::new(work.host, work.who);
        lifecycle.distrust(&self.name).await?;
        Ok(DistrustedKey {
            removed: self.name.clone(),
        })
    }
}
