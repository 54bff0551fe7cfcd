//! Everything a sync needs, one line each.

mod finding;
mod machine;
pub(crate) mod mapping;

use std::path::Path;
use std::time::SystemTime;

use samspel_engine::Policy;
use samspel_installation::config::{Config, SecretSettings};
use samspel_installation::{
    Account, Error, Host, Library, Secrets, credentials, of_account, open_store, place_of_client,
};
use samspel_model::access::Role;
use samspel_model::{Collection, Connector};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::operation::{Operation, Route, Work};

pub use finding::{Finding, Status};

/// Checks everything that a sync needs: store, connectors, credentials, clock, disk, remotes.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Diagnose {}

/// What was checked.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Diagnosis {
    /// The worst of what was found.
    pub status: Status,
    /// Everything that was found.
    pub findings: Vec<Finding>,
}

impl Operation for Diagnose {
    type Output = Diagnosis;
    const ROUTE: Route = Route::post(
        "diagnose",
        "/doctor",
        Role::Operator,
        "Check everything that a sync needs: store, connectors, credentials, clock, disk, remotes",
    );

    async fn run(&self, work: &Work<'_>) -> Result<Diagnosis, Error> {
        Ok(diagnose(work.host.config().file()).await)
    }
}

/// Checks everything that a configuration needs, also one that is wrong.
pub async fn diagnose(file: &Path) -> Diagnosis {
    let mut findings = Vec::new();
    match Config::load(file) {
        Ok(config) => {
            findings.push(Finding::ok(
                "config",
                format!("{} is correct", file.display()),
            ));
            examine(config, &mut findings).await;
        }
        Err(problems) => findings.extend(problems.0.into_iter().map(|problem| {
            let remedy = problem.remedy.clone();
            let message = problem.to_string();
            let message = message
                .split("\n  remedy:")
                .next()
                .unwrap_or_default()
                .to_owned();
            Finding::fail("config", message, remedy)
        })),
    }
    let worst = findings.iter().map(|found| found.status).max();
    Diagnosis {
        status: worst.unwrap_or(Status::Ok),
        findings,
    }
}

async fn examine(config: Config, findings: &mut Vec<Finding>) {
    let store = config.resolve(&config.host.store);
    findings.extend(machine::disk(&store));
    findings.push(machine::clock(&store, SystemTime::now()));
    let opened = open_store(&config).await;
    let opens = opened.is_ok();
    match opened {
        Ok(_) => findings.push(Finding::ok("store", format!("{} opens", store.display()))),
        Err(error) => findings.push(of_error("store", error)),
    }
    credentials_of(&config, findings);
    let library = match Library::open(Some(&config)) {
        Ok(library) => library,
        Err(error) => {
            findings.push(of_error("connectors", error));
            return;
        }
    };
    let host = match Host::with_library(config, library, "doctor").await {
        Ok(host) => host,
        Err(error) => {
            // That the store does not open is reported above.
            if opens {
                findings.push(of_error("vault", error));
            }
            return;
        }
    };
    sealed(&host, findings).await;
    let names: Vec<String> = host.config().accounts.keys().cloned().collect();
    let asked = names.iter().map(|name| account(&host, name));
    let mut known = Vec::new();
    for (name, (found, collections)) in names.iter().zip(futures::future::join_all(asked).await) {
        findings.extend(found);
        known.push((name.clone(), collections));
    }
    syncs(&host, &known, findings).await;
}

/// Whether every secret is where the configuration says.
fn credentials_of(config: &Config, findings: &mut Vec<Finding>) {
    for (account, settings) in &config.accounts {
        for (name, credential) in &settings.credentials {
            let check = format!("credential {account}.{name}");
            if !credential.vault {
                findings.push(secret(config, check.clone(), &credential.secret()));
            }
            if let Some(client) = credential
                .client_secret
                .as_ref()
                .filter(|client| !client.vault)
            {
                findings.push(secret(config, format!("{check} (client)"), client));
            }
        }
    }
}

fn secret(config: &Config, check: String, settings: &SecretSettings) -> Finding {
    match credentials::read(config, settings) {
        Err(error) => Finding::fail(check, error.to_string(), error.remedy()),
        Ok(_) if credentials::is_exposed(config, settings) => Finding::warn(
            check,
            "it is there, and other users of this machine can read its file",
            "chmod 600 the file",
        ),
        Ok(_) => Finding::ok(check, "it is there"),
    }
}

/// Whether every secret that is said to be sealed is, and opens.
async fn sealed(host: &Host, findings: &mut Vec<Finding>) {
    for (account, settings) in &host.config().accounts {
        for (name, credential) in &settings.credentials {
            let client = credential.client_secret.clone().unwrap_or_default();
            let places = [
                (name.clone(), credential.secret()),
                (place_of_client(name), client),
            ];
            for (place, settings) in places.iter().filter(|(_, settings)| settings.vault) {
                let check = format!("credential {account}.{place}");
                let none = Secrets::new();
                findings.push(match host.secret(account, place, settings, &none).await {
                    Ok(_) => Finding::ok(check, "it is sealed in the store"),
                    Err(error) => of_error(&check, error),
                });
            }
        }
    }
}

/// An account: its connector loads, its settings fit, the remote knows us.
async fn account(host: &Host, name: &str) -> (Vec<Finding>, Option<Vec<Collection>>) {
    let check = format!("account {name}");
    let account = match host.account(name).await {
        Ok(account) => account,
        Err(error) => return (vec![of_error(&check, error)], None),
    };
    let mut findings = overrides(&check, &account);
    let descriptor = &account.installed.loaded.descriptor;
    findings.push(Finding::ok(
        format!("connector of {name}"),
        format!("{} {} loads", descriptor.name, descriptor.version),
    ));
    match account.connector.check().await {
        Ok(identity) => findings.push(Finding::ok(
            check.as_str(),
            format!("reached as {}", identity.label),
        )),
        Err(failure) => {
            findings.push(of_error(&check, host.explain(name, &failure).await));
            return (findings, None);
        }
    }
    match account.connector.collections().await {
        Ok(collections) => (findings, Some(collections)),
        Err(failure) => {
            findings.push(of_error(&check, of_account(name, &failure)));
            (findings, None)
        }
    }
}

fn overrides(check: &str, account: &Account) -> Vec<Finding> {
    account
        .overrides
        .iter()
        .map(|(from, to)| {
            Finding::warn(
                check,
                format!("requests for {from} go to {to}"),
                "remove the override (`endpoints`) unless this is a test",
            )
        })
        .collect()
}

/// Whether each sync fits the collections of its accounts.
async fn syncs(
    host: &Host,
    known: &[(String, Option<Vec<Collection>>)],
    findings: &mut Vec<Finding>,
) {
    let collection = |account: &str, name: &str| {
        let (_, collections) = known.iter().find(|(known, _)| known == account)?;
        Some(
            collections
                .as_ref()?
                .iter()
                .find(|found| found.name == name),
        )
    };
    for (name, spec) in &host.config().syncs {
        let check = format!("sync {name}");
        let sides =
            [&spec.a, &spec.b].map(|side| (side, collection(&side.account, &side.collection)));
        let [(_, Some(a)), (_, Some(b))] = sides else {
            findings.push(Finding::warn(
                check,
                "not checked, because an account failed",
                "see the account",
            ));
            continue;
        };
        let (Some(a), Some(b)) = (a, b) else {
            for (side, found) in sides {
                if matches!(found, Some(None)) {
                    findings.push(Finding::fail(
                        check.as_str(),
                        format!(
                            "account {} has no collection `{}`",
                            side.account, side.collection
                        ),
                        format!(
                            "`samspel account check {}` lists its collections",
                            side.account
                        ),
                    ));
                }
            }
            continue;
        };
        match Policy::compile(spec, a, b) {
            Ok(policy) => {
                findings.push(Finding::ok(check, "fits both collections"));
                findings.extend(mapping::examine(host, name, spec, &policy, [a, b]).await);
            }
            Err(errors) => findings.extend(errors.0.into_iter().map(|error| {
                Finding::fail(
                    check.as_str(),
                    format!("syncs.{name}.{}: {}", error.setting, error.why),
                    "correct the mapping; `samspel account check` lists the fields",
                )
            })),
        }
    }
}

fn of_error(check: &str, error: Error) -> Finding {
    match error {
        Error::Other {
            message, remedy, ..
        } => Finding::fail(
            check,
            message,
            remedy.unwrap_or_else(|| "RUST_LOG=debug shows more".to_owned()),
        ),
        other => Finding::fail(check, other.to_string(), "RUST_LOG=debug shows more"),
    }
}
