//! A create may have been applied, and the record that has its key is not as it was to be.

use samspel_engine::settle;
use samspel_model::intent::Intent;
use samspel_model::journal::{JournalEntry, JournalKind};
use samspel_model::store::Source;
use samspel_model::{Entity, Side};
use serde_json::json;

use super::{Found, Settlement};
use crate::accounts::Closing;
use crate::writer::Wrote;

impl Settlement<'_> {
    /// The source and the record that was found become a pair, as their common key would have it. What differs between
    /// them is planned as if they met for the first time.
    pub(super) fn adopted(
        &mut self,
        intent: &Intent,
        entity: Entity,
        wrote: &mut Wrote,
    ) -> Closing {
        let (side, source) = (self.side, self.side.other());
        let made = (side, entity.id.clone());
        let source_record = (source, intent.source_record.clone());
        wrote.tally.abandoned += 1;
        wrote.abandoned.push(source_record.clone());
        let is_paired =
            self.paired.contains_key(&made) || self.has_other_partner(intent, source_record);
        if is_paired {
            self.found(intent, Found::Record(Box::new(entity), Source::Listing));
            return Closing::Again;
        }
        self.context
            .lost_creates
            .forget(source, &intent.source_record);
        let base = settle::adopted(intent, &entity, self.context.policy());
        let link = self.new_link(intent, &entity.id, base);
        self.journal.push(JournalEntry {
            at: self.context.now(),
            run: Some(intent.run.clone()),
            kind: JournalKind::Linked,
            link: Some(link.id.clone()),
            side: Some(Side::A),
            record: Some(link.a.clone()),
            detail: json!({
                "by": self.context.policy().match_rule().name,
                "why": "a create whose answer was lost had this key",
            }),
        });
        // The person's opt-outs are in force for the record that was found, too, from now on: other syncs have it.
        self.opted_out
            .push((intent.source_record.clone(), entity.id.clone()));
        self.keep(link);
        self.found(intent, Found::Record(Box::new(entity), Source::Listing));
        Closing::Again
    }
}
