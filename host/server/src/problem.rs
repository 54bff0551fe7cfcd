//! Errors as HTTP tells them: problem documents (RFC 9457).

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use samspel_installation::{Error, Kind};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// What went wrong (RFC 9457). `code` is the same word that the command line's `--json` uses.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// `urn:samspel:problem:` and the code.
    #[serde(rename = "type")]
    kind: String,
    /// The status in words.
    title: String,
    /// The status.
    status: u16,
    /// The class of what went wrong.
    code: String,
    /// What happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// What to do, where there is advice.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
    #[serde(skip)]
    retry_after: Option<u32>,
    #[serde(flatten)]
    #[schema(ignore)]
    more: Map<String, Value>,
}

impl Problem {
    /// A problem that is called `code`.
    pub fn new(status: StatusCode, code: &str) -> Self {
        Self {
            kind: format!("urn:samspel:problem:{code}"),
            title: status.canonical_reason().unwrap_or("problem").to_owned(),
            status: status.as_u16(),
            code: code.to_owned(),
            detail: None,
            remedy: None,
            retry_after: None,
            more: Map::new(),
        }
    }

    /// What happened.
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// What to do.
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// When to try again, in seconds.
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// Its status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The document.
    pub fn text(&self) -> String {
        // Text, numbers and what was JSON before can be written.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl From<&Error> for Problem {
    fn from(error: &Error) -> Self {
        let kind = error.kind();
        let status = match kind {
            Kind::Failure => StatusCode::INTERNAL_SERVER_ERROR,
            Kind::Usage => StatusCode::UNPROCESSABLE_ENTITY,
            Kind::NotFound => StatusCode::NOT_FOUND,
            Kind::Config | Kind::Held | Kind::NotConfirmed | Kind::Paused => StatusCode::CONFLICT,
            Kind::Account | Kind::Connector => StatusCode::FAILED_DEPENDENCY,
            Kind::Unavailable | Kind::Interrupted => StatusCode::SERVICE_UNAVAILABLE,
        };
        let mut problem = Self::new(status, kind.code());
        let mut told = error.to_json();
        let mut text = |name: &str| match told.remove(name) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        };
        problem.detail = text("message");
        problem.remedy = text("remedy");
        problem.more = told;
        if matches!(kind, Kind::Held | Kind::Unavailable | Kind::Interrupted) {
            problem.retry_after = Some(5);
        }
        problem
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, self.text()).into_response();
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
