//! The port `Connector` over a simulated system, with a network between that takes time, fails, and loses answers.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use samspel_model::{
    CallFailure, Collection, Connector, Entity, Failure, Fetched, Identity, Outcome, Page,
    ReadMode, ReadRequest, RecordId, Side, WriteOp,
};

use crate::checkers::{self, Arrival};
use crate::failpoint::{Failpoint, WritePoint};
use crate::field::Field;
use crate::process::Process;
use crate::quirk::Quirk;
use crate::story::{Call, Fault};
use crate::systems::applying::{Applied, Extent};
use crate::systems::listing::Shows;
use crate::systems::{By, System};
use crate::time::{Millis, millis};
use crate::world::{State, World, side_name};

/// How long a system is away, in milliseconds.
const AWAY: Millis = 40_000;

/// A connector of a process, as one side of one sync has it.
pub(crate) struct SimConnector {
    /// The world.
    pub world: Arc<World>,
    /// The process.
    pub process: Arc<Process>,
    /// The sync.
    pub sync: usize,
    /// The sync's name.
    pub name: &'static str,
    /// Its side.
    pub side: Side,
    /// The system.
    pub system: usize,
    /// The layouts of cursors that it reads; it writes the first.
    pub layouts: Vec<u32>,
}

/// A call under way; it is over when this is dropped.
struct Under<'a> {
    connector: &'a SimConnector,
    call: Call,
    fault: Option<Fault>,
    /// The world's step when it began.
    begun: u64,
}

impl Drop for Under<'_> {
    fn drop(&mut self) {
        let mut state = self.connector.world.state();
        state.checks.bounds.ends(
            (self.connector.process.number, self.connector.sync),
            self.connector.side,
            self.call,
        );
    }
}

impl Under<'_> {
    fn is(&self, quirk: Quirk) -> Option<u32> {
        self.fault
            .as_ref()
            .filter(|fault| fault.quirk == quirk)
            .map(|fault| fault.number)
    }
}

impl SimConnector {
    /// Somebody in the network waits a little.
    async fn latency(&self) {
        let wait = {
            let mut state = self.world.state();
            let most = state.systems[self.system].config.latency;
            Millis::from(state.system_chance[self.system].between(0, most))
        };
        self.world.clock.sleep(wait).await;
        self.process.goes_on(&self.world.clock).await;
    }

    /// A call begins: it is counted, and takes its time to the system.
    async fn begin(&self, call: Call, allowed: impl Fn(Quirk) -> bool) -> Under<'_> {
        // A process may stand still between its last look and the call, too.
        let begun = self.world.state().step;
        self.process.goes_on(&self.world.clock).await;
        let now = self.world.clock.now();
        let fault = {
            let mut state = self.world.state();
            let state = &mut *state;
            let fault = state.fault(self.system, call, allowed);
            let (caller, side) = ((self.process.number, self.sync), self.side);
            state.check(
                |facts, checks, findings| {
                    checks.bounds.begins(facts, caller, side, call, findings);
                },
                now,
            );
            fault
        };
        let under = Under {
            connector: self,
            call,
            fault,
            begun,
        };
        self.latency().await;
        under
    }

    /// What keeps a call from having any effect.
    fn refused(&self, under: &Under<'_>) -> Option<Failure> {
        let now = self.world.clock.now();
        let mut state = self.world.state();
        if state.systems[self.system].away_until > now {
            return Some(Failure::Unavailable("503".to_owned()));
        }
        let fault = under.fault.as_ref()?;
        let failure = match fault.quirk {
            Quirk::ThrottledFor => Failure::Throttled {
                retry_after: Some(Duration::from_millis(u64::from(fault.number) * 5)),
            },
            Quirk::ThrottledBare => Failure::Throttled { retry_after: None },
            Quirk::Unavailable => {
                let time = Millis::from(fault.number) * AWAY / 1000;
                state.systems[self.system].away_until = now + time;
                Failure::Unavailable("503".to_owned())
            }
            Quirk::TimeoutNotApplied => Failure::Unavailable("no answer".to_owned()),
            Quirk::ExpiredCursor => Failure::ExpiredCursor,
            _ => return None,
        };
        state.hit(fault.quirk);
        Some(failure)
    }

    /// The system does something.
    fn system<T>(&self, act: impl FnOnce(&mut System, Millis) -> T) -> T {
        let now = self.world.clock.now();
        act(&mut self.world.state().systems[self.system], now)
    }

    /// The answer arrives, and what it shows is known to the host.
    async fn answer(&self, shows: &Shows, text: impl FnOnce() -> String) {
        self.latency().await;
        let now = self.world.clock.now();
        self.system(|system, _| {
            for (id, seq) in shows {
                system.show(id, *seq, now);
            }
        });
        self.world.step(|| {
            let shown: Vec<String> = shows
                .iter()
                .map(|(id, seq)| format!("{id}@{seq}"))
                .collect();
            format!(
                "{} {}: {} [{}]",
                self.name,
                side_name(self.side),
                text(),
                shown.join(" ")
            )
        });
    }
}

#[async_trait]
impl Connector for SimConnector {
    async fn check(&self) -> Result<Identity, Failure> {
        let under = self.begin(Call::Collections, |_| true).await;
        if let Some(failure) = self.refused(&under) {
            return Err(failure);
        }
        let name = self.system(|system, _| system.config.name);
        self.answer(&Vec::new(), || "check".to_owned()).await;
        Ok(Identity {
            id: name.to_owned(),
            label: name.to_owned(),
        })
    }

    async fn collections(&self) -> Result<Vec<Collection>, Failure> {
        let under = self.begin(Call::Collections, |_| true).await;
        if let Some(failure) = self.refused(&under) {
            self.answer(&Vec::new(), || format!("collections: {failure}"))
                .await;
            return Err(failure);
        }
        let collection = self.system(|system, _| system.collection());
        self.answer(&Vec::new(), || "collections".to_owned()).await;
        Ok(vec![collection])
    }

    async fn changes(&self, request: ReadRequest) -> Result<Page, Failure> {
        let incremental = matches!(request.mode, ReadMode::Incremental(_));
        let under = self
            .begin(Call::Changes, |quirk| match quirk {
                Quirk::ExpiredCursor => incremental,
                Quirk::SnapshotCut => !incremental,
                _ => true,
            })
            .await;
        let result = match self.refused(&under) {
            Some(failure) => Err(failure),
            None => self.system(|system, now| system.page(&request, &self.layouts, now)),
        };
        match result {
            Err(failure) => {
                self.answer(&Vec::new(), || {
                    format!("changes {:?}: {failure}", request.mode)
                })
                .await;
                Err(failure)
            }
            Ok((mut page, shows)) => {
                if page.complete && under.is(Quirk::SnapshotCut).is_some() {
                    self.world.state().hit(Quirk::SnapshotCut);
                    page.complete = false;
                }
                self.answer(&shows, || {
                    format!(
                        "changes {:?}: next {:?}, resume {:?}, more {}, complete {}",
                        request.mode, page.next, page.resume_cursor, page.more, page.complete
                    )
                })
                .await;
                Ok(page)
            }
        }
    }

    async fn fetch(
        &self,
        _: &str,
        ids: &[RecordId],
        _: Option<&[String]>,
        extent: samspel_model::Extent,
    ) -> Result<Vec<Fetched>, Failure> {
        let under = self.begin(Call::Fetch, |_| true).await;
        if let Some(failure) = self.refused(&under) {
            self.answer(&Vec::new(), || format!("fetch: {failure}"))
                .await;
            return Err(failure);
        }
        let unread = under
            .is(Quirk::FetchFailed)
            .map(|number| number as usize % ids.len().max(1));
        if unread.is_some() {
            self.world.state().hit(Quirk::FetchFailed);
        }
        let mut shows = Shows::new();
        let answers = self.system(|system, _| {
            ids.iter()
                .enumerate()
                .map(|(index, id)| {
                    if unread == Some(index) {
                        return Fetched::Failed("it cannot be read now".to_owned());
                    }
                    let (mut answer, shown) = system.fetched(id);
                    shows.extend(shown);
                    if let (Fetched::Found(entity), samspel_model::Extent::Values) =
                        (&mut answer, extent)
                    {
                        entity.consents.clear();
                    }
                    answer
                })
                .collect()
        });
        self.answer(&shows, || format!("fetch {ids:?} ({extent:?})"))
            .await;
        Ok(answers)
    }

    async fn find(
        &self,
        _: &str,
        field: &str,
        values: &[String],
    ) -> Result<Vec<Vec<Entity>>, Failure> {
        let under = self.begin(Call::Find, |_| true).await;
        if let Some(failure) = self.refused(&under) {
            self.answer(&Vec::new(), || format!("find: {failure}"))
                .await;
            return Err(failure);
        }
        let Some(field) = Field::of(self.system, field) else {
            return Err(Failure::Bug(format!("there is no field `{field}`")));
        };
        let mut shows = Shows::new();
        let found = self.system(|system, now| {
            values
                .iter()
                .map(|value| {
                    let (entities, shown) = system.found(field, value, now);
                    shows.extend(shown);
                    entities
                })
                .collect()
        });
        self.answer(&shows, || format!("find {values:?}")).await;
        Ok(found)
    }

    async fn write(&self, _: &str, writes: Vec<WriteOp>) -> Result<Vec<Outcome>, CallFailure> {
        let creates = writes.iter().any(|op| matches!(op, WriteOp::Create(_)));
        let under = self
            .begin(Call::Write, |quirk| quirk != Quirk::HalfCreate || creates)
            .await;
        self.at(WritePoint::NotApplied).await;
        if let Some(failure) = self.refused(&under) {
            self.answer(&Vec::new(), || format!("write: {failure}"))
                .await;
            return Err(CallFailure {
                failure,
                may_have_applied: under.is(Quirk::TimeoutNotApplied).is_some(),
            });
        }
        let (outcomes, shows) = self.apply(&under, &writes).await?;
        self.at(WritePoint::NotAnswered).await;
        if let Some(number) = under.is(Quirk::TimeoutApplied) {
            self.world.state().hit(Quirk::TimeoutApplied);
            self.answer(&Vec::new(), || {
                "write: applied, and answered too late".to_owned()
            })
            .await;
            let why = "no answer in time".to_owned();
            if number % 2 == 0 {
                return Ok(vec![Outcome::Unknown(why); writes.len()]);
            }
            return Err(CallFailure {
                failure: Failure::Unavailable(why),
                may_have_applied: true,
            });
        }
        self.answer(&shows, || {
            let words: Vec<&str> = outcomes.iter().map(word).collect();
            format!("write answered: {}", words.join(", "))
        })
        .await;
        Ok(outcomes)
    }
}

impl SimConnector {
    /// A place in a write call where the process may die.
    async fn at(&self, point: WritePoint) {
        if self.world.passes(&self.process, Failpoint::Write(point)) {
            std::future::pending::<()>().await;
        }
    }

    /// Applies a batch, item after item.
    async fn apply(
        &self,
        under: &Under<'_>,
        writes: &[WriteOp],
    ) -> Result<(Vec<Outcome>, Shows), CallFailure> {
        let count = writes.len();
        let place = |quirk| under.is(quirk).map(|number| number as usize % count.max(1));
        let trap = under
            .is(Quirk::Trap)
            .map(|number| number as usize % (count + 1));
        let half = under.is(Quirk::HalfCreate).and_then(|_| {
            writes
                .iter()
                .position(|op| matches!(op, WriteOp::Create(_)))
        });
        let stopped = |why: &str| CallFailure {
            failure: Failure::Stopped(why.to_owned()),
            may_have_applied: true,
        };
        let mut outcomes = Vec::with_capacity(count);
        let mut shows = Shows::new();
        for (index, op) in writes.iter().enumerate() {
            if trap == Some(index) {
                self.world.state().hit(Quirk::Trap);
                self.answer(&Vec::new(), || format!("write: a trap before item {index}"))
                    .await;
                return Err(stopped("a trap"));
            }
            if index > 0 {
                self.between_items().await;
            }
            let subject = match op {
                WriteOp::Create(create) => create.idempotency_key.clone(),
                WriteOp::Update(update) => update.id.to_string(),
                WriteOp::Remove(remove) => remove.id.to_string(),
            };
            let refused = self.system(|system, _| system.refuses.contains(&subject));
            if refused || place(Quirk::ItemRejected) == Some(index) {
                self.system(|system, _| system.refuses.insert(subject));
                self.world.state().hit(Quirk::ItemRejected);
                outcomes.push(Outcome::Rejected {
                    reason: "this remote does not want it".to_owned(),
                    field: None,
                });
                continue;
            }
            if place(Quirk::ItemDeferred) == Some(index) {
                self.world.state().hit(Quirk::ItemDeferred);
                outcomes.push(Outcome::Deferred {
                    reason: "403".to_owned(),
                    retry_after: None,
                });
                continue;
            }
            let unknown = under
                .is(Quirk::UnknownItem)
                .filter(|number| *number as usize % count == index);
            if unknown.is_some_and(|number| number >= 500) {
                self.world.state().hit(Quirk::UnknownItem);
                outcomes.push(Outcome::Unknown("no answer about this item".to_owned()));
                continue;
            }
            if half == Some(index) {
                self.item(under, op, Extent::RecordOnly);
                self.world.state().hit(Quirk::HalfCreate);
                self.answer(&Vec::new(), || "write: a trap within a create".to_owned())
                    .await;
                return Err(stopped("a trap within a create"));
            }
            if matches!(op, WriteOp::Create(_)) && self.dies_within_create() {
                self.item(under, op, Extent::RecordOnly);
                self.at(WritePoint::WithinCreate).await;
            }
            let applied = self.item(under, op, Extent::Whole);
            if unknown.is_some() {
                self.world.state().hit(Quirk::UnknownItem);
                outcomes.push(Outcome::Unknown("no answer about this item".to_owned()));
                continue;
            }
            shows.extend(self.shown_by(op, &applied));
            outcomes.push(applied.outcome);
        }
        if trap == Some(count) {
            self.world.state().hit(Quirk::Trap);
            return Err(stopped("a trap behind the last item"));
        }
        Ok((outcomes, shows))
    }

    async fn between_items(&self) {
        self.at(WritePoint::BetweenItems).await;
        let pause = {
            let chance = &mut self.world.state().system_chance[self.system];
            if chance.percent(25) {
                chance.below(4)
            } else {
                0
            }
        };
        if pause > 0 {
            self.world.clock.sleep(Millis::from(pause)).await;
            self.process.goes_on(&self.world.clock).await;
        }
    }

    /// Whether the process is about to die within a create; what it passes there before is counted.
    fn dies_within_create(&self) -> bool {
        let mut state = self.world.state();
        match &mut state.crash {
            Some((Failpoint::Write(WritePoint::WithinCreate), 0)) => true,
            Some((Failpoint::Write(WritePoint::WithinCreate), after)) => {
                *after -= 1;
                false
            }
            _ => false,
        }
    }

    /// One item arrives and is applied, and the checkers look on.
    fn item(&self, under: &Under<'_>, op: &WriteOp, extent: Extent) -> Applied {
        let now = self.world.clock.now();
        let host_now = millis(self.world.clock.host_now());
        let mut state = self.world.state();
        let state: &mut State = &mut state;
        state.step += 1;
        state.writes += 1;
        let step = state.step;
        let intent = checkers::intent_of(
            &state.ledger.syncs[self.sync],
            self.side,
            &state.systems[self.system],
            op,
            under.begun,
        );
        let person = intent
            .as_ref()
            .and_then(|decided| {
                let source = state.agreements[self.sync].system(self.side.other());
                state.systems[source]
                    .records
                    .get(&decided.intent.source_record)
            })
            .map_or(0, |record| record.person);
        let arrival = Arrival {
            sync: self.sync,
            side: self.side,
            system: self.system,
            op,
            decided: intent,
            begun: under.begun,
        };
        state.check(
            |facts, checks, findings| checks.arrives(facts, &arrival, host_now, findings),
            now,
        );
        let before =
            checkers::target(op).and_then(|id| state.systems[self.system].now(id).cloned());
        let applied =
            state.systems[self.system].apply(op, By::Sync(self.sync), person, now, extent);
        let after = applied
            .id
            .as_ref()
            .and_then(|id| state.systems[self.system].now(id).cloned());
        state.check(
            |facts, checks, findings| {
                checks.applied(
                    facts,
                    &arrival,
                    &applied,
                    before.as_deref(),
                    after.as_deref(),
                    findings,
                );
            },
            now,
        );
        if state.trace.is_on() {
            let text = format!(
                "{} {}: item arrives: {} -> {} {}",
                state.agreements[self.sync].name,
                side_name(self.side),
                told(op),
                word(&applied.outcome),
                applied
                    .id
                    .as_ref()
                    .map(ToString::to_string)
                    .unwrap_or_default(),
            );
            state.trace.line(step, now, &text);
        }
        applied
    }

    fn shown_by(&self, op: &WriteOp, applied: &Applied) -> Option<(RecordId, u64)> {
        let id = match (&applied.outcome, &applied.id) {
            (Outcome::Written(entity) | Outcome::Stale(Some(entity)), _) => &entity.id,
            // That it is not there.
            (Outcome::Gone, _) => checkers::target(op)?,
            (_, Some(id)) => id,
            _ => return None,
        };
        let seq = self.system(|system, _| system.now(id).map(|version| version.seq))?;
        Some((id.clone(), seq))
    }
}

/// An outcome in a word.
fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Written(_) => "written",
        Outcome::Stale(_) => "stale",
        Outcome::Gone => "gone",
        Outcome::Moved(_) => "moved",
        Outcome::Duplicate(_) => "duplicate",
        Outcome::Suppressed(_) => "suppressed",
        Outcome::Rejected { .. } => "rejected",
        Outcome::Deferred { .. } => "deferred",
        Outcome::Unknown(_) => "unknown",
    }
}

/// A write in a line.
fn told(op: &WriteOp) -> String {
    let consents = |consents: &[samspel_model::Consent]| {
        consents
            .iter()
            .map(|consent| {
                format!(
                    " {:?}@{:?}",
                    consent.state,
                    consent.at.map(|at| at.to_string())
                )
            })
            .collect::<String>()
    };
    match op {
        WriteOp::Create(create) => format!(
            "create {} {}{}",
            create.idempotency_key,
            serde_json::Value::Object(create.fields.clone()),
            consents(&create.consents)
        ),
        WriteOp::Update(update) => format!(
            "update {} {}{}{}",
            update.id,
            serde_json::Value::Object(update.patch.clone()),
            consents(&update.consents),
            update
                .deliverability
                .as_ref()
                .map(|mail| format!(" {:?}", mail.state))
                .unwrap_or_default()
        ),
        WriteOp::Remove(remove) => format!("remove {}", remove.id),
    }
}
