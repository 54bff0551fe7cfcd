//! What the operator of a world wants: the policy of each sync, in the checkers' words and in the configuration's.

use samspel_model::Side;
use serde_json::{Value, json};

use crate::chance::Chance;
use crate::field::Field;
use crate::systems::COLLECTION;

/// How two records are reconciled where both sides have a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// A's holds.
    A,
    /// B's holds.
    B,
    /// The newer one holds.
    Newest,
    /// Of a set: all of both.
    Union,
    /// A person decides.
    Queue,
}

impl Rule {
    fn word(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
            Self::Newest => "newest",
            Self::Union => "union",
            Self::Queue => "queue",
        }
    }
}

/// One mapped field.
#[derive(Debug, Clone)]
pub(crate) struct Mapping {
    /// The field.
    pub field: Field,
    /// Whether it flows to each side.
    pub to: [bool; 2],
    /// What holds where both sides changed it.
    pub on_conflict: Rule,
    /// What holds when two records meet.
    pub first_sync: Rule,
}

/// What becomes of a new record of somebody who never opted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Newcomers {
    /// Neither an opt-in nor an opt-out.
    Transactional,
    /// They are asked.
    Pending,
    /// They are not created.
    Skip,
}

/// One sync.
#[derive(Debug, Clone)]
pub(crate) struct Agreement {
    /// Its name.
    pub name: &'static str,
    /// The systems of its sides.
    pub systems: [usize; 2],
    /// Its fields.
    pub fields: Vec<Mapping>,
    /// Whether records are created on each side.
    pub create: [bool; 2],
    /// A record is archived because its partner is gone.
    pub archive: bool,
    /// What newcomers become.
    pub newcomers: Newcomers,
    /// Whose newer opt-ins lift an opt-out.
    pub opt_in_from: [bool; 2],
    /// Bounces flow.
    pub bounces: bool,
    /// Hours between full comparisons.
    pub full_hours: u32,
    /// How much a run may do.
    pub valves: Valves,
}

/// So many, or so many percent of the pairs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Valves {
    /// Creates of a run after the first sync.
    pub creates: (u64, u64),
    /// Changes of one field.
    pub changes: (u64, u64),
}

impl Valves {
    /// What the engine takes where the operator says nothing.
    pub const DEFAULT: Self = Self {
        creates: (100, 20),
        changes: (200, 50),
    };
}

impl Agreement {
    /// Draws one.
    pub fn draw(chance: &mut Chance, name: &'static str, systems: [usize; 2]) -> Self {
        let fields = Field::ALL
            .into_iter()
            .map(|field| {
                let two_way = field == Field::Email || chance.percent(90);
                let to = if two_way {
                    [true, true]
                } else {
                    *chance.of(&[[false, true], [true, false]])
                };
                let mut rules = vec![Rule::A, Rule::B, Rule::Newest, Rule::Queue];
                let first_sync = *chance.of(&rules);
                if field == Field::Tags {
                    rules.extend([Rule::Union; 4]);
                }
                Mapping {
                    field,
                    to,
                    on_conflict: *chance.of(&rules),
                    first_sync,
                }
            })
            .collect();
        Self {
            name,
            systems,
            fields,
            create: *chance.of(&[
                [true, true],
                [true, true],
                [true, true],
                [false, true],
                [true, false],
                [false, false],
            ]),
            archive: chance.percent(50),
            newcomers: *chance.of(&[
                Newcomers::Transactional,
                Newcomers::Transactional,
                Newcomers::Pending,
                Newcomers::Skip,
            ]),
            opt_in_from: *chance.of(&[[false, false], [true, false], [false, true], [true, true]]),
            bounces: chance.percent(70),
            full_hours: *chance.of(&[2, 6, 24]),
            valves: if chance.percent(25) {
                Valves {
                    creates: (u64::from(chance.between(1, 3)), 10),
                    changes: (u64::from(chance.between(1, 3)), 10),
                }
            } else {
                Valves::DEFAULT
            },
        }
    }

    /// The mapping of the configuration's name.
    pub fn mapping_called(&self, name: &str) -> Option<&Mapping> {
        self.fields
            .iter()
            .find(|mapping| self.rule_name(mapping.field) == name)
    }

    /// What the engine calls the mapping of a field.
    pub fn rule_name(&self, field: Field) -> String {
        format!(
            "{}={}",
            field.name(self.systems[0]),
            field.name(self.systems[1])
        )
    }

    /// The system of a side.
    pub fn system(&self, side: Side) -> usize {
        self.systems[side.index()]
    }

    /// The side that a system is on, if it is.
    pub fn side(&self, system: usize) -> Option<Side> {
        Side::BOTH
            .into_iter()
            .find(|side| self.system(*side) == system)
    }

    /// The body of `[syncs.NAME]`.
    pub fn spec(&self, names: &[&'static str]) -> Value {
        let fields: Vec<Value> = self
            .fields
            .iter()
            .map(|mapping| {
                json!({
                    "a": mapping.field.name(self.systems[0]),
                    "b": mapping.field.name(self.systems[1]),
                    "direction": match mapping.to {
                        [true, false] => "b-to-a",
                        [false, true] => "a-to-b",
                        _ => "both",
                    },
                    "on-conflict": mapping.on_conflict.word(),
                    "first-sync": mapping.first_sync.word(),
                })
            })
            .collect();
        let sides: Vec<&str> = ["a", "b"]
            .into_iter()
            .zip(self.opt_in_from)
            .filter_map(|(side, allowed)| allowed.then_some(side))
            .collect();
        let endpoint = |side: usize| {
            json!({
                "account": names[self.systems[side]],
                "collection": COLLECTION,
            })
        };
        json!({
            "a": endpoint(0),
            "b": endpoint(1),
            "match": {
                "a": Field::Email.name(self.systems[0]),
                "b": Field::Email.name(self.systems[1]),
            },
            "new-members": match self.newcomers {
                Newcomers::Transactional => "transactional",
                Newcomers::Pending => "pending",
                Newcomers::Skip => "skip",
            },
            "first-sync": "queue",
            "create": match self.create {
                [true, true] => "both",
                [false, true] => "a-to-b",
                [true, false] => "b-to-a",
                [false, false] => "none",
            },
            "deletes": if self.archive { "archive" } else { "unlink" },
            "fields": fields,
            "consent": { "opt-in-from": sides },
            "deliverability": if self.bounces { "both" } else { "none" },
            "full-comparison": format!("{}h", self.full_hours),
            "valves": {
                "creates": { "count": self.valves.creates.0, "percent": self.valves.creates.1 },
                "changes": { "count": self.valves.changes.0, "percent": self.valves.changes.1 },
            },
        })
    }
}
