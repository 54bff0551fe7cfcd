//! What can go wrong in a task.

use std::path::PathBuf;

use samspel_provision::{CommandError, DownloadError, EXIT_NOT_DOWNLOADED, ProvisionError};

/// Why a task ended early.
#[derive(Debug, thiserror::Error)]
pub enum XtaskError {
    /// Something a task needs is missing or could not be fetched.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    /// A child process failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// Cargo's description of a workspace could not be read.
    #[error("could not read the workspace at {manifest}: {source}")]
    Metadata {
        /// The workspace's manifest.
        manifest: PathBuf,
        /// What cargo_metadata said.
        source: Box<cargo_metadata::Error>,
    },
    /// There is no way to compile for WebAssembly here.
    #[error(
        "there is no WebAssembly target to build connectors with, and none could be installed ({why}). Two ways to get \
         one:\n  1. with rustup: `rustup target add wasm32-unknown-unknown`\n  2. on Debian 12 with its security \
         updates, as root: `apt-get install --no-install-recommends rustc-web cargo-web rust-web-src`; the rest is \
         done by this command"
    )]
    NoGuestTarget {
        /// What was tried, and how it failed.
        why: String,
    },
    /// The linker that turns a WebAssembly module into a component is missing.
    #[error(
        "the linker wasm-component-ld was found neither in {searched} nor on PATH. It ships with every Rust toolchain of \
         rustup (https://rustup.rs); without rustup, `cargo install --locked wasm-component-ld` and Debian's package \
         `lld` provide it"
    )]
    NoComponentLinker {
        /// The directory of the Rust toolchain that was searched.
        searched: PathBuf,
    },
    /// A build reported success and did not name the expected file.
    #[error("cargo built {package} but reported no {expected} for it")]
    NoArtifact {
        /// The package.
        package: String,
        /// The kind of file.
        expected: &'static str,
    },
    /// A built file is not a component.
    #[error("{path} is not a WebAssembly component; was it linked by wasm-component-ld?")]
    NotAComponent {
        /// The file.
        path: PathBuf,
    },
}

impl XtaskError {
    /// The exit code that tells a download that failed from everything else.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Provision(ProvisionError::Download(_)) => EXIT_NOT_DOWNLOADED,
            _ => 1,
        }
    }
}

impl From<DownloadError> for XtaskError {
    fn from(error: DownloadError) -> Self {
        Self::Provision(error.into())
    }
}
