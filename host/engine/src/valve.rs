//! Safety valves: how much a run may do before a person has to agree. A pure fold over the plans of a run.

use std::collections::BTreeMap;

use samspel_model::Guard;

use crate::spec::{Threshold, ValveSpec};

/// What a run has done so far, against what it may do.
#[derive(Debug, Clone)]
pub struct Meter {
    valves: ValveSpec,
    /// Counted once it makes a difference.
    links: Option<u64>,
    /// Records that were looked at.
    records: u64,
    /// The first sync is not complete: everything is created, and whoever meets for the first time may be changed.
    first: bool,
    creates: u64,
    changes: BTreeMap<String, u64>,
    removals: u64,
}

impl Meter {
    /// For a run over so many links; `None`: they were not counted yet. `first`: the first sync is not complete.
    pub fn new(valves: ValveSpec, links: Option<u64>, first: bool) -> Self {
        Self {
            valves,
            links,
            records: 0,
            first,
            creates: 0,
            changes: BTreeMap::new(),
            removals: 0,
        }
    }

    /// So many records are about to be looked at. Whether the links must be counted before: the valves let a share of
    /// them through, where that is more than a fixed number.
    pub fn looks_at(&mut self, records: u64) -> bool {
        self.records += records;
        let valves = &self.valves;
        let least = [valves.deletes, valves.creates, valves.changes].map(|one| one.count);
        self.links.is_none() && least.iter().any(|count| self.records > *count)
    }

    /// There are so many links.
    pub fn counted(&mut self, links: u64) {
        self.links = Some(links);
    }

    /// Whether one more record may be created. It is counted if so.
    pub fn create(&mut self) -> bool {
        let free = self.first || !Guard::CreateValve.stands();
        let allowed = free || self.creates < most(self.valves.creates, self.links);
        self.creates += u64::from(allowed);
        allowed
    }

    /// Whether a field may be changed in one more record. It is counted if so. `meets`: the two records meet in it for
    /// the first time, which is what a first sync is for, and what its plan was agreed to for.
    pub fn change(&mut self, rule: &str, meets: bool) -> bool {
        if meets && self.first {
            return true;
        }
        let most = most(self.valves.changes, self.links);
        let changed = match self.changes.get_mut(rule) {
            Some(changed) => changed,
            None => self.changes.entry(rule.to_owned()).or_default(),
        };
        let allowed = *changed < most || !Guard::ChangeValve.stands();
        *changed += u64::from(allowed);
        allowed
    }

    /// Whether so many removals may be made, besides those that were counted.
    pub fn allows_removals(&self, wanted: u64) -> bool {
        !Guard::DeleteValve.stands()
            || self.removals + wanted <= most(self.valves.deletes, self.links)
    }

    /// Whether one more record may be taken away. It is counted if so.
    pub fn remove(&mut self) -> bool {
        let allowed = self.allows_removals(1);
        self.removals += u64::from(allowed);
        allowed
    }
}

/// The count, or the share of the links, whichever is more.
fn most(threshold: Threshold, links: Option<u64>) -> u64 {
    let share = links
        .unwrap_or(0)
        .saturating_mul(u64::from(threshold.percent))
        / 100;
    share.max(threshold.count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_removals_or_a_tenth_of_the_links_are_allowed() {
        for (links, allowed) in [(0, 10), (50, 10), (1_000, 100)] {
            let mut meter = Meter::new(ValveSpec::default(), Some(links), false);
            let made = (0..links + 20).filter(|_| meter.remove()).count() as u64;
            assert_eq!(made, allowed);
        }
    }

    #[test]
    fn the_first_sync_creates_without_bound_and_later_ones_do_not() {
        let made = |first| {
            let mut meter = Meter::new(ValveSpec::default(), Some(0), first);
            (0..1_000).filter(|_| meter.create()).count() as u64
        };
        assert_eq!(made(true), 1_000);
        assert_eq!(made(false), ValveSpec::default().creates.count);
    }

    #[test]
    fn links_are_counted_before_they_make_a_difference() {
        let mut meter = Meter::new(ValveSpec::default(), None, false);
        let least = ValveSpec::default().deletes.count;
        assert!(!meter.looks_at(least));
        assert!(meter.looks_at(1), "a tenth of them may be more");
        meter.counted(1_000);
        assert!(!meter.looks_at(1_000));
        assert_eq!((0..1_000).filter(|_| meter.remove()).count(), 100);
    }

    #[test]
    fn each_field_has_a_valve_of_its_own() {
        let mut meter = Meter::new(ValveSpec::default(), Some(0), false);
        let made = (0..1_000)
            .filter(|_| meter.change("name=name", false))
            .count() as u64;
        assert_eq!(made, ValveSpec::default().changes.count);
        assert!(meter.change("phone=phone", false));
    }

    #[test]
    fn who_meets_in_the_first_sync_is_changed_without_bound_and_later_is_not() {
        let made = |first, meets| {
            let mut meter = Meter::new(ValveSpec::default(), Some(0), first);
            let changed = (0..1_000).filter(|_| meter.change("name=name", meets));
            changed.count() as u64
        };
        let most = ValveSpec::default().changes.count;
        assert_eq!(made(true, true), 1_000);
        assert_eq!(made(true, false), most, "people changed them meanwhile");
        assert_eq!(made(false, true), most, "a field was added to the sync");
    }
}
