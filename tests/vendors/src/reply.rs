//! Building HTTP answers.

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use serde::Serialize;

/// `application/json` with this status.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    typed(
        status,
        HeaderValue::from_static("application/json;charset=utf-8"),
        body,
    )
}

/// `application/problem+json` (RFC 9457), Mailchimp's form of errors.
pub(crate) fn problem(status: StatusCode, body: &impl Serialize) -> Response {
    typed(
        status,
        HeaderValue::from_static("application/problem+json; charset=utf-8"),
        body,
    )
}

fn typed(status: StatusCode, content_type: HeaderValue, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => {
            let mut response = Response::new(Body::from(bytes));
            *response.status_mut() = status;
            response.headers_mut().insert(CONTENT_TYPE, content_type);
            response
        }
        Err(error) => text(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("the simulator could not write its answer: {error}"),
        ),
    }
}

/// Plain text with this status.
pub(crate) fn text(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
    response
}

/// No body at all.
pub(crate) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
