//! A store under the names that the configuration uses now.
//!
//! What is stored about an account or a sync is kept under its id, which stays when the operator renames it (`id` in
//! the configuration). Above this, everybody speaks of names; below, of ids.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use samspel_model::hook::{Hinted, Hook, HookStore, HookSubscription};
use samspel_model::intent::Intent;
use samspel_model::journal::JournalEntry;
use samspel_model::store::{
    Change, Commit, Conflict, Cursor, Decision, Dirty, Endpoint, JournalOf, Lease, Observation,
    Parked, Receipt, RecordRestriction, RunRecord, Sequence, StoreError, Suppression, SyncCounts,
    SyncState, Waiting,
};
use samspel_model::{Link, LinkId, RecordId, Side, Store};

use crate::config::Config;

/// See the module.
pub struct Renamed<S> {
    store: Arc<S>,
    accounts: Ids,
    syncs: Ids,
}

/// Those that differ from their names.
#[derive(Default)]
struct Ids {
    by_name: HashMap<String, String>,
    by_id: HashMap<String, String>,
}

impl Ids {
    fn new<'a>(pairs: impl Iterator<Item = (&'a String, &'a Option<String>)>) -> Self {
        let mut ids = Self::default();
        for (name, id) in pairs {
            if let Some(id) = id
                && id != name
            {
                ids.by_name.insert(name.clone(), id.clone());
                ids.by_id.insert(id.clone(), name.clone());
            }
        }
        ids
    }

    fn id<'a>(&'a self, name: &'a str) -> &'a str {
        self.by_name.get(name).map_or(name, String::as_str)
    }

    fn name(&self, id: String) -> String {
        self.by_id.get(&id).cloned().unwrap_or(id)
    }
}

impl<S> Renamed<S> {
    /// A store under the names of this configuration.
    pub fn new(store: Arc<S>, config: &Config) -> Self {
        Self {
            store,
            accounts: Ids::new(config.accounts.iter().map(|(name, of)| (name, &of.id))),
            syncs: Ids::new(config.syncs.iter().map(|(name, of)| (name, &of.id))),
        }
    }

    fn sync<'a>(&'a self, name: &'a str) -> &'a str {
        self.syncs.id(name)
    }

    fn endpoint(&self, endpoint: &Endpoint) -> Endpoint {
        Endpoint {
            account: self.accounts.id(&endpoint.account).to_owned(),
            collection: endpoint.collection.clone(),
        }
    }

    fn named(&self, endpoint: Endpoint) -> Endpoint {
        Endpoint {
            account: self.accounts.name(endpoint.account),
            collection: endpoint.collection,
        }
    }

    fn lease(&self, lease: &Lease) -> Lease {
        Lease {
            sync: self.sync(&lease.sync).to_owned(),
            ..lease.clone()
        }
    }

    fn change(&self, change: Change) -> Change {
        match change {
            Change::Observe {
                endpoint,
                source,
                sent,
                snapshot,
                records,
                tombstones,
            } => Change::Observe {
                endpoint: self.endpoint(&endpoint),
                source,
                sent,
                snapshot,
                records,
                tombstones,
            },
            Change::Seen {
                endpoint,
                snapshot,
                ids,
            } => Change::Seen {
                endpoint: self.endpoint(&endpoint),
                snapshot,
                ids,
            },
            Change::Restrict(restrictions) => Change::Restrict(
                restrictions
                    .into_iter()
                    .map(|restriction| RecordRestriction {
                        endpoint: self.endpoint(&restriction.endpoint),
                        ..restriction
                    })
                    .collect(),
            ),
            Change::Lift {
                endpoint,
                restrictions,
            } => Change::Lift {
                endpoint: self.endpoint(&endpoint),
                restrictions,
            },
            Change::Erase { endpoint, records } => Change::Erase {
                endpoint: self.endpoint(&endpoint),
                records,
            },
            Change::PutAccount { account, identity } => Change::PutAccount {
                account: self.accounts.id(&account).to_owned(),
                identity,
            },
            other @ (Change::MarkDirty { .. }
            | Change::Fetched(_)
            | Change::Clean(_)
            | Change::PutLinks(_)
            | Change::RemoveLinks(_)
            | Change::PutIntents(_)
            | Change::RemoveIntents(_)
            | Change::PutConflicts(_)
            | Change::RemoveConflicts { .. }
            | Change::Park(_)
            | Change::Unpark { .. }
            | Change::Journal(_)
            | Change::PutCursor { .. }
            | Change::PutRun(_)
            | Change::KeepRuns(_)
            | Change::PutState(_)
            | Change::PutDecisions(_)
            | Change::RemoveDecisions(_)
            | Change::Suppress(_)) => other,
        }
    }

    /// An error, about the sync by its name.
    fn told(&self, error: StoreError) -> StoreError {
        match error {
            StoreError::Held { sync, owner, until } => StoreError::Held {
                sync: self.syncs.name(sync),
                owner,
                until,
            },
            StoreError::LeaseLost { sync } => StoreError::LeaseLost {
                sync: self.syncs.name(sync),
            },
            other => other,
        }
    }
}

#[async_trait]
impl<S: Store> Store for Renamed<S> {
    fn sequence(&self) -> Sequence {
        self.store.sequence()
    }

    async fn register(&self, sync: &str, endpoints: &[Endpoint; 2]) -> Result<(), StoreError> {
        let endpoints = endpoints.each_ref().map(|of| self.endpoint(of));
        self.store.register(self.sync(sync), &endpoints).await
    }

    async fn acquire_lease(
        &self,
        sync: &str,
        owner: &str,
        now: Timestamp,
        ttl: Duration,
    ) -> Result<Lease, StoreError> {
        let lease = self
            .store
            .acquire_lease(self.sync(sync), owner, now, ttl)
            .await
            .map_err(|error| self.told(error))?;
        Ok(Lease {
            sync: sync.to_owned(),
            ..lease
        })
    }

    async fn renew_lease(
        &self,
        lease: &Lease,
        now: Timestamp,
        ttl: Duration,
    ) -> Result<(), StoreError> {
        let lease = self.lease(lease);
        let renewed = self.store.renew_lease(&lease, now, ttl).await;
        renewed.map_err(|error| self.told(error))
    }

    async fn release_lease(&self, lease: &Lease) -> Result<(), StoreError> {
        self.store.release_lease(&self.lease(lease)).await
    }

    async fn lease_holder(&self, sync: &str) -> Result<Option<(String, Timestamp)>, StoreError> {
        self.store.lease_holder(self.sync(sync)).await
    }

    async fn commit(&self, lease: &Lease, commit: Commit) -> Result<Receipt, StoreError> {
        let Commit { step, at, changes } = commit;
        let changes = changes.into_iter().map(|change| self.change(change));
        let commit = Commit {
            step,
            at,
            changes: changes.collect(),
        };
        let committed = self.store.commit(&self.lease(lease), commit).await;
        committed.map_err(|error| self.told(error))
    }

    async fn reset(&self, lease: &Lease) -> Result<(), StoreError> {
        let reset = self.store.reset(&self.lease(lease)).await;
        reset.map_err(|error| self.told(error))
    }

    async fn dirty(&self, sync: &str, after: u64, limit: u32) -> Result<Vec<Dirty>, StoreError> {
        self.store.dirty(self.sync(sync), after, limit).await
    }

    async fn owed(
        &self,
        sync: &str,
        side: Side,
        ids: &[RecordId],
    ) -> Result<Vec<Dirty>, StoreError> {
        self.store.owed(self.sync(sync), side, ids).await
    }

    async fn observations(
        &self,
        endpoint: &Endpoint,
        ids: &[RecordId],
    ) -> Result<Vec<Observation>, StoreError> {
        self.store.observations(&self.endpoint(endpoint), ids).await
    }

    async fn records_by_key(
        &self,
        endpoint: &Endpoint,
        field: &str,
        values: &[String],
        limit: u32,
    ) -> Result<Vec<(String, RecordId)>, StoreError> {
        let endpoint = self.endpoint(endpoint);
        self.store
            .records_by_key(&endpoint, field, values, limit)
            .await
    }

    async fn records(
        &self,
        endpoint: &Endpoint,
        after: Option<&RecordId>,
        limit: u32,
    ) -> Result<Vec<Observation>, StoreError> {
        let endpoint = self.endpoint(endpoint);
        self.store.records(&endpoint, after, limit).await
    }

    async fn unseen(
        &self,
        endpoint: &Endpoint,
        snapshot: Sequence,
        after: Option<&RecordId>,
        limit: u32,
    ) -> Result<Vec<RecordId>, StoreError> {
        let endpoint = self.endpoint(endpoint);
        self.store.unseen(&endpoint, snapshot, after, limit).await
    }

    async fn links_by_record(
        &self,
        sync: &str,
        side: Side,
        ids: &[RecordId],
    ) -> Result<Vec<Link>, StoreError> {
        self.store.links_by_record(self.sync(sync), side, ids).await
    }

    async fn links(
        &self,
        sync: &str,
        after: Option<&LinkId>,
        limit: u32,
    ) -> Result<Vec<Link>, StoreError> {
        self.store.links(self.sync(sync), after, limit).await
    }

    async fn intents(
        &self,
        sync: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Intent>, StoreError> {
        self.store.intents(self.sync(sync), after, limit).await
    }

    async fn writes_of_others(
        &self,
        sync: &str,
        endpoint: &Endpoint,
        ids: &[RecordId],
    ) -> Result<Vec<Intent>, StoreError> {
        let endpoint = self.endpoint(endpoint);
        self.store
            .writes_of_others(self.sync(sync), &endpoint, ids)
            .await
    }

    async fn conflicts(
        &self,
        sync: &str,
        which: Waiting,
        offset: u64,
        limit: u32,
    ) -> Result<Vec<Conflict>, StoreError> {
        let sync = self.sync(sync);
        self.store.conflicts(sync, which, offset, limit).await
    }

    async fn parked(&self, sync: &str, offset: u64, limit: u32) -> Result<Vec<Parked>, StoreError> {
        self.store.parked(self.sync(sync), offset, limit).await
    }

    async fn decisions(
        &self,
        sync: &str,
        side: Side,
        records: &[RecordId],
    ) -> Result<Vec<Decision>, StoreError> {
        self.store.decisions(self.sync(sync), side, records).await
    }

    async fn restrictions(
        &self,
        endpoint: &Endpoint,
        records: &[RecordId],
    ) -> Result<Vec<RecordRestriction>, StoreError> {
        let inside = self.endpoint(endpoint);
        let mut found = self.store.restrictions(&inside, records).await?;
        for restriction in &mut found {
            restriction.endpoint = endpoint.clone();
        }
        Ok(found)
    }

    async fn suppressions(&self, pseudonyms: &[String]) -> Result<Vec<Suppression>, StoreError> {
        self.store.suppressions(pseudonyms).await
    }

    async fn account(&self, account: &str) -> Result<Option<String>, StoreError> {
        self.store.account(self.accounts.id(account)).await
    }

    async fn journal(
        &self,
        sync: &str,
        of: JournalOf<'_>,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<(u64, JournalEntry)>, StoreError> {
        self.store.journal(self.sync(sync), of, before, limit).await
    }

    async fn cursor(&self, sync: &str, side: Side) -> Result<Option<Cursor>, StoreError> {
        self.store.cursor(self.sync(sync), side).await
    }

    async fn state(&self, sync: &str) -> Result<SyncState, StoreError> {
        self.store.state(self.sync(sync)).await
    }

    async fn runs(&self, sync: &str, limit: u32) -> Result<Vec<RunRecord>, StoreError> {
        self.store.runs(self.sync(sync), limit).await
    }

    async fn queued(&self, sync: &str) -> Result<u64, StoreError> {
        self.store.queued(self.sync(sync)).await
    }

    async fn counts(&self, sync: &str) -> Result<SyncCounts, StoreError> {
        self.store.counts(self.sync(sync)).await
    }
}

#[async_trait]
impl<S: HookStore> HookStore for Renamed<S> {
    async fn keep_hook(&self, hook: &Hook) -> Result<u64, StoreError> {
        self.store.keep_hook(hook).await
    }

    async fn hooks(
        &self,
        endpoint: Option<&str>,
        after: u64,
        failed_too: bool,
        limit: u32,
    ) -> Result<Vec<Hook>, StoreError> {
        self.store.hooks(endpoint, after, failed_too, limit).await
    }

    async fn hook_endpoints(&self) -> Result<Vec<String>, StoreError> {
        self.store.hook_endpoints().await
    }

    async fn hooks_understood(
        &self,
        positions: &[u64],
        hinted: &[Hinted],
        at: Timestamp,
    ) -> Result<Vec<String>, StoreError> {
        let hinted: Vec<Hinted> = hinted
            .iter()
            .map(|(endpoint, ids)| (self.endpoint(endpoint), ids.clone()))
            .collect();
        let syncs = self.store.hooks_understood(positions, &hinted, at).await?;
        Ok(syncs
            .into_iter()
            .map(|sync| self.syncs.name(sync))
            .collect())
    }

    async fn hook_failed(
        &self,
        position: u64,
        error: &str,
        due: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        self.store.hook_failed(position, error, due).await
    }

    async fn retry_hooks(&self, position: Option<u64>, now: Timestamp) -> Result<u64, StoreError> {
        self.store.retry_hooks(position, now).await
    }

    async fn drop_hook(&self, position: u64) -> Result<bool, StoreError> {
        self.store.drop_hook(position).await
    }

    async fn hook_counts(&self) -> Result<(u64, u64), StoreError> {
        self.store.hook_counts().await
    }

    async fn put_subscription(
        &self,
        endpoint: &Endpoint,
        address: &str,
        subscription: &HookSubscription,
    ) -> Result<(), StoreError> {
        let endpoint = self.endpoint(endpoint);
        self.store
            .put_subscription(&endpoint, address, subscription)
            .await
    }

    async fn subscriptions(&self) -> Result<Vec<(Endpoint, String, HookSubscription)>, StoreError> {
        let found = self.store.subscriptions().await?;
        Ok(found
            .into_iter()
            .map(|(endpoint, address, subscription)| (self.named(endpoint), address, subscription))
            .collect())
    }

    async fn remove_subscription(&self, endpoint: &Endpoint) -> Result<(), StoreError> {
        let endpoint = self.endpoint(endpoint);
        self.store.remove_subscription(&endpoint).await
    }
}
