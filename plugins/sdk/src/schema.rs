//! Fields and settings as JSON Schema (2020-12).

use schemars::JsonSchema;
use serde_json::{Value, json};

use crate::{Access, ConsentSlot, Field, Role};

/// The schema of a settings type, for [`Descriptor::settings_schema`](crate::Descriptor). Doc comments become
/// descriptions, so the operator reads what the author wrote.
pub fn of<T: JsonSchema>() -> String {
    schemars::schema_for!(T).to_value().to_string()
}

/// Text, or empty.
pub fn text() -> Value {
    json!({ "type": ["string", "null"] })
}

/// Text of a format of JSON Schema or of the contract (`email`, `date`, `date-time`, `uri`, `decimal`), or empty.
pub fn format(format: &str) -> Value {
    json!({ "type": ["string", "null"], "format": format })
}

/// True or false, or empty.
pub fn boolean() -> Value {
    json!({ "type": ["boolean", "null"] })
}

/// An integer that a JSON number holds exactly, or empty.
pub fn integer() -> Value {
    json!({ "type": ["integer", "null"] })
}

/// A number, or empty. Decimals whose digits matter are text: `format("decimal")`.
pub fn number() -> Value {
    json!({ "type": ["number", "null"] })
}

/// One of these texts, or empty.
pub fn choice<S: AsRef<str>>(options: impl IntoIterator<Item = S>) -> Value {
    let mut options: Vec<Value> = options
        .into_iter()
        .map(|option| Value::from(option.as_ref()))
        .collect();
    options.push(Value::Null);
    json!({ "enum": options })
}

/// A set: a list whose order means nothing.
pub fn set(items: Value) -> Value {
    json!({ "type": ["array", "null"], "items": items, "uniqueItems": true })
}

/// An object that is one opaque whole, or empty.
pub fn object() -> Value {
    json!({ "type": ["object", "null"] })
}

impl Field {
    /// A field that can be read and written.
    pub fn new(name: impl Into<String>, title: impl Into<String>, schema: Value) -> Self {
        Self {
            name: name.into(),
            title: title.into(),
            schema: schema.to_string(),
            roles: Vec::new(),
            access: Access::ReadWrite,
            required: false,
        }
    }

    /// Adds a role.
    pub fn role(mut self, role: Role) -> Self {
        self.roles.push(role);
        self
    }

    /// Who may set it.
    pub fn access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// A create without it is refused.
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }
}

impl ConsentSlot {
    /// Consent to marketing over a channel, that can be restricted and granted.
    pub fn marketing(channel: &str) -> Self {
        Self {
            channel: channel.to_owned(),
            purpose: "marketing".to_owned(),
            can_restrict: true,
            can_grant: true,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// How to reach it.
    #[derive(JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code)]
    struct Settings {
        /// The data centre.
        dc: String,
        #[serde(default)]
        page: Option<u32>,
    }

    #[test]
    fn settings_describe_themselves() {
        let schema: Value = serde_json::from_str(&of::<Settings>()).unwrap();
        assert_eq!(schema["type"], "object");
        assert_eq!(schema["required"], json!(["dc"]));
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!(
            schema["properties"]["dc"]["description"],
            "The data centre."
        );
    }

    #[test]
    fn every_value_may_be_empty() {
        assert_eq!(choice(["a"]), json!({ "enum": ["a", null] }));
        for schema in [
            text(),
            boolean(),
            integer(),
            number(),
            object(),
            set(text()),
        ] {
            assert!(schema["type"].as_array().unwrap().contains(&json!("null")));
        }
    }
}
