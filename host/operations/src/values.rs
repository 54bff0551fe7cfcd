//! Values that operations take.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::de::{Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::{PartialSchema, ToSchema};

/// The most entries that a request is answered with.
const MOST: u32 = 10_000;

/// How many entries are wanted. What comes over the network is limited to 10,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(into = "u32")]
pub struct Limit(u32);

impl Limit {
    /// As many as that.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number.
    pub fn get(self) -> u32 {
        self.0
    }

    /// The number, as a length.
    pub fn length(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(20)
    }
}

impl From<Limit> for u32 {
    fn from(limit: Limit) -> Self {
        limit.0
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = deserializer.deserialize_u64(Whole)?;
        match u32::try_from(number) {
            Ok(number) if number <= MOST => Ok(Self(number)),
            _ => Err(serde::de::Error::custom(format!(
                "{number} is more than {MOST}: ask page by page"
            ))),
        }
    }
}

impl PartialSchema for Limit {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::Integer)
            .description(Some("How many entries are wanted at most."))
            .minimum(Some(0))
            .maximum(Some(MOST))
            .into()
    }
}

impl ToSchema for Limit {}

/// The largest number that every program reads as it is written (RFC 8259, section 6).
const LARGEST: u64 = (1 << 53) - 1;

/// The number of an entry, of which there are more than anybody counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(into = "u64")]
pub struct Number(u64);

impl Number {
    /// This number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    pub fn get(self) -> u64 {
        self.0
    }
}

impl From<Number> for u64 {
    fn from(number: Number) -> Self {
        number.0
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = deserializer.deserialize_u64(Whole)?;
        if number <= LARGEST {
            Ok(Self(number))
        } else {
            Err(serde::de::Error::custom(format!(
                "{number} is more than {LARGEST}"
            )))
        }
    }
}

/// A whole number, however it is written: to JSON, 1 and 1.0 are the same.
struct Whole;

impl Visitor<'_> for Whole {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number from 0 on")
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<u64, E> {
        Ok(number)
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<u64, E> {
        if number.fract() == 0.0 && (0.0..=LARGEST as f64).contains(&number) {
            Ok(number as u64)
        } else {
            Err(E::invalid_value(Unexpected::Float(number), &self))
        }
    }
}

impl PartialSchema for Number {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(0))
            .maximum(Some(LARGEST))
            .into()
    }
}

impl ToSchema for Number {}

/// A secret that somebody gives. It is written out for one purpose: to be sent to the host that is asked to keep it.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// The secret.
    pub fn get(&self) -> &SecretString {
        &self.0
    }
}

impl From<SecretString> for Secret {
    fn from(secret: SecretString) -> Self {
        Self(secret)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose_secret())
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Its own error would quote what is not a text.
        String::deserialize(deserializer)
            .map(|text| Self(text.into()))
            .map_err(|_| serde::de::Error::custom("a secret is a text"))
    }
}

impl PartialSchema for Secret {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Password)))
            .write_only(true)
            .into()
    }
}

impl ToSchema for Secret {}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_secret_is_not_shown_and_not_quoted() {
        let secret: Secret = serde_json::from_str("\"pat-eu1\"").unwrap();
        assert_eq!(format!("{secret:?}"), "Secret");
        let wrong = serde_json::from_str::<Secret>("[\"pat-eu1\"]").unwrap_err();
        assert!(!wrong.to_string().contains("pat-eu1"));
        let wrong = serde_json::from_str::<Secret>("12345678").unwrap_err();
        assert!(!wrong.to_string().contains("12345678"), "{wrong}");
    }

    #[test]
    fn a_request_does_not_ask_for_everything() {
        assert!(serde_json::from_str::<Limit>("10000").is_ok());
        assert!(serde_json::from_str::<Limit>("10001").is_err());
        assert!(serde_json::from_str::<Limit>("-1").is_err());
        assert_eq!(serde_json::from_str::<Limit>("7.0").unwrap(), Limit::new(7));
        assert!(serde_json::from_str::<Limit>("7.5").is_err());
    }
}
