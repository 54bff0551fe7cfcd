//! 12. Bounded resources: so many calls at once, so many in a run, and every run ends.

use std::collections::BTreeMap;

use samspel_model::Side;

use crate::checkers::Facts;
use crate::story::Call;
use crate::time::Millis;
use crate::violation::Findings;

/// The longest that a run may take, in milliseconds: remotes that ask for patience are given up long before.
const LONGEST: Millis = 2 * 60 * 60 * 1000;

/// What is under way.
#[derive(Debug)]
pub(crate) struct Bounds {
    under_way: BTreeMap<(u32, usize, Side, Call), u32>,
    calls: Vec<u64>,
}

impl Bounds {
    /// Nothing is.
    pub fn new(syncs: usize) -> Self {
        Self {
            under_way: BTreeMap::new(),
            calls: vec![0; syncs],
        }
    }

    /// How many calls of a kind a side may have under way.
    fn most(call: Call) -> u32 {
        match call {
            // The specification of a run: four write calls under way per side, and one page at a time.
            Call::Write => 4,
            Call::Changes | Call::Collections => 1,
            // A planner and four writers may ask about records.
            Call::Fetch | Call::Find => 6,
        }
    }

    /// A call begins.
    pub fn begins(
        &mut self,
        facts: &Facts<'_>,
        (process, sync): (u32, usize),
        side: Side,
        call: Call,
        findings: &mut Findings,
    ) {
        // A process that stood still may meet the one that took over: each keeps its bounds.
        let under_way = self
            .under_way
            .entry((process, sync, side, call))
            .or_default();
        *under_way += 1;
        if *under_way > Self::most(call) {
            findings.add(
                12,
                format!(
                    "{under_way} calls of kind {call:?} are under way on side {side} of sync {sync}"
                ),
            );
        }
        self.calls[sync] += 1;
        let records: usize = facts.agreements[sync]
            .systems
            .iter()
            .map(|system| facts.systems[*system].records.len())
            .sum();
        // Pages of one, fetches of one, writes of one, each tried six times, and some more.
        let most = 300 + 100 * records as u64;
        if self.calls[sync] > most {
            findings.add(
                12,
                format!(
                    "a run made {} calls for {records} records",
                    self.calls[sync]
                ),
            );
        }
    }

    /// A call is over.
    pub fn ends(&mut self, (process, sync): (u32, usize), side: Side, call: Call) {
        if let Some(under_way) = self.under_way.get_mut(&(process, sync, side, call)) {
            *under_way = under_way.saturating_sub(1);
        }
    }

    /// A run begins.
    pub fn run_begins(&mut self, sync: usize) {
        self.calls[sync] = 0;
    }

    /// A run took so long.
    pub fn ran(&self, took: Millis, findings: &mut Findings) {
        if took > LONGEST {
            findings.add(12, format!("a run took {} minutes", took / 60_000));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::hand::Hand;

    #[test]
    fn a_fifth_write_call_and_an_endless_run_are_found() {
        let hand = Hand::pair();
        let mut bounds = Bounds::new(1);
        let mut findings = Findings::default();
        for _ in 0..4 {
            bounds.begins(&hand.facts(), (1, 0), Side::B, Call::Write, &mut findings);
        }
        assert!(findings.0.is_empty());
        bounds.begins(&hand.facts(), (1, 0), Side::B, Call::Write, &mut findings);
        assert_eq!(findings.0[0].invariant, 12);
        let mut findings = Findings::default();
        bounds.ran(LONGEST + 1, &mut findings);
        assert_eq!(findings.0[0].invariant, 12);
    }

    #[test]
    fn too_many_calls_in_a_run_are_found() {
        let hand = Hand::pair();
        let mut bounds = Bounds::new(1);
        let mut findings = Findings::default();
        for _ in 0..600 {
            bounds.begins(&hand.facts(), (1, 0), Side::A, Call::Fetch, &mut findings);
            bounds.ends((1, 0), Side::A, Call::Fetch);
        }
        assert_eq!(findings.0[0].invariant, 12);
    }
}
