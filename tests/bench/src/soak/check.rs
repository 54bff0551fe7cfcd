//! What the vendors hold in the end, beside what people did. It knows nothing of how Samspel keeps the two in step.

use std::collections::BTreeMap;

use samspel_vendors::hubspot::NEWSLETTER;
use samspel_vendors::vendor::Vendor;
use serde::Deserialize;
use serde_json::Value;
use unicode_normalization::UnicodeNormalization as _;

use super::people::{People, Who};
use crate::error::BenchError;
use crate::stage::{Pair, Program};
use crate::wire;

/// A record, as far as it is kept in step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    first: String,
    last: String,
    /// May be written to, as far as the record says.
    out: bool,
}

/// What both sides hold, the CRM first, by address.
pub type Sides = [BTreeMap<String, Vec<Held>>; 2];

/// What was found.
pub struct Checked {
    /// What is wrong.
    pub found: Vec<String>,
    /// What each pair holds.
    pub sides: Vec<Sides>,
    /// How many records there are.
    pub records: u64,
}

/// Compares the two sides of every pair.
///
/// # Errors
/// A vendor's dump is no JSON.
pub fn sides(pairs: &[Pair], people: &People) -> Result<Checked, BenchError> {
    let mut checked = Checked {
        found: Vec::new(),
        sides: Vec::new(),
        records: 0,
    };
    for (index, pair) in pairs.iter().enumerate() {
        let sides = [records(&pair.crm, contact)?, records(&pair.list, member)?];
        compare(index, &sides, &mut checked);
        checked.sides.push(sides);
    }
    for (index, email) in people.opted_out() {
        for (side, name) in ["crm", "list"].into_iter().enumerate() {
            let held = checked.sides[*index][side].get(email).into_iter().flatten();
            if held.filter(|held| !held.out).count() > 0 {
                let who = format!("{name}-{index}: {email} has opted out, and may be written to");
                checked.found.push(who);
            }
        }
    }
    for (index, email) in people.came() {
        for (side, name) in ["crm", "list"].into_iter().enumerate() {
            if !checked.sides[*index][side].contains_key(email) {
                let who = format!("{name}-{index}: {email} came, and is not there");
                checked.found.push(who);
            }
        }
    }
    Ok(checked)
}

fn compare(index: usize, [crm, list]: &Sides, checked: &mut Checked) {
    for (name, side) in [("crm", crm), ("list", list)] {
        for (email, held) in side {
            checked.records += held.len() as u64;
            if held.len() > 1 {
                let times = held.len();
                let twice = format!("{name}-{index}: {email} is there {times} times");
                checked.found.push(twice);
            }
        }
    }
    for (email, held) in crm {
        let Some(other) = list.get(email) else {
            continue;
        };
        let names = |held: &[Held]| {
            held.first()
                .map(|held| (held.first.clone(), held.last.clone()))
        };
        if names(held) != names(other) {
            checked.found.push(format!(
                "sync-{index}: of {email} the CRM holds {:?} and the list {:?}",
                names(held),
                names(other)
            ));
        }
    }
}

/// Changes of which the last one is not there although it raced with none, and that the history does not tell as lost.
///
/// # Errors
/// The program fails.
pub async fn lost(
    program: &Program,
    people: &People,
    sides: &[Sides],
) -> Result<Vec<String>, BenchError> {
    let mut found = Vec::new();
    for ((index, email), last) in people.last() {
        let value = wire::value(last.number);
        let held = sides[*index][0].get(email).and_then(|held| held.first());
        if last.raced || held.is_some_and(|held| held.first == value) {
            continue;
        }
        if !is_told_as_lost(program, &(*index, email.clone()), &value).await? {
            let now = held.map(|held| held.first.as_str()).unwrap_or_default();
            found.push(format!(
                "sync-{index}: {email} was called {value} last, is called {now:?}, and nothing tells why"
            ));
        }
    }
    Ok(found)
}

async fn is_told_as_lost(
    program: &Program,
    (index, email): &Who,
    value: &str,
) -> Result<bool, BenchError> {
    let sync = format!("sync-{index}");
    let line = ["history", email, "--sync", &sync, "--json"];
    let history: Value = program.json(&line).await?;
    let places = history["found"].as_array().into_iter().flatten();
    let mut events = places.flat_map(|place| place["events"].as_array().into_iter().flatten());
    Ok(events.any(|event| event["kind"] == "lost" && event["detail"]["value"] == value))
}

#[derive(Deserialize)]
struct Status {
    runs: Vec<Run>,
}

/// A run, as far as it is looked at.
#[derive(Deserialize)]
pub struct Run {
    /// Why it failed.
    pub error: Option<String>,
}

/// The last runs of a sync, the newest first.
///
/// # Errors
/// The program fails.
pub async fn runs(program: &Program, sync: &str, limit: &str) -> Result<Vec<Run>, BenchError> {
    let line = ["sync", "status", sync, "--limit", limit, "--json"];
    let Status { runs } = program.json(&line).await?;
    Ok(runs)
}

/// Runs that ended with an error: of each, the sync and what was wrong.
///
/// # Errors
/// The program fails.
pub async fn failed_runs(
    program: &Program,
    syncs: impl Iterator<Item = String>,
) -> Result<Vec<String>, BenchError> {
    let mut failed = Vec::new();
    for sync in syncs {
        let runs = runs(program, &sync, "10000").await?;
        let errors = runs.into_iter().filter_map(|run| run.error);
        failed.extend(errors.map(|error| format!("{sync}: a run failed: {error}")));
    }
    Ok(failed)
}

fn records<V: Vendor>(
    vendor: &V,
    read: fn(&Value) -> Option<(String, Held)>,
) -> Result<BTreeMap<String, Vec<Held>>, BenchError> {
    let mut records: BTreeMap<String, Vec<Held>> = BTreeMap::new();
    let mut from = Some(0);
    while let Some(at) = from {
        let page = vendor.dump(at, true);
        for line in page.lines.split(|byte| *byte == b'\n') {
            if line.is_empty() {
                continue;
            }
            let record: Value =
                serde_json::from_slice(line).map_err(|source| BenchError::Report {
                    line: "the dump of a vendor".to_owned(),
                    source,
                })?;
            if let Some((email, held)) = read(&record) {
                records.entry(email).or_default().push(held);
            }
        }
        from = page.next;
    }
    Ok(records)
}

fn contact(record: &Value) -> Option<(String, Held)> {
    if record["archived"] == true {
        return None;
    }
    let values = &record["properties"];
    let consent = &record["consent"];
    let newsletter = &consent["subscriptions"][NEWSLETTER.to_string()];
    let held = Held {
        first: text(&values["firstname"]),
        last: text(&values["lastname"]),
        out: consent["unsubscribedAll"] == true
            || newsletter
                .as_str()
                .is_some_and(|state| state.eq_ignore_ascii_case("unsubscribed")),
    };
    Some((text(&values["email"]).to_lowercase(), held)).filter(|(email, _)| !email.is_empty())
}

fn member(record: &Value) -> Option<(String, Held)> {
    let status = record["status"].as_str().unwrap_or_default();
    if status == "archived" {
        return None;
    }
    let values = &record["merge_fields"];
    let held = Held {
        first: text(&values["FNAME"]),
        last: text(&values["LNAME"]),
        out: matches!(status, "unsubscribed" | "cleaned"),
    };
    Some((text(&record["email_address"]).to_lowercase(), held))
}

/// Without what neither side minds: spaces at the ends, and how letters are put together.
fn text(value: &Value) -> String {
    let text = value.as_str().unwrap_or_default();
    text.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .nfc()
        .collect()
}
