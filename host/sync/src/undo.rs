//! Taking back what a run wrote.
//!
//! Each write of the run is reversed by a write of its own, stored before it is sent like any other, and only where the
//! remote still holds what the run had written. Consents are never taken back. The merge base follows, so that what
//! was taken back does not flow again by itself: the two sides differ from then on, and a person is asked which value
//! holds, until somebody changes one of them or `sync verify --heal` decides anew.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use samspel_engine::spec::Mode;
use samspel_model::intent::{Effect, Intent};
use samspel_model::journal::{JournalEntry, JournalKind};
use samspel_model::store::{Change, JournalOf, RunRecord, Step};
use samspel_model::{
    Base, Consent, ConsentState, Entity, Extent, Fetched, Fields, Link, LinkId, RecordId, Removal,
    Side,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::SyncParts;
use crate::accounts::{Class, Closing};
use crate::context::Context;
use crate::error::SyncError;
use crate::progress::{Phase, Progress, Snapshot};
use crate::reader::{fetch, observe_fetched};
use crate::recovery;
use crate::report::Sides;
use crate::run::under_lease;
use crate::writer::write_batch;

/// How many journal entries are looked at together.
const PAGE: u32 = 100;
/// How many of the writes that could not be taken back are named.
const NAMED: usize = 100;
/// A run that wrote nothing is looked for among so many of the last ones.
const RUNS: u32 = 1_000;

/// What an undo did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UndoReport {
    /// The run that was taken back.
    pub run: String,
    /// The run that did it.
    pub undo: String,
    /// Records whose fields were set back, per side.
    pub reverted: Sides,
    /// Records that the run had created and that were archived, per side.
    pub removed: Sides,
    /// Writes of consents that stay: an opt-out or opt-in is never taken back.
    pub consents_kept: u64,
    /// What could not be taken back.
    pub left: u64,
    /// Some of it.
    pub samples: Vec<Left>,
    /// It was told to stop before everything was looked at. The same undo again does the rest.
    pub stopped: bool,
}

/// Something that could not be taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Left {
    /// The side.
    pub side: Side,
    /// The record.
    pub record: String,
    /// The field, if it is about one.
    pub field: Option<String>,
    /// Why.
    pub why: String,
}

/// A write that the journal tells of.
#[derive(Debug, Deserialize)]
struct Written {
    effect: String,
    #[serde(default)]
    patch: Fields,
    #[serde(default)]
    before: Fields,
    /// What the remote made of it, where that is something else.
    #[serde(default)]
    after: Fields,
    #[serde(default)]
    consents: Vec<Consent>,
}

/// A write of the run to a record, and the link under which it was made.
type WriteTo = (RecordId, Option<LinkId>, Written);

/// See [`crate::Sync::undo`].
pub async fn undo(
    parts: &Arc<SyncParts>,
    run: &str,
    progress: &dyn Progress,
    stop: CancellationToken,
) -> Result<UndoReport, SyncError> {
    let span = tracing::info_span!("undo", sync = %parts.name, run);
    under_lease(parts, false, async |context| {
        if parts.spec.mode == Mode::Observe {
            return Err(SyncError::Refused {
                sync: parts.name.clone(),
                why: "it only observes, and an undo writes; set `mode = \"sync\"` first".to_owned(),
            });
        }
        recovery::recover(&context).await?;
        let started = context.now();
        let mut record = RunRecord {
            id: context.run.clone(),
            started,
            ended: None,
            error: None,
            report: json!({ "undo": { "run": run } }),
        };
        let begun = vec![Change::PutRun(record.clone())];
        context.commit(Step::Begin, begun).await?;
        let mut undo = Undo {
            context: &context,
            report: UndoReport {
                run: run.to_owned(),
                undo: context.run.clone(),
                ..UndoReport::default()
            },
        };
        let done = undo.everything(run, progress, &stop).await;
        let mut report = undo.report;
        report.stopped = stop.is_cancelled();
        let noted = JournalEntry {
            at: context.now(),
            run: Some(context.run.clone()),
            kind: JournalKind::Operator,
            link: None,
            side: None,
            record: None,
            detail: json!({ "act": "undo", "by": parts.owner, "run": run }),
        };
        record.ended = Some(context.now());
        record.error = done.as_ref().err().map(ToString::to_string);
        record.report = json!({
            "undo": report,
            "writes": report.reverted.sum() + report.removed.sum(),
        });
        context
            .commit(
                Step::End,
                vec![Change::PutRun(record), Change::Journal(vec![noted])],
            )
            .await?;
        done?;
        Ok(report)
    })
    .instrument(span)
    .await
}

struct Undo<'a> {
    context: &'a Arc<Context>,
    report: UndoReport,
}

impl Undo<'_> {
    /// Newest first, so that a field that was written twice gets its oldest value back.
    async fn everything(
        &mut self,
        run: &str,
        progress: &dyn Progress,
        stop: &CancellationToken,
    ) -> Result<(), SyncError> {
        let context = self.context;
        let mut before = None;
        let mut found = false;
        while !stop.is_cancelled() {
            let entries = context
                .store()
                .journal(context.name(), JournalOf::Run(run), before, PAGE)
                .await?;
            let Some((last, _)) = entries.last() else {
                break;
            };
            before = Some(*last);
            found = true;
            self.page(entries.into_iter().map(|(_, entry)| entry).collect())
                .await?;
            progress.update(&Snapshot {
                phase: Phase::Syncing,
                read: [0, 0],
                read_done: [true, true],
                planned: 0,
                decided: 0,
                written: self.report.reverted.sum() + self.report.removed.sum(),
            });
        }
        if found || stop.is_cancelled() {
            return Ok(());
        }
        let known = context.store().runs(context.name(), RUNS).await?;
        if known.iter().any(|known| known.id == run) {
            return Ok(());
        }
        Err(SyncError::Refused {
            sync: context.name().to_owned(),
            why: format!(
                "there is no run `{run}`; `samspel sync status {}` lists the runs",
                context.name()
            ),
        })
    }

    async fn page(&mut self, entries: Vec<JournalEntry>) -> Result<(), SyncError> {
        for side in Side::BOTH {
            let mut of_side = Vec::new();
            for entry in &entries {
                if entry.kind != JournalKind::Settled || entry.side != Some(side) {
                    continue;
                }
                let Some(record) = entry.record.clone() else {
                    continue;
                };
                match serde_json::from_value::<Written>(entry.detail.clone()) {
                    Ok(written) => of_side.push((record, entry.link.clone(), written)),
                    Err(_) => self.leave(side, &record, None, "its history was erased"),
                }
            }
            // A record that was written twice is taken back twice, one after the other.
            let mut rounds: Vec<Vec<WriteTo>> = Vec::new();
            for write in of_side {
                let free = rounds
                    .iter()
                    .position(|round| round.iter().all(|(record, ..)| *record != write.0));
                match free {
                    Some(round) => rounds[round].push(write),
                    None => rounds.push(vec![write]),
                }
            }
            for round in rounds {
                self.round(side, round).await?;
            }
        }
        Ok(())
    }

    async fn round(&mut self, side: Side, writes: Vec<WriteTo>) -> Result<(), SyncError> {
        let context = self.context;
        let ids: Vec<RecordId> = writes.iter().map(|(record, ..)| record.clone()).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let links: BTreeMap<LinkId, Link> = context
            .store()
            .links_by_record(context.name(), side, &ids)
            .await?
            .into_iter()
            .map(|link| (link.id.clone(), link))
            .collect();
        let fetched = fetch(context, side, &ids, Extent::Whole).await?;
        let answers = fetched.answers.clone();
        // What somebody changed meanwhile is planned by the next run.
        let (seen, looked_at) = observe_fetched(context, side, fetched, None).await?;
        context.commit(Step::Refetch, seen).await?;
        context.losers_meanwhile(Step::Refetch, looked_at).await?;
        let mut intents = Vec::new();
        for ((record, link, written), (_, answer)) in writes.into_iter().zip(answers) {
            let kept = written.effect == "update" && !written.consents.is_empty();
            self.report.consents_kept += u64::from(kept);
            let link = link.and_then(|id| links.get(&id));
            let (Fetched::Found(now), Some(link)) = (answer, link) else {
                self.leave(side, &record, None, "the record or its link is gone");
                continue;
            };
            let reverse = match written.effect.as_str() {
                "update" => self.set_back(side, &record, link, &written, &now),
                "create" => self.take_away(side, &record, link, &written, &now),
                _ => {
                    let why = "it was taken away; restore it at the remote";
                    self.leave(side, &record, None, why);
                    None
                }
            };
            intents.extend(reverse);
        }
        let ids = intents
            .iter()
            .map(|intent| match side {
                Side::A => intent
                    .effect
                    .target_record()
                    .unwrap_or(&intent.source_record),
                Side::B => &intent.source_record,
            })
            .cloned()
            .collect();
        self.write(side, intents).await?;
        // The next run asks a person about what was taken back.
        let mark = Change::MarkDirty {
            side: Side::A,
            ids,
            refetch: None,
        };
        if !mark.is_empty() {
            self.context.commit(Step::Operate, vec![mark]).await?;
        }
        Ok(())
    }

    /// The fields that still hold what was written get back what they held before.
    fn set_back(
        &mut self,
        side: Side,
        record: &RecordId,
        link: &Link,
        written: &Written,
        now: &Entity,
    ) -> Option<Intent> {
        let mut intent = self.intent(side, link, Effect::Update(record.clone()), now);
        for (field, sent) in &written.patch {
            let Some(rule) = self.rule(side, field) else {
                self.leave(
                    side,
                    record,
                    Some(field),
                    "the field is not mapped any more",
                );
                continue;
            };
            let (Some(before), Some(base)) =
                (written.before.get(field), link.base.fields.get(&rule.name))
            else {
                self.leave(
                    side,
                    record,
                    Some(field),
                    "what it held before is not known",
                );
                continue;
            };
            if !self.still_holds(side, field, written, now) {
                self.leave(side, record, Some(field), "it was changed since");
                continue;
            }
            let mut images = base.clone();
            match side {
                Side::A => images.a = before.clone(),
                Side::B => images.b = before.clone(),
            }
            images.undone = true;
            intent.base.fields.insert(rule.name.clone(), images);
            intent.patch.insert(field.clone(), before.clone());
            intent.before.insert(field.clone(), sent.clone());
        }
        (!intent.patch.is_empty()).then_some(intent)
    }

    /// A record that the run had created goes, if nobody has touched it.
    fn take_away(
        &mut self,
        side: Side,
        record: &RecordId,
        link: &Link,
        written: &Written,
        now: &Entity,
    ) -> Option<Intent> {
        let can_archive = self.context.collection(side).capabilities.can_archive;
        let touched = written
            .patch
            .keys()
            .find(|field| !self.still_holds(side, field, written, now))
            .cloned();
        if let Some(field) = &touched {
            let why = "it was changed since it was created";
            self.leave(side, record, Some(field), why);
            return None;
        }
        if opted_out(&now.consents) && !opted_out(&written.consents) {
            // The opt-out must first be carried over.
            self.leave(side, record, None, "the person has opted out since");
            return None;
        }
        if !can_archive {
            self.leave(side, record, None, "this remote cannot archive records");
            return None;
        }
        Some(self.intent(
            side,
            link,
            Effect::Remove(record.clone(), Removal::Archive),
            now,
        ))
    }

    /// Whether a field still is what the run made of it.
    fn still_holds(&self, side: Side, field: &str, written: &Written, now: &Entity) -> bool {
        let Some(value) = now.fields.get(field) else {
            return false;
        };
        let images = [written.patch.get(field), written.after.get(field)];
        images.into_iter().flatten().any(|image| {
            value == image
                || self
                    .rule(side, field)
                    .is_some_and(|rule| rule.normalizer.same(value, image))
        })
    }

    fn rule(&self, side: Side, field: &str) -> Option<&samspel_engine::policy::FieldRule> {
        let rules = &self.context.policy().fields;
        rules.iter().find(|rule| rule.field(side) == field)
    }

    fn intent(&self, side: Side, link: &Link, effect: Effect, now: &Entity) -> Intent {
        Intent {
            id: self.context.ids().next(),
            run: self.context.run.clone(),
            target: side,
            source_record: link.record(side.other()).clone(),
            link: Some(link.id.clone()),
            effect,
            patch: Fields::new(),
            before: Fields::new(),
            consents: Vec::new(),
            deliverability: None,
            precondition: now.revision.clone(),
            base: Base::default(),
            shared: Vec::new(),
            restricts: false,
            and_more: false,
            overrules: None,
            told: Vec::new(),
            lost: None,
        }
    }

    async fn write(&mut self, side: Side, intents: Vec<Intent>) -> Result<(), SyncError> {
        let context = self.context;
        let most = context.collection(side).capabilities.max_write.max(1) as usize;
        for batch in intents.chunks(most) {
            context
                .commit(Step::Decide, vec![Change::PutIntents(batch.to_vec())])
                .await?;
            {
                let mut in_flight = context.in_flight();
                batch.iter().for_each(|intent| in_flight.add(intent));
            }
            let (updates, removals): (Vec<_>, Vec<_>) = batch
                .iter()
                .cloned()
                .partition(|intent| matches!(intent.effect, Effect::Update(_)));
            for alike in [updates, removals] {
                if alike.is_empty() {
                    continue;
                }
                let wrote = write_batch(context, side, alike.clone()).await?;
                self.report.reverted.add(side, wrote.tally.updated);
                self.report.removed.add(side, wrote.tally.removed);
                let done: HashSet<&str> = wrote
                    .closed
                    .iter()
                    .filter(|(_, closing)| *closing == Closing::As(Class::Applied))
                    .map(|(intent, _)| intent.id.as_str())
                    .collect();
                for intent in alike.iter().filter(|intent| !done.contains(&*intent.id)) {
                    if let Some(record) = intent.effect.target_record() {
                        self.leave(side, record, None, "the remote did not take the write");
                    }
                }
                let unsent: Vec<Intent> =
                    wrote.retry.into_iter().map(|(intent, _)| intent).collect();
                if !unsent.is_empty() {
                    let why = "the remote asked for patience during an undo";
                    crate::writer::give_up(context, side, unsent, why).await?;
                }
                if let Some(error) = wrote.failed {
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn leave(&mut self, side: Side, record: &RecordId, field: Option<&str>, why: &str) {
        self.report.left += 1;
        if self.report.samples.len() < NAMED {
            self.report.samples.push(Left {
                side,
                record: record.to_string(),
                field: field.map(str::to_owned),
                why: why.to_owned(),
            });
        }
    }
}

fn opted_out(consents: &[Consent]) -> bool {
    consents
        .iter()
        .any(|consent| consent.state == ConsentState::Unsubscribed)
}
