//! What every connector must do, whatever its remote is: looked at with a page that it reads of each collection that is
//! used.
//!
//! Recordings of what an earlier version was answered would hold people's data, and only show what that version asked
//! for; so a version that is probed asks the remote itself.

use std::collections::{BTreeSet, HashMap};

use samspel_model::change::{Page, ReadMode, ReadRequest};
use samspel_model::{
    Access, Collection, Connector, Entity, Extent, Failure, Fetched, Fields, RecordId,
};

/// Records of the page that is looked at.
const RECORDS: u32 = 10;

/// Why a connector does not conform, or could not be looked at.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It does not conform.
    Against(String),
    /// A call failed.
    Failed(Failure),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Reads a page of a collection, the records on it by their ids, and on from the position that it gives.
pub(super) async fn look(
    connector: &dyn Connector,
    collection: &Collection,
) -> Result<(), Trouble> {
    let request = |mode| ReadRequest {
        collection: collection.name.clone(),
        mode,
        fields: None,
        limit: RECORDS.min(collection.capabilities.max_page.max(1)),
    };
    let mut page = connector.changes(request(ReadMode::Snapshot(None))).await?;
    first_page(collection, &page).map_err(Trouble::Against)?;
    if let Err(differs) = listed_as_fetched(connector, collection, &page).await? {
        // Some remotes change a record without a new version; not twice at that moment.
        tracing::debug!(differs, "listed and fetched once more");
        page = connector.changes(request(ReadMode::Snapshot(None))).await?;
        listed_as_fetched(connector, collection, &page)
            .await?
            .map_err(Trouble::Against)?;
    }
    if let Some(position) = page.resume_cursor {
        match connector
            .changes(request(ReadMode::Incremental(position)))
            .await
        {
            Ok(_) => {}
            Err(Failure::ExpiredCursor) => {
                return Err(Trouble::Against(format!(
                    "the position that it gives for `{}` has expired at once",
                    collection.name
                )));
            }
            Err(failure) => return Err(failure.into()),
        }
    }
    Ok(())
}

/// Fetches the records of a page.
async fn listed_as_fetched(
    connector: &dyn Connector,
    collection: &Collection,
    page: &Page,
) -> Result<Result<(), String>, Failure> {
    let most = RECORDS.min(collection.capabilities.max_fetch.max(1)) as usize;
    let listed: Vec<&Entity> = page.records.iter().take(most).collect();
    if listed.is_empty() {
        return Ok(Ok(()));
    }
    let ids: Vec<RecordId> = listed.iter().map(|entity| entity.id.clone()).collect();
    let fetched = connector
        .fetch(&collection.name, &ids, None, Extent::Whole)
        .await?;
    Ok(fetched_as_listed(collection, &listed, &fetched))
}

/// The first page of a snapshot.
fn first_page(collection: &Collection, page: &Page) -> Result<(), String> {
    let name = &collection.name;
    if page.more && page.next.is_none() {
        return Err(format!(
            "a page of `{name}` says that more follows and not where"
        ));
    }
    if collection.capabilities.incremental && page.resume_cursor.is_none() {
        return Err(format!(
            "it says that changes of `{name}` can be read, and gives no position to read on from"
        ));
    }
    let declared: BTreeSet<&str> = collection
        .fields
        .iter()
        .map(|field| field.name.as_str())
        .collect();
    let read = page.records.iter().flat_map(|entity| entity.fields.keys());
    for field in read {
        if !declared.contains(field.as_str()) {
            return Err(format!(
                "a record of `{name}` has a field `{field}`, which the collection does not"
            ));
        }
    }
    Ok(())
}

/// Records that were asked for by their ids, right after they were listed: what can be written. What the remote
/// computes may change by itself.
fn fetched_as_listed(
    collection: &Collection,
    listed: &[&Entity],
    fetched: &[Fetched],
) -> Result<(), String> {
    let written: BTreeSet<&str> = collection
        .fields
        .iter()
        .filter(|field| field.access == Access::ReadWrite)
        .map(|field| field.name.as_str())
        .collect();
    let listed: HashMap<&RecordId, &Entity> =
        listed.iter().map(|entity| (&entity.id, *entity)).collect();
    for answer in fetched {
        let Fetched::Found(now) = answer else {
            continue;
        };
        let Some(then) = listed.get(&now.id) else {
            // It was merged into this one meanwhile.
            continue;
        };
        let same_version = now.revision.is_some() && now.revision == then.revision;
        if same_version && let Some(field) = differing(&written, &then.fields, &now.fields) {
            return Err(format!(
                "it lists `{field}` of a record with another value than it fetches of the same version"
            ));
        }
    }
    Ok(())
}

/// One of these fields that both have, with different values.
fn differing<'f>(of: &BTreeSet<&str>, listed: &'f Fields, fetched: &Fields) -> Option<&'f str> {
    listed
        .iter()
        .filter(|(name, _)| of.contains(name.as_str()))
        .find(|(name, value)| fetched.get(*name).is_some_and(|now| now != *value))
        .map(|(name, _)| name.as_str())
}

#[cfg(test)]
mod tests {
    use samspel_model::{
        Capabilities, DeleteVisibility, Field, Revision, schema::DeliverabilitySupport,
    };
    use serde_json::json;

    use super::*;

    fn collection() -> Collection {
        Collection {
            name: "contacts".to_owned(),
            title: "Contacts".to_owned(),
            fields: vec![Field {
                name: "name".to_owned(),
                title: "Name".to_owned(),
                schema: json!({ "type": "string" }),
                roles: Vec::new(),
                access: Access::ReadWrite,
                required: false,
            }],
            consent_slots: Vec::new(),
            deliverability: DeliverabilitySupport::None,
            capabilities: Capabilities {
                incremental: true,
                deletes: DeleteVisibility::Reported,
                hidden_changes: false,
                preconditions: false,
                findable: Vec::new(),
                max_page: 100,
                max_fetch: 100,
                max_find: 100,
                max_write: 100,
                can_create: true,
                can_archive: true,
                can_delete: false,
            },
        }
    }

    fn version(token: &str) -> Revision {
        Revision {
            token: token.to_owned(),
            order: None,
        }
    }

    fn record(field: &str, value: &str) -> Entity {
        let mut fields = Fields::new();
        fields.insert(field.to_owned(), json!(value));
        Entity {
            id: RecordId::new("1"),
            revision: Some(version("7")),
            fields,
            consents: Vec::new(),
            deliverability: None,
            aliases: Vec::new(),
            modified: None,
        }
    }

    fn page(records: Vec<Entity>) -> Page {
        Page {
            records,
            tombstones: Vec::new(),
            next: None,
            more: false,
            resume_cursor: Some("c".to_owned()),
            complete: true,
        }
    }

    #[test]
    fn a_page_names_what_follows_and_where_changes_begin() {
        let good = page(vec![record("name", "Ann")]);
        assert_eq!(first_page(&collection(), &good), Ok(()));
        let lost = Page {
            more: true,
            ..good.clone()
        };
        assert!(first_page(&collection(), &lost).is_err());
        let nowhere = Page {
            resume_cursor: None,
            ..good
        };
        assert!(first_page(&collection(), &nowhere).is_err());
        let mut without_changes = collection();
        without_changes.capabilities.incremental = false;
        assert_eq!(first_page(&without_changes, &nowhere), Ok(()));
    }

    #[test]
    fn a_field_that_the_collection_does_not_have_is_named() {
        let why = first_page(&collection(), &page(vec![record("nickname", "Ann")]));
        assert!(why.is_err_and(|why| why.contains("`nickname`")));
    }

    #[test]
    fn the_same_version_is_fetched_as_it_is_listed() {
        let listed = record("name", "Ann");
        let other = record("name", "Anna");
        let same = [Fetched::Found(listed.clone())];
        let collection = collection();
        let look = |fetched: &[Fetched]| fetched_as_listed(&collection, &[&listed], fetched);
        assert_eq!(look(&same), Ok(()));
        let differs = [Fetched::Found(other.clone())];
        assert!(look(&differs).is_err());
        let newer = [Fetched::Found(Entity {
            revision: Some(version("8")),
            ..other
        })];
        assert_eq!(look(&newer), Ok(()));
        // What nobody can write the remote may compute anew.
        let mut computed = collection.clone();
        computed.fields[0].access = Access::ReadOnly;
        assert_eq!(fetched_as_listed(&computed, &[&listed], &differs), Ok(()));
    }
}
