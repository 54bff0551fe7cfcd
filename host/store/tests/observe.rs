//! Whatever is read in whatever order, the store knows what a plain model knows.
//!
//! The model is written record by record after the documentation of `Change::Observe`, without batches, SQL or keys
//! that are kept twice.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;
use samspel_model::store::{self, Change, Commit, Endpoint, Observed, Receipt, Sequence, Source};
use samspel_model::{
    Absence, Entity, Extent, Fields, Presence, RecordId, Revision, Store, Tombstone,
};
use samspel_store::SqliteStore;
use serde_json::{Value, json};

/// The sync that commits, and another one on the same endpoint.
const SYNCS: [&str; 2] = ["people", "news"];

/// A record as it is read: id, e-mail address (not read, empty or a value), age (not read or a value), order.
type Read = (u8, Option<Option<u8>>, Option<u8>, Option<u64>);

#[derive(Debug, Clone)]
struct Step {
    source: Source,
    /// How many commits ago the request was sent.
    ago: u64,
    snapshot: bool,
    records: Vec<Read>,
    tombstones: Vec<(u8, Absence, Option<u64>)>,
    /// The queues are emptied afterwards.
    drain: bool,
}

#[derive(Debug, Clone, PartialEq)]
struct Known {
    presence: Presence,
    email: Option<Option<u8>>,
    age: Option<u8>,
    revision: Option<Option<u64>>,
    written: Option<Sequence>,
    changed: Sequence,
    snapshot: Option<Sequence>,
}

#[derive(Debug, Default)]
struct Model {
    sequence: Sequence,
    records: BTreeMap<u8, Known>,
    /// By sync: the record and whether it must be fetched.
    queues: [BTreeMap<u8, bool>; 2],
}

/// What one batch did to the queues, applied at its end.
#[derive(Default)]
struct Marks {
    changed: BTreeSet<u8>,
    refetch: BTreeSet<u8>,
}

impl Model {
    fn apply(&mut self, step: &Step) -> Receipt {
        let sent = self.sequence.saturating_sub(step.ago);
        let snapshot = step.snapshot.then_some(self.sequence);
        self.sequence += 1;
        let mut receipt = Receipt {
            sequence: self.sequence,
            ..Receipt::default()
        };
        let mut marks = Marks::default();
        for read in &step.records {
            self.record(step.source, sent, snapshot, read, &mut receipt, &mut marks);
        }
        for (id, why, order) in &step.tombstones {
            self.tombstone(
                step.source,
                sent,
                *id,
                why,
                *order,
                &mut receipt,
                &mut marks,
            );
        }
        let before = self.queues[0].len();
        for (index, queue) in self.queues.iter_mut().enumerate() {
            if !(index == 0 && step.source == Source::Write) {
                for id in &marks.changed {
                    queue.entry(*id).or_insert(false);
                }
            }
            queue.extend(marks.refetch.iter().map(|id| (*id, true)));
        }
        receipt.queued = (self.queues[0].len() - before) as u64;
        receipt
    }

    fn stale(known: &Known, source: Source, sent: Sequence, order: Option<u64>) -> bool {
        let newer = match (known.revision, order) {
            (Some(Some(known)), Some(read)) if read != known => Some(read > known),
            _ => None,
        };
        match (source, newer) {
            (_, Some(true)) => false,
            (Source::Listing, Some(false)) => true,
            (Source::Listing, None) => known.written.is_some(),
            (Source::Fetch | Source::Write, _) => sent < known.changed,
        }
    }

    fn written(
        &self,
        source: Source,
        sent: Sequence,
        before: Option<Sequence>,
    ) -> Option<Sequence> {
        match source {
            Source::Write => Some(self.sequence),
            Source::Fetch => before.max(Some(sent)),
            Source::Listing => before,
        }
    }

    fn record(
        &mut self,
        source: Source,
        sent: Sequence,
        snapshot: Option<Sequence>,
        &(id, email, age, order): &Read,
        receipt: &mut Receipt,
        marks: &mut Marks,
    ) {
        let before = self.records.get(&id).and_then(|known| known.written);
        let written = self.written(source, sent, before);
        let sequence = self.sequence;
        let Some(known) = self.records.get_mut(&id) else {
            let new = Known {
                presence: Presence::Present,
                email,
                age,
                revision: order.map(Some),
                written,
                changed: sequence,
                snapshot,
            };
            self.records.insert(id, new);
            receipt.changed += 1;
            marks.changed.insert(id);
            return;
        };
        known.snapshot = known.snapshot.max(snapshot);
        let (new_email, new_age) = (email.or(known.email), age.or(known.age));
        let rewritten = (new_email, new_age) != (known.email, known.age);
        let differs = rewritten || known.presence != Presence::Present;
        let left = source == Source::Write && known.presence == Presence::OutOfScope;
        if left || differs && Self::stale(known, source, sent, order) {
            receipt.refetch += 1;
            marks.refetch.insert(id);
            return;
        }
        let older =
            matches!((known.revision, order), (Some(Some(known)), Some(read)) if read < known);
        if !(source == Source::Listing && older) && (rewritten || order.is_some()) {
            known.revision = order.map(Some);
        }
        known.presence = Presence::Present;
        (known.email, known.age) = (new_email, new_age);
        known.written = written;
        if differs {
            known.changed = sequence;
        }
        if differs {
            receipt.changed += 1;
            marks.changed.insert(id);
        } else {
            receipt.unchanged += 1;
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the model is plain")]
    fn tombstone(
        &mut self,
        source: Source,
        sent: Sequence,
        id: u8,
        why: &Absence,
        order: Option<u64>,
        receipt: &mut Receipt,
        marks: &mut Marks,
    ) {
        let sequence = self.sequence;
        let before = self.records.get(&id).and_then(|known| known.written);
        let written = self.written(source, sent, before);
        let Some(known) = self.records.get_mut(&id) else {
            return;
        };
        let presence = match why {
            Absence::Archived => Presence::Archived,
            Absence::OutOfScope => Presence::OutOfScope,
            _ => Presence::Gone,
        };
        let differs = presence != known.presence;
        if differs && Self::stale(known, source, sent, order) {
            receipt.refetch += 1;
            marks.refetch.insert(id);
            return;
        }
        known.presence = presence;
        known.written = written;
        if differs {
            known.changed = sequence;
        }
        if differs || order.is_some() {
            known.revision = order.map(Some);
        }
        if differs {
            receipt.changed += 1;
            marks.changed.insert(id);
        } else {
            receipt.unchanged += 1;
        }
    }
}

fn address(value: u8) -> String {
    format!("{value}@example.org")
}

fn fields(email: Option<Option<u8>>, age: Option<u8>) -> Fields {
    let mut fields = Fields::new();
    if let Some(email) = email {
        fields.insert(
            "email".to_owned(),
            email.map(address).map_or(Value::Null, Value::from),
        );
    }
    if let Some(age) = age {
        fields.insert("age".to_owned(), json!(age));
    }
    fields
}

fn revision(order: Option<u64>) -> Option<Revision> {
    order.map(|order| Revision {
        token: format!("v{order}"),
        order: Some(order),
    })
}

fn observed(&(id, email, age, order): &Read) -> Observed {
    Observed {
        extent: Extent::Whole,
        keys: email
            .flatten()
            .map(|email| ("email".to_owned(), address(email)))
            .into_iter()
            .collect(),
        entity: Entity {
            id: RecordId::new(id.to_string()),
            revision: revision(order),
            fields: fields(email, age),
            consents: Vec::new(),
            deliverability: None,
            aliases: Vec::new(),
            modified: None,
        },
    }
}

fn commit(changes: Vec<Change>) -> Commit {
    Commit {
        step: store::Step::Page,
        at: Timestamp::UNIX_EPOCH,
        changes,
    }
}

fn endpoint(account: &str) -> Endpoint {
    Endpoint {
        account: account.to_owned(),
        collection: "contacts".to_owned(),
    }
}

fn step() -> impl Strategy<Value = Step> {
    let order = || prop::option::of(0_u64..4);
    let source = prop_oneof![
        3 => Just(Source::Listing),
        1 => Just(Source::Fetch),
        1 => Just(Source::Write),
    ];
    let why = prop_oneof![
        Just(Absence::Deleted),
        Just(Absence::Archived),
        Just(Absence::OutOfScope),
        Just(Absence::MergedInto(RecordId::from("0"))),
    ];
    let record = (
        0_u8..4,
        prop::option::of(prop::option::of(0_u8..3)),
        prop::option::of(0_u8..2),
        order(),
    );
    (
        source,
        0_u64..3,
        any::<bool>(),
        prop::collection::vec(record, 0..4),
        prop::collection::vec((0_u8..4, why, order()), 0..2),
        prop::bool::weighted(0.3),
    )
        .prop_map(|(source, ago, snapshot, records, tombstones, drain)| Step {
            source,
            ago,
            snapshot,
            records,
            tombstones,
            drain,
        })
}

/// Compares everything that the port shows of the endpoint.
async fn compare(store: &SqliteStore, model: &Model, number: Sequence) {
    let stored = store.records(&endpoint("crm"), None, 100).await.unwrap();
    assert_eq!(stored.len(), model.records.len());
    for one in &stored {
        let id: u8 = one.id.as_str().parse().unwrap();
        let known = &model.records[&id];
        assert_eq!(one.presence, known.presence, "record {id}");
        assert_eq!(one.fields, fields(known.email, known.age), "record {id}");
        assert_eq!(
            one.revision,
            revision(known.revision.flatten()),
            "record {id}"
        );
        let hash = samspel_model::record::content_hash(&one.fields, &one.consents, None);
        assert_eq!(one.hash, hash, "record {id}");
    }
    let addresses: Vec<_> = (0..3).map(address).collect();
    let found = store
        .records_by_key(&endpoint("crm"), "email", &addresses, 10)
        .await
        .unwrap();
    let found: BTreeSet<_> = found
        .into_iter()
        .map(|(value, id)| (value, id.as_str().parse::<u8>().unwrap()))
        .collect();
    let expected: BTreeSet<_> = model
        .records
        .iter()
        .filter(|(_, known)| known.presence == Presence::Present)
        .filter_map(|(id, known)| Some((address(known.email.flatten()?), *id)))
        .collect();
    assert_eq!(found, expected);
    let unseen = store
        .unseen(&endpoint("crm"), number, None, 100)
        .await
        .unwrap();
    let expected: Vec<_> = model
        .records
        .iter()
        .filter(|(_, known)| known.presence == Presence::Present && known.snapshot < Some(number))
        .map(|(id, _)| RecordId::new(id.to_string()))
        .collect();
    assert_eq!(unseen, expected);
    for (sync, queue) in SYNCS.iter().zip(&model.queues) {
        let rows = store.dirty(sync, 0, 100).await.unwrap();
        let rows: BTreeMap<u8, bool> = rows
            .iter()
            .map(|row| (row.id.as_str().parse().unwrap(), row.refetch.is_some()))
            .collect();
        assert_eq!(&rows, queue, "queue of {sync}");
    }
}

async fn check(steps: Vec<Step>) {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&directory.path().join("samspel.db"), "main")
        .await
        .unwrap();
    let mut leases = Vec::new();
    for sync in SYNCS {
        store
            .register(sync, &[endpoint("crm"), endpoint(sync)])
            .await
            .unwrap();
        let lease = store
            .acquire_lease(sync, "test", Timestamp::UNIX_EPOCH, Duration::from_secs(60))
            .await
            .unwrap();
        leases.push(lease);
    }
    let mut model = Model::default();
    for step in steps {
        let number = model.sequence;
        assert_eq!(store.sequence(), number);
        let change = Change::Observe {
            endpoint: endpoint("crm"),
            source: step.source,
            sent: number.saturating_sub(step.ago),
            snapshot: step.snapshot.then_some(number),
            records: step.records.iter().map(observed).collect(),
            tombstones: step
                .tombstones
                .iter()
                .map(|(id, why, order)| Tombstone {
                    id: RecordId::new(id.to_string()),
                    why: why.clone(),
                    revision: revision(*order),
                })
                .collect(),
        };
        let receipt = store
            .commit(&leases[0], commit(vec![change]))
            .await
            .unwrap();
        assert_eq!(receipt, model.apply(&step), "{step:?}");
        compare(&store, &model, number).await;
        if step.drain {
            for (index, lease) in leases.iter().enumerate() {
                let rows = store.dirty(SYNCS[index], 0, 100).await.unwrap();
                let cleaned = rows.len() as u64;
                let receipt = store
                    .commit(lease, commit(vec![Change::Clean(rows)]))
                    .await
                    .unwrap();
                assert_eq!((receipt.cleaned, receipt.queued), (cleaned, 0));
                model.queues[index].clear();
                model.sequence += 1;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_store_knows_what_a_plain_model_knows(steps in prop::collection::vec(step(), 1..25)) {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(check(steps));
    }
}
