//! The simulated vendors: a program beside this one, which ends when we do.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::args::DemoArgs;
use samspel_installation::Kind;

use crate::exit::CliError;

/// Where the program is, if it is not beside ours.
const VARIABLE: &str = "SAMSPEL_VENDORS";

/// Filling the simulators with a million contacts takes a while on a slow machine.
const START: Duration = Duration::from_secs(300);

/// How the simulators are reached, as the program prints it when both serve.
#[derive(Debug, Clone, Deserialize)]
pub struct Access {
    /// Origin of the simulated HubSpot.
    pub hubspot: String,
    /// Origin of the simulated Mailchimp.
    pub mailchimp: String,
    /// The private-app token that HubSpot accepts.
    pub hubspot_token: String,
    /// The API key that Mailchimp accepts.
    pub mailchimp_key: String,
    /// The audience.
    pub list_id: String,
    /// The subscription type that stands for marketing mail.
    pub subscription_id: String,
}

/// The running program. Its standard input is a pipe that nobody writes to: it ends when the pipe closes, so also when
/// this process is killed.
pub struct Vendors {
    /// How the simulators are reached.
    pub access: Access,
    child: Child,
}

impl Vendors {
    /// Starts the program and waits until both simulators serve.
    pub async fn start(args: &DemoArgs) -> Result<Self, CliError> {
        let program = program()?;
        let mut child = Command::new(&program)
            .arg("--contacts")
            .arg(args.contacts.to_string())
            .arg("--seed")
            .arg(args.seed.to_string())
            .arg("--latency-ms")
            .arg(args.latency_ms.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed(format!("{} cannot be started: {error}", program.display())))?;
        let stdout = child
            .stdout
            .take()
            .ok_or_else(|| failed("the simulators have no standard output".to_owned()))?;
        let mut line = String::new();
        let mut reader = BufReader::new(stdout);
        match tokio::time::timeout(START, reader.read_line(&mut line)).await {
            Err(_) => {
                return Err(failed(format!(
                    "the simulators did not start within {START:?}"
                )));
            }
            Ok(Err(error)) => {
                return Err(failed(format!("the simulators cannot be heard: {error}")));
            }
            Ok(Ok(_)) => {}
        }
        let access = serde_json::from_str(&line).map_err(|error| {
            failed(format!(
                "the simulators did not say how they are reached: {error}"
            ))
        })?;
        Ok(Self { access, child })
    }

    /// Lets the program end by itself.
    pub async fn stop(mut self) {
        drop(self.child.stdin.take());
        // If it does not, dropping the child ends it.
        let _ = tokio::time::timeout(Duration::from_secs(5), self.child.wait()).await;
    }
}

fn failed(message: String) -> CliError {
    CliError::new(Kind::Failure, message).remedy(format!(
        "`cargo xtask demo` builds everything that the demo needs; {VARIABLE} names another program"
    ))
}

/// The simulators' program: named by the environment, or beside ours.
fn program() -> Result<PathBuf, CliError> {
    if let Some(named) = std::env::var_os(VARIABLE).filter(|value| !value.is_empty()) {
        return Ok(named.into());
    }
    let ours = std::env::current_exe()
        .map_err(|error| failed(format!("this program cannot be found: {error}")))?;
    let beside = ours.with_file_name(format!("samspel-vendors{}", std::env::consts::EXE_SUFFIX));
    if beside.is_file() {
        Ok(beside)
    } else {
        Err(failed(format!(
            "the simulated vendors are not at {}",
            beside.display()
        )))
    }
}
