//! The pairing of two records, and what the two held when they were last reconciled.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::consent::{ConsentState, DeliverabilityState};
use crate::record::RecordId;

/// One of the two sides of a sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The side that the configuration calls `a`.
    A,
    /// The side that the configuration calls `b`.
    B,
}

impl Side {
    /// Both, A first.
    pub const BOTH: [Self; 2] = [Self::A, Self::B];

    /// The opposite side.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// 0 for A, 1 for B: the place in a pair.
    pub fn index(self) -> usize {
        match self {
            Self::A => 0,
            Self::B => 1,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "a",
            Self::B => "b",
        })
    }
}

/// Identifies a link within its sync.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct LinkId(pub String);

impl fmt::Display for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a record is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Presence {
    /// It is listed.
    Present,
    /// The remote hides it; it can come back.
    Archived,
    /// Deleted, or merged into another record.
    Gone,
    /// It exists and left the collection.
    OutOfScope,
}

/// What the two sides held for one mapped field when they were last reconciled: the merge base. A is compared with
/// `a` and B with `b`, so that a remote that rewrites what it is given comes to rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldBase {
    /// A's image.
    pub a: Value,
    /// B's image.
    pub b: Value,
    /// Fingerprint of the mapping under which the images were taken. Under another one they only tell whether a side
    /// moved.
    pub rule: String,
    /// A write of this field was taken back: the two differ, and a person is asked until one of them changes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub undone: bool,
}

impl FieldBase {
    /// The image of a side.
    pub fn image(&self, side: Side) -> &Value {
        match side {
            Side::A => &self.a,
            Side::B => &self.b,
        }
    }
}

/// What the two sides said about one consent when they were last reconciled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsentBase {
    /// What A said.
    pub a: ConsentState,
    /// What B said.
    pub b: ConsentState,
    /// When each side's opt-out was given, where it is one and tells: a later one is another one.
    #[serde(default, skip_serializing_if = "undated")]
    pub since: [Option<Timestamp>; 2],
    /// Which sides were told of an opt-out in force then: what they say is their answer, even if a remote keeps no
    /// opt-out of somebody who never opted in.
    #[serde(
        default,
        rename = "restricted",
        skip_serializing_if = "nobody",
        deserialize_with = "told"
    )]
    pub told: [bool; 2],
}

fn undated(since: &[Option<Timestamp>; 2]) -> bool {
    *since == [None, None]
}

fn nobody(told: &[bool; 2]) -> bool {
    *told == [false, false]
}

/// Version 0.1.0 wrote the opt-out itself here, when both had been told.
fn told<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<[bool; 2], D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Array(sides) => [0, 1].map(|side| sides.get(side) == Some(&Value::Bool(true))),
        Value::Null | Value::Bool(false) => [false, false],
        _ => [true, true],
    })
}

impl ConsentBase {
    /// What a side said.
    pub fn image(&self, side: Side) -> &ConsentState {
        match side {
            Side::A => &self.a,
            Side::B => &self.b,
        }
    }
}

/// An opt-out in force. It is stored with the person's records, outlives what the remotes show (HubSpot forgets it with
/// the address), and reaches every sync that one of the records is in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restriction {
    /// The account where it was seen.
    pub account: String,
    /// When the person opted out, or, where the remote does not know, when it was first seen.
    pub at: Timestamp,
    /// In the remote's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
}

/// What the two sides said about the address's deliverability when they were last reconciled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliverabilityBase {
    /// What A said.
    pub a: Option<DeliverabilityState>,
    /// What B said.
    pub b: Option<DeliverabilityState>,
}

/// What we wrote to a field lately, so that a value that goes to and fro between two remotes is noticed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flips {
    /// When and what: the normalised value's digest. Oldest first, a handful.
    pub written: Vec<(Timestamp, String)>,
}

/// The merge base of a link.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Base {
    /// By the name of the field mapping.
    #[serde(default)]
    pub fields: BTreeMap<String, FieldBase>,
    /// By `channel/purpose`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub consents: BTreeMap<String, ConsentBase>,
    /// `None` until first reconciled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deliverability: Option<DeliverabilityBase>,
    /// How often values of a field came back, by the name of the field mapping.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub flips: BTreeMap<String, Flips>,
    /// The pair came apart: a record was deleted or left, and that is settled. Nothing flows until both are there
    /// again; the link stays, so that the survivor is not created anew on the other side.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ended: bool,
}

/// The durable pairing of a record in A with one in B: the truth about identity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Link {
    /// Identifies it within the sync.
    pub id: LinkId,
    /// The record in A.
    pub a: RecordId,
    /// The record in B.
    pub b: RecordId,
    /// What both held when last reconciled.
    pub base: Base,
}

impl Link {
    /// The record of a side.
    pub fn record(&self, side: Side) -> &RecordId {
        match side {
            Side::A => &self.a,
            Side::B => &self.b,
        }
    }
}
