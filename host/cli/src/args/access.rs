//! Arguments of the commands about who may do what: tokens and the audit log.

use clap::{Args, Subcommand};
use samspel_model::access::Role;

/// Commands about tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token and print it, this once
    #[command(
        after_help = "Whoever can run this on the host's machine, as the user that samspel runs as, makes the first token \
                      of an installation; there is no default password.\n\n\
                      Examples:\n  samspel token create ann --role admin\n  \
                      samspel token create dashboard --role viewer --expires 90d\n  \
                      samspel token create ci --role operator --json | jq -r .token"
    )]
    Create(CreateTokenArgs),
    /// List the tokens, also those that are revoked; never their text
    List,
    /// Refuse a token from now on
    Revoke {
        /// The token's id, as `list` shows it.
        id: String,
    },
}

/// Arguments of `token create`.
#[derive(Debug, Args)]
pub struct CreateTokenArgs {
    /// For people: who or what uses it. Up to 63 lower-case letters, digits, `-` and `_`.
    pub name: String,
    /// What it allows: `viewer` looks, `operator` also decides and runs, `admin` also changes accounts and tokens.
    #[arg(long, value_name = "ROLE")]
    pub role: Role,
    /// After which time it is refused, such as `90d` or `12h`; never if left out.
    #[arg(long, value_name = "TIME")]
    pub expires: Option<String>,
}

/// Commands about the audit log.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Show who did what, newest first
    #[command(
        after_help = "Examples:\n  samspel audit list\n  samspel audit list --limit 500 --json\n  \
                      samspel audit list --before 1200"
    )]
    List(ListAuditArgs),
}

/// Arguments of `audit list`.
#[derive(Debug, Args)]
pub struct ListAuditArgs {
    /// Show at most so many entries.
    #[arg(long, default_value_t = 50, value_name = "N")]
    pub limit: u32,
    /// Only entries from before the one with this number.
    #[arg(long, value_name = "NUMBER")]
    pub before: Option<u64>,
}
