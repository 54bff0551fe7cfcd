//! A world: the systems and their people, what the host has stored, and who watches over it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use samspel_model::Side;

use crate::agreement::Agreement;
use crate::chance::{Chance, Stream};
use crate::checkers::{Checks, Facts};
use crate::failpoint::Failpoint;
use crate::ledger::Ledger;
use crate::process::Process;
use crate::quirk::{Quirk, Quirks};
use crate::story::{Call, Fault, Story};
use crate::systems::System;
use crate::time::SimClock;
use crate::trace::{Trace, Watch};
use crate::violation::{Findings, Violation};

/// What was hit.
#[derive(Debug, Clone, Default)]
pub(crate) struct Coverage {
    /// Where processes died.
    pub failpoints: BTreeSet<Failpoint>,
    /// What took effect.
    pub quirks: Quirks,
}

/// A world.
pub(crate) struct World {
    /// Its time.
    pub clock: Arc<SimClock>,
    state: Mutex<State>,
}

/// Everything in a world but its time.
pub(crate) struct State {
    /// The seed.
    pub seed: u64,
    /// The systems.
    pub systems: Vec<System>,
    /// What the operator wants.
    pub agreements: Vec<Agreement>,
    /// What the host has stored.
    pub ledger: Ledger,
    /// What the checkers remember.
    pub checks: Checks,
    /// What happened.
    pub trace: Trace,
    /// What is looked at.
    pub watch: Watch,
    /// What was hit.
    pub coverage: Coverage,
    /// How many steps were made.
    pub step: u64,
    /// The first invariant that did not hold.
    pub violation: Option<Violation>,
    /// How many identifiers were given.
    pub ids: u64,
    /// Chance of the host.
    pub host_chance: Chance,
    /// Chance of the store.
    pub store_chance: Chance,
    /// Chance of each system.
    pub system_chance: Vec<Chance>,
    /// What will happen to calls.
    pub faults: Vec<Fault>,
    /// Where the process will die, and how often it passes before.
    pub crash: Option<(Failpoint, u32)>,
    /// How many commits go well before one fails.
    pub store_fails: Option<u32>,
    /// Write calls and items that reached a system.
    pub writes: u64,
    /// The newest lease of each sync.
    pub leases: BTreeMap<String, u64>,
}

impl World {
    /// The world of a story, before anything happens.
    pub fn new(story: &Story, watch: Watch) -> Self {
        let seed = story.seed;
        let count = story.systems.len();
        Self {
            clock: Arc::new(SimClock::default()),
            state: Mutex::new(State {
                seed,
                systems: story
                    .systems
                    .iter()
                    .enumerate()
                    .map(|(index, config)| System::new(index, config.clone()))
                    .collect(),
                agreements: story.agreements.clone(),
                ledger: Ledger::new(story.agreements.len()),
                checks: Checks::new(story.agreements.len()),
                trace: Trace::new(watch.trace),
                watch,
                coverage: Coverage::default(),
                step: 0,
                violation: None,
                ids: 0,
                host_chance: Chance::new(seed, Stream::Host),
                store_chance: Chance::new(seed, Stream::Store),
                system_chance: (0..count)
                    .map(|index| Chance::new(seed, Stream::System(index)))
                    .collect(),
                faults: Vec::new(),
                crash: None,
                store_fails: None,
                writes: 0,
                leases: BTreeMap::new(),
            }),
        }
    }

    /// Everything but the time.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// A line of the trace, and a step.
    pub fn step(&self, text: impl FnOnce() -> String) {
        let now = self.clock.now();
        let mut state = self.state();
        state.step += 1;
        if state.trace.is_on() {
            let step = state.step;
            let text = text();
            state.trace.line(step, now, &text);
        }
    }

    /// The process passes a place where it may die. Whether it is dead now.
    pub fn passes(&self, process: &Process, at: Failpoint) -> bool {
        if process.is_dead() {
            return true;
        }
        {
            let mut state = self.state();
            match &mut state.crash {
                Some((wanted, 0)) if *wanted == at => state.crash = None,
                Some((wanted, after)) if *wanted == at => {
                    *after -= 1;
                    return false;
                }
                _ => return false,
            }
            state.coverage.failpoints.insert(at);
        }
        self.step(|| format!("the process dies {at}"));
        process.die();
        true
    }
}

impl State {
    /// What happens to the next call of this kind, if something does.
    pub fn fault(
        &mut self,
        system: usize,
        call: Call,
        allowed: impl Fn(Quirk) -> bool,
    ) -> Option<Fault> {
        let index = self.faults.iter_mut().position(|fault| {
            if fault.system != system || fault.call != call {
                return false;
            }
            if fault.after > 0 {
                fault.after -= 1;
                return false;
            }
            allowed(fault.quirk)
        })?;
        Some(self.faults.remove(index))
    }

    /// A quirk took effect.
    pub fn hit(&mut self, quirk: Quirk) {
        self.coverage.quirks.with(quirk);
    }

    /// Lets checkers look, and keeps the first thing that they find.
    pub fn check(&mut self, look: impl FnOnce(&Facts<'_>, &mut Checks, &mut Findings), now: i64) {
        let mut findings = Findings::default();
        let facts = Facts {
            systems: &self.systems,
            agreements: &self.agreements,
            ledger: &self.ledger,
            step: self.step,
        };
        look(&facts, &mut self.checks, &mut findings);
        let watch = self.watch;
        if let Some(finding) = findings
            .0
            .into_iter()
            .find(|finding| watch.looks_at(finding.invariant))
            && self.violation.is_none()
        {
            self.trace.line(
                self.step,
                now,
                &format!(
                    "INVARIANT {} DOES NOT HOLD: {}",
                    finding.invariant, finding.what
                ),
            );
            self.violation = Some(Violation {
                invariant: finding.invariant,
                what: finding.what,
                step: self.step,
                seed: self.seed,
                tail: self.trace.tail(),
            });
        }
    }

    /// What was hit, the systems' quirks with it.
    pub fn covered(&self) -> Coverage {
        let mut coverage = self.coverage.clone();
        for system in &self.systems {
            coverage.quirks.join(system.hit);
        }
        coverage
    }

    /// The sync of a name.
    pub fn sync_called(&self, name: &str) -> Option<usize> {
        self.agreements
            .iter()
            .position(|agreement| agreement.name == name)
    }
}

/// How a side is called in a trace.
pub(crate) fn side_name(side: Side) -> &'static str {
    match side {
        Side::A => "A",
        Side::B => "B",
    }
}
