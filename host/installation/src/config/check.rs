//! What must hold between settings: references, exclusive choices, end points, expressions.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::SignedDuration;
use samspel_engine::spec::SyncSpec;
use url::Url;

use super::document::Document;
use super::load::{Settings, is_name};
use super::problem::Problem;
use super::settings::{AccountSettings, AlertSettings, SecretSettings};

/// Below this, a sync would only ever be reading.
const LEAST_INTERVAL: Duration = Duration::from_secs(1);
/// Whoever is told every few seconds reads nothing any more.
const LEAST_ALERT: Duration = Duration::from_secs(10);
/// A full comparison reads everything on both sides.
const LEAST_FULL_COMPARISON: Duration = Duration::from_secs(60);

/// Reads a time such as `5m`.
///
/// # Errors
/// What is wrong with it.
pub fn duration(text: &str) -> Result<Duration, String> {
    let parsed: SignedDuration = text
        .parse()
        .map_err(|_| format!("`{text}` is not a time"))?;
    Duration::try_from(parsed).map_err(|_| format!("`{text}` is negative"))
}

fn at_least(found: Duration, least: Duration) -> Result<(), String> {
    if found < least {
        return Err(format!(
            "{found:?} is less than the {least:?} that are needed"
        ));
    }
    Ok(())
}

/// Checks everything that can be checked without a connector or the network.
pub fn check(document: &Document<'_>, settings: &Settings, problems: &mut Vec<Problem>) {
    if settings.host.concurrent_syncs == 0 {
        problems.push(document.problem(
            "host.concurrent-syncs",
            "with 0 no sync would ever run",
            "set it to at least 1",
        ));
    }
    check_server(document, settings, problems);
    check_alerts(document, &settings.alerts, problems);
    let ids = |section: &str, names: Vec<(&String, &Option<String>)>| {
        let mut known = BTreeMap::new();
        let mut found = Vec::new();
        for (name, id) in names {
            let id = id.as_ref().unwrap_or(name);
            if !is_name(id) {
                found.push((
                    format!("{section}.{name}.id"),
                    "this is not a name".to_owned(),
                ));
            }
            if let Some(other) = known.insert(id.clone(), name) {
                let why = format!("`{section}.{other}` keeps its state under `{id}` as well");
                found.push((format!("{section}.{name}"), why));
            }
        }
        found
    };
    let accounts = settings.accounts.iter().map(|(name, of)| (name, &of.id));
    let syncs = settings.syncs.iter().map(|(name, of)| (name, &of.id));
    let clashes = ids("accounts", accounts.collect());
    for (setting, why) in clashes.into_iter().chain(ids("syncs", syncs.collect())) {
        problems.push(document.problem(
            setting,
            why,
            "set `id` to the name under which it was before it was renamed, or remove it",
        ));
    }
    for (name, account) in &settings.accounts {
        check_account(document, &format!("accounts.{name}"), account, problems);
    }
    for (name, sync) in &settings.syncs {
        check_sync(document, settings, &format!("syncs.{name}"), sync, problems);
    }
}

fn check_alerts(document: &Document<'_>, alerts: &AlertSettings, problems: &mut Vec<Problem>) {
    for (setting, text) in [
        ("no-progress", &alerts.no_progress),
        ("repeat", &alerts.repeat),
    ] {
        let found = duration(text).and_then(|found| at_least(found, LEAST_ALERT));
        if let Err(why) = found {
            problems.push(document.problem(
                format!("alerts.{setting}"),
                why,
                "write a time such as `30m`, `1h` or `24h`",
            ));
        }
    }
    if let Some(webhook) = &alerts.webhook {
        check_secret(document, "alerts.webhook.secret", &webhook.secret, problems);
        let url = &webhook.url;
        if !matches!(url.scheme(), "http" | "https") || !url.username().is_empty() {
            problems.push(document.problem(
                "alerts.webhook.url",
                "nothing can be sent to this address",
                "write an address of `https://` (or `http://`) without a user name",
            ));
        }
    }
    if let Some(email) = &alerts.email {
        if let Some(password) = &email.password {
            check_secret(document, "alerts.email.password", password, problems);
        }
        let url = &email.server;
        if !matches!(url.scheme(), "smtp" | "smtps")
            || !url.username().is_empty()
            || url.password().is_some()
        {
            problems.push(document.problem(
                "alerts.email.server",
                "this is no mail server, or a user stands in its address",
                "write `smtps://HOST` or `smtp://HOST?tls=required`; `user` and `password` are settings of their own",
            ));
        }
        if email.user.is_some() != email.password.is_some() {
            problems.push(document.problem(
                "alerts.email",
                "a user and a password go together",
                "set both, or neither",
            ));
        }
        if email.to.is_empty() {
            problems.push(document.problem(
                "alerts.email.to",
                "nobody gets it",
                "name at least one address",
            ));
        }
    }
}

/// What is listened to, and what belongs to addresses for notifications.
fn check_server(document: &Document<'_>, settings: &Settings, problems: &mut Vec<Problem>) {
    let server = &settings.server;
    if let Err(why) = duration(&server.debounce) {
        problems.push(document.problem(
            "server.debounce",
            why,
            "write a time such as `200ms` or `2s`",
        ));
    }
    if let Some(url) = &server.public_url
        && (!matches!(url.scheme(), "http" | "https")
            || url.cannot_be_a_base()
            || url.query().is_some()
            || url.fragment().is_some()
            || !url.username().is_empty()
            || url.password().is_some())
    {
        problems.push(document.problem(
            "server.public-url",
            "remotes cannot be given this address",
            "write how remotes reach this host, such as `https://sync.example.com`",
        ));
    }
    for (name, hook) in &settings.hooks {
        let path = format!("hooks.{name}");
        if settings.accounts.contains_key(name) {
            problems.push(document.problem(
                &path,
                "an account has this name, and with it an address for notifications",
                "choose another name",
            ));
        }
        if hook.accounts.is_empty() {
            problems.push(document.problem(
                format!("{path}.accounts"),
                "it serves no account",
                "name the accounts whose remote shares this address",
            ));
        }
        let connectors: BTreeSet<&str> = hook
            .accounts
            .iter()
            .filter_map(|account| settings.accounts.get(account))
            .map(|account| account.connector.as_str())
            .collect();
        if connectors.len() > 1 {
            problems.push(document.problem(
                format!("{path}.accounts"),
                "they have different connectors",
                "an address is one remote's: name accounts with the same connector",
            ));
        }
        for account in &hook.accounts {
            if !settings.accounts.contains_key(account) && !settings.unread.contains(account) {
                problems.push(document.problem(
                    format!("{path}.accounts"),
                    format!("there is no account `{account}`"),
                    "add it as `[accounts.NAME]`, or remove it here",
                ));
            }
        }
    }
}

fn check_account(
    document: &Document<'_>,
    path: &str,
    account: &AccountSettings,
    problems: &mut Vec<Problem>,
) {
    if account.connector.trim().is_empty() {
        problems.push(document.problem(
            format!("{path}.connector"),
            "no connector is named",
            "name one; `samspel connector list` shows which there are",
        ));
    }
    for (name, credential) in &account.credentials {
        let path = format!("{path}.credentials.{name}");
        check_secret(document, &path, &credential.secret(), problems);
        if let Some(secret) = &credential.client_secret {
            check_secret(document, &format!("{path}.client-secret"), secret, problems);
        }
        if credential.client_secret.is_some() && credential.client_id.is_none() {
            problems.push(document.problem(
                format!("{path}.client-secret"),
                "there is a client secret and no `client-id`",
                "set `client-id`",
            ));
        }
    }
    for (from, to) in &account.endpoints {
        for (what, origin) in [("replaced", from), ("override", to)] {
            if let Err(why) = check_origin(origin) {
                problems.push(document.problem(
                    format!("{path}.endpoints"),
                    format!("the {what} origin `{}` {why}", redacted(origin)),
                    "write scheme, host and, where needed, port: `https://api.hubapi.com`",
                ));
            }
        }
    }
    check_limits(document, &format!("{path}.limits"), account, problems);
}

fn check_secret(
    document: &Document<'_>,
    path: &str,
    secret: &SecretSettings,
    problems: &mut Vec<Problem>,
) {
    let set = [secret.env.is_some(), secret.file.is_some(), secret.vault];
    match set.into_iter().filter(|set| *set).count() {
        0 => problems.push(document.problem(
            path,
            "it is not said where the secret is",
            "set `env` to the name of an environment variable or `file` to a path, or `vault` to true",
        )),
        1 => {}
        _ => problems.push(document.problem(
            path,
            "more than one of `env`, `file` and `vault` is set",
            "keep one of them",
        )),
    }
}

/// With any of these at 0 nothing could be done at all.
fn check_limits(
    document: &Document<'_>,
    path: &str,
    account: &AccountSettings,
    problems: &mut Vec<Problem>,
) {
    let limits = &account.limits;
    let essential = [
        ("memory-bytes", limits.memory_bytes == 0),
        ("cpu-ms", limits.cpu_ms == 0),
        ("describe-cpu-ms", limits.describe_cpu_ms == 0),
        ("wall-ms", limits.wall_ms == 0),
        ("transfer-bytes", limits.transfer_bytes == 0),
        ("transfer-total-bytes", limits.transfer_total_bytes == 0),
        ("items", limits.items == 0),
        ("json-depth", limits.json_depth == 0),
        ("identifier-bytes", limits.identifier_bytes == 0),
        ("requests", limits.requests == 0),
        ("concurrent-requests", limits.concurrent_requests == 0),
        ("response-bytes", limits.response_bytes == 0),
        ("responses-total-bytes", limits.responses_total_bytes == 0),
        ("request-ms", limits.request_ms == 0),
    ];
    for (limit, _) in essential.iter().filter(|(_, zero)| *zero) {
        problems.push(document.problem(
            format!("{path}.{limit}"),
            "a limit of 0 allows nothing at all",
            "set a positive number, or remove it for the default",
        ));
    }
}

/// Origins are shown in messages; what could be a password in one is not.
fn redacted(origin: &str) -> String {
    match origin.rsplit_once('@') {
        Some((_, host)) => format!("...@{host}"),
        None => origin.to_owned(),
    }
}

fn check_origin(origin: &str) -> Result<(), &'static str> {
    let url = Url::parse(origin).map_err(|_| "is not a URL")?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("is neither http nor https");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("holds a user name or password");
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return Err("has a path, a query or a fragment");
    }
    Ok(())
}

fn check_sync(
    document: &Document<'_>,
    settings: &Settings,
    path: &str,
    sync: &SyncSpec,
    problems: &mut Vec<Problem>,
) {
    for (side, endpoint) in [("a", &sync.a), ("b", &sync.b)] {
        if !settings.accounts.contains_key(&endpoint.account)
            && !settings.unread.contains(&endpoint.account)
        {
            problems.push(document.problem(
                format!("{path}.{side}.account"),
                format!("there is no account `{}`", endpoint.account),
                if settings.accounts.is_empty() {
                    "add it as `[accounts.NAME]`".to_owned()
                } else {
                    let names: Vec<_> = settings.accounts.keys().map(String::as_str).collect();
                    format!("use one of {}, or add it", names.join(", "))
                },
            ));
        }
    }
    for (setting, text, least) in [
        ("interval", &sync.interval, LEAST_INTERVAL),
        (
            "full-comparison",
            &sync.full_comparison,
            LEAST_FULL_COMPARISON,
        ),
    ] {
        // What is no time at all is told below.
        if let Ok(found) = duration(text)
            && let Err(why) = at_least(found, least)
        {
            problems.push(document.problem(
                format!("{path}.{setting}"),
                why,
                "write a time such as `30s`, `5m`, `1h 30m` or `24h`",
            ));
        }
    }
    if sync.a == sync.b {
        problems.push(document.problem(
            format!("{path}.b"),
            "both sides are the same collection of the same account",
            "name another account or another collection",
        ));
    }
    if let Err(errors) = samspel_engine::check_expressions(sync) {
        for error in errors.0 {
            problems.push(document.problem(
                format!("{path}.{}", error.setting),
                error.why,
                "correct the sync's settings; `samspel config schema` describes each",
            ));
        }
    }
}
