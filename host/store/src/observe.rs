//! What was read, laid over what is stored.
//!
//! Stored rows are read once for the whole batch, [`Overlay`] decides in memory what each record and tombstone means,
//! and a few statements store the outcome.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use samspel_model::record::content_hash;
use samspel_model::store::{Endpoint, Observed, Receipt, Sequence, Source, StoreError};
use samspel_model::{Absence, Fields, Presence, RecordId, Revision, Tombstone};

use crate::changes::Step;
use crate::context::{decode, encode, signed};
use crate::read::{ObservationRow, spelt};

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
    step: &mut Step<'_>,
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
        sequence: step.sequence,
        rows: stored(step, what.endpoint, &ids).await?,
        touched: BTreeSet::new(),
        marked: Vec::new(),
        old_keys: BTreeSet::new(),
        new_keys: BTreeMap::new(),
        changed: Vec::new(),
        refetch: Vec::new(),
        settled: Vec::new(),
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
        settled,
        ..
    } = overlay;
    put_observations(
        step,
        what.endpoint,
        touched.iter().filter_map(|id| rows.get(id)),
    )
    .await?;
    if let Some(snapshot) = what.snapshot {
        put_snapshot(step, what.endpoint, snapshot, &marked).await?;
    }
    put_keys(step, what.endpoint, old_keys, new_keys).await?;
    if what.source == Source::Fetch {
        fetched(step, what.endpoint, &settled).await?;
    }
    let except = (what.source == Source::Write).then(|| step.sync.to_owned());
    mark(step, what.endpoint, &changed, false, except.as_deref()).await?;
    mark(step, what.endpoint, &refetch, true, None).await
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
    /// Records that are now as they were read.
    settled: Vec<String>,
    receipt: &'a mut Receipt,
}

impl Overlay<'_> {
    fn record(&mut self, observed: Observed) -> Result<(), StoreError> {
        let entity = observed.entity;
        let id = entity.id.as_str().to_owned();
        let Some(before) = self.rows.remove(&id) else {
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
                id: id.clone(),
            };
            self.new_keys.insert(id.clone(), keys);
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
        if differs && self.is_stale(&row, entity.revision.as_ref()) {
            self.ask_again(id);
            self.keep(Some(&before), row);
            return Ok(());
        }
        let earlier: Vec<RecordId> = decode("the aliases of record", &id, &row.aliases)?;
        let news = differs || entity.aliases.iter().any(|alias| !earlier.contains(alias));

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
        if rewritten {
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
        self.settled.push(id.clone());
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
        let presence = spelt(match tombstone.why {
            Absence::Archived => Presence::Archived,
            Absence::OutOfScope => Presence::OutOfScope,
            Absence::Deleted | Absence::MergedInto(_) | Absence::Other(_) => Presence::Gone,
        });
        let differs = row.presence != presence;
        if differs && self.is_stale(&row, tombstone.revision.as_ref()) {
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
            self.receipt.changed += 1;
            self.changed.push(id.clone());
        } else {
            self.receipt.unchanged += 1;
        }
        row.written_seq = self.written(row.written_seq);
        if tombstone.revision.is_some() {
            row = revised(row, tombstone.revision.as_ref());
        }
        self.settled.push(id);
        self.keep(Some(&before), row);
        Ok(())
    }

    /// A listing may lag behind what was read already, or behind our own write.
    fn is_stale(&self, row: &ObservationRow, revision: Option<&Revision>) -> bool {
        self.what.source == Source::Listing
            && (is_older(row, revision)
                || row
                    .written_seq
                    .is_some_and(|written| signed(self.what.sent) < written))
    }

    fn ask_again(&mut self, id: String) {
        self.receipt.refetch += 1;
        self.refetch.push(id);
    }

    fn written(&self, before: Option<i64>) -> Option<i64> {
        if self.what.source == Source::Write {
            Some(signed(self.sequence))
        } else {
            before
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
    step: &mut Step<'_>,
    endpoint: &Endpoint,
    ids: &BTreeSet<&RecordId>,
) -> Result<HashMap<String, ObservationRow>, StoreError> {
    let rows: Vec<ObservationRow> = sqlx::query_as(
        "SELECT * FROM observation WHERE tenant = ? AND account = ? AND collection = ? \
         AND id IN (SELECT value FROM json_each(?))",
    )
    .bind(&step.context.tenant)
    .bind(&endpoint.account)
    .bind(&endpoint.collection)
    .bind(encode("ids", ids)?)
    .fetch_all(&mut *step.connection)
    .await
    .map_err(step.context.failed("reading observations"))?;
    Ok(rows.into_iter().map(|row| (row.id.clone(), row)).collect())
}

/// Runs a statement whose parameters are the tenant (1), the endpoint (2, 3) and a batch of rows (4).
async fn batch<T: serde::Serialize>(
    step: &mut Step<'_>,
    endpoint: &Endpoint,
    doing: &'static str,
    statement: &'static str,
    rows: &[T],
) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(statement)
        .bind(&step.context.tenant)
        .bind(&endpoint.account)
        .bind(&endpoint.collection)
        .bind(encode(doing, rows)?)
        .execute(&mut *step.connection)
        .await
        .map(drop)
        .map_err(step.context.failed(doing))
}

async fn put_observations<'r>(
    step: &mut Step<'_>,
    endpoint: &Endpoint,
    rows: impl Iterator<Item = &'r ObservationRow>,
) -> Result<(), StoreError> {
    let rows: Vec<_> = rows
        .map(|row| {
            (
                (&row.id, &row.presence, &row.hash, &row.fields),
                (&row.consents, &row.deliverability, &row.aliases, &row.keys),
                (&row.revision_token, row.revision_order, &row.modified),
                (row.snapshot, row.written_seq),
            )
        })
        .collect();
    batch(
        step,
        endpoint,
        "storing observations",
        "INSERT INTO observation (tenant, account, collection, id, presence, hash, fields, \
           consents, deliverability, aliases, keys, revision_token, revision_order, modified, snapshot, written_seq) \
         SELECT ?1, ?2, ?3, \
           value ->> '$[0][0]', value ->> '$[0][1]', value ->> '$[0][2]', value ->> '$[0][3]', \
           value ->> '$[1][0]', value ->> '$[1][1]', value ->> '$[1][2]', value ->> '$[1][3]', \
           value ->> '$[2][0]', value ->> '$[2][1]', value ->> '$[2][2]', \
           value ->> '$[3][0]', value ->> '$[3][1]' \
         FROM json_each(?4) WHERE true \
         ON CONFLICT (tenant, account, collection, id) DO UPDATE SET \
           presence = excluded.presence, hash = excluded.hash, fields = excluded.fields, \
           consents = excluded.consents, deliverability = excluded.deliverability, aliases = excluded.aliases, \
           keys = excluded.keys, revision_token = excluded.revision_token, \
           revision_order = excluded.revision_order, modified = excluded.modified, \
           snapshot = excluded.snapshot, written_seq = excluded.written_seq",
        &rows,
    )
    .await
}

async fn put_snapshot(
    step: &mut Step<'_>,
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
    .bind(&step.context.tenant)
    .bind(&endpoint.account)
    .bind(&endpoint.collection)
    .bind(encode("ids", ids)?)
    .bind(signed(snapshot))
    .execute(&mut *step.connection)
    .await
    .map(drop)
    .map_err(step.context.failed("marking what a snapshot saw"))
}

async fn put_keys(
    step: &mut Step<'_>,
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
        step,
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
        step,
        endpoint,
        "storing match keys",
        "INSERT OR IGNORE INTO match_key (tenant, account, collection, field, value, id) \
         SELECT ?1, ?2, ?3, value ->> 0, value ->> 1, value ->> 2 FROM json_each(?4)",
        &new,
    )
    .await
}

/// A fetch that was owed was made.
async fn fetched(
    step: &mut Step<'_>,
    endpoint: &Endpoint,
    ids: &[String],
) -> Result<(), StoreError> {
    batch(
        step,
        endpoint,
        "noting what was fetched",
        "UPDATE dirty SET refetch = 0 WHERE refetch = 1 AND position IN ( \
           SELECT d.position FROM sync s CROSS JOIN json_each(?4) j CROSS JOIN dirty d \
           ON d.tenant = ?1 AND d.sync = s.sync AND d.side = s.side AND d.id = j.value \
           WHERE s.tenant = ?1 AND s.account = ?2 AND s.collection = ?3)",
        ids,
    )
    .await
}

/// Marks records in every sync that is registered on the endpoint, or in all but one.
async fn mark(
    step: &mut Step<'_>,
    endpoint: &Endpoint,
    ids: &[String],
    refetch: bool,
    except: Option<&str>,
) -> Result<(), StoreError> {
    let rows: Vec<_> = ids
        .iter()
        .map(|id| (id, u8::from(refetch), except))
        .collect();
    batch(
        step,
        endpoint,
        "marking what changed",
        "INSERT OR REPLACE INTO dirty (tenant, sync, side, id, refetch) \
         SELECT ?1, s.sync, s.side, j.value ->> 0, max(j.value ->> 1, coalesce(d.refetch, 0)) \
         FROM json_each(?4) j CROSS JOIN sync s \
         LEFT JOIN dirty d ON d.tenant = ?1 AND d.sync = s.sync AND d.side = s.side AND d.id = j.value ->> 0 \
         WHERE s.tenant = ?1 AND s.account = ?2 AND s.collection = ?3 AND s.sync IS NOT j.value ->> 2 \
         ORDER BY j.key",
        &rows,
    )
    .await
}

/// See [`samspel_model::store::Change::Seen`].
pub(crate) async fn seen(
    step: &mut Step<'_>,
    endpoint: &Endpoint,
    snapshot: Sequence,
    ids: &[RecordId],
    receipt: &mut Receipt,
) -> Result<(), StoreError> {
    let present: Vec<String> = sqlx::query_scalar(
        "SELECT id FROM observation WHERE tenant = ? AND account = ? AND collection = ? \
         AND id IN (SELECT value FROM json_each(?)) AND presence = 'present'",
    )
    .bind(&step.context.tenant)
    .bind(&endpoint.account)
    .bind(&endpoint.collection)
    .bind(encode("ids", ids)?)
    .fetch_all(&mut *step.connection)
    .await
    .map_err(step.context.failed("reading observations"))?;
    put_snapshot(step, endpoint, snapshot, &present).await?;
    let present: BTreeSet<String> = present.into_iter().collect();
    let unknown: BTreeSet<String> = ids
        .iter()
        .map(|id| id.as_str().to_owned())
        .filter(|id| !present.contains(id))
        .collect();
    let unknown: Vec<String> = unknown.into_iter().collect();
    receipt.refetch += unknown.len() as u64;
    mark(step, endpoint, &unknown, true, None).await
}
