//! A world made by hand, for checkers that are fed a wrong history.

#![allow(
    clippy::unwrap_used,
    reason = "a hand-made history is written for a test"
)]

use samspel_model::intent::{Effect, Intent};
use samspel_model::store::{
    Change, Commit, Conflict, Cursor, Observation, Observed, Parked, Source, Step,
};
use samspel_model::{
    Base, Consent, ConsentState, Create, Deliverability, DeliverabilityState, FieldBase, Fields,
    Link, LinkId, Presence, RecordId, Removal, Remove, Side, Update, WriteOp,
};
use serde_json::Value;

use crate::agreement::{Agreement, Mapping, Newcomers, Rule, Valves};
use crate::checkers::{Arrival, Facts};
use crate::field::Field;
use crate::ledger::{Decided, Ledger, Notes};
use crate::quirk::{Quirk, Quirks};
use crate::systems::{
    By, CHANNEL, PURPOSE, Said, Standing, System, SystemConfig, Version, nothing,
};
use crate::time::timestamp;

/// Two systems, each with one record of the same person.
pub(crate) struct Hand {
    systems: Vec<System>,
    agreements: Vec<Agreement>,
    ledger: Ledger,
    step: u64,
}

fn time(at: i64) -> Consent {
    Consent {
        channel: CHANNEL.to_owned(),
        purpose: PURPOSE.to_owned(),
        state: ConsentState::Unspecified,
        at: Some(timestamp(at)),
        evidence: None,
    }
}

impl Hand {
    /// `a001` and `b001`, both with the address `p1@example.org` and the name `n1`; nothing is stored or shown.
    pub fn pair() -> Self {
        let mut quirks = Quirks::default();
        quirks.with(Quirk::OrderedRevisions);
        quirks.with(Quirk::DeletesReported);
        let config = |name| SystemConfig {
            name,
            quirks,
            lag: 0,
            page: 10,
            batch: 10,
            latency: 1,
            can_archive: true,
            takes_bounces: true,
        };
        let mut hand = Self {
            systems: vec![
                System::new(0, config("crm")),
                System::new(1, config("mail")),
            ],
            agreements: vec![Agreement {
                name: "a-b",
                systems: [0, 1],
                fields: Field::ALL
                    .into_iter()
                    .map(|field| Mapping {
                        field,
                        to: [true, true],
                        on_conflict: Rule::A,
                        first_sync: Rule::A,
                    })
                    .collect(),
                create: [true, true],
                archive: true,
                newcomers: Newcomers::Transactional,
                opt_in_from: [true, true],
                bounces: true,
                full_hours: 24,
                valves: Valves::DEFAULT,
            }],
            ledger: Ledger::new(1),
            step: 1,
        };
        for system in 0..2 {
            let mut values = nothing();
            values[Field::Email.index()] = "p1@example.org".into();
            values[Field::Name.index()] = "n1".into();
            hand.systems[system].create(1, None, By::User, 1, values);
        }
        hand
    }

    /// What checkers see.
    pub fn facts(&self) -> Facts<'_> {
        Facts {
            systems: &self.systems,
            agreements: &self.agreements,
            ledger: &self.ledger,
            step: self.step,
        }
    }

    /// A field flows so, into A and into B.
    pub fn one_way(&mut self, field: Field, to: [bool; 2]) {
        let mappings = &mut self.agreements[0].fields;
        for mapping in mappings.iter_mut().filter(|one| one.field == field) {
            mapping.to = to;
        }
    }

    /// What is stored.
    pub fn ledger(&mut self) -> &mut Ledger {
        &mut self.ledger
    }

    fn system(&mut self, id: &str) -> &mut System {
        &mut self.systems[usize::from(id.starts_with('b'))]
    }

    /// Adds a person to a system.
    pub fn person(&mut self, system: &str, address: &str) {
        let mut values = nothing();
        values[Field::Email.index()] = address.into();
        self.system(system).create(9, None, By::User, 5, values);
    }

    /// A record that a create of this key made in the second system.
    pub fn made(&mut self, key: &str, address: &str) -> RecordId {
        let mut values = nothing();
        values[Field::Email.index()] = address.into();
        self.systems[1].create(1, Some(key.to_owned()), By::Sync(0), 5, values)
    }

    /// A field gets a value.
    pub fn edit(&mut self, id: &str, field: Field, value: &str, by: By) {
        self.system(id)
            .change(&id.into(), by, 10, false, |version| {
                version.values[field.index()] = value.into();
            });
    }

    /// A record comes to stand so.
    pub fn stand(&mut self, id: &str, standing: Standing) {
        self.system(id)
            .change(&id.into(), By::User, 10, false, |version| {
                version.standing = standing;
            });
    }

    /// The person says something.
    pub fn say(&mut self, id: &str, state: ConsentState, at: i64) {
        self.said(id, state, at, By::User);
    }

    /// A record gets to say something.
    pub fn said(&mut self, id: &str, state: ConsentState, at: i64, by: By) {
        self.system(id)
            .change(&id.into(), by, at, false, |version| {
                version.said = Said {
                    state,
                    at: Some(at),
                    evidence: None,
                };
            });
    }

    /// Mail to the address bounces.
    pub fn bounce(&mut self, id: &str) {
        self.system(id)
            .change(&id.into(), By::User, 10, false, |version| {
                version.bounced = Some(10);
            });
    }

    /// A record as it is.
    pub fn version(&self, id: &str) -> Version {
        let system = &self.systems[usize::from(id.starts_with('b'))];
        Version::clone(
            &system.records[&RecordId::from(id)]
                .versions
                .last()
                .cloned()
                .unwrap(),
        )
    }

    /// The host is shown everything.
    pub fn show_all(&mut self) {
        for system in &mut self.systems {
            let now: Vec<(RecordId, u64)> = system
                .records
                .iter()
                .map(|(id, record)| (id.clone(), record.now().seq))
                .collect();
            for (id, seq) in now {
                system.show(&id, seq, 20);
            }
        }
    }

    /// The host is shown everything, and stores it.
    pub fn store_all(&mut self) {
        self.show_all();
        for system in &self.systems {
            for (id, record) in &system.records {
                self.ledger
                    .values
                    .entry((system.index, id.clone()))
                    .or_default()
                    .insert(record.now().seq, u8::MAX);
                for versions in [&mut self.ledger.stored, &mut self.ledger.shown] {
                    versions
                        .entry((system.index, id.clone()))
                        .or_default()
                        .push((record.now().seq, self.step));
                }
            }
        }
        self.step += 1;
    }

    fn notes(&self, changes: Vec<Change>) -> Notes {
        let commit = Commit {
            step: Step::Decide,
            at: timestamp(0),
            changes,
        };
        Notes::of(0, &commit, &self.systems)
    }

    /// A commit that pairs the two, with a base of these names.
    pub fn link_notes(&self, a: &str, b: &str) -> Notes {
        let mut base = Base::default();
        base.fields.insert(
            "name=label".to_owned(),
            FieldBase {
                a: a.into(),
                b: b.into(),
                rule: String::new(),
                undone: false,
            },
        );
        self.notes(vec![Change::PutLinks(vec![Link {
            id: LinkId("l1".to_owned()),
            a: "a001".into(),
            b: "b001".into(),
            base,
        }])])
    }

    /// A commit that parks a record of A.
    pub fn parked_notes(&self, id: &str) -> Notes {
        self.notes(vec![Change::Park(vec![Parked {
            side: Side::A,
            record: id.into(),
            at: timestamp(0),
            cause: "refused".to_owned(),
        }])])
    }

    /// A commit that decides on a write.
    pub fn intent_notes(&self, intent: Intent) -> Notes {
        self.notes(vec![Change::PutIntents(vec![intent])])
    }

    /// The two are a pair.
    pub fn link(&mut self, a: &str, b: &str) {
        let notes = self.link_notes(a, b);
        self.ledger
            .believe(&notes, &self.agreements[0], &self.systems, self.step);
    }

    /// A commit of a position of A.
    pub fn cursor_notes(&self, cursor: &str) -> Notes {
        self.notes(vec![Change::PutCursor {
            side: Side::A,
            cursor: Cursor {
                incomplete: false,
                incremental: Some(cursor.to_owned()),
                snapshot: None,
                compared: None,
                version: 1,
                scope: None,
                former: None,
            },
        }])
    }

    /// A conflict about a field of the pair.
    pub fn conflict(&mut self, field: Field) {
        let notes = self.notes(vec![Change::PutConflicts(vec![Conflict {
            side: Side::A,
            record: "a001".into(),
            about: self.agreements[0].rule_name(field),
            link: None,
            at: timestamp(0),
            why: String::new(),
            detail: Value::Null,
        }])]);
        self.ledger
            .believe(&notes, &self.agreements[0], &self.systems, self.step);
    }

    /// The journal tells that a value lost.
    pub fn tell(&mut self, field: Field, value: &str) {
        let rule = self.agreements[0].rule_name(field);
        self.ledger.syncs[0].told.push((rule, value.into()));
    }

    /// What is stored of a record that is stored as it is.
    pub fn observation(&self, id: &str) -> Observation {
        let system = &self.systems[usize::from(id.starts_with('b'))];
        let version = self.version(id);
        let entity = system.entity(&id.into(), &version, None);
        let observed = Observed {
            entity,
            keys: Vec::new(),
            extent: samspel_model::Extent::Whole,
        };
        let _ = Source::Listing;
        Observation {
            id: id.into(),
            presence: Presence::Present,
            hash: observed.entity.content_hash(),
            fields: observed.entity.fields,
            consents: observed.entity.consents,
            deliverability: observed.entity.deliverability,
            revision: observed.entity.revision,
            modified: observed.entity.modified,
            aliases: observed.entity.aliases,
            merged_into: None,
        }
    }

    // ---- writes to the second system ----

    /// A field is written.
    pub fn update(&self, id: &str, field: Field, value: &str) -> WriteOp {
        let mut patch = Fields::new();
        patch.insert(field.name(1).to_owned(), value.into());
        WriteOp::Update(Update {
            id: id.into(),
            precondition: None,
            patch,
            consents: Vec::new(),
            deliverability: None,
            known: Fields::new(),
        })
    }

    /// A consent is written.
    pub fn consent(&self, id: &str, state: ConsentState) -> WriteOp {
        WriteOp::Update(Update {
            id: id.into(),
            precondition: None,
            patch: Fields::new(),
            consents: vec![Consent { state, ..time(55) }],
            deliverability: None,
            known: Fields::new(),
        })
    }

    /// A bounce is written.
    pub fn bounces(&self, id: &str) -> WriteOp {
        WriteOp::Update(Update {
            id: id.into(),
            precondition: None,
            patch: Fields::new(),
            consents: Vec::new(),
            deliverability: Some(Deliverability {
                state: DeliverabilityState::HardBounced,
                at: None,
                reason: None,
            }),
            known: Fields::new(),
        })
    }

    /// Somebody is created.
    pub fn create(&self, key: &str, address: &str) -> WriteOp {
        let mut fields = Fields::new();
        fields.insert(Field::Email.name(1).to_owned(), address.into());
        WriteOp::Create(Create {
            idempotency_key: key.to_owned(),
            fields,
            consents: Vec::new(),
            deliverability: None,
        })
    }

    /// A record is taken away.
    pub fn remove(&self, id: &str) -> WriteOp {
        WriteOp::Remove(Remove {
            id: id.into(),
            precondition: None,
            how: Removal::Archive,
            known: Fields::new(),
        })
    }

    /// The stored write that a write carries out.
    pub fn decided(&self, op: &WriteOp, source: &str) -> Decided {
        let (id, effect, patch, consents) = match op {
            WriteOp::Create(create) => (
                create.idempotency_key.clone(),
                Effect::Create,
                create.fields.clone(),
                create.consents.clone(),
            ),
            WriteOp::Update(update) => (
                "w1".to_owned(),
                Effect::Update(update.id.clone()),
                update.patch.clone(),
                update.consents.clone(),
            ),
            WriteOp::Remove(remove) => (
                "w1".to_owned(),
                Effect::Remove(remove.id.clone(), remove.how),
                Fields::new(),
                Vec::new(),
            ),
        };
        Decided {
            intent: Intent {
                overrules: None,
                told: Vec::new(),
                id,
                run: "r1".to_owned(),
                target: Side::B,
                source_record: source.into(),
                link: None,
                effect,
                patch,
                before: Fields::new(),
                consents,
                deliverability: None,
                precondition: None,
                base: Base::default(),
                shared: Vec::new(),
                restricts: false,
                and_more: false,
                lost: None,
            },
            step: self.step,
            open: true,
            closed: 0,
        }
    }

    /// A write arrives.
    pub fn arrival<'a>(&self, op: &'a WriteOp, decided: Option<Decided>) -> Arrival<'a> {
        Arrival {
            sync: 0,
            side: Side::B,
            system: 1,
            op,
            decided,
            begun: self.step,
        }
    }
}
