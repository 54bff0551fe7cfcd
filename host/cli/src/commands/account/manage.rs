//! `samspel account remove`, `reauthorise` and `authorise`.

use std::collections::BTreeMap;

use samspel_installation::Kind;
use samspel_model::descriptor::AuthKind;
use samspel_operations::accounts::{ListAccounts, ListedAccount, RemoveAccount, ReplaceSecrets};
use samspel_operations::connectors::InspectConnector;

use super::secrets::{Collector, said};
use crate::args::{ReauthoriseArgs, RemoveAccountArgs};
use crate::exit::CliError;
use crate::session::Session;

/// Takes an account out of the configuration, and forgets its secrets.
pub async fn remove(args: &RemoveAccountArgs, session: &Session) -> Result<(), CliError> {
    let (account, yes) = (args.name.clone(), args.yes);
    let done = session.perform(&RemoveAccount { account, yes }).await?;
    session.output.result(&done, |out| {
        writeln!(
            out,
            "{} is removed; {} sealed secrets are forgotten",
            done.account, done.forgotten_secrets
        )
    })
}

/// Enters an account's secrets anew. `browser`: only those that are authorised there.
pub async fn reauthorise(
    args: &ReauthoriseArgs,
    session: &Session,
    browser: bool,
) -> Result<(), CliError> {
    let name = args.name.as_str();
    let account = known(session, name).await?;
    let connector = account.connector.clone();
    let inspected = session.perform(&InspectConnector { connector }).await?;
    let collector = Collector {
        session,
        name,
        args: &args.secrets,
        new: None,
    };
    let given = said(&args.secrets)?;
    let (mut credentials, mut elsewhere) = (BTreeMap::new(), Vec::new());
    for credential in &account.credentials {
        let said = given.iter().find(|said| said.name == credential.name);
        if said.is_none() && !given.is_empty() {
            continue;
        }
        let scheme = collector
            .scheme(
                &inspected.descriptor,
                &credential.name,
                credential.scheme.as_deref(),
            )
            .await?;
        let is_oauth = matches!(scheme.kind, AuthKind::Oauth2(_));
        if browser && !is_oauth {
            continue;
        }
        // What is referred to is replaced where it is; but a browser cannot write there.
        if credential.place != "sealed" && !is_oauth && said.is_none() {
            elsewhere.push(credential.name.clone());
            continue;
        }
        let from = said.map(|said| &said.from);
        if let Some(secret) = collector.secret(scheme, from, None).await? {
            credentials.insert(credential.name.clone(), secret);
        }
    }
    if credentials.is_empty() {
        return Err(nothing(name, browser, &elsewhere));
    }
    let done = session
        .perform(&ReplaceSecrets {
            account: name.to_owned(),
            credentials,
        })
        .await?;
    session.output.result(&done, |out| {
        writeln!(
            out,
            "{name} works again, as {} ({})",
            done.identity.label, done.identity.id
        )?;
        if !done.moved.is_empty() {
            writeln!(
                out,
                "{} is sealed in the store from now on, and the configuration says so",
                done.moved.join(", ")
            )?;
        }
        Ok(())
    })
}

async fn known(session: &Session, name: &str) -> Result<ListedAccount, CliError> {
    let listed = session.perform(&ListAccounts {}).await?.accounts;
    let names: Vec<String> = listed.iter().map(|one| one.account.clone()).collect();
    let found = listed.into_iter().find(|one| one.account == name);
    found.ok_or_else(|| {
        let remedy = match names.as_slice() {
            [] => format!("there are none yet; `samspel account add {name}` adds one"),
            names => format!("the configuration has: {}", names.join(", ")),
        };
        CliError::new(Kind::NotFound, format!("there is no account `{name}`")).remedy(remedy)
    })
}

/// There was no secret to be entered.
fn nothing(name: &str, browser: bool, elsewhere: &[String]) -> CliError {
    if browser {
        return CliError::new(
            Kind::Usage,
            format!("account {name} has no credential that is authorised in a browser"),
        )
        .remedy(format!(
            "`samspel account reauthorise {name}` asks for its secrets"
        ));
    }
    let error = CliError::new(
        Kind::Usage,
        format!("no secret of account {name} was entered"),
    );
    if elsewhere.is_empty() {
        return error;
    }
    error.remedy(format!(
        "{} is in the environment or a file: replace it there, or name where the new one is with --credential to have it \
         sealed",
        elsewhere.join(", ")
    ))
}
