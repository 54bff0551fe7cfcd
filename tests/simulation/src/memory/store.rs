//! The port.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use samspel_model::hook::Hinted;
use samspel_model::intent::{Effect, Intent};
use samspel_model::journal::JournalEntry;
use samspel_model::store::{
    Commit, Conflict, Cursor, Decision, Dirty, Endpoint, JournalOf, Lease, Observation, Parked,
    Receipt, RecordRestriction, RunRecord, Sequence, StoreError, Suppression, SyncCounts,
    SyncState, Waiting, subject,
};
use samspel_model::{Link, LinkId, Presence, RecordId, Side, Store};

use super::MemoryStore;
use super::state::{Name, from, of_sync};
use crate::tier::Told;

/// A page's length; what does not fit into the address space is everything.
fn length(limit: u32) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

fn skipped(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

/// Each of them once, in order.
fn once<T: Ord>(asked: &[T]) -> BTreeSet<&T> {
    asked.iter().collect()
}

/// By age, as far as it is told apart in microseconds, and then as they were.
fn page<T>(mut rows: Vec<&T>, at: impl Fn(&T) -> Timestamp, offset: u64, limit: u32) -> Vec<T>
where
    T: Clone,
{
    rows.sort_by_key(|row| at(row).as_microsecond());
    let rows = rows.into_iter().skip(skipped(offset)).take(length(limit));
    rows.cloned().collect()
}

#[async_trait]
impl Told for MemoryStore {
    async fn told(&self, hinted: Vec<Hinted>, at: Timestamp) -> Result<(), StoreError> {
        self.write("marking what a notification is about", |state| {
            state.told(&hinted, at);
            Ok(())
        })
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn sequence(&self) -> Sequence {
        self.sequence.load(Ordering::Acquire)
    }

    async fn register(&self, sync: &str, endpoints: &[Endpoint; 2]) -> Result<(), StoreError> {
        self.write("registering a sync", |state| {
            state.register(sync, endpoints)
        })
    }

    async fn acquire_lease(
        &self,
        sync: &str,
        owner: &str,
        now: Timestamp,
        ttl: Duration,
    ) -> Result<Lease, StoreError> {
        self.write("taking a lease", |state| {
            state.acquire(sync, owner, now, ttl, self.number)
        })
    }

    async fn renew_lease(
        &self,
        lease: &Lease,
        now: Timestamp,
        ttl: Duration,
    ) -> Result<(), StoreError> {
        self.write("renewing a lease", |state| state.renew(lease, now, ttl))
    }

    async fn release_lease(&self, lease: &Lease) -> Result<(), StoreError> {
        self.write("giving a lease back", |state| {
            state.release(lease);
            Ok(())
        })
    }

    async fn lease_holder(&self, sync: &str) -> Result<Option<(String, Timestamp)>, StoreError> {
        self.read(|state| {
            state
                .holder(sync)
                .map(|holder| (holder.owner.clone(), holder.until))
        })
    }

    async fn commit(&self, lease: &Lease, commit: Commit) -> Result<Receipt, StoreError> {
        self.write(commit.step.doing(), |state| state.commit(lease, commit))
    }

    async fn reset(&self, lease: &Lease) -> Result<(), StoreError> {
        self.write("resetting a sync", |state| state.reset(lease))
    }

    async fn owed(
        &self,
        sync: &str,
        side: Side,
        ids: &[RecordId],
    ) -> Result<Vec<Dirty>, StoreError> {
        let name: Name = Arc::from(sync);
        self.read(|state| {
            let owed = |id: &RecordId| {
                let slot = (Arc::clone(&name), side, id.clone());
                let position = state.queued.get(&slot)?;
                let row = state.queue.get(&(Arc::clone(&name), *position))?;
                row.refetch.is_some().then(|| row.clone())
            };
            once(ids).into_iter().filter_map(owed).collect()
        })
    }

    async fn dirty(&self, sync: &str, after: u64, limit: u32) -> Result<Vec<Dirty>, StoreError> {
        let Some(first) = after.checked_add(1) else {
            return Ok(Vec::new());
        };
        self.read(|state| {
            of_sync(&state.queue, &Name::from(sync), first)
                .map(|(_, row)| row.clone())
                .take(length(limit))
                .collect()
        })
    }

    async fn observations(
        &self,
        endpoint: &Endpoint,
        ids: &[RecordId],
    ) -> Result<Vec<Observation>, StoreError> {
        let place = Arc::new(endpoint.clone());
        self.read(|state| {
            once(ids)
                .into_iter()
                .filter_map(|id| state.records.get(&(Arc::clone(&place), id.clone())))
                .map(|row| row.seen.clone())
                .collect()
        })
    }

    async fn records_by_key(
        &self,
        endpoint: &Endpoint,
        field: &str,
        values: &[String],
        limit: u32,
    ) -> Result<Vec<(String, RecordId)>, StoreError> {
        let place = Arc::new(endpoint.clone());
        self.read(|state| {
            let mut found = Vec::new();
            for value in once(values) {
                let first = (
                    Arc::clone(&place),
                    field.to_owned(),
                    value.clone(),
                    RecordId::new(""),
                );
                let matching = from(&state.keys, first, |(at, of, is, _)| {
                    *at == place && of == field && is == value
                });
                found.extend(
                    matching
                        .take(length(limit))
                        .map(|((.., id), ())| (value.clone(), id.clone())),
                );
            }
            found
        })
    }

    async fn records(
        &self,
        endpoint: &Endpoint,
        after: Option<&RecordId>,
        limit: u32,
    ) -> Result<Vec<Observation>, StoreError> {
        let place = Arc::new(endpoint.clone());
        self.read(|state| {
            let after = after.cloned().unwrap_or_else(|| RecordId::new(""));
            let first = Bound::Excluded((Arc::clone(&place), after));
            state
                .records
                .range((first, Bound::Unbounded))
                .take_while(|((of, _), _)| *of == place)
                .take(length(limit))
                .map(|(_, row)| row.seen.clone())
                .collect()
        })
    }

    async fn unseen(
        &self,
        endpoint: &Endpoint,
        snapshot: Sequence,
        after: Option<&RecordId>,
        limit: u32,
    ) -> Result<Vec<RecordId>, StoreError> {
        let place = Arc::new(endpoint.clone());
        self.read(|state| {
            let after = after.cloned().unwrap_or_else(|| RecordId::new(""));
            let first = Bound::Excluded((Arc::clone(&place), after));
            state
                .records
                .range((first, Bound::Unbounded))
                .take_while(|((of, _), _)| *of == place)
                .filter(|(_, row)| {
                    row.seen.presence == Presence::Present && row.snapshot < Some(snapshot)
                })
                .take(length(limit))
                .map(|((_, id), _)| id.clone())
                .collect()
        })
    }

    async fn links_by_record(
        &self,
        sync: &str,
        side: Side,
        ids: &[RecordId],
    ) -> Result<Vec<Link>, StoreError> {
        let sync = Name::from(sync);
        self.read(|state| {
            once(ids)
                .into_iter()
                .filter_map(|id| state.linked.get(&(Arc::clone(&sync), side, id.clone())))
                .filter_map(|link| state.links.get(&(Arc::clone(&sync), link.clone())))
                .cloned()
                .collect()
        })
    }

    async fn links(
        &self,
        sync: &str,
        after: Option<&LinkId>,
        limit: u32,
    ) -> Result<Vec<Link>, StoreError> {
        self.read(|state| {
            let first = after.cloned().unwrap_or_else(|| LinkId(String::new()));
            of_sync(&state.links, &Name::from(sync), first)
                .filter(|((_, id), _)| Some(id) != after)
                .take(length(limit))
                .map(|(_, link)| link.clone())
                .collect()
        })
    }

    async fn intents(
        &self,
        sync: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Intent>, StoreError> {
        self.read(|state| {
            let first = after.unwrap_or_default().to_owned();
            of_sync(&state.intents, &Name::from(sync), first)
                .filter(|((_, id), _)| Some(id.as_str()) != after)
                .take(length(limit))
                .map(|(_, intent)| intent.clone())
                .collect()
        })
    }

    async fn writes_of_others(
        &self,
        sync: &str,
        endpoint: &Endpoint,
        ids: &[RecordId],
    ) -> Result<Vec<Intent>, StoreError> {
        let ids = once(ids);
        self.read(|state| {
            let mut found = Vec::new();
            for (name, side) in state.syncs_on(endpoint) {
                let intents = of_sync(&state.intents, &name, String::new()).map(|(_, one)| one);
                found.extend(
                    intents
                        .filter(|intent| *name != *sync && intent.target == side)
                        .filter(|intent| match &intent.effect {
                            Effect::Update(id) => ids.contains(id),
                            Effect::Create | Effect::Remove(..) => false,
                        })
                        .cloned(),
                );
            }
            found
        })
    }

    async fn conflicts(
        &self,
        sync: &str,
        which: Waiting,
        offset: u64,
        limit: u32,
    ) -> Result<Vec<Conflict>, StoreError> {
        let name = Name::from(sync);
        self.read(|state| {
            let first = (Arc::clone(&name), Side::A, RecordId::new(""), String::new());
            let rows = from(&state.conflicts, first, |(of, ..)| *of == name)
                .map(|(_, one)| one)
                .filter(|one| match which {
                    Waiting::All => true,
                    Waiting::Conflicts => !subject::is_hold(&one.about),
                    Waiting::Holds => subject::is_hold(&one.about),
                });
            page(rows.collect(), |one| one.at, offset, limit)
        })
    }

    async fn parked(&self, sync: &str, offset: u64, limit: u32) -> Result<Vec<Parked>, StoreError> {
        let name = Name::from(sync);
        self.read(|state| {
            let first = (Arc::clone(&name), Side::A, RecordId::new(""));
            let rows = from(&state.parked, first, |(of, ..)| *of == name).map(|(_, one)| one);
            page(rows.collect(), |one| one.at, offset, limit)
        })
    }

    async fn decisions(
        &self,
        sync: &str,
        side: Side,
        records: &[RecordId],
    ) -> Result<Vec<Decision>, StoreError> {
        let name = Name::from(sync);
        self.read(|state| {
            let mut found = Vec::new();
            for record in once(records) {
                let first = (Arc::clone(&name), side, record.clone(), String::new());
                let about = from(&state.decisions, first, |(of, on, about, _)| {
                    *of == name && *on == side && about == record
                });
                found.extend(about.map(|(_, one)| one.clone()));
            }
            found
        })
    }

    async fn restrictions(
        &self,
        endpoint: &Endpoint,
        records: &[RecordId],
    ) -> Result<Vec<RecordRestriction>, StoreError> {
        let place = Arc::new(endpoint.clone());
        self.read(|state| {
            let mut found = Vec::new();
            for record in once(records) {
                let first = (
                    Arc::clone(&place),
                    record.clone(),
                    String::new(),
                    String::new(),
                );
                let of_record = from(&state.restrictions, first, |(at, of, ..)| {
                    *at == place && of == record
                });
                let in_force = of_record.filter(|(_, (_, lifted))| !lifted);
                found.extend(in_force.map(|((.., channel, purpose), (restriction, _))| {
                    RecordRestriction {
                        endpoint: endpoint.clone(),
                        record: record.clone(),
                        channel: channel.clone(),
                        purpose: purpose.clone(),
                        restriction: restriction.clone(),
                    }
                }));
            }
            found
        })
    }

    async fn suppressions(&self, pseudonyms: &[String]) -> Result<Vec<Suppression>, StoreError> {
        self.read(|state| {
            let mut found = Vec::new();
            for pseudonym in once(pseudonyms) {
                let first = (pseudonym.clone(), String::new());
                let of_one = from(&state.suppressions, first, |(of, _)| of == pseudonym);
                found.extend(of_one.map(|((_, channel), at)| Suppression {
                    pseudonym: pseudonym.clone(),
                    channel: channel.clone(),
                    at: *at,
                }));
            }
            found
        })
    }

    async fn account(&self, account: &str) -> Result<Option<String>, StoreError> {
        self.read(|state| state.accounts.get(account).cloned())
    }

    async fn journal(
        &self,
        sync: &str,
        of: JournalOf<'_>,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<(u64, JournalEntry)>, StoreError> {
        self.read(|state| {
            state
                .journal
                .range(..before.unwrap_or(u64::MAX))
                .rev()
                .filter(|(_, (name, entry))| {
                    **name == *sync
                        && match of {
                            JournalOf::Sync => true,
                            JournalOf::Record(side, record) => {
                                entry.side == Some(side) && entry.record.as_ref() == Some(record)
                            }
                            JournalOf::Link(link) => entry.link.as_ref() == Some(link),
                            JournalOf::Run(run) => entry.run.as_deref() == Some(run),
                        }
                })
                .take(length(limit))
                .map(|(number, (_, entry))| (*number, entry.clone()))
                .collect()
        })
    }

    async fn cursor(&self, sync: &str, side: Side) -> Result<Option<Cursor>, StoreError> {
        self.read(|state| state.cursors.get(&(Name::from(sync), side)).cloned())
    }

    async fn state(&self, sync: &str) -> Result<SyncState, StoreError> {
        self.read(|state| state.states.get(sync).cloned().unwrap_or_default())
    }

    async fn runs(&self, sync: &str, limit: u32) -> Result<Vec<RunRecord>, StoreError> {
        self.read(|state| {
            let mut runs: Vec<_> = of_sync(&state.runs, &Name::from(sync), String::new())
                .map(|(_, run)| run)
                .collect();
            runs.sort_by_key(|run| run.started.as_microsecond());
            let newest = runs.into_iter().rev().take(length(limit));
            newest.cloned().collect()
        })
    }

    async fn queued(&self, sync: &str) -> Result<u64, StoreError> {
        let name = Name::from(sync);
        self.read(|state| of_sync(&state.queue, &name, 0).count() as u64)
    }

    async fn counts(&self, sync: &str) -> Result<SyncCounts, StoreError> {
        let name = Name::from(sync);
        self.read(|state| {
            let first = (Arc::clone(&name), Side::A, RecordId::new(""), String::new());
            let (holds, conflicts): (Vec<_>, Vec<_>) =
                from(&state.conflicts, first, |(of, ..)| *of == name)
                    .partition(|(_, one)| subject::is_hold(&one.about));
            let first = (Arc::clone(&name), Side::A, RecordId::new(""));
            let parked = from(&state.parked, first, |(of, ..)| *of == name);
            let queue = || of_sync(&state.queue, &name, 0).map(|(_, row)| row.since);
            SyncCounts {
                links: of_sync(&state.links, &name, LinkId(String::new())).count() as u64,
                dirty: queue().count() as u64,
                oldest: queue().min(),
                intents: of_sync(&state.intents, &name, String::new()).count() as u64,
                conflicts: conflicts.len() as u64,
                holds: holds.len() as u64,
                parked: parked.count() as u64,
            }
        })
    }
}
