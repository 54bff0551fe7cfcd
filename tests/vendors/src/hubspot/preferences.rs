//! Communication preferences v4: `/communication-preferences/v4/*` (V).

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::HubSpot;
use super::consent::{Consents, Entry, LegalBasis, SubscriptionState, SuccessReason};
use super::error::{ErrorBody, Problem};
use super::properties::{SUBSCRIPTION_TYPES, normal_email};
use super::request;
use super::store::{Context, Store};
use crate::clock::Millis;
use crate::query::QueryParams;
use crate::reply;
use crate::vendor::Vendor;

/// The most inputs of a batch (T).
const INPUTS: usize = 100;

/// What the vendor calls changes made through its API.
const SOURCE: &str = "Public Status API";

pub(super) fn routes() -> Router<HubSpot> {
    Router::new()
        .route(
            "/communication-preferences/v4/definitions",
            get(definitions),
        )
        .route(
            "/communication-preferences/v4/statuses/{email}",
            get(read).post(write),
        )
        .route(
            "/communication-preferences/v4/statuses/{email}/unsubscribe-all",
            get(read_all).post(unsubscribe_all),
        )
        .route(
            "/communication-preferences/v4/statuses/batch/read",
            post(batch_read),
        )
        .route(
            "/communication-preferences/v4/statuses/batch/write",
            post(batch_write),
        )
        .route(
            "/communication-preferences/v4/statuses/batch/unsubscribe-all",
            post(batch_unsubscribe_all),
        )
}

/// One status as an answer shows it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    subscriber_id_string: String,
    channel: &'static str,
    subscription_id: u32,
    subscription_name: &'static str,
    status: SubscriptionState,
    source: &'static str,
    business_unit_id: u32,
    timestamp: Millis,
    #[serde(skip_serializing_if = "Option::is_none")]
    legal_basis: Option<LegalBasis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    legal_basis_explanation: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    set_status_success_reason: Option<SuccessReason>,
}

fn status(email: &str, position: usize, consents: Option<&Consents>, now: Millis) -> Status {
    let kind = SUBSCRIPTION_TYPES[position];
    let entry = consents.and_then(|c| c.entries[position].as_ref());
    Status {
        subscriber_id_string: email.to_owned(),
        channel: "EMAIL",
        subscription_id: kind.id,
        subscription_name: kind.name,
        status: entry.map_or(SubscriptionState::NotSpecified, |e| e.state),
        source: entry.map_or("", |e| e.source),
        business_unit_id: 0,
        timestamp: entry.map_or(now, |e| e.at),
        legal_basis: entry.and_then(|e| e.basis),
        legal_basis_explanation: entry.and_then(|e| e.explanation.as_deref().map(str::to_owned)),
        set_status_success_reason: None,
    }
}

fn all_statuses(store: &Store, email: &str, now: Millis) -> Vec<Status> {
    let consents = store.consents().get(email);
    (0..SUBSCRIPTION_TYPES.len())
        .map(|position| status(email, position, consents, now))
        .collect()
}

/// The envelope of every answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<T> {
    status: &'static str,
    results: Vec<T>,
    started_at: Millis,
    completed_at: Millis,
    #[serde(skip_serializing_if = "Option::is_none")]
    num_errors: Option<usize>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<ErrorBody>,
}

fn complete<T: Serialize>(results: Vec<T>, errors: Vec<ErrorBody>, now: Millis) -> Response {
    let failed = errors.len();
    let code = if failed > 0 {
        StatusCode::MULTI_STATUS
    } else {
        StatusCode::OK
    };
    reply::json(
        code,
        &Answer {
            status: "COMPLETE",
            results,
            started_at: now,
            completed_at: now,
            num_errors: (failed > 0).then_some(failed),
            errors,
        },
    )
}

async fn definitions(State(hubspot): State<HubSpot>) -> Response {
    let now = hubspot.core().clock.now();
    let results = SUBSCRIPTION_TYPES
        .iter()
        .map(|kind| {
            json!({
                "id": kind.id.to_string(),
                "name": kind.name,
                "description": kind.description,
                "purpose": "Marketing",
                "communicationMethod": "Email",
                "isActive": true,
                "isDefault": false,
                "isInternal": false,
                "businessUnitId": 0,
                "createdAt": Millis(1_600_000_000_000),
                "updatedAt": Millis(1_600_000_000_000),
            })
        })
        .collect();
    complete(results, Vec::new(), now)
}

fn address(text: &str) -> Result<Box<str>, Problem> {
    normal_email(text)
        .ok_or_else(|| Problem::BadRequest(format!("{text} is not a valid email address")))
}

fn check_channel(channel: Option<&str>) -> Result<(), Problem> {
    match channel {
        None | Some("EMAIL") => Ok(()),
        Some(other) => Err(Problem::BadRequest(format!(
            "{other} is not a supported channel"
        ))),
    }
}

async fn read(
    State(hubspot): State<HubSpot>,
    Path(email): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    check_channel(QueryParams::parse(query).get("channel"))?;
    let email = address(&email)?;
    let now = hubspot.core().clock.now();
    let results = all_statuses(&hubspot.store(), &email, now);
    Ok(complete(results, Vec::new(), now))
}

/// A status to record.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StatusWrite {
    subscriber_id_string: Option<String>,
    channel: Option<String>,
    subscription_id: u32,
    status_state: SubscriptionState,
    legal_basis: Option<LegalBasis>,
    legal_basis_explanation: Option<String>,
}

/// Applies one write and answers the status and whether it changed.
fn apply(
    store: &mut Store,
    context: Context<'_>,
    email: &str,
    write: StatusWrite,
) -> Result<(Status, bool), Problem> {
    check_channel(write.channel.as_deref())?;
    let email = address(email)?;
    let position = SUBSCRIPTION_TYPES
        .iter()
        .position(|kind| kind.id == write.subscription_id)
        .ok_or_else(|| {
            Problem::BadRequest(format!(
                "subscription {} does not exist",
                write.subscription_id
            ))
        })?;
    if write.status_state == SubscriptionState::Subscribed {
        if context.quirks.require_legal_basis && write.legal_basis.is_none() {
            return Err(Problem::BadRequest(
                "legalBasis is required to subscribe in this account".to_owned(),
            ));
        }
        let before = store.consents().get(&email).map(|c| c.state(position));
        if before == Some(SubscriptionState::Unsubscribed) && !context.quirks.api_may_resubscribe {
            return Err(Problem::BadRequest(format!(
                "{email} has opted out and cannot be resubscribed through the API"
            )));
        }
    }
    let entry = Entry {
        state: write.status_state,
        at: context.now,
        source: SOURCE,
        basis: write.legal_basis,
        explanation: write.legal_basis_explanation.map(Arc::from),
    };
    let reason = store.set_consent(&email, position, entry, context);
    let mut shown = status(&email, position, store.consents().get(&email), context.now);
    shown.set_status_success_reason = Some(reason);
    Ok((shown, reason != SuccessReason::NoStatusChange))
}

async fn write(
    State(hubspot): State<HubSpot>,
    Path(email): Path<String>,
    body: Bytes,
) -> Result<Response, Problem> {
    let write: StatusWrite = request::json(&body)?;
    let now = hubspot.core().clock.now();
    let outcome = hubspot.change(|store, context| apply(store, context, &email, write));
    hubspot.core().stats.record(|w| match &outcome {
        Ok((_, changed)) => w.consents += u64::from(*changed),
        Err(_) => w.rejected += 1,
    });
    Ok(complete(vec![outcome?.0], Vec::new(), now))
}

async fn read_all(
    State(hubspot): State<HubSpot>,
    Path(email): Path<String>,
) -> Result<Response, Problem> {
    let email = address(&email)?;
    let now = hubspot.core().clock.now();
    let all = hubspot.store().consents().get(&email).and_then(|c| c.all);
    let wide = json!({
        "subscriberIdString": email,
        "channel": "EMAIL",
        "wideStatusType": "PORTAL_WIDE",
        "status": if all.is_some() { "UNSUBSCRIBED" } else { "NOT_SPECIFIED" },
        "timestamp": all.unwrap_or(now),
    });
    Ok(complete(vec![wide], Vec::new(), now))
}

async fn unsubscribe_all(
    State(hubspot): State<HubSpot>,
    Path(email): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let query = QueryParams::parse(query);
    check_channel(query.get("channel"))?;
    let email = address(&email)?;
    let now = hubspot.core().clock.now();
    let changed = hubspot
        .change(|store, context| store.unsubscribe_all(&email, context.now, SOURCE, context));
    hubspot
        .core()
        .stats
        .record(|w| w.consents += u64::from(changed));
    let mut results = Vec::new();
    if query.value("verbose", false)? {
        results = all_statuses(&hubspot.store(), &email, now);
        for shown in &mut results {
            shown.set_status_success_reason = Some(if changed {
                SuccessReason::UnsubscribeFromAllOccurred
            } else {
                SuccessReason::NoStatusChange
            });
        }
    }
    Ok(complete(results, Vec::new(), now))
}

#[derive(Deserialize)]
struct Inputs<T> {
    inputs: Vec<T>,
}

fn inputs<T>(inputs: Vec<T>) -> Result<Vec<T>, Problem> {
    if inputs.len() > INPUTS {
        return Err(Problem::BadRequest(format!(
            "at most {INPUTS} inputs are allowed, but there were {}",
            inputs.len()
        )));
    }
    Ok(inputs)
}

/// The statuses of one address.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OfAddress {
    subscriber_id_string: String,
    statuses: Vec<Status>,
}

async fn batch_read(
    State(hubspot): State<HubSpot>,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Result<Response, Problem> {
    check_channel(QueryParams::parse(query).get("channel"))?;
    let wanted = inputs(request::json::<Inputs<String>>(&body)?.inputs)?;
    let now = hubspot.core().clock.now();
    let store = hubspot.store();
    let (mut results, mut errors) = (Vec::with_capacity(wanted.len()), Vec::new());
    for email in wanted {
        match address(&email) {
            Ok(known) => {
                results.push(OfAddress {
                    subscriber_id_string: email,
                    statuses: all_statuses(&store, &known, now),
                });
            }
            Err(problem) => errors.push(problem.batch_entry(None)),
        }
    }
    drop(store);
    Ok(complete(results, errors, now))
}

async fn batch_write(State(hubspot): State<HubSpot>, body: Bytes) -> Result<Response, Problem> {
    let wanted = inputs(request::json::<Inputs<StatusWrite>>(&body)?.inputs)?;
    let now = hubspot.core().clock.now();
    let (results, errors, changed) = hubspot.change(|store, context| {
        let (mut results, mut errors, mut changed) = (Vec::new(), Vec::new(), 0);
        for mut input in wanted {
            let email = input.subscriber_id_string.take().unwrap_or_default();
            match apply(store, context, &email, input) {
                Ok((shown, moved)) => {
                    results.push(shown);
                    changed += u64::from(moved);
                }
                Err(problem) => errors.push(problem.batch_entry(None)),
            }
        }
        (results, errors, changed)
    });
    hubspot.core().stats.record(|w| {
        w.consents += changed;
        w.rejected += errors.len() as u64;
    });
    Ok(complete(results, errors, now))
}

async fn batch_unsubscribe_all(
    State(hubspot): State<HubSpot>,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Result<Response, Problem> {
    let query = QueryParams::parse(query);
    check_channel(query.get("channel"))?;
    let verbose = query.value("verbose", false)?;
    let wanted = inputs(request::json::<Inputs<String>>(&body)?.inputs)?;
    let now = hubspot.core().clock.now();
    let (results, errors, changed) = hubspot.change(|store, context| {
        let (mut results, mut errors, mut changed) = (Vec::new(), Vec::new(), 0);
        for email in wanted {
            match address(&email) {
                Ok(known) => {
                    changed +=
                        u64::from(store.unsubscribe_all(&known, context.now, SOURCE, context));
                    if verbose {
                        let statuses = all_statuses(store, &known, context.now);
                        results.push(OfAddress {
                            subscriber_id_string: email,
                            statuses,
                        });
                    }
                }
                Err(problem) => errors.push(problem.batch_entry(None)),
            }
        }
        (results, errors, changed)
    });
    hubspot.core().stats.record(|w| w.consents += changed);
    Ok(complete(results, errors, now))
}
