//! The `samspel` program, run as its users run it: one process a command, told apart by exit code and JSON.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use samspel_provision::{CommandError, ProvisionError};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::process::Command;

use crate::error::LiveError;

/// How long one command may take: the first run writes a few hundred records, some dozen a second.
const LIMIT: Duration = Duration::from_secs(240);
/// Bytes of a failed command's answer that are repeated in an error.
const EXCERPT: usize = 1_500;

/// Where the program and its connectors are.
#[derive(Clone, Debug)]
pub struct Program {
    /// The executable.
    pub executable: PathBuf,
    /// The directory of connectors.
    pub connectors: PathBuf,
}

/// The program with one configuration.
#[derive(Debug)]
pub struct Samspel {
    program: Program,
    config: PathBuf,
    /// What it printed, both streams.
    log: PathBuf,
}

/// How a command ended and what it said.
#[derive(Debug)]
pub struct Answer {
    command: String,
    /// The exit code; `None` where a signal ended it.
    exit: Option<i32>,
    /// The object on its standard output; null where there is none.
    object: Value,
    log: PathBuf,
}

impl Samspel {
    /// The program with this configuration file; what it prints is appended to `log`.
    pub fn new(program: Program, config: PathBuf, log: PathBuf) -> Self {
        Self {
            program,
            config,
            log,
        }
    }

    /// Where everything that it printed is.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Runs a command to its end.
    pub async fn run(&self, arguments: &[&str]) -> Result<Answer, LiveError> {
        let command = format!("samspel {}", arguments.join(" "));
        let unusable = |source| ProvisionError::file("write", &self.log)(source);
        let mut log = self.open_log().map_err(unusable)?;
        writeln!(log, "--- {command}").map_err(unusable)?;
        let child = Command::new(&self.program.executable)
            .args(arguments)
            .arg("--json")
            .arg("--config")
            .arg(&self.config)
            .env("SAMSPEL_CONNECTORS", &self.program.connectors)
            .env(
                "RUST_LOG",
                std::env::var_os("RUST_LOG")
                    .as_deref()
                    .unwrap_or(OsStr::new("info")),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.try_clone().map_err(unusable)?)
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| CommandError::NotStarted {
                program: self.program.executable.display().to_string(),
                source,
            })?;
        let output = tokio::time::timeout(LIMIT, child.wait_with_output())
            .await
            .map_err(|_| CommandError::TimedOut {
                line: command.clone(),
                limit: LIMIT,
            })?
            .map_err(|source| CommandError::Output {
                line: command.clone(),
                source,
            })?;
        log.write_all(&output.stdout).map_err(unusable)?;
        Ok(Answer {
            exit: output.status.code(),
            object: last_object(&output.stdout),
            log: self.log.clone(),
            command,
        })
    }

    fn open_log(&self) -> std::io::Result<File> {
        File::options().create(true).append(true).open(&self.log)
    }
}

/// The object in the last line that is not empty.
fn last_object(stdout: &[u8]) -> Value {
    let text = String::from_utf8_lossy(stdout);
    let last = text.lines().rev().find(|line| !line.trim().is_empty());
    last.and_then(|line| serde_json::from_str(line).ok())
        .unwrap_or_default()
}

impl Answer {
    /// What it said, read as a type, if it ended with one of these exit codes.
    pub fn expect<T: DeserializeOwned>(&self, exits: &[i32]) -> Result<T, LiveError> {
        if !self.exit.is_some_and(|exit| exits.contains(&exit)) {
            return Err(self.failed(&self.said()));
        }
        T::deserialize(&self.object)
            .map_err(|error| self.failed(&format!("its answer was not understood: {error}")))
    }

    /// What it said about an error, or all of it.
    fn said(&self) -> String {
        let error = &self.object["error"];
        let part = |name: &str| error[name].as_str().map(str::to_owned);
        let text = match (part("message"), part("remedy")) {
            (Some(message), Some(remedy)) => format!("{message} (remedy: {remedy})"),
            (Some(message), None) => message,
            (None, _) => self.object.to_string(),
        };
        text.chars().take(EXCERPT).collect()
    }

    fn failed(&self, why: &str) -> LiveError {
        LiveError::Samspel {
            command: self.command.clone(),
            exit: self
                .exit
                .map_or_else(|| "a signal".to_owned(), |exit| format!("exit code {exit}")),
            why: why.to_owned(),
            log: self.log.clone(),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    fn answer(exit: i32, stdout: &str) -> Answer {
        Answer {
            command: "samspel sync run x".to_owned(),
            exit: Some(exit),
            object: last_object(stdout.as_bytes()),
            log: "samspel.log".into(),
        }
    }

    #[test]
    fn the_last_line_is_the_answer() {
        let answer = answer(0, "{\"a\":1}\nprogress\n{\"a\":2}\n\n");
        assert_eq!(answer.expect::<Value>(&[0]).unwrap()["a"], 2);
    }

    #[test]
    fn a_refusal_is_repeated_with_its_remedy() {
        let answer = answer(
            6,
            r#"{"error":{"message":"not confirmed","remedy":"--yes"}}"#,
        );
        let error = answer.expect::<Value>(&[0]).unwrap_err().to_string();
        assert!(
            error.contains("exit code 6") && error.contains("not confirmed (remedy: --yes)"),
            "{error}"
        );
        assert!(answer.expect::<Value>(&[0, 6]).is_ok());
    }
}
