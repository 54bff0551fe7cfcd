//! Why a record has the values that it has: since when, from where, and who decided.

use std::collections::BTreeSet;

use jiff::Timestamp;
use samspel_engine::SyncSpec;
use samspel_model::journal::{JournalEntry, JournalKind};
use samspel_model::store::{JournalOf, Observation};
use samspel_model::{Link, RecordId, Side, Store};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::SyncError;
use crate::lookup::{endpoints, find_records};

/// How many journal entries are read together.
const PAGE: u32 = 500;

/// What is known about a record in one sync.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct History {
    /// The sync.
    pub sync: String,
    /// The side of the record.
    pub side: Side,
    /// The record.
    pub record: String,
    /// Its partner on the other side.
    pub partner: Option<String>,
    /// The mapped fields, in the order of the mapping.
    pub fields: Vec<FieldHistory>,
    /// What happened, newest first.
    pub events: Vec<Event>,
    /// There is more than was asked for.
    pub more: bool,
}

/// Why a field has its value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FieldHistory {
    /// The record's field.
    pub field: String,
    /// The mapping, `a=b`.
    pub mapping: String,
    /// The value as last seen; `null` where it is empty or was never read.
    pub value: Value,
    /// Since when it is there, as far as Samspel knows: when it was written, or when the record last changed at its
    /// remote.
    pub since: Option<Timestamp>,
    /// The side that it comes from.
    pub from: Option<Side>,
    /// The account that it comes from.
    pub account: Option<String>,
    /// The run that wrote it.
    pub run: Option<String>,
    /// Who decided, and how.
    pub decided: String,
}

/// Something that happened to the record or its link.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// In which run.
    pub run: Option<String>,
    /// What.
    pub kind: JournalKind,
    /// The side and record that it is told of.
    pub side: Option<Side>,
    /// The record.
    pub record: Option<String>,
    /// Values and reasons.
    pub detail: Value,
}

/// The history of a record in one sync. `record`: its id on either side, or the value of the match field; where it
/// means several records, of each. `side`: only a record of this one. `limit`: how many events are told.
///
/// # Errors
/// [`SyncError::Store`].
pub async fn history(
    store: &dyn Store,
    sync: &str,
    spec: &SyncSpec,
    record: &str,
    side: Option<Side>,
    limit: usize,
) -> Result<Vec<History>, SyncError> {
    let mut told = Vec::new();
    for (side, seen) in find_records(store, sync, spec, record, side).await? {
        told.push(of_record(store, sync, spec, (side, seen), limit).await?);
    }
    Ok(told)
}

async fn of_record(
    store: &dyn Store,
    sync: &str,
    spec: &SyncSpec,
    (side, seen): (Side, Observation),
    limit: usize,
) -> Result<History, SyncError> {
    let link = link_of(store, sync, side, &seen.id).await?;
    let entries = entries(store, sync, side, &seen.id, link.as_ref()).await?;
    let partner = match &link {
        Some(link) => {
            let other = side.other();
            let id = link.record(other).clone();
            let seen = store
                .observations(&endpoints(spec)[other.index()], std::slice::from_ref(&id))
                .await?;
            seen.into_iter().next()
        }
        None => None,
    };
    let told = Told {
        spec,
        side,
        seen: &seen,
        partner: partner.as_ref(),
        entries: &entries,
    };
    let mut fields = Vec::with_capacity(spec.fields.len());
    for field in &spec.fields {
        let names = [field.a.as_str(), field.b.as_str()];
        fields.push(told.why(store, sync, names).await?);
    }
    Ok(History {
        sync: sync.to_owned(),
        side,
        record: seen.id.to_string(),
        partner: link.map(|link| link.record(side.other()).to_string()),
        fields,
        more: entries.len() > limit,
        events: entries.into_iter().take(limit).map(event).collect(),
    })
}

async fn link_of(
    store: &dyn Store,
    sync: &str,
    side: Side,
    id: &RecordId,
) -> Result<Option<Link>, SyncError> {
    let links = store
        .links_by_record(sync, side, std::slice::from_ref(id))
        .await?;
    Ok(links.into_iter().next())
}

/// What is told of the record and of its link, newest first.
async fn entries(
    store: &dyn Store,
    sync: &str,
    side: Side,
    id: &RecordId,
    link: Option<&Link>,
) -> Result<Vec<JournalEntry>, SyncError> {
    let mut numbers = BTreeSet::new();
    let mut found = Vec::new();
    let of_link = link.map(|link| JournalOf::Link(&link.id));
    for of in std::iter::once(JournalOf::Record(side, id)).chain(of_link) {
        let mut before = None;
        loop {
            let page = store.journal(sync, of, before, PAGE).await?;
            let Some((last, _)) = page.last() else {
                break;
            };
            before = Some(*last);
            for (number, entry) in page {
                if numbers.insert(number) {
                    found.push((number, entry));
                }
            }
        }
    }
    found.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
    Ok(found.into_iter().map(|(_, entry)| entry).collect())
}

/// What is known of a record, its partner, and what happened to both, newest first.
struct Told<'a> {
    spec: &'a SyncSpec,
    side: Side,
    seen: &'a Observation,
    partner: Option<&'a Observation>,
    entries: &'a [JournalEntry],
}

impl Told<'_> {
    /// `names`: the field on each side.
    async fn why(
        &self,
        store: &dyn Store,
        sync: &str,
        names: [&str; 2],
    ) -> Result<FieldHistory, SyncError> {
        let mapping = format!("{}={}", names[0], names[1]);
        let side = self.side;
        let field = names[side.index()];
        let told = FieldHistory {
            field: field.to_owned(),
            value: self.seen.fields.get(field).cloned().unwrap_or_default(),
            mapping: mapping.clone(),
            since: self.seen.modified,
            from: Some(side),
            account: Some(self.account(side).to_owned()),
            run: None,
            decided: format!(
                "it was read from `{}`; Samspel never wrote it",
                self.account(side)
            ),
        };
        // The newest write to the field on either side tells which side the value comes from.
        let Some((at, target)) = self.written(&names, 0) else {
            return Ok(told);
        };
        let write = &self.entries[at];
        if !self.still_holds(target, names[target.index()], write) {
            return Ok(FieldHistory {
                decided: format!(
                    "it was changed in one of the systems after Samspel wrote it last, at {:.0}",
                    write.at
                ),
                ..told
            });
        }
        let undone = match &write.run {
            Some(run) => undone(store, sync, run).await?,
            None => None,
        };
        let (from, decided) = match undone {
            // It is what this side held before.
            Some(undone) => (target, undone),
            None => (
                target.other(),
                self.decided(target.other(), &mapping, &names, at),
            ),
        };
        Ok(FieldHistory {
            since: Some(write.at),
            from: Some(from),
            account: Some(self.account(from).to_owned()),
            run: write.run.clone(),
            decided,
            ..told
        })
    }

    fn account(&self, side: Side) -> &str {
        match side {
            Side::A => &self.spec.a.account,
            Side::B => &self.spec.b.account,
        }
    }

    /// The newest write to a field from an entry on, and the side that it went to.
    fn written(&self, names: &[&str; 2], from: usize) -> Option<(usize, Side)> {
        let entries = self.entries.iter().enumerate().skip(from);
        entries
            .filter(|(_, entry)| entry.kind == JournalKind::Settled)
            .find_map(|(at, entry)| {
                let target = entry.side?;
                entry.detail.get("patch")?.get(names[target.index()])?;
                Some((at, target))
            })
    }

    fn still_holds(&self, target: Side, field: &str, write: &JournalEntry) -> bool {
        let holder = if target == self.side {
            Some(self.seen)
        } else {
            self.partner
        };
        let now = holder.map(|holder| holder.fields.get(field).unwrap_or(&Value::Null));
        // What was sent, and what the remote made of it.
        ["patch", "after"].iter().any(|image| {
            let written = write.detail.get(image).and_then(|image| image.get(field));
            match (now, written) {
                (Some(now), Some(written)) => now == written || loosely(now) == loosely(written),
                _ => false,
            }
        })
    }

    /// How a write came about: by the merge alone, by a policy that overruled the other side, or by an operator.
    fn decided(&self, source: Side, mapping: &str, names: &[&str; 2], write: usize) -> String {
        let account = self.account(source);
        let entry = &self.entries[write];
        // What an operator said led to the first write of the field that followed, and to no later one.
        let before = self
            .written(names, write + 1)
            .map_or(self.entries.len(), |(before, _)| before);
        let operator = self.entries[write..before].iter().find(|told| {
            told.kind == JournalKind::Operator
                && told.detail.get("about").and_then(Value::as_str) == Some(mapping)
        });
        let lost = self.entries.iter().find(|told| {
            told.kind == JournalKind::Lost
                && told.run == entry.run
                && told.detail.get("field").and_then(Value::as_str) == Some(mapping)
        });
        match (operator, lost) {
            (Some(operator), _) => format!(
                "{} decided at {:.0} that the value of `{account}` holds",
                by(operator),
                operator.at
            ),
            (None, Some(lost)) => format!(
                "both sides had a value, and the sync's policy let that of `{account}` hold; {} was overruled",
                lost.detail.get("value").unwrap_or(&Value::Null)
            ),
            (None, None) if entry.detail.get("effect") == Some(&Value::from("create")) => {
                format!("the record was created from that of `{account}`")
            }
            (None, None) => format!("it was changed in `{account}` and not in the other system"),
        }
    }
}

/// Whether a run was an undo, for people. Its last entry says so.
async fn undone(store: &dyn Store, sync: &str, run: &str) -> Result<Option<String>, SyncError> {
    let last = store.journal(sync, JournalOf::Run(run), None, 1).await?;
    let undo = last
        .into_iter()
        .map(|(_, entry)| entry)
        .find(|entry| entry.detail.get("act") == Some(&Value::from("undo")));
    Ok(undo.map(|entry| {
        format!(
            "{} took run {} back at {:.0}; this is what was there before",
            by(&entry),
            entry
                .detail
                .get("run")
                .and_then(Value::as_str)
                .unwrap_or("?"),
            entry.at
        )
    }))
}

fn by(entry: &JournalEntry) -> &str {
    let by = entry.detail.get("by").and_then(Value::as_str);
    by.unwrap_or("an operator")
}

/// Remotes respell what they are given.
fn loosely(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    text.chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

fn event(entry: JournalEntry) -> Event {
    Event {
        at: entry.at,
        run: entry.run,
        kind: entry.kind,
        side: entry.side,
        record: entry.record.map(|record| record.to_string()),
        detail: entry.detail,
    }
}
