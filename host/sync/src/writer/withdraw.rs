//! Writes that would not be decided any more, right before they are sent: they are given up, and planned again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use samspel_engine::consent::Restrictions;
use samspel_engine::plan::{Ending, LinkState, SideWrite, plan};
use samspel_engine::settle;
use samspel_model::intent::{Effect, Intent};
use samspel_model::store::{Observation, RecordRestriction};
use samspel_model::{Consent, ConsentState, Guard, Link, LinkId, Presence, RecordId, Side};

use super::{Found, KEY_EXISTS, Resolution};
use crate::context::Context;
use crate::error::SyncError;
use crate::planner::MERGES;

/// How often opt-ins are looked at before they are sent, where something is stored meanwhile.
const LOOKS: u32 = 8;

/// Why a create is given up whose source is no longer there.
const SOURCE_GONE: &str = "the record that it was to be created for is gone";

/// An opt-in that was decided on is not sent if a newer opt-out has been seen since. Where something was stored while
/// that was looked at, it is looked at once more: when this returns nothing is known that was not looked at.
pub async fn withdraw_outdated_opt_ins(
    context: &Arc<Context>,
    side: Side,
    intents: Vec<Intent>,
    resolutions: &mut Vec<Resolution>,
) -> Result<Vec<Intent>, SyncError> {
    let (mut grants, mut current): (Vec<_>, Vec<_>) = intents
        .into_iter()
        .partition(|intent| opt_in(intent).is_some());
    if Guard::OptInIsCheckedAgain.stands() {
        for _ in 0..LOOKS {
            if grants.is_empty() {
                break;
            }
            let looked = context.store().sequence();
            grants = current_opt_ins(context, side, grants, resolutions).await?;
            if context.store().sequence() == looked {
                break;
            }
        }
    }
    current.extend(grants);
    Ok(current)
}

async fn current_opt_ins(
    context: &Context,
    side: Side,
    grants: Vec<Intent>,
    resolutions: &mut Vec<Resolution>,
) -> Result<Vec<Intent>, SyncError> {
    let mut current = Vec::with_capacity(grants.len());
    let mut said: HashMap<(Side, RecordId), SaidNow> = HashMap::new();
    for asked in Side::BOTH {
        let ids = grants
            .iter()
            .filter_map(|intent| record_of(intent, asked).cloned())
            .collect();
        said.extend(
            said_now(context, asked, ids)
                .await?
                .into_iter()
                .map(|(id, said)| ((asked, id), said)),
        );
    }
    for intent in grants {
        let granted = opt_in(&intent).and_then(|consent| consent.at);
        let outdated = Side::BOTH.into_iter().any(|asked| {
            let Some(said) =
                record_of(&intent, asked).and_then(|id| said.get(&(asked, id.clone())))
            else {
                return false;
            };
            let shows = match said.opted_out {
                // The record that the opt-in came from has an opt-out now.
                Some(_) if asked != side => true,
                // The target's own opt-out is what older evidence must not lift. That the remote noted what it was
                // told with a time of its own was known.
                Some(at) => at.is_some_and(|at| {
                    Some(at) > intent.overrules && granted.is_none_or(|granted| granted <= at)
                }),
                None => false,
            };
            // An opt-out that was in force when this was decided was lifted with it.
            let in_force = said
                .restricted
                .is_some_and(|at| granted.is_none_or(|granted| granted <= at));
            shows || in_force
        });
        if outdated {
            resolutions.push(Resolution::Abandoned(
                intent,
                Found::Nothing,
                "an opt-out was seen meanwhile",
            ));
        } else {
            current.push(intent);
        }
    }
    Ok(current)
}

/// What is known now of the opt-outs of the person behind a record.
#[derive(Debug, Clone, Copy, Default)]
struct SaidNow {
    /// The record shows one, or the one that it was merged into does; and when it was given.
    opted_out: Option<Option<Timestamp>>,
    /// The newest that is in force for them.
    restricted: Option<Timestamp>,
}

/// What the people behind records of a side have said, also as the records that theirs were merged into.
async fn said_now(
    context: &Context,
    side: Side,
    ids: Vec<RecordId>,
) -> Result<HashMap<RecordId, SaidNow>, SyncError> {
    let endpoint = context.endpoint(side);
    let mut people: Vec<(RecordId, SaidNow)> =
        ids.into_iter().map(|id| (id, SaidNow::default())).collect();
    // Each record as it is called by now.
    let mut called: Vec<Option<RecordId>> = people.iter().map(|(id, _)| Some(id.clone())).collect();
    for _ in 0..=MERGES {
        let asked: Vec<RecordId> = called.iter().flatten().cloned().collect();
        if asked.is_empty() {
            break;
        }
        let seen: HashMap<RecordId, Observation> = context
            .store()
            .observations(endpoint, &asked)
            .await?
            .into_iter()
            .map(|seen| (seen.id.clone(), seen))
            .collect();
        let rows = context.store().restrictions(endpoint, &asked).await?;
        for ((_, said), called) in people.iter_mut().zip(&mut called) {
            let Some(id) = called.take() else { continue };
            let of = rows.iter().filter(|row| row.record == id);
            said.restricted = of.map(|row| row.restriction.at).max().max(said.restricted);
            let now = seen.get(&id);
            let mut consents = now.into_iter().flat_map(|seen| &seen.consents);
            let opt_out = consents.find(|consent| consent.state == ConsentState::Unsubscribed);
            if let Some(consent) = opt_out {
                said.opted_out = Some(consent.at.max(said.opted_out.flatten()));
            }
            *called = now.and_then(|seen| seen.merged_into.clone());
        }
    }
    Ok(people.into_iter().collect())
}

/// The opt-in that an intent carries, if it carries one.
pub fn opt_in(intent: &Intent) -> Option<&Consent> {
    intent.consents.iter().find(|consent| {
        matches!(
            consent.state,
            ConsentState::Subscribed | ConsentState::Pending
        )
    })
}

/// The record of a side that an intent is about.
fn record_of(intent: &Intent, side: Side) -> Option<&RecordId> {
    if side == intent.target {
        intent.effect.target_record()
    } else {
        Some(&intent.source_record)
    }
}

/// What is known of the records that are about to be written.
pub async fn targets(
    context: &Context,
    side: Side,
    intents: &[Intent],
) -> Result<HashMap<RecordId, Observation>, SyncError> {
    let ids: Vec<RecordId> = intents
        .iter()
        .filter_map(|intent| intent.effect.target_record().cloned())
        .collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let seen = context
        .store()
        .observations(context.endpoint(side), &ids)
        .await?;
    Ok(seen
        .into_iter()
        .map(|seen| (seen.id.clone(), seen))
        .collect())
}

/// Writes that were decided on what has been overtaken since are not sent: somebody changed the same field of the
/// target meanwhile, or it is gone; or the source of a record that was to be created is gone, or one with its key is
/// there.
pub async fn withdraw_overtaken(
    context: &Arc<Context>,
    side: Side,
    intents: Vec<Intent>,
    seen: &HashMap<RecordId, Observation>,
    resolutions: &mut Vec<Resolution>,
) -> Result<Vec<Intent>, SyncError> {
    let keys: HashMap<String, String> = intents
        .iter()
        .filter(|intent| !matches!(intent.effect, Effect::Remove(..)))
        .filter_map(|intent| {
            let key = context.policy().match_key(side, &intent.patch)?;
            Some((intent.id.clone(), key))
        })
        .collect();
    let mut held: HashMap<String, Vec<RecordId>> = HashMap::new();
    if !keys.is_empty() {
        let field = context.policy().match_rule().field(side);
        let asked: Vec<String> = keys.values().cloned().collect();
        let holders = context
            .store()
            .records_by_key(context.endpoint(side), field, &asked, 2)
            .await?;
        for (key, id) in holders {
            held.entry(key).or_default().push(id);
        }
    }
    let gone = gone_sources(context, side, &intents).await?;
    let mut current = Vec::with_capacity(intents.len());
    for intent in intents {
        let holders = keys.get(&intent.id).and_then(|key| held.get(key));
        let why = match intent.effect.target_record() {
            None if gone.contains(&intent.source_record) => Some(SOURCE_GONE),
            None => holders
                .filter(|_| Guard::KeyMustBeUnique.stands())
                .map(|_| KEY_EXISTS),
            Some(id) => seen
                .get(id)
                .filter(|seen| settle::is_overtaken(&intent, seen, context.policy()))
                .map(|_| "the record was read anew meanwhile")
                .or(holders
                    .filter(|_| Guard::MergeIsProposed.stands())
                    .and_then(|holders| holders.iter().find(|holder| *holder != id))
                    .map(|_| KEY_EXISTS)),
        };
        match why {
            Some(why) => resolutions.push(Resolution::Abandoned(intent, Found::Known, why)),
            None => current.push(intent),
        }
    }
    Ok(current)
}

/// The records that are to be created on a side and are no longer there: they were deleted, or merged into others.
async fn gone_sources(
    context: &Context,
    side: Side,
    intents: &[Intent],
) -> Result<HashSet<RecordId>, SyncError> {
    let sources: Vec<RecordId> = intents
        .iter()
        .filter(|intent| matches!(intent.effect, Effect::Create))
        .map(|intent| intent.source_record.clone())
        .collect();
    if sources.is_empty() {
        return Ok(HashSet::new());
    }
    let seen = context
        .store()
        .observations(context.endpoint(side.other()), &sources)
        .await?;
    Ok(seen
        .into_iter()
        .filter(|seen| seen.presence != Presence::Present)
        .map(|seen| seen.id)
        .collect())
}

/// Changes of people who have opted out since they were decided on wait until that is told, and what is known of an
/// address says nothing about the next one. Nothing is taken away that was edited since, whichever sync has read that.
pub async fn withdraw_outdated(
    context: &Arc<Context>,
    side: Side,
    intents: Vec<Intent>,
    seen: &HashMap<RecordId, Observation>,
    resolutions: &mut Vec<Resolution>,
) -> Result<Vec<Intent>, SyncError> {
    let asked: Vec<&Intent> = intents
        .iter()
        .filter(|intent| match intent.effect {
            Effect::Create => false,
            Effect::Update(_) => !intent.restricts && Guard::OptOutGoesFirst.stands(),
            Effect::Remove(..) => true,
        })
        .collect();
    if asked.is_empty() {
        return Ok(intents);
    }
    let outdated = outdated(context, side, &asked, seen).await?;
    let mut current = Vec::with_capacity(intents.len());
    for intent in intents {
        match outdated.get(&intent.id) {
            Some(why) => resolutions.push(Resolution::Abandoned(intent, Found::Known, why)),
            None => current.push(intent),
        }
    }
    Ok(current)
}

/// Which of these changes would not be made any more, and why.
async fn outdated(
    context: &Context,
    side: Side,
    intents: &[&Intent],
    seen: &HashMap<RecordId, Observation>,
) -> Result<HashMap<String, &'static str>, SyncError> {
    let store = context.store();
    let sources: Vec<RecordId> = intents
        .iter()
        .map(|intent| intent.source_record.clone())
        .collect();
    let targets: Vec<RecordId> = intents
        .iter()
        .filter_map(|intent| intent.effect.target_record().cloned())
        .collect();
    let links: HashMap<LinkId, Link> = store
        .links_by_record(context.name(), side, &targets)
        .await?
        .into_iter()
        .map(|link| (link.id.clone(), link))
        .collect();
    let sources_seen: HashMap<RecordId, Observation> = store
        .observations(context.endpoint(side.other()), &sources)
        .await?
        .into_iter()
        .map(|seen| (seen.id.clone(), seen))
        .collect();
    let mut rows: HashMap<(Side, RecordId), Vec<RecordRestriction>> = HashMap::new();
    for (of, ids) in [(side, &targets), (side.other(), &sources)] {
        for row in store.restrictions(context.endpoint(of), ids).await? {
            let at = (of, row.record.clone());
            rows.entry(at).or_default().push(row);
        }
    }
    let now = context.now();
    let outdated = intents.iter().filter_map(|intent| {
        let link = intent.link.as_ref().and_then(|id| links.get(id));
        let target = intent.effect.target_record().and_then(|id| seen.get(id));
        let source = sources_seen.get(&intent.source_record);
        let (Some(link), Some(target), Some(source)) = (link, target, source) else {
            return None;
        };
        let pair = match side {
            Side::A => [target, source],
            Side::B => [source, target],
        };
        let restricted = Side::BOTH
            .into_iter()
            .fold(Restrictions::default(), |known, of| {
                let rows = rows.get(&(of, link.record(of).clone()));
                known.with(context.policy(), of, rows.map_or(&[], Vec::as_slice))
            });
        let state = LinkState {
            base: &link.base,
            seen: pair,
            restricted: &restricted,
            told: &intent.told,
        };
        let now = plan(&state, context.policy(), now);
        if matches!(intent.effect, Effect::Remove(..)) {
            // What is taken back has a partner, and is nobody's edit.
            let is_alone = source.presence != Presence::Present;
            let stays = is_alone && !matches!(now.ending, Some(Ending::Remove(..)));
            return stays.then(|| (intent.id.clone(), "it would not be taken away any more"));
        }
        let bounces = |write: &Option<SideWrite>| {
            let write = write.as_ref();
            write.and_then(|write| write.deliverability.clone())
        };
        let owed = now.writes[side.index()].as_ref();
        let why = if owed.is_some_and(SideWrite::restricts) {
            "an opt-out goes first"
        } else if intent.deliverability.is_some()
            && bounces(&now.writes[side.index()]) != intent.deliverability
            && Guard::BounceBelongsToAddress.stands()
        {
            "the address changed meanwhile"
        } else {
            return None;
        };
        Some((intent.id.clone(), why))
    });
    Ok(outdated.collect())
}
