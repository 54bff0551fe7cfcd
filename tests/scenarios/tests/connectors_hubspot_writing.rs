//! HubSpot's connector as a component in the real runtime, against the simulated account: everything that writes.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use samspel_model::{
    Connector, Consent, ConsentState, Deliverability, DeliverabilityState, Outcome, Removal,
    Update, WriteOp,
};
use samspel_scenarios::account::{consent, create, remove, update, written};
use samspel_scenarios::{Account, Image, Setup, Workbench};
use samspel_vendors::hubspot::{BatchErrors, DELIVERABILITY_PROPERTY, HubSpot, HubSpotQuirks};
use serde_json::{Value, json};

async fn with(setup: Setup<HubSpotQuirks>) -> Account<HubSpot> {
    Workbench::new(env!("CARGO_TARGET_TMPDIR"))
        .hubspot(setup)
        .await
}

async fn hubspot() -> Account<HubSpot> {
    with(Setup::default()).await
}

fn quirks(quirks: HubSpotQuirks) -> Setup<HubSpotQuirks> {
    Setup {
        quirks,
        ..Setup::default()
    }
}

fn contact(account: &Account<HubSpot>, email: &str) -> String {
    let properties = json!({ "email": email, "firstname": "Eva" });
    let made = account.act(json!({ "act": "create", "properties": properties }));
    made["id"].as_str().unwrap().to_owned()
}

fn made(key: &str, values: Value) -> WriteOp {
    WriteOp::Create(create(key, values))
}

fn changed(id: &str, patch: Value) -> WriteOp {
    WriteOp::Update(update(id, patch))
}

fn says(id: &str, consent: Consent) -> Update {
    Update {
        consents: vec![consent],
        ..update(id, json!({}))
    }
}

/// What the vendor holds about a contact.
fn held(account: &Account<HubSpot>, id: &str) -> Image {
    Image::of_contacts(&account.dump()).remove(id).unwrap()
}

/// The consent of an address, as the vendor holds it.
fn status(account: &Account<HubSpot>, id: &str) -> Value {
    let dump = account.dump();
    dump.iter().find(|contact| contact["id"] == id).unwrap()["consent"].clone()
}

#[track_caller]
fn rejected<'a>(outcome: &'a Outcome, blamed: Option<&str>) -> &'a str {
    match outcome {
        Outcome::Rejected { reason, field } if field.as_deref() == blamed => reason,
        other => panic!("not rejected for {blamed:?}: {other:?}"),
    }
}

/// A batch in which almost everything is wrong is answered item by item, whichever way the remote answers it.
async fn every_item_has_an_outcome_of_its_own(setup: HubSpotQuirks) {
    let account = with(quirks(setup)).await;
    let taken = contact(&account, "taken@firma.example");
    let archived = contact(&account, "archived@firma.example");
    let (kept, merged) = (
        contact(&account, "kept@firma.example"),
        contact(&account, "merged@firma.example"),
    );
    let free = contact(&account, "free@firma.example");
    let leaving = contact(&account, "leaving@firma.example");
    account.act(json!({ "act": "archive", "contact": archived }));
    account.act(json!({ "act": "merge", "primary": kept, "other": merged }));
    let outcomes = account
        .write(vec![
            made(
                "k0",
                json!({ "email": "new@firma.example", "firstname": "Once" }),
            ),
            made("k1", json!({ "email": "taken@firma.example" })),
            made("k2", json!({ "email": "nobody" })),
            made(
                "k3",
                json!({ "email": "level@firma.example", "membership_level": "diamond" }),
            ),
            made(
                "k4",
                json!({ "email": "NEW@firma.example", "firstname": "Twice" }),
            ),
            made("k5", json!({ "firstname": "No address" })),
            changed(&free, json!({ "firstname": "Fri", "phone": null })),
            changed("999999999", json!({ "firstname": "x" })),
            changed(&archived, json!({ "firstname": "x" })),
            changed(&merged, json!({ "city": "Lund" })),
            changed(&taken, json!({ "email": "free@firma.example" })),
            changed(&kept, json!({ "hs_email_optout": "true" })),
            remove(&leaving, Removal::Archive),
            remove(&free, Removal::Delete),
            remove(&archived, Removal::Archive),
            made(
                "k15",
                json!({ "email": "last@firma.example", "firstname": "Åsa", "city": null }),
            ),
        ])
        .await;
    // The same address twice: one of the two is a contact, whichever HubSpot took first.
    let (new, twice) = match &outcomes[0] {
        Outcome::Written(entity) => (entity, &outcomes[4]),
        other => (written(&outcomes[4]), other),
    };
    assert_eq!(*twice, Outcome::Duplicate(Some(new.id.clone())));
    assert_eq!(new.fields["email"], "new@firma.example");
    let last = written(&outcomes[15]);
    assert_eq!(
        last.fields,
        *json!({ "email": "last@firma.example", "firstname": "Åsa" })
            .as_object()
            .unwrap()
    );
    assert!(last.revision.is_some());
    assert_eq!(outcomes[1], Outcome::Duplicate(Some(taken.as_str().into())));
    rejected(&outcomes[2], Some("email"));
    rejected(&outcomes[3], Some("membership_level"));
    assert_eq!(written(&outcomes[5]).fields["firstname"], "No address");
    assert_eq!(
        written(&outcomes[6]).fields,
        *json!({ "firstname": "Fri", "phone": null })
            .as_object()
            .unwrap()
    );
    assert_eq!(outcomes[7], Outcome::Gone);
    assert_eq!(outcomes[8], Outcome::Gone);
    assert_eq!(outcomes[9], Outcome::Moved(kept.as_str().into()));
    assert_eq!(outcomes[10], Outcome::Duplicate(Some(free.as_str().into())));
    rejected(&outcomes[11], Some("hs_email_optout"));
    assert_eq!(outcomes[12], Outcome::Gone);
    rejected(&outcomes[13], None);
    assert_eq!(outcomes[14], Outcome::Gone);
    // taken, kept, free, and new, no address, last
    assert_eq!(
        account.vendor().counts(),
        (6, 2),
        "nothing twice, nothing too many"
    );
    for outcome in &outcomes {
        if let Outcome::Written(entity) = outcome {
            let held = held(&account, entity.id.as_str());
            for (name, value) in entity.fields.iter().filter(|(_, value)| !value.is_null()) {
                assert_eq!(held.fields[name], *value);
            }
        }
    }
}

#[tokio::test]
async fn a_207_with_errors_is_understood_item_by_item() {
    every_item_has_an_outcome_of_its_own(HubSpotQuirks::default()).await;
}

#[tokio::test]
async fn results_in_another_order_are_understood() {
    every_item_has_an_outcome_of_its_own(HubSpotQuirks {
        shuffle_batch_results: true,
        ..HubSpotQuirks::default()
    })
    .await;
}

#[tokio::test]
async fn a_batch_that_is_refused_as_a_whole_is_taken_apart() {
    every_item_has_an_outcome_of_its_own(HubSpotQuirks {
        batch_errors: BatchErrors::WholeBatch,
        ..HubSpotQuirks::default()
    })
    .await;
}

#[tokio::test]
async fn more_writes_than_a_batch_takes_are_all_written_in_order() {
    let account = hubspot().await;
    let writes = (0..200)
        .map(|n| {
            made(
                &format!("k{n}"),
                json!({ "email": format!("p{n}@firma.example") }),
            )
        })
        .collect();
    let outcomes = account.write(writes).await;
    for (n, outcome) in outcomes.iter().enumerate() {
        assert_eq!(
            written(outcome).fields["email"],
            format!("p{n}@firma.example")
        );
    }
    assert_eq!(account.asked().requests, 2, "two batches");
    assert_eq!(account.write(vec![]).await, []);
}

#[tokio::test]
async fn several_writes_to_one_contact_happen_in_their_order() {
    let account = hubspot().await;
    let id = contact(&account, "eva@firma.example");
    let writes = (0..5)
        .map(|n| changed(&id, json!({ "city": format!("city {n}") })))
        .collect();
    for outcome in account.write(writes).await {
        written(&outcome);
    }
    assert_eq!(held(&account, &id).fields["city"], "city 4");
}

#[tokio::test]
async fn an_opt_out_is_written_for_everything_or_for_the_subscription() {
    for (setting, of_everything) in [("all", true), ("subscription", false)] {
        let account = with(Setup {
            settings: json!({ "opt_out": setting }),
            ..Setup::default()
        })
        .await;
        let id = contact(&account, "eva@firma.example");
        let write = says(&id, consent(ConsentState::Unsubscribed));
        let outcome = account.write_one(WriteOp::Update(write)).await;
        let told = &written(&outcome).consents[0];
        assert_eq!(told.state, ConsentState::Unsubscribed);
        assert!(told.at.is_some());
        assert_eq!(status(&account, &id)["unsubscribedAll"], of_everything);
        assert_eq!(held(&account, &id).consent, ConsentState::Unsubscribed);
        assert_eq!(
            account.record(&id).await.consents[0].state,
            ConsentState::Unsubscribed
        );
    }
}

#[tokio::test]
async fn an_opt_in_is_written_with_its_proof() {
    let account = with(quirks(HubSpotQuirks {
        require_legal_basis: true,
        ..HubSpotQuirks::default()
    }))
    .await;
    let id = contact(&account, "eva@firma.example");
    let said = Consent {
        evidence: Some("ticked the box".to_owned()),
        ..consent(ConsentState::Subscribed)
    };
    let outcome = account.write_one(WriteOp::Update(says(&id, said))).await;
    assert_eq!(
        written(&outcome).consents[0].state,
        ConsentState::Subscribed
    );
    let read = account.record(&id).await;
    let proof = read.consents[0].evidence.as_deref().unwrap();
    assert!(
        proof.contains("CONSENT_WITH_NOTICE") && proof.contains("ticked the box"),
        "{proof}"
    );
}

#[tokio::test]
async fn an_opt_in_that_the_remote_refuses_changes_nothing() {
    let account = with(quirks(HubSpotQuirks {
        api_may_resubscribe: false,
        ..HubSpotQuirks::default()
    }))
    .await;
    let (out, fresh) = (
        contact(&account, "out@firma.example"),
        contact(&account, "fresh@firma.example"),
    );
    account.act(json!({ "act": "unsubscribe", "email": "out@firma.example" }));
    let outcomes = account
        .write(vec![
            WriteOp::Update(says(&out, consent(ConsentState::Subscribed))),
            WriteOp::Update(says(&fresh, consent(ConsentState::Subscribed))),
        ])
        .await;
    let reason = rejected(&outcomes[0], None);
    assert!(reason.contains("opted out"), "{reason}");
    written(&outcomes[1]);
    assert_eq!(held(&account, &out).consent, ConsentState::Unsubscribed);
    assert_eq!(held(&account, &fresh).consent, ConsentState::Subscribed);
}

#[tokio::test]
async fn what_hubspot_cannot_record_is_rejected_before_anything_is_sent() {
    let account = with(Setup {
        settings: json!({ "subscription_id": null, "bounce_property": null }),
        ..Setup::default()
    })
    .await;
    let id = contact(&account, "eva@firma.example");
    let nameless = account.act(json!({ "act": "create", "properties": { "firstname": "Bo" } }));
    let nameless = nameless["id"].as_str().unwrap();
    assert!(!account.described().await.consent_slots[0].can_grant);
    account.asked();
    let bounced = Deliverability {
        state: DeliverabilityState::HardBounced,
        at: None,
        reason: None,
    };
    let outcomes = account
        .write(vec![
            WriteOp::Update(says(&id, consent(ConsentState::Subscribed))),
            WriteOp::Update(says(
                &id,
                Consent {
                    channel: "sms".to_owned(),
                    ..consent(ConsentState::Unsubscribed)
                },
            )),
            WriteOp::Update(Update {
                deliverability: Some(bounced),
                ..update(&id, json!({}))
            }),
        ])
        .await;
    assert!(rejected(&outcomes[0], None).contains("subscription_id"));
    assert!(rejected(&outcomes[1], None).contains("sms"));
    assert!(rejected(&outcomes[2], None).contains("bounce_property"));
    assert_eq!(account.asked().requests, 0);
    let without_address = WriteOp::Update(says(nameless, consent(ConsentState::Unsubscribed)));
    rejected(&account.write_one(without_address).await, Some("email"));
}

#[tokio::test]
async fn a_new_contact_starts_with_its_consent_and_bounce() {
    let account = hubspot().await;
    let new = |key: &str, email: &str, state, bounce| {
        let mut create = create(key, json!({ "email": email }));
        create.consents = vec![consent(state)];
        create.deliverability = Some(Deliverability {
            state: bounce,
            at: None,
            reason: None,
        });
        WriteOp::Create(create)
    };
    use ConsentState::{Pending, Subscribed, Unspecified, Unsubscribed};
    use DeliverabilityState::{Deliverable, HardBounced};
    let outcomes = account
        .write(vec![
            new("k0", "in@firma.example", Subscribed, Deliverable),
            new("k1", "out@firma.example", Unsubscribed, Deliverable),
            new("k2", "silent@firma.example", Unspecified, HardBounced),
            new("k3", "asked@firma.example", Pending, Deliverable),
        ])
        .await;
    let held: Vec<(ConsentState, DeliverabilityState)> = outcomes
        .iter()
        .map(|outcome| held(&account, written(outcome).id.as_str()))
        .map(|image| (image.consent, image.deliverability))
        .collect();
    assert_eq!(
        held,
        [
            (Subscribed, Deliverable),
            (Unsubscribed, Deliverable),
            (Unspecified, HardBounced),
            (Unspecified, Deliverable)
        ]
    );
    assert_eq!(written(&outcomes[1]).consents[0].state, Unsubscribed);
}

#[tokio::test]
async fn a_bounce_is_written_to_the_configured_property() {
    let account = hubspot().await;
    let id = contact(&account, "eva@firma.example");
    let bounced = Deliverability {
        state: DeliverabilityState::HardBounced,
        at: None,
        reason: Some("no such user".to_owned()),
    };
    let write = Update {
        deliverability: Some(bounced),
        ..update(&id, json!({}))
    };
    let outcome = account.write_one(WriteOp::Update(write)).await;
    assert_eq!(
        written(&outcome).deliverability.as_ref().unwrap().state,
        DeliverabilityState::HardBounced
    );
    assert_eq!(
        held(&account, &id).fields[DELIVERABILITY_PROPERTY],
        "hard_bounce"
    );
    let read = account.record(&id).await.deliverability.unwrap();
    assert_eq!(read.state, DeliverabilityState::HardBounced);
}

#[tokio::test]
async fn a_changed_address_keeps_the_contact_and_takes_the_opt_out_along() {
    let account = hubspot().await;
    let id = contact(&account, "old@firma.example");
    account.act(json!({ "act": "unsubscribe", "email": "old@firma.example" }));
    let write = Update {
        consents: vec![consent(ConsentState::Unsubscribed)],
        ..update(&id, json!({ "email": "new@firma.example" }))
    };
    let outcome = account.write_one(WriteOp::Update(write)).await;
    let entity = written(&outcome);
    assert_eq!(
        (entity.id.as_str(), &entity.fields["email"]),
        (id.as_str(), &json!("new@firma.example"))
    );
    assert_eq!(entity.consents[0].state, ConsentState::Unsubscribed);
    assert_eq!(held(&account, &id).consent, ConsentState::Unsubscribed);
    assert_eq!(account.vendor().counts(), (1, 0), "no second contact");
}

#[tokio::test]
async fn a_changed_address_brings_its_own_consent_and_says_so() {
    let account = hubspot().await;
    let id = contact(&account, "old@firma.example");
    account.act(json!({ "act": "unsubscribe", "email": "old@firma.example" }));
    let outcome = account
        .write_one(changed(&id, json!({ "email": "new@firma.example" })))
        .await;
    let told = &written(&outcome).consents[0];
    assert_eq!(
        told.state,
        ConsentState::Unspecified,
        "so that whoever knows of the opt-out restores it"
    );
    assert_eq!(held(&account, &id).consent, ConsentState::Unspecified);
}

/// HubSpot holds consent by address: what the host last knew of the address must not decide whose opt-out it is.
#[tokio::test]
async fn an_opt_out_reaches_the_address_that_the_contact_has_now() {
    let account = hubspot().await;
    let id = contact(&account, "old@firma.example");
    account.act(
        json!({ "act": "edit", "contact": id, "properties": { "email": "new@firma.example" } }),
    );
    let mut write = says(&id, consent(ConsentState::Unsubscribed));
    write
        .known
        .insert("email".to_owned(), json!("old@firma.example"));
    written(&account.write_one(WriteOp::Update(write)).await);
    assert_eq!(held(&account, &id).consent, ConsentState::Unsubscribed);
    let old = contact(&account, "old@firma.example");
    assert_eq!(
        held(&account, &old).consent,
        ConsentState::Unspecified,
        "nobody else was opted out"
    );
}

#[tokio::test]
async fn a_consent_of_a_contact_that_is_not_there_says_what_became_of_it() {
    let account = hubspot().await;
    let archived = contact(&account, "archived@firma.example");
    let (kept, merged) = (
        contact(&account, "kept@firma.example"),
        contact(&account, "merged@firma.example"),
    );
    account.act(json!({ "act": "archive", "contact": archived }));
    account.act(json!({ "act": "merge", "primary": kept, "other": merged }));
    let out = |id: &str| WriteOp::Update(says(id, consent(ConsentState::Unsubscribed)));
    let outcomes = account
        .write(vec![
            out(&archived),
            out(&merged),
            out("999999999"),
            out(&kept),
        ])
        .await;
    assert_eq!(
        outcomes[..3],
        [
            Outcome::Gone,
            Outcome::Moved(kept.as_str().into()),
            Outcome::Gone
        ]
    );
    written(&outcomes[3]);
}

#[tokio::test]
async fn a_write_that_changes_nothing_is_done_without_a_request() {
    let account = hubspot().await;
    let id = contact(&account, "eva@firma.example");
    let outcome = account.write_one(changed(&id, json!({}))).await;
    assert_eq!(written(&outcome).id.as_str(), id);
    assert_eq!(account.asked().requests, 0);
    let collection = account
        .connector
        .write("companies", vec![changed(&id, json!({}))])
        .await;
    assert!(collection.unwrap_err().to_string().contains("companies"));
}
