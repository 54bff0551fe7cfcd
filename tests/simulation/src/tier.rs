//! What a world's host stores in: memory, or a real SQLite file.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use samspel_model::hook::Hinted;
use samspel_model::{Store, StoreError};

use crate::memory::MemoryFile;

/// What survives the processes.
pub(crate) trait Disk: Send + Sync {
    /// A process begins, and opens what is stored.
    fn open(&self) -> Result<Opened, StoreError>;
}

/// A store in which records can be marked from outside of a run, as notifications do.
#[async_trait]
pub(crate) trait Told: Store {
    /// See [`samspel_model::hook::HookStore::hooks_understood`].
    async fn told(&self, hinted: Vec<Hinted>, at: Timestamp) -> Result<(), StoreError>;
}

/// What a process opened.
pub(crate) struct Opened {
    /// The store.
    pub store: Arc<dyn Told>,
    /// What the system does with it when the process dies.
    pub close: Box<dyn FnOnce() + Send>,
}

impl Disk for MemoryFile {
    fn open(&self) -> Result<Opened, StoreError> {
        let store = Arc::new(MemoryFile::open(self));
        let dying = Arc::clone(&store);
        Ok(Opened {
            store,
            close: Box::new(move || dying.kill()),
        })
    }
}
