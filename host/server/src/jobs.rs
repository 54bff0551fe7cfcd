//! A sync of the configuration, as the scheduler sees it.

use std::sync::Arc;

use async_trait::async_trait;
use samspel_installation::{Error, Host, Kind, config};
use samspel_model::{Failure, StoreError};
use samspel_scheduler::{Job, Reason, RunEnd, Runner};
use samspel_sync::{Confirmation, RunOptions, Silent, SyncError};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, info_span};

use crate::service::Service;

/// The jobs of a configuration.
///
/// # Errors
/// An interval that is no time.
pub(crate) fn of(service: &Arc<Service>, host: &Arc<Host>) -> Result<Vec<Job>, Error> {
    host.config()
        .syncs
        .iter()
        .map(|(name, spec)| {
            Ok(Job {
                name: name.clone(),
                interval: config::duration(&spec.interval).map_err(|why| {
                    Error::new(Kind::Config, format!("syncs.{name}.interval: {why}"))
                })?,
                accounts: vec![spec.a.account.clone(), spec.b.account.clone()],
                runner: Arc::new(SyncRunner {
                    service: Arc::clone(service),
                    host: Arc::clone(host),
                    name: name.clone(),
                }),
            })
        })
        .collect()
}

/// Its accounts are opened by the run that needs them, so that a connector that cannot be loaded or a credential that is
/// missing is a failure of this sync, retried, and not of the whole program.
struct SyncRunner {
    service: Arc<Service>,
    host: Arc<Host>,
    name: String,
}

#[async_trait]
impl Runner for SyncRunner {
    async fn run(&self, reason: Reason, stop: CancellationToken) -> RunEnd {
        let (host, name) = (Arc::clone(&self.host), self.name.clone());
        let runtime = Handle::current();
        // A thread of its own: what one sync computes (planning, normalising) holds up no other.
        let run = tokio::task::spawn_blocking(move || {
            let _span = info_span!("serve", sync = name).entered();
            runtime.block_on(once(&host, &name, reason, stop))
        });
        let end = match run.await {
            Ok(end) => end,
            Err(error) => RunEnd::Failed {
                why: error.to_string(),
                retry_after: None,
            },
        };
        self.service.metrics.ran(&self.name, reason, &end);
        end
    }
}

async fn once(host: &Host, name: &str, reason: Reason, stop: CancellationToken) -> RunEnd {
    let sync = match host.sync(name).await {
        Ok(sync) => sync,
        Err(error) => {
            return RunEnd::Failed {
                why: error.to_string(),
                retry_after: None,
            };
        }
    };
    let options = RunOptions {
        told: reason == Reason::Told,
        ..RunOptions::new(Confirmation::Refuse)
    };
    match sync.run(options, &Silent, stop).await {
        Ok(report) => {
            let (run, read, writes) = (&report.run, report.read.sum(), report.writes);
            match reason {
                Reason::Due => info!(
                    run,
                    read,
                    writes,
                    conflicts = report.conflicts,
                    parked = report.parked,
                    pending = report.pending,
                    "synced"
                ),
                Reason::Told => debug!(run, writes, "synced what was told"),
            }
            RunEnd::Done
        }
        Err(error) => ended(error),
    }
}

fn ended(error: SyncError) -> RunEnd {
    let retry_after = match &error {
        SyncError::Account {
            failure: Failure::Throttled { retry_after },
            ..
        } => *retry_after,
        _ => None,
    };
    match error {
        SyncError::Paused { .. }
        | SyncError::NotConfirmed { .. }
        | SyncError::Stopped { .. }
        | SyncError::Store(StoreError::Held { .. }) => RunEnd::Skipped(error.to_string()),
        _ => RunEnd::Failed {
            why: error.to_string(),
            retry_after,
        },
    }
}
