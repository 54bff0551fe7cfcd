//! Writing to a simulated system, one item at a time.

use samspel_model::{
    Consent, ConsentState, Create, Deliverability, DeliverabilityState, Outcome, RecordId, Remove,
    Revision, Update, WriteOp,
};
use serde_json::Value;

use crate::field::{Field, Plain, Values, plain};
use crate::quirk::Quirk;
use crate::systems::{By, CHANNEL, PURPOSE, Said, Standing, System, Version};
use crate::time::{Millis, millis};

/// What became of one item.
#[derive(Debug)]
pub(crate) struct Applied {
    /// What the remote answers.
    pub outcome: Outcome,
    /// The record that was changed or made.
    pub id: Option<RecordId>,
    /// Something was made or changed, or was as it should be already.
    pub done: bool,
}

impl Applied {
    fn not(outcome: Outcome) -> Self {
        Self {
            outcome,
            id: None,
            done: false,
        }
    }
}

/// Whether all of a create is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// All.
    Whole,
    /// The record is made, and what its person agreed to is not noted.
    RecordOnly,
}

impl System {
    /// Applies one item. `person`: whom a new record is about.
    pub fn apply(
        &mut self,
        op: &WriteOp,
        by: By,
        person: usize,
        now: Millis,
        extent: Extent,
    ) -> Applied {
        match op {
            WriteOp::Create(create) => self.apply_create(create, by, person, now, extent),
            WriteOp::Update(update) => self.apply_update(update, by, now),
            WriteOp::Remove(remove) => self.apply_remove(remove, by, now),
        }
    }

    fn apply_create(
        &mut self,
        create: &Create,
        by: By,
        person: usize,
        now: Millis,
        extent: Extent,
    ) -> Applied {
        if self.has(Quirk::IdempotentCreate)
            && let Some((id, version)) = self.made_by(&create.idempotency_key)
        {
            self.hit.with(Quirk::IdempotentCreate);
            // The connector completes what an earlier attempt left undone: "written" means done.
            if version.said == Said::NOTHING {
                self.complete(&id, create, by, now);
            }
            let version = self.now(&id).cloned().unwrap_or(version);
            let outcome = Outcome::Written(self.entity(&id, &version, None));
            return Applied {
                outcome,
                id: Some(id),
                done: false,
            };
        }
        let mut values = nothing();
        for (name, value) in &create.fields {
            if let Some(field) = Field::of(self.index, name) {
                values[field.index()] = value.clone();
            }
        }
        if let Some(outcome) = self.taken(&values[Field::Email.index()], None) {
            return Applied::not(outcome);
        }
        let id = self.create(
            person,
            Some(create.idempotency_key.clone()),
            by,
            now,
            values,
        );
        if extent == Extent::Whole {
            self.complete(&id, create, by, now);
        }
        Applied {
            outcome: self.written(&id, None),
            id: Some(id),
            done: true,
        }
    }

    /// Notes what the person of a new record agreed to.
    fn complete(&mut self, id: &RecordId, create: &Create, by: By, now: Millis) {
        let stamps = self.has(Quirk::StampsConsent);
        self.change(id, by, now, false, |version| {
            for consent in &create.consents {
                note(version, consent, stamps.then_some(now));
            }
            bounce(version, create.deliverability.as_ref(), now);
        });
    }

    /// The record that a create with this key made, if it is there.
    fn made_by(&self, key: &str) -> Option<(RecordId, std::sync::Arc<Version>)> {
        self.records
            .iter()
            .find(|(_, record)| record.key.as_deref() == Some(key) && record.now().is_live())
            .map(|(id, record)| (id.clone(), record.now().clone()))
    }

    /// A record that has this address, if two must not.
    fn taken(&mut self, address: &Value, but: Option<&RecordId>) -> Option<Outcome> {
        if !self.has(Quirk::UniqueAddress) {
            return None;
        }
        let Plain::Text(address) = plain(Field::Email, address) else {
            return None;
        };
        let holder = self
            .holders(&address)
            .find(|id| Some(*id) != but)
            .cloned()?;
        self.hit.with(Quirk::UniqueAddress);
        if self.has(Quirk::DuplicateUnnamed) {
            self.hit.with(Quirk::DuplicateUnnamed);
            return Some(Outcome::Duplicate(None));
        }
        Some(Outcome::Duplicate(Some(holder)))
    }

    fn apply_update(&mut self, update: &Update, by: By, now: Millis) -> Applied {
        let Some(before) = self.now(&update.id).cloned() else {
            return Applied::not(Outcome::Gone);
        };
        match &before.standing {
            // What left the collection is there, and can be changed.
            Standing::Live | Standing::OutOfScope => {}
            Standing::Merged(_) => {
                return Applied::not(Outcome::Moved(self.survivor(&update.id).clone()));
            }
            Standing::Archived | Standing::Deleted => return Applied::not(Outcome::Gone),
        }
        if let Some(outcome) = self.stale(&update.id, &before, update.precondition.as_ref()) {
            return Applied::not(outcome);
        }
        let address = update
            .patch
            .iter()
            .find(|(name, _)| Field::of(self.index, name) == Some(Field::Email));
        if let Some((_, address)) = address
            && let Some(outcome) = self.taken(address, Some(&update.id))
        {
            return Applied::not(outcome);
        }
        let subscribes = update
            .consents
            .iter()
            .any(|consent| lifts(consent) && is_ours(consent));
        if self.has(Quirk::ComplianceState) && before.said.is_out() && subscribes {
            self.hit.with(Quirk::ComplianceState);
            return Applied::not(Outcome::Suppressed(
                "the person opted out and must opt in again".to_owned(),
            ));
        }
        let stamps = self.has(Quirk::StampsConsent);
        if stamps && !update.consents.is_empty() {
            self.hit.with(Quirk::StampsConsent);
        }
        let system = self.index;
        self.change(&update.id, by, now, false, |version| {
            for (name, value) in &update.patch {
                if let Some(field) = Field::of(system, name) {
                    version.values[field.index()] = value.clone();
                }
            }
            for consent in &update.consents {
                note(version, consent, stamps.then_some(now));
            }
            bounce(version, update.deliverability.as_ref(), now);
        });
        let wanted: Option<Vec<String>> = self.has(Quirk::PartialAnswer).then(|| {
            self.hit.with(Quirk::PartialAnswer);
            update.patch.keys().cloned().collect()
        });
        Applied {
            outcome: self.written(&update.id, wanted.as_deref()),
            id: Some(update.id.clone()),
            done: true,
        }
    }

    fn apply_remove(&mut self, remove: &Remove, by: By, now: Millis) -> Applied {
        let Some(before) = self.now(&remove.id).cloned() else {
            return Applied::not(Outcome::Gone);
        };
        match &before.standing {
            Standing::Live | Standing::OutOfScope => {}
            Standing::Merged(_) => {
                return Applied::not(Outcome::Moved(self.survivor(&remove.id).clone()));
            }
            Standing::Archived | Standing::Deleted => return Applied::not(Outcome::Gone),
        }
        if let Some(outcome) = self.stale(&remove.id, &before, remove.precondition.as_ref()) {
            return Applied::not(outcome);
        }
        self.change(&remove.id, by, now, false, |version| {
            version.standing = Standing::Archived;
        });
        Applied {
            outcome: self.written(&remove.id, None),
            id: Some(remove.id.clone()),
            done: true,
        }
    }

    fn stale(
        &mut self,
        id: &RecordId,
        now: &Version,
        precondition: Option<&Revision>,
    ) -> Option<Outcome> {
        let asked = precondition?;
        let current = self.revision(now);
        if current.as_ref().map(|revision| &revision.token) == Some(&asked.token) {
            return None;
        }
        if !self.has(Quirk::Preconditions) {
            self.hit.with(Quirk::NoPreconditions);
            return None;
        }
        self.hit.with(Quirk::Preconditions);
        // Some say what the record holds now, some do not; one remote does both.
        Some(Outcome::Stale(
            (now.rev.is_multiple_of(2) && now.is_live()).then(|| self.entity(id, now, None)),
        ))
    }

    fn written(&self, id: &RecordId, wanted: Option<&[String]>) -> Outcome {
        match self.now(id) {
            Some(now) => {
                let mut entity = self.entity(id, now, wanted);
                if entity.consents.is_empty() {
                    entity.consents = vec![self.consent(&now.said)];
                    entity.deliverability = self.entity(id, now, None).deliverability;
                }
                Outcome::Written(entity)
            }
            None => Outcome::Gone,
        }
    }
}

/// A record that holds nothing.
pub(crate) fn nothing() -> Values {
    [
        Value::Null,
        Value::Null,
        Value::Null,
        Value::Array(Vec::new()),
        Value::Null,
    ]
}

/// Whether a consent allows more than an opt-out does.
pub(crate) fn lifts(consent: &Consent) -> bool {
    matches!(
        consent.state,
        ConsentState::Subscribed | ConsentState::Pending
    )
}

fn is_ours(consent: &Consent) -> bool {
    consent.channel == CHANNEL && consent.purpose == PURPOSE
}

fn note(version: &mut Version, consent: &Consent, stamp: Option<Millis>) {
    if !is_ours(consent) || consent.state == ConsentState::Unspecified {
        return;
    }
    version.said = Said {
        state: consent.state.clone(),
        at: stamp.or(consent.at.map(millis)),
        evidence: consent.evidence.clone(),
    };
}

fn bounce(version: &mut Version, told: Option<&Deliverability>, now: Millis) {
    let Some(told) = told else { return };
    version.bounced = match told.state {
        DeliverabilityState::Deliverable => None,
        _ => Some(told.at.map_or(now, millis)),
    };
}
