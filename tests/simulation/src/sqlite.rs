//! The second tier: real SQLite on a temporary file, with the settings of production.
//!
//! The database works on threads of its own, which would make the order of events depend on the machine. So each
//! operation runs in a second runtime, and the simulation's thread stands still until it is done: from the world's
//! view it takes no time, as in memory.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::executor::block_on;
use jiff::Timestamp;
use parking_lot::Mutex;
use samspel_model::hook::{Hinted, HookStore};
use samspel_model::intent::Intent;
use samspel_model::journal::JournalEntry;
use samspel_model::store::{
    Commit, Conflict, Cursor, Decision, Dirty, Endpoint, JournalOf, Lease, Observation, Parked,
    Receipt, RecordRestriction, RunRecord, Sequence, Suppression, SyncCounts, SyncState, Waiting,
};
use samspel_model::{Link, LinkId, RecordId, Side, Store, StoreError};
use samspel_store::SqliteStore;
use tempfile::TempDir;
use tokio::runtime::{Handle, Runtime};

use crate::tier::{Disk, Opened, Told};

/// The runtime that the databases of a thread work in.
#[derive(Debug)]
pub(crate) struct Engine(Runtime);

impl Engine {
    /// A runtime with one thread.
    ///
    /// # Errors
    /// The operating system refused a thread.
    pub fn new() -> std::io::Result<Self> {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map(Self)
    }

    /// A new, empty database.
    ///
    /// # Errors
    /// The temporary directory could not be made.
    pub fn disk(&self) -> std::io::Result<SqliteDisk> {
        let directory = tempfile::tempdir()?;
        Ok(SqliteDisk {
            file: directory.path().join("world.db"),
            runtime: self.0.handle().clone(),
            _directory: directory,
        })
    }
}

/// A database file.
#[derive(Debug)]
pub(crate) struct SqliteDisk {
    file: PathBuf,
    runtime: Handle,
    _directory: TempDir,
}

/// Does something in the other runtime, and waits for it.
fn done<T: Send + 'static>(
    runtime: &Handle,
    what: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    block_on(runtime.spawn(what)).unwrap_or_else(|error| {
        Err(StoreError::Backend {
            doing: "working in the database's runtime".to_owned(),
            source: Box::new(error),
        })
    })
}

impl Disk for SqliteDisk {
    fn open(&self) -> Result<Opened, StoreError> {
        let file = self.file.clone();
        let store = done(&self.runtime, async move {
            SqliteStore::open(&file, "main").await
        })?;
        let held = Arc::new(Mutex::new(Some(Arc::new(store))));
        let dying = Arc::clone(&held);
        let runtime = self.runtime.clone();
        Ok(Opened {
            store: Arc::new(Blocking {
                held,
                runtime: self.runtime.clone(),
            }),
            close: Box::new(move || {
                if let Some(store) = dying.lock().take() {
                    // A connection that closes late would hold the file of a later process.
                    let closed = done(&runtime, async move {
                        store.close().await;
                        Ok(())
                    });
                    debug_assert!(closed.is_ok());
                }
            }),
        })
    }
}

#[async_trait]
impl Told for Blocking {
    async fn told(&self, hinted: Vec<Hinted>, at: Timestamp) -> Result<(), StoreError> {
        let store = self.store()?;
        done(&self.runtime, async move {
            store.hooks_understood(&[], &hinted, at).await.map(drop)
        })
    }
}

/// A store whose operations take no time.
struct Blocking {
    /// `None` once the process is dead.
    held: Arc<Mutex<Option<Arc<SqliteStore>>>>,
    runtime: Handle,
}

impl Blocking {
    fn store(&self) -> Result<Arc<SqliteStore>, StoreError> {
        self.held.lock().clone().ok_or_else(|| StoreError::Backend {
            doing: "asking a store that is closed".to_owned(),
            source: "the process is dead".into(),
        })
    }
}

/// Calls a function of the store with owned copies of its arguments.
macro_rules! call {
    ($self:ident.$name:ident($($argument:ident),*)) => {{
        let store = $self.store()?;
        $(let $argument = $argument.to_owned();)*
        done(&$self.runtime, async move { store.$name($(call!(@ $argument)),*).await })
    }};
    (@ $argument:ident) => { std::borrow::Borrow::borrow(&$argument) };
}

#[async_trait]
impl Store for Blocking {
    fn sequence(&self) -> Sequence {
        self.store().map_or(0, |store| store.sequence())
    }

    async fn register(&self, sync: &str, endpoints: &[Endpoint; 2]) -> Result<(), StoreError> {
        call!(self.register(sync, endpoints))
    }

    async fn acquire_lease(
        &self,
        sync: &str,
        owner: &str,
        now: Timestamp,
        ttl: Duration,
    ) -> Result<Lease, StoreError> {
        let store = self.store()?;
        let (sync, owner) = (sync.to_owned(), owner.to_owned());
        done(&self.runtime, async move {
            store.acquire_lease(&sync, &owner, now, ttl).await
        })
    }

    async fn renew_lease(
        &self,
        lease: &Lease,
        now: Timestamp,
        ttl: Duration,
    ) -> Result<(), StoreError> {
        let (store, lease) = (self.store()?, lease.clone());
        done(&self.runtime, async move {
            store.renew_lease(&lease, now, ttl).await
        })
    }

    async fn release_lease(&self, lease: &Lease) -> Result<(), StoreError> {
        call!(self.release_lease(lease))
    }

    async fn lease_holder(&self, sync: &str) -> Result<Option<(String, Timestamp)>, StoreError> {
        call!(self.lease_holder(sync))
    }

    async fn commit(&self, lease: &Lease, commit: Commit) -> Result<Receipt, StoreError> {
        let (store, lease) = (self.store()?, lease.clone());
        done(
            &self.runtime,
            async move { store.commit(&lease, commit).await },
        )
    }

    async fn reset(&self, lease: &Lease) -> Result<(), StoreError> {
        call!(self.reset(lease))
    }

    async fn owed(
        &self,
        sync: &str,
        side: Side,
        ids: &[RecordId],
    ) -> Result<Vec<Dirty>, StoreError> {
        let (store, sync, ids) = (self.store()?, sync.to_owned(), ids.to_vec());
        done(
            &self.runtime,
            async move { store.owed(&sync, side, &ids).await },
        )
    }

    async fn dirty(&self, sync: &str, after: u64, limit: u32) -> Result<Vec<Dirty>, StoreError> {
        let (store, sync) = (self.store()?, sync.to_owned());
        done(&self.runtime, async move {
            store.dirty(&sync, after, limit).await
        })
    }

    async fn observations(
        &self,
        endpoint: &Endpoint,
        ids: &[RecordId],
    ) -> Result<Vec<Observation>, StoreError> {
        call!(self.observations(endpoint, ids))
    }

    async fn records_by_key(
        &self,
        endpoint: &Endpoint,
        field: &str,
        values: &[String],
        limit: u32,
    ) -> Result<Vec<(String, RecordId)>, StoreError> {
        let store = self.store()?;
        let (endpoint, field, values) = (endpoint.clone(), field.to_owned(), values.to_vec());
        done(&self.runtime, async move {
            store
                .records_by_key(&endpoint, &field, &values, limit)
                .await
        })
    }

    async fn records(
        &self,
        endpoint: &Endpoint,
        after: Option<&RecordId>,
        limit: u32,
    ) -> Result<Vec<Observation>, StoreError> {
        let (store, endpoint, after) = (self.store()?, endpoint.clone(), after.cloned());
        done(&self.runtime, async move {
            store.records(&endpoint, after.as_ref(), limit).await
        })
    }

    async fn unseen(
        &self,
        endpoint: &Endpoint,
        snapshot: Sequence,
        after: Option<&RecordId>,
        limit: u32,
    ) -> Result<Vec<RecordId>, StoreError> {
        let (store, endpoint, after) = (self.store()?, endpoint.clone(), after.cloned());
        done(&self.runtime, async move {
            store
                .unseen(&endpoint, snapshot, after.as_ref(), limit)
                .await
        })
    }

    async fn links_by_record(
        &self,
        sync: &str,
        side: Side,
        ids: &[RecordId],
    ) -> Result<Vec<Link>, StoreError> {
        let (store, sync, ids) = (self.store()?, sync.to_owned(), ids.to_vec());
        done(&self.runtime, async move {
            store.links_by_record(&sync, side, &ids).await
        })
    }

    async fn links(
        &self,
        sync: &str,
        after: Option<&LinkId>,
        limit: u32,
    ) -> Result<Vec<Link>, StoreError> {
        let (store, sync, after) = (self.store()?, sync.to_owned(), after.cloned());
        done(&self.runtime, async move {
            store.links(&sync, after.as_ref(), limit).await
        })
    }

    async fn intents(
        &self,
        sync: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Intent>, StoreError> {
        let store = self.store()?;
        let (sync, after) = (sync.to_owned(), after.map(str::to_owned));
        done(&self.runtime, async move {
            store.intents(&sync, after.as_deref(), limit).await
        })
    }

    async fn writes_of_others(
        &self,
        sync: &str,
        endpoint: &Endpoint,
        ids: &[RecordId],
    ) -> Result<Vec<Intent>, StoreError> {
        let (store, sync) = (self.store()?, sync.to_owned());
        let (endpoint, ids) = (endpoint.clone(), ids.to_vec());
        done(&self.runtime, async move {
            store.writes_of_others(&sync, &endpoint, &ids).await
        })
    }

    async fn conflicts(
        &self,
        sync: &str,
        which: Waiting,
        offset: u64,
        limit: u32,
    ) -> Result<Vec<Conflict>, StoreError> {
        let (store, sync) = (self.store()?, sync.to_owned());
        done(&self.runtime, async move {
            store.conflicts(&sync, which, offset, limit).await
        })
    }

    async fn parked(&self, sync: &str, offset: u64, limit: u32) -> Result<Vec<Parked>, StoreError> {
        let (store, sync) = (self.store()?, sync.to_owned());
        done(&self.runtime, async move {
            store.parked(&sync, offset, limit).await
        })
    }

    async fn decisions(
        &self,
        sync: &str,
        side: Side,
        records: &[RecordId],
    ) -> Result<Vec<Decision>, StoreError> {
        let (store, sync, records) = (self.store()?, sync.to_owned(), records.to_vec());
        done(&self.runtime, async move {
            store.decisions(&sync, side, &records).await
        })
    }

    async fn restrictions(
        &self,
        endpoint: &Endpoint,
        records: &[RecordId],
    ) -> Result<Vec<RecordRestriction>, StoreError> {
        call!(self.restrictions(endpoint, records))
    }

    async fn suppressions(&self, pseudonyms: &[String]) -> Result<Vec<Suppression>, StoreError> {
        let (store, pseudonyms) = (self.store()?, pseudonyms.to_vec());
        done(&self.runtime, async move {
            store.suppressions(&pseudonyms).await
        })
    }

    async fn account(&self, account: &str) -> Result<Option<String>, StoreError> {
        call!(self.account(account))
    }

    async fn journal(
        &self,
        sync: &str,
        of: JournalOf<'_>,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<(u64, JournalEntry)>, StoreError> {
        enum Of {
            Sync,
            Record(Side, RecordId),
            Link(LinkId),
            Run(String),
        }
        let of = match of {
            JournalOf::Sync => Of::Sync,
            JournalOf::Record(side, id) => Of::Record(side, id.clone()),
            JournalOf::Link(id) => Of::Link(id.clone()),
            JournalOf::Run(run) => Of::Run(run.to_owned()),
        };
        let (store, sync) = (self.store()?, sync.to_owned());
        done(&self.runtime, async move {
            let of = match &of {
                Of::Sync => JournalOf::Sync,
                Of::Record(side, id) => JournalOf::Record(*side, id),
                Of::Link(id) => JournalOf::Link(id),
                Of::Run(run) => JournalOf::Run(run),
            };
            store.journal(&sync, of, before, limit).await
        })
    }

    async fn cursor(&self, sync: &str, side: Side) -> Result<Option<Cursor>, StoreError> {
        let (store, sync) = (self.store()?, sync.to_owned());
        done(
            &self.runtime,
            async move { store.cursor(&sync, side).await },
        )
    }

    async fn state(&self, sync: &str) -> Result<SyncState, StoreError> {
        call!(self.state(sync))
    }

    async fn runs(&self, sync: &str, limit: u32) -> Result<Vec<RunRecord>, StoreError> {
        let (store, sync) = (self.store()?, sync.to_owned());
        done(&self.runtime, async move { store.runs(&sync, limit).await })
    }

    async fn queued(&self, sync: &str) -> Result<u64, StoreError> {
        call!(self.queued(sync))
    }

    async fn counts(&self, sync: &str) -> Result<SyncCounts, StoreError> {
        call!(self.counts(sync))
    }
}
