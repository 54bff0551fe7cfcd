//! Measures what Samspel costs beyond the API calls themselves.
//!
//! The *floor* is a bare client that makes exactly the calls which a perfect first sync needs. It and Samspel are run
//! against the same simulated vendors, and both must leave them with the same contents. What is measured is built in
//! one profile; both may have 8 requests under way per account, and neither keeps rate limits.
//!
//! Samspel's time is that of its process, from its start to its end. Compiling the connectors is not part of it: that
//! happens once per version, and the benchmark does it before.

pub mod error;
pub mod floor;
pub mod hooks;
pub mod idle;
pub mod measure;
pub mod programs;
pub mod report;
pub mod samspel;
pub mod simulators;
pub mod soak;
mod stage;
pub mod usage;
mod wire;
