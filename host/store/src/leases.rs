//! Registration of syncs, and the exclusive right to work on one.

use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use samspel_model::Side;
use samspel_model::store::{Endpoint, Lease, StoreError};
use sqlx::sqlite::SqliteConnection;

use crate::context::{Context, micros, signed, time, unsigned};
use crate::presence;
use crate::writer::Task;

/// What `lease.until` is.
pub(crate) const END: &str = "the end of a lease";

/// See [`samspel_model::Store::register`].
#[derive(Clone)]
pub(crate) struct Register {
    pub sync: String,
    pub endpoints: [Endpoint; 2],
}

#[async_trait]
impl Task for Register {
    type Output = ();

    async fn run(
        self,
        context: &Context,
        connection: &mut SqliteConnection,
    ) -> Result<(), StoreError> {
        let failed = context.failed("registering a sync");
        for side in Side::BOTH {
            let endpoint = &self.endpoints[side.index()];
            let known: Option<(String, String)> = sqlx::query_as(
                "SELECT account, collection FROM sync WHERE tenant = ? AND sync = ? AND side = ?",
            )
            .bind(&context.tenant)
            .bind(&self.sync)
            .bind(side.to_string())
            .fetch_optional(&mut *connection)
            .await
            .map_err(&failed)?;
            match known {
                Some((account, collection))
                    if account == endpoint.account && collection == endpoint.collection =>
                {
                    continue;
                }
                Some((account, collection)) => {
                    return Err(StoreError::Damaged {
                        what: format!("sync `{}`", self.sync),
                        why: format!(
                            "its links are between other records: side {side} was {account}/{collection} and is now \
                             {}/{}; name the old endpoints, give the sync a new name, or reset it",
                            endpoint.account, endpoint.collection
                        ),
                    });
                }
                None => {}
            }
            sqlx::query(
                "INSERT INTO sync (tenant, sync, side, account, collection) VALUES (?, ?, ?, ?, ?)",
            )
            .bind(&context.tenant)
            .bind(&self.sync)
            .bind(side.to_string())
            .bind(&endpoint.account)
            .bind(&endpoint.collection)
            .execute(&mut *connection)
            .await
            .map_err(&failed)?;
            // What another sync has read already will not be news to this one. It waits since the newest commit: the
            // records were stored by then.
            sqlx::query(
                "INSERT OR REPLACE INTO dirty (tenant, sync, side, id, owed, since) \
                 SELECT tenant, ?2, ?3, id, 0, (SELECT at FROM meta WHERE tenant = ?1) FROM observation \
                 WHERE tenant = ?1 AND account = ?4 AND collection = ?5 AND presence = 'present' ORDER BY id",
            )
            .bind(&context.tenant)
            .bind(&self.sync)
            .bind(side.to_string())
            .bind(&endpoint.account)
            .bind(&endpoint.collection)
            .execute(&mut *connection)
            .await
            .map_err(&failed)?;
        }
        Ok(())
    }
}

/// See [`samspel_model::Store::acquire_lease`].
#[derive(Clone)]
pub(crate) struct Acquire {
    pub sync: String,
    pub owner: String,
    pub now: Timestamp,
    pub ttl: Duration,
    /// The open store that takes it.
    pub opened: String,
}

#[async_trait]
impl Task for Acquire {
    type Output = Lease;

    async fn run(
        self,
        context: &Context,
        connection: &mut SqliteConnection,
    ) -> Result<Lease, StoreError> {
        let failed = context.failed("taking a lease");
        let holder = holder(context, connection, &self.sync)
            .await
            .map_err(&failed)?;
        if let Some((owner, until)) = holder
            && until > micros(self.now)
        {
            return Err(StoreError::Held {
                sync: self.sync,
                owner,
                until: time(END, until)?,
            });
        }
        let token: i64 = sqlx::query_scalar(
            "INSERT INTO lease (tenant, sync, owner, until, token, opened) VALUES (?, ?, ?, ?, 1, ?) \
             ON CONFLICT DO UPDATE SET owner = excluded.owner, until = excluded.until, token = token + 1, \
             opened = excluded.opened RETURNING token",
        )
        .bind(&context.tenant)
        .bind(&self.sync)
        .bind(&self.owner)
        .bind(end(self.now, self.ttl))
        .bind(&self.opened)
        .fetch_one(&mut *connection)
        .await
        .map_err(&failed)?;
        Ok(Lease {
            sync: self.sync,
            owner: self.owner,
            token: unsigned(token),
        })
    }
}

/// See [`samspel_model::Store::renew_lease`].
#[derive(Clone)]
pub(crate) struct Renew {
    pub lease: Lease,
    pub now: Timestamp,
    pub ttl: Duration,
}

#[async_trait]
impl Task for Renew {
    type Output = ();

    async fn run(
        self,
        context: &Context,
        connection: &mut SqliteConnection,
    ) -> Result<(), StoreError> {
        let until = Some(end(self.now, self.ttl));
        if set(
            context,
            connection,
            &self.lease,
            Some(&self.lease.owner),
            until,
        )
        .await?
        {
            Ok(())
        } else {
            Err(lost(&self.lease))
        }
    }
}

/// See [`samspel_model::Store::release_lease`].
#[derive(Clone)]
pub(crate) struct Release(pub Lease);

#[async_trait]
impl Task for Release {
    type Output = ();

    async fn run(
        self,
        context: &Context,
        connection: &mut SqliteConnection,
    ) -> Result<(), StoreError> {
        set(context, connection, &self.0, None, None)
            .await
            .map(drop)
    }
}

/// Changes the row of a lease that is still held; whether it was.
async fn set(
    context: &Context,
    connection: &mut SqliteConnection,
    lease: &Lease,
    owner: Option<&str>,
    until: Option<i64>,
) -> Result<bool, StoreError> {
    sqlx::query("UPDATE lease SET owner = ?, until = ? WHERE tenant = ? AND sync = ? AND owner = ? AND token = ?")
        .bind(owner)
        .bind(until)
        .bind(&context.tenant)
        .bind(&lease.sync)
        .bind(&lease.owner)
        .bind(signed(lease.token))
        .execute(connection)
        .await
        .map(|done| done.rows_affected() > 0)
        .map_err(context.failed("changing a lease"))
}

/// Refuses to go on under a lease that another process has taken. A lease that merely ran out is still ours.
pub(crate) async fn check(
    context: &Context,
    connection: &mut SqliteConnection,
    lease: &Lease,
) -> Result<(), StoreError> {
    let held: Option<i64> = sqlx::query_scalar(
        "SELECT 1 FROM lease WHERE tenant = ? AND sync = ? AND owner = ? AND token = ?",
    )
    .bind(&context.tenant)
    .bind(&lease.sync)
    .bind(&lease.owner)
    .bind(signed(lease.token))
    .fetch_optional(connection)
    .await
    .map_err(context.failed("checking a lease"))?;
    held.map(drop).ok_or_else(|| lost(lease))
}

/// Who holds the lease, and until when in microseconds. A process that died before it could give it back holds nothing.
pub(crate) async fn holder(
    context: &Context,
    connection: &mut SqliteConnection,
    sync: &str,
) -> Result<Option<(String, i64)>, sqlx::Error> {
    let row: Option<(String, i64, Option<String>)> = sqlx::query_as(
        "SELECT owner, until, opened FROM lease \
         WHERE tenant = ? AND sync = ? AND owner IS NOT NULL AND until IS NOT NULL",
    )
    .bind(&context.tenant)
    .bind(sync)
    .fetch_optional(connection)
    .await?;
    Ok(row
        .filter(|(_, _, opened)| {
            opened
                .as_ref()
                .is_none_or(|opened| !presence::is_gone(&context.file, opened))
        })
        .map(|(owner, until, _)| (owner, until)))
}

fn end(now: Timestamp, ttl: Duration) -> i64 {
    let end = SignedDuration::try_from(ttl)
        .ok()
        .and_then(|ttl| now.checked_add(ttl).ok());
    micros(end.unwrap_or(Timestamp::MAX))
}

pub(crate) fn lost(lease: &Lease) -> StoreError {
    StoreError::LeaseLost {
        sync: lease.sync.clone(),
    }
}
