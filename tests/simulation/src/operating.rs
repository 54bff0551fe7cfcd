//! What operators do: decide about what waits, try again what failed, take back a run.

use samspel_model::store::{Conflict, Verdict, Waiting, subject};
use samspel_model::{RecordId, Side};
use samspel_sync::{Chosen, Operator, Silent, Sync, SyncError};
use tokio_util::sync::CancellationToken;

/// How many entries of a queue are looked at.
const LOOKED_AT: u32 = 50;

/// Decides about one thing that waits. `number` chooses it, and the verdict.
pub(crate) async fn operate(operator: &Operator, number: u32) -> Result<(), SyncError> {
    let store = &operator.store;
    let waiting = store
        .conflicts(&operator.sync, Waiting::All, 0, LOOKED_AT)
        .await?;
    let parked = store.parked(&operator.sync, 0, LOOKED_AT).await?;
    let (choice, way) = (number as usize / 8, number % 8);
    let count = waiting.len() + parked.len();
    if count == 0 {
        return Ok(());
    }
    match waiting.get(choice % count) {
        Some(conflict) => {
            let which = if subject::is_hold(&conflict.about) {
                Waiting::Holds
            } else {
                Waiting::Conflicts
            };
            let chosen = Chosen::Ids(vec![conflict.id()]);
            operator
                .decide(which, &chosen, &verdict(conflict, way))
                .await?;
        }
        None => {
            if let Some(parked) = parked.get(choice % count - waiting.len()) {
                let chosen = Chosen::Ids(vec![parked.id()]);
                if way < 6 {
                    operator.retry_parked(&chosen).await?;
                } else {
                    operator.drop_parked(&chosen).await?;
                }
            }
        }
    }
    Ok(())
}

/// What somebody says about a question.
fn verdict(conflict: &Conflict, way: u32) -> Verdict {
    match conflict.about.as_str() {
        subject::MERGE => Verdict::Reject,
        subject::IDENTITY => {
            // One of the records that are named: those of the other side have its letter.
            let own = conflict.record.as_str().chars().next();
            let other = conflict
                .detail
                .get("records")
                .and_then(|records| records.as_array())
                .into_iter()
                .flatten()
                .filter_map(|record| record.as_str())
                .find(|record| record.chars().next() != own);
            match other {
                Some(record) if way < 5 => Verdict::Link(RecordId::from(record)),
                _ => Verdict::Reject,
            }
        }
        about if subject::is_hold(about) => {
            if way < 5 {
                Verdict::Approve
            } else {
                Verdict::Reject
            }
        }
        _ => Verdict::Take(if way < 4 { Side::A } else { Side::B }),
    }
}

/// Takes back a run: the last, or one before it.
pub(crate) async fn undo(
    sync: &Sync,
    operator: &Operator,
    back: u32,
    stop: CancellationToken,
) -> Result<(), SyncError> {
    let runs = operator.store.runs(&operator.sync, back + 1).await?;
    if let Some(run) = runs.get(back as usize) {
        sync.undo(&run.id, &Silent, stop).await?;
    }
    Ok(())
}
