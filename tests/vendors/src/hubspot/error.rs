//! HubSpot's errors: `{status, message, correlationId, category, ...}` (V).

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::reply;
use crate::vendor::ActError;

/// A value that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InvalidProperty {
    pub(crate) name: String,
    pub(crate) error: &'static str,
    pub(crate) message: String,
}

/// Why a request, or one item of a batch, was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Problem {
    /// 404: no live contact has this id.
    NotFound(String),
    /// 409: another contact holds this e-mail address or unique value.
    Conflict { existing: u64 },
    /// 409: the property is there already.
    PropertyExists(String),
    /// 400: values were refused.
    Invalid(Vec<InvalidProperty>),
    /// 400: the request itself is wrong.
    BadRequest(String),
}

/// An error as the wire shows it, alone or in a batch's `errors[]`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ErrorBody {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    category: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Value::is_null")]
    context: Value,
}

impl Problem {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Conflict { .. } | Self::PropertyExists(_) => StatusCode::CONFLICT,
            Self::Invalid(_) | Self::BadRequest(_) => StatusCode::BAD_REQUEST,
        }
    }

    fn category(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "OBJECT_NOT_FOUND",
            Self::Conflict { .. } | Self::PropertyExists(_) => "CONFLICT",
            Self::Invalid(_) | Self::BadRequest(_) => "VALIDATION_ERROR",
        }
    }

    fn message(&self) -> String {
        match self {
            Self::NotFound(_) => {
                "Could not get some CONTACT objects, they may be deleted or not exist. Check that ids are valid.".to_owned()
            }
            Self::Conflict { existing } => format!("Contact already exists. Existing ID: {existing}"),
            Self::PropertyExists(name) => format!("A property named '{name}' already exists."),
            Self::Invalid(list) => {
                let details: Vec<Value> = list
                    .iter()
                    .map(|p| {
                        json!({
                            "isValid": false,
                            "message": p.message,
                            "error": p.error,
                            "name": p.name,
                            "localizedErrorMessage": p.message,
                        })
                    })
                    .collect();
                format!("Property values were not valid: {}", Value::Array(details))
            }
            Self::BadRequest(message) => message.clone(),
        }
    }

    fn body(&self) -> ErrorBody {
        let context = match self {
            Self::NotFound(id) => json!({ "ids": [id] }),
            _ => Value::Null,
        };
        ErrorBody {
            status: "error",
            id: None,
            category: self.category(),
            message: self.message(),
            correlation_id: None,
            context,
        }
    }

    /// As an entry of a batch's `errors[]`. An input that gave an `objectWriteTraceId` finds it in the context (T).
    pub(crate) fn batch_entry(&self, trace: Option<&str>) -> ErrorBody {
        let mut body = self.body();
        if let Some(trace) = trace {
            match &mut body.context {
                Value::Object(context) => {
                    context.insert("objectWriteTraceId".to_owned(), json!([trace]));
                }
                context => *context = json!({ "objectWriteTraceId": [trace] }),
            }
        }
        body
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = ErrorBody {
            correlation_id: Some(Uuid::new_v4()),
            ..self.body()
        };
        reply::json(self.status(), &body)
    }
}

impl From<Problem> for ActError {
    fn from(problem: Problem) -> Self {
        match problem {
            Problem::NotFound(id) => Self::NotFound(id),
            other => Self::Refused(other.message()),
        }
    }
}

/// Errors that come before a request reaches its endpoint.
pub(crate) fn outside(status: StatusCode) -> Response {
    let correlation = Uuid::new_v4();
    let body = match status {
        StatusCode::UNAUTHORIZED => json!({
            "status": "error",
            "message": "Authentication credentials not found. This API supports OAuth 2.0 authentication and you can find more details at https://developers.hubspot.com/docs/methods/auth/oauth-overview",
            "correlationId": correlation,
            "category": "INVALID_AUTHENTICATION",
        }),
        StatusCode::TOO_MANY_REQUESTS => {
            return rate_limited("TEN_SECONDLY_ROLLING", "ten_secondly_rolling");
        }
        StatusCode::NOT_FOUND => json!({
            "status": "error",
            "message": "Unable to find the requested endpoint",
            "correlationId": correlation,
        }),
        _ => {
            json!({ "status": "error", "message": "internal error", "correlationId": correlation })
        }
    };
    reply::json(status, &body)
}

/// 429 (T).
pub(crate) fn rate_limited(policy: &str, period: &str) -> Response {
    reply::json(
        StatusCode::TOO_MANY_REQUESTS,
        &json!({
            "status": "error",
            "message": format!("You have reached your {period} limit."),
            "errorType": "RATE_LIMIT",
            "correlationId": Uuid::new_v4(),
            "policyName": policy,
        }),
    )
}
