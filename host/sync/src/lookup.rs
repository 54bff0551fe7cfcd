//! Finding the record that a person means.

use samspel_engine::SyncSpec;
use samspel_model::store::{Endpoint, Observation};
use samspel_model::{RecordId, Side, Store};

use crate::error::SyncError;

/// How many records with one address are told apart.
const SAME: u32 = 20;

/// The collections of a sync.
pub fn endpoints(spec: &SyncSpec) -> [Endpoint; 2] {
    [&spec.a, &spec.b].map(|side| Endpoint {
        account: side.account.clone(),
        collection: side.collection.clone(),
    })
}

/// The records of a sync that a text can mean: by id on either side, or else by the value of the match field. Of a
/// linked pair, which is one person, only one is told. `side`: only of this one.
///
/// # Errors
/// [`SyncError::Store`].
pub async fn find_records(
    store: &dyn Store,
    sync: &str,
    spec: &SyncSpec,
    text: &str,
    side: Option<Side>,
) -> Result<Vec<(Side, Observation)>, SyncError> {
    let endpoints = endpoints(spec);
    let sides = || {
        Side::BOTH
            .into_iter()
            .filter(|of| side.is_none_or(|only| only == *of))
    };
    let mut found = Vec::new();
    for of in sides() {
        let id = [RecordId::from(text)];
        let seen = store.observations(&endpoints[of.index()], &id).await?;
        found.extend(seen.into_iter().map(|seen| (of, seen)));
    }
    if found.is_empty() {
        let key = [text.trim().to_lowercase()];
        for of in sides() {
            let endpoint = &endpoints[of.index()];
            let field = [&spec.match_on.a, &spec.match_on.b][of.index()];
            let holders = store.records_by_key(endpoint, field, &key, SAME).await?;
            let ids: Vec<RecordId> = holders.into_iter().map(|(_, id)| id).collect();
            let seen = store.observations(endpoint, &ids).await?;
            found.extend(seen.into_iter().map(|seen| (of, seen)));
        }
    }
    without_partners(store, sync, found).await
}

/// Leaves records of B out whose partners in A are there.
async fn without_partners(
    store: &dyn Store,
    sync: &str,
    found: Vec<(Side, Observation)>,
) -> Result<Vec<(Side, Observation)>, SyncError> {
    let ids: Vec<RecordId> = found
        .iter()
        .filter(|(side, _)| *side == Side::A)
        .map(|(_, seen)| seen.id.clone())
        .collect();
    if ids.is_empty() {
        return Ok(found);
    }
    let links = store.links_by_record(sync, Side::A, &ids).await?;
    Ok(found
        .into_iter()
        .filter(|(side, seen)| *side == Side::A || links.iter().all(|link| link.b != seen.id))
        .collect())
}
