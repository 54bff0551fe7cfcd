//! What waits for a person: conflicts, holds and parked records.

pub mod conflicts;
pub mod holds;
pub mod parked;

use std::io::{self, Write};

use indicatif::HumanCount;
use samspel_model::store::Verdict;
use samspel_operations::queues::{self, Decided, Entry, Group};
use serde_json::Value;

use crate::args;

impl From<&args::Selection> for queues::Selection {
    fn from(said: &args::Selection) -> Self {
        Self {
            ids: said.ids.clone(),
            all: said.all,
            sync: said.sync.clone(),
        }
    }
}

/// Where what becomes of it can be seen.
fn see(syncs: &[&str]) -> String {
    match syncs {
        [one] => format!(
            "samspel sync run {one} does it now; samspel sync status {one} shows what is left"
        ),
        _ => "samspel sync run NAME does it now; samspel sync status shows what is left".to_owned(),
    }
}

/// Each once, in order.
fn distinct<'a>(syncs: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut syncs: Vec<&str> = syncs.collect();
    syncs.sort_unstable();
    syncs.dedup();
    syncs
}

/// A value as people read it: text without quotes, nothing as "(empty)".
pub fn value(value: &Value) -> String {
    match value {
        Value::Null => "(empty)".to_owned(),
        Value::String(text) if text.is_empty() => "(empty)".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A verdict as people say it.
fn words(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Take(side) => format!("take {side}"),
        Verdict::Link(record) => format!("link with {record}"),
        Verdict::Approve => "approved".to_owned(),
        Verdict::Reject => "left as it is".to_owned(),
    }
}

/// What is in a queue and not shown.
fn hidden(out: &mut dyn Write, total: u64, shown: usize) -> io::Result<()> {
    let hidden = total.saturating_sub(shown as u64);
    if hidden > 0 {
        writeln!(
            out,
            "  ... and {} more (--limit N shows more)",
            HumanCount(hidden)
        )?;
    }
    Ok(())
}

/// Entries of one or more syncs, by what they are about. `what`: how they are called.
fn write_entries(
    out: &mut dyn Write,
    entries: &[Entry],
    groups: &[Group],
    what: &str,
    advice: &str,
) -> io::Result<()> {
    if groups.is_empty() {
        return writeln!(out, "there are no {what}");
    }
    for sync in distinct(groups.iter().map(|group| group.sync.as_str())) {
        let of_sync = || groups.iter().filter(|group| group.sync == sync);
        let total: u64 = of_sync().map(|group| group.count).sum();
        writeln!(out, "{sync}: {} {what}", HumanCount(total))?;
        let mut shown = 0;
        for group in of_sync() {
            writeln!(out, "  {} ({})", group.about, HumanCount(group.count))?;
            let mut of_group = entries
                .iter()
                .filter(|one| one.sync == sync && one.conflict.about == group.about);
            of_group.try_for_each(|one| {
                shown += 1;
                write_entry(out, one)
            })?;
        }
        hidden(out, total, shown)?;
    }
    writeln!(out, "{advice}")
}

fn write_entry(out: &mut dyn Write, entry: &Entry) -> io::Result<()> {
    write!(
        out,
        "    {}  {} {}  since {:.0}",
        entry.id, entry.conflict.side, entry.conflict.record, entry.conflict.at
    )?;
    match &entry.decision {
        Some(verdict) => writeln!(out, "  (decided: {}; {})", words(verdict), queues::NEXT),
        None => writeln!(out, ": {}", entry.conflict.why),
    }
}

/// What was decided, and what happens next.
fn write_decided(out: &mut dyn Write, done: &Decided, list: &str) -> io::Result<()> {
    if done.decided.is_empty() {
        writeln!(out, "nothing was decided")?;
    } else {
        writeln!(
            out,
            "{} decided ({}); {}",
            HumanCount(done.decided.len() as u64),
            words(&done.verdict),
            done.next
        )?;
        let syncs = distinct(done.decided.iter().map(|one| one.sync.as_str()));
        writeln!(out, "{}", see(&syncs))?;
    }
    if done.left > 0 {
        writeln!(
            out,
            "{} are about something that this is no answer to; {list} shows them",
            HumanCount(done.left)
        )?;
    }
    Ok(())
}
