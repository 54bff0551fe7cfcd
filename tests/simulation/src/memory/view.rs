//! What is stored, for those who check it.

use parking_lot::MutexGuard;
use samspel_model::intent::Intent;
use samspel_model::journal::JournalEntry;
use samspel_model::link::Restriction;
use samspel_model::store::{
    Conflict, Cursor, Decision, Dirty, Endpoint, Observation, Parked, RunRecord, Sequence,
};
use samspel_model::{Link, RecordId, Side};

use super::state::State;

/// What is stored, at one moment. Everything is lent, in the order of its keys, with the name of the sync that it
/// belongs to, if it belongs to one.
pub struct View<'f> {
    state: MutexGuard<'f, State>,
}

impl<'f> View<'f> {
    pub(super) fn new(state: MutexGuard<'f, State>) -> Self {
        Self { state }
    }
}

impl View<'_> {
    /// The number of the newest commit.
    pub fn sequence(&self) -> Sequence {
        self.state.counters.sequence
    }

    /// All links, by sync and id.
    pub fn links(&self) -> impl Iterator<Item = (&str, &Link)> {
        let links = self.state.links.iter();
        links.map(|((sync, _), link)| (&**sync, link))
    }

    /// All writes that may be under way, by sync and id.
    pub fn intents(&self) -> impl Iterator<Item = (&str, &Intent)> {
        let intents = self.state.intents.iter();
        intents.map(|((sync, _), intent)| (&**sync, intent))
    }

    /// What is known of the records of a collection, by id.
    pub fn observations(&self, endpoint: &Endpoint) -> impl Iterator<Item = &Observation> {
        self.state
            .records
            .iter()
            .filter(move |((place, _), _)| **place == *endpoint)
            .map(|(_, row)| &row.seen)
    }

    /// The whole journal, oldest first, with the entries' numbers.
    pub fn journal(&self) -> impl DoubleEndedIterator<Item = (u64, &str, &JournalEntry)> {
        let entries = self.state.journal.iter();
        entries.map(|(number, (sync, entry))| (*number, &**sync, entry))
    }

    /// Decisions left to a person and what valves hold, by sync, side, record and subject.
    pub fn conflicts(&self) -> impl Iterator<Item = (&str, &Conflict)> {
        let conflicts = self.state.conflicts.iter();
        conflicts.map(|((sync, ..), one)| (&**sync, one))
    }

    /// What operators said and is not carried out yet, by sync, side, record and subject.
    pub fn decisions(&self) -> impl Iterator<Item = (&str, &Decision)> {
        let decisions = self.state.decisions.iter();
        decisions.map(|((sync, ..), one)| (&**sync, one))
    }

    /// Records that failed for good, by sync, side and record.
    pub fn parked(&self) -> impl Iterator<Item = (&str, &Parked)> {
        let parked = self.state.parked.iter();
        parked.map(|((sync, ..), one)| (&**sync, one))
    }

    /// The queue of a sync, in order.
    pub fn dirty(&self, sync: &str) -> impl Iterator<Item = &Dirty> {
        let queue = self.state.queue.iter();
        queue
            .filter(move |((of, _), _)| **of == *sync)
            .map(|(_, row)| row)
    }

    /// The positions in the sides' changes, by sync and side.
    pub fn cursors(&self) -> impl Iterator<Item = (&str, Side, &Cursor)> {
        let cursors = self.state.cursors.iter();
        cursors.map(|((sync, side), cursor)| (&**sync, *side, cursor))
    }

    /// The runs, by sync and id.
    pub fn runs(&self) -> impl Iterator<Item = (&str, &RunRecord)> {
        let runs = self.state.runs.iter();
        runs.map(|((sync, _), run)| (&**sync, run))
    }

    /// The opt-outs in force: where, the record, channel, purpose, and the opt-out; by these.
    pub fn restrictions(
        &self,
    ) -> impl Iterator<Item = (&Endpoint, &RecordId, &str, &str, &Restriction)> {
        let opt_outs = self.state.restrictions.iter();
        let in_force = opt_outs.filter(|(_, (_, lifted))| !lifted);
        in_force.map(|((place, record, channel, purpose), (one, _))| {
            (&**place, record, channel.as_str(), purpose.as_str(), one)
        })
    }
}
