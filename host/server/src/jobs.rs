//! A sync of the configuration, as the scheduler sees it.

use std::sync::Arc;

use async_trait::async_trait;
use samspel_installation::{Error, Host, Kind, config};
use samspel_model::{Failure, StoreError};
use samspel_scheduler::{Job, Reason, RunEnd, Runner};
use samspel_sync::{Confirmation, RunOptions, Silent, SyncError};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, info_span, warn};

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

/// Its accounts are opened by the run that needs them, so that a connector that cannot be loaded or a credential that
/// is missing is a failure of this sync, retried, and not of the whole program.
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
    let (end, rolled_back) = attempt(host, name, reason, stop.clone()).await;
    match end {
        // The connector ended the run, and its accounts are back on the revision that they had before: that one goes on
        // from the last position that was stored.
        RunEnd::Failed { why, .. } if rolled_back && !stop.is_cancelled() => {
            warn!(
                why,
                "the run failed; it goes on with the previous revision of the connector"
            );
            attempt(host, name, reason, stop).await.0
        }
        end => end,
    }
}

/// One run; and whether a connector was rolled back because of it.
async fn attempt(
    host: &Host,
    name: &str,
    reason: Reason,
    stop: CancellationToken,
) -> (RunEnd, bool) {
    let opened = match host.open_sync(name).await {
        Ok(opened) => opened,
        Err(error) => {
            let failed = RunEnd::Failed {
                why: error.to_string(),
                retry_after: None,
            };
            return (failed, false);
        }
    };
    let options = RunOptions {
        told: reason == Reason::Told,
        ..RunOptions::new(Confirmation::Refuse)
    };
    let result = opened.sync.run(options, &Silent, stop).await;
    let rolled_back = match host.ran(&opened, result.as_ref().err()).await {
        Ok(back) => !back.is_empty(),
        Err(error) => {
            // What was synced is synced; the next run is counted again.
            warn!(%error, "what became of the run could not be told to the connectors' lifecycle");
            false
        }
    };
    let end = match result {
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
            if report.turn_over {
                RunEnd::TurnOver
            } else {
                RunEnd::Done
            }
        }
        Err(error) => ended(error),
    };
    (end, rolled_back)
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
        SyncError::Store(StoreError::Held { .. }) => RunEnd::Busy(error.to_string()),
        SyncError::Paused { .. } | SyncError::NotConfirmed { .. } | SyncError::Stopped { .. } => {
            RunEnd::Skipped(error.to_string())
        }
        _ => RunEnd::Failed {
            why: error.to_string(),
            retry_after,
        },
    }
}
