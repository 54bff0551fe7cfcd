//! What a check found.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = Severity)]
pub enum Status {
    /// Nothing to do.
    Ok,
    /// It works, and somebody should look at it.
    Warn,
    /// A sync that needs it does not work.
    Fail,
}

/// One line of `samspel doctor`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// What was checked: `store`, `disk`, `connector crm`, ...
    pub check: String,
    /// How bad it is.
    pub status: Status,
    /// What was found.
    pub message: String,
    /// What to do, unless it is fine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Finding {
    /// All is well.
    pub fn ok(check: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            check: check.into(),
            status: Status::Ok,
            message: message.into(),
            remedy: None,
        }
    }

    /// It works, and somebody should look at it.
    pub fn warn(
        check: impl Into<String>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            status: Status::Warn,
            remedy: Some(remedy.into()),
            ..Self::ok(check, message)
        }
    }

    /// It does not work.
    pub fn fail(
        check: impl Into<String>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            status: Status::Fail,
            remedy: Some(remedy.into()),
            ..Self::ok(check, message)
        }
    }
}
