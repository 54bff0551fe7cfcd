//! `cargo xtask test`.

mod counts;

use std::ffi::OsString;
use std::io::{IsTerminal, stderr};
use std::process::ExitCode;
use std::time::Instant;

use samspel_provision::{Tool, note, step};

use crate::cargo::cargo;
use crate::error::XtaskError;
use crate::workspace::Workspace;
use crate::{bins, connectors};
use counts::Counts;

/// Which tests to run.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Arguments for cargo-nextest (or `cargo test`) of the host's tests, such as a filter
    #[arg(last = true)]
    runner_args: Vec<OsString>,
}

/// One command that runs tests.
struct Group {
    name: &'static str,
    tool: Tool,
}

/// What came of a group.
struct Outcome {
    name: &'static str,
    passed: bool,
    counts: Counts,
    seconds: f64,
}

/// Builds connectors and host, runs every group of tests, and ends with a table.
pub fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode, XtaskError> {
    connectors::build(workspace)?;
    // Tests start these programs.
    bins::build(workspace, &bins::HOST)?;
    let outcomes = groups(workspace, args)
        .into_iter()
        .map(execute)
        .collect::<Result<Vec<_>, _>>()?;
    Ok(summary(&outcomes))
}

fn groups(workspace: &Workspace, args: &Args) -> Vec<Group> {
    let colour = if stderr().is_terminal() {
        "always"
    } else {
        "never"
    };
    let host = workspace.root().join("Cargo.toml");
    let in_host = |tool: Tool| {
        tool.arg("--manifest-path")
            .arg(&host)
            .env("CARGO_TERM_COLOR", colour)
    };
    let environment = |tool: Tool| tool.env("SAMSPEL_CONNECTORS", workspace.components());
    let runner = if has_nextest() {
        cargo().args(["nextest", "run", "--no-fail-fast", "--no-tests=pass"])
    } else {
        note(
            "cargo-nextest is not installed, tests run with `cargo test` (`cargo install --locked cargo-nextest`)",
        );
        cargo().args(["test", "--no-fail-fast", "--all-targets"])
    };
    vec![
        Group {
            name: "host",
            tool: environment(in_host(runner.arg("--workspace"))).args(&args.runner_args),
        },
        Group {
            name: "documentation examples",
            tool: environment(in_host(cargo().args([
                "test",
                "--doc",
                "--workspace",
                "--no-fail-fast",
            ]))),
        },
        Group {
            name: "connectors, compiled natively",
            tool: cargo()
                .args(["test", "--workspace", "--no-fail-fast", "--manifest-path"])
                .arg(workspace.plugins_manifest())
                .arg("--target-dir")
                .arg(workspace.plugins_manifest().with_file_name("target"))
                .env("CARGO_TERM_COLOR", colour),
        },
    ]
}

fn has_nextest() -> bool {
    cargo().args(["nextest", "--version"]).output().is_ok()
}

fn execute(group: Group) -> Result<Outcome, XtaskError> {
    let started = Instant::now();
    step(&format!("testing: {}", group.name), || {
        let mut counts = Counts::default();
        let status = group.tool.lines(|line| {
            eprintln!("{line}");
            counts.observe(line);
        })?;
        let seconds = started.elapsed().as_secs_f64();
        Ok(Outcome {
            name: group.name,
            passed: status.success(),
            counts,
            seconds,
        })
    })
}

fn summary(outcomes: &[Outcome]) -> ExitCode {
    let width = outcomes
        .iter()
        .map(|outcome| outcome.name.len())
        .max()
        .unwrap_or_default();
    eprintln!();
    let mut total = Counts::default();
    for Outcome {
        name,
        passed,
        counts,
        seconds,
    } in outcomes
    {
        let verdict = if *passed { "ok" } else { "FAILED" };
        eprintln!("{name:width$}  {verdict:6}  {counts}  {seconds:.1} s");
        total += *counts;
    }
    let passed = outcomes.iter().all(|outcome| outcome.passed);
    let verdict = if passed { "ok" } else { "FAILED" };
    eprintln!("{:width$}  {verdict:6}  {total}", "all");
    if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
