//! Forgetting records: in every table that tells something about them, and in every sync of the tenant.

use std::collections::BTreeSet;

use samspel_model::RecordId;
use samspel_model::store::{Endpoint, StoreError};
use serde::Serialize;

use crate::changes::Applying;
use crate::context::encode;

/// Rows of `link` or `journal` that are to be found: the sync and the link.
type LinkKey = (String, String);

const DOING: &str = "erasing records";

/// See [`samspel_model::store::Change::Erase`].
pub(crate) async fn erase(
    applying: &mut Applying<'_>,
    endpoint: &Endpoint,
    records: &[RecordId],
) -> Result<(), StoreError> {
    if records.is_empty() {
        return Ok(());
    }
    let mut erasing = Erasing {
        ids: encode("ids", records)?,
        applying,
        endpoint,
    };
    let links = erasing.links().await?;
    // Of links that are dissolved, only the journal knows. Under them, it tells of the record in the other's name.
    let mut told: BTreeSet<LinkKey> = erasing.told_links().await?.into_iter().collect();
    told.extend(links.iter().cloned());
    for statement in OF_ENDPOINT.iter().chain(OF_SYNCS) {
        erasing.run(statement).await?;
    }
    erasing.of_links(&links).await?;
    erasing.silence(&told.into_iter().collect::<Vec<_>>()).await
}

/// Parameters: the tenant (1), the endpoint (2, 3) and the ids (4).
const OF_ENDPOINT: &[&str] = &[
    // The keys of a record are on its row.
    "DELETE FROM match_key WHERE tenant = ?1 AND account = ?2 AND collection = ?3 AND (field, value, id) IN ( \
       SELECT k.value ->> 0, k.value ->> 1, o.id FROM observation o CROSS JOIN json_each(o.keys) k \
       WHERE o.tenant = ?1 AND o.account = ?2 AND o.collection = ?3 AND o.id IN (SELECT value FROM json_each(?4)))",
    "DELETE FROM observation WHERE tenant = ?1 AND account = ?2 AND collection = ?3 \
     AND id IN (SELECT value FROM json_each(?4))",
    "DELETE FROM restriction WHERE tenant = ?1 AND account = ?2 AND collection = ?3 \
     AND record IN (SELECT value FROM json_each(?4))",
];

/// The same parameters; what every sync on the endpoint has about the records.
const OF_SYNCS: &[&str] = &[
    "DELETE FROM dirty WHERE position IN ( \
       SELECT d.position FROM sync s CROSS JOIN json_each(?4) j CROSS JOIN dirty d \
       ON d.tenant = ?1 AND d.sync = s.sync AND d.side = s.side AND d.id = j.value \
       WHERE s.tenant = ?1 AND s.account = ?2 AND s.collection = ?3)",
    "DELETE FROM conflict WHERE rowid IN ( \
       SELECT c.rowid FROM sync s CROSS JOIN json_each(?4) j CROSS JOIN conflict c \
       ON c.tenant = ?1 AND c.sync = s.sync AND c.side = s.side AND c.record = j.value \
       WHERE s.tenant = ?1 AND s.account = ?2 AND s.collection = ?3)",
    "DELETE FROM parked WHERE rowid IN ( \
       SELECT p.rowid FROM sync s CROSS JOIN json_each(?4) j CROSS JOIN parked p \
       ON p.tenant = ?1 AND p.sync = s.sync AND p.side = s.side AND p.record = j.value \
       WHERE s.tenant = ?1 AND s.account = ?2 AND s.collection = ?3)",
    "DELETE FROM decision WHERE rowid IN ( \
       SELECT d.rowid FROM sync s CROSS JOIN json_each(?4) j CROSS JOIN decision d \
       ON d.tenant = ?1 AND d.sync = s.sync AND d.side = s.side AND d.record = j.value \
       WHERE s.tenant = ?1 AND s.account = ?2 AND s.collection = ?3)",
    // There are only as many as may be under way, so that their bodies can be looked into.
    "DELETE FROM intent WHERE rowid IN ( \
       SELECT i.rowid FROM sync s CROSS JOIN intent i ON i.tenant = ?1 AND i.sync = s.sync \
       WHERE s.tenant = ?1 AND s.account = ?2 AND s.collection = ?3 \
       AND iif(i.body ->> '$.target' = s.side, \
               coalesce(i.body ->> '$.effect.update', i.body ->> '$.effect.remove[0]'), \
               i.body ->> '$.source_record') IN (SELECT value FROM json_each(?4)))",
];

/// An erasure while it is made.
struct Erasing<'e, 'a> {
    applying: &'e mut Applying<'a>,
    endpoint: &'e Endpoint,
    /// The records, as one JSON array.
    ids: String,
}

impl Erasing<'_, '_> {
    async fn run(&mut self, statement: &'static str) -> Result<(), StoreError> {
        sqlx::query(statement)
            .bind(&self.applying.context.tenant)
            .bind(&self.endpoint.account)
            .bind(&self.endpoint.collection)
            .bind(&self.ids)
            .execute(&mut *self.applying.connection)
            .await
            .map(drop)
            .map_err(self.applying.context.failed(DOING))
    }

    async fn find(&mut self, statement: &'static str) -> Result<Vec<LinkKey>, StoreError> {
        sqlx::query_as(statement)
            .bind(&self.applying.context.tenant)
            .bind(&self.endpoint.account)
            .bind(&self.endpoint.collection)
            .bind(&self.ids)
            .fetch_all(&mut *self.applying.connection)
            .await
            .map_err(self.applying.context.failed(DOING))
    }

    /// The links that the records are in.
    async fn links(&mut self) -> Result<Vec<LinkKey>, StoreError> {
        self.find(
            "SELECT l.sync, l.id FROM sync s CROSS JOIN json_each(?4) j CROSS JOIN link l \
             ON l.tenant = ?1 AND l.sync = s.sync AND l.a = j.value \
             WHERE s.tenant = ?1 AND s.account = ?2 AND s.collection = ?3 AND s.side = 'a' \
             UNION \
             SELECT l.sync, l.id FROM sync s CROSS JOIN json_each(?4) j CROSS JOIN link l \
             ON l.tenant = ?1 AND l.sync = s.sync AND l.b = j.value \
             WHERE s.tenant = ?1 AND s.account = ?2 AND s.collection = ?3 AND s.side = 'b'",
        )
        .await
    }

    /// The links under which the journal tells of the records.
    async fn told_links(&mut self) -> Result<Vec<LinkKey>, StoreError> {
        self.find(
            "SELECT DISTINCT t.sync, t.link FROM sync s CROSS JOIN json_each(?4) j CROSS JOIN journal t \
             ON t.tenant = ?1 AND t.sync = s.sync AND t.side = s.side AND t.record = j.value \
             WHERE s.tenant = ?1 AND s.account = ?2 AND s.collection = ?3 AND t.link IS NOT NULL",
        )
        .await
    }

    /// Runs a statement whose parameters are the tenant (1) and a batch of rows (2).
    async fn batch<T: Serialize>(
        &mut self,
        statement: &'static str,
        rows: &[T],
    ) -> Result<(), StoreError> {
        sqlx::query(statement)
            .bind(&self.applying.context.tenant)
            .bind(encode(DOING, rows)?)
            .execute(&mut *self.applying.connection)
            .await
            .map(drop)
            .map_err(self.applying.context.failed(DOING))
    }

    /// Removes links, and what is undecided or under way about them in the name of the other record.
    async fn of_links(&mut self, links: &[LinkKey]) -> Result<(), StoreError> {
        if links.is_empty() {
            return Ok(());
        }
        for statement in [
            "DELETE FROM conflict WHERE tenant = ?1 AND (sync, body ->> '$.link') IN ( \
               SELECT value ->> 0, value ->> 1 FROM json_each(?2))",
            "DELETE FROM intent WHERE tenant = ?1 AND (sync, body ->> '$.link') IN ( \
               SELECT value ->> 0, value ->> 1 FROM json_each(?2))",
            "DELETE FROM link WHERE tenant = ?1 AND (sync, id) IN ( \
               SELECT value ->> 0, value ->> 1 FROM json_each(?2))",
        ] {
            self.batch(statement, links).await?;
        }
        Ok(())
    }

    /// Takes the values out of what the journal tells about the records and these links.
    async fn silence(&mut self, links: &[LinkKey]) -> Result<(), StoreError> {
        let erased = encode(
            "the time of an erasure",
            &serde_json::json!({ "erased": self.applying.at }),
        )?;
        sqlx::query(
            "UPDATE journal SET body = json_set(body, '$.detail', json(?6)) WHERE number IN ( \
               SELECT t.number FROM sync s CROSS JOIN json_each(?4) j CROSS JOIN journal t \
               ON t.tenant = ?1 AND t.sync = s.sync AND t.side = s.side AND t.record = j.value \
               WHERE s.tenant = ?1 AND s.account = ?2 AND s.collection = ?3 \
               UNION ALL \
               SELECT t.number FROM json_each(?5) j CROSS JOIN journal t \
               ON t.tenant = ?1 AND t.sync = j.value ->> 0 AND t.link = j.value ->> 1)",
        )
        .bind(&self.applying.context.tenant)
        .bind(&self.endpoint.account)
        .bind(&self.endpoint.collection)
        .bind(&self.ids)
        .bind(encode(DOING, links)?)
        .bind(erased)
        .execute(&mut *self.applying.connection)
        .await
        .map(drop)
        .map_err(self.applying.context.failed(DOING))
    }
}
