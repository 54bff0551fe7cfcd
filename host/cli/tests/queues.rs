//! Queues, history, erasure and undo, as a user or a script meets them: a real store, no remotes.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use jiff::Timestamp;
use samspel_model::journal::{JournalEntry, JournalKind};
use samspel_model::store::{
    Change, Commit, Conflict, Endpoint, Observed, Parked, RunRecord, Source, Step, Verdict,
};
use samspel_model::{Base, Entity, Extent, Link, LinkId, RecordId, Side, Store};
use samspel_store::SqliteStore;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Two syncs that share the CRM.
const CONFIG: &str = r#"
[accounts.crm]
connector = "hubspot"
[accounts.news]
connector = "mailchimp"
[accounts.shop]
connector = "mailchimp"

[syncs.contacts]
a = { account = "crm", collection = "contacts" }
b = { account = "news", collection = "members" }
match = { a = "email", b = "email_address" }
new-members = "transactional"
first-sync = "a"
fields = [{ a = "email", b = "email_address" }, { a = "firstname", b = "FNAME" }]

[syncs.buyers]
a = { account = "crm", collection = "contacts" }
b = { account = "shop", collection = "members" }
match = { a = "email", b = "email_address" }
new-members = "transactional"
first-sync = "a"
fields = [{ a = "email", b = "email_address" }]
"#;

struct World {
    directory: TempDir,
    store: SqliteStore,
}

fn endpoint(account: &str, collection: &str) -> Endpoint {
    Endpoint {
        account: account.to_owned(),
        collection: collection.to_owned(),
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_780_000_000 + second).unwrap()
}

fn conflict(record: &str, about: &str) -> Conflict {
    Conflict {
        side: Side::A,
        record: record.into(),
        about: about.to_owned(),
        link: None,
        at: at(1),
        why: "both sides changed it".to_owned(),
        detail: json!({ "a": "Ann", "b": "Anna" }),
    }
}

fn observed(endpoint: Endpoint, id: &str, fields: Value, email: &str) -> Change {
    let field = if endpoint.account == "crm" {
        "email"
    } else {
        "email_address"
    };
    Change::Observe {
        endpoint,
        source: Source::Fetch,
        sent: 0,
        snapshot: None,
        records: vec![Observed {
            entity: Entity {
                id: id.into(),
                revision: None,
                fields: fields.as_object().unwrap().clone(),
                consents: vec![],
                deliverability: None,
                aliases: vec![],
                modified: Some(at(0)),
            },
            keys: vec![(field.to_owned(), email.to_owned())],
            extent: Extent::Whole,
        }],
        tombstones: vec![],
    }
}

impl World {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("samspel.toml"), CONFIG).unwrap();
        let store = SqliteStore::open(&directory.path().join("samspel.db"), "main")
            .await
            .unwrap();
        let world = Self { directory, store };
        for (sync, account) in [("contacts", "news"), ("buyers", "shop")] {
            let sides = [endpoint("crm", "contacts"), endpoint(account, "members")];
            world.store.register(sync, &sides).await.unwrap();
        }
        world
    }

    async fn commit(&self, sync: &str, changes: Vec<Change>) {
        let lease = self
            .store
            .acquire_lease(sync, "a test", Timestamp::now(), Duration::from_secs(60))
            .await
            .unwrap();
        let commit = Commit {
            step: Step::Decide,
            at: at(2),
            changes,
        };
        self.store.commit(&lease, commit).await.unwrap();
        self.store.release_lease(&lease).await.unwrap();
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn samspel(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_samspel"))
            .args(arguments)
            .current_dir(self.path())
            .env_remove("SAMSPEL_CONFIG")
            .env_remove("SAMSPEL_KEY")
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .output()
            .expect("samspel starts")
    }

    /// The exit code and the object of `--json`.
    fn json(&self, arguments: &[&str]) -> (i32, Value) {
        let mut arguments = arguments.to_vec();
        arguments.push("--json");
        let output = self.samspel(&arguments);
        let text = String::from_utf8(output.stdout).unwrap();
        let last = text.lines().last().unwrap_or_else(|| {
            panic!("{arguments:?}: {}", String::from_utf8_lossy(&output.stderr))
        });
        (
            output.status.code().unwrap(),
            serde_json::from_str(last).unwrap(),
        )
    }

    fn text(&self, arguments: &[&str]) -> String {
        let output = self.samspel(arguments);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conflicts_are_listed_in_groups_shown_and_resolved() {
    let world = World::new().await;
    let name = conflict("1", "firstname=FNAME");
    let mail = conflict("2", "email/marketing");
    let twins = conflict("3", "identity");
    world
        .commit(
            "contacts",
            vec![Change::PutConflicts(vec![
                name.clone(),
                mail.clone(),
                twins.clone(),
            ])],
        )
        .await;

    let (code, listed) = world.json(&["conflicts", "list"]);
    assert_eq!((code, &listed["total"]), (0, &json!(3)));
    assert_eq!(listed["groups"][0]["about"], "email/marketing");
    assert_eq!(listed["conflicts"].as_array().unwrap().len(), 3);
    let text = world.text(&["conflicts", "list", "contacts", "--limit", "1"]);
    assert!(text.contains("firstname=FNAME (1)"), "{text}");
    assert!(text.contains("and 2 more"), "{text}");

    let (code, shown) = world.json(&["conflicts", "show", &name.id()]);
    assert_eq!((code, &shown["detail"]["b"]), (0, &json!("Anna")));
    assert_eq!(shown["decision"], Value::Null);
    let can = shown["can"][0].as_str().unwrap();
    assert!(can.contains("--take a"), "{can}");
    let text = world.text(&["conflicts", "show", "contacts", &twins.id()]);
    assert!(text.contains("--link RECORD"), "{text}");

    // Neither the consent nor the twins are answered by an answer to everything.
    let (code, resolved) = world.json(&["conflicts", "resolve", "--all", "--take", "b"]);
    assert_eq!((code, &resolved["left"]), (0, &json!(2)));
    assert_eq!(resolved["decided"][0]["id"], name.id());
    let told = world
        .store
        .decisions("contacts", Side::A, &["1".into(), "2".into(), "3".into()])
        .await
        .unwrap();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].verdict, Verdict::Take(Side::B));
    let dirty = world.store.dirty("contacts", 0, 10).await.unwrap();
    assert_eq!(dirty.len(), 1, "the next run looks at it");
    let (_, shown) = world.json(&["conflicts", "show", &name.id()]);
    assert_eq!(shown["decision"]["take"], "b");

    // The consent by its id.
    let (code, _) = world.json(&["conflicts", "resolve", &mail.id(), "--take", "a"]);
    assert_eq!(code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_does_not_fit_decides_nothing_and_says_what_does() {
    let world = World::new().await;
    let twins = conflict("3", "identity");
    let put = Change::PutConflicts(vec![twins.clone()]);
    world.commit("contacts", vec![put]).await;
    let (code, refused) = world.json(&["conflicts", "resolve", &twins.id(), "--take", "a"]);
    assert_eq!(code, 2);
    let said = refused["error"]["message"].as_str().unwrap();
    assert!(said.contains("link it with a record"), "{said}");
    // A record that is not there cannot be its partner.
    let (code, refused) = world.json(&["conflicts", "resolve", &twins.id(), "--link", "m9"]);
    assert_eq!(code, 2);
    let said = refused["error"]["message"].as_str().unwrap();
    assert!(said.contains("has no record `m9`"), "{said}");
    let (code, _) = world.json(&["conflicts", "resolve", &twins.id()]);
    assert_eq!(code, 2, "an answer is needed");
    let told = world
        .store
        .decisions("contacts", Side::A, &["3".into()])
        .await
        .unwrap();
    assert_eq!(told, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_in_several_syncs_must_be_told_apart_and_an_unknown_one_is_named() {
    let world = World::new().await;
    let same = conflict("1", "identity");
    for sync in ["contacts", "buyers"] {
        let put = Change::PutConflicts(vec![same.clone()]);
        world.commit(sync, vec![put]).await;
    }
    let (code, refused) = world.json(&["conflicts", "resolve", &same.id(), "--leave"]);
    assert_eq!(code, 2);
    assert_eq!(refused["error"]["syncs"], json!(["buyers", "contacts"]));
    let (code, _) = world.json(&[
        "conflicts",
        "resolve",
        &same.id(),
        "--leave",
        "--sync",
        "buyers",
    ]);
    assert_eq!(code, 0);
    let (code, refused) = world.json(&["conflicts", "show", "0000000000"]);
    assert_eq!(code, 2);
    let said = refused["error"]["message"].as_str().unwrap();
    assert!(said.contains("0000000000"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn holds_are_approved_by_group_and_rejected_one_by_one() {
    let world = World::new().await;
    let holds: Vec<Conflict> = (0..5)
        .map(|number| conflict(&format!("d{number}"), "hold:delete"))
        .chain((0..2).map(|number| conflict(&format!("c{number}"), "hold:create")))
        .collect();
    let put = Change::PutConflicts(holds.clone());
    world.commit("contacts", vec![put]).await;

    let (_, listed) = world.json(&["holds", "list"]);
    let counts: Vec<(&Value, &Value)> = listed["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| (&group["about"], &group["count"]))
        .collect();
    assert_eq!(
        counts,
        [
            (&json!("hold:create"), &json!(2)),
            (&json!("hold:delete"), &json!(5))
        ]
    );
    let (code, _) = world.json(&["holds", "reject", &holds[0].id()]);
    assert_eq!(code, 0);
    let (code, approved) = world.json(&["holds", "approve", "--all", "--about", "hold:create"]);
    assert_eq!(code, 0);
    assert_eq!(approved["decided"].as_array().unwrap().len(), 2);
    let (code, refused) = world.json(&["holds", "approve", "--all", "--about", "hold:nothing"]);
    assert_eq!(code, 2, "{refused}");
    // What a hold is about is no conflict.
    let (code, _) = world.json(&["conflicts", "resolve", &holds[1].id(), "--take", "a"]);
    assert_eq!(code, 2);
    let ids: Vec<RecordId> = holds.iter().map(|hold| hold.record.clone()).collect();
    let told = world
        .store
        .decisions("contacts", Side::A, &ids)
        .await
        .unwrap();
    let told: Vec<(&str, &Verdict)> = told
        .iter()
        .map(|told| (told.record.as_str(), &told.verdict))
        .collect();
    assert_eq!(
        told,
        [
            ("c0", &Verdict::Approve),
            ("c1", &Verdict::Approve),
            ("d0", &Verdict::Reject)
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn parked_records_are_retried_or_dropped() {
    let world = World::new().await;
    let parked: Vec<Parked> = ["1", "2", "3"]
        .map(|record| Parked {
            side: Side::A,
            record: record.into(),
            at: at(1),
            cause: "`email`: refused".to_owned(),
        })
        .to_vec();
    let park = Change::Park(parked.clone());
    world.commit("contacts", vec![park]).await;
    let text = world.text(&["parked", "list"]);
    assert!(text.contains("`email`: refused"), "{text}");
    let (code, retried) = world.json(&["parked", "retry", &parked[0].id()]);
    assert_eq!((code, &retried["retry"][0]["record"]), (0, &json!("1")));
    let (code, _) = world.json(&["parked", "drop", &parked[1].id()]);
    assert_eq!(code, 0);
    let dirty = world.store.dirty("contacts", 0, 10).await.unwrap();
    assert_eq!(dirty.len(), 1);
    assert_eq!(
        dirty[0].refetch,
        Some(Extent::Whole),
        "it is asked for again first"
    );
    let (_, left) = world.json(&["parked", "list"]);
    assert_eq!(left["total"], 1);
    // Somebody else's lease is waited for, and then named.
    let (code, _) = world.json(&["parked", "retry", "--all", "--sync", "contacts"]);
    assert_eq!(code, 0);
    let (_, left) = world.json(&["parked", "list"]);
    assert_eq!(left["total"], 0);
}

async fn linked(world: &World) {
    let link = |id: &str, b: &str| Link {
        id: LinkId(id.to_owned()),
        a: "1".into(),
        b: b.into(),
        base: Base::default(),
    };
    let crm = || endpoint("crm", "contacts");
    let changes = vec![
        observed(
            crm(),
            "1",
            json!({ "email": "Ann@x.org", "firstname": "Ann" }),
            "ann@x.org",
        ),
        observed(
            endpoint("news", "members"),
            "m1",
            json!({ "email_address": "ann@x.org", "FNAME": "Ann" }),
            "ann@x.org",
        ),
        Change::PutLinks(vec![link("l1", "m1")]),
        Change::Journal(vec![JournalEntry {
            at: at(10),
            run: Some("run1".to_owned()),
            kind: JournalKind::Settled,
            link: Some(LinkId("l1".to_owned())),
            side: Some(Side::B),
            record: Some("m1".into()),
            detail: json!({ "effect": "update", "patch": { "FNAME": "Ann" }, "before": { "FNAME": "An" } }),
        }]),
        Change::PutRun(RunRecord {
            id: "run1".to_owned(),
            started: at(9),
            ended: Some(at(11)),
            error: None,
            report: json!({ "writes": 1, "updated": { "a": 0, "b": 1 } }),
        }),
    ];
    world.commit("contacts", changes).await;
    let changes = vec![
        observed(
            endpoint("shop", "members"),
            "s1",
            json!({ "email_address": "ann@x.org" }),
            "ann@x.org",
        ),
        Change::PutLinks(vec![link("l2", "s1")]),
    ];
    world.commit("buyers", changes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn history_tells_value_time_origin_and_who_decided() {
    let world = World::new().await;
    linked(&world).await;
    let (code, told) = world.json(&["history", "ann@x.org", "--sync", "contacts"]);
    assert_eq!(code, 0);
    let found = &told["found"][0];
    assert_eq!(
        (&found["record"], &found["partner"]),
        (&json!("1"), &json!("m1"))
    );
    let name = &found["fields"][1];
    assert_eq!(
        (
            &name["value"],
            &name["account"],
            &name["run"],
            &name["since"]
        ),
        (
            &json!("Ann"),
            &json!("crm"),
            &json!("run1"),
            &json!(at(10).to_string())
        )
    );
    let address = &found["fields"][0];
    assert!(
        address["decided"].as_str().unwrap().contains("never wrote"),
        "{address}"
    );
    // In every sync that knows it, and by id.
    let (_, told) = world.json(&["history", "1"]);
    assert_eq!(told["found"].as_array().unwrap().len(), 2);
    let (_, told) = world.json(&["history", "m1", "--field", "firstname"]);
    assert_eq!(told["found"][0]["fields"].as_array().unwrap().len(), 1);
    let text = world.text(&["history", "1", "--sync", "contacts"]);
    assert!(text.contains("written by run run1"), "{text}");
    let (code, unknown) = world.json(&["history", "nobody"]);
    assert_eq!(code, 2);
    assert!(unknown["error"]["remedy"].is_string());
    let (code, _) = world.json(&["history", "1", "--field", "nothing"]);
    assert_eq!(code, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn erase_asks_forgets_the_person_in_all_syncs_and_needs_its_key_ever_after() {
    let world = World::new().await;
    linked(&world).await;
    let (code, refused) = world.json(&["erase", "m1", "--sync", "contacts"]);
    assert_eq!(code, 6);
    let said = refused["error"]["message"].as_str().unwrap();
    assert!(said.contains("shop/members/s1"), "{said}");
    let (code, erased) = world.json(&["erase", "m1", "--sync", "contacts", "--yes"]);
    assert_eq!((code, &erased["suppressed"]), (0, &json!(1)), "{erased}");
    assert_eq!(
        erased["records"],
        json!(["crm/contacts/1", "news/members/m1", "shop/members/s1"])
    );
    let left = world
        .store
        .observations(&endpoint("crm", "contacts"), &["1".into()])
        .await
        .unwrap();
    assert_eq!(left, []);
    let entry = world
        .store
        .journal(
            "contacts",
            samspel_model::store::JournalOf::Run("run1"),
            None,
            1,
        )
        .await
        .unwrap();
    assert!(entry[0].1.detail.get("erased").is_some());

    // From now on a run without the key is refused: it would not recognise the address.
    std::fs::remove_file(world.path().join("samspel.key")).unwrap();
    let (code, refused) = world.json(&["erase", "m2", "--sync", "contacts", "--yes"]);
    assert_eq!(code, 2, "nobody is called so: {refused}");
    linked(&world).await;
    let (code, refused) = world.json(&["erase", "m1", "--sync", "contacts", "--yes"]);
    assert_eq!(code, 1);
    let said = refused["error"]["message"].as_str().unwrap();
    assert!(said.contains("samspel.key is missing"), "{said}");
    let (code, refused) = world.json(&["sync", "run", "contacts", "--yes"]);
    assert_ne!(code, 0, "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn undo_asks_and_names_a_run_that_is_not_there() {
    let world = World::new().await;
    linked(&world).await;
    let (code, _) = world.json(&["undo", "run1"]);
    assert_eq!(code, 6);
    let (code, refused) = world.json(&["undo", "run7", "--yes"]);
    assert_eq!(code, 2);
    let said = refused["error"]["remedy"].as_str().unwrap();
    assert!(said.contains("sync status"), "{said}");
    let text = world.text(&["sync", "status", "contacts"]);
    assert!(text.contains("run1"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_that_somebody_works_on_is_waited_for_and_then_named() {
    let world = World::new().await;
    let twins = conflict("3", "identity");
    let put = Change::PutConflicts(vec![twins.clone()]);
    world.commit("contacts", vec![put]).await;
    let lease = world
        .store
        .acquire_lease(
            "contacts",
            "samspel serve",
            Timestamp::now(),
            Duration::from_secs(600),
        )
        .await
        .unwrap();
    let (code, refused) = world.json(&["conflicts", "resolve", &twins.id(), "--leave"]);
    assert_eq!(code, 5);
    let said = refused["error"]["message"].as_str().unwrap();
    assert!(said.contains("samspel serve"), "{said}");
    world.store.release_lease(&lease).await.unwrap();
}

#[test]
fn every_command_teaches_with_examples() {
    for command in [
        &["conflicts", "list"][..],
        &["conflicts", "show"],
        &["conflicts", "resolve"],
        &["holds", "list"],
        &["holds", "approve"],
        &["holds", "reject"],
        &["parked", "list"],
        &["parked", "retry"],
        &["parked", "drop"],
        &["undo"],
        &["history"],
        &["erase"],
        &["sync", "plan"],
        &["sync", "run"],
        &["sync", "verify"],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_samspel"))
            .args(command)
            .arg("--help")
            .output()
            .unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{command:?}");
        assert!(help.contains("Examples:"), "{command:?}: {help}");
    }
}
