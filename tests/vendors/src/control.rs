//! The control API: what a test or the demo does to a simulator from outside. It is **not** part of either vendor's
//! API, needs no credential, and is neither delayed nor counted nor subject to faults.
//!
//! | method and path | meaning |
//! | --- | --- |
//! | `GET /_control/health` | 200 when it serves |
//! | `GET /_control/stats`, `POST /_control/stats/reset` | counters ([`crate::stats::StatsReport`]) |
//! | `GET /_control/settings`, `PATCH /_control/settings` | switches; PATCH takes a JSON merge patch |
//! | `GET`/`POST`/`DELETE /_control/faults` | scripted faults: a list of [`crate::faults::Scripted`] |
//! | `POST /_control/clock` | `{"advance_ms": n}`: moves the simulator's clock |
//! | `POST /_control/seed` | `{"contacts": n, "seed": s}`: adds test people |
//! | `POST /_control/acts` | one user act or a list of them; answers the records as they are then |
//! | `GET /_control/records` | every record as JSON lines, streamed |
//! | `GET`/`PUT`/`DELETE /_control/app` | HubSpot only: the app whose webhooks are sent ([`crate::hubspot::HubSpotApp`]) |
//! | `GET /_control/digest` | number of records and a SHA-256 over their contents without ids and times |

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use futures::stream;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::faults::Scripted;
use crate::reply;
use crate::vendor::{ActError, Vendor};

/// How many records there are and what they contain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// Records, archived ones included.
    pub records: u64,
    /// SHA-256, in hexadecimal, over the sorted records without ids and times.
    pub sha256: String,
}

/// Reads every record and sums them up.
pub(crate) fn digest<V: Vendor>(vendor: &V) -> Digest {
    let mut hashes: Vec<[u8; 32]> = Vec::new();
    let mut from = Some(0);
    while let Some(at) = from {
        let page = vendor.dump(at, true);
        let lines = page
            .lines
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty());
        hashes.extend(lines.map(|line| <[u8; 32]>::from(Sha256::digest(line))));
        from = page.next;
    }
    hashes.sort_unstable();
    let mut all = Sha256::new();
    for hash in &hashes {
        all.update(hash);
    }
    Digest {
        records: hashes.len() as u64,
        sha256: hex::encode(all.finalize()),
    }
}

/// The routes below `/_control`.
pub(crate) fn routes<V: Vendor>(vendor: V) -> Router {
    Router::new()
        .route("/_control/health", get(|| async { "ok" }))
        .route("/_control/stats", get(stats::<V>))
        .route("/_control/stats/reset", post(reset_stats::<V>))
        .route(
            "/_control/settings",
            get(settings::<V>).patch(change_settings::<V>),
        )
        .route(
            "/_control/faults",
            get(faults::<V>)
                .post(script_faults::<V>)
                .delete(clear_faults::<V>),
        )
        .route("/_control/clock", post(advance_clock::<V>))
        .route("/_control/seed", post(seed::<V>))
        .route("/_control/acts", post(acts::<V>))
        .route("/_control/records", get(records::<V>))
        .route("/_control/digest", get(digest_now::<V>))
        .with_state(vendor.clone())
        .merge(vendor.control())
}

fn refused(status: StatusCode, error: &impl ToString) -> Response {
    reply::json(status, &json!({ "error": error.to_string() }))
}

async fn stats<V: Vendor>(State(vendor): State<V>) -> Response {
    reply::json(StatusCode::OK, &vendor.core().stats.report())
}

async fn reset_stats<V: Vendor>(State(vendor): State<V>) -> Response {
    reply::json(StatusCode::OK, &vendor.core().stats.reset())
}

async fn settings<V: Vendor>(State(vendor): State<V>) -> Response {
    reply::json(StatusCode::OK, vendor.core().settings().as_ref())
}

async fn change_settings<V: Vendor>(State(vendor): State<V>, Json(patch): Json<Value>) -> Response {
    match vendor.core().settings.merge(&patch) {
        Ok(now) => reply::json(StatusCode::OK, now.as_ref()),
        Err(error) => refused(StatusCode::BAD_REQUEST, &error),
    }
}

async fn faults<V: Vendor>(State(vendor): State<V>) -> Response {
    reply::json(StatusCode::OK, &vendor.core().faults.pending())
}

async fn script_faults<V: Vendor>(
    State(vendor): State<V>,
    Json(script): Json<Vec<Scripted>>,
) -> Response {
    vendor.core().faults.script(script);
    reply::json(StatusCode::OK, &vendor.core().faults.pending())
}

async fn clear_faults<V: Vendor>(State(vendor): State<V>) -> Response {
    reply::json(
        StatusCode::OK,
        &json!({ "removed": vendor.core().faults.clear_script() }),
    )
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    advance_ms: i64,
}

async fn advance_clock<V: Vendor>(State(vendor): State<V>, Json(by): Json<Advance>) -> Response {
    reply::json(
        StatusCode::OK,
        &json!({ "now": vendor.core().clock.advance(by.advance_ms) }),
    )
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SeedRequest {
    contacts: u64,
    #[serde(default)]
    seed: u64,
}

async fn seed<V: Vendor>(State(vendor): State<V>, Json(wanted): Json<SeedRequest>) -> Response {
    // Generating a hundred thousand people takes a moment; other requests go on meanwhile.
    let seeded =
        tokio::task::spawn_blocking(move || vendor.seed(wanted.contacts, wanted.seed)).await;
    match seeded {
        Ok(seeded) => reply::json(StatusCode::OK, &seeded),
        Err(error) => refused(StatusCode::INTERNAL_SERVER_ERROR, &error),
    }
}

async fn acts<V: Vendor>(State(vendor): State<V>, body: Bytes) -> Response {
    let single = body.iter().find(|b| !b.is_ascii_whitespace()) != Some(&b'[');
    let parsed: Result<Vec<V::Act>, _> = if single {
        serde_json::from_slice(&body).map(|act| vec![act])
    } else {
        serde_json::from_slice(&body)
    };
    let acts = match parsed {
        Ok(acts) => acts,
        Err(error) => return refused(StatusCode::BAD_REQUEST, &error),
    };
    let mut done = Vec::with_capacity(acts.len());
    for act in acts {
        match vendor.act(act) {
            Ok(record) => done.push(record),
            Err(error @ ActError::NotFound(_)) => return refused(StatusCode::NOT_FOUND, &error),
            Err(error @ ActError::Refused(_)) => return refused(StatusCode::CONFLICT, &error),
        }
    }
    let answer = if single {
        done.pop().unwrap_or(Value::Null)
    } else {
        Value::Array(done)
    };
    reply::json(StatusCode::OK, &answer)
}

#[derive(Deserialize)]
struct DumpQuery {
    #[serde(default)]
    stable: bool,
}

async fn records<V: Vendor>(State(vendor): State<V>, Query(query): Query<DumpQuery>) -> Response {
    let pages = stream::unfold(Some(0), move |from| {
        let vendor = vendor.clone();
        async move {
            let page = vendor.dump(from?, query.stable);
            Some((
                Ok::<_, std::convert::Infallible>(Bytes::from(page.lines)),
                page.next,
            ))
        }
    });
    let mut response = Response::new(Body::from_stream(pages));
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/x-ndjson"),
    );
    response
}

async fn digest_now<V: Vendor>(State(vendor): State<V>) -> Response {
    reply::json(StatusCode::OK, &digest(&vendor))
}
