//! `samspel connector history` and `samspel connector trust`.

use std::io::{self, Write};

use samspel_model::registry::RegistryEntry;
use samspel_operations::Limit;
use samspel_operations::connectors::{
    ConnectorHistory, DistrustKey, HistoryOfConnectors, ListKeys, Revision, TrustKey,
};

use crate::args::{ConnectorHistoryArgs, TrustCommand};
use crate::exit::CliError;
use crate::session::Session;

/// `history`
pub async fn history(args: &ConnectorHistoryArgs, session: &Session) -> Result<(), CliError> {
    let found = session
        .perform(&ConnectorHistory {
            name: args.name.clone(),
            limit: Limit::new(args.limit),
        })
        .await?;
    session.output.result(&found, |out| write(out, &found))
}

fn write(out: &mut dyn Write, found: &HistoryOfConnectors) -> io::Result<()> {
    for one in &found.revisions {
        write_revision(out, one)?;
    }
    for pointer in &found.installed {
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
    found
        .events
        .iter()
        .try_for_each(|event| write_event(out, event))
}

fn write_revision(out: &mut dyn Write, one: &Revision) -> io::Result<()> {
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
pub async fn trust(command: &TrustCommand, session: &Session) -> Result<(), CliError> {
    let output = session.output;
    match command {
        TrustCommand::Add { name, key } => {
            let key = match tokio::fs::read_to_string(key).await {
                Ok(text) => text,
                Err(_) => key.clone(),
            };
            let name = name.clone();
            let key = session.perform(&TrustKey { name, key }).await?;
            output.result(&key, |out| {
                writeln!(out, "connectors that {} signs are accepted", key.name)
            })
        }
        TrustCommand::List => {
            let trusted = session.perform(&ListKeys {}).await?;
            output.result(&trusted, |out| {
                if trusted.keys.is_empty() {
                    writeln!(
                        out,
                        "no key is trusted; `samspel connector trust add` adds one"
                    )?;
                }
                for key in &trusted.keys {
                    writeln!(out, "{:<14} {}", key.name, key.key)?;
                }
                Ok(())
            })
        }
        TrustCommand::Remove { name } => {
            let name = name.clone();
            let done = session.perform(&DistrustKey { name }).await?;
            output.result(&done, |out| {
                writeln!(
                    out,
                    "what {} signs is not accepted any more; what is installed stays",
                    done.removed
                )
            })
        }
    }
}
