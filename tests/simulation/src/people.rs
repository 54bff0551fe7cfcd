//! The people who use the systems.
//!
//! Every value that somebody writes is unique (`n17`), so that what became of it can be traced.

use std::fmt;

use samspel_model::{ConsentState, RecordId};
use serde_json::Value;

use crate::field::{Field, words};
use crate::quirk::Quirk;
use crate::systems::{By, Said, Standing, System, nothing};
use crate::time::Millis;

/// Where somebody moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Address {
    /// To an address that nobody had.
    Fresh(u32),
    /// To the address of somebody else.
    Of(usize),
}

/// Something that somebody does in a system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Deed {
    /// A record of a person is made by hand.
    Arrive {
        /// Values are made of it.
        number: u32,
        /// The address is written with other case and spaces.
        sloppy: bool,
        /// Whether they opted in, or out.
        said: Option<ConsentState>,
    },
    /// A field gets a new value.
    Edit {
        /// Which.
        field: Field,
        /// The value is made of it.
        number: u32,
        /// The feed does not tell, where the system is like that.
        hidden: bool,
    },
    /// A field is cleared.
    Clear(Field),
    /// A word is taken out of the set.
    Untag,
    /// The address changes.
    Move(Address),
    /// They opt out.
    OptOut {
        /// The feed does not tell, where the system is like that.
        hidden: bool,
    },
    /// They opt in.
    OptIn,
    /// Mail to the address bounces.
    Bounce,
    /// The record is deleted.
    Delete,
    /// The record is archived.
    Archive,
    /// The record comes back.
    Restore,
    /// The record leaves the collection.
    Leave,
    /// It enters it again.
    Enter,
    /// Another person's record is merged into this one.
    Absorb(usize),
}

/// Somebody does something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PeopleAct {
    /// Where.
    pub system: usize,
    /// To whose record.
    pub person: usize,
    /// What.
    pub deed: Deed,
}

impl fmt::Display for PeopleAct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            system,
            person,
            deed,
        } = self;
        let place = ["A's system", "B's system", "C's system"][*system];
        write!(f, "in {place}, person {person}: ")?;
        match deed {
            Deed::Arrive {
                number,
                sloppy,
                said,
            } => {
                write!(f, "a record is made (values of {number})")?;
                if *sloppy {
                    f.write_str(", the address written sloppily")?;
                }
                match said {
                    Some(ConsentState::Subscribed) => f.write_str(", opted in"),
                    Some(_) => f.write_str(", opted out"),
                    None => Ok(()),
                }
            }
            Deed::Edit {
                field,
                number,
                hidden,
            } => {
                let how = if *hidden { " (in no feed)" } else { "" };
                write!(f, "{field:?} is edited to value {number}{how}")
            }
            Deed::Clear(field) => write!(f, "{field:?} is cleared"),
            Deed::Untag => f.write_str("a tag is taken away"),
            Deed::Move(Address::Fresh(number)) => write!(f, "moves to a fresh address ({number})"),
            Deed::Move(Address::Of(other)) => write!(f, "moves to the address of person {other}"),
            Deed::OptOut { hidden } => f.write_str(if *hidden {
                "opts out (in no feed)"
            } else {
                "opts out"
            }),
            Deed::OptIn => f.write_str("opts in"),
            Deed::Bounce => f.write_str("mail to the address bounces"),
            Deed::Delete => f.write_str("the record is deleted"),
            Deed::Archive => f.write_str("the record is archived"),
            Deed::Restore => f.write_str("the record comes back"),
            Deed::Leave => f.write_str("the record leaves the collection"),
            Deed::Enter => f.write_str("the record enters the collection again"),
            Deed::Absorb(other) => write!(f, "the record of person {other} is merged into it"),
        }
    }
}

/// The value that somebody writes into a field.
pub(crate) fn value(field: Field, number: u32) -> Value {
    match field {
        Field::Email => Value::from(format!("m{number}@example.org")),
        Field::Name => Value::from(format!("n{number}")),
        Field::Phone => Value::from(format!("+49 30 {}", 1_000_000 + number)),
        Field::Tags => Value::from(vec![format!("t{number}")]),
        Field::Note => Value::from(format!("o{number}")),
    }
}

/// The address that a person begins with.
fn address(person: usize, sloppy: bool) -> Value {
    Value::from(if sloppy {
        format!(" P{person}@Example.org")
    } else {
        format!("p{person}@example.org")
    })
}

impl System {
    /// The newest record of a person that stands in one of some ways.
    fn record_of(&self, person: usize, stands: impl Fn(&Standing) -> bool) -> Option<RecordId> {
        self.records
            .iter()
            .rev()
            .find(|(_, record)| record.person == person && stands(&record.now().standing))
            .map(|(id, _)| id.clone())
    }

    /// Somebody acts; nothing happens where there is no such record, or the system does not allow it.
    pub fn act(&mut self, act: &PeopleAct, now: Millis) -> bool {
        let live = |standing: &Standing| *standing == Standing::Live;
        let person = act.person;
        if let Deed::Arrive {
            number,
            sloppy,
            said,
        } = &act.deed
        {
            return self.arrive(person, *number, *sloppy, said.as_ref(), now);
        }
        let wanted: &dyn Fn(&Standing) -> bool = match act.deed {
            Deed::Restore => &|standing| *standing == Standing::Archived,
            Deed::Enter => &|standing| *standing == Standing::OutOfScope,
            _ => &live,
        };
        let Some(id) = self.record_of(person, wanted) else {
            return false;
        };
        match &act.deed {
            Deed::Arrive { .. } => false,
            Deed::Edit {
                field,
                number,
                hidden,
            } => {
                let hidden = *hidden && self.has(Quirk::HiddenChanges);
                let (field, new) = (*field, value(*field, *number));
                self.change(&id, By::User, now, hidden, |version| {
                    let held = &mut version.values[field.index()];
                    match (field, &mut *held) {
                        (Field::Tags, Value::Array(items)) => {
                            items.extend(new.as_array().into_iter().flatten().cloned());
                        }
                        _ => *held = new,
                    }
                })
            }
            Deed::Clear(field) => {
                let empty = nothing();
                self.change(&id, By::User, now, false, |version| {
                    version.values[field.index()] = empty[field.index()].clone();
                })
            }
            Deed::Untag => self.change(&id, By::User, now, false, |version| {
                let mut held = words(&version.values[Field::Tags.index()]);
                held.pop_first();
                version.values[Field::Tags.index()] = held.into_iter().collect();
            }),
            Deed::Move(to) => self.move_to(&id, *to, now),
            Deed::OptOut { hidden } => {
                let hidden = *hidden && self.has(Quirk::HiddenChanges);
                self.say(&id, ConsentState::Unsubscribed, hidden, now)
            }
            Deed::OptIn => self.say(&id, ConsentState::Subscribed, false, now),
            Deed::Bounce => self.change(&id, By::User, now, false, |version| {
                version.bounced = Some(now);
            }),
            Deed::Delete => self.stand(&id, Standing::Deleted, now),
            Deed::Archive => self.config.can_archive && self.stand(&id, Standing::Archived, now),
            Deed::Leave => self.stand(&id, Standing::OutOfScope, now),
            Deed::Restore | Deed::Enter => {
                let address = self.now(&id).and_then(|version| version.address());
                let free = !self.has(Quirk::UniqueAddress)
                    || address.is_none_or(|address| self.holders(&address).next().is_none());
                free && self.stand(&id, Standing::Live, now)
            }
            Deed::Absorb(other) => match self.record_of(*other, live) {
                Some(loser) if loser != id => {
                    self.merge(&loser, &id, now);
                    true
                }
                _ => false,
            },
        }
    }

    fn arrive(
        &mut self,
        person: usize,
        number: u32,
        sloppy: bool,
        said: Option<&ConsentState>,
        now: Millis,
    ) -> bool {
        let address = address(person, sloppy);
        let plain = format!("p{person}@example.org");
        // People do not make a second record of somebody on purpose where the first is there.
        let known = self.record_of(person, |standing| *standing == Standing::Live);
        if known.is_some()
            || (self.has(Quirk::UniqueAddress) && self.holders(&plain).next().is_some())
        {
            return false;
        }
        let mut values = nothing();
        values[Field::Email.index()] = address;
        for field in [Field::Name, Field::Phone, Field::Note] {
            if (number >> field.index()) & 1 == 0 || field == Field::Name {
                values[field.index()] = value(field, number);
            }
        }
        let id = self.create(person, None, By::User, now, values);
        if let Some(said) = said {
            self.say(&id, said.clone(), false, now);
        }
        true
    }

    fn move_to(&mut self, id: &RecordId, to: Address, now: Millis) -> bool {
        let new = match to {
            Address::Fresh(number) => value(Field::Email, number),
            Address::Of(person) => {
                let other = self.record_of(person, |standing| *standing == Standing::Live);
                match other {
                    Some(other) if other != *id && !self.has(Quirk::UniqueAddress) => self
                        .now(&other)
                        .map(|version| version.values[Field::Email.index()].clone())
                        .unwrap_or_default(),
                    // Here nobody is: the address is one that another system knows.
                    None => address(person, false),
                    _ => return false,
                }
            }
        };
        let taken = crate::field::plain(Field::Email, &new);
        if let crate::field::Plain::Text(text) = taken
            && self.has(Quirk::UniqueAddress)
            && self.holders(&text).any(|holder| holder != id)
        {
            return false;
        }
        self.change(id, By::User, now, false, |version| {
            version.values[Field::Email.index()] = new;
        })
    }

    fn say(&mut self, id: &RecordId, state: ConsentState, hidden: bool, now: Millis) -> bool {
        self.change(id, By::User, now, hidden, |version| {
            if version.said.state != state {
                version.said = Said {
                    state,
                    at: Some(now),
                    evidence: Some("a form".to_owned()),
                };
            }
        })
    }

    fn stand(&mut self, id: &RecordId, standing: Standing, now: Millis) -> bool {
        self.change(id, By::User, now, false, |version| {
            version.standing = standing;
        })
    }
}
