//! Records that failed for good.

use std::collections::BTreeMap;

use samspel_installation::Error;
use samspel_model::access::Role;
use samspel_model::store::Parked;
use samspel_model::{RecordId, Side};
use samspel_sync::Chosen;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::entry::{self, ParkedEntry};
use super::select::{self, Selection};
use crate::act::Act;
use crate::operation::{Operation, Route, Work};
use crate::values::{Limit, Number};

const LIST: &str = "samspel parked list";

/// Lists what is parked.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ListParked {
    /// Only of this sync.
    #[serde(default)]
    pub sync: Option<String>,
    /// So many of each sync are passed over.
    #[serde(default)]
    pub offset: Number,
    /// At most so many of each sync.
    #[serde(default)]
    pub limit: Limit,
}

/// What is parked.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ListedParked {
    /// A page of each sync's.
    pub parked: Vec<ParkedEntry>,
    /// How many there are of each sync.
    pub totals: BTreeMap<String, u64>,
    /// How many there are in all.
    pub total: u64,
}

impl Operation for ListParked {
    type Output = ListedParked;
    const ROUTE: Route = Route::get(
        "listParked",
        "/parked",
        Role::Viewer,
        "List records that failed for good, and why",
    );

    async fn run(&self, work: &Work<'_>) -> Result<ListedParked, Error> {
        let store = work.host.store();
        let (mut parked, mut totals) = (Vec::new(), BTreeMap::new());
        for sync in work.syncs(self.sync.as_deref())? {
            totals.insert(sync.clone(), store.counts(&sync).await?.parked);
            let page = store
                .parked(&sync, self.offset.get(), self.limit.get())
                .await?;
            parked.extend(entry::parked_entries(&sync, page));
        }
        Ok(ListedParked {
            parked,
            total: totals.values().sum(),
            totals,
        })
    }
}

/// Tries parked records again with the next run.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryParked {
    /// Which records.
    pub selection: Selection,
}

/// Takes parked records out of the queue; each is looked at again when it changes.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DropParked {
    /// Which records.
    pub selection: Selection,
}

/// A record that is parked no more.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Settled {
    /// By which it was referred to.
    pub id: String,
    /// Where.
    pub sync: String,
    /// Its side.
    pub side: Side,
    /// The record.
    pub record: RecordId,
    /// Why it was parked.
    pub cause: String,
}

/// Records that are tried again.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Retried {
    /// The records.
    pub retry: Vec<Settled>,
    /// What happens next.
    pub next: String,
}

/// Records that are out of the queue.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Dropped {
    /// The records.
    pub dropped: Vec<Settled>,
    /// What happens next.
    pub next: String,
}

impl Operation for RetryParked {
    type Output = Retried;
    const ROUTE: Route = Route::post(
        "retryParked",
        "/parked/retry",
        Role::Operator,
        "Try parked records again with the next run",
    );

    fn act(&self) -> Option<Act> {
        let act = Act::new("parked retry", self.selection.sync.clone());
        Some(act.with(self.selection.told()))
    }

    async fn run(&self, work: &Work<'_>) -> Result<Retried, Error> {
        Ok(Retried {
            retry: settle(work, &self.selection, true).await?,
            next: "the next run tries again".to_owned(),
        })
    }
}

impl Operation for DropParked {
    type Output = Dropped;
    const ROUTE: Route = Route::post(
        "dropParked",
        "/parked/drop",
        Role::Operator,
        "Take parked records out of the queue; each is looked at again when it changes",
    );

    fn act(&self) -> Option<Act> {
        let act = Act::new("parked drop", self.selection.sync.clone());
        Some(act.with(self.selection.told()))
    }

    async fn run(&self, work: &Work<'_>) -> Result<Dropped, Error> {
        Ok(Dropped {
            dropped: settle(work, &self.selection, false).await?,
            next: "they are looked at again when they change".to_owned(),
        })
    }
}

async fn settle(
    work: &Work<'_>,
    selection: &Selection,
    again: bool,
) -> Result<Vec<Settled>, Error> {
    let mut queues = BTreeMap::new();
    for sync in work.syncs(selection.sync.as_deref())? {
        let parked = select::parked(work.host, &sync).await?;
        queues.insert(sync, parked);
    }
    let found = select::chosen(selection, queues, Parked::id, "parked record", LIST)?;
    let key = if again { "retry" } else { "dropped" };
    let mut settled: Vec<Settled> = Vec::new();
    for (sync, parked) in &found {
        let operator = work.host.operator(sync)?;
        let ids = Chosen::Ids(parked.iter().map(Parked::id).collect());
        let done = select::patiently(async || {
            if again {
                operator.retry_parked(&ids).await
            } else {
                operator.drop_parked(&ids).await
            }
        })
        .await;
        let done = done.map_err(|error| error.detail(key, json!(settled)))?;
        settled.extend(done.into_iter().map(|parked| Settled {
            id: parked.id(),
            sync: sync.clone(),
            side: parked.side,
            record: parked.record,
            cause: parked.cause,
        }));
        if again {
            work.surroundings.changed(sync);
        }
    }
    Ok(settled)
}
