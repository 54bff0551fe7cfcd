//! Opt-outs that something shows which is about to be stored: they are in force in the same commit.

use std::collections::HashMap;

use jiff::Timestamp;
use samspel_engine::consent;
use samspel_engine::policy::ConsentRule;
use samspel_model::link::Restriction;
use samspel_model::store::{Change, Observed, RecordRestriction};
use samspel_model::{Absence, Consent, ConsentState, Guard, Link, RecordId, Side, Tombstone};

use crate::context::Context;
use crate::error::SyncError;

/// An opt-out of a record.
type OptOut<'p> = (RecordId, &'p ConsentRule, Restriction);

impl Context {
    /// What was read is about to be stored: opt-outs are in force from then on, for the records and their partners,
    /// whoever gets to plan them; those without a date from when they are first seen. What is in force for one of
    /// several records that were merged is in force for all of them, and for the partners of each. `made`: links that
    /// are stored with it.
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

    /// Which of these opt-outs are news: their records did not show them before, and no write is under way that they
    /// may be the answer to.
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
