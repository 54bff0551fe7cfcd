//! The two collections and the Odoo models behind them, as this database has them.

use samspel_connector::{
    Access, Capabilities, Collection, ConsentSlot, DeleteVisibility, DeliverabilitySupport,
    Failure, Field, Result, Role, json,
};

use crate::fields::{ATTRIBUTES, FieldInfos, Offered, offered};
use crate::rpc::{Call, Refusal};
use crate::session::{CallError, Row, Session};
use crate::settings::Settings;
use crate::values::Kind;

/// Contacts.
pub const PARTNERS: &str = "partners";
/// Contacts of mailing lists.
pub const MAILING_CONTACTS: &str = "mailing-contacts";

/// Most rows of a page. A contact with all standard fields is about 2 kB.
pub const MAX_PAGE: u32 = 1_000;
const MAX_FETCH: u32 = 500;
const MAX_FIND: u32 = 100;
/// Odoo 11 creates about 60 contacts a second in one import, and changes about 40.
const MAX_WRITE: u32 = 100;

/// Where a model keeps an opt-out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptOut {
    /// A stored boolean on the record (Odoo up to 11), with or without the time it was set.
    Field {
        /// `unsubscription_date` tells when.
        dated: bool,
    },
    /// The address is on `mail.blacklist`, which the record's computed `is_blacklisted` tells (Odoo 12 and later).
    Blacklist,
}

/// A model of this database.
#[derive(Debug)]
pub struct Model {
    /// Odoo's name: `res.partner`.
    pub name: String,
    /// The collection's name.
    pub collection: &'static str,
    /// What is offered.
    pub fields: Vec<Offered>,
    /// Rows can be archived.
    pub archivable: bool,
    /// Where opt-outs are.
    pub opt_out: Option<OptOut>,
    /// Bounces are counted in `message_bounce`.
    pub bounces: bool,
}

impl Model {
    /// The model behind a collection, or `None` if the app that brings it is not installed.
    pub fn find(session: &Session, collection: &str) -> Result<Option<Self>> {
        let (collection, candidates): (&'static str, &[&str]) = match collection {
            PARTNERS => (PARTNERS, &["res.partner"]),
            // Renamed in Odoo 13.
            _ => (
                MAILING_CONTACTS,
                &["mailing.contact", "mail.mass_mailing.contact"],
            ),
        };
        let calls: Vec<Call> = candidates.iter().map(|model| fields_get(model)).collect();
        for (name, answer) in candidates.iter().zip(session.call_all(&calls)) {
            match answer {
                Ok(infos) => {
                    let infos: FieldInfos = samspel_connector::serde_json::from_value(infos)
                        .map_err(|error| {
                            Failure::Bug(format!(
                                "`{name}.fields_get` answered something unexpected: {error}"
                            ))
                        })?;
                    return Ok(Some(Self::new(name, collection, &infos)));
                }
                Err(CallError::Refused(Refusal::NoSuchModel(_))) => {}
                Err(error) => return Err(error.into_failure()),
            }
        }
        Ok(None)
    }

    /// The model behind a collection that the host knows.
    pub fn get(session: &Session, collection: &str) -> Result<Self> {
        Self::find(session, collection)?.ok_or_else(|| {
            Failure::Other(format!(
                "this database has no `{collection}`; install Odoo's app for e-mail marketing"
            ))
        })
    }

    fn new(name: &str, collection: &'static str, infos: &FieldInfos) -> Self {
        let stored = |field: &str| infos.get(field).is_some_and(|info| info.store);
        let opt_out = if stored("opt_out") {
            Some(OptOut::Field {
                dated: stored("unsubscription_date"),
            })
        } else {
            infos
                .contains_key("is_blacklisted")
                .then_some(OptOut::Blacklist)
        };
        Self {
            name: name.to_owned(),
            collection,
            fields: offered(infos),
            archivable: stored("active"),
            opt_out,
            bounces: stored("message_bounce"),
        }
    }

    /// An offered field.
    pub fn field(&self, name: &str) -> Option<&Offered> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// What every row is asked for besides the fields that the host wants.
    pub fn bookkeeping(&self) -> Vec<String> {
        let mut names = vec!["write_date"];
        if self.archivable {
            names.push("active");
        }
        match self.opt_out {
            Some(OptOut::Field { dated }) => {
                names.push("opt_out");
                if dated {
                    names.push("unsubscription_date");
                }
            }
            Some(OptOut::Blacklist) => names.push("is_blacklisted"),
            None => {}
        }
        if self.bounces {
            names.push("message_bounce");
        }
        names.into_iter().map(str::to_owned).collect()
    }

    /// The condition on the rows that belong to the collection.
    pub fn filter<'a>(&self, settings: &'a Settings) -> &'a [samspel_connector::Value] {
        if self.collection == PARTNERS {
            &settings.partner_filter
        } else {
            &[]
        }
    }

    /// The collection as the host sees it.
    pub fn describe(&self, session: &Session) -> Result<Collection> {
        let defaults = self.defaults(session)?;
        let fields = self
            .fields
            .iter()
            .map(|field| describe(field, self, &defaults))
            .collect();
        Ok(Collection {
            name: self.collection.to_owned(),
            title: match self.collection {
                PARTNERS => "Contacts".to_owned(),
                _ => "Mailing contacts".to_owned(),
            },
            fields,
            consent_slots: self.opt_out.iter().map(slot).collect(),
            deliverability: if self.bounces {
                DeliverabilitySupport::ReadWrite
            } else {
                DeliverabilitySupport::None
            },
            capabilities: Capabilities {
                incremental: true,
                deletes: DeleteVisibility::ByListing,
                // Tags changed from the tag's side, recomputed stored fields and the blacklist leave `write_date` as
                // it is, and a transaction may run for longer than the overlap.
                hidden_changes: true,
                preconditions: false,
                findable: self
                    .fields
                    .iter()
                    .filter(|field| field.kind == Kind::Text)
                    .map(|field| field.name.clone())
                    .collect(),
                max_page: MAX_PAGE,
                max_fetch: MAX_FETCH,
                max_find: MAX_FIND,
                max_write: MAX_WRITE,
                can_create: true,
                can_archive: self.archivable,
                can_delete: true,
            },
        })
    }

    /// Odoo's own values for required fields that a create leaves out.
    fn defaults(&self, session: &Session) -> Result<Row> {
        let required: Vec<&str> = self
            .fields
            .iter()
            .filter(|field| field.required)
            .map(|field| field.name.as_str())
            .collect();
        if required.is_empty() {
            return Ok(Row::new());
        }
        session.read(&Call {
            model: self.name.clone(),
            method: "default_get",
            args: vec![json!(required)],
            kwargs: json!({}),
        })
    }
}

fn fields_get(model: &str) -> Call {
    Call {
        model: model.to_owned(),
        method: "fields_get",
        args: Vec::new(),
        kwargs: json!({"attributes": ATTRIBUTES}),
    }
}

fn describe(field: &Offered, model: &Model, defaults: &Row) -> Field {
    // A constraint of the database, which `fields_get` does not tell: contacts need a name.
    let required = field.required || (model.collection == PARTNERS && field.name == "name");
    let described = Field {
        required: required && !defaults.contains_key(&field.name),
        ..Field::new(&field.name, &field.title, field.kind.schema())
    };
    let described = if field.read_only {
        described.access(Access::ReadOnly)
    } else {
        described
    };
    match field.name.as_str() {
        "email" => described.role(Role::Email),
        "phone" | "mobile" => described.role(Role::Phone),
        "name" => described.role(Role::DisplayName),
        _ => described,
    }
}

fn slot(opt_out: &OptOut) -> ConsentSlot {
    ConsentSlot {
        // Whoever removes an address from the blacklist must give Odoo a reason: that is left to people.
        can_grant: matches!(opt_out, OptOut::Field { .. }),
        ..ConsentSlot::marketing("email")
    }
}
