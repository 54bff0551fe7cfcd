//! `GET /3.0/lists/{id}/members` and `/3.0/search-members`.

use std::ops::Bound;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::json;

use super::error::{FieldError, Problem};
use super::mask::{Mask, MemberMask};
use super::member::{Frame, Member, MemberStatus, View};
use super::merge::{MergeField, MergeValue, position};
use super::request::{check_list, mask, status, time};
use super::store::{Shelf, Store};
use super::{LIST_ID, Mailchimp};
use crate::clock::Seconds;
use crate::query::QueryParams;
use crate::reply;
use crate::vendor::Vendor;

/// The most members in a page (V).
const PAGE: usize = 1_000;

pub(super) fn routes() -> Router<Mailchimp> {
    Router::new().route("/3.0/search-members", get(search))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SortField {
    LastChanged,
    OptedIn,
    SignedUp,
}

/// What a listing asks for.
#[derive(Debug)]
struct Listing {
    archived: bool,
    status: Option<MemberStatus>,
    changed_after: Bound<Seconds>,
    changed_before: Option<Seconds>,
    unsubscribed_since: Option<Seconds>,
    unique_email_id: Option<String>,
    vip_only: bool,
    sort: Option<SortField>,
    descending: bool,
    count: usize,
    offset: usize,
}

impl Listing {
    fn read(query: &QueryParams, since_exclusive: bool) -> Result<Self, Problem> {
        let invalid = |field: &str, message: &str| {
            Err(Problem::Invalid(vec![FieldError::new(field, message)]))
        };
        let moment = |name: &str| query.get(name).map(|text| time(name, text)).transpose();
        let count = query.value("count", 10)?;
        if count > PAGE {
            return invalid("count", "This value should be less than or equal to 1000.");
        }
        let archived = query.get("status") == Some("archived");
        let status = if archived {
            None
        } else {
            status("status", query.get("status"))?
        };
        let unsubscribed_since = moment("unsubscribed_since")?;
        if unsubscribed_since.is_some() && status != Some(MemberStatus::Unsubscribed) {
            return invalid(
                "unsubscribed_since",
                "can only be used together with status=unsubscribed",
            );
        }
        let sort = match query.get("sort_field") {
            None => None,
            Some("last_changed") => Some(SortField::LastChanged),
            Some("timestamp_opt") => Some(SortField::OptedIn),
            Some("timestamp_signup") => Some(SortField::SignedUp),
            Some(_) => {
                return invalid(
                    "sort_field",
                    "Value must be one of: timestamp_opt, timestamp_signup, last_changed",
                );
            }
        };
        let descending = match query.get("sort_dir") {
            None => false,
            Some(direction) if direction.eq_ignore_ascii_case("asc") => false,
            Some(direction) if direction.eq_ignore_ascii_case("desc") => true,
            Some(_) => return invalid("sort_dir", "Value must be one of: ASC, DESC"),
        };
        Ok(Self {
            archived,
            status,
            changed_after: match moment("since_last_changed")? {
                None => Bound::Unbounded,
                Some(at) if since_exclusive => Bound::Excluded(at),
                Some(at) => Bound::Included(at),
            },
            changed_before: moment("before_last_changed")?,
            unsubscribed_since,
            unique_email_id: query.get("unique_email_id").map(str::to_owned),
            vip_only: query.value("vip_only", false)?,
            sort,
            descending,
            count,
            offset: query.value("offset", 0)?,
        })
    }

    fn matches(&self, member: &Member) -> bool {
        self.status.is_none_or(|status| member.status == status)
            && self
                .changed_before
                .is_none_or(|before| member.changed < before)
            && self
                .unsubscribed_since
                .is_none_or(|since| member.unsubscribed.is_some_and(|at| at > since))
            && self
                .unique_email_id
                .as_deref()
                .is_none_or(|id| member.unique_id() == id)
            && (!self.vip_only || member.vip)
    }

    /// Is every member of the shelf wanted?
    fn unfiltered(&self) -> bool {
        self.status.is_none()
            && self.changed_before.is_none()
            && self.unsubscribed_since.is_none()
            && self.unique_email_id.is_none()
            && !self.vip_only
    }

    fn run(&self, store: &Store) -> (usize, Vec<Arc<Member>>) {
        let shelf = if self.archived {
            store.archived()
        } else {
            store.present()
        };
        let windowed = self.changed_after != Bound::Unbounded;
        match self.sort {
            None if !windowed && self.unfiltered() => {
                let page = shelf
                    .by_id()
                    .values()
                    .skip(self.offset)
                    .take(self.count)
                    .map(Arc::clone)
                    .collect();
                (shelf.by_id().len(), page)
            }
            None if !windowed => {
                self.page(shelf.by_id().values().filter(|member| self.matches(member)))
            }
            Some(SortField::LastChanged) => {
                let window = self.window(shelf).filter(|member| self.matches(member));
                if self.descending {
                    self.page(window.rev())
                } else {
                    self.page(window)
                }
            }
            sort => {
                let mut found: Vec<&Arc<Member>> = self
                    .window(shelf)
                    .filter(|member| self.matches(member))
                    .collect();
                match sort {
                    Some(SortField::OptedIn) => {
                        found.sort_by_key(|member| (member.opted_in, member.web_id))
                    }
                    Some(SortField::SignedUp) => {
                        found.sort_by_key(|member| (member.signed_up, member.web_id))
                    }
                    Some(SortField::LastChanged) | None => {
                        found.sort_by_key(|member| member.web_id)
                    }
                }
                if self.descending {
                    found.reverse();
                }
                self.page(found.into_iter())
            }
        }
    }

    fn window<'s>(
        &self,
        shelf: &'s Shelf,
    ) -> impl DoubleEndedIterator<Item = &'s Arc<Member>> + use<'s> {
        let from = match self.changed_after {
            Bound::Included(at) => Bound::Included((at, 0)),
            Bound::Excluded(at) => Bound::Excluded((at, u64::MAX)),
            Bound::Unbounded => Bound::Unbounded,
        };
        shelf
            .by_change()
            .range((from, Bound::Unbounded))
            .map(|(_, member)| member)
    }

    /// Counts all and keeps one page.
    fn page<'s>(&self, found: impl Iterator<Item = &'s Arc<Member>>) -> (usize, Vec<Arc<Member>>) {
        let mut total = 0;
        let mut kept = Vec::with_capacity(self.count);
        for member in found {
            if total >= self.offset && kept.len() < self.count {
                kept.push(Arc::clone(member));
            }
            total += 1;
        }
        (total, kept)
    }
}

/// Members below some key of an answer.
pub(super) struct Members<'a> {
    pub(super) members: &'a [Arc<Member>],
    pub(super) frame: Frame<'a>,
}

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.members.iter().map(|member| View {
            member,
            frame: self.frame,
        }))
    }
}

struct Page<'a> {
    members: Members<'a>,
    total: usize,
    mask: &'a Mask,
}

impl Serialize for Page<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if self.mask.shows("members") {
            map.serialize_entry("members", &self.members)?;
        }
        if self.mask.shows("list_id") {
            map.serialize_entry("list_id", LIST_ID)?;
        }
        if self.mask.shows("total_items") {
            map.serialize_entry("total_items", &self.total)?;
        }
        if self.mask.shows("_links") {
            map.serialize_entry("_links", &[] as &[u8])?;
        }
        map.end()
    }
}

pub(super) async fn list(
    State(mailchimp): State<Mailchimp>,
    Path(list): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    check_list(&list)?;
    let query = QueryParams::parse(query);
    let listing = Listing::read(&query, mailchimp.core().settings().quirks.since_exclusive)?;
    let mask = mask(&query);
    let (fields, (total, members)) = {
        let store = mailchimp.store();
        (store.fields(), listing.run(&store))
    };
    let of_members = MemberMask::new(&mask, "members", &fields);
    let frame = Frame {
        list_id: LIST_ID,
        fields: &fields,
        mask: &of_members,
    };
    Ok(reply::json(
        StatusCode::OK,
        &Page {
            members: Members {
                members: &members,
                frame,
            },
            total,
            mask: &mask,
        },
    ))
}

async fn search(
    State(mailchimp): State<Mailchimp>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let query = QueryParams::parse(query);
    if let Some(list) = query.get("list_id") {
        check_list(list)?;
    }
    let wanted = query.get("query").ok_or_else(|| {
        Problem::Invalid(vec![FieldError::new(
            "query",
            "This value should not be blank.",
        )])
    })?;
    let (fields, exact, full) = {
        let store = mailchimp.store();
        let exact: Vec<Arc<Member>> = store
            .find(wanted)
            .filter(|m| !m.archived)
            .map(Arc::clone)
            .into_iter()
            .collect();
        let full = if exact.is_empty() {
            containing(&store, wanted)
        } else {
            exact.clone()
        };
        (store.fields(), exact, full)
    };
    let frame = |mask| Frame {
        list_id: LIST_ID,
        fields: &fields,
        mask,
    };
    let mask = mask(&query);
    let exact_mask = MemberMask::new(&mask, "exact_matches.members", &fields);
    let full_mask = MemberMask::new(&mask, "full_search.members", &fields);
    Ok(reply::json(
        StatusCode::OK,
        &json!({
            "exact_matches": {
                "members": Members { members: &exact, frame: frame(&exact_mask) },
                "total_items": exact.len(),
            },
            "full_search": {
                "members": Members { members: &full, frame: frame(&full_mask) },
                "total_items": full.len(),
            },
        }),
    ))
}

/// Members whose address or name contains this text; at most one page of 30 (V).
fn containing(store: &Store, text: &str) -> Vec<Arc<Member>> {
    let text = text.to_lowercase();
    let has = |value: Option<&MergeValue>| matches!(value, Some(MergeValue::Text(t)) if t.to_lowercase().contains(&text));
    store
        .present()
        .by_id()
        .values()
        .filter(|m| {
            m.email.to_lowercase().contains(&text)
                || has(m.merge_value(position::FNAME))
                || has(m.merge_value(position::LNAME))
        })
        .take(30)
        .map(Arc::clone)
        .collect()
}

/// One member as the whole answer.
pub(super) fn one(member: &Member, fields: &[MergeField], mask: &Mask) -> Response {
    let of_member = MemberMask::new(mask, "", fields);
    let frame = Frame {
        list_id: LIST_ID,
        fields,
        mask: &of_member,
    };
    reply::json(StatusCode::OK, &View { member, frame })
}
