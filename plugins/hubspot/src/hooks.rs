//! Webhooks: which contacts the events of one are about. An app's webhooks bring the events of all accounts that
//! installed it, up to a hundred in one request [T].

use samspel_connector::hooks::{
    Hint, HmacScheme, HookDescriptor, HookReplies, HookRequest, HookScope, Proof, Receipt,
    SignedPart, TimeUnit,
};
use samspel_connector::{AuthKind, AuthScheme, Failure, KeyEncoding, Result, Signing};
use serde::Deserialize;

use crate::{CONTACTS, property};

/// The credential that signs webhooks.
const CREDENTIAL: &str = "webhook";

/// What is older is refused, in seconds [V].
const TOLERANCE: u32 = 300;

/// Contacts, where an event names its kind of object by number.
const CONTACT_TYPE: &str = "0-1";

const HELP_SECRET: &str = "Only for webhooks: the client secret of the app that sends them (Private Apps, the app, \
    Auth; or the developer account, Apps, the app, Auth).";
const HELP: &str = "Enter the address as the target URL of the app: HubSpot, Settings, Integrations, Private Apps, the \
    app, Webhooks (for a public app: the developer account, Apps, the app, Webhooks). Subscribe to contacts: created, \
    deleted, merged, restored, deleted for privacy, and property changed for the properties that are synchronised. The \
    app's client secret is the credential `webhook`.";

/// The credential, which only webhooks need.
pub fn credential() -> AuthScheme {
    AuthScheme::new(
        CREDENTIAL,
        "client-secret",
        HELP_SECRET,
        AuthKind::Signing(Signing::hmac_sha256(KeyEncoding::Utf8)),
    )
}

/// How an app's webhooks work.
pub fn describe() -> HookDescriptor {
    let scheme = HmacScheme::sha256(CREDENTIAL, "X-HubSpot-Signature-v3")
        .base64()
        .over([
            SignedPart::Method,
            SignedPart::Url,
            SignedPart::Body,
            SignedPart::SentAt,
        ])
        .sent_at(
            "X-HubSpot-Request-Timestamp",
            TimeUnit::Milliseconds,
            TOLERANCE,
        );
    HookDescriptor {
        scope: HookScope::App,
        replies: HookReplies::Never,
        proof: Proof::Hmac(scheme),
        // A private app's webhooks can be entered in HubSpot only; a public app's would need its developer key.
        can_subscribe: false,
        help: HELP.to_owned(),
    }
}

/// An id, which is a number that some versions write as text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Id {
    Number(u64),
    Text(String),
}

impl Id {
    fn text(self) -> Option<String> {
        match self {
            Self::Number(number) => Some(number.to_string()),
            Self::Text(text) => Some(text).filter(|text| !text.is_empty()),
        }
    }
}

/// One event. Of what it says of the contact, only which property it is about is read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    subscription_type: String,
    portal_id: Id,
    #[serde(default)]
    object_id: Option<Id>,
    #[serde(default)]
    property_name: Option<String>,
    /// Of the newer, general events.
    #[serde(default)]
    object_type_id: Option<String>,
    // Of a merge.
    #[serde(default)]
    primary_object_id: Option<Id>,
    #[serde(default)]
    merged_object_ids: Vec<Id>,
    #[serde(default)]
    new_object_id: Option<Id>,
}

impl Event {
    /// Is it about a contact's own values? Associations are not offered.
    fn concerns_contacts(&self) -> bool {
        match self.subscription_type.split_once('.') {
            Some((_, "associationChange")) | None => false,
            Some(("contact", _)) => true,
            Some(("object", _)) => self.object_type_id.as_deref() == Some(CONTACT_TYPE),
            Some(_) => false,
        }
    }

    /// Whether it is about a value that nothing else of the contact depends on. Consent belongs to the address, and
    /// what HubSpot itself knows of mailing and merging stands in properties that begin with `hs_` [V].
    fn is_of_values(&self) -> bool {
        let changed = self.subscription_type.ends_with(".propertyChange");
        changed
            && self
                .property_name
                .as_deref()
                .is_some_and(|name| name != property::EMAIL && !name.starts_with("hs_"))
    }

    /// The contacts of it. After a merge, the one that stays has changed and the others are gone.
    fn hints(self) -> Vec<Hint> {
        if !self.concerns_contacts() {
            return Vec::new();
        }
        let of_values = self.is_of_values();
        let Some(account) = self.portal_id.text() else {
            return Vec::new();
        };
        [self.object_id, self.primary_object_id, self.new_object_id]
            .into_iter()
            .flatten()
            .chain(self.merged_object_ids)
            .filter_map(Id::text)
            .map(|id| {
                let hint = Hint::new(CONTACTS, id).of_account(&*account);
                if of_values { hint.of_values() } else { hint }
            })
            .collect()
    }
}

/// The contacts that the events are about.
pub fn receive(request: &HookRequest) -> Result<Receipt> {
    let events: Vec<Event> = request.json()?;
    Ok(Receipt::hints(events.into_iter().flat_map(Event::hints)))
}

/// Why the connector cannot enter or remove an address.
pub fn by_hand() -> Failure {
    Failure::Other(format!(
        "a webhook's address can only be entered and removed in HubSpot. {HELP}"
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use samspel_connector::Connector as _;
    use samspel_connector::testing::{Remote, Reply, notification};
    use serde_json::{Value, json};

    fn hints(events: Value) -> Vec<(String, String)> {
        let receipt = receive(&notification("POST", events.to_string())).unwrap();
        let told = receipt.hints.into_iter();
        told.map(|hint| {
            assert_eq!(hint.collection, CONTACTS);
            (hint.account_key.unwrap(), hint.id)
        })
        .collect()
    }

    fn event(kind: &str, portal: u64, contact: u64) -> Value {
        json!({
            "eventId": 3_816_279_340_u64, "subscriptionId": 25, "portalId": portal, "appId": 1_160_452,
            "occurredAt": 1_795_497_360_000_u64, "subscriptionType": kind, "attemptNumber": 0, "objectId": contact,
            "propertyName": "lastname", "propertyValue": "Öberg", "changeSource": "CRM_UI", "sourceId": "userId:1",
        })
    }

    fn pair(portal: &str, id: &str) -> (String, String) {
        (portal.to_owned(), id.to_owned())
    }

    #[test]
    fn events_of_several_accounts_and_contacts_are_hints_once_each() {
        let told = hints(json!([
            event("contact.creation", 1, 101),
            event("contact.propertyChange", 1, 101),
            event("contact.propertyChange", 1, 101),
            event("contact.deletion", 1, 102),
            event("contact.privacyDeletion", 2, 101),
            event("contact.restore", 2, 9_007_199_254_740_993),
            event("contact.associationChange", 1, 104),
            event("company.propertyChange", 1, 105),
            event("something", 1, 106),
        ]));
        assert_eq!(
            told,
            [
                pair("1", "101"),
                pair("1", "102"),
                pair("2", "101"),
                pair("2", "9007199254740993"),
            ]
        );
    }

    #[test]
    fn only_a_changed_value_leaves_consents_as_they_were() {
        let unchanged = |kind: &str, property: Value| {
            let mut event = event(kind, 1, 101);
            event["propertyName"] = property;
            let body = json!([event]).to_string();
            receive(&notification("POST", body)).unwrap().hints[0].consents_unchanged
        };
        assert!(unchanged("contact.propertyChange", json!("lastname")));
        for (kind, property) in [
            ("contact.propertyChange", json!("email")),
            ("contact.propertyChange", json!("hs_email_optout_7")),
            ("contact.propertyChange", Value::Null),
            ("contact.creation", json!("lastname")),
        ] {
            assert!(!unchanged(kind, property.clone()), "{kind} {property}");
        }
    }

    #[test]
    fn a_merge_is_about_all_of_them() {
        let mut merge = event("contact.merge", 1, 101);
        merge["primaryObjectId"] = json!(101);
        merge["mergedObjectIds"] = json!([102, 103]);
        merge["newObjectId"] = json!("104");
        assert_eq!(
            hints(json!([merge])),
            ["101", "104", "102", "103"].map(|id| pair("1", id))
        );
    }

    #[test]
    fn general_events_name_the_kind_of_object() {
        let mut contact = event("object.propertyChange", 1, 101);
        contact["objectTypeId"] = json!("0-1");
        let mut company = event("object.creation", 1, 102);
        company["objectTypeId"] = json!("0-2");
        assert_eq!(hints(json!([contact, company])), [pair("1", "101")]);
    }

    #[test]
    fn a_body_of_another_shape_is_told_without_the_body() {
        for body in ["{}", "[{\"portalId\":1}]", "ann@example.com"] {
            let Err(Failure::Bug(why)) = receive(&notification("POST", body)) else {
                unreachable!("{body} was taken");
            };
            assert!(!why.contains("ann"), "{why}");
        }
    }

    #[test]
    fn the_account_of_a_hint_is_the_account_of_the_check() {
        let remote = Remote::new(|request| match request.url.contains("/account-info/") {
            true => Reply::json(200, json!({ "portalId": 24_601_337 })),
            false => Reply::json(200, json!({ "results": [] })),
        });
        let identity = remote.run(|| {
            crate::HubSpot::open(crate::settings::Settings::default())
                .and_then(|hubspot| hubspot.check())
        });
        assert_eq!(
            hints(json!([event("contact.creation", 24_601_337, 5)])),
            [pair(&identity.unwrap().id, "5")]
        );
    }

    #[test]
    fn the_signature_is_the_third_version() {
        let Proof::Hmac(scheme) = describe().proof else {
            unreachable!("it is signed");
        };
        assert_eq!(scheme.credential, credential().credential);
        let AuthKind::Signing(signing) = credential().kind else {
            unreachable!("it signs");
        };
        assert!(signing.algorithms.contains(&scheme.algorithm));
        assert_eq!(scheme.prefix, "");
        assert_eq!(scheme.sent_at.unwrap().tolerance, 300);
    }
}
