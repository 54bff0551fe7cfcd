//! What every request to a vendor's API passes before it reaches the vendor's own behaviour: limits, latency,
//! credentials and faults; and counting.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{CONTENT_LENGTH, DATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use futures::{StreamExt as _, stream};
use serde_json::Value;

use crate::faults::{Alteration, Fault};
use crate::reply;
use crate::server::Hangup;
use crate::vendor::Vendor;

/// The middleware around a vendor's routes.
pub(crate) async fn gate<V: Vendor>(
    State(vendor): State<V>,
    request: Request,
    next: Next,
) -> Response {
    let core = vendor.core();
    let place = core.stats.enter();
    let (parts, body) = request.into_parts();
    let route = parts
        .extensions
        .get::<MatchedPath>()
        .map_or("(no such endpoint)", MatchedPath::as_str);
    let endpoint = format!("{} {route}", parts.method);
    let writes = vendor.is_write(&parts);

    let mut response = match vendor.admit(&parts, place.count) {
        Err(refused) => *refused,
        Ok(limits) => {
            let settings = core.settings();
            if settings.latency_ms > 0 {
                tokio::time::sleep(Duration::from_millis(settings.latency_ms)).await;
            }
            let mut response = if vendor.authorized(&parts.headers) {
                let fault =
                    core.faults
                        .draw(&settings.faults, parts.method.as_str(), parts.uri.path());
                let request = Request::from_parts(parts, body);
                with_fault(&vendor, fault, settings.faults.slow_ms, request, next).await
            } else {
                vendor.error(StatusCode::UNAUTHORIZED)
            };
            response.headers_mut().extend(limits);
            response
        }
    };
    // A client that takes the server's time from the answer must see the clock that stamps the records.
    if let Ok(date) = HeaderValue::from_str(&core.clock.now().http_date()) {
        response.headers_mut().entry(DATE).or_insert(date);
    }

    let status = if response.extensions().get::<Hangup>().is_some() {
        0
    } else {
        response.status().as_u16()
    };
    core.stats.finished(endpoint, writes, status);
    response
}

async fn with_fault<V: Vendor>(
    vendor: &V,
    fault: Option<Fault>,
    slow_ms: u64,
    request: Request,
    next: Next,
) -> Response {
    match fault {
        None => next.run(request).await,
        Some(Fault::InternalError) => vendor.error(StatusCode::INTERNAL_SERVER_ERROR),
        Some(Fault::Unavailable) => reply::empty(StatusCode::SERVICE_UNAVAILABLE),
        Some(Fault::TooManyRequests) => vendor.error(StatusCode::TOO_MANY_REQUESTS),
        Some(Fault::BareForbidden) => bare_forbidden(),
        Some(Fault::DropBefore) => hangup(),
        Some(Fault::DropAfterCommit) => {
            apply(request, next).await;
            hangup()
        }
        Some(Fault::BadGatewayAfterCommit) => {
            apply(request, next).await;
            reply::text(
                StatusCode::BAD_GATEWAY,
                "<html><body><h1>502 Bad Gateway</h1></body></html>",
            )
        }
        Some(Fault::Truncated) => truncated(next.run(request).await).await,
        Some(Fault::Slow) => {
            let response = next.run(request).await;
            tokio::time::sleep(Duration::from_millis(slow_ms)).await;
            response
        }
        Some(Fault::Altered(alteration)) => {
            let response = if alteration.instead {
                reply::empty(StatusCode::OK)
            } else {
                next.run(request).await
            };
            altered(response, &alteration).await
        }
    }
}

/// Changes an answer. An alteration that cannot be made is told to whoever wrote the script, by a status no vendor
/// uses.
async fn altered(response: Response, alteration: &Alteration) -> Response {
    let (mut parts, body) = response.into_parts();
    let Ok(bytes) = to_bytes(body, usize::MAX).await else {
        return hangup();
    };
    let bytes = match &alteration.body {
        Some(body) => body.clone().into(),
        None if alteration.patch.is_empty() => bytes,
        None => match patched(&bytes, alteration) {
            Ok(bytes) => bytes.into(),
            Err(why) => return reply::text(StatusCode::IM_A_TEAPOT, why),
        },
    };
    if let Some(status) = alteration.status {
        match StatusCode::from_u16(status) {
            Ok(status) => parts.status = status,
            Err(error) => return reply::text(StatusCode::IM_A_TEAPOT, error.to_string()),
        }
    }
    parts.headers.remove(CONTENT_LENGTH);
    for (name, value) in &alteration.headers {
        match (HeaderName::try_from(name), HeaderValue::from_str(value)) {
            (Ok(name), Ok(value)) => {
                parts.headers.insert(name, value);
            }
            _ => return reply::text(StatusCode::IM_A_TEAPOT, format!("no header: {name}")),
        }
    }
    Response::from_parts(parts, Body::from(bytes))
}

fn patched(bytes: &[u8], alteration: &Alteration) -> Result<Vec<u8>, String> {
    let mut body: Value =
        serde_json::from_slice(bytes).map_err(|error| format!("no JSON to patch: {error}"))?;
    json_patch::patch(&mut body, &alteration.patch).map_err(|error| error.to_string())?;
    Ok(body.to_string().into_bytes())
}

/// Runs the request to its end and throws the answer away.
async fn apply(request: Request, next: Next) {
    let response = next.run(request).await;
    let _ = to_bytes(response.into_body(), usize::MAX).await;
}

/// What Mailchimp's edge answers instead of a 429: no JSON, no headers.
pub(crate) fn bare_forbidden() -> Response {
    reply::text(
        StatusCode::FORBIDDEN,
        "<html><head><title>403 Forbidden</title></head></html>",
    )
}

fn hangup() -> Response {
    let mut response = reply::empty(StatusCode::OK);
    response.extensions_mut().insert(Hangup);
    response
}

/// Announces the whole length and delivers half of it.
async fn truncated(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let Ok(bytes) = to_bytes(body, usize::MAX).await else {
        return hangup();
    };
    let half = bytes.slice(..bytes.len() / 2);
    parts.headers.insert(CONTENT_LENGTH, bytes.len().into());
    let cut = stream::once(async move { Ok(half) }).chain(stream::once(async {
        // A turn for the connection to send what it has: an error in the same turn would swallow the first half too.
        tokio::task::yield_now().await;
        Err(std::io::Error::new(
            std::io::ErrorKind::ConnectionReset,
            "cut by the simulator",
        ))
    }));
    Response::from_parts(parts, Body::from_stream(cut))
}
