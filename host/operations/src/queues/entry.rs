//! Entries of queues, as they are shown.

use std::collections::BTreeMap;

use samspel_installation::Error;
use samspel_model::store::{Conflict, Decision, Parked, Verdict, Waiting};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::select;
use crate::operation::Work;
use crate::values::Limit;

/// A conflict or a hold.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Entry {
    /// By which it is referred to.
    pub id: String,
    /// Where.
    pub sync: String,
    /// What is undecided.
    #[serde(flatten)]
    pub conflict: Conflict,
    /// What was said about it and is not carried out yet.
    pub decision: Option<Verdict>,
}

/// A record that failed for good.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ParkedEntry {
    /// By which it is referred to.
    pub id: String,
    /// Where.
    pub sync: String,
    /// What failed.
    #[serde(flatten)]
    pub parked: Parked,
}

/// So many entries are about the same.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Group {
    /// Where.
    pub sync: String,
    /// What they are about.
    pub about: String,
    /// How many.
    pub count: u64,
}

/// What is shown of one or more queues.
pub(super) struct Shown {
    pub entries: Vec<Entry>,
    pub groups: Vec<Group>,
    pub total: u64,
}

/// Conflicts of one sync, with what was said about them.
pub(crate) async fn entries(
    work: &Work<'_>,
    sync: &str,
    conflicts: Vec<Conflict>,
) -> Result<Vec<Entry>, Error> {
    let told = work.host.operator(sync)?.told(&conflicts).await?;
    Ok(conflicts
        .into_iter()
        .map(|conflict| Entry {
            id: conflict.id(),
            sync: sync.to_owned(),
            decision: said(&told, &conflict),
            conflict,
        })
        .collect())
}

fn said(told: &[Decision], conflict: &Conflict) -> Option<Verdict> {
    told.iter()
        .find(|told| {
            told.side == conflict.side
                && told.record == conflict.record
                && told.about == conflict.about
        })
        .map(|told| told.verdict.clone())
}

/// Parked records of one sync.
pub(crate) fn parked_entries(sync: &str, parked: Vec<Parked>) -> Vec<ParkedEntry> {
    parked
        .into_iter()
        .map(|parked| ParkedEntry {
            id: parked.id(),
            sync: sync.to_owned(),
            parked,
        })
        .collect()
}

/// The entries of one queue of a sync, or of all syncs: of each a page, and of all the numbers.
pub(super) async fn shown(
    work: &Work<'_>,
    sync: Option<&str>,
    which: Waiting,
    offset: u64,
    limit: Limit,
) -> Result<Shown, Error> {
    let mut shown = Shown {
        entries: Vec::new(),
        groups: Vec::new(),
        total: 0,
    };
    let offset = usize::try_from(offset).unwrap_or(usize::MAX);
    for sync in work.syncs(sync)? {
        let mut waiting = select::waiting(work.host, &sync, which).await?;
        shown.total += waiting.len() as u64;
        shown.groups.extend(groups(&sync, &waiting));
        waiting.sort_by(|x, y| (&x.about, x.at).cmp(&(&y.about, y.at)));
        let page = waiting.into_iter().skip(offset).take(limit.length());
        shown
            .entries
            .extend(entries(work, &sync, page.collect()).await?);
    }
    Ok(shown)
}

/// How many entries are about what.
fn groups(sync: &str, conflicts: &[Conflict]) -> Vec<Group> {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for conflict in conflicts {
        *counts.entry(&conflict.about).or_default() += 1;
    }
    counts
        .into_iter()
        .map(|(about, count)| Group {
            sync: sync.to_owned(),
            about: about.to_owned(),
            count,
        })
        .collect()
}
