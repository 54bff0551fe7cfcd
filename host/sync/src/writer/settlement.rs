//! Storing what became of writes: links, observations, queues and the journal, in one transaction.

mod adopted;
mod taken;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use samspel_engine::settle;
use samspel_model::intent::{Effect, Intent};
use samspel_model::journal::{JournalEntry, JournalKind};
use samspel_model::store::{
    Change, Conflict, Decision, Observed, Parked, RecordRestriction, Sequence, Source, Step,
};
use samspel_model::{
    Absence, Base, ConsentState, Entity, Extent, Fields, Guard, Link, LinkId, RecordId, Side,
    Tombstone,
};
use serde_json::json;

use super::withdraw::opt_in;
use super::{Found, KEY_EXISTS, Resolution, Written, Wrote};
use crate::accounts::{Class, Closing};
use crate::context::Context;
use crate::error::SyncError;

/// Stores what became of a batch, in one transaction. `sent`: the store's sequence when the remote was asked.
pub async fn settle_all(
    context: &Arc<Context>,
    side: Side,
    step: Step,
    sent: Sequence,
    resolutions: Vec<Resolution>,
) -> Result<Wrote, SyncError> {
    let mut wrote = Wrote::default();
    let mut settlement = Settlement::new(context, side);
    // Links are read, changed and stored: no other batch may do so in between.
    let _settling = context.settling.lock().await;
    let _alone = context.observing(side).await;
    settlement.load_links(&resolutions).await?;
    settlement.load_pairs(&resolutions).await?;
    settlement.overwritten(&resolutions).await?;
    for resolution in resolutions {
        settlement.add(resolution, &mut wrote).await?;
    }
    settlement.store(step, sent).await?;
    let mut in_flight = context.in_flight();
    for (intent, _) in &wrote.closed {
        in_flight.remove(intent);
    }
    Ok(wrote)
}

struct Settlement<'a> {
    context: &'a Arc<Context>,
    side: Side,
    links: HashMap<LinkId, Link>,
    changed_links: Vec<LinkId>,
    written: Vec<Observed>,
    read: Vec<Observed>,
    listed: Vec<Observed>,
    tombstones: Vec<Tombstone>,
    removed: Vec<Tombstone>,
    /// What operators had said about writes that were given up.
    told: Vec<Decision>,
    /// Records that were created for somebody who has opted out: source and new record.
    opted_out: Vec<(RecordId, RecordId)>,
    /// Records to which an opt-out was written: that they show it is no news.
    restricted: HashSet<RecordId>,
    /// Records that have a partner, and by which link.
    paired: HashMap<(Side, RecordId), LinkId>,
    /// Links of which the other record is created anew.
    replaced: Vec<LinkId>,
    /// What is left of writes that are sent again.
    reduced: Vec<Intent>,
    /// Creates that may have been applied and stay stored, under the key that they had.
    lost: Vec<Intent>,
    closed: Vec<String>,
    dirty: [Vec<RecordId>; 2],
    refetch: [Vec<RecordId>; 2],
    conflicts: Vec<Conflict>,
    parked: Vec<Parked>,
    journal: Vec<JournalEntry>,
}

impl<'a> Settlement<'a> {
    fn new(context: &'a Arc<Context>, side: Side) -> Self {
        Self {
            context,
            side,
            links: HashMap::new(),
            changed_links: Vec::new(),
            written: Vec::new(),
            read: Vec::new(),
            listed: Vec::new(),
            tombstones: Vec::new(),
            removed: Vec::new(),
            told: Vec::new(),
            opted_out: Vec::new(),
            restricted: HashSet::new(),
            paired: HashMap::new(),
            replaced: Vec::new(),
            reduced: Vec::new(),
            lost: Vec::new(),
            closed: Vec::new(),
            dirty: [Vec::new(), Vec::new()],
            refetch: [Vec::new(), Vec::new()],
            conflicts: Vec::new(),
            parked: Vec::new(),
            journal: Vec::new(),
        }
    }

    async fn load_links(&mut self, resolutions: &[Resolution]) -> Result<(), SyncError> {
        let ids: Vec<RecordId> = resolutions
            .iter()
            .filter_map(|resolution| intent_of(resolution).effect.target_record().cloned())
            .collect();
        if ids.is_empty() {
            return Ok(());
        }
        let links = self
            .context
            .store()
            .links_by_record(self.context.name(), self.side, &ids)
            .await?;
        self.links
            .extend(links.into_iter().map(|link| (link.id.clone(), link)));
        Ok(())
    }

    async fn add(&mut self, resolution: Resolution, wrote: &mut Wrote) -> Result<(), SyncError> {
        match resolution {
            Resolution::Done(intent, written) => {
                let closing = self.done(&intent, written, wrote);
                self.close(intent, closing, wrote);
            }
            Resolution::Abandoned(intent, found, why) => {
                wrote.tally.abandoned += 1;
                wrote
                    .abandoned
                    .push((intent.target.other(), intent.source_record.clone()));
                if let Some(id) = intent.effect.target_record() {
                    wrote.abandoned.push((intent.target, id.clone()));
                }
                if matches!(intent.effect, Effect::Create) {
                    self.context.tried(&intent.id);
                    self.remember(&intent);
                }
                if why == KEY_EXISTS {
                    // It is to meet that one, without the partner that it had.
                    self.replaced.extend(intent.link.clone());
                }
                self.found(&intent, found);
                self.note(&intent, JournalKind::Abandoned, json!({ "why": why }));
                self.close(intent, Closing::Again, wrote);
            }
            Resolution::Adopted(intent, entity) => {
                let closing = self.adopted(&intent, *entity, wrote);
                self.close(intent, closing, wrote);
            }
            Resolution::Refused {
                mut intent,
                cause,
                suppressed,
            } => {
                // The call that carried it was stopped, and may have done its work.
                self.remember(&intent);
                let closing = self.refused(&intent, cause, suppressed, wrote);
                if suppressed {
                    // The remote has the last word: what an operator said is over, too, whatever becomes of the rest.
                    let consents = &intent.base.consents;
                    intent
                        .told
                        .retain(|told| !consents.contains_key(&told.about));
                }
                self.close(intent, closing, wrote);
            }
            Resolution::Taken(intent, holder) => {
                let closing = self.taken(&intent, holder, wrote).await?;
                match self
                    .without_key(&intent)
                    .filter(|_| closing == Closing::As(Class::Conflict))
                {
                    // The key is left to a person, and everything else flows.
                    Some(rest) => {
                        self.reduced.push(rest.clone());
                        wrote.retry.push((rest, None));
                    }
                    None => self.close(intent, closing, wrote),
                }
            }
            Resolution::Later(intent, wait) => wrote.retry.push((intent, wait)),
            Resolution::Unresolved(intent, why) => {
                // The intent stays stored: the next run finds out what became of it before it plans anything.
                tracing::warn!(
                    intent = intent.id,
                    why,
                    "the outcome of a write stays unknown"
                );
                wrote
                    .given_up
                    .push((intent.target.other(), intent.source_record.clone()));
            }
        }
        Ok(())
    }

    /// New records, and those that they were made for, which have found another partner meanwhile.
    async fn load_pairs(&mut self, resolutions: &[Resolution]) -> Result<(), SyncError> {
        let made = resolutions
            .iter()
            .filter_map(|resolution| match resolution {
                Resolution::Done(intent, Some(written))
                    if matches!(intent.effect, Effect::Create) =>
                {
                    Some((written.entity.id.clone(), intent.source_record.clone()))
                }
                Resolution::Adopted(intent, entity) => {
                    Some((entity.id.clone(), intent.source_record.clone()))
                }
                _ => None,
            });
        let (made, sources): (Vec<_>, Vec<_>) = made.unzip();
        for (side, ids) in [(self.side, made), (self.side.other(), sources)] {
            if ids.is_empty() {
                continue;
            }
            let links = self
                .context
                .store()
                .links_by_record(self.context.name(), side, &ids)
                .await?;
            self.paired.extend(
                links
                    .into_iter()
                    .map(|link| ((side, link.record(side).clone()), link.id)),
            );
        }
        Ok(())
    }

    /// What was read of a record while it was written, and is overwritten now: it lost, and somebody must be able to
    /// find it.
    async fn overwritten(&mut self, resolutions: &[Resolution]) -> Result<(), SyncError> {
        let written: Vec<(&Intent, &Entity)> = resolutions
            .iter()
            .filter_map(|resolution| match resolution {
                Resolution::Done(intent, Some(written))
                    if matches!(intent.effect, Effect::Update(_)) =>
                {
                    Some((intent, &written.entity))
                }
                _ => None,
            })
            .collect();
        let ids: Vec<RecordId> = written
            .iter()
            .map(|(_, entity)| entity.id.clone())
            .collect();
        if ids.is_empty() {
            return Ok(());
        }
        let seen = self
            .context
            .store()
            .observations(self.context.endpoint(self.side), &ids)
            .await?;
        for seen in seen {
            let of = written.iter().filter(|(_, entity)| entity.id == seen.id);
            for (intent, entity) in of {
                let policy = self.context.policy();
                let absorbs_more = entity.aliases.iter().any(|id| !seen.aliases.contains(id));
                if absorbs_more || settle::tells_more(intent, &seen, entity, policy) {
                    self.dirty[self.side.index()].push(seen.id.clone());
                }
                for (name, value) in settle::overwritten(intent, &seen.fields, Some(entity), policy)
                {
                    if !self.context.in_flight().is_news(intent, &name, value) {
                        continue;
                    }
                    let detail = json!({ "field": name, "value": value });
                    self.note(intent, JournalKind::Lost, detail);
                }
            }
        }
        Ok(())
    }

    /// A create that was looked for in vain is kept in mind.
    fn remember(&self, intent: &Intent) {
        if intent.lost.is_some() {
            self.context.lost_creates.remember(intent.clone());
        }
    }

    fn close(&mut self, intent: Intent, closing: Closing, wrote: &mut Wrote) {
        if closing == Closing::Again {
            self.told.extend(intent.told.iter().cloned());
        }
        if matches!(intent.effect, Effect::Create) {
            let source = intent.target.other();
            let lost = self.context.lost_creates.of(source, &intent.source_record);
            // An attempt that came to nothing tells nothing of the one before.
            self.lost.extend(lost.filter(|lost| lost.id == intent.id));
        }
        self.closed.push(intent.id.clone());
        wrote.closed.push((intent, closing));
    }

    fn done(
        &mut self,
        intent: &Intent,
        written: Option<Box<Written>>,
        wrote: &mut Wrote,
    ) -> Closing {
        let side = self.side;
        let mut link = match &intent.link {
            Some(id) => self.links.get(id).cloned(),
            None => None,
        };
        // What the remote made of what was sent: an undo is conditioned on it.
        let after: Fields = written
            .iter()
            .flat_map(|written| &written.entity.fields)
            .filter(|(name, value)| intent.patch.get(*name).is_some_and(|sent| sent != *value))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        match (&intent.effect, written.map(|written| *written)) {
            (Effect::Remove(id, _), _) => {
                wrote.tally.removed += 1;
                self.removed.push(Tombstone {
                    id: id.clone(),
                    why: Absence::Archived,
                    revision: None,
                });
                if let Some(link) = &mut link {
                    link.base.ended = true;
                }
            }
            (effect, Some(written)) => {
                let Written {
                    entity,
                    source,
                    held,
                } = written;
                // The answer to the rest of a create tells nothing of the fields that were written before.
                let answer = held.is_some().then(|| entity.clone());
                let entity = settle::completed(intent, entity);
                let made = (side, entity.id.clone());
                let source_record = (side.other(), intent.source_record.clone());
                let has_partner = |of: &(Side, RecordId)| {
                    matches!(effect, Effect::Create)
                        && self
                            .paired
                            .get(of)
                            .is_some_and(|link| Some(link) != intent.link.as_ref())
                };
                if has_partner(&made) {
                    return self.made_for_another(intent, entity, wrote);
                }
                let mut tried_before = self.context.was_tried(&intent.id) || intent.lost.is_some();
                if matches!(effect, Effect::Create) {
                    let (source, record) = &source_record;
                    let lost = self.context.lost_creates.forget(*source, record);
                    tried_before |= lost.is_some_and(|lost| lost.id == intent.id);
                }
                if has_partner(&source_record) {
                    // Its source has found another partner: the planner sees one too many.
                    wrote.tally.created += 1;
                    self.dirty[side.index()].push(entity.id.clone());
                } else if matches!(effect, Effect::Create) {
                    wrote.tally.created += 1;
                    let new = LinkId(self.context.ids().next());
                    self.paired.insert(made, new.clone());
                    self.paired.insert(source_record, new.clone());
                    self.replaced.extend(intent.link.clone());
                    let [a, b] = match side {
                        Side::A => [&entity.id, &intent.source_record],
                        Side::B => [&intent.source_record, &entity.id],
                    };
                    link = Some(Link {
                        id: new,
                        a: a.clone(),
                        b: b.clone(),
                        base: Base::default(),
                    });
                    if intent
                        .base
                        .consents
                        .values()
                        .any(|base| base.told != [false, false])
                    {
                        let pair = (intent.source_record.clone(), entity.id.clone());
                        self.opted_out.push(pair);
                    }
                } else {
                    wrote.tally.updated += 1;
                }
                if let Some(link) = &mut link {
                    let now = self.context.now();
                    let mut settled = entity.clone();
                    if let Some(held) = held {
                        settled.fields.extend(held);
                    }
                    let policy = self.context.policy();
                    settle::settle(&mut link.base, intent, &settled, policy, now, tried_before);
                    if intent.and_more || intent.lost.is_some() {
                        // Of a create that was lost for a while the source may have gone on.
                        self.dirty[side.index()].push(entity.id.clone());
                    }
                    let more =
                        settle::shows_more(&link.base, intent, &entity, self.context.policy());
                    if more || !intent.shared.is_empty() {
                        self.dirty[side.index()].push(entity.id.clone());
                    }
                }
                let observed = self.context.observed(side, answer.unwrap_or(entity));
                if is_told_back(intent, &observed.entity, source) {
                    self.restricted.insert(observed.entity.id.clone());
                }
                match source {
                    Source::Write => self.written.push(observed),
                    Source::Fetch => self.read.push(observed),
                    Source::Listing => self.listed.push(observed),
                }
            }
            (_, None) => {}
        }
        let Some(link) = link else {
            // The link was dissolved meanwhile: the records are planned again as they are.
            self.again(intent);
            return Closing::Again;
        };
        let about = (side, link.record(side).clone());
        self.journal.push(JournalEntry {
            at: self.context.now(),
            run: Some(intent.run.clone()),
            kind: JournalKind::Settled,
            link: Some(link.id.clone()),
            side: Some(about.0),
            record: Some(about.1),
            detail: json!({
                "effect": effect_name(&intent.effect),
                "from": intent.source_record,
                "patch": intent.patch,
                "before": intent.before,
                "after": after,
                "consents": intent.consents,
                "deliverability": intent.deliverability,
            }),
        });
        self.changed_links.push(link.id.clone());
        self.links.insert(link.id.clone(), link);
        Closing::As(Class::Applied)
    }

    fn again(&mut self, intent: &Intent) {
        self.dirty[intent.target.other().index()].push(intent.source_record.clone());
        if let Some(id) = intent.effect.target_record() {
            self.dirty[intent.target.index()].push(id.clone());
        }
    }

    fn found(&mut self, intent: &Intent, found: Found) {
        let side = self.side;
        match found {
            Found::Record(entity, source) => {
                self.dirty[side.index()].push(entity.id.clone());
                let observed = self.context.observed(side, *entity);
                match source {
                    Source::Listing => self.listed.push(observed),
                    Source::Fetch | Source::Write => self.read.push(observed),
                }
            }
            Found::Absent(id, why) => self.tombstones.push(Tombstone {
                id,
                why,
                revision: None,
            }),
            Found::Moved(id) => {
                self.refetch[side.index()].push(id.clone());
                if let Some(old) = intent.effect.target_record() {
                    self.tombstones.push(Tombstone {
                        id: old.clone(),
                        why: Absence::MergedInto(id),
                        revision: None,
                    });
                }
            }
            Found::Known => {
                if let Some(id) = intent.effect.target_record() {
                    self.dirty[side.index()].push(id.clone());
                }
            }
            Found::Nothing => {
                if let Some(id) = intent.effect.target_record() {
                    self.refetch[side.index()].push(id.clone());
                }
            }
        }
        self.dirty[intent.target.other().index()].push(intent.source_record.clone());
    }

    fn refused(
        &mut self,
        intent: &Intent,
        cause: String,
        suppressed: bool,
        wrote: &mut Wrote,
    ) -> Closing {
        let kind = if suppressed {
            wrote.tally.suppressed += 1;
            JournalKind::Suppressed
        } else {
            wrote.tally.parked += 1;
            JournalKind::Parked
        };
        self.note(intent, kind, json!({ "cause": cause }));
        let link = intent
            .link
            .as_ref()
            .and_then(|id| self.links.get_mut(id))
            .filter(|_| suppressed && !intent.consents.is_empty());
        if let Some(link) = link {
            // The remote protects the person: its state is taken as it is, and the rest is planned without it.
            for (name, planned) in &intent.base.consents {
                let mut images = planned.clone();
                let known = link.base.consents.get(name);
                let (state, since) = if opt_in(intent).is_some() {
                    (ConsentState::Unsubscribed, intent.overrules)
                } else {
                    let state = known.map_or(ConsentState::Unspecified, |base| {
                        base.image(self.side).clone()
                    });
                    (state, known.and_then(|base| base.since[self.side.index()]))
                };
                match self.side {
                    Side::A => images.a = state,
                    Side::B => images.b = state,
                }
                images.since[self.side.index()] = since;
                link.base.consents.insert(name.clone(), images);
            }
            self.changed_links.push(link.id.clone());
            if !intent.patch.is_empty() || intent.deliverability.is_some() || intent.and_more {
                self.again(intent);
                return Closing::Again;
            }
            return Closing::As(Class::Applied);
        }
        if !Guard::ParkedStaysParked.stands() {
            self.again(intent);
        }
        self.parked.push(Parked {
            side: intent.target.other(),
            record: intent.source_record.clone(),
            at: self.context.now(),
            cause: if suppressed {
                format!("suppressed by the remote: {cause}")
            } else {
                cause
            },
        });
        Closing::As(Class::Parked)
    }

    fn note(&mut self, intent: &Intent, kind: JournalKind, detail: serde_json::Value) {
        let about = intent.effect.target_record().map_or_else(
            || (intent.target.other(), intent.source_record.clone()),
            |id| (intent.target, id.clone()),
        );
        self.journal.push(JournalEntry {
            at: self.context.now(),
            run: Some(intent.run.clone()),
            kind,
            link: intent.link.clone(),
            side: Some(about.0),
            record: Some(about.1),
            detail,
        });
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

    async fn store(mut self, step: Step, sent: Sequence) -> Result<(), SyncError> {
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
}

/// Whether the opt-out that a record shows is the one that was written to it. Found later, and dated after what was sent, it may
/// be one that the person has said since, and it counts as that: some remotes date what they are told by their own clock, and
/// then the opt-out is in force from a little later on.
fn is_told_back(intent: &Intent, shown: &Entity, source: Source) -> bool {
    intent.consents.iter().any(|sent| {
        let now = shown
            .consents
            .iter()
            .find(|now| now.channel == sent.channel && now.purpose == sent.purpose);
        sent.state == ConsentState::Unsubscribed
            && (source == Source::Write || now.is_none_or(|now| now.at <= sent.at))
    })
}

fn intent_of(resolution: &Resolution) -> &Intent {
    match resolution {
        Resolution::Done(intent, ..)
        | Resolution::Abandoned(intent, ..)
        | Resolution::Adopted(intent, _)
        | Resolution::Refused { intent, .. }
        | Resolution::Taken(intent, _)
        | Resolution::Later(intent, _)
        | Resolution::Unresolved(intent, _) => intent,
    }
}

fn effect_name(effect: &Effect) -> &'static str {
    match effect {
        Effect::Create => "create",
        Effect::Update(_) => "update",
        Effect::Remove(..) => "remove",
    }
}
