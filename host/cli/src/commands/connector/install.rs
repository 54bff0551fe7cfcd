//! `samspel connector install`, `upgrade`, `approve`, `rollback`.

use std::io::{self, Write};
use std::path::Path;

use samspel_installation::lifecycle::{Source, components_in};
use samspel_installation::{Error, Kind};
use samspel_operations::connectors::{
    ApproveConnector, Component, InstallConnector, InstalledRevision, Outcome, RollbackConnector,
    UpgradeConnector,
};
use serde_json::{Value, json};

use crate::args::{ApproveArgs, InstallArgs, RollbackArgs, UpgradeArgs};
use crate::commands::ask::{ask, somebody};
use crate::exit::{CliError, Exit};
use crate::session::Session;

/// `install`
pub async fn install(args: &InstallArgs, session: &Session) -> Result<(), CliError> {
    if Path::new(&args.source).is_dir() {
        return directory(Path::new(&args.source), session).await;
    }
    let (source, component) = place(&args.source, session).await?;
    let done = session
        .perform(&InstallConnector {
            source,
            component,
            sha256: args.taking.sha256.clone(),
            dev: args.taking.dev,
            yes: args.taking.yes,
            newer: false,
        })
        .await?;
    agreed(done, &[], session).await
}

/// `upgrade`
pub async fn upgrade(args: &UpgradeArgs, session: &Session) -> Result<(), CliError> {
    let (source, component) = place(&args.source, session).await?;
    let done = session
        .perform(&UpgradeConnector {
            connector: args.name.clone(),
            source,
            component,
            sha256: args.taking.sha256.clone(),
            dev: args.taking.dev,
            yes: args.taking.yes,
            canary: args.canary.iter().cloned().collect(),
        })
        .await?;
    agreed(done, &args.canary, session).await
}

/// `approve`
pub async fn approve(args: &ApproveArgs, session: &Session) -> Result<(), CliError> {
    let done = session
        .perform(&ApproveConnector {
            connector: args.name.clone(),
            revision: args.revision.clone(),
            canary: args.canary.iter().cloned().collect(),
        })
        .await?;
    told(&done, session)
}

/// `rollback`
pub async fn rollback(args: &RollbackArgs, session: &Session) -> Result<(), CliError> {
    let back = session
        .perform(&RollbackConnector {
            connector: args.name.clone(),
            to: args.to.clone(),
        })
        .await?;
    session.output.result(&back, |out| {
        writeln!(
            out,
            "connector {} is back at {:.12}; {:.12} is not used from the next run on",
            back.name, back.to, back.from
        )
    })
}

/// Where a component is: said to who can fetch it there, or handed over, because a file of this machine is not at the
/// host.
async fn place(
    source: &str,
    session: &Session,
) -> Result<(Option<String>, Option<Component>), Error> {
    match Source::parse(source)? {
        file @ Source::File(_) if session.is_remote() => {
            let component = Component::from(file.fetch().await?);
            Ok((None, Some(component)))
        }
        _ => Ok((Some(source.to_owned()), None)),
    }
}

/// What waits for an approval is approved if a person says so.
async fn agreed(
    done: InstalledRevision,
    canary: &[String],
    session: &Session,
) -> Result<(), CliError> {
    if done.outcome != Outcome::Waiting || !somebody(session.output) {
        return told(&done, session);
    }
    let question = format!(
        "Connector {} {} needs your word:\n  {}\nLet it?",
        done.name,
        done.version,
        done.asks.join("\n  ")
    );
    // Waiting for a person blocks a thread, which must not be one that runs tasks.
    let yes = tokio::task::spawn_blocking(move || ask(&question)).await;
    if !yes.unwrap_or(false) {
        return told(&done, session);
    }
    let done = session
        .perform(&ApproveConnector {
            connector: done.name,
            revision: Some(done.sha256),
            canary: canary.iter().cloned().collect(),
        })
        .await?;
    told(&done, session)
}

/// Every connector in a directory that is signed by a trusted key, newer than what is active, and asks for nothing
/// more.
async fn directory(directory: &Path, session: &Session) -> Result<(), CliError> {
    let mut found = Vec::new();
    for file in components_in(directory)? {
        let (source, component) = place(&file.display().to_string(), session).await?;
        let operation = InstallConnector {
            source,
            component,
            newer: true,
            ..InstallConnector::default()
        };
        found.push((file, session.perform(&operation).await));
    }
    let listed: Vec<Value> = found
        .iter()
        .map(|(file, result)| match result {
            Ok(done) => {
                let mut said = json!(done);
                said["file"] = json!(file);
                said
            }
            Err(error) => {
                let mut said = error.to_json();
                said["file"] = json!(file);
                said
            }
        })
        .collect();
    session
        .output
        .result(&json!({ "connectors": listed }), |out| {
            if found.is_empty() {
                writeln!(out, "no connectors in {}", directory.display())?;
            }
            for (file, result) in &found {
                match result {
                    Ok(done) => {
                        write!(out, "{}: ", file.display())?;
                        write(out, done)?;
                    }
                    Err(error) => writeln!(out, "{}: {error}", file.display())?,
                }
            }
            Ok(())
        })?;
    if found.iter().any(|(_, result)| result.is_err()) {
        return Err(CliError::Reported(Exit::Connector));
    }
    let waits = |result: &Result<InstalledRevision, _>| {
        result
            .as_ref()
            .is_ok_and(|done| done.outcome == Outcome::Waiting)
    };
    if found.iter().any(|(_, result)| waits(result)) {
        return Err(CliError::Reported(Exit::NotConfirmed));
    }
    Ok(())
}

/// What became of it; exit code 6 if somebody must agree first.
fn told(done: &InstalledRevision, session: &Session) -> Result<(), CliError> {
    if done.outcome == Outcome::Waiting {
        return Err(CliError::new(
            Kind::NotConfirmed,
            format!(
                "connector {} {} waits for an approval\n  {}",
                done.name,
                done.version,
                done.asks.join("\n  ")
            ),
        )
        .remedy(format!(
            "agree to it with `samspel connector approve {} {:.12}`, or with --yes",
            done.name, done.sha256
        ))
        .detail("connector", json!(done)));
    }
    session.output.result(done, |out| write(out, done))
}

fn write(out: &mut dyn Write, done: &InstalledRevision) -> io::Result<()> {
    let signed = done.signer.as_deref().map_or_else(
        || "signed by nobody".to_owned(),
        |signer| format!("signed by {signer}"),
    );
    let state = match done.outcome {
        Outcome::Unchanged => "was active already".to_owned(),
        Outcome::Waiting => "waits for an approval".to_owned(),
        Outcome::Canary => {
            let accounts: Vec<_> = done.canary.iter().map(String::as_str).collect();
            format!("is tried by {} from their next run on", accounts.join(", "))
        }
        Outcome::Active => "is used from the next run on".to_owned(),
    };
    writeln!(
        out,
        "connector {} {} ({:.12}, {signed}) {state}",
        done.name, done.version, done.sha256
    )?;
    for probe in &done.probes {
        match (&probe.identity, &probe.inconclusive) {
            (Some(identity), _) => {
                write!(out, "  account {}: {identity}", probe.account)?;
                match (probe.compared, probe.differs.len()) {
                    (0, _) => writeln!(out)?,
                    (compared, 0) => {
                        writeln!(out, "; {compared} linked records lead to the same writes")?;
                    }
                    (compared, _) => {
                        writeln!(
                            out,
                            "; of {compared} linked records some lead to other writes:"
                        )?;
                    }
                }
                for line in &probe.differs {
                    writeln!(out, "    {line}")?;
                }
            }
            (None, why) => writeln!(
                out,
                "  account {} could not be asked: {}",
                probe.account,
                why.as_deref().unwrap_or("no answer")
            )?,
        }
    }
    Ok(())
}
