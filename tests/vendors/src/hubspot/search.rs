//! `POST /crm/v3/objects/contacts/search`: filters, one sort, and paging by offset up to a cap.

use std::cmp::Ordering;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::post;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::HubSpot;
use super::contact::{Contact, View};
use super::error::Problem;
use super::index::SearchIndex;
use super::objects::Paging;
use super::properties::{
    CREATEDATE, EMAIL, LASTMODIFIED, OBJECT_ID, PropId, PropertyType, Registry,
};
use super::request::{json, page_size};
use crate::clock::Millis;
use crate::reply;
use crate::vendor::Vendor;

/// The most contacts in one page of a search (V).
const PAGE: usize = 200;
/// Filter groups of a query; the documents say 5 (T), the specification's text says 6 (V).
const GROUPS: usize = 5;
/// Filters in a group, and in all groups together (T).
const FILTERS: (usize, usize) = (6, 18);

pub(super) fn routes() -> Router<HubSpot> {
    Router::new().route("/crm/v3/objects/contacts/search", post(search))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SearchRequest {
    #[serde(default)]
    filter_groups: Vec<FilterGroup>,
    /// Shorthand for a single group.
    #[serde(default)]
    filters: Vec<Filter>,
    #[serde(default)]
    sorts: Vec<Sort>,
    #[serde(default)]
    properties: Vec<String>,
    #[serde(default = "default_limit")]
    limit: usize,
    #[serde(default)]
    after: Option<Value>,
    query: Option<String>,
}

fn default_limit() -> usize {
    10
}

#[derive(Deserialize)]
struct FilterGroup {
    #[serde(default)]
    filters: Vec<Filter>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filter {
    property_name: String,
    operator: Operator,
    value: Option<Value>,
    high_value: Option<Value>,
    #[serde(default)]
    values: Vec<Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Operator {
    Eq,
    Neq,
    Lt,
    Lte,
    Gt,
    Gte,
    Between,
    In,
    NotIn,
    HasProperty,
    NotHasProperty,
    ContainsToken,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Sort {
    Named(String),
    #[serde(rename_all = "camelCase")]
    Full {
        property_name: String,
        #[serde(default)]
        direction: Direction,
    },
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Direction {
    #[default]
    Ascending,
    Descending,
}

#[derive(Serialize)]
struct SearchPage<'a> {
    total: usize,
    results: Vec<View<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    paging: Option<Paging>,
}

async fn search(State(hubspot): State<HubSpot>, body: Bytes) -> Result<Response, Problem> {
    let request: SearchRequest = json(&body)?;
    let limit = page_size(request.limit, PAGE)?;
    let after = offset(request.after.as_ref())?;
    let settings = hubspot.core().settings();
    if after + limit > settings.quirks.search_cap {
        return Err(Problem::BadRequest(format!(
            "Paging through search results is limited to {} total results",
            settings.quirks.search_cap
        )));
    }
    let now = hubspot.core().clock.now();
    let (registry, total, page) = {
        let mut store = hubspot.store();
        let registry = store.registry();
        let query = Query::compile(&request, &registry)?;
        let (total, page) = query.run(store.searchable(now), after, limit);
        (registry, total, page)
    };
    let shown = registry.shown(&request.properties);
    let paging = (after + page.len() < total).then(|| Paging::after(after + page.len(), None));
    let results = page
        .iter()
        .map(|contact| View::new(contact, &registry, &shown))
        .collect();
    Ok(reply::json(
        StatusCode::OK,
        &SearchPage {
            total,
            results,
            paging,
        },
    ))
}

fn offset(after: Option<&Value>) -> Result<usize, Problem> {
    let parsed = match after {
        None | Some(Value::Null) => Some(0),
        Some(Value::String(text)) if text.is_empty() => Some(0),
        Some(Value::String(text)) => text.parse().ok(),
        Some(Value::Number(number)) => number.as_u64().and_then(|n| usize::try_from(n).ok()),
        Some(_) => None,
    };
    parsed.ok_or_else(|| Problem::BadRequest("Invalid paging offset in after".to_owned()))
}

/// What a value is compared as.
#[derive(Debug, Clone, PartialEq)]
enum Key {
    Number(f64),
    Time(Millis),
    Text(String),
}

impl Key {
    /// A filter's value, or a stored one, read by the property's type.
    fn read(kind: PropertyType, text: &str) -> Option<Self> {
        match kind {
            PropertyType::Number => text.parse().ok().map(Self::Number),
            PropertyType::DateTime => Millis::parse(text).map(Self::Time),
            // Dates are compared as text, which for ISO dates is their order.
            PropertyType::Date
            | PropertyType::String
            | PropertyType::Enumeration
            | PropertyType::Bool => Some(Self::Text(text.to_lowercase())),
        }
    }

    fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => a.total_cmp(b),
            (Self::Time(a), Self::Time(b)) => a.cmp(b),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            _ => Ordering::Equal,
        }
    }

    fn of(contact: &Contact, property: PropId, registry: &Registry) -> Option<Self> {
        match property {
            OBJECT_ID => Some(Self::Number(contact.id as f64)),
            CREATEDATE => Some(Self::Time(contact.created)),
            LASTMODIFIED => Some(Self::Time(contact.modified)),
            other => Self::read(registry.get(other).kind, contact.get(other)?),
        }
    }
}

/// One filter, understood.
#[derive(Debug)]
struct Condition {
    property: PropId,
    operator: Operator,
    keys: Vec<Key>,
}

impl Condition {
    fn compile(filter: &Filter, registry: &Registry) -> Result<Self, Problem> {
        let name = &filter.property_name;
        let property = registry.id(name).ok_or_else(|| {
            Problem::BadRequest(format!(
                "There was a problem with the request: unknown property {name}"
            ))
        })?;
        let kind = registry.get(property).kind;
        let key = |value: &Value| {
            let text = match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            Key::read(kind, &text).ok_or_else(|| {
                Problem::BadRequest(format!(
                    "{text} is not a valid value to compare {name} with"
                ))
            })
        };
        let single = || {
            filter
                .value
                .as_ref()
                .ok_or_else(|| missing("value", filter))
        };
        let keys = match filter.operator {
            Operator::HasProperty | Operator::NotHasProperty => Vec::new(),
            Operator::In | Operator::NotIn if filter.values.is_empty() => {
                return Err(missing("values", filter));
            }
            Operator::In | Operator::NotIn => {
                filter.values.iter().map(key).collect::<Result<_, _>>()?
            }
            Operator::Between => {
                let high = filter
                    .high_value
                    .as_ref()
                    .ok_or_else(|| missing("highValue", filter))?;
                vec![key(single()?)?, key(high)?]
            }
            _ => vec![key(single()?)?],
        };
        Ok(Self {
            property,
            operator: filter.operator,
            keys,
        })
    }

    fn holds(&self, contact: &Contact, registry: &Registry) -> bool {
        let Some(value) = Key::of(contact, self.property, registry) else {
            return matches!(
                self.operator,
                Operator::NotHasProperty | Operator::Neq | Operator::NotIn
            );
        };
        let first = || self.keys.first().map(|key| value.compare(key));
        let any = || self.keys.iter().any(|key| value.compare(key).is_eq());
        match self.operator {
            Operator::HasProperty => true,
            Operator::NotHasProperty => false,
            Operator::Eq | Operator::In => any(),
            Operator::Neq | Operator::NotIn => !any(),
            Operator::Lt => first().is_some_and(Ordering::is_lt),
            Operator::Lte => first().is_some_and(Ordering::is_le),
            Operator::Gt => first().is_some_and(Ordering::is_gt),
            Operator::Gte => first().is_some_and(Ordering::is_ge),
            Operator::Between => match self.keys.as_slice() {
                [low, high] => value.compare(low).is_ge() && value.compare(high).is_le(),
                _ => false,
            },
            Operator::ContainsToken => match (&value, self.keys.first()) {
                (Key::Text(text), Some(Key::Text(token))) => contains_token(text, token),
                _ => false,
            },
        }
    }

    /// The earliest time this condition leaves open, when it is about `lastmodifieddate`.
    fn earliest(&self) -> Option<Millis> {
        let bounded = matches!(
            self.operator,
            Operator::Eq | Operator::Gt | Operator::Gte | Operator::Between
        );
        match self.keys.first() {
            Some(Key::Time(time)) if bounded && self.property == LASTMODIFIED => Some(*time),
            _ => None,
        }
    }
}

fn missing(what: &str, filter: &Filter) -> Problem {
    Problem::BadRequest(format!(
        "{what} is required for the operator of the filter on {}",
        filter.property_name
    ))
}

/// A token, with `*` for any ending.
fn contains_token(text: &str, token: &str) -> bool {
    let stem = token.trim_matches('*');
    text.split(|c: char| !c.is_alphanumeric()).any(|word| {
        if token.ends_with('*') {
            word.starts_with(stem)
        } else {
            word == stem
        }
    }) || (!stem.is_empty() && text == stem)
}

/// A search, understood.
struct Query<'a> {
    registry: &'a Registry,
    groups: Vec<Vec<Condition>>,
    sort: (PropId, Direction),
    text: Option<String>,
}

impl<'a> Query<'a> {
    fn compile(request: &SearchRequest, registry: &'a Registry) -> Result<Self, Problem> {
        let mut filters: Vec<&[Filter]> = request
            .filter_groups
            .iter()
            .map(|group| group.filters.as_slice())
            .collect();
        if !request.filters.is_empty() {
            filters.push(&request.filters);
        }
        let (in_group, in_all) = FILTERS;
        let total: usize = filters.iter().map(|group| group.len()).sum();
        if filters.len() > GROUPS
            || total > in_all
            || filters.iter().any(|group| group.len() > in_group)
        {
            return Err(Problem::BadRequest(format!(
                "too many filters: at most {GROUPS} groups of {in_group}, {in_all} in all"
            )));
        }
        let groups = filters
            .iter()
            .map(|group| {
                group
                    .iter()
                    .map(|filter| Condition::compile(filter, registry))
                    .collect()
            })
            .collect::<Result<_, _>>()?;
        let sort = match request.sorts.as_slice() {
            [] => (CREATEDATE, Direction::Ascending),
            [Sort::Named(name)] => match name.strip_prefix('-') {
                Some(name) => (known(name, registry)?, Direction::Descending),
                None => (known(name, registry)?, Direction::Ascending),
            },
            [
                Sort::Full {
                    property_name,
                    direction,
                },
            ] => (known(property_name, registry)?, *direction),
            _ => return Err(Problem::BadRequest("Only one sort is allowed".to_owned())),
        };
        let text = request
            .query
            .as_ref()
            .map(|text| text.trim().to_lowercase())
            .filter(|text| !text.is_empty());
        Ok(Self {
            registry,
            groups,
            sort,
            text,
        })
    }

    /// How many contacts match, and those from `after` on.
    fn run(&self, index: &SearchIndex, after: usize, limit: usize) -> (usize, Vec<Arc<Contact>>) {
        if let [group] = self.groups.as_slice()
            && let Some(found) = self.by_email(group, index)
        {
            return page(
                found.filter(|contact| self.matches(contact)).into_iter(),
                after,
                limit,
            );
        }
        let everything = self.groups.is_empty() && self.text.is_none();
        match self.sort {
            (LASTMODIFIED, direction) => {
                let range = index
                    .by_modified()
                    .range((self.earliest(), 0)..)
                    .map(|(_, contact)| contact);
                let matching = range.filter(|contact| everything || self.matches(contact));
                return match direction {
                    Direction::Ascending => page(matching, after, limit),
                    Direction::Descending => page(matching.rev(), after, limit),
                };
            }
            (OBJECT_ID, Direction::Ascending) => {
                let range = index
                    .by_id()
                    .range(self.first_id()..)
                    .map(|(_, contact)| contact);
                return page(
                    range.filter(|contact| everything || self.matches(contact)),
                    after,
                    limit,
                );
            }
            _ => {}
        }
        let mut found: Vec<(Option<Key>, &Arc<Contact>)> = index
            .by_id()
            .values()
            .filter(|contact| everything || self.matches(contact))
            .map(|contact| (Key::of(contact, self.sort.0, self.registry), contact))
            .collect();
        let order = |a: &Option<Key>, b: &Option<Key>| match (a, b) {
            (Some(a), Some(b)) => a.compare(b),
            (a, b) => a.is_some().cmp(&b.is_some()),
        };
        // Stable: contacts that compare equal stay in the order of their ids.
        match self.sort.1 {
            Direction::Ascending => found.sort_by(|(a, _), (b, _)| order(a, b)),
            Direction::Descending => found.sort_by(|(a, _), (b, _)| order(b, a)),
        }
        page(found.into_iter().map(|(_, contact)| contact), after, limit)
    }

    fn matches(&self, contact: &Contact) -> bool {
        let in_groups = self.groups.is_empty()
            || self
                .groups
                .iter()
                .any(|group| group.iter().all(|c| c.holds(contact, self.registry)));
        in_groups
            && self.text.as_deref().is_none_or(|text| {
                contact
                    .values
                    .iter()
                    .any(|(_, v)| v.to_lowercase().contains(text))
            })
    }

    /// The only candidate, when one condition names an address.
    fn by_email<'i>(
        &self,
        group: &[Condition],
        index: &'i SearchIndex,
    ) -> Option<Option<&'i Arc<Contact>>> {
        let condition = group
            .iter()
            .find(|c| c.property == EMAIL && matches!(c.operator, Operator::Eq | Operator::In))?;
        match condition.keys.as_slice() {
            [Key::Text(email)] => Some(index.with_email(email)),
            _ => None,
        }
    }

    /// The smallest id a lone group leaves open.
    fn first_id(&self) -> u64 {
        let [group] = self.groups.as_slice() else {
            return 0;
        };
        let bounds = group
            .iter()
            .filter(|c| c.property == OBJECT_ID)
            .filter_map(|c| match (c.operator, c.keys.first()) {
                (Operator::Gt | Operator::Gte | Operator::Eq, Some(Key::Number(id))) => {
                    Some(*id as u64)
                }
                _ => None,
            });
        bounds.max().unwrap_or(0)
    }

    /// The earliest `lastmodifieddate` that any group leaves open.
    fn earliest(&self) -> Millis {
        let of_group = |group: &Vec<Condition>| group.iter().filter_map(Condition::earliest).max();
        let bounds: Option<Vec<Millis>> = self.groups.iter().map(of_group).collect();
        bounds
            .and_then(|bounds| bounds.into_iter().min())
            .unwrap_or(Millis(i64::MIN))
    }
}

fn known(name: &str, registry: &Registry) -> Result<PropId, Problem> {
    registry
        .id(name)
        .ok_or_else(|| Problem::BadRequest(format!("cannot sort by unknown property {name}")))
}

/// Counts all and keeps one page.
fn page<'i>(
    found: impl Iterator<Item = &'i Arc<Contact>>,
    after: usize,
    limit: usize,
) -> (usize, Vec<Arc<Contact>>) {
    let mut total = 0;
    let mut kept = Vec::with_capacity(limit.min(PAGE));
    for contact in found {
        if total >= after && kept.len() < limit {
            kept.push(Arc::clone(contact));
        }
        total += 1;
    }
    (total, kept)
}
