//! `samspel serve`: all syncs on their intervals, until told to stop.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use samspel_model::Failure;
use samspel_scheduler::{Job, Options, Pace, RunEnd, Runner, Scheduler};
use samspel_sync::{Confirmation, RunOptions, Silent, SyncError};
use serde_json::json;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tracing::{info, info_span};

use crate::args::ServeArgs;
use crate::exit::CliError;
use crate::output::Output;
use samspel_installation::Host;
use samspel_installation::{Kind, config};

/// Serves until `stop` is cancelled.
pub async fn run(
    host: Arc<Host>,
    args: &ServeArgs,
    output: Output,
    stop: CancellationToken,
) -> Result<(), CliError> {
    let jobs = jobs(&host)?;
    if jobs.is_empty() {
        return Err(CliError::new(Kind::Config, "there is no sync to run")
            .remedy("add one as `[syncs.NAME]`"));
    }
    let scheduler = Scheduler::new(
        host.shared_clock(),
        Options {
            concurrent: usize::try_from(host.config().host.concurrent_syncs).unwrap_or(usize::MAX),
            pace: Pace::default(),
            drain: Duration::from_secs(args.drain),
            seed: seed(),
        },
    );
    let names: Vec<String> = jobs.iter().map(|job| job.name.clone()).collect();
    info!(
        syncs = names.join(", "),
        "serving; SIGINT or SIGTERM ends it"
    );
    let drained = scheduler.run(jobs, stop).await;
    info!("stopped");
    output.result(
        &json!({ "syncs": names, "cut_off": drained.cut_off }),
        |out| {
            if drained.cut_off.is_empty() {
                writeln!(out, "stopped; nothing is left half done")
            } else {
                writeln!(
                    out,
                    "stopped; runs of {} were cut off, and their next runs recover them",
                    drained.cut_off.join(", ")
                )
            }
        },
    )
}

fn jobs(host: &Arc<Host>) -> Result<Vec<Job>, CliError> {
    host.config()
        .syncs
        .iter()
        .map(|(name, spec)| {
            Ok(Job {
                name: name.clone(),
                interval: config::duration(&spec.interval).map_err(|why| {
                    CliError::new(Kind::Config, format!("syncs.{name}.interval: {why}"))
                })?,
                runner: Arc::new(SyncRunner {
                    host: Arc::clone(host),
                    name: name.clone(),
                }),
            })
        })
        .collect()
}

/// Hosts that start together must not stay in step: any number that differs between them will do.
fn seed() -> u64 {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    now.as_nanos() as u64 ^ u64::from(std::process::id())
}

/// A sync of the configuration. Its accounts are opened by the run that needs them, so that a connector that cannot be
/// loaded or a credential that is missing is a failure of this sync, retried, and not of the whole program.
struct SyncRunner {
    host: Arc<Host>,
    name: String,
}

#[async_trait]
impl Runner for SyncRunner {
    async fn run(&self, stop: CancellationToken) -> RunEnd {
        let (host, name) = (Arc::clone(&self.host), self.name.clone());
        let runtime = Handle::current();
        // A thread of its own: what one sync computes (planning, normalising) holds up no other.
        let run = tokio::task::spawn_blocking(move || {
            let _span = info_span!("serve", sync = name).entered();
            runtime.block_on(once(&host, &name, stop))
        });
        match run.await {
            Ok(end) => end,
            Err(error) => RunEnd::Failed {
                why: error.to_string(),
                retry_after: None,
            },
        }
    }
}

async fn once(host: &Host, name: &str, stop: CancellationToken) -> RunEnd {
    let sync = match host.sync(name).await {
        Ok(sync) => sync,
        Err(error) => {
            return RunEnd::Failed {
                why: error.to_string(),
                retry_after: None,
            };
        }
    };
    let options = RunOptions::new(Confirmation::Refuse);
    match sync.run(options, &Silent, stop).await {
        Ok(report) => {
            info!(
                run = report.run,
                read = report.read.sum(),
                writes = report.writes,
                conflicts = report.conflicts,
                parked = report.parked,
                pending = report.pending,
                "synced"
            );
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
        | SyncError::Store(samspel_model::StoreError::Held { .. }) => {
            RunEnd::Skipped(error.to_string())
        }
        _ => RunEnd::Failed {
            why: error.to_string(),
            retry_after,
        },
    }
}
