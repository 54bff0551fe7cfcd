//! Comparing both sides: everything is read, and every linked pair is looked at, a page at a time.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use samspel_engine::consent::Restrictions;
use samspel_engine::plan::{LinkState, differences, plan};
use samspel_engine::spec::Mode;
use samspel_model::journal::{JournalEntry, JournalKind};
use samspel_model::store::{Change, Drift, Observation, RecordRestriction, Step};
use samspel_model::{Link, LinkId, Presence, RecordId, Side};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::SyncParts;
use crate::context::Context;
use crate::error::SyncError;
use crate::progress::Progress;
use crate::report::{VerifyReport, VerifySample};
use crate::run::{carry_out_queue, read_everything, under_lease};

/// How many links are compared at once.
const PAGE: u32 = 500;
/// How many unequal pairs are shown.
const SAMPLES: usize = 10;

/// See [`crate::Sync::verify`].
pub async fn verify(
    parts: &Arc<SyncParts>,
    heal: bool,
    progress: &dyn Progress,
    stop: CancellationToken,
) -> Result<VerifyReport, SyncError> {
    let span = tracing::info_span!("verify", sync = %parts.name);
    under_lease(parts, false, async |context| {
        if heal {
            may_write(&context).await?;
        }
        let mut report = VerifyReport {
            read: read_everything(&context, progress, stop.clone()).await?,
            ..VerifyReport::default()
        };
        compare_links(&context, heal, &mut report).await?;
        for side in Side::BOTH {
            let unlinked = count_unlinked(&context, side).await?;
            report.unlinked.add(side, unlinked);
        }
        let counts = context.store().counts(context.name()).await?;
        report.conflicts = counts.conflicts;
        report.holds = counts.holds;
        report.parked = counts.parked;
        report.oldest_unsynced = counts.oldest;
        report.equal_share = if report.links == 0 {
            1.0
        } else {
            (report.links - report.unequal) as f64 / report.links as f64
        };
        if heal && report.unequal > 0 {
            carry_out_queue(&context, progress, stop).await?;
            let mut after = VerifyReport::default();
            compare_links(&context, false, &mut after).await?;
            report.healed = report.unequal.saturating_sub(after.unequal);
        }
        let mut state = context.store().state(context.name()).await?;
        state.drift = Some(Drift {
            at: context.now(),
            links: report.links,
            unequal: report.unequal - report.healed,
        });
        let changes = vec![Change::PutState(state)];
        context.commit(Step::Operate, changes).await?;
        Ok(report)
    })
    .instrument(span)
    .await
}

/// What is healed is written to the remotes.
async fn may_write(context: &Context) -> Result<(), SyncError> {
    let sync = context.name().to_owned();
    if context.parts.spec.mode == Mode::Observe {
        let why = "it only observes, and healing writes; set `mode = \"sync\"` first".to_owned();
        return Err(SyncError::Refused { sync, why });
    }
    match context.store().state(context.name()).await?.paused {
        Some(reason) => Err(SyncError::Paused { sync, reason }),
        None => Ok(()),
    }
}

async fn compare_links(
    context: &Context,
    heal: bool,
    report: &mut VerifyReport,
) -> Result<(), SyncError> {
    let mut after: Option<LinkId> = None;
    loop {
        let links = context
            .store()
            .links(context.name(), after.as_ref(), PAGE)
            .await?;
        let Some(last) = links.last() else {
            return Ok(());
        };
        after = Some(last.id.clone());
        let mut seen = Vec::with_capacity(2);
        let mut stored = Vec::with_capacity(2);
        for side in Side::BOTH {
            seen.push(observations(context, side, &links).await?);
            stored.push(restrictions(context, side, &links).await?);
        }
        let none = Vec::new();
        let mut unequal = Vec::new();
        for link in links {
            let (Some(a), Some(b)) = (seen[0].get(&link.a), seen[1].get(&link.b)) else {
                report.ended += 1;
                continue;
            };
            if a.presence != Presence::Present || b.presence != Presence::Present {
                report.ended += 1;
                continue;
            }
            report.links += 1;
            let restricted =
                Side::BOTH
                    .into_iter()
                    .fold(Restrictions::default(), |restrictions, side| {
                        let rows = stored[side.index()].get(link.record(side)).unwrap_or(&none);
                        restrictions.with(context.policy(), side, rows)
                    });
            let state = LinkState {
                base: &link.base,
                seen: [a, b],
                restricted: &restricted,
                told: &[],
            };
            let differs = differences(&state, context.policy());
            if differs.is_empty() {
                continue;
            }
            report.unequal += 1;
            if report.samples.len() < SAMPLES {
                report.samples.push(VerifySample {
                    a: link.a.to_string(),
                    b: link.b.to_string(),
                    differs: differs.clone(),
                });
            }
            // What is about to flow flows, and what a person decides is left to that person.
            let decided = plan(&state, context.policy(), context.now());
            let taken_back = |about: &String| {
                let base = link.base.fields.get(about);
                base.is_some_and(|base| base.undone)
            };
            let at_rest = decided.is_at_rest()
                || (decided.writes == [None, None]
                    && decided.ending.is_none()
                    && decided.undecided.iter().all(|one| taken_back(&one.about)));
            unequal.push((link, differs, at_rest));
        }
        if heal && !unequal.is_empty() {
            plan_anew(context, unequal).await?;
        }
    }
}

/// Pairs that differ are planned by the next run; where nothing would flow, as if the two met for the first time in
/// what differs, so that the sync's `first-sync` decides.
async fn plan_anew(
    context: &Context,
    unequal: Vec<(Link, Vec<String>, bool)>,
) -> Result<(), SyncError> {
    let mut links = Vec::new();
    let mut journal = Vec::new();
    let ids = unequal.iter().map(|(link, ..)| link.a.clone()).collect();
    for (mut link, differs, at_rest) in unequal {
        if !at_rest {
            continue;
        }
        for name in &differs {
            link.base.fields.remove(name);
            link.base.consents.remove(name);
        }
        journal.push(JournalEntry {
            at: context.now(),
            run: Some(context.run.clone()),
            kind: JournalKind::Rebased,
            link: Some(link.id.clone()),
            side: Some(Side::A),
            record: Some(link.a.clone()),
            detail: json!({ "why": "the two differed at rest and are to be healed", "fields": differs }),
        });
        links.push(link);
    }
    let mut changes = vec![
        Change::PutLinks(links),
        Change::MarkDirty {
            side: Side::A,
            ids,
            refetch: None,
        },
        Change::Journal(journal),
    ];
    changes.retain(|change| !change.is_empty());
    context.commit(Step::Operate, changes).await?;
    Ok(())
}

async fn restrictions(
    context: &Context,
    side: Side,
    links: &[Link],
) -> Result<HashMap<RecordId, Vec<RecordRestriction>>, SyncError> {
    let ids: Vec<RecordId> = links.iter().map(|link| link.record(side).clone()).collect();
    let mut of: HashMap<RecordId, Vec<RecordRestriction>> = HashMap::new();
    for row in context
        .store()
        .restrictions(context.endpoint(side), &ids)
        .await?
    {
        of.entry(row.record.clone()).or_default().push(row);
    }
    Ok(of)
}

async fn observations(
    context: &Context,
    side: Side,
    links: &[Link],
) -> Result<HashMap<RecordId, Observation>, SyncError> {
    let ids: Vec<RecordId> = links.iter().map(|link| link.record(side).clone()).collect();
    Ok(context
        .store()
        .observations(context.endpoint(side), &ids)
        .await?
        .into_iter()
        .map(|seen| context.policy().scoped(side, seen).0)
        .map(|seen| (seen.id.clone(), seen))
        .collect())
}

async fn count_unlinked(context: &Context, side: Side) -> Result<u64, SyncError> {
    let mut unlinked = 0;
    let mut after: Option<RecordId> = None;
    loop {
        let records = context
            .store()
            .records(context.endpoint(side), after.as_ref(), PAGE)
            .await?;
        let Some(last) = records.last() else {
            return Ok(unlinked);
        };
        after = Some(last.id.clone());
        let present: Vec<RecordId> = records
            .into_iter()
            .filter(|seen| seen.presence == Presence::Present)
            .map(|seen| seen.id)
            .collect();
        let linked: HashSet<RecordId> = context
            .store()
            .links_by_record(context.name(), side, &present)
            .await?
            .into_iter()
            .map(|link| link.record(side).clone())
            .collect();
        unlinked += present.iter().filter(|id| !linked.contains(id)).count() as u64;
    }
}
