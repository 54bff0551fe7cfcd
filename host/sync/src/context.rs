//! What every part of a run shares.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use samspel_engine::{Policy, matching};
use samspel_model::intent::Intent;
use samspel_model::store::{Change, Endpoint, Lease, Observed, Receipt};
use samspel_model::{
    Clock, Collection, Connector, Entity, Failure, Fields, Ids, RecordId, Side, Store,
};

use crate::error::SyncError;
use crate::retry::retry;
use crate::{Party, SyncParts};

/// Records with writes that are decided and not settled, and how many. They are not planned meanwhile.
#[derive(Debug, Default)]
pub struct InFlight(HashMap<(Side, RecordId), usize>);

impl InFlight {
    /// Whether a record has such a write.
    pub fn contains(&self, side: Side, id: &RecordId) -> bool {
        self.0.contains_key(&(side, id.clone()))
    }

    /// A write was decided.
    pub fn add(&mut self, intent: &Intent) {
        for record in touched(intent) {
            *self.0.entry(record).or_default() += 1;
        }
    }

    /// A write was settled or given up.
    pub fn remove(&mut self, intent: &Intent) {
        for record in touched(intent) {
            if let Entry::Occupied(mut count) = self.0.entry(record) {
                *count.get_mut() -= 1;
                if *count.get() == 0 {
                    count.remove();
                }
            }
        }
    }
}

/// The records that must not be planned while an intent is under way.
fn touched(intent: &Intent) -> impl Iterator<Item = (Side, RecordId)> {
    let source = (intent.target.other(), intent.source_record.clone());
    let target = intent
        .effect
        .target_record()
        .map(|id| (intent.target, id.clone()));
    std::iter::once(source).chain(target)
}

/// What every part of a run shares. Made once both accounts have told what they offer.
pub struct Context {
    pub parts: Arc<SyncParts>,
    pub policy: Policy,
    pub collections: [Collection; 2],
    pub lease: Lease,
    pub run: String,
    in_flight: Mutex<InFlight>,
    /// Settlements read links, change them and store them, one after the other.
    pub settling: tokio::sync::Mutex<()>,
}

impl Context {
    /// Asks both accounts what they offer and checks the specification against it.
    pub async fn open(parts: &Arc<SyncParts>, lease: Lease) -> Result<Self, SyncError> {
        let (a, b) =
            futures::future::join(collection(parts, Side::A), collection(parts, Side::B)).await;
        let collections = [a?, b?];
        let policy =
            Policy::compile(&parts.spec, &collections[0], &collections[1]).map_err(|errors| {
                SyncError::Policy {
                    sync: parts.name.clone(),
                    errors,
                }
            })?;
        Ok(Self {
            parts: Arc::clone(parts),
            policy,
            collections,
            lease,
            run: parts.ids.next(),
            in_flight: Mutex::default(),
            settling: tokio::sync::Mutex::default(),
        })
    }

    pub fn party(&self, side: Side) -> &Party {
        &self.parts.parties[side.index()]
    }

    pub fn endpoint(&self, side: Side) -> &Endpoint {
        &self.party(side).endpoint
    }

    pub fn connector(&self, side: Side) -> &dyn Connector {
        self.party(side).connector.as_ref()
    }

    pub fn collection(&self, side: Side) -> &Collection {
        &self.collections[side.index()]
    }

    pub fn store(&self) -> &dyn Store {
        self.parts.store.as_ref()
    }

    pub fn clock(&self) -> &dyn Clock {
        self.parts.clock.as_ref()
    }

    pub fn ids(&self) -> &dyn Ids {
        self.parts.ids.as_ref()
    }

    pub fn name(&self) -> &str {
        &self.parts.name
    }

    pub fn now(&self) -> Timestamp {
        self.parts.clock.now()
    }

    pub async fn commit(&self, changes: Vec<Change>) -> Result<Receipt, SyncError> {
        Ok(self.store().commit(&self.lease, changes).await?)
    }

    pub fn in_flight(&self) -> MutexGuard<'_, InFlight> {
        // A panic while it is held leaves it usable: entries are only ever added and removed.
        self.in_flight
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// A record with the keys by which it can be matched.
    pub fn observed(&self, side: Side, entity: Entity) -> Observed {
        Observed {
            keys: matching::keys(self.collection(side), &entity),
            entity,
        }
    }

    /// What a connector is told about a record that it is to change: the fields that have a role.
    pub fn known_roles(&self, side: Side, fields: &Fields) -> Fields {
        self.policy.roles[side.index()]
            .iter()
            .filter_map(|name| Some((name.clone(), fields.get(name)?.clone())))
            .collect()
    }

    /// An account's failure as the run's error.
    pub fn account(&self, side: Side, failure: Failure) -> SyncError {
        account_error(&self.parts, side, failure)
    }
}

fn account_error(parts: &SyncParts, side: Side, failure: Failure) -> SyncError {
    SyncError::Account {
        side,
        account: parts.parties[side.index()].endpoint.account.clone(),
        failure,
    }
}

async fn collection(parts: &SyncParts, side: Side) -> Result<Collection, SyncError> {
    let party = &parts.parties[side.index()];
    let collections = retry(parts.clock.as_ref(), "collections", || {
        party.connector.collections()
    })
    .await
    .map_err(|failure| account_error(parts, side, failure))?;
    let known: Vec<String> = collections
        .iter()
        .map(|collection| format!("`{}`", collection.name))
        .collect();
    collections
        .into_iter()
        .find(|collection| collection.name == party.endpoint.collection)
        .ok_or_else(|| SyncError::NoCollection {
            sync: parts.name.clone(),
            side,
            account: party.endpoint.account.clone(),
            collection: party.endpoint.collection.clone(),
            known: known.join(", "),
        })
}
