//! How a run begins and ends: under a lease, agreed to where it is the first, and noted.

mod agreement;
mod lane;
mod work;

use std::sync::Arc;

use futures::future::BoxFuture;
use samspel_engine::spec::Mode;
use samspel_model::StoreError;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::SyncParts;
use crate::context::Context;
use crate::error::SyncError;
use crate::progress::Progress;
use crate::report::{PlanReport, RunReport};

use agreement::{approve, confirm, observe};
use work::{Purpose, Work};

pub use agreement::plan;

/// Shown a plan, says whether it is to be carried out.
pub type Confirm = Arc<dyn Fn(&PlanReport) -> BoxFuture<'static, bool> + Send + Sync>;

/// What happens before the first run of a sync writes anything.
#[derive(Clone)]
pub enum Confirmation {
    /// The operator agreed beforehand.
    Given,
    /// The plan is shown, and somebody is asked.
    Ask(Confirm),
    /// Nobody can be asked: the run ends with the plan.
    Refuse,
}

/// How a run is done.
#[derive(Clone)]
pub struct RunOptions {
    /// Read both sides completely, whatever the cursors say.
    pub full: bool,
    /// What happens before the first run writes anything. Later runs do not ask.
    pub confirmation: Confirmation,
    /// Carry out the plan with this hash and nothing else, or refuse.
    pub plan: Option<String>,
    /// Look at what waits in the store only: somebody told that records changed, and marked them there. Nothing else is
    /// read.
    pub told: bool,
}

impl RunOptions {
    /// A run on what changed.
    pub fn new(confirmation: Confirmation) -> Self {
        Self {
            full: false,
            confirmation,
            plan: None,
            told: false,
        }
    }
}

/// What a run reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// What changed.
    Changes,
    /// Everything.
    Everything,
    /// What it was told of.
    Hints,
    /// Nothing: what was read already is planned.
    Nothing,
}

/// Does a run. See [`crate::Sync::run`].
pub async fn run(
    parts: &Arc<SyncParts>,
    options: RunOptions,
    progress: &dyn Progress,
    stop: CancellationToken,
) -> Result<RunReport, SyncError> {
    let span = tracing::info_span!("run", sync = %parts.name);
    let told = options.told;
    under_lease(parts, told, async |context| {
        let state = context.store().state(context.name()).await?;
        if let Some(reason) = state.paused {
            return Err(SyncError::Paused {
                sync: context.name().to_owned(),
                reason,
            });
        }
        if context.parts.spec.mode == Mode::Observe {
            return observe(&context, options.full, progress, stop).await;
        }
        let mut reading = if told {
            Reading::Hints
        } else if options.full {
            Reading::Everything
        } else {
            Reading::Changes
        };
        if let Some(hash) = &options.plan {
            approve(&context, hash, options.full, progress, &stop).await?;
            reading = Reading::Nothing;
        } else if state.confirmed.is_none() {
            confirm(&context, &options, progress, &stop).await?;
        }
        let is_first = state.first_done.is_none();
        carry_out(&context, reading, is_first, progress, stop).await
    })
    .instrument(span)
    .await
}

/// Reads, plans, writes and settles, until nothing is left to do.
async fn carry_out(
    context: &Arc<Context>,
    reading: Reading,
    is_first: bool,
    progress: &dyn Progress,
    stop: CancellationToken,
) -> Result<RunReport, SyncError> {
    let mut work = Work::open(context, reading, is_first, progress, stop).await?;
    work.recover().await?;
    work.begin().await?;
    let ended = work.until_done(Purpose::Sync).await;
    // What happened until then is told in any case.
    let finished = work.finish().await;
    let done = ended.and(finished);
    let stored = work.end(done.as_ref().err().map(ToString::to_string)).await;
    done?;
    stored?;
    Ok(work.report)
}

/// Plans and writes what is in the queue already. See [`crate::Sync::verify`].
pub async fn carry_out_queue(
    context: &Arc<Context>,
    progress: &dyn Progress,
    stop: CancellationToken,
) -> Result<RunReport, SyncError> {
    let is_first = is_first(context).await?;
    carry_out(context, Reading::Nothing, is_first, progress, stop).await
}

/// Whether the first sync is not complete yet.
async fn is_first(context: &Context) -> Result<bool, SyncError> {
    let state = context.store().state(context.name()).await?;
    Ok(state.first_done.is_none())
}

/// Takes the lease, makes the sync known, asks the accounts what they offer, and keeps the lease while the work goes
/// on.
///
/// `trust`: what they were last found to offer is taken as it is, if that is known.
pub async fn under_lease<T>(
    parts: &Arc<SyncParts>,
    trust: bool,
    work: impl AsyncFnOnce(Arc<Context>) -> Result<T, SyncError>,
) -> Result<T, SyncError> {
    let store = &parts.store;
    let lease = store
        .acquire_lease(
            &parts.name,
            &parts.owner,
            parts.clock.now(),
            parts.lease_ttl,
        )
        .await?;
    let working = async {
        // Who knows what the accounts offer has made the sync known.
        if !trust || parts.offers.known(parts).is_none() {
            store
                .register(
                    &parts.name,
                    &parts.parties.each_ref().map(|party| party.endpoint.clone()),
                )
                .await?;
        }
        let context = Arc::new(Context::open(parts, lease.clone(), trust).await?);
        work(context).await
    };
    let heartbeat = async {
        loop {
            parts.clock.sleep(parts.lease_ttl / 3).await;
            if let Err(error) = store
                .renew_lease(&lease, parts.clock.now(), parts.lease_ttl)
                .await
            {
                // Whoever took the lease finds out what became of writes under way; nothing more may be sent here.
                if matches!(error, StoreError::LeaseLost { .. }) {
                    break Err(SyncError::Store(error));
                }
                // Another failure of the store may pass; if not, the next commit meets it.
                tracing::warn!(%error, "the lease could not be renewed");
            }
        }
    };
    let result = tokio::select! {
        biased;
        result = working => result,
        lost = heartbeat => lost,
    };
    store.release_lease(&lease).await?;
    result
}

/// Reads both sides completely and stores what they hold.
pub async fn read_everything(
    context: &Arc<Context>,
    progress: &dyn Progress,
    stop: CancellationToken,
) -> Result<crate::report::Sides, SyncError> {
    let is_first = is_first(context).await?;
    let mut work = Work::open(context, Reading::Everything, is_first, progress, stop).await?;
    work.recover().await?;
    work.until_done(Purpose::Read).await?;
    Ok(work.report.read)
}
