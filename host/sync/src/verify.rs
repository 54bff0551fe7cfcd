//! Comparing both sides: everything is read, and every linked pair is looked at, a page at a time.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use samspel_engine::plan::{LinkState, differences};
use samspel_model::store::Observation;
use samspel_model::{Link, LinkId, Presence, RecordId, Side};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::SyncParts;
use crate::context::Context;
use crate::error::SyncError;
use crate::progress::Progress;
use crate::report::{VerifyReport, VerifySample};
use crate::run::{read_everything, under_lease};

/// How many links are compared at once.
const PAGE: u32 = 500;
/// How many unequal pairs are shown.
const SAMPLES: usize = 10;

/// See [`crate::Sync::verify`].
pub async fn verify(
    parts: &Arc<SyncParts>,
    progress: &dyn Progress,
    stop: CancellationToken,
) -> Result<VerifyReport, SyncError> {
    let span = tracing::info_span!("verify", sync = %parts.name);
    under_lease(parts, async |context| {
        let mut report = VerifyReport {
            read: read_everything(&context, progress, stop).await?,
            ..VerifyReport::default()
        };
        compare_links(&context, &mut report).await?;
        for side in Side::BOTH {
            let unlinked = count_unlinked(&context, side).await?;
            report.unlinked.add(side, unlinked);
        }
        let counts = context.store().counts(context.name()).await?;
        report.conflicts = counts.conflicts;
        report.parked = counts.parked;
        Ok(report)
    })
    .instrument(span)
    .await
}

async fn compare_links(context: &Context, report: &mut VerifyReport) -> Result<(), SyncError> {
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
        for side in Side::BOTH {
            seen.push(observations(context, side, &links).await?);
        }
        for link in &links {
            let (Some(a), Some(b)) = (seen[0].get(&link.a), seen[1].get(&link.b)) else {
                report.ended += 1;
                continue;
            };
            if a.presence != Presence::Present || b.presence != Presence::Present {
                report.ended += 1;
                continue;
            }
            report.links += 1;
            let state = LinkState {
                base: &link.base,
                seen: [a, b],
            };
            let differs = differences(&state, &context.policy);
            if differs.is_empty() {
                continue;
            }
            report.unequal += 1;
            if report.samples.len() < SAMPLES {
                report.samples.push(VerifySample {
                    a: link.a.to_string(),
                    b: link.b.to_string(),
                    differs,
                });
            }
        }
    }
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
