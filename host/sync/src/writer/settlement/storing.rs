//! What settling gathered, as one commit.

use std::collections::HashSet;

use samspel_model::store::{Change, Observed, RecordRestriction, Sequence, Source, Step};
use samspel_model::{Extent, Link, RecordId, Side};

use super::Settlement;
use crate::error::SyncError;

impl Settlement<'_> {
    /// Stores everything. `sent`: the store's sequence when the remote was asked.
    pub(super) async fn store(mut self, step: Step, sent: Sequence) -> Result<(), SyncError> {
        let inherited = self.inherited().await?;
        self.believe_searches().await?;
        let links: Vec<Link> = self
            .changed_links
            .iter()
            .filter_map(|id| self.links.remove(id))
            .collect();
        let shown = self.written.iter().chain(&self.read);
        let seen: Vec<&Observed> = shown
            .filter(|shown| !self.restricted.contains(&shown.entity.id))
            .collect();
        let opt_outs = self
            .context
            .opt_outs(self.side, &seen, &self.tombstones, &links)
            .await?;
        let (losers, looked_at) = self.context.losers_to_others(self.side, &self.read).await?;
        self.journal.extend(losers);
        let endpoint = self.context.endpoint(self.side).clone();
        let observe = |source, records, tombstones| Change::Observe {
            endpoint: endpoint.clone(),
            source,
            sent,
            snapshot: None,
            records,
            tombstones,
        };
        let mut changes = Vec::new();
        if !self.written.is_empty() || !self.removed.is_empty() {
            changes.push(observe(Source::Write, self.written, self.removed));
        }
        if !self.read.is_empty() || !self.tombstones.is_empty() {
            changes.push(observe(Source::Fetch, self.read, self.tombstones));
        }
        changes.push(Change::RemoveLinks(self.replaced));
        if !links.is_empty() {
            changes.push(Change::PutLinks(links));
        }
        for side in Side::BOTH {
            for (ids, refetch) in [
                (
                    std::mem::take(&mut self.refetch[side.index()]),
                    Some(Extent::Whole),
                ),
                (std::mem::take(&mut self.dirty[side.index()]), None),
            ] {
                if !ids.is_empty() {
                    changes.push(Change::MarkDirty { side, ids, refetch });
                }
            }
        }
        changes.push(Change::PutDecisions(self.told));
        changes.push(Change::Restrict(inherited));
        changes.push(opt_outs);
        changes.push(Change::PutConflicts(self.conflicts));
        changes.push(Change::Park(self.parked));
        changes.push(Change::PutIntents(self.reduced));
        changes.push(Change::RemoveIntents(self.closed));
        changes.push(Change::PutIntents(self.lost));
        changes.push(Change::Journal(self.journal));
        changes.retain(|change| !change.is_empty());
        if !changes.is_empty() {
            self.context.commit(step, changes).await?;
        }
        self.context.losers_meanwhile(step, looked_at).await
    }

    /// What a search shows may lag behind what is known: then the record is asked for by itself.
    async fn believe_searches(&mut self) -> Result<(), SyncError> {
        if self.listed.is_empty() {
            return Ok(());
        }
        let ids: Vec<RecordId> = self
            .listed
            .iter()
            .map(|observed| observed.entity.id.clone())
            .collect();
        let known: HashSet<RecordId> = self
            .context
            .store()
            .observations(self.context.endpoint(self.side), &ids)
            .await?
            .into_iter()
            .map(|seen| seen.id)
            .collect();
        for observed in std::mem::take(&mut self.listed) {
            if known.contains(&observed.entity.id) {
                self.refetch[self.side.index()].push(observed.entity.id);
            } else {
                self.read.push(observed);
            }
        }
        Ok(())
    }

    /// The opt-outs of the records that new ones were created for are theirs too.
    async fn inherited(&self) -> Result<Vec<RecordRestriction>, SyncError> {
        if self.opted_out.is_empty() {
            return Ok(Vec::new());
        }
        let source = self.side.other();
        let ids: Vec<RecordId> = self.opted_out.iter().map(|(id, _)| id.clone()).collect();
        let rows = self
            .context
            .store()
            .restrictions(self.context.endpoint(source), &ids)
            .await?;
        let mut inherited = Vec::new();
        for (from, to) in &self.opted_out {
            for row in rows.iter().filter(|row| row.record == *from) {
                let rules = &self.context.policy().consents;
                let rule = rules.iter().find(|rule| {
                    rule.channel == row.channel && rule.purpose(source) == row.purpose
                });
                inherited.extend(rule.map(|rule| RecordRestriction {
                    endpoint: self.context.endpoint(self.side).clone(),
                    record: to.clone(),
                    purpose: rule.purpose(self.side).to_owned(),
                    ..row.clone()
                }));
            }
        }
        Ok(inherited)
    }
}
