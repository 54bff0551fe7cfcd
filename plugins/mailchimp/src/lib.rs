//! The members of a Mailchimp audience.
//!
//! The facts that this connector relies on, and how sure they are, stand in its README.

mod api;
mod archived;
mod changes;
mod field;
mod hooks;
mod listing;
mod lookup;
mod member;
mod settings;
mod write;

use samspel_connector::fields::Selection;
use samspel_connector::hooks::{HookDescriptor, HookRequest, Hooked, Receipt, Subscription};
use samspel_connector::{
    AuthKind, AuthScheme, Capabilities, ChangesRequest, Collection, Connector, ConsentSlot,
    DeleteVisibility, DeliverabilitySupport, Descriptor, EgressRule, Entity, Failure, Fetched,
    Identity, Outcome, Page, RateLimit, RecordId, Result, WriteOp, schema,
};
use serde::Deserialize;

use api::Api;
use settings::Settings;

/// The one collection.
const MEMBERS: &str = "members";

/// The layout of cursors and page tokens.
const CURSOR_VERSION: u32 = 1;

const HELP_KEY: &str = "An API key: Mailchimp, Account, Extras, API keys. What stands after its dash is the setting `dc`.";

/// Mailchimp, bound to one audience.
pub struct Mailchimp {
    settings: Settings,
}

#[derive(Deserialize)]
struct Audience {
    id: String,
    #[serde(default)]
    name: String,
}

impl Connector for Mailchimp {
    type Settings = Settings;
    const COLLECTIONS: &'static [&'static str] = &[MEMBERS];

    fn describe() -> Descriptor {
        Descriptor {
            name: "mailchimp".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            title: "Mailchimp".to_owned(),
            description: "Members of a Mailchimp audience with merge fields, subscription status and bounces.".to_owned(),
            collections: vec![MEMBERS.to_owned()],
            settings_schema: schema::of::<Settings>(),
            authentication: vec![
                AuthScheme::new(
                    api::ACCESS,
                    "api-key",
                    HELP_KEY,
                    // The user's name is ignored by Mailchimp [V].
                    AuthKind::Basic(Some("samspel".to_owned())),
                ),
                AuthScheme::new(
                    api::ACCESS,
                    "bearer",
                    "An access token of a registered Mailchimp app, which does not expire.",
                    AuthKind::Bearer,
                ),
            ],
            egress: vec![EgressRule::new(
                api::ORIGIN,
                &["GET", "POST", "PATCH", "DELETE"],
                "/3.0/lists",
            )],
            rate_limits: vec![RateLimit::concurrent(api::CONNECTIONS)],
            cursor_version: CURSOR_VERSION,
            cursor_versions_read: vec![CURSOR_VERSION],
        }
    }

    fn open(settings: Settings) -> Result<Self> {
        Ok(Self { settings })
    }

    fn check(&self) -> Result<Identity> {
        let api = Api::new(&self.settings);
        let audience: Audience = api.read(api.audience().send())?.json()?;
        if audience.id != self.settings.list_id {
            return Err(Failure::Bug(
                "the answer is about another audience than the one asked for".to_owned(),
            ));
        }
        Ok(Identity {
            id: format!("{}/{}", self.settings.dc, audience.id),
            label: format!("Mailchimp audience {}", audience.name),
        })
    }

    fn collections(&self) -> Result<Vec<Collection>> {
        Ok(vec![Collection {
            name: MEMBERS.to_owned(),
            title: "Members".to_owned(),
            fields: field::all(&self.settings)?,
            consent_slots: vec![ConsentSlot::marketing(member::CHANNEL)],
            // Mailchimp alone decides who is cleaned.
            deliverability: DeliverabilitySupport::Read,
            capabilities: Capabilities {
                incremental: true,
                deletes: DeleteVisibility::Reported,
                // Members that were deleted for good leave no trace, and that a changed tag moves `last_changed` is
                // unverified.
                hidden_changes: true,
                preconditions: false,
                findable: vec![field::EMAIL.to_owned()],
                max_page: api::PAGE,
                max_fetch: 100,
                max_find: 100,
                max_write: 500,
                can_create: true,
                can_archive: true,
                can_delete: false,
            },
        }])
    }

    fn changes(&self, request: ChangesRequest) -> Result<Page> {
        changes::read(&self.settings, &request)
    }

    fn fetch(
        &self,
        _collection: &str,
        ids: Vec<RecordId>,
        selection: &Selection,
        _consents: bool,
    ) -> Result<Vec<Fetched>> {
        lookup::fetch(&self.settings, selection, &ids)
    }

    fn find(
        &self,
        _collection: &str,
        field: &str,
        values: Vec<String>,
    ) -> Result<Vec<Vec<Entity>>> {
        lookup::find(&self.settings, field, &values)
    }

    fn write(&self, _collection: &str, writes: Vec<WriteOp>) -> Result<Vec<Outcome>> {
        write::write(&self.settings, writes)
    }
}

impl Hooked for Mailchimp {
    fn describe_hooks() -> HookDescriptor {
        hooks::describe()
    }

    fn receive(&self, request: HookRequest) -> Result<Receipt> {
        hooks::receive(&self.settings, &request)
    }

    fn subscribe(&self, _collection: &str, url: &str) -> Result<Subscription> {
        hooks::subscribe(&self.settings, url)
    }

    fn unsubscribe(&self, id: &str) -> Result<()> {
        hooks::unsubscribe(&self.settings, id)
    }
}

samspel_connector::export_hooked!(Mailchimp);
