//! Dependencies point one way. A change that breaks a rule here changes the architecture, and that is decided first.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

/// A crate of the host: what it may know about, and what it must not be built on.
struct Rule {
    krate: &'static str,
    knows: &'static [&'static str],
    without: &'static [&'static str],
}

/// What brings the network, a database, a sandbox or an executor into a crate.
const OUTSIDE: [&str; 6] = [
    "reqwest",
    "oci-client",
    "sqlx",
    "wasmtime",
    "wasmtime-wasi",
    "axum",
];

const RULES: [Rule; 10] = [
    Rule {
        krate: "samspel-model",
        knows: &[],
        without: &["tokio", "tokio-util", "futures", "rand", "getrandom"],
    },
    Rule {
        krate: "samspel-engine",
        knows: &["samspel-model"],
        without: &[
            "tokio",
            "tokio-util",
            "futures",
            "async-trait",
            "rand",
            "getrandom",
            "uuid",
            "backon",
            "governor",
        ],
    },
    Rule {
        krate: "samspel-store",
        knows: &["samspel-model"],
        without: &["reqwest", "oci-client", "wasmtime", "wasmtime-wasi", "axum"],
    },
    Rule {
        krate: "samspel-runtime",
        knows: &["samspel-model"],
        without: &["sqlx", "axum", "oci-client"],
    },
    Rule {
        krate: "samspel-sync",
        knows: &["samspel-model", "samspel-engine"],
        without: &OUTSIDE,
    },
    Rule {
        krate: "samspel-scheduler",
        knows: &["samspel-model", "samspel-sync", "samspel-store"],
        without: &OUTSIDE,
    },
    Rule {
        krate: "samspel-installation",
        knows: &[
            "samspel-model",
            "samspel-engine",
            "samspel-store",
            "samspel-runtime",
            "samspel-sync",
        ],
        without: &["sqlx", "wasmtime", "wasmtime-wasi", "axum", "clap"],
    },
    Rule {
        krate: "samspel-operations",
        knows: &[
            "samspel-model",
            "samspel-engine",
            "samspel-runtime",
            "samspel-sync",
            "samspel-installation",
        ],
        without: &[
            "sqlx",
            "wasmtime",
            "wasmtime-wasi",
            "axum",
            "reqwest",
            "clap",
        ],
    },
    Rule {
        krate: "samspel-server",
        knows: &[
            "samspel-model",
            "samspel-runtime",
            "samspel-sync",
            "samspel-scheduler",
            "samspel-installation",
            "samspel-operations",
        ],
        without: &["sqlx", "wasmtime", "wasmtime-wasi", "reqwest", "clap"],
    },
    Rule {
        krate: "samspel",
        knows: &[
            "samspel-model",
            "samspel-engine",
            "samspel-store",
            "samspel-runtime",
            "samspel-sync",
            "samspel-installation",
            "samspel-operations",
            "samspel-server",
        ],
        without: &["sqlx", "wasmtime", "wasmtime-wasi", "axum", "oci-client"],
    },
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("this crate is two levels below the root")
        .to_owned()
}

fn metadata(manifest: &Path) -> Metadata {
    MetadataCommand::new()
        .manifest_path(manifest)
        .no_deps()
        .exec()
        .expect("cargo metadata answers")
}

/// What a crate itself is built on; what only its tests use is left out.
fn dependencies(package: &Package) -> BTreeSet<String> {
    package
        .dependencies
        .iter()
        .filter(|dependency| dependency.kind != DependencyKind::Development)
        .map(|dependency| dependency.name.clone())
        .collect()
}

fn host_crates() -> BTreeMap<String, (PathBuf, BTreeSet<String>)> {
    let host = root().join("host");
    metadata(&root().join("Cargo.toml"))
        .packages
        .iter()
        .filter(|package| package.manifest_path.starts_with(&host))
        .map(|package| {
            let directory = package.manifest_path.parent().expect("a directory");
            (
                package.name.to_string(),
                (directory.as_std_path().to_owned(), dependencies(package)),
            )
        })
        .collect()
}

#[test]
fn every_host_crate_has_a_rule() {
    let crates: BTreeSet<String> = host_crates().into_keys().collect();
    let ruled: BTreeSet<String> = RULES.iter().map(|rule| rule.krate.to_owned()).collect();
    assert_eq!(crates, ruled);
}

#[test]
fn host_crates_know_only_what_they_may_know() {
    let crates = host_crates();
    for rule in RULES {
        let (_, dependencies) = &crates[rule.krate];
        for dependency in dependencies
            .iter()
            .filter(|name| name.starts_with("samspel"))
        {
            assert!(
                rule.knows.contains(&dependency.as_str()),
                "{} must not know {dependency}",
                rule.krate
            );
        }
        for banned in rule.without {
            assert!(
                !dependencies.contains(*banned),
                "{} must not be built on {banned}",
                rule.krate
            );
        }
    }
}

/// The engine decides from what it is given: the same input gives the same plan, today and in a simulation.
#[test]
fn the_engine_asks_for_no_time_and_waits_for_nothing() {
    let crates = host_crates();
    let (directory, _) = &crates["samspel-engine"];
    let sources = rust_sources(&directory.join("src"));
    assert!(!sources.is_empty());
    for (file, text) in sources {
        for banned in [
            "Timestamp::now",
            "Zoned::now",
            "SystemTime",
            "Instant::now",
            "async fn",
            ".await",
            "std::fs",
            "std::net",
            "std::env",
            "HashMap",
            "HashSet",
        ] {
            assert!(!text.contains(banned), "{} uses {banned}", file.display());
        }
    }
}

/// What a run does depends on its ports only; the system's clock is one implementation, in one place.
#[test]
fn the_sync_loop_takes_time_from_its_port() {
    let crates = host_crates();
    for krate in ["samspel-sync", "samspel-scheduler"] {
        let (directory, _) = &crates[krate];
        for (file, text) in rust_sources(&directory.join("src")) {
            if file.file_stem().is_some_and(|stem| stem == "system") {
                continue;
            }
            for banned in [
                "Timestamp::now",
                "SystemTime",
                "Instant::now",
                "tokio::time",
                "Uuid::",
            ] {
                assert!(!text.contains(banned), "{} uses {banned}", file.display());
            }
        }
    }
}

/// Components are fetched in one place, and what is fetched there is believed nowhere.
#[test]
fn the_installation_reaches_the_network_only_to_fetch_components_and_to_tell_people() {
    let crates = host_crates();
    let (directory, _) = &crates["samspel-installation"];
    for (file, text) in rust_sources(&directory.join("src")) {
        if ["lifecycle/source", "lifecycle/oci", "alerts/webhook"]
            .map(|name| directory.join(format!("src/{name}.rs")))
            .contains(&file)
        {
            continue;
        }
        for banned in ["reqwest::", "oci_client", "std::net::Tcp", "tokio::net"] {
            assert!(!text.contains(banned), "{} uses {banned}", file.display());
        }
    }
}

/// Connectors are built on the contract alone: they could live in another repository.
#[test]
fn connectors_know_nothing_of_the_host() {
    let plugins = root().join("plugins");
    let packages = metadata(&plugins.join("Cargo.toml")).packages;
    assert!(!packages.is_empty());
    for package in packages {
        for dependency in &package.dependencies {
            if let Some(path) = &dependency.path {
                assert!(
                    path.starts_with(&plugins),
                    "{} reaches out of plugins/ to {path}",
                    package.name
                );
            }
        }
    }
}

/// Simulators that used the host's own words would agree with its mistakes.
#[test]
fn simulated_vendors_know_nothing_of_the_host() {
    let metadata = metadata(&root().join("Cargo.toml"));
    let vendors = metadata
        .packages
        .iter()
        .find(|package| *package.name == "samspel-vendors")
        .expect("tests/vendors is a member");
    let known: Vec<_> = dependencies(vendors)
        .into_iter()
        .filter(|name| name.starts_with("samspel"))
        .collect();
    assert_eq!(known, Vec::<String>::new());
}

fn rust_sources(directory: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(rust_sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).expect("UTF-8");
            found.push((path, text));
        }
    }
    found
}
