//! Planning a batch of records: what is known of them is loaded, the engine decides, and the decisions are stored with
//! the writes they lead to, before anything is sent.

mod batch;
mod facts;
mod preview;
mod unlinked;
mod valves;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use samspel_engine::create::Skip;
use samspel_engine::valve::Meter;
use samspel_model::intent::Intent;
use samspel_model::store::{Change, Dirty, Step};
use samspel_model::{Guard, LinkId, RecordId, Side};

use crate::accounts::Row;
use crate::context::Context;
use crate::error::SyncError;
use crate::reader::{fetch, observe_fetched};

use batch::Batch;
use facts::Facts;
pub use facts::MERGES;
pub use preview::Preview;

/// How many records are planned at once.
pub const BATCH: u32 = 500;

/// What is done about removals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removals {
    /// They are counted, and wait until everything else was planned.
    Count,
    /// They are carried out, as far as the valve allows.
    Carry,
    /// There are too many: all are held.
    Hold,
}

/// What the planner may rely on.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// Whether everything that is new on the side was read.
    pub caught_up: [bool; 2],
    /// The run looks at records that it was told of, and reads nothing else.
    pub hinted: bool,
    /// What is done about removals.
    pub removals: Removals,
}

/// What planning a batch led to.
#[derive(Debug, Default)]
pub struct Planned {
    /// Writes that are stored and wait to be sent.
    pub intents: Vec<Intent>,
    /// The position behind the batch.
    pub after: u64,
    /// There was nothing to plan.
    pub exhausted: bool,
    /// Records that wait for a side to be read to its end.
    pub waiting_for_reading: u64,
    /// Records that wait for a write to be settled.
    pub waiting_for_writes: u64,
    /// Removals that wait until everything else was planned.
    pub waiting_removals: Vec<LinkId>,
    /// What became of the records that left the queue.
    pub rows: Vec<Row>,
    /// What the run has done so far.
    pub meter: Option<Meter>,
    /// Counts.
    pub tally: Tally,
}

/// What was decided, in numbers.
#[derive(Debug, Default, Clone)]
pub struct Tally {
    /// Records that left the queue.
    pub planned: u64,
    pub linked: u64,
    pub filtered: BTreeMap<Skip, u64>,
    pub conflicts: u64,
    pub holds: u64,
    pub parked: u64,
}

/// Plans the next records after a position. With a preview, decisions go there and nothing is stored.
pub async fn plan_batch(
    context: &Arc<Context>,
    after: u64,
    known: Known,
    meter: &Meter,
    given_up: &HashSet<(Side, RecordId)>,
    preview: Option<&mut Preview>,
) -> Result<Planned, SyncError> {
    let rows = waiting(context, after).await?;
    let Some(last) = rows.last() else {
        return Ok(Planned {
            after,
            exhausted: true,
            ..Planned::default()
        });
    };
    let position = last.position;
    // What is settled from here on may not be in what is loaded: it counts as under way.
    let in_flight = context.in_flight().records();
    let (busy, rows): (Vec<Dirty>, Vec<Dirty>) = rows.into_iter().partition(|row| {
        in_flight.contains(&(row.side, row.id.clone())) && Guard::InFlightIsNotPlanned.stands()
    });
    let rows: Vec<Dirty> = rows
        .into_iter()
        .filter(|row| !given_up.contains(&(row.side, row.id.clone())))
        .collect();
    let fetched = rows.iter().any(|row| row.refetch.is_some());
    let mut rows = refetch(context, rows).await?;
    if fetched {
        let name = context.name();
        for newer in context.store().dirty(name, position, BATCH).await? {
            let marked = rows.iter().position(|row| {
                row.side == newer.side && row.id == newer.id && row.refetch.is_some()
            });
            match marked {
                // What was fetched is marked anew, and planned here already.
                Some(index) if newer.refetch.is_none() => rows[index] = newer,
                // It is to be asked for once more: its place is behind this batch.
                Some(index) => drop(rows.remove(index)),
                None => {}
            }
        }
    }
    let mut facts = Facts::load(context, &rows).await?;
    let owed = owed(context, &facts, &rows).await?;
    if !owed.is_empty() {
        // What is known of a partner may be old news, too.
        refetch(context, owed).await?;
        facts = Facts::load(context, &rows).await?;
    }
    let mut meter = meter.clone();
    if meter.looks_at(rows.len() as u64) {
        meter.counted(context.store().counts(context.name()).await?.links);
    }
    let mut batch = Batch::new(context, known, meter, facts, in_flight, preview);
    batch.planned.waiting_for_writes = busy.len() as u64;
    for row in rows {
        batch.row(row);
    }
    batch.merge_conflicts().await?;
    let mut planned = batch.store().await?;
    planned.after = position;
    Ok(planned)
}

/// The partners of these records that must be fetched and wait further back in the queue.
async fn owed(
    context: &Arc<Context>,
    facts: &Facts,
    rows: &[Dirty],
) -> Result<Vec<Dirty>, SyncError> {
    let mut owed = Vec::new();
    let in_batch: HashSet<(Side, &RecordId)> = rows.iter().map(|row| (row.side, &row.id)).collect();
    for side in Side::BOTH {
        let partners: Vec<RecordId> = facts
            .links
            .values()
            .map(|link| link.record(side))
            .filter(|id| !in_batch.contains(&(side, *id)))
            .cloned()
            .collect();
        if partners.is_empty() {
            continue;
        }
        let name = context.name();
        owed.extend(context.store().owed(name, side, &partners).await?);
    }
    Ok(owed)
}

/// The next records to be planned. Those that must be fetched are chosen when their accounts may be asked: while a
/// budget is waited for, more may be told of, which are asked for in the same call.
async fn waiting(context: &Context, after: u64) -> Result<Vec<Dirty>, SyncError> {
    let read = || context.store().dirty(context.name(), after, BATCH);
    let rows = read().await?;
    let mut waited = false;
    for side in Side::BOTH {
        let owes = |row: &Dirty| row.side == side && row.refetch.is_some();
        if rows.iter().any(owes) {
            waited |= context.connector(side).ready().await;
        }
    }
    Ok(if waited { read().await? } else { rows })
}

/// Fetches the records whose stored state may be older than our own write, or than what somebody told of.
async fn refetch(context: &Arc<Context>, rows: Vec<Dirty>) -> Result<Vec<Dirty>, SyncError> {
    let mut answers = Vec::new();
    let mut unread = HashSet::new();
    for side in Side::BOTH {
        let owing = rows.iter().filter(|row| row.side == side);
        // Two calls would cost more than what some records of one need not bring.
        let Some(extent) = owing.clone().filter_map(|row| row.refetch).max() else {
            continue;
        };
        let ids: Vec<RecordId> = owing
            .filter(|row| row.refetch.is_some())
            .map(|row| row.id.clone())
            .collect();
        let fetched = fetch(context, side, &ids, extent).await?;
        for (id, answer) in &fetched.answers {
            if matches!(answer, samspel_model::Fetched::Failed(_)) {
                unread.insert((side, id.clone()));
            }
        }
        answers.push((side, fetched));
    }
    if !answers.is_empty() {
        let _alone = (
            context.observing(Side::A).await,
            context.observing(Side::B).await,
        );
        let asked = rows.iter().filter(|row| row.refetch.is_some());
        let read = asked.filter(|row| !unread.contains(&(row.side, row.id.clone())));
        let mut changes = vec![Change::Fetched(read.cloned().collect())];
        let mut looked_at = Vec::with_capacity(answers.len());
        for (side, fetched) in answers {
            let (seen, looked) = observe_fetched(context, side, fetched, None).await?;
            changes.extend(seen);
            looked_at.push(looked);
        }
        changes.retain(|change| !change.is_empty());
        context.commit(Step::Refetch, changes).await?;
        for looked in looked_at {
            context.losers_meanwhile(Step::Refetch, looked).await?;
        }
    }
    Ok(rows
        .into_iter()
        .filter(|row| !unread.contains(&(row.side, row.id.clone())))
        .collect())
}

/// The name of a reason, as reports spell it.
pub fn skip_name(reason: Skip) -> String {
    serde_json::to_value(reason)
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}
