//! A simulated vendor as its users see it: what they do in its own interface, and what its API shows afterwards.

use reqwest::{Client, RequestBuilder, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use super::vendors::Access;
use samspel_installation::Kind;

use crate::exit::CliError;

enum Credential {
    Bearer(String),
    Basic(String),
}

/// One vendor.
pub struct Remote {
    client: Client,
    origin: String,
    credential: Credential,
}

/// What the vendor has counted.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Counted {
    /// Requests to its API.
    pub requests: u64,
    /// Those that can change something.
    pub write_requests: u64,
}

/// What became of the notifications that a vendor has to send.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Hooks {
    /// Events that are not told yet.
    pub waiting: u64,
}

impl Remote {
    /// The CRM.
    pub fn hubspot(client: &Client, access: &Access) -> Self {
        Self {
            client: client.clone(),
            origin: access.hubspot.clone(),
            credential: Credential::Bearer(access.hubspot_token.clone()),
        }
    }

    /// The e-mail platform.
    pub fn mailchimp(client: &Client, access: &Access) -> Self {
        Self {
            client: client.clone(),
            origin: access.mailchimp.clone(),
            credential: Credential::Basic(access.mailchimp_key.clone()),
        }
    }

    /// Does what a user would do, and answers the record as it is then.
    pub async fn act(&self, act: &Value) -> Result<Value, CliError> {
        let request = self.client.post(self.at("/_control/acts")).json(act);
        self.answer(request).await
    }

    /// Sets something up that is no user's act.
    pub async fn control(&self, what: &str, value: &Value) -> Result<(), CliError> {
        let url = self.at(&format!("/_control/{what}"));
        let response = self.client.put(url).json(value).send().await;
        response
            .and_then(reqwest::Response::error_for_status)
            .map(drop)
            .map_err(|error| self.failed(&error))
    }

    /// What became of the notifications that the vendor has to send.
    pub async fn hooks(&self) -> Result<Hooks, CliError> {
        let answer = self
            .answer(self.client.get(self.at("/_control/stats")))
            .await?;
        serde_json::from_value(answer["hooks"].clone()).map_err(|error| self.failed(&error))
    }

    /// What the vendor has counted so far.
    pub async fn counted(&self) -> Result<Counted, CliError> {
        let answer = self
            .answer(self.client.get(self.at("/_control/stats")))
            .await?;
        serde_json::from_value(answer).map_err(|error| self.failed(&error))
    }

    /// Reads from the vendor's API; `None` if there is no such record.
    pub async fn read(&self, path: &str) -> Result<Option<Value>, CliError> {
        let request = self.client.get(self.at(path));
        let request = match &self.credential {
            Credential::Bearer(token) => request.bearer_auth(token),
            Credential::Basic(key) => request.basic_auth("samspel", Some(key)),
        };
        let response = request.send().await.map_err(|error| self.failed(&error))?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let response = response
            .error_for_status()
            .map_err(|error| self.failed(&error))?;
        response
            .json()
            .await
            .map(Some)
            .map_err(|error| self.failed(&error))
    }

    /// Every record, one at a time, from the simulator's own store.
    pub async fn each_record(&self, mut take: impl FnMut(&Value)) -> Result<(), CliError> {
        let mut response = self
            .client
            .get(self.at("/_control/records"))
            .send()
            .await
            .and_then(reqwest::Response::error_for_status)
            .map_err(|error| self.failed(&error))?;
        let mut rest: Vec<u8> = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| self.failed(&error))?
        {
            rest.extend_from_slice(&chunk);
            let Some(last) = rest.iter().rposition(|byte| *byte == b'\n') else {
                continue;
            };
            for line in rest[..last].split(|byte| *byte == b'\n') {
                let record = serde_json::from_slice(line).map_err(|error| self.failed(&error))?;
                take(&record);
            }
            rest.drain(..=last);
        }
        Ok(())
    }

    async fn answer(&self, request: RequestBuilder) -> Result<Value, CliError> {
        let response = request.send().await.map_err(|error| self.failed(&error))?;
        let status = response.status();
        let body: Value = response.json().await.map_err(|error| self.failed(&error))?;
        if status.is_success() {
            Ok(body)
        } else {
            Err(self.failed(&format!("{status}: {body}")))
        }
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    fn failed(&self, why: &impl ToString) -> CliError {
        CliError::new(
            Kind::Failure,
            format!(
                "the simulator at {} failed: {}",
                self.origin,
                why.to_string()
            ),
        )
    }
}
