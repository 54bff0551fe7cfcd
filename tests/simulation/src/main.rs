//! `samspel-simulation`: plays seeds, and tells what breaks.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use samspel_simulation::Tier;
use samspel_simulation::batch::{self, Options};
use samspel_simulation::replay::{replay, shrunk};

/// A world is many small values that live for milliseconds: the system's allocator takes a quarter of the time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Plays seeds of the deterministic simulation.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Plays seeds until all are played or something breaks.
    Run {
        /// How many seeds.
        #[arg(long, default_value_t = 1000)]
        seeds: u64,
        /// The first seed.
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// Play this seed only, and tell what happens.
        #[arg(long)]
        replay: Option<u64>,
        /// With `--replay`: print every step.
        #[arg(long)]
        trace: bool,
        /// With `--replay`: tell the whole story, not the shortest that fails.
        #[arg(long)]
        whole: bool,
        /// What is stored in.
        #[arg(long, value_enum, default_value_t = StoreTier::Memory)]
        store: StoreTier,
        /// How many seeds are played at once.
        #[arg(long, default_value_t = 1)]
        threads: usize,
        /// Go on until so many seeds have failed.
        #[arg(long, default_value_t = 1)]
        enough: usize,
        /// Take away each guard of the engine in turn, and play seeds until an invariant breaks.
        #[cfg(feature = "mutations")]
        #[arg(long)]
        mutations: bool,
        /// Do not look at these invariants, so that others are found.
        #[arg(long, value_delimiter = ',')]
        without: Vec<u8>,
        /// End with one JSON object.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum StoreTier {
    Memory,
    Sqlite,
}

impl From<StoreTier> for Tier {
    fn from(tier: StoreTier) -> Self {
        match tier {
            StoreTier::Memory => Self::Memory,
            StoreTier::Sqlite => Self::Sqlite,
        }
    }
}

fn main() -> io::Result<ExitCode> {
    let Command::Run {
        seeds,
        from,
        replay,
        trace,
        whole,
        store,
        threads,
        enough,
        without,
        json,
        #[cfg(feature = "mutations")]
        mutations,
    } = Arguments::parse().command;
    let without = without
        .into_iter()
        .fold(0, |bits, number| bits | 1 << number.min(15));
    #[cfg(feature = "mutations")]
    if mutations {
        return mutate(seeds, from, without, json);
    }
    if let Some(seed) = replay {
        return tell(seed, store.into(), without, trace, whole);
    }
    let bar = ProgressBar::new(seeds).with_style(
        ProgressStyle::with_template("{bar:40} {pos}/{len} seeds, {per_sec}, {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let options = Options {
        seeds,
        from,
        threads,
        tier: store.into(),
        enough,
        without,
    };
    let summary = batch::run(&options, |_| bar.inc(1))?;
    bar.finish_and_clear();
    let mut out = io::stdout().lock();
    for violation in &summary.found {
        writeln!(
            out,
            "seed {}: invariant {} does not hold: {}",
            violation.seed, violation.invariant, violation.what
        )?;
    }
    if let Some(first) = summary.found.first() {
        let told = shrunk(first.seed, store.into(), without)?;
        writeln!(
            out,
            "\nthe shortest story of seed {}:\n\n{}",
            first.seed, told.story
        )?;
        if let Some(violation) = told.violation {
            for line in &violation.tail {
                writeln!(out, "{line}")?;
            }
        }
    }
    if json {
        writeln!(out, "{}", serde_json::to_string(&summary)?)?;
    } else {
        writeln!(
            out,
            "{} seeds, {} violations, {:.0} seeds/s, {} steps (at least {} a seed), failpoints {}/{}, quirks {}/{}",
            summary.seeds,
            summary.violations,
            summary.seeds_per_second,
            summary.steps,
            summary.fewest_steps,
            summary.failpoints.hit,
            summary.failpoints.total,
            summary.quirks.hit,
            summary.quirks.total
        )?;
        for missed in summary
            .failpoints
            .missed
            .iter()
            .chain(&summary.quirks.missed)
        {
            writeln!(out, "not hit: {missed}")?;
        }
    }
    Ok(exit(summary.violations == 0))
}

#[cfg(feature = "mutations")]
fn mutate(seeds: u64, from: u64, without: u16, json: bool) -> io::Result<ExitCode> {
    use samspel_simulation::mutations;

    let all = mutations::run(seeds, from, without, |row| {
        let words = match (&row.seed, &row.invariant, &row.what) {
            (Some(seed), Some(invariant), Some(what)) => {
                format!("found by seed {seed}, invariant {invariant}: {what}")
            }
            _ => format!("not found in {} seeds", row.seeds),
        };
        eprintln!("{:<26} {words}", row.guard);
    })?;
    let mut out = io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string(&all)?)?;
    } else {
        writeln!(out, "{} of {} were found", all.found, all.mutations)?;
    }
    Ok(exit(all.found == all.mutations))
}

fn tell(seed: u64, tier: Tier, without: u16, trace: bool, whole: bool) -> io::Result<ExitCode> {
    let told = if whole {
        replay(seed, tier, without)?
    } else {
        shrunk(seed, tier, without)?
    };
    let mut out = io::stdout().lock();
    writeln!(out, "{}", told.story)?;
    if trace {
        for line in &told.trace {
            writeln!(out, "{line}")?;
        }
    }
    match &told.violation {
        Some(violation) => writeln!(
            out,
            "seed {seed}: invariant {} does not hold: {}",
            violation.invariant, violation.what
        )?,
        None => writeln!(out, "seed {seed}: every invariant holds")?,
    }
    Ok(exit(told.violation.is_none()))
}

fn exit(good: bool) -> ExitCode {
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
