//! Notifications. Each is kept before it is accepted, and understood afterwards: a crash in between loses nothing.
//!
//! `receive` takes them at their addresses, `process` finds out what they are about and tells the
//! scheduler, `debounce` folds those about one record, `subscribe` asks remotes to send them.

mod debounce;
mod process;
mod receive;
mod subscribe;

pub(crate) use process::HookQueue;
pub(crate) use receive::routes;
pub(crate) use subscribe::keep_subscribed;
