//! `samspel connector`: what connectors there are, what one asks for, and which version of it is used.

mod history;
mod install;

use std::io::{self, Write};
use std::path::Path;

use indicatif::{HumanBytes, MultiProgress};
use samspel_installation::lifecycle::Manifest;
use samspel_installation::{Config, Installed, Library, connectors};
use samspel_model::descriptor::{AuthKind, AuthScheme, Descriptor, EgressRule, RateLimit};
use samspel_operations::connectors::{
    FoundConnector, InspectConnector, Inspected, ListConnectors, ListedConnectors, list,
};
use serde_json::Value;

use crate::args::{ConnectorCommand, Global};
use crate::exit::{CliError, Exit};
use crate::output::Output;
use crate::session::Session;

/// Runs one of the commands.
pub async fn run(
    command: &ConnectorCommand,
    global: &Global,
    output: Output,
    bars: &MultiProgress,
) -> Result<(), CliError> {
    let session = async || Session::open(global, "connector", output, bars).await;
    match command {
        ConnectorCommand::List if global.host.is_some() => {
            tell(&session().await?.perform(&ListConnectors {}).await?, output)
        }
        ConnectorCommand::List => {
            // A connector can be looked at before there is a configuration; one that is wrong is not ignored.
            let config = config(global)?;
            let library = Library::open(config.as_ref())?;
            tell(&list(config.as_ref(), &library).await?, output)
        }
        ConnectorCommand::Inspect { file } => {
            let name = file.to_string_lossy().into_owned();
            let inspected = if file.is_file() || connectors::is_path(&name) {
                Inspected::from(&load(global, file).await?)
            } else if global.host.is_none() && !global.config.exists() {
                Inspected::from(&Library::open(None)?.find(&name).await?)
            } else {
                let connector = name;
                let session = session().await?;
                session.perform(&InspectConnector { connector }).await?
            };
            output.result(&inspected, |out| write(out, &inspected))
        }
        ConnectorCommand::Manifest { file } => {
            let installed = load(global, file).await?;
            let text = serde_json::to_string_pretty(&Manifest::of(&installed.loaded));
            output.raw(&format!("{}\n", text.map_err(io::Error::from)?))
        }
        ConnectorCommand::Install(args) => install::install(args, &session().await?).await,
        ConnectorCommand::Upgrade(args) => install::upgrade(args, &session().await?).await,
        ConnectorCommand::Approve(args) => install::approve(args, &session().await?).await,
        ConnectorCommand::Rollback(args) => install::rollback(args, &session().await?).await,
        ConnectorCommand::History(args) => history::history(args, &session().await?).await,
        ConnectorCommand::Trust(command) => history::trust(command, &session().await?).await,
    }
}

/// The configuration, if there is one.
fn config(global: &Global) -> Result<Option<Config>, CliError> {
    let file = &global.config;
    Ok(file.exists().then(|| Config::load(file)).transpose()?)
}

/// A file of this machine.
async fn load(global: &Global, file: &Path) -> Result<Installed, CliError> {
    let library = Library::open(config(global)?.as_ref())?;
    Ok(library.load(file).await?)
}

fn tell(listed: &ListedConnectors, output: Output) -> Result<(), CliError> {
    output.result(listed, |out| {
        for one in &listed.installed {
            writeln!(
                out,
                "{:<14} {:<9} {} (installed: {:.12})",
                one.name, one.version, one.stage, one.sha256
            )?;
        }
        if listed.connectors.is_empty() {
            writeln!(out, "no connectors in {}", listed.searched)?;
        }
        listed.connectors.iter().try_for_each(|found| match found {
            FoundConnector::Loads {
                name,
                version,
                title,
                file,
                ..
            } => writeln!(out, "{name:<14} {version:<9} {title}  ({file})"),
            FoundConnector::Fails { file, error } => writeln!(out, "{file}: {error}"),
        })
    })?;
    let fails = |found: &FoundConnector| matches!(found, FoundConnector::Fails { .. });
    if listed.connectors.iter().any(fails) {
        return Err(CliError::Reported(Exit::Connector));
    }
    Ok(())
}

fn write(out: &mut dyn Write, inspected: &Inspected) -> io::Result<()> {
    let Descriptor {
        name,
        version,
        title,
        description,
        collections,
        settings_schema,
        authentication,
        egress,
        rate_limits,
        ..
    } = &inspected.descriptor;
    writeln!(out, "{title} ({name} {version})")?;
    writeln!(out, "  {description}")?;
    writeln!(out, "  file         {}", inspected.file)?;
    writeln!(out, "  sha256       {}", inspected.sha256)?;
    writeln!(out, "  size         {}", HumanBytes(inspected.bytes))?;
    writeln!(out, "  contract     {}", inspected.contract)?;
    writeln!(
        out,
        "  hooks        {}",
        if inspected.hooks {
            "takes notifications"
        } else {
            "none"
        }
    )?;
    if inspected.wasi {
        writeln!(out, "  WASI         imported, and found empty")?;
    }
    writeln!(out, "  collections  {}", collections.join(", "))?;
    writeln!(out, "  asks to reach")?;
    for rule in egress {
        writeln!(out, "    {}", reach(rule))?;
    }
    writeln!(out, "  asks to use")?;
    for scheme in authentication {
        writeln!(
            out,
            "    credentials.{} ({}): {}",
            scheme.credential,
            scheme.name,
            usage(scheme)
        )?;
        writeln!(out, "      {}", scheme.help)?;
    }
    for limit in rate_limits {
        writeln!(out, "  rate limit   {}", rate(limit))?;
    }
    writeln!(out, "  settings")?;
    settings(out, settings_schema)
}

fn reach(rule: &EgressRule) -> String {
    let methods = if rule.methods.is_empty() {
        "any method".to_owned()
    } else {
        rule.methods.join(", ")
    };
    format!("{}{} ({methods})", rule.origin, rule.path_prefix)
}

fn usage(scheme: &AuthScheme) -> String {
    match &scheme.kind {
        AuthKind::Bearer => "sent as a bearer token".to_owned(),
        AuthKind::Basic(None) => "sent as user name and password".to_owned(),
        AuthKind::Basic(Some(user)) => format!("sent as the password of `{user}`"),
        AuthKind::Header(name) => format!("sent in the header {name}"),
        AuthKind::Query(name) => format!("sent in the query parameter {name}"),
        AuthKind::Oauth2(oauth) => format!("OAuth 2.0, scopes {}", oauth.scopes.join(" ")),
        AuthKind::Body(positions) => {
            let places: Vec<_> = positions
                .iter()
                .map(|place| format!("{} {} at {}", place.method, place.path, place.pointer))
                .collect();
            format!("sent in the body of {}", places.join(" or "))
        }
        AuthKind::Signing(signing) => {
            format!(
                "signs ({}) and is never sent",
                signing.algorithms.join(", ")
            )
        }
        AuthKind::Other(kind) => format!("`{kind}`, which this version of samspel does not know"),
    }
}

fn rate(limit: &RateLimit) -> String {
    let mut parts = Vec::new();
    if limit.requests > 0 {
        parts.push(format!(
            "{} requests in {} s",
            limit.requests,
            f64::from(limit.per_ms) / 1000.0
        ));
    }
    if limit.concurrent > 0 {
        parts.push(format!("{} at once", limit.concurrent));
    }
    parts.join(", ")
}

/// The settings that a JSON Schema describes: name, whether it is required, and what it means.
fn settings(out: &mut dyn Write, schema: &Value) -> io::Result<()> {
    let required: Vec<&str> = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let Some(properties) = schema["properties"]
        .as_object()
        .filter(|known| !known.is_empty())
    else {
        return writeln!(out, "    none");
    };
    for (name, property) in properties {
        let need = if required.contains(&name.as_str()) {
            " (required)"
        } else {
            ""
        };
        let meaning = property["description"]
            .as_str()
            .unwrap_or("")
            .replace('\n', " ");
        writeln!(out, "    {name}{need}: {meaning}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    #[test]
    fn settings_are_told_with_what_they_mean() {
        let schema = json!({
            "properties": { "dc": { "description": "The data\ncentre." }, "extra": {} },
            "required": ["dc"],
        });
        let mut out = Vec::new();
        settings(&mut out, &schema).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "    dc (required): The data centre.\n    extra: \n"
        );
    }

    #[test]
    fn limits_are_told_in_words() {
        let limit = RateLimit {
            requests: 190,
            per_ms: 10_000,
            concurrent: 10,
        };
        assert_eq!(rate(&limit), "190 requests in 10 s, 10 at once");
    }
}
