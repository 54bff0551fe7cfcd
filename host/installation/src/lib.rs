//! A configured installation: what its configuration file says, the connectors that it finds, the credentials that it
//! refers to, and from these the accounts and syncs that can be run.
//!
//! The command line and the server stand on it. It decides nothing about syncing, and prints nothing.

pub mod access;
mod accounts;
pub mod address;
pub mod alerts;
mod backup;
pub mod config;
pub mod connectors;
pub mod credentials;
mod error;
mod failure;
mod host;
mod library;
pub mod lifecycle;
mod renamed;
mod revisions;
mod tokens;

pub use accounts::{Secrets, needs_authorisation, place_of_client};
pub use backup::{Backup, restore};
pub use config::Config;
pub use error::{Error, Kind};
pub use failure::of_account;
pub use host::{Account, Host, Opened, open_store};
pub use library::{Installed, Library};
pub use lifecycle::Lifecycle;
pub use tokens::key_at;
