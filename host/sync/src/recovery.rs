//! What became of writes whose outcome is not known: after a crash, a lost answer, a trap.
//!
//! The remote is asked. If the patched fields hold what was to be written, the write is settled as done; otherwise it
//! is given up and both records are planned again from what was found. Nothing is sent twice on a guess. A create that
//! ended half way is completed.

mod lost;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use samspel_engine::{Policy, settle};
use samspel_model::intent::{Effect, Intent};
use samspel_model::store::{Source, Step};
use samspel_model::{
    Absence, Entity, Extent, Fetched, Fields, Guard, LinkId, Outcome, RecordId, Side, Update,
    WriteOp,
};
use serde_json::Value;

use crate::context::Context;
use crate::error::SyncError;
use crate::reader::fetch;
use crate::retry::retry;
use crate::writer::{
    Found, NOT_APPLIED, Resolution, Tally, Written, settle_all, withdraw_outdated_opt_ins,
};

pub use lost::LostCreates;

/// How many intents are looked at together.
const BATCH: u32 = 200;

/// Finds out what became of every write that an earlier run left open, and settles it.
pub async fn recover(context: &Arc<Context>) -> Result<Vec<Tally>, SyncError> {
    let mut tallies = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let intents = context
            .store()
            .intents(context.name(), after.as_deref(), BATCH)
            .await?;
        let Some(last) = intents.last() else {
            return Ok(tallies);
        };
        after = Some(last.id.clone());
        let (lost, open): (Vec<Intent>, Vec<Intent>) = intents
            .into_iter()
            .partition(|intent| intent.lost.is_some());
        tracing::info!(
            open = open.len(),
            lost = lost.len(),
            "finding out what became of writes that an earlier run left open"
        );
        tallies.extend(recover_open(context, open).await?);
        tallies.extend(lost::recall(context, lost).await?);
    }
}

async fn recover_open(
    context: &Arc<Context>,
    intents: Vec<Intent>,
) -> Result<Vec<Tally>, SyncError> {
    let mut tallies = Vec::new();
    for side in Side::BOTH {
        let open: Vec<Intent> = intents
            .iter()
            .filter(|intent| intent.target == side)
            .cloned()
            .collect();
        if open.is_empty() {
            continue;
        }
        {
            let mut in_flight = context.in_flight();
            for intent in &open {
                in_flight.add(intent);
            }
        }
        let sent = context.store().sequence();
        let resolutions = find_out(context, side, open).await?;
        tallies.push(
            settle_all(context, side, Step::Recover, sent, resolutions)
                .await?
                .tally,
        );
    }
    Ok(tallies)
}

/// Asks the remote what became of these writes.
pub async fn find_out(
    context: &Arc<Context>,
    side: Side,
    intents: Vec<Intent>,
) -> Result<Vec<Resolution>, SyncError> {
    let (creates, others): (Vec<_>, Vec<_>) = intents
        .into_iter()
        .partition(|intent| matches!(intent.effect, Effect::Create));
    let mut resolutions = Vec::new();
    if !others.is_empty() {
        resolutions.extend(find_out_by_id(context, side, others).await?);
    }
    if !creates.is_empty() {
        resolutions.extend(find_out_creates(context, side, creates).await?);
    }
    Ok(resolutions)
}

async fn find_out_by_id(
    context: &Arc<Context>,
    side: Side,
    intents: Vec<Intent>,
) -> Result<Vec<Resolution>, SyncError> {
    let ids: Vec<RecordId> = intents
        .iter()
        .filter_map(|intent| intent.effect.target_record().cloned())
        .collect();
    let fetched = fetch(context, side, &ids, Extent::Whole).await?;
    Ok(intents
        .into_iter()
        .zip(fetched.answers)
        .map(|(intent, (id, answer))| {
            let removing = matches!(intent.effect, Effect::Remove(..));
            match answer {
                Fetched::Found(entity) if entity.id != id => {
                    Resolution::Abandoned(intent, Found::Moved(entity.id), "the record was merged")
                }
                Fetched::Found(entity)
                    if !removing && settle::is_applied(&intent, &entity, context.policy()) =>
                {
                    Resolution::Done(intent, Written::as_told(entity, Source::Fetch))
                }
                Fetched::Found(entity) => {
                    match settle::taken_back(&intent, &entity, context.policy()) {
                        Some(part) => {
                            Resolution::Done(part, Written::as_told(entity, Source::Fetch))
                        }
                        None => Resolution::Abandoned(
                            intent,
                            Found::Record(Box::new(entity), Source::Fetch),
                            NOT_APPLIED,
                        ),
                    }
                }
                Fetched::Absent(_) if removing => Resolution::Done(intent, None),
                Fetched::Absent(why) => {
                    Resolution::Abandoned(intent, Found::Absent(id, why), "the record is gone")
                }
                Fetched::Failed(why) => Resolution::Unresolved(intent, why),
            }
        })
        .collect())
}

/// A create has no id yet: the record is looked for by its key.
async fn find_out_creates(
    context: &Arc<Context>,
    side: Side,
    intents: Vec<Intent>,
) -> Result<Vec<Resolution>, SyncError> {
    let field = context.policy().match_rule().field(side).to_owned();
    let values: Vec<String> = intents
        .iter()
        .map(|intent| text(intent.patch.get(&field)))
        .collect();
    let found = find(context, side, &field, &values).await?;
    let ids: Vec<RecordId> = found
        .iter()
        .flatten()
        .map(|entity| entity.id.clone())
        .collect();
    let linked: HashSet<RecordId> = if ids.is_empty() {
        HashSet::new()
    } else {
        context
            .store()
            .links_by_record(context.name(), side, &ids)
            .await?
            .into_iter()
            .map(|link| link.record(side).clone())
            .collect()
    };
    let partners = partners(context, side.other(), &intents).await?;
    let mut taken: HashSet<RecordId> = HashSet::new();
    let mut resolutions = Vec::with_capacity(intents.len());
    let mut halves = Vec::new();
    for (mut intent, entities) in intents.into_iter().zip(found) {
        let alone = entities.len() == 1;
        let mut free: Vec<Entity> = entities
            .into_iter()
            .filter(|entity| !linked.contains(&entity.id) && !taken.contains(&entity.id))
            .collect();
        let position = |is: fn(&Intent, &Entity, &Policy) -> bool| {
            free.iter()
                .position(|entity| is(&intent, entity, context.policy()))
        };
        let (applied, half) = (
            position(settle::is_applied),
            position(settle::is_half_created),
        );
        let done = match (applied, half) {
            (None, None) => position(settle::is_made),
            _ => applied,
        };
        let Some(index) = done.or(half).or((!free.is_empty()).then_some(0)) else {
            // A search that shows nothing is believed the second time, when everything of then must be in it.
            intent.lost = match intent.lost {
                None if Guard::LostCreateIsRemembered.stands() => Some(context.now()),
                _ => None,
            };
            resolutions.push(Resolution::Abandoned(intent, Found::Nothing, NOT_APPLIED));
            continue;
        };
        // What a search finds may lag behind.
        let entity = free.swap_remove(index);
        taken.insert(entity.id.clone());
        if done.is_some() {
            let written = Written::as_told(entity, Source::Listing);
            resolutions.push(Resolution::Done(intent, written));
        } else if half.is_some() {
            let partner = partners.get(&intent.source_record);
            if partner.is_some_and(|link| Some(link) != intent.link.as_ref()) {
                // What its person agreed to may not be what that one's did.
                intent.lost = None;
                resolutions.push(Resolution::Abandoned(
                    intent,
                    Found::Record(Box::new(entity), Source::Listing),
                    "the record that it was made for has found another partner",
                ));
            } else {
                halves.push((intent, entity));
            }
        } else if alone
            && Guard::LostCreateIsRemembered.stands()
            && context.policy().takes_part(side, &entity.fields) == Ok(true)
        {
            // Left to the planner, it would be nobody's once the source has another key.
            resolutions.push(Resolution::Adopted(intent, Box::new(entity)));
        } else {
            // Whose it is can be told by a person only.
            intent.lost = None;
            resolutions.push(Resolution::Abandoned(
                intent,
                Found::Record(Box::new(entity), Source::Listing),
                "a record with the same key says something else",
            ));
        }
    }
    resolutions.extend(complete(context, side, halves).await?);
    Ok(resolutions)
}

/// The links of the records that some creates are for.
async fn partners(
    context: &Context,
    source: Side,
    creates: &[Intent],
) -> Result<HashMap<RecordId, LinkId>, SyncError> {
    let sources: Vec<RecordId> = creates
        .iter()
        .map(|intent| intent.source_record.clone())
        .collect();
    let links = context
        .store()
        .links_by_record(context.name(), source, &sources)
        .await?;
    Ok(links
        .into_iter()
        .map(|link| (link.record(source).clone(), link.id))
        .collect())
}

/// Does what is left of creates that ended half way. Some remotes keep a record and what its person agreed to apart, so
/// that a crash can come between the two; planned anew, the record would be one that was always there, and nobody's
/// agreement is told to those.
async fn complete(
    context: &Arc<Context>,
    side: Side,
    halves: Vec<(Intent, Entity)>,
) -> Result<Vec<Resolution>, SyncError> {
    let mut resolutions = Vec::with_capacity(halves.len());
    let (intents, entities): (Vec<_>, Vec<_>) = halves.into_iter().unzip();
    let mut found: HashMap<String, Entity> = intents
        .iter()
        .map(|intent| intent.id.clone())
        .zip(entities)
        .collect();
    let ids: Vec<RecordId> = found.values().map(|entity| entity.id.clone()).collect();
    let known: HashSet<RecordId> = context
        .store()
        .observations(context.endpoint(side), &ids)
        .await?
        .into_iter()
        .map(|seen| seen.id)
        .collect();
    let intents = withdraw_outdated_opt_ins(context, side, intents, &mut resolutions).await?;
    let collection = context.collection(side);
    for chunk in intents.chunks(collection.capabilities.max_write.max(1) as usize) {
        let rest = chunk
            .iter()
            .filter_map(|intent| {
                let entity = found.get(&intent.id)?;
                Some(WriteOp::Update(Update {
                    id: entity.id.clone(),
                    precondition: None,
                    patch: Fields::new(),
                    consents: intent.consents.clone(),
                    deliverability: intent.deliverability.clone(),
                    known: context.known_roles(side, &entity.fields),
                }))
            })
            .collect();
        let outcomes = context
            .connector(side)
            .write(&collection.name, rest)
            .await
            .unwrap_or_else(|error| vec![Outcome::Unknown(error.failure.to_string()); chunk.len()]);
        for (intent, outcome) in chunk.iter().cloned().zip(outcomes) {
            let Some(mut entity) = found.remove(&intent.id) else {
                continue;
            };
            resolutions.push(match outcome {
                Outcome::Written(written) => {
                    let held = Some(entity.fields.clone());
                    if known.contains(&entity.id) {
                        // What the search found may be older than what is known.
                        entity.fields = written.fields;
                    } else {
                        entity.fields.extend(written.fields);
                    }
                    if !written.consents.is_empty() {
                        entity.consents = written.consents;
                    }
                    entity.deliverability = written.deliverability.or(entity.deliverability);
                    entity.revision = written.revision.or(entity.revision);
                    entity.modified = written.modified.or(entity.modified);
                    let written = Written {
                        entity,
                        source: Source::Write,
                        held,
                    };
                    Resolution::Done(intent, Some(Box::new(written)))
                }
                Outcome::Unknown(why) | Outcome::Deferred { reason: why, .. } => {
                    Resolution::Unresolved(intent, why)
                }
                Outcome::Gone => Resolution::Abandoned(
                    intent,
                    Found::Absent(entity.id, Absence::Deleted),
                    "the record is gone",
                ),
                Outcome::Moved(id) => {
                    Resolution::Abandoned(intent, Found::Moved(id), "the record was merged")
                }
                _ => {
                    // It is the record that was made for its source all the same: made again, there would be two.
                    tracing::warn!(
                        record = %entity.id,
                        "a create that ended half way could not be completed; its record is paired as it is"
                    );
                    Resolution::Adopted(intent, Box::new(entity))
                }
            });
        }
    }
    Ok(resolutions)
}

/// The record that holds the key which a write wanted, where the remote did not name it.
pub async fn find_holder(context: &Context, side: Side, intent: &Intent) -> Option<RecordId> {
    let field = context.policy().match_rule().field(side).to_owned();
    let value = text(intent.patch.get(&field));
    let found = find(context, side, &field, &[value]).await.ok()?;
    found
        .into_iter()
        .flatten()
        .map(|entity| entity.id)
        .find(|id| intent.effect.target_record() != Some(id))
}

async fn find(
    context: &Context,
    side: Side,
    field: &str,
    values: &[String],
) -> Result<Vec<Vec<Entity>>, SyncError> {
    let collection = context.collection(side);
    let mut found = Vec::with_capacity(values.len());
    for chunk in values.chunks(collection.capabilities.max_find.max(1) as usize) {
        let page = retry(context.clock(), context.ids(), "find", || {
            context.connector(side).find(&collection.name, field, chunk)
        })
        .await
        .map_err(|failure| context.account(side, failure))?;
        found.extend(page);
    }
    Ok(found)
}

fn text(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}
