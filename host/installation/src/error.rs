//! What went wrong, with what to do about it: the same for the command line and for the API.

use std::fmt;
use std::io;

use serde_json::{Map, Value, json};
use thiserror::Error;

use crate::config::ConfigError;

/// Classes of failures, by what can be done about them. The command line has an exit code for each, the API a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Something failed that no other class names.
    Failure,
    /// What was asked for makes no sense.
    Usage,
    /// What was asked for is not there.
    NotFound,
    /// The configuration is wrong.
    Config,
    /// A remote does not accept the account.
    Account,
    /// Another process works on the sync.
    Held,
    /// Somebody must agree first, or has agreed to another plan.
    NotConfirmed,
    /// The sync is paused.
    Paused,
    /// A connector cannot be loaded or was stopped.
    Connector,
    /// A remote is down or asks for patience.
    Unavailable,
    /// Somebody asked for the end before everything was done.
    Interrupted,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Failure,
        Self::Usage,
        Self::NotFound,
        Self::Config,
        Self::Account,
        Self::Held,
        Self::NotConfirmed,
        Self::Paused,
        Self::Connector,
        Self::Unavailable,
        Self::Interrupted,
    ];

    /// The class that programs see under this word.
    pub fn of_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// The word that programs see.
    pub fn code(self) -> &'static str {
        match self {
            Self::Failure => "failure",
            Self::Usage => "usage",
            Self::NotFound => "not-found",
            Self::Config => "config",
            Self::Account => "account",
            Self::Held => "held",
            Self::NotConfirmed => "not-confirmed",
            Self::Paused => "paused",
            Self::Connector => "connector",
            Self::Unavailable => "unavailable",
            Self::Interrupted => "interrupted",
        }
    }
}

/// Why something was not done.
#[derive(Debug, Error)]
pub enum Error {
    /// The configuration is wrong.
    #[error("the configuration has {}\n{}", count(.0.0.len()), .0)]
    Config(#[from] ConfigError),
    /// Everything else: what happened, and what to do.
    #[error("{message}{}", remedy_line(.remedy.as_deref()))]
    Other {
        /// The class of the failure.
        kind: Kind,
        /// What happened.
        message: String,
        /// What to do, where there is advice.
        remedy: Option<String>,
        /// More for programs, by name.
        details: Box<Map<String, Value>>,
    },
}

impl Error {
    /// An error of a class.
    pub fn new(kind: Kind, message: impl fmt::Display) -> Self {
        Self::Other {
            kind,
            message: message.to_string(),
            remedy: None,
            details: Box::default(),
        }
    }

    /// Adds what to do.
    #[must_use]
    pub fn remedy(mut self, advice: impl Into<String>) -> Self {
        if let Self::Other { remedy, .. } = &mut self {
            *remedy = Some(advice.into());
        }
        self
    }

    /// Adds something for programs.
    #[must_use]
    pub fn detail(mut self, name: &str, value: Value) -> Self {
        if let Self::Other { details, .. } = &mut self {
            details.insert(name.to_owned(), value);
        }
        self
    }

    /// The same in another class, where more is known about what it means.
    #[must_use]
    pub fn as_kind(mut self, class: Kind) -> Self {
        if let Self::Other { kind, .. } = &mut self {
            *kind = class;
        }
        self
    }

    /// Its class.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Config(_) => Kind::Config,
            Self::Other { kind, .. } => *kind,
        }
    }

    /// What was added for programs under this name.
    pub fn found(&self, name: &str) -> Option<&Value> {
        match self {
            Self::Config(_) => None,
            Self::Other { details, .. } => details.get(name),
        }
    }

    /// For programs: `message` and, where there are, `remedy`, `problems` and details.
    pub fn to_json(&self) -> Map<String, Value> {
        match self {
            Self::Config(problems) => {
                let message = format!("the configuration has {}", count(problems.0.len()));
                Map::from_iter([
                    ("message".to_owned(), message.into()),
                    ("problems".to_owned(), json!(problems.0)),
                ])
            }
            Self::Other {
                message,
                remedy,
                details,
                ..
            } => {
                let mut told = details.as_ref().clone();
                told.insert("message".to_owned(), message.as_str().into());
                if let Some(remedy) = remedy {
                    told.insert("remedy".to_owned(), remedy.as_str().into());
                }
                told
            }
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::new(Kind::Failure, error)
    }
}

fn count(problems: usize) -> String {
    match problems {
        1 => "1 problem".to_owned(),
        n => format!("{n} problems"),
    }
}

fn remedy_line(remedy: Option<&str>) -> String {
    remedy.map_or_else(String::new, |advice| format!("\n  remedy: {advice}"))
}
