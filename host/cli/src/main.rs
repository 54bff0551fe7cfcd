//! The `samspel` program.

mod args;
mod client;
mod commands;
mod exit;
mod logging;
mod output;
mod progress;
mod session;
mod shutdown;
mod traces;
mod who;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use indicatif::MultiProgress;
use samspel_installation::{Config, Host, Kind};
use samspel_operations::config::CheckConfig;
use samspel_operations::doctor::Diagnose;

use args::{Cli, Command, ConfigCommand};
use exit::{CliError, Exit};
use output::Output;
use session::Session;
use traces::Traces;

/// Threads that run tasks, where there are as many processors. Most of a sync is waiting; planning and the connectors'
/// own computing share the rest.
const WORKERS: usize = 4;

/// Threads hand pages and batches to each other all the time, and compiling needs much memory for a second. This one is
/// quick about the first and gives back the second, as long as it does not ask for huge pages (`no_thp`); the C
/// library's does either, with many heaps or with one (`tests/README.md`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers())
        .enable_all()
        .build()?;
    let traces = match &cli.command {
        Command::Serve(args) => args.traces.as_ref(),
        _ => None,
    };
    let traces = traces
        .map(|endpoint| Traces::to(endpoint, runtime.handle().clone()))
        .transpose()?;
    logging::init(cli.global.log_format, level, bars.clone(), traces.as_ref())
        .map_err(|why| CliError::new(Kind::Usage, why))?;
    let done = runtime.block_on(execute(&cli, output, &bars));
    drop(traces);
    // What still runs was cut off on purpose; the process ends now.
    runtime.shutdown_background();
    done
}

/// More threads than processors would only take turns.
fn workers() -> usize {
    std::thread::available_parallelism()
        .map_or(WORKERS, |processors| processors.get().clamp(2, WORKERS))
}

async fn execute(cli: &Cli, output: Output, bars: &MultiProgress) -> Result<(), CliError> {
    let global = &cli.global;
    let file = global.config.as_path();
    let open = async |command| Session::open(global, command, output, bars).await;
    match &cli.command {
        Command::Init(args) => commands::init::run(args, file, output),
        Command::Config(ConfigCommand::Schema) => output.raw(&commands::config::schema_text()?),
        Command::Config(ConfigCommand::Check) => {
            let checked = if global.host.is_some() {
                open("config").await?.perform(&CheckConfig {}).await?
            } else {
                samspel_operations::config::check(file)?
            };
            commands::config::tell(&checked, output)
        }
        Command::Completions { shell } => commands::completions::run(*shell, output),
        Command::Doctor => {
            // Also of a configuration that is wrong.
            let found = if global.host.is_some() {
                open("doctor").await?.perform(&Diagnose {}).await?
            } else {
                samspel_operations::doctor::diagnose(file).await
            };
            commands::doctor::tell(&found, output)
        }
        Command::Serve(args) => {
            let host = Arc::new(Host::open(Config::load(file)?, "serve").await?);
            commands::serve::run(host, args, output, shutdown::on_signal()?).await
        }
        Command::Demo(args) => {
            commands::demo::run(args, output, bars, shutdown::on_signal()?).await
        }
        Command::Connector(command) => {
            commands::connector::run(command, global, output, bars).await
        }
        Command::Account(command) => commands::account::run(command, &open("account").await?).await,
        Command::Sync(command) => commands::sync::execute(command, &open("sync").await?).await,
        Command::Conflicts(command) => {
            commands::queues::conflicts::run(command, &open("conflicts").await?).await
        }
        Command::Holds(command) => {
            commands::queues::holds::run(command, &open("holds").await?).await
        }
        Command::Parked(command) => {
            commands::queues::parked::run(command, &open("parked").await?).await
        }
        Command::Undo(args) => commands::undo::run(args, &open("undo").await?).await,
        Command::History(args) => commands::history::run(args, &open("history").await?).await,
        Command::Erase(args) => commands::erase::run(args, &open("erase").await?).await,
        Command::Token(command) => commands::token::run(command, &open("token").await?).await,
        Command::Hooks(command) => commands::hooks::run(command, &open("hooks").await?).await,
        Command::Audit(command) => commands::audit::run(command, &open("audit").await?).await,
        Command::Alerts(command) => commands::alerts::run(command, &open("alerts").await?).await,
        Command::Backup(args) => commands::backup::backup(args, &open("backup").await?).await,
        Command::Restore(args) => commands::backup::put_back(args, file, output).await,
        Command::Key(command) => commands::key::run(command, &open("key").await?).await,
    }
}
