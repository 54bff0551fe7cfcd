//! Progress of long operations, as server-sent events: `progress` while it is under way, then one `result` or
//! `problem`.

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream;
use samspel_sync::{Progress, Snapshot};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::offer::Outcome;
use crate::problem::Problem;

/// A run tells more often than anybody can read.
const PAUSE: Duration = Duration::from_millis(200);
/// Who waits hears at least so often that there is still somebody.
const ALIVE: Duration = Duration::from_secs(10);

/// Keeps what was told last.
struct Last(watch::Sender<Option<Snapshot>>);

impl Progress for Last {
    fn update(&self, snapshot: &Snapshot) {
        self.0.send_replace(Some(*snapshot));
    }
}

/// Begins something and answers with what it tells.
pub(super) fn follow<F, D>(begin: F) -> Response
where
    F: FnOnce(Box<dyn Progress>) -> D,
    D: Future<Output = Outcome> + Send + 'static,
{
    let (told, mut heard) = watch::channel(None);
    let (events, taken) = mpsc::channel(4);
    let done = begin(Box::new(Last(told)));
    tokio::spawn(async move {
        tokio::pin!(done);
        loop {
            let since = Instant::now();
            tokio::select! {
                biased;
                outcome = &mut done => {
                    // Nobody may be left to hear it.
                    let _ = events.send(last(outcome)).await;
                    return;
                }
                Ok(()) = heard.changed() => {
                    let snapshot = *heard.borrow_and_update();
                    if let Some(snapshot) = snapshot
                        && let Ok(event) = Event::default().event("progress").json_data(snapshot)
                    {
                        // A listener who is slow misses some, and one who is gone all.
                        let _ = events.try_send(event);
                    }
                    tokio::select! {
                        biased;
                        outcome = &mut done => {
                            let _ = events.send(last(outcome)).await;
                            return;
                        }
                        () = tokio::time::sleep_until(since + PAUSE) => {}
                    }
                }
            }
        }
    });
    let events = stream::unfold(taken, async |mut taken| {
        let event = taken.recv().await?;
        Some((Ok::<_, Infallible>(event), taken))
    });
    Sse::new(events)
        .keep_alive(KeepAlive::new().interval(ALIVE))
        .into_response()
}

fn last(outcome: Outcome) -> Event {
    match outcome {
        Ok(text) => Event::default().event("result").data(text),
        Err(error) => Event::default()
            .event("problem")
            .data(Problem::from(&error).text()),
    }
}
