//! HubSpot's contacts.
//!
//! The facts that this connector relies on, and how sure they are, stand in its README.

mod api;
mod consent;
mod contact;
mod hooks;
mod incremental;
mod lookup;
mod property;
mod reader;
mod settings;
mod snapshot;
mod write;

use samspel_connector::fields::Selection;
use samspel_connector::hooks::{HookDescriptor, HookRequest, Hooked, Receipt, Subscription};
use samspel_connector::{
    AuthKind, AuthScheme, Capabilities, ChangesRequest, Collection, Connector, ConsentSlot,
    DeleteVisibility, DeliverabilitySupport, Descriptor, EgressRule, Entity, Failure, Fetched,
    Identity, Oauth2, Outcome, Page, RateLimit, ReadMode, RecordId, Result, WriteOp, http, schema,
};
use serde::Deserialize;

use reader::Reader;
use settings::Settings;

/// The one collection.
const CONTACTS: &str = "contacts";

/// The layout of cursors and page tokens.
const CURSOR_VERSION: u32 = 1;

/// Ten pages of the list: a call of about a second.
const MAX_PAGE: u32 = 1_000;

/// Two batches, which go out side by side.
const MAX_WRITE: u32 = 200;

const HELP_TOKEN: &str = "The access token of a private app: HubSpot, Settings, Integrations, Private Apps. Scopes: \
    crm.objects.contacts.read, crm.objects.contacts.write, crm.schemas.contacts.read, \
    communication_preferences.read_write.";
const HELP_OAUTH: &str = "Connect a HubSpot app of your own by OAuth 2.0.";

/// HubSpot, bound to one account.
pub struct HubSpot {
    settings: Settings,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AccountDetails {
    portal_id: u64,
    #[serde(default)]
    ui_domain: Option<String>,
}

impl Connector for HubSpot {
    type Settings = Settings;
    const COLLECTIONS: &'static [&'static str] = &[CONTACTS];

    fn describe() -> Descriptor {
        Descriptor {
            name: "hubspot".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            title: "HubSpot".to_owned(),
            description:
                "Contacts of a HubSpot account with custom properties, e-mail consent and bounces."
                    .to_owned(),
            collections: vec![CONTACTS.to_owned()],
            settings_schema: schema::of::<Settings>(),
            authentication: vec![
                AuthScheme::new(
                    api::ACCESS,
                    "private-app-token",
                    HELP_TOKEN,
                    AuthKind::Bearer,
                ),
                AuthScheme::new(
                    api::ACCESS,
                    "oauth2",
                    HELP_OAUTH,
                    AuthKind::Oauth2(Oauth2 {
                        authorize_url: "https://app.hubspot.com/oauth/authorize".to_owned(),
                        token_url: format!("{}/oauth/v1/token", api::ORIGIN),
                        scopes: [
                            "oauth",
                            "crm.objects.contacts.read",
                            "crm.objects.contacts.write",
                            "crm.schemas.contacts.read",
                            "communication_preferences.read_write",
                        ]
                        .map(str::to_owned)
                        .to_vec(),
                    }),
                ),
                hooks::credential(),
            ],
            egress: vec![
                EgressRule::new(api::ORIGIN, &["GET"], "/account-info/v3/details"),
                EgressRule::new(api::ORIGIN, &["GET"], "/crm/v3/properties/contacts"),
                EgressRule::new(api::ORIGIN, &["GET", "POST"], "/crm/v3/objects/contacts"),
                EgressRule::new(
                    api::ORIGIN,
                    &["POST"],
                    "/communication-preferences/v4/statuses/batch",
                ),
            ],
            // Private apps of the larger plans [V]; smaller ones allow less, which 429 tells the host.
            rate_limits: vec![RateLimit::requests(190, 10_000)],
            cursor_version: CURSOR_VERSION,
            cursor_versions_read: vec![CURSOR_VERSION],
        }
    }

    fn open(settings: Settings) -> Result<Self> {
        Ok(Self {
            settings: settings.checked()?,
        })
    }

    /// Who the account is, and whether contacts may be read.
    fn check(&self) -> Result<Identity> {
        let [account, contacts] = <[_; 2]>::try_from(http::send_all([
            api::account(),
            api::list(None, 1, &[], false),
        ]))
        .map_err(|_| Failure::Bug("two requests need two answers".to_owned()))?;
        api::accept(contacts)?;
        let account: AccountDetails = api::accept(account)?.json()?;
        Ok(Identity {
            id: account.portal_id.to_string(),
            label: match account.ui_domain {
                Some(domain) => format!("HubSpot {} ({domain})", account.portal_id),
                None => format!("HubSpot {}", account.portal_id),
            },
        })
    }

    fn collections(&self) -> Result<Vec<Collection>> {
        let properties = property::all()?;
        if let Some(name) = &self.settings.bounce_property
            && !properties.iter().any(|property| property.name() == name)
        {
            return Err(Failure::setting(
                "bounce_property",
                format!("HubSpot has no contact property `{name}`; create it or correct the name"),
            ));
        }
        let unique = properties
            .iter()
            .filter(|property| property.is_unique())
            .map(|property| property.name().to_owned());
        let searched = properties
            .iter()
            .map(|property| property.name().to_owned())
            .filter(|name| lookup::is_searched(name));
        Ok(vec![Collection {
            name: CONTACTS.to_owned(),
            title: "Contacts".to_owned(),
            consent_slots: vec![ConsentSlot {
                can_grant: self.settings.subscription_id.is_some(),
                ..ConsentSlot::marketing(consent::CHANNEL)
            }],
            deliverability: match self.settings.bounce_property {
                Some(_) => DeliverabilitySupport::ReadWrite,
                None => DeliverabilitySupport::Read,
            },
            capabilities: Capabilities {
                incremental: true,
                deletes: DeleteVisibility::Reported,
                // Contacts that were deleted for good, for privacy, leave no trace; and that a changed subscription
                // moves the contact's modification time is unverified.
                hidden_changes: true,
                preconditions: false,
                findable: unique.chain(searched).collect(),
                max_page: MAX_PAGE,
                max_fetch: 100,
                max_find: 100,
                max_write: MAX_WRITE,
                can_create: true,
                can_archive: true,
                can_delete: false,
            },
            fields: properties.iter().map(property::Property::field).collect(),
        }])
    }

    fn changes(&self, request: ChangesRequest) -> Result<Page> {
        let selection = Selection::new(request.fields.clone());
        let reader = Reader {
            settings: &self.settings,
            selection: &selection,
        };
        match &request.mode {
            ReadMode::Snapshot(token) => snapshot::read(&reader, &request, token.as_deref()),
            ReadMode::Incremental(cursor) => incremental::read(&reader, request.limit, cursor),
        }
    }

    fn fetch(
        &self,
        _collection: &str,
        ids: Vec<RecordId>,
        selection: &Selection,
        consents: bool,
    ) -> Result<Vec<Fetched>> {
        lookup::fetch(&self.settings, selection, &ids, consents)
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

impl Hooked for HubSpot {
    fn describe_hooks() -> HookDescriptor {
        hooks::describe()
    }

    fn receive(&self, request: HookRequest) -> Result<Receipt> {
        hooks::receive(&request)
    }

    fn subscribe(&self, _collection: &str, _url: &str) -> Result<Subscription> {
        Err(hooks::by_hand())
    }

    fn unsubscribe(&self, _id: &str) -> Result<()> {
        Err(hooks::by_hand())
    }
}

samspel_connector::export_hooked!(HubSpot);
