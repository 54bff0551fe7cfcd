//! What networks and overloaded servers do, seen through the connectors as components in the real runtime: each fault
//! is told as what it is, and nothing is done twice.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use samspel_model::{
    CallFailure, Connector, ConsentState, Extent, Failure, Outcome, ReadMode, Update, WriteOp,
};
use samspel_runtime::Limits;
use samspel_scenarios::account::{consent, create, update, written};
use samspel_scenarios::{Account, Setup, Workbench};
use samspel_vendors::hubspot::HubSpot;
use samspel_vendors::mailchimp::Mailchimp;
use samspel_vendors::vendor::Vendor;
use serde_json::{Value, json};

/// Everything below the API: for a fault that hits every request.
const ANY: &str = "";

fn setup<Q: Default>() -> Setup<Q> {
    Setup {
        // Answers that never come are waited for so long.
        limits: Limits {
            request_ms: 1_500,
            ..Limits::default()
        },
        ..Setup::default()
    }
}

async fn hubspot() -> Account<HubSpot> {
    let account = Workbench::new(env!("CARGO_TARGET_TMPDIR"))
        .hubspot(setup())
        .await;
    account.vendor().seed(20, 3);
    account
}

async fn mailchimp() -> Account<Mailchimp> {
    let account = Workbench::new(env!("CARGO_TARGET_TMPDIR"))
        .mailchimp(setup())
        .await;
    account.vendor().seed(100, 3);
    account
}

/// What a test needs to know of a vendor.
struct Terms {
    /// The field of the address.
    email: &'static str,
    /// The id of a record in a dump.
    id: &'static str,
    /// Where records are created.
    creates: &'static str,
    /// Where records are changed.
    updates: &'static str,
}

const HUBSPOT: Terms = Terms {
    email: "email",
    id: "id",
    creates: "/batch/create",
    updates: "/batch/update",
};
const MAILCHIMP: Terms = Terms {
    email: "email_address",
    id: "contact_id",
    creates: "/3.0/lists/",
    updates: "/members/",
};

/// What each reading call says, all of them at once.
async fn readings<V: Vendor>(
    account: &Account<V>,
    terms: &Terms,
    cursor: &str,
) -> Vec<(&'static str, Result<(), Failure>)> {
    let record = account.dump()[0][terms.id].as_str().unwrap().to_owned();
    let (ids, values) = ([record.into()], ["p@firma.example".to_owned()]);
    let connector = &account.connector;
    let (check, collections, snapshot, changes, fetch, find) = tokio::join!(
        connector.check(),
        connector.collections(),
        account.page(ReadMode::Snapshot(None), 50),
        account.page(ReadMode::Incremental(cursor.to_owned()), 50),
        connector.fetch(account.collection, &ids, None, Extent::Whole),
        connector.find(account.collection, terms.email, &values),
    );
    vec![
        ("check", check.map(drop)),
        ("collections", collections.map(drop)),
        ("snapshot", snapshot.map(drop)),
        ("changes", changes.map(drop)),
        ("fetch", fetch.map(drop)),
        ("find", find.map(drop)),
    ]
}

fn new<V: Vendor>(terms: &Terms, _: &Account<V>, email: &str) -> WriteOp {
    WriteOp::Create(create(email, json!({ terms.email: email })))
}

/// How many records have this address.
fn holders<V: Vendor>(account: &Account<V>, email: &str) -> usize {
    account
        .dump()
        .iter()
        .filter(|record| record.to_string().contains(&format!("\"{email}\"")))
        .count()
}

/// An answer in place of the vendor's own.
fn instead(status: u16, headers: Value, body: &str) -> Value {
    json!({ "altered": { "instead": true, "status": status, "headers": headers, "body": body } })
}

async fn each_fault_is_told_as_what_it_is_when_reading<V: Vendor>(
    account: &Account<V>,
    terms: &Terms,
    bare_403_is_patience: bool,
) {
    let cursor = account.snapshot(50).await.cursor;
    let seconds = |seconds| Failure::Throttled {
        retry_after: Some(Duration::from_secs(seconds)),
    };
    let is_unavailable = |failure: &Failure| matches!(failure, Failure::Unavailable(_));
    let is_forbidden = |failure: &Failure| matches!(failure, Failure::Forbidden(_));
    type Expected<'a> = Box<dyn Fn(&Failure) -> bool + 'a>;
    let date = |seconds: i64| {
        account
            .vendor()
            .core()
            .clock
            .now()
            .plus(seconds * 1_000)
            .http_date()
    };
    let cases: Vec<(&str, Value, Expected<'_>)> = vec![
        (
            "429",
            json!("too_many_requests"),
            Box::new(|f| *f == Failure::Throttled { retry_after: None }),
        ),
        (
            "429 with seconds",
            instead(429, json!({ "retry-after": "7" }), ""),
            Box::new(move |f| *f == seconds(7)),
        ),
        (
            "429 with a date",
            instead(429, json!({ "retry-after": date(60) }), ""),
            Box::new(
                |f| matches!(f, Failure::Throttled { retry_after: Some(wait) } if (50..=60).contains(&wait.as_secs())),
            ),
        ),
        (
            "503 with seconds",
            instead(503, json!({ "retry-after": "9" }), ""),
            Box::new(move |f| *f == seconds(9)),
        ),
        ("503", json!("unavailable"), Box::new(is_unavailable)),
        ("500", json!("internal_error"), Box::new(is_unavailable)),
        (
            "a gateway's page",
            instead(502, json!({ "content-type": "text/html" }), "<html>"),
            Box::new(is_unavailable),
        ),
        (
            "bare 403",
            json!("bare_forbidden"),
            Box::new(move |f| {
                if bare_403_is_patience {
                    *f == Failure::Throttled { retry_after: None }
                } else {
                    is_forbidden(f)
                }
            }),
        ),
        (
            "403 as a problem document",
            instead(
                403,
                json!({ "content-type": "application/problem+json" }),
                r#"{"title":"User action not permitted","status":403,"detail":"no","message":"no"}"#,
            ),
            Box::new(is_forbidden),
        ),
        (
            "401",
            instead(401, json!({}), "{}"),
            Box::new(|f| matches!(f, Failure::Unauthorized(_))),
        ),
        ("cut before", json!("drop_before"), Box::new(is_unavailable)),
        (
            "cut after",
            json!("drop_after_commit"),
            Box::new(is_unavailable),
        ),
        ("cut within", json!("truncated"), Box::new(is_unavailable)),
    ];
    for (name, fault, expected) in cases {
        account.always(fault, ANY);
        for (call, result) in readings(account, terms, &cursor).await {
            let failure = result.expect_err(call);
            assert!(expected(&failure), "{name}: {call}: {failure:?}");
        }
        account.heal();
    }
    for (call, result) in readings(account, terms, &cursor).await {
        assert_eq!(result, Ok(()), "{call}, when all is well again");
    }
}

#[tokio::test]
async fn hubspot_tells_each_fault_as_what_it_is() {
    each_fault_is_told_as_what_it_is_when_reading(&hubspot().await, &HUBSPOT, false).await;
}

#[tokio::test]
async fn mailchimp_tells_each_fault_as_what_it_is() {
    each_fault_is_told_as_what_it_is_when_reading(&mailchimp().await, &MAILCHIMP, true).await;
}

/// Reads are repeated by the host: one fault now and then is not even noticed.
async fn a_single_fault_is_not_noticed_when_reading<V: Vendor>(
    account: &Account<V>,
    terms: &Terms,
) {
    let cursor = account.snapshot(50).await.cursor;
    for fault in [
        "too_many_requests",
        "unavailable",
        "drop_before",
        "drop_after_commit",
        "truncated",
    ] {
        account.script(json!([{ "fault": fault }]));
        for (call, result) in readings(account, terms, &cursor).await {
            assert_eq!(result, Ok(()), "{fault}: {call}");
        }
        assert!(
            account.vendor().core().faults.pending().is_empty(),
            "{fault} happened"
        );
    }
}

#[tokio::test]
async fn a_single_fault_is_not_noticed() {
    a_single_fault_is_not_noticed_when_reading(&hubspot().await, &HUBSPOT).await;
    a_single_fault_is_not_noticed_when_reading(&mailchimp().await, &MAILCHIMP).await;
}

/// What became of a create that met a fault.
enum Expected {
    /// The call says that nothing was applied, and how long to wait.
    Throttled(Option<Duration>),
    /// The call says that the credential is refused.
    Unauthorized,
    /// It may have been applied.
    Unknown,
}

async fn a_create_is_never_repeated_unless_it_was_refused<V: Vendor>(
    account: &Account<V>,
    terms: &Terms,
) {
    let seven = Some(Duration::from_secs(7));
    let cases = [
        (
            "429",
            json!("too_many_requests"),
            Expected::Throttled(None),
            0,
        ),
        (
            "429 with seconds",
            instead(429, json!({ "retry-after": "7" }), ""),
            Expected::Throttled(seven),
            0,
        ),
        (
            "503 with seconds",
            instead(503, json!({ "retry-after": "7" }), ""),
            Expected::Throttled(seven),
            0,
        ),
        (
            "401",
            instead(401, json!({}), "{}"),
            Expected::Unauthorized,
            0,
        ),
        ("500", json!("internal_error"), Expected::Unknown, 0),
        ("503", json!("unavailable"), Expected::Unknown, 0),
        ("cut before", json!("drop_before"), Expected::Unknown, 0),
        (
            "cut after",
            json!("drop_after_commit"),
            Expected::Unknown,
            1,
        ),
        (
            "502 after",
            json!("bad_gateway_after_commit"),
            Expected::Unknown,
            1,
        ),
        ("cut within", json!("truncated"), Expected::Unknown, 1),
        (
            "too late",
            json!({ "altered": { "body": "" } }),
            Expected::Unknown,
            1,
        ),
    ];
    for (name, fault, expected, applied) in cases {
        let email = format!("{}@firma.example", name.replace(' ', "-"));
        account.script(json!([{ "fault": fault, "method": "POST", "path_contains": terms.creates, "times": 1_000 }]));
        let told = account.try_write(vec![new(terms, account, &email)]).await;
        account.heal();
        match (expected, told) {
            (
                Expected::Throttled(wait),
                Err(CallFailure {
                    failure,
                    may_have_applied,
                }),
            ) => {
                assert_eq!(failure, Failure::Throttled { retry_after: wait }, "{name}");
                assert!(!may_have_applied || name.starts_with("503"), "{name}");
            }
            (
                Expected::Unauthorized,
                Err(CallFailure {
                    failure: Failure::Unauthorized(_),
                    ..
                }),
            ) => {}
            (Expected::Unknown, Ok(outcomes)) => {
                assert!(
                    matches!(outcomes.as_slice(), [Outcome::Unknown(_)]),
                    "{name}: {outcomes:?}"
                );
            }
            (_, told) => panic!("{name}: {told:?}"),
        }
        assert_eq!(holders(account, &email), applied, "{name}");
        // Whoever finds out what became of it and does what is left to do ends with one record.
        if account.find(terms.email, &[&email]).await[0].is_empty() {
            written(&account.write_one(new(terms, account, &email)).await);
        }
        assert_eq!(holders(account, &email), 1, "{name}");
    }
}

#[tokio::test]
async fn a_create_in_hubspot_is_never_repeated_unless_it_was_refused() {
    a_create_is_never_repeated_unless_it_was_refused(&hubspot().await, &HUBSPOT).await;
}

#[tokio::test]
async fn a_create_in_mailchimp_is_never_repeated_unless_it_was_refused() {
    a_create_is_never_repeated_unless_it_was_refused(&mailchimp().await, &MAILCHIMP).await;
}

/// An update sets values: the host repeats it after a cut connection, and the second time changes nothing more.
async fn an_update_survives_a_cut_connection<V: Vendor>(
    account: &Account<V>,
    terms: &Terms,
    field: &str,
) {
    let id = account.dump()[0][terms.id].as_str().unwrap().to_owned();
    for fault in [
        "drop_before",
        "drop_after_commit",
        "truncated",
        "too_many_requests",
        "unavailable",
    ] {
        account.script(json!([{ "fault": fault, "path_contains": terms.updates }]));
        let outcome = account
            .write_one(WriteOp::Update(update(&id, json!({ field: fault }))))
            .await;
        assert_eq!(written(&outcome).fields[field], fault);
        assert!(
            account.vendor().core().faults.pending().is_empty(),
            "{fault} happened"
        );
    }
    for fault in [
        "internal_error",
        "drop_after_commit",
        "bad_gateway_after_commit",
    ] {
        account.always(json!(fault), terms.updates);
        let outcome = account
            .write_one(WriteOp::Update(update(&id, json!({ field: fault }))))
            .await;
        assert!(
            matches!(outcome, Outcome::Unknown(_)),
            "{fault}: {outcome:?}"
        );
        account.heal();
    }
}

#[tokio::test]
async fn an_update_in_hubspot_survives_a_cut_connection() {
    an_update_survives_a_cut_connection(&hubspot().await, &HUBSPOT, "city").await;
}

#[tokio::test]
async fn an_update_in_mailchimp_survives_a_cut_connection() {
    an_update_survives_a_cut_connection(&mailchimp().await, &MAILCHIMP, "COMPANY").await;
}

#[tokio::test]
async fn of_two_batches_the_refused_one_is_deferred_and_the_other_is_written() {
    let account = hubspot().await;
    account.script(json!([{ "fault": instead(429, json!({ "retry-after": "7" }), ""), "path_contains": "/batch/create" }]));
    let writes = (0..200)
        .map(|n| new(&HUBSPOT, &account, &format!("p{n}@firma.example")))
        .collect();
    let outcomes = account.write(writes).await;
    let wait = |outcome: &Outcome| match outcome {
        Outcome::Written(_) => None,
        Outcome::Deferred { retry_after, .. } => Some(*retry_after),
        other => panic!("{other:?}"),
    };
    let first = wait(&outcomes[0]);
    let second = wait(&outcomes[100]);
    assert!(outcomes[..100].iter().all(|outcome| wait(outcome) == first));
    assert!(
        outcomes[100..]
            .iter()
            .all(|outcome| wait(outcome) == second)
    );
    let mut both = [first, second];
    both.sort();
    assert_eq!(both, [None, Some(Some(7_000))]);
    assert_eq!(account.vendor().counts().0, 120);
}

#[tokio::test]
async fn of_several_members_the_refused_one_is_deferred_and_the_others_are_written() {
    let account = mailchimp().await;
    let ids: Vec<String> = account.dump()[..5]
        .iter()
        .map(|m| m["contact_id"].as_str().unwrap().to_owned())
        .collect();
    account.always(json!("bare_forbidden"), &ids[2]);
    let writes = ids
        .iter()
        .map(|id| WriteOp::Update(update(id, json!({ "COMPANY": "Ny" }))))
        .collect();
    for (place, outcome) in account.write(writes).await.iter().enumerate() {
        match outcome {
            Outcome::Written(_) if place != 2 => {}
            Outcome::Deferred {
                retry_after: None, ..
            } if place == 2 => {}
            other => panic!("{place}: {other:?}"),
        }
    }
}

/// A contact and its consent are two requests: where one of them fails, what is told never claims both.
#[tokio::test]
async fn a_consent_that_fails_is_not_told_as_written() {
    let account = hubspot().await;
    for fault in ["internal_error", "too_many_requests", "drop_after_commit"] {
        account.always(json!(fault), "/unsubscribe-all");
        let email = format!("{}@firma.example", fault.replace('_', "-"));
        let mut opted_out = create(fault, json!({ "email": email }));
        opted_out.consents = vec![consent(ConsentState::Unsubscribed)];
        let outcome = account.write_one(WriteOp::Create(opted_out)).await;
        assert!(
            matches!(&outcome, Outcome::Unknown(why) if why.contains("consent")),
            "{fault}: {outcome:?}"
        );
        account.heal();
        let found = account.find("email", &[&email]).await.remove(0);
        let [id] = found.as_slice() else {
            panic!("{found:?}")
        };
        let write = Update {
            consents: vec![consent(ConsentState::Unsubscribed)],
            ..update(id, json!({}))
        };
        written(&account.write_one(WriteOp::Update(write)).await);
        assert_eq!(
            account.record(id).await.consents[0].state,
            ConsentState::Unsubscribed
        );
    }
}

#[tokio::test]
async fn slow_answers_are_waited_for_and_answers_that_never_come_are_not() {
    let account = hubspot().await;
    let cursor = account.snapshot(50).await.cursor;
    account.set(json!({ "latency_ms": 100 }));
    for (call, result) in readings(&account, &HUBSPOT, &cursor).await {
        assert_eq!(result, Ok(()), "{call}");
    }
    account.set(json!({ "latency_ms": 60_000 }));
    let email = "slow@firma.example";
    let (read, write) = tokio::join!(
        account.connector.check(),
        account.try_write(vec![new(&HUBSPOT, &account, email)]),
    );
    assert!(matches!(read, Err(Failure::Unavailable(_))), "{read:?}");
    assert!(matches!(write.unwrap().as_slice(), [Outcome::Unknown(_)]));
}
