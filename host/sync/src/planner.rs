//! Planning a batch of records: what is known of them is loaded, the engine decides, and the decisions are stored with
//! the writes they lead to, before anything is sent.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use samspel_engine::matching::{Candidate, Proposal, propose};
use samspel_engine::plan::{
    CreatePlan, Ending, LinkPlan, LinkState, SideWrite, Skip, plan, plan_create,
};
use samspel_engine::settle;
use samspel_model::intent::{Effect, Intent};
use samspel_model::journal::{JournalEntry, JournalKind};
use samspel_model::store::{Change, Conflict, Dirty, Observation, Parked};
use samspel_model::{Base, Fields, Link, LinkId, Presence, RecordId, Side};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::context::Context;
use crate::error::SyncError;
use crate::reader::{fetch, observe_fetched};
use crate::report::{PlanReport, PlanSample};

/// How many records are planned at once.
pub const BATCH: u32 = 500;

/// What the planner may rely on.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// Whether everything that is new on the side was read.
    pub caught_up: [bool; 2],
    /// How many more records may be taken away in this run.
    pub removals_left: u64,
}

/// What planning a batch led to.
#[derive(Debug, Default)]
pub struct Planned {
    /// Writes that are stored and wait to be sent.
    pub intents: Vec<Intent>,
    /// The position behind the batch.
    pub after: u64,
    /// There was nothing to plan.
    pub exhausted: bool,
    /// Records that wait for a side to be read to its end.
    pub waiting_for_reading: u64,
    /// Records that wait for a write to be settled.
    pub waiting_for_writes: u64,
    /// Counts.
    pub tally: Tally,
    /// Removals that were decided.
    pub removals: u64,
}

/// What was decided, in numbers.
#[derive(Debug, Default, Clone)]
pub struct Tally {
    pub planned: u64,
    pub linked: u64,
    pub noop: u64,
    pub filtered: BTreeMap<Skip, u64>,
    pub conflicts: u64,
    pub parked: u64,
}

/// Decisions that are shown and not stored.
#[derive(Debug, Default)]
pub struct Preview {
    pub report: PlanReport,
    /// Records that an earlier batch would have linked.
    claimed: HashSet<(Side, RecordId)>,
}

/// Plans the next records after a position. With a preview, decisions go there and nothing is stored.
pub async fn plan_batch(
    context: &Arc<Context>,
    after: u64,
    known: Known,
    given_up: &HashSet<(Side, RecordId)>,
    preview: Option<&mut Preview>,
) -> Result<Planned, SyncError> {
    let rows = context.store().dirty(context.name(), after, BATCH).await?;
    let Some(last) = rows.last() else {
        return Ok(Planned {
            after,
            exhausted: true,
            ..Planned::default()
        });
    };
    let position = last.position;
    let (busy, rows): (Vec<Dirty>, Vec<Dirty>) = {
        let in_flight = context.in_flight();
        rows.into_iter()
            .partition(|row| in_flight.contains(row.side, &row.id))
    };
    let rows: Vec<Dirty> = rows
        .into_iter()
        .filter(|row| !given_up.contains(&(row.side, row.id.clone())))
        .collect();
    let rows = refetch(context, rows).await?;
    let facts = Facts::load(context, &rows).await?;
    let mut batch = Batch::new(context, known, facts, preview);
    batch.planned.waiting_for_writes = busy.len() as u64;
    for row in rows {
        batch.row(row);
    }
    batch.merge_conflicts().await?;
    let mut planned = batch.store().await?;
    planned.after = position;
    Ok(planned)
}

/// Fetches the records whose stored state may be older than our own write.
async fn refetch(context: &Arc<Context>, rows: Vec<Dirty>) -> Result<Vec<Dirty>, SyncError> {
    let mut changes = Vec::new();
    let mut unread = HashSet::new();
    for side in Side::BOTH {
        let ids: Vec<RecordId> = rows
            .iter()
            .filter(|row| row.side == side && row.refetch)
            .map(|row| row.id.clone())
            .collect();
        if ids.is_empty() {
            continue;
        }
        let fetched = fetch(context, side, &ids).await?;
        for (id, answer) in &fetched.answers {
            if matches!(answer, samspel_model::Fetched::Failed(_)) {
                unread.insert((side, id.clone()));
            }
        }
        changes.push(observe_fetched(context, side, fetched, None));
    }
    if !changes.is_empty() {
        context.commit(changes).await?;
    }
    Ok(rows
        .into_iter()
        .filter(|row| !unread.contains(&(row.side, row.id.clone())))
        .collect())
}

/// What is known of the records of a batch and of those around them.
#[derive(Default)]
struct Facts {
    seen: HashMap<(Side, RecordId), Observation>,
    links: HashMap<LinkId, Link>,
    link_of: HashMap<(Side, RecordId), LinkId>,
    /// Present records by side and match key, at most three.
    by_key: HashMap<(Side, String), Vec<RecordId>>,
}

impl Facts {
    async fn load(context: &Context, rows: &[Dirty]) -> Result<Self, SyncError> {
        let mut facts = Self::default();
        for side in Side::BOTH {
            let ids: Vec<RecordId> = rows
                .iter()
                .filter(|row| row.side == side)
                .map(|row| row.id.clone())
                .collect();
            facts.load_seen(context, side, &ids).await?;
            facts.load_links(context, side, &ids).await?;
        }
        facts.load_partners(context).await?;
        // A record may be linked under an id that it had before it was merged.
        for side in Side::BOTH {
            let aliases: Vec<RecordId> = rows
                .iter()
                .filter(|row| row.side == side && facts.link(side, &row.id).is_none())
                .filter_map(|row| facts.seen.get(&(side, row.id.clone())))
                .flat_map(|seen| seen.aliases.iter().cloned())
                .collect();
            if !aliases.is_empty() {
                facts.load_links(context, side, &aliases).await?;
                facts.load_partners(context).await?;
            }
        }
        facts.load_candidates(context, rows).await?;
        Ok(facts)
    }

    async fn load_seen(
        &mut self,
        context: &Context,
        side: Side,
        ids: &[RecordId],
    ) -> Result<(), SyncError> {
        let missing: Vec<RecordId> = ids
            .iter()
            .filter(|id| !self.seen.contains_key(&(side, (*id).clone())))
            .cloned()
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        for seen in context
            .store()
            .observations(context.endpoint(side), &missing)
            .await?
        {
            self.seen.insert((side, seen.id.clone()), seen);
        }
        Ok(())
    }

    async fn load_links(
        &mut self,
        context: &Context,
        side: Side,
        ids: &[RecordId],
    ) -> Result<(), SyncError> {
        if ids.is_empty() {
            return Ok(());
        }
        for link in context
            .store()
            .links_by_record(context.name(), side, ids)
            .await?
        {
            self.put_link(link);
        }
        Ok(())
    }

    fn put_link(&mut self, link: Link) {
        for side in Side::BOTH {
            self.link_of
                .insert((side, link.record(side).clone()), link.id.clone());
        }
        self.links.insert(link.id.clone(), link);
    }

    async fn load_partners(&mut self, context: &Context) -> Result<(), SyncError> {
        for side in Side::BOTH {
            let ids: Vec<RecordId> = self
                .links
                .values()
                .map(|link| link.record(side).clone())
                .collect();
            self.load_seen(context, side, &ids).await?;
        }
        Ok(())
    }

    async fn load_candidates(
        &mut self,
        context: &Context,
        rows: &[Dirty],
    ) -> Result<(), SyncError> {
        let mut keys: Vec<String> = rows
            .iter()
            .filter(|row| self.link(row.side, &row.id).is_none())
            .filter_map(|row| {
                let seen = self.seen.get(&(row.side, row.id.clone()))?;
                (seen.presence == Presence::Present)
                    .then(|| context.policy.match_key(row.side, &seen.fields))?
            })
            .collect();
        keys.sort();
        keys.dedup();
        if keys.is_empty() {
            return Ok(());
        }
        for side in Side::BOTH {
            let field = context.policy.match_rule().field(side);
            let found = context
                .store()
                .records_by_key(context.endpoint(side), field, &keys, 3)
                .await?;
            let ids: Vec<RecordId> = found.iter().map(|(_, id)| id.clone()).collect();
            for (key, id) in found {
                self.by_key.entry((side, key)).or_default().push(id);
            }
            self.load_links(context, side, &ids).await?;
            self.load_seen(context, side, &ids).await?;
        }
        Ok(())
    }

    fn link(&self, side: Side, id: &RecordId) -> Option<&Link> {
        self.link_of
            .get(&(side, id.clone()))
            .and_then(|link| self.links.get(link))
    }

    fn present(&self, side: Side, id: &RecordId) -> Option<&Observation> {
        self.seen
            .get(&(side, id.clone()))
            .filter(|seen| seen.presence == Presence::Present)
    }
}

/// The decisions of one batch, until they are stored together.
struct Batch<'a> {
    context: &'a Arc<Context>,
    known: Known,
    facts: Facts,
    preview: Option<&'a mut Preview>,
    planned: Planned,
    done_links: HashSet<LinkId>,
    clean: Vec<Dirty>,
    links: Vec<Link>,
    ended: Vec<LinkId>,
    conflicts: Vec<Conflict>,
    looked_at: [Vec<(RecordId, Vec<String>)>; 2],
    parked: Vec<Parked>,
    journal: Vec<JournalEntry>,
}

impl<'a> Batch<'a> {
    fn new(
        context: &'a Arc<Context>,
        known: Known,
        facts: Facts,
        preview: Option<&'a mut Preview>,
    ) -> Self {
        Self {
            context,
            known,
            facts,
            preview,
            planned: Planned::default(),
            done_links: HashSet::new(),
            clean: Vec::new(),
            links: Vec::new(),
            ended: Vec::new(),
            conflicts: Vec::new(),
            looked_at: [Vec::new(), Vec::new()],
            parked: Vec::new(),
            journal: Vec::new(),
        }
    }

    fn row(&mut self, row: Dirty) {
        let Some(seen) = self.facts.seen.get(&(row.side, row.id.clone())).cloned() else {
            // Marked by a listing of ids, fetched, and gone already.
            self.clean.push(row);
            return;
        };
        if let Some(link) = self.facts.link(row.side, &row.id).cloned() {
            self.linked(row, link);
        } else if seen.presence != Presence::Present {
            self.planned.tally.planned += 1;
            self.planned.tally.noop += 1;
            self.clean.push(row);
        } else if let Some(former) = self.alias(row.side, &seen) {
            self.relink(row, &former);
        } else {
            self.unlinked(row, &seen);
        }
    }

    // ---- linked records ------------------------------------------------------------------------------------------

    fn linked(&mut self, row: Dirty, link: Link) {
        let busy = {
            let in_flight = self.context.in_flight();
            Side::BOTH
                .into_iter()
                .any(|side| in_flight.contains(side, link.record(side)))
        };
        if busy {
            self.planned.waiting_for_writes += 1;
            return;
        }
        if !self.done_links.insert(link.id.clone()) {
            // The other record of the pair was in the batch too.
            self.planned.tally.planned += 1;
            self.planned.tally.noop += 1;
            self.clean.push(row);
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
        self.planned.tally.planned += 1;
        let state = LinkState {
            base: &link.base,
            seen: [&a, &b],
        };
        let decided = plan(&state, &self.context.policy, self.context.now());
        self.decided(row, link, [a, b], decided, false);
    }

    fn decided(
        &mut self,
        row: Dirty,
        mut link: Link,
        seen: [Observation; 2],
        decided: LinkPlan,
        is_new: bool,
    ) {
        let mut subjects = Vec::new();
        let mut changed = is_new;
        let at_rest = decided.is_at_rest();
        if decided.advances() {
            settle::advance(&mut link.base, decided.advance);
            changed = true;
        }
        for (restriction, evidence) in decided.lifted {
            self.note(
                JournalKind::OptIn,
                Some(&link),
                None,
                json!({ "restriction": restriction, "evidence": evidence }),
            );
        }
        for loser in decided.losers {
            let record = link.record(loser.side).clone();
            self.note(
                JournalKind::Lost,
                Some(&link),
                Some((loser.side, record)),
                json!({ "field": loser.rule, "value": loser.value }),
            );
        }
        for undecided in decided.undecided {
            subjects.push(undecided.about.clone());
            self.conflict(
                Side::A,
                link.a.clone(),
                Some(&link),
                undecided.about,
                undecided.why,
                json!({ "a": undecided.values[0], "b": undecided.values[1] }),
            );
        }
        let mut written = false;
        for (side, write) in Side::BOTH.into_iter().zip(decided.writes) {
            if let Some(write) = write {
                written = true;
                self.update(side, &link, &seen, write);
            }
        }
        match decided.ending {
            None => {}
            Some(Ending::Resume) => {
                link.base.ended = false;
                changed = true;
            }
            Some(Ending::End) => {
                link.base.ended = true;
                changed = true;
                self.note(
                    JournalKind::Unlinked,
                    Some(&link),
                    None,
                    json!({ "why": "a record is gone or left the collection" }),
                );
            }
            Some(Ending::Recreate(side)) => {
                written |= self.recreate(side, &link, &seen);
                changed = false;
            }
            Some(Ending::Remove(side, how)) => {
                if self.planned.removals < self.known.removals_left {
                    self.planned.removals += 1;
                    written = true;
                    self.remove(side, how, &link, &seen);
                } else {
                    subjects.push("delete".to_owned());
                    self.conflict(
                        Side::A,
                        link.a.clone(),
                        Some(&link),
                        "delete".to_owned(),
                        "more records would be taken away than a run may without a person's word"
                            .to_owned(),
                        json!({ "side": side }),
                    );
                }
            }
        }
        if changed {
            self.links.push(link.clone());
        }
        if at_rest && !written && subjects.is_empty() {
            self.planned.tally.noop += 1;
        }
        for side in Side::BOTH {
            let keep = if side == Side::A {
                subjects.clone()
            } else {
                Vec::new()
            };
            self.looked_at[side.index()].push((link.record(side).clone(), keep));
        }
        self.clean.push(row);
    }

    fn update(&mut self, side: Side, link: &Link, seen: &[Observation; 2], write: SideWrite) {
        let restricts = write.restricts();
        if let Some(preview) = self.preview.as_deref_mut()
            && restricts
        {
            preview.report.restrict.add(side, 1);
        }
        let id = self.context.ids().next();
        self.intend(
            Intent {
                id,
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
            },
            "update",
        );
    }

    fn remove(
        &mut self,
        side: Side,
        how: samspel_model::Removal,
        link: &Link,
        seen: &[Observation; 2],
    ) {
        let id = self.context.ids().next();
        self.intend(
            Intent {
                id,
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
            },
            "remove",
        );
    }

    /// The survivor was edited after its partner was deleted: an edit beats a delete.
    fn recreate(&mut self, side: Side, link: &Link, seen: &[Observation; 2]) -> bool {
        let source = side.other();
        let survivor = &seen[source.index()];
        match plan_create(&self.context.policy, source, survivor, Some(&link.base)) {
            CreatePlan::Create(write) => {
                self.ended.push(link.id.clone());
                self.note(
                    JournalKind::Unlinked,
                    Some(link),
                    None,
                    json!({ "why": "a record was deleted while the other was edited; it is created anew" }),
                );
                self.create(source, survivor, *write, Some(&link.id));
                true
            }
            CreatePlan::Skip(reason) => {
                *self.planned.tally.filtered.entry(reason).or_default() += 1;
                false
            }
            CreatePlan::Failed(why) => {
                self.park(source, survivor.id.clone(), why);
                false
            }
        }
    }

    // ---- records without a partner -------------------------------------------------------------------------------

    fn alias(&self, side: Side, seen: &Observation) -> Option<Link> {
        seen.aliases
            .iter()
            .find_map(|alias| self.facts.link(side, alias))
            .cloned()
    }

    /// A record was merged into this one: its link goes on under the id that is left.
    fn relink(&mut self, row: Dirty, former: &Link) {
        let mut link = former.clone();
        match row.side {
            Side::A => link.a = row.id.clone(),
            Side::B => link.b = row.id.clone(),
        }
        let partner = link.record(row.side.other()).clone();
        self.note(
            JournalKind::Linked,
            Some(&link),
            Some((row.side, row.id.clone())),
            json!({ "merged": former.record(row.side) }),
        );
        let seen = [row.side, row.side.other()].map(|side| {
            let id = if side == row.side { &row.id } else { &partner };
            self.facts.seen.get(&(side, id.clone())).cloned()
        });
        let [Some(own), Some(other)] = seen else {
            self.planned.waiting_for_reading += 1;
            return;
        };
        self.facts.put_link(link.clone());
        self.done_links.insert(link.id.clone());
        self.planned.tally.planned += 1;
        let pair = if row.side == Side::A {
            [own, other]
        } else {
            [other, own]
        };
        let state = LinkState {
            base: &link.base,
            seen: [&pair[0], &pair[1]],
        };
        let decided = plan(&state, &self.context.policy, self.context.now());
        self.decided(row, link, pair, decided, true);
    }

    fn unlinked(&mut self, row: Dirty, seen: &Observation) {
        let policy = &self.context.policy;
        let (side, other) = (row.side, row.side.other());
        let Some(key) = policy.match_key(side, &seen.fields) else {
            self.skip(row, Skip::NoKey);
            return;
        };
        let no_ids = Vec::new();
        let of = |side: Side| {
            self.facts
                .by_key
                .get(&(side, key.clone()))
                .unwrap_or(&no_ids)
        };
        let twins = of(side).iter().filter(|id| **id != row.id).count();
        let candidates: Vec<Candidate> = of(other)
            .iter()
            .map(|id| Candidate {
                id: id.clone(),
                linked: self.facts.link(other, id).is_some() || self.is_claimed(other, id),
            })
            .collect();
        let settled = {
            let in_flight = self.context.in_flight();
            candidates
                .iter()
                .all(|candidate| !in_flight.contains(other, &candidate.id))
        };
        // A key is known to be unique if the remote sees to it, or once everything was read.
        let own_unique = policy.unique_match[side.index()] || self.known.caught_up[side.index()];
        let other_unique =
            policy.unique_match[other.index()] || self.known.caught_up[other.index()];
        match propose(twins, &candidates) {
            _ if !settled => self.planned.waiting_for_writes += 1,
            Proposal::Link(partner) if own_unique && other_unique => {
                self.link(row, seen, &partner);
            }
            Proposal::Create if own_unique && self.known.caught_up[other.index()] => {
                self.planned.tally.planned += 1;
                match plan_create(policy, side, seen, None) {
                    CreatePlan::Create(write) => {
                        self.create(side, seen, *write, None);
                        self.looked_at[side.index()].push((row.id.clone(), Vec::new()));
                        self.clean.push(row);
                    }
                    CreatePlan::Skip(reason) => {
                        self.planned.tally.planned -= 1;
                        self.skip(row, reason);
                    }
                    CreatePlan::Failed(why) => {
                        self.park(side, row.id.clone(), why);
                        self.clean.push(row);
                    }
                }
            }
            Proposal::Ambiguous(why)
                if self.known.caught_up[side.index()] && self.known.caught_up[other.index()] =>
            {
                self.planned.tally.planned += 1;
                let ids: Vec<&RecordId> = of(side).iter().chain(of(other)).collect();
                let detail = json!({ "records": ids });
                let subject = "identity".to_owned();
                self.looked_at[side.index()].push((row.id.clone(), vec![subject.clone()]));
                self.conflict(side, row.id.clone(), None, subject, why, detail);
                self.clean.push(row);
            }
            Proposal::Link(_) | Proposal::Create | Proposal::Ambiguous(_) => {
                self.planned.waiting_for_reading += 1;
            }
        }
    }

    fn is_claimed(&self, side: Side, id: &RecordId) -> bool {
        self.preview
            .as_deref()
            .is_some_and(|preview| preview.claimed.contains(&(side, id.clone())))
    }

    fn link(&mut self, row: Dirty, seen: &Observation, partner: &RecordId) {
        let Some(other) = self.facts.present(row.side.other(), partner).cloned() else {
            self.planned.waiting_for_reading += 1;
            return;
        };
        let pair = if row.side == Side::A {
            [seen.clone(), other]
        } else {
            [other, seen.clone()]
        };
        let link = Link {
            id: LinkId(self.context.ids().next()),
            a: pair[0].id.clone(),
            b: pair[1].id.clone(),
            base: Base::default(),
        };
        self.planned.tally.planned += 1;
        self.planned.tally.linked += 1;
        if let Some(preview) = self.preview.as_deref_mut() {
            preview.claimed.insert((Side::A, link.a.clone()));
            preview.claimed.insert((Side::B, link.b.clone()));
            let record = row.id.to_string();
            let side = row.side;
            preview.report.link += 1;
            preview.report.sample(
                || PlanSample {
                    what: "link".to_owned(),
                    side,
                    record,
                    fields: Vec::new(),
                    why: None,
                },
                "link",
                side,
            );
        }
        self.note(
            JournalKind::Linked,
            Some(&link),
            None,
            json!({ "by": self.context.policy.match_rule().name }),
        );
        self.facts.put_link(link.clone());
        self.done_links.insert(link.id.clone());
        let state = LinkState {
            base: &link.base,
            seen: [&pair[0], &pair[1]],
        };
        let decided = plan(&state, &self.context.policy, self.context.now());
        self.decided(row, link, pair, decided, true);
    }

    fn create(
        &mut self,
        source: Side,
        seen: &Observation,
        write: SideWrite,
        former: Option<&LinkId>,
    ) {
        let restricts = write.restricts();
        self.intend(
            Intent {
                id: self.create_key(source, &seen.id, former),
                run: self.context.run.clone(),
                target: source.other(),
                source_record: seen.id.clone(),
                link: None,
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
            },
            "create",
        );
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

    // ---- what decisions become -----------------------------------------------------------------------------------

    fn intend(&mut self, intent: Intent, what: &'static str) {
        if let Some(preview) = self.preview.as_deref_mut() {
            let report = &mut preview.report;
            let side = intent.target;
            match what {
                "create" => report.create.add(side, 1),
                "remove" => report.remove.add(side, 1),
                _ => report.update.add(side, 1),
            }
            report.sample(
                || PlanSample {
                    what: what.to_owned(),
                    side,
                    record: intent
                        .effect
                        .target_record()
                        .unwrap_or(&intent.source_record)
                        .to_string(),
                    fields: intent.patch.keys().cloned().collect(),
                    why: None,
                },
                what,
                side,
            );
        }
        self.planned.intents.push(intent);
    }

    fn skip(&mut self, row: Dirty, reason: Skip) {
        self.planned.tally.planned += 1;
        *self.planned.tally.filtered.entry(reason).or_default() += 1;
        self.looked_at[row.side.index()].push((row.id.clone(), Vec::new()));
        self.clean.push(row);
    }

    fn park(&mut self, side: Side, record: RecordId, cause: String) {
        self.planned.tally.parked += 1;
        self.parked.push(Parked {
            side,
            record,
            at: self.context.now(),
            cause,
        });
    }

    fn conflict(
        &mut self,
        side: Side,
        record: RecordId,
        link: Option<&Link>,
        about: String,
        why: String,
        detail: Value,
    ) {
        self.planned.tally.conflicts += 1;
        if let Some(preview) = self.preview.as_deref_mut() {
            preview.report.conflicts += 1;
            let (record, about, why) = (record.to_string(), about.clone(), why.clone());
            preview.report.sample(
                || PlanSample {
                    what: "conflict".to_owned(),
                    side,
                    record,
                    fields: vec![about],
                    why: Some(why),
                },
                "conflict",
                side,
            );
        }
        self.conflicts.push(Conflict {
            side,
            record,
            about,
            link: link.map(|link| link.id.clone()),
            at: self.context.now(),
            why,
            detail,
        });
    }

    fn note(
        &mut self,
        kind: JournalKind,
        link: Option<&Link>,
        about: Option<(Side, RecordId)>,
        detail: Value,
    ) {
        let about = about.or_else(|| link.map(|link| (Side::A, link.a.clone())));
        let (side, record) = about.unzip();
        self.journal.push(JournalEntry {
            at: self.context.now(),
            run: Some(self.context.run.clone()),
            kind,
            link: link.map(|link| link.id.clone()),
            side,
            record,
            detail,
        });
    }

    /// A match key that is about to be written must not belong to another record over there: that would make one
    /// person of two. The write of that field becomes a proposal to merge.
    async fn merge_conflicts(&mut self) -> Result<(), SyncError> {
        for side in Side::BOTH {
            let field = self.context.policy.match_rule().field(side).to_owned();
            let changes: Vec<(usize, String)> = self
                .planned
                .intents
                .iter()
                .enumerate()
                .filter(|(_, intent)| {
                    intent.target == side && matches!(intent.effect, Effect::Update(_))
                })
                .filter_map(|(index, intent)| {
                    let key = self.context.policy.match_key(side, &intent.patch)?;
                    Some((index, key))
                })
                .collect();
            if changes.is_empty() {
                continue;
            }
            let keys: Vec<String> = changes.iter().map(|(_, key)| key.clone()).collect();
            let holders = self
                .context
                .store()
                .records_by_key(self.context.endpoint(side), &field, &keys, 2)
                .await?;
            for (index, key) in changes {
                let intent = &self.planned.intents[index];
                let holder = holders
                    .iter()
                    .find(|(held, id)| *held == key && intent.effect.target_record() != Some(id));
                let Some((_, holder)) = holder.cloned() else {
                    continue;
                };
                self.propose_merge(index, side, &field, &holder);
            }
        }
        self.planned.intents.retain(|intent| {
            !matches!(intent.effect, Effect::Update(_))
                || !intent.patch.is_empty()
                || !intent.consents.is_empty()
                || intent.deliverability.is_some()
        });
        Ok(())
    }

    fn propose_merge(&mut self, index: usize, side: Side, field: &str, holder: &RecordId) {
        let rule = self.context.policy.match_rule().name.clone();
        let intent = &mut self.planned.intents[index];
        intent.patch.remove(field);
        intent.before.remove(field);
        intent.base.fields.remove(&rule);
        let link = intent
            .link
            .as_ref()
            .and_then(|link| self.facts.links.get(link))
            .cloned();
        let record = link
            .as_ref()
            .map_or_else(|| intent.source_record.clone(), |link| link.a.clone());
        if let Some((_, keep)) = self.looked_at[Side::A.index()]
            .iter_mut()
            .find(|(id, _)| *id == record)
        {
            keep.push("merge".to_owned());
        }
        self.conflict(
            Side::A,
            record,
            link.as_ref(),
            "merge".to_owned(),
            format!("side {side} has another record, `{holder}`, with the new value of `{field}`; merge the two there"),
            json!({ "side": side, "holder": holder }),
        );
    }

    async fn store(mut self) -> Result<Planned, SyncError> {
        if let Some(preview) = self.preview {
            preview.report.unchanged += self.planned.tally.noop;
            for (reason, number) in &self.planned.tally.filtered {
                let name = skip_name(*reason);
                *preview.report.skipped.entry(name).or_default() += number;
            }
            return Ok(self.planned);
        }
        let mut changes = Vec::new();
        let mut push = |change: Change, empty: bool| {
            if !empty {
                changes.push(change);
            }
        };
        let ended = self.ended.is_empty();
        push(Change::RemoveLinks(self.ended), ended);
        let none = self.links.is_empty();
        push(Change::PutLinks(self.links), none);
        for side in Side::BOTH {
            let looked_at = std::mem::take(&mut self.looked_at[side.index()]);
            let ids = looked_at.iter().map(|(id, _)| id.clone()).collect();
            let none = looked_at.is_empty();
            push(
                Change::RemoveConflicts {
                    side,
                    records: looked_at,
                },
                none,
            );
            push(Change::Unpark { side, ids }, none);
        }
        let none = self.conflicts.is_empty();
        for conflict in &self.conflicts {
            self.journal.push(JournalEntry {
                at: conflict.at,
                run: Some(self.context.run.clone()),
                kind: JournalKind::Conflict,
                link: conflict.link.clone(),
                side: Some(conflict.side),
                record: Some(conflict.record.clone()),
                detail: json!({ "about": conflict.about, "why": conflict.why }),
            });
        }
        push(Change::PutConflicts(self.conflicts), none);
        let none = self.parked.is_empty();
        for parked in &self.parked {
            self.journal.push(JournalEntry {
                at: parked.at,
                run: Some(self.context.run.clone()),
                kind: JournalKind::Parked,
                link: None,
                side: Some(parked.side),
                record: Some(parked.record.clone()),
                detail: json!({ "cause": parked.cause }),
            });
        }
        push(Change::Park(self.parked), none);
        let none = self.planned.intents.is_empty();
        push(Change::PutIntents(self.planned.intents.clone()), none);
        let none = self.clean.is_empty();
        push(Change::Clean(self.clean), none);
        let none = self.journal.is_empty();
        push(Change::Journal(self.journal), none);
        {
            let mut in_flight = self.context.in_flight();
            for intent in &self.planned.intents {
                in_flight.add(intent);
            }
        }
        if !changes.is_empty() {
            self.context.commit(changes).await?;
        }
        Ok(self.planned)
    }
}

/// The name of a reason, as reports spell it.
pub fn skip_name(reason: Skip) -> String {
    serde_json::to_value(reason)
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}
