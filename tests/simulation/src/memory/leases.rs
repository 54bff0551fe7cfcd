//! Registration, leases and forgetting a sync.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use samspel_model::hook::Hinted;
use samspel_model::store::{Commit, Endpoint, Lease, Receipt, StoreError};
use samspel_model::{Extent, Guard, Presence, RecordId, Side};

use super::state::{Holder, LeaseRow, Name, State, from};
use super::work::Work;

fn lost(lease: &Lease) -> StoreError {
    StoreError::LeaseLost {
        sync: lease.sync.clone(),
    }
}

fn end(now: Timestamp, ttl: Duration) -> Timestamp {
    SignedDuration::try_from(ttl)
        .ok()
        .and_then(|ttl| now.checked_add(ttl).ok())
        .unwrap_or(Timestamp::MAX)
}

impl State {
    /// Who holds the lease on a sync: nobody whose process is dead.
    pub fn holder(&self, sync: &str) -> Option<&Holder> {
        self.leases
            .get(sync)?
            .holder
            .as_ref()
            .filter(|holder| self.open.contains(&holder.opened))
    }

    pub fn acquire(
        &mut self,
        sync: &str,
        owner: &str,
        now: Timestamp,
        ttl: Duration,
        opened: u64,
    ) -> Result<Lease, StoreError> {
        if let Some(holder) = self.holder(sync)
            && holder.until > now
        {
            return Err(StoreError::Held {
                sync: sync.to_owned(),
                owner: holder.owner.clone(),
                until: holder.until,
            });
        }
        let row = self.leases.entry(Arc::from(sync)).or_insert(LeaseRow {
            token: 0,
            holder: None,
        });
        row.token += 1;
        row.holder = Some(Holder {
            owner: owner.to_owned(),
            until: end(now, ttl),
            opened,
        });
        Ok(Lease {
            sync: sync.to_owned(),
            owner: owner.to_owned(),
            token: row.token,
        })
    }

    /// The row of a lease that nobody has taken since. One that merely ran out is still held.
    fn held(&mut self, lease: &Lease) -> Option<&mut LeaseRow> {
        self.leases.get_mut(lease.sync.as_str()).filter(|row| {
            let owner = row.holder.as_ref().map(|holder| &holder.owner);
            row.token == lease.token && owner == Some(&lease.owner)
        })
    }

    pub fn renew(
        &mut self,
        lease: &Lease,
        now: Timestamp,
        ttl: Duration,
    ) -> Result<(), StoreError> {
        let holder = self.held(lease).and_then(|row| row.holder.as_mut());
        holder.ok_or_else(|| lost(lease))?.until = end(now, ttl);
        Ok(())
    }

    pub fn release(&mut self, lease: &Lease) {
        if let Some(row) = self.held(lease) {
            row.holder = None;
        }
    }

    pub fn register(&mut self, sync: &str, endpoints: &[Endpoint; 2]) -> Result<(), StoreError> {
        let name: Name = Arc::from(sync);
        for side in Side::BOTH {
            let (known, named) = (
                self.registered.get(&(Arc::clone(&name), side)),
                &endpoints[side.index()],
            );
            if let Some(known) = known.filter(|known| ***known != *named) {
                return Err(StoreError::Damaged {
                    what: format!("sync `{sync}`"),
                    why: format!(
                        "side {side} was {}/{} and is now {}/{}",
                        known.account, known.collection, named.account, named.collection
                    ),
                });
            }
        }
        // What is known already will be news to nobody. It was known by the newest commit.
        let counters = self.counters;
        let mut work = Work::begin(self, Arc::clone(&name), counters.at);
        for side in Side::BOTH {
            let key = (Arc::clone(&name), side);
            if work.state.registered.contains_key(&key) {
                continue;
            }
            let place = Arc::new(endpoints[side.index()].clone());
            let first = (Arc::clone(&place), "".into());
            let present: Vec<_> = from(&work.state.records, first, |(of, _)| *of == place)
                .filter(|(_, row)| row.seen.presence == Presence::Present)
                .map(|((_, id), _)| id.clone())
                .collect();
            work.put(|state| &mut state.registered, key, place);
            for id in &present {
                work.queue(&name, side, id, None);
            }
        }
        // It is no commit.
        self.counters.sequence = counters.sequence;
        Ok(())
    }

    /// Records are marked in every sync on their endpoint.
    pub fn told(&mut self, hinted: &[Hinted], at: Timestamp) {
        let counters = self.counters;
        // No sync has this name.
        let mut work = Work::begin(self, Arc::from(""), at);
        for (endpoint, records) in hinted {
            let place = Arc::new(endpoint.clone());
            // In the order of their ids, each once.
            let mut marked: BTreeMap<&RecordId, Extent> = BTreeMap::new();
            for (id, extent) in records {
                let known = marked.entry(id).or_insert(*extent);
                *known = (*known).max(*extent);
            }
            for (id, extent) in marked {
                work.queue_everywhere(&place, id, Some(extent), None);
            }
        }
        // It is no commit.
        self.counters.sequence = counters.sequence;
        self.counters.at = counters.at;
    }

    pub fn commit(&mut self, lease: &Lease, commit: Commit) -> Result<Receipt, StoreError> {
        if Guard::LeaseFence.stands() && self.held(lease).is_none() {
            return Err(lost(lease));
        }
        let mut work = Work::begin(self, Arc::from(lease.sync.as_str()), commit.at);
        for change in commit.changes {
            if let Err(error) = work.apply(change) {
                work.undo();
                return Err(error);
            }
        }
        Ok(work.receipt)
    }

    pub fn reset(&mut self, lease: &Lease) -> Result<(), StoreError> {
        if self.held(lease).is_none() {
            return Err(lost(lease));
        }
        let sync = lease.sync.as_str();
        self.registered.retain(|(of, _), _| **of != *sync);
        self.links.retain(|(of, _), _| **of != *sync);
        self.linked.retain(|(of, ..), _| **of != *sync);
        self.queue.retain(|(of, _), _| **of != *sync);
        self.queued.retain(|(of, ..), _| **of != *sync);
        self.intents.retain(|(of, _), _| **of != *sync);
        self.conflicts.retain(|(of, ..), _| **of != *sync);
        self.decisions.retain(|(of, ..), _| **of != *sync);
        self.parked.retain(|(of, ..), _| **of != *sync);
        self.cursors.retain(|(of, _), _| **of != *sync);
        self.runs.retain(|(of, _), _| **of != *sync);
        self.states.retain(|of, _| **of != *sync);
        Ok(())
    }
}
