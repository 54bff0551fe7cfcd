//! `samspel audit`: who did what.

use samspel_operations::audit::{ListAudit, Numbered};
use samspel_operations::{Limit, Number};
use serde_json::Value;

use crate::args::{AuditCommand, ListAuditArgs};
use crate::exit::CliError;
use crate::session::Session;

/// Runs one of the commands.
pub async fn run(command: &AuditCommand, session: &Session) -> Result<(), CliError> {
    let AuditCommand::List(ListAuditArgs { limit, before }) = command;
    let log = session
        .perform(&ListAudit {
            limit: Limit::new(*limit),
            before: before.map(Number::new),
        })
        .await?;
    session.output.result(&log, |out| {
        if log.entries.is_empty() {
            writeln!(out, "nothing was changed yet")?;
        }
        log.entries
            .iter()
            .try_for_each(|Numbered { entry, number }| {
                let subject = entry.subject.as_deref().unwrap_or("");
                let detail = match &entry.detail {
                    Value::Object(object) if object.is_empty() => String::new(),
                    detail => format!("  {detail}"),
                };
                writeln!(
                    out,
                    "{number:>6}  {:.0}  {}  {} {subject}  {}{detail}",
                    entry.at,
                    entry.who,
                    entry.action,
                    entry.outcome.name()
                )
            })
    })
}
