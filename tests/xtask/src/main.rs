//! The project's own tasks, run as `cargo xtask`. This program stays small on purpose: it is compiled before anything
//! else, and everything heavy (the host, the simulators, the live harness) is a program that it builds and starts.

mod bench;
mod bins;
mod build;
mod cargo;
mod connectors;
mod demo;
mod error;
mod fuzz;
mod guest;
mod live;
mod simulate;
mod test;
mod workspace;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use error::XtaskError;
use workspace::Workspace;

/// Builds, tests and shows Samspel.
///
/// Exit codes: 0 all well; 1 a step failed (the message says which and why); 2 wrong usage; 75 a package could not be
/// downloaded after three attempts, which is no failure of Samspel. A program that a task ends in (such as
/// `samspel demo`) passes its own exit code on.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Build the connectors (WebAssembly components) and the host programs
    ///
    /// The WebAssembly target is looked for in this order: the one that rustc has, or that rustup can add; Debian's
    /// packages rustc-web, cargo-web and rust-web-src, whose standard library is then compiled once. Components are
    /// put into target/connectors/NAME.wasm.
    Build(build::Args),
    /// Build everything and run all tests: host, documentation examples, connectors
    ///
    /// Tests run with cargo-nextest where it is installed, otherwise with `cargo test`. All groups run even if one
    /// fails; a table with counts ends the output.
    Test(test::Args),
    /// Build everything and run `samspel demo` with the given arguments
    Demo {
        /// Arguments of `samspel demo`, such as `--contacts 2000 --json`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Build everything and measure `samspel` against a bare client, or its memory
    ///
    /// All arguments but `--release` go to `samspel-bench`; `cargo xtask bench --help` shows them.
    #[command(disable_help_flag = true)]
    Bench(bench::Args),
    /// Build everything and let people, faults, swaps of connectors and kills of the host meet for a while
    ///
    /// All arguments go on, such as `--minutes 30 --json`; `cargo xtask soak --help` shows them. The same as
    /// `cargo xtask bench soak`.
    #[command(disable_help_flag = true)]
    Soak(bench::Args),
    /// Build everything, start a real Odoo and a real Ghost, and keep them in step
    ///
    /// The servers are installed into target/live once and listen on the loopback interface only, each start with a
    /// fresh database. All arguments go to the live harness; `cargo xtask live --help` shows them.
    #[command(disable_help_flag = true)]
    Live {
        /// Arguments of the live harness
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Try cursors, mapping expressions and configurations on inputs that break parsers
    ///
    /// cargo-fuzz is installed below target/tools where it is missing; a C++ compiler is needed.
    Fuzz(fuzz::Args),
    /// Play seeds of the deterministic simulation: the whole loop against simulated systems, people and crashes
    ///
    /// All arguments go to the simulation, such as `--seeds 10000 --threads 2`, `--replay SEED --trace`, `--store
    /// sqlite`, or `--mutations`, which takes away each guard of the engine in turn; `cargo xtask simulate --help`
    /// shows them.
    #[command(disable_help_flag = true)]
    Simulate {
        /// Arguments of the simulation
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli.task) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(task: Task) -> Result<ExitCode, XtaskError> {
    let workspace = Workspace::locate()?;
    match task {
        Task::Build(args) => build::run(&workspace, &args).map(|()| ExitCode::SUCCESS),
        Task::Test(args) => test::run(&workspace, &args),
        Task::Demo { args } => demo::run(&workspace, &args),
        Task::Bench(args) => bench::run(&workspace, &args),
        Task::Soak(args) => bench::run(&workspace, &args.of("soak")),
        Task::Live { args } => live::run(&workspace, &args),
        Task::Fuzz(args) => fuzz::run(&workspace, &args).map(|()| ExitCode::SUCCESS),
        Task::Simulate { args } => simulate::run(&workspace, &args),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn demo_passes_hyphenated_arguments_on() {
        let cli = Cli::try_parse_from(["xtask", "demo", "--contacts", "2000", "--json"]);
        assert!(matches!(cli.map(|cli| cli.task), Ok(Task::Demo { args }) if args.len() == 3));
    }

    #[test]
    fn bench_takes_the_profile_and_passes_the_rest_on() {
        let cli = Cli::try_parse_from(["xtask", "bench", "--release", "floor", "--json"])
            .map(|cli| cli.task);
        assert!(matches!(cli, Ok(Task::Bench(_))));
        let cli = Cli::try_parse_from(["xtask", "bench", "--help"]).map(|cli| cli.task);
        assert!(matches!(cli, Ok(Task::Bench(_))));
    }

    #[test]
    fn simulate_passes_everything_on() {
        let cli = Cli::try_parse_from(["xtask", "simulate", "--replay", "7", "--trace"]);
        assert!(matches!(cli.map(|cli| cli.task), Ok(Task::Simulate { args }) if args.len() == 3));
    }

    #[test]
    fn live_leaves_help_to_the_harness() {
        let cli = Cli::try_parse_from(["xtask", "live", "--help"]);
        assert!(matches!(cli.map(|cli| cli.task), Ok(Task::Live { args }) if args == ["--help"]));
    }
}
