//! What the tests of the sandbox share: the hostile connector on accounts of a real runtime, beside a neighbour that
//! must never notice.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

pub mod component;
pub mod server;
pub mod trace;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use samspel_model::{Connector, Failure, Page, ReadMode, ReadRequest};
use samspel_runtime::{
    AccountConfig, BoundConnector, Credential, EndpointOverride, Limits, LoadedConnector, Runtime,
    RuntimeOptions,
};
use secrecy::SecretString;
use serde_json::{Value, json};
use url::Url;

/// The origin that the hostile connector may reach without restrictions.
pub const API: &str = "https://api.example.com";

/// An origin of which it may only `GET` what is below `/open`.
pub const OTHER: &str = "https://other.example.com";

/// The file of a connector that only tests load.
///
/// # Panics
/// It was not built: a test of the sandbox that is skipped would prove nothing.
pub fn test_connector(name: &str) -> PathBuf {
    let directory = match std::env::var_os("SAMSPEL_CONNECTORS") {
        Some(directory) => PathBuf::from(directory),
        // target/debug/deps/limits-0123456789abcdef
        None => std::env::current_exe()
            .unwrap()
            .ancestors()
            .nth(3)
            .expect("tests run below the target directory")
            .join("connectors"),
    };
    let file = directory.join("test").join(format!("{name}.wasm"));
    assert!(
        file.is_file(),
        "{} is missing: `cargo xtask build` makes it, and `cargo xtask test` does both",
        file.display()
    );
    file
}

/// Options of a runtime that keeps compiled code between tests.
pub fn options() -> RuntimeOptions {
    RuntimeOptions {
        cache: Some(Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled")),
        ..RuntimeOptions::default()
    }
}

/// A runtime, the hostile connector, and a neighbour on another account.
pub struct Sandbox {
    pub runtime: Runtime,
    pub hostile: LoadedConnector,
    neighbour: Arc<BoundConnector>,
}

impl Sandbox {
    pub async fn new() -> Self {
        Self::with(options()).await
    }

    pub async fn with(options: RuntimeOptions) -> Self {
        let runtime = Runtime::new(options).unwrap();
        let hostile = runtime.load(&test_connector("hostile")).await.unwrap();
        let neighbour = runtime
            .bind(&hostile, &account("neighbour", json!({ "mode": "idle" })))
            .unwrap();
        Self {
            runtime,
            hostile,
            neighbour: Arc::new(neighbour),
        }
    }

    /// Binds the hostile connector.
    pub fn bind(&self, account: &AccountConfig) -> BoundConnector {
        self.runtime.bind(&self.hostile, account).unwrap()
    }

    /// Does a deed on an account with these limits, while and after which the neighbour works as ever. The result is
    /// what the guest reported, or how the host ended it.
    pub async fn deed(&self, settings: Value, limits: Limits) -> Result<Value, Failure> {
        self.deed_on(&AccountConfig {
            limits,
            ..account("deed", settings)
        })
        .await
    }

    /// The same on any account.
    pub async fn deed_on(&self, account: &AccountConfig) -> Result<Value, Failure> {
        self.page_on(account).await.map(report)
    }

    /// The same, with the whole page.
    pub async fn page_on(&self, account: &AccountConfig) -> Result<Page, Failure> {
        let bound = self.bind(account);
        let result = bound.changes(everything()).await;
        self.neighbour_works().await;
        result
    }

    /// The neighbour's account.
    pub fn neighbour(&self) -> Arc<BoundConnector> {
        Arc::clone(&self.neighbour)
    }

    /// Whatever happened, the next account's calls succeed.
    pub async fn neighbour_works(&self) {
        let page = self.neighbour.changes(everything()).await.unwrap();
        assert_eq!(report(page), Value::Null);
    }
}

/// Reads all things.
pub fn everything() -> ReadRequest {
    ReadRequest {
        collection: "things".to_owned(),
        mode: ReadMode::Snapshot(None),
        fields: None,
        limit: 100,
    }
}

/// What the guest wrote into its only record.
pub fn report(page: Page) -> Value {
    let record = page.records.into_iter().next().expect("one record");
    record.fields.get("report").expect("a report").clone()
}

/// An account of the hostile connector, without credentials and without a server. Its settings name an origin that
/// leads nowhere, unless they name another.
pub fn account(name: &str, settings: Value) -> AccountConfig {
    let mut settings = settings.as_object().unwrap().clone();
    settings
        .entry("url")
        .or_insert_with(|| json!("https://nowhere.example.com"));
    AccountConfig {
        name: name.to_owned(),
        settings,
        credentials: BTreeMap::new(),
        endpoints: Vec::new(),
        rate_limits: true,
        limits: Limits::default(),
        tokens: None,
    }
}

/// What the operator does so that an origin is reached at a local server.
pub fn reach(from: &str, to: &Url) -> EndpointOverride {
    EndpointOverride {
        from: from.parse().unwrap(),
        to: to.clone(),
    }
}

/// A secret for the connector's only scheme of that credential.
pub fn credential(secret: &str) -> Credential {
    Credential {
        scheme: None,
        secret: SecretString::from(secret.to_owned()),
        client: None,
    }
}

/// The call was ended by the host, and the error names this limit as it is spelled in the configuration.
#[track_caller]
pub fn assert_stopped<T: std::fmt::Debug>(result: &Result<T, Failure>, limit: &str) {
    match result {
        Err(Failure::Stopped(why)) => {
            assert!(why.contains(&format!("({limit})")), "not by {limit}: {why}");
        }
        other => panic!("{limit} stopped nothing: {other:?}"),
    }
}

/// The result was refused, and the error says why.
#[track_caller]
pub fn assert_refused<T: std::fmt::Debug>(result: &Result<T, Failure>, why: &str) {
    match result {
        Err(Failure::Bug(found)) => assert!(found.contains(why), "not because of {why}: {found}"),
        other => panic!("taken in spite of {why}: {other:?}"),
    }
}
