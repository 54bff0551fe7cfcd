//! The floor's client leaves both vendors in step, and with as few requests as that takes.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use samspel_bench::floor::{self, Written};
use samspel_bench::simulators::{Access, Control};
use samspel_vendors::Running;
use samspel_vendors::hubspot::{self, HubSpot, HubSpotOptions};
use samspel_vendors::mailchimp::{self, Mailchimp, MailchimpOptions};
use samspel_vendors::vendor::Vendor;
use serde_json::Value;
use unicode_normalization::UnicodeNormalization;

const CONTACTS: u64 = 200;
const SEED: u64 = 7;

struct Vendors {
    hubspot: Running<HubSpot>,
    mailchimp: Running<Mailchimp>,
    access: Access,
    control: Control,
}

async fn vendors() -> Vendors {
    let hubspot = HubSpot::new(HubSpotOptions::default());
    let mailchimp = Mailchimp::new(MailchimpOptions::default());
    hubspot.seed(CONTACTS, SEED);
    mailchimp.seed(CONTACTS, SEED);
    let hubspot = hubspot.serve_on_loopback().await.unwrap();
    let mailchimp = mailchimp.serve_on_loopback().await.unwrap();
    Vendors {
        control: Control::new([hubspot.url.clone(), mailchimp.url.clone()]).unwrap(),
        access: Access {
            hubspot: hubspot.url.clone(),
            mailchimp: mailchimp.url.clone(),
            hubspot_token: hubspot::DEFAULT_TOKEN.to_owned(),
            mailchimp_key: mailchimp::DEFAULT_KEY.to_owned(),
            list_id: mailchimp::LIST_ID.to_owned(),
            subscription_id: hubspot::NEWSLETTER.to_string(),
        },
        hubspot,
        mailchimp,
    }
}

/// Records by address.
async fn by_email(control: &Control, simulator: usize, pointer: &str) -> BTreeMap<String, Value> {
    let records = control.records(simulator).await.unwrap();
    records
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter_map(|record| Some((record.pointer(pointer)?.as_str()?.to_lowercase(), record)))
        .collect()
}

fn name(value: Option<&Value>) -> String {
    let text = value.and_then(Value::as_str).unwrap_or_default();
    let composed: String = text.nfc().collect();
    composed.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread")]
async fn both_vendors_hold_the_same_people_afterwards() {
    let vendors = vendors().await;
    let before = vendors.control.digests().await.unwrap();
    let written = floor::run(&vendors.access).await.unwrap();
    assert_ne!(vendors.control.digests().await.unwrap(), before);
    assert!(
        written.members_added > 100 && written.members_changed > 0 && written.contacts_created > 0
    );

    let contacts = by_email(&vendors.control, 0, "/properties/email").await;
    let members = by_email(&vendors.control, 1, "/email_address").await;
    let newsletter = format!("/consent/subscriptions/{}", hubspot::NEWSLETTER);
    let mut seen = Written::default();
    for (email, contact) in &contacts {
        let member = members
            .get(email)
            .unwrap_or_else(|| panic!("{email} is no member"));
        let status = member["status"].as_str().unwrap();
        if status == "archived" {
            continue;
        }
        let property = |name: &str| contact.pointer(&format!("/properties/{name}"));
        for (property_name, tag) in [
            ("lastname", "LNAME"),
            ("phone", "PHONE"),
            ("company", "COMPANY"),
        ] {
            let (own, other) = (
                name(property(property_name)),
                name(member["merge_fields"].get(tag)),
            );
            assert_eq!(own, other, "{property_name} of {email}");
        }
        let opted_out = contact.pointer("/consent/unsubscribedAll") == Some(&Value::Bool(true));
        assert_eq!(
            opted_out,
            status == "unsubscribed",
            "opt-out of {email}: {contact} {member}"
        );
        seen.opt_outs += usize::from(opted_out);
        if status == "cleaned" {
            seen.contacts_changed += 1;
            let known =
                property("hs_email_hard_bounce_reason_enum").or(property(floor::BOUNCE_PROPERTY));
            assert!(known.is_some(), "{email} bounced: {contact}");
        }
        if status == "subscribed" {
            let consent = contact.pointer(&newsletter).and_then(Value::as_str);
            assert_ne!(consent, Some("UNSUBSCRIBED"), "{email}");
        }
    }
    assert!(
        seen.opt_outs > 0 && seen.contacts_changed > 0,
        "the people include both"
    );
    let unknown: Vec<_> = members
        .iter()
        .filter(|(email, member)| !contacts.contains_key(*email) && member["status"] != "archived")
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    vendors.hubspot.shutdown().await;
    vendors.mailchimp.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_wasted() {
    let vendors = vendors().await;
    let written = floor::run(&vendors.access).await.unwrap();
    let requests = vendors.control.requests().await.unwrap();
    assert_eq!(requests["GET /crm/v3/objects/contacts"], CONTACTS / 100);
    assert_eq!(
        requests["POST /communication-preferences/v4/statuses/batch/read"],
        CONTACTS / 100
    );
    assert_eq!(
        requests["GET /3.0/lists/{list}/members"], 2,
        "members, and those that are archived"
    );
    assert_eq!(requests["POST /3.0/lists/{list}"], 1);
    let changes = requests["PATCH /3.0/lists/{list}/members/{member}"];
    assert_eq!(changes, written.members_changed as u64);
    for vendor in [
        vendors.hubspot.vendor.core().stats.report(),
        vendors.mailchimp.vendor.core().stats.report(),
    ] {
        assert_eq!(
            (vendor.writes.rejected, vendor.writes.unchanged),
            (0, 0),
            "{vendor:?}"
        );
    }

    vendors.control.reset().await.unwrap();
    assert_eq!(
        floor::run(&vendors.access).await.unwrap(),
        Written::default()
    );
    assert!(
        vendors
            .control
            .requests()
            .await
            .unwrap()
            .keys()
            .all(|name| { name.starts_with("GET ") || name.ends_with("/read") })
    );
}
