//! Holds: what the safety valves hold, and letting it pass or not.

use std::collections::BTreeMap;

use samspel_installation::{Error, Kind};
use samspel_model::access::Role;
use samspel_model::store::{Conflict, Verdict, Waiting};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::decided::{self, Decided};
use super::entry::{self, Entry, Group, Shown};
use super::select::{self, Selection};
use crate::act::Act;
use crate::operation::{Operation, Route, Work};
use crate::values::{Limit, Number};

const LIST: &str = "samspel holds list";

/// Lists what is held.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ListHolds {
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

/// What is held.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ListedHolds {
    /// A page of each sync's.
    pub holds: Vec<Entry>,
    /// All of them, counted by what they are about.
    pub groups: Vec<Group>,
    /// How many there are in all.
    pub total: u64,
}

impl Operation for ListHolds {
    type Output = ListedHolds;
    const ROUTE: Route = Route::get(
        "listHolds",
        "/holds",
        Role::Viewer,
        "List what the safety valves hold, grouped by what it is about",
    );

    async fn run(&self, work: &Work<'_>) -> Result<ListedHolds, Error> {
        let Shown {
            entries,
            groups,
            total,
        } = entry::shown(
            work,
            self.sync.as_deref(),
            Waiting::Holds,
            self.offset.get(),
            self.limit,
        )
        .await?;
        Ok(ListedHolds {
            holds: entries,
            groups,
            total,
        })
    }
}

/// Lets what is held be done; the next run does it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApproveHolds {
    /// Which holds.
    pub selection: Selection,
    /// Only what is about this.
    #[serde(default)]
    pub about: Option<String>,
}

/// Leaves the records as they are; it is not asked about again until they change.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RejectHolds {
    /// Which holds.
    pub selection: Selection,
    /// Only what is about this.
    #[serde(default)]
    pub about: Option<String>,
}

impl Operation for ApproveHolds {
    type Output = Decided;
    const ROUTE: Route = Route::post(
        "approveHolds",
        "/holds/approve",
        Role::Operator,
        "Let what is held be done; the next run does it",
    );

    fn act(&self) -> Option<Act> {
        Some(act("holds approve", &self.selection, self.about.as_deref()))
    }

    async fn run(&self, work: &Work<'_>) -> Result<Decided, Error> {
        let found = chosen(work, &self.selection, self.about.as_deref()).await?;
        decided::decide(work, Waiting::Holds, found, &Verdict::Approve, 0).await
    }
}

impl Operation for RejectHolds {
    type Output = Decided;
    const ROUTE: Route = Route::post(
        "rejectHolds",
        "/holds/reject",
        Role::Operator,
        "Leave the records as they are; it is not asked about again until they change",
    );

    fn act(&self) -> Option<Act> {
        Some(act("holds reject", &self.selection, self.about.as_deref()))
    }

    async fn run(&self, work: &Work<'_>) -> Result<Decided, Error> {
        let found = chosen(work, &self.selection, self.about.as_deref()).await?;
        decided::decide(work, Waiting::Holds, found, &Verdict::Reject, 0).await
    }
}

fn act(action: &'static str, selection: &Selection, about: Option<&str>) -> Act {
    let mut detail = selection.told();
    if let Some(about) = about {
        detail["about"] = json!(about);
    }
    Act::new(action, selection.sync.clone()).with(detail)
}

async fn chosen(
    work: &Work<'_>,
    selection: &Selection,
    about: Option<&str>,
) -> Result<BTreeMap<String, Vec<Conflict>>, Error> {
    let mut queues = BTreeMap::new();
    for sync in work.syncs(selection.sync.as_deref())? {
        let waiting = select::waiting(work.host, &sync, Waiting::Holds).await?;
        queues.insert(sync, waiting);
    }
    if let Some(about) = about {
        let known = queues.values().flatten().any(|hold| hold.about == about);
        if !known {
            return Err(
                Error::new(Kind::NotFound, format!("nothing is held about `{about}`"))
                    .remedy(format!("`{LIST}` shows what there is")),
            );
        }
        for holds in queues.values_mut() {
            holds.retain(|hold| hold.about == about);
        }
    }
    select::chosen(selection, queues, Conflict::id, "hold", LIST)
}
