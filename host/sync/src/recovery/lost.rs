//! Creates that were looked for in vain although they may have been applied.
//!
//! Searches lag behind, so that a record which is not found may be there all the same. Made again under the same key it
//! is refused, or found, by whatever keeps that key unique; once its source has another key, nothing would tell of the
//! first one. So such a create stays stored. Until searches must show it, nothing is created for its source under
//! another key; then it is looked for once more under its own.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::SignedDuration;
use samspel_model::intent::Intent;
use samspel_model::store::{Change, Step};
use samspel_model::{Guard, Presence, RecordId, Side};

use super::{find_out, partners};
use crate::context::Context;
use crate::error::SyncError;
use crate::writer::{Tally, settle_all};

/// After so long a search shows everything; those that lag do so by seconds.
const SEARCHABLE: SignedDuration = SignedDuration::from_secs(30);

/// Creates that were looked for in vain, by the record that they were to be made for. Its size is bounded by the
/// creates whose answers were lost lately.
#[derive(Debug, Default)]
pub struct LostCreates(Mutex<HashMap<(Side, RecordId), Intent>>);

impl LostCreates {
    /// A create was looked for in vain, now or by an earlier run.
    pub fn remember(&self, intent: Intent) {
        let source = (intent.target.other(), intent.source_record.clone());
        let mut lost = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lost.insert(source, intent);
    }

    /// It is known what became of the creates for a record. The one that was remembered.
    pub fn forget(&self, source: Side, record: &RecordId) -> Option<Intent> {
        let mut lost = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lost.remove(&(source, record.clone()))
    }

    /// The create for a record that was looked for in vain.
    pub fn of(&self, source: Side, record: &RecordId) -> Option<Intent> {
        let lost = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lost.get(&(source, record.clone())).cloned()
    }
}

/// What is to be done about creates that earlier runs looked for in vain.
#[derive(Default)]
struct Recalled {
    /// Their records have found partners, or are gone.
    over: Vec<String>,
    /// A search must show them by now.
    due: Vec<Intent>,
}

/// Looks once more for creates that earlier runs looked for in vain, where a search must show them by now. The others
/// are remembered.
pub async fn recall(context: &Arc<Context>, lost: Vec<Intent>) -> Result<Vec<Tally>, SyncError> {
    let mut tallies = Vec::new();
    for side in Side::BOTH {
        let of_side: Vec<Intent> = lost
            .iter()
            .filter(|intent| intent.target == side)
            .cloned()
            .collect();
        if of_side.is_empty() {
            continue;
        }
        let Recalled { over, due } = sort(context, side, of_side).await?;
        // What is found may have to be completed, and nothing is sent that is not stored as under way.
        let open = due.iter().map(|intent| Intent {
            lost: None,
            ..intent.clone()
        });
        let mut changes = vec![
            Change::RemoveIntents(over),
            Change::PutIntents(open.collect()),
        ];
        changes.retain(|change| !change.is_empty());
        if !changes.is_empty() {
            context.commit(Step::Recover, changes).await?;
        }
        if due.is_empty() {
            continue;
        }
        {
            let mut in_flight = context.in_flight();
            for intent in &due {
                in_flight.add(intent);
            }
        }
        let sent = context.store().sequence();
        let resolutions = find_out(context, side, due).await?;
        let settled = settle_all(context, side, Step::Recover, sent, resolutions).await?;
        tallies.push(settled.tally);
    }
    Ok(tallies)
}

async fn sort(context: &Context, side: Side, intents: Vec<Intent>) -> Result<Recalled, SyncError> {
    let source = side.other();
    let ids: Vec<RecordId> = intents
        .iter()
        .map(|intent| intent.source_record.clone())
        .collect();
    let links = partners(context, source, &intents).await?;
    let gone: HashSet<RecordId> = context
        .store()
        .observations(context.endpoint(source), &ids)
        .await?
        .into_iter()
        .filter(|seen| seen.presence == Presence::Gone)
        .map(|seen| seen.id)
        .collect();
    let now = context.now();
    let mut recalled = Recalled::default();
    for intent in intents {
        context.lost_creates.forget(source, &intent.source_record);
        let link = links.get(&intent.source_record);
        // A link that it was to replace is no other partner.
        let paired = link.is_some_and(|link| Some(link) != intent.link.as_ref());
        let is_due = intent
            .lost
            .is_none_or(|at| now.duration_since(at) >= SEARCHABLE);
        if paired || gone.contains(&intent.source_record) {
            recalled.over.push(intent.id);
        } else if is_due {
            recalled.due.push(intent);
        } else if Guard::LostCreateIsRemembered.stands() {
            context.lost_creates.remember(intent);
        }
    }
    Ok(recalled)
}
