//! `samspel account`: who we are at the remote, what it offers, and where requests really go; adding, removing and
//! authorising accounts.

mod add;
mod manage;
mod secrets;

use std::io::{self, Write};

use samspel_installation::Kind;
use samspel_operations::accounts::{
    AccountCheck, CheckAccount, CheckAccounts, Checked, ListAccounts, ListedAccount,
};

use crate::args::AccountCommand;
use crate::exit::{CliError, Exit};
use crate::session::Session;

/// Runs one of the commands.
pub async fn run(command: &AccountCommand, session: &Session) -> Result<(), CliError> {
    match command {
        AccountCommand::List => {
            let listed = session.perform(&ListAccounts {}).await?;
            session.output.result(&listed, |out| {
                if listed.accounts.is_empty() {
                    writeln!(out, "there are no accounts; samspel account add adds one")?;
                }
                listed
                    .accounts
                    .iter()
                    .try_for_each(|account| write_listed(out, account))
            })
        }
        AccountCommand::Check { name: Some(name) } => {
            let account = name.clone();
            let checked = session.perform(&CheckAccount { account }).await?;
            session.output.result(&checked, |out| write(out, &checked))
        }
        AccountCommand::Check { name: None } => check_all(session).await,
        AccountCommand::Add(args) => add::run(args, session).await,
        AccountCommand::Remove(args) => manage::remove(args, session).await,
        AccountCommand::Reauthorise(args) => manage::reauthorise(args, session, false).await,
        AccountCommand::Authorise(args) => manage::reauthorise(args, session, true).await,
    }
}

async fn check_all(session: &Session) -> Result<(), CliError> {
    let checked = session.perform(&CheckAccounts {}).await?;
    session.output.result(&checked, |out| {
        checked.accounts.iter().try_for_each(|one| match one {
            AccountCheck::Works(found) => write(out, found),
            AccountCheck::Fails {
                account,
                message,
                remedy,
                ..
            } => {
                writeln!(out, "{account}: FAILED: {message}")?;
                match remedy {
                    Some(remedy) => writeln!(out, "  remedy: {remedy}"),
                    None => Ok(()),
                }
            }
        })
    })?;
    let failed = checked.accounts.iter().find_map(|one| match one {
        AccountCheck::Works(_) => None,
        AccountCheck::Fails { code, .. } => Some(Kind::of_code(code).unwrap_or(Kind::Failure)),
    });
    failed.map_or(Ok(()), |kind| Err(CliError::Reported(Exit::from(kind))))
}

fn write_listed(out: &mut dyn Write, account: &ListedAccount) -> io::Result<()> {
    let syncs = match account.syncs.as_slice() {
        [] => "no sync uses it".to_owned(),
        syncs => format!("used by {}", syncs.join(", ")),
    };
    writeln!(out, "{}: {}, {syncs}", account.account, account.connector)?;
    for credential in &account.credentials {
        writeln!(out, "  {} is {}", credential.name, credential.place)?;
    }
    for refused in &account.needs_authorisation {
        writeln!(
            out,
            "  needs re-authorisation since {:.0}: {} (samspel account authorise {})",
            refused.since, refused.why, account.account
        )?;
    }
    Ok(())
}

fn write(out: &mut dyn Write, checked: &Checked) -> io::Result<()> {
    writeln!(
        out,
        "{}: {} as {} ({})",
        checked.account, checked.connector, checked.identity.label, checked.identity.id
    )?;
    for (from, to) in &checked.overrides {
        writeln!(out, "  OVERRIDE: requests for {from} go to {to}")?;
    }
    for place in &checked.reaches {
        writeln!(out, "  may reach {place}")?;
    }
    for collection in &checked.collections {
        writeln!(
            out,
            "  {} ({}), {} fields: {}",
            collection.name,
            collection.title,
            collection.fields.len(),
            collection.fields.join(", ")
        )?;
        if !collection.consents.is_empty() {
            writeln!(out, "    consents: {}", collection.consents.join(", "))?;
        }
    }
    Ok(())
}
