//! The contact properties of the account: HubSpot's own and custom ones, with their types, and the checks a value passes
//! before it is stored. All values are strings on the wire [V].

use std::collections::{BTreeMap, HashMap};

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::error::{InvalidProperty, Problem};
use crate::clock::Millis;

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
    fn own(name: &str, label: &str, kind: PropertyType, read_only: bool) -> Self {
        let field_type = match kind {
            PropertyType::Number => "number",
            PropertyType::Enumeration => "select",
            PropertyType::Bool => "booleancheckbox",
            PropertyType::Date | PropertyType::DateTime => "date",
            PropertyType::String if name == "phone" => "phonenumber",
            PropertyType::String => "text",
        };
        Self {
            name: name.to_owned(),
            label: label.to_owned(),
            kind,
            field_type: field_type.to_owned(),
            group_name: "contactinformation".to_owned(),
            options: Vec::new(),
            has_unique_value: false,
            read_only,
            hubspot_defined: true,
        }
    }

    fn custom(name: &str, label: &str, kind: PropertyType) -> Self {
        Self {
            hubspot_defined: false,
            ..Self::own(name, label, kind, false)
        }
    }

    fn with_options(mut self, options: &[(&str, &str)]) -> Self {
        self.options = options
            .iter()
            .zip(0..)
            .map(|((value, label), display_order)| PropertyOption {
                label: (*label).to_owned(),
                value: (*value).to_owned(),
                display_order,
                hidden: false,
            })
            .collect();
        self
    }

    fn unique(mut self) -> Self {
        self.has_unique_value = true;
        self
    }

    fn several(mut self) -> Self {
        self.field_type = "checkbox".to_owned();
        self
    }

    /// As `GET /crm/v3/properties/contacts` shows it [V].
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

    /// The value as it is stored, or why it is refused.
    fn accept(&self, value: &str) -> Result<Box<str>, Refusal> {
        let stored = match self.kind {
            PropertyType::String => value.to_owned(),
            PropertyType::Number => match value.trim().parse::<f64>() {
                Ok(number) if number.is_finite() => value.trim().to_owned(),
                _ => return Err(("INVALID_NUMBER", format!("{value} was not a valid number."))),
            },
            PropertyType::Bool => match value.trim().to_ascii_lowercase().as_str() {
                flag @ ("true" | "false") => flag.to_owned(),
                _ => {
                    return Err((
                        "INVALID_OPTION",
                        format!("{value} was not one of the allowed options: [true, false]"),
                    ));
                }
            },
            PropertyType::Enumeration => {
                let parts: Vec<&str> = if self.field_type == "checkbox" {
                    value.split(';').collect()
                } else {
                    vec![value]
                };
                for part in parts {
                    if !self.options.iter().any(|option| option.value == part) {
                        let allowed: Vec<&str> =
                            self.options.iter().map(|o| o.value.as_str()).collect();
                        return Err((
                            "INVALID_OPTION",
                            format!("{part} was not one of the allowed options: {allowed:?}"),
                        ));
                    }
                }
                value.to_owned()
            }
            PropertyType::Date => match value.parse::<Date>() {
                Ok(date) => date.to_string(),
                // HubSpot also takes midnight UTC in milliseconds.
                Err(_) => match Millis::parse(value) {
                    Some(at) => at.to_string()[..10].to_owned(),
                    None => return Err(("INVALID_DATE", format!("{value} was not a valid date."))),
                },
            },
            PropertyType::DateTime => match Millis::parse(value) {
                Some(at) => at.to_string(),
                None => return Err(("INVALID_DATE", format!("{value} was not a valid long."))),
            },
        };
        Ok(stored.into())
    }
}

/// HubSpot's code for why a value is refused, and a message.
type Refusal = (&'static str, String);

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
    /// HubSpot's own properties and the custom ones of a typical account.
    pub(crate) fn standard() -> Self {
        use PropertyType::{Bool, Date, DateTime, Enumeration, Number, String as Text};
        let own = PropertyDefinition::own;
        let custom = PropertyDefinition::custom;
        let mut definitions = vec![
            own("email", "Email", Text, false),
            own("firstname", "First Name", Text, false),
            own("lastname", "Last Name", Text, false),
            own("phone", "Phone Number", Text, false),
            own("company", "Company Name", Text, false),
            own("jobtitle", "Job Title", Text, false),
            own("city", "City", Text, false),
            own("country", "Country/Region", Text, false),
            custom(CUSTOMER_NUMBER_PROPERTY, "Customer number", Text).unique(),
            own("hs_object_id", "Record ID", Number, true),
            own("createdate", "Create Date", DateTime, true),
            own("lastmodifieddate", "Last Modified Date", DateTime, true),
            own("hs_email_optout", "Unsubscribed from all email", Bool, true),
            own("hs_email_bounce", "Marketing emails bounced", Number, true),
            own(
                "hs_email_hard_bounce_reason_enum",
                "Email hard bounce reason",
                Enumeration,
                true,
            )
            .with_options(&[
                ("OTHER", "Other"),
                ("SPAM", "Spam"),
                ("MAILBOX_FULL", "Mailbox full"),
                ("CONTENT", "Content"),
                ("POLICY", "Policy"),
                ("UNKNOWN_USER", "Unknown user"),
            ]),
            own(
                "hs_additional_emails",
                "Additional email addresses",
                Text,
                true,
            ),
            own("hs_merged_object_ids", "Merged record IDs", Text, true),
        ];
        for kind in &SUBSCRIPTION_TYPES {
            let name = format!("hs_email_optout_{}", kind.id);
            definitions.push(own(
                &name,
                &format!("Opted out of email: {}", kind.name),
                Bool,
                true,
            ));
        }
        definitions.extend([
            own("lifecyclestage", "Lifecycle Stage", Enumeration, false).with_options(&[
                ("subscriber", "Subscriber"),
                ("lead", "Lead"),
                ("opportunity", "Opportunity"),
                ("customer", "Customer"),
                ("other", "Other"),
            ]),
            own("mobilephone", "Mobile Phone Number", Text, false),
            own("address", "Street Address", Text, false),
            own("zip", "Postal Code", Text, false),
            own("hs_language", "Preferred language", Text, false),
            own("date_of_birth", "Date of birth", Text, false),
            custom(
                DELIVERABILITY_PROPERTY,
                "E-mail deliverability",
                Enumeration,
            )
            .with_options(&[
                ("ok", "Delivers"),
                ("soft_bounce", "Bounces at times"),
                ("hard_bounce", "Bounced for good"),
            ]),
            custom("membership_level", "Membership level", Enumeration).with_options(&[
                ("basic", "Basic"),
                ("plus", "Plus"),
                ("guld", "Guld"),
            ]),
            custom("interests", "Interests", Enumeration)
                .with_options(&[
                    ("sailing", "Sailing"),
                    ("theatre", "Theatre"),
                    ("tradgard", "Trädgård"),
                ])
                .several(),
            custom("member_since", "Member since", Date),
            custom("loyalty_points", "Loyalty points", Number),
        ]);
        let by_name = definitions
            .iter()
            .zip(0..)
            .map(|(d, at)| (d.name.clone(), PropId(at)))
            .collect();
        Self {
            definitions,
            by_name,
        }
    }

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

    /// The properties an answer shows: those asked for (unknown names are passed over) or HubSpot's default, always with
    /// the id and both dates [T]; in order of their names.
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

    /// Checks values a caller wants to store.
    pub(crate) fn accept(&self, properties: &PropertyMap) -> Result<Changes, Problem> {
        let mut changes = Changes::with_capacity(properties.len());
        let mut invalid = Vec::new();
        for (name, value) in properties {
            match self.accept_one(name, value) {
                Ok(change) => changes.push(change),
                Err((error, message)) => invalid.push(InvalidProperty {
                    name: name.clone(),
                    error,
                    message,
                }),
            }
        }
        if invalid.is_empty() {
            Ok(changes)
        } else {
            Err(Problem::Invalid(invalid))
        }
    }

    fn accept_one(&self, name: &str, value: &Value) -> Result<(PropId, Option<Box<str>>), Refusal> {
        let id = self.id(name).ok_or_else(|| {
            (
                "PROPERTY_DOESNT_EXIST",
                format!("Property \"{name}\" does not exist"),
            )
        })?;
        let definition = self.get(id);
        if definition.read_only {
            return Err((
                "READ_ONLY_VALUE",
                format!("\"{name}\" is a read only property; its value cannot be set."),
            ));
        }
        let text = match value {
            Value::Null => return Ok((id, None)),
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            Value::Array(_) | Value::Object(_) => {
                return Err((
                    "INVALID_VALUE",
                    format!("the value of \"{name}\" is not text"),
                ));
            }
        };
        if text.is_empty() {
            return Ok((id, None));
        }
        if id == EMAIL {
            return match normal_email(&text) {
                Some(email) => Ok((id, Some(email))),
                None => Err(("INVALID_EMAIL", format!("Email address {text} is invalid"))),
            };
        }
        Ok((id, Some(definition.accept(&text)?)))
    }
}

/// The address as HubSpot stores it: trimmed and in lower case. `None` when it is none.
pub(crate) fn normal_email(text: &str) -> Option<Box<str>> {
    let email = text.trim().to_lowercase();
    let (local, domain) = email.rsplit_once('@')?;
    let sound = !local.is_empty()
        && !local.contains('@')
        && domain.contains('.')
        && !domain.starts_with('.')
        && !domain.ends_with('.')
        && !email.contains(char::is_whitespace);
    sound.then(|| email.into())
}

/// A map of all properties' values, for dumps.
pub(crate) fn by_name(registry: &Registry, values: &[(PropId, Box<str>)]) -> Map<String, Value> {
    values
        .iter()
        .map(|(id, value)| (registry.get(*id).name.clone(), Value::from(value.as_ref())))
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_constants_name_the_properties_they_stand_for() {
        let registry = Registry::standard();
        for (id, name) in [
            (EMAIL, "email"),
            (FIRSTNAME, "firstname"),
            (LASTNAME, "lastname"),
            (PHONE, "phone"),
            (COMPANY, "company"),
            (JOBTITLE, "jobtitle"),
            (CITY, "city"),
            (COUNTRY, "country"),
            (CUSTOMER_NUMBER, CUSTOMER_NUMBER_PROPERTY),
            (OBJECT_ID, "hs_object_id"),
            (CREATEDATE, "createdate"),
            (LASTMODIFIED, "lastmodifieddate"),
            (OPTOUT, "hs_email_optout"),
            (BOUNCE_COUNT, "hs_email_bounce"),
            (BOUNCE_REASON, "hs_email_hard_bounce_reason_enum"),
            (ADDITIONAL_EMAILS, "hs_additional_emails"),
            (MERGED_IDS, "hs_merged_object_ids"),
            (optout_of(0), "hs_email_optout_184001"),
            (optout_of(1), "hs_email_optout_184002"),
        ] {
            assert_eq!(registry.get(id).name, name);
            assert_eq!(registry.id(name), Some(id));
        }
    }

    #[test]
    fn values_are_checked_by_type() {
        let registry = Registry::standard();
        let accept = |name: &str, value: Value| {
            registry.accept(&PropertyMap::from([(name.to_owned(), value)]))
        };
        let refused = |name: &str, value: Value| match accept(name, value) {
            Err(Problem::Invalid(list)) => list[0].error,
            other => panic!("accepted: {other:?}"),
        };
        assert_eq!(refused("shoe_size", json!("43")), "PROPERTY_DOESNT_EXIST");
        assert_eq!(refused("hs_email_optout", json!("true")), "READ_ONLY_VALUE");
        assert_eq!(refused("email", json!("nobody")), "INVALID_EMAIL");
        assert_eq!(refused("loyalty_points", json!("many")), "INVALID_NUMBER");
        assert_eq!(refused("membership_level", json!("gold")), "INVALID_OPTION");
        assert_eq!(
            refused("interests", json!("sailing;golf")),
            "INVALID_OPTION"
        );
        assert_eq!(refused("member_since", json!("last year")), "INVALID_DATE");
        assert_eq!(
            accept("email", json!(" Eva@Firma.Example ")).unwrap()[0]
                .1
                .as_deref(),
            Some("eva@firma.example")
        );
        assert_eq!(
            accept("interests", json!("sailing;theatre")).unwrap()[0]
                .1
                .as_deref(),
            Some("sailing;theatre")
        );
        assert_eq!(
            accept("member_since", json!(1_772_323_200_000_i64)).unwrap()[0]
                .1
                .as_deref(),
            Some("2026-03-01")
        );
        assert_eq!(
            accept("firstname", json!("")).unwrap()[0].1,
            None,
            "an empty string clears"
        );
    }
}
