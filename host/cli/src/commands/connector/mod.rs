//! `samspel connector`: what connectors there are, what one asks for, and which version of it is used.

mod history;
mod install;

use std::io::{self, Write};
use std::path::Path;

use indicatif::HumanBytes;
use samspel_model::descriptor::{AuthKind, AuthScheme, Descriptor, EgressRule, RateLimit};
use samspel_runtime::{CONTRACT, LoadedConnector};
use serde_json::{Value, json};

use crate::args::ConnectorCommand;
use crate::exit::{CliError, Exit};
use crate::output::Output;
use samspel_installation::lifecycle::Manifest;
use samspel_installation::{Config, Host, Installed, Kind, Library, Lifecycle};
use samspel_installation::{connectors, open_store};
use samspel_model::Registry;

/// Runs one of the commands.
pub async fn run(
    command: &ConnectorCommand,
    config: Option<Config>,
    output: Output,
) -> Result<(), CliError> {
    let library = Library::open(config.as_ref())?;
    match command {
        ConnectorCommand::List => list(config.as_ref(), &library, output).await,
        ConnectorCommand::Inspect { file } => {
            let installed = inspected(&library, file).await?;
            output.result(&describe(&installed), |out| write(out, &installed))
        }
        ConnectorCommand::Manifest { file } => {
            let installed = library.load(file).await?;
            let text = serde_json::to_string_pretty(&Manifest::of(&installed.loaded));
            output.raw(&format!("{}\n", text.map_err(io::Error::from)?))
        }
        command => {
            let config = config.ok_or_else(|| {
                CliError::new(
                    Kind::Config,
                    "connectors are installed into the store of a configuration",
                )
                .remedy("write one with `samspel init`, or name one with `--config FILE`")
            })?;
            let host = Host::with_library(config, library, "connector").await?;
            installed(command, &host, output).await
        }
    }
}

/// The commands about what is installed.
async fn installed(
    command: &ConnectorCommand,
    host: &Host,
    output: Output,
) -> Result<(), CliError> {
    let lifecycle = Lifecycle::new(host, somebody());
    match command {
        ConnectorCommand::Install(args) => install::install(&lifecycle, args, output).await,
        ConnectorCommand::Upgrade(args) => install::upgrade(&lifecycle, args, output).await,
        ConnectorCommand::Approve(args) => install::approve(&lifecycle, args, output).await,
        ConnectorCommand::Rollback(args) => install::rollback(&lifecycle, args, output).await,
        ConnectorCommand::History(args) => history::history(host, &lifecycle, args, output).await,
        ConnectorCommand::Trust(command) => {
            history::trust(host.registry().as_ref(), &lifecycle, command, output).await
        }
        ConnectorCommand::List
        | ConnectorCommand::Inspect { .. }
        | ConnectorCommand::Manifest { .. } => Ok(()),
    }
}

/// Who is at work, for the history.
fn somebody() -> String {
    let user = ["SUDO_USER", "USER", "LOGNAME"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()));
    let host = gethostname::gethostname();
    format!(
        "{} on {}",
        user.as_deref().unwrap_or("an operator"),
        host.to_string_lossy()
    )
}

async fn list(config: Option<&Config>, library: &Library, output: Output) -> Result<(), CliError> {
    // Looking makes no store.
    let revisions = match config.filter(|config| config.resolve(&config.host.store).is_file()) {
        Some(config) => open_store(config).await?.revisions(None).await?,
        None => Vec::new(),
    };
    let mut found = Vec::new();
    for file in library.directories().files() {
        let loaded = library.load(&file).await;
        found.push((file, loaded));
    }
    let listed: Vec<Value> = found
        .iter()
        .map(|(file, loaded)| match loaded {
            Ok(installed) => json!({
                "name": installed.loaded.descriptor.name,
                "version": installed.loaded.descriptor.version,
                "title": installed.loaded.descriptor.title,
                "file": file,
                "sha256": installed.loaded.sha256,
            }),
            Err(error) => json!({ "file": file, "error": error.to_string() }),
        })
        .collect();
    let installed: Vec<Value> = revisions.iter().map(history::revision).collect();
    output.result(
        &json!({ "connectors": listed, "installed": installed }),
        |out| {
            for one in &revisions {
                writeln!(
                    out,
                    "{:<14} {:<9} {} (installed: {:.12})",
                    one.name, one.version, one.stage, one.sha256
                )?;
            }
            if found.is_empty() {
                writeln!(out, "no connectors in {}", library.directories().listed())?;
            }
            for (file, loaded) in &found {
                match loaded {
                    Ok(installed) => {
                        let descriptor = &installed.loaded.descriptor;
                        writeln!(
                            out,
                            "{:<14} {:<9} {}  ({})",
                            descriptor.name,
                            descriptor.version,
                            descriptor.title,
                            file.display()
                        )?;
                    }
                    Err(error) => writeln!(out, "{}: {error}", file.display())?,
                }
            }
            Ok(())
        },
    )?;
    if found.iter().any(|(_, loaded)| loaded.is_err()) {
        return Err(CliError::Reported(Exit::Connector));
    }
    Ok(())
}

/// A file, or the name of a connector that `list` shows.
async fn inspected(library: &Library, file: &Path) -> Result<Installed, CliError> {
    let name = file.to_string_lossy();
    if file.is_file() || connectors::is_path(&name) {
        Ok(library.load(file).await?)
    } else {
        Ok(library.find(&name).await?)
    }
}

fn describe(installed: &Installed) -> Value {
    let LoadedConnector {
        descriptor,
        sha256,
        bytes,
        hooks,
        wasi,
        ..
    } = &installed.loaded;
    json!({
        "file": installed.file,
        "sha256": sha256,
        "bytes": bytes,
        "contract": CONTRACT,
        "hooks": hooks.is_some(),
        "notifications": hooks.as_ref().map(|hooks| hooks.descriptor.as_ref()),
        "wasi": wasi,
        "descriptor": descriptor.as_ref(),
    })
}

fn write(out: &mut dyn Write, installed: &Installed) -> io::Result<()> {
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
    } = installed.loaded.descriptor.as_ref();
    let LoadedConnector {
        sha256,
        bytes,
        hooks,
        wasi,
        ..
    } = &installed.loaded;
    writeln!(out, "{title} ({name} {version})")?;
    writeln!(out, "  {description}")?;
    writeln!(out, "  file         {}", installed.file.display())?;
    writeln!(out, "  sha256       {sha256}")?;
    writeln!(out, "  size         {}", HumanBytes(*bytes))?;
    writeln!(out, "  contract     {CONTRACT}")?;
    writeln!(
        out,
        "  hooks        {}",
        if hooks.is_some() {
            "takes notifications"
        } else {
            "none"
        }
    )?;
    if *wasi {
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
