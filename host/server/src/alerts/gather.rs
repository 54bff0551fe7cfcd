//! What needs a person right now.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use samspel_installation::alerts::Alert;
use samspel_installation::{Error, Host, config};
use samspel_scheduler::RunEnd;

use crate::service::Service;

/// A sync that runs seldom is late only after so many of its intervals.
const INTERVALS: u32 = 2;

/// What a sync's valves hold is read again after each of its runs, while they hold something, and after so long:
/// another process may have run it.
const FRESH: SignedDuration = SignedDuration::from_mins(10);

/// When each sync last ended a run well, as far as this process has seen, and what its valves held then.
pub(super) struct Progress {
    began: Timestamp,
    well: BTreeMap<String, Timestamp>,
    held: BTreeMap<String, Held>,
}

/// What the valves of a sync hold.
#[derive(Clone, Copy)]
struct Held {
    number: u64,
    /// When that was read.
    read: Timestamp,
    /// The last run before that.
    ran: Option<Timestamp>,
}

impl Progress {
    pub fn new(now: Timestamp) -> Self {
        Self {
            began: now,
            well: BTreeMap::new(),
            held: BTreeMap::new(),
        }
    }
}

/// What that something is over is called.
pub(super) fn over(kind: &str) -> &'static str {
    match kind {
        "no-progress" => "it made no progress",
        "needs-authorisation" => "a credential was refused",
        "holds" => "changes were held",
        "rolled-back" => "a connector was rolled back",
        _ => "something needed a person",
    }
}

/// Everything that needs a person.
pub(super) async fn gather(
    service: &Service,
    host: &Host,
    progress: &mut Progress,
    now: Timestamp,
) -> Result<Vec<Alert>, Error> {
    let mut found = Vec::new();
    no_progress(service, host, progress, now, &mut found).await?;
    for refused in host.refused().await? {
        found.push(Alert {
            kind: "needs-authorisation".to_owned(),
            subject: format!("{}.{}", refused.account, refused.credential),
            since: refused.since,
            over: false,
            what: format!("the remote refuses the credential: {}", refused.why),
            remedy: format!("`samspel account authorise {}`", refused.account),
        });
    }
    holds(service, host, progress, now, &mut found).await?;
    rolled_back(host, now, &mut found).await?;
    Ok(found)
}

async fn holds(
    service: &Service,
    host: &Host,
    progress: &mut Progress,
    now: Timestamp,
    found: &mut Vec<Alert>,
) -> Result<(), Error> {
    for job in service.scheduler.status() {
        let ran = job.last.map(|(at, _)| at);
        let known = progress.held.get(&job.name).copied();
        let known = known.filter(|known| {
            known.number == 0 && known.ran == ran && now.duration_since(known.read) < FRESH
        });
        let holds = match known {
            Some(known) => known.number,
            None => host.store().counts(&job.name).await?.holds,
        };
        if known.is_none() {
            let held = Held {
                number: holds,
                read: now,
                ran,
            };
            progress.held.insert(job.name.clone(), held);
        }
        if holds > 0 {
            found.push(Alert {
                kind: "holds".to_owned(),
                what: format!("the safety valves hold {holds} changes"),
                remedy: format!(
                    "`samspel holds list {}`, then approve or reject them",
                    job.name
                ),
                subject: job.name,
                since: now,
                over: false,
            });
        }
    }
    Ok(())
}

async fn no_progress(
    service: &Service,
    host: &Host,
    progress: &mut Progress,
    now: Timestamp,
    found: &mut Vec<Alert>,
) -> Result<(), Error> {
    let allowed = config::duration(&host.config().alerts.no_progress).unwrap_or(Duration::MAX);
    for job in service.scheduler.status() {
        if let Some((at, RunEnd::Done | RunEnd::TurnOver | RunEnd::Busy(_))) = &job.last {
            progress.well.insert(job.name.clone(), *at);
        }
        let Ok(spec) = host.spec(&job.name) else {
            continue;
        };
        let interval = config::duration(&spec.interval).unwrap_or_default();
        let allowed = allowed.max(interval.saturating_mul(INTERVALS));
        let allowed = SignedDuration::try_from(allowed).unwrap_or(SignedDuration::MAX);
        let well = progress.well.get(&job.name).copied();
        let since = well.unwrap_or(progress.began);
        if now.duration_since(since) <= allowed {
            continue;
        }
        // Somebody decided that it does not run.
        if host.store().state(&job.name).await?.paused.is_some() {
            continue;
        }
        let why = match &job.last {
            Some((_, RunEnd::Failed { why, .. } | RunEnd::Skipped(why))) => format!(": {why}"),
            _ => String::new(),
        };
        found.push(Alert {
            kind: "no-progress".to_owned(),
            subject: job.name.clone(),
            since,
            over: false,
            what: format!("no run has ended well{why}"),
            remedy: format!("`samspel sync status {}` and `samspel doctor`", job.name),
        });
    }
    Ok(())
}

/// Accounts that a connector's revision was no good for, until another one is activated.
async fn rolled_back(host: &Host, now: Timestamp, found: &mut Vec<Alert>) -> Result<(), Error> {
    for installed in host.registry().all_installed().await? {
        for (account, kept) in &installed.kept {
            found.push(Alert {
                kind: "rolled-back".to_owned(),
                subject: format!("{}/{account}", installed.name),
                since: now,
                over: false,
                what: format!(
                    "the connector's new version was no good for the account, which went back to {kept:.12}"
                ),
                remedy: format!("`samspel connector history {}`", installed.name),
            });
        }
    }
    Ok(())
}
