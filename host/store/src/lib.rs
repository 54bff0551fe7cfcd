//! What must survive.
//!
//! [`SqliteStore`] implements [`samspel_model::Store`] in one file: a single writer that commits what is queued
//! together ([`writer`]), and a few readers beside it.
//!
//! Every statement works on a whole batch: its rows travel as one JSON array that `json_each` unfolds.

mod changes;
mod context;
mod leases;
mod observe;
mod open;
mod read;
mod sqlite;
mod writer;

#[cfg(feature = "suite")]
pub mod suite;

pub use sqlite::SqliteStore;
