//! Arguments of the commands about notifications.

use clap::{Args, Subcommand};

/// Commands about notifications.
#[derive(Debug, Subcommand)]
pub enum HooksCommand {
    /// Show the addresses that remotes send notifications to
    #[command(
        after_help = "An address holds a secret: whoever knows it can make the host look at records, and nothing else. \
                      It is made when it is first asked for. `server.public-url` says how remotes reach this host.\n\n\
                      Examples:\n  samspel hooks endpoints\n  samspel hooks endpoints crm --json"
    )]
    Endpoints {
        /// An account, or a name of `[hooks]`; all of them if it is left out.
        name: Option<String>,
    },
    /// Make another address; the old one is void at once
    Rotate {
        /// An account, or a name of `[hooks]`.
        name: String,
    },
    /// Show notifications that wait, or that the connector did not understand
    List(ListHooksArgs),
    /// Try again what was not understood
    Retry {
        /// Its number, as `list` shows it; all of them if it is left out.
        number: Option<u64>,
    },
    /// Forget one that was not understood
    #[command(
        after_help = "What it was about is still found by the next reading of the collection."
    )]
    Drop {
        /// Its number, as `list` shows it.
        number: u64,
    },
}

/// Arguments of `hooks list`.
#[derive(Debug, Args)]
pub struct ListHooksArgs {
    /// Show at most so many.
    #[arg(long, default_value_t = 50, value_name = "N")]
    pub limit: u32,
}
