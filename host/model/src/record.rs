//! One record of a remote collection.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::consent::{Consent, Deliverability};

/// The remote's stable identifier of a record; text of 1 to 512 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct RecordId(String);

impl RecordId {
    /// Wraps an identifier; the runtime has checked its length.
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// The text as the remote spells it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for RecordId {
    fn from(id: &str) -> Self {
        Self(id.to_owned())
    }
}

impl From<String> for RecordId {
    fn from(id: String) -> Self {
        Self(id)
    }
}

/// The fields of a record: one flat object. An absent member was not read; `null` is empty. The map is ordered by
/// name, so that the same content is always the same bytes.
pub type Fields = serde_json::Map<String, serde_json::Value>;

/// The remote's own version of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// Opaque; compared for equality only.
    pub token: String,
    /// Grows with each version of this record, where the remote has such a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<u64>,
}

/// One record as the remote holds it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entity {
    /// The remote's stable identifier.
    pub id: RecordId,
    /// The remote's version of the record, where it has one.
    pub revision: Option<Revision>,
    /// The values that were read.
    pub fields: Fields,
    /// What the person consented to; at most one per channel and purpose.
    pub consents: Vec<Consent>,
    /// Whether mail reaches the address; `None` where the collection does not know.
    pub deliverability: Option<Deliverability>,
    /// Earlier ids of this record.
    pub aliases: Vec<RecordId>,
    /// When it last changed, by the remote's clock.
    pub modified: Option<Timestamp>,
}

impl Entity {
    /// A digest of what the record says (fields, consents, deliverability), without revision and time: two
    /// observations with the same digest say the same.
    pub fn content_hash(&self) -> String {
        content_hash(&self.fields, &self.consents, self.deliverability.as_ref())
    }
}

/// See [`Entity::content_hash`]. 128 bits of SHA-256 in hexadecimal.
pub fn content_hash(
    fields: &Fields,
    consents: &[Consent],
    deliverability: Option<&Deliverability>,
) -> String {
    let mut sorted: Vec<_> = consents.iter().collect();
    sorted.sort_by(|x, y| (&x.channel, &x.purpose).cmp(&(&y.channel, &y.purpose)));
    let mut hasher = Sha256::new();
    // Serialising plain data to JSON cannot fail; an empty part would only make two records look different.
    for part in [
        serde_json::to_vec(fields).unwrap_or_default(),
        serde_json::to_vec(&sorted).unwrap_or_default(),
        serde_json::to_vec(&deliverability).unwrap_or_default(),
    ] {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(&part);
    }
    hex::encode(&hasher.finalize()[..16])
}
