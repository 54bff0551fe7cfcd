//! Arguments of the commands about accounts and the key under which their secrets are sealed.

use clap::{Args, Subcommand};

/// Commands about accounts.
#[derive(Debug, Subcommand)]
pub enum AccountCommand {
    /// List the accounts, without asking a remote
    List,
    /// Ask the remote who we are and what it offers
    Check {
        /// The account; all of them if it is left out.
        name: Option<String>,
    },
    /// Add an account: asks for what its connector needs, tries it, seals the secrets, and writes the configuration
    #[command(
        after_help = "At a terminal everything that is not said is asked for, secrets without an echo. A secret is never \
                      an argument: other users of the machine see those.\n\n\
                      Examples:\n  samspel account add crm --connector hubspot\n  \
                      samspel account add news --connector mailchimp --set dc=us1 --set list_id=a1b2 --credential access=env:MC_KEY\n  \
                      samspel account add crm --connector hubspot --credential access:oauth2=authorise --client-id 12ab"
    )]
    Add(AddAccountArgs),
    /// Take an account out of the configuration and forget its secrets
    #[command(
        after_help = "What is stored about its records stays, for an account of the same name."
    )]
    Remove(RemoveAccountArgs),
    /// Enter an account's secrets anew, or authorise it anew
    #[command(after_help = "Examples:\n  samspel account reauthorise crm\n  \
                      samspel account reauthorise news --credential access=file:/run/secrets/new-key")]
    Reauthorise(ReauthoriseArgs),
    /// Authorise an account in the browser (OAuth 2), which answers at an address of this machine
    #[command(
        after_help = "The server must allow `http://127.0.0.1:PORT/callback` as a redirect of the client. Most servers \
                      allow any port there; for others, --port names one. For servers that want the name of this \
                      machine (HubSpot), --localhost makes it `http://localhost:PORT/callback`.\n\n\
                      Examples:\n  samspel account authorise crm --port 3000 --localhost\n  samspel account authorise mail"
    )]
    Authorise(ReauthoriseArgs),
}

/// Arguments of `account add`.
#[derive(Debug, Args)]
pub struct AddAccountArgs {
    /// How the account is to be called.
    pub name: String,
    /// The connector: its name, or the path of a `.wasm` file.
    #[arg(long, value_name = "CONNECTOR")]
    pub connector: String,
    /// A setting of the connector's; repeat for more. `samspel connector inspect` shows which there are.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Requests for the origin on the left go to the one on the right: for simulators and tests.
    #[arg(long, value_name = "ORIGIN=ORIGIN")]
    pub endpoint: Vec<String>,
    /// Refer to secrets in the environment or in files from the configuration, instead of sealing them.
    #[arg(long)]
    pub refer: bool,
    /// Where secrets come from.
    #[command(flatten)]
    pub secrets: SecretArgs,
}

/// Where secrets come from.
#[derive(Debug, Args)]
pub struct SecretArgs {
    /// A credential, the scheme by which it is used, and where it comes from: `env:VARIABLE`, `file:PATH`, `prompt`, or
    /// `authorise` for OAuth 2 in the browser.
    // Not parsed here: clap would quote what is wrong, and people paste the secret itself.
    #[arg(long, value_name = "NAME[:SCHEME]=FROM")]
    pub credential: Vec<String>,
    /// For OAuth 2: the client's id.
    #[arg(long, value_name = "ID")]
    pub client_id: Option<String>,
    /// For OAuth 2: where the client's own secret comes from, if it has one: `env:VARIABLE`, `file:PATH` or `prompt`.
    #[arg(long, value_name = "FROM")]
    pub client_secret: Option<String>,
    /// For OAuth 2: the port at which the browser answers; any free one if left out.
    #[arg(
        long,
        value_name = "PORT",
        default_value_t = 0,
        hide_default_value = true
    )]
    pub port: u16,
    /// For OAuth 2: call this machine `localhost` in the redirect, as HubSpot wants it, instead of 127.0.0.1.
    #[arg(long)]
    pub localhost: bool,
    /// For OAuth 2: do not try to open a browser.
    #[arg(long)]
    pub no_browser: bool,
}

/// Arguments of `account remove`.
#[derive(Debug, Args)]
pub struct RemoveAccountArgs {
    /// The account.
    pub name: String,
    /// Do not ask.
    #[arg(long, short)]
    pub yes: bool,
}

/// Arguments of `account reauthorise` and `account authorise`.
#[derive(Debug, Args)]
pub struct ReauthoriseArgs {
    /// The account.
    pub name: String,
    /// Where secrets come from.
    #[command(flatten)]
    pub secrets: SecretArgs,
}

/// Commands about the key.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Seal every secret of the store under a new key
    #[command(
        after_help = "A file that `host.key` names is replaced; running processes read it again. If the key is elsewhere \
                      (SAMSPEL_KEY, a credential of systemd's), make one, name it, and put it there afterwards:\n\n\
                      Examples:\n  samspel key rotate\n  \
                      openssl rand -base64 32 > new.key && samspel key rotate --to file:new.key\n\n\
                      Backups of the store need the old key. Against somebody who has both the store and the old key this \
                      does not help: replace the credentials at the vendors."
    )]
    Rotate {
        /// The new key: `env:VARIABLE` or `file:PATH`; made at random if left out.
        #[arg(long, value_name = "PLACE")]
        to: Option<String>,
    },
}
