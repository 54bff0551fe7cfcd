//! The connectors of this installation: found by name, loaded into the sandbox, described by themselves.

use std::path::{Path, PathBuf};

use samspel_runtime::{LoadError, LoadedConnector, Runtime, RuntimeOptions};

use crate::config::Config;
use crate::connectors::{self, Directories};
use crate::error::{Error, Kind};

/// Finds and loads connectors.
#[derive(Clone)]
pub struct Library {
    runtime: Runtime,
    directories: Directories,
}

/// A connector that was loaded.
#[derive(Clone)]
pub struct Installed {
    /// Its file.
    pub file: PathBuf,
    /// The connector.
    pub loaded: LoadedConnector,
}

impl Library {
    /// Sets up the sandbox. Without a configuration nothing is cached.
    pub fn open(config: Option<&Config>) -> Result<Self, Error> {
        let cache = match config {
            Some(config) => Some(cache(config)?),
            None => None,
        };
        let runtime = Runtime::new(RuntimeOptions {
            cache,
            ..RuntimeOptions::default()
        })
        .map_err(failed)?;
        Ok(Self {
            runtime,
            directories: Directories::of(config),
        })
    }

    /// Where connectors are searched.
    pub fn directories(&self) -> &Directories {
        &self.directories
    }

    /// The sandbox.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Loads a file and lets it describe itself.
    pub async fn load(&self, file: &Path) -> Result<Installed, Error> {
        Ok(Installed {
            file: file.to_owned(),
            loaded: self.runtime.load(file).await.map_err(failed)?,
        })
    }

    /// Loads a component that somebody has read, and lets it describe itself. `name` is for errors.
    pub async fn load_bytes(&self, name: &str, bytes: Vec<u8>) -> Result<LoadedConnector, Error> {
        self.runtime.load_bytes(name, bytes).await.map_err(failed)
    }

    /// The connector of that name. A file is looked for under the name first; then every connector is asked what it is
    /// called, because a file may be called otherwise.
    pub async fn find(&self, name: &str) -> Result<Installed, Error> {
        if let Some(file) = self.directories.by_stem(name) {
            let installed = self.load(&file).await?;
            if installed.loaded.descriptor.name == name {
                return Ok(installed);
            }
        }
        for file in self.directories.files() {
            // A file that cannot be loaded is not the one that is wanted; `connector list` tells about it.
            if let Ok(installed) = self.load(&file).await
                && installed.loaded.descriptor.name == name
            {
                return Ok(installed);
            }
        }
        Err(self.directories.not_found(name))
    }

    /// What an account's `connector` setting means: a path relative to the configuration, or a name.
    pub async fn configured(&self, config: &Config, connector: &str) -> Result<Installed, Error> {
        if connectors::is_path(connector) {
            self.load(&config.resolve(Path::new(connector))).await
        } else {
            self.find(connector).await
        }
    }
}

/// The directory for compiled code, made if it is not there. What is in it is run, so nobody else may write to it.
fn cache(config: &Config) -> Result<PathBuf, Error> {
    let directory = config.resolve(&config.host.cache);
    let unusable = |error: std::io::Error| {
        Error::new(
            Kind::Failure,
            format!(
                "the directory {} cannot be used: {error}",
                directory.display()
            ),
        )
        .remedy("give samspel's user the right to write there, or set `host.cache`")
    };
    private_directory(&directory).map_err(unusable)?;
    std::path::absolute(&directory).map_err(unusable)
}

fn private_directory(directory: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

fn failed(error: LoadError) -> Error {
    let remedy = match &error {
        LoadError::File { .. } => "`samspel connector list` shows which connectors were found",
        LoadError::Contract { .. } => {
            "use a version of the connector, or of samspel, that speaks the same contract"
        }
        LoadError::Sandbox(_) => "RUST_LOG=debug shows more",
        _ => "use another build of the connector, or report it to its author",
    };
    Error::new(Kind::Connector, &error).remedy(remedy)
}
