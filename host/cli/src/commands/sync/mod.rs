//! `samspel sync`: plan, run and look after one sync.

pub mod report;
mod status;

use std::io;

use samspel_operations::Limit;
use samspel_operations::syncs::{
    ListSyncs, PauseSync, PlanSync, Planned, PurgeSync, ResetSync, ResumeSync, RunSync, ShowSync,
    VerifySync,
};

use crate::args::{PlanArgs, RunArgs, StatusArgs, SyncCommand, VerifyArgs};
use crate::exit::{CliError, Exit};
use crate::session::Session;

/// Runs one of the commands.
pub async fn execute(command: &SyncCommand, session: &Session) -> Result<(), CliError> {
    let output = session.output;
    match command {
        SyncCommand::Plan(args) => plan(args, session).await,
        SyncCommand::Run(args) => run(args, session).await,
        SyncCommand::Status(args) => show_status(args, session).await,
        SyncCommand::Verify(args) => verify(args, session).await,
        SyncCommand::Pause(args) => {
            let done = session
                .perform(&PauseSync {
                    sync: args.name.clone(),
                    reason: args.reason.clone(),
                })
                .await?;
            output.result(&done, |out| {
                writeln!(
                    out,
                    "{} is paused; samspel sync resume {0} lets it run again",
                    done.sync
                )
            })
        }
        SyncCommand::Resume(args) => {
            let sync = args.name.clone();
            let done = session.perform(&ResumeSync { sync }).await?;
            output.result(&done, |out| match &done.was_paused {
                Some(reason) => writeln!(out, "{} runs again; it was paused: {reason}", done.sync),
                None => writeln!(out, "{} was not paused", done.sync),
            })
        }
        SyncCommand::Reset(args) => {
            let (sync, yes) = (args.name.clone(), args.yes);
            let done = session.perform(&ResetSync { sync, yes }).await?;
            output.result(&done, |out| {
                writeln!(
                    out,
                    "{} is forgotten; its next run is a first run",
                    done.sync
                )
            })
        }
        SyncCommand::Purge(args) => {
            let (sync, yes) = (args.name.clone(), args.yes);
            let done = session.perform(&PurgeSync { sync, yes }).await?;
            output.result(&done, |out| writeln!(out, "{} is forgotten", done.sync))
        }
    }
}

async fn plan(args: &PlanArgs, session: &Session) -> Result<(), CliError> {
    let planned = session
        .perform(&PlanSync {
            sync: args.name.clone(),
            limit: Limit::new(u32::try_from(args.limit).unwrap_or(u32::MAX)),
        })
        .await?;
    session.output.result(&planned, |out| {
        let Planned {
            plan,
            sync,
            sides,
            mapping,
        } = &planned;
        writeln!(out, "A run of {sync} would:")?;
        report::plan(out, sides, plan)?;
        for found in mapping {
            writeln!(out, "  mapping: {}", found.message)?;
            if let Some(remedy) = &found.remedy {
                writeln!(out, "    remedy: {remedy}")?;
            }
        }
        report::hash(out, sync, plan)
    })
}

async fn run(args: &RunArgs, session: &Session) -> Result<(), CliError> {
    let done = session
        .perform(&RunSync {
            sync: args.name.clone(),
            yes: args.yes,
            full: args.full,
            plan: args.plan.clone(),
        })
        .await?;
    session.output.result(&done, |out| {
        writeln!(out, "{}:", done.sync)?;
        report::run(out, &done.sides, &done.report)
    })?;
    if done.report.stopped {
        return Err(CliError::Reported(Exit::Interrupted));
    }
    Ok(())
}

async fn verify(args: &VerifyArgs, session: &Session) -> Result<(), CliError> {
    let found = session
        .perform(&VerifySync {
            sync: args.name.clone(),
            heal: args.heal,
        })
        .await?;
    session.output.result(&found, |out| {
        writeln!(out, "{}:", found.sync)?;
        report::verify(out, &found.sides, &found.report, args.heal)
    })?;
    if found.report.unequal > found.report.healed {
        return Err(CliError::Reported(Exit::Differences));
    }
    Ok(())
}

async fn show_status(args: &StatusArgs, session: &Session) -> Result<(), CliError> {
    let limit = Limit::new(args.limit);
    match &args.name {
        Some(name) => {
            let sync = name.clone();
            let found = session.perform(&ShowSync { sync, limit }).await?;
            session
                .output
                .result(&found, |out| status::write(out, &found))
        }
        None => {
            let all = session.perform(&ListSyncs { limit }).await?;
            session.output.result(&all, |out| -> io::Result<()> {
                all.syncs.iter().try_for_each(|one| status::write(out, one))
            })
        }
    }
}
