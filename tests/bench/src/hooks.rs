//! From a notification to the write on the other side.
//!
//! Pairs of simulated vendors, each kept in step by one sync of one `samspel serve`. People edit records in the
//! vendors, so many a second; the vendors send their webhooks; Samspel fetches the record and writes the other side.
//! Every edit carries a value of its own, and a wire between Samspel and each vendor notes when that value comes by.
//! The time of an edit is from before it is made until then, so that what the vendors take to tell of it counts against
//! Samspel.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::json;
use tokio::time::MissedTickBehavior;

use crate::error::BenchError;
use crate::stage::{Further, Scene, Stage};
use crate::wire::{self, Marks};

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Edits a second.
    pub rate: u32,
    /// For so many seconds.
    pub seconds: u32,
    /// Pairs of vendors, and syncs.
    pub pairs: usize,
    /// Edits are made in the CRMs alone; otherwise in both vendors by turns.
    pub one_way: bool,
    /// Contacts of each pair.
    pub contacts: u64,
}

/// Edits that were not seen on the other side are waited for so long.
const PATIENCE: Duration = Duration::from_secs(20);

/// What was measured.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Edits, each of which led to a notification.
    pub hooks: u64,
    /// Edits a second.
    pub rate: u32,
    /// Accounts that they were spread over.
    pub accounts: usize,
    /// From an edit to its write on the other side, in milliseconds: the median.
    pub p50_ms: f64,
    /// The 99th percentile.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
    /// Edits that did not reach the other side.
    pub missing: u64,
    /// Requests of the vendors' APIs for each edit.
    pub requests_per_hook: f64,
}

impl Report {
    /// The report for people.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "{} notifications at {} a second, over {} accounts",
            self.hooks, self.rate, self.accounts
        )?;
        writeln!(
            out,
            "from an edit to its write on the other side: p50 {:.0} ms, p99 {:.0} ms, longest {:.0} ms",
            self.p50_ms, self.p99_ms, self.max_ms
        )?;
        writeln!(
            out,
            "{:.1} requests for each; {} did not reach the other side",
            self.requests_per_hook, self.missing
        )
    }
}

/// Measures.
///
/// # Errors
/// Samspel or a vendor cannot be used.
pub async fn measure(samspel: &Path, wanted: Wanted) -> Result<Report, BenchError> {
    let marks = Marks::default();
    let scene = Scene {
        pairs: wanted.pairs,
        contacts: wanted.contacts,
        interval: "1h",
        installed: false,
        idle: 0,
        further: Further::default(),
    };
    let stage = Stage::set(samspel, scene, &marks).await?;
    let mut edits = Edits::default();
    let total = u64::from(wanted.rate) * u64::from(wanted.seconds);
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / wanted.rate.max(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    marks.forget_requests();
    for number in 0..total {
        ticks.tick().await;
        edits.make(&stage, &marks, wanted, number)?;
    }
    let waited = marks.wait_for(total, PATIENCE).await;
    let requests = marks.requests();
    stage.end().await?;
    let mut times: Vec<f64> = waited
        .iter()
        .map(|time| time.as_secs_f64() * 1_000.0)
        .collect();
    times.sort_by(f64::total_cmp);
    let at = |share| wire::share(&times, share);
    Ok(Report {
        hooks: total,
        rate: wanted.rate,
        accounts: wanted.pairs * 2,
        p50_ms: at(0.5),
        p99_ms: at(0.99),
        max_ms: at(1.0),
        missing: total - times.len() as u64,
        requests_per_hook: requests as f64 / total.max(1) as f64,
    })
}

/// Who was edited last, by pair: people follow one another, so that nobody is edited twice at the same time.
#[derive(Default)]
struct Edits(BTreeMap<usize, usize>);

impl Edits {
    fn make(
        &mut self,
        stage: &Stage,
        marks: &Marks,
        wanted: Wanted,
        number: u64,
    ) -> Result<(), BenchError> {
        let pairs = stage.pairs.len() as u64;
        let index = usize::try_from(number % pairs).unwrap_or_default();
        let in_crm = wanted.one_way || (number / pairs).is_multiple_of(2);
        let pair = &stage.pairs[index];
        let next = self.0.entry(index).or_default();
        let email = &pair.people[*next % pair.people.len()];
        *next += 1;
        let value = wire::value(number);
        marks.begin(
            number,
            Instant::now(),
            if in_crm {
                pair.list_wire
            } else {
                pair.crm_wire
            },
        );
        if in_crm {
            pair.in_crm(
                json!({ "act": "edit", "contact": email, "properties": { "firstname": value } }),
            )
        } else {
            pair.in_list(
                json!({ "act": "edit", "member": email, "merge_fields": { "FNAME": value } }),
            )
        }
    }
}
