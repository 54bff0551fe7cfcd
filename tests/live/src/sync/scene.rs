//! One scene of the story: runs, what must be seen after them, and how long the runs took.

use std::time::Instant;

use samspel_provision::note;

use super::report::Scenario;
use super::run::Runs;
use crate::error::LiveError;

/// What was seen so far.
#[derive(Debug, Default)]
pub struct Checks {
    seen: Vec<String>,
    failed: bool,
}

impl Checks {
    /// Something that must hold.
    pub fn check(&mut self, what: &str, holds: bool) {
        let mark = if holds { "yes" } else { "NO" };
        self.failed |= !holds;
        self.seen.push(format!("{what}: {mark}"));
        note(&format!("  {what}: {mark}"));
    }

    /// Whether all of it holds, and what it was.
    pub fn end(self) -> (bool, Vec<String>) {
        (!self.failed, self.seen)
    }
}

/// A scenario that is being played.
#[derive(Debug)]
pub struct Scene<'a> {
    runs: &'a Runs,
    checks: Checks,
    seconds: f64,
}

impl<'a> Scene<'a> {
    /// Plays a scenario to its end. What cannot be done or seen fails this scenario and no other.
    pub async fn play(
        runs: &'a Runs,
        name: &'static str,
        title: &str,
        acts: impl AsyncFnOnce(&mut Self) -> Result<(), LiveError>,
    ) -> Scenario {
        note("");
        note(title);
        let mut scene = Self {
            runs,
            checks: Checks::default(),
            seconds: 0.0,
        };
        if let Err(error) = acts(&mut scene).await {
            scene.check(&format!("it can be played ({error})"), false);
        }
        let (ok, seen) = scene.checks.end();
        let verdict = if ok { "ok" } else { "FAILED" };
        note(&format!("{verdict}, {:.2} s", scene.seconds));
        Scenario {
            name,
            ok,
            seconds: scene.seconds,
            seen,
        }
    }

    /// Something happened in one system; a run carries it to the other.
    pub async fn sync(&mut self, what: &str) -> Result<(), LiveError> {
        let started = Instant::now();
        let done = self.runs.once().await?;
        let seconds = started.elapsed().as_secs_f64();
        self.seconds += seconds;
        note(&format!(
            "{what}; synced in {seconds:.2} s, {} writes",
            done.writes
        ));
        Ok(())
    }

    /// Something that must hold.
    pub fn check(&mut self, what: &str, holds: bool) {
        self.checks.check(what, holds);
    }
}
