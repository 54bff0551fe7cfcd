//! What many syncs cost that have nothing to do.

use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use reqwest::Client;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::BenchError;
use crate::stage::{Further, Scene, Stage};
use crate::usage::Usage;
use crate::wire::Marks;

/// Pairs of accounts; the syncs are between them by turns.
const ACCOUNTS: usize = 10;
/// Contacts of each pair.
const CONTACTS: u64 = 10;
/// First runs at the same time.
const AT_ONCE: usize = 8;
/// After the last first run everything comes to rest within this time.
const REST: Duration = Duration::from_secs(5);
/// A run that finds its sync held is asked for again this often.
const ATTEMPTS: usize = 100;
const PAUSE: Duration = Duration::from_millis(100);

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Syncs.
    pub syncs: usize,
    /// How long they are watched doing nothing.
    pub seconds: u32,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Syncs.
    pub syncs: usize,
    /// How long they were watched.
    pub seconds: f64,
    /// Computing time, in percent of one processor.
    pub cpu_percent: f64,
    /// Memory at the end, in MB.
    pub rss_mb: f64,
}

impl Report {
    /// The report for people.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "{} syncs with nothing to do, watched for {:.0} s: {:.2} % of a processor, {:.0} MB",
            self.syncs, self.seconds, self.cpu_percent, self.rss_mb
        )
    }
}

/// Measures.
///
/// # Errors
/// Samspel or a vendor cannot be used.
pub async fn measure(samspel: &Path, wanted: Wanted) -> Result<Report, BenchError> {
    let scene = Scene {
        pairs: ACCOUNTS,
        contacts: CONTACTS,
        interval: "24h",
        installed: false,
        idle: wanted.syncs.saturating_sub(ACCOUNTS),
        further: Further::default(),
    };
    let stage = Stage::set(samspel, scene, &Marks::default()).await?;
    let line = ["token", "create", "idle", "--role", "operator", "--json"];
    let Token { token } = stage.program().json(&line).await?;
    let client = Client::builder().no_proxy().build()?;
    let first_runs = (0..scene.idle).map(|number| first_run(&client, &stage, &token, number));
    let mut first_runs = futures::stream::iter(first_runs).buffer_unordered(AT_ONCE);
    let mut done = 0;
    while let Some(ran) = first_runs.next().await {
        ran?;
        done += 1;
        if done % 100 == 0 {
            eprintln!("idle: {done} of {} first runs", scene.idle);
        }
    }
    drop(first_runs);
    tokio::time::sleep(REST).await;
    let usage = || stage.process().and_then(Usage::of).unwrap_or_default();
    let (before, began) = (usage(), Instant::now());
    tokio::time::sleep(Duration::from_secs(wanted.seconds.into())).await;
    let (after, seconds) = (usage(), began.elapsed().as_secs_f64());
    stage.end().await?;
    Ok(Report {
        syncs: wanted.syncs,
        seconds,
        cpu_percent: (after.cpu_seconds - before.cpu_seconds) / seconds * 100.0,
        rss_mb: after.rss_mb,
    })
}

#[derive(Deserialize)]
struct Token {
    token: String,
}

async fn first_run(
    client: &Client,
    stage: &Stage,
    token: &str,
    number: usize,
) -> Result<(), BenchError> {
    let line = format!("/api/v1/syncs/idle-{number}/run");
    let mut said = Value::Null;
    for _ in 0..ATTEMPTS {
        let asked = client
            .post(format!("{}{line}", stage.url))
            .bearer_auth(token)
            .json(&json!({ "yes": true }));
        let answer = asked.send().await?;
        if answer.status().is_success() {
            return Ok(());
        }
        said = answer.json().await?;
        if said["code"] != "held" {
            break;
        }
        // The scheduled first run, which finds that nobody has agreed to it.
        tokio::time::sleep(PAUSE).await;
    }
    Err(BenchError::Answer {
        what: line,
        said: said.to_string(),
    })
}
