//! `samspel-bench`, run as `cargo xtask bench`.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use samspel_bench::error::BenchError;
use samspel_bench::hooks;
use samspel_bench::idle;
use samspel_bench::measure::{self, Wanted};
use samspel_bench::programs::Programs;
use samspel_bench::report::FloorReport;
use samspel_bench::soak;
use serde::Serialize;

/// Measures Samspel.
///
/// `cargo xtask bench --release ...` measures programs that are built in cargo's release profile instead of dev.
///
/// Exit codes: 0 measured; 1 a leg failed, or the two legs left different contents at the vendors; 2 wrong usage.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask bench",
    bin_name = "cargo xtask bench",
    max_term_width = 100
)]
struct Cli {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// A first sync by a bare client that makes only the API calls it needs, then by Samspel
    ///
    /// Both are run without latency and with 50 ms per request. `ratio` and `ratio_50ms` are Samspel's time by the bare
    /// client's.
    Floor(Measured),
    /// A first sync by Samspel alone, for its peak of memory
    Memory(Measured),
    /// A comparison of both sides (`samspel sync verify`) after a first sync, for its peak of memory
    Verify(Measured),
    /// From a notification to the write on the other side, while so many come in a second
    ///
    /// People edit records in simulated vendors that send webhooks; `samspel serve` takes them, with the vendors' rate
    /// limits on. Exit code 1 if an edit does not reach the other side.
    Hooks(HookArgs),
    /// What many syncs cost that have nothing to do: computing time and memory of `samspel serve`
    Idle(IdleArgs),
    /// Everything at once: people, faults, swaps of connectors, kills of the host
    ///
    /// People edit, come and opt out in simulated vendors that send webhooks; requests fail at random; connectors are
    /// swapped; the host is killed (SIGKILL) and started again. In the end both sides are compared with each other and
    /// with what people did. Exit code 1 if anything is wrong, or a run failed.
    Soak(SoakArgs),
}

#[derive(Debug, Clone, Copy, Args)]
struct IdleArgs {
    /// Syncs
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(10..=10_000))]
    syncs: u32,
    /// Watch them for so many seconds
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Print one JSON object, last, on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, Args)]
struct SoakArgs {
    /// For so many minutes
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    minutes: u32,
    /// Changes a second
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rate: u32,
    /// Syncs, each between two accounts of its own
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
    syncs: u32,
    /// Swaps of connectors a minute
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(0..=60))]
    swaps: u32,
    /// Bad versions of a connector a minute, which the host has to go back from
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=2))]
    bad_versions: u32,
    /// Kills of the host a minute
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..=6))]
    kills: u32,
    /// The share of requests that fail or are slow, in percent
    #[arg(long, default_value_t = 2.0)]
    faults: f64,
    /// Print one JSON object, last, on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, Args)]
struct HookArgs {
    /// Edits a second
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rate: u32,
    /// For so many seconds
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Accounts, half of them CRMs; 2 with --one-way means one account that tells and one that is written to
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(2..=100))]
    accounts: u32,
    /// People edit in the CRMs only, not in both vendors by turns
    #[arg(long)]
    one_way: bool,
    /// Contacts of each CRM
    #[arg(long, default_value_t = 300)]
    contacts: u64,
    /// Print one JSON object, last, on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, Args)]
struct Measured {
    /// Contacts in HubSpot; about one in five is in Mailchimp too, and 2 % more are only there
    #[arg(long, default_value_t = 10_000)]
    contacts: u64,
    /// Seed of the test people
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Run each leg so often and tell the fastest; for a machine with other work to do
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Print one JSON object, last, on standard output
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli.what).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(what: &What) -> Result<ExitCode, BenchError> {
    let programs = Programs::find()?;
    match what {
        What::Floor(args) => {
            let report = measure::floor(&programs, args.wanted()).await?;
            tell(args.json, &report, |out| report.write(out))?;
            Ok(verdict(&report))
        }
        What::Memory(args) => {
            let report = measure::memory(&programs, args.wanted()).await?;
            tell(args.json, &report, |out| report.write(out))?;
            Ok(ExitCode::SUCCESS)
        }
        What::Verify(args) => {
            let report = measure::verify(&programs, args.wanted()).await?;
            tell(args.json, &report, |out| report.write(out))?;
            Ok(ExitCode::SUCCESS)
        }
        What::Hooks(args) => notifications(&programs, args).await,
        What::Idle(args) => {
            let wanted = idle::Wanted {
                syncs: usize::try_from(args.syncs).unwrap_or(1),
                seconds: args.seconds,
            };
            let report = idle::measure(&programs.samspel, wanted).await?;
            tell(args.json, &report, |out| report.write(out))?;
            Ok(ExitCode::SUCCESS)
        }
        What::Soak(args) => soaked(&programs, args).await,
    }
}

impl Measured {
    fn wanted(&self) -> Wanted {
        Wanted {
            contacts: self.contacts,
            seed: self.seed,
            rounds: self.rounds,
        }
    }
}

async fn notifications(programs: &Programs, args: &HookArgs) -> Result<ExitCode, BenchError> {
    let wanted = hooks::Wanted {
        rate: args.rate,
        seconds: args.seconds,
        pairs: usize::try_from(args.accounts / 2).unwrap_or(1),
        one_way: args.one_way,
        contacts: args.contacts,
    };
    let report = hooks::measure(&programs.samspel, wanted).await?;
    tell(args.json, &report, |out| report.write(out))?;
    Ok(if report.missing == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn soaked(programs: &Programs, args: &SoakArgs) -> Result<ExitCode, BenchError> {
    let wanted = soak::Wanted {
        minutes: args.minutes,
        rate: args.rate,
        syncs: usize::try_from(args.syncs).unwrap_or(1),
        swaps: args.swaps,
        bad_versions: args.bad_versions,
        kills: args.kills,
        faults: (args.faults / 100.0).clamp(0.0, 1.0),
    };
    let report = soak::run(&programs.samspel, wanted).await?;
    tell(args.json, &report, |out| report.write(out))?;
    Ok(if report.holds() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn verdict(report: &FloorReport) -> ExitCode {
    if report.same_state {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The table, and with `--json` the object as the only thing on standard output.
fn tell(
    json: bool,
    report: &impl Serialize,
    table: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), BenchError> {
    let told = if json {
        table(&mut io::stderr()).and_then(|()| {
            let text = serde_json::to_string(report)?;
            writeln!(io::stdout(), "{text}")
        })
    } else {
        table(&mut io::stdout())
    };
    told.map_err(|source| BenchError::System {
        action: "print the report".to_owned(),
        source,
    })
}
