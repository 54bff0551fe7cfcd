//! `samspel undo`: what a run wrote is taken back.

use std::io::{self, Write};

use indicatif::HumanCount;
use samspel_operations::syncs::{UndoRun, Undone};

use super::sync::report;
use crate::args::UndoArgs;
use crate::exit::{CliError, Exit};
use crate::session::Session;

/// Takes back what a run wrote.
pub async fn run(args: &UndoArgs, session: &Session) -> Result<(), CliError> {
    let undone = session
        .perform(&UndoRun {
            run: args.run.clone(),
            sync: args.sync.clone(),
            yes: args.yes,
        })
        .await?;
    session.output.result(&undone, |out| write(out, &undone))?;
    if undone.report.stopped {
        return Err(CliError::Reported(Exit::Interrupted));
    }
    Ok(())
}

fn write(out: &mut dyn Write, done: &Undone) -> io::Result<()> {
    let (names, undone) = (&done.sides, &done.report);
    writeln!(
        out,
        "{}: run {} is taken back, as run {}",
        done.sync, undone.run, undone.undo
    )?;
    report::table(
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
