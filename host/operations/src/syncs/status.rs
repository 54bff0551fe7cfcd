//! What is known about a sync, without asking a remote.

use jiff::Timestamp;
use samspel_engine::spec::Mode;
use samspel_installation::Error;
use samspel_model::Side;
use samspel_model::access::{Refused, Role};
use samspel_model::store::{Drift, RunRecord, StoreError, SyncCounts, Waiting};
use samspel_sync::Accounts;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::operation::{Operation, Route, Work};
use crate::queues::{self, Entry, ParkedEntry};
use crate::values::Limit;

/// Everything that is known about one sync.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// The sync.
    pub sync: String,
    /// `account/collection` of side A.
    pub a: String,
    /// `account/collection` of side B.
    pub b: String,
    /// Whether it writes.
    #[schema(value_type = String)]
    pub mode: Mode,
    /// How often it runs.
    pub interval: String,
    /// When the first plan was confirmed.
    pub confirmed: Option<Timestamp>,
    /// Why runs are refused.
    pub paused: Option<String>,
    /// Credentials of its accounts that a person must authorise again.
    pub needs_authorisation: Vec<Refused>,
    /// Who works on it right now.
    pub holder: Option<Holder>,
    /// How many records are where.
    pub counts: SyncCounts,
    /// When both sides were last read completely.
    #[schema(value_type = Vec<Option<String>>)]
    pub compared: [Option<Timestamp>; 2],
    /// How far the two sides were apart when `sync verify` compared them last.
    pub drift: Option<Drift>,
    /// Where every record of the last run went.
    pub accounts: Option<Accounts>,
    /// The last runs, newest first.
    pub runs: Vec<RunRecord>,
    /// Some of the decisions that are left to a person.
    pub conflicts: Vec<Entry>,
    /// Some of what the valves hold.
    pub holds: Vec<Entry>,
    /// Some of the records that failed for good.
    pub parked: Vec<ParkedEntry>,
}

/// Who works on a sync.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Holder {
    /// The program, its host and its process.
    pub owner: String,
    /// How long it has the sync at least.
    pub until: Timestamp,
}

/// All syncs.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Statuses {
    /// In the order of their names.
    pub syncs: Vec<Status>,
}

/// Looks at all syncs.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ListSyncs {
    /// At most so many runs, conflicts, holds and parked records each.
    #[serde(default = "few")]
    pub limit: Limit,
}

/// Looks at one sync.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ShowSync {
    /// The sync, as `[syncs.NAME]` calls it.
    pub sync: String,
    /// At most so many runs, conflicts, holds and parked records each.
    #[serde(default = "few")]
    pub limit: Limit,
}

fn few() -> Limit {
    Limit::new(10)
}

impl Operation for ListSyncs {
    type Output = Statuses;
    const ROUTE: Route = Route::get("listSyncs", "/syncs", Role::Viewer, "Show all syncs");

    async fn run(&self, work: &Work<'_>) -> Result<Statuses, Error> {
        let refused = work.host.refused().await?;
        let mut syncs = Vec::new();
        for sync in work.host.config().syncs.keys() {
            syncs.push(read(work, sync, &refused, self.limit).await?);
        }
        Ok(Statuses { syncs })
    }
}

impl Operation for ShowSync {
    type Output = Status;
    const ROUTE: Route = Route::get("showSync", "/syncs/{sync}", Role::Viewer, "Show a sync");

    async fn run(&self, work: &Work<'_>) -> Result<Status, Error> {
        read(work, &self.sync, &work.host.refused().await?, self.limit).await
    }
}

async fn read(
    work: &Work<'_>,
    sync: &str,
    refused: &[Refused],
    limit: Limit,
) -> Result<Status, Error> {
    let (spec, store, limit) = (work.host.spec(sync)?, work.host.store(), limit.get());
    let now = work.host.clock().now();
    let state = store.state(sync).await?;
    let compared = async |side| -> Result<_, StoreError> {
        let cursor = store.cursor(sync, side).await?;
        Ok(cursor.and_then(|cursor| cursor.compared))
    };
    let runs = store.runs(sync, limit).await?;
    let [a, b] = work.sides(sync)?;
    let conflicts = store.conflicts(sync, Waiting::Conflicts, 0, limit).await?;
    let holds = store.conflicts(sync, Waiting::Holds, 0, limit).await?;
    let parked = store.parked(sync, 0, limit).await?;
    Ok(Status {
        sync: sync.to_owned(),
        a,
        b,
        mode: spec.mode,
        interval: spec.interval.clone(),
        confirmed: state.confirmed,
        paused: state.paused,
        needs_authorisation: refused
            .iter()
            .filter(|one| spec.a.account == one.account || spec.b.account == one.account)
            .cloned()
            .collect(),
        holder: store
            .lease_holder(sync)
            .await?
            .filter(|(_, until)| *until > now)
            .map(|(owner, until)| Holder { owner, until }),
        counts: store.counts(sync).await?,
        compared: [compared(Side::A).await?, compared(Side::B).await?],
        drift: state.drift,
        accounts: runs.iter().find_map(accounts),
        runs,
        conflicts: queues::entries(work, sync, conflicts).await?,
        holds: queues::entries(work, sync, holds).await?,
        parked: queues::parked_entries(sync, parked),
    })
}

/// The accounts in a run's report. Undos have none, and older programs wrote none.
fn accounts(run: &RunRecord) -> Option<Accounts> {
    Accounts::deserialize(run.report.get("accounts")?).ok()
}
