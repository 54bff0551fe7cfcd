//! What happened, a line a step. Only written when asked for: building lines costs more than the steps.

use std::fmt::Write;

use crate::time::Millis;

/// How many lines of the end are kept where only the end is of interest.
const TAIL: usize = 40;

/// What is watched in a world.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Watch {
    /// Every step is told.
    pub trace: bool,
    /// Invariants, by their bits, that are not looked at, so that others are found.
    pub without: u16,
}

impl Watch {
    /// Whether an invariant is looked at.
    pub fn looks_at(self, invariant: u8) -> bool {
        self.without & (1 << invariant) == 0
    }
}

/// The lines.
#[derive(Debug)]
pub(crate) struct Trace {
    on: bool,
    lines: Vec<String>,
}

impl Trace {
    /// An empty one.
    pub fn new(on: bool) -> Self {
        Self {
            on,
            lines: Vec::new(),
        }
    }

    /// Whether lines are kept.
    pub fn is_on(&self) -> bool {
        self.on
    }

    /// Adds a line.
    pub fn line(&mut self, step: u64, now: Millis, text: &str) {
        if self.is_on() {
            let mut line = String::with_capacity(text.len() + 24);
            let (seconds, millis) = (now.div_euclid(1000), now.rem_euclid(1000));
            // Writing to a text cannot fail.
            let _ = write!(line, "{step:>6} {seconds:>8}.{millis:03} {text}");
            self.lines.push(line);
        }
    }

    /// All lines; none are left.
    pub fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lines)
    }

    /// The last lines.
    pub fn tail(&self) -> Vec<String> {
        let from = self.lines.len().saturating_sub(TAIL);
        self.lines[from..].to_vec()
    }
}
