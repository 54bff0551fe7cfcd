//! `samspel sync status`: what is known about a sync, without asking a remote.

use std::io::{self, Write};

use indicatif::HumanCount;
use jiff::Timestamp;
use samspel_engine::spec::Mode;
use samspel_model::store::SyncCounts;
use samspel_operations::queues::Entry;
use samspel_operations::syncs::Status;
use serde_json::Value;

use super::report;

/// Tells it to a person.
pub fn write(out: &mut dyn Write, status: &Status) -> io::Result<()> {
    writeln!(out, "{}: {} <-> {}", status.sync, status.a, status.b)?;
    writeln!(out, "  state       {}", state(status))?;
    for refused in &status.needs_authorisation {
        writeln!(
            out,
            "  account     {} needs re-authorisation since {:.0}: {} (samspel account authorise {0})",
            refused.account, refused.since, refused.why
        )?;
    }
    if let Some(holder) = &status.holder {
        writeln!(
            out,
            "  held by     {} (until {:.0})",
            holder.owner, holder.until
        )?;
    }
    let SyncCounts {
        links,
        dirty,
        intents,
        oldest,
        conflicts,
        holds,
        parked,
    } = status.counts;
    writeln!(
        out,
        "  records     {} linked, {} waiting to be planned, {} writes in flight",
        HumanCount(links),
        HumanCount(dirty),
        HumanCount(intents)
    )?;
    if let Some(oldest) = oldest {
        writeln!(out, "  oldest      waits since {oldest:.0}")?;
    }
    let [a, b] = status.compared;
    writeln!(out, "  compared    a {}, b {}", moment(a), moment(b))?;
    if let Some(accounts) = &status.accounts {
        writeln!(out, "  last run    {}", report::accounts(accounts))?;
    }
    runs(out, status)?;
    section(out, "conflicts", conflicts, &status.conflicts, waiting)?;
    section(out, "holds", holds, &status.holds, waiting)?;
    section(out, "parked", parked, &status.parked, |parked| {
        format!(
            "{}  {} {}  since {:.0}: {}",
            parked.id,
            parked.parked.side,
            parked.parked.record,
            parked.parked.at,
            parked.parked.cause
        )
    })
}

fn state(status: &Status) -> String {
    if let Some(why) = &status.paused {
        return format!("paused: {why} (samspel sync resume {})", status.sync);
    }
    let mode = match status.mode {
        Mode::Sync => "",
        Mode::Observe => "observes only; ",
    };
    match status.confirmed {
        Some(at) => format!(
            "{mode}first plan confirmed {at:.0}; every {}",
            status.interval
        ),
        None => format!(
            "{mode}the first plan is not confirmed (samspel sync run {})",
            status.sync
        ),
    }
}

fn runs(out: &mut dyn Write, status: &Status) -> io::Result<()> {
    if status.runs.is_empty() {
        return writeln!(out, "  runs        none yet");
    }
    writeln!(out, "  runs        newest first")?;
    for run in &status.runs {
        let took = match run.ended {
            Some(ended) => format!("{:.1} s", ended.duration_since(run.started).as_secs_f64()),
            None => "not ended".to_owned(),
        };
        let result = match &run.error {
            Some(error) => format!("failed: {error}"),
            None => counted(&run.report),
        };
        let undo = if run.report.get("undo").is_some() {
            "undo: "
        } else {
            ""
        };
        writeln!(
            out,
            "    {}  {:.0}  {took:>10}  {undo}{result}",
            run.id, run.started
        )?;
    }
    Ok(())
}

fn waiting(entry: &Entry) -> String {
    format!(
        "{}  {} {}  {}: {}",
        entry.id,
        entry.conflict.side,
        entry.conflict.record,
        entry.conflict.about,
        entry.conflict.why
    )
}

fn moment(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "never".to_owned(), |at| format!("{at:.0}"))
}

/// The headline number of a run's report, which older programs may have written.
fn counted(report: &Value) -> String {
    match report.get("writes").and_then(Value::as_u64) {
        Some(writes) => format!("{} writes", HumanCount(writes)),
        None => "ok".to_owned(),
    }
}

fn section<T>(
    out: &mut dyn Write,
    title: &str,
    total: u64,
    shown: &[T],
    line: impl Fn(&T) -> String,
) -> io::Result<()> {
    writeln!(out, "  {title:<11} {}", HumanCount(total))?;
    for item in shown {
        writeln!(out, "    {}", line(item))?;
    }
    let hidden = total.saturating_sub(shown.len() as u64);
    if hidden > 0 {
        writeln!(
            out,
            "    ... and {} more (--limit N shows more)",
            HumanCount(hidden)
        )?;
    }
    Ok(())
}
