//! The host as a service: notifications in, runs on time, an API for operators, metrics and health out.
//!
//! [`Service`] holds what is shared; [`serve`] runs it until it is told to stop. `hooks` takes notifications, `api`
//! offers operations, `alerts` tells people what needs them, `jobs` is a sync as the scheduler sees it, `reload`
//! follows the configuration, `listen` opens ports, `metrics` and `health` tell how things are. [`Loopback`] is apart
//! from it: where a browser answers that authorised an account. What happens in a run is not known here.

mod alerts;
mod api;
mod health;
mod hooks;
mod jobs;
mod listen;
mod loopback;
mod metrics;
mod problem;
mod reload;
mod serve;
mod service;
mod watch;

pub use loopback::{Loopback, Name};
pub use serve::{Served, serve};
pub use service::{Options, Service};
