//! One member, as answers hold it and as the contract takes it.

use std::hash::{DefaultHasher, Hash, Hasher};

use samspel_connector::fields::{Fields, Selection, or_null};
use samspel_connector::{
    Consent, ConsentState, Deliverability, DeliverabilityState, Entity, Revision, jiff, time,
};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::field;
use crate::settings::Settings;

/// The channel of the one consent slot.
pub const CHANNEL: &str = "email";
/// The purpose of the one consent slot.
pub const PURPOSE: &str = "marketing";

/// A member of an answer.
#[derive(Debug, Clone, Deserialize)]
pub struct Member {
    /// Stays the same when the address changes [T].
    pub contact_id: String,
    /// `subscribed`, `unsubscribed`, `cleaned`, `pending`, `transactional`, `archived`.
    #[serde(default)]
    pub status: String,
    /// As Mailchimp spells it.
    #[serde(default)]
    pub last_changed: String,
    /// The rest.
    #[serde(flatten)]
    other: Map<String, Value>,
}

impl Member {
    fn text(&self, name: &str) -> Option<&str> {
        self.other
            .get(name)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    }

    /// The address.
    pub fn email(&self) -> Option<&str> {
        self.text(field::EMAIL)
    }

    /// Hidden from the audience; can come back under the same id.
    pub fn is_archived(&self) -> bool {
        self.status == "archived"
    }

    /// When it last changed, in whole seconds.
    pub fn modified(&self) -> Option<jiff::Timestamp> {
        time::rfc3339(&self.last_changed)
    }

    fn consent(&self) -> Consent {
        let consent = |state| Consent::new(CHANNEL, PURPOSE, state);
        match self.status.as_str() {
            "subscribed" => consent(ConsentState::Subscribed)
                .at(self.text("timestamp_opt").and_then(time::rfc3339))
                .evidence(self.text("source")),
            // Mailchimp does not tell when; it was not later than this.
            "unsubscribed" => consent(ConsentState::Unsubscribed)
                .at(self.modified())
                .evidence(self.text("unsubscribe_reason")),
            "pending" => consent(ConsentState::Pending),
            _ => consent(ConsentState::Unspecified),
        }
    }

    fn deliverability(&self) -> Deliverability {
        if self.status == "cleaned" {
            Deliverability::new(DeliverabilityState::HardBounced)
                .at(self.modified())
                .reason(Some("cleaned by Mailchimp"))
        } else {
            Deliverability::new(DeliverabilityState::Deliverable)
        }
    }

    fn fields(&self, selection: &Selection, settings: &Settings) -> Fields {
        let own = self
            .other
            .iter()
            .filter(|(name, _)| field::is_own(name) && selection.wants(name))
            .filter(|(name, _)| settings.tags || *name != field::TAGS)
            .map(|(name, value)| {
                let value = match name.as_str() {
                    field::TAGS => tag_names(value),
                    _ => value.clone(),
                };
                (name.clone(), value)
            });
        let merge = self
            .other
            .get("merge_fields")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .filter(|(tag, _)| selection.wants(tag))
            .map(|(tag, value)| (tag.clone(), empty_is_null(value)));
        own.chain(merge).collect()
    }

    /// As the contract takes it, with the fields that were selected.
    pub fn entity(&self, selection: &Selection, settings: &Settings) -> Entity {
        let mut entity = Entity::new(&*self.contact_id, self.fields(selection, settings));
        if !matches!(selection, Selection::Only(names) if names.is_empty()) {
            entity.consents.push(self.consent());
            entity.deliverability = Some(self.deliverability());
        }
        entity.modified = self.modified().map(|modified| modified.to_string());
        entity.revision = self.modified().map(|modified| Revision {
            // Two changes within a second have the same time; their content tells them apart.
            token: format!("{modified}/{:x}", digest(&entity.fields, &self.status)),
            order: Some(time::order(modified)),
        });
        entity
    }
}

fn digest(fields: &str, status: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (fields, status).hash(&mut hasher);
    hasher.finish()
}

/// `[{"id": 1, "name": "vip"}]` as `["vip"]`, in the order of names.
fn tag_names(tags: &Value) -> Value {
    let mut names: Vec<&str> = tags
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|tag| tag.get("name")?.as_str())
        .collect();
    names.sort_unstable();
    names.into()
}

/// A merge field's empties: `""`, and an address of which every part is empty.
fn empty_is_null(value: &Value) -> Value {
    match value {
        Value::Object(parts)
            if parts
                .values()
                .all(|part| part.is_null() || part.as_str() == Some("")) =>
        {
            Value::Null
        }
        other => or_null(other.clone()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    fn settings() -> Settings {
        serde_json::from_value(json!({ "dc": "us1", "list_id": "abc", "tags": true })).unwrap()
    }

    fn member(status: &str) -> Member {
        serde_json::from_value(json!({
            "contact_id": "c1", "status": status, "email_address": "ann@example.com",
            "last_changed": "2026-11-24T05:16:00+00:00", "timestamp_opt": "2025-01-01T00:00:00+00:00",
            "unsubscribe_reason": "N/A (Unsubscribed by an admin)", "source": "Hosted Signup Form", "vip": false,
            "merge_fields": { "FNAME": "Ann", "LNAME": "", "HOME": { "addr1": "", "city": "" } },
            "tags": [{ "id": 2, "name": "b" }, { "id": 1, "name": "a" }], "stats": { "avg_open_rate": 0 },
        }))
        .unwrap()
    }

    #[test]
    fn a_member_is_flat_and_its_empties_are_null() {
        let entity = member("subscribed").entity(&Selection::All, &settings());
        assert_eq!(
            serde_json::from_str::<Value>(&entity.fields).unwrap(),
            json!({
                "email_address": "ann@example.com", "vip": false, "tags": ["a", "b"], "source": "Hosted Signup Form",
                "FNAME": "Ann", "LNAME": null, "HOME": null,
            })
        );
        assert_eq!(entity.id, "c1");
    }

    #[test]
    fn the_status_is_consent_and_deliverability() {
        let of = |status: &str| {
            let entity = member(status).entity(&Selection::All, &settings());
            (
                entity.consents[0].clone(),
                entity.deliverability.unwrap().state,
            )
        };
        let (consent, state) = of("subscribed");
        assert_eq!(consent.state, ConsentState::Subscribed);
        assert_eq!(consent.at.as_deref(), Some("2025-01-01T00:00:00Z"));
        assert_eq!(state, DeliverabilityState::Deliverable);
        let (consent, _) = of("unsubscribed");
        assert_eq!(consent.state, ConsentState::Unsubscribed);
        assert_eq!(consent.at.as_deref(), Some("2026-11-24T05:16:00Z"));
        assert_eq!(of("pending").0.state, ConsentState::Pending);
        assert_eq!(of("transactional").0.state, ConsentState::Unspecified);
        let (consent, state) = of("cleaned");
        assert_eq!(consent.state, ConsentState::Unspecified);
        assert_eq!(state, DeliverabilityState::HardBounced);
    }

    #[test]
    fn two_changes_within_a_second_are_two_revisions_of_one_order() {
        let before = member("subscribed")
            .entity(&Selection::All, &settings())
            .revision
            .unwrap();
        let after = member("unsubscribed")
            .entity(&Selection::All, &settings())
            .revision
            .unwrap();
        assert_ne!(before.token, after.token);
        assert_eq!(before.order, after.order);
    }
}
