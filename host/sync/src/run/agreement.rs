//! A plan that is shown before anything is written, and agreed to.

use std::sync::Arc;

use samspel_model::store::{Change, RunRecord, Step};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::work::{Purpose, Work};
use super::{Confirmation, Reading, RunOptions, is_first, under_lease};
use crate::SyncParts;
use crate::context::Context;
use crate::error::SyncError;
use crate::planner::Preview;
use crate::progress::Progress;
use crate::report::{PlanReport, RunReport};

/// Reads and decides, and writes nothing. See [`crate::Sync::plan`].
pub async fn plan(
    parts: &Arc<SyncParts>,
    samples: usize,
    progress: &dyn Progress,
    stop: CancellationToken,
) -> Result<PlanReport, SyncError> {
    let span = tracing::info_span!("plan", sync = %parts.name);
    under_lease(parts, false, async |context| {
        let (report, _) = preview(&context, false, samples, progress, stop).await?;
        Ok(report)
    })
    .instrument(span)
    .await
}

pub(super) async fn observe(
    context: &Arc<Context>,
    full: bool,
    progress: &dyn Progress,
    stop: CancellationToken,
) -> Result<RunReport, SyncError> {
    let (plan, mut report) = preview(context, full, PlanReport::SAMPLES, progress, stop).await?;
    report.observe_only = true;
    report.linked = plan.link;
    report.conflicts = plan.conflicts;
    report.noop = plan.unchanged;
    report.filtered = plan.skipped.clone();
    report.pending = plan.create.sum() + plan.update.sum() + plan.remove.sum();
    let run = RunRecord {
        id: context.run.clone(),
        started: context.now(),
        ended: Some(context.now()),
        error: None,
        report: serde_json::to_value(&report).unwrap_or_default(),
    };
    context.commit(Step::End, vec![Change::PutRun(run)]).await?;
    Ok(report)
}

async fn preview(
    context: &Arc<Context>,
    full: bool,
    samples: usize,
    progress: &dyn Progress,
    stop: CancellationToken,
) -> Result<(PlanReport, RunReport), SyncError> {
    let reading = if full {
        Reading::Everything
    } else {
        Reading::Changes
    };
    let is_first = is_first(context).await?;
    let mut work = Work::open(context, reading, is_first, progress, stop).await?;
    work.recover().await?;
    let mut preview = Preview::new(samples);
    work.until_done(Purpose::Preview(&mut preview)).await?;
    if !work.meter.allows_removals(preview.report.remove.sum()) {
        preview.hold_removals();
    }
    work.finish().await?;
    preview.report.read = work.report.read;
    Ok((preview.report, work.report))
}

/// The plan is made once more; it is carried out if it is the one that was agreed to.
pub(super) async fn approve(
    context: &Arc<Context>,
    hash: &str,
    full: bool,
    progress: &dyn Progress,
    stop: &CancellationToken,
) -> Result<(), SyncError> {
    let (plan, _) = preview(context, full, PlanReport::SAMPLES, progress, stop.clone()).await?;
    whole(context, stop)?;
    // People may shorten it.
    if hash.len() < 8 || !plan.hash.starts_with(&hash.to_ascii_lowercase()) {
        return Err(SyncError::PlanChanged {
            sync: context.name().to_owned(),
            wanted: hash.to_owned(),
            plan: Box::new(plan),
        });
    }
    agreed(context).await
}

/// Nobody is asked to agree to a part of a plan.
fn whole(context: &Context, stop: &CancellationToken) -> Result<(), SyncError> {
    if stop.is_cancelled() {
        return Err(SyncError::Stopped {
            sync: context.name().to_owned(),
        });
    }
    Ok(())
}

/// Somebody agreed to the first plan.
async fn agreed(context: &Context) -> Result<(), SyncError> {
    let mut state = context.store().state(context.name()).await?;
    if state.confirmed.is_none() {
        state.confirmed = Some(context.now());
        context
            .commit(Step::Confirm, vec![Change::PutState(state)])
            .await?;
    }
    Ok(())
}

/// The first run shows its plan and waits for somebody to agree.
pub(super) async fn confirm(
    context: &Arc<Context>,
    options: &RunOptions,
    progress: &dyn Progress,
    stop: &CancellationToken,
) -> Result<(), SyncError> {
    if !matches!(options.confirmation, Confirmation::Given) {
        let (plan, _) = preview(
            context,
            options.full,
            PlanReport::SAMPLES,
            progress,
            stop.clone(),
        )
        .await?;
        whole(context, stop)?;
        let agreed = match &options.confirmation {
            Confirmation::Ask(ask) => ask(&plan).await,
            Confirmation::Given | Confirmation::Refuse => false,
        };
        if !agreed {
            return Err(SyncError::NotConfirmed {
                sync: context.name().to_owned(),
                plan: Box::new(plan),
            });
        }
    }
    agreed(context).await
}
