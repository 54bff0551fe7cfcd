//! Mailchimp's connector as a component in the real runtime, against the simulated audience: everything that writes.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use samspel_model::{
    Consent, ConsentState, Deliverability, DeliverabilityState, Outcome, Removal, Update, WriteOp,
};
use samspel_scenarios::account::{consent, create, remove, update, written};
use samspel_scenarios::{Account, Image, Setup, Workbench};
use samspel_vendors::mailchimp::{Compliance, Mailchimp, MailchimpQuirks};
use serde_json::{Value, json};

async fn with(setup: Setup<MailchimpQuirks>) -> Account<Mailchimp> {
    Workbench::new(env!("CARGO_TARGET_TMPDIR"))
        .mailchimp(setup)
        .await
}

async fn mailchimp() -> Account<Mailchimp> {
    with(Setup::default()).await
}

fn member(account: &Account<Mailchimp>, email: &str, status: &str) -> String {
    let made = account.act(json!({
        "act": "create", "email": email, "status": status, "merge_fields": { "FNAME": "Eva" },
    }));
    made["contact_id"].as_str().unwrap().to_owned()
}

fn made(email: &str, mut values: Value) -> WriteOp {
    values["email_address"] = email.into();
    WriteOp::Create(create(email, values))
}

fn changed(id: &str, patch: Value) -> WriteOp {
    WriteOp::Update(update(id, patch))
}

fn says(id: &str, state: ConsentState) -> WriteOp {
    WriteOp::Update(Update {
        consents: vec![consent(state)],
        ..update(id, json!({}))
    })
}

/// The status of a member, as the vendor holds it.
fn status(account: &Account<Mailchimp>, id: &str) -> String {
    let dump = account.dump();
    let found = dump.iter().find(|member| member["contact_id"] == id);
    found.unwrap()["status"].as_str().unwrap().to_owned()
}

fn held(account: &Account<Mailchimp>, id: &str) -> Image {
    Image::of_members(&account.dump()).remove(id).unwrap()
}

#[track_caller]
fn rejected<'a>(outcome: &'a Outcome, blamed: Option<&str>) -> &'a str {
    match outcome {
        Outcome::Rejected { reason, field } if field.as_deref() == blamed => reason,
        other => panic!("not rejected for {blamed:?}: {other:?}"),
    }
}

#[track_caller]
fn suppressed(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Suppressed(why) => why,
        other => panic!("not suppressed: {other:?}"),
    }
}

#[tokio::test]
async fn a_200_with_errors_is_understood_item_by_item() {
    let account = mailchimp().await;
    let taken = member(&account, "taken@firma.example", "unsubscribed");
    let free = member(&account, "free@firma.example", "subscribed");
    let leaving = member(&account, "leaving@firma.example", "subscribed");
    let archived = member(&account, "archived@firma.example", "unsubscribed");
    account.act(json!({ "act": "archive", "member": archived }));
    account.act(json!({ "act": "create", "email": "forgotten@firma.example" }));
    account.act(json!({ "act": "delete", "member": "forgotten@firma.example" }));
    let outcomes = account
        .write(vec![
            made(
                "new@firma.example",
                json!({ "FNAME": "Åsa", "LNAME": null, "vip": true }),
            ),
            made("TAKEN@firma.example", json!({ "FNAME": "x" })),
            made("nobody", json!({})),
            made("somebody@example.com", json!({})),
            made("NEW@firma.example", json!({ "FNAME": "Twice" })),
            made("forgotten@firma.example", json!({})),
            made("archived@firma.example", json!({})),
            made("level@firma.example", json!({ "LEVEL": "diamond" })),
            WriteOp::Create(create("k8", json!({ "FNAME": "No address" }))),
            changed(&free, json!({ "FNAME": "Fri", "LNAME": null })),
            changed("0123456789abcdef0123456789abcdef", json!({ "FNAME": "x" })),
            changed(&free, json!({ "email_address": "taken@firma.example" })),
            changed(&taken, json!({ "email_address": "archived@firma.example" })),
            changed(&taken, json!({ "POINTS": "many" })),
            remove(&leaving, Removal::Archive),
            remove(&archived, Removal::Archive),
            remove("0123456789abcdef0123456789abcdef", Removal::Archive),
            remove(&free, Removal::Delete),
        ])
        .await;
    let new = written(&outcomes[0]);
    assert_eq!(
        (&new.fields["FNAME"], &new.fields["vip"]),
        (&json!("Åsa"), &json!(true))
    );
    assert!(new.revision.is_some());
    assert_eq!(outcomes[1], Outcome::Duplicate(Some(taken.as_str().into())));
    rejected(&outcomes[2], Some("email_address"));
    rejected(&outcomes[3], Some("email_address"));
    assert_eq!(outcomes[4], Outcome::Duplicate(Some(new.id.clone())));
    suppressed(&outcomes[5]);
    assert!(suppressed(&outcomes[6]).contains("archived"));
    rejected(&outcomes[7], Some("LEVEL"));
    rejected(&outcomes[8], Some("email_address"));
    assert_eq!(written(&outcomes[9]).fields["FNAME"], "Fri");
    assert_eq!(outcomes[10], Outcome::Gone);
    assert_eq!(
        outcomes[11],
        Outcome::Duplicate(Some(taken.as_str().into()))
    );
    rejected(&outcomes[12], Some("email_address"));
    rejected(&outcomes[13], Some("POINTS"));
    for place in [14, 15, 16] {
        assert_eq!(outcomes[place], Outcome::Gone, "{place}");
    }
    rejected(&outcomes[17], None);
    // taken, free, new
    assert_eq!(
        account.vendor().counts(),
        (3, 2),
        "nothing twice, nothing too many"
    );
    assert_eq!(status(&account, &archived), "archived");
    assert_eq!(
        status(&account, &taken),
        "unsubscribed",
        "a create changes nobody who is there"
    );
}

#[tokio::test]
async fn a_whole_batch_costs_two_requests_and_tells_each_member() {
    let account = mailchimp().await;
    let writes = (0..500)
        .map(|n| {
            made(
                &format!("P{n}@firma.example"),
                json!({ "FNAME": format!("p{n}") }),
            )
        })
        .collect();
    let outcomes = account.write(writes).await;
    for (n, outcome) in outcomes.iter().enumerate() {
        assert_eq!(written(outcome).fields["FNAME"], format!("p{n}"));
    }
    assert_eq!(
        account.asked().requests,
        2,
        "who is archived, and the batch"
    );
    assert_eq!(account.write(vec![]).await, []);
}

/// An address that is archived must not come back under a new status: what the person said before would be gone.
#[tokio::test]
async fn an_archived_member_is_not_added_again_however_many_are_archived() {
    for archived in [1, 30, 1_200] {
        let account = mailchimp().await;
        for number in 0..archived {
            let email = format!("old{number}@firma.example");
            member(&account, &email, "unsubscribed");
            account.act(json!({ "act": "archive", "member": email }));
        }
        for size in [1, 3, 10] {
            let last = archived - 1;
            let mut writes = vec![made(&format!("OLD{last}@firma.example"), json!({}))];
            writes.extend(
                (1..size).map(|n| made(&format!("new{size}-{n}@firma.example"), json!({}))),
            );
            let outcomes = account.write(writes).await;
            suppressed(&outcomes[0]);
            for outcome in &outcomes[1..] {
                written(outcome);
            }
        }
        assert_eq!(account.vendor().counts(), (11, archived));
    }
}

#[tokio::test]
async fn a_new_member_has_the_status_that_was_said() {
    let account = mailchimp().await;
    use ConsentState::{Pending, Subscribed, Unspecified, Unsubscribed};
    let new = |email: &str, said: Option<Consent>| {
        let mut create = create(email, json!({ "email_address": email }));
        create.consents = said.into_iter().collect();
        WriteOp::Create(create)
    };
    let since = Consent {
        at: Some("2025-03-01T12:00:00Z".parse().unwrap()),
        ..consent(Subscribed)
    };
    let outcomes = account
        .write(vec![
            new("in@firma.example", Some(since.clone())),
            new("out@firma.example", Some(consent(Unsubscribed))),
            new("asked@firma.example", Some(consent(Pending))),
            new("silent@firma.example", Some(consent(Unspecified))),
            new("nothing@firma.example", None),
            new(
                "sms@firma.example",
                Some(Consent {
                    channel: "sms".to_owned(),
                    ..consent(Subscribed)
                }),
            ),
        ])
        .await;
    let states: Vec<String> = outcomes[..5]
        .iter()
        .map(|o| status(&account, written(o).id.as_str()))
        .collect();
    assert_eq!(
        states,
        [
            "subscribed",
            "unsubscribed",
            "pending",
            "transactional",
            "transactional"
        ]
    );
    assert!(rejected(&outcomes[5], None).contains("sms"));
    let told = &written(&outcomes[0]).consents[0];
    assert_eq!(
        (&told.state, told.at),
        (&Subscribed, since.at),
        "the time of the opt-in is kept"
    );
}

#[tokio::test]
async fn an_opt_out_is_written_to_anybody() {
    let account = mailchimp().await;
    for status_before in ["subscribed", "pending", "transactional", "unsubscribed"] {
        let id = member(
            &account,
            &format!("{status_before}@firma.example"),
            status_before,
        );
        let outcome = account
            .write_one(says(&id, ConsentState::Unsubscribed))
            .await;
        assert_eq!(
            written(&outcome).consents[0].state,
            ConsentState::Unsubscribed
        );
        assert_eq!(status(&account, &id), "unsubscribed");
    }
}

#[tokio::test]
async fn an_opt_in_never_brings_back_who_has_left() {
    for compliance in [Compliance::Strict, Compliance::OwnWish] {
        let account = with(Setup {
            quirks: MailchimpQuirks {
                compliance,
                ..MailchimpQuirks::default()
            },
            ..Setup::default()
        })
        .await;
        let ids: Vec<String> = ["unsubscribed", "cleaned", "pending", "transactional"]
            .into_iter()
            .map(|status| member(&account, &format!("{status}@firma.example"), status))
            .collect();
        let outcomes = account
            .write(
                ids.iter()
                    .map(|id| says(id, ConsentState::Subscribed))
                    .collect(),
            )
            .await;
        suppressed(&outcomes[0]);
        suppressed(&outcomes[1]);
        written(&outcomes[2]);
        written(&outcomes[3]);
        let states: Vec<String> = ids.iter().map(|id| status(&account, id)).collect();
        assert_eq!(
            states,
            ["unsubscribed", "cleaned", "subscribed", "subscribed"]
        );
        // With another change: that is written, and the opt-in still is not.
        let both = Update {
            consents: vec![consent(ConsentState::Subscribed)],
            ..update(&ids[0], json!({ "FNAME": "Ny" }))
        };
        let outcome = account.write_one(WriteOp::Update(both)).await;
        assert_eq!(
            written(&outcome).consents[0].state,
            ConsentState::Unsubscribed
        );
        assert_eq!(held(&account, &ids[0]).fields["FNAME"], "Ny");
        assert_eq!(status(&account, &ids[0]), "unsubscribed");
    }
}

#[tokio::test]
async fn who_has_left_can_be_asked_to_confirm() {
    let account = with(Setup {
        settings: json!({ "resubscribe": "confirm" }),
        ..Setup::default()
    })
    .await;
    let (left, bounced) = (
        member(&account, "left@firma.example", "unsubscribed"),
        member(&account, "bounced@firma.example", "cleaned"),
    );
    let outcomes = account
        .write(vec![
            says(&left, ConsentState::Subscribed),
            says(&bounced, ConsentState::Subscribed),
        ])
        .await;
    assert_eq!(
        written(&outcomes[0]).consents[0].state,
        ConsentState::Pending
    );
    suppressed(&outcomes[1]);
    assert_eq!(
        (status(&account, &left), status(&account, &bounced)),
        ("pending".to_owned(), "cleaned".to_owned())
    );
}

#[tokio::test]
async fn an_opt_out_does_not_hide_that_mail_bounces() {
    let account = mailchimp().await;
    let (listed, bounced) = (
        member(&account, "listed@firma.example", "subscribed"),
        member(&account, "bounced@firma.example", "cleaned"),
    );
    let outcomes = account
        .write(vec![
            says(&listed, ConsentState::Unsubscribed),
            says(&bounced, ConsentState::Unsubscribed),
        ])
        .await;
    let [_, cleaned] = outcomes.as_slice() else {
        panic!("{outcomes:?}");
    };
    assert_eq!(
        written(cleaned)
            .deliverability
            .as_ref()
            .map(|told| &told.state),
        Some(&DeliverabilityState::HardBounced)
    );
    assert_eq!(
        (status(&account, &listed), status(&account, &bounced)),
        ("unsubscribed".to_owned(), "cleaned".to_owned())
    );
}

#[tokio::test]
async fn an_opt_in_of_a_member_that_is_not_there_is_gone() {
    let account = mailchimp().await;
    let archived = member(&account, "archived@firma.example", "subscribed");
    account.act(json!({ "act": "archive", "member": archived }));
    let outcomes = account
        .write(vec![
            says(&archived, ConsentState::Subscribed),
            says("0123456789abcdef0123456789abcdef", ConsentState::Subscribed),
        ])
        .await;
    assert_eq!(outcomes, [Outcome::Gone, Outcome::Gone]);
    assert_eq!(status(&account, &archived), "archived");
}

#[tokio::test]
async fn what_mailchimp_cannot_record_is_rejected_before_anything_is_sent() {
    let account = mailchimp().await;
    let id = member(&account, "eva@firma.example", "subscribed");
    let bounced = Deliverability {
        state: DeliverabilityState::HardBounced,
        at: None,
        reason: None,
    };
    let outcomes = account
        .write(vec![
            WriteOp::Update(Update {
                deliverability: Some(bounced),
                ..update(&id, json!({}))
            }),
            says(&id, ConsentState::Unspecified),
            changed(&id, json!({})),
        ])
        .await;
    rejected(&outcomes[0], None);
    rejected(&outcomes[1], None);
    assert_eq!(written(&outcomes[2]).id.as_str(), id);
    assert_eq!(account.asked().requests, 0);
}

#[tokio::test]
async fn a_changed_address_keeps_the_member_and_the_opt_out() {
    let account = mailchimp().await;
    let id = member(&account, "old@firma.example", "unsubscribed");
    let outcome = account
        .write_one(changed(
            &id,
            json!({ "email_address": "new@firma.example" }),
        ))
        .await;
    let entity = written(&outcome);
    assert_eq!(
        (entity.id.as_str(), &entity.fields["email_address"]),
        (id.as_str(), &json!("new@firma.example"))
    );
    assert_eq!(entity.consents[0].state, ConsentState::Unsubscribed);
    assert_eq!(status(&account, &id), "unsubscribed");
    assert_eq!(account.vendor().counts(), (1, 0), "no second member");
}

/// Whether an address may be changed of somebody who has left is not documented. Where it may not, nobody is added.
#[tokio::test]
async fn a_changed_address_that_is_refused_makes_no_second_member() {
    let account = with(Setup {
        quirks: MailchimpQuirks {
            email_change_needs_subscribed: true,
            ..MailchimpQuirks::default()
        },
        ..Setup::default()
    })
    .await;
    let id = member(&account, "old@firma.example", "unsubscribed");
    let outcome = account
        .write_one(changed(
            &id,
            json!({ "email_address": "new@firma.example" }),
        ))
        .await;
    suppressed(&outcome);
    assert_eq!(account.vendor().counts(), (1, 0));
    assert_eq!(
        held(&account, &id).fields["email_address"],
        "old@firma.example"
    );
}

#[tokio::test]
async fn several_writes_to_one_member_happen_in_their_order() {
    let account = mailchimp().await;
    let id = member(&account, "eva@firma.example", "subscribed");
    let writes = (0..5)
        .map(|n| changed(&id, json!({ "COMPANY": format!("{n}") })))
        .collect();
    for outcome in account.write(writes).await {
        written(&outcome);
    }
    assert_eq!(held(&account, &id).fields["COMPANY"], "4");
}

#[tokio::test]
async fn values_are_cleared_and_said_back_as_the_remote_holds_them() {
    let account = mailchimp().await;
    let id = member(&account, "eva@firma.example", "subscribed");
    let patch =
        json!({ "FNAME": null, "LNAME": "  Ek  ", "POINTS": 12, "vip": null, "language": null });
    let outcome = account.write_one(changed(&id, patch)).await;
    let fields = &written(&outcome).fields;
    assert_eq!(
        (
            &fields["FNAME"],
            &fields["LNAME"],
            &fields["POINTS"],
            &fields["vip"]
        ),
        (&Value::Null, &json!("Ek"), &json!(12), &json!(false))
    );
}

#[tokio::test]
async fn required_merge_fields_are_enforced_only_where_the_operator_wants_it() {
    for (skip, accepted) in [(true, true), (false, false)] {
        let account = with(Setup {
            settings: json!({ "skip_merge_validation": skip }),
            ..Setup::default()
        })
        .await;
        account.act(json!({ "act": "add_merge_field", "field": { "tag": "BOAT", "name": "Boat", "type": "text", "required": true } }));
        let outcome = account
            .write_one(made("eva@firma.example", json!({ "FNAME": "Eva" })))
            .await;
        if accepted {
            written(&outcome);
        } else {
            rejected(&outcome, Some("BOAT"));
        }
        assert_eq!(account.vendor().counts().0, usize::from(accepted));
    }
}
