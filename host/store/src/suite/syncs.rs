//! Leases, commits as a whole, and what is kept apart.

use samspel_model::store::Verdict;

use super::journal::entry;
use super::people::restriction;
use super::records::{conflict, decision, intent, link, parked};
use super::*;

const MINUTE: Duration = Duration::from_secs(60);

pub async fn a_lease_is_exclusive_until_it_ends(store: Arc<dyn Store>) {
    assert_eq!(store.lease_holder(SYNC).await.unwrap(), None);
    let first = store
        .acquire_lease(SYNC, "one", at(0), MINUTE)
        .await
        .unwrap();
    for owner in ["two", "one"] {
        match store
            .acquire_lease(SYNC, owner, at(59), MINUTE)
            .await
            .unwrap_err()
        {
            StoreError::Held { sync, owner, until } => {
                assert_eq!(
                    (sync.as_str(), owner.as_str(), until),
                    (SYNC, "one", at(60))
                );
            }
            other => panic!("{other}"),
        }
    }
    store.renew_lease(&first, at(30), MINUTE).await.unwrap();
    assert_eq!(
        store.lease_holder(SYNC).await.unwrap(),
        Some(("one".to_owned(), at(90)))
    );
    assert!(
        store
            .acquire_lease(SYNC, "two", at(60), MINUTE)
            .await
            .is_err()
    );
    let second = store
        .acquire_lease(SYNC, "two", at(90), MINUTE)
        .await
        .unwrap();
    assert!(second.token > first.token);
    let lost = store.renew_lease(&first, at(91), MINUTE).await.unwrap_err();
    assert!(matches!(lost, StoreError::LeaseLost { .. }));
    // Giving back what was lost does not take it from the new owner.
    store.release_lease(&first).await.unwrap();
    assert_eq!(store.lease_holder(SYNC).await.unwrap().unwrap().0, "two");
    store
        .acquire_lease(OTHER, "one", at(0), MINUTE)
        .await
        .unwrap();
}

pub async fn a_lost_lease_stores_nothing(store: Arc<dyn Store>) {
    let world = World::new(Arc::clone(&store)).await;
    let thief = store
        .acquire_lease(SYNC, "a thief", at(100), MINUTE)
        .await
        .unwrap();
    let before = store.sequence();
    let error = store
        .commit(
            &world.lease,
            commit(vec![Change::PutLinks(vec![link("l", "1", "2")])]),
        )
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::LeaseLost { .. }));
    let error = store.reset(&world.lease).await.unwrap_err();
    assert!(matches!(error, StoreError::LeaseLost { .. }));
    assert_eq!(store.sequence(), before);
    assert!(store.links(SYNC, None, 9).await.unwrap().is_empty());
    store
        .commit(
            &thief,
            commit(vec![Change::PutLinks(vec![link("l", "1", "2")])]),
        )
        .await
        .unwrap();
}

pub async fn a_released_lease_is_free(store: Arc<dyn Store>) {
    let first = store
        .acquire_lease(SYNC, "one", at(0), MINUTE)
        .await
        .unwrap();
    store.release_lease(&first).await.unwrap();
    assert_eq!(store.lease_holder(SYNC).await.unwrap(), None);
    let second = store
        .acquire_lease(SYNC, "one", at(1), MINUTE)
        .await
        .unwrap();
    assert!(second.token > first.token, "a token is never used twice");
    assert!(matches!(
        store.commit(&first, commit(vec![])).await,
        Err(StoreError::LeaseLost { .. })
    ));
    store.commit(&second, commit(vec![])).await.unwrap();
}

pub async fn sequence_grows_with_every_commit(store: Arc<dyn Store>) {
    let world = World::new(store).await;
    let mut last = world.store.sequence();
    for _ in 0..3 {
        let receipt = world.commit(vec![]).await;
        assert!(receipt.sequence > last);
        last = receipt.sequence;
        assert_eq!(world.store.sequence(), last);
    }
}

pub async fn a_failed_change_undoes_the_commit(store: Arc<dyn Store>) {
    let world = World::new(store).await;
    world
        .commit(vec![Change::PutLinks(vec![link("l1", "1", "b1")])])
        .await;
    let before = world.store.sequence();
    let changes = vec![
        Change::PutIntents(vec![intent("i1")]),
        Change::PutLinks(vec![link("l2", "1", "b2")]),
    ];
    world
        .store
        .commit(&world.lease, commit(changes))
        .await
        .unwrap_err();
    assert!(world.store.intents(SYNC, None, 9).await.unwrap().is_empty());
    assert_eq!(world.store.sequence(), before);
}

pub async fn concurrent_commits_all_succeed_or_fail_alone(store: Arc<dyn Store>) {
    let world = Arc::new(World::new(store).await);
    world
        .commit(vec![Change::PutLinks(vec![link("taken", "0", "b")])])
        .await;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..100 {
        let world = Arc::clone(&world);
        tasks.spawn(async move {
            // Every tenth links a record that is linked already.
            let a = if number % 10 == 0 {
                "0".to_owned()
            } else {
                format!("a{number}")
            };
            let link = link(&format!("l{number}"), &a, &format!("b{number}"));
            let changes = vec![
                Change::PutIntents(vec![intent(&format!("i{number}"))]),
                Change::PutLinks(vec![link]),
            ];
            let done = world.store.commit(&world.lease, commit(changes)).await;
            (number, done)
        });
    }
    let mut sequences = std::collections::BTreeSet::new();
    for (number, outcome) in tasks.join_all().await {
        match outcome {
            Ok(receipt) => {
                assert_ne!(number % 10, 0);
                assert!(sequences.insert(receipt.sequence), "a number of its own");
            }
            Err(error) => {
                assert_eq!(number % 10, 0, "{error}");
                assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
            }
        }
    }
    let counts = world.store.counts(SYNC).await.unwrap();
    assert_eq!((counts.links, counts.intents), (91, 90));
    assert_eq!(sequences.last(), Some(&world.store.sequence()));
}

async fn fill(world: &World) {
    world
        .observe(
            Source::Listing,
            vec![person("1", json!({"email": "ada@x.org"}))],
        )
        .await;
    world
        .commit(vec![
            Change::PutLinks(vec![link("l1", "1", "b1")]),
            Change::PutIntents(vec![intent("i1")]),
            Change::PutConflicts(vec![conflict("1", "email", 1)]),
            Change::Park(vec![parked("1", 1)]),
            Change::Journal(vec![entry(Some("1"), 1)]),
            Change::Restrict(vec![restriction("1", 1)]),
            Change::PutDecisions(vec![decision("1", "email", Verdict::Reject)]),
        ])
        .await;
}

pub async fn a_reset_forgets_the_sync_and_not_the_records(store: Arc<dyn Store>) {
    let world = World::new(Arc::clone(&store)).await;
    let other = World::of(Arc::clone(&store), OTHER, "crm", "shop").await;
    fill(&world).await;
    other
        .commit(vec![Change::PutLinks(vec![link("l1", "1", "s1")])])
        .await;
    store.reset(&world.lease).await.unwrap();
    assert_eq!(store.counts(SYNC).await.unwrap(), Default::default());
    assert_eq!(world.journal(JournalOf::Sync).await.len(), 1);
    let opt_outs = store.restrictions(&crm(), &[id("1")]).await.unwrap();
    assert_eq!(opt_outs, [restriction("1", 1)]);
    assert_eq!(store.counts(OTHER).await.unwrap().links, 1);
    assert_eq!(world.record("1").await.presence, Presence::Present);
    // It begins anew with what is known.
    store
        .register(SYNC, &[crm(), endpoint("mail")])
        .await
        .unwrap();
    assert_eq!(world.drain().await, [("1".to_owned(), false)]);
}

pub async fn syncs_do_not_see_each_other(store: Arc<dyn Store>) {
    let world = World::new(Arc::clone(&store)).await;
    let other = World::of(Arc::clone(&store), OTHER, "shop", "mail").await;
    fill(&world).await;
    assert_eq!(store.counts(OTHER).await.unwrap(), Default::default());
    assert!(other.journal(JournalOf::Sync).await.is_empty());
    let found = store
        .links_by_record(OTHER, Side::A, &[id("1")])
        .await
        .unwrap();
    assert!(found.is_empty());
}
