//! What is known about people rather than about pairs of records: opt-outs in force, and what is left of the erased.

use std::collections::BTreeMap;

use jiff::Timestamp;
use samspel_model::RecordId;
use samspel_model::link::Restriction;
use samspel_model::store::{Endpoint, RecordRestriction, StoreError, Suppression};

use crate::changes::Applying;
use crate::context::{decode, encode, micros};

/// Account, collection, record, channel and purpose.
type Subject = (String, String, String, String, String);

/// Opt-outs as they are read: record, channel, purpose and body.
pub(crate) fn opt_outs(
    endpoint: &Endpoint,
    rows: Vec<(String, String, String, String)>,
) -> Result<Vec<RecordRestriction>, StoreError> {
    rows.into_iter()
        .map(|(record, channel, purpose, body)| {
            Ok(RecordRestriction {
                endpoint: endpoint.clone(),
                restriction: decode("an opt-out of record", &record, &body)?,
                record: RecordId::new(record),
                channel,
                purpose,
            })
        })
        .collect()
}

/// See [`samspel_model::store::Change::Restrict`].
pub(crate) async fn restrict(
    applying: &mut Applying<'_>,
    opt_outs: Vec<RecordRestriction>,
) -> Result<(), StoreError> {
    if opt_outs.is_empty() {
        return Ok(());
    }
    let mut known = known_restrictions(applying, &opt_outs).await?;
    let mut news = BTreeMap::new();
    for one in opt_outs {
        let Endpoint {
            account,
            collection,
        } = one.endpoint;
        let record = one.record.as_str().to_owned();
        let subject = (account, collection, record, one.channel, one.purpose);
        let at = one.restriction.at;
        if known.get(&subject).is_none_or(|known| *known < at) {
            known.insert(subject.clone(), at);
            news.insert(subject, one.restriction);
        }
    }
    let mut rows = Vec::with_capacity(news.len());
    for (subject, restriction) in &news {
        rows.push((subject, encode("an opt-out", restriction)?));
    }
    applying
        .batch(
            "storing opt-outs",
            "INSERT INTO restriction (tenant, account, collection, record, channel, purpose, body) \
             SELECT ?1, value ->> '$[0][0]', value ->> '$[0][1]', value ->> '$[0][2]', value ->> '$[0][3]', \
               value ->> '$[0][4]', value ->> '$[1]' FROM json_each(?3) WHERE true \
             ON CONFLICT (tenant, account, collection, record, channel, purpose) \
             DO UPDATE SET body = excluded.body, lifted = 0",
            &rows,
        )
        .await?;
    let at = micros(applying.at);
    let mut records: Vec<_> = news
        .keys()
        .map(|(account, collection, record, ..)| (account, collection, record, at))
        .collect();
    // One person may have opted out of several things.
    records.dedup();
    applying
        .batch(
            "marking who opted out",
            "INSERT OR REPLACE INTO dirty (tenant, sync, side, id, owed, since) \
             SELECT ?1, s.sync, s.side, j.value ->> 2, coalesce(d.owed, 0), coalesce(d.since, j.value ->> 3) \
             FROM json_each(?3) j CROSS JOIN sync s \
             ON s.tenant = ?1 AND s.account = j.value ->> 0 AND s.collection = j.value ->> 1 AND s.sync <> ?2 \
             LEFT JOIN dirty d ON d.tenant = ?1 AND d.sync = s.sync AND d.side = s.side AND d.id = j.value ->> 2 \
             ORDER BY j.key",
            &records,
        )
        .await
}

/// The opt-outs of records that were merged into others are in force for those too.
pub(crate) async fn inherit(
    applying: &mut Applying<'_>,
    endpoint: &Endpoint,
    merged: &[(String, RecordId)],
) -> Result<(), StoreError> {
    if merged.is_empty() {
        return Ok(());
    }
    let rows: Vec<(String, String, String, String)> = sqlx::query_as(
        "SELECT j.value ->> 1, r.channel, r.purpose, r.body FROM json_each(?4) j CROSS JOIN restriction r \
         ON r.tenant = ?1 AND r.account = ?2 AND r.collection = ?3 AND r.record = j.value ->> 0 AND r.lifted = 0",
    )
    .bind(&applying.context.tenant)
    .bind(&endpoint.account)
    .bind(&endpoint.collection)
    .bind(encode("merged records", &merged)?)
    .fetch_all(&mut *applying.connection)
    .await
    .map_err(applying.context.failed("reading opt-outs"))?;
    let inherited = opt_outs(endpoint, rows)?;
    restrict(applying, inherited).await
}

/// When people opted out, as far as it is stored about these subjects, whether or not it was lifted since.
async fn known_restrictions(
    applying: &mut Applying<'_>,
    opt_outs: &[RecordRestriction],
) -> Result<BTreeMap<Subject, Timestamp>, StoreError> {
    let subjects: Vec<_> = opt_outs
        .iter()
        .map(|one| {
            let Endpoint {
                account,
                collection,
            } = &one.endpoint;
            (account, collection, &one.record, &one.channel, &one.purpose)
        })
        .collect();
    let rows: Vec<(String, String, String, String, String, String)> = sqlx::query_as(
        "SELECT account, collection, record, channel, purpose, body FROM restriction \
         WHERE tenant = ? AND (account, collection, record, channel, purpose) IN ( \
           SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 FROM json_each(?))",
    )
    .bind(&applying.context.tenant)
    .bind(encode("subjects", &subjects)?)
    .fetch_all(&mut *applying.connection)
    .await
    .map_err(applying.context.failed("reading opt-outs"))?;
    rows.into_iter()
        .map(|(account, collection, record, channel, purpose, body)| {
            let known: Restriction = decode("an opt-out of record", &record, &body)?;
            Ok(((account, collection, record, channel, purpose), known.at))
        })
        .collect()
}

/// See [`samspel_model::store::Change::Lift`].
pub(crate) async fn lift(
    applying: &mut Applying<'_>,
    endpoint: &Endpoint,
    restrictions: &[(RecordId, String, String)],
) -> Result<(), StoreError> {
    if restrictions.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "UPDATE restriction SET lifted = 1 WHERE tenant = ? AND account = ? AND collection = ? \
         AND (record, channel, purpose) IN (SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?))",
    )
    .bind(&applying.context.tenant)
    .bind(&endpoint.account)
    .bind(&endpoint.collection)
    .bind(encode("subjects", restrictions)?)
    .execute(&mut *applying.connection)
    .await
    .map(drop)
    .map_err(applying.context.failed("lifting opt-outs"))
}

/// See [`samspel_model::store::Change::Suppress`].
pub(crate) async fn suppress(
    applying: &mut Applying<'_>,
    suppressions: Vec<Suppression>,
) -> Result<(), StoreError> {
    if suppressions.is_empty() {
        return Ok(());
    }
    let subjects: Vec<_> = suppressions
        .iter()
        .map(|one| (&one.pseudonym, &one.channel))
        .collect();
    let rows: Vec<(String, String)> = sqlx::query_as(
        "SELECT pseudonym, body FROM suppression \
         WHERE tenant = ? AND (pseudonym, channel) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?))",
    )
    .bind(&applying.context.tenant)
    .bind(encode("subjects", &subjects)?)
    .fetch_all(&mut *applying.connection)
    .await
    .map_err(applying.context.failed("reading what is left of the erased"))?;
    let mut latest: BTreeMap<(String, String), Suppression> = BTreeMap::new();
    for (pseudonym, body) in &rows {
        let known: Suppression = decode("the suppression", pseudonym, body)?;
        latest.insert((known.pseudonym.clone(), known.channel.clone()), known);
    }
    for one in suppressions {
        let subject = (one.pseudonym.clone(), one.channel.clone());
        if latest.get(&subject).is_none_or(|known| known.at < one.at) {
            latest.insert(subject, one);
        }
    }
    let mut rows = Vec::with_capacity(latest.len());
    for ((pseudonym, channel), one) in &latest {
        rows.push((pseudonym, channel, encode("a suppression", one)?));
    }
    applying
        .batch(
            "storing what is left of the erased",
            "INSERT INTO suppression (tenant, pseudonym, channel, body) \
             SELECT ?1, value ->> 0, value ->> 1, value ->> 2 FROM json_each(?3) WHERE true \
             ON CONFLICT (tenant, pseudonym, channel) DO UPDATE SET body = excluded.body",
            &rows,
        )
        .await
}
