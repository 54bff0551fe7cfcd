//! The host's process, which may die at any failpoint. Nothing of a dead process acts: each of its operations asks
//! first, and what it spawned is dropped.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use parking_lot::Mutex;
use samspel_model::{Clock, Ids};
use tokio::task::AbortHandle;

use crate::time::{Millis, SimClock};
use crate::world::World;

/// A process of the host.
pub(crate) struct Process {
    /// Which one; it grows with each.
    pub number: u32,
    life: Mutex<Life>,
}

#[derive(Default)]
struct Life {
    dead: bool,
    stalled_until: Millis,
    runs: Vec<AbortHandle>,
    /// What the system does when the process is gone: it closes its files.
    last: Option<Box<dyn FnOnce() + Send>>,
}

impl Process {
    /// A process that lives. `last` is done when it dies.
    pub fn new(number: u32, last: impl FnOnce() + Send + 'static) -> Self {
        Self {
            number,
            life: Mutex::new(Life {
                last: Some(Box::new(last)),
                ..Life::default()
            }),
        }
    }

    /// Whether it is gone.
    pub fn is_dead(&self) -> bool {
        self.life.lock().dead
    }

    /// A run of it, which ends with it.
    pub fn owns(&self, run: AbortHandle) {
        self.life.lock().runs.push(run);
    }

    /// It dies: what it was doing is dropped, and its files are closed.
    pub fn die(&self) {
        let (runs, last) = {
            let mut life = self.life.lock();
            life.dead = true;
            (std::mem::take(&mut life.runs), life.last.take())
        };
        for run in runs {
            run.abort();
        }
        if let Some(last) = last {
            last();
        }
    }

    /// It stands still until then.
    pub fn stall(&self, until: Millis) {
        self.life.lock().stalled_until = until;
    }

    /// Whether it stands still.
    pub fn is_stalled(&self, now: Millis) -> bool {
        self.life.lock().stalled_until > now
    }

    /// Returns when the process goes on; never, once it is dead.
    pub async fn goes_on(&self, clock: &Arc<SimClock>) {
        loop {
            let (dead, until) = {
                let life = self.life.lock();
                (life.dead, life.stalled_until)
            };
            if dead {
                std::future::pending::<()>().await;
            }
            let wait = until - clock.now();
            if wait <= 0 {
                return;
            }
            clock.sleep(wait).await;
        }
    }
}

/// The time as a process has it.
pub(crate) struct ProcessClock {
    /// The virtual time.
    pub clock: Arc<SimClock>,
    /// The process.
    pub process: Arc<Process>,
}

#[async_trait]
impl Clock for ProcessClock {
    fn now(&self) -> Timestamp {
        self.clock.host_now()
    }

    async fn sleep(&self, duration: std::time::Duration) {
        let millis = duration.as_millis().min(i64::MAX as u128) as Millis;
        self.clock.sleep(millis.max(1)).await;
        self.process.goes_on(&self.clock).await;
    }
}

/// Identifiers and chance of a world.
pub(crate) struct SimIds(pub Arc<World>);

impl Ids for SimIds {
    fn next(&self) -> String {
        let mut state = self.0.state();
        state.ids += 1;
        format!("i{:06}", state.ids)
    }

    fn random(&self) -> u64 {
        self.0.state().host_chance.number()
    }
}
