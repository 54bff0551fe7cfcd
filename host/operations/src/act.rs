//! Doing an operation, and the entry of the audit log that says who did what.

use samspel_installation::{Error, Kind};
use samspel_model::StoreError;
use samspel_model::access::{AuditEntry, AuditOutcome};
use serde_json::{Value, json};

use crate::operation::{Operation, Work};

/// Something that an operation changes, for the audit log.
#[derive(Debug, Clone, PartialEq)]
pub struct Act {
    /// What, such as `sync pause`.
    pub action: &'static str,
    /// What it is done to: a sync, an account, a token.
    pub subject: Option<String>,
    /// More, as an object.
    pub detail: Value,
}

impl Act {
    /// What is done, and to what.
    pub fn new(action: &'static str, subject: impl Into<Option<String>>) -> Self {
        Self {
            action,
            subject: subject.into(),
            detail: json!({}),
        }
    }

    /// Adds more.
    #[must_use]
    pub fn with(mut self, detail: Value) -> Self {
        self.detail = detail;
        self
    }

    /// Writes it into the audit log, with how it ended; `failed`: the class of its failure.
    ///
    /// # Errors
    /// The log cannot be written.
    pub async fn write(self, work: &Work<'_>, failed: Option<Kind>) -> Result<(), StoreError> {
        let outcome = match failed {
            None => AuditOutcome::Done,
            Some(Kind::NotConfirmed) => AuditOutcome::Refused,
            Some(_) => AuditOutcome::Failed,
        };
        let mut detail = self.detail;
        if let Some(kind) = failed {
            // The word only: messages may quote what must not stay.
            detail["exit"] = json!(kind.code());
        }
        let entry = AuditEntry {
            at: work.host.clock().now(),
            who: work.who.to_owned(),
            action: self.action.to_owned(),
            subject: self.subject,
            detail,
            outcome,
        };
        work.host.access().audit(entry).await
    }
}

/// Does an operation. What changed something is in the audit log before its result is given.
///
/// # Errors
/// The operation's, or else that the log cannot be written.
pub async fn perform<O: Operation>(operation: &O, work: &Work<'_>) -> Result<O::Output, Error> {
    let done = operation.run(work).await;
    let Some(act) = operation.act() else {
        return done;
    };
    let failed = done.as_ref().err().map(Error::kind);
    match (done, act.write(work, failed).await) {
        (done, Ok(())) => done,
        // If the log cannot be written, what failed has most likely failed by that.
        (Err(error), Err(_)) => Err(error),
        (Ok(_), Err(error)) => Err(Error::from(error).detail(
            "audit",
            json!("it was done, and is missing in the audit log"),
        )),
    }
}
