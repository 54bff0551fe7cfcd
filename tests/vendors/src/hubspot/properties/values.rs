//! The checks that a value passes before it is stored.

use jiff::civil::Date;
use serde_json::Value;

use super::{Changes, EMAIL, PropId, PropertyDefinition, PropertyMap, PropertyType, Registry};
use crate::clock::Millis;
use crate::hubspot::error::{InvalidProperty, Problem};

/// HubSpot's code for why a value is refused, and a message.
type Refusal = (&'static str, String);

impl PropertyDefinition {
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

impl Registry {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

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
