//! Copies of the store, made while it is used.

use std::path::Path;

use jiff::Timestamp;
use samspel_installation::Error;
use samspel_model::access::Role;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::act::Act;
use crate::operation::{Operation, Route, Work};

/// Makes a copy of the store, as it is at one moment.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateBackup {
    /// The file, for who sits at the host. Without it, a new one in the directory that `host.backups` names.
    #[serde(default)]
    pub to: Option<String>,
}

/// A copy that was made.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CreatedBackup {
    /// The file, at the host.
    pub file: String,
    /// Its size.
    pub bytes: u64,
    /// The moment that it shows.
    pub at: Timestamp,
}

impl Operation for CreateBackup {
    type Output = CreatedBackup;
    const ROUTE: Route = Route::post(
        "createBackup",
        "/backups",
        Role::Operator,
        "Make a copy of the store, as it is at one moment",
    );

    fn act(&self) -> Option<Act> {
        Some(Act::new("backup", self.to.clone()))
    }

    async fn run(&self, work: &Work<'_>) -> Result<CreatedBackup, Error> {
        if self.to.is_some() {
            work.must_be_at_host("where a file of the host's is to be")?;
        }
        let made = work.host.backup(self.to.as_deref().map(Path::new)).await?;
        Ok(CreatedBackup {
            file: made.file.display().to_string(),
            bytes: made.bytes,
            at: made.at,
        })
    }
}
