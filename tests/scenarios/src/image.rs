//! A record in the terms that both a vendor's own dump and the contract can be brought to, for comparing the two.

use std::collections::BTreeMap;

use samspel_model::{ConsentState, DeliverabilityState, Entity};
use samspel_vendors::hubspot::{DELIVERABILITY_PROPERTY, NEWSLETTER};
use serde_json::Value;

/// What a record says, without what is empty.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    /// Values that are not empty.
    pub fields: BTreeMap<String, Value>,
    /// To marketing by e-mail.
    pub consent: ConsentState,
    /// Of the address.
    pub deliverability: DeliverabilityState,
}

/// What HubSpot itself computes from the record, which its dump leaves out.
const COMPUTED: [&str; 3] = ["createdate", "lastmodifieddate", "hs_object_id"];

/// What a Mailchimp member holds besides merge fields, as the connector offers it.
const OWN: [&str; 6] = [
    "email_address",
    "email_type",
    "language",
    "vip",
    "source",
    "timestamp_signup",
];

fn is_set(value: &Value) -> bool {
    !value.is_null() && value.as_str() != Some("")
}

impl Image {
    /// Of what a connector says. Only records that were read with all their fields.
    ///
    /// # Panics
    /// If it says nothing about consent or deliverability.
    pub fn of(entity: &Entity) -> Self {
        let [consent] = entity.consents.as_slice() else {
            panic!("one consent: {entity:?}");
        };
        Self {
            fields: entity
                .fields
                .iter()
                .filter(|(name, value)| is_set(value) && !COMPUTED.contains(&name.as_str()))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            consent: consent.state.clone(),
            deliverability: entity
                .deliverability
                .as_ref()
                .expect("what is known about the address")
                .state
                .clone(),
        }
    }

    /// Of the records of a reading, by id.
    pub fn all<'a>(entities: impl IntoIterator<Item = &'a Entity>) -> BTreeMap<String, Self> {
        entities
            .into_iter()
            .map(|entity| (entity.id.to_string(), Self::of(entity)))
            .collect()
    }

    /// Of HubSpot's dump: the contacts that are not archived, by id.
    pub fn of_contacts(dump: &[Value]) -> BTreeMap<String, Self> {
        dump.iter()
            .filter(|contact| contact["archived"] == false)
            .map(|contact| (text(&contact["id"]), Self::of_contact(contact)))
            .collect()
    }

    fn of_contact(contact: &Value) -> Self {
        let properties = &contact["properties"];
        let opted_out = contact["consent"]["unsubscribedAll"] == true;
        let status = &contact["consent"]["subscriptions"][NEWSLETTER.to_string()];
        Self {
            fields: members(properties, |_| true),
            consent: match status.as_str() {
                _ if opted_out => ConsentState::Unsubscribed,
                Some("SUBSCRIBED") => ConsentState::Subscribed,
                Some("UNSUBSCRIBED") => ConsentState::Unsubscribed,
                _ => ConsentState::Unspecified,
            },
            deliverability: if is_set(&properties["hs_email_hard_bounce_reason_enum"])
                || properties[DELIVERABILITY_PROPERTY] == "hard_bounce"
            {
                DeliverabilityState::HardBounced
            } else if is_set(&properties["hs_email_bounce"])
                || properties[DELIVERABILITY_PROPERTY] == "soft_bounce"
            {
                DeliverabilityState::SoftBounced
            } else {
                DeliverabilityState::Deliverable
            },
        }
    }

    /// Of Mailchimp's dump: the members that are not archived, by contact id.
    pub fn of_members(dump: &[Value]) -> BTreeMap<String, Self> {
        dump.iter()
            .filter(|member| member["status"] != "archived")
            .map(|member| (text(&member["contact_id"]), Self::of_member(member)))
            .collect()
    }

    fn of_member(member: &Value) -> Self {
        let mut fields = members(member, |name| OWN.contains(&name));
        fields.extend(members(&member["merge_fields"], |_| true));
        let status = member["status"].as_str();
        Self {
            fields,
            consent: match status {
                Some("subscribed") => ConsentState::Subscribed,
                Some("unsubscribed") => ConsentState::Unsubscribed,
                Some("pending") => ConsentState::Pending,
                _ => ConsentState::Unspecified,
            },
            deliverability: match status {
                Some("cleaned") => DeliverabilityState::HardBounced,
                _ => DeliverabilityState::Deliverable,
            },
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn members(object: &Value, wanted: impl Fn(&str) -> bool) -> BTreeMap<String, Value> {
    object
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, value)| wanted(name) && is_set(value))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}
