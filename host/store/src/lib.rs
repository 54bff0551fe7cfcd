//! What must survive.
//!
//! [`SqliteStore`] implements [`samspel_model::Store`] and [`samspel_model::Registry`] in one file: a single writer
//! that commits what is queued together, and a few readers beside it. [`Vault`] keeps credentials encrypted in the same
//! file, under a key that is not.
//!
//! Every statement works on a whole batch: its rows travel as one JSON array that `json_each` unfolds.

mod access;
mod backup;
mod changes;
mod context;
mod erase;
mod files;
mod history;
mod hooks;
mod leases;
mod notices;
mod observe;
mod open;
mod people;
mod presence;
mod read;
mod registry;
mod sqlite;
mod vault;
mod writer;

#[cfg(feature = "suite")]
pub mod suite;

pub use backup::{Restored, restore};
pub use sqlite::SqliteStore;
pub use vault::{KeySource, Vault, VaultError};
