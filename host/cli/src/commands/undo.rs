//! `samspel undo`: what a run wrote is taken back.

use std::io::{self, Write};

use indicatif::{HumanCount, MultiProgress};
use samspel_model::store::{JournalOf, RunRecord};
use samspel_sync::{Progress, Silent, UndoReport};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::ask::agree;
use super::sync::{names, sides};
use crate::args::UndoArgs;
use crate::exit::{CliError, Exit};
use crate::output::Output;
use crate::progress::RunBar;
use samspel_installation::{Host, Kind};

/// A run is looked for among so many of the last ones of each sync, unless it left something in the history.
const RUNS: u32 = 1_000;

/// Takes back what a run wrote.
pub async fn run(
    args: &UndoArgs,
    host: &Host,
    output: Output,
    bars: &MultiProgress,
    stop: CancellationToken,
) -> Result<(), CliError> {
    let name = sync_of(host, args).await?;
    let names = names(host, &name)?;
    let record = record_of(host, &name, &args.run).await?;
    let question = format!(
        "Take back what run {} of {name} wrote?\n{}Fields that still hold what was written get back what they held \
         before, and records that were created are archived. Opt-ins and opt-outs stay.",
        args.run,
        record.as_ref().map(told).unwrap_or_default()
    );
    let what = format!("undo writes to the remotes of {name}");
    agree(output, args.yes, question, &what).await?;
    let sync = host.sync(&name).await?;
    let undone = {
        let progress: Box<dyn Progress> = if output.is_json() {
            Box::new(Silent)
        } else {
            Box::new(RunBar::new(bars, names.clone()))
        };
        sync.undo(&args.run, progress.as_ref(), stop).await?
    };
    let mut said = serde_json::to_value(&undone).map_err(io::Error::from)?;
    said["sync"] = json!(name);
    output.result(&said, |out| write(out, &name, &names, &undone))?;
    if undone.stopped {
        return Err(CliError::Reported(Exit::Interrupted));
    }
    Ok(())
}

/// The sync that did the run.
async fn sync_of(host: &Host, args: &UndoArgs) -> Result<String, CliError> {
    if let Some(name) = &args.sync {
        host.spec(name)?;
        return Ok(name.clone());
    }
    for name in host.config().syncs.keys() {
        let wrote = host
            .store()
            .journal(name, JournalOf::Run(&args.run), None, 1)
            .await?;
        if !wrote.is_empty() || record_of(host, name, &args.run).await?.is_some() {
            return Ok(name.clone());
        }
    }
    Err(
        CliError::new(Kind::Usage, format!("no sync has a run `{}`", args.run))
            .remedy("`samspel sync status` lists the last runs"),
    )
}

async fn record_of(host: &Host, sync: &str, run: &str) -> Result<Option<RunRecord>, CliError> {
    let runs = host.store().runs(sync, RUNS).await?;
    Ok(runs.into_iter().find(|record| record.id == run))
}

/// What a run did, for who is asked.
fn told(record: &RunRecord) -> String {
    let number = |what: &str| -> u64 {
        let of = &record.report[what];
        let side = |side: &str| of.get(side).and_then(Value::as_u64).unwrap_or_default();
        side("a") + side("b")
    };
    format!(
        "It began {:.0} and created {}, changed {} and archived {} records.\n",
        record.started,
        HumanCount(number("created")),
        HumanCount(number("updated")),
        HumanCount(number("removed"))
    )
}

fn write(
    out: &mut dyn Write,
    name: &str,
    names: &[String; 2],
    undone: &UndoReport,
) -> io::Result<()> {
    writeln!(
        out,
        "{name}: run {} is taken back, as run {}",
        undone.run, undone.undo
    )?;
    sides(
        out,
        names,
        &[
            ("set back", undone.reverted),
            ("archived again", undone.removed),
        ],
    )?;
    if undone.consents_kept > 0 {
        writeln!(
            out,
            "  {} writes of opt-ins and opt-outs stay",
            HumanCount(undone.consents_kept)
        )?;
    }
    if undone.left > 0 {
        writeln!(out, "  {} could not be taken back", HumanCount(undone.left))?;
    }
    for left in &undone.samples {
        let field = left.field.as_ref().map(|field| format!(" {field}"));
        writeln!(
            out,
            "    {} {}{}: {}",
            names[left.side.index()],
            left.record,
            field.unwrap_or_default(),
            left.why
        )?;
    }
    let hidden = undone.left.saturating_sub(undone.samples.len() as u64);
    if hidden > 0 {
        writeln!(out, "    ... and {} more", HumanCount(hidden))?;
    }
    if undone.stopped {
        writeln!(
            out,
            "  stopped before the end; the same command again does the rest"
        )?;
    }
    Ok(())
}
