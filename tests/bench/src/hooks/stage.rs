//! What the measurement needs: vendors with people in them, wires, a first sync of each pair, and `samspel serve`.

use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use reqwest::Client;
use samspel_vendors::Running;
use samspel_vendors::hubspot::{self, HubSpot, HubSpotApp, HubSpotOptions};
use samspel_vendors::mailchimp::{self, Mailchimp, MailchimpOptions};
use samspel_vendors::people::{self, ListStanding, Permission};
use samspel_vendors::vendor::Vendor as _;
use serde::Deserialize;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::Wanted;
use super::wire::{self, Marks};
use crate::error::BenchError;
use crate::floor::{BOUNCE_PROPERTY, HARD_BOUNCE};

/// Starting may take a while on a busy machine.
const START: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(50);
/// What the metrics tell of a sync whose run at the start is over.
const FIRST_RUN: &str = r#"reason="interval",outcome="done""#;
const CLIENT_SECRET: &str = "a client secret of the bench";
const SEED: u64 = 1;

/// A CRM and an e-mail platform.
pub struct Pair {
    pub crm: HubSpot,
    pub list: Mailchimp,
    /// Addresses of people whom both hold and who may be written about.
    pub people: Vec<String>,
    /// The wire to each.
    pub crm_wire: usize,
    pub list_wire: usize,
    _serving: (Running<HubSpot>, Running<Mailchimp>),
}

/// Everything that is needed. It ends with this value.
pub struct Stage {
    pub pairs: Vec<Pair>,
    serving: Child,
    _directory: TempDir,
}

#[derive(Deserialize)]
struct Endpoints {
    endpoints: Vec<Endpoint>,
}

#[derive(Deserialize)]
struct Endpoint {
    endpoint: String,
    url: String,
}

impl Stage {
    pub async fn set(samspel: &Path, wanted: Wanted, marks: &Marks) -> Result<Self, BenchError> {
        let failed = || BenchError::system("write a configuration");
        let directory = TempDir::with_prefix("samspel-bench-hooks-").map_err(failed())?;
        let file =
            |name: &str, text: &str| fs::write(directory.path().join(name), text).map_err(failed());
        let (port, metrics) = (free_port()?, free_port()?);
        let mut pairs = Vec::new();
        let mut text = format!(
            "[server]\nlisten = \"127.0.0.1:{port}\"\nmetrics-listen = \"127.0.0.1:{metrics}\"\npublic-url = \"http://127.0.0.1:{port}\"\n\n\
             [host]\nconcurrent-syncs = 8\n\n"
        );
        for index in 0..wanted.pairs {
            pairs.push(pair(index, wanted.contacts, marks, &mut text).await?);
        }
        file("samspel.toml", &text)?;
        file("hubspot-token", hubspot::DEFAULT_TOKEN)?;
        file("mailchimp-key", mailchimp::DEFAULT_KEY)?;
        file("hubspot-secret", CLIENT_SECRET)?;
        let program = Program {
            samspel: samspel.to_owned(),
            directory: directory.path().to_owned(),
        };
        for index in 0..wanted.pairs {
            program
                .output(&["sync", "run", &format!("sync-{index}"), "--yes", "--json"])
                .await?;
        }
        let line = ["hooks", "endpoints", "--json"];
        let known = program.output(&line).await?;
        let known: Endpoints =
            serde_json::from_slice(&known).map_err(|source| BenchError::Report {
                line: line.join(" "),
                source,
            })?;
        for (index, pair) in pairs.iter().enumerate() {
            let name = format!("crm-{index}");
            let endpoint = known.endpoints.iter().find(|one| one.endpoint == name);
            let url = endpoint.map(|one| one.url.clone()).unwrap_or_default();
            pair.crm.install_app(HubSpotApp {
                target_url: url,
                client_secret: CLIENT_SECRET.to_owned(),
                app_id: 1,
                max_concurrent_requests: 10,
                subscriptions: None,
            });
        }
        let serving = program.serve()?;
        let stage = Self {
            pairs,
            serving,
            _directory: directory,
        };
        ready(&format!("http://127.0.0.1:{metrics}/metrics"), &stage.pairs).await?;
        Ok(stage)
    }

    /// Lets Samspel end as an operator would.
    pub async fn end(mut self) -> Result<(), BenchError> {
        if let Some(id) = self.serving.id() {
            // The system's own program, so that no signal is sent from unsafe code.
            let kill = Command::new("kill")
                .args(["-TERM", &id.to_string()])
                .status()
                .await;
            kill.map_err(BenchError::system("end samspel"))?;
        }
        let status = tokio::time::timeout(START, self.serving.wait()).await;
        let status = status
            .map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))
            .and_then(|status| status)
            .map_err(BenchError::system("end samspel"))?;
        if status.success() {
            Ok(())
        } else {
            Err(BenchError::Samspel {
                line: "samspel serve".to_owned(),
                status,
            })
        }
    }
}

struct Program {
    samspel: PathBuf,
    directory: PathBuf,
}

impl Program {
    async fn output(&self, args: &[&str]) -> Result<Vec<u8>, BenchError> {
        let line = format!("samspel {}", args.join(" "));
        let output = Command::new(&self.samspel)
            .args(args)
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .await
            .map_err(BenchError::system(format!("run `{line}`")))?;
        if output.status.success() {
            Ok(output.stdout)
        } else {
            Err(BenchError::Samspel {
                line,
                status: output.status,
            })
        }
    }

    fn serve(&self) -> Result<Child, BenchError> {
        Command::new(&self.samspel)
            .arg("serve")
            .current_dir(&self.directory)
            .env(
                "RUST_LOG",
                std::env::var("RUST_LOG").unwrap_or_else(|_| "warn".to_owned()),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .map_err(BenchError::system("run `samspel serve`"))
    }
}

fn free_port() -> Result<u16, BenchError> {
    let listener =
        TcpListener::bind(("127.0.0.1", 0)).map_err(BenchError::system("open a port"))?;
    let address = listener
        .local_addr()
        .map_err(BenchError::system("open a port"))?;
    Ok(address.port())
}

async fn pair(
    index: usize,
    contacts: u64,
    marks: &Marks,
    text: &mut String,
) -> Result<Pair, BenchError> {
    let seed = SEED + index as u64;
    let crm = HubSpot::new(HubSpotOptions::default());
    let list = Mailchimp::new(MailchimpOptions::default());
    crm.seed(contacts, seed);
    list.seed(contacts, seed);
    let serving = (
        crm.serve_on_loopback()
            .await
            .map_err(BenchError::system("serve a vendor"))?,
        list.serve_on_loopback()
            .await
            .map_err(BenchError::system("serve a vendor"))?,
    );
    let (crm_wire, list_wire) = (2 * index, 2 * index + 1);
    let crm_url = wire::open(crm_wire, &serving.0.url, marks).await?;
    let list_url = wire::open(list_wire, &serving.1.url, marks).await?;
    let people = (0..contacts)
        .map(|number| people::person(seed, number))
        .filter(|person| {
            !person.bounced && !matches!(person.permission, Permission::OptedOut { .. })
        })
        .filter(|person| matches!(person.in_mailchimp, None | Some(ListStanding::Subscribed)))
        .filter_map(|person| person.email)
        .collect();
    let key = mailchimp::DEFAULT_KEY;
    let dc = key.rsplit_once('-').map_or("us1", |(_, dc)| dc);
    // A string cannot fail to be written to.
    let _ = write!(
        text,
        r#"[accounts.crm-{index}]
connector = "hubspot"
credentials.access = {{ scheme = "private-app-token", file = "hubspot-token" }}
credentials.webhook = {{ file = "hubspot-secret" }}
endpoints = {{ "https://api.hubapi.com" = "{crm_url}" }}

[accounts.crm-{index}.settings]
subscription_id = {newsletter}
bounce_property = "{BOUNCE_PROPERTY}"
bounce_values = {{ deliverable = "ok", soft_bounced = "soft_bounce", hard_bounced = "{HARD_BOUNCE}", complained = "{HARD_BOUNCE}" }}

[accounts.list-{index}]
connector = "mailchimp"
settings = {{ dc = "{dc}", list_id = "{list_id}" }}
credentials.access = {{ scheme = "api-key", file = "mailchimp-key" }}
endpoints = {{ "https://{dc}.api.mailchimp.com" = "{list_url}" }}

[syncs.sync-{index}]
a = {{ account = "crm-{index}", collection = "contacts" }}
b = {{ account = "list-{index}", collection = "members" }}
match = {{ a = "email", b = "email_address" }}
new-members = "transactional"
first-sync = "a"
interval = "1h"
valves.changes = {{ count = 1000000, percent = 100 }}
fields = [
  {{ a = "email", b = "email_address" }},
  {{ a = "firstname", b = "FNAME" }},
  {{ a = "lastname", b = "LNAME" }},
]

"#,
        newsletter = hubspot::NEWSLETTER,
        list_id = mailchimp::LIST_ID,
    );
    Ok(Pair {
        crm,
        list,
        people,
        crm_wire,
        list_wire,
        _serving: serving,
    })
}

/// Waits until Samspel serves, the first runs are over, and every Mailchimp has a webhook.
async fn ready(metrics: &str, pairs: &[Pair]) -> Result<(), BenchError> {
    let client = Client::builder().no_proxy().build()?;
    let until = Instant::now() + START;
    loop {
        if Instant::now() > until {
            return Err(BenchError::Simulators {
                program: "in this process".into(),
                why: "samspel did not subscribe to every audience's webhooks in time".to_owned(),
            });
        }
        tokio::time::sleep(LOOK).await;
        // Not listening yet is no failure.
        let Ok(answer) = client.get(metrics).send().await else {
            continue;
        };
        let text = answer.text().await?;
        let first_runs = text.lines().filter(|line| line.contains(FIRST_RUN));
        if first_runs.count() == pairs.len() && pairs.iter().all(|pair| pair.list.webhooks() > 0) {
            return Ok(());
        }
    }
}
