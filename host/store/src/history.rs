//! Reading the journal.

use samspel_model::journal::JournalEntry;
use samspel_model::store::{JournalOf, StoreError};
use sqlx::sqlite::SqlitePool;

use crate::context::{Context, decode, signed, unsigned};

/// See [`samspel_model::Store::journal`].
pub(crate) async fn journal(
    context: &Context,
    readers: &SqlitePool,
    sync: &str,
    of: JournalOf<'_>,
    before: Option<u64>,
    limit: u32,
) -> Result<Vec<(u64, JournalEntry)>, StoreError> {
    let (statement, of) = match of {
        JournalOf::Sync => (
            "SELECT number, body FROM journal WHERE tenant = ? AND sync = ? AND number < ? \
             ORDER BY number DESC LIMIT ?",
            vec![],
        ),
        JournalOf::Record(side, record) => (
            "SELECT number, body FROM journal WHERE tenant = ?1 AND sync = ?2 AND number < ?3 \
             AND side = ?5 AND record = ?6 ORDER BY number DESC LIMIT ?4",
            vec![side.to_string(), record.as_str().to_owned()],
        ),
        JournalOf::Link(link) => (
            "SELECT number, body FROM journal WHERE tenant = ?1 AND sync = ?2 AND number < ?3 \
             AND link = ?5 ORDER BY number DESC LIMIT ?4",
            vec![link.0.clone()],
        ),
        JournalOf::Run(run) => (
            "SELECT number, body FROM journal WHERE tenant = ?1 AND sync = ?2 AND number < ?3 \
             AND run = ?5 ORDER BY number DESC LIMIT ?4",
            vec![run.to_owned()],
        ),
    };
    let mut query = sqlx::query_as(statement)
        .bind(&context.tenant)
        .bind(sync)
        .bind(before.map_or(i64::MAX, signed))
        .bind(limit);
    for one in of {
        query = query.bind(one);
    }
    let rows: Vec<(i64, String)> = query
        .fetch_all(readers)
        .await
        .map_err(context.failed("reading the journal"))?;
    rows.into_iter()
        .map(|(number, body)| {
            let number = unsigned(number);
            let entry = decode("the journal entry", &number.to_string(), &body)?;
            Ok((number, entry))
        })
        .collect()
}
