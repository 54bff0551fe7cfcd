//! HubSpot and Mailchimp kept in step: both connectors, the real sync, and a store in a directory of its own.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use samspel_engine::SyncSpec;
use samspel_engine::pseudonym::Pseudonyms;
use samspel_engine::spec::EndpointSpec;
use samspel_model::store::Endpoint;
use samspel_model::{Clock, Connector, Store};
use samspel_store::SqliteStore;
use samspel_sync::system::{SystemClock, SystemIds};
use samspel_sync::{
    Confirmation, Operator, Party, PlanReport, RunOptions, RunReport, Silent, Sync, SyncError,
    SyncParts, UndoReport, VerifyReport,
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
    /// What survives.
    pub store: Arc<dyn Store>,
    /// What the operator wrote.
    pub spec: SyncSpec,
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
pub const SPEC: &str = r#"
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
        let pair = Self::of(
            workbench.hubspot(hubspot).await,
            workbench.mailchimp(mailchimp).await,
            SPEC,
        )
        .await;
        pair.hubspot.vendor().seed(people, seed);
        pair.mailchimp.vendor().seed(people, seed);
        pair
    }

    /// Two accounts as they are, and this specification.
    ///
    /// # Panics
    /// If anything cannot be set up.
    pub async fn of(hubspot: Account<HubSpot>, mailchimp: Account<Mailchimp>, spec: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let store = SqliteStore::open(&directory.path().join("samspel.db"), "main")
            .await
            .expect("a store");
        let store: Arc<dyn Store> = Arc::new(store);
        let spec: SyncSpec = toml::from_str(spec).expect("a specification");
        let parties = [party(&spec.a, &hubspot), party(&spec.b, &mailchimp)];
        let sync = sync(NAME, &spec, parties, &store, None);
        Self {
            hubspot,
            mailchimp,
            store,
            spec,
            sync,
            _directory: directory,
        }
    }

    /// Goes on with another specification, on what is stored.
    ///
    /// # Panics
    /// If it is none.
    pub fn respecify(&mut self, spec: &str) {
        self.spec = toml::from_str(spec).expect("a specification");
        self.rebuild(None);
    }

    /// From now on runs recognise the addresses of erased people.
    pub fn recognise(&mut self, pseudonyms: Pseudonyms) {
        self.rebuild(Some(pseudonyms));
    }

    fn rebuild(&mut self, pseudonyms: Option<Pseudonyms>) {
        let parties = [
            party(&self.spec.a, &self.hubspot),
            party(&self.spec.b, &self.mailchimp),
        ];
        self.sync = sync(NAME, &self.spec, parties, &self.store, pseudonyms);
    }

    /// A second sync of the same HubSpot, with another account, on the same store.
    ///
    /// # Panics
    /// If the specification is none.
    pub fn second(&self, name: &str, spec: &str, other: &Account<Mailchimp>) -> Sync {
        let spec: SyncSpec = toml::from_str(spec).expect("a specification");
        let parties = [party(&spec.a, &self.hubspot), party(&spec.b, other)];
        sync(name, &spec, parties, &self.store, None)
    }

    /// An operator at work on the sync.
    pub fn operator(&self) -> Operator {
        Operator {
            store: Arc::clone(&self.store),
            clock: Arc::new(Hurried),
            owner: "an operator".to_owned(),
            sync: NAME.to_owned(),
            endpoints: [&self.spec.a, &self.spec.b].map(endpoint),
        }
    }

    /// A run as asked for.
    ///
    /// # Errors
    /// What ended it early.
    pub async fn run_with(&self, options: RunOptions) -> Result<RunReport, SyncError> {
        self.run_until(options, CancellationToken::new()).await
    }

    /// A run as asked for, that ends when somebody asks for that.
    ///
    /// # Errors
    /// What ended it early.
    pub async fn run_until(
        &self,
        options: RunOptions,
        stop: CancellationToken,
    ) -> Result<RunReport, SyncError> {
        self.sync.run(options, &Silent, stop).await
    }

    /// What a run would do.
    ///
    /// # Panics
    /// If that cannot be told.
    pub async fn plan(&self) -> PlanReport {
        self.sync
            .plan(PlanReport::SAMPLES, &Silent, CancellationToken::new())
            .await
            .expect("a plan")
    }

    /// Takes a run back.
    ///
    /// # Errors
    /// What ended it early.
    pub async fn undo(&self, run: &str) -> Result<UndoReport, SyncError> {
        self.sync.undo(run, &Silent, CancellationToken::new()).await
    }

    /// A comparison that heals what differs.
    ///
    /// # Panics
    /// If it fails.
    pub async fn heal(&self) -> VerifyReport {
        self.sync
            .verify(true, &Silent, CancellationToken::new())
            .await
            .expect("both sides can be compared and healed")
    }

    /// One run.
    ///
    /// # Errors
    /// What ended it early.
    pub async fn run(&self) -> Result<RunReport, SyncError> {
        self.run_with(RunOptions::new(Confirmation::Given)).await
    }

    /// A comparison of both sides.
    ///
    /// # Panics
    /// If it fails.
    pub async fn verify(&self) -> VerifyReport {
        self.sync
            .verify(false, &Silent, CancellationToken::new())
            .await
            .expect("both sides can be compared")
    }
}

/// The name of the sync.
pub const NAME: &str = "contacts";

fn sync(
    name: &str,
    spec: &SyncSpec,
    parties: [Party; 2],
    store: &Arc<dyn Store>,
    pseudonyms: Option<Pseudonyms>,
) -> Sync {
    Sync::new(SyncParts {
        name: name.to_owned(),
        spec: spec.clone(),
        parties,
        store: Arc::clone(store),
        clock: Arc::new(Hurried),
        ids: Arc::new(SystemIds),
        pseudonyms,
        offers: Arc::default(),
        owner: "a test".to_owned(),
        lease_ttl: Duration::from_secs(60),
    })
}

fn endpoint(of: &EndpointSpec) -> Endpoint {
    Endpoint {
        account: of.account.clone(),
        collection: of.collection.clone(),
    }
}

fn party<V>(endpoint: &EndpointSpec, account: &Account<V>) -> Party {
    let descriptor = account.connector.descriptor();
    Party {
        endpoint: self::endpoint(endpoint),
        cursor_version: descriptor.cursor_version,
        cursor_versions_read: descriptor.cursor_versions_read.clone(),
        connector: Arc::clone(&account.connector) as Arc<dyn Connector>,
        scope: None,
    }
}
