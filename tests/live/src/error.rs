//! What can go wrong with live servers, and with Samspel between them.

use std::path::PathBuf;

use samspel_provision::{CommandError, DownloadError, EXIT_NOT_DOWNLOADED, ProvisionError};

/// Why a live server could not be installed, started, used or kept in step.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// Something is missing, or could not be fetched or installed.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    /// A server's process ended, or did not answer in time.
    #[error("{server} {what}; its output is in {log}{}", tail(.last))]
    Server {
        /// Which server.
        server: &'static str,
        /// What happened.
        what: String,
        /// Where all of its output is.
        log: PathBuf,
        /// The last lines of it.
        last: String,
    },
    /// A server could not be reached.
    #[error("no answer to {call}: {source}")]
    Transport {
        /// What was asked, without credentials.
        call: String,
        /// What the HTTP client said.
        source: reqwest::Error,
    },
    /// A server refused a call.
    #[error("{call} was refused with {status}: {answer}")]
    Refused {
        /// What was asked, without credentials.
        call: String,
        /// The HTTP status, or what stands for it.
        status: String,
        /// The answer.
        answer: String,
    },
    /// A server's answer has another form than it had when this was written.
    #[error("the answer to {call} was not understood: {why}")]
    Unexpected {
        /// What was asked, without credentials.
        call: String,
        /// What is wrong with the answer.
        why: String,
    },
    /// A command of Samspel failed.
    #[error("`{command}` ended with {exit}: {why}; what it printed is in {log}")]
    Samspel {
        /// The command.
        command: String,
        /// How it ended.
        exit: String,
        /// What it said.
        why: String,
        /// Where all of its output is.
        log: PathBuf,
    },
    /// Something that a server does by itself did not come about.
    #[error("{what} did not come about within {seconds} s")]
    NotObserved {
        /// What was waited for.
        what: String,
        /// How long.
        seconds: u64,
    },
}

impl LiveError {
    /// The exit code that tells a download that failed from everything else.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Provision(ProvisionError::Download(_)) => EXIT_NOT_DOWNLOADED,
            _ => 1,
        }
    }
}

impl From<DownloadError> for LiveError {
    fn from(error: DownloadError) -> Self {
        Self::Provision(error.into())
    }
}

impl From<CommandError> for LiveError {
    fn from(error: CommandError) -> Self {
        Self::Provision(error.into())
    }
}

fn tail(last: &str) -> String {
    if last.is_empty() {
        String::new()
    } else {
        format!(":\n{last}")
    }
}
