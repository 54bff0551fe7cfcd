//! Batches of contacts: `/crm/v3/objects/contacts/batch/*`, at most 100 inputs each.

use std::collections::HashSet;
use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::post;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::HubSpot;
use super::contact::{Contact, View};
use super::error::{ErrorBody, Problem};
use super::properties::{Changes, EMAIL, PropId, PropertyMap, Registry};
use super::quirks::BatchErrors;
use super::request::json;
use super::store::{Context, Store};
use crate::clock::Millis;
use crate::query::QueryParams;
use crate::reply;
use crate::stats::RecordWrites;
use crate::vendor::Vendor;

/// The most inputs of a batch (T).
const INPUTS: usize = 100;

pub(super) fn routes() -> Router<HubSpot> {
    Router::new()
        .route("/crm/v3/objects/contacts/batch/read", post(read))
        .route("/crm/v3/objects/contacts/batch/create", post(create))
        .route("/crm/v3/objects/contacts/batch/update", post(update))
        .route("/crm/v3/objects/contacts/batch/upsert", post(upsert))
        .route("/crm/v3/objects/contacts/batch/archive", post(archive))
}

#[derive(Deserialize)]
struct Inputs<T> {
    inputs: Vec<T>,
}

fn inputs<T>(inputs: Vec<T>) -> Result<Vec<T>, Problem> {
    if inputs.len() > INPUTS {
        return Err(Problem::BadRequest(format!(
            "The maximum number of inputs in a batch is {INPUTS}, but there were {}",
            inputs.len()
        )));
    }
    Ok(inputs)
}

/// The answer to a batch.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    status: &'static str,
    results: Vec<View<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    num_errors: Option<usize>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<ErrorBody>,
    started_at: Millis,
    completed_at: Millis,
}

/// What became of one input.
struct Done {
    contact: Arc<Contact>,
    /// What an upsert says about it.
    new: Option<bool>,
    created: bool,
    changed: bool,
    trace: Option<String>,
}

impl Done {
    fn read(contact: Arc<Contact>) -> Self {
        Self {
            contact,
            new: None,
            created: false,
            changed: false,
            trace: None,
        }
    }

    fn view<'a>(&'a self, registry: &'a Registry, shown: &'a [PropId]) -> View<'a> {
        View {
            contact: &self.contact,
            registry,
            shown,
            new: self.new,
            trace: self.trace.as_deref(),
        }
    }
}

/// What became of a batch.
#[derive(Default)]
struct Outcome {
    done: Vec<Done>,
    errors: Vec<ErrorBody>,
}

impl Outcome {
    fn answer(
        &self,
        success: StatusCode,
        registry: &Registry,
        shown: &[PropId],
        now: Millis,
        shuffled: bool,
    ) -> Response {
        let results: Vec<View<'_>> = if shuffled {
            // Reversed in pairs: neither the inputs' order nor a recognisable one.
            self.done
                .chunks(2)
                .rev()
                .flatten()
                .map(|done| done.view(registry, shown))
                .collect()
        } else {
            self.done
                .iter()
                .map(|done| done.view(registry, shown))
                .collect()
        };
        let failed = self.errors.len();
        let status = if failed > 0 {
            StatusCode::MULTI_STATUS
        } else {
            success
        };
        reply::json(
            status,
            &Answer {
                status: "COMPLETE",
                results,
                num_errors: (failed > 0).then_some(failed),
                errors: self.errors.clone(),
                started_at: now,
                completed_at: now,
            },
        )
    }

    fn count(&self, writes: &mut RecordWrites) {
        for done in &self.done {
            match (done.created, done.changed) {
                (true, _) => writes.created += 1,
                (_, true) => writes.updated += 1,
                (_, false) => writes.unchanged += 1,
            }
        }
        writes.rejected += self.errors.len() as u64;
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReadRequest {
    #[serde(default)]
    properties: Vec<String>,
    id_property: Option<String>,
    inputs: Vec<IdInput>,
}

#[derive(Deserialize)]
struct IdInput {
    id: String,
}

async fn read(
    State(hubspot): State<HubSpot>,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Result<Response, Problem> {
    let archived = QueryParams::parse(query).value("archived", false)?;
    let request: ReadRequest = json(&body)?;
    let wanted = inputs(request.inputs)?;
    let settings = hubspot.core().settings();
    let id_property = request.id_property.as_deref();
    let mut outcome = Outcome::default();
    let registry = {
        let store = hubspot.store();
        if let Some(name) = id_property.filter(|name| *name != "hs_object_id") {
            store.id_property(name)?;
        }
        for IdInput { id } in &wanted {
            let found = if archived {
                store.archived_by_key(id)
            } else {
                store.live_by_key(id, id_property)
            };
            match found {
                Ok(contact) => outcome.done.push(Done::read(contact)),
                Err(problem) => outcome.errors.push(problem.batch_entry(None)),
            }
        }
        store.registry()
    };
    let shown = registry.shown(&request.properties);
    let now = hubspot.core().clock.now();
    Ok(outcome.answer(
        StatusCode::OK,
        &registry,
        &shown,
        now,
        settings.quirks.shuffle_batch_results,
    ))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WriteInput {
    id: Option<String>,
    id_property: Option<String>,
    #[serde(default)]
    properties: PropertyMap,
    object_write_trace_id: Option<String>,
}

/// The three kinds of write batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Create,
    Update,
    Upsert,
}

/// What one input comes down to.
enum Step {
    Create(Changes),
    Update(u64, Changes),
}

impl Kind {
    fn step(self, input: &WriteInput, store: &Store) -> Result<Step, Problem> {
        let mut changes = store.registry().accept(&input.properties)?;
        let id = || {
            input
                .id
                .as_deref()
                .ok_or_else(|| Problem::BadRequest("an input has no id".to_owned()))
        };
        let step = match self {
            Self::Create => Step::Create(changes),
            Self::Update => {
                Step::Update(store.resolve(id()?, input.id_property.as_deref())?, changes)
            }
            Self::Upsert => match store.resolve(id()?, input.id_property.as_deref()) {
                Ok(found) => Step::Update(found, changes),
                Err(Problem::NotFound(key)) => {
                    // A new contact holds the value it was addressed by.
                    let name = input.id_property.as_deref().unwrap_or("hs_object_id");
                    let property = store.id_property(name)?;
                    if !changes.iter().any(|(p, _)| *p == property) {
                        let addressed = PropertyMap::from([(name.to_owned(), Value::String(key))]);
                        changes.extend(store.registry().accept(&addressed)?);
                    }
                    Step::Create(changes)
                }
                Err(other) => return Err(other),
            },
        };
        match &step {
            Step::Create(changes) => store.check_unique(changes, None)?,
            Step::Update(id, changes) => store.check_unique(changes, Some(*id))?,
        }
        Ok(step)
    }
}

fn apply(
    step: Step,
    input: &WriteInput,
    kind: Kind,
    store: &mut Store,
    context: Context<'_>,
) -> Result<Done, Problem> {
    let trace = input.object_write_trace_id.clone();
    match step {
        Step::Create(changes) => {
            let contact = store.create(changes, context.now, context)?;
            Ok(Done {
                contact,
                new: (kind == Kind::Upsert).then_some(true),
                created: true,
                changed: true,
                trace,
            })
        }
        Step::Update(id, changes) => {
            let (contact, changed) = store.update(id, changes, context)?;
            Ok(Done {
                contact,
                new: (kind == Kind::Upsert).then_some(false),
                created: false,
                changed,
                trace,
            })
        }
    }
}

/// Would the batch as a whole be accepted? Two inputs with one address count as a collision.
fn check_whole(kind: Kind, wanted: &[WriteInput], store: &Store) -> Result<(), Problem> {
    let mut addresses = HashSet::new();
    for input in wanted {
        let (Step::Create(changes) | Step::Update(_, changes)) = kind.step(input, store)?;
        for (_, value) in changes.iter().filter(|(property, _)| *property == EMAIL) {
            if let Some(address) = value
                && !addresses.insert(address.clone())
            {
                return Err(Problem::BadRequest(format!(
                    "Duplicate email in batch: {address}"
                )));
            }
        }
    }
    Ok(())
}

async fn write(hubspot: HubSpot, kind: Kind, body: Bytes) -> Result<Response, Problem> {
    let wanted = inputs(json::<Inputs<WriteInput>>(&body)?.inputs)?;
    let settings = hubspot.core().settings();
    let by_email = |input: &WriteInput| input.id_property.as_deref() == Some("email");
    if kind == Kind::Upsert && settings.quirks.reject_email_upsert && wanted.iter().any(by_email) {
        return Err(Problem::BadRequest(
            "Partial upserts are not supported when using email as the idProperty".to_owned(),
        ));
    }
    let outcome = hubspot.change(|store, context| {
        if context.quirks.batch_errors == BatchErrors::WholeBatch {
            check_whole(kind, &wanted, store)?;
        }
        let mut outcome = Outcome::default();
        for input in &wanted {
            let done = kind
                .step(input, store)
                .and_then(|step| apply(step, input, kind, store, context));
            match done {
                Ok(done) => outcome.done.push(done),
                Err(problem) => outcome
                    .errors
                    .push(problem.batch_entry(input.object_write_trace_id.as_deref())),
            }
        }
        Ok((outcome, store.registry(), context.now))
    });
    let stats = &hubspot.core().stats;
    let (outcome, registry, now) = match outcome {
        Ok(outcome) => outcome,
        Err(problem) => {
            stats.record(|w| w.rejected += wanted.len() as u64);
            return Err(problem);
        }
    };
    stats.record(|w| outcome.count(w));
    let names: HashSet<&String> = wanted
        .iter()
        .flat_map(|input| input.properties.keys())
        .collect();
    let shown = registry.shown(&names.into_iter().cloned().collect::<Vec<_>>());
    let success = if kind == Kind::Create {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok(outcome.answer(
        success,
        &registry,
        &shown,
        now,
        settings.quirks.shuffle_batch_results,
    ))
}

async fn create(State(hubspot): State<HubSpot>, body: Bytes) -> Result<Response, Problem> {
    write(hubspot, Kind::Create, body).await
}

async fn update(State(hubspot): State<HubSpot>, body: Bytes) -> Result<Response, Problem> {
    write(hubspot, Kind::Update, body).await
}

async fn upsert(State(hubspot): State<HubSpot>, body: Bytes) -> Result<Response, Problem> {
    write(hubspot, Kind::Upsert, body).await
}

async fn archive(State(hubspot): State<HubSpot>, body: Bytes) -> Result<Response, Problem> {
    let wanted = inputs(json::<Inputs<IdInput>>(&body)?.inputs)?;
    let archived = hubspot.change(|store, context| {
        let ids = wanted.iter().filter_map(|input| input.id.parse().ok());
        ids.filter(|id| store.archive(*id, context)).count()
    });
    hubspot
        .core()
        .stats
        .record(|w| w.archived += archived as u64);
    Ok(reply::empty(StatusCode::NO_CONTENT))
}
