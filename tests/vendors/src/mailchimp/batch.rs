//! `POST /3.0/lists/{id}`: up to 500 members at once, answered with 200 whatever became of them.

use std::collections::HashSet;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::post;
use bytes::Bytes;
use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap};

use super::error::{FieldError, Problem};
use super::listing::Members;
use super::mask::{Mask, MemberMask};
use super::member::{Frame, Member, hash_of};
use super::members::{Written, count, create, update};
use super::merge::MergeField;
use super::request::{self, MemberBody, check_list, mask, status};
use super::store::{Actor, Context, Store};
use super::{LIST_ID, Mailchimp};
use crate::query::QueryParams;
use crate::reply;

/// The most members of one call (V).
const MEMBERS: usize = 500;

pub(super) fn routes() -> Router<Mailchimp> {
    Router::new().route("/3.0/lists/{list}", post(batch))
}

#[derive(Deserialize)]
struct BatchBody {
    #[serde(default)]
    members: Vec<MemberBody>,
    #[serde(default)]
    update_existing: bool,
}

#[derive(Serialize)]
struct BatchError {
    email_address: String,
    error: String,
    error_code: &'static str,
    field: String,
    field_message: String,
}

impl BatchError {
    fn new(email: &str, problem: &Problem) -> Self {
        let field = problem.fields().first();
        Self {
            email_address: email.to_owned(),
            error: problem.detail(),
            error_code: problem.code(),
            field: field.map(|f| f.field.clone()).unwrap_or_default(),
            field_message: field.map(|f| f.message.clone()).unwrap_or_default(),
        }
    }
}

#[derive(Default)]
struct Outcome {
    created: Vec<Arc<Member>>,
    updated: Vec<Arc<Member>>,
    errors: Vec<BatchError>,
}

struct Answer<'a> {
    outcome: &'a Outcome,
    fields: &'a [MergeField],
    mask: &'a Mask,
}

impl Serialize for Answer<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self {
            outcome,
            fields,
            mask,
        } = self;
        let mut map = serializer.serialize_map(None)?;
        for (name, members) in [
            ("new_members", &outcome.created),
            ("updated_members", &outcome.updated),
        ] {
            if mask.shows(name) {
                let of_members = MemberMask::new(mask, name, fields);
                let frame = Frame {
                    list_id: LIST_ID,
                    fields,
                    mask: &of_members,
                };
                map.serialize_entry(name, &Members { members, frame })?;
            }
        }
        if mask.shows("errors") {
            map.serialize_entry("errors", &outcome.errors)?;
        }
        for (name, number) in [
            ("total_created", outcome.created.len()),
            ("total_updated", outcome.updated.len()),
            ("error_count", outcome.errors.len()),
        ] {
            if mask.shows(name) {
                map.serialize_entry(name, &number)?;
            }
        }
        map.end()
    }
}

fn apply(
    store: &mut Store,
    context: Context<'_>,
    body: &MemberBody,
    update_existing: bool,
) -> Result<Written, Problem> {
    let email = body
        .email_address
        .as_deref()
        .map(str::trim)
        .unwrap_or_default();
    match store
        .find(email)
        .map(|member| (member.web_id, member.archived))
    {
        Some((web_id, false)) if update_existing => update(store, context, web_id, body),
        _ => create(
            store,
            context,
            body,
            status("status", body.status.as_deref())?,
        ),
    }
}

async fn batch(
    State(mailchimp): State<Mailchimp>,
    Path(list): Path<String>,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Result<Response, Problem> {
    check_list(&list)?;
    let query = QueryParams::parse(query);
    let body: BatchBody = request::json(&body)?;
    if body.members.len() > MEMBERS {
        let message = format!("This collection should contain {MEMBERS} elements or less.");
        return Err(Problem::Invalid(vec![FieldError::new("members", message)]));
    }
    let skip_merge_validation = query.value("skip_merge_validation", false)?;
    let skip_duplicate_check = query.value("skip_duplicate_check", false)?;
    let mut outcome = Outcome::default();
    let mut seen = HashSet::with_capacity(body.members.len());
    let written: Vec<Result<Written, Problem>> =
        mailchimp.change(Actor::Api, skip_merge_validation, |store, context| {
            let mut written = Vec::with_capacity(body.members.len());
            for member in &body.members {
                let email = member.email_address.as_deref().unwrap_or_default();
                let repeated = !seen.insert(hash_of(email.trim()));
                if repeated && skip_duplicate_check {
                    // Only the first is saved, without a word about the others (V).
                    continue;
                }
                let done = if repeated {
                    Err(Problem::BadRequest(format!(
                        "{email} appears more than once in this request."
                    )))
                } else {
                    apply(store, context, member, body.update_existing)
                };
                match &done {
                    Ok(Written::Created(new)) => outcome.created.push(Arc::clone(new)),
                    Ok(Written::Updated(known) | Written::Unchanged(known)) => {
                        outcome.updated.push(Arc::clone(known))
                    }
                    Err(problem) => outcome.errors.push(BatchError::new(email, problem)),
                }
                written.push(done);
            }
            written
        });
    for done in &written {
        count(&mailchimp, done);
    }
    let fields = mailchimp.store().fields();
    Ok(reply::json(
        StatusCode::OK,
        &Answer {
            outcome: &outcome,
            fields: &fields,
            mask: &mask(&query),
        },
    ))
}
