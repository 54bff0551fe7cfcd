//! Ghost: a real e-mail platform with members, newsletters, one-click unsubscribe and suppression of dead addresses.
//!
//! Its outgoing bulk mail and the reports about it go through Mailgun's interface; a [`Mailgun`] of our own on the
//! loopback interface takes the provider's place. All that follows from a report (suppression, events) is Ghost's
//! doing.

mod api;
mod install;
mod mailgun;
mod setup;

use std::fs;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use samspel_provision::ProvisionError;
use serde::Serialize;
use serde_json::{Value, json};

pub use api::{AdminApi, Label, Member, MemberPatch, Newsletter, Suppression, SuppressionInfo};
pub use install::Ghost;
pub use mailgun::{Mailgun, Report};

use crate::error::LiveError;
use crate::http;
use crate::server::{Run, ServerProcess, StopSignal, free_port, until};

/// How long the first start may take: it creates the database.
const START_LIMIT: Duration = Duration::from_secs(120);
/// How long Ghost may take to act on a report of its mail provider once it was told to fetch reports.
const REPORT_LIMIT: Duration = Duration::from_secs(30);

/// How to reach a running Ghost as its owner, and as an integration.
#[derive(Clone, Debug, Serialize)]
pub struct GhostAccess {
    /// Base URL without a trailing slash.
    pub url: String,
    /// Admin API key of an integration, `id:hexadecimal secret`.
    pub admin_key: String,
    /// The owner's address, with which one can log in at `/ghost/`.
    pub owner: String,
    /// The owner's password.
    pub password: String,
}

/// A running Ghost with a fresh database. Dropping it stops it.
#[derive(Debug)]
pub struct GhostServer {
    access: GhostAccess,
    api: AdminApi,
    mailgun: Mailgun,
    process: ServerProcess,
}

impl Ghost {
    /// Starts Ghost with a fresh database, sets up its owner and an integration, and returns when both can be used.
    pub async fn start(&self, run: &Run) -> Result<GhostServer, LiveError> {
        let mailgun = Mailgun::start().await?;
        let port = free_port()?;
        let url = format!("http://127.0.0.1:{port}");
        let data = run.data("ghost")?;
        let config = json!({
            "url": url,
            "server": { "host": "127.0.0.1", "port": port },
            "database": {
                "client": "better-sqlite3",
                "connection": { "filename": data.join("ghost.db") },
                "useNullAsDefault": true,
            },
            // Single mails, such as log-in links, are not part of any scenario.
            "mail": { "from": "noreply@ghost.test", "transport": "stub" },
            "bulkEmail": { "mailgun": { "baseUrl": mailgun.base_url(), "apiKey": "stand-in", "domain": mailgun::DOMAIN } },
            "paths": { "contentPath": data.join("content") },
            "process": "local",
            "logging": { "transports": ["stdout"], "level": "info" },
            "privacy": { "useTinfoil": true },
            "security": { "staffDeviceVerification": false },
        });
        let trigger = data.join("fetch-reports.js");
        fs::write(&trigger, include_str!("ghost/fetch-reports.js"))
            .map_err(ProvisionError::file("write", &trigger))?;
        self.copy_content(&data.join("content"))?;

        let mut command = Command::new(self.node());
        command
            .arg("--require")
            .arg(trigger)
            .arg("index.js")
            // Ghost looks for parts of itself there. It also looks for a configuration file, of which there could be
            // only one; so each start gets its configuration from its environment.
            .current_dir(self.package())
            .envs(as_environment(&config))
            .env("NODE_ENV", "development")
            .env("SAMSPEL_GHOST_PACKAGE", self.package());
        let process = ServerProcess::start(run, "ghost", command, StopSignal::Terminate)?;
        until("Ghost's start", START_LIMIT, async || {
            process.alive()?;
            let answer = http::client()
                .get(format!("{url}/ghost/api/admin/site/"))
                .send()
                .await;
            Ok(answer
                .is_ok_and(|answer| answer.status().is_success())
                .then_some(()))
        })
        .await
        .map_err(|error| match error {
            LiveError::NotObserved { seconds, .. } => {
                process.error(format!("did not answer within {seconds} s"))
            }
            other => other,
        })?;
        let access = setup::owner_and_integration(&url).await?;
        let api = AdminApi::new(&access.url, &access.admin_key)?;
        Ok(GhostServer {
            access,
            api,
            mailgun,
            process,
        })
    }
}

impl GhostServer {
    /// How to reach it.
    pub fn access(&self) -> &GhostAccess {
        &self.access
    }

    /// Its interface for administration, as a clerk or another program would use it.
    pub fn api(&self) -> &AdminApi {
        &self.api
    }

    /// What it sent in bulk.
    pub fn mailgun(&self) -> &Mailgun {
        &self.mailgun
    }

    /// Clicks "unsubscribe" in the newest newsletter that was sent to this address, as a mail program does it for its
    /// user (RFC 8058): the link is taken from the message's own `List-Unsubscribe` header.
    pub async fn unsubscribe_with_one_click(&self, address: &str) -> Result<(), LiveError> {
        let call = "the link in List-Unsubscribe";
        let link = self.mailgun.one_click_link(address).ok_or_else(|| {
            http::unexpected(
                call,
                format!("no newsletter with such a link was sent to {address}"),
            )
        })?;
        let request = http::client()
            .post(link)
            .form(&[("List-Unsubscribe", "One-Click")]);
        let response = http::send(call, request).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        Err(http::refused(
            call,
            status,
            &response.text().await.unwrap_or_default(),
        ))
    }

    /// Reports about the newest newsletter to this address as the mail provider would, has Ghost fetch its provider's
    /// reports now rather than at its next five-minute turn, and waits until Ghost sends nothing more to the address.
    pub async fn report(&self, address: &str, report: Report) -> Result<(), LiveError> {
        self.mailgun
            .report(address, report)
            .map_err(|why| http::unexpected("the mail provider", why))?;
        let what = format!("Ghost's suppression of {address}");
        until(&what, REPORT_LIMIT, async || {
            self.process.alive()?;
            // Each time, because Ghost ignores it while it still fetches: at its own turn, or for an earlier report,
            // which can be seen in a member before the job that fetched it has ended.
            self.process.signal(Signal::USR2)?;
            let disabled = self.api.is_disabled(address).await?;
            Ok(disabled.then_some(()))
        })
        .await
    }
}

/// Ghost's configuration as environment variables: the names of nested settings are joined by two underscores, and
/// what is not text is written as JSON (its configuration library, nconf, parses it).
fn as_environment(config: &Value) -> Vec<(String, String)> {
    let mut variables = Vec::new();
    flatten(None, config, &mut variables);
    variables
}

fn flatten(name: Option<&str>, value: &Value, variables: &mut Vec<(String, String)>) {
    match (name, value) {
        (_, Value::Object(settings)) => {
            for (key, value) in settings {
                let name = name.map_or_else(|| key.clone(), |name| format!("{name}__{key}"));
                flatten(Some(&name), value, variables);
            }
        }
        (Some(name), Value::String(text)) => variables.push((name.to_owned(), text.clone())),
        (Some(name), other) => variables.push((name.to_owned(), other.to_string())),
        (None, _) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configuration_becomes_environment_variables() {
        let config = json!({ "url": "http://x", "server": { "port": 1 }, "logging": { "transports": ["stdout"] } });
        let mut variables = as_environment(&config);
        variables.sort();
        let expected = [
            ("logging__transports", "[\"stdout\"]"),
            ("server__port", "1"),
            ("url", "http://x"),
        ];
        assert_eq!(
            variables,
            expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }
}
