//! What a perfect first sync writes, by the rules of the configuration that Samspel's leg uses: HubSpot's values hold
//! where both sides have one, an empty value is filled from the other side, an opt-out on either side holds on both, a
//! hard bounce is written to HubSpot, and whoever exists on one side only is created on the other.
//!
//! This is written anew, without the engine, so that equal end states say something about both.

use unicode_normalization::UnicodeNormalization;

use super::hubspot::{self, BOUNCE_PROPERTY, Consent, Contact, HARD_BOUNCE, NewConsent};
use super::mailchimp::{self, Member};

/// What follows for two records of one person.
#[derive(Debug, Default)]
pub struct Decision {
    /// What changes of the contact.
    pub contact: hubspot::Changes,
    /// What changes of the member.
    pub member: mailchimp::Change,
    /// The contact's address is to be opted out.
    pub opts_out: bool,
}

/// The form in which addresses are compared.
pub fn key(email: &str) -> Option<String> {
    let key = email.trim().to_lowercase();
    (!key.is_empty()).then_some(key)
}

/// The form in which texts are compared: composed, single blanks inside and none around. Phone numbers are compared so
/// too: the simulators' people have theirs typed in the same way on both sides.
fn normal(text: &str) -> String {
    let composed: String = text.nfc().collect();
    composed.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn is_opted_out(contact: &Contact, consent: &Consent) -> bool {
    *consent == Consent::Unsubscribed
        || contact.properties.hs_email_optout.as_deref() == Some("true")
}

fn is_hard_bounced(contact: &Contact) -> bool {
    let known = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
    known(&contact.properties.hs_email_hard_bounce_reason_enum)
        || contact.properties.email_deliverability.as_deref() == Some(HARD_BOUNCE)
}

/// The mapped fields besides the address: HubSpot's name and value, Mailchimp's tag and value.
fn fields<'a>(
    contact: &'a hubspot::Properties,
    member: &'a mailchimp::MergeFields,
) -> [(&'static str, &'a str, &'static str, &'a str); 4] {
    fn text(value: &Option<String>) -> &str {
        value.as_deref().unwrap_or_default()
    }
    [
        (
            "firstname",
            text(&contact.firstname),
            "FNAME",
            &member.fname,
        ),
        ("lastname", text(&contact.lastname), "LNAME", &member.lname),
        ("phone", text(&contact.phone), "PHONE", &member.phone),
        (
            "company",
            text(&contact.company),
            "COMPANY",
            &member.company,
        ),
    ]
}

/// For a person whom both sides have.
pub fn pair(contact: &Contact, consent: &Consent, member: &Member) -> Decision {
    let mut decision = Decision::default();
    for (property, a, tag, b) in fields(&contact.properties, &member.merge_fields) {
        if a == b {
            continue;
        }
        let (of_a, of_b) = (normal(a), normal(b));
        if of_a == of_b {
            continue;
        }
        if of_a.is_empty() {
            decision.contact.insert(property, b.to_owned());
        } else {
            decision.member.merge_fields.insert(tag, a.to_owned());
        }
    }
    let out = [
        is_opted_out(contact, consent),
        member.status == "unsubscribed",
    ];
    match out {
        // Another status would hide that mail to a cleaned member bounces.
        [true, false] if member.status != "cleaned" => {
            decision.member.status = Some("unsubscribed");
        }
        [false, true] => decision.opts_out = true,
        _ => {}
    }
    if member.status == "cleaned" && !is_hard_bounced(contact) {
        decision
            .contact
            .insert(BOUNCE_PROPERTY, HARD_BOUNCE.to_owned());
    }
    decision
}

/// For a person whom only HubSpot has; `None` without an address.
pub fn new_member(contact: &Contact, consent: &Consent) -> Option<mailchimp::Add> {
    let email = contact.properties.email.as_deref()?.trim();
    if email.is_empty() {
        return None;
    }
    let (status, timestamp_opt) = match consent {
        _ if is_opted_out(contact, consent) => ("unsubscribed", None),
        Consent::Subscribed(at) => ("subscribed", Some(at.clone())),
        _ => ("transactional", None),
    };
    let merge_fields = fields(&contact.properties, &mailchimp::MergeFields::default())
        .into_iter()
        .filter(|(_, value, _, _)| !value.is_empty())
        .map(|(_, value, tag, _)| (tag, value.to_owned()))
        .collect();
    Some(mailchimp::Add {
        email_address: email.to_owned(),
        status,
        timestamp_opt,
        merge_fields,
    })
}

/// For a person whom only Mailchimp has.
pub fn new_contact(member: &Member) -> hubspot::Create {
    let email = member.email_address.trim().to_owned();
    let mut properties: hubspot::Changes =
        fields(&hubspot::Properties::default(), &member.merge_fields)
            .into_iter()
            .filter(|(_, _, _, value)| !value.is_empty())
            .map(|(property, _, _, value)| (property, value.to_owned()))
            .collect();
    properties.insert("email", email.clone());
    if member.status == "cleaned" {
        properties.insert(BOUNCE_PROPERTY, HARD_BOUNCE.to_owned());
    }
    let consent = match member.status.as_str() {
        "unsubscribed" => NewConsent::OptOut,
        // Dated: evidence of an opt-in.
        "subscribed" if !member.timestamp_opt.is_empty() => {
            NewConsent::OptIn(member.source.clone())
        }
        _ => NewConsent::None,
    };
    hubspot::Create {
        email,
        properties,
        consent,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::{Value, json};

    use super::*;

    fn contact(properties: Value) -> Contact {
        serde_json::from_value(json!({ "id": "1", "properties": properties })).unwrap()
    }

    fn member(status: &str, merge_fields: Value) -> Member {
        serde_json::from_value(json!({
            "contact_id": "c", "email_address": "Ann@Firma.example", "status": status,
            "timestamp_opt": "2025-01-01T00:00:00+00:00", "source": "Import", "merge_fields": merge_fields,
        }))
        .unwrap()
    }

    #[test]
    fn hubspot_holds_and_fills_and_is_filled() {
        let decision = pair(
            &contact(
                json!({ "firstname": " A\u{30a}sa ", "lastname": "Berg", "phone": null, "company": "Ek" }),
            ),
            &Consent::Unspecified,
            &member(
                "subscribed",
                json!({ "FNAME": "Åsa", "LNAME": "BERG", "PHONE": "+46701", "COMPANY": "" }),
            ),
        );
        assert_eq!(
            decision.contact,
            hubspot::Changes::from([("phone", "+46701".to_owned())])
        );
        assert_eq!(
            serde_json::to_value(&decision.member).unwrap(),
            json!({ "merge_fields": { "LNAME": "Berg", "COMPANY": "Ek" } })
        );
        assert!(!decision.opts_out);
    }

    #[test]
    fn an_opt_out_on_either_side_holds_on_both() {
        let out = contact(json!({ "hs_email_optout": "true" }));
        let decision = pair(
            &out,
            &Consent::Unspecified,
            &member("subscribed", json!({})),
        );
        assert_eq!(decision.member.status, Some("unsubscribed"));
        // Nobody is mailed at a cleaned address, and another status would hide that.
        let decision = pair(&out, &Consent::Unspecified, &member("cleaned", json!({})));
        assert_eq!(decision.member.status, None);
        assert_eq!(decision.contact[BOUNCE_PROPERTY], HARD_BOUNCE);
        let decision = pair(
            &contact(json!({})),
            &Consent::Subscribed("2025-01-01T00:00:00Z".to_owned()),
            &member("unsubscribed", json!({})),
        );
        assert!(decision.opts_out && decision.member.is_empty() && decision.contact.is_empty());
    }

    #[test]
    fn who_is_new_starts_with_what_is_known() {
        let someone =
            contact(json!({ "email": "ann@firma.example", "firstname": "Ann", "lastname": "" }));
        let add = |consent| serde_json::to_value(new_member(&someone, &consent).unwrap()).unwrap();
        assert_eq!(
            add(Consent::Unspecified),
            json!({ "email_address": "ann@firma.example", "status": "transactional", "merge_fields": { "FNAME": "Ann" } })
        );
        assert_eq!(add(Consent::Unsubscribed)["status"], "unsubscribed");
        let subscribed = add(Consent::Subscribed("2025-01-01T00:00:00Z".to_owned()));
        assert_eq!(subscribed["timestamp_opt"], "2025-01-01T00:00:00Z");
        assert!(new_member(&contact(json!({ "email": null })), &Consent::Unspecified).is_none());
        let bounced = new_contact(&member("cleaned", json!({ "FNAME": "Ann" })));
        assert_eq!(bounced.properties[BOUNCE_PROPERTY], HARD_BOUNCE);
        assert_eq!(bounced.consent, NewConsent::None);
        let opted_in = new_contact(&member("subscribed", json!({})));
        assert_eq!(opted_in.consent, NewConsent::OptIn("Import".to_owned()));
    }
}
