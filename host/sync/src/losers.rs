//! The losers of what is read: values that writes under way overwrite. The journal tells them in the commit that stores
//! what was read, so that nobody's change disappears without a trace.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use samspel_engine::settle;
use samspel_model::intent::Intent;
use samspel_model::journal::{JournalEntry, JournalKind};
use samspel_model::store::{Change, Observation, Observed, Sequence, Step};
use samspel_model::{Fields, Guard, RecordId, Side};
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::SyncError;

/// A value that a write under way overwrites.
pub struct Lost {
    /// The write.
    pub intent: Arc<Intent>,
    /// The name of the field's mapping.
    pub field: String,
    /// The value.
    pub value: Value,
}

/// The writes of other syncs that were looked at before something read was stored. One that is decided between the two
/// was decided on what was known before.
pub struct LookedAt {
    side: Side,
    read: Vec<RecordId>,
    then: Sequence,
    writes: HashSet<String>,
}

impl Context {
    /// What was read is about to be stored: the journal tells which of it writes under way will overwrite, those of
    /// other syncs too. When they are settled, what they overwrote may be forgotten here. Once it is stored,
    /// [`losers_meanwhile`](Self::losers_meanwhile) looks again.
    pub async fn losers(
        &self,
        side: Side,
        read: &[Observed],
    ) -> Result<(Change, LookedAt), SyncError> {
        let mut lost = Vec::new();
        {
            let mut in_flight = self.in_flight();
            for observed in read {
                let entity = &observed.entity;
                lost.extend(in_flight.overwritten(side, &entity.id, &entity.fields, self.policy()));
            }
        }
        let own = lost.into_iter().map(|lost| JournalEntry {
            run: Some(lost.intent.run.clone()),
            link: lost.intent.link.clone(),
            ..self.loser(side, &lost)
        });
        let (to_others, looked_at) = self.losers_to_others(side, read).await?;
        let entries = own.chain(to_others).collect();
        Ok((Change::Journal(entries), looked_at))
    }

    /// The same of writes of other syncs alone: where what is read tells what became of our own.
    pub async fn losers_to_others(
        &self,
        side: Side,
        read: &[Observed],
    ) -> Result<(Vec<JournalEntry>, LookedAt), SyncError> {
        let then = self.store().sequence();
        let (lost, writes) = self.lost_to_others(side, read).await?;
        let entries = lost.iter().map(|lost| self.loser(side, lost)).collect();
        let looked_at = LookedAt {
            side,
            read: read.iter().map(|one| one.entity.id.clone()).collect(),
            then,
            writes,
        };
        Ok((entries, looked_at))
    }

    /// What was read is stored: the journal tells which of it is overwritten by writes of other syncs that were decided
    /// since it was looked at. Those that are decided from now on know it.
    pub async fn losers_meanwhile(&self, step: Step, looked_at: LookedAt) -> Result<(), SyncError> {
        let LookedAt {
            side,
            read,
            then,
            writes: known,
        } = looked_at;
        let alone = self.store().sequence() <= then + 1;
        if alone || read.is_empty() || !Guard::LoserIsJournalled.stands() {
            return Ok(());
        }
        let endpoint = self.endpoint(side);
        let mut writes = self
            .store()
            .writes_of_others(self.name(), endpoint, &read)
            .await?;
        writes.retain(|intent| !known.contains(&intent.id));
        if writes.is_empty() {
            return Ok(());
        }
        let stored = self.store().observations(endpoint, &read).await?;
        let shown = stored.iter().map(|seen| (&seen.id, &seen.fields)).collect();
        let lost = self.overwritten_by(side, writes, shown);
        let entries: Vec<_> = lost.map(|lost| self.loser(side, &lost)).collect();
        if !entries.is_empty() {
            self.commit(step, vec![Change::Journal(entries)]).await?;
        }
        Ok(())
    }

    fn loser(&self, side: Side, lost: &Lost) -> JournalEntry {
        JournalEntry {
            at: self.now(),
            run: Some(self.run.clone()),
            kind: JournalKind::Lost,
            link: None,
            side: Some(side),
            record: lost.intent.effect.target_record().cloned(),
            detail: json!({
                "field": lost.field,
                "value": lost.value,
                "why": "it was read while the record was being written",
            }),
        }
    }

    /// What is new in what was read, and is overwritten by a write of another sync; and the writes that were looked at.
    async fn lost_to_others(
        &self,
        side: Side,
        read: &[Observed],
    ) -> Result<(Vec<Lost>, HashSet<String>), SyncError> {
        let ids: Vec<RecordId> = read.iter().map(|one| one.entity.id.clone()).collect();
        if ids.is_empty() || !Guard::LoserIsJournalled.stands() {
            return Ok((Vec::new(), HashSet::new()));
        }
        let endpoint = self.endpoint(side);
        let writes = self
            .store()
            .writes_of_others(self.name(), endpoint, &ids)
            .await?;
        let looked_at = writes.iter().map(|intent| intent.id.clone()).collect();
        if writes.is_empty() {
            return Ok((Vec::new(), looked_at));
        }
        let known: HashMap<RecordId, Observation> = self
            .store()
            .observations(endpoint, &ids)
            .await?
            .into_iter()
            .map(|seen| (seen.id.clone(), seen))
            .collect();
        let shown = read
            .iter()
            .map(|one| (&one.entity.id, &one.entity.fields))
            .collect();
        let is_new = |lost: &Lost| {
            let rule = self
                .policy()
                .fields
                .iter()
                .find(|rule| rule.name == lost.field);
            let known = lost
                .intent
                .effect
                .target_record()
                .and_then(|id| known.get(id));
            let before = rule.and_then(|rule| known?.fields.get(rule.field(side)));
            before != Some(&lost.value)
        };
        let lost = self
            .overwritten_by(side, writes, shown)
            .filter(is_new)
            .collect();
        Ok((lost, looked_at))
    }

    /// Which values of records the writes of other syncs overwrite.
    fn overwritten_by<'w>(
        &'w self,
        side: Side,
        writes: Vec<Intent>,
        shown: Vec<(&'w RecordId, &'w Fields)>,
    ) -> impl Iterator<Item = Lost> + 'w {
        writes.into_iter().flat_map(move |mut intent| {
            // There it may be the other side.
            intent.target = side;
            let intent = Arc::new(intent);
            let mut lost = Vec::new();
            for (id, fields) in &shown {
                if Some(*id) != intent.effect.target_record() {
                    continue;
                }
                let values = settle::overwritten(&intent, fields, None, self.policy());
                lost.extend(values.into_iter().map(|(field, value)| Lost {
                    intent: Arc::clone(&intent),
                    field,
                    value: value.clone(),
                }));
            }
            lost
        })
    }
}
