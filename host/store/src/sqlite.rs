//! The store: each function is one statement on a reader, or one task for the writer.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use samspel_model::intent::Intent;
use samspel_model::journal::JournalEntry;
use samspel_model::store::{
    Commit, Conflict, Cursor, Decision, Dirty, Endpoint, JournalOf, Lease, Observation, Parked,
    Receipt, RecordRestriction, RunRecord, Sequence, StoreError, Suppression, SyncCounts,
    SyncState, Waiting,
};
use samspel_model::{Link, LinkId, RecordId, Side, Store};
use serde::de::DeserializeOwned;
use sqlx::sqlite::SqlitePool;

use crate::changes::{Apply, Reset};
use crate::context::{Context, decode, encode, signed, time, unsigned};
use crate::history;
use crate::leases::{self, Acquire, Register, Release, Renew};
use crate::open;
use crate::people;
use crate::presence::Presence;
use crate::read::{LinkRow, ObservationRow, link, owed_extent};
use crate::writer::Writer;

/// The store of one tenant in an SQLite file.
///
/// Must be used within a tokio runtime. Several processes may open the same file; leases keep them apart. Call
/// [`close`](Self::close) at the end; if that is omitted, nothing that was acknowledged is lost.
pub struct SqliteStore {
    context: Arc<Context>,
    sequence: Arc<AtomicU64>,
    writer: Arc<Writer>,
    readers: SqlitePool,
    presence: Presence,
}

impl SqliteStore {
    /// Opens the file, creating it if it is missing, and brings its schema up to date. The directory must exist.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if the file is not a database, not ours, damaged, or made by a newer program;
    /// [`StoreError::Backend`] if it cannot be written. In each case it was left as it is.
    pub async fn open(file: &Path, tenant: &str) -> Result<Self, StoreError> {
        let context = Arc::new(Context {
            tenant: tenant.to_owned(),
            file: file.to_owned(),
        });
        let mut connection = open::writer(&context).await?;
        let newest: i64 = sqlx::query_scalar("SELECT sequence FROM meta WHERE tenant = ?")
            .bind(tenant)
            .fetch_one(&mut connection)
            .await
            .map_err(context.failed("opening the database"))?;
        let presence = Presence::announce(file).map_err(|error| open::unusable(file, error))?;
        let sequence = Arc::new(AtomicU64::new(unsigned(newest)));
        let writer = Writer::start(connection, Arc::clone(&context), Arc::clone(&sequence))
            .map_err(|error| open::unusable(file, error))?;
        Ok(Self {
            readers: open::readers(&context),
            writer: Arc::new(writer),
            sequence,
            context,
            presence,
        })
    }

    /// Waits for what is being written and closes the file.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    pub(crate) fn context(&self) -> &Arc<Context> {
        &self.context
    }

    pub(crate) fn writer(&self) -> &Arc<Writer> {
        &self.writer
    }

    pub(crate) fn readers(&self) -> &SqlitePool {
        &self.readers
    }

    fn failed(&self, doing: &'static str) -> impl Fn(sqlx::Error) -> StoreError + '_ {
        self.context.failed(doing)
    }
}

/// What `dirty.since` is.
const SINCE: &str = "the time since which a record waits";

fn ids(ids: &[RecordId]) -> Result<String, StoreError> {
    encode("ids", ids)
}

fn understood(rows: &[ObservationRow]) -> Result<Vec<Observation>, StoreError> {
    rows.iter().map(ObservationRow::understand).collect()
}

/// A row of `dirty`: position, side, id, owed, since.
type DirtyRow = (i64, String, String, i64, i64);

fn dirty((position, side, id, owed, since): DirtyRow) -> Result<Dirty, StoreError> {
    Ok(Dirty {
        position: unsigned(position),
        // The schema allows `a` and `b` only.
        side: if side == "a" { Side::A } else { Side::B },
        id: RecordId::new(id),
        refetch: owed_extent(owed),
        since: time(SINCE, since)?,
    })
}

/// Rows of an id and a JSON text.
fn bodies<T: DeserializeOwned>(
    what: &str,
    rows: &[(String, String)],
) -> Result<Vec<T>, StoreError> {
    rows.iter()
        .map(|(id, body)| decode(what, id, body))
        .collect()
}

#[async_trait]
impl Store for SqliteStore {
    fn sequence(&self) -> Sequence {
        self.sequence.load(Ordering::Acquire)
    }

    async fn register(&self, sync: &str, endpoints: &[Endpoint; 2]) -> Result<(), StoreError> {
        let task = Register {
            sync: sync.to_owned(),
            endpoints: endpoints.clone(),
        };
        self.writer.run(task).await
    }

    async fn acquire_lease(
        &self,
        sync: &str,
        owner: &str,
        now: Timestamp,
        ttl: Duration,
    ) -> Result<Lease, StoreError> {
        let task = Acquire {
            sync: sync.to_owned(),
            owner: owner.to_owned(),
            now,
            ttl,
            opened: self.presence.id().to_owned(),
        };
        self.writer.run(task).await
    }

    async fn renew_lease(
        &self,
        lease: &Lease,
        now: Timestamp,
        ttl: Duration,
    ) -> Result<(), StoreError> {
        let lease = lease.clone();
        self.writer.run(Renew { lease, now, ttl }).await
    }

    async fn release_lease(&self, lease: &Lease) -> Result<(), StoreError> {
        self.writer.run(Release(lease.clone())).await
    }

    async fn lease_holder(&self, sync: &str) -> Result<Option<(String, Timestamp)>, StoreError> {
        let failed = self.failed("reading a lease");
        let mut connection = self.readers.acquire().await.map_err(&failed)?;
        leases::holder(&self.context, &mut connection, sync)
            .await
            .map_err(&failed)?
            .map(|(owner, until)| Ok((owner, time(leases::END, until)?)))
            .transpose()
    }

    async fn commit(&self, lease: &Lease, commit: Commit) -> Result<Receipt, StoreError> {
        let step = commit.step;
        let lease = lease.clone();
        self.writer
            .run(Apply { lease, commit })
            .await
            .map_err(|error| match error {
                StoreError::Backend { doing, source } => StoreError::Backend {
                    doing: format!("{}, {doing}", step.doing()),
                    source,
                },
                other => other,
            })
    }

    async fn reset(&self, lease: &Lease) -> Result<(), StoreError> {
        self.writer.run(Reset(lease.clone())).await
    }

    async fn dirty(&self, sync: &str, after: u64, limit: u32) -> Result<Vec<Dirty>, StoreError> {
        let rows: Vec<DirtyRow> = sqlx::query_as(
            // Not a bare parameter: SQLite prepares a statement anew whenever one that is a limit is bound
            // (`sqlite3ExprIsInteger`), and this one runs several times in every run.
            "SELECT position, side, id, owed, since FROM dirty \
             WHERE tenant = ? AND sync = ? AND position > ? ORDER BY position LIMIT ? + 0",
        )
        .bind(&self.context.tenant)
        .bind(sync)
        .bind(signed(after))
        .bind(limit)
        .fetch_all(&self.readers)
        .await
        .map_err(self.failed("reading the queue"))?;
        rows.into_iter().map(dirty).collect()
    }

    async fn owed(
        &self,
        sync: &str,
        side: Side,
        records: &[RecordId],
    ) -> Result<Vec<Dirty>, StoreError> {
        let rows: Vec<DirtyRow> = sqlx::query_as(
            "SELECT position, side, id, owed, since FROM dirty WHERE tenant = ? AND sync = ? AND side = ? AND owed > 0 \
             AND id IN (SELECT value FROM json_each(?)) ORDER BY id",
        )
        .bind(&self.context.tenant)
        .bind(sync)
        .bind(side.to_string())
        .bind(ids(records)?)
        .fetch_all(&self.readers)
        .await
        .map_err(self.failed("reading the queue"))?;
        rows.into_iter().map(dirty).collect()
    }

    async fn observations(
        &self,
        endpoint: &Endpoint,
        records: &[RecordId],
    ) -> Result<Vec<Observation>, StoreError> {
        let rows: Vec<ObservationRow> = sqlx::query_as(
            "SELECT * FROM observation WHERE tenant = ? AND account = ? AND collection = ? \
             AND id IN (SELECT value FROM json_each(?))",
        )
        .bind(&self.context.tenant)
        .bind(&endpoint.account)
        .bind(&endpoint.collection)
        .bind(ids(records)?)
        .fetch_all(&self.readers)
        .await
        .map_err(self.failed("reading observations"))?;
        understood(&rows)
    }

    async fn records_by_key(
        &self,
        endpoint: &Endpoint,
        field: &str,
        values: &[String],
        limit: u32,
    ) -> Result<Vec<(String, RecordId)>, StoreError> {
        let rows: Vec<(String, String)> = sqlx::query_as(
            "SELECT value, id FROM ( \
               SELECT value, id, row_number() OVER (PARTITION BY value ORDER BY id) AS place FROM match_key \
               WHERE tenant = ? AND account = ? AND collection = ? AND field = ? \
               AND value IN (SELECT value FROM json_each(?)) \
             ) WHERE place <= ? ORDER BY value, id",
        )
        .bind(&self.context.tenant)
        .bind(&endpoint.account)
        .bind(&endpoint.collection)
        .bind(field)
        .bind(encode("values", values)?)
        .bind(limit)
        .fetch_all(&self.readers)
        .await
        .map_err(self.failed("looking for records by a key"))?;
        Ok(rows
            .into_iter()
            .map(|(value, id)| (value, RecordId::new(id)))
            .collect())
    }

    async fn records(
        &self,
        endpoint: &Endpoint,
        after: Option<&RecordId>,
        limit: u32,
    ) -> Result<Vec<Observation>, StoreError> {
        let rows: Vec<ObservationRow> = sqlx::query_as(
            "SELECT * FROM observation WHERE tenant = ? AND account = ? AND collection = ? AND id > ? \
             ORDER BY id LIMIT ?",
        )
        .bind(&self.context.tenant)
        .bind(&endpoint.account)
        .bind(&endpoint.collection)
        // No id is empty.
        .bind(after.map_or("", RecordId::as_str))
        .bind(limit)
        .fetch_all(&self.readers)
        .await
        .map_err(self.failed("listing observations"))?;
        understood(&rows)
    }

    async fn unseen(
        &self,
        endpoint: &Endpoint,
        snapshot: Sequence,
        after: Option<&RecordId>,
        limit: u32,
    ) -> Result<Vec<RecordId>, StoreError> {
        let rows: Vec<String> = sqlx::query_scalar(
            "SELECT id FROM observation WHERE tenant = ? AND account = ? AND collection = ? AND id > ? \
             AND presence = 'present' AND coalesce(snapshot, -1) < ? ORDER BY id LIMIT ?",
        )
        .bind(&self.context.tenant)
        .bind(&endpoint.account)
        .bind(&endpoint.collection)
        .bind(after.map_or("", RecordId::as_str))
        .bind(signed(snapshot))
        .bind(limit)
        .fetch_all(&self.readers)
        .await
        .map_err(self.failed("listing what a snapshot did not see"))?;
        Ok(rows.into_iter().map(RecordId::new).collect())
    }

    async fn links_by_record(
        &self,
        sync: &str,
        side: Side,
        records: &[RecordId],
    ) -> Result<Vec<Link>, StoreError> {
        let statement = match side {
            Side::A => {
                "SELECT id, a, b, base FROM link WHERE tenant = ? AND sync = ? \
                 AND a IN (SELECT value FROM json_each(?))"
            }
            Side::B => {
                "SELECT id, a, b, base FROM link WHERE tenant = ? AND sync = ? \
                 AND b IN (SELECT value FROM json_each(?))"
            }
        };
        let rows: Vec<LinkRow> = sqlx::query_as(statement)
            .bind(&self.context.tenant)
            .bind(sync)
            .bind(ids(records)?)
            .fetch_all(&self.readers)
            .await
            .map_err(self.failed("reading links"))?;
        rows.into_iter().map(link).collect()
    }

    async fn links(
        &self,
        sync: &str,
        after: Option<&LinkId>,
        limit: u32,
    ) -> Result<Vec<Link>, StoreError> {
        let rows: Vec<LinkRow> = sqlx::query_as(
            "SELECT id, a, b, base FROM link WHERE tenant = ? AND sync = ? AND id > ? ORDER BY id LIMIT ?",
        )
        .bind(&self.context.tenant)
        .bind(sync)
        .bind(after.map_or("", |id| id.0.as_str()))
        .bind(limit)
        .fetch_all(&self.readers)
        .await
        .map_err(self.failed("listing links"))?;
        rows.into_iter().map(link).collect()
    }

    async fn intents(
        &self,
        sync: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Intent>, StoreError> {
        let rows: Vec<(String, String)> = sqlx::query_as(
            // See `dirty`.
            "SELECT id, body FROM intent WHERE tenant = ? AND sync = ? AND id > ? ORDER BY id LIMIT ? + 0",
        )
        .bind(&self.context.tenant)
        .bind(sync)
        .bind(after.unwrap_or(""))
        .bind(limit)
        .fetch_all(&self.readers)
        .await
        .map_err(self.failed("listing intents"))?;
        bodies("intent", &rows)
    }

    async fn writes_of_others(
        &self,
        sync: &str,
        endpoint: &Endpoint,
        records: &[RecordId],
    ) -> Result<Vec<Intent>, StoreError> {
        let rows: Vec<(String, String)> = sqlx::query_as(
            "SELECT i.id, i.body FROM sync s CROSS JOIN intent i ON i.tenant = s.tenant AND i.sync = s.sync \
             WHERE s.tenant = ? AND s.account = ? AND s.collection = ? AND s.sync <> ? \
             AND i.body ->> '$.target' = s.side \
             AND i.body ->> '$.effect.update' IN (SELECT value FROM json_each(?)) ORDER BY i.sync, i.id",
        )
        .bind(&self.context.tenant)
        .bind(&endpoint.account)
        .bind(&endpoint.collection)
        .bind(sync)
        .bind(ids(records)?)
        .fetch_all(&self.readers)
        .await
        .map_err(self.failed("listing the intents of other syncs"))?;
        bodies("intent", &rows)
    }

    async fn conflicts(
        &self,
        sync: &str,
        which: Waiting,
        offset: u64,
        limit: u32,
    ) -> Result<Vec<Conflict>, StoreError> {
        let statement = match which {
            Waiting::All => {
                "SELECT record, body FROM conflict WHERE tenant = ? AND sync = ? \
                 ORDER BY at, side, record, about LIMIT ? OFFSET ?"
            }
            Waiting::Conflicts => {
                "SELECT record, body FROM conflict WHERE tenant = ? AND sync = ? AND hold = 0 \
                 ORDER BY at, side, record, about LIMIT ? OFFSET ?"
            }
            Waiting::Holds => {
                "SELECT record, body FROM conflict WHERE tenant = ? AND sync = ? AND hold = 1 \
                 ORDER BY at, side, record, about LIMIT ? OFFSET ?"
            }
        };
        let rows: Vec<(String, String)> = sqlx::query_as(statement)
            .bind(&self.context.tenant)
            .bind(sync)
            .bind(limit)
            .bind(signed(offset))
            .fetch_all(&self.readers)
            .await
            .map_err(self.failed("listing conflicts"))?;
        bodies("the conflict about record", &rows)
    }

    async fn parked(&self, sync: &str, offset: u64, limit: u32) -> Result<Vec<Parked>, StoreError> {
        let rows: Vec<(String, String)> = sqlx::query_as(
            "SELECT record, body FROM parked WHERE tenant = ? AND sync = ? \
             ORDER BY at, side, record LIMIT ? OFFSET ?",
        )
        .bind(&self.context.tenant)
        .bind(sync)
        .bind(limit)
        .bind(signed(offset))
        .fetch_all(&self.readers)
        .await
        .map_err(self.failed("listing parked records"))?;
        bodies("the parked record", &rows)
    }

    async fn decisions(
        &self,
        sync: &str,
        side: Side,
        records: &[RecordId],
    ) -> Result<Vec<Decision>, StoreError> {
        let rows: Vec<(String, String)> = sqlx::query_as(
            "SELECT record, body FROM decision WHERE tenant = ? AND sync = ? AND side = ? \
             AND record IN (SELECT value FROM json_each(?)) ORDER BY record, about",
        )
        .bind(&self.context.tenant)
        .bind(sync)
        .bind(side.to_string())
        .bind(ids(records)?)
        .fetch_all(&self.readers)
        .await
        .map_err(self.failed("reading what operators decided"))?;
        bodies("the decision about record", &rows)
    }

    async fn restrictions(
        &self,
        endpoint: &Endpoint,
        records: &[RecordId],
    ) -> Result<Vec<RecordRestriction>, StoreError> {
        let rows: Vec<(String, String, String, String)> = sqlx::query_as(
            "SELECT record, channel, purpose, body FROM restriction \
             WHERE tenant = ? AND account = ? AND collection = ? AND lifted = 0 \
             AND record IN (SELECT value FROM json_each(?)) ORDER BY record, channel, purpose",
        )
        .bind(&self.context.tenant)
        .bind(&endpoint.account)
        .bind(&endpoint.collection)
        .bind(ids(records)?)
        .fetch_all(&self.readers)
        .await
        .map_err(self.failed("reading opt-outs"))?;
        people::opt_outs(endpoint, rows)
    }

    async fn suppressions(&self, pseudonyms: &[String]) -> Result<Vec<Suppression>, StoreError> {
        let rows: Vec<(String, String)> = sqlx::query_as(
            "SELECT pseudonym, body FROM suppression WHERE tenant = ? \
             AND pseudonym IN (SELECT value FROM json_each(?)) ORDER BY pseudonym, channel",
        )
        .bind(&self.context.tenant)
        .bind(encode("pseudonyms", pseudonyms)?)
        .fetch_all(&self.readers)
        .await
        .map_err(self.failed("reading what is left of the erased"))?;
        bodies("the suppression", &rows)
    }

    async fn account(&self, account: &str) -> Result<Option<String>, StoreError> {
        sqlx::query_scalar("SELECT identity FROM account WHERE tenant = ? AND account = ?")
            .bind(&self.context.tenant)
            .bind(account)
            .fetch_optional(&self.readers)
            .await
            .map_err(self.failed("reading who an account is"))
    }

    async fn journal(
        &self,
        sync: &str,
        of: JournalOf<'_>,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<(u64, JournalEntry)>, StoreError> {
        history::journal(&self.context, &self.readers, sync, of, before, limit).await
    }

    async fn cursor(&self, sync: &str, side: Side) -> Result<Option<Cursor>, StoreError> {
        let body: Option<String> = sqlx::query_scalar(
            "SELECT body FROM cursor WHERE tenant = ? AND sync = ? AND side = ?",
        )
        .bind(&self.context.tenant)
        .bind(sync)
        .bind(side.to_string())
        .fetch_optional(&self.readers)
        .await
        .map_err(self.failed("reading a cursor"))?;
        body.map(|body| decode("the cursor of sync", sync, &body))
            .transpose()
    }

    async fn state(&self, sync: &str) -> Result<SyncState, StoreError> {
        let body: Option<String> =
            sqlx::query_scalar("SELECT body FROM sync_state WHERE tenant = ? AND sync = ?")
                .bind(&self.context.tenant)
                .bind(sync)
                .fetch_optional(&self.readers)
                .await
                .map_err(self.failed("reading the state of a sync"))?;
        body.map_or_else(
            || Ok(SyncState::default()),
            |body| decode("the state of sync", sync, &body),
        )
    }

    async fn runs(&self, sync: &str, limit: u32) -> Result<Vec<RunRecord>, StoreError> {
        let rows: Vec<(String, String)> = sqlx::query_as(
            "SELECT id, body FROM run WHERE tenant = ? AND sync = ? ORDER BY started DESC, id DESC LIMIT ?",
        )
        .bind(&self.context.tenant)
        .bind(sync)
        .bind(limit)
        .fetch_all(&self.readers)
        .await
        .map_err(self.failed("listing runs"))?;
        bodies("run", &rows)
    }

    async fn queued(&self, sync: &str) -> Result<u64, StoreError> {
        sqlx::query_scalar::<_, i64>("SELECT count(*) FROM dirty WHERE tenant = ? AND sync = ?")
            .bind(&self.context.tenant)
            .bind(sync)
            .fetch_one(&self.readers)
            .await
            .map(unsigned)
            .map_err(self.failed("counting the queue"))
    }

    async fn counts(&self, sync: &str) -> Result<SyncCounts, StoreError> {
        type Row = (i64, i64, Option<i64>, i64, i64, i64, i64);
        let (links, dirty, oldest, intents, conflicts, holds, parked): Row = sqlx::query_as(
            "SELECT (SELECT count(*) FROM link WHERE tenant = ?1 AND sync = ?2), \
                    (SELECT count(*) FROM dirty WHERE tenant = ?1 AND sync = ?2), \
                    (SELECT min(since) FROM dirty WHERE tenant = ?1 AND sync = ?2), \
                    (SELECT count(*) FROM intent WHERE tenant = ?1 AND sync = ?2), \
                    (SELECT count(*) FROM conflict WHERE tenant = ?1 AND sync = ?2 AND hold = 0), \
                    (SELECT count(*) FROM conflict WHERE tenant = ?1 AND sync = ?2 AND hold = 1), \
                    (SELECT count(*) FROM parked WHERE tenant = ?1 AND sync = ?2)",
        )
        .bind(&self.context.tenant)
        .bind(sync)
        .fetch_one(&self.readers)
        .await
        .map_err(self.failed("counting"))?;
        Ok(SyncCounts {
            links: unsigned(links),
            dirty: unsigned(dirty),
            oldest: oldest.map(|since| time(SINCE, since)).transpose()?,
            intents: unsigned(intents),
            conflicts: unsigned(conflicts),
            holds: unsigned(holds),
            parked: unsigned(parked),
        })
    }
}
