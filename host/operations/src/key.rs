//! The key under which the store's secrets are sealed.

use samspel_installation::{Error, key_at};
use samspel_model::access::Role;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::act::Act;
use crate::operation::{Operation, Route, Work};

/// Seals every secret of the store under a new key.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateKey {
    /// Where the new key is, at the host: `env:VARIABLE` or `file:PATH`; made at random if left out.
    #[serde(default)]
    pub to: Option<String>,
}

/// What was sealed anew.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RotatedKey {
    /// How many secrets.
    pub sealed: u64,
    /// The file of the key, if it is kept in one that was replaced.
    pub key: Option<String>,
}

impl Operation for RotateKey {
    type Output = RotatedKey;
    const ROUTE: Route = Route::post(
        "rotateKey",
        "/key/rotate",
        Role::Admin,
        "Seal every secret of the store under a new key",
    );

    fn act(&self) -> Option<Act> {
        Some(Act::new("key rotate", None))
    }

    async fn run(&self, work: &Work<'_>) -> Result<RotatedKey, Error> {
        if self.to.is_some() {
            work.must_be_at_host("where a key is")?;
        }
        let next = self.to.as_deref().map(key_at).transpose()?;
        let sealed = work.host.rotate_key(next.as_ref()).await?;
        let file = work.host.key_file();
        Ok(RotatedKey {
            sealed,
            key: file.map(|file| file.display().to_string()),
        })
    }
}
