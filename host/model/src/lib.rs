//! The words that every part of Samspel speaks, and the ports that the parts meet at.
//!
//! This crate knows nothing about wasmtime, SQL or HTTP. [`record`], [`schema`], [`change`] and [`write`](mod@write)
//! mirror the contract in `wit/`; [`link`], [`intent`] and [`journal`] are what the sync engine keeps; [`proof`] is
//! what a notification says for itself; [`connector`], [`hook`], [`store`], [`registry`], [`clock`], [`access`] are the
//! ports; [`guard`] names what the simulation takes away.

pub mod access;
pub mod change;
pub mod clock;
pub mod connector;
pub mod consent;
pub mod descriptor;
pub mod guard;
pub mod hook;
pub mod intent;
pub mod journal;
pub mod link;
pub mod notice;
pub mod proof;
pub mod record;
pub mod registry;
pub mod schema;
pub mod store;
pub mod write;

pub use change::{Absence, Extent, Fetched, Page, ReadMode, ReadRequest, Tombstone};
pub use clock::{Clock, Ids};
pub use connector::{CallFailure, Connector, Failure, Identity};
pub use consent::{Consent, ConsentSlot, ConsentState, Deliverability, DeliverabilityState};
pub use guard::Guard;
pub use link::{Base, FieldBase, Link, LinkId, Presence, Side};
pub use record::{Entity, Fields, RecordId, Revision};
pub use registry::Registry;
pub use schema::{Access, Capabilities, Collection, DeleteVisibility, Field, Role};
pub use store::{Store, StoreError};
pub use write::{Create, Outcome, Removal, Remove, Update, WriteOp};
