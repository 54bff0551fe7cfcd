//! The account, its list and the list's merge fields.

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use serde_json::{Value, json};

use super::error::Problem;
use super::merge::MergeField;
use super::request::{self, check_list};
use super::{LIST_ID, Mailchimp};
use crate::query::QueryParams;
use crate::reply;

pub(super) fn routes() -> Router<Mailchimp> {
    Router::new()
        .route("/3.0/ping", get(ping))
        .route("/3.0", get(account))
        .route("/3.0/", get(account))
        .route("/3.0/lists", get(all))
        .route("/3.0/lists/{list}", get(one))
        .route(
            "/3.0/lists/{list}/merge-fields",
            get(merge_fields).post(add_merge_field),
        )
}

async fn ping() -> Response {
    reply::json(
        StatusCode::OK,
        &json!({ "health_status": "Everything's Chimpy!" }),
    )
}

async fn account(State(mailchimp): State<Mailchimp>) -> Response {
    reply::json(
        StatusCode::OK,
        &json!({
            "account_id": "b0a7d3c5e19f2846",
            "login_id": "24601",
            "account_name": "Samspel simulation",
            "email": "owner@norrskenbygg.example",
            "first_name": "Anna",
            "last_name": "Öberg",
            "username": "samspel",
            "role": "owner",
            "account_timezone": "Europe/Stockholm",
            "total_subscribers": mailchimp.store().counts().subscribed,
            "pricing_plan_type": "monthly",
        }),
    )
}

fn view(mailchimp: &Mailchimp) -> Value {
    let store = mailchimp.store();
    let counts = store.counts();
    json!({
        "id": LIST_ID,
        "web_id": 1_001,
        "name": "Newsletter",
        "contact": {"company": "Norrsken Bygg AB", "address1": "Storgatan 1", "city": "Göteborg", "country": "SE"},
        "permission_reminder": "You signed up on our site.",
        "campaign_defaults": {"from_name": "Norrsken", "from_email": "news@norrskenbygg.example", "subject": "", "language": "sv"},
        "date_created": "2020-09-13T12:26:40+00:00",
        "email_type_option": false,
        "double_optin": false,
        "has_welcome": false,
        "marketing_permissions": false,
        "visibility": "prv",
        "stats": {
            "member_count": counts.subscribed,
            "total_contacts": store.present().by_id().len(),
            "unsubscribe_count": counts.unsubscribed,
            "cleaned_count": counts.cleaned,
            "merge_field_count": store.fields().len(),
        },
    })
}

async fn all(State(mailchimp): State<Mailchimp>) -> Response {
    reply::json(
        StatusCode::OK,
        &json!({ "lists": [view(&mailchimp)], "total_items": 1 }),
    )
}

async fn one(
    State(mailchimp): State<Mailchimp>,
    Path(list): Path<String>,
) -> Result<Response, Problem> {
    check_list(&list)?;
    Ok(reply::json(StatusCode::OK, &view(&mailchimp)))
}

async fn merge_fields(
    State(mailchimp): State<Mailchimp>,
    Path(list): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    check_list(&list)?;
    let query = QueryParams::parse(query);
    let (count, offset): (usize, usize) = (query.value("count", 10)?, query.value("offset", 0)?);
    let fields = mailchimp.store().fields();
    // FNAME is field 1; EMAIL would be 0 and is not shown (V).
    let shown: Vec<Value> = (1..)
        .zip(fields.iter())
        .skip(offset)
        .take(count)
        .map(|(id, field)| field.view(id, LIST_ID))
        .collect();
    Ok(reply::json(
        StatusCode::OK,
        &json!({ "merge_fields": shown, "list_id": LIST_ID, "total_items": fields.len() }),
    ))
}

async fn add_merge_field(
    State(mailchimp): State<Mailchimp>,
    Path(list): Path<String>,
    body: Bytes,
) -> Result<Response, Problem> {
    check_list(&list)?;
    let field: MergeField = request::json(&body)?;
    let at = mailchimp.store().add_field(field.clone())?;
    Ok(reply::json(StatusCode::OK, &field.view(at + 1, LIST_ID)))
}
