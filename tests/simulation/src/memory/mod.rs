//! A store in memory, for one tenant: ordered maps, no waiting, and the same outcome for the same calls.
//!
//! A [`MemoryFile`] is what a database file is: it survives the processes that open it. A [`MemoryStore`] is one open
//! store of one process. It keeps what the suite of `samspel-store` says of every store, and is written without that
//! crate's code, so that the two check each other.

mod apply;
mod erase;
mod leases;
mod observe;
mod state;
mod store;
mod view;
mod work;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use samspel_model::store::{Sequence, StoreError};

use state::State;
pub use view::View;

/// What survives the processes. Copies share it.
#[derive(Debug, Clone, Default)]
pub struct MemoryFile {
    state: Arc<Mutex<State>>,
}

impl MemoryFile {
    /// What a process does when it starts.
    pub fn open(&self) -> MemoryStore {
        let mut state = self.state.lock();
        let number = state.opened + 1;
        state.opened = number;
        state.open.insert(number);
        MemoryStore {
            sequence: AtomicU64::new(state.counters.sequence),
            file: self.clone(),
            number,
            dead: AtomicBool::new(false),
        }
    }

    /// What is stored now, to be looked at. No store of this file can be used while the view lives.
    pub fn look(&self) -> View<'_> {
        View::new(self.state.lock())
    }
}

/// One open store. When it is dropped or killed its leases are free.
#[derive(Debug)]
pub struct MemoryStore {
    file: MemoryFile,
    /// By which leases know it.
    number: u64,
    /// The newest commit that this process knows of.
    sequence: AtomicU64,
    dead: AtomicBool,
}

impl MemoryStore {
    /// The process dies: nothing that it asks for afterwards succeeds.
    pub fn kill(&self) {
        if !self.dead.swap(true, Ordering::AcqRel) {
            self.file.state.lock().open.remove(&self.number);
        }
    }

    /// What it is a store of.
    pub fn file(&self) -> &MemoryFile {
        &self.file
    }

    fn alive(&self, doing: &str) -> Result<(), StoreError> {
        if self.dead.load(Ordering::Acquire) {
            Err(StoreError::Backend {
                doing: doing.to_owned(),
                source: "the process is dead".into(),
            })
        } else {
            Ok(())
        }
    }

    fn read<T>(&self, what: impl FnOnce(&State) -> T) -> Result<T, StoreError> {
        self.alive("reading")?;
        Ok(what(&self.file.state.lock()))
    }

    fn write<T>(
        &self,
        doing: &str,
        what: impl FnOnce(&mut State) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.alive(doing)?;
        let mut state = self.file.state.lock();
        let done = what(&mut state);
        self.learn(state.counters.sequence);
        done
    }

    /// Whoever writes learns what others have committed.
    fn learn(&self, newest: Sequence) {
        self.sequence.fetch_max(newest, Ordering::AcqRel);
    }
}

impl Drop for MemoryStore {
    fn drop(&mut self) {
        self.kill();
    }
}
