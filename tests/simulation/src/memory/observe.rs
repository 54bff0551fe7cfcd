//! What was read, laid over what is known.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use samspel_model::record::content_hash;
use samspel_model::store::{
    Endpoint, Observation, Observed, RecordRestriction, Sequence, Source, forgotten_opt_outs,
};
use samspel_model::{Absence, Extent, Guard, Presence, RecordId, Revision, Tombstone};

use super::state::{Key, Place, Row, from};
use super::work::Work;

/// Where and how something was read.
pub(super) struct Reading {
    pub place: Place,
    pub source: Source,
    pub sent: Sequence,
    pub snapshot: Option<Sequence>,
}

/// What a reading does to the queues, at its end.
#[derive(Default)]
struct Outcome {
    changed: Vec<RecordId>,
    refetch: Vec<RecordId>,
    /// Opt-outs that a record no longer shows.
    forgotten: Vec<RecordRestriction>,
    /// Records that were merged, and what into.
    merged: Vec<(RecordId, RecordId)>,
}

/// See [`samspel_model::store::Change::Observe`].
pub(super) fn observe(
    work: &mut Work<'_>,
    reading: &Reading,
    records: Vec<Observed>,
    tombstones: Vec<Tombstone>,
) {
    let mut outcome = Outcome::default();
    for observed in records {
        record(work, reading, observed, &mut outcome);
    }
    for one in tombstones {
        tombstone(work, reading, one, &mut outcome);
    }
    work.restrict(std::mem::take(&mut outcome.forgotten));
    let inherited = outcome
        .merged
        .iter()
        .flat_map(|(merged, into)| in_force(work, &reading.place, merged, into))
        .collect();
    work.restrict(inherited);
    let committing = Arc::clone(&work.sync);
    let except = (reading.source == Source::Write).then_some(&committing);
    for id in &outcome.changed {
        work.queue_everywhere(&reading.place, id, None, except);
    }
    for id in &outcome.refetch {
        work.queue_everywhere(&reading.place, id, Some(Extent::Whole), None);
    }
}

fn record(work: &mut Work<'_>, reading: &Reading, observed: Observed, outcome: &mut Outcome) {
    let Observed {
        mut entity,
        keys,
        extent,
    } = observed;
    let id = entity.id.clone();
    let number = work.receipt.sequence;
    let written = |before: Option<Sequence>| match reading.source {
        Source::Write => Some(number),
        Source::Fetch => before.max(Some(reading.sent)),
        Source::Listing => before,
    };
    let known = row(work, &reading.place, &id);
    if extent == Extent::Values {
        let present = known.as_ref().map(|known| &known.seen);
        match present.filter(|seen| seen.presence == Presence::Present) {
            Some(seen) => entity.consents = seen.consents.clone(),
            None => {
                work.receipt.refetch += 1;
                outcome.refetch.push(id);
                return;
            }
        }
    }
    let Some(known) = known else {
        let absorbed = entity.aliases.iter();
        outcome
            .merged
            .extend(absorbed.map(|alias| (alias.clone(), id.clone())));
        let seen = Observation {
            id: id.clone(),
            presence: Presence::Present,
            hash: entity.content_hash(),
            fields: entity.fields,
            consents: entity.consents,
            deliverability: entity.deliverability,
            revision: entity.revision,
            modified: entity.modified,
            aliases: entity.aliases,
            merged_into: None,
        };
        let row = Row {
            seen,
            keys: in_order(keys),
            snapshot: reading.snapshot,
            written: written(None),
            changed: number,
        };
        work.receipt.changed += 1;
        outcome.changed.push(id);
        store(work, &reading.place, None, row);
        return;
    };
    let mut now = known.clone();
    // A listing shows that a record is there even if it does not say what it holds now.
    now.snapshot = now.snapshot.max(reading.snapshot);
    let mut fields = known.seen.fields.clone();
    for (name, value) in entity.fields {
        fields.insert(name, value);
    }
    let hash = content_hash(&fields, &entity.consents, entity.deliverability.as_ref());
    let returned = known.seen.presence != Presence::Present;
    let rewritten = hash != known.seen.hash;
    // The answer to a write tells what a record holds, and not whether it is in the collection again.
    let left = reading.source == Source::Write
        && known.seen.presence == Presence::OutOfScope
        && Guard::ListingMayLag.stands();
    if left
        || (returned || rewritten)
            && is_stale(reading, &known, entity.revision.as_ref(), entity.modified)
    {
        work.receipt.refetch += 1;
        outcome.refetch.push(id);
        store(work, &reading.place, Some(&known), now);
        return;
    }
    let absorbed: Vec<RecordId> = entity
        .aliases
        .iter()
        .filter(|alias| !known.seen.aliases.contains(alias))
        .cloned()
        .collect();
    let renamed = !absorbed.is_empty();
    outcome
        .merged
        .extend(absorbed.into_iter().map(|alias| (alias, id.clone())));
    // Of a key that was not read nothing new is known as long as its field holds what it held.
    let kept = known.keys.iter().filter(|(field, _)| {
        fields.get(field) == known.seen.fields.get(field)
            && keys.iter().all(|(read, _)| read != field)
    });
    now.keys = in_order(kept.cloned().chain(keys.iter().cloned()).collect());
    let older = reading.source == Source::Listing && is_older(&known, entity.revision.as_ref());
    if !older && (rewritten || entity.revision.is_some()) {
        now.seen.revision = entity.revision;
    }
    if rewritten {
        let forgotten = forgotten_opt_outs(&reading.place, &known.seen, &entity.consents, work.at);
        outcome.forgotten.extend(forgotten);
        now.seen.fields = fields;
        now.seen.consents = entity.consents;
        now.seen.deliverability = entity.deliverability;
        now.seen.hash = hash;
    }
    now.seen.presence = Presence::Present;
    now.seen.merged_into = None;
    now.seen.aliases = entity.aliases;
    now.seen.modified = entity.modified.or(known.seen.modified);
    now.written = written(known.written);
    if returned || rewritten {
        now.changed = number;
    }
    if returned || rewritten || renamed {
        work.receipt.changed += 1;
        outcome.changed.push(id);
    } else {
        work.receipt.unchanged += 1;
    }
    store(work, &reading.place, Some(&known), now);
}

fn tombstone(work: &mut Work<'_>, reading: &Reading, tombstone: Tombstone, outcome: &mut Outcome) {
    let Tombstone { id, why, revision } = tombstone;
    let Some(known) = row(work, &reading.place, &id) else {
        return;
    };
    let merged_into = match &why {
        Absence::MergedInto(into) => Some(into.clone()),
        _ => None,
    };
    let presence = match why {
        Absence::Archived => Presence::Archived,
        Absence::OutOfScope => Presence::OutOfScope,
        Absence::Deleted | Absence::MergedInto(_) | Absence::Other(_) => Presence::Gone,
    };
    let differs = presence != known.seen.presence;
    if differs && is_stale(reading, &known, revision.as_ref(), None) {
        work.receipt.refetch += 1;
        outcome.refetch.push(id);
        return;
    }
    let mut now = known.clone();
    if let Some(into) = merged_into {
        // What is told again is no newer than it was.
        if differs || known.seen.merged_into.as_ref() != Some(&into) {
            let last_words = forgotten_opt_outs(&reading.place, &known.seen, &[], work.at);
            let moved = last_words.into_iter().map(|one| RecordRestriction {
                record: into.clone(),
                ..one
            });
            outcome.forgotten.extend(moved);
        }
        outcome.merged.push((id.clone(), into.clone()));
        now.seen.merged_into = Some(into);
    }
    now.seen.presence = presence;
    match reading.source {
        Source::Write => now.written = Some(work.receipt.sequence),
        Source::Fetch => now.written = now.written.max(Some(reading.sent)),
        Source::Listing => {}
    }
    if differs {
        now.changed = work.receipt.sequence;
    }
    if differs || revision.is_some() {
        now.seen.revision = revision;
        now.seen.modified = None;
    }
    if differs {
        work.receipt.changed += 1;
        outcome.changed.push(id);
    } else {
        work.receipt.unchanged += 1;
    }
    store(work, &reading.place, Some(&known), now);
}

/// The opt-outs that are stored with a record are in force for another one too.
fn in_force(
    work: &Work<'_>,
    place: &Place,
    merged: &RecordId,
    into: &RecordId,
) -> Vec<RecordRestriction> {
    let first = (
        Arc::clone(place),
        merged.clone(),
        String::new(),
        String::new(),
    );
    from(&work.state.restrictions, first, |key| {
        key.0 == *place && key.1 == *merged
    })
    .filter(|(_, (_, lifted))| !lifted)
    .map(
        |((place, _, channel, purpose), (restriction, _))| RecordRestriction {
            endpoint: Endpoint::clone(place),
            record: into.clone(),
            channel: channel.clone(),
            purpose: purpose.clone(),
            restriction: restriction.clone(),
        },
    )
    .collect()
}

/// Whether what was read, and differs, may be older than what is known.
fn is_stale(
    reading: &Reading,
    known: &Row,
    revision: Option<&Revision>,
    modified: Option<Timestamp>,
) -> bool {
    if !Guard::ListingMayLag.stands() {
        return false;
    }
    let order = known.seen.revision.as_ref().and_then(|one| one.order);
    let orders = order.zip(revision.and_then(|one| one.order));
    let times = known.seen.modified.zip(modified);
    // Newer, older, or nobody knows.
    let newer = match (orders, times) {
        (Some((known, read)), _) if known != read => Some(read > known),
        (None, Some((known, read))) if known != read => Some(read > known),
        _ => None,
    };
    match (reading.source, newer) {
        (_, Some(true)) => false,
        (Source::Listing, Some(false)) => true,
        (Source::Listing, None) => known.written.is_some(),
        (Source::Fetch | Source::Write, _) => reading.sent < known.changed,
    }
}

fn is_older(known: &Row, revision: Option<&Revision>) -> bool {
    let known = known.seen.revision.as_ref().and_then(|one| one.order);
    let read = revision.and_then(|one| one.order);
    known.zip(read).is_some_and(|(known, read)| read < known)
}

fn in_order(keys: Vec<Key>) -> Vec<Key> {
    keys.into_iter()
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect()
}

fn row(work: &Work<'_>, place: &Place, id: &RecordId) -> Option<Row> {
    let key = (Arc::clone(place), id.clone());
    work.state.records.get(&key).cloned()
}

/// The keys by which a record can be found: none while it is not there.
fn found_by(row: &Row) -> &[Key] {
    if row.seen.presence == Presence::Present {
        &row.keys
    } else {
        &[]
    }
}

fn store(work: &mut Work<'_>, place: &Place, before: Option<&Row>, row: Row) {
    let id = row.seen.id.clone();
    let entry =
        |(field, value): &Key| (Arc::clone(place), field.clone(), value.clone(), id.clone());
    let old = before.map_or(&[][..], found_by);
    let new = found_by(&row);
    for key in old.iter().filter(|key| !new.contains(key)) {
        work.remove(|state| &mut state.keys, &entry(key));
    }
    for key in new.iter().filter(|key| !old.contains(key)) {
        work.put(|state| &mut state.keys, entry(key), ());
    }
    work.put(|state| &mut state.records, (Arc::clone(place), id), row);
}

/// Nothing is known of the record any more.
pub(super) fn forget(work: &mut Work<'_>, place: &Place, id: &RecordId) {
    if let Some(known) = row(work, place, id) {
        for (field, value) in found_by(&known) {
            let key = (Arc::clone(place), field.clone(), value.clone(), id.clone());
            work.remove(|state| &mut state.keys, &key);
        }
        let key = (Arc::clone(place), id.clone());
        work.remove(|state| &mut state.records, &key);
    }
}

/// See [`samspel_model::store::Change::Seen`].
pub(super) fn seen(
    work: &mut Work<'_>,
    endpoint: Endpoint,
    snapshot: Sequence,
    ids: Vec<RecordId>,
) {
    let place = Arc::new(endpoint);
    let ids: BTreeSet<_> = ids.into_iter().collect();
    for id in ids {
        match row(work, &place, &id) {
            Some(known) if known.seen.presence == Presence::Present => {
                let now = Row {
                    snapshot: known.snapshot.max(Some(snapshot)),
                    ..known.clone()
                };
                store(work, &place, Some(&known), now);
            }
            _ => {
                work.receipt.refetch += 1;
                work.queue_everywhere(&place, &id, Some(Extent::Whole), None);
            }
        }
    }
}
