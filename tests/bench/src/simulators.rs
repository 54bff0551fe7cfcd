//! The simulated vendors: a program of their own, so that whoever is measured competes with them for the processors in
//! the same way.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use reqwest::Client;
use samspel_vendors::Digest;
use samspel_vendors::stats::StatsReport;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::error::BenchError;

/// Filling the simulators with a million contacts takes a while on a slow machine.
const START: Duration = Duration::from_secs(300);
/// How long they may take to end by themselves.
const END: Duration = Duration::from_secs(5);

/// How the simulators are reached, as the program prints it when both serve.
#[derive(Clone, Deserialize)]
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

/// What the simulators are filled with and how they answer.
#[derive(Debug, Clone, Copy)]
pub struct Scene {
    /// Contacts in HubSpot; about one in five is in Mailchimp too, and 2 % more are only there.
    pub contacts: u64,
    /// Seed of the test people.
    pub seed: u64,
    /// What every request takes at least.
    pub latency_ms: u64,
}

/// Both simulators. They end with this value.
pub struct Simulators {
    /// How they are reached.
    pub access: Access,
    control: Control,
    child: Child,
}

impl Simulators {
    /// Starts the program and waits until both serve.
    ///
    /// # Errors
    /// The program cannot be started, or says something unexpected.
    pub async fn start(program: &Path, scene: Scene) -> Result<Self, BenchError> {
        let unusable = |why: String| BenchError::Simulators {
            program: program.to_owned(),
            why,
        };
        let mut child = Command::new(program)
            .args(["--contacts", &scene.contacts.to_string()])
            .args(["--seed", &scene.seed.to_string()])
            .args(["--latency-ms", &scene.latency_ms.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| unusable(error.to_string()))?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            tokio::time::timeout(START, BufReader::new(stdout).read_line(&mut line))
                .await
                .map_err(|_| unusable(format!("it did not serve within {} s", START.as_secs())))?
                .map_err(|error| unusable(error.to_string()))?;
        }
        let access: Access = serde_json::from_str(&line)
            .map_err(|error| unusable(format!("it did not say how it is reached: {error}")))?;
        Ok(Self {
            control: Control::new([access.hubspot.clone(), access.mailchimp.clone()])?,
            access,
            child,
        })
    }

    /// Looks at what happened in them.
    #[must_use]
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// The program's process.
    #[must_use]
    pub fn process(&self) -> Option<u32> {
        self.child.id()
    }

    /// Lets the program end.
    pub async fn stop(mut self) {
        drop(self.child.stdin.take());
        // If it does not, dropping the child ends it.
        let _ = tokio::time::timeout(END, self.child.wait()).await;
    }
}

/// The simulators' control API, HubSpot's first.
pub struct Control {
    client: Client,
    origins: [String; 2],
}

/// Requests by method and route.
pub type Requests = BTreeMap<String, u64>;

impl Control {
    /// Of simulators that serve at these origins.
    ///
    /// # Errors
    /// No HTTP client can be had.
    pub fn new(origins: [String; 2]) -> Result<Self, BenchError> {
        Ok(Self {
            client: Client::builder().no_proxy().build()?,
            origins,
        })
    }

    /// Sets all counters to zero.
    ///
    /// # Errors
    /// A simulator does not answer.
    pub async fn reset(&self) -> Result<(), BenchError> {
        for origin in &self.origins {
            let url = format!("{origin}/_control/stats/reset");
            self.client.post(url).send().await?.error_for_status()?;
        }
        Ok(())
    }

    /// Requests since the start, or since the counters were set to zero.
    ///
    /// # Errors
    /// A simulator does not answer.
    pub async fn requests(&self) -> Result<Requests, BenchError> {
        let mut requests = Requests::new();
        for origin in &self.origins {
            let stats: StatsReport = self.get(origin, "stats").await?;
            for (endpoint, counted) in stats.endpoints {
                *requests.entry(endpoint).or_default() += counted.requests;
            }
        }
        Ok(requests)
    }

    /// What both hold, without ids and times.
    ///
    /// # Errors
    /// A simulator does not answer.
    pub async fn digests(&self) -> Result<[Digest; 2], BenchError> {
        Ok([
            self.get(&self.origins[0], "digest").await?,
            self.get(&self.origins[1], "digest").await?,
        ])
    }

    /// All records of one simulator as JSON lines, without ids and times.
    ///
    /// # Errors
    /// The simulator does not answer.
    pub async fn records(&self, simulator: usize) -> Result<String, BenchError> {
        let url = format!("{}/_control/records?stable=true", self.origins[simulator]);
        let answer = self.client.get(url).send().await?.error_for_status()?;
        Ok(answer.text().await?)
    }

    async fn get<T: DeserializeOwned>(&self, origin: &str, what: &str) -> Result<T, BenchError> {
        let url = format!("{origin}/_control/{what}");
        let answer = self.client.get(url).send().await?.error_for_status()?;
        Ok(answer.json().await?)
    }
}
