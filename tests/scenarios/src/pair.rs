//! HubSpot and Mailchimp kept in step: both connectors, the real sync, and a store in a directory of its own.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use samspel_engine::SyncSpec;
use samspel_engine::spec::EndpointSpec;
use samspel_model::store::Endpoint;
use samspel_model::{Clock, Connector, Store};
use samspel_store::SqliteStore;
use samspel_sync::system::{SystemClock, SystemIds};
use samspel_sync::{
    Confirmation, Party, RunOptions, RunReport, Silent, Sync, SyncError, SyncParts, VerifyReport,
};
use samspel_vendors::hubspot::{HubSpot, HubSpotQuirks};
use samspel_vendors::mailchimp::{Mailchimp, MailchimpQuirks};
use samspel_vendors::vendor::Vendor;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::account::Account;
use crate::workbench::{Setup, Workbench};

/// How long the sync really waits where it wants to wait longer: a test of what happens after a wait need not wait.
const PATIENCE: Duration = Duration::from_millis(5);

/// Two accounts and the sync between them.
pub struct Pair {
    /// Side A.
    pub hubspot: Account<HubSpot>,
    /// Side B.
    pub mailchimp: Account<Mailchimp>,
    sync: Sync,
    _directory: TempDir,
}

/// The real time, with short waits.
struct Hurried;

#[async_trait]
impl Clock for Hurried {
    fn now(&self) -> jiff::Timestamp {
        SystemClock.now()
    }

    async fn sleep(&self, duration: Duration) {
        SystemClock.sleep(duration.min(PATIENCE)).await;
    }
}

/// The mapping of the demo.
const SPEC: &str = r#"
a = { account = "crm", collection = "contacts" }
b = { account = "newsletter", collection = "members" }
match = { a = "email", b = "email_address" }
new-members = "transactional"
first-sync = "a"
fields = [
  { a = "email", b = "email_address" },
  { a = "firstname", b = "FNAME" },
  { a = "lastname", b = "LNAME" },
  { a = "phone", b = "PHONE", normalize = "phone", region = "SE" },
  { a = "company", b = "COMPANY" },
]
"#;

impl Pair {
    /// Both vendors hold the first `people` of `seed`, as far as each knows them.
    ///
    /// # Panics
    /// If anything cannot be set up.
    pub async fn new(
        workbench: &Workbench,
        people: u64,
        seed: u64,
        hubspot: Setup<HubSpotQuirks>,
        mailchimp: Setup<MailchimpQuirks>,
    ) -> Self {
        let hubspot = workbench.hubspot(hubspot).await;
        let mailchimp = workbench.mailchimp(mailchimp).await;
        hubspot.vendor().seed(people, seed);
        mailchimp.vendor().seed(people, seed);
        let directory = tempfile::tempdir().expect("a directory");
        let store = SqliteStore::open(&directory.path().join("samspel.db"), "main")
            .await
            .expect("a store");
        let store: Arc<dyn Store> = Arc::new(store);
        let spec: SyncSpec = toml::from_str(SPEC).expect("a specification");
        let parties = [party(&spec.a, &hubspot), party(&spec.b, &mailchimp)];
        let sync = Sync::new(SyncParts {
            name: "contacts".to_owned(),
            spec,
            parties,
            store,
            clock: Arc::new(Hurried),
            ids: Arc::new(SystemIds),
            owner: "a test".to_owned(),
            lease_ttl: Duration::from_secs(60),
        });
        Self {
            hubspot,
            mailchimp,
            sync,
            _directory: directory,
        }
    }

    /// One run.
    ///
    /// # Errors
    /// What ended it early.
    pub async fn run(&self) -> Result<RunReport, SyncError> {
        let options = RunOptions {
            full: false,
            confirmation: Confirmation::Given,
        };
        self.sync
            .run(options, &Silent, CancellationToken::new())
            .await
    }

    /// A comparison of both sides.
    ///
    /// # Panics
    /// If it fails.
    pub async fn verify(&self) -> VerifyReport {
        self.sync
            .verify(&Silent, CancellationToken::new())
            .await
            .expect("both sides can be compared")
    }
}

fn party<V>(endpoint: &EndpointSpec, account: &Account<V>) -> Party {
    let descriptor = account.connector.descriptor();
    Party {
        endpoint: Endpoint {
            account: endpoint.account.clone(),
            collection: endpoint.collection.clone(),
        },
        cursor_version: descriptor.cursor_version,
        cursor_versions_read: descriptor.cursor_versions_read.clone(),
        connector: Arc::clone(&account.connector) as Arc<dyn Connector>,
    }
}
