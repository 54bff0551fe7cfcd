//! Which records are one. The link table is the truth; keys only propose links, and a key that is not unique proposes
//! none.

use samspel_model::{Collection, Entity, Field, RecordId, Role};
use serde_json::Value;

use crate::normalize::Normalizer;
use crate::spec::Normalize;

/// A present record of the other side that has the same key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The record.
    pub id: RecordId,
    /// It is linked to another record already.
    pub linked: bool,
}

/// What to do with a record that is not linked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proposal {
    /// Link it with this record.
    Link(RecordId),
    /// There is none: it can be created.
    Create,
    /// A person decides; why.
    Ambiguous(String),
}

/// Proposes what an unlinked record belongs to. `twins` counts the other present records of its own side with the
/// same key.
pub fn propose(twins: usize, candidates: &[Candidate]) -> Proposal {
    if twins > 0 {
        return Proposal::Ambiguous(format!(
            "{} records of this side have the same key; merge them, or change all but one",
            twins + 1
        ));
    }
    match candidates {
        [] => Proposal::Create,
        [only] if !only.linked => Proposal::Link(only.id.clone()),
        [only] => Proposal::Ambiguous(format!(
            "the record with the same key, `{}`, is linked to another record; merge the two",
            only.id
        )),
        several => Proposal::Ambiguous(format!(
            "{} records of the other side have the same key; merge them, or change all but one",
            several.len()
        )),
    }
}

/// Whether records can be matched on a field.
pub fn is_key(field: &Field) -> bool {
    key_form(field).is_some()
}

/// How the key of a field is written in an index. It follows from the field's role alone, so that all syncs that use
/// the collection share one index: phone numbers as E.164, everything else as text in lower case.
fn key_form(field: &Field) -> Option<Normalize> {
    if field.has(&Role::Email) || field.has(&Role::UniqueKey) {
        Some(Normalize::Email)
    } else if field.has(&Role::Phone) {
        Some(Normalize::Phone)
    } else {
        None
    }
}

/// The key that a value of a field has, if it has one.
pub fn key(field: &Field, value: &Value) -> Option<String> {
    let normalizer = Normalizer::new(key_form(field)?, None).ok()?;
    normalizer.normal(value).as_text().map(str::to_owned)
}

/// In the index of keys, the field under which a record is found by the ids of those that were merged into it.
pub const ALIAS: &str = "samspel:alias";

/// The keys of a record: field name and key, for every field that records can be matched on, and its former ids.
pub fn keys(collection: &Collection, entity: &Entity) -> Vec<(String, String)> {
    let keys = collection.fields.iter().filter_map(|field| {
        let value = entity.fields.get(&field.name)?;
        Some((field.name.clone(), key(field, value)?))
    });
    let aliases = entity.aliases.iter();
    keys.chain(aliases.map(|alias| (ALIAS.to_owned(), alias.as_str().to_owned())))
        .collect()
}
