#![doc = include_str!("../README.md")]

pub mod clock;
mod control;
pub mod faults;
mod gate;
pub mod hooks;
pub mod hubspot;
pub mod mailchimp;
pub mod people;
mod query;
mod reply;
mod server;
pub mod settings;
pub mod stats;
pub mod vendor;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;

pub use control::Digest;
pub use server::Running;
use vendor::Vendor;

/// The largest request body, in bytes: 500 members with every merge field fit many times over.
const BODY_LIMIT: usize = 10 * 1024 * 1024;

/// A vendor's API behind its gate, and the control API beside it.
fn router<V: Vendor>(vendor: &V) -> Router {
    vendor
        .routes()
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(from_fn_with_state(vendor.clone(), gate::gate::<V>))
        .merge(vendor.open_routes())
        .merge(control::routes(vendor.clone()))
}
