//! Samspel connector for Odoo: contacts (`res.partner`) and contacts of mailing lists, over JSON-RPC.
//!
//! | module | for |
//! | --- | --- |
//! | `rpc` | the wire: how a call and an error look |
//! | `session` | login, calls, what each failure means |
//! | `model`, `fields`, `values` | what this database's models hold, and their values |
//! | `cursor`, `read`, `record` | reading |
//! | `write` | writing |

mod cursor;
mod fields;
mod model;
mod read;
mod record;
mod rpc;
mod session;
mod settings;
#[cfg(test)]
mod tests;
mod values;
mod write;

use samspel_connector::fields::Selection;
use samspel_connector::{
    AuthKind, AuthScheme, BodyPosition, ChangesRequest, Collection, Connector, Descriptor,
    EgressRule, Entity, Failure, Fetched, Identity, Outcome, Page, RateLimit, RecordId, Result,
    WriteOp, schema,
};

use crate::model::{MAILING_CONTACTS, Model, PARTNERS};
use crate::read::Reader;
use crate::session::Session;
use crate::settings::Settings;
use crate::write::Writer;

/// An Odoo database.
#[derive(Debug)]
pub struct Odoo {
    settings: Settings,
}

samspel_connector::export!(Odoo);

impl Connector for Odoo {
    type Settings = Settings;

    const COLLECTIONS: &'static [&'static str] = &[PARTNERS, MAILING_CONTACTS];

    fn describe() -> Descriptor {
        Descriptor {
            name: "odoo".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            title: "Odoo".to_owned(),
            description: "Contacts and mailing contacts of an Odoo database, with custom fields, opt-outs and bounces."
                .to_owned(),
            collections: Self::COLLECTIONS.iter().map(|&name| name.to_owned()).collect(),
            settings_schema: schema::of::<Settings>(),
            authentication: vec![AuthScheme::new(
                session::CREDENTIAL,
                "password",
                "The user's password, or better an API key: in Odoo, the user's preferences, tab \"Account Security\", \
                 \"New API Key\" (Odoo 14 and later).",
                AuthKind::Body(vec![
                    position(&rpc::LOGIN_PINS),
                    position(&rpc::CALL_PINS),
                ]),
            )],
            egress: vec![EgressRule::new("{url}", &["POST"], rpc::PATH)],
            // Odoo states no limit. Its workers answer one request each, and people use them too.
            rate_limits: vec![RateLimit::concurrent(4)],
            cursor_version: cursor::VERSION,
            cursor_versions_read: vec![cursor::VERSION],
        }
    }

    fn open(settings: Settings) -> Result<Self> {
        Ok(Self { settings })
    }

    fn check(&self) -> Result<Identity> {
        let session = self.session()?;
        let version = session.version()?;
        Ok(Identity {
            id: format!(
                "{}/{}",
                self.settings.url.trim_end_matches('/'),
                self.settings.database
            ),
            label: format!(
                "{} as {} (Odoo {version})",
                self.settings.database, self.settings.login
            ),
        })
    }

    fn collections(&self) -> Result<Vec<Collection>> {
        let session = self.session()?;
        let mut collections = Vec::new();
        for name in Self::COLLECTIONS {
            if let Some(model) = Model::find(&session, name)? {
                collections.push(model.describe(&session)?);
            }
        }
        Ok(collections)
    }

    fn changes(&self, request: ChangesRequest) -> Result<Page> {
        let session = self.session()?;
        let model = Model::get(&session, &request.collection)?;
        Reader::new(&session, &model).changes(request)
    }

    fn fetch(
        &self,
        collection: &str,
        ids: Vec<RecordId>,
        selection: &Selection,
        _consents: bool,
    ) -> Result<Vec<Fetched>> {
        let session = self.session()?;
        let model = Model::get(&session, collection)?;
        Reader::new(&session, &model).fetch(&ids, selection)
    }

    fn find(&self, collection: &str, field: &str, values: Vec<String>) -> Result<Vec<Vec<Entity>>> {
        let session = self.session()?;
        let model = Model::get(&session, collection)?;
        if model.field(field).is_none() {
            return Err(Failure::Bug(format!(
                "{} has no field `{field}`",
                model.name
            )));
        }
        Reader::new(&session, &model).find(field, &values)
    }

    fn write(&self, collection: &str, writes: Vec<WriteOp>) -> Result<Vec<Outcome>> {
        let session = self.session()?;
        let model = Model::get(&session, collection)?;
        Writer::new(&session, &model).write(&writes)
    }
}

impl Odoo {
    fn session(&self) -> Result<Session<'_>> {
        Session::open(&self.settings)
    }
}

fn position(pins: &[(&str, &str)]) -> BodyPosition {
    BodyPosition {
        method: "POST".to_owned(),
        path: rpc::PATH.to_owned(),
        pointer: rpc::SECRET_POINTER.to_owned(),
        pinned: pins
            .iter()
            .map(|&(pointer, json)| (pointer.to_owned(), json.to_owned()))
            .collect(),
    }
}
