//! Loads connectors as sandboxed WebAssembly components, and gives them HTTP within limits and without secrets.
//! Nothing here knows about syncing.
//!
//! [`Runtime::load`] checks a file and asks the component to describe itself, with nothing granted.
//! [`Runtime::bind`] ties it to an account: the result implements the [`samspel_model::Connector`] port. Every call
//! runs in a fresh instance, so nothing leaks from one call to the next, and a trap costs one call.
//!
//! [`Limits`] holds every limit; [`outbound`] is everything about HTTP and secrets and knows nothing of wasmtime;
//! `hooks` is about notifications; `guest` runs one call; `imports` is what a guest can reach; `convert` checks
//! everything a guest returns.

mod account;
mod bindings;
mod bound;
mod component;
mod convert;
mod engine;
mod error;
mod guest;
mod hooks;
mod imports;
mod lately;
mod limits;
pub mod outbound;

pub use account::{AccountConfig, Credential, EndpointOverride, OauthClient, TokenStore};
pub use bound::BoundConnector;
pub use component::{CONTRACT, LoadedConnector};
pub use engine::{Runtime, RuntimeOptions};
pub use error::{BindError, LoadError};
pub use guest::GuestStats;
pub use hooks::{BoundHooks, LoadedHooks};
pub use limits::Limits;
pub use samspel_model::proof::Unproven;
