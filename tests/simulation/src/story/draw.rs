//! Drawing a story from a seed.

use samspel_model::{ConsentState, Extent, Side};

use crate::agreement::Agreement;
use crate::chance::{Chance, Stream};
use crate::failpoint::{Failpoint, WritePoint};
use crate::field::Field;
use crate::people::{Address, Deed, PeopleAct};
use crate::quirk::{Quirk, Quirks};
use crate::story::{Act, Call, Fault, Step, Story};
use crate::systems::SystemConfig;
use crate::time::Millis;

const SECOND: Millis = 1_000;
const MINUTE: Millis = 60 * SECOND;
const HOUR: Millis = 60 * MINUTE;

impl Story {
    /// The story of a seed.
    pub fn draw(seed: u64) -> Self {
        let mut chance = Chance::new(seed, Stream::Story);
        let three = chance.percent(35);
        let names = ["crm", "mail", "shop"];
        let count = if three { 3 } else { 2 };
        let systems: Vec<SystemConfig> = names
            .into_iter()
            .take(count)
            .map(|name| system(&mut chance, name))
            .collect();
        let mut agreements = vec![Agreement::draw(&mut chance, "a-b", [0, 1])];
        if three {
            agreements.push(Agreement::draw(&mut chance, "a-c", [0, 2]));
        }
        for agreement in &mut agreements {
            // A sync that is to archive where nothing can be archived is refused.
            agreement.archive &= agreement
                .systems
                .iter()
                .any(|system| systems[*system].can_archive);
        }
        let crowd = chance.percent(4);
        let mut teller = Teller {
            persons: if crowd {
                chance.between(14, 26) as usize
            } else {
                chance.between(3, 10) as usize
            },
            systems: count,
            syncs: agreements.len(),
            calm: chance.percent(25),
            number: 0,
            steps: Vec::new(),
            chance,
        };
        teller.beginning();
        let rounds = teller.chance.between(4, 8);
        for round in 0..rounds {
            teller.round();
            if crowd && round == 1 {
                teller.exodus();
            }
            if round == 2 {
                match teller.chance.below(100) {
                    0..=3 => teller.quarrel(),
                    4..=7 => teller.influx(),
                    _ => {}
                }
            }
        }
        let mut steps = teller.steps;
        meeting(seed, &mut steps);
        Self {
            seed,
            systems,
            agreements,
            steps,
        }
    }
}

/// In some stories a process stands still in the middle of a run, for longer than its lease: another one takes its
/// place, and the two meet.
fn meeting(seed: u64, steps: &mut Vec<Step>) {
    let mut chance = Chance::new(seed, Stream::Meeting);
    if !chance.percent(4) {
        return;
    }
    let runs: Vec<(usize, usize)> = steps
        .iter()
        .enumerate()
        .filter_map(|(at, step)| match step.act {
            Act::Run { sync, .. } => Some((at, sync)),
            _ => None,
        })
        .collect();
    if runs.is_empty() {
        return;
    }
    let (at, sync) = *chance.of(&runs);
    let stall = Step {
        after: Millis::from(chance.between(5, 120)),
        act: Act::Stall(Millis::from(chance.between(66_000, 67_000))),
    };
    let run = Step {
        after: Millis::from(chance.between(65_000, 66_900)),
        act: Act::Run { sync, full: false },
    };
    steps.splice(at + 1..=at, [stall, run]);
}

fn system(chance: &mut Chance, name: &'static str) -> SystemConfig {
    let mut quirks = Quirks::default();
    for (quirk, percent) in [
        (Quirk::IndexLag, 30),
        (Quirk::Normalises, 35),
        (Quirk::WholeSeconds, 30),
        (Quirk::HiddenChanges, 20),
        (Quirk::IdempotentCreate, 40),
        (Quirk::ForgetsConsent, 20),
        (Quirk::ComplianceState, 25),
        (Quirk::BumpsUnchanged, 25),
        (Quirk::PageOverlap, 30),
        (Quirk::MovingPages, 30),
        (Quirk::PartialAnswer, 30),
        (Quirk::NoConsentDate, 12),
        (Quirk::StampsConsent, 25),
    ] {
        if chance.percent(percent) {
            quirks.with(quirk);
        }
    }
    quirks.with(*chance.of(&[
        Quirk::NoRevisions,
        Quirk::OpaqueRevisions,
        Quirk::OrderedRevisions,
        Quirk::OrderedRevisions,
    ]));
    for (percent, this, that) in [
        (40, Quirk::DeletesByListing, Quirk::DeletesReported),
        (50, Quirk::MergedAnswersSurvivor, Quirk::MergedIsGone),
        (55, Quirk::UniqueAddress, Quirk::DuplicatesAllowed),
    ] {
        quirks.with(if chance.percent(percent) { this } else { that });
    }
    if quirks.has(Quirk::UniqueAddress) && chance.percent(30) {
        quirks.with(Quirk::DuplicateUnnamed);
    }
    if !quirks.has(Quirk::NoRevisions) && chance.percent(50) {
        quirks.with(Quirk::Preconditions);
    } else {
        quirks.with(Quirk::NoPreconditions);
    }
    SystemConfig {
        name,
        quirks,
        lag: Millis::from(chance.between(200, 20_000)),
        page: chance.between(1, 6),
        batch: chance.between(1, 6),
        latency: chance.between(1, 40),
        can_archive: chance.percent(85),
        takes_bounces: chance.percent(75),
    }
}

/// Tells a story, act by act.
struct Teller {
    chance: Chance,
    persons: usize,
    systems: usize,
    syncs: usize,
    /// Nothing goes wrong but what the systems are like.
    calm: bool,
    number: u32,
    steps: Vec<Step>,
}

impl Teller {
    fn tell(&mut self, after: Millis, act: Act) {
        self.steps.push(Step { after, act });
    }

    fn number(&mut self) -> u32 {
        self.number += 1;
        self.number
    }

    fn system(&mut self) -> usize {
        self.chance.below(self.systems as u32) as usize
    }

    fn person(&mut self) -> usize {
        self.chance.below(self.persons as u32) as usize
    }

    /// Who is there before anything is synced.
    fn beginning(&mut self) {
        for person in 0..self.persons {
            let everywhere = self.chance.percent(45);
            let home = self.system();
            for system in 0..self.systems {
                if everywhere || system == home {
                    self.arrive(0, system, person);
                }
            }
        }
        if self.chance.percent(70) {
            self.tell(5 * MINUTE, Act::People(nobody()));
        }
    }

    fn arrive(&mut self, after: Millis, system: usize, person: usize) {
        let number = self.number();
        let sloppy = self.chance.percent(30);
        let said = match self.chance.below(10) {
            0..=3 => Some(ConsentState::Subscribed),
            4 => Some(ConsentState::Unsubscribed),
            _ => None,
        };
        self.people(
            after,
            system,
            person,
            Deed::Arrive {
                number,
                sloppy,
                said,
            },
        );
    }

    fn people(&mut self, after: Millis, system: usize, person: usize, deed: Deed) {
        self.tell(
            after,
            Act::People(PeopleAct {
                system,
                person,
                deed,
            }),
        );
    }

    /// Some acts, a run, what happens meanwhile, and a pause.
    fn round(&mut self) {
        for _ in 0..self.chance.below(4) {
            let after = self.short();
            self.deed(after);
        }
        if !self.calm {
            for _ in 0..self.chance.weighted(&[30, 40, 20, 10]) {
                self.trouble();
            }
        }
        let sync = self.chance.below(self.syncs as u32) as usize;
        let full = self.chance.percent(12);
        let after = self.short();
        let act = if self.chance.percent(8) {
            let heal = self.chance.percent(40);
            Act::Verify { sync, heal }
        } else if self.chance.percent(4) {
            let back = self.chance.below(2);
            Act::Undo { sync, back }
        } else {
            Act::Run { sync, full }
        };
        self.tell(after, act);
        if self.syncs > 1 && self.chance.percent(60) {
            let after = self.meanwhile();
            self.tell(
                after,
                Act::Run {
                    sync: 1 - sync,
                    full: false,
                },
            );
        }
        for _ in 0..self.chance.weighted(&[30, 30, 20, 15, 5]) {
            let after = self.meanwhile();
            self.deed(after);
        }
        if !self.calm && self.chance.percent(20) {
            let after = Millis::from(self.chance.below(150));
            self.tell(after, Act::Stop { sync });
        }
        if self.chance.percent(25) {
            let side = *self.chance.of(&Side::BOTH);
            let mut persons: Vec<usize> = (0..self.chance.between(1, 3))
                .map(|_| self.person())
                .collect();
            if self.chance.percent(50) {
                persons.push(persons[0]);
            }
            let extent = if self.chance.percent(40) {
                Extent::Values
            } else {
                Extent::Whole
            };
            let after = self.short();
            self.tell(
                after,
                Act::Hints {
                    sync,
                    side,
                    persons,
                    extent,
                },
            );
        }
        if self.chance.percent(35) {
            let number = self.chance.below(1000);
            let after = self.short();
            self.tell(after, Act::Operate { sync, number });
        }
        let pause = match self.chance.weighted(&[40, 40, 20]) {
            0 => Millis::from(self.chance.between(1, 30)) * SECOND,
            1 => Millis::from(self.chance.between(1, 50)) * MINUTE,
            _ => Millis::from(self.chance.between(1, 30)) * HOUR,
        };
        self.tell(pause, Act::People(nobody()));
    }

    /// Many leave at once: what the valves are for.
    fn exodus(&mut self) {
        let system = self.system();
        let deed = self
            .chance
            .of(&[
                Deed::Delete,
                Deed::Archive,
                Deed::Leave,
                Deed::Clear(Field::Name),
            ])
            .clone();
        for person in 0..self.persons {
            self.people(1, system, person, deed.clone());
        }
    }

    /// Two remotes rewrite each other's values, again and again.
    fn quarrel(&mut self) {
        let person = self.person();
        let sync = self.chance.below(self.syncs as u32) as usize;
        let (this, that) = (0, sync + 1);
        let numbers = [self.number(), self.number()];
        for _ in 0..6 {
            for (system, number) in [(this, numbers[0]), (that, numbers[1])] {
                let edit = Deed::Edit {
                    field: Field::Name,
                    number,
                    hidden: false,
                };
                self.people(30 * SECOND, system, person, edit);
                let act = Act::Run { sync, full: false };
                self.tell(30 * SECOND, act);
            }
        }
    }

    /// Many arrive at once.
    fn influx(&mut self) {
        let system = self.system();
        for person in 0..self.chance.between(4, 8) {
            self.arrive(1, system, 100 + person as usize);
        }
    }

    /// A delay in which a run goes on.
    fn meanwhile(&mut self) -> Millis {
        Millis::from(self.chance.below(400))
    }

    fn short(&mut self) -> Millis {
        match self.chance.below(3) {
            0 => Millis::from(self.chance.below(50)),
            1 => Millis::from(self.chance.below(5_000)),
            _ => Millis::from(self.chance.below(300)) * SECOND,
        }
    }

    fn deed(&mut self, after: Millis) {
        let (system, person) = (self.system(), self.person());
        let hidden = self.chance.percent(25);
        let field = *self.chance.of(&[
            Field::Name,
            Field::Phone,
            Field::Tags,
            Field::Tags,
            Field::Note,
        ]);
        let deed = match self
            .chance
            .weighted(&[10, 25, 10, 5, 4, 8, 9, 7, 3, 4, 4, 5, 3, 3, 4])
        {
            0 => return self.arrive(after, system, person),
            1 => Deed::Edit {
                field,
                number: self.number(),
                hidden,
            },
            2 => {
                let number = self.number();
                let edit = |number| Deed::Edit {
                    field,
                    number,
                    hidden: false,
                };
                self.people(after, 0, person, edit(number));
                let number = self.number();
                let other = 1 + self.chance.below(self.systems as u32 - 1) as usize;
                let after = Millis::from(self.chance.below(200_000));
                return self.people(after, other, person, edit(number));
            }
            3 => Deed::Clear(field),
            4 => Deed::Untag,
            5 => Deed::Move(if self.chance.percent(65) {
                Address::Fresh(self.number())
            } else {
                Address::Of(self.person())
            }),
            6 => Deed::OptOut { hidden },
            7 => Deed::OptIn,
            8 => Deed::Bounce,
            9 => Deed::Delete,
            10 => Deed::Archive,
            11 => Deed::Restore,
            12 => Deed::Leave,
            13 => Deed::Enter,
            _ => Deed::Absorb(self.person()),
        };
        self.people(after, system, person, deed);
    }

    fn trouble(&mut self) {
        let system = self.system();
        let act = match self.chance.weighted(&[40, 45, 5, 4, 4, 3]) {
            0 => Act::Crash {
                at: self.failpoint(),
                after: self.chance.weighted(&[60, 25, 15]) as u32,
            },
            1 => Act::Fault(self.fault(system)),
            2 => Act::StoreFails {
                after: self.chance.below(8),
            },
            3 => Act::Swap {
                system,
                reads_old: self.chance.percent(40),
            },
            4 => Act::Jump(if self.chance.percent(50) {
                Millis::from(self.chance.between(1, 20)) * HOUR
            } else {
                -Millis::from(self.chance.between(1, 30)) * MINUTE
            }),
            _ => Act::Stall(Millis::from(self.chance.between(61, 200)) * SECOND),
        };
        self.tell(0, act);
    }

    fn failpoint(&mut self) -> Failpoint {
        if self.chance.percent(35) {
            return Failpoint::Write(*self.chance.of(&[
                WritePoint::NotApplied,
                WritePoint::BetweenItems,
                WritePoint::WithinCreate,
                WritePoint::NotAnswered,
            ]));
        }
        *self.chance.of(&Failpoint::all())
    }

    fn fault(&mut self, system: usize) -> Fault {
        const WRITES: [Quirk; 11] = [
            Quirk::ItemRejected,
            Quirk::ItemDeferred,
            Quirk::ThrottledFor,
            Quirk::ThrottledBare,
            Quirk::TimeoutApplied,
            Quirk::TimeoutApplied,
            Quirk::TimeoutNotApplied,
            Quirk::UnknownItem,
            Quirk::Unavailable,
            Quirk::Trap,
            Quirk::HalfCreate,
        ];
        const READS: [Quirk; 4] = [
            Quirk::ThrottledFor,
            Quirk::ThrottledBare,
            Quirk::TimeoutNotApplied,
            Quirk::Unavailable,
        ];
        let call = *self.chance.of(&[
            Call::Write,
            Call::Write,
            Call::Write,
            Call::Changes,
            Call::Changes,
            Call::Fetch,
            Call::Find,
            Call::Collections,
        ]);
        let quirk = match call {
            Call::Write => *self.chance.of(&WRITES),
            Call::Changes if self.chance.percent(50) => {
                *self.chance.of(&[Quirk::ExpiredCursor, Quirk::SnapshotCut])
            }
            Call::Fetch if self.chance.percent(50) => Quirk::FetchFailed,
            _ => *self.chance.of(&READS),
        };
        Fault {
            system,
            call,
            after: self.chance.weighted(&[50, 25, 15, 10]) as u32,
            quirk,
            number: self.chance.below(1000),
        }
    }
}

/// An act that does nothing, so that time passes.
fn nobody() -> PeopleAct {
    PeopleAct {
        system: 0,
        person: usize::MAX,
        deed: Deed::Untag,
    }
}
