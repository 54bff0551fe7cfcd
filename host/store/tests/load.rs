//! A first synchronisation's worth of commits. The bounds are several times what a laptop needs, so that only an
//! accident (a statement per row, a lost index, a wait for the disk per job) exceeds them.

#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use jiff::Timestamp;
use samspel_model::intent::{Effect, Intent};
use samspel_model::journal::{JournalEntry, JournalKind};
use samspel_model::link::{Base, FieldBase};
use samspel_model::store::{Change, Commit, Endpoint, Lease, Observed, Receipt, Source, Step};
use samspel_model::{Entity, Extent, Fields, Link, LinkId, RecordId, Side, Store};
use samspel_store::SqliteStore;
use serde_json::{Value, json};

const RECORDS: u64 = 12_000;
const PAIRS: u64 = 10_000;
const BATCH: usize = 1000;

fn crm() -> Endpoint {
    Endpoint {
        account: "crm".to_owned(),
        collection: "contacts".to_owned(),
    }
}

/// About 1 KB of JSON.
fn person(number: u64) -> Observed {
    let email = format!("person{number}@example.org");
    let mut fields = Fields::new();
    fields.insert("email".to_owned(), json!(email));
    for field in 0..20 {
        fields.insert(
            format!("field_{field:02}"),
            json!(format!("value {number} of field {field:02}, and more")),
        );
    }
    Observed {
        extent: Extent::Whole,
        keys: vec![("email".to_owned(), email)],
        entity: Entity {
            id: RecordId::new(number.to_string()),
            revision: None,
            fields,
            consents: Vec::new(),
            deliverability: None,
            aliases: Vec::new(),
            modified: Some(Timestamp::UNIX_EPOCH),
        },
    }
}

fn base() -> Base {
    let image = |n: u64| FieldBase {
        a: json!(format!("a value of field {n}")),
        b: json!(format!("a value of field {n}")),
        rule: "0123456789abcdef".to_owned(),
        undone: false,
    };
    Base {
        fields: (0..8).map(|n| (format!("field_{n}"), image(n))).collect(),
        ..Base::default()
    }
}

fn link(number: u64) -> Link {
    Link {
        id: LinkId(format!("link-{number:06}")),
        a: RecordId::new(number.to_string()),
        b: RecordId::new(format!("b{number}")),
        base: base(),
    }
}

fn intent(number: u64) -> Intent {
    Intent {
        id: format!("intent-{number:06}"),
        run: "run".to_owned(),
        target: Side::B,
        source_record: RecordId::new(number.to_string()),
        link: None,
        effect: Effect::Create,
        patch: person(number).entity.fields,
        before: Fields::new(),
        consents: Vec::new(),
        deliverability: None,
        precondition: None,
        base: base(),
        shared: Vec::new(),
        restricts: false,
        and_more: false,
        overrules: None,
        told: vec![],
        lost: None,
    }
}

fn entry(number: u64) -> JournalEntry {
    JournalEntry {
        at: Timestamp::UNIX_EPOCH,
        run: Some("run".to_owned()),
        kind: JournalKind::Linked,
        link: Some(LinkId(format!("link-{number:06}"))),
        side: Some(Side::A),
        record: Some(RecordId::new(number.to_string())),
        detail: json!({"why": "same e-mail address"}),
    }
}

fn page(records: &[Observed], snapshot: u64) -> Change {
    Change::Observe {
        endpoint: crm(),
        source: Source::Listing,
        sent: snapshot,
        snapshot: Some(snapshot),
        records: records.to_vec(),
        tombstones: Vec::new(),
    }
}

async fn commit(store: &SqliteStore, lease: &Lease, changes: Vec<Change>) -> Receipt {
    let commit = Commit {
        step: Step::Page,
        at: Timestamp::UNIX_EPOCH,
        changes,
    };
    store.commit(lease, commit).await.unwrap()
}

/// Runs the steps, one batch after another; gives the total and the longest, without the making of the batches.
async fn timed<T>(
    what: &str,
    store: &SqliteStore,
    lease: &Lease,
    batches: &[T],
    changes: impl Fn(&T) -> Vec<Change>,
) -> Duration {
    let (mut total, mut longest) = (Duration::ZERO, Duration::ZERO);
    for batch in batches {
        let changes = changes(batch);
        let began = Instant::now();
        commit(store, lease, changes).await;
        let took = began.elapsed();
        total += took;
        longest = longest.max(took);
    }
    // Shown by `--no-capture`.
    eprintln!(
        "{what}: {total:.0?} in {} commits, longest {longest:.1?}",
        batches.len()
    );
    total
}

#[tokio::test]
async fn a_first_synchronisation_takes_seconds() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&directory.path().join("samspel.db"), "main")
        .await
        .unwrap();
    let mail = Endpoint {
        account: "mail".to_owned(),
        collection: "contacts".to_owned(),
    };
    store.register("people", &[crm(), mail]).await.unwrap();
    let lease = store
        .acquire_lease(
            "people",
            "test",
            Timestamp::UNIX_EPOCH,
            Duration::from_secs(60),
        )
        .await
        .unwrap();
    let people: Vec<_> = (0..RECORDS).map(person).collect();
    let pages: Vec<_> = people.chunks(BATCH).collect();
    let numbers: Vec<u64> = (0..PAIRS).collect();
    let batches: Vec<_> = numbers.chunks(BATCH).collect();

    let mut total = timed("new records", &store, &lease, &pages, |records| {
        vec![page(records, 1)]
    })
    .await;
    total += timed(
        "links, intents, journal",
        &store,
        &lease,
        &batches,
        |batch| {
            vec![
                Change::PutIntents(batch.iter().copied().map(intent).collect()),
                Change::PutLinks(batch.iter().copied().map(link).collect()),
                Change::Journal(batch.iter().copied().map(entry).collect()),
            ]
        },
    )
    .await;
    total += timed("settled", &store, &lease, &batches, |batch| {
        vec![
            Change::RemoveIntents(batch.iter().copied().map(|n| intent(n).id).collect()),
            Change::PutLinks(batch.iter().copied().map(link).collect()),
        ]
    })
    .await;
    total += timed("unchanged records", &store, &lease, &pages, |records| {
        vec![page(records, 2)]
    })
    .await;
    let changed: Vec<_> = people
        .iter()
        .cloned()
        .map(|mut one| {
            one.entity.fields.insert("field_00".to_owned(), Value::Null);
            one
        })
        .collect();
    let pages: Vec<_> = changed.chunks(BATCH).collect();
    total += timed("changed records", &store, &lease, &pages, |records| {
        vec![page(records, 3)]
    })
    .await;

    let began = Instant::now();
    let mut after = 0;
    loop {
        let rows = store.dirty("people", after, 500).await.unwrap();
        let Some(last) = rows.last() else { break };
        after = last.position;
        let ids: Vec<_> = rows.iter().map(|row| row.id.clone()).collect();
        assert_eq!(
            store.observations(&crm(), &ids).await.unwrap().len(),
            ids.len()
        );
        store
            .links_by_record("people", Side::A, &ids)
            .await
            .unwrap();
        commit(&store, &lease, vec![Change::Clean(rows)]).await;
    }
    eprintln!("planning reads: {:.0?}", began.elapsed());
    total += began.elapsed();

    let counts = store.counts("people").await.unwrap();
    assert_eq!((counts.links, counts.intents, counts.dirty), (PAIRS, 0, 0));
    assert!(total < Duration::from_secs(20), "{total:?}");
}

#[tokio::test]
async fn jobs_wait_for_the_disk_together() {
    let directory = tempfile::tempdir().unwrap();
    let store = std::sync::Arc::new(
        SqliteStore::open(&directory.path().join("samspel.db"), "main")
            .await
            .unwrap(),
    );
    let lease = store
        .acquire_lease(
            "people",
            "test",
            Timestamp::UNIX_EPOCH,
            Duration::from_secs(60),
        )
        .await
        .unwrap();
    let began = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..2000 {
        let (store, lease) = (std::sync::Arc::clone(&store), lease.clone());
        tasks.spawn(async move {
            commit(&store, &lease, vec![Change::PutLinks(vec![link(number)])]).await
        });
    }
    tasks.join_all().await;
    eprintln!("2000 concurrent commits: {:.0?}", began.elapsed());
    assert_eq!(store.counts("people").await.unwrap().links, 2000);
    assert!(began.elapsed() < Duration::from_secs(20));
}
