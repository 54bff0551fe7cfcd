//! The configuration, without the network.

use std::path::Path;

use samspel_installation::Error;
use samspel_installation::config::Config;
use samspel_model::access::Role;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::operation::{Operation, Route, Work};

/// Checks the configuration file, as it is now.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckConfig {}

/// A configuration file that is correct.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CheckedConfig {
    /// The file.
    pub file: String,
    /// The accounts that it names.
    pub accounts: Vec<String>,
    /// The syncs that it names.
    pub syncs: Vec<String>,
}

/// Checks a file.
///
/// # Errors
/// It is not correct.
pub fn check(file: &Path) -> Result<CheckedConfig, Error> {
    let config = Config::load(file)?;
    Ok(CheckedConfig {
        file: file.display().to_string(),
        accounts: config.accounts.keys().cloned().collect(),
        syncs: config.syncs.keys().cloned().collect(),
    })
}

impl Operation for CheckConfig {
    type Output = CheckedConfig;
    const ROUTE: Route = Route::get(
        "checkConfig",
        "/config",
        Role::Viewer,
        "Check the configuration file, as it is now",
    );

    async fn run(&self, work: &Work<'_>) -> Result<CheckedConfig, Error> {
        check(work.host.config().file())
    }
}
