//! What is to be written has a key, or is made as a record, that belongs to another record.

use samspel_model::intent::{Effect, Intent};
use samspel_model::journal::JournalKind;
use samspel_model::store::{Conflict, subject};
use samspel_model::{Entity, Extent, Fetched, RecordId, Side};
use serde_json::json;

use super::Settlement;
use crate::accounts::{Class, Closing};
use crate::error::SyncError;
use crate::reader::fetch;
use crate::recovery;
use crate::writer::Wrote;

impl Settlement<'_> {
    /// The rest of a change, without the key that another record has.
    pub(super) fn without_key(&self, intent: &Intent) -> Option<Intent> {
        let rule = self.context.policy().match_rule();
        let mut rest = intent.clone();
        rest.patch.remove(rule.field(self.side))?;
        rest.before.remove(rule.field(self.side));
        rest.base.fields.remove(&rule.name);
        rest.shared.retain(|shared| *shared != rule.name);
        let is_change = matches!(rest.effect, Effect::Update(_));
        let is_empty =
            rest.patch.is_empty() && rest.consents.is_empty() && rest.deliverability.is_none();
        (is_change && !is_empty).then_some(rest)
    }

    /// The remote answered a create with a record that belongs to another one of the other side.
    pub(super) fn made_for_another(
        &mut self,
        intent: &Intent,
        entity: Entity,
        wrote: &mut Wrote,
    ) -> Closing {
        wrote.tally.conflicts += 1;
        let detail = json!({ "records": [entity.id] });
        self.conflicts.push(Conflict {
            side: intent.target.other(),
            record: intent.source_record.clone(),
            about: subject::IDENTITY.to_owned(),
            link: None,
            at: self.context.now(),
            why: format!(
                "it was created in side {} before, as `{}`, which belongs to another record now",
                self.side, entity.id
            ),
            detail: detail.clone(),
        });
        self.note(
            intent,
            JournalKind::Conflict,
            json!({ "about": subject::IDENTITY, "values": detail }),
        );
        self.refetch[self.side.index()].push(entity.id);
        Closing::As(Class::Conflict)
    }

    /// A unique value that is to be written belongs to another record.
    pub(super) async fn taken(
        &mut self,
        intent: &Intent,
        holder: Option<RecordId>,
        wrote: &mut Wrote,
    ) -> Result<Closing, SyncError> {
        let creating = matches!(intent.effect, Effect::Create);
        let holder = match holder {
            Some(id) => Some(id),
            None => recovery::find_holder(self.context, self.side, intent).await,
        };
        let linked = match &holder {
            Some(id) => !self
                .context
                .store()
                .links_by_record(self.context.name(), self.side, std::slice::from_ref(id))
                .await?
                .is_empty(),
            None => false,
        };
        match holder {
            // It exists already and belongs to nobody: once it is read, the key links the two.
            Some(id) if creating && !linked && self.reads_as_match(intent, &id).await? => {
                self.replaced.extend(intent.link.clone());
                self.refetch[self.side.index()].push(id);
                self.dirty[intent.target.other().index()].push(intent.source_record.clone());
                wrote.tally.abandoned += 1;
                wrote
                    .abandoned
                    .push((intent.target.other(), intent.source_record.clone()));
                self.note(
                    intent,
                    JournalKind::Abandoned,
                    json!({ "why": "a record with the same key exists" }),
                );
                Ok(Closing::Again)
            }
            holder => {
                wrote.tally.conflicts += 1;
                let (side, record) = match &intent.link {
                    Some(link) if !creating => (
                        Side::A,
                        self.links
                            .get(link)
                            .map_or_else(|| intent.source_record.clone(), |link| link.a.clone()),
                    ),
                    _ => (intent.target.other(), intent.source_record.clone()),
                };
                let which = holder.as_ref().map_or_else(
                    || "which the remote does not name".to_owned(),
                    |id| format!("`{id}`"),
                );
                self.conflicts.push(Conflict {
                    side,
                    record,
                    about: subject::MERGE.to_owned(),
                    link: intent.link.clone(),
                    at: self.context.now(),
                    why: format!(
                        "side {} has another record with the same key, {which}; merge the two there",
                        self.side
                    ),
                    detail: json!({ "side": self.side, "holder": holder }),
                });
                self.note(
                    intent,
                    JournalKind::Conflict,
                    json!({ "about": subject::MERGE, "holder": holder }),
                );
                Ok(Closing::As(Class::Conflict))
            }
        }
    }

    /// Whether a record that is said to have the same key is found by ours, so that planning again leads somewhere.
    async fn reads_as_match(&mut self, intent: &Intent, id: &RecordId) -> Result<bool, SyncError> {
        let wanted = self.context.policy().match_key(self.side, &intent.patch);
        let fetched = fetch(
            self.context,
            self.side,
            std::slice::from_ref(id),
            Extent::Whole,
        )
        .await?;
        Ok(fetched.answers.into_iter().any(|(_, answer)| match answer {
            Fetched::Found(entity) => {
                self.context.policy().match_key(self.side, &entity.fields) == wanted
            }
            Fetched::Absent(_) | Fetched::Failed(_) => false,
        }))
    }
}
