//! What the two simulators have in common: the parts around the vendor's own behaviour.

use std::sync::Arc;

use axum::Router;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::clock::Clock;
use crate::faults::Faults;
use crate::settings::{LiveSettings, Settings};
use crate::stats::Stats;

/// The clock, switches, faults and counters of one simulator.
#[derive(Debug)]
pub struct Core<Q> {
    /// Its clock.
    pub clock: Clock,
    /// Its switches.
    pub settings: LiveSettings<Q>,
    /// Faults still to come.
    pub faults: Faults,
    /// Its counters.
    pub stats: Stats,
}

impl<Q: Clone + Default + Serialize + DeserializeOwned> Core<Q> {
    pub(crate) fn new(settings: Settings<Q>, fault_seed: u64) -> Self {
        Self {
            clock: Clock::default(),
            settings: LiveSettings::new(settings),
            faults: Faults::new(fault_seed),
            stats: Stats::default(),
        }
    }

    /// The settings as they are now.
    #[must_use]
    pub fn settings(&self) -> Arc<Settings<Q>> {
        self.settings.get()
    }
}

/// Why something a user was to do could not be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActError {
    /// No such record.
    #[error("no record {0}: name it by id or by e-mail address")]
    NotFound(String),
    /// The vendor's own rules refuse it.
    #[error("the vendor refuses: {0}")]
    Refused(String),
}

/// What seeding put into a simulator.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Seeded {
    /// Records created.
    pub records: u64,
    /// Those with an e-mail address.
    pub with_email: u64,
    /// Those that may not be mailed: opted out, unsubscribed.
    pub opted_out: u64,
    /// Those whose address bounced for good.
    pub bounced: u64,
}

/// One page of a dump.
#[derive(Debug)]
pub struct DumpPage {
    /// JSON lines, one record each.
    pub lines: Vec<u8>,
    /// Where the next page begins, when there is one.
    pub next: Option<u64>,
}

/// A simulated system.
pub trait Vendor: Clone + Send + Sync + 'static {
    /// Its quirks.
    type Quirks: Clone + Default + Serialize + DeserializeOwned + Send + Sync;
    /// What a user of that system can do in its own interface.
    type Act: DeserializeOwned + Send;

    /// The shared parts.
    fn core(&self) -> &Core<Self::Quirks>;

    /// The vendor's API, without gate and control API.
    fn routes(&self) -> Router;

    /// Routes that need no credential: how one is come by.
    fn open_routes(&self) -> Router {
        Router::new()
    }

    /// What a user does in the vendor's own interface and a test needs: routes below `/_control`.
    fn control(&self) -> Router {
        Router::new()
    }

    /// Does this request carry the right credential?
    fn authorized(&self, headers: &HeaderMap) -> bool;

    /// Is there still room for this request under the vendor's limits? `in_flight` counts it in.
    /// On success the headers are added to the answer.
    fn admit(&self, request: &Parts, in_flight: usize) -> Result<HeaderMap, Box<Response>>;

    /// An error in the vendor's form: 401, 429 or 5xx.
    fn error(&self, status: StatusCode) -> Response;

    /// Can a request to this endpoint change anything?
    fn is_write(&self, request: &Parts) -> bool;

    /// Does what a user would do, bypassing API limits and counters. Answers the record as it is then.
    ///
    /// # Errors
    /// When the record does not exist or the vendor's rules refuse the act.
    fn act(&self, act: Self::Act) -> Result<Value, ActError>;

    /// Adds the test people `0..count` (and what this vendor holds besides), as drawn from `seed`.
    fn seed(&self, count: u64, seed: u64) -> Seeded;

    /// A page of all records, for comparison. With `stable`, without ids and times that differ from run to run.
    fn dump(&self, from: u64, stable: bool) -> DumpPage;
}
