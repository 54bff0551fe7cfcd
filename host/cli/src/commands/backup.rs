//! `samspel backup` and `samspel restore`.

use std::path::Path;

use indicatif::HumanBytes;
use samspel_installation::{Config, Kind, restore};
use samspel_operations::backup::CreateBackup;
use serde_json::json;

use super::ask::{ask, somebody};
use crate::args::{BackupArgs, RestoreArgs};
use crate::exit::CliError;
use crate::output::Output;
use crate::session::Session;

/// Makes a copy.
pub async fn backup(args: &BackupArgs, session: &Session) -> Result<(), CliError> {
    let to = match &args.to {
        Some(file) => Some(std::path::absolute(file)?.display().to_string()),
        None => None,
    };
    let made = session.perform(&CreateBackup { to }).await?;
    session.output.result(&made, |out| {
        writeln!(
            out,
            "{} ({}) holds the store as it was {:.0}",
            made.file,
            HumanBytes(made.bytes),
            made.at
        )?;
        writeln!(out, "the key is not in it: back that up as well, elsewhere")
    })
}

/// Puts a copy in the place of the store of this machine's configuration.
pub async fn put_back(args: &RestoreArgs, file: &Path, output: Output) -> Result<(), CliError> {
    let config = Config::load(file)?;
    let store = config.resolve(&config.host.store);
    if !args.yes {
        let refused = CliError::new(
            Kind::NotConfirmed,
            format!(
                "restore puts {} in the place of {}",
                args.file.display(),
                store.display()
            ),
        )
        .remedy("confirm with --yes");
        let question = format!(
            "Put {} in the place of {}? What is there is kept under another name.",
            args.file.display(),
            store.display()
        );
        if !somebody(output)
            || !tokio::task::spawn_blocking(move || ask(&question))
                .await
                .unwrap_or(false)
        {
            return Err(refused);
        }
    }
    let restored = restore(&config, &args.file).await?;
    let said = json!({
        "store": store,
        "backup": args.file,
        "set_aside": restored.set_aside,
    });
    output.result(&said, |out| {
        writeln!(
            out,
            "{} holds what {} holds",
            store.display(),
            args.file.display()
        )?;
        match &restored.set_aside {
            Some(aside) => writeln!(out, "what was there is {}", aside.display()),
            None => Ok(()),
        }
    })
}
