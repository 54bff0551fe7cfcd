//! `samspel connector install`, `upgrade`, `approve`, `rollback`.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;

use samspel_installation::lifecycle::{
    Found, Installation, Outcome, RolledBack, Source, Wish, rights,
};
use samspel_installation::{Kind, Lifecycle};
use serde_json::{Value, json};

use crate::args::{ApproveArgs, InstallArgs, RollbackArgs, Taking, UpgradeArgs};
use crate::commands::ask::{ask, somebody};
use crate::exit::{CliError, Exit};
use crate::output::Output;

/// `install`
pub async fn install(
    lifecycle: &Lifecycle<'_>,
    args: &InstallArgs,
    output: Output,
) -> Result<(), CliError> {
    if Path::new(&args.source).is_dir() {
        return directory(lifecycle, Path::new(&args.source), output).await;
    }
    take(lifecycle, &args.source, wish(&args.taking), output).await
}

/// `upgrade`
pub async fn upgrade(
    lifecycle: &Lifecycle<'_>,
    args: &UpgradeArgs,
    output: Output,
) -> Result<(), CliError> {
    // Told before anything is fetched.
    lifecycle.installed(&args.name).await?;
    let wish = Wish {
        upgrade: Some(args.name.clone()),
        canary: args.canary.iter().cloned().collect(),
        ..wish(&args.taking)
    };
    take(lifecycle, &args.source, wish, output).await
}

/// `approve`
pub async fn approve(
    lifecycle: &Lifecycle<'_>,
    args: &ApproveArgs,
    output: Output,
) -> Result<(), CliError> {
    let canary = args.canary.iter().cloned().collect();
    let done = lifecycle
        .approve(&args.name, args.revision.as_deref(), canary)
        .await?;
    told(&done, output)
}

/// `rollback`
pub async fn rollback(
    lifecycle: &Lifecycle<'_>,
    args: &RollbackArgs,
    output: Output,
) -> Result<(), CliError> {
    let back: RolledBack = lifecycle.rollback(&args.name, args.to.as_deref()).await?;
    output.result(&back, |out| {
        writeln!(
            out,
            "connector {} is back at {:.12}; {:.12} is not used from the next run on",
            back.name, back.to, back.from
        )
    })
}

fn wish(taking: &Taking) -> Wish {
    Wish {
        sha256: taking.sha256.clone(),
        dev: taking.dev,
        approve: taking.yes,
        ..Wish::default()
    }
}

async fn take(
    lifecycle: &Lifecycle<'_>,
    source: &str,
    wish: Wish,
    output: Output,
) -> Result<(), CliError> {
    let source = Source::parse(source)?;
    let mut done = lifecycle.install(&source, &wish).await?;
    if matches!(done.outcome, Outcome::Waiting(_)) && somebody(output) {
        let question = format!(
            "Connector {} {} asks to\n  {}\nLet it?",
            done.revision.name,
            done.revision.version,
            rights::told(&done.more).join("\n  ")
        );
        // Waiting for a person blocks a thread, which must not be one that runs tasks.
        if tokio::task::spawn_blocking(move || ask(&question))
            .await
            .unwrap_or(false)
        {
            let (name, sha256) = (done.revision.name.clone(), done.revision.sha256.clone());
            done = lifecycle.approve(&name, Some(&sha256), wish.canary).await?;
        }
    }
    told(&done, output)
}

/// Every connector in a directory.
async fn directory(
    lifecycle: &Lifecycle<'_>,
    directory: &Path,
    output: Output,
) -> Result<(), CliError> {
    let found = lifecycle.scan(directory).await?;
    let listed: Vec<Value> = found
        .iter()
        .map(|Found { file, result }| match result {
            Ok(done) => {
                let mut said = object(done);
                said["file"] = json!(file);
                said
            }
            Err(error) => json!({ "file": file, "error": error.to_json() }),
        })
        .collect();
    output.result(&json!({ "connectors": listed }), |out| {
        if found.is_empty() {
            writeln!(out, "no connectors in {}", directory.display())?;
        }
        for Found { file, result } in &found {
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
    if found.iter().any(|one| one.result.is_err()) {
        return Err(CliError::Reported(Exit::Connector));
    }
    if found.iter().any(|one| one.result.as_ref().is_ok_and(waits)) {
        return Err(CliError::Reported(Exit::NotConfirmed));
    }
    Ok(())
}

fn waits(done: &Installation) -> bool {
    matches!(done.outcome, Outcome::Waiting(_))
}

/// What became of it; exit code 6 if somebody must agree first.
fn told(done: &Installation, output: Output) -> Result<(), CliError> {
    if waits(done) {
        let revision = &done.revision;
        return Err(CliError::new(
            Kind::NotConfirmed,
            format!(
                "connector {} {} waits: it asks for more than was agreed to\n  {}",
                revision.name,
                revision.version,
                rights::told(&done.more).join("\n  ")
            ),
        )
        .remedy(format!(
            "agree to it with `samspel connector approve {} {:.12}`, or with --yes",
            revision.name, revision.sha256
        ))
        .detail("connector", object(done)));
    }
    output.result(&object(done), |out| write(out, done))
}

fn object(done: &Installation) -> Value {
    let revision = &done.revision;
    let (outcome, canary): (_, BTreeSet<String>) = match &done.outcome {
        Outcome::Unchanged => ("unchanged", BTreeSet::new()),
        Outcome::Waiting(_) => ("waiting", BTreeSet::new()),
        Outcome::Canary(accounts) => ("canary", accounts.clone()),
        Outcome::Active => ("active", BTreeSet::new()),
    };
    json!({
        "name": revision.name,
        "version": revision.version,
        "sha256": revision.sha256,
        "source": revision.source,
        "signer": revision.signer,
        "outcome": outcome,
        "canary": canary,
        "more": done.more,
        "probes": done.probes,
    })
}

fn write(out: &mut dyn Write, done: &Installation) -> io::Result<()> {
    let revision = &done.revision;
    let signed = revision.signer.as_deref().map_or_else(
        || "signed by nobody".to_owned(),
        |signer| format!("signed by {signer}"),
    );
    let state = match &done.outcome {
        Outcome::Unchanged => "was active already".to_owned(),
        Outcome::Waiting(_) => "waits for an approval".to_owned(),
        Outcome::Canary(accounts) => {
            let accounts: Vec<_> = accounts.iter().map(String::as_str).collect();
            format!("is tried by {} from their next run on", accounts.join(", "))
        }
        Outcome::Active => "is used from the next run on".to_owned(),
    };
    writeln!(
        out,
        "connector {} {} ({:.12}, {signed}) {state}",
        revision.name, revision.version, revision.sha256
    )?;
    for probe in &done.probes {
        match (&probe.identity, &probe.inconclusive) {
            (Some(identity), _) => writeln!(out, "  account {}: {identity}", probe.account)?,
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
