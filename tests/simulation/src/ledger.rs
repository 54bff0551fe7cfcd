//! What the host has stored, as its commits tell: a plain copy that follows each commit that succeeded. The checkers
//! read it instead of the store, so that they are the same on every tier.

use std::collections::{BTreeMap, BTreeSet};

use samspel_model::intent::Intent;
use samspel_model::journal::JournalKind;
use samspel_model::store::{Change, Commit, Cursor, Decision, Observation, Step, Verdict};
use samspel_model::{Absence, Extent, FieldBase, Link, LinkId, RecordId, Side};
use serde_json::Value;

use crate::agreement::Agreement;
use crate::field::Field;
use crate::systems::{Record, Standing, System};

/// What the one consent of this world is called.
pub(crate) const CONSENT: &str = "email/marketing";

/// A record of a system.
pub(crate) type Place = (usize, RecordId);

/// What is stored about a pair.
#[derive(Debug, Clone)]
pub(crate) struct LinkFacts {
    /// The records.
    pub records: [RecordId; 2],
    /// Nothing flows any more.
    pub ended: bool,
    /// The world's step when they became one.
    pub since: u64,
    /// The rules of fields in which the two were reconciled, with what both held, and the world's step of that.
    pub reconciled: BTreeMap<String, (FieldBase, u64)>,
}

/// A write that was decided.
#[derive(Debug, Clone)]
pub(crate) struct Decided {
    /// The write.
    pub intent: Intent,
    /// When, by the world's steps.
    pub step: u64,
    /// It is stored and not settled.
    pub open: bool,
    /// The world's step when it was settled.
    pub closed: u64,
}

/// What is stored about one sync.
#[derive(Debug, Default)]
pub(crate) struct SyncLedger {
    /// Every write that was ever decided, by its id.
    pub decided: BTreeMap<String, Decided>,
    /// Creates that were decided once more since, under the id that they had.
    pub decided_before: Vec<Decided>,
    /// The pairs.
    pub links: BTreeMap<LinkId, LinkFacts>,
    /// What is left to a person: side, record and subject, with what is in question.
    pub conflicts: BTreeMap<(Side, RecordId, String), Value>,
    /// What failed for good, and why.
    pub parked: BTreeMap<(Side, RecordId), String>,
    /// Values that are told as having lost, or as being in question: the rule and the value.
    pub told: Vec<(String, Value)>,
    /// Records whose write was refused for the person's protection.
    pub suppressed: BTreeSet<RecordId>,
    /// How many verdicts of approval operators gave.
    pub approvals: u64,
    /// Records about whose consent an operator decided that a side's word holds.
    pub consents_taken: BTreeSet<RecordId>,
    /// What operators left as it is: side, record, and the subject of a question, or nothing for what had failed.
    pub left: BTreeSet<(Side, RecordId, Option<String>)>,
    /// Fields that were given back what they held, because a run was taken back: the record and the rule.
    pub undone: BTreeSet<(RecordId, String)>,
    /// The records that were named when an operator said that they stay apart.
    pub apart: BTreeSet<RecordId>,
    /// Pairs that were, and are no more.
    pub former: Vec<[RecordId; 2]>,
    /// The first sync is complete.
    pub first_done: bool,
    /// The run in which two records became a pair.
    pub met_in: BTreeMap<LinkId, String>,
}

impl SyncLedger {
    /// The pair of a record.
    pub fn link_of(&self, side: Side, id: &RecordId) -> Option<&LinkFacts> {
        self.links
            .values()
            .find(|link| link.records[side.index()] == *id)
    }

    /// Whether something about a record waits for a person, failed for good, or was left as it is by one.
    pub fn waits(&self, side: Side, id: &RecordId, about: &dyn Fn(&str) -> bool) -> bool {
        self.parked.contains_key(&(side, id.clone()))
            || self
                .conflicts
                .keys()
                .any(|(at, record, subject)| *at == side && record == id && about(subject))
            || self.left.iter().any(|(at, record, subject)| {
                *at == side && record == id && subject.as_deref().is_none_or(about)
            })
    }

    /// Whether writes are decided and not settled.
    pub fn has_open(&self) -> bool {
        self.decided.values().any(|decided| decided.open)
    }
}

/// Which versions of a record were stored: the place, and the world's step.
pub(crate) type Stored = Vec<(u64, u64)>;

/// What is stored.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// By sync.
    pub syncs: Vec<SyncLedger>,
    /// Versions that commits stored, by record.
    pub stored: BTreeMap<Place, Stored>,
    /// Fields, by their bits, whose values of a version were stored, by record and version.
    pub values: BTreeMap<Place, BTreeMap<u64, u8>>,
    /// Versions that commits were shown, believed or not, by record.
    pub shown: BTreeMap<Place, Stored>,
    /// The newest version that a commit was shown, or that is owed a fetch, by record.
    pub noted: BTreeMap<Place, u64>,
    /// What records are gone into, as commits were told, with the world's step.
    pub merged: BTreeMap<Place, Vec<(RecordId, u64)>>,
}

/// What a commit says, noted before it is made and believed once it succeeded.
#[derive(Debug)]
pub(crate) struct Notes {
    /// The sync.
    pub sync: usize,
    /// What is being done.
    pub step: Step,
    /// Records that were observed, and the version that each of them is.
    pub observed: Vec<(Place, Option<u64>)>,
    /// Records of which only values were observed, and the version that these are of.
    pub values: Vec<(Place, Option<u64>)>,
    /// Records that are told to be gone into others.
    merged: Vec<(Place, RecordId)>,
    /// Positions.
    pub cursors: Vec<(Side, Cursor)>,
    /// Pairs.
    pub links: Vec<Link>,
    removed_links: Vec<LinkId>,
    /// Writes that are decided.
    pub intents: Vec<Intent>,
    removed_intents: Vec<String>,
    conflicts: Vec<((Side, RecordId, String), Value)>,
    resolved: Vec<(Side, RecordId, Vec<String>)>,
    /// Records that failed for good, and why.
    pub parked: Vec<((Side, RecordId), String)>,
    unparked: Vec<(Side, RecordId)>,
    told: Vec<(String, Value)>,
    suppressed: Vec<RecordId>,
    approvals: u64,
    /// The first sync is complete.
    first_done: bool,
    /// The run that is noted in the journal of the commit.
    run: Option<String>,
    /// Why writes were given up.
    abandoned: Vec<String>,
    /// Records that are owed a fetch.
    owed: Vec<(Side, RecordId)>,
    left: Vec<(Side, RecordId, Option<String>)>,
    /// What operators said.
    pub decisions: Vec<Decision>,
}

impl Notes {
    /// Reads a commit.
    pub fn of(sync: usize, commit: &Commit, systems: &[System]) -> Self {
        let mut notes = Self {
            sync,
            step: commit.step,
            observed: Vec::new(),
            values: Vec::new(),
            merged: Vec::new(),
            cursors: Vec::new(),
            links: Vec::new(),
            removed_links: Vec::new(),
            intents: Vec::new(),
            removed_intents: Vec::new(),
            conflicts: Vec::new(),
            resolved: Vec::new(),
            parked: Vec::new(),
            unparked: Vec::new(),
            told: Vec::new(),
            suppressed: Vec::new(),
            approvals: 0,
            first_done: false,
            run: None,
            abandoned: Vec::new(),
            owed: Vec::new(),
            left: Vec::new(),
            decisions: Vec::new(),
        };
        for change in &commit.changes {
            notes.change(change, systems);
        }
        notes
    }

    /// What is of interest in it, in a line.
    pub fn told(&self) -> String {
        use std::fmt::Write;
        let mut line = String::new();
        // Writing to a text cannot fail.
        if !self.observed.is_empty() {
            let _ = write!(line, "; observed");
            for ((_, id), seq) in &self.observed {
                let seq = seq.map_or_else(|| "?".to_owned(), |seq| seq.to_string());
                let _ = write!(line, " {id}@{seq}");
            }
        }
        for (side, cursor) in &self.cursors {
            let _ = write!(
                line,
                "; cursor {side} {:?} {:?}",
                cursor.incremental,
                cursor.snapshot.as_ref().map(|snapshot| &snapshot.token)
            );
        }
        for link in &self.links {
            let _ = write!(line, "; link {} {}-{}", link.id, link.a, link.b);
            if link.base.ended {
                let _ = write!(line, " ended");
            }
        }
        for intent in &self.intents {
            let _ = write!(
                line,
                "; intent {} to {} from {}: {:?}",
                intent.id, intent.target, intent.source_record, intent.effect
            );
        }
        for id in &self.removed_intents {
            let _ = write!(line, "; closed {id}");
        }
        for why in &self.abandoned {
            let _ = write!(line, "; given up: {why}");
        }
        for ((side, id, about), _) in &self.conflicts {
            let _ = write!(line, "; conflict {side} {id} {about}");
        }
        for ((side, id), cause) in &self.parked {
            let _ = write!(line, "; parked {side} {id}: {cause}");
        }
        for decision in &self.decisions {
            let _ = write!(
                line,
                "; decided {} {} {}: {:?}",
                decision.side, decision.record, decision.about, decision.verdict
            );
        }
        for (rule, value) in &self.told {
            let _ = write!(line, "; lost {rule} {value}");
        }
        line
    }

    fn change(&mut self, change: &Change, systems: &[System]) {
        match change {
            Change::Observe {
                endpoint,
                records,
                tombstones,
                ..
            } => {
                let Some(system) = systems
                    .iter()
                    .find(|system| system.config.name == endpoint.account)
                else {
                    return;
                };
                for one in records {
                    let id = &one.entity.id;
                    let seq = system.identify(&one.entity);
                    let observed = ((system.index, id.clone()), seq);
                    match one.extent {
                        Extent::Whole => self.observed.push(observed),
                        Extent::Values => self.values.push(observed),
                    }
                }
                for tombstone in tombstones {
                    let seq = system.records.get(&tombstone.id).and_then(|record| {
                        record
                            .versions
                            .iter()
                            .rev()
                            .find(|version| version.standing != Standing::Live)
                            .map(|version| version.seq)
                    });
                    let place = (system.index, tombstone.id.clone());
                    if let Absence::MergedInto(into) = &tombstone.why {
                        self.merged.push((place.clone(), into.clone()));
                    }
                    self.observed.push((place, seq));
                }
            }
            Change::PutCursor { side, cursor } => self.cursors.push((*side, cursor.clone())),
            Change::PutLinks(links) => self.links.extend(links.iter().cloned()),
            Change::RemoveLinks(ids) => self.removed_links.extend(ids.iter().cloned()),
            // One that was lost is kept in mind, and is not under way.
            Change::PutIntents(intents) => {
                let under_way = intents.iter().filter(|intent| intent.lost.is_none());
                self.intents.extend(under_way.cloned());
            }
            Change::RemoveIntents(ids) => self.removed_intents.extend(ids.iter().cloned()),
            Change::PutConflicts(conflicts) => {
                for conflict in conflicts {
                    for side in ["a", "b"] {
                        if let Some(value) = conflict.detail.get(side) {
                            self.told.push((conflict.about.clone(), value.clone()));
                        }
                    }
                    self.conflicts.push((
                        (
                            conflict.side,
                            conflict.record.clone(),
                            conflict.about.clone(),
                        ),
                        conflict.detail.clone(),
                    ));
                }
            }
            Change::RemoveConflicts { side, records } => {
                for (record, keep) in records {
                    self.resolved.push((*side, record.clone(), keep.clone()));
                }
            }
            Change::Park(parked) => {
                for parked in parked {
                    self.parked
                        .push(((parked.side, parked.record.clone()), parked.cause.clone()));
                }
            }
            Change::Unpark { side, ids } => {
                if self.step == Step::Operate {
                    self.left
                        .extend(ids.iter().map(|id| (*side, id.clone(), None)));
                }
                self.unparked
                    .extend(ids.iter().map(|id| (*side, id.clone())));
            }
            Change::PutState(state) => self.first_done |= state.first_done.is_some(),
            Change::Journal(entries) => {
                for entry in entries {
                    self.run = self.run.take().or_else(|| entry.run.clone());
                    match entry.kind {
                        JournalKind::Lost => {
                            if let (Some(Value::String(rule)), Some(value)) =
                                (entry.detail.get("field"), entry.detail.get("value"))
                            {
                                self.told.push((rule.clone(), value.clone()));
                            }
                        }
                        JournalKind::Abandoned => {
                            let why = entry.detail.get("why").and_then(Value::as_str);
                            self.abandoned.extend(why.map(str::to_owned));
                        }
                        JournalKind::Suppressed => {
                            self.suppressed.extend(entry.record.iter().cloned());
                        }
                        _ => {}
                    }
                }
            }
            Change::MarkDirty {
                side,
                ids,
                refetch: Some(_),
            } => self.owed.extend(ids.iter().map(|id| (*side, id.clone()))),
            Change::PutDecisions(decisions) => {
                // What was carried out and is remembered is nothing new.
                let new = decisions.iter().filter(|decision| decision.of.is_none());
                self.decisions.extend(new.clone().cloned());
                for decision in new {
                    match decision.verdict {
                        Verdict::Approve => self.approvals += 1,
                        Verdict::Reject => self.left.push((
                            decision.side,
                            decision.record.clone(),
                            Some(decision.about.clone()),
                        )),
                        Verdict::Take(_) | Verdict::Link(_) => {}
                    }
                }
            }
            _ => {}
        }
    }
}

/// The records that a question names.
fn named(detail: &Value) -> Vec<RecordId> {
    match detail {
        Value::String(text) => vec![RecordId::from(text.as_str())],
        Value::Array(items) => items.iter().flat_map(named).collect(),
        Value::Object(members) => members.values().flat_map(named).collect(),
        _ => Vec::new(),
    }
}

/// What is taken into account of who is one person.
#[derive(Debug, Clone, Copy)]
enum Knowledge {
    /// What was known before a step.
    Before(u64),
    /// What is known, and what was once.
    Ever,
}

impl Ledger {
    /// An empty one.
    pub fn new(syncs: usize) -> Self {
        Self {
            syncs: (0..syncs).map(|_| SyncLedger::default()).collect(),
            stored: BTreeMap::new(),
            values: BTreeMap::new(),
            shown: BTreeMap::new(),
            noted: BTreeMap::new(),
            merged: BTreeMap::new(),
        }
    }

    /// A commit succeeded.
    pub fn believe(&mut self, notes: &Notes, agreement: &Agreement, systems: &[System], step: u64) {
        for (place, seq) in &notes.observed {
            let noted = self.noted.entry(place.clone()).or_default();
            *noted = (*noted).max(seq.unwrap_or(0));
            if let Some(seq) = seq {
                let shown = self.shown.entry(place.clone()).or_default();
                if shown.last().map(|(last, _)| last) != Some(seq) {
                    shown.push((*seq, step));
                }
            }
        }
        for (place, into) in &notes.merged {
            let told = self.merged.entry(place.clone()).or_default();
            if told.iter().all(|(known, _)| known != into) {
                told.push((into.clone(), step));
            }
        }
        for (side, id) in &notes.owed {
            let system = agreement.system(*side);
            if let Some(now) = systems[system].now(id) {
                self.noted.insert((system, id.clone()), now.seq);
            }
        }
        let sync = &mut self.syncs[notes.sync];
        for id in &notes.removed_links {
            let former = sync.links.remove(id).map(|link| link.records);
            sync.former.extend(former);
        }
        for link in &notes.links {
            let records = [link.a.clone(), link.b.clone()];
            let moved = sync.links.get(&link.id).map(|known| known.records.clone());
            let met = moved.as_ref() != Some(&records);
            let since = match sync.links.get(&link.id) {
                Some(known) if !met => known.since,
                _ => step,
            };
            let known = sync.links.get(&link.id).filter(|_| !met);
            let bases = link.base.fields.iter();
            let reconciled = bases
                .map(|(rule, base)| {
                    let before = known.and_then(|known| known.reconciled.get(rule));
                    let as_before = before.filter(|(known, _)| known == base);
                    let since = as_before.map_or(step, |(_, since)| *since);
                    (rule.clone(), (base.clone(), since))
                })
                .collect();
            sync.former.extend(moved.filter(|_| met));
            if let Some(run) = notes.run.as_ref().filter(|_| met) {
                sync.met_in.insert(link.id.clone(), run.clone());
            }
            sync.links.insert(
                link.id.clone(),
                LinkFacts {
                    records: [link.a.clone(), link.b.clone()],
                    ended: link.base.ended,
                    since,
                    reconciled,
                },
            );
        }
        for intent in &notes.intents {
            if let Some(target) = intent.effect.target_record() {
                let fields = intent.base.fields.iter();
                let undone = fields.filter(|(_, images)| images.undone);
                sync.undone
                    .extend(undone.map(|(rule, _)| (target.clone(), rule.clone())));
            }
            let former = sync.decided.insert(
                intent.id.clone(),
                Decided {
                    intent: intent.clone(),
                    step,
                    open: true,
                    closed: 0,
                },
            );
            sync.decided_before
                .extend(former.filter(|former| !former.open));
        }
        for id in &notes.removed_intents {
            if let Some(decided) = sync.decided.get_mut(id) {
                decided.open = false;
                decided.closed = step;
            }
        }
        for decision in &notes.decisions {
            let asked = (
                decision.side,
                decision.record.clone(),
                decision.about.clone(),
            );
            if decision.verdict == Verdict::Reject
                && let Some(detail) = sync.conflicts.get(&asked)
            {
                sync.apart.extend(named(detail));
            }
            // That the value of a side holds from which the field does not flow means that both keep theirs.
            if let Verdict::Take(side) = decision.verdict
                && let Some(mapping) = agreement.mapping_called(&decision.about)
                && !mapping.to[side.other().index()]
            {
                let about = Some(decision.about.clone());
                sync.left
                    .insert((decision.side, decision.record.clone(), about));
            }
        }
        for (side, record, keep) in &notes.resolved {
            sync.conflicts
                .retain(|(at, id, about), _| at != side || id != record || keep.contains(about));
        }
        sync.conflicts.extend(notes.conflicts.iter().cloned());
        for place in &notes.unparked {
            sync.parked.remove(place);
        }
        sync.parked.extend(notes.parked.iter().cloned());
        sync.told.extend(notes.told.iter().cloned());
        sync.first_done |= notes.first_done;
        sync.suppressed.extend(notes.suppressed.iter().cloned());
        sync.approvals += notes.approvals;
        sync.left.extend(notes.left.iter().cloned());
        let consents = notes.decisions.iter().filter(|decision| {
            decision.about == CONSENT && matches!(decision.verdict, Verdict::Take(_))
        });
        sync.consents_taken
            .extend(consents.map(|decision| decision.record.clone()));
    }

    /// This is what is stored of records that a commit observed: what it did not believe is not stored.
    pub fn stored(&mut self, notes: &Notes, system: &System, stored: &[Observation], step: u64) {
        for (place, seq) in notes.observed.iter().chain(&notes.values) {
            let Some(seq) = seq.filter(|_| place.0 == system.index) else {
                continue;
            };
            let Some(observation) = stored.iter().find(|observation| observation.id == place.1)
            else {
                continue;
            };
            let values = self.values.entry(place.clone()).or_default();
            *values.entry(seq).or_default() |= system.values_stored(observation, seq);
            if system.is_stored_as(observation, seq) {
                // Where the person says what they said before, values are all that there is to be shown.
                for versions in [&mut self.stored, &mut self.shown] {
                    let versions = versions.entry(place.clone()).or_default();
                    if versions.last().map(|(last, _)| *last) != Some(seq) {
                        versions.push((seq, step));
                    }
                }
            }
        }
    }

    /// The place of the last version of a record that was stored before a step.
    pub fn stored_before(&self, place: &Place, step: u64) -> Option<u64> {
        self.stored
            .get(place)?
            .iter()
            .rev()
            .find(|(_, at)| *at < step)
            .map(|(seq, _)| *seq)
    }

    /// Whether it was ever stored of a record that it is gone.
    pub fn was_gone(&self, place: &Place, systems: &[System]) -> bool {
        let record = systems[place.0].records.get(&place.1);
        let stored = self.stored.get(place).into_iter().flatten();
        let mut versions = stored.filter_map(|(seq, _)| record?.version(*seq));
        versions.any(|version| !version.is_live())
    }

    /// The last version of a record whose value of a field was stored by a step.
    pub fn value_by(&self, place: &Place, step: u64, field: Field) -> Option<u64> {
        let values = self.values.get(place)?;
        let is_stored = |seq: &u64| {
            let fields = values.get(seq);
            fields.is_some_and(|fields| fields & (1 << field.index()) != 0)
        };
        let shown = self.shown.get(place)?.iter().rev();
        shown
            .filter(|(_, at)| *at <= step)
            .map(|(seq, _)| *seq)
            .find(is_stored)
    }

    /// Whether the value that a field had in some versions of a record was ever stored.
    pub fn was_stored(&self, place: &Place, from: u64, to: u64, field: Field) -> bool {
        self.values.get(place).is_some_and(|values| {
            values
                .range(from..=to)
                .any(|(_, fields)| fields & (1 << field.index()) != 0)
        })
    }

    /// All records that the host takes for those of one person: joined by pairs of any sync, and by merges.
    pub fn person(
        &self,
        start: &Place,
        agreements: &[Agreement],
        systems: &[System],
        before: u64,
    ) -> BTreeSet<Place> {
        self.cluster(start, agreements, systems, Knowledge::Before(before))
    }

    /// The same, with those that were once of the person.
    pub fn person_ever(
        &self,
        start: &Place,
        agreements: &[Agreement],
        systems: &[System],
    ) -> BTreeSet<Place> {
        self.cluster(start, agreements, systems, Knowledge::Ever)
    }

    fn cluster(
        &self,
        start: &Place,
        agreements: &[Agreement],
        systems: &[System],
        knowledge: Knowledge,
    ) -> BTreeSet<Place> {
        let (ever, before) = match knowledge {
            Knowledge::Ever => (true, u64::MAX),
            Knowledge::Before(step) => (false, step),
        };
        // That a record is gone does not say what into: some remotes tell, and some do not.
        let into = |place: &Place| {
            let told = self.merged.get(place).into_iter().flatten();
            told.filter(|(_, step)| *step < before)
                .map(|(into, _)| into)
        };
        let mut found = BTreeSet::from([start.clone()]);
        let mut open = vec![start.clone()];
        while let Some((system, id)) = open.pop() {
            let mut next: Vec<Place> = Vec::new();
            for (sync, agreement) in self.syncs.iter().zip(agreements) {
                let Some(side) = agreement.side(system) else {
                    continue;
                };
                let now = sync.links.values();
                let now = now.filter(|link| ever || (link.since < before && !link.ended));
                let now = now.map(|link| &link.records);
                let former = sync.former.iter().filter(|_| ever);
                for records in now.chain(former) {
                    if records[side.index()] == id {
                        let other = side.other();
                        next.push((agreement.system(other), records[other.index()].clone()));
                    }
                }
            }
            // Merges are known as far as they were shown.
            let place = (system, id.clone());
            // Only a record that is there tells which others were merged into it.
            let told = self.shown.get(&place).into_iter().flatten();
            next.extend(
                told.filter(|(_, step)| *step < before)
                    .filter_map(|(seq, _)| systems[system].records.get(&id)?.version(*seq))
                    .filter(|version| version.is_live())
                    .flat_map(|version| &version.aliases)
                    .map(|alias| (system, alias.clone())),
            );
            next.extend(into(&place).map(|into| (system, into.clone())));
            let holds = |other: &RecordId, record: &Record| {
                let told = self
                    .shown
                    .get(&(system, other.clone()))
                    .into_iter()
                    .flatten();
                record.now().aliases.contains(&id)
                    && told
                        .filter(|(_, step)| *step < before)
                        .filter_map(|(seq, _)| record.version(*seq))
                        .any(|version| version.is_live() && version.aliases.contains(&id))
            };
            let records = systems[system].records.iter();
            next.extend(
                records
                    .filter(|(other, record)| holds(other, record))
                    .map(|(other, _)| (system, other.clone())),
            );
            let absorbed = systems[system].records.keys().filter(|other| {
                let other = (system, (*other).clone());
                into(&other).any(|into| *into == id)
            });
            next.extend(absorbed.map(|other| (system, other.clone())));
            for place in next {
                if found.insert(place.clone()) {
                    open.push(place);
                }
            }
        }
        found
    }
}
