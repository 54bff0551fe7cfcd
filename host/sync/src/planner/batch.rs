//! The decisions of one batch of records, until they are stored together.

mod storing;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use samspel_engine::create::Skip;
use samspel_engine::plan::{Ending, LinkPlan, LinkState, SideWrite, plan};
use samspel_engine::settle;
use samspel_engine::valve::Meter;
use samspel_model::intent::{Effect, Intent};
use samspel_model::journal::{JournalEntry, JournalKind};
use samspel_model::link::Restriction;
use samspel_model::store::{
    Conflict, Decision, Dirty, Observation, Parked, RecordRestriction, Verdict, subject,
};
use samspel_model::{
    Base, ConsentState, FieldBase, Fields, Guard, Link, LinkId, Presence, RecordId, Removal, Side,
};
use serde_json::json;

use super::facts::Facts;
use super::preview::Preview;
use super::{Known, Planned, Removals};
use crate::accounts::Class;
use crate::context::Context;

/// What was found out about a link besides its plan.
struct Outcome {
    /// What is left to a person.
    subjects: Vec<String>,
    /// It was made, or moved, by this batch.
    is_new: bool,
    /// There is more to write once its opt-outs are written.
    and_more: bool,
}

/// The decisions of one batch.
pub(super) struct Batch<'a> {
    pub context: &'a Arc<Context>,
    pub known: Known,
    pub facts: Facts,
    /// Records with writes that were under way before the facts were loaded.
    in_flight: HashSet<(Side, RecordId)>,
    pub meter: Meter,
    pub preview: Option<&'a mut Preview>,
    pub planned: Planned,
    done_links: HashSet<LinkId>,
    clean: Vec<Dirty>,
    links: Vec<Link>,
    conflicts: Vec<Conflict>,
    looked_at: [Vec<(RecordId, Vec<String>)>; 2],
    carried_out: Vec<(Side, RecordId, String)>,
    /// Rejections that were carried out, with what they are about.
    rejections: Vec<Decision>,
    /// Records that are planned again once this is stored.
    again: [Vec<RecordId>; 2],
    /// Links whose survivors are to be matched anew.
    dissolved: Vec<LinkId>,
    /// Records that are to be fetched, and planned then.
    ask: [Vec<RecordId>; 2],
    restrict: Vec<RecordRestriction>,
    lifted: [Vec<(RecordId, String, String)>; 2],
    parked: Vec<Parked>,
    journal: Vec<JournalEntry>,
}

impl<'a> Batch<'a> {
    pub fn new(
        context: &'a Arc<Context>,
        known: Known,
        meter: Meter,
        facts: Facts,
        in_flight: HashSet<(Side, RecordId)>,
        preview: Option<&'a mut Preview>,
    ) -> Self {
        Self {
            context,
            known,
            facts,
            in_flight,
            meter,
            preview,
            planned: Planned::default(),
            done_links: HashSet::new(),
            clean: Vec::new(),
            links: Vec::new(),
            conflicts: Vec::new(),
            looked_at: [Vec::new(), Vec::new()],
            carried_out: Vec::new(),
            rejections: Vec::new(),
            again: [Vec::new(), Vec::new()],
            dissolved: Vec::new(),
            ask: [Vec::new(), Vec::new()],
            restrict: Vec::new(),
            lifted: [Vec::new(), Vec::new()],
            parked: Vec::new(),
            journal: Vec::new(),
        }
    }

    /// Decides about one record.
    pub fn row(&mut self, row: Dirty) {
        let Some(seen) = self.facts.seen.get(&(row.side, row.id.clone())).cloned() else {
            // Marked by a listing of ids, fetched, and gone already.
            self.done(row, Class::Noop, Vec::new());
            return;
        };
        if let Some(why) = self.facts.unfiltered.get(&(row.side, row.id.clone())) {
            let why = why.clone();
            self.park(row.side, row.id.clone(), why);
            self.done(row, Class::Parked, Vec::new());
        } else if let Some(link) = self.facts.link(row.side, &row.id).cloned() {
            self.linked(row, link);
        } else if seen.presence == Presence::OutOfScope {
            self.skip(row, Skip::Filtered);
        } else if seen.presence != Presence::Present {
            self.looked_at[row.side.index()].push((row.id.clone(), Vec::new()));
            self.done(row, Class::Noop, Vec::new());
        } else if let Some(former) = self.alias(row.side, &seen) {
            let survivor = (row.side, row.id.clone());
            self.relink(row, &former, survivor);
        } else {
            self.unlinked(row, &seen);
        }
    }

    /// Whether a record has a write under way, or had one when the facts were loaded.
    pub fn is_busy(&self, side: Side, id: &RecordId) -> bool {
        self.in_flight.contains(&(side, id.clone())) || self.context.in_flight().contains(side, id)
    }

    /// Whether everything that could have the key of a new record on a side is known.
    pub fn is_read(&self, side: Side) -> bool {
        self.known.caught_up[side.index()]
            // A remote that refuses a second record with the key tells of one that was not read yet.
            || (self.known.hinted && self.context.policy().unique_match[side.index()])
            || !Guard::CreateAfterReading.stands()
    }

    // ---- linked records ------------------------------------------------------------------------------------------

    fn linked(&mut self, row: Dirty, link: Link) {
        let busy = Side::BOTH
            .into_iter()
            .any(|side| self.is_busy(side, link.record(side)));
        if busy && Guard::InFlightIsNotPlanned.stands() {
            self.planned.waiting_for_writes += 1;
            return;
        }
        if self.done_links.contains(&link.id) {
            // The other record of the pair was in the batch too.
            self.done(row, Class::Noop, Vec::new());
            return;
        }
        let seen = Side::BOTH.map(|side| {
            self.facts
                .seen
                .get(&(side, link.record(side).clone()))
                .cloned()
        });
        let [Some(a), Some(b)] = seen else {
            // Linked, and not read yet under the id that it has now.
            self.planned.waiting_for_reading += 1;
            return;
        };
        let lagging = Side::BOTH.into_iter().find(|side| {
            let record = link.record(*side);
            let just_asked = row.refetch.is_some() && row.side == *side && row.id == *record;
            !just_asked && self.lags_behind(*side, record)
        });
        if let Some(side) = lagging {
            self.ask_again(side, link.record(side).clone());
            self.done(row, Class::Noop, Vec::new());
            return;
        }
        if let Some((side, survivor)) = self.merged_away(&link, [&a, &b]) {
            self.merged(row, link, side, &survivor);
            return;
        }
        self.pair(row, link, [a, b], false);
    }

    /// Whether a record seems to be there although another one says that it was merged into that: what is known of it
    /// lags behind, and it is to be asked for. What it then says is believed: each is asked for once in a run.
    pub fn lags_behind(&self, side: Side, id: &RecordId) -> bool {
        self.facts.is_present(side, id)
            && self.facts.survivor(side, id).is_some()
            // Of a plan that is shown nothing is asked.
            && (self.preview.is_some() || self.context.is_first_asked(side, id))
    }

    /// The record of a link that was merged into another one, which is left.
    fn merged_away(&self, link: &Link, seen: [&Observation; 2]) -> Option<(Side, RecordId)> {
        Side::BOTH.into_iter().find_map(|side| {
            let gone = seen[side.index()].presence != Presence::Present;
            let survivor = self.facts.survivor(side, link.record(side))?;
            (gone && !link.base.ended).then(|| (side, survivor.clone()))
        })
    }

    /// Two records of a side became one. If both had a partner, the link of the one that is gone ends, and the survivor
    /// is planned with both partners in view; otherwise the link goes on under the id that is left.
    fn merged(&mut self, row: Dirty, mut link: Link, side: Side, survivor: &RecordId) {
        let Some(other) = self.facts.link(side, survivor).cloned() else {
            self.relink(row, &link, (side, survivor.clone()));
            return;
        };
        self.done_links.insert(link.id.clone());
        self.end(&mut link);
        self.links.push(link);
        self.again[Side::A.index()].push(other.a);
        self.done(row, Class::Noop, Vec::new());
    }

    /// The links of records that were merged into those of this one: their side, and the link. Their partners are one
    /// person's too.
    fn absorbed(&self, link: &Link, seen: &[Observation; 2]) -> Vec<(Side, Link)> {
        let mut absorbed = Vec::new();
        for side in Side::BOTH {
            for alias in &seen[side.index()].aliases {
                let former = self.facts.link(side, alias);
                absorbed.extend(
                    former
                        .filter(|of| of.id != link.id)
                        .map(|former| (side, former.clone())),
                );
            }
        }
        absorbed
    }

    /// Whether a write is under way for one that was merged into these records, or for the pair that it had: a partner
    /// may be made for it just now. `own`: the link of these two.
    pub fn absorbs_busy(&self, own: Option<&LinkId>, seen: &[Observation; 2]) -> bool {
        Side::BOTH.into_iter().any(|side| {
            seen[side.index()].aliases.iter().any(|alias| {
                let former = self.facts.link(side, alias);
                let former = former.filter(|former| Some(&former.id) != own);
                let pair = former.into_iter().flat_map(|former| {
                    Side::BOTH
                        .into_iter()
                        .map(move |side| (side, former.record(side)))
                });
                pair.chain([(side, alias)])
                    .any(|(side, record)| self.is_busy(side, record))
            })
        })
    }

    /// Plans a link. `is_new`: it was made, or moved, by this batch.
    pub fn pair(&mut self, row: Dirty, mut link: Link, seen: [Observation; 2], is_new: bool) {
        if self.absorbs_busy(Some(&link.id), &seen) {
            self.planned.waiting_for_writes += 1;
            return;
        }
        let absorbed = self.absorbed(&link, &seen);
        // What was said as one of the records that were merged into these was said by the same person.
        let mut restricted = self.facts.restricted(
            self.context.policy(),
            Side::BOTH.into_iter().flat_map(|side| {
                let aliases = seen[side.index()].aliases.iter();
                aliases
                    .chain([link.record(side)])
                    .map(move |record| (side, record))
            }),
        );
        if link.base == Base::default() {
            for side in Side::BOTH {
                let fields = &seen[side.index()].fields;
                if let Some(key) = self.context.policy().match_key(side, fields) {
                    restricted = self
                        .facts
                        .suppressed(self.context.policy(), restricted, &key);
                }
            }
        }
        let told = self.facts.told(Side::A, &link.a).to_vec();
        let state = LinkState {
            base: &link.base,
            seen: [&seen[0], &seen[1]],
            restricted: &restricted,
            told: &told,
        };
        let mut decided = plan(&state, self.context.policy(), self.context.now());
        if matches!(decided.ending, Some(Ending::Remove(..)))
            && self.known.removals == Removals::Count
            && self.preview.is_none()
            && !told.iter().any(|told| told.about == subject::HOLD_DELETE)
        {
            // How many there are is known once everything was planned: all of them are carried out, or none.
            self.planned.waiting_removals.push(link.id);
            return;
        }
        if let Some(Ending::Recreate(side)) = decided.ending
            && (!self.is_read(side)
                || self.is_lost_elsewhere(side.other(), &seen[side.other().index()]))
        {
            self.planned.waiting_for_reading += 1;
            return;
        }
        self.done_links.insert(link.id.clone());
        let and_more = self.preview.is_none()
            && Guard::OptOutGoesFirst.stands()
            && split_opt_outs(&mut decided);
        let mut subjects = Vec::new();
        let twins = absorbed
            .iter()
            .map(|(side, former)| former.record(side.other()).as_str())
            .collect::<BTreeSet<_>>();
        let twins = twins.into_iter().collect::<Vec<_>>().join(" ");
        let apart =
            !absorbed.is_empty() && self.is_rejected(Side::A, &link.a, subject::MERGE, &twins);
        for (side, mut former) in absorbed {
            let twin = former.record(side.other()).clone();
            let side = side.other();
            let is_there = self.facts.is_present(side, &twin);
            if !former.base.ended {
                self.end(&mut former);
                self.links.push(former);
            }
            if apart || !is_there {
                continue;
            }
            subjects.push(subject::MERGE.to_owned());
            self.conflict(
                Side::A,
                link.a.clone(),
                Some(&link),
                subject::MERGE.to_owned(),
                format!(
                    "two records were merged at the other side; in side {side} `{twin}` and `{}` are still two: merge them",
                    link.record(side)
                ),
                json!({ "side": side, "holder": twin }),
            );
        }
        if !is_new {
            self.hold_changes(&link, &seen, &told, &mut decided, &mut subjects);
        }
        let outcome = Outcome {
            subjects,
            is_new,
            and_more,
        };
        self.decided(row, &mut link, seen, decided, outcome);
    }

    fn decided(
        &mut self,
        row: Dirty,
        link: &mut Link,
        seen: [Observation; 2],
        decided: LinkPlan,
        outcome: Outcome,
    ) {
        let Outcome {
            mut subjects,
            is_new,
            and_more,
        } = outcome;
        let mut changed = is_new;
        if decided.advances() {
            settle::advance(&mut link.base, decided.advance);
            changed = true;
        }
        self.share(link, decided.restrict);
        for (rule, restriction, evidence) in decided.lifted {
            for side in Side::BOTH {
                let records = seen[side.index()].aliases.iter();
                for record in records.chain([link.record(side)]) {
                    self.lift(side, record, &rule);
                }
            }
            self.note(
                JournalKind::OptIn,
                Some(link),
                None,
                json!({ "consent": rule, "restriction": restriction, "evidence": evidence }),
            );
        }
        for loser in decided.losers {
            let record = link.record(loser.side).clone();
            self.note(
                JournalKind::Lost,
                Some(link),
                Some((loser.side, record)),
                json!({ "field": loser.rule, "value": loser.value }),
            );
        }
        for undecided in decided.undecided {
            subjects.push(undecided.about.clone());
            self.conflict(
                Side::A,
                link.a.clone(),
                Some(link),
                undecided.about,
                undecided.why,
                json!({ "a": undecided.values[0], "b": undecided.values[1] }),
            );
        }
        let mut class = Class::Noop;
        let mut intents = Vec::new();
        for (side, write) in Side::BOTH.into_iter().zip(decided.writes) {
            if let Some(write) = write {
                intents.push(self.update(side, link, &seen, write, and_more));
            }
        }
        match decided.ending {
            None => {}
            Some(Ending::Resume) => {
                link.base.ended = false;
                changed = true;
            }
            Some(Ending::End) => {
                self.end(link);
                changed = true;
            }
            Some(Ending::Recreate(side)) => {
                class = self.recreate(side, link, &seen, &mut intents);
            }
            Some(Ending::Remove(side, how)) => {
                changed |= self.hold_removal(side, how, link, &seen, &mut subjects, &mut intents);
            }
        }
        if changed {
            self.links.push(link.clone());
        }
        if !subjects.is_empty() {
            class = class.max(Class::Conflict);
        }
        self.look_at(link, subjects);
        self.done(row, class, intents);
    }

    /// Nothing flows between the two any more.
    pub fn end(&mut self, link: &mut Link) {
        link.base.ended = true;
        self.note(
            JournalKind::Unlinked,
            Some(link),
            None,
            json!({ "why": "a record is gone or left the collection" }),
        );
    }

    /// What is undecided about a link is what was found now, and what operators said about it is carried out.
    fn look_at(&mut self, link: &Link, subjects: Vec<String>) {
        self.carry_out(Side::A, &link.a);
        self.looked_at[Side::A.index()].push((link.a.clone(), subjects));
        self.looked_at[Side::B.index()].push((link.b.clone(), Vec::new()));
    }

    /// What operators said about a record is carried out.
    pub fn carry_out(&mut self, side: Side, id: &RecordId) {
        let told = self.facts.told(side, id);
        self.carried_out.extend(
            told.iter()
                .map(|told| (told.side, told.record.clone(), told.about.clone())),
        );
    }

    /// A record was decided about, with these subjects left to a person.
    pub fn looked_at(&mut self, side: Side, id: &RecordId, subjects: Vec<String>) {
        self.carry_out(side, id);
        self.looked_at[side.index()].push((id.clone(), subjects));
    }

    /// A subject of a record that was looked at is left to a person after all.
    pub fn keep_subject(&mut self, record: &RecordId, subject: &str) {
        let looked_at = &mut self.looked_at[Side::A.index()];
        if let Some((_, keep)) = looked_at.iter_mut().find(|(id, _)| id == record) {
            keep.push(subject.to_owned());
        }
    }

    fn update(
        &mut self,
        side: Side,
        link: &Link,
        seen: &[Observation; 2],
        write: SideWrite,
        and_more: bool,
    ) -> String {
        let restricts = write.restricts();
        let id = self.context.ids().next();
        self.planned.intents.push(Intent {
            id: id.clone(),
            run: self.context.run.clone(),
            target: side,
            source_record: link.record(side.other()).clone(),
            link: Some(link.id.clone()),
            effect: Effect::Update(link.record(side).clone()),
            patch: write.patch,
            before: write.before,
            consents: write.consents,
            deliverability: write.deliverability,
            precondition: seen[side.index()].revision.clone(),
            base: write.base,
            shared: write.shared,
            restricts,
            and_more: and_more && restricts,
            overrules: opt_out(&seen[side.index()]),
            told: self.facts.told(Side::A, &link.a).to_vec(),
            lost: None,
        });
        id
    }

    /// Takes the record of a side away.
    pub fn remove(
        &mut self,
        side: Side,
        how: Removal,
        link: &Link,
        seen: &[Observation; 2],
    ) -> String {
        let id = self.context.ids().next();
        self.planned.intents.push(Intent {
            id: id.clone(),
            run: self.context.run.clone(),
            target: side,
            source_record: link.record(side.other()).clone(),
            link: Some(link.id.clone()),
            effect: Effect::Remove(link.record(side).clone(), how),
            patch: Fields::new(),
            before: Fields::new(),
            consents: Vec::new(),
            deliverability: None,
            precondition: seen[side.index()].revision.clone(),
            base: Base::default(),
            shared: Vec::new(),
            restricts: false,
            and_more: false,
            overrules: None,
            told: self.facts.told(Side::A, &link.a).to_vec(),
            lost: None,
        });
        id
    }

    // ---- opt-outs ------------------------------------------------------------------------------------------------

    /// Opt-outs in force are stored with both records of a link, so that every sync of either finds them.
    fn share(&mut self, link: &Link, restrictions: Vec<(String, Restriction)>) {
        for (rule, restriction) in restrictions {
            for side in Side::BOTH {
                let seen_here = self.context.policy().accounts[side.index()] == restriction.account;
                if seen_here || Guard::OptOutIsThePersons.stands() {
                    self.restrict(side, link.record(side), &rule, &restriction);
                }
            }
        }
    }

    /// An opt-out is in force for a record.
    pub fn restrict(&mut self, side: Side, id: &RecordId, rule: &str, restriction: &Restriction) {
        let rules = &self.context.policy().consents;
        let Some(rule) = rules.iter().find(|known| known.name == rule) else {
            return;
        };
        let purpose = rule.purpose(side);
        let known = self.facts.restrictions(side, id).iter().any(|row| {
            row.channel == rule.channel
                && row.purpose == purpose
                && row.restriction.at >= restriction.at
        });
        if !known {
            self.restrict.push(RecordRestriction {
                endpoint: self.context.endpoint(side).clone(),
                record: id.clone(),
                channel: rule.channel.clone(),
                purpose: purpose.to_owned(),
                restriction: restriction.clone(),
            });
        }
    }

    /// An opt-out is no longer in force for a record.
    pub fn lift(&mut self, side: Side, id: &RecordId, rule: &str) {
        let rules = &self.context.policy().consents;
        if let Some(rule) = rules.iter().find(|known| known.name == rule) {
            self.lifted[side.index()].push((
                id.clone(),
                rule.channel.clone(),
                rule.purpose(side).to_owned(),
            ));
        }
    }

    /// A field of a link stays as it is on both sides.
    pub fn keep_apart(&mut self, link: &Link, rule: &str) {
        let known = self.links.iter().rfind(|known| known.id == link.id);
        let mut link = known.unwrap_or(link).clone();
        let rules = &self.context.policy().fields;
        let Some(rule) = rules.iter().find(|known| known.name == rule) else {
            return;
        };
        let [a, b] = Side::BOTH.map(|side| {
            let seen = self.facts.seen.get(&(side, link.record(side).clone()));
            seen.and_then(|seen| seen.fields.get(rule.field(side)))
                .cloned()
                .unwrap_or_default()
        });
        let images = FieldBase {
            a,
            b,
            rule: rule.fingerprint.clone(),
            undone: false,
        };
        link.base.fields.insert(rule.name.clone(), images);
        self.links.push(link);
    }

    /// What an operator said about a record and a subject.
    pub fn verdict(&self, side: Side, id: &RecordId, about: &str) -> Option<Verdict> {
        self.facts
            .told(side, id)
            .iter()
            .find(|told| told.about == about)
            .map(|told| told.verdict.clone())
    }

    /// Whether an operator said that something about a record is not to be done. `of`: what it is about now. That stays
    /// said for as long as it is about the same; about something else, it is asked again.
    pub fn is_rejected(&mut self, side: Side, id: &RecordId, about: &str, of: &str) -> bool {
        let mut told = self.facts.told(side, id).iter();
        let Some(rejection) = told.find(|told| {
            told.about == about
                && told.verdict == Verdict::Reject
                && told.of.as_deref().is_none_or(|known| known == of)
        }) else {
            return false;
        };
        let rejection = Decision {
            of: Some(of.to_owned()),
            ..rejection.clone()
        };
        self.rejections.push(rejection);
        true
    }
}

/// When a record says that its person opted out.
fn opt_out(seen: &Observation) -> Option<Timestamp> {
    let mut consents = seen.consents.iter();
    consents
        .find(|consent| consent.state == ConsentState::Unsubscribed)?
        .at
}

/// Leaves only opt-outs in the writes that carry one: they are sent by themselves, ahead of everything else, and cannot
/// fail for the sake of another field. Whether something was left out, which is to be planned again.
fn split_opt_outs(plan: &mut LinkPlan) -> bool {
    let mut split = false;
    for write in plan.writes.iter_mut().flatten() {
        if !write.restricts() || (write.patch.is_empty() && write.deliverability.is_none()) {
            continue;
        }
        split = true;
        write.patch.clear();
        write.before.clear();
        write.deliverability = None;
        write.base.deliverability = None;
        let fields = std::mem::take(&mut write.base.fields);
        let consents = &write.base.consents;
        write.shared.retain(|name| consents.contains_key(name));
        plan.losers
            .retain(|loser| !fields.contains_key(&loser.rule));
    }
    split
}
