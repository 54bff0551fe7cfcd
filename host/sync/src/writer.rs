//! Sending a batch of stored writes, and settling what became of them.
//!
//! Every intent ends in one of four ways: it is settled, it is given up and its records are planned again, its record
//! is parked or queued for a person, or it is tried again. None is dropped.

mod settlement;
mod withdraw;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use samspel_model::intent::{Effect, Intent};
use samspel_model::store::{Observation, Source, Step};
use samspel_model::{
    Absence, CallFailure, Create, Entity, Failure, Fields, Guard, Outcome, RecordId, Remove, Side,
    Update, WriteOp,
};

use crate::accounts::Closing;
use crate::context::Context;
use crate::error::SyncError;
use crate::recovery;

pub use settlement::settle_all;
pub use withdraw::withdraw_outdated_opt_ins;
use withdraw::{targets, withdraw_outdated, withdraw_overtaken};

/// Why a create is given up that need not be made.
const KEY_EXISTS: &str = "a record with the same key was read meanwhile";

/// Why a write is given up that certainly did nothing.
pub const NOT_APPLIED: &str = "it was not applied";

/// What became of a batch.
#[derive(Debug, Default)]
pub struct Wrote {
    /// Writes to be sent again, and how long to wait where the remote says so.
    pub retry: Vec<(Intent, Option<Duration>)>,
    /// Records that are left for the next run: trying again now would only repeat what happened.
    pub given_up: Vec<(Side, RecordId)>,
    /// Sources of writes that were given up and are planned again.
    pub abandoned: Vec<(Side, RecordId)>,
    /// Intents that are no longer under way.
    pub closed: Vec<(Intent, Closing)>,
    /// The account cannot be used: the run must end.
    pub failed: Option<SyncError>,
    /// The sandbox ended the call: why. What it carried is looked at again, in smaller calls.
    pub stopped: Option<Failure>,
    /// Counts.
    pub tally: Tally,
}

/// What became of writes, in numbers.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tally {
    pub created: u64,
    pub updated: u64,
    pub removed: u64,
    pub abandoned: u64,
    pub parked: u64,
    pub suppressed: u64,
    pub conflicts: u64,
}

/// What is known about one intent once its outcome is.
#[derive(Debug)]
pub enum Resolution {
    /// The remote confirmed it, or was found to hold it.
    Done(Intent, Option<Box<Written>>),
    /// It was certainly or apparently not applied: the records are planned again from what was found.
    Abandoned(Intent, Found, &'static str),
    /// A create may have been applied, and the only record with its key says something else: the two belong together.
    Adopted(Intent, Box<Entity>),
    /// The remote will not take it. `suppressed`: for the person's protection.
    Refused {
        intent: Intent,
        cause: String,
        suppressed: bool,
    },
    /// Another record has the unique value.
    Taken(Intent, Option<RecordId>),
    /// Certainly not applied, and worth another try.
    Later(Intent, Option<Duration>),
    /// Still not known.
    Unresolved(Intent, String),
}

/// A record that a write has made or changed.
#[derive(Debug)]
pub struct Written {
    /// As it is now.
    pub entity: Entity,
    /// How that came to be known.
    pub source: Source,
    /// What its fields held before it was written to once more. What differs since then is news.
    pub held: Option<Fields>,
}

impl Written {
    /// As the remote says.
    pub fn as_told(entity: Entity, source: Source) -> Option<Box<Self>> {
        Some(Box::new(Self {
            entity,
            source,
            held: None,
        }))
    }
}

/// What was found on the remote in place of what was expected.
#[derive(Debug)]
pub enum Found {
    /// This record, and how it was found.
    Record(Box<Entity>, Source),
    /// The record is gone.
    Absent(RecordId, Absence),
    /// It lives on under another id.
    Moved(RecordId),
    /// What is new is stored already.
    Known,
    /// Nothing new is known; it is to be fetched.
    Nothing,
}

/// Sends a batch and settles it.
pub async fn write_batch(
    context: &Arc<Context>,
    side: Side,
    intents: Vec<Intent>,
) -> Result<Wrote, SyncError> {
    let mut resolutions = Vec::with_capacity(intents.len());
    // From looking until sending, nothing new is stored.
    let alone = (
        context.observing(Side::A).await,
        context.observing(Side::B).await,
    );
    let sent = context.store().sequence();
    let seen = targets(context, side, &intents).await?;
    let intents = withdraw_overtaken(context, side, intents, &seen, &mut resolutions).await?;
    let intents = withdraw_outdated(context, side, intents, &seen, &mut resolutions).await?;
    // Last of all: other syncs go on storing what they read.
    let intents = withdraw_outdated_opt_ins(context, side, intents, &mut resolutions).await?;
    drop(alone);
    let mut failed = None;
    let mut stopped = None;
    if !intents.is_empty() {
        let collection = &context.collection(side).name;
        let ops = operations(context, side, &intents, &seen);
        context.still_leased().await?;
        match context.connector(side).write(collection, ops).await {
            Ok(outcomes) => {
                let mut unknown = Vec::new();
                for (intent, outcome) in intents.into_iter().zip(outcomes) {
                    match resolve(intent, outcome) {
                        Resolution::Unresolved(intent, why) => unknown.push((intent, why)),
                        resolution => resolutions.push(resolution),
                    }
                }
                if !unknown.is_empty() {
                    resolutions.extend(find_out(context, side, unknown).await);
                }
            }
            Err(error) => {
                let failed_call = call_failed(context, side, intents, error).await;
                resolutions.extend(failed_call.resolutions);
                failed = failed_call.failed;
                stopped = failed_call.stopped;
            }
        }
    }
    let mut wrote = settle_all(context, side, Step::Settle, sent, resolutions).await?;
    wrote.failed = failed;
    if stopped.is_some() {
        // They are tried again, and the calls are smaller until the record that stops them is alone.
        wrote.abandoned.clear();
    }
    wrote.stopped = stopped;
    Ok(wrote)
}

/// What a failed write call leads to.
struct FailedCall {
    resolutions: Vec<Resolution>,
    failed: Option<SyncError>,
    stopped: Option<Failure>,
}

/// A write call gave no answer: it is found out what it did.
async fn call_failed(
    context: &Arc<Context>,
    side: Side,
    intents: Vec<Intent>,
    error: CallFailure,
) -> FailedCall {
    let CallFailure {
        failure,
        may_have_applied,
    } = error;
    let why = failure.to_string();
    let alone = intents.len() == 1;
    tracing::warn!(%side, %failure, items = intents.len(), may_have_applied, "a batch failed");
    let mut resolutions = if may_have_applied {
        let unknown = intents
            .into_iter()
            .map(|intent| (intent, why.clone()))
            .collect();
        find_out(context, side, unknown).await
    } else if failure.is_transient() {
        let wait = match failure {
            Failure::Throttled { retry_after } => retry_after,
            _ => None,
        };
        intents
            .into_iter()
            .map(|intent| Resolution::Later(intent, wait))
            .collect()
    } else {
        intents
            .into_iter()
            .map(|intent| Resolution::Abandoned(intent, Found::Nothing, NOT_APPLIED))
            .collect()
    };
    match failure {
        // The sandbox ended the call, for the sake of one record perhaps: the batch ends, and not the run.
        Failure::Stopped(_) => {
            if alone {
                resolutions = resolutions
                    .into_iter()
                    .map(|resolution| match resolution {
                        Resolution::Abandoned(intent, _, NOT_APPLIED) => Resolution::Refused {
                            intent,
                            cause: why.clone(),
                            suppressed: false,
                        },
                        resolution => resolution,
                    })
                    .collect();
            }
            FailedCall {
                resolutions,
                failed: None,
                stopped: Some(failure),
            }
        }
        failure if failure.is_transient() => FailedCall {
            resolutions,
            failed: None,
            stopped: None,
        },
        failure => FailedCall {
            resolutions,
            failed: Some(context.account(side, failure)),
            stopped: None,
        },
    }
}

/// Asks the remote what became of writes. Where it does not answer, they stay stored and are looked at by the next
/// run.
async fn find_out(
    context: &Arc<Context>,
    side: Side,
    unknown: Vec<(Intent, String)>,
) -> Vec<Resolution> {
    if !Guard::UnknownIsLookedUp.stands() {
        let again = unknown.into_iter();
        return again
            .map(|(intent, _)| Resolution::Later(intent, None))
            .collect();
    }
    let (intents, whys): (Vec<_>, Vec<_>) = unknown.into_iter().unzip();
    match recovery::find_out(context, side, intents.clone()).await {
        Ok(resolutions) => resolutions,
        Err(error) => {
            tracing::warn!(%side, %error, "what became of writes could not be found out; the next run asks again");
            intents
                .into_iter()
                .zip(whys)
                .map(|(intent, why)| Resolution::Unresolved(intent, why))
                .collect()
        }
    }
}

fn operations(
    context: &Context,
    side: Side,
    intents: &[Intent],
    seen: &HashMap<RecordId, Observation>,
) -> Vec<WriteOp> {
    let known = |id: &RecordId| -> Fields {
        seen.get(id)
            .map(|seen| context.known_roles(side, &seen.fields))
            .unwrap_or_default()
    };
    intents
        .iter()
        .map(|intent| match &intent.effect {
            Effect::Create => WriteOp::Create(Create {
                idempotency_key: intent.id.clone(),
                fields: intent.patch.clone(),
                consents: intent.consents.clone(),
                deliverability: intent.deliverability.clone(),
            }),
            Effect::Update(id) => WriteOp::Update(Update {
                id: id.clone(),
                precondition: intent.precondition.clone(),
                patch: intent.patch.clone(),
                consents: intent.consents.clone(),
                deliverability: intent.deliverability.clone(),
                known: known(id),
            }),
            Effect::Remove(id, how) => WriteOp::Remove(Remove {
                id: id.clone(),
                precondition: intent.precondition.clone(),
                how: *how,
                known: known(id),
            }),
        })
        .collect()
}

fn resolve(intent: Intent, outcome: Outcome) -> Resolution {
    let removing = matches!(intent.effect, Effect::Remove(..));
    match outcome {
        Outcome::Written(_) if removing => Resolution::Done(intent, None),
        Outcome::Written(entity) => {
            Resolution::Done(intent, Written::as_told(entity, Source::Write))
        }
        Outcome::Gone if removing => Resolution::Done(intent, None),
        Outcome::Gone => match intent.effect.target_record().cloned() {
            Some(id) => Resolution::Abandoned(
                intent,
                Found::Absent(id, Absence::Deleted),
                "the record is gone",
            ),
            None => Resolution::Refused {
                intent,
                cause: "the connector answered `gone` to a create".to_owned(),
                suppressed: false,
            },
        },
        Outcome::Stale(Some(entity)) => Resolution::Abandoned(
            intent,
            Found::Record(Box::new(entity), Source::Fetch),
            "the record changed meanwhile",
        ),
        Outcome::Stale(None) => {
            Resolution::Abandoned(intent, Found::Nothing, "the record changed meanwhile")
        }
        Outcome::Moved(id) => {
            Resolution::Abandoned(intent, Found::Moved(id), "the record was merged")
        }
        Outcome::Duplicate(id) => Resolution::Taken(intent, id),
        Outcome::Suppressed(cause) => Resolution::Refused {
            intent,
            cause,
            suppressed: true,
        },
        Outcome::Rejected { reason, field } => Resolution::Refused {
            intent,
            cause: match field {
                Some(field) => format!("`{field}`: {reason}"),
                None => reason,
            },
            suppressed: false,
        },
        Outcome::Deferred {
            reason,
            retry_after,
        } => {
            tracing::debug!(reason, "a write was deferred");
            Resolution::Later(intent, retry_after.map(Duration::from_millis))
        }
        Outcome::Unknown(why) => Resolution::Unresolved(intent, why),
    }
}

/// Gives up writes that were certainly not applied: their records are planned again by the next run.
pub async fn give_up(
    context: &Arc<Context>,
    side: Side,
    intents: Vec<Intent>,
    why: &'static str,
) -> Result<Wrote, SyncError> {
    let resolutions = intents
        .into_iter()
        .map(|intent| Resolution::Abandoned(intent, Found::Nothing, why))
        .collect();
    let sent = context.store().sequence();
    settle_all(context, side, Step::GiveUp, sent, resolutions).await
}
