//! Conflicts: what is undecided, and deciding it.

use std::collections::BTreeMap;

use samspel_installation::{Error, Kind};
use samspel_model::access::Role;
use samspel_model::store::{Conflict, Verdict, Waiting, subject};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::decided::{self, Decided};
use super::entry::{self, Entry, Group, Shown};
use super::select::{self, Selection};
use crate::act::Act;
use crate::operation::{Operation, Route, Work};
use crate::values::{Limit, Number};

const LIST: &str = "samspel conflicts list";

/// Lists what is undecided.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ListConflicts {
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

/// What is undecided.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ListedConflicts {
    /// A page of each sync's.
    pub conflicts: Vec<Entry>,
    /// All of them, counted by what they are about.
    pub groups: Vec<Group>,
    /// How many there are in all.
    pub total: u64,
}

impl Operation for ListConflicts {
    type Output = ListedConflicts;
    const ROUTE: Route = Route::get(
        "listConflicts",
        "/conflicts",
        Role::Viewer,
        "List what is undecided, grouped by what it is about",
    );

    async fn run(&self, work: &Work<'_>) -> Result<ListedConflicts, Error> {
        let Shown {
            entries,
            groups,
            total,
        } = entry::shown(
            work,
            self.sync.as_deref(),
            Waiting::Conflicts,
            self.offset.get(),
            self.limit,
        )
        .await?;
        Ok(ListedConflicts {
            conflicts: entries,
            groups,
            total,
        })
    }
}

/// Shows one conflict or hold.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ShowConflict {
    /// Its id.
    pub id: String,
    /// Its sync; all are searched if it is left out.
    #[serde(default)]
    pub sync: Option<String>,
}

/// A conflict or a hold, and what can be said about it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Detailed {
    /// It.
    #[serde(flatten)]
    pub entry: Entry,
    /// What can be said: commands, or what to do at the remotes.
    pub can: Vec<String>,
}

impl Operation for ShowConflict {
    type Output = Detailed;
    const ROUTE: Route = Route::get(
        "showConflict",
        "/conflicts/{id}",
        Role::Viewer,
        "Show a conflict or a hold: the values or records in question, and what can be said",
    );

    async fn run(&self, work: &Work<'_>) -> Result<Detailed, Error> {
        let selection = Selection::one(&self.id, self.sync.as_deref());
        let mut found = chosen(work, &selection, Waiting::All).await?;
        let entry = match found.pop_first() {
            Some((sync, conflicts)) => entry::entries(work, &sync, conflicts).await?.pop(),
            None => None,
        };
        let entry = entry.ok_or_else(|| {
            Error::new(
                Kind::NotFound,
                format!("there is no conflict `{}`", self.id),
            )
        })?;
        Ok(Detailed {
            can: can(&entry),
            entry,
        })
    }
}

/// What can be said about an entry.
fn can(one: &Entry) -> Vec<String> {
    let (id, sync) = (&one.id, &one.sync);
    let resolve = |answer: &str| format!("samspel conflicts resolve {id} {answer} --sync {sync}");
    match one.conflict.about.as_str() {
        about if subject::is_hold(about) => vec![
            format!("samspel holds approve {id} --sync {sync}"),
            format!("samspel holds reject {id} --sync {sync}"),
        ],
        subject::IDENTITY => vec![
            resolve("--link RECORD"),
            resolve("--leave"),
            "merge or correct the records at the remotes".to_owned(),
        ],
        subject::MERGE => vec![
            "merge the two records at the remote".to_owned(),
            resolve("--leave"),
        ],
        _ => vec![
            resolve("--take a"),
            resolve("--take b"),
            "make the two equal at the remotes".to_owned(),
        ],
    }
}

async fn chosen(
    work: &Work<'_>,
    selection: &Selection,
    which: Waiting,
) -> Result<BTreeMap<String, Vec<Conflict>>, Error> {
    let mut queues = BTreeMap::new();
    for sync in work.syncs(selection.sync.as_deref())? {
        let waiting = select::waiting(work.host, &sync, which).await?;
        queues.insert(sync, waiting);
    }
    select::chosen(selection, queues, Conflict::id, "conflict", LIST)
}

/// Says what holds; the next run carries it out.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResolveConflicts {
    /// Which conflicts. All of them: every one that the verdict fits, but no consents; lifting an opt-out is decided
    /// one by one.
    pub selection: Selection,
    /// What holds: `{"take": SIDE}` for a field or a consent, `{"link": RECORD}` for records with one key, `"reject"`
    /// to leave them as they are.
    pub verdict: Verdict,
}

impl Operation for ResolveConflicts {
    type Output = Decided;
    const ROUTE: Route = Route::post(
        "resolveConflicts",
        "/conflicts/resolve",
        Role::Operator,
        "Say what holds; the next run carries it out",
    );

    fn act(&self) -> Option<Act> {
        let mut detail = self.selection.told();
        detail["verdict"] = match &self.verdict {
            Verdict::Take(side) => json!(format!("take {side}")),
            Verdict::Link(record) => json!(format!("link with {record}")),
            Verdict::Reject => json!("leave"),
            Verdict::Approve => json!("approve"),
        };
        Some(Act::new("conflicts resolve", self.selection.sync.clone()).with(detail))
    }

    async fn run(&self, work: &Work<'_>) -> Result<Decided, Error> {
        let mut found = chosen(work, &self.selection, Waiting::Conflicts).await?;
        let mut left = 0;
        if self.selection.all {
            for conflicts in found.values_mut() {
                let before = conflicts.len();
                conflicts.retain(|conflict| fits_all(conflict, &self.verdict));
                left += (before - conflicts.len()) as u64;
            }
            found.retain(|_, conflicts| !conflicts.is_empty());
        }
        decided::decide(work, Waiting::Conflicts, found, &self.verdict, left).await
    }
}

/// Whether an answer to everything answers this one. A consent is a decision of its own.
fn fits_all(conflict: &Conflict, verdict: &Verdict) -> bool {
    let about = conflict.about.as_str();
    let identity = matches!(about, subject::IDENTITY | subject::MERGE);
    match verdict {
        Verdict::Take(_) => !identity && about.contains('='),
        Verdict::Reject => identity,
        Verdict::Link(_) | Verdict::Approve => false,
    }
}
