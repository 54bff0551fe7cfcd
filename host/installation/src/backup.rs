//! Copies of the store: making them while it is used, and putting one in its place.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use samspel_model::Clock;
use samspel_store::Restored;
use samspel_sync::system::SystemClock;

use crate::config::Config;
use crate::error::{Error, Kind};
use crate::host::{Host, TENANT};

/// A copy of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// The file.
    pub file: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// When it was made.
    pub at: Timestamp,
}

impl Host {
    /// Makes a copy of the store, as it is at one moment: `to`, or a new file in the configured directory.
    ///
    /// # Errors
    /// The file is there, or cannot be written.
    pub async fn backup(&self, to: Option<&Path>) -> Result<Backup, Error> {
        let at = self.clock().now();
        let file = match to {
            Some(file) => file.to_owned(),
            None => {
                let directory = self.config().resolve(&self.config().host.backups);
                std::fs::create_dir_all(&directory).map_err(|error| {
                    Error::new(
                        Kind::Failure,
                        format!(
                            "the directory {} cannot be made: {error}",
                            directory.display()
                        ),
                    )
                    .remedy("give samspel's user the right to write there, or set `host.backups`")
                })?;
                directory.join(format!("samspel-{}.db", at.strftime("%Y%m%dT%H%M%S%.3fZ")))
            }
        };
        let bytes = self.store.backup(&file).await?;
        Ok(Backup { file, bytes, at })
    }
}

/// Puts a copy in the place of a configuration's store, which no process may use meanwhile. The store that was there is
/// set aside.
///
/// # Errors
/// The copy is no good, or the store is used. What was there stays.
pub async fn restore(config: &Config, backup: &Path) -> Result<Restored, Error> {
    let target = config.resolve(&config.host.store);
    let now = SystemClock.now();
    let done = samspel_store::restore(backup, &target, TENANT, now).await;
    Ok(done?)
}
