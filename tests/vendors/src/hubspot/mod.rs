//! A simulated HubSpot account: contacts, communication preferences v4, properties, account information.
//!
//! Facts and where they come from (**(V)** vendor document or client, **(T)** third parties, **(M)** unverified
//! memory):
//! - bearer token, 401 otherwise; errors `{status, message, correlationId, category}` (V)
//! - `GET /crm/v3/objects/contacts`: at most 100 a page, opaque `after`, `archived`, `properties` (V); ordered by id
//!   (T)
//! - `GET|PATCH|DELETE /{id}?idProperty=`; DELETE archives, restorable for 90 days (V)
//! - a create whose address exists: 409 "Contact already exists. Existing ID: 123" (T, many clients parse it)
//! - `batch/{read,create,update,upsert,archive}`: 100 inputs (T); 207 with `errors[]` and `numErrors` (V)
//! - `POST /search`: at most 200 a page (V), 10,000 results then 400, 5 requests a second, index lag (T)
//! - statuses belong to the address, not to the contact (V); `hs_email_optout` follows from them and is read-only (T)
//! - e-mail addresses are stored in lower case; `createdate` and `lastmodifieddate` have milliseconds (T)
//! - an app's webhooks: up to 100 events in a request to one target URL (T), one event for each changed property,
//!   writes by the API too with `changeSource` `INTEGRATION` (T); signature version 3 (V); 5 s for an answer, 10
//!   repetitions (T). Target URL and client secret are entered by a user ([`HubSpotApp`])
//! - OAuth 2.0: see [`HubSpotClient`]
//! - 429 with `errorType: RATE_LIMIT` and `policyName`, `X-HubSpot-RateLimit-*` headers (T)
//!
//! What is not (V) is a switch where it matters: see [`HubSpotQuirks`].

mod account;
mod acts;
mod app;
mod batch;
mod consent;
mod contact;
mod error;
mod index;
mod journal;
mod limits;
mod oauth;
mod objects;
mod preferences;
mod properties;
mod quirks;
mod request;
mod search;
mod seed;
mod store;

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::Response;
use parking_lot::{Mutex, MutexGuard};
use serde_json::Value;
use tokio::net::TcpListener;

pub use acts::HubSpotAct;
pub use app::{AppSubscription, HubSpotApp};
pub use consent::{LegalBasis, SubscriptionState};
pub use oauth::HubSpotClient;
pub use properties::{
    CUSTOMER_NUMBER_PROPERTY, DELIVERABILITY_PROPERTY, NEWSLETTER, PropertyDefinition,
    PropertyOption, PropertyType, SUBSCRIPTION_TYPES, SubscriptionType,
};
pub use quirks::{BatchErrors, HubSpotQuirks};

use crate::hooks::{self, Outbox};
use crate::server::{self, Running};
use crate::settings::Settings;
use crate::vendor::{ActError, Core, DumpPage, Seeded, Vendor};
use app::{App, Event};
use journal::Watch;
use limits::Limits;
use oauth::Grants;
use store::{Context, Store};

/// The private-app token that the simulator accepts unless told otherwise.
pub const DEFAULT_TOKEN: &str = "pat-eu1-simulated-hubspot-token";

/// The account's id.
pub const PORTAL_ID: u64 = 24_601_337;

/// How to set a simulated HubSpot up.
#[derive(Debug, Clone)]
pub struct HubSpotOptions {
    /// The access token to accept.
    pub token: String,
    /// Switches; they can be changed later.
    pub settings: Settings<HubSpotQuirks>,
    /// Seed of random faults.
    pub fault_seed: u64,
}

impl Default for HubSpotOptions {
    fn default() -> Self {
        Self {
            token: DEFAULT_TOKEN.to_owned(),
            settings: Settings::default(),
            fault_seed: 0,
        }
    }
}

/// A simulated HubSpot account. Clones share the same state.
#[derive(Debug, Clone)]
pub struct HubSpot(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    core: Core<HubSpotQuirks>,
    authorization: String,
    store: Mutex<Store>,
    limits: Mutex<Limits>,
    app: Mutex<Option<Arc<App>>>,
    grants: Mutex<Grants>,
    outbox: Outbox<Event>,
}

impl HubSpot {
    /// An empty account.
    #[must_use]
    pub fn new(options: HubSpotOptions) -> Self {
        Self(Arc::new(Inner {
            core: Core::new(options.settings, options.fault_seed),
            authorization: format!("Bearer {}", options.token),
            store: Mutex::new(Store::new()),
            limits: Mutex::new(Limits::new()),
            app: Mutex::new(None),
            grants: Mutex::default(),
            outbox: Outbox::new(options.fault_seed),
        }))
    }

    /// Serves the account on `listener`.
    ///
    /// # Errors
    /// When the listener's address cannot be read.
    pub fn serve(&self, listener: TcpListener) -> std::io::Result<Running<Self>> {
        server::serve(self.clone(), listener)
    }

    /// Serves the account on a free port of the loopback interface.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn serve_on_loopback(&self) -> std::io::Result<Running<Self>> {
        self.serve(TcpListener::bind(("127.0.0.1", 0)).await?)
    }

    /// How many contacts are live and how many archived.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let store = self.store();
        (store.live().len(), store.archived().len())
    }

    /// Installs an app, or replaces the one that is there: its webhooks tell of changes from now on.
    pub fn install_app(&self, app: HubSpotApp) {
        *self.0.app.lock() = Some(Arc::new(App::new(app)));
    }

    /// Removes the app. Events that wait are given up.
    pub fn remove_app(&self) {
        *self.0.app.lock() = None;
    }

    fn app(&self) -> Option<Arc<App>> {
        self.0.app.lock().clone()
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.0.store.lock()
    }

    /// Runs a change by the API under the present rules and time.
    fn change<T>(&self, change: impl FnOnce(&mut Store, Context<'_>) -> T) -> T {
        self.change_watched(Watch::Integration, change)
    }

    /// Runs a change by others, or one that nobody is told of.
    fn change_watched<T>(
        &self,
        watch: Watch,
        change: impl FnOnce(&mut Store, Context<'_>) -> T,
    ) -> T {
        let settings = self.0.core.settings();
        let app = self.app();
        let context = Context {
            now: self.0.core.clock.now(),
            quirks: &settings.quirks,
            watch: if app.is_some() { watch } else { Watch::Nobody },
        };
        let mut store = self.store();
        let changed = change(&mut store, context);
        if let Some(app) = app {
            let registry = store.registry();
            let entries = store.journal.take();
            let events = entries
                .into_iter()
                .filter_map(|entry| app.event(entry, context.now, &registry));
            // Under the store's lock, so that events leave in the order of changes.
            hooks::tell(self, events);
        }
        changed
    }
}

impl Vendor for HubSpot {
    type Quirks = HubSpotQuirks;
    type Act = HubSpotAct;

    fn core(&self) -> &Core<HubSpotQuirks> {
        &self.0.core
    }

    fn routes(&self) -> Router {
        Router::new()
            .merge(objects::routes())
            .merge(batch::routes())
            .merge(search::routes())
            .merge(preferences::routes())
            .merge(account::routes())
            .fallback(async || error::outside(StatusCode::NOT_FOUND))
            .with_state(self.clone())
    }

    fn open_routes(&self) -> Router {
        oauth::routes(self.clone())
    }

    fn control(&self) -> Router {
        app::control(self.clone())
    }

    fn authorized(&self, headers: &HeaderMap) -> bool {
        let Some(given) = headers.get(AUTHORIZATION) else {
            return false;
        };
        let token = given.to_str().unwrap_or_default().strip_prefix("Bearer ");
        given.as_bytes() == self.0.authorization.as_bytes()
            || token.is_some_and(|token| {
                let now = self.0.core.clock.now();
                self.0.grants.lock().accept(token, now)
            })
    }

    fn admit(&self, request: &Parts, _in_flight: usize) -> Result<HeaderMap, Box<Response>> {
        let settings = self.0.core.settings();
        let quirks = &settings.quirks;
        let mut headers = HeaderMap::new();
        if !quirks.rate_limits {
            return Ok(headers);
        }
        let now = Instant::now();
        let mut limits = self.0.limits.lock();
        if request.uri.path().ends_with("/search") {
            return match limits.search(quirks.search_limit, now) {
                Some(_) => Ok(headers),
                None => Err(Box::new(error::rate_limited("SECONDLY", "secondly"))),
            };
        }
        let left = limits.burst(quirks.burst_limit, now);
        if quirks.rate_limit_headers {
            headers.insert(
                "x-hubspot-ratelimit-interval-milliseconds",
                HeaderValue::from_static("10000"),
            );
            headers.insert("x-hubspot-ratelimit-max", quirks.burst_limit.into());
            headers.insert("x-hubspot-ratelimit-remaining", left.unwrap_or(0).into());
        }
        if left.is_some() {
            return Ok(headers);
        }
        let mut refused = error::outside(StatusCode::TOO_MANY_REQUESTS);
        refused.headers_mut().extend(headers);
        Err(Box::new(refused))
    }

    fn error(&self, status: StatusCode) -> Response {
        error::outside(status)
    }

    fn is_write(&self, request: &Parts) -> bool {
        let path = request.uri.path();
        match request.method {
            Method::GET | Method::HEAD | Method::OPTIONS => false,
            Method::POST => !(path.ends_with("/search") || path.ends_with("/read")),
            _ => true,
        }
    }

    fn act(&self, act: HubSpotAct) -> Result<Value, ActError> {
        acts::perform(self, act)
    }

    fn seed(&self, count: u64, seed: u64) -> Seeded {
        seed::fill(self, count, seed)
    }

    fn dump(&self, from: u64, stable: bool) -> DumpPage {
        seed::dump(self, from, stable)
    }
}
