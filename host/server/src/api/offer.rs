//! One operation, done for whoever asks and may.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, RawQuery, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use samspel_installation::{Error, Host};
use samspel_model::access::{AuditEntry, AuditOutcome, Principal};
use samspel_operations::{Operation, Route, Surroundings, Work, perform};
use samspel_sync::Progress;
use serde_json::{Map, Value, json};
use tokio::runtime::Handle;
use tracing::{error, info_span};
use url::form_urlencoded;

use super::requests::{self, Claim};
use super::stream;
use crate::problem::Problem;
use crate::service::Service;

/// What a request may hold.
const BODY_BYTES: usize = 1 << 20;
/// A component of 64 MiB as base64, and what belongs to it.
const LARGE_BODY_BYTES: usize = 96 << 20;
/// A request that does not arrive within this is given up: it would be held for nothing.
const ARRIVE: Duration = Duration::from_secs(30);
const ARRIVE_LARGE: Duration = Duration::from_secs(300);

/// What an operation's result is as an answer: its text, or what went wrong.
pub(super) type Outcome = Result<String, Error>;

/// Does an operation.
pub(super) async fn offer<O: Operation>(
    State(service): State<Arc<Service>>,
    Extension(principal): Extension<Principal>,
    path: Result<RawPathParams, RawPathParamsRejection>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let route = O::ROUTE;
    if !principal.may(route.role) {
        return forbid(&service, &principal, &route).await;
    }
    let Ok(path) = path else {
        return malformed("the path is no text").into_response();
    };
    let body = match arrive(&route, &headers, body).await {
        Ok(body) => body,
        Err(problem) => return problem.into_response(),
    };
    let said = said::<O>(&path, query.as_deref().unwrap_or_default(), &body);
    let operation = match said {
        Ok(operation) => operation,
        Err(why) => return malformed(&why).into_response(),
    };
    let claim = match requests::claim(&service, &principal, &route, &headers, &operation).await {
        Ok(claim) => claim,
        Err(known) => return *known,
    };
    let streams = route.long
        && headers.get_all(ACCEPT).iter().any(|accept| {
            accept
                .to_str()
                .is_ok_and(|it| it.contains("text/event-stream"))
        });
    if streams {
        return stream::follow(|progress| begin(service, principal, operation, claim, progress));
    }
    match begin(
        service,
        principal,
        operation,
        claim,
        Box::new(samspel_sync::Silent),
    )
    .await
    {
        Ok(text) => ([(CONTENT_TYPE, "application/json")], text).into_response(),
        Err(error) => Problem::from(&error).into_response(),
    }
}

/// Does it on a thread of its own: what it computes holds up nobody else, and it goes on to its end if whoever asked
/// goes away.
async fn begin<O: Operation>(
    service: Arc<Service>,
    principal: Principal,
    operation: O,
    claim: Option<Claim>,
    progress: Box<dyn Progress>,
) -> Outcome {
    let runtime = Handle::current();
    let doing = Arc::clone(&service);
    let done = service.tasks.spawn_blocking(move || {
        let who = principal.actor();
        let _span = info_span!("api", operation = O::ROUTE.id, who).entered();
        runtime.block_on(async {
            let outcome = act(&doing, &who, &operation, progress.as_ref()).await;
            if let Some(claim) = claim {
                claim.answered(&doing, &outcome).await;
            }
            outcome
        })
    });
    done.await.unwrap_or_else(|panic| {
        error!(operation = O::ROUTE.id, %panic, "an operation panicked");
        Err(Error::new(
            samspel_installation::Kind::Failure,
            "the operation panicked; this is a bug in Samspel, and the host's log holds the place",
        ))
    })
}

async fn act<O: Operation>(
    service: &Arc<Service>,
    who: &str,
    operation: &O,
    progress: &dyn Progress,
) -> Outcome {
    let host = service.host();
    let work = Work {
        host: &host,
        who,
        at_host: false,
        progress,
        stop: service.stop.child_token(),
        person: None,
        authorisations: &service.api.authorisations,
        surroundings: service.as_ref(),
    };
    let done = perform(operation, &work).await?;
    serde_json::to_string(&done)
        .map_err(|error| Error::new(samspel_installation::Kind::Failure, error))
}

impl Surroundings for Service {
    fn changed(&self, sync: &str) {
        // One that is configured no more has nobody to tell.
        let _ = self.scheduler.tell(sync, Duration::ZERO);
    }

    fn interrupt(&self, sync: &str) {
        // Whoever else works on it is named when it cannot be done.
        let _ = self.scheduler.interrupt(sync);
    }

    fn notifications_are_due(&self) {
        self.hooks.look();
    }
}

/// Not allowed, which is worth a line in the audit log if something was to be changed.
async fn forbid(service: &Service, principal: &Principal, route: &Route) -> Response {
    let host: Arc<Host> = service.host();
    if route.method != Method::GET {
        let entry = AuditEntry {
            at: host.clock().now(),
            who: principal.actor(),
            action: route.id.to_owned(),
            subject: None,
            detail: json!({ "role": principal.role, "needed": route.role }),
            outcome: AuditOutcome::Refused,
        };
        if let Err(error) = host.access().audit(entry).await {
            error!(%error, "the audit log cannot be written");
        }
    }
    Problem::new(StatusCode::FORBIDDEN, "forbidden")
        .detail(format!(
            "token {} is one of a {}, and this takes the role {}",
            principal.id, principal.role, route.role
        ))
        .into_response()
}

/// The body, once all of it is there.
async fn arrive(route: &Route, headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    let (most, patience) = if route.large {
        (LARGE_BODY_BYTES, ARRIVE_LARGE)
    } else {
        (BODY_BYTES, ARRIVE)
    };
    let body = match tokio::time::timeout(patience, to_bytes(body, most)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => {
            return Err(
                Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large").detail(format!(
                    "the request holds more than {most} bytes, or broke off"
                )),
            );
        }
        Err(_) => {
            return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "too-slow")
                .detail("the request did not arrive in time"));
        }
    };
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let is_json = kind.is_some_and(|kind| {
        let kind = kind.split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case("application/json")
    });
    if !body.is_empty() && !is_json {
        return Err(
            Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type")
                .detail("the body is not `content-type: application/json`"),
        );
    }
    Ok(body)
}

/// What a request says, from its path and its query or body.
fn said<O: Operation>(path: &RawPathParams, query: &str, body: &[u8]) -> Result<O, String> {
    if O::ROUTE.method == Method::GET {
        if !body.is_empty() {
            return Err("a request that looks has no body".to_owned());
        }
        let mut pairs = form_urlencoded::Serializer::new(String::new());
        pairs.extend_pairs(path.iter());
        pairs.extend_pairs(form_urlencoded::parse(query.as_bytes()));
        let text = pairs.finish();
        let input = form_urlencoded::parse(text.as_bytes());
        let input = serde_urlencoded::Deserializer::new(input);
        return serde_path_to_error::deserialize(input).map_err(told);
    }
    if !query.is_empty() {
        return Err("what is to be done is said in the body, not in the query".to_owned());
    }
    let mut said = if body.is_empty() {
        Map::new()
    } else {
        serde_json::from_slice::<Map<String, Value>>(body).map_err(|error| {
            // Its own words may quote what was sent.
            format!(
                "the body is no JSON object (line {}, column {})",
                error.line(),
                error.column()
            )
        })?
    };
    for (name, value) in path {
        if said.insert(name.to_owned(), json!(value)).is_some() {
            return Err(format!("`{name}` is said by the path already"));
        }
    }
    serde_path_to_error::deserialize(Value::Object(said)).map_err(told)
}

fn told<E: std::fmt::Display>(error: serde_path_to_error::Error<E>) -> String {
    let place = error.path().to_string();
    match place.as_str() {
        "." | "?" => error.inner().to_string(),
        place => format!("`{place}`: {}", error.inner()),
    }
}

fn malformed(why: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "malformed").detail(why)
}
