//! `samspel conflicts`: what is undecided, and deciding it.

use std::io::{self, Write};

use samspel_model::store::{Conflict, Verdict};
use samspel_operations::queues::{Detailed, ListConflicts, NEXT, ResolveConflicts, ShowConflict};
use samspel_operations::{Limit, Number};

use super::{value, words, write_decided, write_entries};
use crate::args::{ConflictsCommand, ListArgs, ResolveArgs, ShowArgs};
use crate::exit::CliError;
use crate::session::Session;

/// Runs one of the commands.
pub async fn run(command: &ConflictsCommand, session: &Session) -> Result<(), CliError> {
    match command {
        ConflictsCommand::List(args) => list(args, session).await,
        ConflictsCommand::Show(args) => show(args, session).await,
        ConflictsCommand::Resolve(args) => resolve(args, session).await,
    }
}

async fn list(args: &ListArgs, session: &Session) -> Result<(), CliError> {
    let listed = session
        .perform(&ListConflicts {
            sync: args.name.clone(),
            offset: Number::default(),
            limit: Limit::new(args.limit),
        })
        .await?;
    session.output.result(&listed, |out| {
        let advice = "samspel conflicts show ID tells what can be done; samspel conflicts resolve ID ... does it";
        write_entries(out, &listed.conflicts, &listed.groups, "conflicts", advice)
    })
}

async fn show(args: &ShowArgs, session: &Session) -> Result<(), CliError> {
    let found = session
        .perform(&ShowConflict {
            id: args.id.clone(),
            sync: args.name.clone(),
        })
        .await?;
    session.output.result(&found, |out| write(out, &found))
}

fn write(out: &mut dyn Write, found: &Detailed) -> io::Result<()> {
    let Conflict {
        side,
        record,
        about,
        at,
        why,
        detail,
        ..
    } = &found.entry.conflict;
    writeln!(
        out,
        "{}  {about} of record {record} on side {side}, sync {}",
        found.entry.id, found.entry.sync
    )?;
    writeln!(out, "  since     {at:.0}")?;
    writeln!(out, "  why       {why}")?;
    for (name, content) in detail.as_object().into_iter().flatten() {
        writeln!(out, "  {name:<9} {}", value(content))?;
    }
    if let Some(verdict) = &found.entry.decision {
        writeln!(out, "  decided   {}; {NEXT}", words(verdict))?;
    }
    writeln!(out, "  you can   {}", found.can.join("\n            "))
}

async fn resolve(args: &ResolveArgs, session: &Session) -> Result<(), CliError> {
    let verdict = match (args.take, &args.link) {
        (Some(side), _) => Verdict::Take(side.into()),
        (None, Some(record)) => Verdict::Link(record.as_str().into()),
        (None, None) => Verdict::Reject,
    };
    let done = session
        .perform(&ResolveConflicts {
            selection: (&args.selection).into(),
            verdict,
        })
        .await?;
    session.output.result(&done, |out| {
        write_decided(out, &done, "samspel conflicts list")
    })
}
