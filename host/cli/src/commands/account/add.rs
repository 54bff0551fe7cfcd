//! `samspel account add`: asked for, tried, sealed, and only then written into the configuration.

use std::collections::BTreeMap;

use samspel_installation::Kind;
use samspel_installation::config::is_name;
use samspel_model::descriptor::{AuthKind, Descriptor};
use samspel_operations::accounts::{AddAccount, GivenCredential, ListAccounts};
use samspel_operations::connectors::InspectConnector;
use serde_json::{Map, Value};

use super::secrets::{Collector, Said, input, said};
use crate::args::AddAccountArgs;
use crate::commands::ask::somebody;
use crate::exit::CliError;
use crate::output::Output;
use crate::session::Session;

/// Adds an account.
pub async fn run(args: &AddAccountArgs, session: &Session) -> Result<(), CliError> {
    let name = args.name.as_str();
    free(session, name).await?;
    let connector = args.connector.clone();
    let inspected = session.perform(&InspectConnector { connector }).await?;
    let descriptor = &inspected.descriptor;
    let mut account = AddAccount {
        account: name.to_owned(),
        connector: args.connector.clone(),
        settings: settings(&args.set, descriptor, session.output).await?,
        endpoints: pairs("--endpoint", &args.endpoint)?.into_iter().collect(),
        credentials: BTreeMap::new(),
    };
    let new = account.clone();
    let collector = Collector {
        session,
        name,
        args: &args.secrets,
        new: Some(&new),
    };
    account.credentials = credentials(&collector, descriptor, args.refer).await?;
    let added = session.perform(&account).await?;
    session.output.result(&added, |out| {
        let identity = &added.identity;
        writeln!(out, "{name}: {} ({})", identity.label, identity.id)?;
        writeln!(
            out,
            "It is in {}; {}",
            added.file,
            match added.sealed.len() {
                0 => "its secrets stay where they are".to_owned(),
                1 => "its secret is sealed in the store".to_owned(),
                many => format!("its {many} secrets are sealed in the store"),
            }
        )
    })
}

/// Whether an account can be called so: told before anybody is asked for secrets.
async fn free(session: &Session, name: &str) -> Result<(), CliError> {
    if !is_name(name) {
        return Err(CliError::new(Kind::Usage, format!("`{name}` is not a name")).remedy(
            "use up to 63 lower-case letters, digits, `-` and `_`, beginning with a letter or a digit",
        ));
    }
    let listed = session.perform(&ListAccounts {}).await?;
    if listed.accounts.iter().any(|one| one.account == name) {
        return Err(
            CliError::new(Kind::Usage, format!("there is an account `{name}`")).remedy(format!(
                "choose another name; `samspel account reauthorise {name}` replaces its secrets"
            )),
        );
    }
    Ok(())
}

/// The credentials that the connector asks for.
async fn credentials(
    collector: &Collector<'_>,
    descriptor: &Descriptor,
    refer: bool,
) -> Result<BTreeMap<String, GivenCredential>, CliError> {
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
    let mut credentials = BTreeMap::new();
    for name in names {
        let said = given.iter().find(|said| said.name == name);
        // Of several credentials a script names those that it has; a person is asked for all.
        if said.is_none() && !given.is_empty() && !somebody(collector.session.output) {
            continue;
        }
        if let Some(credential) = one(collector, descriptor, (name, said), refer).await? {
            credentials.insert(name.to_owned(), credential);
        }
    }
    Ok(credentials)
}

/// One credential. `None`: a person entered nothing, and the account does without.
async fn one(
    collector: &Collector<'_>,
    descriptor: &Descriptor,
    (name, said): (&str, Option<&Said>),
    refer: bool,
) -> Result<Option<GivenCredential>, CliError> {
    let wanted = said.and_then(|said| said.scheme.as_deref());
    let scheme = collector.scheme(descriptor, name, wanted).await?;
    let (mut client_id, mut client_secret) = (None, None);
    if matches!(scheme.kind, AuthKind::Oauth2(_)) {
        (client_id, client_secret) = collector.client(refer).await?;
    }
    let client = (client_id.as_deref(), client_secret.as_ref());
    let from = said.map(|said| &said.from);
    let secret = match from {
        from if refer => Some(collector.referred(from)?),
        from => collector.secret(scheme, from, Some(client)).await?,
    };
    Ok(secret.map(|from| GivenCredential {
        scheme: Some(scheme.name.clone()),
        from,
        client_id,
        client_secret,
    }))
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
    use serde_json::json;

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
