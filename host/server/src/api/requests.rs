//! Requests that are sent again, because the answer was lost, are not done again: each names a key
//! (draft-ietf-httpapi-idempotency-key-header), and what was answered under it is answered again.

use std::sync::Arc;
use std::time::Duration;

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use samspel_installation::Kind;
use samspel_model::access::{KnownRequest, Principal};
use samspel_operations::{Operation, Route};
use sha2::{Digest, Sha256};
use tracing::error;

use super::offer::Outcome;
use crate::problem::Problem;
use crate::service::Service;

/// The header that names the key.
pub(super) const HEADER: &str = "idempotency-key";
/// Characters of a key.
pub(super) const LONGEST: usize = 128;
/// How long an answer is kept.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// A key that a request was begun under.
pub(super) struct Claim {
    principal: String,
    key: String,
    /// The answer holds a secret.
    confidential: bool,
}

/// Begins a request under its key, if it has one. `Err`: the answer, because it was begun before.
pub(super) async fn claim<O: Operation>(
    service: &Arc<Service>,
    principal: &Principal,
    route: &Route,
    headers: &HeaderMap,
    operation: &O,
) -> Result<Option<Claim>, Box<Response>> {
    let Some(key) = headers.get(HEADER).filter(|_| route.method != Method::GET) else {
        return Ok(None);
    };
    let problem = |problem: Problem| Err(Box::new(problem.into_response()));
    let Some(key) = key.to_str().ok().filter(|key| is_key(key)) else {
        return problem(
            Problem::new(StatusCode::BAD_REQUEST, "malformed").detail(format!(
                "`{HEADER}` is not a text of 1 to {LONGEST} characters"
            )),
        );
    };
    let fingerprint = fingerprint(route, operation);
    let host = service.host();
    let now = host.clock().now();
    let since = now.saturating_sub(KEPT).unwrap_or(now);
    let known = host
        .requests()
        .begin_request(&principal.id, key, &fingerprint, (now, since))
        .await;
    match known {
        Ok(None) => Ok(Some(Claim {
            principal: principal.id.clone(),
            key: key.to_owned(),
            confidential: route.confidential,
        })),
        Ok(Some(known)) => Err(Box::new(again(known, &fingerprint))),
        Err(error) => {
            error!(%error, "requests cannot be noted");
            problem(
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "store")
                    .detail("the host cannot write its store; nothing was done")
                    .retry_after(10),
            )
        }
    }
}

fn is_key(key: &str) -> bool {
    !key.is_empty() && key.len() <= LONGEST && key.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Stands for what is asked. Of what holds a secret only the route is told: a digest of few possible texts gives them
/// away.
fn fingerprint<O: Operation>(route: &Route, operation: &O) -> String {
    let mut hasher = Sha256::new();
    hasher.update(route.id);
    if !route.confidential {
        // What was read can be written.
        hasher.update(serde_json::to_vec(operation).unwrap_or_default());
    }
    hex::encode(hasher.finalize())
}

/// The answer to a request that was begun before.
fn again(known: KnownRequest, fingerprint: &str) -> Response {
    if known.fingerprint != fingerprint {
        return Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "key-reused")
            .detail("something else was asked under this idempotency key")
            .into_response();
    }
    let status = known
        .status
        .and_then(|status| StatusCode::from_u16(status).ok());
    match (status, known.answer) {
        (None, _) => Problem::new(StatusCode::CONFLICT, "under-way")
            .detail("this was begun under the same idempotency key, and its outcome is not known yet")
            .remedy("ask again in a moment; if the host was restarted meanwhile, look whether it was done, and use another key")
            .retry_after(2)
            .into_response(),
        (Some(_), None) => Problem::new(StatusCode::CONFLICT, "done-already")
            .detail("this was done under the same idempotency key; its answer held a secret and is not kept")
            .into_response(),
        (Some(status), Some(answer)) => {
            let kind = if status.is_success() {
                "application/json"
            } else {
                "application/problem+json"
            };
            let mut response = (status, answer).into_response();
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            headers.insert("idempotent-replayed", HeaderValue::from_static("true"));
            response
        }
    }
}

impl Claim {
    /// Keeps how a request was answered. What may go well another time may be sent again under the same key.
    pub async fn answered(self, service: &Service, outcome: &Outcome) {
        let host = service.host();
        let requests = host.requests();
        let kept = match outcome {
            Ok(text) => {
                let answer = (!self.confidential).then_some(text.as_str());
                let status = StatusCode::OK.as_u16();
                requests
                    .answer_request(&self.principal, &self.key, status, answer)
                    .await
            }
            Err(error) if is_final(error.kind()) => {
                let problem = Problem::from(error);
                let text = problem.text();
                requests
                    .answer_request(&self.principal, &self.key, problem.status(), Some(&text))
                    .await
            }
            Err(_) => requests.forget_request(&self.principal, &self.key).await,
        };
        if let Err(error) = kept {
            // Whoever asks again is told that its outcome is not known.
            error!(%error, "an answer cannot be kept");
        }
    }
}

/// Whether the same request will fail the same way.
fn is_final(kind: Kind) -> bool {
    matches!(kind, Kind::Usage | Kind::NotFound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_short_text() {
        assert!(is_key("0b5c1f0e-7f4e-4c8e-9d6a-1f2e3d4c5b6a"));
        assert!(!is_key(""));
        assert!(!is_key("a b"));
        assert!(!is_key(&"x".repeat(LONGEST + 1)));
    }
}
