//! What a simulator has been asked and what it has changed: the evidence for "a second run writes nothing" and for the
//! number of requests a sync needs.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::hooks::{CAPACITY, HookStats};

/// Requests to one endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointStats {
    /// Requests received, whatever became of them.
    pub requests: u64,
    /// Answers by HTTP status; a dropped connection counts under 0.
    pub statuses: BTreeMap<u16, u64>,
}

/// Records changed through the vendor's API. What the control API does on a user's behalf is not counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordWrites {
    /// Records created.
    pub created: u64,
    /// Records in which at least one value changed.
    pub updated: u64,
    /// Writes that were accepted and changed nothing.
    pub unchanged: u64,
    /// Records archived.
    pub archived: u64,
    /// Records deleted for good or merged away.
    pub deleted: u64,
    /// Subscription statuses changed.
    pub consents: u64,
    /// Items the vendor refused.
    pub rejected: u64,
}

impl RecordWrites {
    /// Everything that changed a record.
    #[must_use]
    pub fn effective(&self) -> u64 {
        self.created + self.updated + self.archived + self.deleted + self.consents
    }
}

/// A copy of all counters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatsReport {
    /// All requests to the vendor's API.
    pub requests: u64,
    /// Requests to endpoints that can change something, whether or not they did.
    pub write_requests: u64,
    /// Records changed.
    pub writes: RecordWrites,
    /// The most requests that were under way at once.
    pub peak_in_flight: usize,
    /// By method and route, such as `GET /3.0/lists/{list}/members`.
    pub endpoints: BTreeMap<String, EndpointStats>,
    /// Webhooks.
    #[serde(default)]
    pub hooks: HookStats,
}

/// The counters of one simulator.
#[derive(Debug, Default)]
pub struct Stats {
    report: Mutex<StatsReport>,
    in_flight: AtomicUsize,
    /// Events of webhooks that wait or are under way; resetting counters does not end them.
    waiting: AtomicUsize,
}

/// A request under way; it leaves the count when this is dropped.
#[derive(Debug)]
pub struct InFlight<'a> {
    stats: &'a Stats,
    /// How many requests were under way when this one came, itself included.
    pub count: usize,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.stats.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Stats {
    /// Counts a request in.
    pub fn enter(&self) -> InFlight<'_> {
        let count = self.in_flight.fetch_add(1, Ordering::AcqRel) + 1;
        let mut report = self.report.lock();
        report.peak_in_flight = report.peak_in_flight.max(count);
        InFlight { stats: self, count }
    }

    /// Counts a finished request; `status` 0 stands for a dropped connection.
    pub fn finished(&self, endpoint: String, writes: bool, status: u16) {
        let mut report = self.report.lock();
        report.requests += 1;
        report.write_requests += u64::from(writes);
        let entry = report.endpoints.entry(endpoint).or_default();
        entry.requests += 1;
        *entry.statuses.entry(status).or_default() += 1;
    }

    /// Changes the counters of records.
    pub fn record(&self, change: impl FnOnce(&mut RecordWrites)) {
        change(&mut self.report.lock().writes);
    }

    /// Changes the counters of webhooks.
    pub(crate) fn hooks(&self, change: impl FnOnce(&mut HookStats)) {
        change(&mut self.report.lock().hooks);
    }

    /// Counts an event in, and answers whether there is room for it.
    pub(crate) fn hook_waits(&self) -> bool {
        let room = self
            .waiting
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |waiting| {
                (waiting < CAPACITY).then_some(waiting + 1)
            })
            .is_ok();
        self.hooks(|hooks| {
            hooks.events += 1;
            hooks.overflowed += u64::from(!room);
        });
        room
    }

    /// Counts events in that are sent twice.
    pub(crate) fn hooks_again(&self, events: usize) {
        self.waiting.fetch_add(events, Ordering::AcqRel);
    }

    /// Counts events out.
    pub(crate) fn hooks_done(&self, events: usize) {
        self.waiting.fetch_sub(events, Ordering::AcqRel);
    }

    /// All counters now.
    #[must_use]
    pub fn report(&self) -> StatsReport {
        let mut report = self.report.lock().clone();
        report.hooks.waiting = self.waiting.load(Ordering::Acquire);
        report
    }

    /// Sets all counters to zero and answers what they were.
    pub fn reset(&self) -> StatsReport {
        let mut report = std::mem::take(&mut *self.report.lock());
        report.hooks.waiting = self.waiting.load(Ordering::Acquire);
        report
    }
}
