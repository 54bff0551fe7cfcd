//! The SDK for Samspel connectors.
//!
//! A connector is a type that implements [`Connector`] and is exported with [`export!`]. What surrounds every HTTP API
//! is here, so that the connector itself reads like the API's documentation:
//!
//! | module | for |
//! | --- | --- |
//! | [`http`] | requests, answers, several at once |
//! | [`answers`] | what an error status means for a call, and for one write of a batch |
//! | [`fields`] | a record's flat JSON object, patches, the fields that the host asked for |
//! | [`schema`], [`descriptor`] | fields, collections, settings, what the connector asks for |
//! | [`cursor`], [`paging`], [`incremental`] | positions, pages, reading what changed without losing anything |
//! | [`batch`] | writes that one request takes many of, with an answer for each |
//! | [`outcomes`] | one outcome per write, in order, from requests that were grouped otherwise |
//! | [`time`] | RFC 3339, HTTP dates, milliseconds |
//! | [`hooks`] | notifications: [`hooks::Hooked`] and [`export_hooked!`] |
//! | [`secrets`], [`log`], [`clock`] | signing, lines for the operator, the host's clock |
//! | [`testing`] | a scripted remote, so that a connector is tested natively with `cargo test` |
//!
//! The crate compiles for `wasm32-unknown-unknown` without WASI. On other targets the imports are a scripted double.

pub mod answers;
pub mod batch;
pub mod bindings;
pub mod clock;
mod connector;
pub mod cursor;
pub mod descriptor;
mod entity;
pub mod fields;
pub mod hooks;
pub mod http;
mod imports;
pub mod incremental;
pub mod log;
pub mod outcomes;
pub mod paging;
pub mod schema;
pub mod secrets;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
pub mod time;

pub use bindings::exports::samspel::connector::remote::{
    Access, AuthKind, AuthScheme, BodyPosition, Capabilities, ChangesRequest, Collection,
    ConsentSlot, Create, Deferral, DeleteVisibility, DeliverabilitySupport, Descriptor, EgressRule,
    Fetched, Field, Identity, KeyEncoding, Oauth2, Outcome, Page, RateLimit, ReadMode, Rejection,
    Removal, Remove, Role, Signing, Update, WriteOp,
};
pub use bindings::samspel::connector::types::{
    Absence, Consent, ConsentState, Deliverability, DeliverabilityState, Entity, Failure,
    Misconfiguration, RecordId, Revision, Tombstone,
};
pub use connector::{Connector, Guest};
pub use jiff;
pub use schemars::{self, JsonSchema};
pub use serde;
pub use serde_json::{self, Value, json};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

/// The result of a call; a [`Failure`] is about the whole call, never about one record.
pub type Result<T, E = Failure> = std::result::Result<T, E>;
