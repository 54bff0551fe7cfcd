//! Mailchimp's errors: problem+json `{type, title, status, detail, instance}`, with `errors[]` for fields (V).

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use crate::reply;
use crate::vendor::ActError;

/// A field that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct FieldError {
    pub(crate) field: String,
    pub(crate) message: String,
}

impl FieldError {
    pub(crate) fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
        }
    }
}

/// Why a request, or one member of a batch, was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Problem {
    /// 404.
    NotFound,
    /// 400: fields were refused.
    Invalid(Vec<FieldError>),
    /// 400: merge fields were refused.
    MergeFields(Vec<FieldError>),
    /// 400: not an address, or one that looks made up.
    Email { email: String, fake: bool },
    /// 400: somebody else has this address.
    Exists { email: String },
    /// 400: this member may not be set to subscribed.
    Compliance { email: String },
    /// 400: was deleted for good and may only come back by signing up.
    Forgotten { email: String },
    /// 400: the request itself is wrong.
    BadRequest(String),
    /// 405: this member cannot be archived.
    CannotRemove,
}

impl Problem {
    fn status(&self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::CannotRemove => StatusCode::METHOD_NOT_ALLOWED,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    fn title(&self) -> &'static str {
        match self {
            Self::NotFound => "Resource Not Found",
            Self::Invalid(_) | Self::MergeFields(_) | Self::Email { .. } => "Invalid Resource",
            Self::Exists { .. } => "Member Exists",
            Self::Compliance { .. } => "Member In Compliance State",
            Self::Forgotten { .. } => "Forgotten Email Not Subscribed",
            Self::BadRequest(_) => "Bad Request",
            Self::CannotRemove => "Method Not Allowed",
        }
    }

    /// The `detail` of the answer, and the `error` of an entry in a batch.
    pub(crate) fn detail(&self) -> String {
        match self {
            Self::NotFound => "The requested resource could not be found.".to_owned(),
            Self::Invalid(_) => {
                "The resource submitted could not be validated. For field-specific details, see the 'errors' array.".to_owned()
            }
            Self::MergeFields(_) => "Your merge fields were invalid.".to_owned(),
            Self::Email { email, fake: true } => {
                format!("{email} looks fake or invalid, please enter a real email address.")
            }
            Self::Email { fake: false, .. } => "Please provide a valid email address.".to_owned(),
            Self::Exists { email } => {
                format!("{email} is already a list member. Use PUT to insert or update list members.")
            }
            Self::Compliance { email } => format!(
                "{email} is in a compliance state due to unsubscribe, bounce, or compliance review and cannot be subscribed."
            ),
            Self::Forgotten { email } => format!(
                "{email} was permanently deleted and cannot be re-imported. The contact must re-subscribe to get back on the list."
            ),
            Self::BadRequest(detail) => detail.clone(),
            Self::CannotRemove => "This list member cannot be removed.".to_owned(),
        }
    }

    /// `error_code` of an entry in a batch (T).
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Exists { .. } => "ERROR_CONTACT_EXISTS",
            _ => "ERROR_GENERIC",
        }
    }

    pub(crate) fn fields(&self) -> &[FieldError] {
        match self {
            Self::Invalid(fields) | Self::MergeFields(fields) => fields,
            _ => &[],
        }
    }
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: &'static str,
    title: &'a str,
    status: u16,
    detail: String,
    instance: Uuid,
    #[serde(skip_serializing_if = "<[FieldError]>::is_empty")]
    errors: &'a [FieldError],
}

fn answer(status: StatusCode, title: &str, detail: String, errors: &[FieldError]) -> Response {
    let body = Body {
        r#type: "https://mailchimp.com/developer/marketing/docs/errors/",
        title,
        status: status.as_u16(),
        detail,
        instance: Uuid::new_v4(),
        errors,
    };
    reply::problem(status, &body)
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        answer(self.status(), self.title(), self.detail(), self.fields())
    }
}

impl From<Problem> for ActError {
    fn from(problem: Problem) -> Self {
        match problem {
            Problem::NotFound => Self::NotFound("of this name on the list".to_owned()),
            other => {
                let fields = if other.fields().is_empty() {
                    String::new()
                } else {
                    json!(other.fields()).to_string()
                };
                Self::Refused(format!("{}: {} {fields}", other.title(), other.detail()))
            }
        }
    }
}

/// Errors that come before a request reaches its endpoint.
pub(crate) fn outside(status: StatusCode) -> Response {
    let (title, detail) = match status {
        StatusCode::UNAUTHORIZED => (
            "API Key Invalid",
            "Your API key may be invalid, or you've attempted to access the wrong datacenter.",
        ),
        StatusCode::TOO_MANY_REQUESTS => (
            "Too Many Requests",
            "You have exceeded the limit of 10 simultaneous connections.",
        ),
        StatusCode::NOT_FOUND => (
            "Resource Not Found",
            "The requested resource could not be found.",
        ),
        _ => (
            "Internal Server Error",
            "An unexpected internal error has occurred. Please contact Support for more information.",
        ),
    };
    answer(status, title, detail.to_owned(), &[])
}
