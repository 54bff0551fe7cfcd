//! `samspel connector history` and `samspel connector trust`.

use std::io::{self, Write};

use samspel_installation::{Host, Lifecycle};
use samspel_model::Registry;
use samspel_model::registry::{ConnectorRevision, InstalledConnector, RegistryEntry};
use serde_json::{Value, json};

use crate::args::{ConnectorHistoryArgs, TrustCommand};
use crate::exit::CliError;
use crate::output::Output;

/// `history`
pub async fn history(
    host: &Host,
    lifecycle: &Lifecycle<'_>,
    args: &ConnectorHistoryArgs,
    output: Output,
) -> Result<(), CliError> {
    let registry = host.registry();
    let name = args.name.as_deref();
    let installed = match name {
        Some(name) => vec![lifecycle.installed(name).await.or_else(|error| {
            // Of one that was only ever refused or waits there is no pointer.
            let unknown = InstalledConnector::new(name);
            if error.kind() == samspel_installation::Kind::Usage {
                Ok(unknown)
            } else {
                Err(error)
            }
        })?],
        None => registry.all_installed().await?,
    };
    let revisions = registry.revisions(name).await?;
    let events = registry.told(name, args.limit).await?;
    if name.is_some() && revisions.is_empty() && events.is_empty() {
        lifecycle.installed(name.unwrap_or_default()).await?;
    }
    let said = json!({
        "installed": installed,
        "revisions": revisions.iter().map(revision).collect::<Vec<_>>(),
        "events": events.iter().map(|(_, event)| event).collect::<Vec<_>>(),
    });
    output.result(&said, |out| {
        for one in &revisions {
            write_revision(out, one)?;
        }
        for pointer in &installed {
            for (account, kept) in &pointer.kept {
                writeln!(out, "  account {account} went back to {kept:.12}")?;
            }
            if let Some(canary) = &pointer.canary {
                let accounts: Vec<_> = canary.accounts.iter().map(String::as_str).collect();
                writeln!(
                    out,
                    "  {:.12} is tried by {}",
                    canary.sha256,
                    accounts.join(", ")
                )?;
            }
        }
        for (_, event) in &events {
            write_event(out, event)?;
        }
        Ok(())
    })
}

/// A revision, for programs: without the manifest's text.
pub fn revision(one: &ConnectorRevision) -> Value {
    json!({
        "name": one.name,
        "version": one.version,
        "sha256": one.sha256,
        "stage": one.stage,
        "why": one.why,
        "source": one.source,
        "signer": one.signer,
        "bytes": one.bytes,
        "rights": one.rights,
        "staged": one.staged,
        "changed": one.changed,
    })
}

fn write_revision(out: &mut dyn Write, one: &ConnectorRevision) -> io::Result<()> {
    write!(
        out,
        "{:<14} {:<9} {:.12}  {:<9} {}",
        one.name,
        one.version,
        one.sha256,
        one.stage,
        one.signer.as_deref().map_or("unsigned", |signer| signer)
    )?;
    match &one.why {
        Some(why) => writeln!(out, "  {why}"),
        None => writeln!(out),
    }
}

fn write_event(out: &mut dyn Write, event: &RegistryEntry) -> io::Result<()> {
    let at = event.at.strftime("%Y-%m-%d %H:%M:%S");
    write!(out, "{at}  {:<20}", event.act.word())?;
    for part in [
        Some(event.name.as_str()),
        event.sha256.as_deref(),
        event.account.as_deref(),
    ] {
        if let Some(part) = part.filter(|part| !part.is_empty()) {
            write!(out, " {part:.24}")?;
        }
    }
    if let Some(why) = event.detail["why"].as_str() {
        write!(out, ": {why}")?;
    }
    writeln!(out, "  ({})", event.who)
}

/// `trust`
pub async fn trust(
    registry: &dyn Registry,
    lifecycle: &Lifecycle<'_>,
    command: &TrustCommand,
    output: Output,
) -> Result<(), CliError> {
    match command {
        TrustCommand::Add { name, key } => {
            let text = match tokio::fs::read_to_string(key).await {
                Ok(text) => text,
                Err(_) => key.clone(),
            };
            let key = lifecycle.trust(name, &text).await?;
            output.result(&key, |out| {
                writeln!(out, "connectors that {} signs are accepted", key.name)
            })
        }
        TrustCommand::List => {
            let keys = registry.trusted().await?;
            output.result(&json!({ "keys": keys }), |out| {
                if keys.is_empty() {
                    writeln!(
                        out,
                        "no key is trusted; `samspel connector trust add` adds one"
                    )?;
                }
                for key in &keys {
                    writeln!(out, "{:<14} {}", key.name, key.key)?;
                }
                Ok(())
            })
        }
        TrustCommand::Remove { name } => {
            lifecycle.distrust(name).await?;
            output.result(&json!({ "removed": name }), |out| {
                writeln!(
                    out,
                    "what {name} signs is not accepted any more; what is installed stays"
                )
            })
        }
    }
}
