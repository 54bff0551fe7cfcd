//! Samspel as its users run it: a configuration file, and `samspel sync run`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::process::Command;

use crate::error::BenchError;
use crate::floor::{BOUNCE_PROPERTY, HARD_BOUNCE};
use crate::simulators::Access;
use crate::usage::Usage;

/// The sync's name in the configuration.
const SYNC: &str = "contacts";

/// How often a running process is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// A directory with configuration, credentials, store and compiled connectors. It is removed with this value.
pub struct Installation {
    program: PathBuf,
    directory: TempDir,
}

/// A command that was watched, and its report.
pub struct Watched<T> {
    /// From the start of the process to its end, in seconds.
    pub seconds: f64,
    /// What it used.
    pub usage: Option<Usage>,
    /// What it said.
    pub report: T,
}

/// What is taken from the report of `samspel sync run --json`.
#[derive(Debug, Clone, Deserialize)]
pub struct RunReport {
    /// How long the run took by itself, in seconds.
    pub seconds: f64,
    /// Records written on both sides.
    pub writes: u64,
    /// Records that wait for a person's decision.
    pub conflicts: u64,
    /// Records that failed for good.
    pub parked: u64,
    /// Records that are left for the next run.
    pub pending: u64,
}

/// How `samspel sync verify` ends if pairs differ: a result, and no failure.
const DIFFERENCES: i32 = 7;

/// What is taken from the report of `samspel sync verify --json`.
#[derive(Debug, Clone, Deserialize)]
pub struct Comparison {
    /// Pairs.
    pub links: u64,
    /// Pairs that differ.
    pub unequal: u64,
}

impl Installation {
    /// Writes configuration and credentials for simulators.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub fn new(program: &Path, access: &Access) -> Result<Self, BenchError> {
        let failed = || BenchError::system("write a configuration");
        let directory = TempDir::with_prefix("samspel-bench-").map_err(failed())?;
        let file =
            |name: &str, text: &str| fs::write(directory.path().join(name), text).map_err(failed());
        file("hubspot-token", &access.hubspot_token)?;
        file("mailchimp-key", &access.mailchimp_key)?;
        file("samspel.toml", &configuration(access))?;
        Ok(Self {
            program: program.to_owned(),
            directory,
        })
    }

    /// Compiles the connectors, as the first command after an installation or an upgrade does, and checks both
    /// accounts.
    ///
    /// # Errors
    /// `samspel` fails.
    pub async fn prepare(&self) -> Result<(), BenchError> {
        self.watch(&["account", "check", "--json"], &[0]).await?;
        Ok(())
    }

    /// Does a first sync.
    ///
    /// # Errors
    /// `samspel` fails.
    pub async fn run(&self) -> Result<Watched<RunReport>, BenchError> {
        self.report(&["sync", "run", SYNC, "--yes", "--json"], &[0])
            .await
    }

    /// Compares both sides.
    ///
    /// # Errors
    /// `samspel` fails.
    pub async fn verify(&self) -> Result<Watched<Comparison>, BenchError> {
        self.report(&["sync", "verify", SYNC, "--json"], &[0, DIFFERENCES])
            .await
    }

    /// Runs a command for its report. `ends`: the exit codes with which it gives one.
    async fn report<T: DeserializeOwned>(
        &self,
        args: &[&str],
        ends: &[i32],
    ) -> Result<Watched<T>, BenchError> {
        let began = Instant::now();
        let (output, usage) = self.watch(args, ends).await?;
        let seconds = began.elapsed().as_secs_f64();
        let report = serde_json::from_str(&output).map_err(|source| BenchError::Report {
            line: line(args),
            source,
        })?;
        Ok(Watched {
            seconds,
            usage,
            report,
        })
    }

    /// Runs a command and looks at its process until it ends. Its messages go to standard error.
    async fn watch(
        &self,
        args: &[&str],
        ends: &[i32],
    ) -> Result<(String, Option<Usage>), BenchError> {
        let failed = || BenchError::system(format!("run `{}`", line(args)));
        let mut child = Command::new(&self.program)
            .args(args)
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed())?;
        let process = child.id();
        let mut stdout = child.stdout.take();
        let reading = async {
            let mut text = String::new();
            if let Some(stdout) = &mut stdout {
                stdout.read_to_string(&mut text).await?;
            }
            Ok::<_, std::io::Error>(text)
        };
        let watching = async {
            let mut usage = None;
            let mut look = tokio::time::interval(LOOK);
            loop {
                tokio::select! {
                    status = child.wait() => return Ok::<(ExitStatus, _), std::io::Error>((status?, usage)),
                    _ = look.tick() => usage = process.and_then(Usage::of).or(usage),
                }
            }
        };
        let (text, (status, usage)) = tokio::try_join!(reading, watching).map_err(failed())?;
        if status.code().is_some_and(|code| ends.contains(&code)) {
            Ok((text, usage))
        } else {
            Err(BenchError::Samspel {
                line: line(args),
                status,
            })
        }
    }
}

fn line(args: &[&str]) -> String {
    format!("samspel {}", args.join(" "))
}

/// The configuration of `samspel demo`, without the limits that are kept to spare a real remote.
fn configuration(access: &Access) -> String {
    let Access {
        hubspot,
        mailchimp,
        mailchimp_key,
        list_id,
        subscription_id,
        ..
    } = access;
    let dc = mailchimp_key.rsplit_once('-').map_or("us1", |(_, dc)| dc);
    format!(
        r#"[accounts.crm]
connector = "hubspot"
credentials.access = {{ scheme = "private-app-token", file = "hubspot-token" }}
endpoints = {{ "https://api.hubapi.com" = "{hubspot}" }}
rate-limits = false

[accounts.crm.settings]
subscription_id = {subscription_id}
bounce_property = "{BOUNCE_PROPERTY}"
bounce_values = {{ deliverable = "ok", soft_bounced = "soft_bounce", hard_bounced = "{HARD_BOUNCE}", complained = "{HARD_BOUNCE}" }}

[accounts.newsletter]
connector = "mailchimp"
settings = {{ dc = "{dc}", list_id = "{list_id}" }}
credentials.access = {{ scheme = "api-key", file = "mailchimp-key" }}
endpoints = {{ "https://{dc}.api.mailchimp.com" = "{mailchimp}" }}
rate-limits = false

[syncs.{SYNC}]
a = {{ account = "crm", collection = "contacts" }}
b = {{ account = "newsletter", collection = "members" }}
match = {{ a = "email", b = "email_address" }}
new-members = "transactional"
first-sync = "a"
fields = [
  {{ a = "email", b = "email_address" }},
  {{ a = "firstname", b = "FNAME" }},
  {{ a = "lastname", b = "LNAME" }},
  {{ a = "phone", b = "PHONE", normalize = "phone", region = "SE" }},
  {{ a = "company", b = "COMPANY" }},
]
"#
    )
}
