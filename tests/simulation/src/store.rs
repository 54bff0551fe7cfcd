//! The port `Store`, with a machine under it that takes time, fails, and dies before and after every durable step.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use samspel_model::intent::Intent;
use samspel_model::journal::JournalEntry;
use samspel_model::store::{
    Commit, Conflict, Cursor, Decision, Dirty, Endpoint, JournalOf, Lease, Observation, Parked,
    Receipt, RecordRestriction, RunRecord, Sequence, Suppression, SyncCounts, SyncState, Waiting,
};
use samspel_model::{Link, LinkId, RecordId, Side, Store, StoreError};

use crate::failpoint::{Failpoint, LeaseStep, When};
use crate::ledger::Notes;
use crate::process::Process;
use crate::quirk::Quirk;
use crate::tier::Told;
use crate::time::Millis;
use crate::world::{State, World};

/// A store as a process has it.
pub(crate) struct FaultyStore {
    /// The world.
    pub world: Arc<World>,
    /// The process.
    pub process: Arc<Process>,
    /// The store itself.
    pub inner: Arc<dyn Told>,
}

impl FaultyStore {
    /// The machine takes a little time, or none.
    async fn pause(&self, percent: u32) {
        let wait = {
            let chance = &mut self.world.state().store_chance;
            if chance.percent(percent) {
                Some(Millis::from(chance.below(4)))
            } else {
                None
            }
        };
        if let Some(wait) = wait {
            self.world.clock.sleep(wait).await;
        }
        self.process.goes_on(&self.world.clock).await;
    }

    async fn passes(&self, at: Failpoint) {
        if self.world.passes(&self.process, at) {
            std::future::pending::<()>().await;
        }
    }

    async fn read<T>(
        &self,
        what: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.pause(15).await;
        let result = what.await;
        self.pause(8).await;
        result
    }

    /// Looks at what is stored of the records that a commit observed.
    async fn read_back(&self, notes: &Notes) -> Result<(), StoreError> {
        let systems: Vec<(usize, &'static str)> = self
            .world
            .state()
            .systems
            .iter()
            .map(|system| (system.index, system.config.name))
            .collect();
        for (system, name) in systems {
            let ids: Vec<RecordId> = notes
                .observed
                .iter()
                .chain(&notes.values)
                .filter(|((at, _), _)| *at == system)
                .map(|((_, id), _)| id.clone())
                .collect();
            if ids.is_empty() {
                continue;
            }
            let endpoint = Endpoint {
                account: name.to_owned(),
                collection: crate::systems::COLLECTION.to_owned(),
            };
            let stored = self.inner.observations(&endpoint, &ids).await?;
            let now = self.world.clock.now();
            let mut state = self.world.state();
            let State {
                ledger,
                systems,
                step,
                ..
            } = &mut *state;
            ledger.stored(notes, &systems[system], &stored, *step);
            state.check(
                |facts, checks, findings| {
                    checks.regression.stored(facts, system, &stored, findings);
                },
                now,
            );
        }
        Ok(())
    }
}

#[async_trait]
impl Store for FaultyStore {
    fn sequence(&self) -> Sequence {
        self.inner.sequence()
    }

    async fn register(&self, sync: &str, endpoints: &[Endpoint; 2]) -> Result<(), StoreError> {
        self.pause(20).await;
        self.passes(Failpoint::Register(When::Before)).await;
        let result = self.inner.register(sync, endpoints).await;
        self.world.step(|| format!("{sync}: registered"));
        self.passes(Failpoint::Register(When::After)).await;
        self.pause(10).await;
        result
    }

    async fn acquire_lease(
        &self,
        sync: &str,
        owner: &str,
        now: Timestamp,
        ttl: Duration,
    ) -> Result<Lease, StoreError> {
        self.pause(20).await;
        self.passes(Failpoint::Lease(LeaseStep::Acquire, When::Before))
            .await;
        let result = self.inner.acquire_lease(sync, owner, now, ttl).await;
        if let Ok(lease) = &result {
            let mut state = self.world.state();
            state.leases.insert(sync.to_owned(), lease.token);
        }
        self.world
            .step(|| format!("{sync}: lease: {}", ok(&result)));
        self.passes(Failpoint::Lease(LeaseStep::Acquire, When::After))
            .await;
        self.pause(10).await;
        result
    }

    async fn renew_lease(
        &self,
        lease: &Lease,
        now: Timestamp,
        ttl: Duration,
    ) -> Result<(), StoreError> {
        self.pause(20).await;
        self.passes(Failpoint::Lease(LeaseStep::Renew, When::Before))
            .await;
        let result = self.inner.renew_lease(lease, now, ttl).await;
        self.world
            .step(|| format!("{}: lease extended: {}", lease.sync, ok(&result)));
        self.passes(Failpoint::Lease(LeaseStep::Renew, When::After))
            .await;
        self.pause(10).await;
        result
    }

    async fn release_lease(&self, lease: &Lease) -> Result<(), StoreError> {
        self.pause(20).await;
        self.passes(Failpoint::Lease(LeaseStep::Release, When::Before))
            .await;
        let result = self.inner.release_lease(lease).await;
        self.world
            .step(|| format!("{}: lease given back: {}", lease.sync, ok(&result)));
        self.passes(Failpoint::Lease(LeaseStep::Release, When::After))
            .await;
        self.pause(10).await;
        result
    }

    async fn lease_holder(&self, sync: &str) -> Result<Option<(String, Timestamp)>, StoreError> {
        self.read(self.inner.lease_holder(sync)).await
    }

    async fn commit(&self, lease: &Lease, commit: Commit) -> Result<Receipt, StoreError> {
        self.pause(30).await;
        let step = commit.step;
        self.passes(Failpoint::Commit(step, When::Before)).await;
        let (notes, fails) = {
            let mut state = self.world.state();
            let sync = state.sync_called(&lease.sync).unwrap_or_default();
            let notes = Notes::of(sync, &commit, &state.systems);
            let fails = match &mut state.store_fails {
                Some(0) => true,
                Some(after) => {
                    *after -= 1;
                    false
                }
                None => false,
            };
            if fails {
                state.store_fails = None;
                state.hit(Quirk::StoreError);
            }
            (notes, fails)
        };
        if fails {
            self.world
                .step(|| format!("{}: the store fails while {}", lease.sync, step.doing()));
            return Err(StoreError::Backend {
                doing: step.doing().to_owned(),
                source: "the disk is full".into(),
            });
        }
        let result = self.inner.commit(lease, commit).await;
        self.world.step(|| {
            format!(
                "{}: commit, {}: {}{}",
                lease.sync,
                step.doing(),
                ok(&result),
                notes.told()
            )
        });
        if result.is_ok() {
            {
                let mut state = self.world.state();
                let State {
                    ledger,
                    agreements,
                    systems,
                    step,
                    ..
                } = &mut *state;
                ledger.believe(&notes, &agreements[notes.sync], systems, *step);
            }
            self.read_back(&notes).await?;
            let now = self.world.clock.now();
            let mut state = self.world.state();
            let lost = state
                .leases
                .get(&lease.sync)
                .is_some_and(|newest| *newest > lease.token);
            state.check(
                |facts, checks, findings| {
                    if lost {
                        findings.add(
                            6,
                            format!("a commit under a lease on {} that was lost", lease.sync),
                        );
                    }
                    checks.committed(facts, &notes, findings);
                },
                now,
            );
        }
        self.passes(Failpoint::Commit(step, When::After)).await;
        self.pause(15).await;
        result
    }

    async fn reset(&self, lease: &Lease) -> Result<(), StoreError> {
        self.read(self.inner.reset(lease)).await
    }

    async fn owed(
        &self,
        sync: &str,
        side: Side,
        ids: &[RecordId],
    ) -> Result<Vec<Dirty>, StoreError> {
        self.read(self.inner.owed(sync, side, ids)).await
    }

    async fn dirty(&self, sync: &str, after: u64, limit: u32) -> Result<Vec<Dirty>, StoreError> {
        self.read(self.inner.dirty(sync, after, limit)).await
    }

    async fn observations(
        &self,
        endpoint: &Endpoint,
        ids: &[RecordId],
    ) -> Result<Vec<Observation>, StoreError> {
        self.read(self.inner.observations(endpoint, ids)).await
    }

    async fn records_by_key(
        &self,
        endpoint: &Endpoint,
        field: &str,
        values: &[String],
        limit: u32,
    ) -> Result<Vec<(String, RecordId)>, StoreError> {
        self.read(self.inner.records_by_key(endpoint, field, values, limit))
            .await
    }

    async fn records(
        &self,
        endpoint: &Endpoint,
        after: Option<&RecordId>,
        limit: u32,
    ) -> Result<Vec<Observation>, StoreError> {
        self.read(self.inner.records(endpoint, after, limit)).await
    }

    async fn unseen(
        &self,
        endpoint: &Endpoint,
        snapshot: Sequence,
        after: Option<&RecordId>,
        limit: u32,
    ) -> Result<Vec<RecordId>, StoreError> {
        self.read(self.inner.unseen(endpoint, snapshot, after, limit))
            .await
    }

    async fn links_by_record(
        &self,
        sync: &str,
        side: Side,
        ids: &[RecordId],
    ) -> Result<Vec<Link>, StoreError> {
        self.read(self.inner.links_by_record(sync, side, ids)).await
    }

    async fn links(
        &self,
        sync: &str,
        after: Option<&LinkId>,
        limit: u32,
    ) -> Result<Vec<Link>, StoreError> {
        self.read(self.inner.links(sync, after, limit)).await
    }

    async fn intents(
        &self,
        sync: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Intent>, StoreError> {
        self.read(self.inner.intents(sync, after, limit)).await
    }

    async fn writes_of_others(
        &self,
        sync: &str,
        endpoint: &Endpoint,
        ids: &[RecordId],
    ) -> Result<Vec<Intent>, StoreError> {
        self.read(self.inner.writes_of_others(sync, endpoint, ids))
            .await
    }

    async fn conflicts(
        &self,
        sync: &str,
        which: Waiting,
        offset: u64,
        limit: u32,
    ) -> Result<Vec<Conflict>, StoreError> {
        self.read(self.inner.conflicts(sync, which, offset, limit))
            .await
    }

    async fn parked(&self, sync: &str, offset: u64, limit: u32) -> Result<Vec<Parked>, StoreError> {
        self.read(self.inner.parked(sync, offset, limit)).await
    }

    async fn decisions(
        &self,
        sync: &str,
        side: Side,
        records: &[RecordId],
    ) -> Result<Vec<Decision>, StoreError> {
        self.read(self.inner.decisions(sync, side, records)).await
    }

    async fn restrictions(
        &self,
        endpoint: &Endpoint,
        records: &[RecordId],
    ) -> Result<Vec<RecordRestriction>, StoreError> {
        self.read(self.inner.restrictions(endpoint, records)).await
    }

    async fn suppressions(&self, pseudonyms: &[String]) -> Result<Vec<Suppression>, StoreError> {
        self.read(self.inner.suppressions(pseudonyms)).await
    }

    async fn account(&self, account: &str) -> Result<Option<String>, StoreError> {
        self.read(self.inner.account(account)).await
    }

    async fn journal(
        &self,
        sync: &str,
        of: JournalOf<'_>,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<(u64, JournalEntry)>, StoreError> {
        self.read(self.inner.journal(sync, of, before, limit)).await
    }

    async fn cursor(&self, sync: &str, side: Side) -> Result<Option<Cursor>, StoreError> {
        self.read(self.inner.cursor(sync, side)).await
    }

    async fn state(&self, sync: &str) -> Result<SyncState, StoreError> {
        self.read(self.inner.state(sync)).await
    }

    async fn runs(&self, sync: &str, limit: u32) -> Result<Vec<RunRecord>, StoreError> {
        self.read(self.inner.runs(sync, limit)).await
    }

    async fn queued(&self, sync: &str) -> Result<u64, StoreError> {
        self.read(self.inner.queued(sync)).await
    }

    async fn counts(&self, sync: &str) -> Result<SyncCounts, StoreError> {
        self.read(self.inner.counts(sync)).await
    }
}

fn ok<T>(result: &Result<T, StoreError>) -> String {
    match result {
        Ok(_) => "done".to_owned(),
        Err(error) => error.to_string(),
    }
}
