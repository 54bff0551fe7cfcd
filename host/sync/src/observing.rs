//! What follows from something that is about to be stored, in the same commit: opt-outs that it shows are in force from
//! then on, and the journal tells which of its values writes under way overwrite.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use samspel_engine::policy::ConsentRule;
use samspel_engine::{consent, settle};
use samspel_model::intent::Intent;
use samspel_model::journal::{JournalEntry, JournalKind};
use samspel_model::link::Restriction;
use samspel_model::store::{Change, Observation, Observed, RecordRestriction, Sequence, Step};
use samspel_model::{Absence, Consent, ConsentState, Guard, Link, RecordId, Side, Tombstone};
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

/// The writes of other syncs that were looked at before something read was stored. One that is decided between the two was
/// decided on what was known before.
pub struct LookedAt {
    side: Side,
    read: Vec<RecordId>,
    then: Sequence,
    writes: HashSet<String>,
}

/// An opt-out of a record.
type OptOut<'p> = (RecordId, &'p ConsentRule, Restriction);

impl Context {
    /// What was read is about to be stored: the journal tells which of it writes under way will overwrite, those of other
    /// syncs too. When they are settled, what they overwrote may be forgotten here. Once it is stored,
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

    /// What was read is stored: the journal tells which of it is overwritten by writes of other syncs that were decided since
    /// it was looked at. Those that are decided from now on know it.
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
        let mut entries = Vec::new();
        for mut intent in writes {
            // There it may be the other side.
            intent.target = side;
            let intent = Arc::new(intent);
            let of = stored
                .iter()
                .find(|seen| Some(&seen.id) == intent.effect.target_record());
            let fields = of
                .into_iter()
                .flat_map(|seen| settle::overwritten(&intent, &seen.fields, None, self.policy()));
            entries.extend(fields.map(|(field, value)| {
                let lost = Lost {
                    intent: Arc::clone(&intent),
                    field,
                    value: value.clone(),
                };
                self.loser(side, &lost)
            }));
        }
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
        let mut told = Vec::new();
        for mut intent in writes {
            // There it may be the other side.
            intent.target = side;
            let intent = Arc::new(intent);
            let of = read
                .iter()
                .filter(|one| Some(&one.entity.id) == intent.effect.target_record());
            for observed in of {
                let known = known.get(&observed.entity.id);
                let fields = &observed.entity.fields;
                for (field, value) in settle::overwritten(&intent, fields, None, self.policy()) {
                    let rule = self.policy().fields.iter().find(|rule| rule.name == field);
                    let before = rule.and_then(|rule| known?.fields.get(rule.field(side)));
                    if before != Some(value) {
                        told.push(Lost {
                            intent: Arc::clone(&intent),
                            value: value.clone(),
                            field,
                        });
                    }
                }
            }
        }
        Ok((told, looked_at))
    }

    /// What was read is about to be stored: opt-outs are in force from then on, for the records and their partners, whoever
    /// gets to plan them; those without a date from when they are first seen. What is in force for one of several records that were merged is in force for all of
    /// them, and for the partners of each. `made`: links that are stored with it.
    pub async fn opt_outs(
        &self,
        side: Side,
        read: &[&Observed],
        gone: &[Tombstone],
        made: &[Link],
    ) -> Result<Change, SyncError> {
        if !Guard::OptOutIsRemembered.stands() {
            return Ok(Change::Restrict(Vec::new()));
        }
        let mut seen: Vec<OptOut<'_>> = Vec::new();
        let mut undated: Vec<OptOut<'_>> = Vec::new();
        for observed in read {
            let entity = &observed.entity;
            for rule in &self.policy().consents {
                let said = consent::find(rule, side, &entity.consents);
                let out = said.filter(|said| said.state == ConsentState::Unsubscribed);
                if let Some(said) = out {
                    let opt_out = |at| (entity.id.clone(), rule, self.opt_out(side, said, at));
                    match said.at {
                        Some(at) => seen.push(opt_out(at)),
                        None => undated.push(opt_out(self.now())),
                    }
                }
            }
        }
        seen.extend(self.first_seen(side, undated).await?);
        if Guard::OptOutIsThePersons.stands() {
            let merged = merged(read, gone);
            if !merged.is_empty() {
                let shared = self.shared(side, &merged, &seen).await?;
                seen.extend(shared);
            }
        }
        if seen.is_empty() {
            return Ok(Change::Restrict(Vec::new()));
        }
        let ids: Vec<RecordId> = seen.iter().map(|(id, ..)| id.clone()).collect();
        let links: HashMap<RecordId, Link> = self
            .store()
            .links_by_record(self.name(), side, &ids)
            .await?
            .into_iter()
            .chain(made.iter().cloned())
            .map(|link| (link.record(side).clone(), link))
            .collect();
        let mut opt_outs = Vec::new();
        for (id, rule, restriction) in &seen {
            let partner = links
                .get(id)
                .filter(|link| !link.base.ended && Guard::OptOutIsThePersons.stands())
                .map(|link| (side.other(), link.record(side.other())));
            for (at, id) in [(side, id)].into_iter().chain(partner) {
                opt_outs.push(RecordRestriction {
                    endpoint: self.endpoint(at).clone(),
                    record: id.clone(),
                    channel: rule.channel.clone(),
                    purpose: rule.purpose(at).to_owned(),
                    restriction: restriction.clone(),
                });
            }
        }
        Ok(Change::Restrict(opt_outs))
    }

    /// Which of these opt-outs are news: their records did not show them before, and no write is under way that they may be
    /// the answer to.
    async fn first_seen<'p>(
        &'p self,
        side: Side,
        mut opt_outs: Vec<OptOut<'p>>,
    ) -> Result<Vec<OptOut<'p>>, SyncError> {
        if opt_outs.is_empty() {
            return Ok(opt_outs);
        }
        let ids: Vec<RecordId> = opt_outs.iter().map(|(id, ..)| id.clone()).collect();
        let known = self.store().observations(self.endpoint(side), &ids).await?;
        let others = self
            .store()
            .writes_of_others(self.name(), self.endpoint(side), &ids)
            .await?;
        let restricts = others.iter().filter(|intent| intent.restricts);
        let told: Vec<&RecordId> = restricts
            .filter_map(|intent| intent.effect.target_record())
            .collect();
        let in_flight = self.in_flight();
        opt_outs.retain(|(id, rule, _)| {
            let seen = known.iter().find(|seen| seen.id == *id);
            let said = seen.and_then(|seen| consent::find(rule, side, &seen.consents));
            let shown = said.is_some_and(|said| said.state == ConsentState::Unsubscribed);
            !shown && !told.contains(&id) && !in_flight.restricts(side, id)
        });
        drop(in_flight);
        Ok(opt_outs)
    }

    /// What the records on each side of a merge pass to each other. `shown`: what is being read of them.
    async fn shared<'p>(
        &'p self,
        side: Side,
        merged: &[(RecordId, RecordId)],
        shown: &[OptOut<'p>],
    ) -> Result<Vec<OptOut<'p>>, SyncError> {
        let ids: Vec<RecordId> = merged
            .iter()
            .flat_map(|(gone, into)| [gone.clone(), into.clone()])
            .collect();
        let endpoint = self.endpoint(side);
        let mut known: Vec<OptOut<'p>> = shown.to_vec();
        for row in self.store().restrictions(endpoint, &ids).await? {
            let mut rules = self.policy().consents.iter();
            let rule =
                rules.find(|rule| rule.channel == row.channel && rule.purpose(side) == row.purpose);
            known.extend(rule.map(|rule| (row.record, rule, row.restriction)));
        }
        let mut passed = Vec::new();
        for (gone, into) in merged {
            for (from, to) in [(gone, into), (into, gone)] {
                let of = known.iter().filter(|(id, ..)| id == from);
                passed.extend(of.map(|(_, rule, restriction)| {
                    let to: RecordId = to.clone();
                    (to, *rule, restriction.clone())
                }));
            }
        }
        Ok(passed)
    }

    fn opt_out(&self, side: Side, said: &Consent, at: Timestamp) -> Restriction {
        Restriction {
            account: self.endpoint(side).account.clone(),
            at,
            evidence: said.evidence.clone(),
        }
    }
}

/// The merges that something tells of: which record, and what into.
fn merged(read: &[&Observed], gone: &[Tombstone]) -> Vec<(RecordId, RecordId)> {
    let absorbed = read.iter().flat_map(|observed| {
        let aliases = observed.entity.aliases.iter();
        aliases.map(|alias| (alias.clone(), observed.entity.id.clone()))
    });
    let into = gone.iter().filter_map(|tombstone| match &tombstone.why {
        Absence::MergedInto(into) => Some((tombstone.id.clone(), into.clone())),
        _ => None,
    });
    absorbed.chain(into).collect()
}
