//! What was read, laid over what is stored.
//!
//! Stored rows are read once for the whole batch, [`Overlay`] decides in memory what each record and tombstone means,
//! and a few statements store the outcome.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;

use samspel_model::record::content_hash;
use samspel_model::store::{
    Endpoint, Observed, Receipt, RecordRestriction, Sequence, Source, StoreError,
    forgotten_opt_outs,
};
use samspel_model::{Absence, Extent, Fields, Guard, Presence, RecordId, Revision, Tombstone};

use crate::changes::Applying;
use crate::context::{decode, encode, micros, signed, unsigned};
use crate::people;
use crate::read::{ObservationRow, owing, spelt};

/// Where and how something was read.
pub(crate) struct Observe<'a> {
    pub endpoint: &'a Endpoint,
    pub source: Source,
    pub sent: Sequence,
    pub snapshot: Option<Sequence>,
}

/// A match key: field and value.
type Key = (String, String);

/// See [`samspel_model::store::Change::Observe`].
pub(crate) async fn observe(
    applying: &mut Applying<'_>,
    what: &Observe<'_>,
    records: Vec<Observed>,
    tombstones: Vec<Tombstone>,
    receipt: &mut Receipt,
) -> Result<(), StoreError> {
    if records.is_empty() && tombstones.is_empty() {
        return Ok(());
    }
    let ids: BTreeSet<&RecordId> = records
        .iter()
        .map(|one| &one.entity.id)
        .chain(tombstones.iter().map(|one| &one.id))
        .collect();
    let mut overlay = Overlay {
        what,
        sequence: applying.sequence,
        rows: stored(applying, what.endpoint, &ids).await?,
        touched: BTreeSet::new(),
        marked: Vec::new(),
        old_keys: BTreeSet::new(),
        new_keys: BTreeMap::new(),
        changed: Vec::new(),
        refetch: Vec::new(),
        forgotten: Vec::new(),
        merged: Vec::new(),
        at: applying.at,
        receipt,
    };
    for record in records {
        overlay.record(record)?;
    }
    for tombstone in tombstones {
        overlay.tombstone(&tombstone)?;
    }
    let Overlay {
        rows,
        touched,
        marked,
        old_keys,
        new_keys,
        changed,
        refetch,
        forgotten,
        merged,
        ..
    } = overlay;
    put_observations(
        applying,
        what.endpoint,
        touched.iter().filter_map(|id| rows.get(id)),
    )
    .await?;
    if let Some(snapshot) = what.snapshot {
        put_snapshot(applying, what.endpoint, snapshot, &marked).await?;
    }
    put_keys(applying, what.endpoint, old_keys, new_keys).await?;
    people::restrict(applying, forgotten).await?;
    people::inherit(applying, what.endpoint, &merged).await?;
    let except = (what.source == Source::Write).then(|| applying.sync.to_owned());
    let changed = mark(applying, what.endpoint, &changed, None, except.as_deref()).await?;
    let whole = Some(Extent::Whole);
    let refetch = mark(applying, what.endpoint, &refetch, whole, None).await?;
    receipt.queued += changed + refetch;
    Ok(())
}

/// The decisions about a batch.
struct Overlay<'a> {
    what: &'a Observe<'a>,
    sequence: Sequence,
    rows: HashMap<String, ObservationRow>,
    /// Rows to be written.
    touched: BTreeSet<String>,
    /// Rows of which only the snapshot is new.
    marked: Vec<String>,
    /// (id, key) that may have to go.
    old_keys: BTreeSet<(String, Key)>,
    /// The keys that a record has now.
    new_keys: BTreeMap<String, Vec<Key>>,
    /// Records that said something new.
    changed: Vec<String>,
    /// Records that must be asked again.
    refetch: Vec<String>,
    /// Opt-outs that a record no longer shows.
    forgotten: Vec<RecordRestriction>,
    /// Records that were merged, and what into.
    merged: Vec<(String, RecordId)>,
    at: Timestamp,
    receipt: &'a mut Receipt,
}

impl Overlay<'_> {
    fn record(&mut self, observed: Observed) -> Result<(), StoreError> {
        let mut entity = observed.entity;
        let id = entity.id.as_str().to_owned();
        let before = self.rows.remove(&id);
        if observed.extent == Extent::Values {
            let present = spelt(Presence::Present);
            match &before {
                Some(row) if row.presence == present => {
                    entity.consents = decode("the consents of record", &id, &row.consents)?;
                }
                _ => {
                    self.ask_again(id.clone());
                    self.rows.extend(before.map(|row| (id, row)));
                    return Ok(());
                }
            }
        }
        let Some(before) = before else {
            let keys = merged_keys(&[], observed.keys, |_| false);
            let row = ObservationRow {
                presence: spelt(Presence::Present).to_owned(),
                hash: entity.content_hash(),
                fields: encode("fields", &entity.fields)?,
                consents: encode("consents", &entity.consents)?,
                deliverability: json(entity.deliverability.as_ref())?,
                aliases: encode("aliases", &entity.aliases)?,
                keys: encode("keys", &keys)?,
                revision_token: None,
                revision_order: None,
                modified: entity.modified.map(|at| at.to_string()),
                snapshot: self.what.snapshot.map(signed),
                written_seq: self.written(None),
                changed_seq: Some(signed(self.sequence)),
                merged_into: None,
                id: id.clone(),
            };
            self.new_keys.insert(id.clone(), keys);
            let absorbed = entity.aliases.iter();
            self.merged
                .extend(absorbed.map(|alias| (alias.as_str().to_owned(), entity.id.clone())));
            self.receipt.changed += 1;
            self.changed.push(id.clone());
            self.keep(None, revised(row, entity.revision.as_ref()));
            return Ok(());
        };
        let mut row = before.clone();
        let known: Fields = decode("the fields of record", &id, &row.fields)?;
        let mut fields = known.clone();
        for (name, value) in &entity.fields {
            fields.insert(name.clone(), value.clone());
        }
        let hash = content_hash(&fields, &entity.consents, entity.deliverability.as_ref());
        let returns = row.presence != spelt(Presence::Present);
        let rewritten = hash != row.hash;
        let differs = returns || rewritten;
        // The listing did see it, whether or not what it says is believed.
        row.snapshot = row.snapshot.max(self.what.snapshot.map(signed));
        // The answer to a write tells what a record holds, and not whether it is in the collection again.
        let left = self.what.source == Source::Write
            && row.presence == spelt(Presence::OutOfScope)
            && Guard::ListingMayLag.stands();
        if left || differs && self.is_stale(&row, entity.revision.as_ref(), entity.modified) {
            self.ask_again(id);
            self.keep(Some(&before), row);
            return Ok(());
        }
        let earlier: Vec<RecordId> = decode("the aliases of record", &id, &row.aliases)?;
        let absorbed = entity
            .aliases
            .iter()
            .filter(|alias| !earlier.contains(alias));
        let absorbed: Vec<_> = absorbed
            .map(|alias| (alias.as_str().to_owned(), entity.id.clone()))
            .collect();
        let news = differs || !absorbed.is_empty();
        self.merged.extend(absorbed);

        let old: Vec<Key> = decode("the keys of record", &id, &row.keys)?;
        let keys = merged_keys(&old, observed.keys, |field| {
            fields.get(field) == known.get(field)
        });
        // While a record is not there its keys are on its row only: it comes back with those that are not told again.
        if keys != old || before.presence != spelt(Presence::Present) {
            row.keys = encode("keys", &keys)?;
            self.old_keys
                .extend(old.into_iter().map(|key| (id.clone(), key)));
            self.new_keys.insert(id.clone(), keys);
        }
        row.presence = spelt(Presence::Present).to_owned();
        row.merged_into = None;
        if rewritten {
            let known = before.understand()?;
            self.forgotten.extend(forgotten_opt_outs(
                self.what.endpoint,
                &known,
                &entity.consents,
                self.at,
            ));
            row.fields = encode("fields", &fields)?;
            row.consents = encode("consents", &entity.consents)?;
            row.deliverability = json(entity.deliverability.as_ref())?;
            row.hash = hash;
        }
        row.aliases = encode("aliases", &entity.aliases)?;
        row.modified = entity.modified.map(|at| at.to_string()).or(row.modified);
        row.written_seq = self.written(row.written_seq);
        let lags = self.what.source == Source::Listing && is_older(&row, entity.revision.as_ref());
        // What is read without a revision and is not new leaves the revision true.
        if !lags && (rewritten || entity.revision.is_some()) {
            row = revised(row, entity.revision.as_ref());
        }
        if differs {
            row.changed_seq = Some(signed(self.sequence));
        }
        if news {
            self.receipt.changed += 1;
            self.changed.push(id);
        } else {
            self.receipt.unchanged += 1;
        }
        self.keep(Some(&before), row);
        Ok(())
    }

    fn tombstone(&mut self, tombstone: &Tombstone) -> Result<(), StoreError> {
        let id = tombstone.id.as_str().to_owned();
        let Some(before) = self.rows.remove(&id) else {
            return Ok(());
        };
        let mut row = before.clone();
        let merged_into = match &tombstone.why {
            Absence::MergedInto(into) => Some(into.clone()),
            _ => None,
        };
        let presence = spelt(match tombstone.why {
            Absence::Archived => Presence::Archived,
            Absence::OutOfScope => Presence::OutOfScope,
            Absence::Deleted | Absence::MergedInto(_) | Absence::Other(_) => Presence::Gone,
        });
        let differs = row.presence != presence;
        if differs && self.is_stale(&row, tombstone.revision.as_ref(), None) {
            self.ask_again(id);
            self.keep(Some(&before), row);
            return Ok(());
        }
        if differs {
            let old: Vec<Key> = decode("the keys of record", &id, &row.keys)?;
            self.old_keys
                .extend(old.into_iter().map(|key| (id.clone(), key)));
            self.new_keys.insert(id.clone(), Vec::new());
            row.presence = presence.to_owned();
            row.changed_seq = Some(signed(self.sequence));
            self.receipt.changed += 1;
            self.changed.push(id.clone());
        } else {
            self.receipt.unchanged += 1;
        }
        if let Some(into) = merged_into {
            // What is told again is no newer than it was.
            if differs || before.merged_into.as_deref() != Some(into.as_str()) {
                let known = before.understand()?;
                let last_words = forgotten_opt_outs(self.what.endpoint, &known, &[], self.at);
                self.forgotten
                    .extend(last_words.into_iter().map(|one| RecordRestriction {
                        record: into.clone(),
                        ..one
                    }));
            }
            row.merged_into = Some(into.as_str().to_owned());
            self.merged.push((id.clone(), into));
        }
        row.written_seq = self.written(row.written_seq);
        if differs || tombstone.revision.is_some() {
            // Without a revision nothing that was known can be compared with what is read of it from now on.
            row = revised(row, tombstone.revision.as_ref());
            row.modified = None;
        }
        self.keep(Some(&before), row);
        Ok(())
    }

    /// Whether what was read, and differs, may be older than what is stored.
    fn is_stale(
        &self,
        row: &ObservationRow,
        revision: Option<&Revision>,
        modified: Option<Timestamp>,
    ) -> bool {
        if !Guard::ListingMayLag.stands() {
            return false;
        }
        let age = age(row, revision, modified);
        if self.what.source == Source::Listing {
            match age {
                Age::Newer => false,
                Age::Older => true,
                Age::Unknown => row.written_seq.is_some(),
            }
        } else {
            let since = row.changed_seq;
            age != Age::Newer && since.is_some_and(|changed| signed(self.what.sent) < changed)
        }
    }

    fn ask_again(&mut self, id: String) {
        self.receipt.refetch += 1;
        self.refetch.push(id);
    }

    /// Until when a direct answer about the record is known to be true.
    fn written(&self, before: Option<i64>) -> Option<i64> {
        match self.what.source {
            Source::Write => Some(signed(self.sequence)),
            Source::Fetch => before.max(Some(signed(self.what.sent))),
            Source::Listing => before,
        }
    }

    fn keep(&mut self, before: Option<&ObservationRow>, row: ObservationRow) {
        match before {
            Some(before) if *before == row => {}
            // Most records of most snapshots: they are not written anew.
            Some(before)
                if (ObservationRow {
                    snapshot: row.snapshot,
                    ..before.clone()
                }) == row =>
            {
                self.marked.push(row.id.clone());
            }
            _ => {
                self.touched.insert(row.id.clone());
            }
        }
        self.rows.insert(row.id.clone(), row);
    }
}

/// The keys of a record after it was read. A reader need not know of all fields that others match on: a key of which it
/// says nothing stays as long as the value of its field does.
fn merged_keys(old: &[Key], read: Vec<Key>, unchanged: impl Fn(&str) -> bool) -> Vec<Key> {
    let mut keys: Vec<Key> = old
        .iter()
        .filter(|(field, _)| unchanged(field) && !read.iter().any(|(other, _)| other == field))
        .cloned()
        .collect();
    keys.extend(read);
    keys.sort();
    keys.dedup();
    keys
}

/// What was read, beside what is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Age {
    Newer,
    Older,
    Unknown,
}

/// By the record's order, else by the time of its modification. What differs under one order or time is not told apart:
/// some changes move neither.
fn age(row: &ObservationRow, revision: Option<&Revision>, modified: Option<Timestamp>) -> Age {
    let of = |ordering: Ordering| match ordering {
        Ordering::Less => Age::Older,
        Ordering::Equal => Age::Unknown,
        Ordering::Greater => Age::Newer,
    };
    if let (Some(known), Some(read)) = (row.revision_order, revision.and_then(|one| one.order)) {
        return of(signed(read).cmp(&known));
    }
    let known = row.modified.as_deref().map(str::parse::<Timestamp>);
    let (Some(Ok(known)), Some(read)) = (known, modified) else {
        return Age::Unknown;
    };
    of(read.cmp(&known))
}

fn is_older(row: &ObservationRow, revision: Option<&Revision>) -> bool {
    match (row.revision_order, revision.and_then(|one| one.order)) {
        (Some(known), Some(read)) => signed(read) < known,
        _ => false,
    }
}

/// The row with the revision that was read; without one, the stored one is no longer that of the record.
fn revised(mut row: ObservationRow, revision: Option<&Revision>) -> ObservationRow {
    row.revision_token = revision.map(|one| one.token.clone());
    row.revision_order = revision.and_then(|one| one.order).map(signed);
    row
}

fn json<T: serde::Serialize>(value: Option<&T>) -> Result<Option<String>, StoreError> {
    value
        .map(|value| encode("deliverability", value))
        .transpose()
}

/// The stored rows of these records.
async fn stored(
    applying: &mut Applying<'_>,
    endpoint: &Endpoint,
    ids: &BTreeSet<&RecordId>,
) -> Result<HashMap<String, ObservationRow>, StoreError> {
    let rows: Vec<ObservationRow> = sqlx::query_as(
        "SELECT * FROM observation WHERE tenant = ? AND account = ? AND collection = ? \
         AND id IN (SELECT value FROM json_each(?))",
    )
    .bind(&applying.context.tenant)
    .bind(&endpoint.account)
    .bind(&endpoint.collection)
    .bind(encode("ids", ids)?)
    .fetch_all(&mut *applying.connection)
    .await
    .map_err(applying.context.failed("reading observations"))?;
    Ok(rows.into_iter().map(|row| (row.id.clone(), row)).collect())
}

/// Runs a statement whose parameters are the tenant (1), the endpoint (2, 3) and a batch of rows (4).
async fn batch<T: serde::Serialize>(
    applying: &mut Applying<'_>,
    endpoint: &Endpoint,
    doing: &'static str,
    statement: &'static str,
    rows: &[T],
) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(statement)
        .bind(&applying.context.tenant)
        .bind(&endpoint.account)
        .bind(&endpoint.collection)
        .bind(encode(doing, rows)?)
        .execute(&mut *applying.connection)
        .await
        .map(drop)
        .map_err(applying.context.failed(doing))
}

async fn put_observations<'r>(
    applying: &mut Applying<'_>,
    endpoint: &Endpoint,
    rows: impl Iterator<Item = &'r ObservationRow>,
) -> Result<(), StoreError> {
    let rows: Vec<_> = rows
        .map(|row| {
            (
                (&row.id, &row.presence, &row.hash, &row.fields),
                (&row.consents, &row.deliverability, &row.aliases, &row.keys),
                (
                    &row.revision_token,
                    row.revision_order,
                    &row.modified,
                    &row.merged_into,
                ),
                (row.snapshot, row.written_seq, row.changed_seq),
            )
        })
        .collect();
    batch(
        applying,
        endpoint,
        "storing observations",
        "INSERT INTO observation (tenant, account, collection, id, presence, hash, fields, \
           consents, deliverability, aliases, keys, revision_token, revision_order, modified, merged_into, snapshot, \
           written_seq, changed_seq) \
         SELECT ?1, ?2, ?3, \
           value ->> '$[0][0]', value ->> '$[0][1]', value ->> '$[0][2]', value ->> '$[0][3]', \
           value ->> '$[1][0]', value ->> '$[1][1]', value ->> '$[1][2]', value ->> '$[1][3]', \
           value ->> '$[2][0]', value ->> '$[2][1]', value ->> '$[2][2]', value ->> '$[2][3]', \
           value ->> '$[3][0]', value ->> '$[3][1]', value ->> '$[3][2]' \
         FROM json_each(?4) WHERE true \
         ON CONFLICT (tenant, account, collection, id) DO UPDATE SET \
           presence = excluded.presence, hash = excluded.hash, fields = excluded.fields, \
           consents = excluded.consents, deliverability = excluded.deliverability, aliases = excluded.aliases, \
           keys = excluded.keys, revision_token = excluded.revision_token, \
           revision_order = excluded.revision_order, modified = excluded.modified, merged_into = excluded.merged_into, \
           snapshot = excluded.snapshot, written_seq = excluded.written_seq, changed_seq = excluded.changed_seq",
        &rows,
    )
    .await
}

async fn put_snapshot(
    applying: &mut Applying<'_>,
    endpoint: &Endpoint,
    snapshot: Sequence,
    ids: &[String],
) -> Result<(), StoreError> {
    if ids.is_empty() {
        return Ok(());
    }
    // Two syncs may read the endpoint completely at the same time; the later snapshot's mark stays.
    sqlx::query(
        "UPDATE observation SET snapshot = ?5 WHERE tenant = ?1 AND account = ?2 AND collection = ?3 \
         AND id IN (SELECT value FROM json_each(?4)) AND coalesce(snapshot, -1) < ?5",
    )
    .bind(&applying.context.tenant)
    .bind(&endpoint.account)
    .bind(&endpoint.collection)
    .bind(encode("ids", ids)?)
    .bind(signed(snapshot))
    .execute(&mut *applying.connection)
    .await
    .map(drop)
    .map_err(applying.context.failed("marking what a snapshot saw"))
}

async fn put_keys(
    applying: &mut Applying<'_>,
    endpoint: &Endpoint,
    old: BTreeSet<(String, Key)>,
    new: BTreeMap<String, Vec<Key>>,
) -> Result<(), StoreError> {
    let new: BTreeSet<(String, Key)> = new
        .into_iter()
        .flat_map(|(id, keys)| keys.into_iter().map(move |key| (id.clone(), key)))
        .collect();
    let gone: Vec<_> = old.difference(&new).collect();
    batch(
        applying,
        endpoint,
        "removing match keys",
        "DELETE FROM match_key WHERE tenant = ?1 AND account = ?2 AND collection = ?3 \
         AND (field, value, id) IN ( \
           SELECT value ->> '$[1][0]', value ->> '$[1][1]', value ->> '$[0]' FROM json_each(?4))",
        &gone,
    )
    .await?;
    // Sorted, which is the order of the table.
    let mut new: Vec<_> = new
        .into_iter()
        .map(|(id, (field, value))| (field, value, id))
        .collect();
    new.sort();
    batch(
        applying,
        endpoint,
        "storing match keys",
        "INSERT OR IGNORE INTO match_key (tenant, account, collection, field, value, id) \
         SELECT ?1, ?2, ?3, value ->> 0, value ->> 1, value ->> 2 FROM json_each(?4)",
        &new,
    )
    .await
}

/// Marks records in every sync that is registered on the endpoint, or in all but one. How many entered the queue of the
/// committing sync.
async fn mark(
    applying: &mut Applying<'_>,
    endpoint: &Endpoint,
    ids: &[String],
    refetch: Option<Extent>,
    except: Option<&str>,
) -> Result<u64, StoreError> {
    let at = micros(applying.at);
    let rows: Vec<_> = ids
        .iter()
        .map(|id| (id, owing(refetch), except, at))
        .collect();
    let queued = if except == Some(applying.sync) {
        0
    } else {
        newly_queued(applying, endpoint, ids).await?
    };
    batch(
        applying,
        endpoint,
        "marking what changed",
        "INSERT OR REPLACE INTO dirty (tenant, sync, side, id, owed, since) \
         SELECT ?1, s.sync, s.side, j.value ->> 0, max(j.value ->> 1, coalesce(d.owed, 0)), \
           coalesce(d.since, j.value ->> 3) \
         FROM json_each(?4) j CROSS JOIN sync s \
         LEFT JOIN dirty d ON d.tenant = ?1 AND d.sync = s.sync AND d.side = s.side AND d.id = j.value ->> 0 \
         WHERE s.tenant = ?1 AND s.account = ?2 AND s.collection = ?3 AND s.sync IS NOT j.value ->> 2 \
         ORDER BY j.key",
        &rows,
    )
    .await?;
    Ok(queued)
}

/// How many of these records are not in the queue of the committing sync, if it is registered on the endpoint.
async fn newly_queued(
    applying: &mut Applying<'_>,
    endpoint: &Endpoint,
    ids: &[String],
) -> Result<u64, StoreError> {
    if ids.is_empty() {
        return Ok(0);
    }
    sqlx::query_scalar::<_, i64>(
        "SELECT count(*) FROM (SELECT DISTINCT value AS id FROM json_each(?4)) j CROSS JOIN sync s \
         WHERE s.tenant = ?1 AND s.account = ?2 AND s.collection = ?3 AND s.sync = ?5 \
         AND NOT EXISTS (SELECT 1 FROM dirty d \
           WHERE d.tenant = ?1 AND d.sync = s.sync AND d.side = s.side AND d.id = j.id)",
    )
    .bind(&applying.context.tenant)
    .bind(&endpoint.account)
    .bind(&endpoint.collection)
    .bind(encode("ids", ids)?)
    .bind(applying.sync)
    .fetch_one(&mut *applying.connection)
    .await
    .map(unsigned)
    .map_err(applying.context.failed("looking at the queue"))
}

/// See [`samspel_model::store::Change::Seen`].
pub(crate) async fn seen(
    applying: &mut Applying<'_>,
    endpoint: &Endpoint,
    snapshot: Sequence,
    ids: &[RecordId],
    receipt: &mut Receipt,
) -> Result<(), StoreError> {
    let present: Vec<String> = sqlx::query_scalar(
        "SELECT id FROM observation WHERE tenant = ? AND account = ? AND collection = ? \
         AND id IN (SELECT value FROM json_each(?)) AND presence = 'present'",
    )
    .bind(&applying.context.tenant)
    .bind(&endpoint.account)
    .bind(&endpoint.collection)
    .bind(encode("ids", ids)?)
    .fetch_all(&mut *applying.connection)
    .await
    .map_err(applying.context.failed("reading observations"))?;
    put_snapshot(applying, endpoint, snapshot, &present).await?;
    let present: BTreeSet<String> = present.into_iter().collect();
    let unknown: BTreeSet<String> = ids
        .iter()
        .map(|id| id.as_str().to_owned())
        .filter(|id| !present.contains(id))
        .collect();
    let unknown: Vec<String> = unknown.into_iter().collect();
    receipt.refetch += unknown.len() as u64;
    receipt.queued += mark(applying, endpoint, &unknown, Some(Extent::Whole), None).await?;
    Ok(())
}
