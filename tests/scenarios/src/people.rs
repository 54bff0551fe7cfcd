//! One person at a time in a [`Pair`]: added, edited and looked up by a name, from which the address follows.

use samspel_sync::RunReport;
use samspel_vendors::hubspot::NEWSLETTER;
use serde_json::{Value, json};

use crate::pair::SPEC;
use crate::{Pair, Setup, Workbench};

/// Two empty accounts, and the usual mapping with more settings.
pub async fn pair(workbench: &Workbench, more: &str) -> Pair {
    Pair::of(
        workbench.hubspot(Setup::default()).await,
        workbench.mailchimp(Setup::default()).await,
        &format!("{more}\n{SPEC}"),
    )
    .await
}

/// The address of somebody.
pub fn email(name: &str) -> String {
    format!("{name}@firma.se")
}

/// Somebody in HubSpot.
pub fn in_crm(pair: &Pair, name: &str) {
    pair.hubspot.act(json!({ "act": "create", "properties": {
        "email": email(name), "firstname": name, "lastname": "Ek", "company": "Kund" } }));
}

/// The same in Mailchimp, where nothing was said about mail.
pub fn in_list(pair: &Pair, name: &str) {
    pair.mailchimp.act(
        json!({ "act": "create", "email": email(name), "status": "transactional",
        "merge_fields": { "FNAME": name, "LNAME": "Ek", "COMPANY": "Kund" } }),
    );
}

/// Somebody's contact is edited in HubSpot.
pub fn edit_crm(pair: &Pair, name: &str, properties: Value) {
    pair.hubspot
        .act(json!({ "act": "edit", "contact": email(name), "properties": properties }));
}

/// Somebody's member is edited in Mailchimp.
pub fn edit_list(pair: &Pair, name: &str, fields: Value) {
    pair.mailchimp
        .act(json!({ "act": "edit", "member": email(name), "merge_fields": fields }));
}

/// What HubSpot holds.
pub fn contact(pair: &Pair, name: &str) -> Option<Value> {
    pair.hubspot.dump().into_iter().find(|contact| {
        contact["archived"] == false && contact["properties"]["email"] == email(name).as_str()
    })
}

/// What Mailchimp holds, archived or not.
pub fn member(pair: &Pair, name: &str) -> Option<Value> {
    let mut members = pair.mailchimp.dump().into_iter();
    members.find(|member| member["email_address"] == email(name).as_str())
}

/// A property of somebody's contact.
///
/// # Panics
/// If there is none.
pub fn property(pair: &Pair, name: &str, property: &str) -> Value {
    contact(pair, name).expect("a contact")["properties"][property].clone()
}

/// A merge field of somebody's member.
///
/// # Panics
/// If there is none.
pub fn merge_field(pair: &Pair, name: &str, field: &str) -> Value {
    member(pair, name).expect("a member")["merge_fields"][field].clone()
}

/// The status of somebody's member; `null` if there is none.
pub fn status(pair: &Pair, name: &str) -> Value {
    member(pair, name).map_or(Value::Null, |member| member["status"].clone())
}

/// Whether somebody's contact is out of marketing mail.
///
/// # Panics
/// If there is none.
pub fn opted_out_in_crm(pair: &Pair, name: &str) -> bool {
    let consent = &contact(pair, name).expect("a contact")["consent"];
    consent["unsubscribedAll"] == true
        || consent["subscriptions"][NEWSLETTER.to_string()] == "UNSUBSCRIBED"
}

/// The vendors' clocks have seconds: what is edited is edited after what was read.
pub fn later(pair: &Pair) {
    pair.hubspot.later(5);
    pair.mailchimp.later(5);
}

/// One run, whose accounts balance.
///
/// # Panics
/// If it fails or they do not.
pub async fn run(pair: &Pair) -> RunReport {
    let report = pair.run().await.unwrap();
    let accounts = report.accounts;
    assert!(accounts.balance(), "{accounts:?}");
    report
}

/// Runs until nothing is left to do.
pub async fn settle(pair: &Pair) {
    for _ in 0..6 {
        let report = run(pair).await;
        if report.writes == 0 && report.pending == 0 {
            return;
        }
    }
    panic!("it does not come to rest");
}
