//! Which of a model's fields are offered, and as what, read from Odoo's `fields_get`.

use std::collections::BTreeMap;

use samspel_connector::Value;
use serde::Deserialize;

use crate::values::Kind;

/// The attributes of `fields_get` that are needed; all others would only make the answer long.
pub const ATTRIBUTES: [&str; 8] = [
    "type",
    "string",
    "readonly",
    "required",
    "store",
    "selection",
    "relation",
    "digits",
];

/// What `fields_get` says about one field.
#[derive(Debug, Clone, Deserialize)]
pub struct FieldInfo {
    /// `char`, `many2one`, ...
    #[serde(rename = "type")]
    pub kind: String,
    /// The label, in the user's language.
    #[serde(default)]
    pub string: String,
    #[serde(default)]
    pub readonly: bool,
    #[serde(default)]
    pub required: bool,
    /// Kept in the database, not computed for each reading.
    #[serde(default)]
    pub store: bool,
    /// Keys and labels; some models compute them, and `fields_get` has resolved that already.
    #[serde(default)]
    pub selection: Vec<(Value, Value)>,
    /// The model that a relation points to.
    #[serde(default)]
    pub relation: Option<String>,
    /// Precision of a `float`; absent for a plain one.
    #[serde(default)]
    pub digits: Option<Value>,
}

/// All fields of a model by name, as `fields_get` answers.
pub type FieldInfos = BTreeMap<String, FieldInfo>;

/// One offered field.
#[derive(Debug, Clone, PartialEq)]
pub struct Offered {
    /// Odoo's name, and ours.
    pub name: String,
    /// For people.
    pub title: String,
    /// What it holds.
    pub kind: Kind,
    /// Odoo refuses or ignores writes.
    pub read_only: bool,
    /// Odoo refuses an empty value. There may be a default all the same.
    pub required: bool,
}

/// Odoo's bookkeeping, and what this connector speaks about in other words: `active` is the archive, `opt_out` and
/// `is_blacklisted` are consent, `message_bounce` is deliverability.
const BOOKKEEPING: [&str; 12] = [
    "id",
    "__last_update",
    "display_name",
    "write_date",
    "write_uid",
    "create_uid",
    "active",
    "opt_out",
    "is_blacklisted",
    "unsubscription_date",
    "message_bounce",
    "calendar_last_notif_ack",
];

/// Fields of Odoo's mixins for chatter, activities and portal accounts. `signup_token` lets its reader log in as the
/// contact, so it must never travel.
const MIXINS: [&str; 5] = [
    "message_",
    "activity_",
    "website_message_",
    "signup_",
    "rating_",
];

/// The offered fields: stored ones of a kind that can be a flat value. Computed fields are left out because a change
/// of theirs is invisible, and files because they are no field values.
pub fn offered(infos: &FieldInfos) -> Vec<Offered> {
    infos
        .iter()
        .filter(|(name, info)| info.store && !is_internal(name))
        .filter_map(|(name, info)| {
            Some(Offered {
                name: name.clone(),
                title: if info.string.is_empty() {
                    name.clone()
                } else {
                    info.string.clone()
                },
                kind: kind(info)?,
                read_only: info.readonly || name == "create_date",
                required: info.required,
            })
        })
        .collect()
}

/// Whether the field is not offered whatever its kind.
pub fn is_internal(name: &str) -> bool {
    BOOKKEEPING.contains(&name) || MIXINS.iter().any(|prefix| name.starts_with(prefix))
}

fn kind(info: &FieldInfo) -> Option<Kind> {
    Some(match info.kind.as_str() {
        "char" | "text" | "html" => Kind::Text,
        "integer" => Kind::Integer,
        "monetary" => Kind::Decimal,
        "float" if info.digits.as_ref().is_some_and(Value::is_array) => Kind::Decimal,
        "float" => Kind::Float,
        "boolean" => Kind::Boolean,
        "date" => Kind::Date,
        "datetime" => Kind::DateTime,
        "selection" => Kind::Selection(
            info.selection
                .iter()
                .map(|(key, _)| match key {
                    Value::String(key) => key.clone(),
                    key => key.to_string(),
                })
                .collect(),
        ),
        "many2one" => Kind::Many2one(info.relation.clone()?),
        "many2many" => Kind::Many2many(info.relation.clone()?),
        // binary, one2many, reference, properties, json: nothing flat.
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use samspel_connector::{json, serde_json};

    fn infos() -> FieldInfos {
        serde_json::from_value(json!({
            "name": {"type": "char", "string": "Name", "store": true, "readonly": false, "required": true},
            "x_score": {"type": "float", "string": "Score", "store": true, "digits": [16, 2]},
            "credit_limit": {"type": "float", "string": "Credit Limit", "store": true},
            "credit": {"type": "monetary", "string": "Total Receivable", "store": false},
            "country_id": {"type": "many2one", "string": "Country", "store": true, "relation": "res.country"},
            "category_id": {"type": "many2many", "string": "Tags", "store": true, "relation": "res.partner.category"},
            "child_ids": {"type": "one2many", "string": "Contacts", "store": true, "relation": "res.partner"},
            "image": {"type": "binary", "string": "Image", "store": true},
            "type": {"type": "selection", "string": "Type", "store": true,
                     "selection": [["contact", "Contact"], ["other", "Other"]]},
            "signup_token": {"type": "char", "string": "Signup Token", "store": true},
            "opt_out": {"type": "boolean", "string": "Opt-Out", "store": true},
            "create_date": {"type": "datetime", "string": "Created on", "store": true, "readonly": false},
            "write_date": {"type": "datetime", "string": "Last Updated on", "store": true},
        }))
        .unwrap()
    }

    #[test]
    fn custom_fields_are_offered_and_internal_ones_are_not() {
        let names: Vec<_> = offered(&infos())
            .into_iter()
            .map(|field| field.name)
            .collect();
        assert_eq!(
            names,
            [
                "category_id",
                "country_id",
                "create_date",
                "credit_limit",
                "name",
                "type",
                "x_score"
            ]
        );
    }

    #[test]
    fn kinds_follow_the_declared_type() {
        let fields = offered(&infos());
        let of = |name: &str| fields.iter().find(|field| field.name == name).unwrap();
        assert_eq!(of("x_score").kind, Kind::Decimal);
        assert_eq!(of("credit_limit").kind, Kind::Float);
        assert_eq!(
            of("type").kind,
            Kind::Selection(vec!["contact".into(), "other".into()])
        );
        assert_eq!(of("country_id").kind, Kind::Many2one("res.country".into()));
        assert!(of("name").required && !of("name").read_only);
        assert!(of("create_date").read_only);
    }
}
