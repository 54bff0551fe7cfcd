//! What each change of a commit means, besides observations and erasure.

use std::collections::BTreeSet;
use std::sync::Arc;

use samspel_model::store::{Change, Conflict, RecordRestriction, StoreError, Suppression};
use samspel_model::{Link, LinkId, RecordId, Side};

use super::erase;
use super::observe::{self, Reading};
use super::state::{Name, from};
use super::work::Work;

impl Work<'_> {
    pub fn apply(&mut self, change: Change) -> Result<(), StoreError> {
        let sync = Arc::clone(&self.sync);
        match change {
            Change::Observe {
                endpoint,
                source,
                sent,
                snapshot,
                records,
                tombstones,
            } => {
                let reading = Reading {
                    place: Arc::new(endpoint),
                    source,
                    sent,
                    snapshot,
                };
                observe::observe(self, &reading, records, tombstones);
            }
            Change::Seen {
                endpoint,
                snapshot,
                ids,
            } => observe::seen(self, endpoint, snapshot, ids),
            Change::MarkDirty { side, ids, refetch } => {
                for id in &ids {
                    self.queue(&sync, side, id, refetch);
                }
            }
            Change::Fetched(rows) => {
                for row in &rows {
                    self.fetched(&sync, row);
                }
            }
            Change::Clean(rows) => {
                for row in &rows {
                    if self.unqueue(&sync, row.side, &row.id, row.position) {
                        self.receipt.cleaned += 1;
                    }
                }
            }
            Change::PutLinks(links) => {
                for link in links {
                    self.put_link(&sync, link)?;
                }
            }
            Change::RemoveLinks(ids) => {
                for id in &ids {
                    self.unlink(&sync, id);
                }
            }
            Change::PutIntents(intents) => {
                for intent in intents {
                    let key = (Arc::clone(&sync), intent.id.clone());
                    self.put(|state| &mut state.intents, key, intent);
                }
            }
            Change::RemoveIntents(ids) => {
                for id in ids {
                    self.remove(|state| &mut state.intents, &(Arc::clone(&sync), id));
                }
            }
            Change::PutConflicts(conflicts) => {
                for mut one in conflicts {
                    let Conflict {
                        side,
                        record,
                        about,
                        ..
                    } = one.clone();
                    let key = (Arc::clone(&sync), side, record, about);
                    if let Some(known) = self.state.conflicts.get(&key) {
                        one.at = known.at;
                    }
                    self.put(|state| &mut state.conflicts, key, one);
                }
            }
            Change::RemoveConflicts { side, records } => {
                for (record, keep) in &records {
                    self.remove_conflicts(&sync, side, record, keep);
                }
            }
            Change::Park(parked) => {
                for one in parked {
                    let key = (Arc::clone(&sync), one.side, one.record.clone());
                    self.put(|state| &mut state.parked, key, one);
                }
            }
            Change::Unpark { side, ids } => {
                for id in ids {
                    self.remove(|state| &mut state.parked, &(Arc::clone(&sync), side, id));
                }
            }
            Change::Journal(entries) => {
                for entry in entries {
                    self.state.counters.journal += 1;
                    let number = self.state.counters.journal;
                    self.put(
                        |state| &mut state.journal,
                        number,
                        (Arc::clone(&sync), entry),
                    );
                }
            }
            Change::PutCursor { side, cursor } => {
                self.put(|state| &mut state.cursors, (sync, side), cursor);
            }
            Change::KeepRuns(number) => self.keep_runs(&sync, number),
            Change::PutRun(run) => {
                self.put(|state| &mut state.runs, (sync, run.id.clone()), run);
            }
            Change::PutState(decided) => self.put(|state| &mut state.states, sync, decided),
            Change::PutDecisions(decisions) => {
                for one in decisions {
                    let key = (
                        Arc::clone(&sync),
                        one.side,
                        one.record.clone(),
                        one.about.clone(),
                    );
                    self.put(|state| &mut state.decisions, key, one);
                }
            }
            Change::RemoveDecisions(decisions) => {
                for (side, record, about) in decisions {
                    let key = (Arc::clone(&sync), side, record, about);
                    self.remove(|state| &mut state.decisions, &key);
                }
            }
            Change::Restrict(opt_outs) => self.restrict(opt_outs),
            Change::Lift {
                endpoint,
                restrictions,
            } => {
                let place = Arc::new(endpoint);
                for (record, channel, purpose) in restrictions {
                    let key = (Arc::clone(&place), record, channel, purpose);
                    if let Some((restriction, _)) = self.state.restrictions.get(&key).cloned() {
                        self.put(|state| &mut state.restrictions, key, (restriction, true));
                    }
                }
            }
            Change::Suppress(suppressions) => self.suppress(suppressions),
            Change::Erase { endpoint, records } => erase::erase(self, endpoint, &records),
            Change::PutAccount { account, identity } => {
                self.put(|state| &mut state.accounts, account, identity);
            }
        }
        Ok(())
    }

    fn put_link(&mut self, sync: &Name, link: Link) -> Result<(), StoreError> {
        for side in Side::BOTH {
            let place = (Arc::clone(sync), side, link.record(side).clone());
            if let Some(other) = self.state.linked.get(&place)
                && *other != link.id
            {
                return Err(StoreError::Damaged {
                    what: format!("the list of links of sync `{sync}`"),
                    why: format!(
                        "record {side}/{} would be linked twice, by {other} and {}",
                        place.2, link.id
                    ),
                });
            }
        }
        self.unlink(sync, &link.id);
        for side in Side::BOTH {
            let place = (Arc::clone(sync), side, link.record(side).clone());
            self.put(|state| &mut state.linked, place, link.id.clone());
        }
        let key = (Arc::clone(sync), link.id.clone());
        self.put(|state| &mut state.links, key, link);
        Ok(())
    }

    /// Removes a link, if there is one.
    pub fn unlink(&mut self, sync: &Name, id: &LinkId) {
        let key = (Arc::clone(sync), id.clone());
        let Some(link) = self.state.links.get(&key) else {
            return;
        };
        let records = Side::BOTH.map(|side| (Arc::clone(sync), side, link.record(side).clone()));
        for record in &records {
            self.remove(|state| &mut state.linked, record);
        }
        self.remove(|state| &mut state.links, &key);
    }

    fn remove_conflicts(&mut self, sync: &Name, side: Side, record: &RecordId, keep: &[String]) {
        let first = (Arc::clone(sync), side, record.clone(), String::new());
        let over: Vec<_> = from(&self.state.conflicts, first, |(of, on, about, _)| {
            of == sync && *on == side && about == record
        })
        .filter(|((.., about), _)| !keep.contains(about))
        .map(|(key, _)| key.clone())
        .collect();
        for key in over {
            self.remove(|state| &mut state.conflicts, &key);
        }
    }

    fn keep_runs(&mut self, sync: &Name, number: u32) {
        let mut runs: Vec<_> = from(
            &self.state.runs,
            (Arc::clone(sync), String::new()),
            |(of, _)| of == sync,
        )
        .map(|(key, run)| (run.started.as_microsecond(), key.clone()))
        .collect();
        runs.sort();
        let older = runs.len().saturating_sub(number as usize);
        for (_, key) in runs.into_iter().take(older) {
            self.remove(|state| &mut state.runs, &key);
        }
    }

    pub fn restrict(&mut self, opt_outs: Vec<RecordRestriction>) {
        let mut news = BTreeSet::new();
        for one in opt_outs {
            let place = Arc::new(one.endpoint);
            let record = one.record;
            let key = (Arc::clone(&place), record.clone(), one.channel, one.purpose);
            let known = self.state.restrictions.get(&key);
            if known.is_none_or(|(known, _)| known.at < one.restriction.at) {
                let in_force = (one.restriction, false);
                self.put(|state| &mut state.restrictions, key, in_force);
                news.insert((place, record));
            }
        }
        let committing = Arc::clone(&self.sync);
        for (place, record) in news {
            self.queue_everywhere(&place, &record, None, Some(&committing));
        }
    }

    fn suppress(&mut self, suppressions: Vec<Suppression>) {
        for one in suppressions {
            let key = (one.pseudonym, one.channel);
            let known = self.state.suppressions.get(&key);
            if known.is_none_or(|known| *known < one.at) {
                self.put(|state| &mut state.suppressions, key, one.at);
            }
        }
    }
}
