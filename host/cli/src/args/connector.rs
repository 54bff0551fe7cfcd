//! Arguments of what is done with connectors.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Commands about connectors.
#[derive(Debug, Subcommand)]
pub enum ConnectorCommand {
    /// List the connectors that were found, and those that are installed
    List,
    /// Show what a connector is, what it asks for and what it must reach
    Inspect {
        /// A `.wasm` file, or the name of a connector that `list` shows.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Print the manifest of a connector, for its author to sign
    #[command(
        after_help = "The manifest names the component by its SHA-256, and what it may ask for at most. It stands beside \
                      the component, and its signature beside it.\n\n\
                      Examples:\n  samspel connector manifest crm.wasm > crm.wasm.manifest.json\n  \
                      minisign -S -s author.key -m crm.wasm.manifest.json"
    )]
    Manifest {
        /// A `.wasm` file.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Install a connector for the first time
    #[command(after_help = INSTALL)]
    Install(InstallArgs),
    /// Replace an installed connector by another version
    #[command(after_help = UPGRADE)]
    Upgrade(UpgradeArgs),
    /// Agree to what waits: a version that asks for more, or would write otherwise than before, or a canary that did
    /// well
    #[command(
        after_help = "Examples:\n  samspel connector approve crm\n  samspel connector approve crm 2.0.0 --canary newsletter\n  \
                      samspel connector approve crm 3f9a0c1d --json"
    )]
    Approve(ApproveArgs),
    /// Go back to the version that was active before; from a canary, to what is active
    #[command(
        after_help = "Runs that are under way end with the version that they began with.\n\n\
                      Examples:\n  samspel connector rollback crm\n  samspel connector rollback crm --to 1.4.2"
    )]
    Rollback(RollbackArgs),
    /// Show the versions of a connector, which of them is used, and who did what
    #[command(
        after_help = "Examples:\n  samspel connector history\n  samspel connector history crm --limit 50 --json"
    )]
    History(ConnectorHistoryArgs),
    /// Say whose signatures are accepted
    #[command(subcommand)]
    Trust(TrustCommand),
}

const INSTALL: &str = "SOURCE is a file, a directory (every connector in it that is signed and asks for nothing new), \
    `https://...` together with --sha256, or `oci://REGISTRY/REPOSITORY:TAG` (`@sha256:DIGEST`).\n\n\
    What it asks for is shown and has to be agreed to: at the terminal, with --yes, or later with `samspel connector \
    approve` (exit code 6 until then). Accounts whose `connector` setting is its name use it from their next run on.\n\n\
    Examples:\n  samspel connector install crm.wasm\n  \
    samspel connector install oci://ghcr.io/example/crm:1.2.0 --yes\n  \
    samspel connector install https://example.com/crm.wasm --sha256 9f86d081884c7d65...\n  \
    samspel connector install ./target/crm.wasm --dev";

const UPGRADE: &str = "A version that asks for no more than was agreed to, and that leads to the same writes as the one in use (some \
    linked records are read with both), is used from the next run on; another one waits for `samspel connector approve` (exit \
    code 6), unless --yes is given. With --canary only the named accounts use it until then. An account for which the new version is stopped again and \
    again goes back by itself.\n\n\
    Examples:\n  samspel connector upgrade crm crm-2.wasm\n  \
    samspel connector upgrade crm oci://ghcr.io/example/crm:2.0.0 --canary newsletter";

/// How a component is taken.
#[derive(Debug, Args)]
pub struct Taking {
    /// The SHA-256 of the component, in hexadecimal. Required for a URL.
    #[arg(long, value_name = "DIGEST")]
    pub sha256: Option<String>,
    /// Take what nobody signed, and another build of the same version. For development.
    #[arg(long)]
    pub dev: bool,
    /// Agree to what it asks for without being asked.
    #[arg(long, short)]
    pub yes: bool,
}

/// Arguments of `connector install`.
#[derive(Debug, Args)]
pub struct InstallArgs {
    /// Where the component is.
    #[arg(value_name = "SOURCE")]
    pub source: String,
    /// How it is taken.
    #[command(flatten)]
    pub taking: Taking,
}

/// Arguments of `connector upgrade`.
#[derive(Debug, Args)]
pub struct UpgradeArgs {
    /// The connector, by name.
    pub name: String,
    /// Where the component is, as for `install`.
    #[arg(value_name = "SOURCE")]
    pub source: String,
    /// Only these accounts use it for now.
    #[arg(long, value_name = "ACCOUNT", value_delimiter = ',')]
    pub canary: Vec<String>,
    /// How it is taken.
    #[command(flatten)]
    pub taking: Taking,
}

/// Arguments of `connector approve`.
#[derive(Debug, Args)]
pub struct ApproveArgs {
    /// The connector, by name.
    pub name: String,
    /// Which revision: its version, or at least 8 digits of its SHA-256. Without it, the newest that waits.
    pub revision: Option<String>,
    /// Only these accounts use it for now.
    #[arg(long, value_name = "ACCOUNT", value_delimiter = ',')]
    pub canary: Vec<String>,
}

/// Arguments of `connector rollback`.
#[derive(Debug, Args)]
pub struct RollbackArgs {
    /// The connector, by name.
    pub name: String,
    /// Which revision: its version, or at least 8 digits of its SHA-256. Without it, the one that was active before.
    #[arg(long, value_name = "REVISION")]
    pub to: Option<String>,
}

/// Arguments of `connector history`.
#[derive(Debug, Args)]
pub struct ConnectorHistoryArgs {
    /// The connector, by name; all of them if it is left out.
    pub name: Option<String>,
    /// Show at most so many events.
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub limit: u32,
}

/// Commands about keys.
#[derive(Debug, Subcommand)]
pub enum TrustCommand {
    /// Accept what this key signs
    #[command(
        after_help = "Examples:\n  samspel connector trust add example author.pub\n  \
                      samspel connector trust add example RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3"
    )]
    Add {
        /// What the key is to be called.
        name: String,
        /// A public key of minisign's: its file, or the key itself.
        key: String,
    },
    /// List the keys
    List,
    /// Accept what this key signs no longer; what is installed stays
    Remove {
        /// What the key is called.
        name: String,
    },
}
