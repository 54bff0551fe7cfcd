//! Single members: `/3.0/lists/{id}/members/{member}`, their tags and deletion.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;

use super::error::{FieldError, Problem};
use super::member::{Member, MemberStatus, tag_id};
use super::request::{self, MemberBody, check_list, mask, status};
use super::store::{Actor, Context, Store};
use super::{Mailchimp, listing};
use crate::query::QueryParams;
use crate::reply;
use crate::vendor::Vendor;

pub(super) fn routes() -> Router<Mailchimp> {
    Router::new()
        .route("/3.0/lists/{list}/members", get(listing::list).post(add))
        .route(
            "/3.0/lists/{list}/members/{member}",
            get(read).put(put).patch(patch).delete(archive),
        )
        .route(
            "/3.0/lists/{list}/members/{member}/actions/delete-permanent",
            post(delete_permanent),
        )
        .route(
            "/3.0/lists/{list}/members/{member}/tags",
            get(tags).post(change_tags),
        )
}

/// What a write did.
#[derive(Debug, Clone)]
pub(super) enum Written {
    Created(Arc<Member>),
    Updated(Arc<Member>),
    Unchanged(Arc<Member>),
}

impl Written {
    pub(super) fn member(&self) -> &Arc<Member> {
        match self {
            Self::Created(member) | Self::Updated(member) | Self::Unchanged(member) => member,
        }
    }
}

pub(super) fn count(mailchimp: &Mailchimp, outcome: &Result<Written, Problem>) {
    mailchimp.core().stats.record(|w| match outcome {
        Ok(Written::Created(_)) => w.created += 1,
        Ok(Written::Updated(_)) => w.updated += 1,
        Ok(Written::Unchanged(_)) => w.unchanged += 1,
        Err(_) => w.rejected += 1,
    });
}

fn needed(field: &str) -> Problem {
    Problem::Invalid(vec![FieldError::new(
        field,
        "This value should not be blank.",
    )])
}

/// Adds a member. One that is archived comes back under its old id, and its opt-out is not forgotten.
pub(super) fn create(
    store: &mut Store,
    context: Context<'_>,
    body: &MemberBody,
    new_status: Option<MemberStatus>,
) -> Result<Written, Problem> {
    let fields = store.fields();
    let mut wanted = body.wanted(&fields, context.quirks)?;
    let email = wanted
        .email
        .clone()
        .ok_or_else(|| needed("email_address"))?;
    let new_status = new_status.ok_or_else(|| needed("status"))?;
    match store
        .find(email.trim())
        .map(|member| (member.web_id, member.archived))
    {
        Some((_, false)) => Err(Problem::Exists { email }),
        Some((web_id, true)) => {
            wanted.status = Some(new_status);
            store
                .update(web_id, wanted, context)
                .map(|(member, _)| Written::Created(member))
        }
        None => store
            .create(&email, new_status, wanted, context)
            .map(Written::Created),
    }
}

/// Changes a member that is there.
pub(super) fn update(
    store: &mut Store,
    context: Context<'_>,
    web_id: u64,
    body: &MemberBody,
) -> Result<Written, Problem> {
    let fields = store.fields();
    let wanted = body.wanted(&fields, context.quirks)?;
    let (member, changed) = store.update(web_id, wanted, context)?;
    Ok(if changed {
        Written::Updated(member)
    } else {
        Written::Unchanged(member)
    })
}

fn answer(
    mailchimp: &Mailchimp,
    query: &QueryParams,
    outcome: Result<Written, Problem>,
) -> Result<Response, Problem> {
    count(mailchimp, &outcome);
    let fields = mailchimp.store().fields();
    Ok(listing::one(outcome?.member(), &fields, &mask(query)))
}

async fn read(
    State(mailchimp): State<Mailchimp>,
    Path((list, member)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    check_list(&list)?;
    let (fields, member) = {
        let store = mailchimp.store();
        (
            store.fields(),
            store
                .find(&member)
                .map(Arc::clone)
                .ok_or(Problem::NotFound)?,
        )
    };
    Ok(listing::one(
        &member,
        &fields,
        &mask(&QueryParams::parse(query)),
    ))
}

async fn add(
    State(mailchimp): State<Mailchimp>,
    Path(list): Path<String>,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Result<Response, Problem> {
    check_list(&list)?;
    let query = QueryParams::parse(query);
    let body: MemberBody = request::json(&body)?;
    let outcome = mailchimp.change(
        Actor::Api,
        query.value("skip_merge_validation", false)?,
        |store, context| {
            let new_status = status("status", body.status.as_deref())?;
            create(store, context, &body, new_status)
        },
    );
    answer(&mailchimp, &query, outcome)
}

/// Adds or changes. `status_if_new` decides only about members that are not there.
async fn put(
    State(mailchimp): State<Mailchimp>,
    Path((list, member)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Result<Response, Problem> {
    check_list(&list)?;
    let query = QueryParams::parse(query);
    let body: MemberBody = request::json(&body)?;
    let outcome = mailchimp.change(
        Actor::Api,
        query.value("skip_merge_validation", false)?,
        |store, context| {
            let if_new = status("status_if_new", body.status_if_new.as_deref())?;
            let always = status("status", body.status.as_deref())?;
            match store
                .find(&member)
                .map(|found| (found.web_id, found.archived))
            {
                Some((web_id, false)) => update(store, context, web_id, &body),
                Some((web_id, true)) => {
                    // Someone archived counts as new, so that either status brings the member back.
                    let fields = store.fields();
                    let mut wanted = body.wanted(&fields, context.quirks)?;
                    wanted.status = Some(always.or(if_new).ok_or_else(|| needed("status_if_new"))?);
                    store
                        .update(web_id, wanted, context)
                        .map(|(member, _)| Written::Created(member))
                }
                None => {
                    create(store, context, &body, if_new.or(always)).map_err(
                        |problem| match problem {
                            Problem::Invalid(errors)
                                if errors.iter().any(|e| e.field == "status")
                                    && body.status.is_none() =>
                            {
                                needed("status_if_new")
                            }
                            other => other,
                        },
                    )
                }
            }
        },
    );
    answer(&mailchimp, &query, outcome)
}

async fn patch(
    State(mailchimp): State<Mailchimp>,
    Path((list, member)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Result<Response, Problem> {
    check_list(&list)?;
    let query = QueryParams::parse(query);
    let body: MemberBody = request::json(&body)?;
    let outcome = mailchimp.change(
        Actor::Api,
        query.value("skip_merge_validation", false)?,
        |store, context| {
            let web_id = store.find(&member).ok_or(Problem::NotFound)?.web_id;
            update(store, context, web_id, &body)
        },
    );
    answer(&mailchimp, &query, outcome)
}

async fn archive(
    State(mailchimp): State<Mailchimp>,
    Path((list, member)): Path<(String, String)>,
) -> Result<Response, Problem> {
    check_list(&list)?;
    mailchimp.change(Actor::Api, false, |store, context| {
        let web_id = store.find(&member).ok_or(Problem::NotFound)?.web_id;
        store.archive(web_id, context)
    })?;
    mailchimp.core().stats.record(|w| w.archived += 1);
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

async fn delete_permanent(
    State(mailchimp): State<Mailchimp>,
    Path((list, member)): Path<(String, String)>,
) -> Result<Response, Problem> {
    check_list(&list)?;
    mailchimp.change(Actor::Api, false, |store, context| {
        let web_id = store.find(&member).ok_or(Problem::NotFound)?.web_id;
        store.forget(web_id, context)
    })?;
    mailchimp.core().stats.record(|w| w.deleted += 1);
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

async fn tags(
    State(mailchimp): State<Mailchimp>,
    Path((list, member)): Path<(String, String)>,
) -> Result<Response, Problem> {
    check_list(&list)?;
    let member = mailchimp
        .store()
        .find(&member)
        .map(Arc::clone)
        .ok_or(Problem::NotFound)?;
    let tags: Vec<_> = member
        .tags
        .iter()
        .map(|tag| json!({ "id": tag_id(tag), "name": tag, "date_added": member.changed }))
        .collect();
    Ok(reply::json(
        StatusCode::OK,
        &json!({ "tags": tags, "total_items": tags.len() }),
    ))
}

#[derive(Deserialize)]
struct TagChanges {
    tags: Vec<TagChange>,
}

#[derive(Deserialize)]
struct TagChange {
    name: String,
    status: TagStatus,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum TagStatus {
    Active,
    Inactive,
}

async fn change_tags(
    State(mailchimp): State<Mailchimp>,
    Path((list, member)): Path<(String, String)>,
    body: Bytes,
) -> Result<Response, Problem> {
    check_list(&list)?;
    let body: TagChanges = request::json(&body)?;
    let changes: Vec<(String, bool)> = body
        .tags
        .into_iter()
        .map(|tag| (tag.name, tag.status == TagStatus::Active))
        .collect();
    let changed = mailchimp.change(Actor::Api, false, |store, context| {
        let web_id = store.find(&member).ok_or(Problem::NotFound)?.web_id;
        store.tag(web_id, &changes, context)
    })?;
    mailchimp.core().stats.record(|w| {
        if changed {
            w.updated += 1
        } else {
            w.unchanged += 1
        }
    });
    Ok(reply::empty(StatusCode::NO_CONTENT))
}
