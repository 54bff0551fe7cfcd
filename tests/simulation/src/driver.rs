//! Plays a story: acts in their order and time, runs beside them, and in the end a rest in which everything must
//! settle.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use samspel_engine::SyncSpec;
use samspel_model::store::Endpoint;
use samspel_model::{Clock, Extent, Failure, RecordId, Side, Store, StoreError};
use samspel_sync::{
    Accounts, Confirmation, Offers, Operator, Party, RunOptions, RunReport, Silent, Sync,
    SyncError, SyncParts,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::checkers::silence::Account;
use crate::checkers::{convergence, quiescence, silence};
use crate::executor;
use crate::operating::{operate, undo};
use crate::process::{Process, ProcessClock, SimIds};
use crate::quirk::Quirk;
use crate::store::FaultyStore;
use crate::story::{Act, Story};
use crate::systems::{COLLECTION, SimConnector};
use crate::tier::{Disk, Told};
use crate::time::{Millis, timestamp};
use crate::world::World;

/// How many rounds of runs may be needed until nothing is written any more.
const ROUNDS: u32 = 8;
/// How many steps a seed has at least.
const STEPS: u64 = 100;
const HOUR: Millis = 60 * 60 * 1000;

/// What a run comes to.
type Ended = Result<Option<RunReport>, SyncError>;

/// A run under way.
struct Running {
    process: Arc<Process>,
    task: JoinHandle<(Ended, Millis)>,
    stop: CancellationToken,
    sync: usize,
    begun: Millis,
    /// Somebody asked for something that may be over by now.
    may_be_refused: bool,
}

/// A process that lives, and what it opened.
struct Host {
    process: Arc<Process>,
    store: Arc<dyn Store>,
    /// The store itself, for what comes from outside of the runs.
    told: Arc<dyn Told>,
    /// What the accounts of each sync were last found to offer: runs that are told what changed take it as it is.
    offers: Vec<Arc<Offers>>,
}

/// Plays one story.
pub(crate) struct Driver {
    world: Arc<World>,
    story: Arc<Story>,
    disk: Arc<dyn Disk>,
    specs: Vec<SyncSpec>,
    host: Option<Host>,
    /// Processes that stand still, so that another one took their place.
    stalled: Vec<Host>,
    runs: Vec<Running>,
    processes: u32,
    resting: bool,
    /// A run was taken back: what it wrote differs until somebody changes it, or until it is healed.
    undone: bool,
}

impl Driver {
    /// A driver of a story.
    pub fn new(world: Arc<World>, story: Arc<Story>, disk: Arc<dyn Disk>) -> Result<Self, String> {
        let names: Vec<&'static str> = story.systems.iter().map(|system| system.name).collect();
        let specs = story
            .agreements
            .iter()
            .map(|agreement| {
                serde_json::from_value(agreement.spec(&names)).map_err(|error| error.to_string())
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            world,
            story,
            disk,
            specs,
            host: None,
            stalled: Vec::new(),
            runs: Vec::new(),
            processes: 0,
            resting: false,
            undone: false,
        })
    }

    /// Plays it to its end, or to the first violation.
    pub async fn play(mut self) -> Result<(), StoreError> {
        let story = Arc::clone(&self.story);
        for step in &story.steps {
            if step.after > 0 {
                self.world.clock.sleep(step.after).await;
            }
            self.look().await;
            self.act(&step.act).await?;
            if self.is_over() {
                return Ok(());
            }
        }
        self.rest().await
    }

    fn is_over(&self) -> bool {
        self.world.state().violation.is_some()
    }

    /// An invariant does not hold, and no checker of a step said so.
    fn finds(&self, invariant: u8, what: String) {
        let now = self.world.clock.now();
        self.world
            .state()
            .check(|_, _, findings| findings.add(invariant, what), now);
    }

    async fn act(&mut self, act: &Act) -> Result<(), StoreError> {
        let now = self.world.clock.now();
        match act {
            Act::People(people) => {
                let mut state = self.world.state();
                if let Some(system) = state.systems.get_mut(people.system)
                    && system.act(people, now)
                {
                    drop(state);
                    self.world.step(|| format!("people: {people}"));
                }
            }
            Act::Run { sync, full } => {
                let options = RunOptions {
                    full: *full,
                    ..options(self.processes)
                };
                self.start(*sync, Job::Run(options)).await?;
            }
            Act::Verify { sync, heal } => self.start(*sync, Job::Verify(*heal)).await?,
            Act::Undo { sync, back } => {
                self.undone = true;
                self.start(*sync, Job::Undo(*back)).await?;
            }
            Act::Hints {
                sync,
                side,
                persons,
                extent,
            } => self.hints(*sync, *side, persons, *extent).await?,
            Act::Stop { sync } => {
                for run in self.runs.iter().filter(|run| run.sync == *sync) {
                    run.stop.cancel();
                }
                self.world.step(|| format!("sync {sync} is told to stop"));
            }
            Act::Crash { at, after } => self.world.state().crash = Some((*at, *after)),
            Act::Fault(fault) => self.world.state().faults.push(fault.clone()),
            Act::StoreFails { after } => self.world.state().store_fails = Some(*after),
            Act::Swap { system, reads_old } => {
                {
                    let mut state = self.world.state();
                    let system = &mut state.systems[*system];
                    let old = system.layout;
                    let goes_back = old > 1 && !*reads_old;
                    if goes_back {
                        // It never heard of the other one's layout.
                        system.layout -= 1;
                        system.layouts_read.clear();
                    } else {
                        system.layout += 1;
                        if *reads_old {
                            system.layouts_read.push(old);
                        } else {
                            system.layouts_read.clear();
                        }
                    }
                    state.hit(if goes_back {
                        Quirk::SwapBack
                    } else {
                        Quirk::HotSwap
                    });
                }
                self.world
                    .step(|| format!("the connector of system {system} is replaced"));
            }
            Act::Jump(by) => {
                self.world.clock.jump(*by);
                let quirk = if *by > 0 {
                    Quirk::ClockForward
                } else {
                    Quirk::ClockBackward
                };
                self.world.state().hit(quirk);
                self.world
                    .step(|| format!("the host's clock jumps by {by} ms"));
            }
            Act::Stall(time) => self.stall(now + time),
            Act::Operate { sync, number } => self.start(*sync, Job::Operate(*number)).await?,
        }
        Ok(())
    }

    // ---- processes ----

    /// The process that lives; a new one, where the last one died.
    fn host(&mut self) -> Result<&Host, StoreError> {
        let dead = self.host.as_ref().is_none_or(|host| host.process.is_dead());
        if dead {
            self.processes += 1;
            let opened = self.disk.open()?;
            let process = Arc::new(Process::new(self.processes, opened.close));
            let number = self.processes;
            self.world.step(|| format!("process {number} begins"));
            self.host = Some(Host {
                told: Arc::clone(&opened.store),
                store: Arc::new(FaultyStore {
                    world: Arc::clone(&self.world),
                    process: Arc::clone(&process),
                    inner: opened.store,
                }),
                offers: self.specs.iter().map(|_| Arc::default()).collect(),
                process,
            });
        }
        self.host.as_ref().ok_or_else(|| StoreError::Damaged {
            what: "the simulation".to_owned(),
            why: "there is no process".to_owned(),
        })
    }

    /// The process stands still, and another one takes its place.
    fn stall(&mut self, until: Millis) {
        let under_way = self.runs.iter().any(|run| !run.task.is_finished());
        if !under_way {
            return;
        }
        if let Some(host) = self.host.take() {
            host.process.stall(until);
            self.world.state().hit(Quirk::Stall);
            self.world
                .step(|| format!("process {} stands still", host.process.number));
            self.stalled.push(host);
        }
    }

    /// A sync as the process that lives has it.
    fn sync(&mut self, index: usize) -> Result<(Sync, Operator, Arc<Process>), StoreError> {
        let world = Arc::clone(&self.world);
        let agreement = self.story.agreements[index].clone();
        let spec = self.specs[index].clone();
        let host = self.host()?;
        let parties = Side::BOTH.map(|side| {
            let system = agreement.system(side);
            let state = world.state();
            let described = &state.systems[system];
            let mut layouts = vec![described.layout];
            layouts.extend(&described.layouts_read);
            Party {
                endpoint: Endpoint {
                    account: described.config.name.to_owned(),
                    collection: COLLECTION.to_owned(),
                },
                cursor_version: described.layout,
                cursor_versions_read: described.layouts_read.clone(),
                scope: None,
                connector: Arc::new(SimConnector {
                    world: Arc::clone(&world),
                    process: Arc::clone(&host.process),
                    sync: index,
                    name: agreement.name,
                    side,
                    system,
                    layouts,
                }),
            }
        });
        let clock = Arc::new(ProcessClock {
            clock: Arc::clone(&world.clock),
            process: Arc::clone(&host.process),
        });
        let owner = format!("process {}", host.process.number);
        let operator = Operator {
            store: Arc::clone(&host.store),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            owner: owner.clone(),
            sync: agreement.name.to_owned(),
            endpoints: parties.each_ref().map(|party| party.endpoint.clone()),
        };
        let sync = Sync::new(SyncParts {
            name: agreement.name.to_owned(),
            spec,
            parties,
            store: Arc::clone(&host.store),
            clock,
            ids: Arc::new(SimIds(Arc::clone(&world))),
            pseudonyms: None,
            offers: Arc::clone(&host.offers[index]),
            owner,
            lease_ttl: Duration::from_secs(60),
        });
        Ok((sync, operator, Arc::clone(&host.process)))
    }

    // ---- runs ----

    /// A run begins, once the one before of the same sync and process has ended.
    async fn start(&mut self, index: usize, job: Job) -> Result<(), StoreError> {
        if index >= self.specs.len() {
            return Ok(());
        }
        let now = self.world.clock.now();
        self.wait(|run| run.sync == index && !run.process.is_stalled(now))
            .await;
        if self.is_over() {
            return Ok(());
        }
        let (sync, operator, process) = self.sync(index)?;
        let may_be_refused = matches!(job, Job::Operate(_) | Job::Undo(_));
        let stop = CancellationToken::new();
        let now = self.world.clock.now();
        {
            let mut state = self.world.state();
            state.checks.bounds.run_begins(index);
            state.checks.reading[index] = match &job {
                Job::Run(options) if !options.told => Some(now),
                _ => None,
            };
            state.checks.undoing[index] = matches!(job, Job::Undo(_));
        }
        self.world
            .step(|| format!("{}: {job:?} begins", sync.name()));
        let token = stop.clone();
        let clock = Arc::clone(&self.world.clock);
        let task = tokio::task::spawn_local(async move {
            let ended = match job {
                Job::Run(options) => sync.run(options, &Silent, token).await.map(Some),
                Job::Verify(heal) => sync.verify(heal, &Silent, token).await.map(|_| None),
                Job::Undo(back) => undo(&sync, &operator, back, token).await.map(|()| None),
                Job::Operate(number) => operate(&operator, number).await.map(|()| None),
            };
            (ended, clock.now())
        });
        process.owns(task.abort_handle());
        self.runs.push(Running {
            process,
            task,
            stop,
            sync: index,
            begun: now,
            may_be_refused,
        });
        Ok(())
    }

    /// Looks at the runs that ended meanwhile.
    async fn look(&mut self) {
        let mut index = 0;
        while index < self.runs.len() {
            if self.runs[index].task.is_finished() {
                let run = self.runs.remove(index);
                self.ended(run).await;
            } else {
                index += 1;
            }
        }
    }

    /// Waits for the end of some runs.
    async fn wait(&mut self, which: impl Fn(&Running) -> bool) {
        while let Some(index) = self.runs.iter().position(&which) {
            let run = self.runs.remove(index);
            self.ended(run).await;
        }
    }

    async fn ended(&mut self, run: Running) {
        let Running {
            process,
            task,
            sync,
            begun,
            may_be_refused,
            ..
        } = run;
        let number = process.number;
        let result = task.await;
        let now = self.world.clock.now();
        if let Ok((_, at)) = &result {
            let took = at - begun;
            self.world
                .state()
                .check(|_, checks, findings| checks.bounds.ran(took, findings), now);
        }
        match result.map(|(ended, _)| ended) {
            Ok(Ok(report)) => {
                self.world.step(|| {
                    let words = report.as_ref().map_or_else(String::new, told);
                    format!("sync {sync} of process {number} ended well{words}")
                });
                let settled = !self.world.state().ledger.syncs[sync].has_open();
                self.world.state().check(
                    |facts, checks, findings| {
                        if let Some(report) = &report {
                            silence::ran(&account(&report.accounts), findings);
                        }
                        if settled {
                            checks.lost.settled(facts, sync, findings);
                        }
                    },
                    now,
                );
            }
            Ok(Err(error)) => {
                self.world
                    .step(|| format!("sync {sync} of process {number} ended: {error}"));
                let refused = may_be_refused && matches!(error, SyncError::Refused { .. });
                if let Some(invariant) = self.unexpected(&error).filter(|_| !refused) {
                    self.finds(invariant, format!("a run ended with: {error}"));
                }
            }
            Err(error) if error.is_cancelled() => {
                self.world
                    .step(|| format!("sync {sync} of process {number} died"));
            }
            Err(error) => {
                let message = executor::message(error);
                self.finds(11, format!("a run panicked: {message}"));
            }
        }
    }

    /// The invariant that an error of a run breaks, if it does.
    fn unexpected(&self, error: &SyncError) -> Option<u8> {
        match error {
            SyncError::Account { failure, .. } => match failure {
                Failure::Bug(_) | Failure::ExpiredCursor => Some(11),
                _ => self.resting.then_some(1),
            },
            SyncError::Store(StoreError::Held { .. } | StoreError::LeaseLost { .. }) => {
                (self.resting || self.processes < 2).then_some(12)
            }
            SyncError::Store(StoreError::Backend { .. }) => self.resting.then_some(11),
            // Nobody tells a run to stop while the world rests.
            SyncError::Stopped { .. } => self.resting.then_some(11),
            SyncError::Store(StoreError::Damaged { .. })
            | SyncError::Policy { .. }
            | SyncError::NoCollection { .. }
            | SyncError::NotConfirmed { .. }
            | SyncError::PlanChanged { .. }
            | SyncError::OtherAccount { .. }
            | SyncError::Paused { .. }
            | SyncError::Unbalanced { .. }
            | SyncError::Refused { .. } => Some(11),
        }
    }

    /// Hints arrive: twice, out of order, and about nobody.
    async fn hints(
        &mut self,
        sync: usize,
        side: Side,
        persons: &[usize],
        extent: Extent,
    ) -> Result<(), StoreError> {
        let mut hints: Vec<(RecordId, Extent)> = Vec::new();
        let endpoint;
        {
            let mut state = self.world.state();
            let Some(agreement) = state.agreements.get(sync) else {
                return Ok(());
            };
            let system = agreement.system(side);
            endpoint = Endpoint {
                account: state.systems[system].config.name.to_owned(),
                collection: COLLECTION.to_owned(),
            };
            for person in persons {
                let ids = state.systems[system]
                    .records
                    .iter()
                    .filter(|(_, record)| record.person == *person)
                    .map(|(id, _)| (id.clone(), extent));
                hints.extend(ids);
            }
            hints.reverse();
            hints.push((RecordId::from("nobody"), extent));
            state.hit(Quirk::HintsStale);
            let repeated = hints
                .iter()
                .enumerate()
                .any(|(index, hint)| hints[..index].contains(hint));
            if repeated {
                state.hit(Quirk::HintsRepeated);
            }
            if hints.len() > 2 {
                state.hit(Quirk::HintsReordered);
            }
            if extent == Extent::Values {
                state.hit(Quirk::HintsOfValues);
            }
            // They are a reason to try again what was refused.
            state.checks.tried.told();
        }
        // A process that lives receives them.
        self.sync(sync)?;
        if let Some(host) = &self.host {
            let at = timestamp(self.world.clock.now());
            host.told.told(vec![(endpoint, hints)], at).await?;
            self.world
                .step(|| format!("told of {persons:?} on side {side} of sync {sync}"));
        }
        let mut options = options(self.processes);
        options.told = true;
        self.start(sync, Job::Run(options)).await
    }

    // ---- rest ----

    /// Nothing goes wrong any more, and nobody acts: everything must come to rest.
    async fn rest(&mut self) -> Result<(), StoreError> {
        {
            let mut state = self.world.state();
            state.faults.clear();
            state.crash = None;
            state.store_fails = None;
            for system in &mut state.systems {
                system.away_until = 0;
            }
        }
        self.wait(|_| true).await;
        self.world.step(|| "everybody rests".to_owned());
        if self.is_over() {
            return Ok(());
        }
        // The processes that stood still are gone; leases that somebody still holds run out.
        for host in self.stalled.drain(..) {
            host.process.die();
        }
        self.world.clock.sleep(120_000).await;
        self.resting = true;
        if self.undone {
            for sync in 0..self.specs.len() {
                self.start(sync, Job::Verify(true)).await?;
                self.wait(|_| true).await;
            }
        }
        let hours = self
            .story
            .agreements
            .iter()
            .map(|agreement| Millis::from(agreement.full_hours))
            .max()
            .unwrap_or(24);
        let mut round = 0;
        let mut quiet = 0;
        loop {
            round += 1;
            self.world.clock.sleep((hours + 1) * HOUR).await;
            let wrote = self.run_all(false).await?;
            if self.is_over() {
                return Ok(());
            }
            quiet = if wrote == 0 { quiet + 1 } else { 0 };
            // A full reading that a crash interrupted goes on where it was: only the one after it sees everything.
            if quiet >= 2 && self.world.state().step >= STEPS {
                break;
            }
            if round >= ROUNDS && wrote > 0 {
                let now = self.world.clock.now();
                self.world.state().check(
                    |_, _, findings| quiescence::does_not_rest(round, wrote, findings),
                    now,
                );
                return Ok(());
            }
        }
        self.at_rest().await
    }

    /// Every sync runs once; how many writes reached a system.
    async fn run_all(&mut self, full: bool) -> Result<u64, StoreError> {
        let before = self.world.state().writes;
        for sync in 0..self.specs.len() {
            let options = RunOptions {
                full,
                ..options(self.processes)
            };
            self.start(sync, Job::Run(options)).await?;
            self.wait(|_| true).await;
            if self.is_over() {
                break;
            }
        }
        Ok(self.world.state().writes - before)
    }

    async fn at_rest(&mut self) -> Result<(), StoreError> {
        let now = self.world.clock.now();
        self.world.state().check(
            |facts, checks, findings| {
                convergence::at_rest(facts, findings);
                for sync in 0..facts.agreements.len() {
                    checks.lost.settled(facts, sync, findings);
                }
            },
            now,
        );
        let names: Vec<&'static str> = self
            .story
            .agreements
            .iter()
            .map(|agreement| agreement.name)
            .collect();
        for name in names {
            let counts = self.host()?.store.counts(name).await?;
            self.world.state().check(
                |_, _, findings| silence::at_rest(counts.dirty, counts.intents, findings),
                now,
            );
        }
        if self.is_over() {
            return Ok(());
        }
        for full in [false, true] {
            self.world.clock.sleep(60_000).await;
            let wrote = self.run_all(full).await?;
            self.world.state().check(
                |_, _, findings| quiescence::ran_at_rest(wrote, findings),
                now,
            );
        }
        Ok(())
    }
}

/// What is done with a sync.
enum Job {
    Run(RunOptions),
    Verify(bool),
    Undo(u32),
    Operate(u32),
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Run(options) if options.told => f.write_str("a run on hints"),
            Self::Run(options) if options.full => f.write_str("a full run"),
            Self::Run(_) => f.write_str("a run"),
            Self::Verify(false) => f.write_str("a comparison"),
            Self::Verify(true) => f.write_str("a comparison that heals"),
            Self::Undo(back) => write!(f, "taking back the run {back} before the last"),
            Self::Operate(_) => f.write_str("an operator\'s act"),
        }
    }
}

/// How a run is done. Every other process agrees beforehand; the others show the plan to somebody who agrees.
fn options(processes: u32) -> RunOptions {
    RunOptions::new(if processes.is_multiple_of(2) {
        Confirmation::Given
    } else {
        Confirmation::Ask(Arc::new(|_| async { true }.boxed()))
    })
}

fn account(accounts: &Accounts) -> Account {
    Account {
        observed: accounts.observed,
        applied: accounts.applied,
        noop: accounts.noop,
        filtered: accounts.filtered,
        conflict: accounts.conflict,
        parked: accounts.parked,
        pending: accounts.pending,
    }
}

fn told(report: &RunReport) -> String {
    format!(
        ": read {}, wrote {}, {:?}",
        report.read.sum(),
        report.writes,
        report.accounts
    )
}
