//! Without a guard of the store, what it prevents happens. Needs the feature `mutations`.

#![cfg(feature = "mutations")]
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use jiff::Timestamp;
use samspel_model::guard::remove;
use samspel_model::store::{
    Change, Commit, Endpoint, Lease, Observed, Receipt, Source, Step, StoreError,
};
use samspel_model::{Entity, Extent, Fields, Guard, Store};
use samspel_store::SqliteStore;

struct Place {
    store: SqliteStore,
    lease: Lease,
    _directory: tempfile::TempDir,
}

impl Place {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&directory.path().join("samspel.db"), "main")
            .await
            .unwrap();
        let lease = store
            .acquire_lease(
                "people",
                "a test",
                Timestamp::UNIX_EPOCH,
                Duration::from_secs(60),
            )
            .await
            .unwrap();
        Self {
            store,
            lease,
            _directory: directory,
        }
    }

    async fn commit(&self, changes: Vec<Change>) -> Result<Receipt, StoreError> {
        let commit = Commit {
            step: Step::Page,
            at: Timestamp::UNIX_EPOCH,
            changes,
        };
        self.store.commit(&self.lease, commit).await
    }
}

// The writer is a task of the same thread, in which the guard is removed.
#[tokio::test(flavor = "current_thread")]
async fn a_lost_lease_stores() {
    let place = Place::new().await;
    place.store.release_lease(&place.lease).await.unwrap();
    let error = place.commit(vec![]).await.unwrap_err();
    assert!(matches!(error, StoreError::LeaseLost { .. }), "{error}");
    let _removed = remove(Some(Guard::LeaseFence));
    place.commit(vec![]).await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn a_listing_from_before_our_write_is_believed() {
    let place = Place::new().await;
    let observe = |source, age: i32| {
        let mut fields = Fields::new();
        fields.insert("age".to_owned(), age.into());
        vec![Change::Observe {
            endpoint: Endpoint {
                account: "crm".to_owned(),
                collection: "contacts".to_owned(),
            },
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
        }]
    };
    place.commit(observe(Source::Write, 2)).await.unwrap();
    let receipt = place.commit(observe(Source::Listing, 1)).await.unwrap();
    assert_eq!((receipt.refetch, receipt.changed), (1, 0));
    let _removed = remove(Some(Guard::ListingMayLag));
    let receipt = place.commit(observe(Source::Listing, 1)).await.unwrap();
    assert_eq!((receipt.refetch, receipt.changed), (0, 1));
}
