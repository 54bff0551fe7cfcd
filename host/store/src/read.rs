//! Rows of observations and links, and how they become what they stand for.

use jiff::Timestamp;
use samspel_model::store::{Observation, StoreError};
use samspel_model::{Extent, Link, LinkId, Presence, RecordId, Revision};
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row};

use crate::context::{decode, unsigned};

/// A row of `observation` without its endpoint.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ObservationRow {
    pub id: String,
    pub presence: String,
    pub hash: String,
    pub fields: String,
    pub consents: String,
    pub deliverability: Option<String>,
    pub aliases: String,
    pub keys: String,
    pub revision_token: Option<String>,
    pub revision_order: Option<i64>,
    pub modified: Option<String>,
    pub snapshot: Option<i64>,
    pub written_seq: Option<i64>,
    pub changed_seq: Option<i64>,
    pub merged_into: Option<String>,
}

impl<'r> FromRow<'r, SqliteRow> for ObservationRow {
    fn from_row(row: &'r SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get("id")?,
            presence: row.try_get("presence")?,
            hash: row.try_get("hash")?,
            fields: row.try_get("fields")?,
            consents: row.try_get("consents")?,
            deliverability: row.try_get("deliverability")?,
            aliases: row.try_get("aliases")?,
            keys: row.try_get("keys")?,
            revision_token: row.try_get("revision_token")?,
            revision_order: row.try_get("revision_order")?,
            modified: row.try_get("modified")?,
            snapshot: row.try_get("snapshot")?,
            written_seq: row.try_get("written_seq")?,
            changed_seq: row.try_get("changed_seq")?,
            merged_into: row.try_get("merged_into")?,
        })
    }
}

impl ObservationRow {
    /// What the row stands for.
    pub fn understand(&self) -> Result<Observation, StoreError> {
        let what = "the observation of record";
        let modified = self.modified.as_deref().map(str::parse::<Timestamp>);
        Ok(Observation {
            id: RecordId::new(&self.id),
            presence: presence(&self.id, &self.presence)?,
            fields: decode(what, &self.id, &self.fields)?,
            consents: decode(what, &self.id, &self.consents)?,
            deliverability: self
                .deliverability
                .as_deref()
                .map(|text| decode(what, &self.id, text))
                .transpose()?,
            revision: self.revision_token.as_ref().map(|token| Revision {
                token: token.clone(),
                order: self.revision_order.map(unsigned),
            }),
            modified: modified.transpose().map_err(|error| StoreError::Damaged {
                what: format!("{what} `{}`", self.id),
                why: error.to_string(),
            })?,
            aliases: decode(what, &self.id, &self.aliases)?,
            merged_into: self.merged_into.as_deref().map(RecordId::new),
            hash: self.hash.clone(),
        })
    }
}

/// As it is spelt in the database.
pub(crate) fn spelt(presence: Presence) -> &'static str {
    match presence {
        Presence::Present => "present",
        Presence::Archived => "archived",
        Presence::Gone => "gone",
        Presence::OutOfScope => "out-of-scope",
    }
}

fn presence(id: &str, text: &str) -> Result<Presence, StoreError> {
    match text {
        "present" => Ok(Presence::Present),
        "archived" => Ok(Presence::Archived),
        "gone" => Ok(Presence::Gone),
        "out-of-scope" => Ok(Presence::OutOfScope),
        other => Err(StoreError::Damaged {
            what: format!("the presence of record `{id}`"),
            why: format!("`{other}` is none"),
        }),
    }
}

/// What a queued record owes, as `dirty.owed` has it.
pub(crate) fn owing(refetch: Option<Extent>) -> i64 {
    match refetch {
        None => 0,
        Some(Extent::Values) => 1,
        Some(Extent::Whole) => 2,
    }
}

/// What `dirty.owed` stands for. The schema allows 0 to 2 only.
pub(crate) fn owed_extent(owed: i64) -> Option<Extent> {
    match owed {
        0 => None,
        1 => Some(Extent::Values),
        _ => Some(Extent::Whole),
    }
}

/// A row of `link`: id, a, b, base.
pub(crate) type LinkRow = (String, String, String, String);

/// What the row stands for.
pub(crate) fn link((id, a, b, base): LinkRow) -> Result<Link, StoreError> {
    Ok(Link {
        base: decode("the base of link", &id, &base)?,
        id: LinkId(id),
        a: RecordId::new(a),
        b: RecordId::new(b),
    })
}
