//! What an operator decides is carried out, and what a run did can be told, taken back and forgotten: simulated
//! vendors, connectors as components, the real runtime, sync and store.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::time::Duration;

use samspel_engine::pseudonym::Pseudonyms;
use samspel_model::store::{Conflict, Endpoint, Parked, Verdict, Waiting};
use samspel_model::{Side, StoreError};
use samspel_scenarios::pair::{NAME, SPEC};
use samspel_scenarios::people::{
    contact, edit_crm, edit_list, email, in_crm, in_list, later, member, merge_field,
    opted_out_in_crm, property, run, settle, status,
};
use samspel_scenarios::{Pair, Setup, Workbench, people};
use samspel_sync::system::SystemClock;
use samspel_sync::{
    Chosen, Concerned, Confirmation, History, RunOptions, Silent, SyncError, erase, history,
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

fn workbench() -> Workbench {
    Workbench::new(env!("CARGO_TARGET_TMPDIR"))
}

async fn pair(more: &str) -> Pair {
    people::pair(&workbench(), more).await
}

async fn waiting(pair: &Pair, which: Waiting) -> Vec<Conflict> {
    pair.store.conflicts(NAME, which, 0, 100).await.unwrap()
}

async fn parked(pair: &Pair) -> Vec<Parked> {
    pair.store.parked(NAME, 0, 100).await.unwrap()
}

async fn told(pair: &Pair, record: &str) -> History {
    let mut found = history(pair.store.as_ref(), NAME, &pair.spec, record, None, 100)
        .await
        .unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

fn ids<'a>(conflicts: impl IntoIterator<Item = &'a Conflict>) -> Chosen {
    Chosen::Ids(conflicts.into_iter().map(Conflict::id).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_is_queued_shown_resolved_and_carried_out() {
    let mut pair = pair("").await;
    pair.respecify(&SPEC.replace(
        r#"{ a = "firstname", b = "FNAME" }"#,
        r#"{ a = "firstname", b = "FNAME", on-conflict = "queue" }"#,
    ));
    in_crm(&pair, "ann");
    settle(&pair).await;
    later(&pair);
    edit_crm(&pair, "ann", json!({ "firstname": "Anna" }));
    edit_list(&pair, "ann", json!({ "FNAME": "Anne" }));
    let report = run(&pair).await;
    // The two records are planned together or, if one side was read later, one after the other: what is queued is one.
    let counted = (report.conflicts, report.accounts.conflict);
    assert!(matches!(counted, (1, 1) | (2, 2)), "{counted:?}");
    let queue = waiting(&pair, Waiting::Conflicts).await;
    let [conflict] = queue.as_slice() else {
        panic!("{queue:?}")
    };
    assert_eq!(conflict.about, "firstname=FNAME");
    let shown = pair
        .operator()
        .conflict(Waiting::Conflicts, &conflict.id())
        .await
        .unwrap();
    assert_eq!(
        (&shown.detail["a"], &shown.detail["b"]),
        (&json!("Anna"), &json!("Anne"))
    );

    let decided = pair
        .operator()
        .decide(Waiting::Conflicts, &ids(&queue), &Verdict::Take(Side::B))
        .await
        .unwrap();
    assert_eq!(decided.len(), 1);
    let report = run(&pair).await;
    assert_eq!(report.updated.a, 1);
    assert_eq!(property(&pair, "ann", "firstname"), "Anne");
    assert_eq!(waiting(&pair, Waiting::All).await, []);
    let told = told(&pair, &email("ann")).await;
    let name = &told.fields[1];
    assert!(
        name.decided.contains("an operator decided"),
        "{}",
        name.decided
    );
    assert_eq!(name.from, Some(Side::B));

    // What follows is nobody's decision.
    settle(&pair).await;
    later(&pair);
    edit_crm(&pair, "ann", json!({ "firstname": "Annika" }));
    settle(&pair).await;
    let name = self::told(&pair, &email("ann")).await.fields.remove(1);
    assert_eq!((name.value, name.from), (json!("Annika"), Some(Side::A)));
    assert!(
        name.decided.contains("changed in `crm`"),
        "{}",
        name.decided
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn records_with_one_key_are_linked_by_an_operator_or_left_apart() {
    let mut pair = pair("").await;
    // Matched by phone, so that two may have one key.
    pair.respecify(&SPEC.replace(
        r#"match = { a = "email", b = "email_address" }"#,
        r#"match = { a = "phone", b = "PHONE" }"#,
    ));
    for name in ["ann", "bo"] {
        in_crm(&pair, name);
        edit_crm(&pair, name, json!({ "phone": "+46701740605" }));
    }
    in_list(&pair, "ann");
    edit_list(&pair, "ann", json!({ "PHONE": "+46701740605" }));
    run(&pair).await;
    let queue = waiting(&pair, Waiting::Conflicts).await;
    assert!(!queue.is_empty());
    assert!(queue.iter().all(|one| one.about == "identity"), "{queue:?}");
    let ann = contact(&pair, "ann").unwrap()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let (of_ann, others): (Vec<Conflict>, Vec<Conflict>) = queue
        .into_iter()
        .partition(|one| one.side == Side::A && one.record.as_str() == ann);
    assert_eq!(of_ann.len(), 1);
    let partner = member(&pair, "ann").unwrap()["contact_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let link = Verdict::Link(partner.as_str().into());
    pair.operator()
        .decide(Waiting::Conflicts, &ids(&of_ann), &link)
        .await
        .unwrap();
    let bo: Vec<&Conflict> = others.iter().filter(|one| one.side == Side::A).collect();
    pair.operator()
        .decide(Waiting::Conflicts, &ids(bo), &Verdict::Reject)
        .await
        .unwrap();
    settle(&pair).await;
    let told = told(&pair, &ann).await;
    assert_eq!(told.partner, Some(partner));
    assert_eq!(waiting(&pair, Waiting::All).await, []);
    assert_eq!(pair.mailchimp.dump().len(), 1, "nobody was created");
    // Nobody is asked again because of a change that has nothing to do with it.
    for name in ["Bosse", "Bo"] {
        later(&pair);
        edit_crm(&pair, "bo", json!({ "firstname": name }));
        settle(&pair).await;
        assert_eq!(waiting(&pair, Waiting::All).await, []);
    }
    // Another number may be somebody else's.
    later(&pair);
    edit_crm(&pair, "bo", json!({ "phone": "+46701740606" }));
    settle(&pair).await;
    assert_eq!(pair.mailchimp.dump().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn mass_deletes_are_held_listed_approved_or_rejected() {
    let pair = pair(
        "deletes = \"archive\"\nvalves = { deletes = { count = 2, percent = 0 }, creates = { count = 100, percent = 20 }, \
         changes = { count = 200, percent = 50 } }",
    )
    .await;
    let everybody = ["ann", "bo", "cia", "dag", "eva", "fia"];
    for name in everybody {
        in_crm(&pair, name);
    }
    settle(&pair).await;
    later(&pair);
    let gone = &everybody[..5];
    for name in gone {
        pair.hubspot
            .act(json!({ "act": "archive", "contact": email(name) }));
    }
    let full = RunOptions {
        full: true,
        ..RunOptions::new(Confirmation::Given)
    };
    let report = pair.run_with(full.clone()).await.unwrap();
    assert_eq!((report.removed.sum(), report.holds), (0, 5), "{report:?}");
    let held = waiting(&pair, Waiting::Holds).await;
    assert_eq!(held.len(), 5);
    assert!(held.iter().all(|hold| hold.about == "hold:delete"));
    // Holding is stable: a further run neither deletes nor asks twice.
    let report = pair.run_with(full).await.unwrap();
    assert_eq!(report.removed.sum(), 0);
    assert_eq!(waiting(&pair, Waiting::Holds).await.len(), 5);

    let (kept, approved) = held.split_first().unwrap();
    let operator = pair.operator();
    operator
        .decide(Waiting::Holds, &ids([kept]), &Verdict::Reject)
        .await
        .unwrap();
    operator
        .decide(Waiting::Holds, &ids(approved), &Verdict::Approve)
        .await
        .unwrap();
    let report = run(&pair).await;
    assert_eq!(report.removed.b, 4);
    assert_eq!(waiting(&pair, Waiting::All).await, []);
    let archived = |pair: &Pair| {
        gone.iter()
            .filter(|name| status(pair, name) == "archived")
            .count()
    };
    assert_eq!(archived(&pair), 4);
    assert_eq!(status(&pair, "fia"), "transactional");
    settle(&pair).await;
    assert_eq!(archived(&pair), 4, "what was rejected stays");
    assert_eq!(waiting(&pair, Waiting::All).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_sync_fills_those_who_opted_out_however_many_they_are() {
    let pair = pair(
        "valves = { deletes = { count = 10, percent = 10 }, creates = { count = 100, percent = 20 }, \
         changes = { count = 1, percent = 0 } }",
    )
    .await;
    let everybody = ["ann", "bo", "cia", "dag"];
    for name in everybody {
        in_crm(&pair, name);
        in_list(&pair, name);
        edit_list(&pair, name, json!({ "LNAME": "EK" }));
        pair.hubspot
            .act(json!({ "act": "unsubscribe", "email": email(name) }));
    }
    // Opt-outs go first, so that everything else of these pairs is planned once more.
    settle(&pair).await;
    assert_eq!(waiting(&pair, Waiting::All).await, []);
    for name in everybody {
        assert_eq!(merge_field(&pair, name, "LNAME"), "Ek");
    }
    // Later it takes somebody's word to change more than one.
    later(&pair);
    for name in everybody {
        edit_crm(&pair, name, json!({ "lastname": "Al" }));
    }
    settle(&pair).await;
    assert_eq!(waiting(&pair, Waiting::Holds).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_record_is_retried_or_dropped() {
    let mut pair = pair("").await;
    let usual = r#"{ a = "lastname", b = "LNAME" }"#;
    // Nothing can be calculated from an empty last name.
    pair.respecify(&SPEC.replace(
        usual,
        r#"{ a = "lastname", b = "LNAME", direction = "a-to-b", to-b = "value.trim()" }"#,
    ));
    for name in ["ann", "bo"] {
        in_crm(&pair, name);
        edit_crm(&pair, name, json!({ "lastname": "" }));
    }
    let report = run(&pair).await;
    assert_eq!((report.parked, report.accounts.parked), (2, 2));
    let queue = parked(&pair).await;
    let ann = contact(&pair, "ann").unwrap()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let (ann, bo): (Vec<Parked>, Vec<Parked>) = queue
        .into_iter()
        .partition(|one| one.record.as_str() == ann);
    let chosen = |parked: &[Parked]| Chosen::Ids(parked.iter().map(Parked::id).collect());

    // The reason is still there.
    pair.operator().retry_parked(&chosen(&ann)).await.unwrap();
    assert_eq!(run(&pair).await.parked, 1);
    assert_eq!(parked(&pair).await.len(), 2);

    pair.operator().drop_parked(&chosen(&bo)).await.unwrap();
    pair.respecify(SPEC);
    pair.operator().retry_parked(&chosen(&ann)).await.unwrap();
    settle(&pair).await;
    assert_eq!(parked(&pair).await, []);
    assert_eq!(merge_field(&pair, "ann", "FNAME"), "ann");
    assert!(member(&pair, "bo").is_none(), "what was dropped is let be");
    later(&pair);
    edit_crm(&pair, "bo", json!({ "company": "Ny" }));
    settle(&pair).await;
    assert_eq!(
        merge_field(&pair, "bo", "COMPANY"),
        "Ny",
        "and looked at again when it changes"
    );
    let gone = pair.operator().retry_parked(&chosen(&ann)).await;
    assert!(matches!(gone, Err(SyncError::Refused { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_carried_out_exactly_or_refused() {
    let pair = pair("").await;
    for name in ["ann", "bo", "cia"] {
        in_crm(&pair, name);
        in_list(&pair, name);
    }
    settle(&pair).await;
    later(&pair);
    edit_crm(&pair, "ann", json!({ "firstname": "Anna" }));
    pair.mailchimp
        .act(json!({ "act": "unsubscribe", "member": email("cia") }));
    let plan = pair.plan().await;
    assert_eq!(plan.hash.len(), 64);
    assert_eq!(plan.update.b, 1, "{plan:?}");
    assert_eq!(pair.plan().await.hash, plan.hash, "the same plan");

    edit_list(&pair, "bo", json!({ "LNAME": "Al" }));
    let bound = |hash: &str| RunOptions {
        plan: Some(hash.to_owned()),
        ..RunOptions::new(Confirmation::Refuse)
    };
    let refused = pair.run_with(bound(&plan.hash)).await.unwrap_err();
    let SyncError::PlanChanged { plan: now, .. } = refused else {
        panic!("{refused}")
    };
    assert_ne!(now.hash, plan.hash);
    assert_eq!(
        merge_field(&pair, "ann", "FNAME"),
        "ann",
        "nothing was done"
    );
    assert!(!opted_out_in_crm(&pair, "cia"));

    let done = pair.run_with(bound(&now.hash[..12])).await.unwrap();
    assert_eq!(done.writes, now.update.sum());
    assert_eq!(merge_field(&pair, "ann", "FNAME"), "Anna");
    assert_eq!(property(&pair, "bo", "lastname"), "Al");
    assert!(opted_out_in_crm(&pair, "cia"));

    // There is a plan of nothing, too.
    let nothing = pair.plan().await;
    let done = pair.run_with(bound(&nothing.hash)).await.unwrap();
    assert_eq!(done.writes, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_tells_what_would_be_held_and_what_would_make_one_of_two() {
    let pair = pair(
        "deletes = \"archive\"\nvalves = { deletes = { count = 2, percent = 0 }, creates = { count = 100, percent = 20 }, \
         changes = { count = 200, percent = 50 } }",
    )
    .await;
    let everybody = ["ann", "bo", "cia", "dag"];
    for name in everybody {
        in_crm(&pair, name);
    }
    settle(&pair).await;
    later(&pair);
    for name in &everybody[1..] {
        pair.hubspot
            .act(json!({ "act": "archive", "contact": email(name) }));
    }
    // The new address of one is that of another member.
    in_list(&pair, "gun");
    edit_crm(&pair, "ann", json!({ "email": email("gun") }));
    let bound = RunOptions {
        full: true,
        plan: Some("0".repeat(64)),
        ..RunOptions::new(Confirmation::Refuse)
    };
    let refused = pair.run_with(bound.clone()).await.unwrap_err();
    let SyncError::PlanChanged { plan, .. } = refused else {
        panic!("{refused}")
    };
    assert_eq!((plan.remove.sum(), plan.holds), (0, 3), "{plan:?}");
    // The other member may not be linked with the contact that is linked already, either.
    assert_eq!((plan.update.sum(), plan.conflicts), (0, 2), "{plan:?}");
    let shown: Vec<_> = plan.samples.iter().map(|one| one.what.as_str()).collect();
    assert_eq!(shown.iter().filter(|what| **what == "hold").count(), 3);
    assert!(!shown.contains(&"remove"), "{shown:?}");
    let done = pair
        .run_with(RunOptions {
            plan: Some(plan.hash.clone()),
            ..bound
        })
        .await
        .unwrap();
    assert_eq!(
        (done.writes, done.holds, done.conflicts),
        (0, 3, 2),
        "{done:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_asked_to_agree_to_a_part_of_a_plan() {
    let pair = pair("").await;
    in_crm(&pair, "ann");
    let stop = CancellationToken::new();
    stop.cancel();
    let ask = Confirmation::Ask(Arc::new(|plan| panic!("asked about {plan:?}")));
    let bound = RunOptions {
        plan: Some(pair.plan().await.hash),
        ..RunOptions::new(Confirmation::Refuse)
    };
    for options in [RunOptions::new(ask), bound] {
        let stopped = pair.run_until(options, stop.clone()).await;
        assert!(
            matches!(stopped, Err(SyncError::Stopped { .. })),
            "{stopped:?}"
        );
    }
    assert!(member(&pair, "ann").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_only_observes_accounts_for_every_record() {
    let pair = pair("mode = \"observe\"").await;
    for name in ["ann", "bo"] {
        in_crm(&pair, name);
    }
    let report = run(&pair).await;
    assert_eq!((report.writes, report.pending), (0, 2));
    assert_eq!((report.accounts.observed, report.accounts.pending), (2, 2));
    assert!(report.accounts.balance());
    assert!(member(&pair, "ann").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn undo_sets_back_archives_and_leaves_what_was_changed_since_and_consents() {
    let pair = pair("").await;
    for name in ["ann", "bo", "cia", "dag"] {
        in_crm(&pair, name);
        in_list(&pair, name);
    }
    settle(&pair).await;
    later(&pair);
    for name in ["ann", "bo"] {
        edit_crm(&pair, name, json!({ "firstname": "Ny" }));
    }
    edit_crm(&pair, "dag", json!({ "firstname": "Ny", "lastname": "Ny" }));
    in_crm(&pair, "new");
    in_crm(&pair, "newer");
    pair.mailchimp
        .act(json!({ "act": "unsubscribe", "member": email("cia") }));
    let wrong = run(&pair).await;
    assert_eq!((wrong.created.b, wrong.updated.b), (2, 3), "{wrong:?}");
    assert!(opted_out_in_crm(&pair, "cia"));
    settle(&pair).await;
    later(&pair);
    // What people do before somebody notices.
    edit_list(&pair, "bo", json!({ "FNAME": "Bosse" }));
    edit_list(&pair, "dag", json!({ "LNAME": "Dahl" }));
    edit_list(&pair, "newer", json!({ "COMPANY": "Eget" }));
    settle(&pair).await;

    let undone = pair.undo(&wrong.run).await.unwrap();
    assert_eq!((undone.reverted.b, undone.removed.b), (2, 1), "{undone:?}");
    assert_eq!(merge_field(&pair, "ann", "FNAME"), "ann");
    assert_eq!(merge_field(&pair, "dag", "FNAME"), "dag");
    assert_eq!(status(&pair, "new"), "archived");
    // Left, and named.
    assert_eq!(merge_field(&pair, "bo", "FNAME"), "Bosse");
    assert_eq!(merge_field(&pair, "dag", "LNAME"), "Dahl");
    assert_eq!(status(&pair, "newer"), "transactional");
    assert_eq!(undone.left, 3, "{undone:?}");
    assert!(
        undone
            .samples
            .iter()
            .all(|left| left.why.contains("changed since"))
    );
    // An opt-out is never taken back.
    assert!(opted_out_in_crm(&pair, "cia"));
    assert_eq!(status(&pair, "cia"), "unsubscribed");
    assert_eq!(undone.consents_kept, 1, "{undone:?}");

    // What was taken back does not flow again by itself.
    settle(&pair).await;
    assert_eq!(merge_field(&pair, "ann", "FNAME"), "ann");
    assert_eq!(property(&pair, "ann", "firstname"), "Ny");
    assert_eq!(status(&pair, "new"), "archived");
    let told = told(&pair, &email("ann")).await;
    assert!(
        told.fields[1].decided.contains("took run"),
        "{}",
        told.fields[1].decided
    );
    // The next edit flows as ever.
    later(&pair);
    edit_crm(&pair, "ann", json!({ "firstname": "Annika" }));
    settle(&pair).await;
    assert_eq!(merge_field(&pair, "ann", "FNAME"), "Annika");
    // A second undo finds nothing that is still as the run left it.
    let again = pair.undo(&wrong.run).await.unwrap();
    assert_eq!(again.reverted.sum() + again.removed.sum(), 0, "{again:?}");
    let unknown = pair.undo("no such run").await;
    assert!(matches!(unknown, Err(SyncError::Refused { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_tells_the_drift_and_heals_it() {
    let pair = pair("").await;
    for name in ["ann", "bo", "cia", "dag"] {
        in_crm(&pair, name);
    }
    settle(&pair).await;
    later(&pair);
    edit_crm(&pair, "ann", json!({ "firstname": "Ny" }));
    let wrong = run(&pair).await;
    pair.undo(&wrong.run).await.unwrap();
    let found = pair.verify().await;
    assert_eq!((found.links, found.unequal, found.healed), (4, 1, 0));
    assert!((found.equal_share - 0.75).abs() < 1e-9);
    assert!(found.oldest_unsynced.is_some(), "a person is to be asked");
    assert_eq!(
        merge_field(&pair, "ann", "FNAME"),
        "ann",
        "comparing writes nothing"
    );

    // A change that nobody carried over yet is drift as well.
    later(&pair);
    edit_list(&pair, "bo", json!({ "FNAME": "Bosse" }));
    let found = pair.verify().await;
    assert_eq!(found.unequal, 2);
    assert!(found.oldest_unsynced.is_some());

    let healed = pair.heal().await;
    assert_eq!((healed.unequal, healed.healed), (2, 2));
    // `first-sync` decides where nothing was changed, the change where something was.
    assert_eq!(merge_field(&pair, "ann", "FNAME"), "Ny");
    assert_eq!(property(&pair, "bo", "firstname"), "Bosse");
    let found = pair.verify().await;
    assert_eq!(found.unequal, 0);
    assert!((found.equal_share - 1.0).abs() < f64::EPSILON);
    settle(&pair).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_person_is_forgotten_and_comes_back_opted_out() {
    let mut pair = pair("").await;
    in_crm(&pair, "ann");
    in_crm(&pair, "bo");
    settle(&pair).await;
    pair.mailchimp
        .act(json!({ "act": "unsubscribe", "member": email("ann") }));
    settle(&pair).await;
    let ann = contact(&pair, "ann").unwrap()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let endpoint = |account: &str, collection: &str| Endpoint {
        account: account.to_owned(),
        collection: collection.to_owned(),
    };
    let endpoints = [
        endpoint("crm", "contacts"),
        endpoint("newsletter", "members"),
    ];
    // At the remotes first.
    pair.hubspot
        .act(json!({ "act": "delete", "contact": email("ann") }));
    pair.mailchimp
        .act(json!({ "act": "delete", "member": email("ann") }));
    let pseudonyms = Pseudonyms::new(&[7; 32]);
    let concerned = [Concerned {
        sync: NAME.to_owned(),
        endpoints: endpoints.clone(),
        match_fields: ["email".to_owned(), "email_address".to_owned()],
    }];
    let erased = erase(
        pair.store.as_ref(),
        &SystemClock,
        "an operator",
        &concerned,
        &pseudonyms,
        (endpoints[0].clone(), ann.as_str().into()),
    )
    .await
    .unwrap();
    assert_eq!((erased.records.len(), erased.suppressed), (2, 1));
    let found = history(
        pair.store.as_ref(),
        NAME,
        &pair.spec,
        &email("ann"),
        None,
        10,
    )
    .await
    .unwrap();
    assert_eq!(found, [], "nothing is known of her");

    pair.recognise(pseudonyms);
    settle(&pair).await;
    later(&pair);
    // Somebody adds her again.
    in_list(&pair, "ann");
    in_list(&pair, "cia");
    settle(&pair).await;
    assert!(opted_out_in_crm(&pair, "ann"), "she had opted out");
    assert!(!opted_out_in_crm(&pair, "cia"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opt_out_in_one_sync_reaches_the_other_systems_of_the_person() {
    let pair = pair("").await;
    let third = workbench().mailchimp(Setup::default()).await;
    let spec = SPEC.replace(r#"account = "newsletter""#, r#"account = "shop""#);
    let second = pair.second("buyers", &spec, &third);
    let run_second = async || {
        let options = RunOptions::new(Confirmation::Given);
        second
            .run(options, &Silent, CancellationToken::new())
            .await
            .unwrap()
    };
    in_crm(&pair, "ann");
    settle(&pair).await;
    run_second().await;
    let in_third = || {
        let mut members = third.dump().into_iter();
        let member = members.find(|member| member["email_address"] == email("ann").as_str());
        member.map_or(Value::Null, |member| member["status"].clone())
    };
    assert_eq!(in_third(), "transactional");
    later(&pair);
    pair.mailchimp
        .act(json!({ "act": "unsubscribe", "member": email("ann") }));
    settle(&pair).await;
    // The second sync reads nothing new of its own: it finds the opt-out with the person.
    run_second().await;
    assert_eq!(in_third(), "unsubscribed");
    assert_eq!(run_second().await.writes, 0);
    settle(&pair).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leaving_a_filter_deletes_nothing_and_coming_back_resumes() {
    let mut pair = pair("").await;
    pair.respecify(&format!(
        "filter = {{ a = \"record.company != 'Slut'\" }}\n{SPEC}"
    ));
    in_crm(&pair, "ann");
    in_crm(&pair, "out");
    edit_crm(&pair, "out", json!({ "company": "Slut" }));
    let report = run(&pair).await;
    assert_eq!(report.created.b, 1, "{report:?}");
    assert!(member(&pair, "out").is_none());
    settle(&pair).await;
    later(&pair);
    edit_crm(
        &pair,
        "ann",
        json!({ "company": "Slut", "firstname": "Anna" }),
    );
    settle(&pair).await;
    assert_eq!(merge_field(&pair, "ann", "FNAME"), "ann", "nothing flows");
    assert_eq!(
        status(&pair, "ann"),
        "transactional",
        "and nothing is deleted"
    );
    later(&pair);
    edit_list(&pair, "ann", json!({ "LNAME": "Al" }));
    settle(&pair).await;
    assert_eq!(property(&pair, "ann", "lastname"), "Ek");
    later(&pair);
    edit_crm(&pair, "ann", json!({ "company": "Kund" }));
    settle(&pair).await;
    assert_eq!(merge_field(&pair, "ann", "FNAME"), "Anna");
    assert_eq!(property(&pair, "ann", "lastname"), "Al");
    assert_eq!(pair.mailchimp.dump().len(), 1, "the same member");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_does_not_act_while_somebody_works_on_the_sync() {
    let pair = pair("").await;
    let operator = pair.operator();
    pair.store
        .register(NAME, &operator.endpoints)
        .await
        .unwrap();
    let now = jiff::Timestamp::now();
    let lease = pair
        .store
        .acquire_lease(NAME, "somebody else", now, Duration::from_secs(60))
        .await
        .unwrap();
    let refused = operator
        .decide(Waiting::Holds, &Chosen::All, &Verdict::Approve)
        .await;
    assert!(matches!(
        refused,
        Err(SyncError::Store(StoreError::Held { .. }))
    ));
    pair.store.release_lease(&lease).await.unwrap();
    operator
        .decide(Waiting::Holds, &Chosen::All, &Verdict::Approve)
        .await
        .unwrap();
}
