//! Many seeds, on several threads.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use parking_lot::Mutex;
use serde::Serialize;

use crate::failpoint::Failpoint;
use crate::quirk::{Quirk, Quirks};
use crate::simulate::{Played, Stage, Tier};
use crate::story::Story;
use crate::trace::Watch;
use crate::violation::Violation;
use crate::world::Coverage;

/// What is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many seeds.
    pub seeds: u64,
    /// The first.
    pub from: u64,
    /// How many at once.
    pub threads: usize,
    /// What is stored in.
    pub tier: Tier,
    /// The run ends after so many violations.
    pub enough: usize,
    /// Invariants, by their bits, that are not looked at, so that others are found.
    pub without: u16,
}

/// How much of something was hit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hit {
    /// So much.
    pub hit: usize,
    /// Of so much.
    pub total: usize,
    /// What was not.
    pub missed: Vec<String>,
}

/// What the seeds came to.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// How many seeds were played.
    pub seeds: u64,
    /// How many of them broke an invariant.
    pub violations: usize,
    /// How fast, on all threads.
    pub seeds_per_second: f64,
    /// How many steps were made.
    pub steps: u64,
    /// The fewest steps of a seed.
    pub fewest_steps: u64,
    /// Where processes died.
    pub failpoints: Hit,
    /// What took effect.
    pub quirks: Hit,
    /// What was found, by seed.
    pub found: Vec<Violation>,
}

#[derive(Default)]
struct Collected {
    played: u64,
    steps: u64,
    fewest: Option<u64>,
    coverage: Coverage,
    found: Vec<Violation>,
}

/// Plays seeds until all are played or enough is found. `tell` is called after each.
///
/// # Errors
/// There is no place to play them.
pub fn run(options: &Options, tell: impl Fn(u64) + Sync) -> io::Result<Summary> {
    let next = AtomicU64::new(options.from);
    let end = options.from + options.seeds;
    let collected = Mutex::new(Collected::default());
    let began = Instant::now();
    let watch = Watch {
        trace: false,
        without: options.without,
    };
    let play = || -> io::Result<()> {
        let stage = Stage::new(options.tier)?;
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end || collected.lock().found.len() >= options.enough {
                return Ok(());
            }
            let played = stage.play(&Story::draw(seed), watch)?;
            collected.lock().add(played);
            tell(seed);
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..options.threads.max(1))
            .map(|_| scope.spawn(play))
            .collect();
        for thread in threads {
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        Ok::<_, io::Error>(())
    })?;
    let seconds = began.elapsed().as_secs_f64();
    Ok(collected.into_inner().summary(seconds))
}

impl Collected {
    fn add(&mut self, played: Played) {
        self.played += 1;
        self.steps += played.steps;
        self.fewest = Some(
            self.fewest
                .map_or(played.steps, |fewest| fewest.min(played.steps)),
        );
        self.coverage.failpoints.extend(played.coverage.failpoints);
        self.coverage.quirks.join(played.coverage.quirks);
        self.found.extend(played.violation);
    }

    fn summary(mut self, seconds: f64) -> Summary {
        self.found.sort_by_key(|violation| violation.seed);
        let all = Failpoint::all();
        Summary {
            seeds: self.played,
            violations: self.found.len(),
            seeds_per_second: self.played as f64 / seconds.max(f64::EPSILON),
            steps: self.steps,
            fewest_steps: self.fewest.unwrap_or_default(),
            failpoints: Hit {
                hit: self.coverage.failpoints.len(),
                total: all.len(),
                missed: all
                    .iter()
                    .filter(|failpoint| !self.coverage.failpoints.contains(failpoint))
                    .map(ToString::to_string)
                    .collect(),
            },
            quirks: quirks(self.coverage.quirks),
            found: self.found,
        }
    }
}

fn quirks(hit: Quirks) -> Hit {
    Hit {
        hit: hit.iter().count(),
        total: Quirk::ALL.len(),
        missed: Quirk::ALL
            .iter()
            .filter(|quirk| !hit.has(**quirk))
            .map(ToString::to_string)
            .collect(),
    }
}
