//! Notifications that were received and not understood yet.

use async_trait::async_trait;
use jiff::Timestamp;
use samspel_model::hook::{Hinted, Hook, HookRequest, HookStore, HookSubscription};
use samspel_model::store::{Endpoint, StoreError};
use sqlx::FromRow;
use sqlx::sqlite::SqliteConnection;

use crate::context::{Context, decode, encode, micros, signed, time, unsigned};
use crate::read::owing;
use crate::sqlite::SqliteStore;
use crate::writer::Task;

/// What `hook.received` and `hook.due` are.
const TIME: &str = "the time of a notification";

#[async_trait]
impl HookStore for SqliteStore {
    async fn keep_hook(&self, hook: &Hook) -> Result<u64, StoreError> {
        self.writer().run(Keep(hook.clone())).await
    }

    async fn hooks(
        &self,
        endpoint: Option<&str>,
        after: u64,
        failed_too: bool,
        limit: u32,
    ) -> Result<Vec<Hook>, StoreError> {
        let rows: Vec<Row> = sqlx::query_as(
            // The limit: see `Store::dirty`.
            "SELECT position, endpoint, received, method, path, headers, body, attempts, error, due FROM hook \
             WHERE tenant = ?1 AND position > ?2 AND (?3 OR due IS NOT NULL) AND (?4 IS NULL OR endpoint = ?4) \
             ORDER BY position LIMIT ?5 + 0",
        )
        .bind(&self.context().tenant)
        .bind(signed(after))
        .bind(failed_too)
        .bind(endpoint)
        .bind(limit)
        .fetch_all(self.readers())
        .await
        .map_err(self.context().failed("reading notifications"))?;
        rows.into_iter().map(Row::understand).collect()
    }

    async fn hook_endpoints(&self) -> Result<Vec<String>, StoreError> {
        sqlx::query_scalar(
            "SELECT DISTINCT endpoint FROM hook WHERE tenant = ? AND due IS NOT NULL ORDER BY endpoint",
        )
        .bind(&self.context().tenant)
        .fetch_all(self.readers())
        .await
        .map_err(self.context().failed("looking for notifications"))
    }

    async fn hooks_understood(
        &self,
        positions: &[u64],
        hinted: &[Hinted],
        at: Timestamp,
    ) -> Result<Vec<String>, StoreError> {
        let task = Understood {
            positions: encode("positions", positions)?,
            hinted: hinted.to_vec(),
            at,
        };
        self.writer().run(task).await
    }

    async fn hook_failed(
        &self,
        position: u64,
        error: &str,
        due: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let query = sqlx::query(
            "UPDATE hook SET attempts = attempts + 1, error = ?, due = ? WHERE tenant = ? AND position = ?",
        )
        .bind(error.to_owned())
        .bind(due.map(micros))
        .bind(self.context().tenant.clone())
        .bind(signed(position));
        let doing = "noting that a notification was not understood";
        self.writer().execute(doing, query).await.map(drop)
    }

    async fn retry_hooks(&self, position: Option<u64>, now: Timestamp) -> Result<u64, StoreError> {
        let query = sqlx::query(
            "UPDATE hook SET attempts = 0, due = ?1 \
             WHERE tenant = ?2 AND due IS NULL AND (?3 IS NULL OR position = ?3)",
        )
        .bind(micros(now))
        .bind(self.context().tenant.clone())
        .bind(position.map(signed));
        self.writer().execute("retrying notifications", query).await
    }

    async fn drop_hook(&self, position: u64) -> Result<bool, StoreError> {
        let query =
            sqlx::query("DELETE FROM hook WHERE tenant = ? AND position = ? AND due IS NULL")
                .bind(self.context().tenant.clone())
                .bind(signed(position));
        let dropped = self
            .writer()
            .execute("dropping a notification", query)
            .await?;
        Ok(dropped > 0)
    }

    async fn hook_counts(&self) -> Result<(u64, u64), StoreError> {
        let (waiting, failed): (i64, i64) =
            sqlx::query_as("SELECT count(due), count(*) - count(due) FROM hook WHERE tenant = ?")
                .bind(&self.context().tenant)
                .fetch_one(self.readers())
                .await
                .map_err(self.context().failed("counting notifications"))?;
        Ok((unsigned(waiting), unsigned(failed)))
    }

    async fn put_subscription(
        &self,
        endpoint: &Endpoint,
        address: &str,
        subscription: &HookSubscription,
    ) -> Result<(), StoreError> {
        let query = sqlx::query(
            "INSERT OR REPLACE INTO hook_subscription (tenant, account, collection, address, body) \
             VALUES (?, ?, ?, ?, ?)",
        )
        .bind(self.context().tenant.clone())
        .bind(endpoint.account.clone())
        .bind(endpoint.collection.clone())
        .bind(address.to_owned())
        .bind(encode("a subscription", subscription)?);
        let kept = self.writer().execute("keeping a subscription", query);
        kept.await.map(drop)
    }

    async fn subscriptions(&self) -> Result<Vec<(Endpoint, String, HookSubscription)>, StoreError> {
        let rows: Vec<(String, String, String, String)> = sqlx::query_as(
            "SELECT account, collection, address, body FROM hook_subscription WHERE tenant = ? \
             ORDER BY account, collection",
        )
        .bind(&self.context().tenant)
        .fetch_all(self.readers())
        .await
        .map_err(self.context().failed("reading subscriptions"))?;
        rows.into_iter()
            .map(|(account, collection, address, body)| {
                let subscription = decode("a subscription of", &account, &body)?;
                let endpoint = Endpoint {
                    account,
                    collection,
                };
                Ok((endpoint, address, subscription))
            })
            .collect()
    }

    async fn remove_subscription(&self, endpoint: &Endpoint) -> Result<(), StoreError> {
        let query = sqlx::query(
            "DELETE FROM hook_subscription WHERE tenant = ? AND account = ? AND collection = ?",
        )
        .bind(self.context().tenant.clone())
        .bind(endpoint.account.clone())
        .bind(endpoint.collection.clone());
        let forgotten = self.writer().execute("forgetting a subscription", query);
        forgotten.await.map(drop)
    }
}

#[derive(FromRow)]
struct Row {
    position: i64,
    endpoint: String,
    received: i64,
    method: String,
    path: String,
    headers: String,
    body: Vec<u8>,
    attempts: i64,
    error: Option<String>,
    due: Option<i64>,
}

impl Row {
    fn understand(self) -> Result<Hook, StoreError> {
        let id = self.position.to_string();
        Ok(Hook {
            position: unsigned(self.position),
            endpoint: self.endpoint,
            received: time(TIME, self.received)?,
            request: HookRequest {
                method: self.method,
                path: self.path,
                headers: decode("headers of notification", &id, &self.headers)?,
                body: self.body,
            },
            attempts: u32::try_from(self.attempts).unwrap_or(u32::MAX),
            error: self.error,
            due: self.due.map(|due| time(TIME, due)).transpose()?,
        })
    }
}

#[derive(Clone)]
struct Keep(Hook);

#[async_trait]
impl Task for Keep {
    type Output = u64;

    async fn run(
        self,
        context: &Context,
        connection: &mut SqliteConnection,
    ) -> Result<u64, StoreError> {
        let Hook {
            endpoint,
            received,
            request,
            ..
        } = self.0;
        sqlx::query_scalar::<_, i64>(
            "INSERT INTO hook (tenant, endpoint, received, method, path, headers, body, due) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?3) RETURNING position",
        )
        .bind(&context.tenant)
        .bind(endpoint)
        .bind(micros(received))
        .bind(&request.method)
        .bind(&request.path)
        .bind(encode("headers", &request.headers)?)
        .bind(&request.body)
        .fetch_one(connection)
        .await
        .map(unsigned)
        .map_err(context.failed("keeping a notification"))
    }
}

#[derive(Clone)]
struct Understood {
    /// JSON.
    positions: String,
    hinted: Vec<Hinted>,
    at: Timestamp,
}

#[async_trait]
impl Task for Understood {
    type Output = Vec<String>;

    async fn run(
        self,
        context: &Context,
        connection: &mut SqliteConnection,
    ) -> Result<Vec<String>, StoreError> {
        let mut syncs = Vec::new();
        for (endpoint, records) in &self.hinted {
            let rows: Vec<_> = records
                .iter()
                .map(|(id, extent)| (id, owing(Some(*extent))))
                .collect();
            // As `observe::mark` does for what a listing shows: a new position, and a fetch that is owed.
            sqlx::query(
                "INSERT OR REPLACE INTO dirty (tenant, sync, side, id, owed, since) \
                 SELECT ?1, s.sync, s.side, j.id, max(j.owed, coalesce(d.owed, 0)), coalesce(d.since, ?5) \
                 FROM (SELECT value ->> 0 AS id, max(value ->> 1) AS owed FROM json_each(?4) GROUP BY 1) j \
                 CROSS JOIN sync s \
                 LEFT JOIN dirty d ON d.tenant = ?1 AND d.sync = s.sync AND d.side = s.side AND d.id = j.id \
                 WHERE s.tenant = ?1 AND s.account = ?2 AND s.collection = ?3 ORDER BY j.id",
            )
            .bind(&context.tenant)
            .bind(&endpoint.account)
            .bind(&endpoint.collection)
            .bind(encode("ids", &rows)?)
            .bind(micros(self.at))
            .execute(&mut *connection)
            .await
            .map_err(context.failed("marking what a notification is about"))?;
            let marked: Vec<String> = sqlx::query_scalar(
                "SELECT DISTINCT sync FROM sync WHERE tenant = ? AND account = ? AND collection = ?",
            )
            .bind(&context.tenant)
            .bind(&endpoint.account)
            .bind(&endpoint.collection)
            .fetch_all(&mut *connection)
            .await
            .map_err(context.failed("looking for syncs"))?;
            syncs.extend(marked);
        }
        sqlx::query(
            "DELETE FROM hook WHERE tenant = ? AND position IN (SELECT value FROM json_each(?))",
        )
        .bind(&context.tenant)
        .bind(&self.positions)
        .execute(&mut *connection)
        .await
        .map_err(context.failed("forgetting notifications"))?;
        syncs.sort();
        syncs.dedup();
        Ok(syncs)
    }
}
