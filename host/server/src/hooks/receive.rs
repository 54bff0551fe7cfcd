//! Taking notifications: the secret, size and rate are looked at, the notification is kept, and accepted. Whether it is
//! genuine and what it is about is found out afterwards.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, OriginalUri, Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};
use jiff::Timestamp;
use samspel_model::hook::{Hook, HookReplies, HookReply, HookRequest, Notified};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;
use tower_http::timeout::TimeoutLayer;
use tracing::{debug, error, warn};

use crate::problem::Problem;
use crate::service::Service;
use samspel_installation::address;

/// Batches of a hundred events have some 50 KiB.
const BODY_BYTES: usize = 1 << 20;
/// Names and values of all headers.
const HEADER_BYTES: usize = 32 << 10;
/// From the first byte to the answer: whoever is slower holds a connection and nothing else.
const PATIENCE: Duration = Duration::from_secs(10);
/// Requests a second to one endpoint, and how many may come at once.
const RATE: u32 = 500;
const BURST: u32 = 2_000;
/// Requests a second with a wrong address, of everybody together.
const WRONG_RATE: u32 = 50;
/// Lines that are logged in a minute about notifications that nobody of ours sent.
const LINES: u32 = 20;
/// Notifications that wait to be understood, before no more are taken.
const BACKLOG: u64 = 100_000;

/// How often requests are taken.
pub(crate) struct Limits {
    by_endpoint: DefaultKeyedRateLimiter<String>,
    wrong: DefaultDirectRateLimiter,
    told: DefaultDirectRateLimiter,
}

impl Limits {
    pub fn new() -> Self {
        let number = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        let rate = Quota::per_second(number(RATE)).allow_burst(number(BURST));
        Self {
            by_endpoint: RateLimiter::keyed(rate),
            wrong: RateLimiter::direct(Quota::per_second(number(WRONG_RATE))),
            told: RateLimiter::direct(Quota::per_minute(number(LINES))),
        }
    }

    /// Not more than so many lines are logged about what strangers do.
    pub fn may_tell(&self) -> bool {
        self.told.check().is_ok()
    }
}

/// `/hooks/{endpoint}/{secret}`, with whatever a remote appends.
pub(crate) fn routes(service: Arc<Service>) -> Router {
    Router::new()
        .route("/hooks/{endpoint}/{secret}", any(receive))
        .route("/hooks/{endpoint}/{secret}/{*rest}", any(receive))
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .layer(TimeoutLayer::with_status_code(
            StatusCode::REQUEST_TIMEOUT,
            PATIENCE,
        ))
        .with_state(service)
}

#[derive(serde::Deserialize)]
struct Place {
    endpoint: String,
    secret: String,
}

async fn receive(
    State(service): State<Arc<Service>>,
    Path(Place { endpoint, secret }): Path<Place>,
    OriginalUri(uri): OriginalUri,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let metrics = &service.metrics;
    let host = service.host();
    // The same answer whatever is wrong with the address: nobody finds out which endpoints there are.
    if !is_right(&service, &endpoint, &secret).await {
        metrics.hook_refused("address");
        return match service.hooks.limits.wrong.check() {
            Ok(()) => StatusCode::NOT_FOUND.into_response(),
            Err(_) => too_many(),
        };
    }
    if service
        .hooks
        .limits
        .by_endpoint
        .check_key(&endpoint)
        .is_err()
    {
        metrics.hook_refused("rate");
        return too_many();
    }
    let Some(headers) = kept(&headers) else {
        metrics.hook_refused("size");
        return StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE.into_response();
    };
    let path = uri.path_and_query().map_or("", |path| path.as_str());
    let request = HookRequest {
        method: method.as_str().to_owned(),
        path: appended(path, &endpoint, &secret),
        headers,
        body: body.to_vec(),
    };
    // A probe changes nothing, so that nothing must be kept of it.
    let probe = matches!(method, Method::GET | Method::HEAD);
    let wanted = match replies(&host, &endpoint).await {
        Some(HookReplies::Always) => true,
        Some(HookReplies::Probes) => probe,
        _ => false,
    };
    let reply = if wanted {
        match service.hooks.ask(&host, &endpoint, request.clone()).await {
            Ok(reply) => reply,
            Err(why) => {
                warn!(
                    endpoint,
                    why, "a request that wants an answer was not understood"
                );
                None
            }
        }
    } else {
        None
    };
    if !probe {
        if service.hooks.waiting() >= BACKLOG {
            metrics.hook_refused("backlog");
            return Problem::new(StatusCode::SERVICE_UNAVAILABLE, "backlog")
                .detail("too many notifications wait to be understood")
                .retry_after(60)
                .into_response();
        }
        let hook = Hook {
            position: 0,
            endpoint: endpoint.clone(),
            received: Timestamp::now(),
            request,
            attempts: 0,
            error: None,
            due: None,
        };
        if let Err(error) = service.hook_store().keep_hook(&hook).await {
            // The remote sends it again, or the next reading finds what it was about.
            error!(endpoint, %error, "a notification could not be kept");
            metrics.hook_refused("store");
            return Problem::new(StatusCode::SERVICE_UNAVAILABLE, "store")
                .retry_after(10)
                .into_response();
        }
        metrics.hook_received(&endpoint);
        service.hooks.arrived(&service, &endpoint);
    }
    debug!(endpoint, %method, "a notification was received");
    reply.map_or_else(|| StatusCode::OK.into_response(), answer)
}

/// Whether the address was given out by us.
async fn is_right(service: &Arc<Service>, endpoint: &str, given: &str) -> bool {
    let host = service.host();
    if address::accounts(host.config(), endpoint).is_err() {
        return false;
    }
    let equals =
        |known: &SecretString| bool::from(known.expose_secret().as_bytes().ct_eq(given.as_bytes()));
    if let Some(known) = service.hooks.secret(endpoint)
        && equals(&known)
    {
        return true;
    }
    // It may have been made, or replaced, by another process. Asked for at a bounded rate.
    if service.hooks.limits.wrong.check().is_err() {
        return false;
    }
    match address::secret(&host, endpoint).await {
        Ok(Some(known)) => {
            let right = equals(&known);
            service.hooks.learn(endpoint, known);
            right
        }
        Ok(None) => false,
        Err(error) => {
            error!(endpoint, %error, "the secret of an address cannot be read");
            false
        }
    }
}

/// When the endpoint's remote wants certain answers; `None` if its connector takes no notifications or cannot be used.
async fn replies(host: &samspel_installation::Host, endpoint: &str) -> Option<HookReplies> {
    let accounts = address::accounts(host.config(), endpoint).ok()?;
    let hooks = host.hooked(accounts.first()?).await.ok()?;
    Some(hooks.hooks().replies)
}

fn too_many() -> Response {
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many")
        .retry_after(1)
        .into_response()
}

/// What stands behind the address that was given out.
fn appended(path: &str, endpoint: &str, secret: &str) -> String {
    let given = format!("/hooks/{endpoint}/{secret}");
    path.strip_prefix(&given).unwrap_or_default().to_owned()
}

/// The headers that a connector may see: what is between us, proxies and the remote is not its business.
fn kept(headers: &HeaderMap) -> Option<Vec<(String, String)>> {
    const HIDDEN: [&str; 8] = [
        "authorization",
        "connection",
        "cookie",
        "forwarded",
        "host",
        "proxy-authorization",
        "transfer-encoding",
        "x-real-ip",
    ];
    let kept: Vec<(String, String)> = headers
        .iter()
        .filter(|(name, _)| {
            !HIDDEN.contains(&name.as_str()) && !name.as_str().starts_with("x-forwarded-")
        })
        .filter_map(|(name, value)| {
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        })
        .collect();
    let bytes: usize = kept
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    (bytes <= HEADER_BYTES).then_some(kept)
}

/// A connector's answer. It speaks to the remote, not to a browser of our origin.
fn answer(reply: HookReply) -> Response {
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::OK);
    let mut response = (status, reply.body).into_response();
    for (name, value) in reply.headers {
        let lower = name.to_ascii_lowercase();
        let allowed = lower == "content-type" || lower.starts_with("x-");
        if let (true, Ok(name), Ok(value)) = (
            allowed,
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::from_str(&value),
        ) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_remote_appended_is_told() {
        assert_eq!(
            appended("/hooks/crm/s3/contact?x=1", "crm", "s3"),
            "/contact?x=1"
        );
        assert_eq!(appended("/hooks/crm/s3", "crm", "s3"), "");
        assert_eq!(appended("/hooks/crm/s3?x=1", "crm", "s3"), "?x=1");
    }

    #[test]
    fn a_connector_sees_no_cookies_and_no_more_headers_than_allowed() {
        let mut headers = HeaderMap::new();
        headers.insert("cookie", HeaderValue::from_static("a=b"));
        headers.insert("x-forwarded-for", HeaderValue::from_static("10.0.0.1"));
        headers.insert("x-signature", HeaderValue::from_static("abc"));
        assert_eq!(
            kept(&headers),
            Some(vec![("x-signature".to_owned(), "abc".to_owned())])
        );
        let long = "x".repeat(HEADER_BYTES);
        headers.insert(
            "x-long",
            HeaderValue::from_str(&long).unwrap_or(HeaderValue::from_static("")),
        );
        assert_eq!(kept(&headers), None);
    }
}
