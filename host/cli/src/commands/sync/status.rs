//! `samspel sync status`: what is known about a sync, without asking a remote.

use std::io::{self, Write};

use indicatif::HumanCount;
use jiff::Timestamp;
use samspel_engine::SyncSpec;
use samspel_engine::spec::Mode;
use samspel_model::Store;
use samspel_model::access::Refused;
use samspel_model::link::Side;
use samspel_model::store::{Conflict, Parked, RunRecord, StoreError, SyncCounts, Waiting};
use samspel_sync::Accounts;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::report;

/// Everything that `sync status` shows about one sync.
#[derive(Debug, Serialize)]
pub struct Status {
    sync: String,
    a: String,
    b: String,
    mode: Mode,
    interval: String,
    /// When the first plan was confirmed.
    confirmed: Option<Timestamp>,
    /// Why runs are refused.
    paused: Option<String>,
    /// Credentials of its accounts that a person must authorise again.
    needs_authorisation: Vec<Refused>,
    /// Who works on it right now.
    holder: Option<Holder>,
    counts: SyncCountsView,
    /// When both sides were last read completely.
    compared: [Option<Timestamp>; 2],
    /// Where every record of the last run went.
    accounts: Option<Accounts>,
    runs: Vec<RunRecord>,
    conflicts: Vec<Conflict>,
    holds: Vec<Conflict>,
    parked: Vec<Parked>,
}

#[derive(Debug, Serialize)]
struct Holder {
    owner: String,
    until: Timestamp,
}

#[derive(Debug, Serialize)]
struct SyncCountsView {
    links: u64,
    dirty: u64,
    intents: u64,
    /// Since when the oldest record waits to be planned.
    oldest: Option<Timestamp>,
    conflicts: u64,
    holds: u64,
    parked: u64,
}

impl From<SyncCounts> for SyncCountsView {
    fn from(counts: SyncCounts) -> Self {
        Self {
            links: counts.links,
            dirty: counts.dirty,
            intents: counts.intents,
            oldest: counts.oldest,
            conflicts: counts.conflicts,
            holds: counts.holds,
            parked: counts.parked,
        }
    }
}

impl Status {
    /// Reads it. At most `limit` runs, conflicts and parked records each.
    pub async fn read(
        store: &dyn Store,
        (name, spec): (&str, &SyncSpec),
        refused: &[Refused],
        now: Timestamp,
        limit: u32,
    ) -> Result<Self, StoreError> {
        let state = store.state(name).await?;
        let compared = async |side| -> Result<_, StoreError> {
            Ok(store
                .cursor(name, side)
                .await?
                .and_then(|cursor| cursor.compared))
        };
        let runs = store.runs(name, limit).await?;
        Ok(Self {
            accounts: runs.iter().find_map(accounts),
            sync: name.to_owned(),
            a: format!("{}/{}", spec.a.account, spec.a.collection),
            b: format!("{}/{}", spec.b.account, spec.b.collection),
            mode: spec.mode,
            interval: spec.interval.clone(),
            confirmed: state.confirmed,
            paused: state.paused,
            needs_authorisation: refused
                .iter()
                .filter(|one| {
                    [&spec.a, &spec.b]
                        .iter()
                        .any(|side| side.account == one.account)
                })
                .cloned()
                .collect(),
            holder: store
                .lease_holder(name)
                .await?
                .filter(|(_, until)| *until > now)
                .map(|(owner, until)| Holder { owner, until }),
            counts: store.counts(name).await?.into(),
            compared: [compared(Side::A).await?, compared(Side::B).await?],
            runs,
            conflicts: store.conflicts(name, Waiting::Conflicts, 0, limit).await?,
            holds: store.conflicts(name, Waiting::Holds, 0, limit).await?,
            parked: store.parked(name, 0, limit).await?,
        })
    }

    /// Tells it to a person.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}: {} <-> {}", self.sync, self.a, self.b)?;
        writeln!(out, "  state       {}", self.state())?;
        for refused in &self.needs_authorisation {
            writeln!(
                out,
                "  account     {} needs re-authorisation since {:.0}: {} (samspel account authorise {0})",
                refused.account, refused.since, refused.why
            )?;
        }
        if let Some(holder) = &self.holder {
            writeln!(
                out,
                "  held by     {} (until {:.0})",
                holder.owner, holder.until
            )?;
        }
        let SyncCountsView {
            links,
            dirty,
            intents,
            oldest,
            conflicts,
            holds,
            parked,
        } = self.counts;
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
        let [a, b] = self.compared;
        writeln!(out, "  compared    a {}, b {}", moment(a), moment(b))?;
        if let Some(accounts) = &self.accounts {
            writeln!(out, "  last run    {}", report::accounts(accounts))?;
        }
        self.write_runs(out)?;
        section(out, "conflicts", conflicts, &self.conflicts, waiting)?;
        section(out, "holds", holds, &self.holds, waiting)?;
        section(out, "parked", parked, &self.parked, |parked| {
            format!(
                "{}  {} {}  since {:.0}: {}",
                parked.id(),
                parked.side,
                parked.record,
                parked.at,
                parked.cause
            )
        })
    }

    fn state(&self) -> String {
        if let Some(why) = &self.paused {
            return format!("paused: {why} (samspel sync resume {})", self.sync);
        }
        let mode = match self.mode {
            Mode::Sync => "",
            Mode::Observe => "observes only; ",
        };
        match self.confirmed {
            Some(at) => format!(
                "{mode}first plan confirmed {at:.0}; every {}",
                self.interval
            ),
            None => format!(
                "{mode}the first plan is not confirmed (samspel sync run {})",
                self.sync
            ),
        }
    }

    fn write_runs(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.runs.is_empty() {
            return writeln!(out, "  runs        none yet");
        }
        writeln!(out, "  runs        newest first")?;
        for run in &self.runs {
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
}

/// The accounts in a run's report. Undos have none, and older programs wrote none.
fn accounts(run: &RunRecord) -> Option<Accounts> {
    Accounts::deserialize(run.report.get("accounts")?).ok()
}

fn waiting(conflict: &Conflict) -> String {
    format!(
        "{}  {} {}  {}: {}",
        conflict.id(),
        conflict.side,
        conflict.record,
        conflict.about,
        conflict.why
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
