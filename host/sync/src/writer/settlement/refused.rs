//! The remote refused a write: for good, or because it protects the person.

use samspel_model::intent::Intent;
use samspel_model::journal::JournalKind;
use samspel_model::store::Parked;
use samspel_model::{ConsentState, Guard, Side};
use serde_json::json;

use super::Settlement;
use crate::accounts::{Class, Closing};
use crate::writer::Wrote;
use crate::writer::withdraw::opt_in;

impl Settlement<'_> {
    pub(super) fn refused(
        &mut self,
        intent: &Intent,
        cause: String,
        suppressed: bool,
        wrote: &mut Wrote,
    ) -> Closing {
        let kind = if suppressed {
            wrote.tally.suppressed += 1;
            JournalKind::Suppressed
        } else {
            wrote.tally.parked += 1;
            JournalKind::Parked
        };
        self.note(intent, kind, json!({ "cause": cause }));
        let link = intent
            .link
            .as_ref()
            .and_then(|id| self.links.get_mut(id))
            .filter(|_| suppressed && !intent.consents.is_empty());
        if let Some(link) = link {
            // The remote protects the person: its state is taken as it is, and the rest is planned without it.
            for (name, planned) in &intent.base.consents {
                let mut images = planned.clone();
                let known = link.base.consents.get(name);
                let (state, since) = if opt_in(intent).is_some() {
                    (ConsentState::Unsubscribed, intent.overrules)
                } else {
                    let state = known.map_or(ConsentState::Unspecified, |base| {
                        base.image(self.side).clone()
                    });
                    (state, known.and_then(|base| base.since[self.side.index()]))
                };
                match self.side {
                    Side::A => images.a = state,
                    Side::B => images.b = state,
                }
                images.since[self.side.index()] = since;
                link.base.consents.insert(name.clone(), images);
            }
            self.changed_links.push(link.id.clone());
            if !intent.patch.is_empty() || intent.deliverability.is_some() || intent.and_more {
                self.again(intent);
                return Closing::Again;
            }
            return Closing::As(Class::Applied);
        }
        if !Guard::ParkedStaysParked.stands() {
            self.again(intent);
        }
        self.parked.push(Parked {
            side: intent.target.other(),
            record: intent.source_record.clone(),
            at: self.context.now(),
            cause: if suppressed {
                format!("suppressed by the remote: {cause}")
            } else {
                cause
            },
        });
        Closing::As(Class::Parked)
    }
}
