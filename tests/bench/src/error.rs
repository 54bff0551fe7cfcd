//! What can go wrong in a measurement.

use std::path::PathBuf;
use std::process::ExitStatus;

use crate::floor::FloorError;

/// Why nothing could be measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A program is not where it must be.
    #[error(
        "{program} is not there; `cargo xtask bench` builds everything that is needed, all of it in one build profile"
    )]
    NoProgram {
        /// Where it was looked for.
        program: PathBuf,
    },
    /// The simulators did not start.
    #[error("the simulated vendors ({program}) cannot be used: {why}")]
    Simulators {
        /// The program.
        program: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The simulators' control API did not answer.
    #[error("the simulated vendors do not answer: {0}")]
    Control(#[from] reqwest::Error),
    /// The floor's client failed.
    #[error(transparent)]
    Floor(#[from] FloorError),
    /// `samspel` failed.
    #[error("`{line}` failed ({status}); its messages are above")]
    Samspel {
        /// The program and its arguments.
        line: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// `samspel serve` ended although nobody asked it to.
    #[error("`samspel serve` ended by itself; its messages are above")]
    Ended,
    /// The API refused something.
    #[error("`{what}` was answered with {said}")]
    Answer {
        /// What was asked for.
        what: String,
        /// The answer.
        said: String,
    },
    /// `samspel` said something unexpected.
    #[error("the report of `{line}` cannot be understood: {source}")]
    Report {
        /// The program and its arguments.
        line: String,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A file or a process could not be used.
    #[error("could not {action}: {source}")]
    System {
        /// What was tried.
        action: String,
        /// What the operating system said.
        source: std::io::Error,
    },
}

impl BenchError {
    /// Builds the mapping for a failed operation, for use with `map_err`.
    pub(crate) fn system(action: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let action = action.into();
        move |source| Self::System { action, source }
    }
}
