//! One seed: its story is played, and what it came to is told.

use std::sync::Arc;

use crate::driver::Driver;
use crate::executor::{self, Halt};
use crate::memory::MemoryFile;
use crate::sqlite::Engine;
use crate::story::Story;
use crate::tier::Disk;
use crate::trace::Watch;
use crate::violation::{Findings, Violation};
use crate::world::{Coverage, World};

/// How often the time may move in a seed: more means that something never ends.
const TIMERS: u64 = 400_000;

/// What a seed came to.
pub(crate) struct Played {
    /// The first invariant that did not hold.
    pub violation: Option<Violation>,
    /// What was hit.
    pub coverage: Coverage,
    /// How many steps were made.
    pub steps: u64,
    /// What happened, where it was kept.
    pub trace: Vec<String>,
}

/// Plays a story on a disk.
fn play(story: &Story, disk: Arc<dyn Disk>, watch: Watch) -> Played {
    let world = Arc::new(World::new(story, watch));
    let story = Arc::new(story.clone());
    let ended = match Driver::new(Arc::clone(&world), story, disk) {
        Ok(driver) => {
            let watched = Arc::clone(&world);
            executor::run(
                &world.clock,
                move || watched.clock.fired() > TIMERS || watched.state().violation.is_some(),
                driver.play(),
            )
        }
        Err(error) => Err(Halt::Panicked(error)),
    };
    let what = match ended {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some((11, format!("the world ended with: {error}"))),
        Err(Halt::Stopped) => Some((12, "it never ends".to_owned())),
        Err(halt @ Halt::Stuck) => Some((12, halt.to_string())),
        Err(halt) => Some((11, halt.to_string())),
    };
    let now = world.clock.now();
    let mut state = world.state();
    if let Some((invariant, what)) = what {
        state.check(
            |_, _, findings: &mut Findings| findings.add(invariant, what),
            now,
        );
    }
    Played {
        violation: state.violation.take(),
        coverage: state.covered(),
        steps: state.step,
        trace: state.trace.take(),
    }
}

/// What a world's host stores in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tier {
    /// Memory: fast.
    #[default]
    Memory,
    /// A real SQLite file.
    Sqlite,
}

/// Plays stories on one tier, one after the other.
pub(crate) struct Stage {
    engine: Option<Engine>,
}

impl Stage {
    /// A stage of a tier.
    ///
    /// # Errors
    /// The operating system refused a thread.
    pub fn new(tier: Tier) -> std::io::Result<Self> {
        let engine = match tier {
            Tier::Memory => None,
            Tier::Sqlite => Some(Engine::new()?),
        };
        Ok(Self { engine })
    }

    /// Plays a story on a new, empty disk.
    ///
    /// # Errors
    /// There is no place for a database.
    pub fn play(&self, story: &Story, watch: Watch) -> std::io::Result<Played> {
        let disk: Arc<dyn Disk> = match &self.engine {
            None => Arc::new(MemoryFile::default()),
            Some(engine) => Arc::new(engine.disk()?),
        };
        Ok(play(story, disk, watch))
    }
}
