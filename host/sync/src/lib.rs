//! One run of a sync: observe -> plan -> write -> settle, and its recovery after a crash.
//!
//! Everything outside is behind a port of `samspel-model`: the two remote systems, the store, the clock, identifiers.
//! So the same code runs in production and under a simulation. A reader starts at [`Sync`]; `run` holds the event
//! loop, in which `reader`, `planner` and `writer` overlap; `recovery` finds out what became of writes whose
//! outcome is unknown.

mod accounts;
mod compare;
mod context;
mod erase;
mod error;
mod history;
mod lookup;
mod losers;
mod offers;
mod operator;
mod opt_outs;
mod outbox;
mod planner;
mod progress;
mod reader;
mod recovery;
mod report;
mod retry;
mod run;
pub mod system;
mod undo;
mod verify;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use samspel_engine::SyncSpec;
use samspel_engine::pseudonym::Pseudonyms;
use samspel_model::store::{Cursor, Endpoint};
use samspel_model::{Clock, Connector, Ids, Side, Store};
use tokio_util::sync::CancellationToken;

pub use accounts::Accounts;
pub use compare::{Comparison, Difference};
pub use erase::{Concerned, Erasure, erase, person};
pub use error::SyncError;
pub use history::{Event, FieldHistory, History, history};
pub use lookup::find_records;
pub use offers::Offers;
pub use operator::{Chosen, Operator};
pub use progress::{Phase, Progress, Silent, Snapshot};
pub use report::{PlanReport, PlanSample, RunReport, Sides, VerifyReport, VerifySample};
pub use run::{Confirm, Confirmation, RunOptions};
pub use undo::{Left, UndoReport};

/// One side of a sync: a collection of an account, and the connector that reaches it.
#[derive(Clone)]
pub struct Party {
    /// Where its records are kept in the store.
    pub endpoint: Endpoint,
    /// The connector, bound to the account.
    pub connector: Arc<dyn Connector>,
    /// The layout of the cursors that the connector writes.
    pub cursor_version: u32,
    /// The layouts that it reads besides.
    pub cursor_versions_read: Vec<u32>,
    /// Fingerprint of the account's settings. Under another one everything is read again, and who the account is at
    /// the remote is asked.
    pub scope: Option<String>,
}

impl Party {
    /// Whether the connector goes on from a position.
    fn reads(&self, cursor: &Cursor) -> bool {
        cursor.version == self.cursor_version || self.cursor_versions_read.contains(&cursor.version)
    }
}

/// Everything a sync is made of.
#[derive(Clone)]
pub struct SyncParts {
    /// Its name: the key of its state in the store.
    pub name: String,
    /// What the operator wrote.
    pub spec: SyncSpec,
    /// A and B.
    pub parties: [Party; 2],
    /// What survives.
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Identifiers.
    pub ids: Arc<dyn Ids>,
    /// Recognises the addresses of erased people. `None`: nobody was ever erased.
    pub pseudonyms: Option<Pseudonyms>,
    /// What the accounts were last found to offer; shared by all runs of the sync in this process.
    pub offers: Arc<Offers>,
    /// Who holds the lease: program, host and process, for people.
    pub owner: String,
    /// How long a lease lasts unless it is renewed; it is renewed three times as often.
    pub lease_ttl: Duration,
}

/// A sync that can be run.
#[derive(Clone)]
pub struct Sync {
    parts: Arc<SyncParts>,
}

impl Sync {
    /// A sync of these parts. Nothing is read or checked yet.
    pub fn new(parts: SyncParts) -> Self {
        Self {
            parts: Arc::new(parts),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.parts.name
    }

    /// Reads what changed, decides, writes, and settles, until nothing is left to do.
    ///
    /// `stop` ends it early and gracefully: nothing new is read or planned, and writes under way are settled.
    ///
    /// # Errors
    /// See [`SyncError`]. What was settled until then stays settled.
    pub async fn run(
        &self,
        options: RunOptions,
        progress: &dyn Progress,
        stop: CancellationToken,
    ) -> Result<RunReport, SyncError> {
        run::run(&self.parts, options, progress, stop).await
    }

    /// Reads what changed and decides, and writes nothing. `samples`: how many decisions of one kind and side are
    /// shown.
    ///
    /// # Errors
    /// See [`SyncError`].
    pub async fn plan(
        &self,
        samples: usize,
        progress: &dyn Progress,
        stop: CancellationToken,
    ) -> Result<PlanReport, SyncError> {
        run::plan(&self.parts, samples, progress, stop).await
    }

    /// Reads both sides completely and compares every linked pair. Writes nothing, unless pairs that differ are to be
    /// healed: then they are planned anew, and what follows is written.
    ///
    /// # Errors
    /// See [`SyncError`].
    pub async fn verify(
        &self,
        heal: bool,
        progress: &dyn Progress,
        stop: CancellationToken,
    ) -> Result<VerifyReport, SyncError> {
        verify::verify(&self.parts, heal, progress, stop).await
    }

    /// Compares what would be written with another version of a side's connector with what is written with the one in
    /// use, for up to `sample` linked records. Both are asked for them; nothing is stored, and nothing is sent. A
    /// version that does not offer what the sync needs, or does not go on from the stored position although it says so,
    /// is an error. Where the one in use fails, nothing is compared.
    ///
    /// # Errors
    /// See [`SyncError`].
    pub async fn compare(
        &self,
        side: Side,
        other: &Party,
        sample: u32,
    ) -> Result<Comparison, SyncError> {
        compare::compare(&self.parts, side, other, sample).await
    }

    /// Takes back what a run wrote, where the remotes still hold it. Consents stay.
    ///
    /// # Errors
    /// See [`SyncError`]; [`SyncError::Refused`] if there is no such run.
    pub async fn undo(
        &self,
        run: &str,
        progress: &dyn Progress,
        stop: CancellationToken,
    ) -> Result<UndoReport, SyncError> {
        undo::undo(&self.parts, run, progress, stop).await
    }
}
