//! What tests that span parts share: connectors as the components that a user runs, bound to simulated vendors through
//! the real runtime, and two of them kept in step through the real sync and store.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "support of tests, which end at the first surprise"
)]

pub mod account;
pub mod author;
pub mod image;
pub mod installation;
pub mod pair;
pub mod people;
mod program;
pub mod versions;
pub mod workbench;

pub use account::{Account, Reading};
pub use author::Author;
pub use image::Image;
pub use installation::{Installation, Serving};
pub use pair::Pair;
pub use program::{connectors, program};
pub use workbench::{Setup, Workbench};
