//! A record's fields: one flat JSON object. An absent member was not read (or is not written), `null` is empty.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::{Failure, Result};

/// A flat JSON object under construction, or a patch that the host sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields(Map<String, Value>);

impl Fields {
    /// No members.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads what the host sent: `create.fields`, `update.patch`, `known`.
    pub fn parse(json: &str) -> Result<Self> {
        serde_json::from_str(json).map(Self).map_err(|error| {
            Failure::Bug(format!("the host sent fields that are no object: {error}"))
        })
    }

    /// Sets a member as it is, with the empty text as `null`.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<Value>) {
        self.0.insert(name.into(), or_null(value.into()));
    }

    /// The same, to chain.
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.set(name, value);
        self
    }

    /// A member; `None` if absent.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// A member that is text; `None` if absent, `null` or something else.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    /// Takes a member out.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name)
    }

    /// Whether there are no members.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The members.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// As the contract carries it.
    pub fn into_json(self) -> String {
        Value::Object(self.0).to_string()
    }
}

impl From<Map<String, Value>> for Fields {
    fn from(map: Map<String, Value>) -> Self {
        Self(map)
    }
}

impl From<Fields> for Map<String, Value> {
    fn from(fields: Fields) -> Self {
        fields.0
    }
}

impl From<Fields> for Value {
    fn from(fields: Fields) -> Self {
        Self::Object(fields.0)
    }
}

impl IntoIterator for Fields {
    type Item = (String, Value);
    type IntoIter = serde_json::map::IntoIter;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<N: Into<String>> FromIterator<(N, Value)> for Fields {
    fn from_iter<I: IntoIterator<Item = (N, Value)>>(members: I) -> Self {
        let mut fields = Self::new();
        for (name, value) in members {
            fields.set(name, value);
        }
        fields
    }
}

/// The empty text is `null`; everything else stays.
pub fn or_null(value: Value) -> Value {
    match value {
        Value::String(text) if text.is_empty() => Value::Null,
        other => other,
    }
}

/// Which fields the host asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// All of them.
    All,
    /// Only these; none: ids and revisions.
    Only(BTreeSet<String>),
}

impl Selection {
    /// From the `fields` of `changes-request` and `fetch`.
    pub fn new(fields: Option<Vec<String>>) -> Self {
        fields.map_or(Self::All, |names| Self::Only(names.into_iter().collect()))
    }

    /// Whether the field was asked for.
    pub fn wants(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.contains(name),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn empty_text_is_null_and_false_and_zero_are_not() {
        let fields: Fields = [
            ("a", json!("")),
            ("b", json!("x")),
            ("c", json!(false)),
            ("d", json!(0)),
            ("e", json!([])),
        ]
        .into_iter()
        .collect();
        assert_eq!(
            fields.into_json(),
            r#"{"a":null,"b":"x","c":false,"d":0,"e":[]}"#
        );
    }

    #[test]
    fn what_is_no_object_is_refused() {
        assert!(Fields::parse("[]").is_err());
        assert_eq!(
            Fields::parse(r#"{"a":1}"#).unwrap().get("a"),
            Some(&json!(1))
        );
    }

    #[test]
    fn a_selection_of_nothing_wants_nothing() {
        assert!(Selection::new(None).wants("a"));
        assert!(!Selection::new(Some(vec![])).wants("a"));
        assert!(Selection::new(Some(vec!["a".into()])).wants("a"));
    }
}
