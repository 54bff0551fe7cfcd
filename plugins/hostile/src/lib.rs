//! A connector that does everything a connector must not do. The sandbox's tests bind it to an account whose settings
//! choose the deed, and see what the host does about it.
//!
//! | module | for |
//! | --- | --- |
//! | `settings` | every deed, and what a test can choose about it |
//! | `waste` | computing, memory, recursion, log lines without end |
//! | `garbage` | results that cannot be used |
//! | `reach` | requests, signatures, a search of the whole memory |
//! | `wasi` | what a language with WASI could see and use up |
//! | `describe` | deeds while nothing is granted |

mod describe;
mod garbage;
mod reach;
mod settings;
mod wasi;
mod waste;

use samspel_connector::fields::{Fields, Selection};
use samspel_connector::{
    ChangesRequest, Collection, Connector, Descriptor, Entity, Failure, Fetched, Identity, Outcome,
    Page, RecordId, Result, Value, WriteOp, json,
};

use crate::settings::{Mode, Settings};

/// The name of the one collection.
pub(crate) const THINGS: &str = "things";

/// The guest that one does not want to have.
#[derive(Debug)]
pub struct Hostile {
    settings: Settings,
}

samspel_connector::export!(Hostile);

impl Connector for Hostile {
    type Settings = Settings;

    const COLLECTIONS: &'static [&'static str] = &[THINGS];

    fn describe() -> Descriptor {
        describe::describe()
    }

    fn open(settings: Settings) -> Result<Self> {
        Ok(Self { settings })
    }

    fn check(&self) -> Result<Identity> {
        Ok(Identity {
            id: "hostile".to_owned(),
            label: self.settings.text.clone(),
        })
    }

    fn collections(&self) -> Result<Vec<Collection>> {
        Ok(vec![garbage::collection(&self.settings)])
    }

    fn changes(&self, _request: ChangesRequest) -> Result<Page> {
        match self.settings.mode {
            Mode::Records => Ok(garbage::records(self.amount())),
            Mode::Tombstones => Ok(garbage::tombstones(self.amount())),
            Mode::Thing => Ok(garbage::thing(&self.settings.thing)),
            Mode::LargeRecord => Ok(garbage::large_record(self.amount())),
            Mode::Cursor => Ok(garbage::cursor(self.amount())),
            Mode::Betray => {
                let loot = json!(reach::ask(&self.settings.requests)).to_string();
                reach::tell(&loot);
                Err(Failure::Other(loot))
            }
            _ => Ok(report(self.act())),
        }
    }

    fn fetch(
        &self,
        _collection: &str,
        ids: Vec<RecordId>,
        _selection: &Selection,
        _consents: bool,
    ) -> Result<Vec<Fetched>> {
        Ok(garbage::fetched(self.count_or(ids.len())))
    }

    fn find(
        &self,
        _collection: &str,
        _field: &str,
        values: Vec<String>,
    ) -> Result<Vec<Vec<Entity>>> {
        Ok(vec![Vec::new(); self.count_or(values.len())])
    }

    fn write(&self, _collection: &str, writes: Vec<WriteOp>) -> Result<Vec<Outcome>> {
        // What was sent may have been executed: how the call ends changes nothing about that.
        reach::ask(&self.settings.requests);
        if self.settings.mode == Mode::Panic {
            panic(&self.settings.text);
        }
        Ok(vec![Outcome::Gone; self.count_or(writes.len())])
    }
}

impl Hostile {
    fn amount(&self) -> u64 {
        self.settings.amount.unwrap_or(u64::MAX)
    }

    fn count_or(&self, asked: usize) -> usize {
        match self.settings.mode {
            Mode::Count => usize::try_from(self.amount()).unwrap_or(usize::MAX),
            _ => asked,
        }
    }

    fn act(&self) -> Value {
        let settings = &self.settings;
        match settings.mode {
            Mode::Compute => json!(waste::compute(settings.amount)),
            Mode::AskTheTime => json!(waste::ask_the_time(settings.amount)),
            Mode::Wait => {
                wasi::wait(self.amount());
                json!("waited")
            }
            Mode::Allocate => json!(waste::allocate(self.amount())),
            Mode::Grab => json!(waste::grab(self.amount())),
            Mode::Recurse => json!(waste::recurse(self.amount())),
            Mode::Panic => panic(&settings.text),
            Mode::Exit => {
                wasi::leave();
                json!("still here")
            }
            Mode::Log => json!(waste::log(&settings.text, self.amount())),
            Mode::LongLine => json!(waste::long_line(self.amount())),
            Mode::Pollables => json!(wasi::pollables(self.amount())),
            Mode::Sockets => json!(wasi::sockets(self.amount())),
            Mode::Random => json!(wasi::random(self.amount())),
            Mode::Ask => json!(reach::ask(&settings.requests)),
            Mode::AskAtOnce => json!(reach::ask_at_once(&settings.requests)),
            Mode::Flood => reach::flood(settings, self.amount()),
            Mode::Look => wasi::look(),
            Mode::Search => json!({
                "answers": reach::ask(&settings.requests),
                "found": reach::search(&settings.needles),
            }),
            Mode::Sign => reach::sign(&settings.text),
            _ => Value::Null,
        }
    }
}

#[expect(clippy::panic, reason = "this is the deed")]
fn panic(text: &str) -> ! {
    panic!("{text}")
}

/// One record that says what came of a deed.
fn report(of: Value) -> Page {
    Page {
        records: vec![Entity::new("report", Fields::new().with("report", of))],
        ..garbage::page()
    }
}
