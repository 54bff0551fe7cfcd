//! What `cargo xtask` and the live harness share: running other programs so that their failures are understood, and
//! fetching what a machine lacks so that a registry's bad day is never mistaken for a fault of Samspel.
//!
//! Everything here blocks and reports to standard error; standard output stays free for results.

pub mod apt;
mod command;
mod download;
mod search;
mod step;

pub use command::{CommandError, Tool};
pub use download::{DownloadError, EXIT_NOT_DOWNLOADED, download};
pub use search::{find_executable, is_root};
pub use step::{note, step};

/// Why something a build or a test needs is not there.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    /// A package registry did not deliver, after every retry.
    #[error(transparent)]
    Download(#[from] DownloadError),
    /// A program that was run failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// Something is missing that cannot be installed from here.
    #[error("{what} is missing: {remedy}")]
    Missing {
        /// What is missing.
        what: String,
        /// What the reader can do about it.
        remedy: String,
    },
    /// A file or directory could not be read or written.
    #[error("could not {action} {path}: {source}")]
    File {
        /// The attempted action, such as `create`.
        action: &'static str,
        /// The file or directory.
        path: std::path::PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
}

impl ProvisionError {
    /// Builds the mapping for a failed file operation, for use with `map_err`.
    pub fn file(
        action: &'static str,
        path: impl Into<std::path::PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File {
            action,
            path,
            source,
        }
    }
}
