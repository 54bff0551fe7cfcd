//! Decides when runs happen: each sync on its interval, never overlapping itself, a limited number at once, with
//! backoff after failures, until told to stop.
//!
//! It knows nothing about what a run does: a [`Runner`] is a sync seen from here. Time comes from the
//! [`Clock`](samspel_model::Clock) port and randomness from a seed, and nothing here spawns a task, so a simulation
//! can drive the same code.

mod delay;
mod job;
mod scheduler;
mod turns;

pub use delay::{Backoff, Pace};
pub use job::{Job, Reason, RunEnd, Runner};
pub use scheduler::{Drained, JobStatus, Options, Scheduler};
