//! What a file of an earlier version holds is there after it was opened.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use samspel_model::link::Restriction;
use samspel_model::store::{Endpoint, JournalOf, RecordRestriction, Waiting, subject};
use samspel_model::{LinkId, RecordId, Store};
use samspel_store::SqliteStore;
use serde_json::{Value, json};
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};

fn endpoint(account: &str, collection: &str) -> Endpoint {
    Endpoint {
        account: account.to_owned(),
        collection: collection.to_owned(),
    }
}

/// A file as the first version of the schema made it.
async fn version_1(file: &Path) -> SqlitePool {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/sqlite");
    let mut migrator = Migrator::new(directory).await.unwrap();
    let first: Vec<_> = migrator
        .migrations
        .iter()
        .filter(|one| one.version == 1)
        .cloned()
        .collect();
    assert_eq!(first.len(), 1);
    migrator.migrations = first.into();
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true);
    let pool = SqlitePool::connect_with(options).await.unwrap();
    migrator.run(&pool).await.unwrap();
    pool
}

async fn insert(pool: &SqlitePool, statement: &'static str, values: &[&str]) {
    let mut query = sqlx::query(statement);
    for value in values {
        query = query.bind(*value);
    }
    query.execute(pool).await.unwrap();
}

const LINK: &str = "INSERT INTO link (tenant, sync, id, a, b, base) VALUES ('main', ?, ?, ?, ?, ?)";
const INTENT: &str = "INSERT INTO intent (tenant, sync, id, body) VALUES ('main', ?, ?, ?)";

/// A base of the first version with opt-outs: the consent's name and the restriction.
fn base(consents: &[(&str, Value)]) -> Value {
    let consents: serde_json::Map<_, _> = consents
        .iter()
        .map(|(name, restricted)| {
            let mut base = json!({"a": "unsubscribed", "b": "subscribed"});
            if !restricted.is_null() {
                base["restricted"] = restricted.clone();
            }
            ((*name).to_owned(), base)
        })
        .collect();
    json!({
        "fields": {"email=email_address": {"a": "ada@x.org", "b": "a\u{e9}\"", "rule": "r1"}},
        "consents": consents,
    })
}

fn intent(source: &str, effect: &Value, base: &Value) -> String {
    json!({
        "id": "i", "run": "r1", "target": "b", "source_record": source, "link": null, "effect": effect,
        "patch": {}, "before": {}, "consents": [], "deliverability": null, "precondition": null,
        "base": base, "restricts": true,
    })
    .to_string()
}

async fn fill(pool: &SqlitePool) {
    sqlx::query("INSERT INTO meta (tenant, sequence) VALUES ('main', 41)")
        .execute(pool)
        .await
        .unwrap();
    for (sync, a, b) in [
        ("people", ("crm", "contacts"), ("mail", "members")),
        ("news", ("shop", "buyers"), ("mail", "members")),
    ] {
        for (side, (account, collection)) in [("a", a), ("b", b)] {
            let statement = "INSERT INTO sync (tenant, sync, side, account, collection) VALUES ('main', ?, ?, ?, ?)";
            insert(pool, statement, &[sync, side, account, collection]).await;
        }
    }
    let older = json!({"side": "a", "at": "2024-03-01T10:00:00Z", "evidence": "said \"no\""});
    let newer = json!({"side": "b", "at": "2024-03-01T10:00:00.000001Z"});
    let both = base(&[
        ("email/marketing", older.clone()),
        ("sms/a/b", newer.clone()),
        ("email/x", Value::Null),
    ]);
    insert(pool, LINK, &["people", "l1", "1", "m1", &both.to_string()]).await;
    // The same member of the list, and a newer opt-out.
    let of_news = base(&[("email/marketing", newer.clone())]);
    insert(
        pool,
        LINK,
        &["news", "l1", "s1", "m1", &of_news.to_string()],
    )
    .await;
    let without = base(&[("email/marketing", Value::Null)]);
    insert(
        pool,
        LINK,
        &["people", "l2", "2", "m2", &without.to_string()],
    )
    .await;
    insert(pool, LINK, &["people", "l3", "3", "m3", "{}"]).await;
    // Nobody knows where the records of a sync that was never registered are.
    insert(pool, LINK, &["lost", "l1", "4", "m4", &of_news.to_string()]).await;
    let said = base(&[("email/marketing", older)]);
    for (id, source, effect) in [
        ("i1", "5", json!("create")),
        ("i2", "6", json!({"update": "m6"})),
        ("i3", "7", json!({"remove": ["m7", "archive"]})),
    ] {
        insert(
            pool,
            INTENT,
            &["people", id, &intent(source, &effect, &said)],
        )
        .await;
    }
    insert(
        pool,
        "INSERT INTO dirty (tenant, sync, side, id, refetch) VALUES ('main', 'people', 'a', ?, 1)",
        &["9"],
    )
    .await;
    let conflict = |about| {
        json!({"side": "a", "record": "1", "about": about, "link": null, "at": "2024-03-01T10:00:00Z", "why": "",
               "detail": {}})
        .to_string()
    };
    for about in ["delete", "delete=delete"] {
        let statement = "INSERT INTO conflict (tenant, sync, side, record, about, at, body) \
                         VALUES ('main', 'people', 'a', '1', ?, 5, ?)";
        insert(pool, statement, &[about, &conflict(about)]).await;
    }
    for (link, run) in [(json!("l1"), json!(null)), (json!(null), json!("r1"))] {
        let body = json!({"at": "2024-03-01T10:00:00Z", "run": run, "kind": "linked", "link": link, "side": null,
                          "record": null, "detail": {}});
        let statement = "INSERT INTO journal (tenant, sync, body) VALUES ('main', 'people', ?)";
        insert(pool, statement, &[&body.to_string()]).await;
    }
}

/// The opt-outs of a record: name, account, time and evidence.
async fn opt_outs(
    store: &SqliteStore,
    place: &Endpoint,
    record: &str,
) -> Vec<(String, String, String, Option<String>)> {
    let found = store
        .restrictions(place, &[RecordId::from(record)])
        .await
        .unwrap();
    found
        .into_iter()
        .map(|one| {
            let RecordRestriction {
                channel,
                purpose,
                restriction,
                ..
            } = one;
            let Restriction {
                account,
                at,
                evidence,
            } = restriction;
            (
                format!("{channel}/{purpose}"),
                account,
                at.to_string(),
                evidence,
            )
        })
        .collect()
}

#[tokio::test]
async fn a_file_of_the_first_version_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("samspel.db");
    let pool = version_1(&file).await;
    fill(&pool).await;
    pool.close().await;

    let before = Timestamp::now();
    let store = SqliteStore::open(&file, "main").await.unwrap();
    assert_eq!(store.sequence(), 41);
    let of = |name: &str, account: &str, at: &str, evidence: Option<&str>| {
        (
            name.to_owned(),
            account.to_owned(),
            at.to_owned(),
            evidence.map(str::to_owned),
        )
    };
    let (early, late) = ("2024-03-01T10:00:00Z", "2024-03-01T10:00:00.000001Z");
    let said = of("email/marketing", "crm", early, Some("said \"no\""));
    let by_phone = of("sms/a/b", "mail", late, None);
    let newest = of("email/marketing", "mail", late, None);
    let (crm, mail, shop) = (
        endpoint("crm", "contacts"),
        endpoint("mail", "members"),
        endpoint("shop", "buyers"),
    );
    assert_eq!(
        opt_outs(&store, &crm, "1").await,
        [said.clone(), by_phone.clone()]
    );
    assert_eq!(
        opt_outs(&store, &mail, "m1").await,
        [newest.clone(), by_phone]
    );
    assert_eq!(opt_outs(&store, &shop, "s1").await, [newest]);
    for (place, record) in [
        (&crm, "5"),
        (&crm, "6"),
        (&crm, "7"),
        (&mail, "m6"),
        (&mail, "m7"),
    ] {
        assert_eq!(
            opt_outs(&store, place, record).await,
            std::slice::from_ref(&said),
            "{record}"
        );
    }
    for (place, record) in [(&crm, "2"), (&mail, "m2"), (&crm, "3"), (&mail, "m3")] {
        assert!(opt_outs(&store, place, record).await.is_empty(), "{record}");
    }

    // The rest of the bases is as it was.
    let links = store.links("people", None, 9).await.unwrap();
    assert_eq!(links.len(), 3);
    let kept = serde_json::to_value(&links[0].base).unwrap();
    let nothing = Value::Null;
    assert_eq!(
        kept,
        base(&[
            ("email/marketing", nothing.clone()),
            ("sms/a/b", nothing.clone()),
            ("email/x", nothing)
        ])
    );
    assert_eq!(store.intents("people", None, 9).await.unwrap().len(), 3);

    let queue = store.dirty("people", 0, 9).await.unwrap();
    assert_eq!(queue.len(), 1);
    assert_eq!(queue[0].refetch, Some(samspel_model::Extent::Whole));
    let margin = Duration::from_secs(2);
    assert!(queue[0].since >= before - margin && queue[0].since <= Timestamp::now() + margin);
    let held = store
        .conflicts("people", Waiting::Holds, 0, 9)
        .await
        .unwrap();
    assert_eq!(held.len(), 1);
    assert_eq!(held[0].about, subject::HOLD_DELETE);
    let undecided = store
        .conflicts("people", Waiting::Conflicts, 0, 9)
        .await
        .unwrap();
    assert_eq!(undecided.len(), 1);
    assert_eq!(undecided[0].about, "delete=delete");
    let link = LinkId("l1".to_owned());
    let told = store
        .journal("people", JournalOf::Link(&link), None, 9)
        .await
        .unwrap();
    assert_eq!(told.len(), 1);
    let told = store
        .journal("people", JournalOf::Run("r1"), None, 9)
        .await
        .unwrap();
    assert_eq!(told.len(), 1);
    assert_eq!(
        store
            .journal("people", JournalOf::Sync, None, 9)
            .await
            .unwrap()
            .len(),
        2
    );
    store.close().await;

    // What could not be moved is where it was.
    let pool = SqlitePool::connect_with(SqliteConnectOptions::new().filename(&file))
        .await
        .unwrap();
    let left: String = sqlx::query_scalar("SELECT base FROM link WHERE sync = 'lost'")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert!(left.contains("restricted"), "{left}");
    let moved: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM link WHERE sync <> 'lost' AND base LIKE '%restricted%'",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(moved, 0);
}
