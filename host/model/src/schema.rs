//! What a collection looks like and what it can do.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::consent::ConsentSlot;

/// What a field means, where the host must know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The remote refuses two records with the same value.
    UniqueKey,
    /// An e-mail address.
    Email,
    /// A phone number.
    Phone,
    /// A name that a person reads.
    DisplayName,
    /// A role of a newer contract.
    Other(String),
}

/// Who may set a field, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Always.
    ReadWrite,
    /// The remote only.
    ReadOnly,
    /// When the record is created.
    CreateOnly,
}

/// One field of a collection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Field {
    /// The member's name in a record's fields.
    pub name: String,
    /// For people.
    pub title: String,
    /// JSON Schema of the value.
    pub schema: Value,
    /// What the field means.
    pub roles: Vec<Role>,
    /// Who may set it.
    pub access: Access,
    /// A create without it is refused by the remote.
    pub required: bool,
}

impl Field {
    /// Whether the field has the role.
    pub fn has(&self, role: &Role) -> bool {
        self.roles.contains(role)
    }
}

/// How deletes become visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeleteVisibility {
    /// Incremental changes hold tombstones.
    Reported,
    /// Only what is missing in a complete listing tells.
    ByListing,
}

/// What a collection knows about deliverability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeliverabilitySupport {
    /// Nothing.
    None,
    /// It tells.
    Read,
    /// It tells and can be told.
    ReadWrite,
}

/// What a collection can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Changes can be asked with a cursor.
    pub incremental: bool,
    /// How deletes become visible.
    pub deletes: DeleteVisibility,
    /// Some changes are visible to a full comparison only.
    pub hidden_changes: bool,
    /// Preconditions of updates are honoured.
    pub preconditions: bool,
    /// Fields that can be searched by value.
    pub findable: Vec<String>,
    /// Most records a page may hold.
    pub max_page: u32,
    /// Most ids of one fetch.
    pub max_fetch: u32,
    /// Most values of one find.
    pub max_find: u32,
    /// Most items of one write.
    pub max_write: u32,
    /// Records can be created.
    pub can_create: bool,
    /// Records can be archived.
    pub can_archive: bool,
    /// Records can be deleted.
    pub can_delete: bool,
}

/// One kind of record of an account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Collection {
    /// By which configuration refers to it.
    pub name: String,
    /// For people.
    pub title: String,
    /// Custom fields included.
    pub fields: Vec<Field>,
    /// The consents it holds.
    pub consent_slots: Vec<ConsentSlot>,
    /// What it knows about deliverability.
    pub deliverability: DeliverabilitySupport,
    /// What it can do.
    pub capabilities: Capabilities,
}

impl Collection {
    /// The field of that name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The consent slot of that channel and purpose.
    pub fn slot(&self, channel: &str, purpose: &str) -> Option<&ConsentSlot> {
        self.consent_slots
            .iter()
            .find(|slot| slot.channel == channel && slot.purpose == purpose)
    }
}
