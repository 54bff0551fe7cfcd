//! One account: a simulated vendor and the connector that is bound to it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use samspel_model::{
    CallFailure, Collection, Connector, Consent, ConsentState, Create, Entity, Extent, Failure,
    Fetched, Fields, Outcome, Page, ReadMode, ReadRequest, RecordId, Removal, Remove, Tombstone,
    Update, WriteOp,
};
use samspel_runtime::{AccountConfig, BoundConnector};
use samspel_vendors::Running;
use samspel_vendors::stats::StatsReport;
use samspel_vendors::vendor::Vendor;
use serde_json::{Value, json};

/// Pages after which a reading is taken to have no end.
const MOST_PAGES: usize = 2_000;

/// A simulated vendor and the connector that is bound to it.
pub struct Account<V> {
    running: Running<V>,
    /// The connector.
    pub connector: Arc<BoundConnector>,
    /// Its collection.
    pub collection: &'static str,
    /// How it was bound.
    pub config: AccountConfig,
}

/// Everything that was read, from the first page to the last.
#[derive(Debug, Default)]
pub struct Reading {
    /// Records as they came; one may come several times.
    pub records: Vec<Entity>,
    /// Records that are gone.
    pub tombstones: Vec<Tombstone>,
    /// From where changes can be read next.
    pub cursor: String,
    /// How many pages there were.
    pub pages: usize,
}

impl Reading {
    /// The ids of records, each once.
    pub fn ids(&self) -> BTreeSet<&str> {
        self.records
            .iter()
            .map(|record| record.id.as_str())
            .collect()
    }

    /// The ids of tombstones, each once.
    pub fn gone(&self) -> BTreeSet<&str> {
        self.tombstones
            .iter()
            .map(|tombstone| tombstone.id.as_str())
            .collect()
    }

    /// The last that was said about a record.
    pub fn record(&self, id: &str) -> Option<&Entity> {
        self.records.iter().rfind(|record| record.id.as_str() == id)
    }
}

impl<V: Vendor> Account<V> {
    pub(crate) fn new(
        running: Running<V>,
        connector: Arc<BoundConnector>,
        collection: &'static str,
        config: AccountConfig,
    ) -> Self {
        Self {
            running,
            connector,
            collection,
            config,
        }
    }

    /// The vendor.
    pub fn vendor(&self) -> &V {
        &self.running.vendor
    }

    /// Does what a user would do, given as the control API takes it; answers the record as it is then.
    ///
    /// # Panics
    /// If the vendor refuses it.
    pub fn act(&self, act: Value) -> Value {
        let act = serde_json::from_value(act).expect("an act of this vendor");
        self.vendor().act(act).expect("the act is possible")
    }

    /// Adds scripted faults, given as the control API takes them.
    ///
    /// # Panics
    /// If they are none.
    pub fn script(&self, faults: Value) {
        let faults: Vec<_> = serde_json::from_value(faults).expect("a list of scripted faults");
        self.vendor().core().faults.script(faults);
    }

    /// The same fault for every request to this path from now on.
    pub fn always(&self, fault: Value, path: &str) {
        self.script(json!([{ "fault": fault, "path_contains": path, "times": 1_000_000 }]));
    }

    /// Forgets all faults, scripted and random.
    pub fn heal(&self) {
        self.vendor().core().faults.clear_script();
        self.vendor()
            .core()
            .settings
            .update(|settings| settings.faults.rate = 0.0);
    }

    /// Changes the vendor's settings by a JSON merge patch.
    ///
    /// # Panics
    /// If the vendor has no such setting.
    pub fn set(&self, patch: Value) {
        self.vendor()
            .core()
            .settings
            .merge(&patch)
            .expect("settings of this vendor");
    }

    /// Moves the vendor's clock.
    pub fn later(&self, seconds: i64) {
        self.vendor().core().clock.advance(seconds * 1_000);
    }

    /// What the vendor was asked and what was changed since this was asked last.
    pub fn asked(&self) -> StatsReport {
        self.vendor().core().stats.reset()
    }

    /// Every record that the vendor holds, archived ones included.
    pub fn dump(&self) -> Vec<Value> {
        let mut records = Vec::new();
        let mut from = Some(0);
        while let Some(at) = from {
            let page = self.vendor().dump(at, false);
            let lines = page.lines.split(|byte| *byte == b'\n');
            records.extend(
                lines
                    .filter(|line| !line.is_empty())
                    .map(|line| serde_json::from_slice::<Value>(line).expect("JSON lines")),
            );
            from = page.next;
        }
        records
    }

    /// The collection as the connector describes it.
    ///
    /// # Panics
    /// If it cannot be told.
    pub async fn described(&self) -> Collection {
        let mut collections = self.connector.collections().await.expect("collections");
        assert_eq!(collections.len(), 1);
        collections.remove(0)
    }

    /// One page.
    ///
    /// # Errors
    /// What the connector says.
    pub async fn page(&self, mode: ReadMode, limit: u32) -> Result<Page, Failure> {
        self.page_of(mode, limit, None).await
    }

    /// One page of these fields.
    ///
    /// # Errors
    /// What the connector says.
    pub async fn page_of(
        &self,
        mode: ReadMode,
        limit: u32,
        fields: Option<&[&str]>,
    ) -> Result<Page, Failure> {
        let request = ReadRequest {
            collection: self.collection.to_owned(),
            mode,
            fields: fields.map(|names| names.iter().map(|name| (*name).to_owned()).collect()),
            limit,
        };
        self.connector.changes(request).await
    }

    /// Everything there is. `between` is called after each page with its number.
    ///
    /// # Panics
    /// If reading fails, has no end, or breaks the contract.
    pub async fn snapshot_while(&self, limit: u32, mut between: impl FnMut(usize)) -> Reading {
        let mut reading = Reading::default();
        let mut token = None;
        loop {
            let page = self
                .page(ReadMode::Snapshot(token), limit)
                .await
                .expect("a page of the snapshot");
            let is_first = reading.pages == 0;
            assert_eq!(
                page.resume_cursor.is_some(),
                is_first,
                "the first page, and no other, has the cursor from before"
            );
            assert_eq!(page.more, page.next.is_some());
            assert_eq!(
                page.complete, !page.more,
                "the last page, and no other, is complete"
            );
            if let Some(cursor) = page.resume_cursor {
                reading.cursor = cursor;
            }
            reading.take(page.records, page.tombstones);
            between(reading.pages);
            token = page.next;
            if token.is_none() {
                return reading;
            }
        }
    }

    /// Everything there is.
    pub async fn snapshot(&self, limit: u32) -> Reading {
        self.snapshot_while(limit, |_| {}).await
    }

    /// What changed since a cursor. `between` is called after each page with its number.
    ///
    /// # Panics
    /// If reading fails, has no end, or breaks the contract.
    pub async fn changes_while(
        &self,
        cursor: &str,
        limit: u32,
        mut between: impl FnMut(usize),
    ) -> Reading {
        let mut reading = Reading {
            cursor: cursor.to_owned(),
            ..Reading::default()
        };
        loop {
            let mode = ReadMode::Incremental(reading.cursor.clone());
            let page = self.page(mode, limit).await.expect("a page of changes");
            assert_eq!(page.resume_cursor, None);
            assert!(!page.complete, "changes prove no absence");
            reading.cursor = page.next.expect("changes always have a cursor");
            reading.take(page.records, page.tombstones);
            between(reading.pages);
            if !page.more {
                return reading;
            }
        }
    }

    /// What changed since a cursor.
    pub async fn changes(&self, cursor: &str, limit: u32) -> Reading {
        self.changes_while(cursor, limit, |_| {}).await
    }

    /// What became of ids.
    ///
    /// # Panics
    /// If that cannot be told.
    pub async fn fetch(&self, ids: &[&str]) -> Vec<Fetched> {
        let ids: Vec<RecordId> = ids.iter().map(|id| RecordId::from(*id)).collect();
        self.connector
            .fetch(self.collection, &ids, None, Extent::Whole)
            .await
            .expect("an answer per id")
    }

    /// The record of an id.
    ///
    /// # Panics
    /// If there is none.
    pub async fn record(&self, id: &str) -> Entity {
        match self.fetch(&[id]).await.remove(0) {
            Fetched::Found(entity) => entity,
            other => panic!("{id}: {other:?}"),
        }
    }

    /// The ids of records that a value finds.
    ///
    /// # Panics
    /// If that cannot be told.
    pub async fn find(&self, field: &str, values: &[&str]) -> Vec<Vec<String>> {
        let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
        let found = self
            .connector
            .find(self.collection, field, &values)
            .await
            .expect("an answer per value");
        found
            .into_iter()
            .map(|records| {
                records
                    .into_iter()
                    .map(|record| record.id.to_string())
                    .collect()
            })
            .collect()
    }

    /// Writes.
    ///
    /// # Errors
    /// What the connector says about the call as a whole.
    pub async fn try_write(&self, writes: Vec<WriteOp>) -> Result<Vec<Outcome>, CallFailure> {
        self.connector.write(self.collection, writes).await
    }

    /// Writes.
    ///
    /// # Panics
    /// If the call as a whole fails.
    pub async fn write(&self, writes: Vec<WriteOp>) -> Vec<Outcome> {
        let sent = writes.len();
        let outcomes = self.try_write(writes).await.expect("outcomes");
        assert_eq!(outcomes.len(), sent, "one outcome per write");
        outcomes
    }

    /// Writes one record.
    ///
    /// # Panics
    /// If the call as a whole fails.
    pub async fn write_one(&self, write: WriteOp) -> Outcome {
        self.write(vec![write]).await.remove(0)
    }
}

impl Reading {
    fn take(&mut self, records: Vec<Entity>, tombstones: Vec<Tombstone>) {
        self.records.extend(records);
        self.tombstones.extend(tombstones);
        self.pages += 1;
        assert!(self.pages < MOST_PAGES, "reading comes to an end");
    }

    /// The last that was said about each record.
    pub fn latest(&self) -> BTreeMap<&str, &Entity> {
        self.records
            .iter()
            .map(|record| (record.id.as_str(), record))
            .collect()
    }
}

fn fields(values: Value) -> Fields {
    match values {
        Value::Object(fields) => fields,
        other => panic!("fields are an object: {other}"),
    }
}

/// A new record.
pub fn create(key: &str, values: Value) -> Create {
    Create {
        idempotency_key: key.to_owned(),
        fields: fields(values),
        consents: Vec::new(),
        deliverability: None,
    }
}

/// A change of a record.
pub fn update(id: &str, patch: Value) -> Update {
    Update {
        id: id.into(),
        precondition: None,
        patch: fields(patch),
        consents: Vec::new(),
        deliverability: None,
        known: Fields::new(),
    }
}

/// Taking a record away.
pub fn remove(id: &str, how: Removal) -> WriteOp {
    WriteOp::Remove(Remove {
        id: id.into(),
        precondition: None,
        how,
        known: Fields::new(),
    })
}

/// What a person said about marketing by e-mail.
pub fn consent(state: ConsentState) -> Consent {
    Consent {
        channel: "email".to_owned(),
        purpose: "marketing".to_owned(),
        state,
        at: None,
        evidence: None,
    }
}

/// The id of what was written.
///
/// # Panics
/// If it was not.
pub fn written(outcome: &Outcome) -> &Entity {
    match outcome {
        Outcome::Written(entity) => entity,
        other => panic!("not written: {other:?}"),
    }
}
