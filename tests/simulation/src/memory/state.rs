//! What is stored: one ordered map for each kind of row, by its key.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use jiff::Timestamp;
use samspel_model::intent::Intent;
use samspel_model::journal::JournalEntry;
use samspel_model::link::Restriction;
use samspel_model::store::{
    Conflict, Cursor, Decision, Dirty, Endpoint, Observation, Parked, RunRecord, Sequence,
    SyncState,
};
use samspel_model::{Link, LinkId, RecordId, Side};

/// The name of a sync.
pub(super) type Name = Arc<str>;

/// A collection.
pub(super) type Place = Arc<Endpoint>;

/// A match key: field and value.
pub(super) type Key = (String, String);

/// What is known of a record.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub seen: Observation,
    /// Of an absent record too: it may come back with them.
    pub keys: Vec<Key>,
    /// The newest snapshot that saw it.
    pub snapshot: Option<Sequence>,
    /// Until when a direct answer about it is known to be true: a write's or a fetch's.
    pub written: Option<Sequence>,
    /// The commit that changed it last.
    pub changed: Sequence,
}

/// The lease on a sync. It stays when it is given back, so that tokens never repeat.
#[derive(Debug, Clone)]
pub(super) struct LeaseRow {
    pub token: u64,
    pub holder: Option<Holder>,
}

#[derive(Debug, Clone)]
pub(super) struct Holder {
    pub owner: String,
    pub until: Timestamp,
    /// The open store that took it.
    pub opened: u64,
}

/// The numbers that were given last.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counters {
    pub sequence: Sequence,
    pub position: u64,
    pub journal: u64,
    /// The time of the newest commit.
    pub at: Timestamp,
}

/// Everything. What a commit changes is changed through [`super::work::Work`] only.
#[derive(Debug, Default)]
pub(super) struct State {
    pub counters: Counters,
    /// How many stores were opened, and which of them are.
    pub opened: u64,
    pub open: BTreeSet<u64>,
    pub leases: BTreeMap<Name, LeaseRow>,
    pub registered: BTreeMap<(Name, Side), Place>,

    pub records: BTreeMap<(Place, RecordId), Row>,
    /// Of present records: place, field, value and record.
    pub keys: BTreeMap<(Place, String, String, RecordId), ()>,
    /// By place, record, channel and purpose.
    /// Opt-outs, and whether they were lifted.
    pub restrictions: BTreeMap<(Place, RecordId, String, String), (Restriction, bool)>,
    /// By pseudonym and channel.
    pub suppressions: BTreeMap<(String, String), Timestamp>,
    pub accounts: BTreeMap<String, String>,

    pub links: BTreeMap<(Name, LinkId), Link>,
    pub linked: BTreeMap<(Name, Side, RecordId), LinkId>,
    pub queue: BTreeMap<(Name, u64), Dirty>,
    pub queued: BTreeMap<(Name, Side, RecordId), u64>,
    pub intents: BTreeMap<(Name, String), Intent>,
    pub conflicts: BTreeMap<(Name, Side, RecordId, String), Conflict>,
    pub decisions: BTreeMap<(Name, Side, RecordId, String), Decision>,
    pub parked: BTreeMap<(Name, Side, RecordId), Parked>,
    pub journal: BTreeMap<u64, (Name, JournalEntry)>,
    pub cursors: BTreeMap<(Name, Side), Cursor>,
    pub runs: BTreeMap<(Name, String), RunRecord>,
    pub states: BTreeMap<Name, SyncState>,
}

impl State {
    /// The syncs that are registered on a collection, and on which side.
    pub fn syncs_on(&self, place: &Endpoint) -> Vec<(Name, Side)> {
        self.registered
            .iter()
            .filter(|(_, registered)| ***registered == *place)
            .map(|(key, _)| key.clone())
            .collect()
    }
}

/// The entries from a key on, for as long as they belong together.
pub(super) fn from<'s, K: Ord, V>(
    map: &'s BTreeMap<K, V>,
    first: K,
    belongs: impl Fn(&K) -> bool + 's,
) -> impl Iterator<Item = (&'s K, &'s V)> {
    map.range((Bound::Included(first), Bound::Unbounded))
        .take_while(move |(key, _)| belongs(key))
}

/// The entries of one sync in a map whose keys are pairs. `first` is not behind any second part.
pub(super) fn of_sync<'s, K: Ord, V>(
    map: &'s BTreeMap<(Name, K), V>,
    sync: &Name,
    first: K,
) -> impl Iterator<Item = (&'s (Name, K), &'s V)> {
    let name = Arc::clone(sync);
    from(map, (Arc::clone(sync), first), move |(other, _)| {
        *other == name
    })
}
