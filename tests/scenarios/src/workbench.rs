//! Connectors as components, loaded by the real runtime and bound to simulated vendors.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use samspel_runtime::{
    AccountConfig, BindError, BoundConnector, Credential, EndpointOverride, Limits,
    LoadedConnector, Runtime, RuntimeOptions,
};
use samspel_vendors::Running;
use samspel_vendors::hubspot::{self, HubSpot, HubSpotOptions, HubSpotQuirks};
use samspel_vendors::mailchimp::{self, LIST_ID, Mailchimp, MailchimpOptions, MailchimpQuirks};
use samspel_vendors::settings::Settings;
use samspel_vendors::vendor::Vendor;
use serde_json::{Map, Value, json};

use crate::account::Account;

/// Names the directory of the components; `cargo xtask test` sets it.
const VARIABLE: &str = "SAMSPEL_CONNECTORS";

/// The data centre that the simulated API key names.
pub const DATA_CENTRE: &str = "us19";

/// A runtime and the components that the build made.
pub struct Workbench {
    runtime: Runtime,
    components: PathBuf,
}

/// How an account is set up.
#[derive(Debug, Clone)]
pub struct Setup<Q> {
    /// The vendor's behaviour.
    pub quirks: Q,
    /// Settings of the connector, laid over the usual ones; `null` takes one away.
    pub settings: Value,
    /// The credential, if it is to be another than the one that the vendor accepts.
    pub secret: Option<String>,
    /// What the connector may use.
    pub limits: Limits,
    /// Seed of the vendor's random faults.
    pub fault_seed: u64,
}

impl<Q: Default> Default for Setup<Q> {
    fn default() -> Self {
        Self {
            quirks: Q::default(),
            settings: json!({}),
            secret: None,
            limits: Limits::default(),
            fault_seed: 0,
        }
    }
}

impl Workbench {
    /// `scratch` is the test's `CARGO_TARGET_TMPDIR`: compiled code is kept there, so that each component is compiled
    /// once and not once a test.
    pub fn new(scratch: &str) -> Self {
        let scratch = Path::new(scratch);
        let target = scratch
            .parent()
            .expect("the scratch directory is in target");
        let components = std::env::var_os(VARIABLE)
            .filter(|value| !value.is_empty())
            .map_or_else(|| target.join("connectors"), PathBuf::from);
        let options = RuntimeOptions {
            cache: Some(scratch.join("compiled-connectors")),
            ..RuntimeOptions::default()
        };
        Self {
            runtime: Runtime::new(options).expect("the sandbox can be set up"),
            components,
        }
    }

    /// The runtime.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// A connector by name.
    ///
    /// # Panics
    /// If it was not built.
    pub async fn load(&self, name: &str) -> LoadedConnector {
        let file = self.components.join(format!("{name}.wasm"));
        assert!(
            file.is_file(),
            "{} is missing: `cargo xtask build --connectors-only` makes it, {VARIABLE} names another directory",
            file.display()
        );
        match self.runtime.load(&file).await {
            Ok(loaded) => loaded,
            Err(error) => panic!("{error}"),
        }
    }

    /// A simulated HubSpot and its connector.
    pub async fn hubspot(&self, setup: Setup<HubSpotQuirks>) -> Account<HubSpot> {
        let vendor = HubSpot::new(HubSpotOptions {
            settings: with_quirks(setup.quirks),
            fault_seed: setup.fault_seed,
            ..HubSpotOptions::default()
        });
        let running = vendor.serve_on_loopback().await.expect("a free port");
        let config = AccountConfig {
            settings: laid_over(
                json!({
                    "subscription_id": hubspot::NEWSLETTER,
                    "bounce_property": hubspot::DELIVERABILITY_PROPERTY,
                    "bounce_values": {
                        "deliverable": "ok", "soft_bounced": "soft_bounce",
                        "hard_bounced": "hard_bounce", "complained": "hard_bounce",
                    },
                }),
                setup.settings,
            ),
            ..config(
                "crm",
                "private-app-token",
                setup.secret.as_deref().unwrap_or(hubspot::DEFAULT_TOKEN),
                ("https://api.hubapi.com", &running.url),
                setup.limits,
            )
        };
        self.account("hubspot", "contacts", config, running).await
    }

    /// A simulated Mailchimp and its connector.
    pub async fn mailchimp(&self, setup: Setup<MailchimpQuirks>) -> Account<Mailchimp> {
        let vendor = Mailchimp::new(MailchimpOptions {
            settings: with_quirks(setup.quirks),
            fault_seed: setup.fault_seed,
            ..MailchimpOptions::default()
        });
        let running = vendor.serve_on_loopback().await.expect("a free port");
        let origin = format!("https://{DATA_CENTRE}.api.mailchimp.com");
        let config = AccountConfig {
            settings: laid_over(
                json!({ "dc": DATA_CENTRE, "list_id": LIST_ID }),
                setup.settings,
            ),
            ..config(
                "newsletter",
                "api-key",
                setup.secret.as_deref().unwrap_or(mailchimp::DEFAULT_KEY),
                (&origin, &running.url),
                setup.limits,
            )
        };
        self.account("mailchimp", "members", config, running).await
    }

    async fn account<V: Vendor>(
        &self,
        name: &str,
        collection: &'static str,
        config: AccountConfig,
        running: Running<V>,
    ) -> Account<V> {
        let loaded = self.load(name).await;
        let connector = match self.bind(&loaded, &config) {
            Ok(connector) => connector,
            Err(error) => panic!("{error}"),
        };
        Account::new(running, connector, collection, config)
    }

    /// Binds a connector to an account.
    ///
    /// # Errors
    /// What the runtime says.
    pub fn bind(
        &self,
        loaded: &LoadedConnector,
        config: &AccountConfig,
    ) -> Result<Arc<BoundConnector>, BindError> {
        self.runtime.bind(loaded, config).map(Arc::new)
    }
}

fn with_quirks<Q: Default>(quirks: Q) -> Settings<Q> {
    Settings {
        quirks,
        ..Settings::default()
    }
}

fn config(
    name: &str,
    scheme: &str,
    secret: &str,
    (from, to): (&str, &str),
    limits: Limits,
) -> AccountConfig {
    let credential = Credential {
        scheme: Some(scheme.to_owned()),
        secret: secret.into(),
        client: None,
    };
    AccountConfig {
        name: name.to_owned(),
        settings: Map::new(),
        credentials: [("access".to_owned(), credential)].into(),
        endpoints: vec![EndpointOverride {
            from: from.parse().expect("an origin"),
            to: to.parse().expect("the simulator's address"),
        }],
        // The simulators have limits of their own, where a test wants them.
        rate_limits: false,
        limits,
        tokens: None,
    }
}

fn laid_over(mut usual: Value, other: Value) -> Map<String, Value> {
    if let (Some(usual), Value::Object(other)) = (usual.as_object_mut(), other) {
        usual.extend(other);
        usual.retain(|_, value| !value.is_null());
    }
    match usual {
        Value::Object(settings) => settings,
        _ => Map::new(),
    }
}
