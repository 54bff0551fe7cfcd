//! A simulated Mailchimp account with one list (audience).
//!
//! Facts and where they come from (**(V)** vendor document or client, **(T)** third parties, **(M)** unverified
//! memory):
//! - Basic authentication with any user and the API key, or Bearer; errors as problem+json (V)
//! - a member is addressed by the MD5 of its address in lower case, by the address, or by its contact id (V); the MD5
//!   follows a changed address, the contact id stays (T)
//! - `GET /lists/{id}/members`: 10 by default, at most 1,000, by offset; archived members only with `status=archived`;
//!   `unsubscribed_since` only with `status=unsubscribed` (V). In the order of joining unless sorted (M); pages shift
//!   when a member goes away meanwhile
//! - `POST /lists/{id}`: at most 500 members; always 200, with `errors[]` (V)
//! - DELETE archives; `actions/delete-permanent` deletes, and the API cannot add the address again (V)
//! - unsubscribed and cleaned members cannot be set to subscribed: 400 "Member In Compliance State" (T)
//! - `last_changed` has whole seconds (V)
//! - webhooks of the list: `subscribe`, `unsubscribe`, `profile`, `cleaned`, `upemail`, `campaign`; sources `user`,
//!   `admin`, `api`; form-encoded `type`, `fired_at`, `data[...]`; a `GET` to the address before it is taken; 10 s for
//!   an answer; the same address twice is two webhooks (V). Repeated for 75 minutes (T). Which fields `data` has is
//!   (T), which act is whose and that tags tell nothing is (M)
//! - 10 simultaneous connections; beyond, 429 without headers or a bare 403 (T)
//!
//! What is not (V) is a switch where it matters: see [`MailchimpQuirks`].

mod acts;
mod batch;
mod error;
mod journal;
mod listing;
mod lists;
mod mask;
mod member;
mod members;
mod merge;
mod quirks;
mod request;
mod seed;
mod store;
mod webhooks;

use std::sync::Arc;

use axum::Router;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::{Mutex, MutexGuard};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

pub use acts::MailchimpAct;
pub use member::MemberStatus;
pub use merge::{MergeField, MergeType};
pub use quirks::{Compliance, MailchimpQuirks, OverLimit};

use crate::gate;
use crate::hooks::{self, Outbox};
use crate::server::{self, Running};
use crate::settings::Settings;
use crate::vendor::{ActError, Core, DumpPage, Seeded, Vendor};
use journal::Source;
use store::{Actor, Context, Store};
use webhooks::Notification;

/// The API key that the simulator accepts unless told otherwise; its ending names the data centre, as in real keys.
pub const DEFAULT_KEY: &str = "simulated0mailchimp0key0000000000-us19";

/// The list's id.
pub const LIST_ID: &str = "5a3e1c0de7";

/// How to set a simulated Mailchimp up.
#[derive(Debug, Clone)]
pub struct MailchimpOptions {
    /// The API key to accept.
    pub key: String,
    /// Switches; they can be changed later.
    pub settings: Settings<MailchimpQuirks>,
    /// Seed of random faults.
    pub fault_seed: u64,
}

impl Default for MailchimpOptions {
    fn default() -> Self {
        Self {
            key: DEFAULT_KEY.to_owned(),
            settings: Settings::default(),
            fault_seed: 0,
        }
    }
}

/// A simulated Mailchimp account. Clones share the same state.
#[derive(Debug, Clone)]
pub struct Mailchimp(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    core: Core<MailchimpQuirks>,
    key: String,
    store: Mutex<Store>,
    outbox: Outbox<Notification>,
    /// How many webhooks may be under way at once; Mailchimp does not say.
    slots: Arc<Semaphore>,
}

impl Mailchimp {
    /// An account with an empty list.
    #[must_use]
    pub fn new(options: MailchimpOptions) -> Self {
        Self(Arc::new(Inner {
            core: Core::new(options.settings, options.fault_seed),
            key: options.key,
            store: Mutex::new(Store::new()),
            outbox: Outbox::new(options.fault_seed),
            slots: Arc::new(Semaphore::new(webhooks::SLOTS)),
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

    /// How many members are present and how many archived.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let store = self.store();
        (
            store.present().by_id().len(),
            store.archived().by_id().len(),
        )
    }

    /// Webhooks that the list has.
    #[must_use]
    pub fn webhooks(&self) -> usize {
        self.store().webhooks.len()
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.0.store.lock()
    }

    /// Runs a change under the present rules and time.
    fn change<T>(
        &self,
        actor: Actor,
        skip_merge_validation: bool,
        change: impl FnOnce(&mut Store, Context<'_>) -> T,
    ) -> T {
        let source = match actor {
            Actor::Api => Source::Api,
            Actor::Outside => Source::User,
        };
        self.change_from(actor, Some(source), skip_merge_validation, change)
    }

    /// The same, with what webhooks tell of whose act it is.
    fn change_from<T>(
        &self,
        actor: Actor,
        source: Option<Source>,
        skip_merge_validation: bool,
        change: impl FnOnce(&mut Store, Context<'_>) -> T,
    ) -> T {
        let settings = self.0.core.settings();
        let mut store = self.store();
        let context = Context {
            now: self.0.core.clock.now().seconds(),
            actor,
            // Without webhooks there is nobody to tell.
            source: source.filter(|_| !store.webhooks.is_empty()),
            quirks: &settings.quirks,
            skip_merge_validation,
        };
        let changed = change(&mut store, context);
        let notifications = webhooks::notifications(&mut store);
        // Under the store's lock, so that they leave in the order of changes.
        hooks::tell(self, notifications);
        changed
    }
}

impl Vendor for Mailchimp {
    type Quirks = MailchimpQuirks;
    type Act = MailchimpAct;

    fn core(&self) -> &Core<MailchimpQuirks> {
        &self.0.core
    }

    fn routes(&self) -> Router {
        Router::new()
            .merge(lists::routes())
            .merge(listing::routes())
            .merge(members::routes())
            .merge(batch::routes())
            .merge(webhooks::routes())
            .fallback(async || error::outside(StatusCode::NOT_FOUND))
            .with_state(self.clone())
    }

    fn authorized(&self, headers: &HeaderMap) -> bool {
        let Some(header) = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
        else {
            return false;
        };
        if let Some(token) = header.strip_prefix("Bearer ") {
            return token == self.0.key;
        }
        let decoded = header
            .strip_prefix("Basic ")
            .and_then(|encoded| STANDARD.decode(encoded).ok());
        decoded.is_some_and(|pair| pair.split(|b| *b == b':').nth(1) == Some(self.0.key.as_bytes()))
    }

    fn admit(&self, _request: &Parts, in_flight: usize) -> Result<HeaderMap, Box<Response>> {
        let settings = self.0.core.settings();
        let limit = settings.quirks.max_in_flight;
        if limit == 0 || in_flight <= limit {
            return Ok(HeaderMap::new());
        }
        Err(Box::new(match settings.quirks.over_limit {
            OverLimit::TooManyRequests => error::outside(StatusCode::TOO_MANY_REQUESTS),
            OverLimit::BareForbidden => gate::bare_forbidden(),
        }))
    }

    fn error(&self, status: StatusCode) -> Response {
        error::outside(status)
    }

    fn is_write(&self, request: &Parts) -> bool {
        !matches!(request.method, Method::GET | Method::HEAD | Method::OPTIONS)
    }

    fn act(&self, act: MailchimpAct) -> Result<Value, ActError> {
        acts::perform(self, act)
    }

    fn seed(&self, count: u64, seed: u64) -> Seeded {
        seed::fill(self, count, seed)
    }

    fn dump(&self, from: u64, stable: bool) -> DumpPage {
        seed::dump(self, from, stable)
    }
}
