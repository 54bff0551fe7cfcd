//! The audit log.

use samspel_installation::Error;
use samspel_model::access::{AuditEntry, Role};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::operation::{Operation, Route, Work};
use crate::values::{Limit, Number};

/// Shows who did what, newest first.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ListAudit {
    /// At most so many entries.
    #[serde(default)]
    pub limit: Limit,
    /// Only entries from before the one with this number.
    #[serde(default)]
    pub before: Option<Number>,
}

/// A part of the log.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AuditLog {
    /// Newest first.
    pub entries: Vec<Numbered>,
}

/// An entry of the log.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Numbered {
    /// What is told.
    #[serde(flatten)]
    pub entry: AuditEntry,
    /// Its number, which grows.
    pub number: u64,
}

impl Operation for ListAudit {
    type Output = AuditLog;
    const ROUTE: Route = Route::get(
        "listAudit",
        "/audit",
        Role::Viewer,
        "Show who did what, newest first",
    );

    async fn run(&self, work: &Work<'_>) -> Result<AuditLog, Error> {
        let access = work.host.access();
        let entries = access
            .audited(self.before.map(Number::get), self.limit.get())
            .await?;
        Ok(AuditLog {
            entries: entries
                .into_iter()
                .map(|(number, entry)| Numbered { entry, number })
                .collect(),
        })
    }
}
