//! A write was carried out: what the link agrees on, what is known of the record, and the journal.

use samspel_engine::settle;
use samspel_model::intent::{Effect, Intent};
use samspel_model::journal::{JournalEntry, JournalKind};
use samspel_model::store::{Observed, Source};
use samspel_model::{Absence, Base, ConsentState, Entity, Fields, Link, RecordId, Tombstone};
use serde_json::json;

use super::Settlement;
use crate::accounts::{Class, Closing};
use crate::writer::{Written, Wrote};

impl Settlement<'_> {
    /// `written`: the record as the remote has it now; none after one was taken away.
    pub(super) fn done(
        &mut self,
        intent: &Intent,
        written: Option<Box<Written>>,
        wrote: &mut Wrote,
    ) -> Closing {
        let link = intent.link.as_ref().and_then(|id| self.links.get(id));
        let link = link.cloned();
        let after = written
            .as_ref()
            .map_or_else(Fields::new, |written| made_of(intent, &written.entity));
        let link = match (&intent.effect, written) {
            (Effect::Remove(id, _), _) => self.taken_away(id, link, wrote),
            (_, None) => link,
            (effect, Some(written)) => {
                let Written {
                    entity,
                    source,
                    held,
                } = *written;
                // The answer to the rest of a create tells nothing of the fields that were written before.
                let answer = held.is_some().then(|| entity.clone());
                let entity = settle::completed(intent, entity);
                let is_create = matches!(effect, Effect::Create);
                if is_create && self.has_other_partner(intent, (self.side, entity.id.clone())) {
                    return self.made_for_another(intent, entity, wrote);
                }
                let tried_before = self.was_tried_before(intent);
                let mut link = if is_create {
                    self.created(intent, &entity, wrote)
                } else {
                    wrote.tally.updated += 1;
                    link
                };
                if let Some(link) = &mut link {
                    self.agreed(link, intent, &entity, held, tried_before);
                }
                let observed = self.context.observed(self.side, answer.unwrap_or(entity));
                self.shown(intent, observed, source);
                link
            }
        };
        let Some(link) = link else {
            // The link was dissolved meanwhile: the records are planned again as they are.
            self.again(intent);
            return Closing::Again;
        };
        self.journal.push(JournalEntry {
            at: self.context.now(),
            run: Some(intent.run.clone()),
            kind: JournalKind::Settled,
            link: Some(link.id.clone()),
            side: Some(self.side),
            record: Some(link.record(self.side).clone()),
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
        self.keep(link);
        Closing::As(Class::Applied)
    }

    fn taken_away(&mut self, id: &RecordId, link: Option<Link>, wrote: &mut Wrote) -> Option<Link> {
        wrote.tally.removed += 1;
        self.removed.push(Tombstone {
            id: id.clone(),
            why: Absence::Archived,
            revision: None,
        });
        link.map(|mut link| {
            link.base.ended = true;
            link
        })
    }

    /// Whether the remote may have been asked for the same before, and have done it then. A create is no longer looked
    /// for.
    fn was_tried_before(&self, intent: &Intent) -> bool {
        let mut tried = self.context.was_tried(&intent.id) || intent.lost.is_some();
        if matches!(intent.effect, Effect::Create) {
            let lost = self
                .context
                .lost_creates
                .forget(self.side.other(), &intent.source_record);
            tried |= lost.is_some_and(|lost| lost.id == intent.id);
        }
        tried
    }

    /// The pair that a new record makes with its source; none if that has found another partner meanwhile.
    fn created(&mut self, intent: &Intent, entity: &Entity, wrote: &mut Wrote) -> Option<Link> {
        wrote.tally.created += 1;
        let source = (self.side.other(), intent.source_record.clone());
        if self.has_other_partner(intent, source) {
            // The planner sees one too many.
            self.dirty[self.side.index()].push(entity.id.clone());
            return None;
        }
        let mut consents = intent.base.consents.values();
        if consents.any(|base| base.told != [false, false]) {
            let pair = (intent.source_record.clone(), entity.id.clone());
            self.opted_out.push(pair);
        }
        Some(self.new_link(intent, &entity.id, Base::default()))
    }

    /// What both records of a link agree on from now on. `held`: what a create that was completed had written before.
    fn agreed(
        &mut self,
        link: &mut Link,
        intent: &Intent,
        entity: &Entity,
        held: Option<Fields>,
        tried_before: bool,
    ) {
        let (policy, now) = (self.context.policy(), self.context.now());
        let mut settled = entity.clone();
        settled.fields.extend(held.unwrap_or_default());
        settle::settle(&mut link.base, intent, &settled, policy, now, tried_before);
        let shows_more = settle::shows_more(&link.base, intent, entity, policy);
        // Of a create that was lost for a while the source may have gone on.
        let goes_on = intent.and_more || intent.lost.is_some() || !intent.shared.is_empty();
        if shows_more || goes_on {
            self.dirty[self.side.index()].push(entity.id.clone());
        }
    }

    /// The record as the remote shows it after the write.
    fn shown(&mut self, intent: &Intent, observed: Observed, source: Source) {
        if is_told_back(intent, &observed.entity, source) {
            self.restricted.insert(observed.entity.id.clone());
        }
        match source {
            Source::Write => self.written.push(observed),
            Source::Fetch => self.read.push(observed),
            Source::Listing => self.listed.push(observed),
        }
    }
}

/// What the remote made of what was sent, where that is something else: an undo is conditioned on it.
fn made_of(intent: &Intent, entity: &Entity) -> Fields {
    entity
        .fields
        .iter()
        .filter(|(name, value)| intent.patch.get(*name).is_some_and(|sent| sent != *value))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// Whether the opt-out that a record shows is the one that was written to it. Found later, and dated after what was
/// sent, it may be one that the person has said since, and it counts as that: some remotes date what they are told by
/// their own clock, and then the opt-out is in force from a little later on.
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

fn effect_name(effect: &Effect) -> &'static str {
    match effect {
        Effect::Create => "create",
        Effect::Update(_) => "update",
        Effect::Remove(..) => "remove",
    }
}
