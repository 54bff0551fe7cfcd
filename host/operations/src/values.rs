//! Values that operations take.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::{PartialSchema, ToSchema};

/// The most entries that a request is answered with.
const MOST: u32 = 10_000;

/// How many entries are wanted. What comes over the network is limited to 10,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
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

impl TryFrom<u32> for Limit {
    type Error = String;

    fn try_from(number: u32) -> Result<Self, String> {
        if number <= MOST {
            Ok(Self(number))
        } else {
            Err(format!("{number} is more than {MOST}: ask page by page"))
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
    }
}
