//! HubSpot's connector as a component in the real runtime, against the simulated account: what it says about itself and
//! the account, and everything that reads.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;

use samspel_model::descriptor::AuthKind;
use samspel_model::{
    Absence, Access, Connector, DeleteVisibility, Extent, Failure, Fetched, ReadMode, RecordId,
    Role, WriteOp,
};
use samspel_scenarios::account::{create, written};
use samspel_scenarios::{Account, Image, Setup, Workbench};
use samspel_vendors::hubspot::{
    CUSTOMER_NUMBER_PROPERTY, DELIVERABILITY_PROPERTY, HubSpot, HubSpotQuirks, PORTAL_ID,
};
use samspel_vendors::vendor::Vendor;
use serde_json::{Value, json};

fn workbench() -> Workbench {
    Workbench::new(env!("CARGO_TARGET_TMPDIR"))
}

async fn with(setup: Setup<HubSpotQuirks>) -> Account<HubSpot> {
    workbench().hubspot(setup).await
}

async fn hubspot() -> Account<HubSpot> {
    with(Setup::default()).await
}

/// An account with contacts of which some opted out and some bounced.
async fn seeded(contacts: u64) -> Account<HubSpot> {
    let account = hubspot().await;
    account.vendor().seed(contacts, 7);
    account
}

fn id(record: &Value) -> String {
    record["id"].as_str().unwrap().to_owned()
}

fn contact(account: &Account<HubSpot>, email: &str) -> String {
    let properties = json!({ "email": email, "firstname": "Eva" });
    id(&account.act(json!({ "act": "create", "properties": properties })))
}

#[tokio::test]
async fn it_describes_itself_with_nothing_granted() {
    let loaded = workbench().load("hubspot").await;
    let told = &loaded.descriptor;
    assert_eq!(
        (told.name.as_str(), told.title.as_str()),
        ("hubspot", "HubSpot")
    );
    assert_eq!(told.collections, ["contacts"]);
    assert!(!loaded.wasi, "it needs nothing but the contract");
    let origins: BTreeSet<&str> = told
        .egress
        .iter()
        .map(|rule| rule.origin.as_str())
        .collect();
    assert_eq!(origins, ["https://api.hubapi.com"].into());
    let schemes: Vec<_> = told
        .authentication
        .iter()
        .map(|scheme| (scheme.credential.as_str(), scheme.name.as_str()))
        .collect();
    assert_eq!(
        schemes,
        [
            ("access", "private-app-token"),
            ("access", "oauth2"),
            ("webhook", "client-secret"),
        ]
    );
    assert_eq!(told.authentication[0].kind, AuthKind::Bearer);
    assert!(told.settings_schema["properties"]["subscription_id"].is_object());
}

#[tokio::test]
async fn settings_are_checked_before_anything_is_sent() {
    let account = hubspot().await;
    let bench = workbench();
    let loaded = bench.load("hubspot").await;
    let mut config = account.config.clone();
    for (name, value) in [
        ("subscription_id", json!("newsletter")),
        ("overlap_seconds", json!(-1)),
        ("opt_out", json!("sometimes")),
        ("colour", json!("blue")),
    ] {
        config.settings = [(name.to_owned(), value)].into_iter().collect();
        let error = bench
            .bind(&loaded, &config)
            .err()
            .expect("refused")
            .to_string();
        assert!(error.contains(name), "{error}");
    }
    // What a schema cannot say.
    config.settings = [("opt_out".to_owned(), json!("subscription"))]
        .into_iter()
        .collect();
    let bound = bench.bind(&loaded, &config).unwrap();
    let failure = bound.check().await.unwrap_err();
    assert!(
        matches!(&failure, Failure::Misconfigured { setting, why } if setting == "opt_out" && why.contains("subscription_id")),
        "{failure}"
    );
    assert_eq!(account.asked().requests, 0);
}

#[tokio::test]
async fn check_tells_whose_account_it_is() {
    let identity = hubspot().await.connector.check().await.unwrap();
    assert_eq!(identity.id, PORTAL_ID.to_string());
    assert!(identity.label.contains("HubSpot"), "{}", identity.label);
}

#[tokio::test]
async fn a_wrong_token_is_told_and_never_shown() {
    let account = with(Setup {
        secret: Some("pat-na1-not-the-right-token".to_owned()),
        ..Setup::default()
    })
    .await;
    let failure = account.connector.check().await.unwrap_err();
    assert!(matches!(failure, Failure::Unauthorized(_)), "{failure}");
    assert!(!format!("{failure} {failure:?}").contains("not-the-right"));
    let write = WriteOp::Create(create("k1", json!({ "email": "eva@firma.example" })));
    let refused = account.try_write(vec![write]).await.unwrap_err();
    assert!(matches!(refused.failure, Failure::Unauthorized(_)));
    assert_eq!(account.vendor().counts(), (0, 0));
}

#[tokio::test]
async fn custom_properties_are_fields_with_their_types_and_roles() {
    let account = hubspot().await;
    for definition in [
        json!({ "name": "boat", "label": "Boat", "type": "enumeration", "fieldType": "select",
                "options": [{ "label": "Sail", "value": "sail" }, { "label": "Oar", "value": "oar" }] }),
        json!({ "name": "membership_number", "type": "string", "hasUniqueValue": true }),
        json!({ "name": "score", "type": "number", "readOnly": true }),
    ] {
        account.act(json!({ "act": "add_property", "definition": definition }));
    }
    let collection = account.described().await;
    let field = |name: &str| collection.field(name).unwrap_or_else(|| panic!("{name}"));
    assert_eq!(
        field("boat").schema,
        json!({ "enum": ["sail", "oar", null] })
    );
    assert_eq!(
        (field("boat").access, field("boat").title.as_str()),
        (Access::ReadWrite, "Boat")
    );
    assert_eq!(field("membership_number").roles, [Role::UniqueKey]);
    assert_eq!(field("email").roles, [Role::UniqueKey, Role::Email]);
    assert_eq!(field("phone").roles, [Role::Phone]);
    for name in [
        "score",
        "hs_email_optout",
        "lastmodifieddate",
        "hs_object_id",
    ] {
        assert_eq!(field(name).access, Access::ReadOnly, "{name}");
    }
    let capabilities = &collection.capabilities;
    assert!(capabilities.incremental && capabilities.can_archive && !capabilities.can_delete);
    assert_eq!(capabilities.deletes, DeleteVisibility::Reported);
    let findable: BTreeSet<&str> = capabilities.findable.iter().map(String::as_str).collect();
    assert!(
        findable.is_superset(
            &[
                "email",
                "phone",
                CUSTOMER_NUMBER_PROPERTY,
                "membership_number"
            ]
            .into()
        )
    );
    let [slot] = collection.consent_slots.as_slice() else {
        panic!("{:?}", collection.consent_slots);
    };
    assert!(slot.can_restrict && slot.can_grant);
}

#[tokio::test]
async fn a_bounce_property_that_does_not_exist_is_a_setting_to_correct() {
    let account = with(Setup {
        settings: json!({ "bounce_property": "mail_state" }),
        ..Setup::default()
    })
    .await;
    let failure = account.connector.collections().await.unwrap_err();
    assert!(
        matches!(&failure, Failure::Misconfigured { setting, .. } if setting == "bounce_property"),
        "{failure}"
    );
}

#[tokio::test]
async fn a_snapshot_in_pages_of_any_size_is_the_whole_account() {
    let account = seeded(230).await;
    let archived = id(&account.dump()[3]);
    account.act(json!({ "act": "archive", "contact": archived }));
    let expected = Image::of_contacts(&account.dump());
    assert_eq!(expected.len(), 229);
    for limit in [1, 37, 100, 1_000] {
        let reading = account.snapshot(limit).await;
        assert_eq!(reading.records.len(), 229, "each once, at {limit} a page");
        assert_eq!(Image::all(&reading.records), expected, "at {limit} a page");
    }
}

#[tokio::test]
async fn more_properties_than_fit_into_an_address_are_read_too() {
    let account = seeded(130).await;
    for number in 0..120 {
        let name = format!("a_rather_long_name_of_a_custom_property_{number}");
        account.act(
            json!({ "act": "add_property", "definition": { "name": name, "type": "string" } }),
        );
    }
    for (place, contact) in account.dump().iter().enumerate() {
        let name = format!("a_rather_long_name_of_a_custom_property_{}", place % 120);
        account.act(json!({ "act": "edit", "contact": id(contact), "properties": { name: "x" } }));
    }
    let expected = Image::of_contacts(&account.dump());
    let reading = account.snapshot(100).await;
    assert_eq!(Image::all(&reading.records), expected);
    let sample = id(&account.dump()[5]);
    assert_eq!(Image::of(&account.record(&sample).await), expected[&sample]);
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
    let named = first(&["firstname"]).await;
    assert_eq!(named.fields.keys().collect::<Vec<_>>(), ["firstname"]);
    assert_eq!(named.consents.len(), 1);
    account.asked();
    let bare = first(&[]).await;
    assert!(bare.fields.is_empty() && bare.consents.is_empty() && bare.revision.is_some());
    assert_eq!(
        account.asked().requests,
        1,
        "ids and revisions are one request"
    );
}

#[tokio::test]
async fn contacts_that_are_archived_while_a_snapshot_is_read_hide_no_others() {
    let account = seeded(250).await;
    let all: Vec<String> = account.dump().iter().map(id).collect();
    let reading = account
        .snapshot_while(50, |page| {
            // One that was read, and the first of the next page.
            for place in [page * 50 - 20, page * 50] {
                if let Some(contact) = all.get(place) {
                    account.act(json!({ "act": "archive", "contact": contact }));
                }
            }
        })
        .await;
    let live = Image::of_contacts(&account.dump());
    let missing: Vec<_> = live
        .keys()
        .filter(|id| !reading.ids().contains(id.as_str()))
        .collect();
    assert_eq!(missing, Vec::<&String>::new());
    let changes = account.changes(&reading.cursor, 100).await;
    let archived = all.iter().filter(|id| !live.contains_key(*id));
    let untold: Vec<_> = archived
        .filter(|id| !changes.gone().contains(id.as_str()))
        .collect();
    assert_eq!(untold, Vec::<&String>::new());
}

#[tokio::test]
async fn everything_that_changes_is_told_from_the_snapshot_s_cursor_on() {
    let account = seeded(120).await;
    let ids: Vec<String> = account.dump().iter().map(id).collect();
    let snapshot = account
        .snapshot_while(40, |page| {
            // Also what changes behind the reader's back.
            account.act(json!({ "act": "edit", "contact": ids[0], "properties": { "city": format!("Å{page}") } }));
        })
        .await;
    account.later(3_600);
    let quiet = account.changes(&snapshot.cursor, 50).await;
    assert!(
        quiet.ids().contains(ids[0].as_str()),
        "changed while the snapshot was read"
    );

    account.act(json!({ "act": "edit", "contact": ids[5], "properties": { "firstname": "Ny" } }));
    let added = contact(&account, "ny@firma.example");
    account.act(json!({ "act": "unsubscribe", "email": "ny@firma.example" }));
    let changes = account.changes(&quiet.cursor, 50).await;
    let expected = Image::of_contacts(&account.dump());
    for id in [&ids[5], &added] {
        assert_eq!(Image::of(changes.record(id).unwrap()), expected[id]);
    }
    assert!(
        changes.ids().len() < 10,
        "what did not change is not told again: {:?}",
        changes.ids()
    );
    account.later(3_600);
    let rest = account.changes(&changes.cursor, 50).await;
    assert!(
        rest.ids().len() <= 2,
        "an hour later only the overlap is told: {:?}",
        rest.ids()
    );
}

#[tokio::test]
async fn contacts_that_changed_in_the_same_millisecond_are_all_told() {
    let account = hubspot().await;
    let snapshot = account.snapshot(10).await;
    // A batch is one millisecond: three of them fill several pages each.
    let writes: Vec<WriteOp> = (0..300)
        .map(|number| {
            let email = format!("p{number}@firma.example");
            WriteOp::Create(create(&format!("k{number}"), json!({ "email": email })))
        })
        .collect();
    let mut made = BTreeSet::new();
    for part in writes.chunks(100) {
        for outcome in account.write(part.to_vec()).await {
            made.insert(written(&outcome).id.to_string());
        }
    }
    let dump = account.dump();
    let stamps: BTreeSet<&str> = dump
        .iter()
        .filter_map(|c| c["updatedAt"].as_str())
        .collect();
    assert!(stamps.len() <= 3, "{stamps:?}");
    for limit in [1, 7, 100, 1_000] {
        let changes = account.changes(&snapshot.cursor, limit).await;
        let told: BTreeSet<String> = changes.ids().into_iter().map(str::to_owned).collect();
        assert_eq!(told, made, "at {limit} a page");
    }
}

#[tokio::test]
async fn a_change_that_the_index_shows_late_is_told_late_and_not_lost() {
    let account = with(Setup {
        settings: json!({ "overlap_seconds": 20 }),
        ..Setup::default()
    })
    .await;
    let early = contact(&account, "early@firma.example");
    account.later(600);
    let cursor = account.snapshot(10).await.cursor;
    account.later(600);
    account.set(json!({ "quirks": { "search_lag_ms": 15_000 } }));
    account.act(json!({ "act": "edit", "contact": early, "properties": { "city": "Lund" } }));
    let mut reading = account.changes(&cursor, 10).await;
    assert!(
        !reading.ids().contains(early.as_str()),
        "the index does not show it yet"
    );
    // Polls that see nothing must not move the position past what is still to come.
    for _ in 0..3 {
        account.later(4);
        reading = account.changes(&reading.cursor, 10).await;
        assert!(!reading.ids().contains(early.as_str()));
    }
    account.later(4);
    reading = account.changes(&reading.cursor, 10).await;
    assert_eq!(reading.record(&early).unwrap().fields["city"], "Lund");
}

#[tokio::test]
async fn consents_cost_a_request_that_values_do_not() {
    let account = seeded(30).await;
    let contact = id(&account.dump()[4]);
    let ids = [RecordId::from(contact.as_str())];
    let fields = ["email".to_owned(), "firstname".to_owned()];
    let mut cost = Vec::new();
    for extent in [Extent::Whole, Extent::Values] {
        let before = account.connector.stats().requests;
        let answers = account
            .connector
            .fetch(account.collection, &ids, Some(&fields), extent)
            .await
            .unwrap();
        cost.push(account.connector.stats().requests - before);
        let [Fetched::Found(entity)] = answers.as_slice() else {
            panic!("{answers:?}");
        };
        assert!(entity.fields.contains_key("firstname"));
        assert_eq!(entity.consents.is_empty(), extent == Extent::Values);
    }
    assert_eq!(cost, [2, 1]);
}

#[tokio::test]
async fn an_archived_contact_is_told_and_comes_back() {
    let account = seeded(30).await;
    let cursor = account.snapshot(100).await.cursor;
    let gone = id(&account.dump()[4]);
    account.act(json!({ "act": "archive", "contact": gone }));
    let changes = account.changes(&cursor, 100).await;
    let [tombstone] = changes.tombstones.as_slice() else {
        panic!("{:?}", changes.tombstones);
    };
    assert_eq!(
        (tombstone.id.as_str(), &tombstone.why),
        (gone.as_str(), &Absence::Archived)
    );
    assert_eq!(
        account.fetch(&[&gone]).await,
        [Fetched::Absent(Absence::Archived)]
    );
    account.later(3_600);
    let quiet = account.changes(&changes.cursor, 100).await;
    let quiet = account.changes(&quiet.cursor, 100).await;
    assert!(
        quiet.tombstones.is_empty(),
        "what was told long ago is not told again"
    );
    account.act(json!({ "act": "restore", "contact": gone }));
    let back = account.changes(&quiet.cursor, 100).await;
    assert!(back.record(&gone).is_some());
    assert!(matches!(
        account.fetch(&[&gone]).await[0],
        Fetched::Found(_)
    ));
}

#[tokio::test]
async fn more_archived_contacts_than_one_poll_reads_are_told_over_several() {
    let account = seeded(1_300).await;
    let cursor = account.snapshot(1_000).await.cursor;
    let ids: Vec<String> = account.dump().iter().map(id).collect();
    for contact in &ids[..1_250] {
        account.act(json!({ "act": "archive", "contact": contact }));
    }
    let first = account.changes(&cursor, 100).await;
    let second = account.changes(&first.cursor, 100).await;
    let told: BTreeSet<&str> = first.gone().union(&second.gone()).copied().collect();
    let untold: Vec<_> = ids[..1_250]
        .iter()
        .filter(|id| !told.contains(id.as_str()))
        .collect();
    assert_eq!(untold, Vec::<&String>::new());
}

#[tokio::test]
async fn a_contact_deleted_for_good_is_absent_and_missing_from_the_snapshot() {
    let account = seeded(10).await;
    let gone = id(&account.dump()[4]);
    account.act(json!({ "act": "delete", "contact": gone }));
    assert_eq!(
        account.fetch(&[&gone]).await,
        [Fetched::Absent(Absence::Deleted)]
    );
    assert!(!account.snapshot(100).await.ids().contains(gone.as_str()));
}

#[tokio::test]
async fn a_merged_contact_is_known_by_its_old_id() {
    for new_id in [false, true] {
        let account = with(Setup {
            quirks: HubSpotQuirks {
                merge_makes_new_id: new_id,
                ..HubSpotQuirks::default()
            },
            ..Setup::default()
        })
        .await;
        let (kept, lost) = (
            contact(&account, "a@firma.example"),
            contact(&account, "b@firma.example"),
        );
        let cursor = account.snapshot(10).await.cursor;
        let merged = id(&account.act(json!({ "act": "merge", "primary": kept, "other": lost })));
        assert_eq!(merged == kept, !new_id);
        let told = account.fetch(&[&lost, &merged]).await;
        assert_eq!(
            told[0],
            Fetched::Absent(Absence::MergedInto(merged.as_str().into()))
        );
        let Fetched::Found(entity) = &told[1] else {
            panic!("{told:?}");
        };
        assert!(
            entity.aliases.contains(&lost.as_str().into()),
            "{:?}",
            entity.aliases
        );
        let changes = account.changes(&cursor, 10).await;
        assert!(
            changes
                .record(&merged)
                .unwrap()
                .aliases
                .contains(&lost.as_str().into())
        );
        assert_eq!(
            account.find("email", &["b@firma.example"]).await,
            [vec![merged]],
            "by its other address"
        );
    }
}

#[tokio::test]
async fn fetch_answers_each_id_in_order() {
    let account = seeded(150).await;
    let ids: Vec<String> = account.dump().iter().map(id).collect();
    account.act(json!({ "act": "archive", "contact": ids[1] }));
    let asked = [
        ids[7].as_str(),
        "999999999",
        ids[1].as_str(),
        "no number",
        "../../../account-info",
        ids[0].as_str(),
        ids[7].as_str(),
    ];
    let told = account.fetch(&asked).await;
    let found = |place: usize| match &told[place] {
        Fetched::Found(entity) => entity.id.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        [found(0), found(5), found(6)],
        [ids[7].clone(), ids[0].clone(), ids[7].clone()]
    );
    assert_eq!(told[1], Fetched::Absent(Absence::Deleted));
    assert_eq!(told[2], Fetched::Absent(Absence::Archived));
    assert_eq!(told[3], Fetched::Absent(Absence::Deleted));
    assert!(
        matches!(told[4], Fetched::Failed(_)),
        "the host refuses such an address: {:?}",
        told[4]
    );
    let expected = Image::of_contacts(&account.dump());
    let all: Vec<&str> = ids[2..102].iter().map(String::as_str).collect();
    for (id, told) in all.iter().zip(account.fetch(&all).await) {
        let Fetched::Found(entity) = told else {
            panic!("{id}: {told:?}");
        };
        assert_eq!(Image::of(&entity), expected[*id]);
    }
    assert_eq!(account.fetch(&[]).await, []);
}

#[tokio::test]
async fn contacts_are_found_by_address_number_and_phone() {
    let account = hubspot().await;
    let make = |email: &str, number: &str, phone: &str| {
        let properties =
            json!({ "email": email, CUSTOMER_NUMBER_PROPERTY: number, "phone": phone });
        id(&account.act(json!({ "act": "create", "properties": properties })))
    };
    let a = make("eva+news@firma.example", "K-1", "+46 70 1");
    let b = make("bo@firma.example", "K-2", "+46 70 1");
    assert_eq!(
        account
            .find(
                "email",
                &[
                    "EVA+News@Firma.Example",
                    "nobody@firma.example",
                    "bo@firma.example"
                ]
            )
            .await,
        [vec![a.clone()], vec![], vec![b.clone()]]
    );
    assert_eq!(
        account
            .find(CUSTOMER_NUMBER_PROPERTY, &["K-2", "K-3"])
            .await,
        [vec![b.clone()], vec![]]
    );
    assert_eq!(
        account.find("phone", &["+46 70 1", "+46 70 2"]).await,
        [vec![a, b], vec![]]
    );
    assert_eq!(account.find("email", &[]).await, Vec::<Vec<String>>::new());
}

#[tokio::test]
async fn consent_and_bounces_are_told_with_time_and_proof() {
    let account = hubspot().await;
    let people: Vec<String> = (0..6)
        .map(|n| contact(&account, &format!("p{n}@firma.example")))
        .collect();
    account.act(json!({ "act": "subscribe", "email": "p0@firma.example", "legal_basis": "CONSENT_WITH_NOTICE" }));
    account.act(json!({ "act": "unsubscribe", "email": "p1@firma.example" }));
    account
        .act(json!({ "act": "unsubscribe", "email": "p2@firma.example", "subscription": 184_001 }));
    account
        .act(json!({ "act": "unsubscribe", "email": "p3@firma.example", "subscription": 184_002 }));
    account.act(json!({ "act": "hard_bounce", "email": "p4@firma.example" }));
    account.act(json!({ "act": "edit", "contact": people[5], "properties": { DELIVERABILITY_PROPERTY: "soft_bounce" } }));
    let expected = Image::of_contacts(&account.dump());
    for (place, id) in people.iter().enumerate() {
        let record = account.record(id).await;
        assert_eq!(Image::of(&record), expected[id], "p{place}");
        let consent = &record.consents[0];
        assert_eq!(consent.at.is_some(), place < 3, "p{place}: {consent:?}");
        if place == 0 {
            let proof = consent.evidence.as_deref().unwrap();
            assert!(proof.contains("CONSENT_WITH_NOTICE"), "{proof}");
        }
    }
}
