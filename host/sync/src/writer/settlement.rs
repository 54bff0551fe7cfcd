//! What became of writes: links, observations, queues and the journal are gathered here, and stored in one transaction.

mod adopted;
mod done;
mod refused;
mod storing;
mod taken;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use samspel_engine::settle;
use samspel_model::intent::{Effect, Intent};
use samspel_model::journal::{JournalEntry, JournalKind};
use samspel_model::store::{Conflict, Decision, Observed, Parked, Sequence, Source, Step};
use samspel_model::{Absence, Base, Entity, Link, LinkId, RecordId, Side, Tombstone};
use serde_json::json;

use super::{Found, KEY_EXISTS, Resolution, Wrote};
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

    /// The pair that a record which was made, or found, is with its source.
    fn new_link(&mut self, intent: &Intent, made: &RecordId, base: Base) -> Link {
        let id = LinkId(self.context.ids().next());
        let (side, source) = (self.side, &intent.source_record);
        self.paired.insert((side, made.clone()), id.clone());
        self.paired
            .insert((side.other(), source.clone()), id.clone());
        self.replaced.extend(intent.link.clone());
        let [a, b] = match side {
            Side::A => [made, source],
            Side::B => [source, made],
        };
        Link {
            id,
            a: a.clone(),
            b: b.clone(),
            base,
        }
    }

    /// Whether a record has another partner than the one that a write is about.
    fn has_other_partner(&self, intent: &Intent, of: (Side, RecordId)) -> bool {
        let link = self.paired.get(&of);
        link.is_some_and(|link| Some(link) != intent.link.as_ref())
    }

    fn keep(&mut self, link: Link) {
        self.changed_links.push(link.id.clone());
        self.links.insert(link.id.clone(), link);
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
