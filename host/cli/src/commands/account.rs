//! `samspel account`: who we are at the remote, what it offers, and where requests really go; adding, removing and
//! authorising accounts.

mod add;
mod loopback;
mod manage;
mod secrets;

use std::collections::BTreeMap;
use std::io::{self, Write};

use samspel_model::{Collection, Connector, Identity};
use serde::Serialize;
use serde_json::{Value, json};

use crate::args::AccountCommand;
use crate::exit::CliError;
use crate::output::Output;
use samspel_installation::Host;

#[derive(Serialize)]
struct Checked {
    account: String,
    connector: String,
    identity: Identity,
    /// Origins whose requests go elsewhere.
    overrides: BTreeMap<String, String>,
    /// What the account may reach, overrides included.
    reaches: Vec<String>,
    collections: Vec<Offered>,
}

#[derive(Serialize)]
struct Offered {
    name: String,
    title: String,
    fields: Vec<String>,
    consents: Vec<String>,
}

impl From<Collection> for Offered {
    fn from(collection: Collection) -> Self {
        Self {
            fields: collection
                .fields
                .iter()
                .map(|field| field.name.clone())
                .collect(),
            consents: collection
                .consent_slots
                .iter()
                .map(|slot| format!("{}/{}", slot.channel, slot.purpose))
                .collect(),
            name: collection.name,
            title: collection.title,
        }
    }
}

/// Runs one of the commands.
pub async fn run(command: &AccountCommand, host: &Host, output: Output) -> Result<(), CliError> {
    let name = match command {
        AccountCommand::Check { name } => name,
        AccountCommand::Add(args) => return add::run(args, host, output).await,
        AccountCommand::Remove(args) => return manage::remove(args, host, output).await,
        AccountCommand::Reauthorise(args) => {
            return manage::reauthorise(args, host, output, false).await;
        }
        AccountCommand::Authorise(args) => {
            return manage::reauthorise(args, host, output, true).await;
        }
    };
    let wanted: Vec<&str> = match name {
        Some(name) => vec![name.as_str()],
        None => host.config().accounts.keys().map(String::as_str).collect(),
    };
    let mut checked = Vec::with_capacity(wanted.len());
    for account in wanted {
        checked.push((account, check(host, account).await));
    }
    if let (Some(_), [(_, Ok(one))]) = (name, checked.as_slice()) {
        return output.result(one, |out| one.write(out));
    }
    if name.is_some() {
        // One account was asked for, so its failure is the command's.
        return checked
            .into_iter()
            .try_for_each(|(_, result)| result.map(drop));
    }
    let listed: Vec<Value> = checked
        .iter()
        .map(|(account, result)| match result {
            Ok(found) => json!(found),
            Err(error) => {
                let mut object = error.to_json();
                object["account"] = (*account).into();
                object
            }
        })
        .collect();
    output.result(&json!({ "accounts": listed }), |out| {
        checked
            .iter()
            .try_for_each(|(account, result)| match result {
                Ok(found) => found.write(out),
                Err(error) => writeln!(out, "{account}: FAILED: {error}"),
            })
    })?;
    let worst = checked
        .iter()
        .find_map(|(_, result)| result.as_ref().err().map(CliError::exit));
    worst.map_or(Ok(()), |exit| Err(CliError::Reported(exit)))
}

async fn check(host: &Host, name: &str) -> Result<Checked, CliError> {
    let account = host.account(name).await?;
    let identity = match account.connector.check().await {
        Ok(identity) => identity,
        Err(failure) => return Err(host.explain(name, &failure).await.into()),
    };
    let collections = match account.connector.collections().await {
        Ok(collections) => collections,
        Err(failure) => return Err(host.explain(name, &failure).await.into()),
    };
    Ok(Checked {
        account: name.to_owned(),
        connector: format!(
            "{} {}",
            account.installed.loaded.descriptor.name, account.installed.loaded.descriptor.version
        ),
        identity,
        overrides: account.overrides.clone(),
        reaches: account.connector.grants(),
        collections: collections.into_iter().map(Offered::from).collect(),
    })
}

impl Checked {
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "{}: {} as {} ({})",
            self.account, self.connector, self.identity.label, self.identity.id
        )?;
        for (from, to) in &self.overrides {
            writeln!(out, "  OVERRIDE: requests for {from} go to {to}")?;
        }
        for place in &self.reaches {
            writeln!(out, "  may reach {place}")?;
        }
        for collection in &self.collections {
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
}
