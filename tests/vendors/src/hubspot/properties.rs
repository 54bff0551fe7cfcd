//! The contact properties of the account: HubSpot's own and custom ones, with their types. All values are strings on
//! the wire (V).

mod standard;
mod values;

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

pub(crate) use values::normal_email;

use super::error::Problem;

/// A property's number in the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PropId(pub(crate) u16);

/// A subscription type of the account's communication preferences.
#[derive(Debug, Clone, Copy)]
pub struct SubscriptionType {
    /// Its id.
    pub id: u32,
    /// Its name.
    pub name: &'static str,
    /// What it is for.
    pub description: &'static str,
}

/// The newsletter: the subscription that the demo keeps in step.
pub const NEWSLETTER: u32 = 184_001;

/// Every subscription type of the account.
pub const SUBSCRIPTION_TYPES: [SubscriptionType; 2] = [
    SubscriptionType {
        id: NEWSLETTER,
        name: "Newsletter",
        description: "News and offers, once a month",
    },
    SubscriptionType {
        id: 184_002,
        name: "Events",
        description: "Invitations to events",
    },
];

/// A custom property that an integration writes deliverability to: `hs_email_bounce` and its kin are HubSpot's own and
/// read-only. Options `ok`, `soft_bounce`, `hard_bounce`.
pub const DELIVERABILITY_PROPERTY: &str = "email_deliverability";

/// A custom property with unique values, usable as `idProperty`.
pub const CUSTOMER_NUMBER_PROPERTY: &str = "customer_number";

pub(crate) const EMAIL: PropId = PropId(0);
pub(crate) const FIRSTNAME: PropId = PropId(1);
pub(crate) const LASTNAME: PropId = PropId(2);
pub(crate) const PHONE: PropId = PropId(3);
pub(crate) const COMPANY: PropId = PropId(4);
pub(crate) const JOBTITLE: PropId = PropId(5);
pub(crate) const CITY: PropId = PropId(6);
pub(crate) const COUNTRY: PropId = PropId(7);
pub(crate) const CUSTOMER_NUMBER: PropId = PropId(8);
pub(crate) const OBJECT_ID: PropId = PropId(9);
pub(crate) const CREATEDATE: PropId = PropId(10);
pub(crate) const LASTMODIFIED: PropId = PropId(11);
pub(crate) const OPTOUT: PropId = PropId(12);
pub(crate) const BOUNCE_COUNT: PropId = PropId(13);
pub(crate) const BOUNCE_REASON: PropId = PropId(14);
pub(crate) const ADDITIONAL_EMAILS: PropId = PropId(15);
pub(crate) const MERGED_IDS: PropId = PropId(16);
const FIRST_OPTOUT_OF: u16 = 17;

/// The read-only property that tells of an opt-out from one subscription type.
pub(crate) fn optout_of(position: usize) -> PropId {
    PropId(FIRST_OPTOUT_OF + position as u16)
}

/// What the values of a property look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PropertyType {
    /// Any text.
    String,
    /// A decimal number.
    Number,
    /// One of the options; several, separated by `;`, where the field type is `checkbox`.
    Enumeration,
    /// `true` or `false`.
    Bool,
    /// A calendar date.
    Date,
    /// A point in time.
    DateTime,
}

/// A property, as a user or an integration defines it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PropertyDefinition {
    /// Internal name, lower case.
    pub name: String,
    /// Label that users see.
    #[serde(default)]
    pub label: String,
    /// Type of the values.
    #[serde(rename = "type")]
    pub kind: PropertyType,
    /// How it is shown in forms.
    #[serde(default)]
    pub field_type: String,
    /// Group it is listed in.
    #[serde(default)]
    pub group_name: String,
    /// Allowed values of an enumeration.
    #[serde(default)]
    pub options: Vec<PropertyOption>,
    /// No two contacts may hold the same value.
    #[serde(default)]
    pub has_unique_value: bool,
    /// Values are HubSpot's own and cannot be written.
    #[serde(default, skip_serializing)]
    pub read_only: bool,
    /// HubSpot's own, not a custom property.
    #[serde(default)]
    pub hubspot_defined: bool,
}

/// One allowed value of an enumeration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PropertyOption {
    /// What users see.
    pub label: String,
    /// What is stored.
    pub value: String,
    /// Place in the list.
    #[serde(default)]
    pub display_order: i32,
    /// Not offered to users.
    #[serde(default)]
    pub hidden: bool,
}

impl PropertyDefinition {
    /// As `GET /crm/v3/properties/contacts` shows it (V).
    pub(crate) fn view(&self) -> Value {
        let mut view = serde_json::to_value(self).unwrap_or_default();
        if let Value::Object(fields) = &mut view {
            fields.insert("description".to_owned(), json!(""));
            fields.insert("displayOrder".to_owned(), json!(-1));
            fields.insert("calculated".to_owned(), json!(false));
            fields.insert("externalOptions".to_owned(), json!(false));
            fields.insert("archived".to_owned(), json!(false));
            fields.insert("hidden".to_owned(), json!(false));
            fields.insert("formField".to_owned(), json!(!self.read_only));
            fields.insert("dataSensitivity".to_owned(), json!("non_sensitive"));
            fields.insert(
                "modificationMetadata".to_owned(),
                json!({
                    "archivable": !self.hubspot_defined,
                    "readOnlyDefinition": self.hubspot_defined,
                    "readOnlyOptions": self.hubspot_defined,
                    "readOnlyValue": self.read_only,
                }),
            );
        }
        view
    }
}

/// New values for a contact's properties; `None` clears.
pub(crate) type Changes = Vec<(PropId, Option<Box<str>>)>;

/// Properties as a request carries them.
pub(crate) type PropertyMap = BTreeMap<String, Value>;

/// All properties of the account's contacts.
#[derive(Debug, Clone)]
pub(crate) struct Registry {
    definitions: Vec<PropertyDefinition>,
    by_name: HashMap<String, PropId>,
}

impl Registry {
    /// Adds a custom property.
    pub(crate) fn add(&mut self, definition: PropertyDefinition) -> Result<PropId, Problem> {
        let name = definition.name.clone();
        let well_formed = !name.is_empty()
            && name
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if !well_formed {
            return Err(Problem::BadRequest(format!(
                "\"{name}\" is not a valid property name"
            )));
        }
        if self.by_name.contains_key(&name) {
            return Err(Problem::PropertyExists(name));
        }
        let Ok(at) = u16::try_from(self.definitions.len()) else {
            return Err(Problem::BadRequest("too many properties".to_owned()));
        };
        self.by_name.insert(name, PropId(at));
        self.definitions.push(definition);
        Ok(PropId(at))
    }

    pub(crate) fn id(&self, name: &str) -> Option<PropId> {
        self.by_name.get(name).copied()
    }

    pub(crate) fn get(&self, id: PropId) -> &PropertyDefinition {
        &self.definitions[usize::from(id.0)]
    }

    pub(crate) fn all(&self) -> &[PropertyDefinition] {
        &self.definitions
    }

    /// Must every contact hold another value of this one?
    pub(crate) fn is_unique(&self, id: PropId) -> bool {
        id == EMAIL || self.get(id).has_unique_value
    }

    /// The properties an answer shows: those asked for (unknown names are passed over) or HubSpot's default, always
    /// with the id and both dates (T); in order of their names.
    pub(crate) fn shown(&self, names: &[String]) -> Vec<PropId> {
        let mut shown = vec![OBJECT_ID, CREATEDATE, LASTMODIFIED];
        if names.is_empty() {
            shown.extend([EMAIL, FIRSTNAME, LASTNAME]);
        } else {
            shown.extend(names.iter().filter_map(|name| self.id(name)));
        }
        shown.sort_unstable_by_key(|id| self.get(*id).name.as_str());
        shown.dedup();
        shown
    }
}

/// A map of all properties' values, for dumps.
pub(crate) fn by_name(registry: &Registry, values: &[(PropId, Box<str>)]) -> Map<String, Value> {
    values
        .iter()
        .map(|(id, value)| (registry.get(*id).name.clone(), Value::from(value.as_ref())))
        .collect()
}
