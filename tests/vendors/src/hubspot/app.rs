//! An app whose webhooks tell of changes in the account. At HubSpot a user sets it up; here the control API does:
//! `PUT /_control/app` with a [`HubSpotApp`], `GET` to read it, `DELETE` to remove it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::{Client, RequestBuilder};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::sync::Semaphore;

use super::journal::{Entry, Happening};
use super::properties::Registry;
use super::{HubSpot, PORTAL_ID};
use crate::clock::Millis;
use crate::hooks::{Carrier, Habits, Outbox};
use crate::reply;

/// The most events in one request (T).
const BATCH: usize = 100;
/// How long HubSpot waits for an answer (T).
const TIMEOUT: Duration = Duration::from_secs(5);
/// How often HubSpot repeats a request (T).
const RETRIES: u32 = 10;

/// An app as a user sets it up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HubSpotApp {
    /// Where its webhooks go; an app has one address. This text, as it is here, is what gets signed.
    pub target_url: String,
    /// What signs them.
    pub client_secret: String,
    /// The app's id.
    #[serde(default = "default_id")]
    pub app_id: u64,
    /// How many requests may be under way at once.
    #[serde(default = "default_concurrency")]
    pub max_concurrent_requests: usize,
    /// What it is told of; absent means everything about contacts.
    #[serde(default)]
    pub subscriptions: Option<Vec<AppSubscription>>,
}

/// One kind of event that an app is told of (V).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppSubscription {
    /// Such as `contact.propertyChange`.
    pub event_type: String,
    /// Of that one: changes of this property. Each property is a subscription of its own.
    #[serde(default)]
    pub property_name: Option<String>,
}

fn default_id() -> u64 {
    1_160_452
}

fn default_concurrency() -> usize {
    10
}

/// An app at work.
#[derive(Debug)]
pub(super) struct App {
    set_up: HubSpotApp,
    slots: Arc<Semaphore>,
    next_event: AtomicU64,
}

/// An event, without the number of the attempt.
#[derive(Debug, Clone)]
pub(crate) struct Event(Value);

impl App {
    pub(super) fn new(set_up: HubSpotApp) -> Self {
        Self {
            slots: Arc::new(Semaphore::new(set_up.max_concurrent_requests.max(1))),
            next_event: AtomicU64::new(1),
            set_up,
        }
    }

    /// The place of the subscription to such events.
    fn subscription(&self, kind: &str, property: Option<&str>) -> Option<usize> {
        match &self.set_up.subscriptions {
            None => Some(0),
            Some(subscriptions) => subscriptions
                .iter()
                .position(|s| s.event_type == kind && s.property_name.as_deref() == property),
        }
    }

    /// The event that tells of a happening, if the app is told of it.
    pub(super) fn event(&self, entry: Entry, at: Millis, registry: &Registry) -> Option<Event> {
        let property = match &entry.happening {
            Happening::Changed { property, .. } => Some(registry.get(*property).name.as_str()),
            _ => None,
        };
        let kind = match entry.happening {
            Happening::Created => "contact.creation",
            Happening::Changed { .. } => "contact.propertyChange",
            Happening::Deleted => "contact.deletion",
            Happening::Purged => "contact.privacyDeletion",
            Happening::Restored => "contact.restore",
            Happening::Merged { .. } => "contact.merge",
        };
        let subscription = self.subscription(kind, property)?;
        let mut event = json!({
            "eventId": self.next_event.fetch_add(1, Ordering::Relaxed),
            "subscriptionId": 2_000 + subscription,
            "portalId": PORTAL_ID,
            "appId": self.set_up.app_id,
            "occurredAt": at.0,
            "subscriptionType": kind,
            "objectId": entry.contact,
            "changeSource": entry.by.change_source(),
        });
        match entry.happening {
            Happening::Created => event["changeFlag"] = json!("NEW"),
            Happening::Deleted | Happening::Purged => event["changeFlag"] = json!("DELETED"),
            Happening::Restored => {}
            Happening::Changed { value, .. } => {
                event["propertyName"] = json!(property);
                event["propertyValue"] = json!(value.as_deref().unwrap_or_default());
            }
            Happening::Merged {
                primary,
                other,
                new,
            } => {
                event["primaryObjectId"] = json!(primary);
                event["mergedObjectIds"] = json!([other]);
                event["newObjectId"] = json!(new);
                event["numberOfPropertiesMoved"] = json!(0);
            }
        }
        Some(Event(event))
    }

    /// The third version of the signature (V).
    fn signature(&self, body: &[u8], sent_at: Millis) -> String {
        // HMAC takes keys of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.set_up.client_secret.as_bytes())
        else {
            return String::new();
        };
        mac.update(b"POST");
        mac.update(self.set_up.target_url.as_bytes());
        mac.update(body);
        mac.update(sent_at.0.to_string().as_bytes());
        STANDARD.encode(mac.finalize().into_bytes())
    }
}

impl Carrier for HubSpot {
    type Event = Event;

    fn outbox(&self) -> &Outbox<Event> {
        &self.0.outbox
    }

    fn habits(&self) -> Habits {
        let slots = match self.app() {
            Some(app) => Arc::clone(&app.slots),
            None => Arc::new(Semaphore::new(1)),
        };
        Habits {
            batch: BATCH,
            slots,
            timeout: TIMEOUT,
            retries: RETRIES,
        }
    }

    fn request(
        &self,
        client: &Client,
        events: &[Event],
        attempt: u32,
        sent_at: Millis,
    ) -> Option<RequestBuilder> {
        let app = self.app()?;
        let events: Vec<Value> = events
            .iter()
            .map(|Event(event)| {
                let mut event = event.clone();
                event["attemptNumber"] = json!(attempt);
                event
            })
            .collect();
        let body = Value::from(events).to_string().into_bytes();
        let request = client
            .post(&app.set_up.target_url)
            .header(CONTENT_TYPE, "application/json")
            .header("x-hubspot-signature-v3", app.signature(&body, sent_at))
            .header("x-hubspot-request-timestamp", sent_at.0)
            .body(body);
        Some(request)
    }
}

/// The routes below `/_control`.
pub(super) fn control(hubspot: HubSpot) -> Router {
    Router::new()
        .route("/_control/app", get(show).put(install).delete(remove))
        .with_state(hubspot)
}

fn answer(hubspot: &HubSpot) -> Response {
    let app = hubspot.app();
    reply::json(StatusCode::OK, &app.as_ref().map(|app| &app.set_up))
}

async fn show(State(hubspot): State<HubSpot>) -> Response {
    answer(&hubspot)
}

async fn install(State(hubspot): State<HubSpot>, Json(app): Json<HubSpotApp>) -> Response {
    hubspot.install_app(app);
    answer(&hubspot)
}

async fn remove(State(hubspot): State<HubSpot>) -> Response {
    hubspot.remove_app();
    answer(&hubspot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_over_method_address_body_and_time() {
        let app = App::new(HubSpotApp {
            target_url: "https://samspel.example/hooks/hs/secret".to_owned(),
            client_secret: "client".to_owned(),
            app_id: 1,
            max_concurrent_requests: 1,
            subscriptions: None,
        });
        // From `openssl dgst -sha256 -hmac client -binary | base64` over the four parts.
        assert_eq!(
            app.signature(b"[]", Millis(1_795_497_360_000)),
            "Cp8fiOL6Q4U7GFKvbO7gwvxqsAKsdrxU8dMm4xIbB+w="
        );
    }
}
