//! One contact, as answers hold it and as the contract takes it.

use samspel_connector::fields::{Fields, Selection};
use samspel_connector::{Deliverability, DeliverabilityState, Entity, jiff, time};
use serde::Deserialize;
use serde_json::Value;

use crate::consent::Statuses;
use crate::property::{self, Values};
use crate::settings::Settings;

/// A contact of an answer.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Contact {
    /// Its record id.
    pub id: String,
    /// The properties that were asked for.
    #[serde(default)]
    pub properties: Values,
    #[serde(default)]
    updated_at: Option<String>,
    /// It is in the recycle bin.
    #[serde(default)]
    pub archived: bool,
    #[serde(default)]
    archived_at: Option<String>,
    /// Of a batch's result: which input it answers, in some versions.
    #[serde(default)]
    pub object_write_trace_id: Option<String>,
}

/// What is needed of a contact besides its ordinary fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Nothing: the host asked for ids and revisions.
    Revision,
    /// Consent, deliverability, earlier ids.
    Full,
}

impl Detail {
    /// What the host's selection comes down to.
    pub fn of(selection: &Selection) -> Self {
        match selection {
            Selection::Only(names) if names.is_empty() => Self::Revision,
            _ => Self::Full,
        }
    }

    /// The properties that requests must name besides those the host selected.
    pub fn properties(self, settings: &Settings) -> Vec<String> {
        let mut names = vec![property::MODIFIED.to_owned()];
        if self == Self::Full {
            names.extend(
                [
                    property::EMAIL,
                    property::OPTED_OUT,
                    property::HARD_BOUNCE,
                    property::BOUNCES,
                    property::MERGED_IDS,
                ]
                .map(str::to_owned),
            );
            names.extend(settings.bounce_property.clone());
        }
        names
    }
}

impl Contact {
    fn text(&self, name: &str) -> Option<&str> {
        self.properties
            .get(name)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    }

    /// Its main address.
    pub fn email(&self) -> Option<&str> {
        self.text(property::EMAIL)
    }

    /// All of its addresses, in lower case.
    pub fn emails(&self) -> impl Iterator<Item = String> {
        self.email()
            .into_iter()
            .chain(self.listed(property::MORE_EMAILS))
            .map(str::to_lowercase)
    }

    /// Earlier ids, from merges.
    pub fn aliases(&self) -> impl Iterator<Item = &str> {
        self.listed(property::MERGED_IDS)
    }

    fn listed(&self, name: &str) -> impl Iterator<Item = &str> {
        self.text(name)
            .into_iter()
            .flat_map(|text| text.split(';'))
            .map(str::trim)
            .filter(|item| !item.is_empty())
    }

    /// When it last changed: by the property that searches compare, and without it by the record's own stamp.
    pub fn modified(&self) -> Option<jiff::Timestamp> {
        self.text(property::MODIFIED)
            .or(self.updated_at.as_deref())
            .and_then(time::rfc3339)
    }

    /// When it was archived.
    pub fn archived_at(&self) -> Option<jiff::Timestamp> {
        self.archived_at
            .as_deref()
            .and_then(time::rfc3339)
            .or_else(|| self.modified())
    }

    fn opted_out(&self) -> bool {
        match self.properties.get(property::OPTED_OUT) {
            Some(Value::String(text)) => text.eq_ignore_ascii_case("true"),
            Some(Value::Bool(out)) => *out,
            _ => false,
        }
    }

    /// The graver of what HubSpot saw itself and what the custom property says.
    fn deliverability(&self, settings: &Settings) -> Deliverability {
        let own = if let Some(reason) = self.text(property::HARD_BOUNCE) {
            Deliverability::new(DeliverabilityState::HardBounced).reason(Some(reason))
        } else if self
            .text(property::BOUNCES)
            .and_then(|count| count.parse::<f64>().ok())
            .is_some_and(|count| count > 0.0)
        {
            Deliverability::new(DeliverabilityState::SoftBounced)
        } else {
            Deliverability::new(DeliverabilityState::Deliverable)
        };
        let told = settings
            .bounce_property
            .as_deref()
            .and_then(|name| self.text(name))
            .and_then(|value| settings.bounce_values.state(value))
            .map(Deliverability::new);
        match told {
            Some(told) if gravity(&told.state) > gravity(&own.state) => told,
            _ => own,
        }
    }

    /// As the contract takes it, with all the fields that were selected.
    pub fn entity(
        &self,
        selection: &Selection,
        settings: &Settings,
        statuses: &Statuses,
    ) -> Entity {
        let fields: Fields = self
            .properties
            .iter()
            .filter(|(name, _)| selection.wants(name))
            .map(|(name, value)| (name.as_str(), value.clone()))
            .collect();
        let mut entity = self.bare(fields);
        if Detail::of(selection) == Detail::Full {
            entity
                .consents
                .extend(statuses.consent(self.email(), self.opted_out()));
            entity.deliverability = Some(self.deliverability(settings));
            entity.aliases = self.aliases().map(str::to_owned).collect();
        }
        entity
    }

    /// With its revision and these fields only.
    pub fn bare(&self, fields: Fields) -> Entity {
        let entity = Entity::new(&*self.id, fields);
        match self.modified() {
            Some(modified) => entity.modified_at(modified),
            None => entity,
        }
    }
}

fn gravity(state: &DeliverabilityState) -> u8 {
    match state {
        DeliverabilityState::HardBounced => 3,
        DeliverabilityState::Complained => 2,
        DeliverabilityState::SoftBounced => 1,
        DeliverabilityState::Deliverable | DeliverabilityState::Other(_) => 0,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use samspel_connector::{ConsentState, json};

    fn contact(properties: Value) -> Contact {
        serde_json::from_value(json!({
            "id": "5", "properties": properties, "updatedAt": "2026-11-24T05:16:00.123Z",
        }))
        .unwrap()
    }

    fn settings() -> Settings {
        serde_json::from_value(json!({
            "bounce_property": "mail_ok",
            "bounce_values": { "deliverable": "ok", "hard_bounced": "bad" },
        }))
        .unwrap()
    }

    #[test]
    fn empties_are_null_and_the_revision_is_the_modification() {
        let entity = contact(json!({ "firstname": "", "lastname": null, "city": "Åre" })).entity(
            &Selection::All,
            &Settings::default(),
            &Statuses::not_asked(),
        );
        assert_eq!(
            entity.fields,
            r#"{"city":"Åre","firstname":null,"lastname":null}"#
        );
        assert_eq!(entity.revision.unwrap().order, Some(1_795_497_360_123));
        assert_eq!(entity.consents[0].state, ConsentState::Unspecified);
    }

    #[test]
    fn ids_and_revisions_only_means_just_that() {
        let entity = contact(json!({ "firstname": "A", "hs_email_optout": "true" })).entity(
            &Selection::new(Some(vec![])),
            &Settings::default(),
            &Statuses::not_asked(),
        );
        assert_eq!(entity.fields, "{}");
        assert!(entity.consents.is_empty() && entity.deliverability.is_none());
    }

    #[test]
    fn the_graver_knowledge_about_an_address_wins() {
        let state = |properties| contact(properties).deliverability(&settings()).state;
        assert_eq!(state(json!({})), DeliverabilityState::Deliverable);
        assert_eq!(
            state(json!({ "mail_ok": "BAD" })),
            DeliverabilityState::HardBounced
        );
        assert_eq!(
            state(json!({ "mail_ok": "ok", "hs_email_hard_bounce_reason_enum": "UNKNOWN_USER" })),
            DeliverabilityState::HardBounced
        );
        assert_eq!(
            state(json!({ "mail_ok": "something", "hs_email_bounce": "2" })),
            DeliverabilityState::SoftBounced
        );
    }

    #[test]
    fn merged_contacts_are_aliases() {
        let merged = contact(json!({ "hs_merged_object_ids": "7; 8;" }));
        assert_eq!(merged.aliases().collect::<Vec<_>>(), ["7", "8"]);
    }
}
