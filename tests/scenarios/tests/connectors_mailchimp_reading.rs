//! Mailchimp's connector as a component in the real runtime, against the simulated audience: what it says about itself
//! and the account, and everything that reads.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;

use samspel_model::descriptor::AuthKind;
use samspel_model::{Absence, Access, Connector, Failure, Fetched, ReadMode, Role};
use samspel_scenarios::workbench::DATA_CENTRE;
use samspel_scenarios::{Account, Image, Setup, Workbench};
use samspel_vendors::mailchimp::{LIST_ID, Mailchimp, MailchimpQuirks};
use serde_json::{Value, json};

fn workbench() -> Workbench {
    Workbench::new(env!("CARGO_TARGET_TMPDIR"))
}

async fn with(setup: Setup<MailchimpQuirks>) -> Account<Mailchimp> {
    workbench().mailchimp(setup).await
}

async fn mailchimp() -> Account<Mailchimp> {
    with(Setup::default()).await
}

/// An audience with so many members.
async fn seeded(members: u64) -> Account<Mailchimp> {
    let account = mailchimp().await;
    for number in 0..members {
        let status = [
            "subscribed",
            "unsubscribed",
            "cleaned",
            "pending",
            "transactional",
        ][number as usize % 5];
        account.act(json!({
            "act": "create", "email": format!("P{number}@firma.example"), "status": status,
            "merge_fields": { "FNAME": format!("Åsa {number}"), "POINTS": number },
        }));
    }
    account
}

fn id(record: &Value) -> String {
    record["contact_id"].as_str().unwrap().to_owned()
}

fn member(account: &Account<Mailchimp>, email: &str) -> String {
    id(
        &account
            .act(json!({ "act": "create", "email": email, "merge_fields": { "FNAME": "Eva" } })),
    )
}

#[tokio::test]
async fn it_describes_itself_with_nothing_granted() {
    let loaded = workbench().load("mailchimp").await;
    let told = &loaded.descriptor;
    assert_eq!(
        (told.name.as_str(), told.title.as_str()),
        ("mailchimp", "Mailchimp")
    );
    assert_eq!(told.collections, ["members"]);
    assert!(!loaded.wasi, "it needs nothing but the contract");
    let origins: BTreeSet<&str> = told
        .egress
        .iter()
        .map(|rule| rule.origin.as_str())
        .collect();
    assert_eq!(origins, ["https://{dc}.api.mailchimp.com"].into());
    assert!(matches!(
        &told.authentication[0].kind,
        AuthKind::Basic(Some(_))
    ));
    assert_eq!(told.rate_limits[0].concurrent, 10);
}

#[tokio::test]
async fn settings_are_checked_before_anything_is_sent() {
    let account = mailchimp().await;
    let bench = workbench();
    let loaded = bench.load("mailchimp").await;
    for (name, value) in [
        ("dc", json!("us19.evil.example/")),
        ("dc", json!(null)),
        ("list_id", json!("../../3.0/reports")),
        ("overlap_seconds", json!(0)),
        ("resubscribe", json!("always")),
    ] {
        let mut config = account.config.clone();
        config.settings.insert(name.to_owned(), value.clone());
        let error = bench
            .bind(&loaded, &config)
            .err()
            .unwrap_or_else(|| panic!("{name} = {value}"));
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[tokio::test]
async fn check_tells_whose_audience_it_is() {
    let identity = mailchimp().await.connector.check().await.unwrap();
    assert_eq!(identity.id, format!("{DATA_CENTRE}/{LIST_ID}"));
    let elsewhere = with(Setup {
        settings: json!({ "list_id": "ffffffffff" }),
        ..Setup::default()
    })
    .await;
    let failure = elsewhere.connector.check().await.unwrap_err();
    assert!(
        matches!(&failure, Failure::Misconfigured { setting, .. } if setting == "list_id"),
        "{failure}"
    );
}

#[tokio::test]
async fn a_wrong_key_is_told_and_never_shown() {
    let account = with(Setup {
        secret: Some("not-the-right-key-us19".to_owned()),
        ..Setup::default()
    })
    .await;
    let failure = account.connector.check().await.unwrap_err();
    assert!(matches!(failure, Failure::Unauthorized(_)), "{failure}");
    assert!(!format!("{failure} {failure:?}").contains("not-the-right"));
}

#[tokio::test]
async fn merge_fields_are_fields_with_their_types_and_roles() {
    let account = with(Setup {
        settings: json!({ "tags": true, "skip_merge_validation": false }),
        ..Setup::default()
    })
    .await;
    account.act(json!({ "act": "add_merge_field", "field": {
        "tag": "BOAT", "name": "Boat", "type": "radio", "required": true, "choices": ["sail", "oar"],
    } }));
    let collection = account.described().await;
    let field = |name: &str| collection.field(name).unwrap_or_else(|| panic!("{name}"));
    assert_eq!(
        field("BOAT").schema,
        json!({ "enum": ["sail", "oar", null] })
    );
    assert!(field("BOAT").required && field("email_address").required && !field("FNAME").required);
    assert_eq!(field("email_address").roles, [Role::UniqueKey, Role::Email]);
    assert_eq!(field("PHONE").roles, [Role::Phone]);
    assert_eq!(field("FNAME").roles, [Role::DisplayName]);
    assert_eq!(field("source").access, Access::ReadOnly);
    assert_eq!(field("tags").access, Access::CreateOnly);
    assert_eq!(collection.capabilities.findable, ["email_address"]);
    assert!(collection.consent_slots[0].can_restrict && collection.consent_slots[0].can_grant);
}

#[tokio::test]
async fn a_snapshot_in_pages_of_any_size_is_the_whole_audience() {
    let account = seeded(130).await;
    account.act(json!({ "act": "archive", "member": "p7@firma.example" }));
    account.act(
        json!({ "act": "edit", "member": "p8@firma.example", "merge_fields": { "ADDRESS": {
        "addr1": "Kajen 1", "city": "Åbo", "state": "-", "zip": "20100", "country": "FI" } } }),
    );
    let expected = Image::of_members(&account.dump());
    assert_eq!(expected.len(), 129);
    for limit in [1, 37, 100, 1_000] {
        let reading = account.snapshot(limit).await;
        assert_eq!(reading.records.len(), 129, "each once, at {limit} a page");
        assert_eq!(Image::all(&reading.records), expected, "at {limit} a page");
    }
}

#[tokio::test]
async fn only_the_fields_that_are_asked_for_are_told() {
    let account = seeded(5).await;
    let first = async |fields: &[&str]| {
        let page = account
            .page_of(ReadMode::Snapshot(None), 10, Some(fields))
            .await;
        page.unwrap().records.remove(0)
    };
    let named = first(&["FNAME", "vip"]).await;
    assert_eq!(named.fields.keys().collect::<Vec<_>>(), ["FNAME", "vip"]);
    assert_eq!(named.consents.len(), 1);
    let bare = first(&[]).await;
    assert!(bare.fields.is_empty() && bare.consents.is_empty() && bare.revision.is_some());
}

/// Offsets count members that stand before, and every change moves one of them to the end.
#[tokio::test]
async fn a_list_that_moves_while_it_is_read_hides_nobody() {
    // What moves after each page: those that were read first, those that were read last, those that come next.
    for (name, moving) in [
        ("first", 0..8),
        ("last", 18..24),
        ("next", 22..30),
        ("many", 0..30),
    ] {
        let account = seeded(120).await;
        account.later(60);
        let all: Vec<String> = account.dump().iter().map(id).collect();
        let reading = account
            .snapshot_while(20, |page| {
                let start = (page - 1) * 20;
                for place in moving.clone().map(|place| start + place).filter(|place| *place < all.len()) {
                    account.act(json!({ "act": "edit", "member": all[place], "merge_fields": { "COMPANY": format!("{page}") } }));
                }
            })
            .await;
        let missing: Vec<_> = all
            .iter()
            .filter(|id| !reading.ids().contains(id.as_str()))
            .collect();
        assert_eq!(missing, Vec::<&String>::new(), "{name}");
        // The snapshot's cursor tells what moved.
        let changes = account.changes(&reading.cursor, 20).await;
        let mut known = Image::all(&reading.records);
        known.extend(Image::all(&changes.records));
        assert_eq!(known, Image::of_members(&account.dump()), "{name}");
    }
}

#[tokio::test]
async fn members_that_leave_while_the_list_is_read_hide_nobody() {
    let account = seeded(120).await;
    let all: Vec<String> = account.dump().iter().map(id).collect();
    let reading = account
        .snapshot_while(20, |page| {
            for member in all.iter().skip((page - 1) * 20).take(5) {
                account.act(json!({ "act": "archive", "member": member }));
            }
        })
        .await;
    let live = Image::of_members(&account.dump());
    let missing: Vec<_> = live
        .keys()
        .filter(|id| !reading.ids().contains(id.as_str()))
        .collect();
    assert_eq!(missing, Vec::<&String>::new());
    let changes = account.changes(&reading.cursor, 20).await;
    let archived = all.iter().filter(|id| !live.contains_key(*id));
    let untold: Vec<_> = archived
        .filter(|id| !changes.gone().contains(id.as_str()))
        .collect();
    assert_eq!(untold, Vec::<&String>::new());
}

#[tokio::test]
async fn everything_that_changes_is_told_from_the_snapshot_s_cursor_on() {
    for since_exclusive in [true, false] {
        let account = with(Setup {
            quirks: MailchimpQuirks {
                since_exclusive,
                ..MailchimpQuirks::default()
            },
            ..Setup::default()
        })
        .await;
        let ids: Vec<String> = (0..30)
            .map(|n| member(&account, &format!("p{n}@firma.example")))
            .collect();
        account.later(3_600);
        let snapshot = account.snapshot(10).await;
        // In the very second of the snapshot.
        account.act(json!({ "act": "unsubscribe", "member": ids[3] }));
        let first = account.changes(&snapshot.cursor, 10).await;
        assert_eq!(first.ids(), [ids[3].as_str()].into());
        // And in the very second of that reading, twice.
        account.act(json!({ "act": "edit", "member": ids[3], "merge_fields": { "LNAME": "Ek" } }));
        account.act(json!({ "act": "edit", "member": ids[4], "merge_fields": { "LNAME": "Ask" } }));
        let second = account.changes(&first.cursor, 10).await;
        let expected = Image::of_members(&account.dump());
        for id in [&ids[3], &ids[4]] {
            assert_eq!(Image::of(second.record(id).unwrap()), expected[id]);
        }
        let (before, after) = (
            first.record(&ids[3]).unwrap(),
            second.record(&ids[3]).unwrap(),
        );
        assert_ne!(
            before.revision.as_ref().unwrap().token,
            after.revision.as_ref().unwrap().token
        );
        account.later(3_600);
        let third = account.changes(&second.cursor, 10).await;
        account.later(3_600);
        let rest = account.changes(&third.cursor, 10).await;
        assert!(
            rest.ids().len() <= 2,
            "only the overlap is told again: {:?}",
            rest.ids()
        );
    }
}

#[tokio::test]
async fn members_that_changed_in_the_same_second_are_all_told() {
    let account = seeded(3).await;
    let cursor = account.snapshot(10).await.cursor;
    let added: BTreeSet<String> = (0..150)
        .map(|n| member(&account, &format!("q{n}@firma.example")))
        .collect();
    for limit in [1, 20, 1_000] {
        let changes = account.changes(&cursor, limit).await;
        let untold: Vec<_> = added
            .iter()
            .filter(|id| !changes.ids().contains(id.as_str()))
            .collect();
        assert_eq!(untold, Vec::<&String>::new(), "at {limit} a page");
    }
}

#[tokio::test]
async fn an_archived_member_is_told_and_comes_back() {
    let account = seeded(30).await;
    let cursor = account.snapshot(100).await.cursor;
    let gone = id(&account.act(json!({ "act": "archive", "member": "p4@firma.example" })));
    let changes = account.changes(&cursor, 100).await;
    assert_eq!(changes.gone(), [gone.as_str()].into());
    assert_eq!(changes.tombstones[0].why, Absence::Archived);
    assert_eq!(
        account.fetch(&[&gone]).await,
        [Fetched::Absent(Absence::Archived)]
    );
    assert_eq!(
        account.find("email_address", &["p4@firma.example"]).await,
        [Vec::<String>::new()]
    );
    account.act(json!({ "act": "resubscribe", "member": gone }));
    let back = account.changes(&changes.cursor, 100).await;
    assert!(back.record(&gone).is_some() && back.tombstones.is_empty());
}

#[tokio::test]
async fn a_member_deleted_for_good_is_absent_and_missing_from_the_snapshot() {
    let account = seeded(10).await;
    let gone = id(&account.act(json!({ "act": "delete", "member": "p4@firma.example" })));
    assert_eq!(
        account.fetch(&[&gone]).await,
        [Fetched::Absent(Absence::Deleted)]
    );
    assert!(!account.snapshot(100).await.ids().contains(gone.as_str()));
}

#[tokio::test]
async fn a_changed_address_is_the_same_member() {
    let account = seeded(10).await;
    let cursor = account.snapshot(100).await.cursor;
    let moved = id(&account.act(
        json!({ "act": "change_email", "member": "p1@firma.example", "email": "ny@firma.example" }),
    ));
    let changes = account.changes(&cursor, 100).await;
    let told = changes.record(&moved).unwrap();
    assert_eq!(told.fields["email_address"], "ny@firma.example");
    assert_eq!(
        account
            .find("email_address", &["NY@firma.example", "p1@firma.example"])
            .await,
        [vec![moved], vec![]]
    );
}

#[tokio::test]
async fn fetch_answers_each_id_in_order() {
    let account = seeded(40).await;
    let ids: Vec<String> = account.dump().iter().map(id).collect();
    account.act(json!({ "act": "archive", "member": ids[1] }));
    let told = account
        .fetch(&[
            &ids[7],
            "0123456789abcdef",
            &ids[1],
            "no id/../at all",
            &ids[0],
        ])
        .await;
    let found = |place: usize| match &told[place] {
        Fetched::Found(entity) => entity.id.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!([found(0), found(4)], [ids[7].clone(), ids[0].clone()]);
    assert_eq!(told[1], Fetched::Absent(Absence::Deleted));
    assert_eq!(told[2], Fetched::Absent(Absence::Archived));
    assert!(
        matches!(told[3], Fetched::Failed(_)),
        "the host refuses such an address: {:?}",
        told[3]
    );
    let expected = Image::of_members(&account.dump());
    assert_eq!(Image::of(&account.record(&ids[7]).await), expected[&ids[7]]);
    assert_eq!(account.fetch(&[]).await, []);
}

#[tokio::test]
async fn the_status_is_told_with_time_and_proof() {
    let account = seeded(5).await;
    let reading = account.snapshot(10).await;
    let of = |place: usize| {
        let dump = account.dump();
        reading.record(&id(&dump[place])).unwrap().clone()
    };
    let subscribed = of(0);
    assert!(subscribed.consents[0].at.is_some() && subscribed.consents[0].evidence.is_some());
    let unsubscribed = of(1);
    assert!(unsubscribed.consents[0].at.is_some() && unsubscribed.consents[0].evidence.is_some());
    let cleaned = of(2).deliverability.unwrap();
    assert!(cleaned.at.is_some() && cleaned.reason.is_some());
}
