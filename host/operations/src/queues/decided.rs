//! Storing what was said about conflicts and holds.

use std::collections::BTreeMap;

use samspel_installation::Error;
use samspel_model::store::{Conflict, Verdict, Waiting};
use samspel_model::{RecordId, Side};
use samspel_sync::Chosen;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::select;
use crate::operation::Work;

/// What happens with a decision, for people.
pub const NEXT: &str = "the next run carries it out";

/// What was decided.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Decided {
    /// The entries.
    pub decided: Vec<DecidedEntry>,
    /// What was said.
    pub verdict: Verdict,
    /// Entries that this is no answer to.
    pub left: u64,
    /// What happens next.
    pub next: String,
}

/// An entry that was decided.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DecidedEntry {
    /// By which it is referred to.
    pub id: String,
    /// Where.
    pub sync: String,
    /// The record's side.
    pub side: Side,
    /// The record.
    pub record: RecordId,
    /// What it is about.
    pub about: String,
}

/// Stores what was said about these.
pub(super) async fn decide(
    work: &Work<'_>,
    which: Waiting,
    found: BTreeMap<String, Vec<Conflict>>,
    verdict: &Verdict,
    left: u64,
) -> Result<Decided, Error> {
    let mut decided: Vec<DecidedEntry> = Vec::new();
    for (sync, conflicts) in &found {
        let operator = work.host.operator(sync)?;
        let ids = Chosen::Ids(conflicts.iter().map(Conflict::id).collect());
        let done = select::patiently(async || operator.decide(which, &ids, verdict).await).await;
        let done = done.map_err(|error| error.detail("decided", json!(decided)))?;
        decided.extend(done.into_iter().map(|conflict| DecidedEntry {
            id: conflict.id(),
            sync: sync.clone(),
            side: conflict.side,
            record: conflict.record,
            about: conflict.about,
        }));
        work.surroundings.changed(sync);
    }
    Ok(Decided {
        decided,
        verdict: verdict.clone(),
        left,
        next: NEXT.to_owned(),
    })
}
