//! The list's webhooks: `/3.0/lists/{id}/webhooks`, and sending them.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, USER_AGENT};
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use reqwest::{Client, RequestBuilder};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::error::{FieldError, Problem};
use super::journal::{Kind, Source};
use super::request::{self, check_list};
use super::store::Store;
use super::{LIST_ID, Mailchimp};
use crate::clock::Millis;
use crate::hooks::{Carrier, Habits, Outbox};
use crate::reply;

/// How long Mailchimp waits for an answer, to a webhook and to the question before (V).
const TIMEOUT: Duration = Duration::from_secs(10);
/// How often Mailchimp repeats a webhook; it says for how long (75 minutes (T)), not how often (M).
const RETRIES: u32 = 5;
/// How many may be under way at once (M).
pub(super) const SLOTS: usize = 10;
/// The most webhooks of a list (M).
const WEBHOOKS: usize = 20;
const AGENT: &str = "MailChimp";

/// Events that a webhook tells (V). What a request leaves out is off (M).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Events {
    subscribe: bool,
    unsubscribe: bool,
    profile: bool,
    cleaned: bool,
    upemail: bool,
    campaign: bool,
}

impl Events {
    fn hold(self, kind: &Kind) -> bool {
        match kind {
            Kind::Subscribe => self.subscribe,
            Kind::Unsubscribe(_) => self.unsubscribe,
            Kind::Profile => self.profile,
            Kind::Cleaned => self.cleaned,
            Kind::Upemail(_) => self.upemail,
        }
    }
}

/// Whose acts a webhook tells (V).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Sources {
    user: bool,
    admin: bool,
    api: bool,
}

impl Sources {
    fn hold(self, source: Source) -> bool {
        match source {
            Source::User => self.user,
            Source::Admin => self.admin,
            Source::Api => self.api,
        }
    }
}

/// A webhook of the list.
#[derive(Debug, Clone)]
pub(crate) struct Webhook {
    id: String,
    url: Arc<str>,
    events: Events,
    sources: Sources,
}

impl Webhook {
    fn view(&self) -> Value {
        json!({
            "id": self.id,
            "url": &*self.url,
            "events": self.events,
            "sources": self.sources,
            "list_id": LIST_ID,
        })
    }
}

/// One webhook on its way.
#[derive(Debug, Clone)]
pub(crate) struct Notification {
    url: Arc<str>,
    form: Arc<str>,
}

/// What the list's webhooks have to tell since they were last asked.
pub(super) fn notifications(store: &mut Store) -> Vec<Notification> {
    let entries = store.journal.take();
    if store.webhooks.is_empty() || entries.is_empty() {
        return Vec::new();
    }
    let fields = store.fields();
    let mut notifications = Vec::new();
    for entry in entries {
        let wanted = store.webhooks.iter().filter(|webhook| {
            webhook.events.hold(&entry.kind) && webhook.sources.hold(entry.source)
        });
        let mut form: Option<Arc<str>> = None;
        for webhook in wanted {
            let form = form.get_or_insert_with(|| entry.form(&fields).into());
            notifications.push(Notification {
                url: Arc::clone(&webhook.url),
                form: Arc::clone(form),
            });
        }
    }
    notifications
}

impl Carrier for Mailchimp {
    type Event = Notification;

    fn outbox(&self) -> &Outbox<Notification> {
        &self.0.outbox
    }

    fn habits(&self) -> Habits {
        Habits {
            batch: 1,
            slots: Arc::clone(&self.0.slots),
            timeout: TIMEOUT,
            retries: RETRIES,
        }
    }

    fn request(
        &self,
        client: &Client,
        events: &[Notification],
        _attempt: u32,
        _sent_at: Millis,
    ) -> Option<RequestBuilder> {
        let Notification { url, form } = events.first()?;
        let known = self
            .store()
            .webhooks
            .iter()
            .any(|webhook| webhook.url == *url);
        let request = client
            .post(&**url)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(USER_AGENT, AGENT)
            .body(form.to_string());
        known.then_some(request)
    }
}

pub(super) fn routes() -> Router<Mailchimp> {
    Router::new()
        .route("/3.0/lists/{list}/webhooks", get(all).post(add))
        .route(
            "/3.0/lists/{list}/webhooks/{webhook}",
            get(one).patch(change).delete(remove),
        )
}

/// A webhook as a request describes it.
#[derive(Deserialize)]
struct Body {
    url: Option<String>,
    events: Option<Events>,
    sources: Option<Sources>,
}

fn refused(message: &str) -> Problem {
    Problem::Invalid(vec![FieldError::new("url", message)])
}

/// Mailchimp asks an address before it takes it, with `GET`, and wants 200 (V).
async fn probe(mailchimp: &Mailchimp, url: &str) -> Result<(), Problem> {
    let request = mailchimp.outbox().client().get(url);
    let answer = request
        .header(USER_AGENT, AGENT)
        .timeout(TIMEOUT)
        .send()
        .await;
    match answer {
        Ok(answer) if answer.status() == StatusCode::OK => Ok(()),
        Ok(answer) => Err(refused(&format!(
            "The URL {url} must answer 200, and answered {}",
            answer.status()
        ))),
        Err(_) => Err(refused(&format!("We couldn't connect to {url}"))),
    }
}

async fn all(
    State(mailchimp): State<Mailchimp>,
    Path(list): Path<String>,
) -> Result<Response, Problem> {
    check_list(&list)?;
    let store = mailchimp.store();
    let webhooks: Vec<Value> = store.webhooks.iter().map(Webhook::view).collect();
    let count = webhooks.len();
    Ok(reply::json(
        StatusCode::OK,
        &json!({ "webhooks": webhooks, "list_id": LIST_ID, "total_items": count }),
    ))
}

/// The same address twice is two webhooks, and both are sent.
async fn add(
    State(mailchimp): State<Mailchimp>,
    Path(list): Path<String>,
    body: Bytes,
) -> Result<Response, Problem> {
    check_list(&list)?;
    let body: Body = request::json(&body)?;
    let url = body
        .url
        .ok_or_else(|| refused("This value should not be blank."))?;
    probe(&mailchimp, &url).await?;
    let mut store = mailchimp.store();
    if store.webhooks.len() >= WEBHOOKS {
        return Err(Problem::BadRequest(format!(
            "A list can have {WEBHOOKS} webhooks."
        )));
    }
    let webhook = Webhook {
        id: store.webhook_id(),
        url: url.into(),
        events: body.events.unwrap_or_default(),
        sources: body.sources.unwrap_or_default(),
    };
    let view = webhook.view();
    store.webhooks.push(webhook);
    Ok(reply::json(StatusCode::OK, &view))
}

fn find<'a>(store: &'a mut Store, id: &str) -> Result<&'a mut Webhook, Problem> {
    store
        .webhooks
        .iter_mut()
        .find(|webhook| webhook.id == id)
        .ok_or(Problem::NotFound)
}

async fn one(
    State(mailchimp): State<Mailchimp>,
    Path((list, id)): Path<(String, String)>,
) -> Result<Response, Problem> {
    check_list(&list)?;
    let view = find(&mut mailchimp.store(), &id)?.view();
    Ok(reply::json(StatusCode::OK, &view))
}

async fn change(
    State(mailchimp): State<Mailchimp>,
    Path((list, id)): Path<(String, String)>,
    body: Bytes,
) -> Result<Response, Problem> {
    check_list(&list)?;
    let body: Body = request::json(&body)?;
    if let Some(url) = &body.url {
        probe(&mailchimp, url).await?;
    }
    let mut store = mailchimp.store();
    let webhook = find(&mut store, &id)?;
    webhook.url = body.url.map_or(Arc::clone(&webhook.url), Arc::from);
    webhook.events = body.events.unwrap_or(webhook.events);
    webhook.sources = body.sources.unwrap_or(webhook.sources);
    Ok(reply::json(StatusCode::OK, &webhook.view()))
}

async fn remove(
    State(mailchimp): State<Mailchimp>,
    Path((list, id)): Path<(String, String)>,
) -> Result<Response, Problem> {
    check_list(&list)?;
    let mut store = mailchimp.store();
    find(&mut store, &id)?;
    store.webhooks.retain(|webhook| webhook.id != id);
    Ok(reply::empty(StatusCode::NO_CONTENT))
}
