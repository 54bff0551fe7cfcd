//! Runs a world to its end on the current thread.
//!
//! The production code spawns with `tokio::spawn`, waits on tokio's locks and selects with its macros, and shall run
//! here unchanged. So the executor is tokio's own current-thread runtime, without its drivers for time and input: it
//! polls tasks in the order in which they were woken, and that order follows from the seed alone. What it lacks is a
//! clock. Its hook `on_thread_park` is called when no task can run; the hook moves the virtual time to the next timer
//! and wakes whoever waits for it. After the hook the runtime looks at its queue again and does not park if something
//! is in it (`Context::park` in `runtime/scheduler/current_thread`). The hook always wakes the world's own future too,
//! so that the thread never parks: where there is neither a task to run nor a timer, the world is stuck, and that is
//! said instead of hanging.
//!
//! A run is not `Send` (it waits for tasks of its own in one set), so that the driver and the runs are tasks of a
//! [`LocalSet`] on that runtime; what a run spawns are tasks of the runtime itself, as in production.
//!
//! tokio's paused clock does the same for `tokio::time`, and is of no use here: the host waits through the port
//! `Clock`, and with SQLite the paused clock would run ahead while the database's own thread works.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;

use thiserror::Error;
use tokio::task::LocalSet;

use crate::time::SimClock;

/// Why a world did not come to its end.
#[derive(Debug, Error)]
pub(crate) enum Halt {
    /// Nothing can run, and nothing waits for the time.
    #[error("nothing can run any more, and nothing waits for the time")]
    Stuck,
    /// Somebody asked for the end.
    #[error("stopped")]
    Stopped,
    /// It panicked.
    #[error("panicked: {0}")]
    Panicked(String),
    /// The runtime could not be made.
    #[error("tokio's runtime could not be made: {0}")]
    Runtime(std::io::Error),
}

/// Runs a future, and what it spawns, in virtual time. `stop` is asked each time the time moves.
pub(crate) fn run<T: 'static>(
    clock: &Arc<SimClock>,
    stop: impl Fn() -> bool,
    world: impl Future<Output = T> + 'static,
) -> Result<T, Halt> {
    let hook = Arc::clone(clock);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .on_thread_park(move || hook.advance())
        .build()
        .map_err(Halt::Runtime)?;
    LocalSet::new().block_on(&runtime, async {
        let mut world = tokio::task::spawn_local(world);
        poll_fn(|context| {
            clock.watch(context.waker());
            if stop() {
                return Poll::Ready(Err(Halt::Stopped));
            }
            if let Poll::Ready(ended) = Future::poll(std::pin::Pin::new(&mut world), context) {
                return Poll::Ready(ended.map_err(|error| Halt::Panicked(message(error))));
            }
            if clock.is_stuck() {
                return Poll::Ready(Err(Halt::Stuck));
            }
            Poll::Pending
        })
        .await
    })
}

/// What a task said when it panicked.
pub(crate) fn message(error: tokio::task::JoinError) -> String {
    match error.try_into_panic() {
        Ok(panic) => panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "without a word".to_owned()),
        Err(error) => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_passes_at_once_and_in_order() {
        let clock = Arc::new(SimClock::default());
        let inner = Arc::clone(&clock);
        let order = run(&clock, || false, async move {
            let late = inner.sleep(3_600_000);
            let early = inner.sleep(5);
            let clock = Arc::clone(&inner);
            let spawned = tokio::spawn(async move {
                early.await;
                clock.now()
            });
            late.await;
            (spawned.await.ok(), inner.now())
        });
        assert_eq!(order.ok(), Some((Some(5), 3_600_000)));
    }

    #[test]
    fn a_world_in_which_nothing_can_happen_is_stuck_and_does_not_hang() {
        let clock = Arc::new(SimClock::default());
        let ended = run(&clock, || false, std::future::pending::<()>());
        assert!(matches!(ended, Err(Halt::Stuck)));
    }

    #[test]
    fn a_timer_that_was_dropped_does_not_move_the_time() {
        let clock = Arc::new(SimClock::default());
        let inner = Arc::clone(&clock);
        let ended = run(&clock, || false, async move {
            {
                let mut dropped = std::pin::pin!(inner.sleep(1_000));
                assert!(futures::poll!(&mut dropped).is_pending());
            }
            inner.sleep(7).await;
            inner.now()
        });
        assert_eq!(ended.ok(), Some(7));
    }
}
