//! Webhooks: how both simulators deliver what they have to tell.
//!
//! A change puts events into an `Outbox`, in the order of the changes; a background task of the server takes them out,
//! as many as the vendor sends in one request, and posts them. The outbox holds [`CAPACITY`] events; what comes beyond
//! is counted and not sent, which no vendor documents and no test should reach.
//!
//! What happens on the way is a switch, [`HookQuirks`], which both vendors share; what the vendors say about themselves
//! (how many events in a request, how many requests at once, how often a failed one is repeated) is in `Habits`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use reqwest::{Client, RequestBuilder, redirect};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock::Millis;
use crate::vendor::Vendor;

/// How many events may wait, be under way or wait to be repeated.
pub const CAPACITY: usize = 100_000;

/// What happens to webhooks on their way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HookQuirks {
    /// Every event leaves this many milliseconds late.
    pub delay_ms: u64,
    /// The share of events that never leave, 0.0 to 1.0.
    pub lost: f64,
    /// The share of events that are sent twice, in two requests.
    pub duplicated: f64,
    /// The share of events that are held back for `held_back_ms`, so that later ones arrive before them.
    pub reordered: f64,
    /// How long those are held back, in milliseconds.
    pub held_back_ms: u64,
    /// How long after a failure a request is repeated; each further time it is so much longer. The vendors take hours.
    pub retry_ms: u64,
    /// How often a request is repeated; absent means as often as the vendor does.
    pub retries: Option<u32>,
    /// How far the time that a request says it was sent at is from the machine's clock, in milliseconds. The
    /// simulator's own clock is left out: a test that moves it would make every signature one of another day.
    pub skew_ms: i64,
}

impl Default for HookQuirks {
    fn default() -> Self {
        Self {
            delay_ms: 0,
            lost: 0.0,
            duplicated: 0.0,
            reordered: 0.0,
            held_back_ms: 300,
            retry_ms: 1_000,
            retries: None,
            skew_ms: 0,
        }
    }
}

/// What became of events and requests.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HookStats {
    /// Events that were to be told.
    pub events: u64,
    /// Requests that were sent, repeated ones included.
    pub requests: u64,
    /// Requests that were answered with 2xx in time.
    pub accepted: u64,
    /// Those that were not.
    pub failed: u64,
    /// Requests that repeated one that had failed.
    pub retried: u64,
    /// Events that arrived; one that was sent twice counts twice.
    pub delivered: u64,
    /// Events that were given up after the last repetition, or because nobody listens any more.
    pub given_up: u64,
    /// Events that a switch had sent twice.
    pub duplicated: u64,
    /// Events that a switch had held back.
    pub held_back: u64,
    /// Events that a switch had lost.
    pub lost: u64,
    /// Events for which there was no room.
    pub overflowed: u64,
    /// Events that wait or are under way.
    pub waiting: usize,
    /// The most requests that were under way at once.
    pub peak_in_flight: usize,
}

/// What a vendor does with its webhooks.
#[derive(Debug, Clone)]
pub(crate) struct Habits {
    /// The most events of one request.
    pub(crate) batch: usize,
    /// The requests that may be under way at once.
    pub(crate) slots: Arc<Semaphore>,
    /// How long an answer may take.
    pub(crate) timeout: Duration,
    /// How often a failed request is repeated.
    pub(crate) retries: u32,
}

/// A vendor that sends webhooks.
pub(crate) trait Carrier: Vendor {
    /// One thing to tell.
    type Event: Clone + Send + Sync + 'static;

    fn outbox(&self) -> &Outbox<Self::Event>;

    fn habits(&self) -> Habits;

    /// The request that tells these events; `None`: nobody listens any more.
    fn request(
        &self,
        client: &Client,
        events: &[Self::Event],
        attempt: u32,
        sent_at: Millis,
    ) -> Option<RequestBuilder>;
}

/// Events on their way out.
#[derive(Debug)]
pub(crate) struct Outbox<E> {
    sender: UnboundedSender<E>,
    receiver: Mutex<UnboundedReceiver<E>>,
    client: OnceLock<Client>,
    in_flight: AtomicUsize,
    seed: u64,
}

impl<E> Outbox<E> {
    /// Switches that go by chance draw from `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        let (sender, receiver) = unbounded_channel();
        Self {
            sender,
            receiver: Mutex::new(receiver),
            client: OnceLock::new(),
            in_flight: AtomicUsize::new(0),
            seed,
        }
    }

    /// What speaks to addresses that users entered.
    pub(crate) fn client(&self) -> &Client {
        self.client.get_or_init(|| {
            Client::builder()
                .no_proxy()
                .redirect(redirect::Policy::none())
                .build()
                .unwrap_or_default()
        })
    }
}

/// Puts events into the outbox.
pub(crate) fn tell<C: Carrier>(carrier: &C, events: impl IntoIterator<Item = C::Event>) {
    let stats = &carrier.core().stats;
    for event in events {
        // The server holds the other end as long as the simulator lives, whether or not it is served right now.
        if stats.hook_waits() {
            let _ = carrier.outbox().sender.send(event);
        }
    }
}

/// Delivers until the server stops.
pub(crate) async fn deliver<C: Carrier>(carrier: C, stop: CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = deliver_all(&carrier) => {}
    }
}

async fn deliver_all<C: Carrier>(carrier: &C) {
    let mut inbox = carrier.outbox().receiver.lock().await;
    let mut rng = ChaCha8Rng::seed_from_u64(carrier.outbox().seed);
    let mut under_way = JoinSet::new();
    while let Some(first) = inbox.recv().await {
        while under_way.try_join_next().is_some() {}
        let habits = carrier.habits();
        // While all slots are taken, further events gather for the next request.
        let permit = slot(&habits.slots).await;
        let mut events = vec![first];
        while events.len() < habits.batch
            && let Ok(event) = inbox.try_recv()
        {
            events.push(event);
        }
        let settings = carrier.core().settings();
        let lots = draw(&mut rng, &settings.hooks, events);
        carrier.core().stats.hooks(|stats| {
            stats.lost += lots.lost as u64;
            stats.duplicated += lots.again.len() as u64;
            stats.held_back += lots.later.len() as u64;
        });
        carrier.core().stats.hooks_again(lots.again.len());
        carrier.core().stats.hooks_done(lots.lost);
        let delay = Duration::from_millis(settings.hooks.delay_ms);
        let held_back = delay + Duration::from_millis(settings.hooks.held_back_ms);
        // Whatever waits before it goes out takes no place meanwhile.
        let mut permit = permit.filter(|_| delay.is_zero());
        for (events, wait) in [
            (lots.now, delay),
            (lots.again, delay),
            (lots.later, held_back),
        ] {
            if !events.is_empty() {
                let permit = permit.take().filter(|_| wait.is_zero());
                let errand = Errand {
                    carrier: carrier.clone(),
                    events,
                    wait,
                };
                under_way.spawn(errand.run(permit));
            }
        }
    }
}

/// A place among the requests that may be under way.
async fn slot(slots: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    // A semaphore here is never closed; without a place the request would just go out.
    Arc::clone(slots).acquire_owned().await.ok()
}

/// What chance decided about events.
struct Lots<E> {
    now: Vec<E>,
    again: Vec<E>,
    later: Vec<E>,
    lost: usize,
}

fn draw<E: Clone>(rng: &mut ChaCha8Rng, quirks: &HookQuirks, events: Vec<E>) -> Lots<E> {
    let mut hit = |share: f64| share > 0.0 && rng.random_bool(share.min(1.0));
    let mut lots = Lots {
        now: Vec::with_capacity(events.len()),
        again: Vec::new(),
        later: Vec::new(),
        lost: 0,
    };
    for event in events {
        if hit(quirks.lost) {
            lots.lost += 1;
            continue;
        }
        if hit(quirks.duplicated) {
            lots.again.push(event.clone());
        }
        if hit(quirks.reordered) {
            lots.later.push(event);
        } else {
            lots.now.push(event);
        }
    }
    lots
}

/// Events that go out in one request, again and again until it is accepted.
struct Errand<C: Carrier> {
    carrier: C,
    events: Vec<C::Event>,
    wait: Duration,
}

impl<C: Carrier> Errand<C> {
    async fn run(self, mut permit: Option<OwnedSemaphorePermit>) {
        tokio::time::sleep(self.wait).await;
        let count = self.events.len();
        let stats = &self.carrier.core().stats;
        let mut attempt = 0;
        let delivered = loop {
            let habits = self.carrier.habits();
            let place = match permit.take() {
                Some(place) => Some(place),
                None => slot(&habits.slots).await,
            };
            match self.attempt(attempt, habits.timeout).await {
                None => break false,
                Some(true) => break true,
                Some(false) => {}
            }
            drop(place);
            let quirks = self.carrier.core().settings().hooks.clone();
            if attempt >= quirks.retries.unwrap_or(habits.retries) {
                break false;
            }
            attempt += 1;
            stats.hooks(|stats| stats.retried += 1);
            tokio::time::sleep(Duration::from_millis(quirks.retry_ms) * attempt).await;
        };
        stats.hooks(|stats| {
            let counter = if delivered {
                &mut stats.delivered
            } else {
                &mut stats.given_up
            };
            *counter += count as u64;
        });
        stats.hooks_done(count);
    }

    /// Was it accepted? `None`: nobody listens any more.
    async fn attempt(&self, attempt: u32, timeout: Duration) -> Option<bool> {
        let outbox = self.carrier.outbox();
        let core = self.carrier.core();
        let sent_at = Millis(Timestamp::now().as_millisecond()).plus(core.settings().hooks.skew_ms);
        let request = self
            .carrier
            .request(outbox.client(), &self.events, attempt, sent_at)?;
        let in_flight = outbox.in_flight.fetch_add(1, Ordering::AcqRel) + 1;
        core.stats.hooks(|stats| {
            stats.requests += 1;
            stats.peak_in_flight = stats.peak_in_flight.max(in_flight);
        });
        let answer = request.timeout(timeout).send().await;
        outbox.in_flight.fetch_sub(1, Ordering::AcqRel);
        let accepted = answer.is_ok_and(|answer| answer.status().is_success());
        core.stats.hooks(|stats| {
            if accepted {
                stats.accepted += 1;
            } else {
                stats.failed += 1;
            }
        });
        Some(accepted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lots(quirks: HookQuirks) -> Lots<u32> {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        draw(&mut rng, &quirks, (0..1_000).collect())
    }

    #[test]
    fn without_switches_everything_goes_out_once_and_in_order() {
        let lots = lots(HookQuirks::default());
        assert_eq!(lots.now, (0..1_000).collect::<Vec<_>>());
        assert_eq!((lots.again.len(), lots.later.len(), lots.lost), (0, 0, 0));
    }

    #[test]
    fn shares_are_about_what_they_say() {
        let lots = lots(HookQuirks {
            lost: 0.1,
            duplicated: 0.5,
            reordered: 0.2,
            ..HookQuirks::default()
        });
        assert_eq!(lots.now.len() + lots.later.len() + lots.lost, 1_000);
        assert!((60..=140).contains(&lots.lost), "{}", lots.lost);
        assert!((380..=520).contains(&lots.again.len()));
        assert!((120..=240).contains(&lots.later.len()));
    }
}
