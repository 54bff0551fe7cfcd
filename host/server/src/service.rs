//! What all parts of the service share.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum_server::tls_rustls::RustlsConfig;
use parking_lot::RwLock;
use samspel_installation::Host;
use samspel_model::hook::HookStore;
use samspel_scheduler::{Pace, Scheduler};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::Api;
use crate::hooks::HookQueue;
use crate::metrics::Metrics;

/// How the service is run.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How long runs may take to end once a stop was asked for.
    pub drain: Duration,
}

/// What all parts of the service share.
pub struct Service {
    host: RwLock<Arc<Host>>,
    /// Decides when runs happen.
    pub(crate) scheduler: Scheduler,
    /// Notifications between being received and being understood.
    pub(crate) hooks: HookQueue,
    /// What the API holds.
    pub(crate) api: Api,
    /// What is counted.
    pub(crate) metrics: Metrics,
    /// Certificate and key in use, which can be replaced.
    pub(crate) tls: OnceLock<RustlsConfig>,
    /// Another configuration holds.
    pub(crate) reloaded: Notify,
    /// Tasks that end with the service.
    pub(crate) tasks: TaskTracker,
    /// Cancelled when the service is to end.
    pub(crate) stop: CancellationToken,
}

impl Service {
    /// A service of this installation, which ends when `stop` is cancelled.
    pub fn new(host: Arc<Host>, options: Options, stop: CancellationToken) -> Arc<Self> {
        let config = host.config();
        let scheduler = Scheduler::new(
            host.shared_clock(),
            samspel_scheduler::Options {
                concurrent: usize::try_from(config.host.concurrent_syncs).unwrap_or(usize::MAX),
                pace: Pace::default(),
                drain: options.drain,
                seed: seed(),
            },
        );
        Arc::new(Self {
            hooks: HookQueue::new(),
            scheduler,
            host: RwLock::new(host),
            api: Api::default(),
            metrics: Metrics::new(),
            tls: OnceLock::new(),
            reloaded: Notify::new(),
            tasks: TaskTracker::new(),
            stop,
        })
    }

    /// The installation as it is configured now.
    pub fn host(&self) -> Arc<Host> {
        Arc::clone(&self.host.read())
    }

    /// Whether nothing that remotes told waits, and no sync runs or is about to.
    pub fn is_idle(&self) -> bool {
        self.hooks.waiting() == 0
            && self
                .scheduler
                .status()
                .iter()
                .all(|job| !job.running && !job.told)
    }

    /// Whether a run of this sync has ended.
    pub fn has_run(&self, sync: &str) -> bool {
        let jobs = self.scheduler.status();
        jobs.iter()
            .any(|job| job.name == sync && job.last.is_some())
    }

    /// Another configuration holds from now on. What runs goes on with the one that it began with.
    pub(crate) fn set_host(&self, host: Arc<Host>) {
        *self.host.write() = host;
    }

    /// Where notifications are kept.
    pub(crate) fn hook_store(&self) -> Arc<dyn HookStore> {
        self.host().hook_store()
    }
}

/// Hosts that start together must not stay in step: any number that differs between them will do.
fn seed() -> u64 {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    now.as_nanos() as u64 ^ u64::from(std::process::id())
}
