//! `samspel hooks`: addresses for notifications, and what came to them.

use samspel_installation::{Host, Kind};
use samspel_model::hook::{HookDescriptor, Notified};
use samspel_server::{Address, address, new_address};
use serde::Serialize;
use serde_json::json;

use crate::args::{HooksCommand, ListHooksArgs};
use crate::exit::CliError;
use crate::output::Output;

/// Runs one of the commands.
pub async fn run(command: &HooksCommand, host: &Host, output: Output) -> Result<(), CliError> {
    match command {
        HooksCommand::Endpoints { name } => endpoints(name.as_deref(), host, output).await,
        HooksCommand::Rotate { name } => {
            let made = new_address(host, name)
                .await
                .map_err(|error| CliError::from(samspel_installation::Error::from(error)))?;
            output.result(&made, |out| {
                writeln!(out, "{}", made.url)?;
                writeln!(
                    out,
                    "the old address is void; a remote that the host asks for notifications is told the new one when \
                     `samspel serve` looks next, another one is told by you"
                )
            })
        }
        HooksCommand::List(args) => list(args, host, output).await,
        HooksCommand::Retry { number } => {
            let store = host.hook_store();
            let again = store.retry_hooks(*number, host.clock().now()).await?;
            if again == 0
                && let Some(number) = number
            {
                return Err(nothing(*number));
            }
            output.result(&json!({ "retried": again }), |out| {
                writeln!(
                    out,
                    "{again} are tried again by `samspel serve`, within a minute or when it starts"
                )
            })
        }
        HooksCommand::Drop { number } => {
            if !host.hook_store().drop_hook(*number).await? {
                return Err(nothing(*number));
            }
            output.result(&json!({ "dropped": number }), |out| {
                writeln!(out, "{number} is forgotten")
            })
        }
    }
}

fn nothing(number: u64) -> CliError {
    CliError::new(
        Kind::Usage,
        format!("no notification {number} waits for a decision"),
    )
    .remedy("`samspel hooks list` shows which do")
}

#[derive(Serialize)]
struct Endpoint {
    #[serde(flatten)]
    address: Address,
    /// How the remote's notifications work; absent where that cannot be found out.
    #[serde(skip_serializing_if = "Option::is_none")]
    notifications: Option<HookDescriptor>,
    /// Why they cannot be taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

async fn endpoints(name: Option<&str>, host: &Host, output: Output) -> Result<(), CliError> {
    let config = host.config();
    let names: Vec<&str> = match name {
        Some(name) => vec![name],
        None => config
            .hooks
            .keys()
            .chain(config.accounts.keys())
            .map(String::as_str)
            .collect(),
    };
    let mut found = Vec::new();
    for one in names {
        let address = match address(host, one).await {
            Ok(address) => address,
            // Who asks for all of them is not told of what is switched off.
            Err(_) if name.is_none() && config.accounts.contains_key(one) => continue,
            Err(error) => return Err(samspel_installation::Error::from(error).into()),
        };
        let (notifications, problem) = match descriptor(host, &address).await {
            Ok(descriptor) => (Some(descriptor), None),
            Err(_) if name.is_none() => continue,
            Err(why) => (None, Some(why)),
        };
        found.push(Endpoint {
            address,
            notifications,
            problem,
        });
    }
    let public = config.server.public_url.is_some();
    output.result(&json!({ "endpoints": found }), |out| {
        if found.is_empty() {
            writeln!(out, "no account's connector takes notifications")?;
        }
        for one in &found {
            writeln!(out, "{}", one.address.endpoint)?;
            writeln!(out, "  address   {}", one.address.url)?;
            writeln!(out, "  accounts  {}", one.address.accounts.join(", "))?;
            match (&one.notifications, &one.problem) {
                (Some(how), _) if how.can_subscribe && public => {
                    writeln!(out, "  `samspel serve` asks the remote to send to it")?;
                }
                (Some(how), _) => writeln!(out, "  {}", how.help)?,
                (None, Some(why)) => writeln!(out, "  not taken: {why}")?,
                (None, None) => {}
            }
        }
        if !public && !found.is_empty() {
            writeln!(
                out,
                "set `server.public-url` to how remotes reach this host; the addresses begin with it"
            )?;
        }
        Ok(())
    })
}

async fn descriptor(host: &Host, address: &Address) -> Result<HookDescriptor, String> {
    let name = address
        .accounts
        .first()
        .ok_or_else(|| "it serves no account".to_owned())?;
    let hooks = host.hooked(name).await.map_err(|error| error.to_string())?;
    Ok(hooks.hooks().clone())
}

async fn list(args: &ListHooksArgs, host: &Host, output: Output) -> Result<(), CliError> {
    let store = host.hook_store();
    let (waiting, failed) = store.hook_counts().await?;
    let hooks = store.hooks(None, 0, true, args.limit).await?;
    // What a remote sent may hold what only the connector should see: it is not shown.
    let shown: Vec<_> = hooks
        .iter()
        .map(|hook| {
            json!({
                "number": hook.position,
                "endpoint": hook.endpoint,
                "received": hook.received,
                "method": hook.request.method,
                "bytes": hook.request.body.len(),
                "attempts": hook.attempts,
                "error": hook.error,
                "due": hook.due,
            })
        })
        .collect();
    let said = json!({ "waiting": waiting, "failed": failed, "hooks": shown });
    output.result(&said, |out| {
        if waiting + failed == 0 {
            return writeln!(out, "no notification waits");
        }
        for hook in &hooks {
            let state = match (&hook.due, &hook.error) {
                (None, _) => "not understood",
                (Some(_), Some(_)) => "tried again",
                (Some(_), None) => "waits",
            };
            writeln!(
                out,
                "{:>8}  {:<16} {:.0}  {state}{}",
                hook.position,
                hook.endpoint,
                hook.received,
                hook.error
                    .as_ref()
                    .map_or_else(String::new, |why| format!(": {why}"))
            )?;
        }
        writeln!(out, "{waiting} wait, {failed} need a decision")
    })
}
