//! `samspel account add`: asked for, tried, sealed, and only then written into the configuration.

use std::collections::BTreeMap;

use samspel_installation::config::edit::Editor;
use samspel_installation::config::{AccountSettings, CredentialSettings, HookMode, is_name};
use samspel_installation::{Host, Kind, Secrets};
use samspel_model::descriptor::{AuthKind, Descriptor};
use samspel_runtime::Limits;
use serde_json::{Map, Value, json};

use super::secrets::{Collector, From, Said, input, nothing_to_refer_to, said, sealed};
use crate::args::AddAccountArgs;
use crate::commands::ask::somebody;
use crate::exit::CliError;
use crate::output::Output;

/// Adds an account.
pub async fn run(args: &AddAccountArgs, host: &Host, output: Output) -> Result<(), CliError> {
    let name = args.name.as_str();
    if !is_name(name) {
        return Err(CliError::new(Kind::Usage, format!("`{name}` is not a name")).remedy(
            "use up to 63 lower-case letters, digits, `-` and `_`, beginning with a letter or a digit",
        ));
    }
    // Told before anybody is asked for secrets.
    let mut editor = Editor::open(host.config().file())?;
    if host.config().accounts.contains_key(name) {
        return Err(
            CliError::new(Kind::Usage, format!("there is an account `{name}`")).remedy(format!(
                "choose another name; `samspel account reauthorise {name}` replaces its secrets"
            )),
        );
    }
    let installed = host.connector(&args.connector).await?;
    let descriptor = &installed.loaded.descriptor;
    let mut account = AccountSettings {
        id: None,
        hooks: HookMode::default(),
        connector: args.connector.clone(),
        settings: settings(&args.set, descriptor, output).await?,
        credentials: BTreeMap::new(),
        endpoints: pairs("--endpoint", &args.endpoint)?.into_iter().collect(),
        rate_limits: true,
        limits: Limits::default(),
    };
    let collector = Collector {
        host,
        output,
        name,
        args: &args.secrets,
    };
    let secrets = secrets(&collector, descriptor, &mut account, args.refer).await?;
    let (identity, secrets) = host.try_account(name, &account, secrets).await?;
    editor.add_account(name, &account)?;
    host.seal(name, &secrets).await?;
    if let Err(error) = editor.save() {
        host.forget(name).await?;
        return Err(error.into());
    }
    let places: Vec<&String> = secrets.keys().collect();
    let added = json!({ "account": name, "identity": identity, "sealed": places });
    output.result(&added, |out| {
        writeln!(out, "{name}: {} ({})", identity.label, identity.id)?;
        writeln!(
            out,
            "It is in {}; {}",
            host.config().file().display(),
            match places.len() {
                0 => "its secrets stay where they are".to_owned(),
                1 => "its secret is sealed in the store".to_owned(),
                many => format!("its {many} secrets are sealed in the store"),
            }
        )
    })
}

/// The secrets that the connector asks for; what the configuration says about them goes into the account.
async fn secrets(
    collector: &Collector<'_>,
    descriptor: &Descriptor,
    account: &mut AccountSettings,
    refer: bool,
) -> Result<Secrets, CliError> {
    let given = said(collector.args)?;
    let mut names: Vec<&str> = Vec::new();
    for scheme in &descriptor.authentication {
        if !names.contains(&scheme.credential.as_str()) {
            names.push(&scheme.credential);
        }
    }
    if let Some(unknown) = given
        .iter()
        .find(|said| !names.contains(&said.name.as_str()))
    {
        return Err(CliError::new(
            Kind::Usage,
            format!("the connector has no credential `{}`", unknown.name),
        )
        .remedy(format!("it has {}", names.join(", "))));
    }
    let mut secrets = Secrets::new();
    for name in names {
        let said = given.iter().find(|said| said.name == name);
        // Of several credentials a script names those that it has; a person is asked for all.
        if said.is_none() && !given.is_empty() && !somebody(collector.output) {
            continue;
        }
        one(
            collector,
            descriptor,
            account,
            (name, said),
            refer,
            &mut secrets,
        )
        .await?;
    }
    Ok(secrets)
}

async fn one(
    collector: &Collector<'_>,
    descriptor: &Descriptor,
    account: &mut AccountSettings,
    (name, said): (&str, Option<&Said>),
    refer: bool,
    secrets: &mut Secrets,
) -> Result<(), CliError> {
    let wanted = said.and_then(|said| said.scheme.as_deref());
    let scheme = collector.scheme(descriptor, name, wanted).await?;
    let several = descriptor
        .authentication
        .iter()
        .filter(|scheme| scheme.credential == name)
        .count()
        > 1;
    let mut credential = CredentialSettings {
        scheme: several.then(|| scheme.name.clone()),
        vault: true,
        ..CredentialSettings::default()
    };
    if matches!(scheme.kind, AuthKind::Oauth2(_)) {
        collector
            .client(&mut credential, name, refer, secrets)
            .await?;
    }
    account
        .credentials
        .insert(name.to_owned(), credential.clone());
    let client = secrets
        .get(&samspel_installation::place_of_client(name))
        .cloned();
    let from = said.map(|said| &said.from);
    let found = collector
        .secret(account, scheme, from, client.as_ref())
        .await?;
    let Some(secret) = found else {
        // A person entered nothing: the account does without.
        account.credentials.remove(name);
        return Ok(());
    };
    if refer {
        let place = from.map_or_else(sealed, From::settings);
        if place.vault {
            return Err(nothing_to_refer_to());
        }
        credential.vault = false;
        (credential.env, credential.file) = (place.env, place.file);
        account.credentials.insert(name.to_owned(), credential);
    } else {
        secrets.insert(name.to_owned(), secret);
    }
    Ok(())
}

/// The connector's settings: those that are said, and those that a person is asked for.
async fn settings(
    set: &[String],
    descriptor: &Descriptor,
    output: Output,
) -> Result<Map<String, Value>, CliError> {
    let schema = &descriptor.settings_schema;
    let mut settings = Map::new();
    for (key, text) in pairs("--set", set)? {
        let value = typed(&schema["properties"][&key], &text);
        settings.insert(key, value);
    }
    let required = schema["required"].as_array().into_iter().flatten();
    let missing: Vec<&str> = required
        .filter_map(Value::as_str)
        .filter(|name| !settings.contains_key(*name))
        .collect();
    if !missing.is_empty() && !somebody(output) {
        return Err(CliError::new(
            Kind::Usage,
            format!("the connector needs the settings {}", missing.join(", ")),
        )
        .remedy("set each with --set NAME=VALUE; `samspel connector inspect` explains them"));
    }
    for name in missing {
        let property = &schema["properties"][name];
        let question = match property["description"].as_str() {
            Some(help) => format!("{name} ({help})"),
            None => name.to_owned(),
        };
        let text = input(question).await?;
        settings.insert(name.to_owned(), typed(property, &text));
    }
    Ok(settings)
}

/// A value as its schema wants it. What does not fit stays text: the connector's schema says what is wrong with it.
fn typed(schema: &Value, text: &str) -> Value {
    let is = |wanted: &str| match &schema["type"] {
        Value::String(kind) => kind == wanted,
        Value::Array(kinds) => kinds.iter().any(|kind| kind == wanted),
        _ => false,
    };
    if is("string") {
        return Value::String(text.to_owned());
    }
    match serde_json::from_str::<Value>(text) {
        Ok(value) if !value.is_null() && !schema.is_null() => value,
        _ => Value::String(text.to_owned()),
    }
}

/// Texts of the form `left=right`. An origin has no `=`, and a setting's name neither.
fn pairs(option: &str, texts: &[String]) -> Result<Vec<(String, String)>, CliError> {
    texts
        .iter()
        .map(|text| {
            text.split_once('=')
                .filter(|(left, _)| !left.is_empty())
                .map(|(left, right)| (left.to_owned(), right.to_owned()))
                .ok_or_else(|| {
                    CliError::new(Kind::Usage, format!("a value of {option} has no `=`"))
                        .remedy(format!("write `{option} LEFT=RIGHT`"))
                })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_has_the_type_of_its_schema() {
        let of = |kind: Value, text: &str| typed(&json!({ "type": kind }), text);
        assert_eq!(of(json!("string"), "12"), json!("12"));
        assert_eq!(of(json!("integer"), "12"), json!(12));
        assert_eq!(of(json!(["boolean", "null"]), "true"), json!(true));
        assert_eq!(of(json!("integer"), "soon"), json!("soon"));
        assert_eq!(of(json!("array"), "[\"a\"]"), json!(["a"]));
        assert_eq!(typed(&Value::Null, "12"), json!("12"));
    }
}
