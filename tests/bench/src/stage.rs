//! What a measurement of the service needs: vendors with people in them, wires, a first sync of each pair, and `samspel
//! serve`.

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
use serde::de::DeserializeOwned;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::error::BenchError;
use crate::floor::{BOUNCE_PROPERTY, HARD_BOUNCE};
use crate::wire::{self, Marks};

/// Starting may take a while on a busy machine.
const START: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(50);
/// What the metrics tell of a sync whose run at the start is over.
const FIRST_RUN: &str = r#"reason="interval",outcome="done""#;
const CLIENT_SECRET: &str = "a client secret of the bench";
const SEED: u64 = 1;

/// What is set up.
#[derive(Debug, Clone, Copy)]
pub struct Scene {
    /// Pairs of vendors, and syncs.
    pub pairs: usize,
    /// Contacts of each pair.
    pub contacts: u64,
    /// How often a sync runs by itself.
    pub interval: &'static str,
    /// The connectors are installed in the store, so that they can be swapped.
    pub installed: bool,
    /// Further syncs, between the same accounts by turns, that run once a day and were never agreed to: `idle-0` and so
    /// on.
    pub idle: usize,
    /// What else there is.
    pub further: Further,
}

/// A connector that only some measurements need, with its accounts and syncs.
#[derive(Debug, Clone, Copy, Default)]
pub struct Further {
    /// Its component, by name.
    pub connector: Option<&'static str>,
    /// Its part of the configuration.
    pub configuration: &'static str,
    /// Its syncs: they are agreed to, and run for the first time.
    pub syncs: &'static [&'static str],
}

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

impl Pair {
    /// Somebody does something in the CRM.
    ///
    /// # Errors
    /// The vendor refuses it.
    pub fn in_crm(&self, act: Value) -> Result<(), BenchError> {
        serde_json::from_value(act.clone())
            .map_err(|error| error.to_string())
            .and_then(|act| self.crm.act(act).map_err(|error| error.to_string()))
            .map(drop)
            .map_err(|why| refused(&act, why))
    }

    /// Somebody does something in the e-mail platform.
    ///
    /// # Errors
    /// The vendor refuses it.
    pub fn in_list(&self, act: Value) -> Result<(), BenchError> {
        serde_json::from_value(act.clone())
            .map_err(|error| error.to_string())
            .and_then(|act| self.list.act(act).map_err(|error| error.to_string()))
            .map(drop)
            .map_err(|why| refused(&act, why))
    }
}

fn refused(act: &Value, why: String) -> BenchError {
    BenchError::Simulators {
        program: "in this process".into(),
        why: format!("{act}: {why}"),
    }
}

/// Everything that is needed. It ends with this value.
pub struct Stage {
    pub pairs: Vec<Pair>,
    program: Program,
    serving: Child,
    /// The API's origin.
    pub url: String,
    metrics: String,
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
    pub async fn set(samspel: &Path, scene: Scene, marks: &Marks) -> Result<Self, BenchError> {
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
        for index in 0..scene.pairs {
            pairs.push(pair(index, scene, marks, &mut text).await?);
        }
        for number in 0..scene.idle {
            text.push_str(&sync(
                &format!("idle-{number}"),
                number % scene.pairs.max(1),
                "24h",
            ));
        }
        text.push_str(scene.further.configuration);
        file("samspel.toml", &text)?;
        file("hubspot-token", hubspot::DEFAULT_TOKEN)?;
        file("mailchimp-key", mailchimp::DEFAULT_KEY)?;
        file("hubspot-secret", CLIENT_SECRET)?;
        let program = Program {
            samspel: samspel.to_owned(),
            directory: directory.path().to_owned(),
        };
        let installed = if scene.installed {
            &CONNECTORS[..]
        } else {
            &[]
        };
        for name in installed.iter().chain(&scene.further.connector) {
            let file = component(name);
            let file = file.to_string_lossy();
            program
                .output(&["connector", "install", &file, "--dev", "--yes", "--json"])
                .await?;
        }
        let syncs = (0..scene.pairs).map(|index| format!("sync-{index}"));
        for sync in syncs.chain(scene.further.syncs.iter().map(ToString::to_string)) {
            program
                .output(&["sync", "run", &sync, "--yes", "--json"])
                .await?;
        }
        let known: Endpoints = program.json(&["hooks", "endpoints", "--json"]).await?;
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
            program,
            serving,
            url: format!("http://127.0.0.1:{port}"),
            metrics: format!("http://127.0.0.1:{metrics}/metrics"),
            _directory: directory,
        };
        ready(&stage.metrics, &stage.pairs, scene.further.syncs.len()).await?;
        Ok(stage)
    }

    /// What somebody runs beside the service.
    pub fn program(&self) -> Program {
        self.program.clone()
    }

    /// The process of the service.
    pub fn process(&self) -> Option<u32> {
        self.serving.id()
    }

    /// Whether the service has ended by itself.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn has_ended(&mut self) -> Result<bool, BenchError> {
        let status = self.serving.try_wait();
        Ok(status
            .map_err(BenchError::system("look at samspel"))?
            .is_some())
    }

    /// The service is ended at once (SIGKILL), and started again.
    ///
    /// # Errors
    /// It cannot be started.
    pub async fn kill(&mut self) -> Result<(), BenchError> {
        let killed = self.serving.kill().await;
        killed.map_err(BenchError::system("kill samspel"))?;
        self.serving = self.program.serve()?;
        Ok(())
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

/// The program, where its configuration is.
#[derive(Debug, Clone)]
pub struct Program {
    samspel: PathBuf,
    directory: PathBuf,
}

/// The connectors of both vendors.
pub const CONNECTORS: [&str; 2] = ["hubspot", "mailchimp"];

/// A connector's component.
pub fn component(name: &str) -> PathBuf {
    let directory = std::env::var_os("SAMSPEL_CONNECTORS")
        .map_or_else(|| PathBuf::from("target/connectors"), PathBuf::from);
    // The program runs in a directory of its own.
    let file = directory.join(format!("{name}.wasm"));
    std::path::absolute(&file).unwrap_or(file)
}

impl Program {
    /// Runs it to its end; what it prints.
    ///
    /// # Errors
    /// It fails.
    pub async fn output(&self, args: &[&str]) -> Result<Vec<u8>, BenchError> {
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

    /// The same, understood.
    ///
    /// # Errors
    /// It fails, or prints something else.
    pub async fn json<T: DeserializeOwned>(&self, args: &[&str]) -> Result<T, BenchError> {
        let printed = self.output(args).await?;
        serde_json::from_slice(&printed).map_err(|source| BenchError::Report {
            line: args.join(" "),
            source,
        })
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
    scene: Scene,
    marks: &Marks,
    text: &mut String,
) -> Result<Pair, BenchError> {
    let Scene {
        contacts, interval, ..
    } = scene;
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

"#,
        newsletter = hubspot::NEWSLETTER,
        list_id = mailchimp::LIST_ID,
    );
    text.push_str(&sync(&format!("sync-{index}"), index, interval));
    Ok(Pair {
        crm,
        list,
        people,
        crm_wire,
        list_wire,
        _serving: serving,
    })
}

/// A sync between the accounts of a pair.
fn sync(name: &str, accounts: usize, interval: &str) -> String {
    format!(
        r#"[syncs.{name}]
a = {{ account = "crm-{accounts}", collection = "contacts" }}
b = {{ account = "list-{accounts}", collection = "members" }}
match = {{ a = "email", b = "email_address" }}
new-members = "transactional"
first-sync = "a"
interval = "{interval}"
valves.changes = {{ count = 1000000, percent = 100 }}
fields = [
  {{ a = "email", b = "email_address" }},
  {{ a = "firstname", b = "FNAME" }},
  {{ a = "lastname", b = "LNAME" }},
]

"#
    )
}

/// Waits until Samspel serves, the first runs are over, and every Mailchimp has a webhook.
async fn ready(metrics: &str, pairs: &[Pair], further: usize) -> Result<(), BenchError> {
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
        if first_runs.count() == pairs.len() + further
            && pairs.iter().all(|pair| pair.list.webhooks() > 0)
        {
            return Ok(());
        }
    }
}
