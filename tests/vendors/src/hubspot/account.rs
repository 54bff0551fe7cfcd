//! The account itself and the properties of its contacts.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use serde_json::{Value, json};

use super::error::{Problem, outside};
use super::properties::PropertyDefinition;
use super::{HubSpot, PORTAL_ID, request};
use crate::reply;

pub(super) fn routes() -> Router<HubSpot> {
    Router::new()
        .route("/account-info/v3/details", get(details))
        .route("/crm/v3/properties/contacts", get(list).post(create))
        .route("/crm/v3/properties/contacts/{name}", get(read))
}

async fn details() -> Response {
    reply::json(
        StatusCode::OK,
        &json!({
            "portalId": PORTAL_ID,
            "accountType": "STANDARD",
            "timeZone": "Europe/Stockholm",
            "companyCurrency": "SEK",
            "additionalCurrencies": [],
            "utcOffset": "+01:00",
            "utcOffsetMilliseconds": 3_600_000,
            "uiDomain": "app-eu1.hubspot.com",
            "dataHostingLocation": "eu1",
        }),
    )
}

async fn list(State(hubspot): State<HubSpot>) -> Response {
    let registry = hubspot.store().registry();
    let results: Vec<Value> = registry
        .all()
        .iter()
        .map(PropertyDefinition::view)
        .collect();
    reply::json(StatusCode::OK, &json!({ "results": results }))
}

async fn read(State(hubspot): State<HubSpot>, Path(name): Path<String>) -> Response {
    let registry = hubspot.store().registry();
    match registry.id(&name) {
        Some(id) => reply::json(StatusCode::OK, &registry.get(id).view()),
        None => outside(StatusCode::NOT_FOUND),
    }
}

async fn create(State(hubspot): State<HubSpot>, body: Bytes) -> Result<Response, Problem> {
    let mut definition: PropertyDefinition = request::json(&body)?;
    definition.read_only = false;
    definition.hubspot_defined = false;
    let view = definition.view();
    hubspot.store().registry_mut().add(definition)?;
    Ok(reply::json(StatusCode::CREATED, &view))
}
