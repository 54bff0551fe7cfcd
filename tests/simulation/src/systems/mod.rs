//! A simulated remote system: a table of records, and every state that each of them ever had.
//!
//! It knows nothing of the host but the port `Connector`, and never breaks the contract in `wit/`: what it is free to
//! do by the contract it does, by the switch of a quirk.

mod applying;
mod collection;
mod connector;
mod listing;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use samspel_model::store::Observation;
use samspel_model::{
    Absence, Consent, ConsentState, Deliverability, DeliverabilityState, Entity, Fields, Presence,
    RecordId, Revision,
};

pub(crate) use applying::{Applied, lifts, nothing};
pub(crate) use collection::COLLECTION;
pub(crate) use connector::SimConnector;

use crate::field::{Field, Plain, Values, is_empty, plain};
use crate::quirk::{Quirk, Quirks};
use crate::time::{Millis, timestamp};

/// The channel of the one consent in this world.
pub(crate) const CHANNEL: &str = "email";
/// Its purpose.
pub(crate) const PURPOSE: &str = "marketing";

/// What a system is like.
#[derive(Debug, Clone)]
pub(crate) struct SystemConfig {
    /// Its account's name.
    pub name: &'static str,
    /// What it does that a textbook's does not.
    pub quirks: Quirks,
    /// How long its index lags, where it does.
    pub lag: Millis,
    /// Most records of a page.
    pub page: u32,
    /// Most items of a fetch, a find or a write.
    pub batch: u32,
    /// The longest that a call takes before, and again after, its effect.
    pub latency: u32,
    /// It can archive.
    pub can_archive: bool,
    /// It can be told about bounces.
    pub takes_bounces: bool,
}

/// Where a record stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is listed.
    Live,
    /// It is hidden.
    Archived,
    /// It is gone.
    Deleted,
    /// It lives on in another one.
    Merged(RecordId),
    /// It left the collection.
    OutOfScope,
}

impl Standing {
    /// Why a record that stands so is not listed.
    pub fn absence(&self) -> Option<Absence> {
        match self {
            Self::Live => None,
            Self::Archived => Some(Absence::Archived),
            Self::Deleted => Some(Absence::Deleted),
            Self::Merged(into) => Some(Absence::MergedInto(into.clone())),
            Self::OutOfScope => Some(Absence::OutOfScope),
        }
    }
}

/// Who made a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// A person who uses the system.
    User,
    /// A write of this sync.
    Sync(usize),
}

/// What a person said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    /// What.
    pub state: ConsentState,
    /// When.
    pub at: Option<Millis>,
    /// What proves it.
    pub evidence: Option<String>,
}

impl Said {
    /// Nothing was ever said.
    pub const NOTHING: Self = Self {
        state: ConsentState::Unspecified,
        at: None,
        evidence: None,
    };

    /// Whether the person opted out.
    pub fn is_out(&self) -> bool {
        self.state == ConsentState::Unsubscribed
    }
}

/// A state that a record had.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    /// The place among all changes of the system.
    pub seq: u64,
    /// The remote's own version of the record.
    pub rev: u64,
    /// When it came to be.
    pub at: Millis,
    /// When the record last changed, as the system tells it.
    pub modified: Millis,
    /// Who made it.
    pub by: By,
    /// The feed tells of it.
    pub told: bool,
    /// Where the record stands.
    pub standing: Standing,
    /// What it holds.
    pub values: Values,
    /// What its person said.
    pub said: Said,
    /// Since when mail to the address fails.
    pub bounced: Option<Millis>,
    /// Records that were merged into it.
    pub aliases: Vec<RecordId>,
}

impl Version {
    /// Whether the record is listed.
    pub fn is_live(&self) -> bool {
        self.standing == Standing::Live
    }

    /// The address, as people compare it.
    pub fn address(&self) -> Option<String> {
        match plain(Field::Email, &self.values[Field::Email.index()]) {
            Plain::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// A record and its history.
#[derive(Debug)]
pub(crate) struct Record {
    /// The create's key, if the sync made it.
    pub key: Option<String>,
    /// The person that it is about, as the people of this world know.
    pub person: usize,
    /// Every state that it had, oldest first; never empty.
    pub versions: Vec<Arc<Version>>,
    /// What was shown to the host, in the order in which it was shown: the place of the version, and when.
    pub shown: Vec<(u64, Millis)>,
}

impl Record {
    /// As it is now.
    pub fn now(&self) -> &Arc<Version> {
        &self.versions[self.versions.len() - 1]
    }

    /// As it was at a time, if it was there.
    pub fn at(&self, at: Millis) -> Option<&Arc<Version>> {
        self.versions.iter().rev().find(|version| version.at <= at)
    }

    /// The version of a place.
    pub fn version(&self, seq: u64) -> Option<&Arc<Version>> {
        self.versions
            .iter()
            .rev()
            .find(|version| version.seq == seq)
    }

    /// The versions that were shown to the host, in that order.
    pub fn shown_versions(&self) -> impl DoubleEndedIterator<Item = &Arc<Version>> {
        self.shown.iter().filter_map(|(seq, _)| self.version(*seq))
    }
}

/// A system.
#[derive(Debug)]
pub(crate) struct System {
    /// Its place among the systems.
    pub index: usize,
    /// What it is like.
    pub config: SystemConfig,
    /// Its records.
    pub records: BTreeMap<RecordId, Record>,
    /// Every change: its place is its index plus one.
    pub feed: Vec<(RecordId, Arc<Version>)>,
    /// The layout of the cursors that its connector writes.
    pub layout: u32,
    /// The layouts that it reads besides.
    pub layouts_read: Vec<u32>,
    /// It does not answer before this.
    pub away_until: Millis,
    /// The records that it will not write to, and the keys of creates that it will not make.
    pub refuses: BTreeSet<String>,
    /// What its quirks did.
    pub hit: Quirks,
    next_id: u32,
}

impl System {
    /// An empty system.
    pub fn new(index: usize, config: SystemConfig) -> Self {
        Self {
            index,
            config,
            records: BTreeMap::new(),
            feed: Vec::new(),
            layout: 1,
            layouts_read: Vec::new(),
            away_until: 0,
            refuses: BTreeSet::new(),
            hit: Quirks::default(),
            next_id: 0,
        }
    }

    /// Whether it has a quirk.
    pub fn has(&self, quirk: Quirk) -> bool {
        self.config.quirks.has(quirk)
    }

    /// A record as it is now.
    pub fn now(&self, id: &RecordId) -> Option<&Arc<Version>> {
        self.records.get(id).map(Record::now)
    }

    /// Who brought what the person says in a version of a record.
    pub fn said_by(&self, id: &RecordId, seq: u64) -> By {
        self.said_first(id, seq)
            .map_or(By::User, |version| version.by)
    }

    /// When what the person says in a version was said.
    pub fn said_since(&self, id: &RecordId, seq: u64) -> Option<Millis> {
        self.said_first(id, seq).map(|version| version.at)
    }

    /// The first of the versions up to this one that say the same, as far as anybody can know to whom they were shown:
    /// two opt-outs without a date are one, if what was said in between was never shown.
    fn said_first(&self, id: &RecordId, seq: u64) -> Option<&Arc<Version>> {
        let record = self.records.get(id)?;
        let mut back = record
            .versions
            .iter()
            .rev()
            .skip_while(|version| version.seq != seq);
        let version = back.next()?;
        let said = self.consent(&version.said);
        let mut first = version;
        for earlier in back {
            if self.consent(&earlier.said) == said {
                first = earlier;
            } else if record.shown.iter().any(|(shown, _)| *shown == earlier.seq) {
                break;
            }
        }
        Some(first)
    }

    /// The record that a merged one lives on in.
    pub fn survivor<'a>(&'a self, id: &'a RecordId) -> &'a RecordId {
        let mut id = id;
        while let Some(Standing::Merged(into)) = self.now(id).map(|version| &version.standing) {
            id = into;
        }
        id
    }

    /// Present records with an address.
    pub fn holders<'a>(&'a self, address: &'a str) -> impl Iterator<Item = &'a RecordId> + 'a {
        self.records
            .iter()
            .filter(move |(_, record)| {
                let now = record.now();
                now.is_live() && now.address().as_deref() == Some(address)
            })
            .map(|(id, _)| id)
    }

    /// Makes a record.
    pub fn create(
        &mut self,
        person: usize,
        key: Option<String>,
        by: By,
        at: Millis,
        values: Values,
    ) -> RecordId {
        self.next_id += 1;
        let letter = ["a", "b", "c"][self.index];
        let id = RecordId::new(format!("{letter}{:03}", self.next_id));
        let seq = self.feed.len() as u64 + 1;
        let version = Arc::new(Version {
            seq,
            rev: 1,
            at,
            modified: at,
            by,
            told: true,
            standing: Standing::Live,
            values: self.normalised(values),
            said: Said::NOTHING,
            bounced: None,
            aliases: Vec::new(),
        });
        self.feed.push((id.clone(), Arc::clone(&version)));
        let record = Record {
            key,
            person,
            versions: vec![version],
            shown: Vec::new(),
        };
        self.records.insert(id.clone(), record);
        id
    }

    /// Changes a record. A change that changes nothing makes no version, unless the system is like that.
    pub fn change(
        &mut self,
        id: &RecordId,
        by: By,
        at: Millis,
        hidden: bool,
        change: impl FnOnce(&mut Version),
    ) -> bool {
        let seq = self.feed.len() as u64 + 1;
        let Some(before) = self.now(id).cloned() else {
            return false;
        };
        let mut after = Version::clone(&before);
        change(&mut after);
        after.values = self.normalised(after.values);
        let moved = after.address() != before.address();
        if moved {
            // What is known about an address says nothing about another one.
            if after.bounced == before.bounced {
                after.bounced = None;
            }
            if self.has(Quirk::ForgetsConsent) && after.said == before.said {
                if after.said != Said::NOTHING {
                    self.hit.with(Quirk::ForgetsConsent);
                }
                after.said = Said::NOTHING;
            }
        }
        let unchanged = after.values == before.values
            && after.said == before.said
            && after.bounced == before.bounced
            && after.standing == before.standing
            && after.aliases == before.aliases;
        if unchanged {
            if !self.has(Quirk::BumpsUnchanged) {
                return false;
            }
            self.hit.with(Quirk::BumpsUnchanged);
        }
        after.seq = seq;
        after.at = at;
        after.by = by;
        after.told = !hidden;
        if hidden {
            self.hit.with(Quirk::HiddenChanges);
        } else {
            after.rev = before.rev + 1;
            after.modified = at;
        }
        let after = Arc::new(after);
        self.feed.push((id.clone(), Arc::clone(&after)));
        if let Some(record) = self.records.get_mut(id) {
            record.versions.push(after);
        }
        true
    }

    /// Merges a record into another one of this system.
    pub fn merge(&mut self, loser: &RecordId, winner: &RecordId, at: Millis) {
        let mut aliases = vec![loser.clone()];
        if let Some(now) = self.now(loser) {
            aliases.extend(now.aliases.iter().cloned());
        }
        self.change(loser, By::User, at, false, |version| {
            version.standing = Standing::Merged(winner.clone());
        });
        self.change(winner, By::User, at, false, |version| {
            version.aliases.extend(aliases);
        });
    }

    /// Notes that the host was shown a version.
    pub fn show(&mut self, id: &RecordId, seq: u64, at: Millis) {
        if let Some(record) = self.records.get_mut(id)
            && record.shown.last().map(|(last, _)| *last) != Some(seq)
        {
            record.shown.push((seq, at));
        }
    }

    fn normalised(&mut self, mut values: Values) -> Values {
        for field in Field::ALL {
            let value = &mut values[field.index()];
            if is_empty(value) && field != Field::Tags {
                *value = serde_json::Value::Null;
            }
            if self.has(Quirk::Normalises)
                && let serde_json::Value::String(text) = value
            {
                let normal = match field {
                    Field::Email => text.trim().to_lowercase(),
                    Field::Phone => text
                        .chars()
                        .filter(|c| c.is_ascii_digit() || *c == '+')
                        .collect(),
                    _ => text.trim().to_owned(),
                };
                if normal != *text {
                    self.hit.with(Quirk::Normalises);
                    *text = normal;
                }
            }
        }
        values
    }

    // ---- what is told of a record ----

    fn told_time(&self, at: Millis) -> Millis {
        if self.has(Quirk::WholeSeconds) {
            at - at.rem_euclid(1000)
        } else {
            at
        }
    }

    fn revision(&self, version: &Version) -> Option<Revision> {
        if self.has(Quirk::NoRevisions) {
            None
        } else if self.has(Quirk::OpaqueRevisions) {
            Some(Revision {
                token: format!("x{}", version.rev * 7919 % 10_007),
                order: None,
            })
        } else {
            Some(Revision {
                token: format!("r{}", version.rev),
                order: Some(version.rev),
            })
        }
    }

    /// The record as the contract tells it. `wanted`: only these fields.
    pub fn entity(&self, id: &RecordId, version: &Version, wanted: Option<&[String]>) -> Entity {
        let mut fields = Fields::new();
        for field in Field::ALL {
            let name = field.name(self.index);
            if wanted.is_none_or(|wanted| wanted.iter().any(|one| one == name)) {
                fields.insert(name.to_owned(), version.values[field.index()].clone());
            }
        }
        let ids_only = wanted.is_some_and(<[String]>::is_empty);
        Entity {
            id: id.clone(),
            revision: self.revision(version),
            fields,
            consents: if ids_only {
                Vec::new()
            } else {
                vec![self.consent(&version.said)]
            },
            deliverability: if ids_only {
                None
            } else {
                Some(Deliverability {
                    state: match version.bounced {
                        Some(_) => DeliverabilityState::HardBounced,
                        None => DeliverabilityState::Deliverable,
                    },
                    at: version.bounced.map(|at| timestamp(self.told_time(at))),
                    reason: None,
                })
            },
            aliases: version.aliases.clone(),
            modified: Some(timestamp(self.told_time(version.modified))),
        }
    }

    fn consent(&self, said: &Said) -> Consent {
        Consent {
            channel: CHANNEL.to_owned(),
            purpose: PURPOSE.to_owned(),
            state: said.state.clone(),
            at: said
                .at
                .filter(|_| !self.has(Quirk::NoConsentDate))
                .map(timestamp),
            evidence: said.evidence.clone(),
        }
    }

    /// The version that an entity shows: the newest that says the same.
    pub fn identify(&self, entity: &Entity) -> Option<u64> {
        let record = self.records.get(&entity.id)?;
        record
            .versions
            .iter()
            .rev()
            .find(|version| self.shows(version, entity))
            .map(|version| version.seq)
    }

    /// Whether what is stored of a record is what it was in the version of a place.
    pub fn is_stored_as(&self, stored: &Observation, seq: u64) -> bool {
        let Some(version) = self
            .records
            .get(&stored.id)
            .and_then(|record| record.version(seq))
        else {
            return false;
        };
        if !version.is_live() {
            return stored.presence != Presence::Present;
        }
        let told = Some(timestamp(self.told_time(version.modified)));
        let head = stored.modified == told && stored.revision == self.revision(version);
        let said = stored
            .consents
            .first()
            .is_none_or(|consent| consent.state == version.said.state);
        // Without a revision only the values tell versions of one second apart.
        let values = !self.has(Quirk::NoRevisions)
            || Field::ALL.into_iter().all(|field| {
                stored
                    .fields
                    .get(field.name(self.index))
                    .is_none_or(|value| *value == version.values[field.index()])
            });
        stored.presence == Presence::Present && head && said && values
    }

    /// The fields, by their bits, in which what is stored of a record is what it was in the version of a place.
    pub fn values_stored(&self, stored: &Observation, seq: u64) -> u8 {
        let Some(version) = self
            .records
            .get(&stored.id)
            .and_then(|record| record.version(seq))
        else {
            return 0;
        };
        Field::ALL
            .into_iter()
            .filter(|field| {
                stored
                    .fields
                    .get(field.name(self.index))
                    .is_some_and(|value| *value == version.values[field.index()])
            })
            .fold(0, |bits, field| bits | 1 << field.index())
    }

    fn shows(&self, version: &Version, entity: &Entity) -> bool {
        let modified = Some(timestamp(self.told_time(version.modified)));
        entity.modified == modified
            && entity.revision == self.revision(version)
            && entity
                .consents
                .first()
                .is_none_or(|consent| *consent == self.consent(&version.said))
            && Field::ALL.into_iter().all(|field| {
                entity
                    .fields
                    .get(field.name(self.index))
                    .is_none_or(|value| *value == version.values[field.index()])
            })
    }
}
