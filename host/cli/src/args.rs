//! The command line.

mod access;
mod account;
mod connector;
mod hooks;
mod operate;
mod service;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use samspel_sync::PlanReport;
use url::Url;

use crate::exit::Exit;

pub use access::{AuditCommand, CreateTokenArgs, ListAuditArgs, TokenCommand};
pub use account::{
    AccountCommand, AddAccountArgs, KeyCommand, ReauthoriseArgs, RemoveAccountArgs, SecretArgs,
};
pub use connector::{
    ApproveArgs, ConnectorCommand, ConnectorHistoryArgs, InstallArgs, RollbackArgs, TrustCommand,
    UpgradeArgs,
};
pub use hooks::HooksCommand;
pub use operate::{
    ConflictsCommand, EraseArgs, HistoryArgs, HoldsCommand, ListArgs, ParkedCommand, ResolveArgs,
    Selection, ShowArgs, UndoArgs,
};
pub use service::{AlertsCommand, BackupArgs, RestoreArgs};

/// Keeps two systems in step, through connectors that run in a sandbox.
#[derive(Debug, Parser)]
#[command(name = "samspel", version, after_help = Exit::table(), after_long_help = after_long_help())]
pub struct Cli {
    /// What applies to every command.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

fn after_long_help() -> String {
    format!(
        "Examples:\n  \
         samspel demo                          see it work, with simulated vendors\n  \
         samspel init --template odoo-ghost    write a configuration to start from\n  \
         samspel config check && samspel doctor\n  \
         samspel sync plan contacts            what a run would do\n  \
         samspel sync run contacts --yes       do it\n  \
         samspel serve                         all syncs, on their intervals\n  \
         samspel conflicts list                what needs a decision\n  \
         samspel history ann@example.com       why a record holds what it holds\n  \
         samspel sync status --host https://sync.example.com\n\n{}",
        Exit::table()
    )
}

/// What applies to every command.
#[derive(Debug, Args)]
pub struct Global {
    /// The configuration file.
    #[arg(
        long,
        global = true,
        env = "SAMSPEL_CONFIG",
        default_value = "samspel.toml",
        value_name = "FILE"
    )]
    pub config: PathBuf,
    /// Let a host that runs do it: `https://HOST[:PORT]` of a `samspel serve`. Without it, commands work on the
    /// configuration and the store of this machine.
    #[arg(long, global = true, env = "SAMSPEL_HOST", value_name = "URL")]
    pub host: Option<Url>,
    /// How a host is asked.
    #[command(flatten)]
    pub access: Access,
    /// Print one JSON object, last, on stdout; errors are an object as well.
    #[arg(long, global = true)]
    pub json: bool,
    /// How log lines on stderr look. What is logged is set by RUST_LOG, such as `samspel=debug`.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, value_name = "FORMAT")]
    pub log_format: LogFormat,
}

/// How a host that runs is asked.
#[derive(Debug, Args)]
pub struct Access {
    /// With --host: the file that holds the token. Without it, the environment variable SAMSPEL_TOKEN does.
    // Never an argument: other users of the machine see those.
    #[arg(long, global = true, env = "SAMSPEL_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// With --host: PEM file of certificates to trust besides the system's, for a host with a certificate of your own.
    #[arg(long, global = true, env = "SAMSPEL_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a configuration to start from
    Init(InitArgs),
    /// Look at the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Check everything a sync needs: store, connectors, credentials, clock, disk, remotes
    Doctor,
    /// Look at connectors, install, upgrade and roll back
    #[command(subcommand)]
    Connector(ConnectorCommand),
    /// Look at accounts, add, remove and authorise them
    #[command(subcommand)]
    Account(AccountCommand),
    /// Plan, run and look after one sync
    #[command(subcommand)]
    Sync(SyncCommand),
    /// Look at decisions that are left to a person, and take them
    #[command(subcommand)]
    Conflicts(ConflictsCommand),
    /// Look at what the safety valves hold, approve or reject it
    #[command(subcommand)]
    Holds(HoldsCommand),
    /// Look at records that failed for good, try them again or drop them
    #[command(subcommand)]
    Parked(ParkedCommand),
    /// Take back what a run wrote, where it is still there
    Undo(UndoArgs),
    /// Tell why a record has its values: since when, from where, and who decided
    History(HistoryArgs),
    /// Forget a person in all syncs; what stays is that the address opted out
    Erase(EraseArgs),
    /// Run all syncs on their intervals until told to stop (SIGINT or SIGTERM)
    #[command(
        after_help = "Examples:\n  samspel serve\n  samspel serve --log-format json 2>> samspel.log"
    )]
    Serve(ServeArgs),
    /// See it work: two simulated vendors, a first sync, four scenarios, a comparison
    #[command(
        after_help = "Examples:\n  samspel demo\n  samspel demo --contacts 2000 --json\n  samspel demo --latency-ms 50 --keep ./demo"
    )]
    Demo(DemoArgs),
    /// Print a completion script
    #[command(
        after_help = "Examples:\n  samspel completions bash > ~/.local/share/bash-completion/completions/samspel\n  samspel completions zsh > ~/.zfunc/_samspel"
    )]
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Make, list and revoke the tokens by which others use this installation
    #[command(subcommand)]
    Token(TokenCommand),
    /// Look at who did what
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Addresses that remotes send notifications to, and what came to them
    #[command(subcommand)]
    Hooks(HooksCommand),
    /// Look at what needs a person, and whether people can be told
    #[command(subcommand)]
    Alerts(AlertsCommand),
    /// Make a copy of the store while it is used
    Backup(BackupArgs),
    /// Put a copy in the place of the store
    Restore(RestoreArgs),
    /// Replace the key under which the store's secrets are sealed
    #[command(subcommand)]
    Key(KeyCommand),
}

/// Arguments of `init`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  samspel init\n  samspel init --template odoo-ghost --config /etc/samspel/samspel.toml"
)]
pub struct InitArgs {
    /// Which pair of systems the example is about.
    #[arg(long, value_enum, default_value_t = Template::HubspotMailchimp)]
    pub template: Template,
    /// Replace the file if it exists.
    #[arg(long)]
    pub force: bool,
}

/// Examples to start from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Template {
    /// HubSpot contacts and members of a Mailchimp audience.
    HubspotMailchimp,
    /// Odoo mailing contacts and Ghost members.
    OdooGhost,
}

/// Commands about the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Read the file and name everything that is wrong, without the network
    Check,
    /// Print the JSON Schema of the file, for editors
    #[command(
        after_help = "Examples:\n  samspel config schema > samspel.schema.json\nthen, as the first line of samspel.toml:\n  #:schema ./samspel.schema.json"
    )]
    Schema,
}

/// Commands about a sync.
#[derive(Debug, Subcommand)]
pub enum SyncCommand {
    /// Read both sides and show what a run would do; writes nothing to the remotes
    #[command(
        after_help = "The plan has a hash that stands for everything in it. `sync run NAME --plan HASH` does exactly \
                      that, or refuses with the new hash.\n\n\
                      Examples:\n  samspel sync plan contacts\n  samspel sync plan contacts --limit 50\n  \
                      samspel sync plan contacts --json | jq -r .hash"
    )]
    Plan(PlanArgs),
    /// Run once
    #[command(
        after_help = "The first run of a sync shows its plan and waits for a yes. Without a terminal it ends with exit \
                            code 6 unless --yes is given.\n\nExamples:\n  samspel sync run contacts\n  \
                            samspel sync run contacts --yes --json\n  samspel sync run contacts --full\n  \
                            samspel sync run contacts --plan 5c0e1f7a93b2"
    )]
    Run(RunArgs),
    /// Show state, last runs, accounts, counts, conflicts, holds and parked records
    Status(StatusArgs),
    /// Read both sides completely and compare. Exit code 7 if they differ
    #[command(
        after_help = "Tells the drift: which share of the linked pairs is equal, and how long the oldest change waits \
                      to be carried over. Writes nothing, unless --heal is given: then pairs that differ are decided \
                      anew, as on a first sync (`first-sync`), and written. The exit code is 0 if all pairs are equal \
                      in the end.\n\n\
                      Examples:\n  samspel sync verify contacts\n  samspel sync verify contacts --heal --json"
    )]
    Verify(VerifyArgs),
    /// Refuse runs until resumed
    Pause(PauseArgs),
    /// Allow runs again
    Resume(SyncName),
    /// Forget everything about a sync that is no longer configured
    #[command(
        after_help = "A sync that is removed from the configuration keeps its links, merge bases and queues until then, so \
                      that it goes on where it was if it comes back. Nothing is changed at the remotes. The journal and \
                      remembered opt-outs stay."
    )]
    Purge(ResetArgs),
    /// Forget links, merge bases, positions and queues, so that the next run is a first run
    #[command(
        after_help = "Nothing is changed at the remotes. The journal and remembered opt-outs stay."
    )]
    Reset(ResetArgs),
}

/// A sync, by name.
#[derive(Debug, Args)]
pub struct SyncName {
    /// The sync, as `[syncs.NAME]` calls it.
    pub name: String,
}

/// Arguments of `sync plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// The sync, as `[syncs.NAME]` calls it.
    pub name: String,
    /// Show at most so many records of each kind and side. Numbers are always complete.
    #[arg(long, default_value_t = PlanReport::SAMPLES, value_name = "N")]
    pub limit: usize,
}

/// Arguments of `sync verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The sync, as `[syncs.NAME]` calls it.
    pub name: String,
    /// Write what makes pairs equal that differ.
    #[arg(long)]
    pub heal: bool,
}

/// Arguments of `sync run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The sync, as `[syncs.NAME]` calls it.
    pub name: String,
    /// Confirm the first plan without being asked.
    #[arg(long, short)]
    pub yes: bool,
    /// Read both sides completely, also what incremental reading would skip.
    #[arg(long)]
    pub full: bool,
    /// Do exactly what the plan with this hash says, or refuse (exit code 6). At least 8 digits of it.
    #[arg(long, value_name = "HASH")]
    pub plan: Option<String>,
}

/// Arguments of `sync status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// The sync, as `[syncs.NAME]` calls it; all of them if it is left out.
    pub name: Option<String>,
    /// Show at most so many runs, conflicts and parked records each.
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub limit: u32,
}

/// Arguments of `sync pause`.
#[derive(Debug, Args)]
pub struct PauseArgs {
    /// The sync, as `[syncs.NAME]` calls it.
    pub name: String,
    /// Why, for whoever looks at the status.
    #[arg(long, default_value = "paused by an operator")]
    pub reason: String,
}

/// Arguments of `sync reset`.
#[derive(Debug, Args)]
pub struct ResetArgs {
    /// The sync, as `[syncs.NAME]` calls it.
    pub name: String,
    /// Do not ask.
    #[arg(long, short)]
    pub yes: bool,
}

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Seconds that runs may take to end once a stop was asked for.
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    pub drain: u64,
    /// Send traces to this address of an OpenTelemetry collector (OTLP over HTTP), such as
    /// http://127.0.0.1:4318/v1/traces. The SDK's other variables (OTEL_SERVICE_NAME, OTEL_TRACES_SAMPLER, ...) hold
    /// too.
    #[arg(
        long,
        env = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        value_name = "URL",
        help_heading = "Telemetry"
    )]
    pub traces: Option<Url>,
}

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Contacts at the simulated CRM.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    pub contacts: u32,
    /// Keep configuration and store in this directory, to look at afterwards.
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
    /// Let a service carry the changes over, which the vendors tell of them, instead of one run after each.
    #[arg(long)]
    pub serve: bool,
    /// Time that every simulated request takes, in milliseconds.
    #[arg(long, default_value_t = 0, value_name = "MS")]
    pub latency_ms: u64,
    /// Seed of the simulated contacts.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}
