//! What an operator can do with an installation.
//!
//! Each operation is said once: what it takes, what it gives, who may do it, and what the audit log says about it
//! ([`Operation`]). The command line does it in its own process or asks a host that runs; the server offers it over
//! HTTP at the route that it names. [`catalogue`] lists all of them.
//!
//! Nothing here prints, asks a person by itself or knows HTTP beyond methods and paths.

pub mod accounts;
mod act;
pub mod alerts;
pub mod audit;
pub mod backup;
pub mod catalogue;
pub mod config;
pub mod connectors;
pub mod doctor;
pub mod hooks;
pub mod key;
mod operation;
pub mod queues;
pub mod records;
pub mod syncs;
pub mod tokens;
mod values;

pub use act::{Act, perform};
pub use operation::{Alone, Operation, Person, Route, Surroundings, Work};
pub use values::{Limit, Number, Secret};
