//! The `samspel` program.

mod allocator;
mod args;
mod commands;
mod exit;
mod logging;
mod output;
mod progress;
mod shutdown;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use indicatif::MultiProgress;
use samspel_installation::{Config, Host, Kind};

use args::{Cli, Command};
use exit::{CliError, Exit};
use output::Output;

/// Threads that run tasks, where there are as many processors. Most of a sync is waiting; planning and the connectors' own
/// computing share the rest.
const WORKERS: usize = 4;

fn main() -> ExitCode {
    allocator::set_up();
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
        Output::new(true).error(&CliError::new(Kind::Usage, message.trim()));
    } else {
        let _ = error.print();
    }
    ExitCode::from(Exit::Usage as u8)
}

fn run(cli: Cli, output: Output) -> Result<(), CliError> {
    let bars = MultiProgress::new();
    // Whoever serves watches the log; whoever runs one command watches its result.
    let level = match cli.command {
        Command::Serve(_) => "info",
        _ => "warn",
    };
    logging::init(cli.global.log_format, level, bars.clone())
        .map_err(|why| CliError::new(Kind::Usage, why))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers())
        .enable_all()
        .build()?;
    let done = runtime.block_on(audited(&cli, output, &bars));
    // What still runs was cut off on purpose; the process ends now.
    runtime.shutdown_background();
    done
}

/// Does it, and writes into the audit log what changed something.
async fn audited(cli: &Cli, output: Output, bars: &MultiProgress) -> Result<(), CliError> {
    let done = execute(cli, output, bars).await;
    match commands::audit::Act::of(&cli.command) {
        Some(act) => commands::audit::record(&cli.global.config, act, done).await,
        None => done,
    }
}

/// More threads than processors would only take turns.
fn workers() -> usize {
    std::thread::available_parallelism()
        .map_or(WORKERS, |processors| processors.get().clamp(2, WORKERS))
}

async fn execute(cli: &Cli, output: Output, bars: &MultiProgress) -> Result<(), CliError> {
    let file = cli.global.config.as_path();
    let load = || Config::load(file);
    match &cli.command {
        Command::Init(args) => commands::init::run(args, file, output),
        Command::Config(command) => commands::config::run(command, file, output),
        Command::Completions { shell } => commands::completions::run(*shell, output),
        Command::Doctor => commands::doctor::run(file, output).await,
        Command::Connector(command) => {
            // A connector can be looked at before there is a configuration; one that is wrong is not ignored.
            let config = if file.exists() { Some(load()?) } else { None };
            commands::connector::run(command, config, output).await
        }
        Command::Account(command) => {
            let host = Host::open(load()?, "account").await?;
            commands::account::run(command, &host, output).await
        }
        Command::Sync(command) => {
            let host = Host::open(load()?, "sync").await?;
            let context = commands::sync::Context {
                host: &host,
                output,
                bars,
                stop: shutdown::on_signal()?,
            };
            commands::sync::execute(&context, command).await
        }
        Command::Conflicts(command) => {
            let host = Host::open(load()?, "conflicts").await?;
            commands::queues::conflicts::run(command, &host, output).await
        }
        Command::Holds(command) => {
            let host = Host::open(load()?, "holds").await?;
            commands::queues::holds::run(command, &host, output).await
        }
        Command::Parked(command) => {
            let host = Host::open(load()?, "parked").await?;
            commands::queues::parked::run(command, &host, output).await
        }
        Command::Undo(args) => {
            let host = Host::open(load()?, "undo").await?;
            commands::undo::run(args, &host, output, bars, shutdown::on_signal()?).await
        }
        Command::History(args) => {
            let host = Host::open(load()?, "history").await?;
            commands::history::run(args, &host, output).await
        }
        Command::Erase(args) => {
            let host = Host::open(load()?, "erase").await?;
            commands::erase::run(args, &host, output).await
        }
        Command::Serve(args) => {
            let host = Arc::new(Host::open(load()?, "serve").await?);
            commands::serve::run(host, args, output, shutdown::on_signal()?).await
        }
        Command::Demo(args) => {
            commands::demo::run(args, output, bars, shutdown::on_signal()?).await
        }
        Command::Token(command) => {
            let host = Host::open(load()?, "token").await?;
            commands::token::run(command, &host, output).await
        }
        Command::Hooks(command) => {
            let host = Host::open(load()?, "hooks").await?;
            commands::hooks::run(command, &host, output).await
        }
        Command::Audit(command) => {
            let host = Host::open(load()?, "audit").await?;
            commands::audit::run(command, &host, output).await
        }
        Command::Key(command) => {
            let host = Host::open(load()?, "key").await?;
            commands::key::run(command, &host, output).await
        }
    }
}
