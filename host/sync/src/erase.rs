//! Forgetting a person: everything that is known about the person's records goes, in every sync, and what remains is
//! that somebody with this address must not be written to.

use std::collections::BTreeSet;
use std::time::Duration;

use samspel_engine::pseudonym::Pseudonyms;
use samspel_model::store::{Change, Commit, Endpoint, Lease, Step, Suppression};
use samspel_model::{Clock, RecordId, Side, Store};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::SyncError;

/// Long enough for a few commits.
const LEASE: Duration = Duration::from_secs(30);

/// A sync, as far as erasing is concerned.
#[derive(Debug, Clone)]
pub struct Concerned {
    /// Its name.
    pub sync: String,
    /// Its sides.
    pub endpoints: [Endpoint; 2],
    /// The match field of each side: an address, if the sync matches by addresses.
    pub match_fields: [String; 2],
}

/// What was forgotten.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erasure {
    /// The records, as `account/collection/id`.
    pub records: Vec<String>,
    /// Addresses that are suppressed from now on. Only their number can be told.
    pub suppressed: u64,
}

/// Forgets the person behind a record: in all of these syncs, whose links tell which records are the same person's.
///
/// The remotes are not touched: erase the person there first, or the next run reads the records again, as those of
/// somebody who has opted out.
///
/// # Errors
/// [`SyncError::Store`], also if somebody works on one of the syncs; then nothing was forgotten.
pub async fn erase(
    store: &dyn Store,
    clock: &dyn Clock,
    owner: &str,
    syncs: &[Concerned],
    pseudonyms: &Pseudonyms,
    start: (Endpoint, RecordId),
) -> Result<Erasure, SyncError> {
    let mut leases = Vec::with_capacity(syncs.len());
    let done = async {
        for concerned in syncs {
            store
                .register(&concerned.sync, &concerned.endpoints)
                .await?;
            let lease = store
                .acquire_lease(&concerned.sync, owner, clock.now(), LEASE)
                .await?;
            leases.push(lease);
        }
        forget(store, clock, leases.first(), syncs, pseudonyms, start).await
    };
    let done = done.await;
    let mut released = Ok(());
    for lease in &leases {
        released = released.and(store.release_lease(lease).await);
    }
    let done = done?;
    released?;
    Ok(done)
}

async fn forget(
    store: &dyn Store,
    clock: &dyn Clock,
    lease: Option<&Lease>,
    syncs: &[Concerned],
    pseudonyms: &Pseudonyms,
    start: (Endpoint, RecordId),
) -> Result<Erasure, SyncError> {
    let Some(lease) = lease else {
        return Ok(Erasure::default());
    };
    let records = person(store, syncs, start).await?;
    let mut hashes = BTreeSet::new();
    for (endpoint, id) in &records {
        let seen = store
            .observations(endpoint, std::slice::from_ref(id))
            .await?;
        for concerned in syncs {
            for side in Side::BOTH {
                if concerned.endpoints[side.index()] != *endpoint {
                    continue;
                }
                let field = &concerned.match_fields[side.index()];
                let addresses = seen
                    .iter()
                    .filter_map(|seen| seen.fields.get(field).and_then(Value::as_str))
                    // A sync may match by something else, such as a phone number.
                    .filter(|value| value.contains('@'));
                hashes.extend(addresses.filter_map(|address| pseudonyms.of(address)));
            }
        }
    }
    let at = clock.now();
    let suppressed = hashes.len() as u64;
    let mut changes = vec![Change::Suppress(
        hashes
            .into_iter()
            .map(|pseudonym| Suppression {
                pseudonym,
                channel: "email".to_owned(),
                at,
            })
            .collect(),
    )];
    for (endpoint, id) in &records {
        changes.push(Change::Erase {
            endpoint: endpoint.clone(),
            records: vec![id.clone()],
        });
    }
    changes.retain(|change| !change.is_empty());
    let commit = Commit {
        step: Step::Operate,
        at,
        changes,
    };
    store.commit(lease, commit).await?;
    Ok(Erasure {
        records: records
            .iter()
            .map(|(endpoint, id)| format!("{}/{}/{id}", endpoint.account, endpoint.collection))
            .collect(),
        suppressed,
    })
}

/// All records that links make one person, through any number of syncs.
///
/// # Errors
/// [`SyncError::Store`].
pub async fn person(
    store: &dyn Store,
    syncs: &[Concerned],
    start: (Endpoint, RecordId),
) -> Result<BTreeSet<(Endpoint, RecordId)>, SyncError> {
    let mut found = BTreeSet::from([start.clone()]);
    let mut queue = vec![start];
    while let Some((endpoint, id)) = queue.pop() {
        for concerned in syncs {
            for side in Side::BOTH {
                if concerned.endpoints[side.index()] != endpoint {
                    continue;
                }
                let links = store
                    .links_by_record(&concerned.sync, side, std::slice::from_ref(&id))
                    .await?;
                for link in links {
                    let other = side.other();
                    let partner = (
                        concerned.endpoints[other.index()].clone(),
                        link.record(other).clone(),
                    );
                    if found.insert(partner.clone()) {
                        queue.push(partner);
                    }
                }
            }
        }
    }
    Ok(found)
}
