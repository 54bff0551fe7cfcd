//! From a file's text to settings, with every problem found at once.

use std::collections::BTreeMap;

use samspel_engine::spec::SyncSpec;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::document::Document;
use super::problem::Problem;
use super::settings::{AccountSettings, AlertSettings, HookSettings, HostSettings, ServerSettings};

/// The settings of a file, as far as they could be read.
#[derive(Debug, Default)]
pub struct Settings {
    /// `[host]`
    pub host: HostSettings,
    /// `[server]`
    pub server: ServerSettings,
    /// `[alerts]`
    pub alerts: AlertSettings,
    /// `[hooks.*]`
    pub hooks: BTreeMap<String, HookSettings>,
    /// `[accounts.*]`
    pub accounts: BTreeMap<String, AccountSettings>,
    /// `[syncs.*]`
    pub syncs: BTreeMap<String, SyncSpec>,
    /// Names that are there and could not be read, so that references to them are not reported as well.
    pub unread: Vec<String>,
}

/// Reads section by section, so that a mistake in one account does not hide one in a sync.
pub fn read(document: &Document<'_>, problems: &mut Vec<Problem>) -> Settings {
    let mut settings = Settings::default();
    for (key, value) in document.root() {
        match key.get_ref().as_ref() {
            "host" => match document.read("host", value) {
                Ok(host) => settings.host = host,
                Err(problem) => problems.push(problem),
            },
            "server" => match document.read("server", value) {
                Ok(server) => settings.server = server,
                Err(problem) => problems.push(problem),
            },
            "alerts" => {
                let found = literal_alert_secrets(document, value);
                if !found.is_empty() {
                    problems.extend(found);
                    continue;
                }
                match document.read("alerts", value) {
                    Ok(alerts) => settings.alerts = alerts,
                    Err(problem) => problems.push(problem),
                }
            }
            "hooks" => {
                for (name, path, value) in entries(document, "hooks", value, problems) {
                    match document.read(&path, value) {
                        Ok(hook) => {
                            settings.hooks.insert(name, hook);
                        }
                        Err(problem) => problems.push(problem),
                    }
                }
            }
            "accounts" => {
                for (name, path, value) in entries(document, "accounts", value, problems) {
                    let found = literal_secrets(document, &path, value);
                    if !found.is_empty() {
                        problems.extend(found);
                        settings.unread.push(name);
                        continue;
                    }
                    match document.read(&path, value) {
                        Ok(account) => {
                            settings.accounts.insert(name, account);
                        }
                        Err(problem) => {
                            problems.push(problem);
                            settings.unread.push(name);
                        }
                    }
                }
            }
            "syncs" => {
                for (name, path, value) in entries(document, "syncs", value, problems) {
                    match document.read(&path, value) {
                        Ok(sync) => {
                            settings.syncs.insert(name, sync);
                        }
                        Err(problem) => problems.push(problem),
                    }
                }
            }
            other => problems.push(document.problem(
                other,
                format!("there is no section `{other}`"),
                "the sections are `host`, `server`, `alerts`, `hooks`, `accounts` and `syncs`; check the spelling or remove it",
            )),
        }
    }
    settings
}

type Entry<'t, 'a> = (String, String, &'t Spanned<DeValue<'a>>);

/// The named tables of a section: name, path and value.
fn entries<'t, 'a>(
    document: &Document<'a>,
    section: &str,
    value: &'t Spanned<DeValue<'a>>,
    problems: &mut Vec<Problem>,
) -> Vec<Entry<'t, 'a>> {
    let Some(table) = value.get_ref().as_table() else {
        problems.push(document.problem(
            section,
            format!("`{section}` holds named tables"),
            format!("write `[{section}.NAME]` and the settings below it"),
        ));
        return Vec::new();
    };
    table
        .iter()
        .filter_map(|(key, value)| {
            let name = key.get_ref().to_string();
            let path = format!("{section}.{name}");
            if !is_name(&name) {
                problems.push(document.problem(
                    &path,
                    "this is not a name",
                    "use up to 63 lower-case letters, digits, `-` and `_`, beginning with a letter or a digit",
                ));
                return None;
            }
            Some((name, path, value))
        })
        .collect()
}

/// Whether an account or a sync may be called that. Names appear in the store, in logs and on command lines.
pub fn is_name(name: &str) -> bool {
    name.len() <= 63
        && name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_')
}

const REMEDY: &str = "put the secret into an environment variable or a file that only Samspel's user can read, and \
     refer to it: `{ env = \"NAME_OF_VARIABLE\" }` or `{ file = \"path\" }`, or let `samspel account add` seal it; if the secret was ever shared with this \
     file, replace it at the vendor";

/// Looks for secrets written where a reference belongs, before anything else reads (and may quote) the values.
fn literal_secrets(
    document: &Document<'_>,
    account: &str,
    value: &Spanned<DeValue<'_>>,
) -> Vec<Problem> {
    let path = format!("{account}.credentials");
    let Some(credentials) = value
        .get_ref()
        .as_table()
        .and_then(|table| table.get("credentials"))
    else {
        return Vec::new();
    };
    let Some(credentials) = credentials.get_ref().as_table() else {
        return vec![document.problem(
            path,
            "a secret is never written into the configuration",
            REMEDY,
        )];
    };
    let mut problems = Vec::new();
    for (name, credential) in credentials {
        let path = format!("{path}.{}", name.get_ref());
        let allowed = [
            "scheme",
            "env",
            "file",
            "vault",
            "client-id",
            "client-secret",
        ];
        reference(document, &path, credential, &allowed, &mut problems);
        if let Some(secret) = credential
            .get_ref()
            .as_table()
            .and_then(|table| table.get("client-secret"))
        {
            let path = format!("{path}.client-secret");
            reference(
                document,
                &path,
                secret,
                &["env", "file", "vault"],
                &mut problems,
            );
        }
    }
    problems
}

/// The same for what alerts are sent with.
fn literal_alert_secrets(document: &Document<'_>, value: &Spanned<DeValue<'_>>) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (section, key) in [("webhook", "secret"), ("email", "password")] {
        let found = value.get_ref().as_table().and_then(|table| {
            let section = table.get(section)?.get_ref().as_table()?;
            section.get(key)
        });
        if let Some(found) = found {
            let path = format!("alerts.{section}.{key}");
            reference(document, &path, found, &["env", "file"], &mut problems);
        }
    }
    problems
}

/// Checks that a value can only be a reference to a secret. Neither keys nor values are quoted: both may be what must
/// stay secret.
fn reference(
    document: &Document<'_>,
    path: &str,
    value: &Spanned<DeValue<'_>>,
    allowed: &[&str],
    problems: &mut Vec<Problem>,
) {
    let Some(table) = value.get_ref().as_table() else {
        problems.push(document.problem(
            path,
            "this looks like the secret itself; a secret is never written into the configuration",
            REMEDY,
        ));
        return;
    };
    for key in table
        .keys()
        .filter(|key| !allowed.contains(&key.get_ref().as_ref()))
    {
        problems.push(document.problem_at(
            Some(key.span()),
            Some(path.to_owned()),
            format!(
                "only `{}` can be set here; a secret is never written into the configuration",
                allowed.join("`, `")
            ),
            REMEDY,
        ));
    }
    // Whoever reads settings quotes a value of the wrong type.
    if table
        .get("vault")
        .is_some_and(|value| value.get_ref().as_bool().is_none())
    {
        problems.push(document.problem(
            format!("{path}.vault"),
            "this is neither `true` nor `false`; a secret is never written into the configuration",
            REMEDY,
        ));
    }
    // People paste the secret itself here.
    if text(table, "env").is_some_and(|name| !is_variable(name)) {
        problems.push(document.problem(
            format!("{path}.env"),
            "this is not the name of an environment variable",
            REMEDY,
        ));
    }
}

fn text<'t>(table: &'t DeTable<'_>, key: &str) -> Option<&'t str> {
    table.get(key)?.get_ref().as_str()
}

/// A portable name of an environment variable (POSIX, with lower case allowed).
fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
