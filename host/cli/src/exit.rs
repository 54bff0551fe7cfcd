//! How the program ends: one table of exit codes, and errors that map to it.

use std::fmt;
use std::io;

use serde_json::{Map, Value, json};
use thiserror::Error;

use samspel_installation::config::ConfigError;
use samspel_installation::{Error, Kind};
use samspel_model::StoreError;
use samspel_sync::SyncError;

/// What the process's exit code says. The numbers are a contract: scripts depend on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Everything was done.
    Ok = 0,
    /// Something failed that no other code names.
    Failure = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The configuration is wrong.
    Config = 3,
    /// A remote does not accept the account.
    Account = 4,
    /// Another process works on the sync.
    Held = 5,
    /// Somebody must agree first, or has agreed to another plan.
    NotConfirmed = 6,
    /// The two sides differ.
    Differences = 7,
    /// The sync is paused.
    Paused = 8,
    /// A connector cannot be loaded or was stopped.
    Connector = 9,
    /// A remote is down or asks for patience.
    Unavailable = 10,
    /// A signal asked for the end before everything was done.
    Interrupted = 130,
}

impl Exit {
    /// All of them, in order.
    pub const ALL: [Self; 12] = [
        Self::Ok,
        Self::Failure,
        Self::Usage,
        Self::Config,
        Self::Account,
        Self::Held,
        Self::NotConfirmed,
        Self::Differences,
        Self::Paused,
        Self::Connector,
        Self::Unavailable,
        Self::Interrupted,
    ];

    /// The word that `--json` uses for it.
    pub fn code(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Differences => "differences",
            Self::Failure => Kind::Failure.code(),
            Self::Usage => Kind::Usage.code(),
            Self::Config => Kind::Config.code(),
            Self::Account => Kind::Account.code(),
            Self::Held => Kind::Held.code(),
            Self::NotConfirmed => Kind::NotConfirmed.code(),
            Self::Paused => Kind::Paused.code(),
            Self::Connector => Kind::Connector.code(),
            Self::Unavailable => Kind::Unavailable.code(),
            Self::Interrupted => Kind::Interrupted.code(),
        }
    }

    /// For the table in `--help` and the documentation.
    fn meaning(self) -> &'static str {
        match self {
            Self::Ok => "everything was done",
            Self::Failure => "something failed that no other code names",
            Self::Usage => "the command line is wrong",
            Self::Config => "the configuration is wrong",
            Self::Account => "a remote does not accept an account (credential, rights, settings)",
            Self::Held => "another process works on the sync",
            Self::NotConfirmed => {
                "somebody must agree first (--yes), or the plan is no longer the one agreed to"
            }
            Self::Differences => "`sync verify` found records that differ, and not all were healed",
            Self::Paused => "the sync is paused",
            Self::Connector => "a connector cannot be loaded, failed or was stopped by the sandbox",
            Self::Unavailable => "a remote is down or asks for patience; worth a retry",
            Self::Interrupted => "a signal ended the command before everything was done",
        }
    }

    /// The table of all codes.
    pub fn table() -> String {
        let rows: Vec<String> = Self::ALL
            .iter()
            .map(|exit| {
                format!(
                    "  {:>3}  {:<14} {}",
                    *exit as u8,
                    exit.code(),
                    exit.meaning()
                )
            })
            .collect();
        format!("Exit codes:\n{}", rows.join("\n"))
    }
}

/// The class of a failure as an exit code.
impl From<Kind> for Exit {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Failure => Self::Failure,
            Kind::Usage | Kind::NotFound => Self::Usage,
            Kind::Config => Self::Config,
            Kind::Account => Self::Account,
            Kind::Held => Self::Held,
            Kind::NotConfirmed => Self::NotConfirmed,
            Kind::Paused => Self::Paused,
            Kind::Connector => Self::Connector,
            Kind::Unavailable => Self::Unavailable,
            Kind::Interrupted => Self::Interrupted,
        }
    }
}

/// Why a command did not do what it was asked.
#[derive(Debug, Error)]
pub enum CliError {
    /// What happened, and what to do.
    #[error(transparent)]
    Failed(Error),
    /// The reader of our output is gone; there is nobody to tell.
    #[error("nobody reads the output any more")]
    BrokenPipe,
    /// The result was printed already; only the code is left to say.
    #[error("{}", .0.code())]
    Reported(Exit),
}

impl CliError {
    /// An error of a class.
    pub fn new(kind: Kind, message: impl fmt::Display) -> Self {
        Self::Failed(Error::new(kind, message))
    }

    /// Adds what to do.
    #[must_use]
    pub fn remedy(self, advice: impl Into<String>) -> Self {
        match self {
            Self::Failed(error) => Self::Failed(error.remedy(advice)),
            other => other,
        }
    }

    /// Adds something for programs.
    #[must_use]
    pub fn detail(self, name: &str, value: Value) -> Self {
        match self {
            Self::Failed(error) => Self::Failed(error.detail(name, value)),
            other => other,
        }
    }

    /// The process's exit code.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Failed(error) => error.kind().into(),
            Self::Reported(exit) => *exit,
            // As other tools do: `samspel ... | head` is no failure.
            Self::BrokenPipe => Exit::Ok,
        }
    }

    /// For `--json`: `{"error": {"code", "exit", "message", ...}}`.
    pub fn to_json(&self) -> Value {
        let mut error = match self {
            Self::Failed(error) => error.to_json(),
            Self::BrokenPipe | Self::Reported(_) => {
                Map::from_iter([("message".to_owned(), self.to_string().into())])
            }
        };
        let exit = self.exit();
        error.insert("code".to_owned(), exit.code().into());
        error.insert("exit".to_owned(), (exit as u8).into());
        json!({ "error": error })
    }
}

impl From<io::Error> for CliError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::BrokenPipe,
            _ => Self::Failed(error.into()),
        }
    }
}

impl From<Error> for CliError {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<SyncError> for CliError {
    fn from(error: SyncError) -> Self {
        Self::Failed(error.into())
    }
}
