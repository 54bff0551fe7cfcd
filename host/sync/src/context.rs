//! What every part of a run shares.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use samspel_engine::{Policy, matching, settle};
use samspel_model::intent::{Effect, Intent};
use samspel_model::store::{Change, Commit, Endpoint, Lease, Observed, Receipt, Step};
use samspel_model::{
    Clock, Collection, Connector, Entity, Extent, Failure, Fields, Guard, Ids, RecordId, Side,
    Store,
};

use serde_json::Value;

use crate::error::SyncError;
use crate::losers::Lost;
use crate::offers::Offered;
use crate::recovery::LostCreates;
use crate::retry::retry;
use crate::{Party, SyncParts};

/// A write that is decided and not settled.
#[derive(Debug)]
struct Flying {
    id: String,
    /// At its target, if it changes a record: what it overwrites.
    update: Option<Arc<Intent>>,
    /// What it was seen to overwrite, by the name of the field's mapping, and is told in the journal.
    lost: Vec<(String, Value)>,
}

/// Records with writes that are decided and not settled. They are not planned meanwhile.
#[derive(Debug, Default)]
pub struct InFlight(HashMap<(Side, RecordId), Vec<Flying>>);

impl InFlight {
    /// Whether a record has such a write.
    pub fn contains(&self, side: Side, id: &RecordId) -> bool {
        self.0.contains_key(&(side, id.clone()))
    }

    /// Whether a record is being told of an opt-out.
    pub fn restricts(&self, side: Side, id: &RecordId) -> bool {
        let flying = self.0.get(&(side, id.clone()));
        let mut updates = flying.into_iter().flatten().flat_map(|one| &one.update);
        updates.any(|intent| intent.restricts)
    }

    /// All of them.
    pub fn records(&self) -> HashSet<(Side, RecordId)> {
        self.0.keys().cloned().collect()
    }

    /// A write was decided.
    pub fn add(&mut self, intent: &Intent) {
        let changes = matches!(intent.effect, Effect::Update(_));
        let shared = changes.then(|| Arc::new(intent.clone()));
        for (side, id) in touched(intent) {
            let update = shared.clone().filter(|_| side == intent.target);
            self.0.entry((side, id)).or_default().push(Flying {
                id: intent.id.clone(),
                update,
                lost: Vec::new(),
            });
        }
    }

    /// A write was settled or given up.
    pub fn remove(&mut self, intent: &Intent) {
        for record in touched(intent) {
            if let Entry::Occupied(mut flying) = self.0.entry(record) {
                flying.get_mut().retain(|one| one.id != intent.id);
                if flying.get().is_empty() {
                    flying.remove();
                }
            }
        }
    }

    /// Something was read of a record: the values that a write under way overwrites, which are told once.
    pub fn overwritten(
        &mut self,
        side: Side,
        id: &RecordId,
        fields: &Fields,
        policy: &Policy,
    ) -> Vec<Lost> {
        let mut told = Vec::new();
        for flying in self.0.get_mut(&(side, id.clone())).into_iter().flatten() {
            let Some(intent) = flying.update.clone() else {
                continue;
            };
            for (field, value) in settle::overwritten(&intent, fields, None, policy) {
                let value = value.clone();
                if flying.is_news(&field, &value) {
                    let intent = Arc::clone(&intent);
                    told.push(Lost {
                        intent,
                        field,
                        value,
                    });
                }
            }
        }
        told
    }

    /// Whether it was not told yet that a write has overwritten a value. It is from now on.
    pub fn is_news(&mut self, intent: &Intent, field: &str, value: &Value) -> bool {
        touched(intent).any(|(side, id)| {
            let flying = self.0.get_mut(&(side, id));
            let mut flying = flying.into_iter().flatten();
            let of_target = flying.find(|one| one.id == intent.id && one.update.is_some());
            of_target.is_some_and(|one| one.is_news(field, value))
        })
    }
}

impl Flying {
    fn is_news(&mut self, field: &str, value: &Value) -> bool {
        let known = self.lost.iter();
        let is_news = !known
            .into_iter()
            .any(|(of, lost)| of == field && lost == value);
        if is_news {
            self.lost.push((field.to_owned(), value.clone()));
        }
        is_news
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
    offered: Arc<Offered>,
    pub lease: Lease,
    pub run: String,
    in_flight: Mutex<InFlight>,
    /// Settlements read links, change them and store them, one after the other.
    pub settling: tokio::sync::Mutex<()>,
    /// What a side holds is not stored while a settlement looks at what is stored of it.
    observing: [tokio::sync::Mutex<()>; 2],
    /// Creates that were sent in this run, perhaps, and given up.
    tried: Mutex<HashSet<String>>,
    /// Records that seem to have been merged away, and were asked for.
    asked: Mutex<HashSet<(Side, RecordId)>>,
    /// Creates that may have been applied and were looked for in vain.
    pub lost_creates: LostCreates,
    /// When the lease was last known to be ours.
    renewed: Mutex<Timestamp>,
}

impl Context {
    /// `trust`: what the accounts were last found to offer is taken as it is, if that is known.
    pub async fn open(
        parts: &Arc<SyncParts>,
        lease: Lease,
        trust: bool,
    ) -> Result<Self, SyncError> {
        let known = parts.offers.known(parts).filter(|_| trust);
        let offered = match known {
            // Who was asked has said who it is.
            Some(known) => known,
            None => {
                let offered = parts.offers.ask(parts).await?;
                identities(parts, &lease).await?;
                offered
            }
        };
        Ok(Self {
            parts: Arc::clone(parts),
            offered,
            lease,
            run: parts.ids.next(),
            in_flight: Mutex::default(),
            tried: Mutex::default(),
            asked: Mutex::default(),
            lost_creates: LostCreates::default(),
            settling: tokio::sync::Mutex::default(),
            renewed: Mutex::new(parts.clock.now()),
            observing: [tokio::sync::Mutex::default(), tokio::sync::Mutex::default()],
        })
    }

    pub fn policy(&self) -> &Policy {
        &self.offered.policy
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
        &self.offered.collections[side.index()]
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

    pub async fn commit(&self, step: Step, changes: Vec<Change>) -> Result<Receipt, SyncError> {
        let commit = Commit {
            step,
            at: self.now(),
            changes,
        };
        Ok(self.store().commit(&self.lease, commit).await?)
    }

    /// Before something is sent: a process that stood still for longer than its lease must not go on where another one
    /// has found out what became of its writes. The store is asked only if the lease may have run out.
    pub async fn still_leased(&self) -> Result<(), SyncError> {
        let now = self.now();
        let ttl = self.parts.lease_ttl;
        let is_fresh = {
            let renewed = self.renewed.lock().unwrap_or_else(PoisonError::into_inner);
            now.duration_since(*renewed).unsigned_abs() < ttl / 2
        };
        if !is_fresh && Guard::LeaseFence.stands() {
            self.store().renew_lease(&self.lease, now, ttl).await?;
            // Only now: whoever asks meanwhile must not go on before it is known.
            *self.renewed.lock().unwrap_or_else(PoisonError::into_inner) = now;
        }
        Ok(())
    }

    /// Nobody else stores what a side holds for as long as this is held.
    pub async fn observing(&self, side: Side) -> tokio::sync::MutexGuard<'_, ()> {
        self.observing[side.index()].lock().await
    }

    /// A create was given up. It is made again under the same key.
    pub fn tried(&self, key: &str) {
        let mut tried = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
        tried.insert(key.to_owned());
    }

    /// Whether a create was given up before.
    pub fn was_tried(&self, key: &str) -> bool {
        let tried = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
        tried.contains(key)
    }

    /// Whether a record that seems to have been merged away was not asked for yet in this run. It is from now on.
    pub fn is_first_asked(&self, side: Side, id: &RecordId) -> bool {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.insert((side, id.clone()))
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
            extent: Extent::Whole,
        }
    }

    /// What a connector is told about a record that it is to change: the fields that have a role.
    pub fn known_roles(&self, side: Side, fields: &Fields) -> Fields {
        self.policy().roles[side.index()]
            .iter()
            .filter_map(|name| Some((name.clone(), fields.get(name)?.clone())))
            .collect()
    }

    /// An account's failure as the run's error.
    pub fn account(&self, side: Side, failure: Failure) -> SyncError {
        account_error(&self.parts, side, failure)
    }
}

pub fn account_error(parts: &SyncParts, side: Side, failure: Failure) -> SyncError {
    SyncError::Account {
        side,
        account: parts.parties[side.index()].endpoint.account.clone(),
        failure,
    }
}

/// What is stored belongs to who the accounts were when it was read. Where nothing is known of that, or an account's
/// settings have changed, it is asked.
async fn identities(parts: &SyncParts, lease: &Lease) -> Result<(), SyncError> {
    for side in Side::BOTH {
        let party = &parts.parties[side.index()];
        let account = &party.endpoint.account;
        let known = parts.store.account(account).await?;
        let cursor = parts.store.cursor(&parts.name, side).await?;
        let same_scope = cursor.is_none_or(|cursor| cursor.scope == party.scope);
        if known.is_some() && same_scope {
            continue;
        }
        let now = retry(parts.clock.as_ref(), parts.ids.as_ref(), "check", || {
            party.connector.check()
        })
        .await
        .map_err(|failure| account_error(parts, side, failure))?;
        match known {
            Some(known) if known == now.id => {}
            Some(known) => {
                return Err(SyncError::OtherAccount {
                    sync: parts.name.clone(),
                    account: account.clone(),
                    known,
                    now: now.id,
                });
            }
            None => {
                let commit = Commit {
                    step: Step::Identify,
                    at: parts.clock.now(),
                    changes: vec![Change::PutAccount {
                        account: account.clone(),
                        identity: now.id,
                    }],
                };
                parts.store.commit(lease, commit).await?;
            }
        }
    }
    Ok(())
}
