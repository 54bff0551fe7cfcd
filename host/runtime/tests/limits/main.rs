//! One test per limit of the sandbox: a hostile connector reaches it and is stopped with an error that names it, on its
//! own account only. Each test also does the same deed where the limit is higher, and there it succeeds: so it fails
//! if the limit is not kept, and if it is kept when nobody reached it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test stops at the first surprise"
)]

mod computing;
mod denied;
mod memory;
mod network;
mod output;
mod results;
#[path = "../support/mod.rs"]
mod support;
