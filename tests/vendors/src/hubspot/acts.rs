//! What people do in HubSpot itself, and what happens there without anybody's doing.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::HubSpot;
use super::consent::{Entry, LegalBasis, SubscriptionState};
use super::contact::{Contact, View};
use super::error::Problem;
use super::journal::Watch;
use super::properties::{
    DELIVERABILITY_PROPERTY, NEWSLETTER, PropId, PropertyDefinition, PropertyMap, Registry,
    SUBSCRIPTION_TYPES, normal_email,
};
use super::store::{Context, Store};
use crate::vendor::ActError;

/// Something that happens in HubSpot outside its API. `contact` is an id or an e-mail address.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case", deny_unknown_fields)]
pub enum HubSpotAct {
    /// Someone adds a contact.
    Create {
        /// Its values.
        properties: PropertyMap,
    },
    /// Someone edits a contact; an e-mail address is changed like any other value.
    Edit {
        /// Which one.
        contact: String,
        /// New values; null or an empty string clears.
        properties: PropertyMap,
    },
    /// The owner of an address opts out of one subscription type, or of everything.
    Unsubscribe {
        /// The address.
        email: String,
        /// The subscription type; absent means all.
        #[serde(default)]
        subscription: Option<u32>,
    },
    /// The owner of an address opts in.
    Subscribe {
        /// The address.
        email: String,
        /// The subscription type; absent means the newsletter.
        #[serde(default)]
        subscription: Option<u32>,
        /// The legal basis that is recorded.
        #[serde(default)]
        legal_basis: Option<LegalBasis>,
    },
    /// A mail from HubSpot to this address bounces for good.
    HardBounce {
        /// The address.
        email: String,
    },
    /// Someone deletes a contact; it can be restored for 90 days.
    Archive {
        /// Which one.
        contact: String,
    },
    /// Someone restores an archived contact.
    Restore {
        /// Its id.
        contact: String,
    },
    /// Someone deletes a contact for good.
    Delete {
        /// Which one.
        contact: String,
    },
    /// Someone merges two contacts.
    Merge {
        /// The one that stays.
        primary: String,
        /// The one that goes.
        other: String,
    },
    /// Someone adds a custom property.
    AddProperty {
        /// Its definition.
        definition: PropertyDefinition,
    },
}

pub(super) fn perform(hubspot: &HubSpot, act: HubSpotAct) -> Result<Value, ActError> {
    hubspot
        .change_watched(Watch::User, |store, context| apply(store, context, act))
        .map_err(ActError::from)
}

fn apply(store: &mut Store, context: Context<'_>, act: HubSpotAct) -> Result<Value, Problem> {
    match act {
        HubSpotAct::Create { properties } => {
            let changes = store.registry().accept(&properties)?;
            let contact = store.create(changes, context.now, context)?;
            Ok(whole(store, &contact))
        }
        HubSpotAct::Edit {
            contact,
            properties,
        } => {
            let id = which(store, &contact)?;
            let changes = store.registry().accept(&properties)?;
            let (contact, _) = store.update(id, changes, context)?;
            Ok(whole(store, &contact))
        }
        HubSpotAct::Unsubscribe {
            email,
            subscription,
        } => {
            let email = address(&email)?;
            match subscription {
                None => {
                    store.unsubscribe_all(&email, context.now, "Email preferences page", context);
                }
                Some(id) => set(
                    store,
                    context,
                    &email,
                    id,
                    SubscriptionState::Unsubscribed,
                    None,
                )?,
            }
            Ok(holder(store, &email))
        }
        HubSpotAct::Subscribe {
            email,
            subscription,
            legal_basis,
        } => {
            let email = address(&email)?;
            let id = subscription.unwrap_or(NEWSLETTER);
            set(
                store,
                context,
                &email,
                id,
                SubscriptionState::Subscribed,
                legal_basis,
            )?;
            Ok(holder(store, &email))
        }
        HubSpotAct::HardBounce { email } => {
            let email = address(&email)?;
            store.bounce(&email, "UNKNOWN_USER", context);
            Ok(holder(store, &email))
        }
        HubSpotAct::Archive { contact } => {
            let id = which(store, &contact)?;
            store.archive(id, context);
            Ok(json!({ "id": id.to_string(), "archived": true }))
        }
        HubSpotAct::Restore { contact } => {
            let id = contact.parse().map_err(|_| Problem::NotFound(contact))?;
            let contact = store.restore(id, context)?;
            Ok(whole(store, &contact))
        }
        HubSpotAct::Delete { contact } => {
            let id = which(store, &contact)?;
            store.purge(id, context);
            Ok(json!({ "id": id.to_string(), "deleted": true }))
        }
        HubSpotAct::Merge { primary, other } => {
            let (primary, other) = (which(store, &primary)?, which(store, &other)?);
            let contact = store.merge(primary, other, context)?;
            Ok(whole(store, &contact))
        }
        HubSpotAct::AddProperty { definition } => {
            let view = definition.view();
            store.registry_mut().add(definition)?;
            Ok(view)
        }
    }
}

fn address(text: &str) -> Result<Box<str>, Problem> {
    normal_email(text)
        .ok_or_else(|| Problem::BadRequest(format!("{text} is not an e-mail address")))
}

fn which(store: &Store, contact: &str) -> Result<u64, Problem> {
    store.resolve(contact, contact.contains('@').then_some("email"))
}

fn set(
    store: &mut Store,
    context: Context<'_>,
    email: &str,
    subscription: u32,
    state: SubscriptionState,
    basis: Option<LegalBasis>,
) -> Result<(), Problem> {
    let position = SUBSCRIPTION_TYPES
        .iter()
        .position(|kind| kind.id == subscription)
        .ok_or_else(|| Problem::BadRequest(format!("no subscription type {subscription}")))?;
    let entry = Entry {
        state,
        at: context.now,
        source: "Email preferences page",
        basis,
        explanation: None,
    };
    store.set_consent(email, position, entry, context);
    Ok(())
}

/// The contact that has this address, or null.
fn holder(store: &Store, email: &str) -> Value {
    let contact = store
        .resolve(email, Some("email"))
        .ok()
        .and_then(|id| store.live().get(&id).cloned());
    contact.map_or(Value::Null, |contact| whole(store, &contact))
}

/// A contact with everything that is set.
fn whole(store: &Store, contact: &Contact) -> Value {
    let registry = store.registry();
    let shown = set_properties(&registry, contact);
    serde_json::to_value(View::new(contact, &registry, &shown)).unwrap_or_default()
}

fn set_properties(registry: &Registry, contact: &Contact) -> Vec<PropId> {
    let mut shown = registry.shown(&[DELIVERABILITY_PROPERTY.to_owned()]);
    shown.extend(contact.values.iter().map(|(property, _)| *property));
    shown.sort_unstable();
    shown.dedup();
    shown
}
