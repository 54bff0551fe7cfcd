//! What a record holds, and when two values mean the same to somebody who has never seen the engine.

use std::collections::BTreeSet;

use serde_json::Value;

/// A field of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Field {
    /// The e-mail address, by which people are matched.
    Email,
    /// A name.
    Name,
    /// A phone number.
    Phone,
    /// A set of words.
    Tags,
    /// A text.
    Note,
}

impl Field {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Email, Self::Name, Self::Phone, Self::Tags, Self::Note];

    /// Its place in [`Values`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// What it is called in each system: each has its own words.
    pub fn name(self, system: usize) -> &'static str {
        const NAMES: [[&str; 5]; 3] = [
            ["email", "name", "phone", "tags", "note"],
            ["address", "label", "tel", "labels", "remark"],
            ["mail", "title", "mobile", "groups", "comment"],
        ];
        NAMES[system][self.index()]
    }

    /// The field that a system calls so.
    pub fn of(system: usize, name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|field| field.name(system) == name)
    }
}

/// The values of a record, in the order of [`Field::ALL`].
pub(crate) type Values = [Value; 5];

/// Whether there is no value.
pub(crate) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// A value as somebody compares it who knows what the field is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Plain {
    /// No value.
    Nothing,
    /// A text.
    Text(String),
    /// A set.
    Set(BTreeSet<String>),
}

/// What a value means. Deliberately simple, and not the engine's: people in this world write plain addresses, phone
/// numbers with a country, and single words.
pub(crate) fn plain(field: Field, value: &Value) -> Plain {
    if is_empty(value) {
        return Plain::Nothing;
    }
    match (field, value) {
        (Field::Tags, Value::Array(items)) => Plain::Set(
            items
                .iter()
                .filter_map(|item| item.as_str())
                .map(|item| item.trim().to_owned())
                .collect(),
        ),
        (Field::Email, Value::String(text)) => Plain::Text(text.trim().to_lowercase()),
        (Field::Phone, Value::String(text)) => Plain::Text(
            text.chars()
                .filter(|c| c.is_ascii_digit() || *c == '+')
                .collect(),
        ),
        (_, Value::String(text)) => {
            Plain::Text(text.split_whitespace().collect::<Vec<_>>().join(" "))
        }
        (_, other) => Plain::Text(other.to_string()),
    }
}

/// Whether two values mean the same.
pub(crate) fn same(field: Field, x: &Value, y: &Value) -> bool {
    x == y || plain(field, x) == plain(field, y)
}

/// The words of a set.
pub(crate) fn words(value: &Value) -> BTreeSet<String> {
    match plain(Field::Tags, value) {
        Plain::Set(set) => set,
        Plain::Text(text) => BTreeSet::from([text]),
        Plain::Nothing => BTreeSet::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn people_do_not_care_about_case_and_spaces_of_an_address() {
        assert!(same(
            Field::Email,
            &json!(" P1@Example.org "),
            &json!("p1@example.org")
        ));
        assert!(!same(Field::Name, &json!("N1"), &json!("n1")));
        assert!(same(
            Field::Phone,
            &json!("+49 30 1234"),
            &json!("+49301234")
        ));
        assert!(same(Field::Tags, &json!(["b", "a"]), &json!(["a", "b"])));
        assert!(same(Field::Note, &json!(null), &json!("")));
    }

    #[test]
    fn a_system_knows_its_own_words() {
        for system in 0..3 {
            for field in Field::ALL {
                assert_eq!(Field::of(system, field.name(system)), Some(field));
            }
        }
    }
}
