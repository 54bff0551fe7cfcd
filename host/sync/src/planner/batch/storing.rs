//! What the decisions of a batch become, and how they are stored together.

use samspel_engine::create::Skip;
use samspel_model::journal::{JournalEntry, JournalKind};
use samspel_model::store::{Change, Conflict, Dirty, Parked, Step, subject};
use samspel_model::{Extent, Guard, Link, RecordId, Side};
use serde_json::{Value, json};

use super::Batch;
use crate::accounts::{Class, Row};
use crate::error::SyncError;
use crate::planner::Planned;

impl Batch<'_> {
    /// A record leaves the queue. `intents`: the writes that it led to.
    pub fn done(&mut self, row: Dirty, class: Class, intents: Vec<String>) {
        self.planned.tally.planned += 1;
        let counted = class != Class::Filtered || Guard::EveryRecordIsCounted.stands();
        if counted {
            self.planned.rows.push(Row { class, intents });
        }
        self.clean.push(row);
    }

    /// A record that does not flow.
    pub fn skip(&mut self, row: Dirty, reason: Skip) {
        *self.planned.tally.filtered.entry(reason).or_default() += 1;
        self.looked_at(row.side, &row.id.clone(), Vec::new());
        self.done(row, Class::Filtered, Vec::new());
    }

    /// A record failed for good.
    pub fn park(&mut self, side: Side, record: RecordId, cause: String) {
        self.planned.tally.parked += 1;
        self.parked.push(Parked {
            side,
            record,
            at: self.context.now(),
            cause,
        });
    }

    /// Something is left to a person.
    pub fn conflict(
        &mut self,
        side: Side,
        record: RecordId,
        link: Option<&Link>,
        about: String,
        why: String,
        detail: Value,
    ) {
        let conflict = Conflict {
            side,
            record,
            about,
            link: link.map(|link| link.id.clone()),
            at: self.context.now(),
            why,
            detail,
        };
        if subject::is_hold(&conflict.about) {
            self.planned.tally.holds += 1;
        } else {
            self.planned.tally.conflicts += 1;
        }
        if let Some(preview) = self.preview.as_deref_mut() {
            preview.conflict(&conflict);
        }
        self.conflicts.push(conflict);
    }

    /// The survivor of a link is to be matched anew.
    pub fn dissolve(&mut self, survivor: Side, link: &Link) {
        self.dissolved.push(link.id.clone());
        self.again[survivor.index()].push(link.record(survivor).clone());
    }

    /// A record is planned once more, when this is stored.
    pub fn plan_again(&mut self, row: Dirty) {
        self.again[row.side.index()].push(row.id.clone());
        self.done(row, Class::Noop, Vec::new());
    }

    /// A record is to be fetched, and planned then.
    pub fn ask_again(&mut self, side: Side, id: RecordId) {
        self.ask[side.index()].push(id);
    }

    /// History.
    pub fn note(
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

    /// Stores everything that was decided, with the writes that it leads to.
    pub async fn store(mut self) -> Result<Planned, SyncError> {
        self.planned.meter = Some(self.meter.clone());
        // Writes that were withdrawn after the record was counted.
        for row in &mut self.planned.rows {
            let intents = &self.planned.intents;
            row.intents
                .retain(|id| intents.iter().any(|intent| intent.id == *id));
        }
        if let Some(preview) = self.preview {
            preview.planned(&self.planned);
            return Ok(self.planned);
        }
        for conflict in &self.conflicts {
            self.journal.push(JournalEntry {
                at: conflict.at,
                run: Some(self.context.run.clone()),
                kind: JournalKind::Conflict,
                link: conflict.link.clone(),
                side: Some(conflict.side),
                record: Some(conflict.record.clone()),
                detail: json!({
                    "about": conflict.about, "why": conflict.why, "values": conflict.detail,
                }),
            });
        }
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
        {
            let mut in_flight = self.context.in_flight();
            for intent in &self.planned.intents {
                in_flight.add(intent);
            }
        }
        let mut changes = Vec::new();
        changes.push(Change::PutLinks(self.links));
        changes.push(Change::RemoveLinks(self.dissolved));
        for (side, restrictions) in Side::BOTH.into_iter().zip(self.lifted) {
            let endpoint = self.context.endpoint(side).clone();
            changes.push(Change::Lift {
                endpoint,
                restrictions,
            });
        }
        changes.push(Change::Restrict(self.restrict));
        for (side, records) in Side::BOTH.into_iter().zip(self.looked_at) {
            let ids = records.iter().map(|(id, _)| id.clone()).collect();
            changes.push(Change::RemoveConflicts { side, records });
            changes.push(Change::Unpark { side, ids });
        }
        changes.push(Change::RemoveDecisions(self.carried_out));
        changes.push(Change::PutDecisions(self.rejections));
        changes.push(Change::PutConflicts(self.conflicts));
        changes.push(Change::Park(self.parked));
        if Guard::IntentBeforeWrite.stands() {
            changes.push(Change::PutIntents(self.planned.intents.clone()));
        }
        changes.push(Change::Clean(self.clean));
        for (side, ids) in Side::BOTH.into_iter().zip(self.again) {
            changes.push(Change::MarkDirty {
                side,
                ids,
                refetch: None,
            });
        }
        for (side, ids) in Side::BOTH.into_iter().zip(self.ask) {
            changes.push(Change::MarkDirty {
                side,
                ids,
                refetch: Some(Extent::Whole),
            });
        }
        changes.push(Change::Journal(self.journal));
        changes.retain(|change| !change.is_empty());
        if !changes.is_empty() {
            self.context.commit(Step::Decide, changes).await?;
        }
        Ok(self.planned)
    }
}
