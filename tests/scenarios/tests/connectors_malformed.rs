//! Malformed cursors, answers and records, seen through the connectors as components in the real runtime: a clear
//! error, no trap, and nothing lost.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use samspel_model::{
    CallFailure, Connector, Consent, ConsentState, Extent, Failure, Fetched, Outcome, ReadMode,
    RecordId, Removal, Update, WriteOp,
};
use samspel_scenarios::account::{consent, create, remove, update};
use samspel_scenarios::{Account, Image, Setup, Workbench};
use samspel_vendors::hubspot::HubSpot;
use samspel_vendors::mailchimp::Mailchimp;
use samspel_vendors::vendor::Vendor;
use serde_json::{Value, json};

/// Whom malformed answers are about: never to be read in an error.
const NAME: &str = "Xanthippe";

async fn hubspot() -> Account<HubSpot> {
    let account = Workbench::new(env!("CARGO_TARGET_TMPDIR"))
        .hubspot(Setup::default())
        .await;
    for n in 0..30 {
        let properties =
            json!({ "email": format!("xanthippe{n}@firma.example"), "firstname": NAME });
        account.act(json!({ "act": "create", "properties": properties }));
    }
    account
}

async fn mailchimp() -> Account<Mailchimp> {
    let account = Workbench::new(env!("CARGO_TARGET_TMPDIR"))
        .mailchimp(Setup::default())
        .await;
    for n in 0..30 {
        account.act(json!({
            "act": "create", "email": format!("xanthippe{n}@firma.example"), "merge_fields": { "FNAME": NAME },
        }));
    }
    account
}

/// It was not the sandbox that ended the call, and the message is about the answer and not about a person.
#[track_caller]
fn clear(what: &str, failure: &Failure) {
    assert!(
        !matches!(failure, Failure::Stopped(_)),
        "{what}: a trap: {failure}"
    );
    let text = failure.to_string();
    assert!(text.len() > 10 && text.len() < 600, "{what}: {text}");
    assert!(
        !text.to_lowercase().contains(&NAME.to_lowercase()),
        "{what} tells on somebody: {text}"
    );
}

// ---- cursors -------------------------------------------------------------------------------------------------------

/// What no connector wrote, or not this version of it.
fn garbage(cursor: &str) -> Vec<String> {
    let mut parsed: Value = serde_json::from_str(cursor).unwrap();
    parsed["v"] = json!(99);
    let mut strange = vec![
        String::new(),
        "garbage".to_owned(),
        "\u{0}\u{1f4a9}".to_owned(),
        "null".to_owned(),
        "[]".to_owned(),
        "{}".to_owned(),
        r#"{"v":1}"#.to_owned(),
        r#"{"v":1,"at":null}"#.to_owned(),
        r#"{"v":1,"at":{"position":"yesterday"}}"#.to_owned(),
        r#"{"v":1,"at":{"position":17}}"#.to_owned(),
        r#"{"v":"1","at":{}}"#.to_owned(),
        parsed.to_string(),
        format!("{cursor}{cursor}"),
        format!(r#"{{"v":1,"at":{}"#, "[".repeat(50_000)),
        "x".repeat(1_000_000),
    ];
    // Cut anywhere, as by a column that is too short.
    strange.extend(
        (1..cursor.len())
            .filter_map(|end| cursor.get(..end))
            .map(str::to_owned),
    );
    strange
}

async fn a_malformed_cursor_asks_for_a_snapshot<V: Vendor>(account: &Account<V>) {
    let snapshot = account.snapshot(10).await;
    let first = account.page(ReadMode::Snapshot(None), 10).await.unwrap();
    let token = first.next.unwrap();
    for (valid, mode) in [
        (
            snapshot.cursor.as_str(),
            ReadMode::Incremental as fn(String) -> ReadMode,
        ),
        (
            token.as_str(),
            (|token| ReadMode::Snapshot(Some(token))) as fn(String) -> ReadMode,
        ),
    ] {
        for text in garbage(valid) {
            let told = account.page(mode(text.clone()), 10).await;
            assert_eq!(
                told,
                Err(Failure::ExpiredCursor),
                "{}",
                text.chars().take(100).collect::<String>()
            );
        }
    }
    assert_eq!(account.snapshot(10).await.ids(), snapshot.ids());
}

#[tokio::test]
async fn a_malformed_cursor_of_hubspot_asks_for_a_snapshot() {
    a_malformed_cursor_asks_for_a_snapshot(&hubspot().await).await;
}

#[tokio::test]
async fn a_malformed_cursor_of_mailchimp_asks_for_a_snapshot() {
    a_malformed_cursor_asks_for_a_snapshot(&mailchimp().await).await;
}

/// A cursor in which anything was changed may still be one. Whatever it means, it ends in a page or in an error.
async fn a_corrupted_cursor_traps_nothing<V: Vendor>(account: &Account<V>) {
    let cursor = account.snapshot(10).await.cursor;
    // One that stands in the middle of a reading has more to corrupt.
    let page = account
        .page(ReadMode::Incremental(cursor), 3)
        .await
        .unwrap();
    let cursor = page.next.unwrap();
    for place in 0..cursor.len() {
        for byte in ['9', '-', '"', '}', 'é'] {
            let mut text = cursor.clone();
            text.replace_range(place..=place, &byte.to_string());
            if let Err(failure) = account.page(ReadMode::Incremental(text.clone()), 3).await {
                assert!(
                    matches!(
                        failure,
                        Failure::ExpiredCursor | Failure::Bug(_) | Failure::Misconfigured { .. }
                    ),
                    "{text}: {failure}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_corrupted_cursor_of_hubspot_traps_nothing() {
    a_corrupted_cursor_traps_nothing(&hubspot().await).await;
}

#[tokio::test]
async fn a_corrupted_cursor_of_mailchimp_traps_nothing() {
    a_corrupted_cursor_traps_nothing(&mailchimp().await).await;
}

// ---- answers to reads ----------------------------------------------------------------------------------------------

fn body(text: &str) -> Value {
    json!({ "altered": { "body": text } })
}

/// Answers with the status of success that are none.
fn bodies() -> Vec<(&'static str, Value)> {
    vec![
        ("nothing", body("")),
        (
            "a page",
            json!({ "altered": { "body": format!("<html>{NAME}</html>"), "headers": { "content-type": "text/html" } } }),
        ),
        ("text", body(NAME)),
        ("null", body("null")),
        ("a number", body("42")),
        ("a list", body("[]")),
        ("a list of texts", body(&format!(r#"["{NAME}"]"#))),
        ("an empty object", body("{}")),
        (
            "other members",
            body(&format!(r#"{{"data":[{{"name":"{NAME}"}}]}}"#)),
        ),
        (
            "members of other kinds",
            body(&format!(
                r#"{{"results":"{NAME}","members":"{NAME}","merge_fields":"{NAME}","portalId":"{NAME}","id":{{}},"contact_id":[]}}"#
            )),
        ),
        (
            "half of it",
            body(&format!(
                r#"{{"results":[{{"id":"1","properties":{{"firstname":"{NAME}"#
            )),
        ),
        (
            "deep nesting",
            body(&format!(r#"{{"results":{}"#, "[".repeat(200_000))),
        ),
        ("deep objects", body(&r#"{"members":"#.repeat(100_000))),
        (
            "a lone surrogate",
            body(
                r#"{"results":[{"id":"\ud800"}],"members":[{"contact_id":"\ud800"}],"contact_id":"\ud800"}"#,
            ),
        ),
        (
            "a number beyond all",
            body(
                r#"{"results":1e999999,"members":1e999999,"merge_fields":1e999999,"portalId":1e999999,"id":1e999999,"contact_id":1e999999}"#,
            ),
        ),
        (
            "what is no address of a page",
            json!({ "altered": { "status": 204, "body": "" } }),
        ),
    ]
}

async fn a_malformed_answer_is_an_error_and_nothing_is_lost<V: Vendor>(
    account: &Account<V>,
    id_field: &str,
    email_field: &str,
) {
    let before = account.snapshot(10).await;
    let changed = account.dump()[3][id_field].as_str().unwrap().to_owned();
    account.later(3_600);
    let cursor = account.changes(&before.cursor, 50).await.cursor;
    let id: RecordId = changed.as_str().into();
    for (name, fault) in bodies() {
        account.always(fault, "");
        let connector = &account.connector;
        let values = ["xanthippe3@firma.example".to_owned()];
        let calls: [(&str, Result<(), Failure>); 6] = [
            ("check", connector.check().await.map(drop)),
            ("collections", connector.collections().await.map(drop)),
            (
                "snapshot",
                account.page(ReadMode::Snapshot(None), 10).await.map(drop),
            ),
            (
                "changes",
                account
                    .page(ReadMode::Incremental(cursor.clone()), 10)
                    .await
                    .map(drop),
            ),
            (
                "find",
                connector
                    .find(account.collection, email_field, &values)
                    .await
                    .map(drop),
            ),
            (
                "fetch",
                match connector
                    .fetch(
                        account.collection,
                        std::slice::from_ref(&id),
                        None,
                        Extent::Whole,
                    )
                    .await
                {
                    // Told of the one record that it is about.
                    Ok(told) => match told.as_slice() {
                        [Fetched::Failed(why)] => Err(Failure::Bug(why.clone())),
                        other => panic!("{name}: {other:?}"),
                    },
                    Err(failure) => Err(failure),
                },
            ),
        ];
        for (call, result) in calls {
            let what = format!("{call}, answered with {name}");
            match result {
                Err(failure) => clear(&what, &failure),
                Ok(()) => panic!("{what}: taken for an answer"),
            }
        }
        account.heal();
        assert_eq!(account.snapshot(50).await.ids(), before.ids(), "{name}");
    }
}

#[tokio::test]
async fn a_malformed_answer_of_hubspot_is_an_error_and_nothing_is_lost() {
    a_malformed_answer_is_an_error_and_nothing_is_lost(&hubspot().await, "id", "email").await;
}

#[tokio::test]
async fn a_malformed_answer_of_mailchimp_is_an_error_and_nothing_is_lost() {
    a_malformed_answer_is_an_error_and_nothing_is_lost(
        &mailchimp().await,
        "contact_id",
        "email_address",
    )
    .await;
}

// ---- records -------------------------------------------------------------------------------------------------------

fn patch(operations: Value) -> Value {
    json!({ "altered": { "patch": operations } })
}

/// One record of a page cannot be used: the page is not taken, the position stays, and the page is whole once the
/// remote is.
async fn a_malformed_record_fails_its_page<V: Vendor>(
    account: &Account<V>,
    path: &str,
    cases: &[(&str, Value, &str)],
    edit: Value,
) {
    let expected = account.snapshot(50).await;
    account.later(3_600);
    let cursor = account.changes(&expected.cursor, 50).await.cursor;
    account.act(edit);
    let changes = account.changes(&cursor, 50).await;
    for (name, operation, told) in cases {
        account.always(patch(json!([operation])), path);
        let failure = account
            .page(ReadMode::Snapshot(None), 50)
            .await
            .expect_err(name);
        account.heal();
        clear(name, &failure);
        assert!(failure.to_string().contains(told), "{name}: {failure}");
        assert_eq!(account.snapshot(50).await.ids(), expected.ids());
        assert_eq!(
            account.changes(&cursor, 50).await.ids(),
            changes.ids(),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_malformed_contact_fails_its_page() {
    let account = hubspot().await;
    let first = account.dump()[0]["id"].clone();
    let cases = [
        (
            "no id",
            json!({ "op": "remove", "path": "/results/2/id" }),
            "results[2]",
        ),
        (
            "an id of another kind",
            json!({ "op": "replace", "path": "/results/2/id", "value": 17 }),
            "results[2].id",
        ),
        (
            "an empty id",
            json!({ "op": "replace", "path": "/results/2/id", "value": "" }),
            "empty record id",
        ),
        (
            "an endless id",
            json!({ "op": "replace", "path": "/results/2/id", "value": "7".repeat(600) }),
            "600 bytes",
        ),
        (
            "properties of another kind",
            json!({ "op": "replace", "path": "/results/2/properties", "value": NAME }),
            "results[2].properties",
        ),
        (
            "a page that leads to itself",
            json!({ "op": "add", "path": "/paging", "value": { "next": {} } }),
            "paging.next",
        ),
    ];
    let edit = json!({ "act": "edit", "contact": first, "properties": { "city": "Lund" } });
    a_malformed_record_fails_its_page(&account, "/crm/v3/objects/contacts", &cases, edit).await;
}

#[tokio::test]
async fn a_malformed_member_fails_its_page() {
    let account = mailchimp().await;
    let first = account.dump()[0]["contact_id"].clone();
    let cases = [
        (
            "no id",
            json!({ "op": "remove", "path": "/members/2/contact_id" }),
            "members[2]",
        ),
        (
            "an id of another kind",
            json!({ "op": "replace", "path": "/members/2/contact_id", "value": 17 }),
            "members[2]",
        ),
        (
            "an empty id",
            json!({ "op": "replace", "path": "/members/2/contact_id", "value": "" }),
            "empty record id",
        ),
        (
            "an endless id",
            json!({ "op": "replace", "path": "/members/2/contact_id", "value": "7".repeat(600) }),
            "600 bytes",
        ),
        (
            "a status of another kind",
            json!({ "op": "replace", "path": "/members/2/status", "value": [NAME] }),
            "members[2]",
        ),
        (
            "no members",
            json!({ "op": "remove", "path": "/members" }),
            "members",
        ),
    ];
    let edit = json!({ "act": "edit", "member": first, "merge_fields": { "COMPANY": "Ny" } });
    a_malformed_record_fails_its_page(&account, "/members", &cases, edit).await;
}

/// What is strange and can be told is told as it is, or left out; it is not guessed.
#[tokio::test]
async fn strange_values_of_a_contact_are_told_without_guessing() {
    let account = hubspot().await;
    let id = account.dump()[0]["id"].as_str().unwrap().to_owned();
    let alter =
        |path: &str, value: Value| patch(json!([{ "op": "add", "path": path, "value": value }]));
    for stamp in [
        json!("yesterday"),
        json!("2026-13-45T99:99:99Z"),
        json!("99999999999999999999"),
        json!(17),
        json!({}),
    ] {
        account.script(json!([{ "fault": patch(json!([
            { "op": "add", "path": "/results/0/properties/lastmodifieddate", "value": stamp },
            { "op": "remove", "path": "/results/0/updatedAt" },
        ])), "path_contains": "/batch/read" }]));
        let record = account.record(&id).await;
        assert_eq!((record.revision, record.modified), (None, None), "{stamp}");
    }
    let nested = json!({ "a": [1, { "b": NAME }] });
    account.script(json!([{ "fault": alter("/results/0/properties/city", nested.clone()), "path_contains": "/batch/read" }]));
    assert_eq!(account.record(&id).await.fields["city"], nested);
    let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
    account.script(json!([{ "fault": alter("/results/0/properties/city", deep), "path_contains": "/batch/read" }]));
    let failure = account
        .connector
        .fetch("contacts", &[id.as_str().into()], None, Extent::Whole)
        .await
        .unwrap_err();
    clear("deeper than the host takes", &failure);
    assert!(failure.to_string().contains(&id), "{failure}");
}

/// HubSpot is asked about an address and says nothing, or nothing usable: that is neither consent nor the lack of it.
#[tokio::test]
async fn a_consent_that_is_not_told_is_not_made_up() {
    let account = hubspot().await;
    let id = account.dump()[0]["id"].as_str().unwrap().to_owned();
    account.act(json!({ "act": "unsubscribe", "email": "xanthippe0@firma.example", "subscription": 184_001 }));
    let statuses = |operations: Value| json!([{ "fault": patch(operations), "path_contains": "/statuses/batch/read" }]);
    account.script(statuses(json!([{ "op": "remove", "path": "/results/0" }])));
    assert_eq!(account.record(&id).await.consents, Vec::<Consent>::new());
    for operation in [
        json!({ "op": "remove", "path": "/results" }),
        json!({ "op": "remove", "path": "/results/0/statuses" }),
        json!({ "op": "remove", "path": "/results/0/subscriberIdString" }),
        json!({ "op": "replace", "path": "/results/0/statuses/0/status", "value": 7 }),
    ] {
        account.script(statuses(json!([operation])));
        let failure = account
            .connector
            .fetch("contacts", &[id.as_str().into()], None, Extent::Whole)
            .await
            .unwrap_err();
        clear(&operation.to_string(), &failure);
    }
    assert_eq!(
        account.record(&id).await.consents[0].state,
        ConsentState::Unsubscribed
    );
}

// ---- answers to writes ---------------------------------------------------------------------------------------------

/// Whatever the answer to a write is: what was written is not told as not written, and is written once.
async fn a_malformed_answer_to_a_write_leaves_it_unknown<V: Vendor>(
    account: &Account<V>,
    id_field: &str,
    email_field: &str,
    name_field: &str,
    writes: &[(&str, &str)],
) {
    let ids: Vec<String> = account
        .dump()
        .iter()
        .map(|r| r[id_field].as_str().unwrap().to_owned())
        .collect();
    for (place, (name, fault)) in bodies().into_iter().enumerate() {
        let email = format!("new{place}@firma.example");
        let other = format!("other{place}@firma.example");
        let mut opted_out = update(&ids[place], json!({}));
        opted_out.consents = vec![consent(ConsentState::Unsubscribed)];
        let ops = vec![
            WriteOp::Create(create(&email, json!({ email_field: email }))),
            WriteOp::Create(create(&other, json!({ email_field: other }))),
            WriteOp::Update(update(
                &ids[29 - place],
                json!({ name_field: format!("n{place}") }),
            )),
            WriteOp::Update(opted_out),
        ];
        for (method, path) in writes {
            account.script(json!([{ "fault": fault, "method": method, "path_contains": path, "times": 1_000 }]));
        }
        let outcomes = match account.try_write(ops).await {
            Ok(outcomes) => outcomes,
            Err(CallFailure {
                failure,
                may_have_applied,
            }) => {
                clear(name, &failure);
                assert!(may_have_applied, "{name}: {failure}");
                Vec::new()
            }
        };
        account.heal();
        for outcome in &outcomes {
            match outcome {
                // By then the first answer's request had been applied.
                Outcome::Unknown(why) => clear(name, &Failure::Other(why.clone())),
                Outcome::Duplicate(_) | Outcome::Written(_) => {}
                other => panic!("{name}: {other:?}"),
            }
        }
        let dump = account.dump();
        for email in [&email, &other] {
            let holders = dump
                .iter()
                .filter(|record| record.to_string().contains(&format!("\"{email}\"")))
                .count();
            assert_eq!(holders, 1, "{name}: {email}");
        }
        let held: BTreeMap<&str, &Value> = dump
            .iter()
            .map(|r| (r[id_field].as_str().unwrap(), r))
            .collect();
        assert!(
            held[ids[29 - place].as_str()]
                .to_string()
                .contains(&format!("\"n{place}\"")),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_malformed_answer_of_hubspot_to_a_write_leaves_it_unknown() {
    let writes = [
        ("POST", "/batch/create"),
        ("POST", "/batch/update"),
        ("POST", "/unsubscribe-all"),
    ];
    a_malformed_answer_to_a_write_leaves_it_unknown(
        &hubspot().await,
        "id",
        "email",
        "firstname",
        &writes,
    )
    .await;
}

#[tokio::test]
async fn a_malformed_answer_of_mailchimp_to_a_write_leaves_it_unknown() {
    let account = mailchimp().await;
    let writes = [("POST", "/3.0/lists/"), ("PATCH", "/members/")];
    a_malformed_answer_to_a_write_leaves_it_unknown(
        &account,
        "contact_id",
        "email_address",
        "FNAME",
        &writes,
    )
    .await;
}

/// Contacts without an address have nothing by which HubSpot would refuse to create them twice.
#[tokio::test]
async fn a_contact_without_an_address_is_not_created_twice_whatever_is_answered() {
    let account = hubspot().await;
    let before = account.vendor().counts().0;
    let strange = [
        body("{}"),
        body(r#"{"results":[]}"#),
        patch(json!([{ "op": "remove", "path": "/results/0" }])),
        patch(
            json!([{ "op": "remove", "path": "/results/0/objectWriteTraceId" }, { "op": "remove", "path": "/results/1/objectWriteTraceId" }]),
        ),
        patch(
            json!([{ "op": "replace", "path": "/results/0/objectWriteTraceId", "value": "another" }]),
        ),
    ];
    for (place, fault) in strange.into_iter().enumerate() {
        account.script(json!([{ "fault": fault, "path_contains": "/batch/create" }]));
        let ops = (0..2)
            .map(|n| {
                WriteOp::Create(create(
                    &format!("{place}-{n}"),
                    json!({ "firstname": "Bo" }),
                ))
            })
            .collect();
        let outcomes = account.write(ops).await;
        assert!(
            outcomes
                .iter()
                .any(|outcome| matches!(outcome, Outcome::Unknown(_))),
            "{outcomes:?}"
        );
        assert_eq!(
            account.vendor().counts().0,
            before + 2 * (place + 1),
            "{place}"
        );
    }
}

#[tokio::test]
async fn an_outcome_that_the_host_cannot_use_is_not_told_as_not_written() {
    let account = hubspot().await;
    account.script(json!([{ "fault": patch(json!([{ "op": "replace", "path": "/results/0/id", "value": "" }])), "path_contains": "/batch/create" }]));
    let op = WriteOp::Create(create("k", json!({ "email": "eva@firma.example" })));
    let refused = account.try_write(vec![op]).await.unwrap_err();
    clear("an empty id", &refused.failure);
    assert!(refused.may_have_applied);
    assert_eq!(
        account.find("email", &["eva@firma.example"]).await[0].len(),
        1
    );
}

// ---- what the host hands in ----------------------------------------------------------------------------------------

#[tokio::test]
async fn values_of_any_kind_are_written_or_rejected() {
    let (hubspot, mailchimp) = (hubspot().await, mailchimp().await);
    let contact = hubspot.dump()[0]["id"].as_str().unwrap().to_owned();
    let member = mailchimp.dump()[0]["contact_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let values = [
        json!(17),
        json!(true),
        json!([1, "two"]),
        json!({ "a": { "b": [null] } }),
        json!("\u{0}\u{202e}\u{1f4a9}"),
        json!("x".repeat(100_000)),
        json!(""),
    ];
    for value in values {
        for field in ["city", "email", "membership_level", "no_such_property"] {
            let op = WriteOp::Update(update(&contact, json!({ field: value })));
            let outcome = hubspot.write_one(op).await;
            assert!(
                matches!(outcome, Outcome::Written(_) | Outcome::Rejected { .. }),
                "{field}: {outcome:?}"
            );
        }
        for field in ["COMPANY", "email_address", "vip", "POINTS"] {
            let op = WriteOp::Update(update(&member, json!({ field: value })));
            let outcome = mailchimp.write_one(op).await;
            assert!(
                matches!(outcome, Outcome::Written(_) | Outcome::Rejected { .. }),
                "{field}: {outcome:?}"
            );
        }
    }
    for id in ["", "..", "a/b?c#d", "\u{0}", "%2e%2e"] {
        for op in [
            WriteOp::Update(update(id, json!({ "city": "Lund", "FNAME": "x" }))),
            WriteOp::Update(Update {
                consents: vec![consent(ConsentState::Subscribed)],
                ..update(id, json!({}))
            }),
            remove(id, Removal::Archive),
        ] {
            for outcome in [
                hubspot.write_one(op.clone()).await,
                mailchimp.write_one(op).await,
            ] {
                assert!(
                    !matches!(outcome, Outcome::Written(_)),
                    "{id:?}: {outcome:?}"
                );
            }
        }
    }
    assert_eq!(Image::of_contacts(&hubspot.dump()).len(), 30);
    assert_eq!(Image::of_members(&mailchimp.dump()).len(), 30);
}
