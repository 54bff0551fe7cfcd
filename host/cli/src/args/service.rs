//! Arguments of commands about the service itself: copies of the store, and whom it tells.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Arguments of `backup`.
#[derive(Debug, Args)]
#[command(
    after_help = "The store is used meanwhile. The key (`host.key`) is not in the copy: back it up as well, elsewhere. \
                  `samspel restore` puts a copy in the place of the store.\n\n\
                  Examples:\n  samspel backup\n  samspel backup --to /mnt/backup/samspel.db --json"
)]
pub struct BackupArgs {
    /// The file, which must not be there. Without it, a new one in the directory that `host.backups` names.
    #[arg(long, value_name = "FILE")]
    pub to: Option<PathBuf>,
}

/// Arguments of `restore`.
#[derive(Debug, Args)]
#[command(
    after_help = "Stop every samspel that uses the store first. The copy is checked as a whole before anything is replaced, \
                  and what was there stays under another name beside it.\n\n\
                  What happened since the copy was made is found out again: the next run reads both sides from the copy's \
                  positions, and recognises by their keys what was created since.\n\n\
                  Examples:\n  samspel restore backups/samspel-20261129T203000.000Z.db"
)]
pub struct RestoreArgs {
    /// A file that `samspel backup` made.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Do not ask.
    #[arg(long, short)]
    pub yes: bool,
}

/// Commands about telling people.
#[derive(Debug, Subcommand)]
pub enum AlertsCommand {
    /// List what needs a person, as `samspel serve` has seen it last
    List,
    /// Send a test to everybody whom `[alerts]` names
    Test,
}
