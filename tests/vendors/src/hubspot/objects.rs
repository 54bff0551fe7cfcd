//! Single contacts and the list of all: `/crm/v3/objects/contacts`.

use std::ops::Bound;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::HubSpot;
use super::contact::{Contact, View};
use super::error::Problem;
use super::properties::{PropId, PropertyMap, Registry};
use super::request::{json, page_size};
use crate::query::QueryParams;
use crate::reply;
use crate::vendor::Vendor;

/// The most contacts in one page of the list.
const PAGE: usize = 100;

pub(super) fn routes() -> Router<HubSpot> {
    Router::new()
        .route("/crm/v3/objects/contacts", get(list).post(create))
        .route(
            "/crm/v3/objects/contacts/{id}",
            get(read).patch(update).delete(archive),
        )
        .route("/crm/v3/objects/contacts/merge", post(merge))
        .route("/crm/v3/objects/contacts/gdpr-delete", post(gdpr_delete))
}

/// `paging` of an answer.
#[derive(Debug, Serialize)]
pub(super) struct Paging {
    next: Next,
}

#[derive(Debug, Serialize)]
struct Next {
    after: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<String>,
}

impl Paging {
    pub(super) fn after(after: impl ToString, link: Option<String>) -> Self {
        Self {
            next: Next {
                after: after.to_string(),
                link,
            },
        }
    }
}

#[derive(Serialize)]
struct Page<'a> {
    results: Vec<View<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    paging: Option<Paging>,
}

async fn list(
    State(hubspot): State<HubSpot>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let query = QueryParams::parse(query);
    let limit = page_size(query.value("limit", 10)?, PAGE)?;
    let after: u64 = query.value("after", 0)?;
    let archived = query.value("archived", false)?;

    let (registry, mut page) = {
        let store = hubspot.store();
        let contacts = if archived {
            store.archived()
        } else {
            store.live()
        };
        let range = contacts.range((Bound::Included(after), Bound::Unbounded));
        (
            store.registry(),
            range
                .take(limit + 1)
                .map(|(_, contact)| Arc::clone(contact))
                .collect::<Vec<_>>(),
        )
    };
    // `after` names the first contact of the next page: one that goes away meanwhile skips nobody.
    let next = if page.len() > limit {
        page.pop().map(|contact| contact.id)
    } else {
        None
    };
    let paging = next.map(|id| {
        let link = format!("https://api.hubapi.com/crm/v3/objects/contacts?limit={limit}&after={id}&archived={archived}");
        Paging::after(id, Some(link))
    });
    let shown = registry.shown(&query.list("properties"));
    let results = page
        .iter()
        .map(|contact| View::new(contact, &registry, &shown))
        .collect();
    Ok(reply::json(StatusCode::OK, &Page { results, paging }))
}

fn one(status: StatusCode, contact: &Contact, registry: &Registry, shown: &[PropId]) -> Response {
    reply::json(status, &View::new(contact, registry, shown))
}

async fn read(
    State(hubspot): State<HubSpot>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let query = QueryParams::parse(query);
    let archived = query.value("archived", false)?;
    let (registry, contact) = {
        let store = hubspot.store();
        let contact = if archived {
            store.archived_by_key(&id)?
        } else {
            store.live_by_key(&id, query.get("idProperty"))?
        };
        (store.registry(), contact)
    };
    Ok(one(
        StatusCode::OK,
        &contact,
        &registry,
        &registry.shown(&query.list("properties")),
    ))
}

/// `{"properties": {...}}`
#[derive(Deserialize)]
struct Write {
    #[serde(default)]
    properties: PropertyMap,
}

async fn create(State(hubspot): State<HubSpot>, body: Bytes) -> Result<Response, Problem> {
    let write: Write = json(&body)?;
    let outcome = hubspot.change(|store, context| {
        let changes = store.registry().accept(&write.properties)?;
        Ok::<_, Problem>((
            store.create(changes, context.now, context)?,
            store.registry(),
        ))
    });
    hubspot.core().stats.record(|w| {
        if outcome.is_ok() {
            w.created += 1
        } else {
            w.rejected += 1
        }
    });
    let (contact, registry) = outcome?;
    Ok(one(
        StatusCode::CREATED,
        &contact,
        &registry,
        &written(&registry, &write.properties),
    ))
}

async fn update(
    State(hubspot): State<HubSpot>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Result<Response, Problem> {
    let query = QueryParams::parse(query);
    let write: Write = json(&body)?;
    let outcome = hubspot.change(|store, context| {
        let id = store.resolve(&id, query.get("idProperty"))?;
        let changes = store.registry().accept(&write.properties)?;
        Ok::<_, Problem>((store.update(id, changes, context)?, store.registry()))
    });
    hubspot.core().stats.record(|w| match &outcome {
        Ok(((_, true), _)) => w.updated += 1,
        Ok(_) => w.unchanged += 1,
        Err(_) => w.rejected += 1,
    });
    let ((contact, _), registry) = outcome?;
    Ok(one(
        StatusCode::OK,
        &contact,
        &registry,
        &written(&registry, &write.properties),
    ))
}

/// An answer to a write shows what was written besides the ever-present ones (T).
fn written(registry: &Registry, properties: &PropertyMap) -> Vec<PropId> {
    let names: Vec<String> = properties.keys().cloned().collect();
    registry.shown(&names)
}

async fn archive(State(hubspot): State<HubSpot>, Path(id): Path<String>) -> Response {
    // Archiving what is not there answers 204 too (T).
    let done = id
        .parse()
        .is_ok_and(|id| hubspot.change(|store, context| store.archive(id, context)));
    hubspot
        .core()
        .stats
        .record(|w| w.archived += u64::from(done));
    reply::empty(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Merge {
    primary_object_id: String,
    object_id_to_merge: String,
}

async fn merge(State(hubspot): State<HubSpot>, body: Bytes) -> Result<Response, Problem> {
    let merge: Merge = json(&body)?;
    let (contact, registry) = hubspot.change(|store, context| {
        let primary = store.resolve(&merge.primary_object_id, None)?;
        let other = store.resolve(&merge.object_id_to_merge, None)?;
        Ok::<_, Problem>((store.merge(primary, other, context)?, store.registry()))
    })?;
    hubspot.core().stats.record(|w| {
        w.updated += 1;
        w.deleted += 1;
    });
    Ok(one(
        StatusCode::OK,
        &contact,
        &registry,
        &registry.shown(&[]),
    ))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GdprDelete {
    object_id: String,
    id_property: Option<String>,
}

async fn gdpr_delete(State(hubspot): State<HubSpot>, body: Bytes) -> Result<Response, Problem> {
    let wanted: GdprDelete = json(&body)?;
    let done = hubspot.change(|store, context| {
        store
            .resolve(&wanted.object_id, wanted.id_property.as_deref())
            .map(|id| store.purge(id, context))
    })?;
    hubspot
        .core()
        .stats
        .record(|w| w.deleted += u64::from(done));
    Ok(reply::empty(StatusCode::NO_CONTENT))
}
