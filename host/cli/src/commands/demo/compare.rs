//! An independent comparison: both simulators' own dumps, paired by address, without any code of the sync.
//!
//! Memory is bounded by a few bytes a person, whatever the records hold: of the first side only digests are kept.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::Value;
use unicode_normalization::UnicodeNormalization;

use super::remote::Remote;
use super::report::Comparison;
use crate::exit::CliError;

const SAMPLES: usize = 5;

/// What is remembered of a contact until its member comes by.
struct Contact {
    first: u64,
    last: u64,
    opted_out: bool,
}

/// Reads both sides completely and compares names and opt-outs of everybody that both hold.
pub async fn compare(
    crm: &Remote,
    newsletter: &Remote,
    subscription: &str,
) -> Result<Comparison, CliError> {
    let mut contacts: BTreeMap<u64, Contact> = BTreeMap::new();
    crm.each_record(|contact| {
        let Some(email) = address(&contact["properties"]["email"]) else {
            return;
        };
        if contact["archived"] == true {
            return;
        }
        contacts.insert(
            digest(&email),
            Contact {
                first: digest(&name(&contact["properties"]["firstname"])),
                last: digest(&name(&contact["properties"]["lastname"])),
                opted_out: opted_out(&contact["consent"], subscription),
            },
        );
    })
    .await?;
    let mut found = Comparison::default();
    newsletter
        .each_record(|member| {
            let Some(email) = address(&member["email_address"]) else {
                return;
            };
            if member["status"] == "archived" {
                return;
            }
            let Some(contact) = contacts.remove(&digest(&email)) else {
                found.only_newsletter += 1;
                return;
            };
            found.pairs += 1;
            let differs = differences(&contact, member);
            if !differs.is_empty() {
                found.unequal += 1;
                if found.samples.len() < SAMPLES {
                    found
                        .samples
                        .push(format!("{email}: {}", differs.join(", ")));
                }
            }
        })
        .await?;
    found.only_crm = contacts.len() as u64;
    Ok(found)
}

fn differences(contact: &Contact, member: &Value) -> Vec<&'static str> {
    let mut differs = Vec::new();
    let same = |digested: u64, tag: &str| digested == digest(&name(&member["merge_fields"][tag]));
    if !same(contact.first, "FNAME") {
        differs.push("first name");
    }
    if !same(contact.last, "LNAME") {
        differs.push("last name");
    }
    // A cleaned address bounced: Mailchimp mails nobody there, and says nothing about what the person wants.
    if member["status"] != "cleaned" && contact.opted_out != (member["status"] == "unsubscribed") {
        differs.push("opt-out");
    }
    differs
}

fn address(value: &Value) -> Option<String> {
    let text = value.as_str()?.trim().to_lowercase();
    (!text.is_empty()).then_some(text)
}

/// A name as a reader sees it: composed, with single blanks inside and none around it.
fn name(value: &Value) -> String {
    let composed: String = value.as_str().unwrap_or_default().nfc().collect();
    composed.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn opted_out(consent: &Value, subscription: &str) -> bool {
    consent["unsubscribedAll"] == true || consent["subscriptions"][subscription] == "UNSUBSCRIBED"
}

fn digest(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn contact(first: &str, opted_out: bool) -> Contact {
        Contact {
            first: digest(&name(&json!(first))),
            last: digest(""),
            opted_out,
        }
    }

    fn member(first: &str, status: &str) -> Value {
        json!({ "status": status, "merge_fields": { "FNAME": first, "LNAME": "" } })
    }

    #[test]
    fn spellings_of_one_name_are_equal() {
        let decomposed = "  A\u{30a}sa  Maria ";
        assert_eq!(
            differences(
                &contact(decomposed, false),
                &member("Åsa Maria", "transactional")
            ),
            Vec::<&str>::new()
        );
    }

    #[test]
    fn an_opt_out_on_one_side_only_is_a_difference() {
        assert_eq!(
            differences(&contact("Åsa", true), &member("Åsa", "subscribed")),
            ["opt-out"]
        );
        assert_eq!(
            differences(&contact("Åsa", false), &member("Åsa", "unsubscribed")),
            ["opt-out"]
        );
    }

    #[test]
    fn another_name_is_a_difference() {
        assert_eq!(
            differences(&contact("Åsa", false), &member("Asa", "subscribed")),
            ["first name"]
        );
    }
}
