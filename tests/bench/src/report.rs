//! What was measured, for people and as JSON.

use std::io::{self, Write};

use serde::Serialize;

use crate::floor::Written;
use crate::measure::LATENCY_MS;
use crate::simulators::Requests;

/// The floor and Samspel.
#[derive(Debug, Serialize)]
pub struct FloorReport {
    /// Contacts in HubSpot before the sync.
    pub contacts: u64,
    /// Seed of the test people.
    pub seed: u64,
    /// How often each leg was run; the fastest is told.
    pub rounds: u32,
    /// The build profile of everything that was measured, by cargo's name.
    pub profile: String,
    /// The bare client, without latency.
    pub floor: FloorLeg,
    /// Samspel, without latency.
    pub samspel: SamspelLeg,
    /// Samspel's time by the floor's, without latency.
    pub ratio: f64,
    /// The bare client, with 50 ms of latency per request.
    pub floor_50ms: FloorLeg,
    /// Samspel, with 50 ms of latency per request.
    pub samspel_50ms: SamspelLeg,
    /// Samspel's time by the floor's, with latency.
    pub ratio_50ms: f64,
    /// Whether both left both simulators with the same contents, ids and times aside. Otherwise the ratios say nothing.
    pub same_state: bool,
    /// Some records that one of them left otherwise.
    pub differences: Vec<String>,
}

/// A sync by the bare client.
#[derive(Debug, Serialize)]
pub struct FloorLeg {
    /// From the first request to the last answer.
    pub seconds: f64,
    /// Computing time of the simulators meanwhile.
    pub simulators_cpu_seconds: Option<f64>,
    /// Requests to both simulators.
    pub requests: u64,
    /// Requests by method and route.
    pub endpoints: Requests,
    /// What was written, in records.
    pub written: Written,
}

/// A sync by Samspel.
#[derive(Debug, Serialize)]
pub struct SamspelLeg {
    /// From the start of the process to its end, with connectors that were compiled before.
    pub seconds: f64,
    /// The run by itself, as Samspel reports it.
    pub run_seconds: f64,
    /// Computing time of the process.
    pub cpu_seconds: Option<f64>,
    /// Computing time of the simulators meanwhile.
    pub simulators_cpu_seconds: Option<f64>,
    /// The most memory of the process, in MB (10^6 bytes).
    pub peak_rss_mb: Option<f64>,
    /// Requests to both simulators.
    pub requests: u64,
    /// Requests by method and route.
    pub endpoints: Requests,
    /// Records written.
    pub writes: u64,
    /// Records that wait for a person's decision.
    pub conflicts: u64,
    /// Records that failed for good.
    pub parked: u64,
    /// Records that are left for the next run.
    pub pending: u64,
}

/// A comparison of both sides by `samspel sync verify`, after a first sync.
#[derive(Debug, Serialize)]
pub struct VerifyReport {
    /// Contacts in HubSpot before the sync.
    pub contacts: u64,
    /// The build profile, by cargo's name.
    pub profile: String,
    /// Pairs that were compared.
    pub links: u64,
    /// Pairs that differ.
    pub unequal: u64,
    /// From the start of the process to its end.
    pub seconds: f64,
    /// The most memory of the process, in MB (10^6 bytes).
    pub peak_rss_mb: Option<f64>,
    /// The first sync before it.
    pub first: SamspelLeg,
}

impl VerifyReport {
    /// Writes it for people.
    ///
    /// # Errors
    /// `out` cannot be written.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "Comparison of {} pairs (profile {}): {:.1} s, {} differ, peak {:.1} MB; the first sync before it: {:.1} s, peak \
             {:.1} MB",
            self.links,
            self.profile,
            self.seconds,
            self.unequal,
            self.peak_rss_mb.unwrap_or(f64::NAN),
            self.first.seconds,
            self.first.peak_rss_mb.unwrap_or(f64::NAN)
        )
    }
}

/// Samspel's memory.
#[derive(Debug, Serialize)]
pub struct MemoryReport {
    /// Contacts in HubSpot before the sync.
    pub contacts: u64,
    /// The build profile, by cargo's name.
    pub profile: String,
    /// The run.
    pub samspel: SamspelLeg,
}

impl FloorReport {
    /// Writes it for people.
    ///
    /// # Errors
    /// `out` cannot be written.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "First sync of {} contacts (seed {}), everything built in profile {}, connectors compiled before, fastest of \
             {}:",
            self.contacts, self.seed, self.profile, self.rounds
        )?;
        writeln!(
            out,
            "{:22}{:>10}{:>10}{:>8}{:>10}{:>12}{:>11}{:>9}",
            "", "floor s", "samspel s", "ratio", "run s", "samspel cpu", "vendors cpu", "peak MB"
        )?;
        row(out, "no latency", &self.floor, &self.samspel, self.ratio)?;
        let latency = format!("{LATENCY_MS} ms per request");
        row(
            out,
            &latency,
            &self.floor_50ms,
            &self.samspel_50ms,
            self.ratio_50ms,
        )?;
        writeln!(out, "\n{:74}{:>8}{:>9}", "requests", "floor", "samspel")?;
        let mut names: Vec<&String> = self
            .floor
            .endpoints
            .keys()
            .chain(self.samspel.endpoints.keys())
            .collect();
        names.sort();
        names.dedup();
        let number =
            |requests: &Requests, name: &str| requests.get(name).copied().unwrap_or_default();
        for name in names {
            let (floor, samspel) = (
                number(&self.floor.endpoints, name),
                number(&self.samspel.endpoints, name),
            );
            writeln!(out, "{name:74}{floor:>8}{samspel:>9}")?;
        }
        writeln!(
            out,
            "{:74}{:>8}{:>9}",
            "all", self.floor.requests, self.samspel.requests
        )?;
        if self.same_state {
            return writeln!(out, "\nBoth left the same contents at both vendors.");
        }
        writeln!(
            out,
            "\nTHE END STATES DIFFER, so that the ratios say nothing. Some of what differs:"
        )?;
        self.differences
            .iter()
            .try_for_each(|line| writeln!(out, "  {line}"))
    }
}

fn row(
    out: &mut dyn Write,
    name: &str,
    floor: &FloorLeg,
    samspel: &SamspelLeg,
    ratio: f64,
) -> io::Result<()> {
    writeln!(
        out,
        "{name:22}{:>10.2}{:>10.2}{ratio:>8.2}{:>10.2}{:>12}{:>11}{:>9}",
        floor.seconds,
        samspel.seconds,
        samspel.run_seconds,
        known(samspel.cpu_seconds),
        known(samspel.simulators_cpu_seconds),
        known(samspel.peak_rss_mb),
    )
}

/// A number that not every system tells.
fn known(number: Option<f64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| format!("{number:.2}"))
}

impl MemoryReport {
    /// Writes it for people.
    ///
    /// # Errors
    /// `out` cannot be written.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "First sync of {} contacts, profile {}: {:.2} s, at most {} MB of memory",
            self.contacts,
            self.profile,
            self.samspel.seconds,
            known(self.samspel.peak_rss_mb)
        )
    }
}
