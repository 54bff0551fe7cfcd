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
use tracing::{info, info_span, warn};

use crate::args::ServeArgs;
use crate::exit::CliError;
use crate::output::Output;
use samspel_installation::lifecycle::Watch;
use samspel_installation::{Host, Kind, Lifecycle, config};

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
    let watching = watch(&host, stop.clone());
    let (drained, ()) = futures::future::join(scheduler.run(jobs, stop), watching).await;
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

/// How often a watched directory is looked at.
const LOOK: Duration = Duration::from_secs(2);

/// Installs what is put into the watched directory, if there is one.
async fn watch(host: &Host, stop: CancellationToken) {
    let Some(directory) = &host.config().host.watch else {
        return;
    };
    let directory = host.config().resolve(directory);
    info!(directory = %directory.display(), "watching for connectors");
    let lifecycle = Lifecycle::new(host, host.owner());
    let mut watch = Watch::default();
    loop {
        let looked = async {
            if let Err(error) = lifecycle.watch(&mut watch, &directory).await {
                warn!(directory = %directory.display(), %error, "the watched directory cannot be read");
            }
            tokio::time::sleep(LOOK).await;
        };
        if stop.run_until_cancelled(looked).await.is_none() {
            return;
        }
    }
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
    let (end, rolled_back) = attempt(host, name, stop.clone()).await;
    match end {
        // The connector ended the run, and its accounts are back on the revision that they had before: that one goes on
        // from the last position that was stored.
        RunEnd::Failed { why, .. } if rolled_back && !stop.is_cancelled() => {
            warn!(
                why,
                "the run failed; it goes on with the previous revision of the connector"
            );
            attempt(host, name, stop).await.0
        }
        end => end,
    }
}

/// One run; and whether a connector was rolled back because of it.
async fn attempt(host: &Host, name: &str, stop: CancellationToken) -> (RunEnd, bool) {
    let failed = |why: String| RunEnd::Failed {
        why,
        retry_after: None,
    };
    let opened = match host.open_sync(name).await {
        Ok(opened) => opened,
        Err(error) => return (failed(error.to_string()), false),
    };
    let options = RunOptions::new(Confirmation::Refuse);
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
