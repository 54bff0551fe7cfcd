//! A commit: a list of changes under the fence of a lease.

use async_trait::async_trait;
use jiff::Timestamp;
use samspel_model::intent::Intent;
use samspel_model::journal::JournalEntry;
use samspel_model::store::{
    Change, Commit, Conflict, Cursor, Decision, Dirty, Lease, Parked, Receipt, RunRecord, Sequence,
    StoreError, SyncState,
};
use samspel_model::{Extent, Guard, Link, LinkId, RecordId, Side};
use serde::Serialize;
use sqlx::sqlite::SqliteConnection;

use crate::context::{Context, encode, micros, signed, unsigned};
use crate::erase;
use crate::leases;
use crate::observe::{self, Observe};
use crate::people;
use crate::read::owing;
use crate::writer::Task;

/// See [`samspel_model::Store::commit`].
#[derive(Clone)]
pub(crate) struct Apply {
    pub lease: Lease,
    pub commit: Commit,
}

#[async_trait]
impl Task for Apply {
    type Output = Receipt;

    fn number(receipt: &Receipt) -> Option<Sequence> {
        Some(receipt.sequence)
    }

    async fn run(
        self,
        context: &Context,
        connection: &mut SqliteConnection,
    ) -> Result<Receipt, StoreError> {
        let Self { lease, commit } = self;
        let mut applying = Applying {
            sequence: next_sequence(context, connection, &lease, commit.at).await?,
            context,
            connection,
            sync: &lease.sync,
            at: commit.at,
        };
        let mut receipt = Receipt {
            sequence: applying.sequence,
            ..Receipt::default()
        };
        for change in commit.changes {
            applying.apply(change, &mut receipt).await?;
        }
        Ok(receipt)
    }
}

/// The number of a commit under a lease that no other process has taken.
async fn next_sequence(
    context: &Context,
    connection: &mut SqliteConnection,
    lease: &Lease,
    at: Timestamp,
) -> Result<Sequence, StoreError> {
    let number: Option<i64> = sqlx::query_scalar(
        "UPDATE meta SET sequence = sequence + 1, at = ?1 WHERE tenant = ?2 AND (?3 OR EXISTS ( \
           SELECT 1 FROM lease WHERE tenant = ?2 AND sync = ?4 AND owner = ?5 AND token = ?6)) RETURNING sequence",
    )
    .bind(micros(at))
    .bind(&context.tenant)
    .bind(!Guard::LeaseFence.stands())
    .bind(&lease.sync)
    .bind(&lease.owner)
    .bind(signed(lease.token))
    .fetch_optional(connection)
    .await
    .map_err(context.failed("numbering a commit"))?;
    number.map(unsigned).ok_or_else(|| leases::lost(lease))
}

/// See [`samspel_model::Store::reset`].
#[derive(Clone)]
pub(crate) struct Reset(pub Lease);

#[async_trait]
impl Task for Reset {
    type Output = ();

    async fn run(
        self,
        context: &Context,
        connection: &mut SqliteConnection,
    ) -> Result<(), StoreError> {
        leases::check(context, connection, &self.0).await?;
        // Without the registration, the next one takes the endpoints anew and marks what is known of them.
        for statement in [
            "DELETE FROM link WHERE tenant = ? AND sync = ?",
            "DELETE FROM dirty WHERE tenant = ? AND sync = ?",
            "DELETE FROM intent WHERE tenant = ? AND sync = ?",
            "DELETE FROM conflict WHERE tenant = ? AND sync = ?",
            "DELETE FROM parked WHERE tenant = ? AND sync = ?",
            "DELETE FROM decision WHERE tenant = ? AND sync = ?",
            "DELETE FROM cursor WHERE tenant = ? AND sync = ?",
            "DELETE FROM run WHERE tenant = ? AND sync = ?",
            "DELETE FROM sync_state WHERE tenant = ? AND sync = ?",
            "DELETE FROM sync WHERE tenant = ? AND sync = ?",
        ] {
            sqlx::query(statement)
                .bind(&context.tenant)
                .bind(&self.0.sync)
                .execute(&mut *connection)
                .await
                .map_err(context.failed("resetting a sync"))?;
        }
        Ok(())
    }
}

/// One commit while it is applied.
pub(crate) struct Applying<'a> {
    pub context: &'a Context,
    pub connection: &'a mut SqliteConnection,
    /// The committing sync.
    pub sync: &'a str,
    pub sequence: Sequence,
    /// Since when records wait that become dirty.
    pub at: Timestamp,
}

impl Applying<'_> {
    async fn apply(&mut self, change: Change, receipt: &mut Receipt) -> Result<(), StoreError> {
        match change {
            Change::Observe {
                endpoint,
                source,
                sent,
                snapshot,
                records,
                tombstones,
            } => {
                let what = Observe {
                    endpoint: &endpoint,
                    source,
                    sent,
                    snapshot,
                };
                observe::observe(self, &what, records, tombstones, receipt).await
            }
            Change::Seen {
                endpoint,
                snapshot,
                ids,
            } => observe::seen(self, &endpoint, snapshot, &ids, receipt).await,
            Change::MarkDirty { side, ids, refetch } => {
                receipt.queued += self.mark_dirty(side, &ids, refetch).await?;
                Ok(())
            }
            Change::Fetched(rows) => self.fetched(&rows).await,
            Change::Clean(rows) => {
                receipt.cleaned += self.clean(&rows).await?;
                Ok(())
            }
            Change::PutLinks(links) => self.put_links(&links).await,
            Change::RemoveLinks(ids) => self.remove_links(&ids).await,
            Change::PutIntents(intents) => self.put_intents(&intents).await,
            Change::RemoveIntents(ids) => self.remove_intents(&ids).await,
            Change::PutConflicts(conflicts) => self.put_conflicts(&conflicts).await,
            Change::RemoveConflicts { side, records } => {
                self.remove_conflicts(side, &records).await
            }
            Change::Park(parked) => self.park(&parked).await,
            Change::Unpark { side, ids } => self.unpark(side, &ids).await,
            Change::Journal(entries) => self.journal(&entries).await,
            Change::PutCursor { side, cursor } => self.put_cursor(side, &cursor).await,
            Change::PutRun(run) => self.put_run(&run).await,
            Change::KeepRuns(number) => self.keep_runs(number).await,
            Change::PutState(state) => self.put_state(&state).await,
            Change::PutDecisions(decisions) => self.put_decisions(&decisions).await,
            Change::RemoveDecisions(decisions) => self.remove_decisions(&decisions).await,
            Change::Restrict(opt_outs) => people::restrict(self, opt_outs).await,
            Change::Lift {
                endpoint,
                restrictions,
            } => people::lift(self, &endpoint, &restrictions).await,
            Change::Suppress(suppressions) => people::suppress(self, suppressions).await,
            Change::Erase { endpoint, records } => erase::erase(self, &endpoint, &records).await,
            Change::PutAccount { account, identity } => self.put_account(&account, &identity).await,
        }
    }

    /// Runs a statement whose parameters are the tenant (1), the sync (2) and a batch of rows (3).
    pub(crate) async fn batch<T: Serialize>(
        &mut self,
        doing: &'static str,
        statement: &'static str,
        rows: &[T],
    ) -> Result<(), StoreError> {
        self.counted(doing, statement, rows).await.map(drop)
    }

    /// The same, and how many rows it changed.
    async fn counted<T: Serialize>(
        &mut self,
        doing: &'static str,
        statement: &'static str,
        rows: &[T],
    ) -> Result<u64, StoreError> {
        if rows.is_empty() {
            return Ok(0);
        }
        sqlx::query(statement)
            .bind(&self.context.tenant)
            .bind(self.sync)
            .bind(encode(doing, rows)?)
            .execute(&mut *self.connection)
            .await
            .map(|done| done.rows_affected())
            .map_err(self.context.failed(doing))
    }

    /// How many of them were not in the queue.
    async fn mark_dirty(
        &mut self,
        side: Side,
        ids: &[RecordId],
        refetch: Option<Extent>,
    ) -> Result<u64, StoreError> {
        if ids.is_empty() {
            return Ok(0);
        }
        let queued: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM (SELECT DISTINCT value AS id FROM json_each(?4)) j \
             WHERE NOT EXISTS (SELECT 1 FROM dirty d \
               WHERE d.tenant = ?1 AND d.sync = ?2 AND d.side = ?3 AND d.id = j.id)",
        )
        .bind(&self.context.tenant)
        .bind(self.sync)
        .bind(side.to_string())
        .bind(encode("ids", ids)?)
        .fetch_one(&mut *self.connection)
        .await
        .map_err(self.context.failed("looking at the queue"))?;
        let at = micros(self.at);
        let rows: Vec<_> = ids
            .iter()
            .map(|id| (side, id, owing(refetch), at))
            .collect();
        // REPLACE gives a new position. A fetch that is still owed stays owed, and who waits waits since then.
        self.batch(
            "marking records",
            "INSERT OR REPLACE INTO dirty (tenant, sync, side, id, owed, since) \
             SELECT ?1, ?2, j.value ->> 0, j.value ->> 1, max(j.value ->> 2, coalesce(d.owed, 0)), \
               coalesce(d.since, j.value ->> 3) \
             FROM json_each(?3) j LEFT JOIN dirty d \
             ON d.tenant = ?1 AND d.sync = ?2 AND d.side = j.value ->> 0 AND d.id = j.value ->> 1 ORDER BY j.key",
            &rows,
        )
        .await?;
        Ok(unsigned(queued))
    }

    /// See [`Change::Fetched`].
    async fn fetched(&mut self, rows: &[Dirty]) -> Result<(), StoreError> {
        self.batch(
            "noting what was fetched",
            "UPDATE dirty SET owed = 0 WHERE position IN ( \
               SELECT d.position FROM json_each(?3) j CROSS JOIN dirty d \
               ON d.tenant = ?1 AND d.sync = ?2 AND d.side = j.value ->> 0 AND d.id = j.value ->> 1 \
               WHERE d.position <= j.value ->> 2)",
            &places(rows),
        )
        .await
    }

    /// How many of them left the queue.
    async fn clean(&mut self, rows: &[Dirty]) -> Result<u64, StoreError> {
        self.counted(
            "clearing the queue",
            "DELETE FROM dirty WHERE position IN ( \
               SELECT d.position FROM json_each(?3) j CROSS JOIN dirty d \
               ON d.tenant = ?1 AND d.sync = ?2 AND d.side = j.value ->> 0 AND d.id = j.value ->> 1 \
               WHERE d.position <= j.value ->> 2)",
            &places(rows),
        )
        .await
    }

    async fn put_links(&mut self, links: &[Link]) -> Result<(), StoreError> {
        let mut rows = Vec::with_capacity(links.len());
        for link in links {
            rows.push((&link.id, &link.a, &link.b, encode("a base", &link.base)?));
        }
        // `WHERE true` tells SQLite's parser that ON CONFLICT is not a join condition.
        let put = self
            .batch(
                "storing links",
                "INSERT INTO link (tenant, sync, id, a, b, base) \
                 SELECT ?1, ?2, value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(?3) WHERE true \
                 ON CONFLICT (tenant, sync, id) DO UPDATE SET a = excluded.a, b = excluded.b, base = excluded.base",
                &rows,
            )
            .await;
        match put {
            Err(StoreError::Backend { source, .. }) if is_unique_violation(source.as_ref()) => {
                Err(StoreError::Damaged {
                    what: format!("the list of links of sync `{}`", self.sync),
                    why: format!("a record would be linked twice ({source})"),
                })
            }
            other => other,
        }
    }

    async fn remove_links(&mut self, ids: &[LinkId]) -> Result<(), StoreError> {
        self.batch(
            "removing links",
            "DELETE FROM link WHERE tenant = ?1 AND sync = ?2 AND id IN (SELECT value FROM json_each(?3))",
            ids,
        )
        .await
    }

    async fn put_intents(&mut self, intents: &[Intent]) -> Result<(), StoreError> {
        let mut rows = Vec::with_capacity(intents.len());
        for intent in intents {
            rows.push((&intent.id, encode("an intent", intent)?));
        }
        self.batch(
            "storing intents",
            "INSERT INTO intent (tenant, sync, id, body) \
             SELECT ?1, ?2, value ->> 0, value ->> 1 FROM json_each(?3) WHERE true \
             ON CONFLICT (tenant, sync, id) DO UPDATE SET body = excluded.body",
            &rows,
        )
        .await
    }

    async fn remove_intents(&mut self, ids: &[String]) -> Result<(), StoreError> {
        self.batch(
            "removing intents",
            "DELETE FROM intent WHERE tenant = ?1 AND sync = ?2 AND id IN (SELECT value FROM json_each(?3))",
            ids,
        )
        .await
    }

    async fn put_conflicts(&mut self, conflicts: &[Conflict]) -> Result<(), StoreError> {
        let mut rows = Vec::with_capacity(conflicts.len());
        for one in conflicts {
            let body = encode("a conflict", one)?;
            rows.push((one.side, &one.record, &one.about, micros(one.at), body));
        }
        self.batch(
            "storing conflicts",
            "INSERT INTO conflict (tenant, sync, side, record, about, at, body) \
             SELECT ?1, ?2, value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 \
             FROM json_each(?3) WHERE true \
             ON CONFLICT (tenant, sync, side, record, about) DO UPDATE SET body = json_set(excluded.body, '$.at', \
               CASE WHEN json_valid(body) THEN coalesce(body ->> '$.at', excluded.body ->> '$.at') \
               ELSE excluded.body ->> '$.at' END)",
            &rows,
        )
        .await
    }

    async fn remove_conflicts(
        &mut self,
        side: Side,
        records: &[(RecordId, Vec<String>)],
    ) -> Result<(), StoreError> {
        let rows: Vec<_> = records
            .iter()
            .map(|(record, keep)| (side, record, keep))
            .collect();
        self.batch(
            "removing conflicts",
            "DELETE FROM conflict WHERE rowid IN ( \
               SELECT c.rowid FROM json_each(?3) j CROSS JOIN conflict c \
               ON c.tenant = ?1 AND c.sync = ?2 AND c.side = j.value ->> 0 AND c.record = j.value ->> 1 \
               WHERE c.about NOT IN (SELECT value FROM json_each(j.value, '$[2]')))",
            &rows,
        )
        .await
    }

    async fn park(&mut self, parked: &[Parked]) -> Result<(), StoreError> {
        let mut rows = Vec::with_capacity(parked.len());
        for one in parked {
            let body = encode("a parked record", one)?;
            rows.push((one.side, &one.record, micros(one.at), body));
        }
        self.batch(
            "parking records",
            "INSERT INTO parked (tenant, sync, side, record, at, body) \
             SELECT ?1, ?2, value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(?3) WHERE true \
             ON CONFLICT (tenant, sync, side, record) DO UPDATE SET at = excluded.at, body = excluded.body",
            &rows,
        )
        .await
    }

    async fn unpark(&mut self, side: Side, ids: &[RecordId]) -> Result<(), StoreError> {
        let rows: Vec<_> = ids.iter().map(|id| (side, id)).collect();
        self.batch(
            "unparking records",
            "DELETE FROM parked WHERE rowid IN ( \
               SELECT p.rowid FROM json_each(?3) j CROSS JOIN parked p \
               ON p.tenant = ?1 AND p.sync = ?2 AND p.side = j.value ->> 0 AND p.record = j.value ->> 1)",
            &rows,
        )
        .await
    }

    async fn journal(&mut self, entries: &[JournalEntry]) -> Result<(), StoreError> {
        let mut rows = Vec::with_capacity(entries.len());
        for entry in entries {
            rows.push((
                entry.side,
                &entry.record,
                &entry.link,
                &entry.run,
                encode("a journal entry", entry)?,
            ));
        }
        self.batch(
            "writing the journal",
            "INSERT INTO journal (tenant, sync, side, record, link, run, body) \
             SELECT ?1, ?2, value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 \
             FROM json_each(?3) ORDER BY key",
            &rows,
        )
        .await
    }

    async fn put_cursor(&mut self, side: Side, cursor: &Cursor) -> Result<(), StoreError> {
        self.batch(
            "storing a cursor",
            "INSERT INTO cursor (tenant, sync, side, body) \
             SELECT ?1, ?2, value ->> 0, value ->> 1 FROM json_each(?3) WHERE true \
             ON CONFLICT (tenant, sync, side) DO UPDATE SET body = excluded.body",
            &[(side, encode("a cursor", cursor)?)],
        )
        .await
    }

    async fn put_run(&mut self, run: &RunRecord) -> Result<(), StoreError> {
        self.batch(
            "storing a run",
            "INSERT INTO run (tenant, sync, id, started, body) \
             SELECT ?1, ?2, value ->> 0, value ->> 1, value ->> 2 FROM json_each(?3) WHERE true \
             ON CONFLICT (tenant, sync, id) DO UPDATE SET started = excluded.started, body = excluded.body",
            &[(&run.id, micros(run.started), encode("a run", run)?)],
        )
        .await
    }

    async fn keep_runs(&mut self, number: u32) -> Result<(), StoreError> {
        sqlx::query(
            "DELETE FROM run WHERE tenant = ?1 AND sync = ?2 AND id IN ( \
               SELECT id FROM run WHERE tenant = ?1 AND sync = ?2 ORDER BY started DESC, id DESC LIMIT -1 OFFSET ?3)",
        )
        .bind(&self.context.tenant)
        .bind(self.sync)
        .bind(number)
        .execute(&mut *self.connection)
        .await
        .map(drop)
        .map_err(self.context.failed("forgetting old runs"))
    }

    async fn put_state(&mut self, state: &SyncState) -> Result<(), StoreError> {
        self.batch(
            "storing the state of a sync",
            "INSERT INTO sync_state (tenant, sync, body) \
             SELECT ?1, ?2, value ->> 0 FROM json_each(?3) WHERE true \
             ON CONFLICT (tenant, sync) DO UPDATE SET body = excluded.body",
            &[(encode("the state of a sync", state)?,)],
        )
        .await
    }

    async fn put_decisions(&mut self, decisions: &[Decision]) -> Result<(), StoreError> {
        let mut rows = Vec::with_capacity(decisions.len());
        for one in decisions {
            let body = encode("a decision", one)?;
            rows.push((one.side, &one.record, &one.about, body));
        }
        self.batch(
            "storing what operators decided",
            "INSERT INTO decision (tenant, sync, side, record, about, body) \
             SELECT ?1, ?2, value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(?3) WHERE true \
             ON CONFLICT (tenant, sync, side, record, about) DO UPDATE SET body = excluded.body",
            &rows,
        )
        .await
    }

    async fn remove_decisions(
        &mut self,
        decisions: &[(Side, RecordId, String)],
    ) -> Result<(), StoreError> {
        self.batch(
            "removing what operators decided",
            "DELETE FROM decision WHERE tenant = ?1 AND sync = ?2 AND (side, record, about) IN ( \
               SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?3))",
            decisions,
        )
        .await
    }

    async fn put_account(&mut self, account: &str, identity: &str) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO account (tenant, account, identity) VALUES (?, ?, ?) \
             ON CONFLICT (tenant, account) DO UPDATE SET identity = excluded.identity",
        )
        .bind(&self.context.tenant)
        .bind(account)
        .bind(identity)
        .execute(&mut *self.connection)
        .await
        .map(drop)
        .map_err(self.context.failed("storing who an account is"))
    }
}

/// Where these records stood in the queue.
fn places(rows: &[Dirty]) -> Vec<(Side, &RecordId, u64)> {
    rows.iter()
        .map(|row| (row.side, &row.id, row.position))
        .collect()
}

fn is_unique_violation(error: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    error
        .downcast_ref::<sqlx::Error>()
        .and_then(sqlx::Error::as_database_error)
        .is_some_and(sqlx::error::DatabaseError::is_unique_violation)
}
