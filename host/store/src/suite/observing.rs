//! Reading.

use super::*;

pub async fn a_new_record_is_kept_and_must_be_planned(store: Arc<dyn Store>) {
    let world = World::new(store).await;
    let mut ada = version(
        3,
        person(
            "1",
            json!({"email": "Ada@example.org", "age": 36, "note": null}),
        ),
    );
    ada.entity.modified = Some(at(5));
    ada.entity.aliases = vec![id("0")];
    let receipt = world.observe(Source::Listing, vec![ada.clone()]).await;
    assert_eq!(
        (receipt.changed, receipt.unchanged, receipt.refetch),
        (1, 0, 0)
    );
    let stored = world.record("1").await;
    assert_eq!(stored.fields, ada.entity.fields);
    assert_eq!(stored.hash, ada.entity.content_hash());
    assert_eq!(stored.revision, ada.entity.revision);
    assert_eq!(stored.modified, ada.entity.modified);
    assert_eq!(stored.aliases, ada.entity.aliases);
    assert_eq!(stored.presence, Presence::Present);
    let queue = world.queue().await;
    assert_eq!(queue.len(), 1);
    assert_eq!((queue[0].side, queue[0].refetch), (Side::A, None));
}

pub async fn a_field_that_was_not_read_keeps_its_value(store: Arc<dyn Store>) {
    let world = World::new(store).await;
    world
        .observe(
            Source::Listing,
            vec![person("1", json!({"first": "Ada", "last": "Byron"}))],
        )
        .await;
    world.drain().await;
    world
        .observe(
            Source::Listing,
            vec![person("1", json!({"last": "Lovelace"}))],
        )
        .await;
    let stored = world.record("1").await;
    assert_eq!(
        stored.fields,
        fields(json!({"first": "Ada", "last": "Lovelace"}))
    );
    assert_eq!(
        stored.hash,
        person("1", json!({"first": "Ada", "last": "Lovelace"}))
            .entity
            .content_hash()
    );
    let receipt = world
        .observe(Source::Listing, vec![person("1", json!({"first": null}))])
        .await;
    assert_eq!(receipt.changed, 1);
    assert_eq!(
        world.record("1").await.fields,
        fields(json!({"first": null, "last": "Lovelace"}))
    );
}

pub async fn what_says_nothing_new_changes_nothing(store: Arc<dyn Store>) {
    let world = World::new(store).await;
    let ada = person("1", json!({"first": "Ada", "last": "Byron"}));
    world.observe(Source::Listing, vec![ada.clone()]).await;
    world.drain().await;
    let receipt = world
        .observe(
            Source::Listing,
            vec![ada, person("1", json!({"last": "Byron"}))],
        )
        .await;
    assert_eq!((receipt.changed, receipt.unchanged), (0, 2));
    assert!(world.queue().await.is_empty());
}

pub async fn a_changed_record_must_be_planned_by_every_sync_on_the_endpoint(store: Arc<dyn Store>) {
    let world = World::new(Arc::clone(&store)).await;
    let other = World::of(Arc::clone(&store), OTHER, "shop", "crm").await;
    let unrelated = World::of(store, "unrelated", "shop", "mail").await;
    world
        .observe(Source::Listing, vec![person("1", json!({"age": 1}))])
        .await;
    world.drain().await;
    other.drain().await;
    world
        .observe(Source::Listing, vec![person("1", json!({"age": 2}))])
        .await;
    assert_eq!(world.queue().await[0].side, Side::A);
    assert_eq!(other.queue().await[0].side, Side::B);
    assert!(unrelated.queue().await.is_empty());
}

pub async fn our_own_write_is_no_news_to_its_sync(store: Arc<dyn Store>) {
    let world = World::new(Arc::clone(&store)).await;
    let other = World::of(store, OTHER, "crm", "shop").await;
    let receipt = world
        .observe(Source::Write, vec![person("1", json!({"age": 1}))])
        .await;
    assert_eq!(receipt.changed, 1);
    assert!(world.queue().await.is_empty());
    assert_eq!(other.drain().await, [("1".to_owned(), false)]);
    let sent = world.store.sequence();
    world
        .bury(Source::Write, sent, vec![tombstone("1", Absence::Deleted)])
        .await;
    assert!(world.queue().await.is_empty());
    assert_eq!(other.drain().await, [("1".to_owned(), false)]);
}

pub async fn a_listing_with_a_lower_order_is_asked_again(store: Arc<dyn Store>) {
    let world = World::new(store).await;
    world
        .observe(
            Source::Listing,
            vec![version(5, person("1", json!({"age": 5})))],
        )
        .await;
    world.drain().await;
    let receipt = world
        .observe(
            Source::Listing,
            vec![version(4, person("1", json!({"age": 4})))],
        )
        .await;
    assert_eq!((receipt.changed, receipt.refetch), (0, 1));
    assert_eq!(world.record("1").await.fields, fields(json!({"age": 5})));
    assert_eq!(world.drain().await, [("1".to_owned(), true)]);
    // The same content under a lower order is no news, and the newer revision stays.
    let receipt = world
        .observe(
            Source::Listing,
            vec![version(4, person("1", json!({"age": 5})))],
        )
        .await;
    assert_eq!((receipt.unchanged, receipt.refetch), (1, 0));
    assert_eq!(world.record("1").await.revision.unwrap().order, Some(5));
}

pub async fn a_listing_from_before_our_write_is_asked_again(store: Arc<dyn Store>) {
    let world = World::new(store).await;
    world
        .observe(Source::Listing, vec![person("1", json!({"age": 1}))])
        .await;
    world.drain().await;
    let sent = world.store.sequence();
    world
        .observe(Source::Write, vec![person("1", json!({"age": 2}))])
        .await;
    let receipt = world
        .observe_sent(Source::Listing, sent, vec![person("1", json!({"age": 1}))])
        .await;
    assert_eq!((receipt.changed, receipt.refetch), (0, 1));
    assert_eq!(world.record("1").await.fields, fields(json!({"age": 2})));
    assert_eq!(world.drain().await, [("1".to_owned(), true)]);
    // So is one that was asked after the write: a listing may lag for any time.
    let receipt = world
        .observe(Source::Listing, vec![person("1", json!({"age": 3}))])
        .await;
    assert_eq!((receipt.changed, receipt.refetch), (0, 1));
    assert_eq!(world.record("1").await.fields, fields(json!({"age": 2})));
    // What says that it is newer is believed.
    let receipt = world
        .observe(
            Source::Write,
            vec![version(7, person("1", json!({"age": 3})))],
        )
        .await;
    assert_eq!(receipt.changed, 1);
    let receipt = world
        .observe(
            Source::Listing,
            vec![version(8, person("1", json!({"age": 4})))],
        )
        .await;
    assert_eq!(receipt.changed, 1);
    assert_eq!(world.record("1").await.fields, fields(json!({"age": 4})));
}

pub async fn a_listing_from_before_our_write_that_agrees_is_no_news(store: Arc<dyn Store>) {
    let world = World::new(store).await;
    let sent = world.store.sequence();
    world
        .observe(Source::Write, vec![person("1", json!({"age": 2}))])
        .await;
    let receipt = world
        .observe_sent(Source::Listing, sent, vec![person("1", json!({"age": 2}))])
        .await;
    assert_eq!((receipt.unchanged, receipt.refetch), (1, 0));
    assert!(world.queue().await.is_empty());
}

pub async fn a_fetch_is_believed(store: Arc<dyn Store>) {
    let world = World::new(store).await;
    world
        .observe(
            Source::Write,
            vec![version(5, person("1", json!({"age": 5})))],
        )
        .await;
    let receipt = world
        .observe(
            Source::Fetch,
            vec![version(4, person("1", json!({"age": 4})))],
        )
        .await;
    assert_eq!((receipt.changed, receipt.refetch), (1, 0));
    assert_eq!(world.record("1").await.revision.unwrap().order, Some(4));
}

pub async fn a_new_revision_without_new_content_is_kept(store: Arc<dyn Store>) {
    let world = World::new(store).await;
    world
        .observe(
            Source::Listing,
            vec![version(1, person("1", json!({"age": 1})))],
        )
        .await;
    world.drain().await;
    let receipt = world
        .observe(
            Source::Listing,
            vec![version(2, person("1", json!({"age": 1})))],
        )
        .await;
    assert_eq!(receipt.unchanged, 1);
    assert_eq!(world.record("1").await.revision.unwrap().token, "v2");
    assert!(world.queue().await.is_empty());
    // Without a revision, the same content leaves it, and other content makes it untrue.
    world
        .observe(Source::Listing, vec![person("1", json!({"age": 1}))])
        .await;
    assert_eq!(world.record("1").await.revision.unwrap().token, "v2");
    world
        .observe(Source::Listing, vec![person("1", json!({"age": 2}))])
        .await;
    assert_eq!(world.record("1").await.revision, None);
}

pub async fn a_new_alias_is_news(store: Arc<dyn Store>) {
    let world = World::new(store).await;
    let mut ada = person("1", json!({"age": 1}));
    world.observe(Source::Listing, vec![ada.clone()]).await;
    world.drain().await;
    ada.entity.aliases = vec![id("7")];
    let receipt = world.observe(Source::Listing, vec![ada.clone(), ada]).await;
    assert_eq!((receipt.changed, receipt.unchanged), (1, 1));
    assert_eq!(world.record("1").await.aliases, [id("7")]);
    assert_eq!(world.queue().await.len(), 1);
}

pub async fn tombstones_change_the_presence(store: Arc<dyn Store>) {
    let world = World::new(store).await;
    let cases = [
        ("1", Absence::Deleted, Presence::Gone),
        ("2", Absence::Archived, Presence::Archived),
        ("3", Absence::MergedInto(id("9")), Presence::Gone),
        ("4", Absence::OutOfScope, Presence::OutOfScope),
        ("5", Absence::Other("asleep".to_owned()), Presence::Gone),
    ];
    let records = cases
        .iter()
        .map(|(name, ..)| person(name, json!({"email": format!("{name}@x.org")})));
    world.observe(Source::Listing, records.collect()).await;
    world.drain().await;
    let mut tombstones: Vec<_> = cases
        .iter()
        .map(|(name, why, _)| tombstone(name, why.clone()))
        .collect();
    tombstones.push(tombstone("unknown", Absence::Deleted));
    let sent = world.store.sequence();
    let receipt = world.bury(Source::Listing, sent, tombstones.clone()).await;
    assert_eq!(receipt.changed, 5);
    for (name, _, presence) in &cases {
        let stored = world.record(name).await;
        assert_eq!(stored.presence, *presence);
        assert_eq!(
            stored.fields["email"],
            format!("{name}@x.org"),
            "the last values stay"
        );
        assert!(world.by_email(&format!("{name}@x.org")).await.is_empty());
    }
    assert_eq!(world.drain().await.len(), 5);
    let receipt = world.bury(Source::Listing, sent, tombstones).await;
    assert_eq!((receipt.changed, receipt.unchanged), (0, 5));
    assert!(world.queue().await.is_empty());
}

pub async fn the_last_words_of_a_merged_record_are_no_newer_when_they_are_told_again(
    store: Arc<dyn Store>,
) {
    let world = World::new(store).await;
    let mut merged = person("1", json!({"email": "a@x.org"}));
    merged.entity.consents.push(Consent {
        channel: "email".to_owned(),
        purpose: "marketing".to_owned(),
        state: ConsentState::Unsubscribed,
        // The remote does not tell when.
        at: None,
        evidence: None,
    });
    let survivor = person("2", json!({"email": "b@x.org"}));
    world.observe(Source::Listing, vec![merged, survivor]).await;
    let tell = |second| {
        world.commit_at(
            second,
            vec![Change::Observe {
                endpoint: crm(),
                source: Source::Listing,
                sent: world.store.sequence(),
                snapshot: None,
                records: Vec::new(),
                tombstones: vec![tombstone("1", Absence::MergedInto(id("2")))],
            }],
        )
    };
    let in_force = async || {
        let rows = world.store.restrictions(&crm(), &[id("2")]).await.unwrap();
        rows.iter()
            .map(|row| row.restriction.at)
            .collect::<Vec<_>>()
    };
    tell(10).await;
    assert_eq!(in_force().await, [at(10)]);
    world.drain().await;
    tell(20).await;
    assert_eq!(in_force().await, [at(10)]);
    assert!(world.queue().await.is_empty(), "nobody plans it anew");
}

pub async fn a_tombstone_from_before_our_write_is_asked_again(store: Arc<dyn Store>) {
    let world = World::new(store).await;
    let sent = world.store.sequence();
    world
        .observe(Source::Write, vec![person("1", json!({"age": 2}))])
        .await;
    let receipt = world
        .bury(
            Source::Listing,
            sent,
            vec![tombstone("1", Absence::Archived)],
        )
        .await;
    assert_eq!((receipt.changed, receipt.refetch), (0, 1));
    assert_eq!(world.record("1").await.presence, Presence::Present);
    assert_eq!(world.drain().await, [("1".to_owned(), true)]);
}

pub async fn what_we_removed_does_not_come_back_from_an_old_listing(store: Arc<dyn Store>) {
    let world = World::new(store).await;
    let ada = person("1", json!({"email": "ada@x.org"}));
    world.observe(Source::Listing, vec![ada.clone()]).await;
    world.drain().await;
    let sent = world.store.sequence();
    world
        .bury(Source::Write, sent, vec![tombstone("1", Absence::Deleted)])
        .await;
    let receipt = world.observe_sent(Source::Listing, sent, vec![ada]).await;
    assert_eq!((receipt.changed, receipt.refetch), (0, 1));
    assert_eq!(world.record("1").await.presence, Presence::Gone);
    assert!(world.by_email("ada@x.org").await.is_empty());
}

pub async fn a_record_that_returns_must_be_planned(store: Arc<dyn Store>) {
    let world = World::new(store).await;
    let ada = person("1", json!({"email": "ada@x.org"}));
    world.observe(Source::Listing, vec![ada.clone()]).await;
    let sent = world.store.sequence();
    world
        .bury(
            Source::Listing,
            sent,
            vec![tombstone("1", Absence::Archived)],
        )
        .await;
    world.drain().await;
    let receipt = world.observe(Source::Listing, vec![ada]).await;
    assert_eq!(receipt.changed, 1);
    assert_eq!(world.record("1").await.presence, Presence::Present);
    assert_eq!(world.by_email("ada@x.org").await, ["1"]);
    assert_eq!(world.drain().await, [("1".to_owned(), false)]);
}

pub async fn match_keys_follow_the_record(store: Arc<dyn Store>) {
    let world = World::new(store).await;
    let page = vec![
        person("1", json!({"email": "Ada@x.org"})),
        person("2", json!({"email": "ada@X.org"})),
        person("3", json!({"email": "bob@x.org"})),
    ];
    world.observe(Source::Listing, page).await;
    assert_eq!(world.by_email("ada@x.org").await, ["1", "2"]);
    let both = [
        "bob@x.org".to_owned(),
        "ada@x.org".to_owned(),
        "no@x.org".to_owned(),
    ];
    let found = world
        .store
        .records_by_key(&crm(), "email", &both, 1)
        .await
        .unwrap();
    assert_eq!(
        found,
        [
            ("ada@x.org".to_owned(), id("1")),
            ("bob@x.org".to_owned(), id("3"))
        ],
        "at most one per value"
    );
    world
        .observe(
            Source::Listing,
            vec![person("1", json!({"email": "ada@y.org"}))],
        )
        .await;
    assert_eq!(world.by_email("ada@x.org").await, ["2"]);
    assert_eq!(world.by_email("ada@y.org").await, ["1"]);
    // A page without the field leaves the key; an empty value takes it away.
    world
        .observe(Source::Listing, vec![person("1", json!({"age": 1}))])
        .await;
    assert_eq!(world.by_email("ada@y.org").await, ["1"]);
    world
        .observe(Source::Listing, vec![person("1", json!({"email": null}))])
        .await;
    assert!(world.by_email("ada@y.org").await.is_empty());
}

pub async fn a_reader_that_does_not_know_a_key_leaves_it(store: Arc<dyn Store>) {
    let world = World::new(store).await;
    let ada = person("1", json!({"email": "ada@x.org"}));
    world.observe(Source::Listing, vec![ada.clone()]).await;
    let mut keyless = ada;
    keyless.keys.clear();
    world.observe(Source::Listing, vec![keyless]).await;
    assert_eq!(world.by_email("ada@x.org").await, ["1"]);
    let mut keyless = person("1", json!({"email": "ada@y.org"}));
    keyless.keys.clear();
    world.observe(Source::Listing, vec![keyless]).await;
    assert!(
        world.by_email("ada@x.org").await.is_empty(),
        "the value is no longer true"
    );
}

pub async fn the_last_of_two_versions_in_a_page_stays(store: Arc<dyn Store>) {
    let world = World::new(store).await;
    let page = vec![
        person("1", json!({"email": "old@x.org"})),
        person("1", json!({"email": "new@x.org"})),
    ];
    world.observe(Source::Listing, page).await;
    assert_eq!(world.record("1").await.fields["email"], "new@x.org");
    assert!(world.by_email("old@x.org").await.is_empty());
    assert_eq!(world.by_email("new@x.org").await, ["1"]);
    assert_eq!(world.queue().await.len(), 1);
}

pub async fn what_a_snapshot_did_not_see_is_found(store: Arc<dyn Store>) {
    let world = World::new(store).await;
    let people = ["1", "2", "3", "4"].map(|name| person(name, json!({"age": 1})));
    world.observe(Source::Listing, people.to_vec()).await;
    let sent = world.store.sequence();
    world
        .bury(
            Source::Listing,
            sent,
            vec![tombstone("4", Absence::Deleted)],
        )
        .await;
    let number = world.store.sequence();
    world
        .commit(vec![Change::Observe {
            endpoint: crm(),
            source: Source::Listing,
            sent: number,
            snapshot: Some(number),
            records: vec![people[1].clone(), person("5", json!({"age": 1}))],
            tombstones: Vec::new(),
        }])
        .await;
    let unseen = world.store.unseen(&crm(), number, None, 10).await.unwrap();
    assert_eq!(names(&unseen), ["1", "3"], "4 is gone");
    let rest = world
        .store
        .unseen(&crm(), number, Some(&id("1")), 10)
        .await
        .unwrap();
    assert_eq!(names(&rest), ["3"]);
    assert_eq!(
        world
            .store
            .unseen(&crm(), number, None, 1)
            .await
            .unwrap()
            .len(),
        1
    );
    // A snapshot that began earlier and is still under way does not take the mark away.
    world
        .commit(vec![Change::Seen {
            endpoint: crm(),
            snapshot: number - 1,
            ids: vec![id("2"), id("3")],
        }])
        .await;
    let unseen = world.store.unseen(&crm(), number, None, 10).await.unwrap();
    assert_eq!(names(&unseen), ["1", "3"]);
    let unseen = world
        .store
        .unseen(&crm(), number - 1, None, 10)
        .await
        .unwrap();
    assert_eq!(names(&unseen), ["1"]);
}

pub async fn seen_ids_mark_known_records_and_fetch_unknown_ones(store: Arc<dyn Store>) {
    let world = World::new(store).await;
    let people = ["1", "2", "3"].map(|name| person(name, json!({"age": 1})));
    world.observe(Source::Listing, people.to_vec()).await;
    let sent = world.store.sequence();
    world
        .bury(
            Source::Listing,
            sent,
            vec![tombstone("2", Absence::Archived)],
        )
        .await;
    world.drain().await;
    let number = world.store.sequence();
    let receipt = world
        .commit(vec![Change::Seen {
            endpoint: crm(),
            snapshot: number,
            ids: vec![id("1"), id("2"), id("9")],
        }])
        .await;
    assert_eq!(receipt.refetch, 2);
    assert_eq!(
        names(&world.store.unseen(&crm(), number, None, 10).await.unwrap()),
        ["3"]
    );
    assert_eq!(
        world.drain().await,
        [("2".to_owned(), true), ("9".to_owned(), true)]
    );
}

pub async fn another_endpoint_is_another_record(store: Arc<dyn Store>) {
    let world = World::new(store).await;
    world
        .observe(
            Source::Listing,
            vec![person("1", json!({"email": "ada@x.org"}))],
        )
        .await;
    let mail = endpoint("mail");
    assert!(
        world
            .store
            .observations(&mail, &[id("1")])
            .await
            .unwrap()
            .is_empty()
    );
    let keys = ["ada@x.org".to_owned()];
    assert!(
        world
            .store
            .records_by_key(&mail, "email", &keys, 9)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        world
            .store
            .records(&mail, None, 9)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(world.store.records(&crm(), None, 9).await.unwrap().len(), 1);
    assert!(
        world
            .store
            .records(&crm(), Some(&id("1")), 9)
            .await
            .unwrap()
            .is_empty()
    );
}
