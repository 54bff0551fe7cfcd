//! HubSpot's contact properties as fields. All values are texts on the wire [V] and stay texts here.

use std::collections::BTreeMap;

use samspel_connector::{Access, Field, Role, Value, schema};
use serde::Deserialize;
use serde_json::Map;

use crate::api;
use samspel_connector::Result;

/// The e-mail address.
pub const EMAIL: &str = "email";
/// "true": opted out of all e-mail. Read-only [T].
pub const OPTED_OUT: &str = "hs_email_optout";
/// Why the address bounced for good. Read-only [T].
pub const HARD_BOUNCE: &str = "hs_email_hard_bounce_reason_enum";
/// How many e-mails bounced. Read-only [T].
pub const BOUNCES: &str = "hs_email_bounce";
/// The ids of the contacts that were merged into this one, separated by `;` [M].
pub const MERGED_IDS: &str = "hs_merged_object_ids";
/// Further addresses of the contact, separated by `;` [M].
pub const MORE_EMAILS: &str = "hs_additional_emails";
/// When the contact last changed.
pub const MODIFIED: &str = "lastmodifieddate";
/// The contact's id.
pub const ID: &str = "hs_object_id";

/// A property's definition. What is not [V] is optional.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Property {
    name: String,
    #[serde(default)]
    label: String,
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    field_type: String,
    #[serde(default)]
    options: Vec<Choice>,
    #[serde(default)]
    has_unique_value: bool,
    #[serde(default)]
    calculated: bool,
    #[serde(default)]
    external_options: bool,
    #[serde(default)]
    archived: bool,
    modification_metadata: Option<Modification>,
}

#[derive(Debug, Deserialize)]
struct Choice {
    value: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Modification {
    #[serde(default)]
    read_only_value: bool,
}

#[derive(Deserialize)]
struct Properties {
    results: Vec<Property>,
}

/// The account's properties.
pub fn all() -> Result<Vec<Property>> {
    let answer: Properties = api::read(api::properties())?.json()?;
    Ok(answer
        .results
        .into_iter()
        .filter(|property| !property.archived)
        .collect())
}

impl Property {
    /// By which requests name it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether no two contacts hold the same value, so that it can identify a contact.
    pub fn is_unique(&self) -> bool {
        self.has_unique_value || self.name == EMAIL
    }

    fn is_read_only(&self) -> bool {
        let computed = matches!(
            self.name.as_str(),
            OPTED_OUT
                | HARD_BOUNCE
                | BOUNCES
                | MERGED_IDS
                | MORE_EMAILS
                | MODIFIED
                | ID
                | "createdate"
        );
        computed
            || self.calculated
            || self
                .modification_metadata
                .as_ref()
                .is_some_and(|metadata| metadata.read_only_value)
    }

    fn schema(&self) -> Value {
        match (self.kind.as_str(), self.field_type.as_str()) {
            _ if self.name == EMAIL => schema::format("email"),
            ("bool", _) => schema::choice(["true", "false"]),
            ("number", _) => schema::format("decimal"),
            ("date", _) => schema::format("date"),
            ("datetime", _) => schema::format("date-time"),
            // Several options in one text, separated by `;`.
            ("enumeration", "checkbox") => schema::text(),
            ("enumeration", _) if !self.options.is_empty() && !self.external_options => {
                schema::choice(self.options.iter().map(|option| &option.value))
            }
            _ => schema::text(),
        }
    }

    fn roles(&self) -> Vec<Role> {
        match self.name.as_str() {
            EMAIL => vec![Role::UniqueKey, Role::Email],
            "phone" | "mobilephone" => vec![Role::Phone],
            "firstname" | "lastname" => vec![Role::DisplayName],
            _ if self.has_unique_value => vec![Role::UniqueKey],
            _ => Vec::new(),
        }
    }

    /// As the contract describes it.
    pub fn field(&self) -> Field {
        let title = if self.label.is_empty() {
            &self.name
        } else {
            &self.label
        };
        let access = if self.is_read_only() {
            Access::ReadOnly
        } else {
            Access::ReadWrite
        };
        let field = Field::new(&self.name, title, self.schema()).access(access);
        self.roles().into_iter().fold(field, Field::role)
    }
}

/// A contact's property values as an answer holds them.
pub type Values = BTreeMap<String, Value>;

/// A value as HubSpot takes it: text, and the empty text clears.
pub fn to_hubspot(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(to_hubspot).collect::<Vec<_>>().join(";"),
        other => other.to_string(),
    }
}

/// Fields as the properties of a write.
pub fn to_properties<'a>(fields: impl Iterator<Item = (&'a str, &'a Value)>) -> Map<String, Value> {
    fields
        .map(|(name, value)| (name.to_owned(), to_hubspot(value).into()))
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    fn property(definition: Value) -> Field {
        serde_json::from_value::<Property>(definition)
            .unwrap()
            .field()
    }

    #[test]
    fn a_custom_drop_down_is_a_choice() {
        let field = property(json!({
            "name": "tier", "label": "Tier", "type": "enumeration", "fieldType": "select",
            "options": [{ "label": "Gold", "value": "gold" }],
        }));
        assert_eq!(field.schema, r#"{"enum":["gold",null]}"#);
        assert_eq!(field.access, Access::ReadWrite);
    }

    #[test]
    fn what_hubspot_computes_is_read_only() {
        let by_name = property(json!({ "name": OPTED_OUT, "type": "bool" }));
        assert_eq!(by_name.access, Access::ReadOnly);
        let by_definition = property(json!({
            "name": "x", "type": "string", "modificationMetadata": { "readOnlyValue": true },
        }));
        assert_eq!(by_definition.access, Access::ReadOnly);
    }

    #[test]
    fn the_address_identifies_and_a_phone_number_does_not() {
        let email = property(json!({ "name": "email", "type": "string" }));
        assert_eq!(email.roles, [Role::UniqueKey, Role::Email]);
        let phone = property(json!({ "name": "mobilephone", "type": "string" }));
        assert_eq!(phone.roles, [Role::Phone]);
        let number = property(json!({ "name": "nr", "type": "string", "hasUniqueValue": true }));
        assert_eq!(number.roles, [Role::UniqueKey]);
    }

    #[test]
    fn every_value_is_written_as_text() {
        assert_eq!(to_hubspot(&json!(null)), "");
        assert_eq!(to_hubspot(&json!(true)), "true");
        assert_eq!(to_hubspot(&json!(1.5)), "1.5");
        assert_eq!(to_hubspot(&json!(["a", "b"])), "a;b");
    }
}
