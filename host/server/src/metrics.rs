//! What is counted, for Prometheus.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use jiff::Timestamp;
use parking_lot::Mutex;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use samspel_runtime::outbound::OutboundStats;
use samspel_scheduler::{Reason, RunEnd};
use tokio::time::Instant;

use crate::service::Service;

/// What is read from the store for a scrape is good for so long: scrapes of several servers cost one reading.
const FRESH: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRun {
    sync: String,
    reason: Word,
    outcome: Word,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfSync {
    sync: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfAccount {
    account: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfEndpoint {
    endpoint: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfReason {
    reason: Word,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfResult {
    result: Word,
}

/// One of a few words.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Word(&'static str);

impl EncodeLabelValue for Word {
    fn encode(
        &self,
        encoder: &mut prometheus_client::encoding::LabelValueEncoder<'_>,
    ) -> Result<(), std::fmt::Error> {
        self.0.encode(encoder)
    }
}

type Number = Gauge<i64, AtomicI64>;
type Seconds = Gauge<f64, AtomicU64>;

/// What is counted.
pub(crate) struct Metrics {
    registry: Registry,
    runs: Family<OfRun, Counter>,
    hooks: Family<OfEndpoint, Counter>,
    hooks_refused: Family<OfReason, Counter>,
    reloads: Family<OfResult, Counter>,
    wrong_tokens: Counter,
    alerts: Number,
    sampled: Sampled,
    read: Mutex<Option<Instant>>,
}

/// What is read when somebody asks.
#[derive(Default)]
struct Sampled {
    links: Family<OfSync, Number>,
    dirty: Family<OfSync, Number>,
    oldest: Family<OfSync, Seconds>,
    intents: Family<OfSync, Number>,
    conflicts: Family<OfSync, Number>,
    holds: Family<OfSync, Number>,
    parked: Family<OfSync, Number>,
    paused: Family<OfSync, Number>,
    failures: Family<OfSync, Number>,
    last_run: Family<OfSync, Seconds>,
    hooks_waiting: Number,
    hooks_failed: Number,
    calls: Family<OfAccount, Number>,
    stopped: Family<OfAccount, Number>,
    guest_seconds: Family<OfAccount, Seconds>,
    requests: Family<OfAccount, Number>,
    throttled: Family<OfAccount, Number>,
    retried: Family<OfAccount, Number>,
    left: Family<OfAccount, Number>,
    per_minute: Family<OfAccount, Number>,
    blocked: Family<OfAccount, Seconds>,
    unequal: Family<OfSync, Seconds>,
    compared: Family<OfSync, Seconds>,
    memory: Number,
}

impl Metrics {
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("samspel");
        let (runs, hooks, hooks_refused, reloads) = (
            Family::default(),
            Family::default(),
            Family::default(),
            Family::default(),
        );
        registry.register("runs", "Runs that ended", Family::clone(&runs));
        registry.register(
            "hooks_received",
            "Notifications that were kept",
            Family::clone(&hooks),
        );
        registry.register(
            "hooks_refused",
            "Notifications that were not taken, or not believed, or not understood",
            Family::clone(&hooks_refused),
        );
        registry.register(
            "config_reloads",
            "Configurations that were read again",
            Family::clone(&reloads),
        );
        let (wrong_tokens, alerts) = (Counter::default(), Number::default());
        registry.register(
            "wrong_tokens",
            "Requests to the API that came with a wrong token",
            Counter::clone(&wrong_tokens),
        );
        registry.register("alerts", "What needs a person", Number::clone(&alerts));
        let sampled = Sampled::default();
        sampled.register(&mut registry);
        Self {
            registry,
            runs,
            hooks,
            hooks_refused,
            reloads,
            wrong_tokens,
            alerts,
            sampled,
            read: Mutex::default(),
        }
    }

    /// A run ended.
    pub fn ran(&self, sync: &str, reason: Reason, end: &RunEnd) {
        let of = OfRun {
            sync: sync.to_owned(),
            reason: Word(match reason {
                Reason::Due => "interval",
                Reason::Told => "hook",
            }),
            outcome: Word(match end {
                RunEnd::Done | RunEnd::TurnOver => "done",
                RunEnd::Skipped(_) => "skipped",
                RunEnd::Busy(_) => "busy",
                RunEnd::Failed { .. } => "failed",
            }),
        };
        self.runs.get_or_create(&of).inc();
    }

    /// Somebody came with a wrong token.
    pub fn wrong_token(&self) {
        self.wrong_tokens.inc();
    }

    /// So much needs a person.
    pub fn alerts(&self, number: usize) {
        self.alerts.set(i64::try_from(number).unwrap_or(i64::MAX));
    }

    /// A notification was kept.
    pub fn hook_received(&self, endpoint: &str) {
        let of = OfEndpoint {
            endpoint: endpoint.to_owned(),
        };
        self.hooks.get_or_create(&of).inc();
    }

    /// A notification was not taken, or not believed, or not understood.
    pub fn hook_refused(&self, reason: &'static str) {
        let of = OfReason {
            reason: Word(reason),
        };
        self.hooks_refused.get_or_create(&of).inc();
    }

    /// The configuration was read again.
    pub fn reloaded(&self, taken: bool) {
        let of = OfResult {
            result: Word(if taken { "taken" } else { "refused" }),
        };
        self.reloads.get_or_create(&of).inc();
    }

    /// Everything, in the text format of OpenMetrics.
    pub async fn text(&self, service: &Service) -> Result<String, String> {
        let stale = {
            let mut read = self.read.lock();
            let stale = read.is_none_or(|at| at.elapsed() >= FRESH);
            if stale {
                *read = Some(Instant::now());
            }
            stale
        };
        if stale {
            self.sampled.read(service).await?;
        }
        let mut text = String::new();
        encode(&mut text, &self.registry).map_err(|error| error.to_string())?;
        Ok(text)
    }
}

impl Sampled {
    fn register(&self, registry: &mut Registry) {
        let mut sync = |name: &str, help: &str, family: &Family<OfSync, Number>| {
            registry.register(name, help, Family::clone(family));
        };
        sync("links", "Linked pairs", &self.links);
        sync("dirty", "Records that wait to be planned", &self.dirty);
        sync("intents", "Writes that may be under way", &self.intents);
        sync("conflicts", "Decisions left to a person", &self.conflicts);
        sync("holds", "What the valves hold", &self.holds);
        sync("parked", "Records that failed for good", &self.parked);
        sync("paused", "1 where runs are refused", &self.paused);
        sync("failures", "Runs that failed in a row", &self.failures);
        let mut age = |name: &str, help: &str, family: &Family<OfSync, Seconds>| {
            registry.register(name, help, Family::clone(family));
        };
        age(
            "oldest_unsynced_seconds",
            "Age of the oldest change that is not carried over; 0 if there is none",
            &self.oldest,
        );
        age(
            "last_run_timestamp_seconds",
            "When the last run ended",
            &self.last_run,
        );
        age(
            "unequal_share",
            "Share of linked pairs that differed when both sides were last compared (`sync verify`), 0 to 1",
            &self.unequal,
        );
        age(
            "compared_timestamp_seconds",
            "When both sides were last compared",
            &self.compared,
        );
        registry.register(
            "hooks_waiting",
            "Notifications that wait to be understood",
            self.hooks_waiting.clone(),
        );
        registry.register(
            "hooks_failed",
            "Notifications that were not understood",
            self.hooks_failed.clone(),
        );
        let mut account = |name: &str, help: &str, family: &Family<OfAccount, Number>| {
            registry.register(name, help, Family::clone(family));
        };
        account(
            "guest_calls",
            "Calls of connectors since the account was bound",
            &self.calls,
        );
        account(
            "guest_stopped",
            "Calls that a trap or a limit ended",
            &self.stopped,
        );
        account("requests", "Requests that were sent", &self.requests);
        account(
            "requests_throttled",
            "Requests that a budget or the remote (429 and the like) asked to send later",
            &self.throttled,
        );
        account(
            "requests_retried",
            "Requests that were sent again",
            &self.retried,
        );
        account(
            "budget_left",
            "Requests that the remote said are left of its window",
            &self.left,
        );
        account(
            "budget_per_minute",
            "Requests a minute that are allowed at the moment because the remote throttled",
            &self.per_minute,
        );
        registry.register(
            "budget_blocked_seconds",
            "How long nothing is sent at the moment, because the remote asked for that",
            self.blocked.clone(),
        );
        registry.register(
            "guest_seconds",
            "Time that calls of connectors took, waiting included",
            self.guest_seconds.clone(),
        );
        registry.register(
            "resident_memory_bytes",
            "Memory of this process",
            self.memory.clone(),
        );
    }

    async fn read(&self, service: &Service) -> Result<(), String> {
        let host = service.host();
        let now = Timestamp::now();
        let gauge = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        for name in host.config().syncs.keys() {
            let counts = host.store().counts(name).await.map_err(told)?;
            let state = host.store().state(name).await.map_err(told)?;
            let of = OfSync { sync: name.clone() };
            self.links.get_or_create(&of).set(gauge(counts.links));
            self.dirty.get_or_create(&of).set(gauge(counts.dirty));
            self.intents.get_or_create(&of).set(gauge(counts.intents));
            self.conflicts
                .get_or_create(&of)
                .set(gauge(counts.conflicts));
            self.holds.get_or_create(&of).set(gauge(counts.holds));
            self.parked.get_or_create(&of).set(gauge(counts.parked));
            self.paused
                .get_or_create(&of)
                .set(i64::from(state.paused.is_some()));
            let age = counts.oldest.map_or(0.0, |oldest| {
                now.duration_since(oldest).as_secs_f64().max(0.0)
            });
            self.oldest.get_or_create(&of).set(age);
            if let Some(drift) = state.drift {
                self.unequal.get_or_create(&of).set(drift.unequal_share());
                let at = drift.at.as_millisecond() as f64 / 1_000.0;
                self.compared.get_or_create(&of).set(at);
            }
        }
        for job in service.scheduler.status() {
            let of = OfSync { sync: job.name };
            self.failures
                .get_or_create(&of)
                .set(i64::from(job.failures));
            if let Some((at, _)) = job.last {
                let seconds = at.as_millisecond() as f64 / 1_000.0;
                self.last_run.get_or_create(&of).set(seconds);
            }
        }
        let (waiting, failed) = service.hook_store().hook_counts().await.map_err(told)?;
        self.hooks_waiting.set(gauge(waiting));
        self.hooks_failed.set(gauge(failed));
        for (name, account) in host.opened().await {
            let stats = account.connector.stats();
            let of = OfAccount { account: name };
            self.calls.get_or_create(&of).set(gauge(stats.calls));
            self.stopped.get_or_create(&of).set(gauge(stats.stopped));
            self.requests.get_or_create(&of).set(gauge(stats.requests));
            let seconds = stats.micros as f64 / 1e6;
            self.guest_seconds.get_or_create(&of).set(seconds);
            self.budget(&of, account.connector.outbound_stats());
        }
        if let Some(bytes) = memory() {
            self.memory.set(gauge(bytes));
        }
        Ok(())
    }
}

impl Sampled {
    /// What an account's remote allows.
    fn budget(&self, of: &OfAccount, stats: OutboundStats) {
        let gauge = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.throttled.get_or_create(of).set(gauge(stats.throttled));
        self.retried.get_or_create(of).set(gauge(stats.retries));
        // Where nothing is said, nothing is told: a zero would be taken for a budget that is used up.
        for (family, said) in [
            (&self.left, stats.remaining),
            (&self.per_minute, stats.per_minute),
        ] {
            match said {
                Some(said) => {
                    family.get_or_create(of).set(gauge(said));
                }
                None => {
                    family.remove(of);
                }
            }
        }
        let blocked = stats.blocked_ms as f64 / 1_000.0;
        self.blocked.get_or_create(of).set(blocked);
    }
}

fn told(error: samspel_model::StoreError) -> String {
    error.to_string()
}

/// Memory of this process, where the system tells.
fn memory() -> Option<u64> {
    let status = procfs::process::Process::myself().ok()?.status().ok()?;
    Some(status.vmrss? * 1024)
}

/// `GET /metrics`.
pub(crate) fn routes(service: Arc<Service>) -> Router {
    Router::new()
        .route("/metrics", get(scrape))
        .with_state(service)
}

pub(crate) async fn scrape(State(service): State<Arc<Service>>) -> Response {
    match service.metrics.text(&service).await {
        Ok(text) => (
            [(
                CONTENT_TYPE,
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
            )],
            text,
        )
            .into_response(),
        Err(why) => {
            tracing::error!(why, "metrics cannot be read");
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}
