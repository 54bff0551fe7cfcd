//! What waits for a person: conflicts, holds and parked records.

pub mod conflicts;
pub mod holds;
pub mod parked;
mod select;

use std::io::{self, Write};

use indicatif::HumanCount;
use serde_json::Value;

pub use select::syncs;

/// What happens with a decision, for people.
const NEXT: &str = "the next run carries it out";

/// Where what becomes of it can be seen.
fn see(syncs: &[String]) -> String {
    match syncs {
        [one] => format!(
            "samspel sync run {one} does it now; samspel sync status {one} shows what is left"
        ),
        _ => "samspel sync run NAME does it now; samspel sync status shows what is left".to_owned(),
    }
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
