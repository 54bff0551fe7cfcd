//! Records without a partner: linked, created on the other side, left alone, or queued for a person.

use samspel_engine::consent::Restrictions;
use samspel_engine::create::{CreatePlan, NewRecord, Skip, plan_create};
use samspel_engine::matching::{Candidate, Proposal, propose};
use samspel_model::intent::{Effect, Intent};
use samspel_model::journal::JournalKind;
use samspel_model::store::{Dirty, Observation, Verdict, subject};
use samspel_model::{Base, Guard, Link, LinkId, Presence, RecordId, Side};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::batch::Batch;
use crate::accounts::Class;

impl Batch<'_> {
    /// The link under an id that the record had before others were merged into it.
    pub fn alias(&self, side: Side, seen: &Observation) -> Option<Link> {
        seen.aliases
            .iter()
            .find_map(|alias| self.facts.link(side, alias))
            .cloned()
    }

    /// A record was merged into this one: its link goes on under the id that is left.
    pub fn relink(&mut self, row: Dirty, former: &Link, survivor: (Side, RecordId)) {
        let (at, id) = survivor;
        let mut link = former.clone();
        match at {
            Side::A => link.a = id.clone(),
            Side::B => link.b = id.clone(),
        }
        let partner = link.record(at.other()).clone();
        let busy = [(at, &id), (at, former.record(at)), (at.other(), &partner)]
            .into_iter()
            .any(|(side, record)| self.is_busy(side, record));
        if busy {
            // A write under way may pair the survivor, or settles the link under the id that it had.
            self.planned.waiting_for_writes += 1;
            return;
        }
        let seen = [(at, id.clone()), (at.other(), partner)]
            .map(|record| self.facts.seen.get(&record).cloned());
        let [Some(own), Some(other)] = seen else {
            self.planned.waiting_for_reading += 1;
            return;
        };
        let pair = if at == Side::A {
            [own.clone(), other]
        } else {
            [other, own.clone()]
        };
        if self.absorbs_busy(Some(&link.id), &pair) {
            self.planned.waiting_for_writes += 1;
            return;
        }
        self.note(
            JournalKind::Linked,
            Some(&link),
            Some((at, id.clone())),
            json!({ "merged": former.record(at) }),
        );
        let known = self
            .facts
            .restricted(self.context.policy(), [(at, former.record(at))]);
        for rule in self.context.policy().consents.clone() {
            if let Some(restriction) = known.get(&rule) {
                let restriction = restriction.clone();
                self.restrict(at, &id, &rule.name, &restriction);
            }
        }
        // What the survivor held was never this partner's: where it may not flow there, the two meet in it.
        for rule in &self.context.policy().fields {
            let alien = own
                .fields
                .get(rule.field(at))
                .zip(link.base.fields.get(&rule.name))
                .is_some_and(|(value, base)| !rule.normalizer.same(value, base.image(at)));
            if alien && rule.to[at.index()] && !rule.to[at.other().index()] {
                link.base.fields.remove(&rule.name);
            }
        }
        self.facts.put_link(link.clone());
        self.pair(row, link, pair, true);
    }

    /// A record that is not linked.
    pub fn unlinked(&mut self, row: Dirty, seen: &Observation) {
        let context = self.context;
        let policy = context.policy();
        let (side, other) = (row.side, row.side.other());
        let Some(key) = policy.match_key(side, &seen.fields) else {
            self.skip(row, Skip::NoKey);
            return;
        };
        if row.refetch.is_none() && self.lags_behind(side, &row.id) {
            self.ask_again(side, row.id.clone());
            self.done(row, Class::Noop, Vec::new());
            return;
        }
        match self.verdict(side, &row.id, subject::IDENTITY) {
            Some(Verdict::Link(partner)) if self.can_be_linked(other, &partner) => {
                self.link(row, seen, &partner);
                return;
            }
            _ => {}
        }
        let concerned = self.concerned(&key);
        if self.is_rejected(side, &row.id, subject::IDENTITY, &concerned)
            || self.is_rejected(side, &row.id, subject::MERGE, &key)
        {
            self.skip(row, Skip::Rejected);
            return;
        }
        let twins = self
            .facts
            .with_key(side, &key)
            .iter()
            .filter(|id| **id != row.id)
            .count();
        let candidates: Vec<Candidate> = self
            .facts
            .with_key(other, &key)
            .iter()
            .map(|id| Candidate {
                id: id.clone(),
                linked: self.facts.link(other, id).is_some() || self.is_claimed(other, id),
            })
            .collect();
        let lagging = candidates
            .iter()
            .find(|candidate| self.lags_behind(other, &candidate.id));
        if let Some(candidate) = lagging {
            self.ask_again(other, candidate.id.clone());
            self.plan_again(row);
            return;
        }
        let settled = candidates
            .iter()
            .all(|candidate| !self.is_busy(other, &candidate.id));
        // A key is known to be unique if the remote sees to it, or once everything was read.
        let unique =
            |side: Side| policy.unique_match[side.index()] || self.known.caught_up[side.index()];
        let (own_unique, other_unique) = (unique(side), unique(other));
        let other_is_read = self.is_read(other);
        let proposal = if Guard::KeyMustBeUnique.stands() {
            propose(twins, &candidates)
        } else {
            candidates
                .iter()
                .find(|candidate| !candidate.linked)
                .map_or(Proposal::Create, |candidate| {
                    Proposal::Link(candidate.id.clone())
                })
        };
        match proposal {
            _ if !settled => self.planned.waiting_for_writes += 1,
            Proposal::Link(partner) if own_unique && other_unique => {
                if self.has_left(other, &partner) {
                    // Since its key was looked for.
                    self.planned.waiting_for_reading += 1;
                } else {
                    self.link(row, seen, &partner);
                }
            }
            Proposal::Create if self.is_lost_elsewhere(side, seen) => {
                self.planned.waiting_for_reading += 1;
            }
            Proposal::Create if own_unique && other_is_read => {
                let records = seen.aliases.iter().chain([&row.id]);
                let restricted = self
                    .facts
                    .restricted(policy, records.map(|record| (side, record)));
                let restricted = self.facts.suppressed(policy, restricted, &key);
                self.create_partner(row, seen, &restricted);
            }
            Proposal::Ambiguous(why) if self.known.caught_up == [true, true] => {
                let ids: Vec<RecordId> = [side, other]
                    .into_iter()
                    .flat_map(|side| self.facts.with_key(side, &key))
                    .cloned()
                    .collect();
                let subject = subject::IDENTITY.to_owned();
                self.looked_at(side, &row.id, vec![subject.clone()]);
                let detail = json!({ "records": ids });
                self.conflict(side, row.id.clone(), None, subject, why, detail);
                self.done(row, Class::Conflict, Vec::new());
            }
            Proposal::Link(_) | Proposal::Create | Proposal::Ambiguous(_) => {
                self.planned.waiting_for_reading += 1;
            }
        }
    }

    /// Whether the remote says that a record left the collection; not whether the sync's filter leaves it out.
    fn has_left(&self, side: Side, id: &RecordId) -> bool {
        let seen = self.facts.seen.get(&(side, id.clone()));
        seen.is_some_and(|seen| {
            seen.presence == Presence::OutOfScope
                && self.context.policy().takes_part(side, &seen.fields) == Ok(true)
        })
    }

    /// What a question about who somebody is is about: a key, and the records that have it.
    fn concerned(&self, key: &str) -> String {
        let mut records: Vec<String> = Side::BOTH
            .into_iter()
            .flat_map(|side| {
                let records = self.facts.with_key(side, key).iter();
                records.map(move |id| format!("{side} {id}"))
            })
            .collect();
        records.sort();
        format!("{key}: {}", records.join(", "))
    }

    fn create_partner(&mut self, row: Dirty, seen: &Observation, restricted: &Restrictions) {
        let (context, side) = (self.context, row.side);
        match plan_create(context.policy(), side, seen, restricted, context.now()) {
            CreatePlan::Create(new) => {
                let held = match self.verdict(side, &row.id, subject::HOLD_CREATE) {
                    Some(Verdict::Approve) => false,
                    _ if self.is_rejected(side, &row.id, subject::HOLD_CREATE, &seen.hash) => {
                        self.skip(row, Skip::Rejected);
                        return;
                    }
                    _ => !self.meter.create(),
                };
                if held {
                    let about = subject::HOLD_CREATE.to_owned();
                    self.looked_at(side, &row.id, vec![about.clone()]);
                    self.conflict(
                        side,
                        row.id.clone(),
                        None,
                        about,
                        "more records would be created than a run may without a person's word"
                            .to_owned(),
                        json!({ "side": side.other() }),
                    );
                    self.done(row, Class::Conflict, Vec::new());
                } else {
                    let intent = self.create(side, seen, *new, None);
                    self.looked_at(side, &row.id, Vec::new());
                    self.done(row, Class::Noop, vec![intent]);
                }
            }
            CreatePlan::Skip(reason) => self.skip(row, reason),
            CreatePlan::Failed(why) => {
                self.park(side, row.id.clone(), why);
                self.done(row, Class::Parked, Vec::new());
            }
        }
    }

    /// Whether a create for this record was tried under another key, and may have been applied: until that is known,
    /// there may be a partner that its key does not tell of.
    pub fn is_lost_elsewhere(&self, source: Side, seen: &Observation) -> bool {
        let policy = self.context.policy();
        let lost = self.context.lost_creates.of(source, &seen.id);
        lost.is_some_and(|lost| {
            policy.match_key(source.other(), &lost.patch) != policy.match_key(source, &seen.fields)
        })
    }

    /// Whether an operator's word about a partner can be carried out: one that is gone, or linked, leaves the question
    /// open.
    fn can_be_linked(&self, side: Side, id: &RecordId) -> bool {
        let seen = self.facts.seen.get(&(side, id.clone()));
        let is_there = seen
            .is_some_and(|seen| matches!(seen.presence, Presence::Present | Presence::OutOfScope));
        is_there && self.facts.link(side, id).is_none()
    }

    fn is_claimed(&self, side: Side, id: &RecordId) -> bool {
        self.preview
            .as_deref()
            .is_some_and(|preview| preview.claims(side, id))
    }

    fn link(&mut self, row: Dirty, seen: &Observation, partner: &RecordId) {
        let other_side = row.side.other();
        let Some(other) = self.facts.seen.get(&(other_side, partner.clone())).cloned() else {
            self.planned.waiting_for_reading += 1;
            return;
        };
        if other.presence == Presence::OutOfScope {
            // It is there, outside the filter: creating another one would make two of it.
            self.skip(row, Skip::Filtered);
            return;
        }
        if other.presence != Presence::Present {
            self.planned.waiting_for_reading += 1;
            return;
        }
        let pair = if row.side == Side::A {
            [seen.clone(), other]
        } else {
            [other, seen.clone()]
        };
        if self.absorbs_busy(None, &pair) {
            self.planned.waiting_for_writes += 1;
            return;
        }
        let link = Link {
            id: LinkId(self.context.ids().next()),
            a: pair[0].id.clone(),
            b: pair[1].id.clone(),
            base: Base::default(),
        };
        self.planned.tally.linked += 1;
        if let Some(preview) = self.preview.as_deref_mut() {
            preview.link(&link, row.side, &row.id);
        }
        self.note(
            JournalKind::Linked,
            Some(&link),
            None,
            json!({ "by": self.context.policy().match_rule().name }),
        );
        self.carry_out(row.side, &row.id);
        self.facts.put_link(link.clone());
        self.pair(row, link, pair, true);
    }

    /// Whether a side has a record with the key of the other side's.
    fn has_candidate(&self, side: Side, seen: &Observation) -> bool {
        let key = self.context.policy().match_key(side.other(), &seen.fields);
        key.is_some_and(|key| !self.facts.with_key(side, &key).is_empty())
    }

    /// The survivor was edited after its partner was deleted: an edit beats a delete.
    pub fn recreate(
        &mut self,
        side: Side,
        link: &Link,
        seen: &[Observation; 2],
        intents: &mut Vec<String>,
    ) -> Class {
        let source = side.other();
        let survivor = &seen[source.index()];
        let context = self.context;
        let records = Side::BOTH.into_iter().flat_map(|side| {
            let aliases = seen[side.index()].aliases.iter();
            aliases
                .chain([link.record(side)])
                .map(move |record| (side, record))
        });
        let restricted = self.facts.restricted(context.policy(), records);
        match plan_create(
            context.policy(),
            source,
            survivor,
            &restricted,
            context.now(),
        ) {
            CreatePlan::Create(new) => {
                // The link stays until there is a new one: an attempt that fails is made again under the same key.
                self.note(
                    JournalKind::Unlinked,
                    Some(link),
                    None,
                    json!({ "why": "a record was deleted while the other was edited; it is created anew" }),
                );
                let intent = self.create(source, survivor, *new, Some(&link.id));
                intents.push(intent);
                Class::Noop
            }
            CreatePlan::Skip(_) if self.has_candidate(side, survivor) => {
                self.note(
                    JournalKind::Unlinked,
                    Some(link),
                    None,
                    json!({ "why": "a record was deleted while the other was edited; another one has its key now" }),
                );
                self.dissolve(source, link);
                Class::Noop
            }
            CreatePlan::Skip(reason) => {
                *self.planned.tally.filtered.entry(reason).or_default() += 1;
                Class::Filtered
            }
            CreatePlan::Failed(why) => {
                self.park(source, survivor.id.clone(), why);
                Class::Parked
            }
        }
    }

    fn create(
        &mut self,
        source: Side,
        seen: &Observation,
        new: NewRecord,
        former: Option<&LinkId>,
    ) -> String {
        let NewRecord {
            write,
            restrict,
            lifted,
        } = new;
        for (rule, restriction) in restrict {
            self.restrict(source, &seen.id, &rule, &restriction);
        }
        for (rule, restriction, evidence) in lifted {
            for record in seen.aliases.iter().chain([&seen.id]) {
                self.lift(source, record, &rule);
            }
            self.note(
                JournalKind::OptIn,
                None,
                Some((source, seen.id.clone())),
                json!({ "consent": rule, "restriction": restriction, "evidence": evidence }),
            );
        }
        let restricts = write.restricts();
        let id = self.create_key(source, &seen.id, former);
        self.planned.intents.push(Intent {
            id: id.clone(),
            run: self.context.run.clone(),
            target: source.other(),
            source_record: seen.id.clone(),
            link: former.cloned(),
            effect: Effect::Create,
            patch: write.patch,
            before: write.before,
            consents: write.consents,
            deliverability: write.deliverability,
            precondition: None,
            base: write.base,
            shared: write.shared,
            // A record that starts with an opt-out takes nothing away from anybody: it need not overtake.
            restricts: restricts && former.is_some(),
            and_more: false,
            overrules: None,
            told: self.facts.told(source, &seen.id).to_vec(),
            lost: None,
        });
        id
    }

    /// The same for every attempt at creating the same record, also after a crash.
    fn create_key(&self, source: Side, record: &RecordId, former: Option<&LinkId>) -> String {
        let endpoint = self.context.endpoint(source);
        let mut hasher = Sha256::new();
        for part in [
            self.context.name(),
            &endpoint.account,
            &endpoint.collection,
            record.as_str(),
            former.map_or("", |link| link.0.as_str()),
        ] {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        hex::encode(&hasher.finalize()[..16])
    }
}
