//! The twelve invariants of the specification, one checker each. They share no code with the engine: they know what the
//! systems really hold, what was shown, what was stored, and compare in the plainest way.

pub(crate) mod atomicity;
pub(crate) mod bounds;
pub(crate) mod consents;
pub(crate) mod convergence;
pub(crate) mod creates;
pub(crate) mod cursors;
pub(crate) mod deletes;
pub(crate) mod invention;
pub(crate) mod lost;
pub(crate) mod quiescence;
pub(crate) mod regression;
pub(crate) mod silence;
pub(crate) mod tried;
pub(crate) mod valves;

#[cfg(test)]
pub(crate) mod hand;

use samspel_model::intent::{Effect, Intent};
use samspel_model::{RecordId, Side, WriteOp};
use serde_json::Value;

use crate::agreement::Agreement;
use crate::field::{Field, plain};
use crate::ledger::{Decided, Ledger, Notes, Place, SyncLedger};
use crate::systems::{Applied, System, Version};
use crate::time::Millis;
use crate::violation::Findings;

/// What is true in the world.
pub(crate) struct Facts<'a> {
    /// The systems.
    pub systems: &'a [System],
    /// What the operator wants.
    pub agreements: &'a [Agreement],
    /// What the host has stored.
    pub ledger: &'a Ledger,
    /// The world's step.
    pub step: u64,
}

impl Facts<'_> {
    /// A record as it is now.
    pub fn record(&self, place: &Place) -> Option<&Version> {
        self.systems[place.0]
            .now(&place.1)
            .map(|version| &**version)
    }
}

/// A write that reaches a system.
pub(crate) struct Arrival<'a> {
    /// The sync that sent it.
    pub sync: usize,
    /// The side that is written.
    pub side: Side,
    /// The system of that side.
    pub system: usize,
    /// The write.
    pub op: &'a WriteOp,
    /// The stored write that it carries out.
    pub decided: Option<Decided>,
    /// The world's step when its call began.
    pub begun: u64,
}

impl Arrival<'_> {
    /// The record that it comes from.
    pub fn source(&self, facts: &Facts<'_>) -> Option<Place> {
        let decided = self.decided.as_ref()?;
        let system = facts.agreements[self.sync].system(self.side.other());
        Some((system, decided.intent.source_record.clone()))
    }

    /// The record that it changes.
    pub fn target(&self) -> Option<Place> {
        target(self.op).map(|id| (self.system, id.clone()))
    }

    /// Whether it takes a run back. Such a call may arrive when another process has the sync.
    pub fn takes_back(&self) -> bool {
        self.decided.as_ref().is_some_and(|decided| {
            let mut fields = decided.intent.base.fields.values();
            fields.any(|images| images.undone)
        })
    }

    /// For a story: what it is.
    pub fn words(&self) -> String {
        match self.op {
            WriteOp::Create(create) => format!("the create {}", create.idempotency_key),
            WriteOp::Update(update) => format!("the update of {}", update.id),
            WriteOp::Remove(remove) => format!("the removal of {}", remove.id),
        }
    }
}

/// The record that a write changes.
pub(crate) fn target(op: &WriteOp) -> Option<&RecordId> {
    match op {
        WriteOp::Create(_) => None,
        WriteOp::Update(update) => Some(&update.id),
        WriteOp::Remove(remove) => Some(&remove.id),
    }
}

/// The stored write that an item carries out: one that says the same, was decided when its call began, and was not
/// settled then. (A process that stands still in the middle of a call cannot take it back.)
pub(crate) fn intent_of(
    sync: &SyncLedger,
    side: Side,
    system: &System,
    op: &WriteOp,
    begun: u64,
) -> Option<Decided> {
    let had = |id: &RecordId, address: Option<&Value>| {
        let address = plain(Field::Email, address.unwrap_or(&Value::Null));
        let versions = system.records.get(id).into_iter();
        versions
            .flat_map(|record| &record.versions)
            .any(|version| plain(Field::Email, &version.values[Field::Email.index()]) == address)
    };
    let open = |decided: &&Decided| {
        let is_open = decided.open || decided.closed > begun;
        is_open && decided.step <= begun && decided.intent.target == side
    };
    let says = |intent: &Intent| match op {
        WriteOp::Create(create) => {
            intent.effect == Effect::Create
                && intent.id == create.idempotency_key
                && intent.patch == create.fields
                && intent.consents == create.consents
        }
        WriteOp::Update(update) => {
            let whole = intent.effect == Effect::Update(update.id.clone())
                && intent.patch == update.patch
                && intent.consents == update.consents
                && intent.deliverability == update.deliverability;
            // The rest of a create that ended half way: of this record, which was found by its address.
            let rest = intent.effect == Effect::Create
                && had(
                    &update.id,
                    intent.patch.get(Field::Email.name(system.index)),
                )
                && update.patch.is_empty()
                && intent.consents == update.consents
                && intent.deliverability == update.deliverability;
            whole || rest
        }
        WriteOp::Remove(remove) => intent.effect == Effect::Remove(remove.id.clone(), remove.how),
    };
    sync.decided
        .values()
        .chain(&sync.decided_before)
        .filter(open)
        .find(|decided| says(&decided.intent))
        .cloned()
}

/// What the checkers remember.
#[derive(Debug)]
pub(crate) struct Checks {
    /// 3.
    pub lost: lost::Lost,
    /// 5.
    pub creates: creates::Creates,
    /// 8.
    pub regression: regression::Regression,
    /// 7.
    pub cursors: cursors::Cursors,
    /// 9.
    pub deletes: deletes::Deletes,
    /// 12.
    pub bounds: bounds::Bounds,
    /// 9 and 2.
    pub valves: valves::Valves,
    /// 12.
    pub tried: tried::Tried,
    /// By sync: when a run began that reads both sides.
    pub reading: Vec<Option<Millis>>,
    /// By sync: a run is being taken back.
    pub undoing: Vec<bool>,
}

impl Checks {
    /// Nothing happened yet.
    pub fn new(syncs: usize) -> Self {
        Self {
            lost: lost::Lost::default(),
            creates: creates::Creates::default(),
            regression: regression::Regression::default(),
            cursors: cursors::Cursors::default(),
            deletes: deletes::Deletes::default(),
            bounds: bounds::Bounds::new(syncs),
            valves: valves::Valves::default(),
            tried: tried::Tried::default(),
            reading: vec![None; syncs],
            undoing: vec![false; syncs],
        }
    }

    /// A write reaches a system, and is not applied yet. `now`: by the host's clock.
    pub fn arrives(
        &mut self,
        facts: &Facts<'_>,
        arrival: &Arrival<'_>,
        now: Millis,
        findings: &mut Findings,
    ) {
        atomicity::arrives(facts, arrival, findings);
        let undoing = self.undoing[arrival.sync] || arrival.takes_back();
        invention::arrives(facts, arrival, undoing, findings);
        creates::arrives(facts, arrival, findings);
        creates::after_reading(facts, arrival, self.reading[arrival.sync], findings);
        if !undoing {
            self.deletes.arrives(facts, arrival, findings);
            self.valves.arrives(facts, arrival, now, findings);
        }
        consents::arrives(facts, arrival, findings);
    }

    /// A write was applied, or not.
    pub fn applied(
        &mut self,
        facts: &Facts<'_>,
        arrival: &Arrival<'_>,
        applied: &Applied,
        before: Option<&Version>,
        after: Option<&Version>,
        findings: &mut Findings,
    ) {
        self.creates.applied(facts, arrival, applied, findings);
        if let (Some(before), Some(after), Some(id)) = (before, after, &applied.id)
            && applied.done
        {
            self.lost
                .applied(facts, arrival, (arrival.system, id.clone()), before, after);
        }
    }

    /// A commit succeeded.
    pub fn committed(&mut self, facts: &Facts<'_>, notes: &Notes, findings: &mut Findings) {
        atomicity::committed(facts, notes, findings);
        self.cursors.committed(facts, notes, findings);
        self.tried.committed(facts, notes, findings);
    }
}
