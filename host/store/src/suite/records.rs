//! What a sync keeps: links, intents, conflicts, parked records, decisions, cursors, runs.

use samspel_model::Removal;
use samspel_model::consent::{Consent, ConsentState, Deliverability, DeliverabilityState};
use samspel_model::intent::{Effect, Intent};
use samspel_model::link::{Base, FieldBase, Link, LinkId};
use samspel_model::store::{
    Conflict, Cursor, Decision, Parked, RunRecord, SnapshotProgress, SyncState, Verdict, Waiting,
    subject,
};

use super::*;

pub(super) fn link(name: &str, a: &str, b: &str) -> Link {
    let mut base = Base::default();
    base.fields.insert(
        "email".to_owned(),
        FieldBase {
            a: json!(format!("{a}@x.org")),
            b: json!(null),
            rule: "r1".to_owned(),
            undone: false,
        },
    );
    Link {
        id: LinkId(name.to_owned()),
        a: id(a),
        b: id(b),
        base,
    }
}

pub(super) fn intent(name: &str) -> Intent {
    Intent {
        id: name.to_owned(),
        run: "run-1".to_owned(),
        target: Side::B,
        source_record: id("1"),
        link: Some(LinkId("l".to_owned())),
        effect: Effect::Update(id("b1")),
        patch: fields(json!({"email": "a@x.org"})),
        before: Fields::new(),
        consents: vec![Consent {
            channel: "email".to_owned(),
            purpose: "marketing".to_owned(),
            state: ConsentState::Unsubscribed,
            at: Some(at(1)),
            evidence: None,
        }],
        deliverability: None,
        precondition: None,
        base: Base::default(),
        shared: vec!["email".to_owned()],
        restricts: true,
        and_more: false,
        overrules: None,
        told: vec![],
        lost: None,
    }
}

pub(super) fn conflict(record: &str, about: &str, second: i64) -> Conflict {
    Conflict {
        side: Side::A,
        record: id(record),
        about: about.to_owned(),
        link: None,
        at: at(second),
        why: "both sides changed".to_owned(),
        detail: json!({"a": 1}),
    }
}

pub(super) fn parked(record: &str, second: i64) -> Parked {
    Parked {
        side: Side::A,
        record: id(record),
        at: at(second),
        cause: "the address is refused".to_owned(),
    }
}

pub async fn links_are_found_by_both_sides(store: Arc<dyn Store>) {
    let world = World::new(store).await;
    let links = vec![
        link("l1", "1", "b1"),
        link("l2", "2", "b2"),
        link("l3", "3", "b3"),
    ];
    world.commit(vec![Change::PutLinks(links.clone())]).await;
    let by_a = world
        .store
        .links_by_record(SYNC, Side::A, &[id("2"), id("b1")])
        .await
        .unwrap();
    assert_eq!(by_a, [links[1].clone()]);
    let by_b = world
        .store
        .links_by_record(SYNC, Side::B, &[id("b1")])
        .await
        .unwrap();
    assert_eq!(by_b, [links[0].clone()]);
    assert_eq!(world.store.links(SYNC, None, 2).await.unwrap(), links[..2]);
    let after = LinkId("l2".to_owned());
    assert_eq!(
        world.store.links(SYNC, Some(&after), 9).await.unwrap(),
        links[2..]
    );
    let mut rebased = links[0].clone();
    rebased.base = Base::default();
    world
        .commit(vec![
            Change::PutLinks(vec![rebased.clone()]),
            Change::RemoveLinks(vec![LinkId("l3".to_owned())]),
        ])
        .await;
    assert_eq!(
        world.store.links(SYNC, None, 9).await.unwrap(),
        [rebased, links[1].clone()]
    );
    assert_eq!(world.store.counts(SYNC).await.unwrap().links, 2);
}

pub async fn a_record_cannot_be_linked_twice(store: Arc<dyn Store>) {
    let world = World::new(store).await;
    world
        .commit(vec![Change::PutLinks(vec![link("l1", "1", "b1")])])
        .await;
    for twice in [link("l2", "1", "b2"), link("l2", "2", "b1")] {
        let error = world
            .store
            .commit(&world.lease, commit(vec![Change::PutLinks(vec![twice])]))
            .await
            .unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    }
    assert_eq!(
        world.store.links(SYNC, None, 9).await.unwrap(),
        [link("l1", "1", "b1")]
    );
}

pub async fn a_link_can_move_in_one_commit(store: Arc<dyn Store>) {
    let world = World::new(store).await;
    world
        .commit(vec![Change::PutLinks(vec![link("l1", "1", "b1")])])
        .await;
    world
        .commit(vec![
            Change::RemoveLinks(vec![LinkId("l1".to_owned())]),
            Change::PutLinks(vec![link("l2", "1", "b2")]),
        ])
        .await;
    assert_eq!(
        world.store.links(SYNC, None, 9).await.unwrap(),
        [link("l2", "1", "b2")]
    );
}

pub async fn intents_come_and_go(store: Arc<dyn Store>) {
    let world = World::new(store).await;
    let intents: Vec<_> = ["i1", "i2", "i3"].into_iter().map(intent).collect();
    world
        .commit(vec![Change::PutIntents(intents.clone())])
        .await;
    assert_eq!(
        world.store.intents(SYNC, None, 2).await.unwrap(),
        intents[..2]
    );
    assert_eq!(
        world.store.intents(SYNC, Some("i2"), 9).await.unwrap(),
        intents[2..]
    );
    world
        .commit(vec![Change::RemoveIntents(vec![
            "i1".to_owned(),
            "i3".to_owned(),
            "no".to_owned(),
        ])])
        .await;
    assert_eq!(
        world.store.intents(SYNC, None, 9).await.unwrap(),
        intents[1..2]
    );
    assert_eq!(world.store.counts(SYNC).await.unwrap().intents, 1);
}

pub async fn updates_of_other_syncs_are_found_by_their_record(store: Arc<dyn Store>) {
    let world = World::new(Arc::clone(&store)).await;
    let other = World::of(Arc::clone(&store), OTHER, "shop", "crm").await;
    let elsewhere = World::of(Arc::clone(&store), "elsewhere", "shop", "mail").await;
    let to = |name: &str, target, effect| Intent {
        target,
        effect,
        ..intent(name)
    };
    let found = to("i1", Side::B, Effect::Update(id("1")));
    let changes = vec![
        found.clone(),
        to("i2", Side::B, Effect::Update(id("2"))),
        // In its sync the endpoint is the other side.
        to("i3", Side::A, Effect::Update(id("1"))),
        to("i4", Side::B, Effect::Remove(id("1"), Removal::Archive)),
        to("i5", Side::B, Effect::Create),
    ];
    other.commit(vec![Change::PutIntents(changes)]).await;
    let own = to("i6", Side::A, Effect::Update(id("1")));
    world.commit(vec![Change::PutIntents(vec![own])]).await;
    let unrelated = to("i7", Side::B, Effect::Update(id("1")));
    elsewhere
        .commit(vec![Change::PutIntents(vec![unrelated])])
        .await;
    let asked = [id("9"), id("1")];
    let writes = store.writes_of_others(SYNC, &crm(), &asked).await.unwrap();
    assert_eq!(writes, [found]);
    other
        .commit(vec![Change::RemoveIntents(vec!["i1".to_owned()])])
        .await;
    let writes = store.writes_of_others(SYNC, &crm(), &asked).await.unwrap();
    assert!(writes.is_empty());
}

pub async fn conflicts_are_replaced_and_removed_by_subject(store: Arc<dyn Store>) {
    let world = World::new(store).await;
    let mut newer = conflict("1", "email", 3);
    newer.why = "still undecided".to_owned();
    // It waits since it was first put.
    let still = Conflict {
        at: conflict("1", "email", 1).at,
        ..newer.clone()
    };
    world
        .commit(vec![
            Change::PutConflicts(vec![
                conflict("1", "email", 1),
                conflict("1", "name", 2),
                conflict("2", "email", 0),
            ]),
            Change::PutConflicts(vec![newer]),
        ])
        .await;
    let all = world
        .store
        .conflicts(SYNC, Waiting::All, 0, 9)
        .await
        .unwrap();
    assert_eq!(
        all,
        [
            conflict("2", "email", 0),
            still.clone(),
            conflict("1", "name", 2),
        ]
    );
    assert_eq!(
        world
            .store
            .conflicts(SYNC, Waiting::All, 0, 1)
            .await
            .unwrap()
            .len(),
        1
    );
    world
        .commit(vec![
            Change::RemoveConflicts {
                side: Side::B,
                records: vec![(id("1"), Vec::new())],
            },
            Change::RemoveConflicts {
                side: Side::A,
                records: vec![(id("1"), vec!["email".to_owned()]), (id("2"), Vec::new())],
            },
        ])
        .await;
    assert_eq!(
        world
            .store
            .conflicts(SYNC, Waiting::All, 0, 9)
            .await
            .unwrap(),
        [still]
    );
    assert_eq!(world.store.counts(SYNC).await.unwrap().conflicts, 1);
}

pub async fn parked_records_come_and_go(store: Arc<dyn Store>) {
    let world = World::new(store).await;
    world
        .commit(vec![Change::Park(vec![parked("1", 2), parked("2", 1)])])
        .await;
    assert_eq!(
        world.store.parked(SYNC, 0, 9).await.unwrap(),
        [parked("2", 1), parked("1", 2)]
    );
    let ids = vec![id("1")];
    world
        .commit(vec![
            Change::Unpark {
                side: Side::B,
                ids: ids.clone(),
            },
            Change::Park(vec![parked("2", 5)]),
        ])
        .await;
    assert_eq!(
        world.store.parked(SYNC, 0, 9).await.unwrap(),
        [parked("1", 2), parked("2", 5)]
    );
    world
        .commit(vec![Change::Unpark { side: Side::A, ids }])
        .await;
    assert_eq!(
        world.store.parked(SYNC, 0, 9).await.unwrap(),
        [parked("2", 5)]
    );
    assert_eq!(world.store.counts(SYNC).await.unwrap().parked, 1);
}

pub async fn conflicts_and_parked_records_are_paged(store: Arc<dyn Store>) {
    let world = World::new(store).await;
    let names = ["1", "2", "3"];
    let conflicts: Vec<_> = names
        .iter()
        .map(|name| conflict(name, "email", 1))
        .collect();
    let failed: Vec<_> = names.iter().map(|name| parked(name, 1)).collect();
    world
        .commit(vec![
            Change::PutConflicts(conflicts.clone()),
            Change::Park(failed.clone()),
        ])
        .await;
    for offset in 0..4 {
        let rest = usize::try_from(offset).unwrap();
        let end = (rest + 2).min(3);
        let page = world
            .store
            .conflicts(SYNC, Waiting::All, offset, 2)
            .await
            .unwrap();
        assert_eq!(page, conflicts[rest..end]);
        let page = world.store.parked(SYNC, offset, 2).await.unwrap();
        assert_eq!(page, failed[rest..end]);
    }
}

pub async fn what_a_valve_holds_is_told_from_what_is_undecided(store: Arc<dyn Store>) {
    let world = World::new(store).await;
    let undecided = [
        conflict("1", "identity", 1),
        // The name of a field mapping that looks like a hold and is none.
        conflict("2", "holder=holder", 3),
    ];
    let held = [
        conflict("1", subject::HOLD_DELETE, 2),
        conflict("2", "hold:change:email=email", 4),
    ];
    world
        .commit(vec![
            Change::PutConflicts(held.to_vec()),
            Change::PutConflicts(undecided.to_vec()),
        ])
        .await;
    let waiting =
        async |which, offset| world.store.conflicts(SYNC, which, offset, 9).await.unwrap();
    assert_eq!(waiting(Waiting::Conflicts, 0).await, undecided);
    assert_eq!(waiting(Waiting::Holds, 0).await, held);
    assert_eq!(waiting(Waiting::Holds, 1).await, held[1..]);
    assert_eq!(waiting(Waiting::All, 0).await.len(), 4);
    let counts = world.store.counts(SYNC).await.unwrap();
    assert_eq!((counts.conflicts, counts.holds), (2, 2));
}

pub(super) fn decision(record: &str, about: &str, verdict: Verdict) -> Decision {
    Decision {
        side: Side::A,
        record: id(record),
        about: about.to_owned(),
        verdict,
        at: at(1),
        by: "an operator".to_owned(),
        of: None,
    }
}

pub async fn decisions_stay_until_they_are_carried_out(store: Arc<dyn Store>) {
    let world = World::new(store).await;
    let take = decision("1", "email", Verdict::Take(Side::B));
    let reject = decision("1", "hold:delete", Verdict::Reject);
    let link = decision("2", "identity", Verdict::Link(id("b7")));
    let other = Decision {
        side: Side::B,
        ..decision("1", "email", Verdict::Approve)
    };
    world
        .commit(vec![
            Change::PutDecisions(vec![
                link.clone(),
                reject.clone(),
                decision("1", "email", Verdict::Take(Side::A)),
                other.clone(),
                decision("3", "email", Verdict::Approve),
            ]),
            Change::PutDecisions(vec![take.clone()]),
        ])
        .await;
    let decided = async |side, names: &[&str]| {
        let records: Vec<_> = names.iter().map(|name| id(name)).collect();
        world.store.decisions(SYNC, side, &records).await.unwrap()
    };
    assert_eq!(
        decided(Side::A, &["2", "1", "9"]).await,
        [take, reject.clone(), link.clone()],
        "in order of record and subject, without those about others"
    );
    let gone = |side, about: &str| (side, id("1"), about.to_owned());
    world
        .commit(vec![Change::RemoveDecisions(vec![
            gone(Side::A, "email"),
            gone(Side::B, "hold:delete"),
            gone(Side::A, "identity"),
        ])])
        .await;
    assert_eq!(decided(Side::A, &["1", "2"]).await, [reject, link]);
    assert_eq!(decided(Side::B, &["1"]).await, [other]);
    World::of(Arc::clone(&world.store), OTHER, "crm", "shop").await;
    let elsewhere = world.store.decisions(OTHER, Side::A, &[id("2")]).await;
    assert!(elsewhere.unwrap().is_empty());
    world.store.reset(&world.lease).await.unwrap();
    assert!(decided(Side::A, &["1", "2", "3"]).await.is_empty());
}

fn run(name: &str, second: i64) -> RunRecord {
    RunRecord {
        id: name.to_owned(),
        started: at(second),
        ended: None,
        error: None,
        report: json!({"written": 1}),
    }
}

pub async fn cursors_runs_and_state_are_replaced(store: Arc<dyn Store>) {
    let world = World::new(store).await;
    assert_eq!(world.store.cursor(SYNC, Side::A).await.unwrap(), None);
    assert_eq!(world.store.state(SYNC).await.unwrap(), SyncState::default());
    let mut cursor = Cursor {
        incremental: Some("c1".to_owned()),
        snapshot: Some(SnapshotProgress {
            number: 7,
            token: None,
            resume: Some("c0".to_owned()),
            new_scope: true,
            shown: 12,
        }),
        compared: None,
        version: 1,
        scope: Some("f00d".to_owned()),
        incomplete: true,
        former: Some(Box::new(Cursor {
            incremental: Some("of the version before".to_owned()),
            snapshot: None,
            compared: Some(at(2)),
            version: 7,
            scope: None,
            incomplete: false,
            former: None,
        })),
    };
    let paused = SyncState {
        confirmed: Some(at(1)),
        paused: Some("by an operator".to_owned()),
        first_done: Some(at(7)),
        drift: Some(samspel_model::store::Drift {
            at: at(8),
            links: 9,
            unequal: 2,
        }),
    };
    let put = |cursor: &Cursor| Change::PutCursor {
        side: Side::A,
        cursor: cursor.clone(),
    };
    world
        .commit(vec![
            put(&cursor),
            Change::PutRun(run("r1", 1)),
            Change::PutRun(run("r2", 2)),
            Change::PutState(paused.clone()),
        ])
        .await;
    cursor.compared = Some(at(9));
    let mut ended = run("r1", 1);
    ended.ended = Some(at(3));
    ended.error = Some("refused".to_owned());
    world
        .commit(vec![put(&cursor), Change::PutRun(ended.clone())])
        .await;
    assert_eq!(
        world.store.cursor(SYNC, Side::A).await.unwrap(),
        Some(cursor)
    );
    assert_eq!(world.store.cursor(SYNC, Side::B).await.unwrap(), None);
    assert_eq!(
        world.store.runs(SYNC, 9).await.unwrap(),
        [run("r2", 2), ended]
    );
    assert_eq!(world.store.runs(SYNC, 1).await.unwrap(), [run("r2", 2)]);
    assert_eq!(world.store.state(SYNC).await.unwrap(), paused);
    world
        .commit(vec![Change::PutState(SyncState::default())])
        .await;
    assert_eq!(world.store.state(SYNC).await.unwrap(), SyncState::default());
}

pub async fn only_the_newest_runs_are_kept(store: Arc<dyn Store>) {
    let world = World::new(store).await;
    let runs = (1..=5).map(|number| Change::PutRun(run(&format!("r{number}"), number)));
    world.commit(runs.collect()).await;
    world.commit(vec![Change::KeepRuns(2)]).await;
    let kept = world.store.runs(SYNC, 10).await.unwrap();
    let names: Vec<&str> = kept.iter().map(|run| run.id.as_str()).collect();
    assert_eq!(names, ["r5", "r4"]);
    world.commit(vec![Change::KeepRuns(2)]).await;
    assert_eq!(world.store.runs(SYNC, 10).await.unwrap(), kept);
}

pub async fn odd_text_survives(store: Arc<dyn Store>) {
    let world = World::new(store).await;
    let odd = [
        "'; DROP TABLE link; --",
        "\"quoted\\\"",
        "1e3",
        "007",
        "null",
        "åß∂ 🦀\n\t",
        "{\"a\":1}",
        "\u{1}",
    ];
    let mut records = Vec::new();
    for name in odd {
        let mut record = person(
            name,
            json!({
                "email": name, "zero": "a\u{0}b", "list": [1, 1.5, "x", null, {"k": name}],
                "large": u64::MAX, "small": i64::MIN, "float": 0.1, "yes": true,
            }),
        );
        record.entity.consents = vec![Consent {
            channel: "email".to_owned(),
            purpose: name.to_owned(),
            state: ConsentState::Other(name.to_owned()),
            at: Some("2024-02-29T12:00:00.123456789Z".parse().unwrap()),
            evidence: Some(name.to_owned()),
        }];
        record.entity.deliverability = Some(Deliverability {
            state: DeliverabilityState::HardBounced,
            at: None,
            reason: Some(name.to_owned()),
        });
        record.entity.modified = Some("2024-02-29T12:00:00.123456789Z".parse().unwrap());
        records.push(record);
    }
    world.observe(Source::Listing, records.clone()).await;
    for record in &records {
        let stored = world.record(record.entity.id.as_str()).await;
        assert_eq!(stored.fields, record.entity.fields);
        assert_eq!(stored.consents, record.entity.consents);
        assert_eq!(stored.deliverability, record.entity.deliverability);
        assert_eq!(stored.modified, record.entity.modified);
        let (_, key) = &record.keys[0];
        assert_eq!(world.by_email(key).await, [record.entity.id.as_str()]);
    }
    let receipt = world.observe(Source::Listing, records).await;
    assert_eq!((receipt.changed, receipt.unchanged), (0, odd.len() as u64));
    let links: Vec<_> = odd
        .iter()
        .enumerate()
        .map(|(n, name)| link(&format!("{n}{name}"), name, name))
        .collect();
    world.commit(vec![Change::PutLinks(links.clone())]).await;
    for one in links {
        let found = world
            .store
            .links_by_record(SYNC, Side::B, std::slice::from_ref(&one.b))
            .await
            .unwrap();
        assert_eq!(found, [one]);
    }
    assert_eq!(world.drain().await.len(), odd.len());
    assert!(world.queue().await.is_empty());
}
