//! One commit while it is applied: every change of a row notes how it is undone.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use samspel_model::store::{Dirty, Receipt};
use samspel_model::{Extent, RecordId, Side};

use super::state::{Counters, Name, Place, State};

type Undo = Box<dyn FnOnce(&mut State)>;

/// Which map of the state.
pub(super) type Map<K, V> = fn(&mut State) -> &mut BTreeMap<K, V>;

pub(super) struct Work<'s> {
    pub state: &'s mut State,
    /// The committing sync.
    pub sync: Name,
    /// Since when records wait that become dirty.
    pub at: Timestamp,
    pub receipt: Receipt,
    before: Counters,
    undo: Vec<Undo>,
}

impl<'s> Work<'s> {
    /// Begins a commit, under the next number.
    pub fn begin(state: &'s mut State, sync: Name, at: Timestamp) -> Self {
        let before = state.counters;
        state.counters.sequence += 1;
        state.counters.at = at;
        Self {
            sync,
            at,
            receipt: Receipt {
                sequence: state.counters.sequence,
                ..Receipt::default()
            },
            before,
            undo: Vec::new(),
            state,
        }
    }

    /// Everything is as it was before.
    pub fn undo(self) {
        for undo in self.undo.into_iter().rev() {
            undo(self.state);
        }
        self.state.counters = self.before;
    }

    pub fn put<K, V>(&mut self, map: Map<K, V>, key: K, value: V)
    where
        K: Ord + Clone + 'static,
        V: 'static,
    {
        let old = map(self.state).insert(key.clone(), value);
        self.undo.push(Box::new(move |state| {
            match old {
                Some(old) => map(state).insert(key, old),
                None => map(state).remove(&key),
            };
        }));
    }

    /// Whether there was one.
    pub fn remove<K, V>(&mut self, map: Map<K, V>, key: &K) -> bool
    where
        K: Ord + Clone + 'static,
        V: 'static,
    {
        let Some((key, old)) = map(self.state).remove_entry(key) else {
            return false;
        };
        self.undo.push(Box::new(move |state| {
            map(state).insert(key, old);
        }));
        true
    }

    /// Puts a record at the end of a queue. A fetch that is owed stays owed, and who waits waits since then.
    pub fn queue(&mut self, sync: &Name, side: Side, id: &RecordId, refetch: Option<Extent>) {
        let slot = (Arc::clone(sync), side, id.clone());
        let old = self
            .state
            .queued
            .get(&slot)
            .and_then(|position| self.state.queue.get(&(Arc::clone(sync), *position)))
            .map(|row| (row.position, row.refetch, row.since));
        if let Some((position, ..)) = old {
            self.remove(|state| &mut state.queue, &(Arc::clone(sync), position));
        } else if *sync == self.sync {
            self.receipt.queued += 1;
        }
        self.state.counters.position += 1;
        let position = self.state.counters.position;
        let row = Dirty {
            position,
            side,
            id: id.clone(),
            refetch: refetch.max(old.and_then(|(_, refetch, _)| refetch)),
            since: old.map_or(self.at, |(.., since)| since),
        };
        self.put(|state| &mut state.queue, (Arc::clone(sync), position), row);
        self.put(|state| &mut state.queued, slot, position);
    }

    /// What a record owed was asked for, unless it was put into the queue after that.
    pub fn fetched(&mut self, sync: &Name, asked: &Dirty) {
        let slot = (Arc::clone(sync), asked.side, asked.id.clone());
        let known = self.state.queued.get(&slot).copied();
        let Some(position) = known.filter(|position| *position <= asked.position) else {
            return;
        };
        let key = (Arc::clone(sync), position);
        if let Some(row) = self.state.queue.get(&key).cloned() {
            let row = Dirty {
                refetch: None,
                ..row
            };
            self.put(|state| &mut state.queue, key, row);
        }
    }

    /// Takes a record out of a queue, unless it was put there after a position. Whether it was taken out.
    pub fn unqueue(&mut self, sync: &Name, side: Side, id: &RecordId, until: u64) -> bool {
        let slot = (Arc::clone(sync), side, id.clone());
        match self.state.queued.get(&slot).copied() {
            Some(position) if position <= until => {
                self.remove(|state| &mut state.queue, &(Arc::clone(sync), position));
                self.remove(|state| &mut state.queued, &slot)
            }
            _ => false,
        }
    }

    /// Puts a record into the queues of all syncs on its collection, or of all but one.
    pub fn queue_everywhere(
        &mut self,
        place: &Place,
        id: &RecordId,
        refetch: Option<Extent>,
        except: Option<&Name>,
    ) {
        for (sync, side) in self.state.syncs_on(place) {
            if Some(&sync) != except {
                self.queue(&sync, side, id, refetch);
            }
        }
    }
}
