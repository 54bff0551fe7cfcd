//! When two values mean the same.
//!
//! Values are stored as they were read and normalised only to be compared, so that a better normaliser never causes
//! writes by itself.

use std::borrow::Cow;
use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::civil::Date;
use phonenumber::country;
use serde_json::Value;
use unicode_normalization::{UnicodeNormalization, is_nfc};

use crate::spec::Normalize;

/// How the values of one field are compared.
#[derive(Debug, Clone)]
pub struct Normalizer {
    kind: Normalize,
    region: Option<country::Id>,
}

/// A value in the form in which it is compared. Two values mean the same if their normal forms are equal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Normal {
    /// `null`, an empty text, an empty list.
    Empty,
    /// A text, and everything that is compared as one.
    Text(String),
    /// A set of texts.
    Set(BTreeSet<String>),
}

impl Normal {
    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        *self == Self::Empty
    }

    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Empty | Self::Set(_) => None,
        }
    }
}

impl Normalizer {
    /// A normaliser of a kind; the region is an ISO 3166 code for phone numbers without a country.
    ///
    /// # Errors
    /// The region, if it is not known.
    pub fn new(kind: Normalize, region: Option<&str>) -> Result<Self, String> {
        let region = region
            .map(|code| {
                code.parse::<country::Id>()
                    .map_err(|_| format!("`{code}` is not a country code such as `DE` or `SE`"))
            })
            .transpose()?;
        Ok(Self { kind, region })
    }

    /// What it compares.
    pub fn kind(&self) -> Normalize {
        self.kind
    }

    /// The normal form of a value.
    pub fn normal(&self, value: &Value) -> Normal {
        if is_empty(value) {
            return Normal::Empty;
        }
        let text = || plain_text(value);
        match self.kind {
            Normalize::Exact => Normal::Text(text().into_owned()),
            Normalize::Text => non_empty(collapse(&text())),
            Normalize::Email => non_empty(email(&text())),
            Normalize::Phone => non_empty(self.phone(&text())),
            Normalize::Date => non_empty(date(&text())),
            Normalize::Number => non_empty(number(&text())),
            Normalize::Boolean => non_empty(collapse(&text()).to_lowercase()),
            Normalize::Set => set(value),
        }
    }

    /// Whether two values mean the same.
    pub fn same(&self, x: &Value, y: &Value) -> bool {
        x == y || self.normal(x) == self.normal(y)
    }

    fn phone(&self, text: &str) -> String {
        let text = collapse(text);
        match phonenumber::parse(self.region, &text) {
            Ok(number) => {
                let e164 = number.format().mode(phonenumber::Mode::E164).to_string();
                match number.extension() {
                    Some(extension) => format!("{e164};ext={extension}"),
                    None => e164,
                }
            }
            // Not a number that can be understood: compare what people type, without its punctuation.
            Err(_) => text
                .chars()
                .filter(|c| c.is_alphanumeric() || *c == '+')
                .collect(),
        }
    }
}

/// Whether a value is empty: `null`, `""`, `[]`.
pub fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => false,
    }
}

fn non_empty(text: String) -> Normal {
    if text.is_empty() {
        Normal::Empty
    } else {
        Normal::Text(text)
    }
}

/// A text as it stands, anything else as JSON.
fn plain_text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        other => Cow::Owned(other.to_string()),
    }
}

fn collapse(text: &str) -> String {
    let composed: Cow<'_, str> = if is_nfc(text) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.nfc().collect())
    };
    let mut words = composed.split_whitespace();
    let mut out = String::with_capacity(composed.len());
    if let Some(first) = words.next() {
        out.push_str(first);
    }
    for word in words {
        out.push(' ');
        out.push_str(word);
    }
    out
}

/// The normal form of an e-mail address. Lower case throughout: RFC 5321 leaves the case of the local part to the
/// receiver, and every system that Samspel connects ignores it.
pub fn email(text: &str) -> String {
    collapse(text).to_lowercase()
}

fn date(text: &str) -> String {
    let text = text.trim();
    if let Ok(instant) = text.parse::<Timestamp>() {
        return instant.to_string();
    }
    text.parse::<Date>()
        .map_or_else(|_| collapse(text), |day| day.to_string())
}

fn number(text: &str) -> String {
    let text = text.trim();
    if let Ok(integer) = text.parse::<i128>() {
        return integer.to_string();
    }
    match text.parse::<f64>() {
        Ok(float) if float.is_finite() => float.to_string(),
        _ => collapse(text),
    }
}

fn set(value: &Value) -> Normal {
    let items: BTreeSet<String> = match value {
        Value::Array(items) => items
            .iter()
            .filter(|item| !is_empty(item))
            .map(|item| collapse(&plain_text(item)))
            .collect(),
        other => BTreeSet::from([collapse(&plain_text(other))]),
    };
    if items.is_empty() {
        Normal::Empty
    } else {
        Normal::Set(items)
    }
}
