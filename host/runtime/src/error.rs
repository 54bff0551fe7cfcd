//! Why a component cannot be loaded or bound to an account.

use std::path::PathBuf;

use thiserror::Error;

/// Why a component cannot be loaded.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("connector file {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file is larger than a connector may be.
    #[error("connector {name}: {bytes} bytes are more than the {limit} that a connector may have")]
    TooLarge {
        /// The file or name.
        name: String,
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// It is not a WebAssembly component.
    #[error(
        "connector {name} is not a WebAssembly component: {why}; build it with `cargo xtask build`, or see plugins/sdk/README.md"
    )]
    NotAComponent {
        /// The file or name.
        name: String,
        /// The compiler's words.
        why: String,
    },
    /// It was built against another contract.
    #[error("connector {name}: unsupported contract {found}; this host speaks {supported}")]
    Contract {
        /// The file or name.
        name: String,
        /// What the component uses.
        found: String,
        /// What the host offers.
        supported: String,
    },
    /// It asks for something the contract does not offer.
    #[error(
        "connector {name} imports `{import}`, which is neither part of the contract nor WASI 0.2"
    )]
    Import {
        /// The file or name.
        name: String,
        /// The import.
        import: String,
    },
    /// It does not offer what a connector must.
    #[error("connector {name} does not export `{export}`")]
    Export {
        /// The file or name.
        name: String,
        /// The missing export.
        export: String,
    },
    /// What it says about itself is not usable.
    #[error("connector {name} describes itself wrongly: {why}")]
    Description {
        /// The file or name.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// The sandbox could not be set up.
    #[error("the sandbox could not be set up: {0}")]
    Sandbox(String),
}

/// Why a connector cannot be bound to an account.
#[derive(Debug, Clone, Error)]
pub enum BindError {
    /// A setting is missing or wrong.
    #[error("account `{account}`: setting `{setting}`: {why}")]
    Setting {
        /// The account.
        account: String,
        /// The setting.
        setting: String,
        /// What is wrong and what to do.
        why: String,
    },
    /// A credential is missing or wrong. Never holds the secret.
    #[error("account `{account}`: credential `{credential}`: {why}")]
    Credential {
        /// The account.
        account: String,
        /// The credential.
        credential: String,
        /// What is wrong and what to do.
        why: String,
    },
    /// An endpoint override is wrong.
    #[error("account `{account}`: endpoint `{endpoint}`: {why}")]
    Endpoint {
        /// The account.
        account: String,
        /// The origin.
        endpoint: String,
        /// What is wrong and what to do.
        why: String,
    },
    /// The sandbox could not be set up.
    #[error("account `{account}`: the sandbox could not be set up: {why}")]
    Sandbox {
        /// The account.
        account: String,
        /// Why.
        why: String,
    },
}
