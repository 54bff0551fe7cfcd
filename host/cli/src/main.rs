//! The `samspel` program.

mod args;
mod commands;
mod config;
mod exit;
mod logging;
mod output;

use std::process::ExitCode;

use clap::Parser;
use indicatif::MultiProgress;

use args::{Cli, Command};
use exit::{CliError, Exit};
use output::Output;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let output = Output::new(cli.global.json);
    let exit = match run(cli, output) {
        Ok(()) => Exit::Ok,
        Err(error) => {
            output.error(&error);
            error.exit()
        }
    };
    ExitCode::from(exit as u8)
}

/// What clap has to say: help and version on stdout, mistakes on stderr, and an object for programs.
fn usage(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        // A reader that went away is no failure.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let json = std::env::args_os().any(|argument| argument == "--json");
    if json {
        let message = error.render().to_string();
        Output::new(true).error(&CliError::new(Exit::Usage, message.trim()));
    } else {
        let _ = error.print();
    }
    ExitCode::from(Exit::Usage as u8)
}

fn run(cli: Cli, output: Output) -> Result<(), CliError> {
    let bars = MultiProgress::new();
    logging::init(cli.global.log_format, "warn", bars.clone())
        .map_err(|why| CliError::new(Exit::Usage, why))?;
    let file = cli.global.config.as_path();
    match &cli.command {
        Command::Init(args) => commands::init::run(args, file, output),
        Command::Config(command) => commands::config::run(command, file, output),
        Command::Completions { shell } => commands::completions::run(*shell, output),
        _ => Err(CliError::new(Exit::Failure, "not yet")),
    }
}
