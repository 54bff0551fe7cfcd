//! Samspel connector for Ghost: members, their newsletters and whether mail reaches them, over the Admin API.
//!
//! | module | for |
//! | --- | --- |
//! | `token`, `api` | signing, requests, shapes, what each error means |
//! | `consent` | which newsletters consent is about, and what a member's newsletters say |
//! | `record` | a member as a record, and back |
//! | `cursor`, `read` | the feeds of changes, listings |
//! | `write` | writing |
//! | `hooks` | notifications |

mod api;
mod consent;
mod cursor;
mod hooks;
mod read;
mod record;
mod settings;
#[cfg(test)]
mod tests;
mod token;
mod write;

use samspel_connector::fields::Selection;
use samspel_connector::hooks::{HookDescriptor, HookRequest, Hooked, Receipt, Subscription};
use samspel_connector::{
    AuthKind, AuthScheme, Capabilities, ChangesRequest, Collection, Connector, ConsentSlot,
    DeleteVisibility, DeliverabilitySupport, Descriptor, EgressRule, Entity, Failure, Fetched,
    Identity, KeyEncoding, Outcome, Page, RateLimit, RecordId, Result, Signing, WriteOp, schema,
};

use crate::api::Api;
use crate::consent::Scope;
use crate::read::Reader;
use crate::settings::Settings;
use crate::write::Writer;

/// The one collection.
const MEMBERS: &str = "members";

/// A Ghost site.
#[derive(Debug)]
pub struct Ghost {
    settings: Settings,
}

samspel_connector::export_hooked!(Ghost);

impl Connector for Ghost {
    type Settings = Settings;

    const COLLECTIONS: &'static [&'static str] = &[MEMBERS];

    fn describe() -> Descriptor {
        Descriptor {
            name: "ghost".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            title: "Ghost".to_owned(),
            description:
                "Members of a Ghost site, their newsletters, and whether mail reaches them."
                    .to_owned(),
            collections: vec![MEMBERS.to_owned()],
            settings_schema: schema::of::<Settings>(),
            authentication: vec![
                AuthScheme::new(
                    token::CREDENTIAL,
                    "admin-api-key",
                    "The Admin API key of a custom integration: Ghost's settings, Integrations, \"Add custom \
                     integration\". It has two parts with a colon between them.",
                    AuthKind::Signing(Signing {
                        algorithms: vec!["hmac-sha256".to_owned()],
                        key_encoding: KeyEncoding::Hex,
                        key_id_separator: Some(":".to_owned()),
                    }),
                ),
                hooks::credential(),
            ],
            egress: vec![EgressRule::new(
                "{url}",
                &["GET", "POST", "PUT", "DELETE"],
                api::PATH,
            )],
            // Ghost states no limit for the Admin API; it is one process, which serves the site's readers too.
            rate_limits: vec![RateLimit::concurrent(4)],
            cursor_version: cursor::VERSION,
            cursor_versions_read: vec![cursor::VERSION],
        }
    }

    fn open(settings: Settings) -> Result<Self> {
        Ok(Self { settings })
    }

    fn check(&self) -> Result<Identity> {
        let api = Api::open(&self.settings)?;
        let site = api.site()?;
        // Everybody may read the site; this asks for the key, and checks the setting.
        self.scope(&api)?;
        Ok(Identity {
            label: format!("{} at {} (Ghost {})", site.title, site.url, site.version),
            id: site.site_uuid.unwrap_or(site.url),
        })
    }

    fn collections(&self) -> Result<Vec<Collection>> {
        let api = Api::open(&self.settings)?;
        let scope = self.scope(&api)?;
        let has_newsletter = !scope.about.is_empty();
        Ok(vec![Collection {
            name: MEMBERS.to_owned(),
            title: "Members".to_owned(),
            fields: record::fields(),
            consent_slots: has_newsletter
                .then(|| ConsentSlot::marketing("email"))
                .into_iter()
                .collect(),
            deliverability: DeliverabilitySupport::Read,
            capabilities: Capabilities {
                incremental: true,
                deletes: DeleteVisibility::ByListing,
                // A bulk unsubscribe, and a label that is added or removed, leave no trace in either feed.
                hidden_changes: true,
                preconditions: false,
                findable: vec!["email".to_owned()],
                max_page: read::MAX_PAGE,
                max_fetch: 200,
                max_find: 100,
                // Ghost creates about 11 members a second, and 2 on a busy machine. Each is a request of its own, so
                // that larger calls save little, and the host has several under way: Ghost must come through all of
                // them within the time that one may take.
                max_write: 10,
                can_create: true,
                can_archive: false,
                can_delete: true,
            },
        }])
    }

    fn changes(&self, request: ChangesRequest) -> Result<Page> {
        let api = Api::open(&self.settings)?;
        let scope = self.scope(&api)?;
        Reader::new(&api, &scope).changes(request)
    }

    fn fetch(
        &self,
        _collection: &str,
        ids: Vec<RecordId>,
        selection: &Selection,
        _consents: bool,
    ) -> Result<Vec<Fetched>> {
        let api = Api::open(&self.settings)?;
        let scope = self.scope(&api)?;
        Reader::new(&api, &scope).fetch(&ids, selection)
    }

    fn find(
        &self,
        _collection: &str,
        field: &str,
        values: Vec<String>,
    ) -> Result<Vec<Vec<Entity>>> {
        if field != "email" {
            return Err(Failure::Bug(format!(
                "members cannot be found by `{field}`, only by `email`"
            )));
        }
        let api = Api::open(&self.settings)?;
        let scope = self.scope(&api)?;
        Reader::new(&api, &scope).find(&values)
    }

    fn write(&self, _collection: &str, writes: Vec<WriteOp>) -> Result<Vec<Outcome>> {
        let api = Api::open(&self.settings)?;
        let scope = self.scope(&api)?;
        Writer::new(&api, &scope).write(&writes)
    }
}

impl Hooked for Ghost {
    fn describe_hooks() -> HookDescriptor {
        hooks::describe()
    }

    fn receive(&self, request: HookRequest) -> Result<Receipt> {
        hooks::receive(&request)
    }

    fn subscribe(&self, _collection: &str, url: &str) -> Result<Subscription> {
        hooks::subscribe(&Api::open(&self.settings)?, url)
    }

    fn unsubscribe(&self, id: &str) -> Result<()> {
        hooks::unsubscribe(&Api::open(&self.settings)?, id)
    }
}

impl Ghost {
    fn scope(&self, api: &Api) -> Result<Scope> {
        Scope::new(&api.newsletters()?, self.settings.newsletter.as_deref())
    }
}
