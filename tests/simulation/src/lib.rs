//! The whole loop under a seed.
//!
//! The real engine and the real sync run against simulated systems and people, in virtual time, on a store that fails
//! and in a process that dies at every durable step. A seed is a story (`story`); `driver` plays it in a `world`, and
//! `checkers` watch over the twelve invariants of the specification, after every step that they speak about. The same
//! seed makes the same story and the same trace, byte for byte.

mod agreement;
pub mod batch;
mod chance;
mod checkers;
mod driver;
mod executor;
mod failpoint;
mod field;
mod ledger;
pub mod memory;
#[cfg(feature = "mutations")]
pub mod mutations;
mod operating;
mod people;
mod process;
mod quirk;
pub mod replay;
mod simulate;
mod sqlite;
mod store;
mod story;
mod systems;
mod tier;
mod time;
mod trace;
mod violation;
mod world;

pub use simulate::Tier;
pub use violation::Violation;
