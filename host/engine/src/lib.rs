//! Pure decisions of the sync engine.
//!
//! Nothing here does I/O, waits or asks for the time: every function takes what is known and returns what follows from
//! it, so that the same inputs always give the same plan. A reader follows the order of a decision: [`spec`] (what the
//! operator wrote) -> [`policy`] (checked against both collections) -> [`matching`] (which records are one) ->
//! [`plan`](mod@plan) (what to do about a link), [`create`] (about a record without one) -> [`merge`] (one field),
//! [`consent`], [`deliverability`] -> [`settle`] (what an outcome makes true). [`valve`] bounds what all plans of a run
//! may do together. [`roundtrip`] tries a mapping on records before it is used.

pub mod consent;
pub mod create;
pub mod deliverability;
pub mod matching;
pub mod merge;
pub mod normalize;
pub mod oscillation;
pub mod plan;
pub mod policy;
pub mod pseudonym;
pub mod roundtrip;
pub mod settle;
pub mod spec;
pub mod transform;
pub mod valve;

pub use plan::{LinkPlan, SideWrite, plan};
pub use policy::{Policy, PolicyError, PolicyErrors, check_expressions};
pub use spec::SyncSpec;
