//! `samspel account remove`, `reauthorise` and `authorise`.

use samspel_installation::config::AccountSettings;
use samspel_installation::config::edit::Editor;
use samspel_installation::{Host, Kind, Secrets};
use samspel_model::descriptor::AuthKind;
use serde_json::json;

use super::secrets::{Collector, said};
use crate::args::{ReauthoriseArgs, RemoveAccountArgs};
use crate::commands::ask::agree;
use crate::exit::CliError;
use crate::output::Output;

fn known<'a>(host: &'a Host, name: &str) -> Result<&'a AccountSettings, CliError> {
    host.config().accounts.get(name).ok_or_else(|| {
        let names: Vec<&str> = host.config().accounts.keys().map(String::as_str).collect();
        CliError::new(Kind::Usage, format!("there is no account `{name}`"))
            .remedy(format!("the configuration has: {}", names.join(", ")))
    })
}

/// Takes an account out of the configuration, and forgets its secrets.
pub async fn remove(args: &RemoveAccountArgs, host: &Host, output: Output) -> Result<(), CliError> {
    let name = args.name.as_str();
    known(host, name)?;
    let used: Vec<&str> = host
        .config()
        .syncs
        .iter()
        .filter(|(_, sync)| [&sync.a, &sync.b].iter().any(|side| side.account == name))
        .map(|(sync, _)| sync.as_str())
        .collect();
    if !used.is_empty() {
        return Err(CliError::new(
            Kind::Usage,
            format!("account {name} is used by the syncs {}", used.join(", ")),
        )
        .remedy("remove those from the configuration first"));
    }
    let question = format!(
        "Take account {name} out of the configuration, with the comments that belong to it, and forget its secrets?"
    );
    let what = format!("account remove forgets the secrets of {name}");
    agree(output, args.yes, question, &what).await?;
    let mut editor = Editor::open(host.config().file())?;
    editor.remove_account(name)?;
    // First the file: an account without secrets would be left otherwise, if this ended in between.
    editor.save()?;
    let forgotten = host.forget(name).await?;
    let said = json!({ "account": name, "forgotten_secrets": forgotten });
    output.result(&said, |out| {
        writeln!(
            out,
            "{name} is removed; {forgotten} sealed secrets are forgotten"
        )
    })
}

/// Enters an account's secrets anew. `browser`: only those that are authorised there.
pub async fn reauthorise(
    args: &ReauthoriseArgs,
    host: &Host,
    output: Output,
    browser: bool,
) -> Result<(), CliError> {
    let name = args.name.as_str();
    let mut account = known(host, name)?.clone();
    let installed = host.connector(&account.connector).await?;
    let collector = Collector {
        host,
        output,
        name,
        args: &args.secrets,
    };
    let given = said(&args.secrets)?;
    let mut secrets = Secrets::new();
    let mut moved = Vec::new();
    let mut elsewhere = Vec::new();
    for (credential, settings) in &account.credentials.clone() {
        let said = given.iter().find(|said| said.name == *credential);
        if said.is_none() && !given.is_empty() {
            continue;
        }
        let descriptor = &installed.loaded.descriptor;
        let scheme = collector
            .scheme(descriptor, credential, settings.scheme.as_deref())
            .await?;
        let is_oauth = matches!(scheme.kind, AuthKind::Oauth2(_));
        if browser && !is_oauth {
            continue;
        }
        // What is referred to is replaced where it is; but a browser cannot write there.
        if !settings.vault && !is_oauth && said.is_none() {
            elsewhere.push(credential.clone());
            continue;
        }
        let from = said.map(|said| &said.from);
        if let Some(secret) = collector.secret(&account, scheme, from, None).await? {
            secrets.insert(credential.clone(), secret);
            if !settings.vault {
                moved.push(credential.clone());
            }
        }
    }
    if secrets.is_empty() {
        return Err(nothing(name, browser, &elsewhere));
    }
    for credential in &moved {
        if let Some(settings) = account.credentials.get_mut(credential) {
            settings.vault = true;
            (settings.env, settings.file) = (None, None);
        }
    }
    let (identity, secrets) = host.try_account(name, &account, secrets).await?;
    host.seal(name, &secrets).await?;
    if !moved.is_empty() {
        let mut editor = Editor::open(host.config().file())?;
        for credential in &moved {
            editor.seal(name, credential)?;
        }
        editor.save()?;
    }
    let places: Vec<&String> = secrets.keys().collect();
    let said = json!({ "account": name, "identity": identity, "sealed": places, "moved": moved });
    output.result(&said, |out| {
        writeln!(
            out,
            "{name} works again, as {} ({})",
            identity.label, identity.id
        )?;
        if !moved.is_empty() {
            writeln!(
                out,
                "{} is sealed in the store from now on, and the configuration says so",
                moved.join(", ")
            )?;
        }
        Ok(())
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
