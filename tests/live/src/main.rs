//! The program behind `cargo xtask live`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use samspel_live::sync::{self, Program, SyncReport};
use samspel_live::{Ghost, GhostServer, LiveDirectory, LiveError, Odoo, OdooServer, Run, facts};
use samspel_provision::note;
use serde::Serialize;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

/// Exit code of a run that a signal cut short.
const INTERRUPTED: u8 = 130;

/// Starts a real Odoo and a real Ghost on the loopback interface, each with a fresh database, and keeps them in step.
///
/// Fills both with people, runs the first sync, plays four scenarios (each through the systems' own interfaces),
/// compares both sides, and checks what connectors rely on about the behaviour of the servers.
///
/// Both are installed once, from PyPI, npm and (for PostgreSQL and a compiler, where they are missing) Debian's
/// archive. Everything is stopped at the end, with ctrl-c, and, should this program be killed, by its next start.
///
/// Exit codes: 0 all well; 1 something failed or is not in step; 2 wrong usage; 75 a package could not be downloaded
/// after three attempts, which is no failure of Samspel; 130 interrupted (0 with --servers-only, which ends in no other
/// way).
#[derive(Debug, Parser)]
#[command(name = "cargo xtask live", max_term_width = 100)]
struct Cli {
    /// Where installations and logs are kept
    #[arg(long, env = "SAMSPEL_LIVE_DIRECTORY", default_value = "target/live")]
    directory: PathBuf,
    /// Only start the servers, print one JSON object with URLs and credentials, and keep them until ctrl-c
    #[arg(long)]
    servers_only: bool,
    /// Only check what connectors rely on about the behaviour of the servers
    #[arg(long, conflicts_with = "servers_only")]
    facts_only: bool,
    /// Print one JSON object, last, on standard output
    #[arg(long)]
    json: bool,
    /// The samspel program
    #[arg(
        long,
        env = "SAMSPEL_PROGRAM",
        value_name = "FILE",
        required_unless_present_any = ["servers_only", "facts_only"]
    )]
    samspel: Option<PathBuf>,
    /// The directory of its connectors
    #[arg(
        long,
        env = "SAMSPEL_CONNECTORS",
        value_name = "DIR",
        required_unless_present_any = ["servers_only", "facts_only"]
    )]
    connectors: Option<PathBuf>,
}

impl Cli {
    /// What to sync with; `None` if nothing is to be synced.
    fn program(&self) -> Option<Program> {
        if self.facts_only {
            return None;
        }
        Some(Program {
            executable: self.samspel.clone()?,
            connectors: self.connectors.clone()?,
        })
    }
}

/// What came of it all. The names of the members are a contract: CI reads them.
#[derive(Debug, Serialize)]
struct Report {
    #[serde(flatten)]
    sync: Option<SyncReport>,
    facts: Facts,
}

/// What came of the facts about the servers.
#[derive(Debug, Serialize)]
struct Facts {
    checked: usize,
    /// Those that do not hold, and what was seen instead.
    contradicted: Vec<String>,
}

impl Report {
    fn is_ok(&self) -> bool {
        self.facts.contradicted.is_empty() && self.sync.as_ref().is_none_or(|sync| sync.ok)
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(cli: &Cli) -> Result<ExitCode, LiveError> {
    let live = LiveDirectory::new(&cli.directory)?;
    let (ghost, odoo) = install(&live)?;
    let run = live.begin_run()?;
    note(&format!(
        "logs of the servers are in {}",
        run.directory().display()
    ));
    runtime()?.block_on(async {
        // Installed as the first thing, so that no ctrl-c can come before it and leave servers behind.
        let interrupted = interrupted()?;
        tokio::select! {
            result = act(cli, &ghost, &odoo, &run) => result,
            () = interrupted => Ok(if cli.servers_only {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(INTERRUPTED)
            }),
        }
    })
}

fn install(live: &LiveDirectory) -> Result<(Ghost, Odoo), LiveError> {
    let _lock = live.lock_installations()?;
    Ok((Ghost::install(live)?, Odoo::install(live)?))
}

async fn act(cli: &Cli, ghost: &Ghost, odoo: &Odoo, run: &Run) -> Result<ExitCode, LiveError> {
    let started = Instant::now();
    let (ghost, odoo) = tokio::try_join!(ghost.start(run), odoo.start(run))?;
    note(&format!(
        "Ghost and Odoo are up after {:.1} s",
        started.elapsed().as_secs_f64()
    ));
    if cli.servers_only {
        println(&json!({ "ghost": ghost.access(), "odoo": odoo.access() }).to_string());
        return std::future::pending().await;
    }
    let sync = match cli.program() {
        Some(program) => Some(sync::play(program, &ghost, &odoo, run).await?),
        None => None,
    };
    // The last, because they leave contacts and members behind.
    let facts = check_facts(&ghost, &odoo).await;
    let report = Report { sync, facts };
    let ok = report.is_ok();
    note("");
    note(match (ok, &report.sync) {
        (true, Some(_)) => "Everything is in step.",
        (true, None) => "All facts hold.",
        (false, _) => "SOMETHING IS WRONG, see above.",
    });
    note(&format!("{:.0} s in all", started.elapsed().as_secs_f64()));
    if cli.json {
        println(&json!(report).to_string());
    }
    Ok(if ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Puts the facts to the test and says what came of each.
async fn check_facts(ghost: &GhostServer, odoo: &OdooServer) -> Facts {
    note("");
    note("Facts about the servers");
    let started = Instant::now();
    let findings = facts::check(ghost, odoo).await;
    let checked = findings.len();
    let mut contradicted = Vec::new();
    for finding in findings {
        match finding.contradiction {
            None => note(&format!("holds: {}", finding.fact)),
            Some(seen) => {
                note(&format!("DOES NOT HOLD: {}: {seen}", finding.fact));
                contradicted.push(format!("{}: {seen}", finding.fact));
            }
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    note(&format!(
        "{} of {checked} facts about the servers hold ({seconds:.1} s)",
        checked - contradicted.len()
    ));
    Facts {
        checked,
        contradicted,
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, LiveError> {
    tokio::runtime::Runtime::new().map_err(|source| {
        samspel_provision::ProvisionError::File {
            action: "start",
            path: "a runtime".into(),
            source,
        }
        .into()
    })
}

fn interrupted() -> Result<impl Future<Output = ()>, LiveError> {
    let failed = |source| samspel_provision::ProvisionError::File {
        action: "handle",
        path: "signals".into(),
        source,
    };
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// The result, on standard output.
#[expect(clippy::print_stdout, reason = "this is the program's result")]
fn println(text: &str) {
    println!("{text}");
}
