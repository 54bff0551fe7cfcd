//! What is decided and not done without a person's word: what a valve holds, and keys that belong to another record.

use samspel_engine::plan::LinkPlan;
use samspel_model::intent::Effect;
use samspel_model::journal::JournalKind;
use samspel_model::store::{Decision, Observation, Verdict, subject};
use samspel_model::{FieldBase, Guard, Link, RecordId, Removal, Side};
use serde_json::json;

use super::Removals;
use super::batch::Batch;
use crate::accounts::Class;
use crate::error::SyncError;

/// What is done about something that a valve watches.
enum Passage {
    Passes,
    Held,
    Rejected,
}

impl Batch<'_> {
    fn passage(told: &[Decision], about: &str, admitted: impl FnOnce() -> bool) -> Passage {
        let verdict = told.iter().find(|told| told.about == about);
        match verdict.map(|told| &told.verdict) {
            Some(Verdict::Approve) => Passage::Passes,
            Some(Verdict::Reject) => Passage::Rejected,
            _ if admitted() => Passage::Passes,
            _ => Passage::Held,
        }
    }

    /// Takes fields out of a link's writes of which too many were changed in this run. Consents pass.
    pub fn hold_changes(
        &mut self,
        link: &Link,
        seen: &[Observation; 2],
        told: &[Decision],
        plan: &mut LinkPlan,
        subjects: &mut Vec<String>,
    ) {
        let context = self.context;
        for rule in &context.policy().fields {
            let is_written = Side::BOTH.into_iter().any(|side| {
                let write = plan.writes[side.index()].as_ref();
                write.is_some_and(|write| write.patch.contains_key(rule.field(side)))
            });
            if !is_written {
                continue;
            }
            let about = format!("{}{}", subject::HOLD_CHANGE, rule.name);
            // Pairs that were made in this run meet here if their opt-outs had to go first.
            let meets = !link.base.fields.contains_key(&rule.name);
            let passage = Self::passage(told, &about, || self.meter.change(&rule.name, meets));
            if matches!(passage, Passage::Passes) {
                continue;
            }
            let mut values = [None, None];
            for side in Side::BOTH {
                let Some(write) = &mut plan.writes[side.index()] else {
                    continue;
                };
                write.base.fields.remove(&rule.name);
                write.shared.retain(|shared| *shared != rule.name);
                write.before.remove(rule.field(side));
                values[side.index()] = write.patch.remove(rule.field(side));
                if write.is_empty() {
                    plan.writes[side.index()] = None;
                }
            }
            plan.losers.retain(|loser| loser.rule != rule.name);
            let now = Side::BOTH.map(|side| {
                let fields = &seen[side.index()].fields;
                fields.get(rule.field(side)).cloned().unwrap_or_default()
            });
            if matches!(passage, Passage::Rejected) {
                let [a, b] = now;
                let rule_name = rule.name.clone();
                let images = FieldBase {
                    a,
                    b,
                    rule: rule.fingerprint.clone(),
                    undone: false,
                };
                plan.advance.fields.insert(rule_name, images);
                continue;
            }
            subjects.push(about.clone());
            self.conflict(
                Side::A,
                link.a.clone(),
                Some(link),
                about,
                "more records would be changed in this field than a run may without a person's word"
                    .to_owned(),
                json!({ "field": rule.name, "a": now[0], "b": now[1], "to": values }),
            );
        }
    }

    /// Takes a record away, or leaves that to a person. Whether the link ends instead.
    pub fn hold_removal(
        &mut self,
        side: Side,
        how: Removal,
        link: &mut Link,
        seen: &[Observation; 2],
        subjects: &mut Vec<String>,
        intents: &mut Vec<String>,
    ) -> bool {
        let told = self.facts.told(Side::A, &link.a).to_vec();
        let carry = self.known.removals == Removals::Carry || self.preview.is_some();
        let passage = Self::passage(&told, subject::HOLD_DELETE, || {
            // A preview counts, and is held as a whole at its end.
            self.preview.is_some() || (carry && self.meter.remove())
        });
        match passage {
            Passage::Passes => {
                let intent = self.remove(side, how, link, seen);
                intents.push(intent);
                false
            }
            Passage::Rejected => {
                self.end(link);
                true
            }
            Passage::Held => {
                let about = subject::HOLD_DELETE.to_owned();
                subjects.push(about.clone());
                self.conflict(
                    Side::A,
                    link.a.clone(),
                    Some(link),
                    about,
                    "more records would be taken away than a run may without a person's word"
                        .to_owned(),
                    json!({ "side": side }),
                );
                false
            }
        }
    }

    /// A match key that is about to be written must not belong to another record over there: that would make one
    /// person of two. The write of that field becomes a proposal to merge.
    pub async fn merge_conflicts(&mut self) -> Result<(), SyncError> {
        for side in Side::BOTH {
            let field = self.context.policy().match_rule().field(side).to_owned();
            let changes: Vec<(usize, String)> = self
                .planned
                .intents
                .iter()
                .enumerate()
                .filter(|(_, intent)| {
                    intent.target == side && matches!(intent.effect, Effect::Update(_))
                })
                .filter_map(|(index, intent)| {
                    let key = self.context.policy().match_key(side, &intent.patch)?;
                    Some((index, key))
                })
                .collect();
            if changes.is_empty() || !Guard::MergeIsProposed.stands() {
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
        let rule = self.context.policy().match_rule().name.clone();
        let intent = &mut self.planned.intents[index];
        intent.patch.remove(field);
        intent.before.remove(field);
        intent.base.fields.remove(&rule);
        let id = intent.id.clone();
        let link = intent
            .link
            .as_ref()
            .and_then(|link| self.facts.links.get(link))
            .cloned();
        let record = link
            .as_ref()
            .map_or_else(|| intent.source_record.clone(), |link| link.a.clone());
        let mut told = self.facts.told(Side::A, &record).iter();
        let rejected = told.any(|told| {
            // One that was carried out was about records that were merged, and not about this key.
            told.about == subject::MERGE && told.verdict == Verdict::Reject && told.of.is_none()
        });
        if rejected {
            if let Some(link) = &link {
                self.keep_apart(link, &rule);
            }
            self.note(
                JournalKind::Operator,
                link.as_ref(),
                None,
                json!({ "about": subject::MERGE, "verdict": "the two stay apart", "holder": holder }),
            );
            return;
        }
        self.keep_subject(&record, subject::MERGE);
        for row in &mut self.planned.rows {
            if row.intents.contains(&id) {
                row.class = row.class.max(Class::Conflict);
            }
        }
        self.conflict(
            Side::A,
            record,
            link.as_ref(),
            subject::MERGE.to_owned(),
            format!("side {side} has another record, `{holder}`, with the new value of `{field}`; merge the two there"),
            json!({ "side": side, "holder": holder }),
        );
    }
}
