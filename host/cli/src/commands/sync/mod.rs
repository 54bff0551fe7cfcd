//! `samspel sync`: plan, run and look after one sync.

mod report;
mod status;

use std::io::{self, Write};
use std::sync::Arc;

use futures::FutureExt;
use indicatif::MultiProgress;
use samspel_sync::{Confirmation, PlanReport, Progress, RunOptions, Sides, Silent};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::ask::{agree, ask, somebody};
use super::doctor::mapping;
use crate::args::{PlanArgs, ResetArgs, RunArgs, StatusArgs, SyncCommand, VerifyArgs};
use crate::exit::{CliError, Exit};
use crate::output::Output;
use crate::progress::RunBar;
use report::Names;
use samspel_installation::{Host, Kind};
use status::Status;

pub use report::run as tell_run;

/// What the commands share.
pub struct Context<'a> {
    /// The configured installation.
    pub host: &'a Host,
    /// Where results go.
    pub output: Output,
    /// Where progress is shown.
    pub bars: &'a MultiProgress,
    /// Asks for a graceful end.
    pub stop: CancellationToken,
}

/// Runs one of the commands.
pub async fn execute(context: &Context<'_>, command: &SyncCommand) -> Result<(), CliError> {
    match command {
        SyncCommand::Plan(args) => plan(context, args).await,
        SyncCommand::Run(args) => run(context, args).await,
        SyncCommand::Status(args) => show_status(context, args).await,
        SyncCommand::Verify(args) => verify(context, args).await,
        SyncCommand::Pause(args) => {
            context
                .host
                .operator(&args.name)?
                .pause(&args.reason)
                .await?;
            let said = json!({ "sync": args.name, "paused": args.reason });
            context.output.result(&said, |out| {
                writeln!(
                    out,
                    "{} is paused; samspel sync resume {0} lets it run again",
                    args.name
                )
            })
        }
        SyncCommand::Resume(sync) => {
            let was = context.host.operator(&sync.name)?.resume().await?;
            let said = json!({ "sync": sync.name, "was_paused": was });
            context.output.result(&said, |out| match &was {
                Some(reason) => writeln!(out, "{} runs again; it was paused: {reason}", sync.name),
                None => writeln!(out, "{} was not paused", sync.name),
            })
        }
        SyncCommand::Reset(args) => reset(context, args).await,
        SyncCommand::Purge(args) => purge(context, args).await,
    }
}

async fn plan(context: &Context<'_>, args: &PlanArgs) -> Result<(), CliError> {
    let name = &args.name;
    let names = names(context.host, name)?;
    let sync = context.host.sync(name).await?;
    let planned = {
        let progress = progress(context, &names);
        sync.plan(args.limit, progress.as_ref(), context.stop.clone())
            .await?
    };
    if context.stop.is_cancelled() {
        return Err(CliError::new(
            Kind::Interrupted,
            "stopped before everything was read and planned",
        ));
    }
    let one_way = mapping::of_sync(context.host, name).await?;
    let mut said = serde_json::to_value(&planned).map_err(io::Error::from)?;
    said["sync"] = json!(name);
    said["mapping"] = json!(one_way);
    context.output.result(&said, |out| {
        writeln!(out, "A run of {name} would:")?;
        report::plan(out, &names, &planned)?;
        for found in &one_way {
            writeln!(out, "  mapping: {}", found.message)?;
            if let Some(remedy) = &found.remedy {
                writeln!(out, "    remedy: {remedy}")?;
            }
        }
        report::hash(out, name, &planned)
    })
}

async fn run(context: &Context<'_>, args: &RunArgs) -> Result<(), CliError> {
    let names = names(context.host, &args.name)?;
    let opened = context.host.open_sync(&args.name).await?;
    let options = RunOptions {
        told: false,
        full: args.full,
        plan: args.plan.clone(),
        ..RunOptions::new(confirmation(context, args, &names))
    };
    let done = {
        let progress = progress(context, &names);
        let sync = &opened.sync;
        sync.run(options, progress.as_ref(), context.stop.clone())
            .await
    };
    // A revision that is no good for an account is not used by its next run.
    context.host.ran(&opened, done.as_ref().err()).await?;
    let done = done?;
    context.output.result(&done, |out| {
        writeln!(out, "{}:", args.name)?;
        report::run(out, &names, &done)
    })?;
    if done.stopped {
        return Err(CliError::Reported(Exit::Interrupted));
    }
    Ok(())
}

/// How a first plan is confirmed: by `--yes`, by a person at a terminal, or not at all.
fn confirmation(context: &Context<'_>, args: &RunArgs, names: &Names) -> Confirmation {
    if args.yes {
        return Confirmation::Given;
    }
    if !somebody(context.output) {
        return Confirmation::Refuse;
    }
    let (names, name, bars) = (names.clone(), args.name.clone(), context.bars.clone());
    Confirmation::Ask(Arc::new(move |planned: &PlanReport| {
        let mut text = Vec::new();
        // Writing to memory does not fail.
        let _ = report::plan(&mut text, &names, planned);
        let question = format!(
            "This is the first run of {name}. It would:\n{}\nDo it?",
            String::from_utf8_lossy(&text)
        );
        let bars = bars.clone();
        // Waiting for a person blocks a thread, which must not be one that runs tasks.
        tokio::task::spawn_blocking(move || bars.suspend(|| ask(&question)))
            .map(|answer| answer.unwrap_or(false))
            .boxed()
    }))
}

async fn verify(context: &Context<'_>, args: &VerifyArgs) -> Result<(), CliError> {
    let name = &args.name;
    let names = names(context.host, name)?;
    let sync = context.host.sync(name).await?;
    let found = {
        let progress = progress(context, &names);
        sync.verify(args.heal, progress.as_ref(), context.stop.clone())
            .await?
    };
    if context.stop.is_cancelled() {
        return Err(CliError::new(
            Kind::Interrupted,
            "stopped before both sides were read and compared",
        ));
    }
    let mut said = serde_json::to_value(&found).map_err(io::Error::from)?;
    said["sync"] = json!(name);
    context.output.result(&said, |out| {
        writeln!(out, "{name}:")?;
        report::verify(out, &names, &found, args.heal)
    })?;
    if found.unequal > found.healed {
        return Err(CliError::Reported(Exit::Differences));
    }
    Ok(())
}

async fn show_status(context: &Context<'_>, args: &StatusArgs) -> Result<(), CliError> {
    let host = context.host;
    let wanted: Vec<&str> = match &args.name {
        Some(name) => vec![name.as_str()],
        None => host.config().syncs.keys().map(String::as_str).collect(),
    };
    let refused = host.refused().await?;
    let mut all = Vec::with_capacity(wanted.len());
    for name in wanted {
        let spec = host.spec(name)?;
        let now = host.clock().now();
        all.push(Status::read(host.store(), (name, spec), &refused, now, args.limit).await?);
    }
    let said = match (&args.name, all.as_slice()) {
        (Some(_), [one]) => json!(one),
        _ => json!({ "syncs": all }),
    };
    context.output.result(&said, |out| {
        all.iter().try_for_each(|status| status.write(out))
    })
}

async fn reset(context: &Context<'_>, args: &ResetArgs) -> Result<(), CliError> {
    context.host.spec(&args.name)?;
    let question = format!(
        "Forget every link, merge base, position and queue of {}? Nothing is changed at the remotes; the next run is a \
         first run.",
        args.name
    );
    let what = format!(
        "reset forgets every link, merge base, position and queue of {}",
        args.name
    );
    agree(context.output, args.yes, question, &what).await?;
    context.host.operator(&args.name)?.reset().await?;
    let said = json!({ "sync": args.name, "reset": true });
    context.output.result(&said, |out| {
        writeln!(
            out,
            "{} is forgotten; its next run is a first run",
            args.name
        )
    })
}

async fn purge(context: &Context<'_>, args: &ResetArgs) -> Result<(), CliError> {
    context.host.may_purge(&args.name)?;
    let question = format!(
        "Forget everything about {}, which is no longer configured? Nothing is changed at the remotes.",
        args.name
    );
    let what = format!(
        "purge forgets every link, merge base, position and queue of {}",
        args.name
    );
    agree(context.output, args.yes, question, &what).await?;
    context.host.purge(&args.name).await?;
    let said = json!({ "sync": args.name, "purged": true });
    context
        .output
        .result(&said, |out| writeln!(out, "{} is forgotten", args.name))
}

/// The two sides as people see them.
pub fn names(host: &Host, name: &str) -> Result<Names, CliError> {
    let spec = host.spec(name)?;
    Ok([&spec.a, &spec.b].map(|side| format!("{}/{}", side.account, side.collection)))
}

/// Numbers of both sides beneath each other.
pub fn sides(out: &mut dyn Write, names: &Names, rows: &[(&'static str, Sides)]) -> io::Result<()> {
    report::table(out, names, rows)
}

fn progress(context: &Context<'_>, names: &Names) -> Box<dyn Progress> {
    if context.output.is_json() {
        Box::new(Silent)
    } else {
        Box::new(RunBar::new(context.bars, names.clone()))
    }
}
