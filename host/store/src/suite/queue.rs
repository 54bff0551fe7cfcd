//! The queue of records to plan, and registration.

use super::*;

fn mark(ids: &[&str], refetch: bool) -> Change {
    Change::MarkDirty {
        side: Side::B,
        ids: ids.iter().map(|name| id(name)).collect(),
        refetch,
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
        refetch: true,
    };
    let mark = Change::MarkDirty {
        side: Side::A,
        ids: vec![id("1")],
        refetch: false,
    };
    world.commit(vec![owe, mark]).await;
    assert!(world.queue().await[0].refetch);
    world
        .observe(Source::Listing, vec![person("1", json!({"age": 1}))])
        .await;
    assert!(world.queue().await[0].refetch);
    world
        .observe(Source::Fetch, vec![person("1", json!({"age": 1}))])
        .await;
    assert_eq!(world.drain().await, [("1".to_owned(), false)]);
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
            .all(|row| row.side == Side::B && !row.refetch)
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
