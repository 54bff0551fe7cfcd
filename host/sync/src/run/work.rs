//! The event loop of a run. Reading both sides, planning, and writing to both sides overlap; everything that takes
//! time is a future in one set, and everything that decides what happens next is here.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use jiff::SignedDuration;
use samspel_engine::valve::Meter;
use samspel_model::intent::Intent;
use samspel_model::store::{Change, RunRecord, Step};
use samspel_model::{Guard, LinkId, RecordId, Side};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use super::Reading;
use super::lane::Lane;
use crate::accounts::Ledger;
use crate::context::Context;
use crate::error::SyncError;
use crate::outbox::Kind;
use crate::planner::{Known, Planned, Preview, Removals, plan_batch, skip_name};
use crate::progress::{Phase, Progress, Snapshot};
use crate::reader::{ReadPage, Reader, Stored};
use crate::recovery;
use crate::report::RunReport;
use crate::retry;
use crate::writer::{self, Wrote, write_batch};

/// Write calls under way per side. More would only wait at the account's own limit of concurrent requests.
const WRITERS: usize = 4;
/// Pages that are read and not stored, per side.
const PAGES_AHEAD: usize = 2;
/// Writes that are decided and not settled, on both sides: what bounds the memory of a run.
const DECIDED_AHEAD: usize = 2_000;
/// A run on what it was told of gives its turn up after so long: where somebody tells of changes all the time, it would
/// never end.
const TURN: SignedDuration = SignedDuration::from_secs(10);
/// So many runs of a sync are remembered. A service that is told of changes makes several a second.
const RUNS_KEPT: u32 = 10_000;
/// A record whose write is given up so often in a run is left for the next one.
const ABANDONED_OFTEN: u32 = 3;
/// So many calls in a row that were stopped although they carried one record each: it is not the records.
const STOPPED_OFTEN: u32 = 3;

enum Event {
    Read(Side, Box<Reader>, Result<ReadPage, SyncError>),
    Stored(Side, Result<Stored, SyncError>),
    Missing(Side, Box<Reader>, Result<Stored, SyncError>),
    Planned(Result<Planned, SyncError>),
    Wrote {
        side: Side,
        kind: Kind,
        size: usize,
        took: Duration,
        result: Result<Wrote, SyncError>,
    },
    Again(Side, Vec<Intent>),
    Left(Result<Wrote, SyncError>),
}

/// What is done with what was read.
pub enum Purpose<'a> {
    /// It is planned and written.
    Sync,
    /// It is planned and shown.
    Preview(&'a mut Preview),
    /// Nothing.
    Read,
}

pub struct Work<'a> {
    context: Arc<Context>,
    progress: &'a dyn Progress,
    stop: CancellationToken,
    lanes: [Lane; 2],
    events: FuturesUnordered<BoxFuture<'static, Event>>,
    planning: bool,
    /// Where the planner continues in the queue of dirty records.
    after: u64,
    /// The planner saw the end of the queue, and nothing was stored or settled since.
    exhausted: bool,
    /// Something new was stored or settled while a batch was being planned.
    news: bool,
    /// Writes were settled while a batch was being planned.
    settled: bool,
    /// Records that waited can be planned: the planner starts over.
    restart: bool,
    waiting_for_reading: u64,
    waiting_for_writes: u64,
    /// Links of which a record is to be taken away, once everything else was planned.
    waiting_removals: HashSet<LinkId>,
    reading: Reading,
    removals: Removals,
    pub meter: Meter,
    ledger: Ledger,
    given_up: HashSet<(Side, RecordId)>,
    abandoned: HashMap<(Side, RecordId), u32>,
    /// The run ends as soon as what is under way is settled.
    failed: Option<SyncError>,
    decided: u64,
    written: u64,
    started: jiff::Timestamp,
    pub report: RunReport,
}

impl<'a> Work<'a> {
    /// `is_first`: the first sync is not complete yet.
    pub async fn open(
        context: &Arc<Context>,
        reading: Reading,
        is_first: bool,
        progress: &'a dyn Progress,
        stop: CancellationToken,
    ) -> Result<Work<'a>, SyncError> {
        let lanes = [
            Lane::open(context, Side::A, reading).await?,
            Lane::open(context, Side::B, reading).await?,
        ];
        // A run on what it was told of looks at a few records; counting all links would take longer than all else.
        let links = match reading {
            Reading::Hints => None,
            _ => Some(context.store().counts(context.name()).await?.links),
        };
        Ok(Work {
            context: Arc::clone(context),
            progress,
            stop,
            lanes,
            events: FuturesUnordered::new(),
            planning: false,
            after: 0,
            exhausted: false,
            news: false,
            settled: false,
            restart: false,
            waiting_for_reading: 0,
            waiting_for_writes: 0,
            waiting_removals: HashSet::new(),
            reading,
            removals: Removals::Count,
            meter: Meter::new(context.parts.spec.valves, links, is_first),
            ledger: Ledger::default(),
            given_up: HashSet::new(),
            abandoned: HashMap::new(),
            failed: None,
            decided: 0,
            written: 0,
            started: context.now(),
            report: RunReport {
                run: context.run.clone(),
                ..RunReport::default()
            },
        })
    }

    pub async fn recover(&mut self) -> Result<(), SyncError> {
        self.tell(Phase::Starting);
        for tally in recovery::recover(&self.context).await? {
            self.report.abandoned += tally.abandoned;
            self.report.parked += tally.parked;
        }
        Ok(())
    }

    /// Works until nothing is left to do, or until the run must end and what is under way is settled.
    pub async fn until_done(&mut self, mut purpose: Purpose<'_>) -> Result<(), SyncError> {
        let stop = self.stop.clone();
        loop {
            if self.ending() {
                self.leave_unsent();
            } else {
                self.read();
                match &mut purpose {
                    Purpose::Sync => self.start_planning(),
                    Purpose::Preview(preview) => self.preview(preview).await?,
                    Purpose::Read => {}
                }
            }
            self.store_pages();
            self.write();
            let phase = if self
                .lanes
                .iter()
                .any(|lane| lane.reader.as_ref().is_some_and(Reader::is_comparing))
            {
                Phase::Comparing
            } else {
                Phase::Syncing
            };
            self.tell(phase);
            if self.events.is_empty() {
                if self.decide_removals() {
                    continue;
                }
                break;
            }
            let event = if stop.is_cancelled() {
                self.events.next().await
            } else {
                tokio::select! {
                    biased;
                    event = self.events.next() => event,
                    () = stop.cancelled() => {
                        tracing::info!("stopping: writes under way are settled first");
                        continue;
                    }
                }
            };
            if let Some(event) = event {
                self.handle(event);
            }
        }
        self.report.stopped = stop.is_cancelled();
        match self.failed.take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn ending(&self) -> bool {
        self.failed.is_some() || self.stop.is_cancelled()
    }

    // ---- reading -------------------------------------------------------------------------------------------------

    fn read(&mut self) {
        for side in Side::BOTH {
            let lane = &mut self.lanes[side.index()];
            if lane.pages.len() >= PAGES_AHEAD {
                continue;
            }
            let Some(reader) = lane.reader.take() else {
                continue;
            };
            if reader.is_done() {
                lane.done = lane.pages.is_empty() && !lane.storing;
                lane.reader = Some(reader);
                continue;
            }
            let context = Arc::clone(&self.context);
            if reader.asks_for_missing() {
                if !lane.pages.is_empty() || lane.storing {
                    lane.reader = Some(reader);
                    continue;
                }
                let span = tracing::debug_span!("missing", %side);
                self.spawn(
                    async move {
                        let mut reader = reader;
                        let stored = reader.store_missing(&context).await;
                        Event::Missing(side, Box::new(reader), stored)
                    }
                    .instrument(span),
                );
            } else {
                let span = tracing::debug_span!("page", %side);
                self.spawn(
                    async move {
                        let page = reader.read(&context).await;
                        Event::Read(side, Box::new(reader), page)
                    }
                    .instrument(span),
                );
            }
        }
    }

    fn store_pages(&mut self) {
        for side in Side::BOTH {
            let lane = &mut self.lanes[side.index()];
            if lane.storing {
                continue;
            }
            let Some((at, page, behind)) = lane.pages.pop_front() else {
                continue;
            };
            lane.storing = true;
            let context = Arc::clone(&self.context);
            self.spawn(async move { Event::Stored(side, at.store(&context, page, &behind).await) });
        }
    }

    // ---- planning ------------------------------------------------------------------------------------------------

    fn known(&self) -> Known {
        let hinted = self.reading == Reading::Hints;
        Known {
            caught_up: Side::BOTH.map(|side| self.lanes[side.index()].done && !hinted),
            hinted,
            removals: self.removals,
        }
    }

    /// Everything else is done: all removals are carried out, or all are held. Whether there are any.
    fn decide_removals(&mut self) -> bool {
        if self.ending() || self.waiting_removals.is_empty() || self.removals != Removals::Count {
            return false;
        }
        self.removals = if self
            .meter
            .allows_removals(self.waiting_removals.len() as u64)
        {
            Removals::Carry
        } else {
            Removals::Hold
        };
        self.start_over();
        true
    }

    /// Plans everything that was read. Nothing is stored, so that nothing is gained by beginning earlier.
    async fn preview(&mut self, preview: &mut Preview) -> Result<(), SyncError> {
        if !self.lanes.iter().all(|lane| lane.done) {
            return Ok(());
        }
        let known = self.known();
        while !self.exhausted && !self.stop.is_cancelled() {
            let planned = plan_batch(
                &self.context,
                self.after,
                known,
                &self.meter,
                &self.given_up,
                Some(&mut *preview),
            )
            .await?;
            if let Some(meter) = planned.meter {
                self.meter = meter;
            }
            self.after = planned.after;
            self.exhausted = planned.exhausted;
            self.report.planned += planned.tally.planned;
        }
        Ok(())
    }

    fn start_planning(&mut self) {
        if self.planning || self.exhausted {
            return;
        }
        let took = self.context.now().duration_since(self.started);
        if self.reading == Reading::Hints && took >= TURN {
            // Where it came to nothing, the remote is slow: asking again at once would not help.
            self.report.turn_over = self.report.planned > 0;
            return;
        }
        let ahead: usize = self
            .lanes
            .iter()
            .map(|lane| lane.outbox.len() + lane.sending + lane.resting)
            .sum();
        if ahead >= DECIDED_AHEAD {
            return;
        }
        self.planning = true;
        self.news = false;
        self.settled = false;
        let context = Arc::clone(&self.context);
        let (after, known, meter) = (self.after, self.known(), self.meter.clone());
        let given_up = self.given_up.clone();
        self.spawn(async move {
            Event::Planned(plan_batch(&context, after, known, &meter, &given_up, None).await)
        });
    }

    /// Something new is to be planned.
    fn look_again(&mut self) {
        self.exhausted = false;
        self.news = true;
    }

    /// Records that waited can be planned now, from the start of the queue.
    fn start_over(&mut self) {
        self.waiting_for_reading = 0;
        self.waiting_for_writes = 0;
        self.waiting_removals.clear();
        self.after = 0;
        self.restart = self.planning;
        self.look_again();
    }

    // ---- writing -------------------------------------------------------------------------------------------------

    fn write(&mut self) {
        let more_to_come = !self.ending() && (self.planning || !self.exhausted);
        for side in Side::BOTH {
            loop {
                let lane = &mut self.lanes[side.index()];
                if lane.writers.len() >= WRITERS && Guard::CallsAreBounded.stands() {
                    break;
                }
                // Small calls are worth it only where no other of their kind is under way.
                let writers = &lane.writers;
                let batch = lane.outbox.next_call(lane.batch.min(lane.most), |kind| {
                    more_to_come && writers.contains(&kind)
                });
                let Some(kind) = batch.first().map(Kind::of) else {
                    break;
                };
                lane.writers.push(kind);
                lane.sending += batch.len();
                self.report.batches.add(side, 1);
                let context = Arc::clone(&self.context);
                let size = batch.len();
                let span = tracing::debug_span!("write", %side, items = size);
                self.spawn(
                    async move {
                        let began = context.now();
                        let result = write_batch(&context, side, batch).await;
                        let took = context.now().duration_since(began).unsigned_abs();
                        Event::Wrote {
                            side,
                            kind,
                            size,
                            took,
                            result,
                        }
                    }
                    .instrument(span),
                );
            }
        }
    }

    fn enqueue(&mut self, intents: Vec<Intent>) {
        self.decided += intents.len() as u64;
        for intent in intents {
            self.lanes[intent.target.index()].outbox.push(intent);
        }
    }

    /// Writes that were certainly not applied wait and are sent again, or are left for the next run.
    fn put_off(&mut self, side: Side, retry: Vec<(Intent, Option<Duration>)>) {
        if retry.is_empty() {
            return;
        }
        let mut again = Vec::new();
        let mut given_up = Vec::new();
        let mut wait = Duration::ZERO;
        for (intent, asked) in retry {
            let count = self.lanes[side.index()]
                .put_off
                .entry(intent.id.clone())
                .or_default();
            *count += 1;
            let backoff = retry::waits(self.context.ids()).nth(*count - 1);
            match backoff {
                Some(backoff) if !self.ending() => {
                    wait = wait.max(asked.unwrap_or(backoff));
                    again.push(intent);
                }
                _ => given_up.push(intent),
            }
        }
        if !again.is_empty() {
            self.lanes[side.index()].resting += again.len();
            let context = Arc::clone(&self.context);
            self.spawn(async move {
                context.clock().sleep(wait).await;
                Event::Again(side, again)
            });
        }
        self.leave(side, given_up, "the remote kept asking for patience");
    }

    /// Leaves writes that were not sent, or not applied, for the next run.
    fn leave(&mut self, side: Side, intents: Vec<Intent>, why: &'static str) {
        if intents.is_empty() {
            return;
        }
        for intent in &intents {
            self.given_up
                .insert((side.other(), intent.source_record.clone()));
            if let Some(id) = intent.effect.target_record() {
                self.given_up.insert((side, id.clone()));
            }
        }
        let context = Arc::clone(&self.context);
        self.spawn(async move { Event::Left(writer::give_up(&context, side, intents, why).await) });
    }

    // ---- events --------------------------------------------------------------------------------------------------

    /// Lets something go on beside the loop, on another thread where there is one. It ends with the run.
    fn spawn(&self, future: impl Future<Output = Event> + Send + 'static) {
        let task = AbortOnDropHandle::new(tokio::spawn(future.in_current_span()));
        self.events.push(Box::pin(async move {
            match task.await {
                Ok(event) => event,
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    // Tasks are only aborted when nobody waits for them any more.
                    Err(_) => std::future::pending().await,
                },
            }
        }));
    }

    fn fail(&mut self, error: SyncError) {
        tracing::error!(%error, "the run ends");
        if self.failed.is_none() {
            self.failed = Some(error);
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Read(side, at, Ok(page)) => match at.successor(&self.context, &page) {
                Ok(behind) => {
                    let lane = &mut self.lanes[side.index()];
                    lane.reader = Some(behind.clone());
                    lane.pages.push_back((*at, page, behind));
                }
                Err(error) => self.fail(error),
            },
            Event::Stored(side, Ok(stored)) => {
                self.lanes[side.index()].storing = false;
                self.read_some(side, stored);
            }
            Event::Missing(side, reader, Ok(stored)) => {
                self.lanes[side.index()].reader = Some(*reader);
                self.read_some(side, stored);
            }
            Event::Planned(Ok(planned)) => self.planned(planned),
            Event::Wrote {
                side,
                kind,
                size,
                took,
                result,
            } => {
                let lane = &mut self.lanes[side.index()];
                lane.sent(kind, size);
                match result {
                    Ok(wrote) => self.wrote(side, size, took, wrote),
                    Err(error) => self.fail(error),
                }
            }
            Event::Again(side, intents) => {
                let lane = &mut self.lanes[side.index()];
                lane.resting -= intents.len();
                lane.outbox.push_again(intents);
            }
            Event::Left(Ok(left)) => self.close(&left),
            Event::Left(Err(error)) => {
                tracing::error!(%error, "writes that were not sent stay stored; the next run looks at them");
            }
            Event::Read(_, _, Err(error))
            | Event::Stored(_, Err(error))
            | Event::Missing(_, _, Err(error)) => self.fail(error),
            Event::Planned(Err(error)) => {
                self.planning = false;
                self.fail(error);
            }
        }
    }

    fn leave_unsent(&mut self) {
        for side in Side::BOTH {
            let unsent = self.lanes[side.index()].outbox.drain();
            self.leave(side, unsent, "the run ended before it was sent");
        }
    }

    fn read_some(&mut self, side: Side, stored: Stored) {
        self.report.read.add(side, stored.read);
        self.report.changed.add(side, stored.changed);
        if stored.news {
            self.look_again();
        }
        let lane = &mut self.lanes[side.index()];
        let read_out = lane.reader.as_ref().is_some_and(Reader::is_done)
            && lane.pages.is_empty()
            && !lane.storing;
        if read_out && !lane.done {
            lane.done = true;
            if self.waiting_for_reading > 0 || self.planning {
                self.start_over();
            }
        }
    }

    fn planned(&mut self, planned: Planned) {
        self.planning = false;
        let restart = std::mem::take(&mut self.restart);
        let news = std::mem::take(&mut self.news);
        self.after = if restart { 0 } else { planned.after };
        self.exhausted = planned.exhausted && !restart && !news;
        self.waiting_for_reading += planned.waiting_for_reading;
        self.waiting_for_writes += planned.waiting_for_writes;
        if !restart {
            self.waiting_removals.extend(planned.waiting_removals);
        }
        if let Some(meter) = planned.meter {
            self.meter = meter;
        }
        self.ledger.planned(planned.tally.planned, &planned.rows);
        let tally = planned.tally;
        self.report.planned += tally.planned;
        self.report.linked += tally.linked;
        self.report.noop += planned.rows.iter().filter(|row| row.is_at_rest()).count() as u64;
        self.report.holds += tally.holds;
        self.report.conflicts += tally.conflicts;
        self.report.parked += tally.parked;
        for (reason, number) in tally.filtered {
            *self.report.filtered.entry(skip_name(reason)).or_default() += number;
        }
        self.enqueue(planned.intents);
        if self.settled && self.waiting_for_writes > 0 {
            self.start_over();
        }
    }

    fn wrote(&mut self, side: Side, size: usize, took: Duration, wrote: Wrote) {
        self.lanes[side.index()].learn(size, took, wrote.stopped.is_some());
        let tally = wrote.tally;
        self.report.created.add(side, tally.created);
        self.report.updated.add(side, tally.updated);
        self.report.removed.add(side, tally.removed);
        self.report.abandoned += tally.abandoned;
        self.report.parked += tally.parked;
        self.report.suppressed += tally.suppressed;
        self.report.conflicts += tally.conflicts;
        self.written += wrote.closed.len() as u64;
        for (intent, _) in &wrote.closed {
            self.lanes[side.index()].put_off.remove(&intent.id);
        }
        self.close(&wrote);
        for record in wrote.abandoned {
            let count = self.abandoned.entry(record.clone()).or_default();
            *count += 1;
            if *count >= ABANDONED_OFTEN {
                self.given_up.insert(record);
            }
        }
        self.given_up.extend(wrote.given_up);
        self.put_off(side, wrote.retry);
        if let Some(error) = wrote.failed {
            self.fail(error);
        }
        if let Some(failure) = wrote.stopped
            && self.lanes[side.index()].stopped >= STOPPED_OFTEN
        {
            self.fail(self.context.account(side, failure));
        }
        // Settling may have marked records, and set free those that waited for it.
        self.look_again();
        self.settled = true;
        if self.waiting_for_writes > 0 {
            self.start_over();
        }
    }

    // ---- telling -------------------------------------------------------------------------------------------------

    fn tell(&self, phase: Phase) {
        let read = self.report.read;
        self.progress.update(&Snapshot {
            phase,
            read: [read.a, read.b],
            read_done: Side::BOTH.map(|side| self.lanes[side.index()].done),
            planned: self.report.planned,
            decided: self.decided,
            written: self.written,
        });
    }

    /// Writes ended: the records that led to them are accounted for.
    fn close(&mut self, wrote: &Wrote) {
        for (intent, closing) in &wrote.closed {
            self.ledger.closed(&intent.id, *closing);
        }
    }

    pub async fn finish(&mut self) -> Result<(), SyncError> {
        let report = &mut self.report;
        report.writes = report.created.sum() + report.updated.sum() + report.removed.sum();
        let queued = self.context.store().queued(self.context.name()).await?;
        report.pending = queued;
        report.accounts = self.ledger.accounts(queued);
        report.seconds = self
            .context
            .now()
            .duration_since(self.started)
            .as_secs_f64();
        let balance = report.accounts.balance();
        self.tell(Phase::Finished);
        if !balance {
            return Err(SyncError::Unbalanced {
                sync: self.context.name().to_owned(),
                accounts: Box::new(self.report.accounts),
            });
        }
        Ok(())
    }

    /// The run is noted.
    pub async fn begin(&self) -> Result<(), SyncError> {
        // A run on what it was told of is short, and there may be many: that it began is not noted.
        if self.reading != Reading::Hints {
            let run = Change::PutRun(self.record(None, None));
            self.context.commit(Step::Begin, vec![run]).await?;
        }
        Ok(())
    }

    /// How the run ended is noted. The first one that did everything completes the first sync.
    pub async fn end(&self, error: Option<String>) -> Result<(), SyncError> {
        let complete = error.is_none() && !self.report.stopped && self.reading != Reading::Hints;
        let ended = self.context.now();
        let mut changes = vec![Change::PutRun(self.record(Some(ended), error))];
        if complete {
            let mut state = self.context.store().state(self.context.name()).await?;
            if state.first_done.is_none() {
                state.first_done = Some(ended);
                changes.push(Change::PutState(state));
            }
            changes.push(Change::KeepRuns(RUNS_KEPT));
        }
        self.context.commit(Step::End, changes).await?;
        Ok(())
    }

    fn record(&self, ended: Option<jiff::Timestamp>, error: Option<String>) -> RunRecord {
        RunRecord {
            id: self.context.run.clone(),
            started: self.started,
            ended,
            error,
            report: serde_json::to_value(&self.report).unwrap_or_default(),
        }
    }
}
