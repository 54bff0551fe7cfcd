//! `samspel hooks`: addresses for notifications, and what came to them.

use std::io::{self, Write};

use samspel_operations::hooks::{
    DropHook, Endpoints, ListEndpoints, ListHooks, RetryHooks, RotateEndpoint, WaitingHooks,
};
use samspel_operations::{Limit, Number};

use crate::args::HooksCommand;
use crate::exit::CliError;
use crate::session::Session;

/// Runs one of the commands.
pub async fn run(command: &HooksCommand, session: &Session) -> Result<(), CliError> {
    let output = session.output;
    match command {
        HooksCommand::Endpoints { name } => {
            let name = name.clone();
            let found = session.perform(&ListEndpoints { name }).await?;
            output.result(&found, |out| write_endpoints(out, &found))
        }
        HooksCommand::Rotate { name } => {
            let name = name.clone();
            let made = session.perform(&RotateEndpoint { name }).await?;
            output.result(&made, |out| {
                writeln!(out, "{}", made.url)?;
                writeln!(
                    out,
                    "the old address is void; a remote that the host asks for notifications is told the new one when \
                     `samspel serve` looks next, another one is told by you"
                )
            })
        }
        HooksCommand::List(args) => {
            let listed = session
                .perform(&ListHooks {
                    limit: Limit::new(args.limit),
                    after: Number::default(),
                })
                .await?;
            output.result(&listed, |out| write_waiting(out, &listed))
        }
        HooksCommand::Retry { number } => {
            let done = session
                .perform(&RetryHooks {
                    number: number.map(Number::new),
                })
                .await?;
            output.result(&done, |out| {
                writeln!(
                    out,
                    "{} are tried again by `samspel serve`, within a minute or when it starts",
                    done.retried
                )
            })
        }
        HooksCommand::Drop { number } => {
            let done = session
                .perform(&DropHook {
                    number: Number::new(*number),
                })
                .await?;
            output.result(&done, |out| writeln!(out, "{} is forgotten", done.dropped))
        }
    }
}

fn write_endpoints(out: &mut dyn Write, found: &Endpoints) -> io::Result<()> {
    if found.endpoints.is_empty() {
        writeln!(out, "no account's connector takes notifications")?;
    }
    for one in &found.endpoints {
        writeln!(out, "{}", one.endpoint)?;
        writeln!(out, "  address   {}", one.url)?;
        writeln!(out, "  accounts  {}", one.accounts.join(", "))?;
        match (&one.notifications, &one.problem) {
            (Some(how), _) if how.can_subscribe && found.public => {
                writeln!(out, "  `samspel serve` asks the remote to send to it")?;
            }
            (Some(how), _) => writeln!(out, "  {}", how.help)?,
            (None, Some(why)) => writeln!(out, "  not taken: {why}")?,
            (None, None) => {}
        }
    }
    if !found.public && !found.endpoints.is_empty() {
        writeln!(
            out,
            "set `server.public-url` to how remotes reach this host; the addresses begin with it"
        )?;
    }
    Ok(())
}

fn write_waiting(out: &mut dyn Write, listed: &WaitingHooks) -> io::Result<()> {
    if listed.waiting + listed.failed == 0 {
        return writeln!(out, "no notification waits");
    }
    for hook in &listed.hooks {
        let state = match (&hook.due, &hook.error) {
            (None, _) => "not understood",
            (Some(_), Some(_)) => "tried again",
            (Some(_), None) => "waits",
        };
        let why = hook.error.as_ref();
        writeln!(
            out,
            "{:>8}  {:<16} {:.0}  {state}{}",
            hook.number,
            hook.endpoint,
            hook.received,
            why.map_or_else(String::new, |why| format!(": {why}"))
        )?;
    }
    writeln!(
        out,
        "{} wait, {} need a decision",
        listed.waiting, listed.failed
    )
}
