//! Every rule about the network, with real connections to servers on loopback. They are granted by endpoint overrides;
//! what is not granted must not even be connected to.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test stops at the first surprise"
)]

mod applied;
mod authorise;
mod budget;
mod credentials;
mod egress;
mod limits;
mod logs;
mod oauth;
mod redaction;
mod redirects;
mod retries;
#[path = "../support/server.rs"]
mod server;
mod setup;
#[path = "../support/trace.rs"]
mod trace;
