//! The facts of every store, of the one in memory.

#![allow(clippy::unwrap_used, reason = "facts are tests")]

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use samspel_model::link::{Base, Link, LinkId};
use samspel_model::store::{Change, Commit, Endpoint, Lease, Step, StoreError};
use samspel_model::{Extent, Side, Store};
use samspel_simulation::memory::{MemoryFile, MemoryStore};
use samspel_store::{for_each_fact, suite};

macro_rules! in_memory {
    ($($fact:ident,)*) => {
        $(
            #[tokio::test]
            async fn $fact() {
                suite::$fact(Arc::new(MemoryFile::default().open())).await;
            }
        )*
    };
}

for_each_fact!(in_memory);

const MINUTE: Duration = Duration::from_secs(60);

fn commit(changes: Vec<Change>) -> Commit {
    Commit {
        step: Step::Settle,
        at: Timestamp::UNIX_EPOCH,
        changes,
    }
}

fn link(name: &str, a: &str, b: &str) -> Link {
    Link {
        id: LinkId(name.to_owned()),
        a: a.into(),
        b: b.into(),
        base: Base::default(),
    }
}

async fn lease(store: &MemoryStore, owner: &str) -> Result<Lease, StoreError> {
    store
        .acquire_lease("people", owner, Timestamp::UNIX_EPOCH, MINUTE)
        .await
}

#[tokio::test]
async fn a_process_that_dies_or_ends_holds_no_lease() {
    let file = MemoryFile::default();
    let (first, second) = (file.open(), file.open());
    let lost = lease(&first, "one").await.unwrap();
    assert!(matches!(
        lease(&second, "two").await,
        Err(StoreError::Held { .. })
    ));
    first.kill();
    assert_eq!(second.lease_holder("people").await.unwrap(), None);
    let held = lease(&second, "two").await.unwrap();
    assert!(held.token > lost.token);
    drop(second);
    lease(&file.open(), "three").await.unwrap();
}

#[tokio::test]
async fn a_dead_process_stores_and_reads_nothing() {
    let file = MemoryFile::default();
    let store = file.open();
    let lease = lease(&store, "one").await.unwrap();
    store.kill();
    let error = store.commit(&lease, commit(vec![])).await.unwrap_err();
    assert!(
        error.to_string().contains("storing what became of writes"),
        "{error}"
    );
    assert!(store.links("people", None, 9).await.is_err());
    assert_eq!(file.look().sequence(), 0);
}

#[tokio::test]
async fn what_one_process_stored_the_next_one_finds() {
    let file = MemoryFile::default();
    let store = file.open();
    let held = lease(&store, "one").await.unwrap();
    let links = vec![link("l1", "1", "b1")];
    let receipt = store
        .commit(&held, commit(vec![Change::PutLinks(links.clone())]))
        .await
        .unwrap();
    drop(store);
    let store = file.open();
    assert_eq!(store.sequence(), receipt.sequence);
    assert_eq!(store.links("people", None, 9).await.unwrap(), links);
}

/// Everything that a file holds.
fn everything(file: &MemoryFile) -> String {
    format!("{file:?}")
}

#[tokio::test]
async fn a_commit_that_fails_leaves_no_trace() {
    let file = MemoryFile::default();
    let store = file.open();
    let endpoint = |account: &str| Endpoint {
        account: account.to_owned(),
        collection: "contacts".to_owned(),
    };
    store
        .register("people", &[endpoint("crm"), endpoint("mail")])
        .await
        .unwrap();
    let lease = lease(&store, "one").await.unwrap();
    let mark = |ids: &[&str]| Change::MarkDirty {
        side: Side::A,
        ids: ids.iter().map(|id| (*id).into()).collect(),
        refetch: Some(Extent::Whole),
    };
    store
        .commit(
            &lease,
            commit(vec![
                Change::PutLinks(vec![link("l1", "1", "b1"), link("l2", "2", "b2")]),
                mark(&["1", "2"]),
            ]),
        )
        .await
        .unwrap();
    let queue = store.dirty("people", 0, 9).await.unwrap();
    let before = everything(&file);
    let changes = vec![
        mark(&["2", "3"]),
        Change::Clean(queue),
        Change::PutAccount {
            account: "crm".to_owned(),
            identity: "portal 1".to_owned(),
        },
        Change::Erase {
            endpoint: endpoint("mail"),
            records: vec!["b1".into()],
        },
        Change::PutLinks(vec![link("l3", "1", "b3"), link("l2", "4", "b4")]),
    ];
    let failing = [
        changes.clone(),
        vec![Change::PutLinks(vec![link("l4", "4", "b9")])],
    ]
    .concat();
    let error = store.commit(&lease, commit(failing)).await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert_eq!(everything(&file), before);
    store.commit(&lease, commit(changes)).await.unwrap();
    assert_ne!(everything(&file), before);
}

/// The bound is many times what it needs: only an accident, such as a copy of everything, exceeds it.
#[tokio::test]
async fn a_commit_costs_what_it_changes() {
    let file = MemoryFile::default();
    let store = file.open();
    let lease = lease(&store, "one").await.unwrap();
    let links = |from: u32, count: u32| -> Vec<_> {
        let names = (from..from + count).map(|number| number.to_string());
        names.map(|name| link(&name, &name, &name)).collect()
    };
    let put = |from, count| commit(vec![Change::PutLinks(links(from, count))]);
    let mut took = [Duration::ZERO; 2];
    for (stored, took) in [20, 20_000].into_iter().zip(&mut took) {
        store.commit(&lease, put(0, stored)).await.unwrap();
        let began = std::time::Instant::now();
        for round in 0..1000 {
            store.commit(&lease, put(round % 10, 10)).await.unwrap();
        }
        *took = began.elapsed() / 1000;
    }
    // Shown by `--no-capture`.
    eprintln!(
        "ten links among 20: {:?}, among 20000: {:?}",
        took[0], took[1]
    );
    assert!(took[1] < Duration::from_millis(1), "{took:?}");
}

#[cfg(feature = "mutations")]
mod without_a_guard {
    use samspel_model::Guard;
    use samspel_model::guard::remove;
    use samspel_model::store::{Observed, Source};
    use samspel_model::{Entity, Fields};

    use super::*;

    #[tokio::test]
    async fn a_lost_lease_stores() {
        let file = MemoryFile::default();
        let store = file.open();
        let lost = lease(&store, "one").await.unwrap();
        store.release_lease(&lost).await.unwrap();
        assert!(store.commit(&lost, commit(vec![])).await.is_err());
        let _removed = remove(Some(Guard::LeaseFence));
        store.commit(&lost, commit(vec![])).await.unwrap();
    }

    #[tokio::test]
    async fn a_listing_from_before_our_write_is_believed() {
        let file = MemoryFile::default();
        let store = file.open();
        let lease = lease(&store, "one").await.unwrap();
        let endpoint = Endpoint {
            account: "crm".to_owned(),
            collection: "contacts".to_owned(),
        };
        let observe = |source, age: i32| {
            let mut fields = Fields::new();
            fields.insert("age".to_owned(), age.into());
            commit(vec![Change::Observe {
                endpoint: endpoint.clone(),
                source,
                sent: 0,
                snapshot: None,
                records: vec![Observed {
                    entity: Entity {
                        id: "1".into(),
                        revision: None,
                        fields,
                        consents: vec![],
                        deliverability: None,
                        aliases: vec![],
                        modified: None,
                    },
                    keys: vec![],
                    extent: Extent::Whole,
                }],
                tombstones: vec![],
            }])
        };
        store
            .commit(&lease, observe(Source::Write, 2))
            .await
            .unwrap();
        let receipt = store
            .commit(&lease, observe(Source::Listing, 1))
            .await
            .unwrap();
        assert_eq!((receipt.refetch, receipt.changed), (1, 0));
        let _removed = remove(Some(Guard::ListingMayLag));
        let receipt = store
            .commit(&lease, observe(Source::Listing, 1))
            .await
            .unwrap();
        assert_eq!((receipt.refetch, receipt.changed), (0, 1));
    }
}
