//! Everything at once, for as long as somebody likes: people who work in both vendors, a network that fails, connectors
//! that are swapped, a host that is killed. At the end both sides must hold the same, everybody must be there once, and
//! nothing that somebody wrote may be lost without a trace.

mod bad;
mod check;
mod jobs;
mod people;
mod swaps;

use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use samspel_vendors::vendor::Vendor as _;
use serde::Serialize;
use serde_json::json;
use tokio::time::{Interval, MissedTickBehavior};

use crate::error::BenchError;
use crate::stage::{Scene, Stage};
use crate::usage::Usage;
use crate::wire::{self, Marks};
use bad::BadVersions;
use people::People;
use swaps::Swaps;

/// How often a sync runs by itself: what hooks miss while the host is down is found that way.
const INTERVAL: &str = "10s";
/// Contacts of each pair at the start.
const CONTACTS: u64 = 60;
/// From when on a host that was just started is looked at: it has loaded everything by then.
const WARM: Duration = Duration::from_secs(20);
/// After the last change everything must be in step within this time.
const REST: Duration = Duration::from_secs(180);
/// How often the two sides are compared until they are.
const LOOK: Duration = Duration::from_secs(2);
/// How often it is told how far it is.
const TELL: Duration = Duration::from_secs(10);
/// How long a slow answer takes, in milliseconds.
const SLOW_MS: u64 = 500;

/// What is done.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// For so many minutes.
    pub minutes: u32,
    /// Changes a second, by people.
    pub rate: u32,
    /// Syncs, each between two accounts of its own.
    pub syncs: usize,
    /// Swaps of connectors a minute.
    pub swaps: u32,
    /// Bad versions of a connector a minute.
    pub bad_versions: u32,
    /// Kills of the host a minute.
    pub kills: u32,
    /// The share of requests that meet a fault, 0.0 to 1.0.
    pub faults: f64,
}

/// What happened.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Changes by people.
    pub changes: u64,
    /// How often a connector was swapped.
    pub swaps: u64,
    /// How many bad versions of a connector the host went back from by itself.
    pub bad_versions: u64,
    /// How often the host was killed.
    pub kills: u64,
    /// What is wrong.
    pub violations: u64,
    /// Runs that ended with an error.
    pub failed_runs: u64,
    /// From a change to its write on the other side, whether or not the host was there.
    pub hook_to_write_ms: Times,
    /// Memory of the host.
    pub rss_mb: Memory,
    /// Changes that met an earlier one of the same person on its way: one of the two holds.
    pub races: u64,
    /// Records, on both sides.
    pub records: u64,
    /// Writes that were taken and changed nothing.
    pub unchanged_writes: u64,
    /// From the last change until both sides were the same.
    pub settled_s: f64,
    /// Some of what is wrong.
    pub found: Vec<String>,
}

/// How long something takes, in milliseconds.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Times {
    /// The median.
    pub p50: f64,
    /// The 99th percentile.
    pub p99: f64,
}

/// Memory that is resident, in MB: of processes that ran for equally long.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Memory {
    /// The first host, once it was warm.
    pub start: f64,
    /// The last one.
    pub end: f64,
    /// The most that any had.
    pub peak: f64,
}

impl Report {
    /// Whether everything held.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.violations == 0 && self.failed_runs == 0
    }

    /// The report for people.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "{} changes ({} of them in a race), {} swaps, {} bad versions, {} kills; {} records on both sides",
            self.changes, self.races, self.swaps, self.bad_versions, self.kills, self.records
        )?;
        writeln!(
            out,
            "from a change to its write: p50 {:.0} ms, p99 {:.0} ms; in step {:.0} s after the last change",
            self.hook_to_write_ms.p50, self.hook_to_write_ms.p99, self.settled_s
        )?;
        writeln!(
            out,
            "memory {:.0} MB at the start, {:.0} MB at the end, {:.0} MB at most",
            self.rss_mb.start, self.rss_mb.end, self.rss_mb.peak
        )?;
        for found in &self.found {
            writeln!(out, "  - {found}")?;
        }
        writeln!(
            out,
            "{} violations, {} failed runs, {} writes that changed nothing",
            self.violations, self.failed_runs, self.unchanged_writes
        )
    }
}

/// Runs it.
///
/// # Errors
/// Samspel or a vendor cannot be used, or the host ended by itself.
pub async fn run(samspel: &Path, wanted: Wanted) -> Result<Report, BenchError> {
    let marks = Marks::default();
    let scene = Scene {
        pairs: wanted.syncs,
        contacts: CONTACTS,
        interval: INTERVAL,
        installed: true,
        idle: 0,
        further: bad::BRITTLE,
    };
    eprintln!(
        "soak: {} syncs are set up and run for the first time",
        wanted.syncs
    );
    let mut soak = Soak {
        stage: Stage::set(samspel, scene, &marks).await?,
        people: People::default(),
        memory: Memory::default(),
        swaps: Swaps::prepare()?,
        bad: BadVersions::prepare()?,
        kills: 0,
        wanted,
        marks,
    };
    soak.faults(wanted.faults)?;
    soak.work().await?;
    soak.faults(0.0)?;
    soak.conclude().await
}

struct Soak {
    stage: Stage,
    people: People,
    swaps: Swaps,
    bad: BadVersions,
    kills: u64,
    memory: Memory,
    wanted: Wanted,
    marks: Marks,
}

impl Soak {
    /// From now on so many requests fail.
    fn faults(&self, rate: f64) -> Result<(), BenchError> {
        let patch = json!({ "faults": { "rate": rate, "slow_ms": SLOW_MS } });
        for pair in &self.stage.pairs {
            let set = [
                pair.crm.core().settings.merge(&patch).map(drop),
                pair.list.core().settings.merge(&patch).map(drop),
            ];
            for set in set {
                set.map_err(|error| BenchError::Simulators {
                    program: "in this process".into(),
                    why: error.to_string(),
                })?;
            }
        }
        Ok(())
    }

    /// People work, and everything else happens meanwhile.
    async fn work(&mut self) -> Result<(), BenchError> {
        let length = Duration::from_secs(60) * self.wanted.minutes;
        let total = u64::from(self.wanted.rate) * length.as_secs();
        let began = Instant::now();
        let mut changes = tokio::time::interval(Duration::from_secs(1) / self.wanted.rate.max(1));
        changes.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut kills = every(self.wanted.kills);
        let mut swaps = every(self.wanted.swaps);
        let mut bad = every(self.wanted.bad_versions);
        let mut looks = tokio::time::interval(Duration::from_secs(1));
        let (mut told, mut started) = (Instant::now(), Instant::now());
        let mut number = 0;
        while number < total {
            tokio::select! {
                _ = changes.tick() => {
                    self.people.change(&self.stage.pairs, &self.marks, number)?;
                    number += 1;
                }
                () = due(&mut swaps) => self.swaps.begin(self.stage.program()),
                () = due(&mut bad) => self.bad.begin(self.stage.program())?,
                () = due(&mut kills) => {
                    self.remember(started);
                    self.stage.kill().await?;
                    self.kills += 1;
                    started = Instant::now();
                }
                _ = looks.tick() => {
                    self.swaps.jobs().look();
                    self.bad.jobs().look();
                    self.look(started)?;
                }
            }
            if told.elapsed() > TELL {
                told = Instant::now();
                eprintln!(
                    "soak: {} s of {} s, {number} changes, {} swaps, {} bad versions, {} kills",
                    began.elapsed().as_secs(),
                    length.as_secs(),
                    self.swaps.jobs().done(),
                    self.bad.jobs().done(),
                    self.kills
                );
            }
        }
        self.swaps.jobs().finish().await;
        self.bad.jobs().finish().await;
        self.remember(started);
        Ok(())
    }

    /// The host must be there.
    fn look(&mut self, started: Instant) -> Result<(), BenchError> {
        if self.stage.has_ended()? {
            return Err(BenchError::Ended);
        }
        if self.memory.start == 0.0 && started.elapsed() > WARM {
            self.remember(started);
        }
        Ok(())
    }

    /// What the host uses, if it is warm.
    fn remember(&mut self, started: Instant) {
        let Some(usage) = self.stage.process().and_then(Usage::of) else {
            return;
        };
        self.memory.peak = self.memory.peak.max(usage.peak_rss_mb);
        if started.elapsed() > WARM {
            self.memory.end = usage.rss_mb;
            if self.memory.start == 0.0 {
                self.memory.start = usage.rss_mb;
            }
        }
    }

    /// Everything comes to rest, and is looked at.
    async fn conclude(mut self) -> Result<Report, BenchError> {
        eprintln!("soak: everything comes to rest, and both sides are compared");
        let began = Instant::now();
        let program = self.stage.program();
        let mut checked = loop {
            let checked = check::sides(&self.stage.pairs, &self.people)?;
            let waits = !checked.found.is_empty() && began.elapsed() < REST;
            if !waits {
                break checked;
            }
            tokio::time::sleep(LOOK).await;
        };
        let settled = began.elapsed();
        checked
            .found
            .extend(check::lost(&program, &self.people, &checked.sides).await?);
        for jobs in [self.swaps.jobs(), self.bad.jobs()] {
            checked.found.extend_from_slice(jobs.failures());
        }
        checked.found.extend(BadVersions::noticed(&program).await?);
        let syncs = (0..self.stage.pairs.len()).map(|index| format!("sync-{index}"));
        let syncs = syncs.chain([bad::UNTOUCHED.to_owned()]);
        let runs = check::failed_runs(&program, syncs).await?;
        self.remember(Instant::now().checked_sub(WARM * 2).unwrap_or(began));
        if self.stage.has_ended()? {
            return Err(BenchError::Ended);
        }
        let unchanged = self.stage.pairs.iter().map(|pair| {
            let of = |report: samspel_vendors::stats::StatsReport| report.writes.unchanged;
            of(pair.crm.core().stats.report()) + of(pair.list.core().stats.report())
        });
        let unchanged_writes = unchanged.sum();
        let mut times: Vec<f64> = self
            .marks
            .took()
            .iter()
            .map(|time| time.as_secs_f64() * 1_000.0)
            .collect();
        times.sort_by(f64::total_cmp);
        let report = Report {
            changes: self.people.changes(),
            swaps: self.swaps.jobs().done(),
            bad_versions: self.bad.jobs().done(),
            kills: self.kills,
            violations: checked.found.len() as u64,
            failed_runs: runs.len() as u64,
            hook_to_write_ms: Times {
                p50: wire::share(&times, 0.5),
                p99: wire::share(&times, 0.99),
            },
            rss_mb: self.memory,
            races: self.people.races(),
            records: checked.records,
            unchanged_writes,
            settled_s: settled.as_secs_f64(),
            found: checked.found.into_iter().chain(runs).take(20).collect(),
        };
        self.stage.end().await?;
        Ok(report)
    }
}

/// So often a minute, first after half of one such time. `None`: never.
fn every(a_minute: u32) -> Option<Interval> {
    let period = Duration::from_secs(60).checked_div(a_minute)?;
    Some(tokio::time::interval_at(
        tokio::time::Instant::now() + period / 2,
        period,
    ))
}

async fn due(interval: &mut Option<Interval>) {
    match interval {
        Some(interval) => {
            interval.tick().await;
        }
        None => std::future::pending().await,
    }
}
