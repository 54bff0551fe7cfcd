//! Real servers to keep in step: an e-mail platform (Ghost) and a CRM (Odoo), installed from their package registries,
//! started on the loopback interface with a fresh database each, and stopped with the value that stands for them.
//!
//! The acts of people are played through the servers' own interfaces (a member clicks "unsubscribe", a mail provider
//! reports a bounce, a clerk edits a contact), never through Samspel, so that what Samspel does can be judged by them.

pub mod error;
pub mod facts;
pub mod ghost;
mod http;
pub mod odoo;
mod secret;
pub mod server;
pub mod sync;

pub use error::LiveError;
pub use ghost::{Ghost, GhostServer};
pub use odoo::{Odoo, OdooServer};
pub use server::{LiveDirectory, Run};
