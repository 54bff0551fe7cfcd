//! The queue of records to plan, and registration.

use super::*;

fn mark(ids: &[&str], refetch: bool) -> Change {
    Change::MarkDirty {
        side: Side::B,
        ids: ids.iter().map(|name| id(name)).collect(),
        refetch: refetch.then_some(Extent::Whole),
    }
}

async fn order(world: &World) -> Vec<String> {
    let rows = world.queue().await;
    assert!(
        rows.windows(2)
            .all(|pair| pair[0].position < pair[1].position)
    );
    rows.iter().map(|row| row.id.as_str().to_owned()).collect()
}

pub async fn a_record_marked_again_moves_to_the_end(store: Arc<dyn Store>) {
    let world = World::new(store).await;
    world.commit(vec![mark(&["c", "a", "b"], false)]).await;
    assert_eq!(order(&world).await, ["c", "a", "b"]);
    world.commit(vec![mark(&["c"], false)]).await;
    assert_eq!(order(&world).await, ["a", "b", "c"]);
    let first = world.store.dirty(SYNC, 0, 1).await.unwrap();
    assert_eq!(first.len(), 1);
    let rest = world.store.dirty(SYNC, first[0].position, 9).await.unwrap();
    assert_eq!(
        rest.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(),
        ["b", "c"]
    );
    assert!(rest.iter().all(|row| row.side == Side::B));
}

pub async fn cleaning_leaves_what_was_marked_since(store: Arc<dyn Store>) {
    let world = World::new(store).await;
    world.commit(vec![mark(&["a", "b"], false)]).await;
    let planned = world.queue().await;
    world.commit(vec![mark(&["a"], false)]).await;
    world.commit(vec![Change::Clean(planned)]).await;
    assert_eq!(order(&world).await, ["a"]);
}

pub async fn an_owed_fetch_stays_owed_until_it_is_made(store: Arc<dyn Store>) {
    let world = World::new(store).await;
    let owe = Change::MarkDirty {
        side: Side::A,
        ids: vec![id("1")],
        refetch: Some(Extent::Whole),
    };
    let mark = Change::MarkDirty {
        side: Side::A,
        ids: vec![id("1")],
        refetch: None,
    };
    world.commit(vec![owe, mark]).await;
    let owed = Some(Extent::Whole);
    assert_eq!(world.queue().await[0].refetch, owed);
    let asked = world.queue().await;
    world
        .observe(Source::Listing, vec![person("1", json!({"age": 1}))])
        .await;
    assert_eq!(world.queue().await[0].refetch, owed);
    // It was marked since it was asked for.
    world.commit(vec![Change::Fetched(asked)]).await;
    assert_eq!(world.queue().await[0].refetch, owed);
    let asked = world.queue().await;
    world.commit(vec![Change::Fetched(asked)]).await;
    assert_eq!(world.drain().await, [("1".to_owned(), false)]);
}

pub async fn what_is_known_of_consents_stays_where_values_are_read(store: Arc<dyn Store>) {
    let world = World::new(store).await;
    let consent = Consent {
        channel: "email".to_owned(),
        purpose: "marketing".to_owned(),
        state: ConsentState::Unsubscribed,
        at: None,
        evidence: None,
    };
    let mut known = person("1", json!({"age": 1}));
    known.entity.consents = vec![consent.clone()];
    world.observe(Source::Fetch, vec![known]).await;
    world.drain().await;
    let values = |name: &str| Observed {
        extent: Extent::Values,
        ..person(name, json!({"age": 2}))
    };
    let receipt = world
        .observe(Source::Fetch, vec![values("1"), values("2")])
        .await;
    // Of a record that is not known to be there, values are not enough.
    assert_eq!((receipt.changed, receipt.refetch), (1, 1));
    let seen = world.store.observations(&crm(), &[id("1"), id("2")]).await;
    let seen = seen.unwrap();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].fields["age"], json!(2));
    assert_eq!(seen[0].consents, [consent]);
    assert_eq!(
        world.drain().await,
        [("1".to_owned(), false), ("2".to_owned(), true)]
    );
}

pub async fn a_fetch_that_another_sync_owes_stays_owed(store: Arc<dyn Store>) {
    let world = World::new(Arc::clone(&store)).await;
    let other = World::of(store, OTHER, "crm", "shop").await;
    world
        .observe(Source::Listing, vec![person("1", json!({"age": 1}))])
        .await;
    for of in [&world, &other] {
        let owe = Change::MarkDirty {
            side: Side::A,
            ids: vec![id("1")],
            refetch: Some(Extent::Whole),
        };
        of.commit(vec![owe]).await;
    }
    let asked = world.queue().await;
    world.commit(vec![Change::Fetched(asked)]).await;
    assert_eq!(world.queue().await[0].refetch, None);
    assert_eq!(
        other.queue().await[0].refetch,
        Some(Extent::Whole),
        "it may need other fields"
    );
}

pub async fn a_position_is_never_given_twice(store: Arc<dyn Store>) {
    let world = World::new(store).await;
    world.commit(vec![mark(&["a"], false)]).await;
    let first = world.queue().await;
    world.commit(vec![Change::Clean(first.clone())]).await;
    world.commit(vec![mark(&["a"], false)]).await;
    assert!(world.queue().await[0].position > first[0].position);
}

pub async fn a_sync_that_registers_late_plans_what_is_known(store: Arc<dyn Store>) {
    let world = World::new(Arc::clone(&store)).await;
    let people = ["1", "2", "3"].map(|name| person(name, json!({"age": 1})));
    world.observe(Source::Listing, people.to_vec()).await;
    let sent = world.store.sequence();
    world
        .bury(
            Source::Listing,
            sent,
            vec![tombstone("2", Absence::Deleted)],
        )
        .await;
    let late = World::of(store, OTHER, "shop", "crm").await;
    assert_eq!(order(&late).await, ["1", "3"]);
    assert!(
        late.queue()
            .await
            .iter()
            .all(|row| row.side == Side::B && row.refetch.is_none())
    );
}

pub async fn registering_again_changes_nothing(store: Arc<dyn Store>) {
    let world = World::new(store).await;
    world
        .observe(Source::Listing, vec![person("1", json!({"age": 1}))])
        .await;
    world.drain().await;
    world
        .store
        .register(SYNC, &[crm(), endpoint("mail")])
        .await
        .unwrap();
    assert!(world.queue().await.is_empty());
}

pub async fn registering_other_endpoints_is_refused(store: Arc<dyn Store>) {
    let world = World::new(store).await;
    let error = world
        .store
        .register(SYNC, &[crm(), endpoint("shop")])
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }));
    let text = error.to_string();
    assert!(
        text.contains("mail/contacts") && text.contains("shop/contacts"),
        "{text}"
    );
    world.store.reset(&world.lease).await.unwrap();
    world
        .store
        .register(SYNC, &[crm(), endpoint("shop")])
        .await
        .unwrap();
}

pub async fn a_record_waits_since_it_became_dirty(store: Arc<dyn Store>) {
    let world = World::new(Arc::clone(&store)).await;
    let other = World::of(Arc::clone(&store), OTHER, "crm", "shop").await;
    let age = |age| person("1", json!({ "age": age }));
    let read = |records| Change::Observe {
        endpoint: crm(),
        source: Source::Fetch,
        sent: 0,
        snapshot: None,
        records,
        tombstones: Vec::new(),
    };
    let since = async |world: &World| -> Vec<(String, Timestamp)> {
        let rows = world.queue().await;
        rows.iter()
            .map(|row| (row.id.as_str().to_owned(), row.since))
            .collect()
    };
    assert_eq!(world.store.counts(SYNC).await.unwrap().oldest, None);
    world.commit_at(1, vec![mark(&["a"], false)]).await;
    world.commit_at(2, vec![read(vec![age(1)])]).await;
    world.commit_at(3, vec![mark(&["a", "b"], true)]).await;
    world.commit_at(4, vec![read(vec![age(2)])]).await;
    assert_eq!(
        since(&world).await,
        [
            ("a".to_owned(), at(1)),
            ("b".to_owned(), at(3)),
            ("1".to_owned(), at(2))
        ]
    );
    assert_eq!(since(&other).await, [("1".to_owned(), at(2))]);
    assert_eq!(world.store.counts(SYNC).await.unwrap().oldest, Some(at(1)));
    // What left the queue and becomes dirty again waits anew.
    world.drain().await;
    let opt_out = restriction("1", 1);
    other
        .commit_at(5, vec![Change::Restrict(vec![opt_out])])
        .await;
    world.commit_at(6, vec![mark(&["a"], false)]).await;
    assert_eq!(
        since(&world).await,
        [("1".to_owned(), at(5)), ("a".to_owned(), at(6))]
    );
    assert_eq!(since(&other).await, [("1".to_owned(), at(2))]);
    // A sync that registers has no time of its own: what it must plan was known since the newest commit.
    world.commit_at(7, Vec::new()).await;
    let late = World::of(store, "late", "crm", "till").await;
    assert_eq!(since(&late).await, [("1".to_owned(), at(7))]);
}

pub async fn a_record_that_another_record_of_the_page_repeats_is_queued_once(
    store: Arc<dyn Store>,
) {
    let world = World::new(store).await;
    let page = [1, 2].map(|age| person("1", json!({ "age": age })));
    let receipt = world.observe(Source::Listing, page.to_vec()).await;
    assert_eq!((receipt.changed, receipt.queued), (2, 1));
    let receipt = world.commit(vec![mark(&["a", "b", "a"], false)]).await;
    assert_eq!(receipt.queued, 2);
    assert_eq!(world.queue().await.len(), 3);
}

pub async fn what_enters_the_queue_is_counted(store: Arc<dyn Store>) {
    let world = World::new(store).await;
    let receipt = world.commit(vec![mark(&["a", "b"], false)]).await;
    assert_eq!(receipt.queued, 2);
    let again = vec![mark(&["b", "c"], true), mark(&["c", "d"], false)];
    assert_eq!(world.commit(again).await.queued, 2);
    let age = |name: &str, age| person(name, json!({ "age": age }));
    let two = vec![age("1", 1), age("2", 1)];
    assert_eq!(world.observe(Source::Listing, two).await.queued, 2);
    let three = vec![age("1", 2), age("2", 1), age("3", 1)];
    assert_eq!(world.observe(Source::Listing, three).await.queued, 1);
    world.drain().await;
    // Asked again: from before our write.
    world.observe(Source::Write, vec![age("1", 3)]).await;
    let receipt = world
        .observe_sent(Source::Listing, 0, vec![age("1", 2), age("3", 2)])
        .await;
    assert_eq!(
        (receipt.refetch, receipt.changed, receipt.queued),
        (1, 1, 2)
    );
    let seen = Change::Seen {
        endpoint: crm(),
        snapshot: world.store.sequence(),
        ids: ["1", "8", "9"].map(id).to_vec(),
    };
    assert_eq!(world.commit(vec![seen.clone()]).await.queued, 2);
    assert_eq!(world.commit(vec![seen]).await.queued, 0);
    let sent = world.store.sequence();
    let gone = vec![
        tombstone("1", Absence::Deleted),
        tombstone("2", Absence::Deleted),
    ];
    assert_eq!(world.bury(Source::Listing, sent, gone).await.queued, 1);
}

pub async fn what_another_sync_has_to_plan_is_not_counted(store: Arc<dyn Store>) {
    let world = World::new(Arc::clone(&store)).await;
    let other = World::of(Arc::clone(&store), OTHER, "crm", "shop").await;
    let unrelated = World::of(store, "unrelated", "till", "shop").await;
    let age = |age| vec![person("1", json!({ "age": age }))];
    let read = |age| Change::Observe {
        endpoint: crm(),
        source: Source::Listing,
        sent: 9,
        snapshot: None,
        records: vec![person("1", json!({ "age": age }))],
        tombstones: Vec::new(),
    };
    assert_eq!(unrelated.commit(vec![read(1)]).await.queued, 0);
    assert_eq!(other.drain().await.len(), 1);
    // It is in this sync's queue already, and not in the other's.
    assert_eq!(world.observe(Source::Listing, age(2)).await.queued, 0);
    other.drain().await;
    world.drain().await;
    assert_eq!(world.observe(Source::Write, age(3)).await.queued, 0);
    assert_eq!(other.drain().await.len(), 1);
}

pub async fn what_leaves_the_queue_is_counted(store: Arc<dyn Store>) {
    let world = World::new(store).await;
    world.commit(vec![mark(&["a", "b", "c"], false)]).await;
    let planned = world.queue().await;
    let receipt = world
        .commit(vec![
            mark(&["a"], false),
            Change::Clean(planned[..2].to_vec()),
        ])
        .await;
    assert_eq!(receipt.cleaned, 1, "a was marked since");
    let receipt = world.commit(vec![Change::Clean(planned)]).await;
    assert_eq!(receipt.cleaned, 1, "b has left already");
    assert_eq!(order(&world).await, ["a"]);
}
