//! A configured installation with two simulated vendors, and the program that a user runs.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use samspel_vendors::Running;
use samspel_vendors::hubspot::{self, HubSpot, HubSpotOptions};
use samspel_vendors::mailchimp::{self, Mailchimp, MailchimpOptions};
use samspel_vendors::vendor::Vendor;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::{connectors, program};

/// Two vendors and a configuration that keeps them in step.
pub struct Installation {
    /// The CRM.
    pub crm: Running<HubSpot>,
    /// The e-mail platform.
    pub newsletter: Running<Mailchimp>,
    directory: TempDir,
    more: String,
}

impl Installation {
    /// With so many people at each vendor, most of them the same, and more settings.
    pub async fn new(people: u64, more: &str) -> Self {
        let crm = HubSpot::new(HubSpotOptions::default());
        let newsletter = Mailchimp::new(MailchimpOptions::default());
        crm.seed(people, 7);
        newsletter.seed(people, 7);
        let crm = crm.serve_on_loopback().await.unwrap();
        let newsletter = newsletter.serve_on_loopback().await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("token"), hubspot::DEFAULT_TOKEN).unwrap();
        std::fs::write(directory.path().join("key"), mailchimp::DEFAULT_KEY).unwrap();
        let installation = Self {
            crm,
            newsletter,
            directory,
            more: more.to_owned(),
        };
        installation.write();
        installation
    }

    /// Where everything is.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    fn write(&self) {
        std::fs::write(self.file(), self.configuration()).unwrap();
    }

    /// The configuration.
    pub fn file(&self) -> PathBuf {
        self.directory.path().join("samspel.toml")
    }

    fn configuration(&self) -> String {
        let dc = mailchimp::DEFAULT_KEY.rsplit_once('-').unwrap().1;
        format!(
            r#"
[host]
cache = "{cache}"

[accounts.crm]
connector = "hubspot"
rate-limits = false
settings = {{ subscription_id = {subscription}, bounce_property = "{bounces}" }}
credentials.access = {{ scheme = "private-app-token", file = "token" }}
endpoints = {{ "https://api.hubapi.com" = "{crm}" }}

[accounts.newsletter]
connector = "mailchimp"
rate-limits = false
settings = {{ dc = "{dc}", list_id = "{list}" }}
credentials.access = {{ scheme = "api-key", file = "key" }}
endpoints = {{ "https://{dc}.api.mailchimp.com" = "{newsletter}" }}

[syncs.contacts]
a = {{ account = "crm", collection = "contacts" }}
b = {{ account = "newsletter", collection = "members" }}
match = {{ a = "email", b = "email_address" }}
new-members = "transactional"
first-sync = "a"
fields = [
  {{ a = "email", b = "email_address" }},
  {{ a = "firstname", b = "FNAME" }},
  {{ a = "lastname", b = "LNAME" }},
]
{more}
"#,
            more = self.more,
            cache = cache().display(),
            subscription = hubspot::NEWSLETTER,
            bounces = hubspot::DELIVERABILITY_PROPERTY,
            crm = self.crm.url,
            newsletter = self.newsletter.url,
            list = mailchimp::LIST_ID,
        )
    }

    /// Starts the program.
    pub fn start(&self, arguments: &[&str]) -> Child {
        self.prepared(Command::new(program()), arguments)
            .spawn()
            .expect("the program can be started; `cargo xtask test` builds it")
    }

    /// A command that was begun by somebody, with the program as its last argument, gets the rest.
    pub fn under(&self, mut command: Command, arguments: &[&str]) -> Command {
        command.arg(program());
        self.prepared(command, arguments)
    }

    fn prepared(&self, mut command: Command, arguments: &[&str]) -> Command {
        command
            .arg("--config")
            .arg(self.file())
            .args(arguments)
            .env("SAMSPEL_CONNECTORS", connectors())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Runs the program to its end; the JSON that it prints last.
    pub async fn finish(&self, arguments: &[&str]) -> Value {
        let output = self.start(arguments).wait_with_output().await.unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "{arguments:?}: {}\n{stdout}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_str(stdout.lines().last().unwrap_or_default()).unwrap()
    }

    /// Runs the sync once.
    pub async fn run(&self) -> Value {
        self.finish(&["sync", "run", "contacts", "--yes", "--json"])
            .await
    }

    /// Starts the service and waits until it listens.
    pub async fn serve(&self) -> Serving {
        self.serve_with(&[]).await
    }

    /// The same, with more arguments.
    pub async fn serve_with(&self, more: &[&str]) -> Serving {
        let arguments = [&["serve", "--log-format", "json"], more].concat();
        Self::listening(self.start(&arguments)).await
    }

    /// Waits until a service that was started listens. Its log is JSON.
    pub async fn listening(mut child: Child) -> Serving {
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let url = loop {
            let line = lines
                .next_line()
                .await
                .unwrap()
                .expect("the service listens before it ends");
            let Ok(line) = serde_json::from_str::<Value>(&line) else {
                panic!("the service says: {line}");
            };
            if let Some(api) = line["fields"]["api"].as_str() {
                break format!("http://{api}");
            }
        };
        // Whoever writes to a full pipe waits.
        let log = Arc::new(Mutex::new(String::new()));
        let written = Arc::clone(&log);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let mut log = written.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        Serving { child, url, log }
    }

    /// A token with this role.
    pub async fn token(&self, name: &str, role: &str) -> String {
        let made = self
            .finish(&["token", "create", name, "--role", role, "--json"])
            .await;
        made["token"].as_str().unwrap().to_owned()
    }
}

/// A service that runs.
pub struct Serving {
    child: Child,
    /// Where its API is.
    pub url: String,
    log: Arc<Mutex<String>>,
}

impl Serving {
    /// Its process.
    pub fn process(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// What it has logged since it listens.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Ends it at once (SIGKILL).
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

/// Compiled connectors, shared by all tests: what is looked at is the program and not the compiler.
fn cache() -> PathBuf {
    connectors().join("../tmp/compiled")
}
