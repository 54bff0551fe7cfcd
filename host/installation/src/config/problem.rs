//! What is wrong with a configuration: where it stands, what it is about, and what to do.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use thiserror::Error;

/// A position in the configuration file; both numbers start at 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column, counted in characters.
    pub column: usize,
}

/// One thing that must be corrected. It never quotes the file, because a line may hold a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file.
    pub file: PathBuf,
    /// Where in the file, if it is about a place in it.
    #[serde(flatten)]
    pub position: Option<Position>,
    /// The setting's path, such as `accounts.crm.credentials.access`.
    pub setting: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

impl Problem {
    /// Its place in the file, to sort by.
    pub fn place(&self) -> Option<(usize, usize)> {
        self.position
            .map(|Position { line, column }| (line, column))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(Position { line, column }) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        if let Some(setting) = &self.setting {
            write!(f, ": {setting}")?;
        }
        write!(f, ": {}\n  remedy: {}", self.message, self.remedy)
    }
}

/// Everything that is wrong with a configuration; never empty.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}", list(.0))]
pub struct ConfigError(pub Vec<Problem>);

impl ConfigError {
    /// An error about the file as a whole.
    pub fn of_file(file: &Path, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self(vec![Problem {
            file: file.to_owned(),
            position: None,
            setting: None,
            message: message.into(),
            remedy: remedy.into(),
        }])
    }
}

fn list(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}
