//! Forgetting a person.

use samspel_model::intent::{Effect, Intent};
use samspel_model::journal::JournalEntry;
use samspel_model::link::LinkId;
use samspel_model::store::{Conflict, Parked, Verdict, Waiting};
use samspel_model::write::Removal;

use super::journal::entry;
use super::people::restriction;
use super::records::{conflict, decision, intent, link, parked};
use super::*;

fn erase(endpoint: Endpoint, names: &[&str]) -> Change {
    Change::Erase {
        endpoint,
        records: names.iter().map(|name| id(name)).collect(),
    }
}

/// A write to side B for the record `source` of side A, without a link.
fn write(name: &str, source: &str, effect: Effect) -> Intent {
    Intent {
        source_record: id(source),
        link: None,
        effect,
        ..intent(name)
    }
}

/// Everything that can be known about records 1 and 2 of [`crm`], which are linked to b1 and b2.
async fn fill(world: &World) {
    for name in ["1", "2"] {
        let mate = format!("b{name}");
        world
            .observe(
                Source::Listing,
                vec![person(
                    name,
                    json!({"email": format!("{name}@x.org"), "age": 1}),
                )],
            )
            .await;
        world
            .commit(vec![
                Change::PutLinks(vec![link(&format!("l{name}"), name, &mate)]),
                Change::PutIntents(vec![write(
                    &format!("i{name}"),
                    name,
                    Effect::Update(id(&mate)),
                )]),
                Change::PutConflicts(vec![
                    conflict(name, "email", 1),
                    conflict(name, "hold:delete", 1),
                ]),
                Change::PutDecisions(vec![decision(name, "email", Verdict::Approve)]),
                Change::Park(vec![parked(name, 1)]),
                Change::Restrict(vec![restriction(name, 1)]),
            ])
            .await;
    }
}

/// How much is known about a record of [`crm`]: rows in the queue, links, intents, conflicts, decisions, parked.
async fn known(world: &World, side: Side, name: &str) -> [usize; 6] {
    let (store, sync) = (&world.store, world.lease.sync.as_str());
    let ids = [id(name)];
    let conflicts = store.conflicts(sync, Waiting::All, 0, 99).await.unwrap();
    let parked = store.parked(sync, 0, 99).await.unwrap();
    let intents = store.intents(sync, None, 99).await.unwrap();
    [
        world
            .queue()
            .await
            .iter()
            .filter(|row| row.side == side && row.id == ids[0])
            .count(),
        store.links_by_record(sync, side, &ids).await.unwrap().len(),
        intents
            .iter()
            .filter(|one| {
                if one.target == side {
                    one.effect.target_record() == Some(&ids[0])
                } else {
                    one.source_record == ids[0]
                }
            })
            .count(),
        conflicts
            .iter()
            .filter(|one| one.side == side && one.record == ids[0])
            .count(),
        store.decisions(sync, side, &ids).await.unwrap().len(),
        parked
            .iter()
            .filter(|one| one.side == side && one.record == ids[0])
            .count(),
    ]
}

pub async fn an_erased_record_is_known_nowhere(store: Arc<dyn Store>) {
    let world = World::new(store).await;
    fill(&world).await;
    assert_eq!(known(&world, Side::A, "1").await, [1, 1, 1, 2, 1, 1]);
    let receipt = world.commit(vec![erase(crm(), &["1", "unknown"])]).await;
    assert_eq!(
        (receipt.queued, receipt.cleaned, receipt.changed),
        (0, 0, 0)
    );
    assert_eq!(known(&world, Side::A, "1").await, [0; 6]);
    let (store, one) = (&world.store, [id("1")]);
    assert!(store.observations(&crm(), &one).await.unwrap().is_empty());
    assert!(store.restrictions(&crm(), &one).await.unwrap().is_empty());
    assert!(world.by_email("1@x.org").await.is_empty());
    assert!(
        store
            .links_by_record(SYNC, Side::B, &[id("b1")])
            .await
            .unwrap()
            .is_empty()
    );
    // If it is read again, it is new.
    let receipt = world
        .observe(Source::Listing, vec![person("1", json!({"age": 1}))])
        .await;
    assert_eq!((receipt.changed, receipt.queued), (1, 1));
    assert_eq!(world.record("1").await.fields, fields(json!({"age": 1})));
    assert!(world.by_email("1@x.org").await.is_empty());
}

pub async fn erasing_reaches_every_sync_of_the_record(store: Arc<dyn Store>) {
    let world = World::new(Arc::clone(&store)).await;
    let other = World::of(store, OTHER, "shop", "crm").await;
    world
        .observe(Source::Listing, vec![person("1", json!({"age": 1}))])
        .await;
    let of_b = |one: Conflict| Conflict {
        side: Side::B,
        ..one
    };
    let to = |target, source: &str, name: &str, effect| Intent {
        target,
        ..write(name, source, effect)
    };
    other
        .commit(vec![
            Change::PutLinks(vec![link("l1", "s1", "1"), link("l2", "1", "2")]),
            Change::PutConflicts(vec![
                of_b(conflict("1", "email", 1)),
                conflict("1", "email", 1),
            ]),
            Change::Park(vec![
                Parked {
                    side: Side::B,
                    ..parked("1", 1)
                },
                parked("1", 1),
            ]),
            Change::PutIntents(vec![
                to(Side::A, "1", "i1", Effect::Create),
                to(
                    Side::B,
                    "s1",
                    "i2",
                    Effect::Remove(id("1"), Removal::Archive),
                ),
                to(Side::B, "s1", "i3", Effect::Update(id("1"))),
                to(Side::B, "1", "i4", Effect::Create),
                to(Side::A, "s1", "i5", Effect::Update(id("1"))),
            ]),
            Change::Journal(vec![JournalEntry {
                side: Some(Side::B),
                ..entry(Some("1"), 1)
            }]),
        ])
        .await;
    assert_eq!(known(&other, Side::B, "1").await, [1, 1, 3, 1, 0, 1]);
    world.commit(vec![erase(crm(), &["1"])]).await;
    assert_eq!(known(&other, Side::B, "1").await, [0; 6]);
    assert_eq!(
        known(&other, Side::A, "1").await,
        [0, 1, 2, 1, 0, 1],
        "the record of that name in the shop is another one"
    );
    assert!(other.journal(JournalOf::Sync).await[0].detail["erased"].is_string());
}

pub async fn erasing_leaves_other_records(store: Arc<dyn Store>) {
    let world = World::new(store).await;
    fill(&world).await;
    world
        .commit(vec![erase(endpoint("mail"), &["1", "2"])])
        .await;
    world.commit(vec![erase(crm(), &["1"])]).await;
    assert_eq!(known(&world, Side::A, "2").await, [1, 1, 1, 2, 1, 1]);
    assert_eq!(world.by_email("2@x.org").await, ["2"]);
    assert_eq!(world.record("2").await.fields["age"], 1);
    let opt_outs = world.store.restrictions(&crm(), &[id("2")]).await.unwrap();
    assert_eq!(opt_outs, [restriction("2", 1)]);
}

pub async fn erasing_takes_writes_and_questions_of_the_link(store: Arc<dyn Store>) {
    let world = World::new(store).await;
    let of_link = |name: &str, one: Conflict| Conflict {
        link: Some(LinkId(name.to_owned())),
        ..one
    };
    world
        .commit(vec![
            Change::PutLinks(vec![link("l1", "1", "b1"), link("l2", "2", "b2")]),
            Change::PutConflicts(vec![
                of_link("l1", conflict("1", "email", 1)),
                // Whatever record it is about: it tells of the pair.
                of_link("l1", conflict("3", "merge", 1)),
                conflict("1", "identity", 2),
                of_link("l2", conflict("2", "email", 3)),
            ]),
            Change::PutIntents(vec![
                Intent {
                    link: Some(LinkId("l1".to_owned())),
                    ..write("i1", "x", Effect::Create)
                },
                Intent {
                    link: Some(LinkId("l2".to_owned())),
                    ..write("i2", "x", Effect::Create)
                },
            ]),
        ])
        .await;
    world.commit(vec![erase(endpoint("mail"), &["b1"])]).await;
    let (links, intents, conflicts) = (
        world.store.links(SYNC, None, 9).await.unwrap(),
        world.store.intents(SYNC, None, 9).await.unwrap(),
        world
            .store
            .conflicts(SYNC, Waiting::All, 0, 9)
            .await
            .unwrap(),
    );
    assert_eq!(links, [link("l2", "2", "b2")]);
    assert_eq!(intents.len(), 1);
    assert_eq!(intents[0].id, "i2");
    assert_eq!(
        conflicts,
        [
            conflict("1", "identity", 2),
            of_link("l2", conflict("2", "email", 3))
        ]
    );
}

pub async fn the_journal_of_an_erased_record_is_without_values(store: Arc<dyn Store>) {
    let world = World::new(store).await;
    let of_link = |name: &str, one: JournalEntry| JournalEntry {
        link: Some(LinkId(name.to_owned())),
        ..one
    };
    let mate = |number| JournalEntry {
        side: Some(Side::B),
        ..entry(Some("1"), number)
    };
    let entries = [
        entry(Some("1"), 0),
        of_link("l1", entry(None, 1)),
        of_link("l1", mate(2)),
        mate(3),
        entry(Some("2"), 4),
        of_link("l2", entry(Some("2"), 5)),
        entry(None, 6),
        // Of a link that is dissolved.
        of_link("l0", entry(Some("1"), 7)),
        of_link("l0", mate(8)),
    ];
    world
        .commit(vec![
            Change::PutLinks(vec![link("l1", "1", "b1"), link("l2", "2", "b2")]),
            Change::Journal(entries.to_vec()),
        ])
        .await;
    world
        .commit_at(
            60,
            vec![
                erase(crm(), &["1"]),
                Change::Journal(vec![entry(Some("1"), 9)]),
            ],
        )
        .await;
    let mut told = world.journal(JournalOf::Sync).await;
    told.reverse();
    let silenced = json!({ "erased": at(60) });
    for (number, before) in entries.iter().enumerate() {
        let mut expected = before.clone();
        if [0, 1, 2, 7, 8].contains(&number) {
            expected.detail = silenced.clone();
        }
        assert_eq!(told[number], expected);
    }
    assert_eq!(
        told[9],
        entry(Some("1"), 9),
        "what is told afterwards stays"
    );
}
