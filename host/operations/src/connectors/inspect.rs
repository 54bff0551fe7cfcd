//! What connectors there are, and what one asks for.

use samspel_installation::connectors::is_path;
use samspel_installation::{Config, Error, Installed, Library, open_store};
use samspel_model::Registry;
use samspel_model::access::Role;
use samspel_model::descriptor::Descriptor;
use samspel_model::hook::HookDescriptor;
use samspel_runtime::{CONTRACT, LoadedConnector};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::history::Revision;
use crate::operation::{Operation, Route, Work};

/// Lists the connectors that were found, and those that are installed.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ListConnectors {}

/// All connectors.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ListedConnectors {
    /// Files that were found.
    pub connectors: Vec<FoundConnector>,
    /// Revisions that are installed.
    pub installed: Vec<Revision>,
    /// The directories that were searched.
    pub searched: String,
}

/// A file that was found.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum FoundConnector {
    /// It is a connector.
    Loads {
        /// What it calls itself.
        name: String,
        /// Its own version.
        version: String,
        /// For people.
        title: String,
        /// The file.
        file: String,
        /// Its SHA-256.
        sha256: String,
    },
    /// It cannot be loaded.
    Fails {
        /// The file.
        file: String,
        /// Why.
        error: String,
    },
}

impl Operation for ListConnectors {
    type Output = ListedConnectors;
    const ROUTE: Route = Route::get(
        "listConnectors",
        "/connectors",
        Role::Viewer,
        "List the connectors that were found, and those that are installed",
    );

    async fn run(&self, work: &Work<'_>) -> Result<ListedConnectors, Error> {
        list(Some(work.host.config()), work.host.library()).await
    }
}

/// The same before there is a configuration.
///
/// # Errors
/// The store cannot be read.
pub async fn list(config: Option<&Config>, library: &Library) -> Result<ListedConnectors, Error> {
    // Looking makes no store.
    let revisions = match config.filter(|config| config.resolve(&config.host.store).is_file()) {
        Some(config) => open_store(config).await?.revisions(None).await?,
        None => Vec::new(),
    };
    let mut connectors = Vec::new();
    for file in library.directories().files() {
        let loaded = library.load(&file).await;
        let file = file.display().to_string();
        connectors.push(match loaded {
            Ok(installed) => {
                let descriptor = &installed.loaded.descriptor;
                FoundConnector::Loads {
                    name: descriptor.name.clone(),
                    version: descriptor.version.clone(),
                    title: descriptor.title.clone(),
                    file,
                    sha256: installed.loaded.sha256.clone(),
                }
            }
            Err(error) => FoundConnector::Fails {
                file,
                error: error.to_string(),
            },
        });
    }
    Ok(ListedConnectors {
        connectors,
        installed: revisions.into_iter().map(Revision::from).collect(),
        searched: library.directories().listed(),
    })
}

/// Shows what a connector is, what it asks for and what it must reach.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InspectConnector {
    /// Its name; at the host, also the path of a `.wasm` file, as an account's `connector` setting.
    pub connector: String,
}

/// What a connector is.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Inspected {
    /// Where it is.
    pub file: String,
    /// Its SHA-256.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
    /// The contract that it keeps.
    pub contract: String,
    /// Whether it takes notifications.
    pub hooks: bool,
    /// How the remote's notifications work.
    #[schema(value_type = Option<Object>)]
    pub notifications: Option<HookDescriptor>,
    /// Whether it imports WASI, which it finds empty.
    pub wasi: bool,
    /// What it says of itself.
    #[schema(value_type = Object)]
    pub descriptor: Descriptor,
}

impl From<&Installed> for Inspected {
    fn from(installed: &Installed) -> Self {
        let LoadedConnector {
            descriptor,
            sha256,
            bytes,
            hooks,
            wasi,
            ..
        } = &installed.loaded;
        Self {
            file: installed.file.display().to_string(),
            sha256: sha256.clone(),
            bytes: *bytes,
            contract: CONTRACT.to_owned(),
            hooks: hooks.is_some(),
            notifications: hooks
                .as_ref()
                .map(|hooks| HookDescriptor::clone(&hooks.descriptor)),
            wasi: *wasi,
            descriptor: Descriptor::clone(descriptor),
        }
    }
}

impl Operation for InspectConnector {
    type Output = Inspected;
    const ROUTE: Route = Route::get(
        "inspectConnector",
        "/connectors/{connector}",
        Role::Viewer,
        "Show what a connector is, what it asks for and what it must reach",
    );

    async fn run(&self, work: &Work<'_>) -> Result<Inspected, Error> {
        let name = self.connector.as_str();
        if is_path(name) {
            work.must_be_at_host("a file of the host's")?;
        }
        Ok(Inspected::from(&work.host.connector(name).await?))
    }
}
