//! A mail provider with the part of Mailgun's interface that Ghost uses: messages in, reports about them out. It sends
//! nothing. It only carries; what a report leads to is decided by Ghost.
//!
//! Source: <https://documentation.mailgun.com/docs/mailgun/api-reference>, and what Ghost's client asks for.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use axum::extract::multipart::{Multipart, MultipartError};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use parking_lot::Mutex;
use samspel_provision::ProvisionError;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::error::LiveError;

/// The sending domain that Ghost is configured with.
pub(super) const DOMAIN: &str = "mg.ghost.test";

/// Reports are dated back by so many seconds. Ghost leaves those younger than a minute for its next turn
/// (`FETCH_LATEST_END_MARGIN_MS`), and the first time looks back for half an hour (`TRUST_THRESHOLD_MS`); between the
/// two there is room for reports in quick succession.
const DATED_BACK: f64 = 10.0 * 60.0;
/// The least number of seconds between two reports. Ghost continues one second behind the last report that it saw, so
/// that of two reports within a second it misses the one that it has not fetched yet.
const APART: f64 = 2.0;

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// The address does not exist: delivery failed for good, and the provider will not try this address again.
    HardBounce,
    /// The receiver reported the message as spam.
    Complaint,
}

/// A message for many addresses, as Ghost handed it over.
#[derive(Clone, Debug)]
pub struct BulkMessage {
    id: String,
    fields: HashMap<String, Vec<String>>,
}

impl BulkMessage {
    fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name)?.first().map(String::as_str)
    }

    fn is_to(&self, address: &str) -> bool {
        let to = self.fields.get("to").into_iter().flatten();
        to.flat_map(|list| list.split(','))
            .any(|to| to.trim() == address)
    }

    /// A header as the receiver at `address` sees it: `%recipient.name%` stands for that receiver's own value.
    fn header(&self, name: &str, address: &str) -> Option<String> {
        let mut header = self.field(&format!("h:{name}"))?.to_owned();
        let variables: Value = serde_json::from_str(self.field("recipient-variables")?).ok()?;
        for (variable, value) in variables.get(address)?.as_object()? {
            if let Some(value) = value.as_str() {
                header = header.replace(&format!("%recipient.{variable}%"), value);
            }
        }
        Some(header)
    }
}

/// The provider. Dropping it takes it off the network.
#[derive(Debug)]
pub struct Mailgun {
    base: String,
    mailbag: Arc<Mutex<Mailbag>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Mailbag {
    sent: Vec<BulkMessage>,
    reports: Vec<ReportedEvent>,
}

/// An entry of Mailgun's event feed.
#[derive(Clone, Debug, Serialize)]
struct ReportedEvent {
    id: String,
    event: &'static str,
    /// Seconds since 1970.
    timestamp: f64,
    recipient: String,
    tags: Vec<String>,
    message: Value,
    #[serde(rename = "user-variables")]
    user_variables: Value,
    #[serde(flatten)]
    details: Value,
}

impl Mailgun {
    /// Starts it on a free port of the loopback interface.
    pub async fn start() -> Result<Self, LiveError> {
        let bound = ProvisionError::file("bind a port of", "127.0.0.1");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let (listener, port) =
            match listener.and_then(|socket| Ok((socket.local_addr()?.port(), socket))) {
                Ok((port, listener)) => (listener, port),
                Err(error) => return Err(bound(error).into()),
            };
        let base = format!("http://127.0.0.1:{port}/v3");
        let mailbag = Arc::new(Mutex::new(Mailbag::default()));
        let state = Shared {
            mailbag: mailbag.clone(),
            base: base.clone(),
        };
        let router = Router::new()
            .route("/v3/{domain}/messages", post(accept))
            .route("/v3/{domain}/events", get(events))
            .route("/v3/{domain}/events/{page}", get(last_page))
            // Ghost takes an address off its provider's own lists when a member changes.
            .route(
                "/v3/{domain}/{list}/{address}",
                axum::routing::delete(removed),
            )
            .with_state(state);
        let task = tokio::spawn(async move {
            // Serving ends only with this task.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self {
            base,
            mailbag,
            task,
        })
    }

    /// The base URL to configure a client with.
    pub fn base_url(&self) -> &str {
        &self.base
    }

    /// How many addresses got a message with this subject.
    pub fn receivers(&self, subject: &str) -> usize {
        let mailbag = self.mailbag.lock();
        let with_subject = mailbag
            .sent
            .iter()
            .filter(|message| message.field("subject") == Some(subject));
        with_subject
            .flat_map(|message| message.fields.get("to").into_iter().flatten())
            .flat_map(|to| to.split(','))
            .count()
    }

    /// Whether a message with this subject was sent to this address.
    pub fn reached(&self, subject: &str, address: &str) -> bool {
        let mailbag = self.mailbag.lock();
        mailbag
            .sent
            .iter()
            .any(|message| message.field("subject") == Some(subject) && message.is_to(address))
    }

    /// The link for one-click unsubscription (RFC 8058) in the newest message to this address.
    pub fn one_click_link(&self, address: &str) -> Option<String> {
        let mailbag = self.mailbag.lock();
        let message = mailbag
            .sent
            .iter()
            .rev()
            .find(|message| message.is_to(address))?;
        message
            .header("List-Unsubscribe-Post", address)
            .filter(|value| value == "List-Unsubscribe=One-Click")?;
        let links = message.header("List-Unsubscribe", address)?;
        links
            .split(',')
            .filter_map(|link| link.trim().strip_prefix('<')?.strip_suffix('>'))
            .find(|link| link.starts_with("http"))
            .map(str::to_owned)
    }

    /// Reports on the newest message to this address, in the event feed that Ghost reads.
    pub fn report(&self, address: &str, report: Report) -> Result<(), String> {
        let mut mailbag = self.mailbag.lock();
        let now = jiff::Timestamp::now().as_millisecond() as f64 / 1000.0;
        let timestamp = dated(now, mailbag.reports.last().map(|report| report.timestamp));
        let message = mailbag
            .sent
            .iter()
            .rev()
            .find(|message| message.is_to(address))
            .ok_or_else(|| format!("nothing was sent to {address}"))?;
        let (event, details) = match report {
            Report::HardBounce => (
                "failed",
                json!({
                    "severity": "permanent",
                    "reason": "suppress-bounce",
                    // Mailgun's own code for an address that bounced before.
                    "delivery-status": {
                        "code": 605,
                        "message": "Not delivering to previously bounced address",
                        "description": "",
                    },
                }),
            ),
            Report::Complaint => ("complained", json!({})),
        };
        let event = ReportedEvent {
            id: uuid::Uuid::new_v4().simple().to_string(),
            event,
            timestamp,
            recipient: address.to_owned(),
            tags: message.fields.get("o:tag").cloned().unwrap_or_default(),
            message: json!({ "headers": { "message-id": message.id } }),
            user_variables: json!({ "email-id": message.field("v:email-id") }),
            details,
        };
        mailbag.reports.push(event);
        Ok(())
    }
}

/// When a report happened, for Ghost to take it at once; in seconds since 1970.
fn dated(now: f64, before: Option<f64>) -> f64 {
    let back = now - DATED_BACK;
    before.map_or(back, |before| back.max(before + APART))
}

impl Drop for Mailgun {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone, Debug)]
struct Shared {
    mailbag: Arc<Mutex<Mailbag>>,
    base: String,
}

async fn accept(
    State(shared): State<Shared>,
    form: Multipart,
) -> Result<Json<Value>, (StatusCode, String)> {
    let fields = read(form)
        .await
        .map_err(|error| (error.status(), error.body_text()))?;
    let id = format!("{}@{DOMAIN}", uuid::Uuid::new_v4().simple());
    let answer = json!({ "id": format!("<{id}>"), "message": "Queued. Thank you." });
    shared.mailbag.lock().sent.push(BulkMessage { id, fields });
    Ok(Json(answer))
}

async fn read(mut form: Multipart) -> Result<HashMap<String, Vec<String>>, MultipartError> {
    let mut fields: HashMap<String, Vec<String>> = HashMap::new();
    while let Some(field) = form.next_field().await? {
        let name = field.name().unwrap_or_default().to_owned();
        fields.entry(name).or_default().push(field.text().await?);
    }
    Ok(fields)
}

/// The query of the event feed, as Ghost asks it.
#[derive(Debug, Deserialize)]
struct EventQuery {
    /// `delivered OR opened OR failed ...`
    event: Option<String>,
    begin: Option<f64>,
    end: Option<f64>,
    limit: Option<usize>,
}

/// The first page of the event feed. It holds everything (up to the limit), so the next page is empty.
async fn events(State(shared): State<Shared>, Query(query): Query<EventQuery>) -> Json<Value> {
    let kinds: Option<Vec<&str>> = query
        .event
        .as_deref()
        .map(|kinds| kinds.split(" OR ").map(str::trim).collect());
    let begin = query.begin.unwrap_or(f64::MIN);
    let end = query.end.unwrap_or(f64::MAX);
    let mut found: Vec<ReportedEvent> = shared
        .mailbag
        .lock()
        .reports
        .iter()
        .filter(|report| {
            kinds
                .as_ref()
                .is_none_or(|kinds| kinds.contains(&report.event))
        })
        .filter(|report| (begin..=end).contains(&report.timestamp))
        .cloned()
        .collect();
    found.sort_by(|left, right| left.timestamp.total_cmp(&right.timestamp));
    found.truncate(query.limit.unwrap_or(300));
    Json(page(&shared, &found))
}

async fn last_page(State(shared): State<Shared>) -> Json<Value> {
    Json(page(&shared, &[]))
}

async fn removed() -> Json<Value> {
    Json(json!({ "message": "Address has been removed" }))
}

fn page(shared: &Shared, items: &[ReportedEvent]) -> Value {
    let next = format!("{}/{DOMAIN}/events/end", shared.base);
    json!({ "items": items, "paging": { "next": next, "previous": next, "first": next, "last": next } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_in_quick_succession_are_seconds_apart_and_settled() {
        let now = 1_800_000_000.0;
        let mut before = dated(now, None);
        for _ in 0..200 {
            let next = dated(now, Some(before));
            assert!(next - before > 1.0 && next < now - 60.0);
            before = next;
        }
        assert_eq!(dated(now + 3600.0, Some(before)), now + 3600.0 - DATED_BACK);
    }
}
