//! `samspel sync pause`, `resume` and `reset`: what an operator decides about a sync.

use std::time::Duration;

use samspel_model::journal::{JournalEntry, JournalKind};
use samspel_model::store::{Change, Endpoint, Lease, StoreError};
use samspel_model::{Clock, Store};
use serde_json::json;

/// Long enough for one commit; a process that dies here blocks nobody for long.
const LEASE: Duration = Duration::from_secs(30);

/// An operator at work on one sync.
pub struct Operator<'a> {
    /// Where decisions are kept.
    pub store: &'a dyn Store,
    /// The time.
    pub clock: &'a dyn Clock,
    /// Who acts, for the lease.
    pub owner: &'a str,
    /// The sync.
    pub sync: &'a str,
    /// Its sides.
    pub endpoints: &'a [Endpoint; 2],
}

impl Operator<'_> {
    /// Refuses runs until resumed.
    pub async fn pause(&self, reason: &str) -> Result<(), StoreError> {
        let lease = self.lease().await?;
        let done = self.set_paused(&lease, Some(reason)).await;
        self.finish(&lease, done).await
    }

    /// Allows runs again. Answers what they had been refused for.
    pub async fn resume(&self) -> Result<Option<String>, StoreError> {
        let lease = self.lease().await?;
        let done = async {
            let was = self.store.state(self.sync).await?.paused;
            self.set_paused(&lease, None).await?;
            Ok(was)
        };
        let done = done.await;
        self.finish(&lease, done).await
    }

    /// Forgets everything but observations and the journal.
    pub async fn reset(&self) -> Result<(), StoreError> {
        let lease = self
            .store
            .acquire_lease(self.sync, self.owner, self.clock.now(), LEASE)
            .await?;
        let done = async {
            self.store.reset(&lease).await?;
            self.store.register(self.sync, self.endpoints).await?;
            self.store
                .commit(&lease, vec![self.entry("reset", None)])
                .await?;
            Ok(())
        };
        let done = done.await;
        self.finish(&lease, done).await
    }

    async fn lease(&self) -> Result<Lease, StoreError> {
        self.store.register(self.sync, self.endpoints).await?;
        self.store
            .acquire_lease(self.sync, self.owner, self.clock.now(), LEASE)
            .await
    }

    async fn set_paused(&self, lease: &Lease, reason: Option<&str>) -> Result<(), StoreError> {
        let mut state = self.store.state(self.sync).await?;
        state.paused = reason.map(str::to_owned);
        let act = if reason.is_some() { "pause" } else { "resume" };
        self.store
            .commit(
                lease,
                vec![Change::PutState(state), self.entry(act, reason)],
            )
            .await?;
        Ok(())
    }

    /// Gives the lease back, whatever happened; what happened matters more than whether that worked.
    async fn finish<T>(&self, lease: &Lease, done: Result<T, StoreError>) -> Result<T, StoreError> {
        let released = self.store.release_lease(lease).await;
        let done = done?;
        released?;
        Ok(done)
    }

    fn entry(&self, act: &str, reason: Option<&str>) -> Change {
        Change::Journal(vec![JournalEntry {
            at: self.clock.now(),
            run: None,
            kind: JournalKind::Operator,
            link: None,
            side: None,
            record: None,
            detail: json!({ "act": act, "by": self.owner, "reason": reason }),
        }])
    }
}
