//! A connector with many versions. It has a fixed number of records, and reaches nothing.
//!
//! Which version it is and what is wrong with that is told by bytes inside the component, which a test overwrites:
//! `samspel-fickle:VERSION;DEED;`. The deeds: `plain` has none; `third` panics at the third page of accounts that are
//! `fragile`; `check` panics when it is asked who it is; `more` asks for another host and another credential; `denied`
//! asks for a host that it did not declare; `renames` reads names otherwise than the others; `nowhere` says that
//! changes can be read, and gives no position to read on from.

use std::hint::black_box;

use samspel_connector::fields::{Fields, Selection};
use samspel_connector::{
    Absence, Access, AuthKind, AuthScheme, Capabilities, ChangesRequest, Collection, Connector,
    DeleteVisibility, DeliverabilitySupport, Descriptor, EgressRule, Entity, Fetched, Field,
    Identity, JsonSchema, Outcome, Page, ReadMode, RecordId, Result, Role, WriteOp, http, schema,
    schemars,
};
use serde::Deserialize;

const THINGS: &str = "things";

/// Found by its first bytes.
static VERSION: [u8; 48] = *b"samspel-fickle:1.0.0;plain;_____________________";

const PREFIX: &str = "samspel-fickle:";

/// Records before the third page.
const TWO_PAGES: usize = 20;

fn version() -> (&'static str, &'static str) {
    // The compiler must not know what is written here.
    let bytes: &'static [u8] = black_box(&VERSION);
    let text = str::from_utf8(bytes).unwrap_or_default();
    let mut parts = text.strip_prefix(PREFIX).unwrap_or_default().split(';');
    (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    )
}

fn deed(name: &str) -> bool {
    version().1 == name
}

/// What a test chooses for an account.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "schemars")]
pub struct Settings {
    /// How many records there are.
    pub records: usize,
    /// Whether a version that is bad is so for this account.
    #[serde(default)]
    pub fragile: bool,
}

/// The connector.
#[derive(Debug)]
pub struct Fickle {
    settings: Settings,
}

samspel_connector::export!(Fickle);

#[expect(clippy::panic, reason = "this is the deed")]
fn fail() -> ! {
    panic!("this version is bad")
}

impl Fickle {
    fn record(number: usize) -> Entity {
        let name = if deed("renames") {
            format!("THING {number}")
        } else {
            format!("Thing {number}")
        };
        let fields = Fields::new()
            .with("key", format!("k{number}"))
            .with("name", name);
        Entity::new(number.to_string(), fields)
    }

    fn find_one(&self, id: &str) -> Option<Entity> {
        let number: usize = id.trim_start_matches('k').parse().ok()?;
        (number < self.settings.records).then(|| Self::record(number))
    }
}

impl Connector for Fickle {
    type Settings = Settings;

    const COLLECTIONS: &'static [&'static str] = &[THINGS];

    fn describe() -> Descriptor {
        let mut egress = vec![EgressRule::new("https://api.example.com", &["GET"], "/v1")];
        let mut authentication = Vec::new();
        if deed("more") {
            egress.push(EgressRule::new(
                "https://elsewhere.example.com",
                &["POST"],
                "/",
            ));
            authentication.push(AuthScheme::new(
                "access",
                "token",
                "Only a test has one.",
                AuthKind::Bearer,
            ));
        }
        Descriptor {
            name: "fickle".to_owned(),
            version: version().0.to_owned(),
            title: "Fickle".to_owned(),
            description: "Becomes another version by a few bytes.".to_owned(),
            collections: vec![THINGS.to_owned()],
            settings_schema: schema::of::<Settings>(),
            authentication,
            egress,
            rate_limits: Vec::new(),
            cursor_version: 1,
            cursor_versions_read: vec![1],
        }
    }

    fn open(settings: Settings) -> Result<Self> {
        Ok(Self { settings })
    }

    fn check(&self) -> Result<Identity> {
        if deed("check") {
            fail();
        }
        Ok(Identity {
            id: "fickle".to_owned(),
            label: version().0.to_owned(),
        })
    }

    fn collections(&self) -> Result<Vec<Collection>> {
        let field = |name: &str, roles: Vec<Role>| Field {
            name: name.to_owned(),
            title: name.to_owned(),
            schema: "{\"type\":\"string\"}".to_owned(),
            roles,
            access: Access::ReadWrite,
            required: false,
        };
        Ok(vec![Collection {
            name: THINGS.to_owned(),
            title: "Things".to_owned(),
            fields: vec![
                field("key", vec![Role::UniqueKey]),
                field("name", Vec::new()),
            ],
            consent_slots: Vec::new(),
            deliverability: DeliverabilitySupport::None,
            capabilities: Capabilities {
                incremental: deed("nowhere"),
                deletes: DeleteVisibility::ByListing,
                hidden_changes: false,
                preconditions: false,
                findable: vec!["key".to_owned()],
                max_page: 10,
                max_fetch: 10,
                max_find: 10,
                max_write: 10,
                can_create: true,
                can_archive: true,
                can_delete: true,
            },
        }])
    }

    fn changes(&self, request: ChangesRequest) -> Result<Page> {
        if deed("denied") && self.settings.fragile {
            for _ in 0..3 {
                // What is refused is counted; what the guest makes of it is its own affair.
                drop(http::get("https://undeclared.example.com/").send());
            }
        }
        let from = match &request.mode {
            ReadMode::Snapshot(Some(token)) => token.parse().unwrap_or(0),
            _ => 0,
        };
        if deed("third") && self.settings.fragile && from >= TWO_PAGES {
            fail();
        }
        let until = self.settings.records.min(from + request.limit as usize);
        let more = until < self.settings.records;
        Ok(Page {
            records: (from..until).map(Self::record).collect(),
            tombstones: Vec::new(),
            next: more.then(|| until.to_string()),
            more,
            resume_cursor: None,
            complete: !more,
        })
    }

    fn fetch(
        &self,
        _collection: &str,
        ids: Vec<RecordId>,
        _selection: &Selection,
        _consents: bool,
    ) -> Result<Vec<Fetched>> {
        let fetched = |id: &RecordId| match self.find_one(id) {
            Some(record) => Fetched::Found(record),
            None => Fetched::Absent(Absence::Deleted),
        };
        Ok(ids.iter().map(fetched).collect())
    }

    fn find(
        &self,
        _collection: &str,
        _field: &str,
        values: Vec<String>,
    ) -> Result<Vec<Vec<Entity>>> {
        let found = |value: &String| self.find_one(value).into_iter().collect();
        Ok(values.iter().map(found).collect())
    }

    fn write(&self, _collection: &str, writes: Vec<WriteOp>) -> Result<Vec<Outcome>> {
        Ok(writes.iter().map(|_| Outcome::Gone).collect())
    }
}
