//! What a simulated system says about itself.

use samspel_model::consent::ConsentSlot;
use samspel_model::schema::DeliverabilitySupport;
use samspel_model::{
    Access, Capabilities, Collection, DeleteVisibility, Field as SchemaField, Role,
};
use serde_json::json;

use crate::field::Field;
use crate::quirk::Quirk;
use crate::systems::{CHANNEL, PURPOSE, System};

/// The one collection of each system.
pub(crate) const COLLECTION: &str = "people";

impl System {
    /// What the collection looks like and can do.
    pub fn collection(&self) -> Collection {
        let fields = Field::ALL.map(|field| {
            let mut roles = Vec::new();
            match field {
                Field::Email => {
                    roles.push(Role::Email);
                    if self.has(Quirk::UniqueAddress) {
                        roles.push(Role::UniqueKey);
                    }
                }
                Field::Phone => roles.push(Role::Phone),
                Field::Name => roles.push(Role::DisplayName),
                Field::Tags | Field::Note => {}
            }
            SchemaField {
                name: field.name(self.index).to_owned(),
                title: field.name(self.index).to_owned(),
                schema: if field == Field::Tags {
                    json!({"type": "array", "uniqueItems": true})
                } else {
                    json!({"type": ["string", "null"]})
                },
                roles,
                access: Access::ReadWrite,
                required: false,
            }
        });
        Collection {
            name: COLLECTION.to_owned(),
            title: self.config.name.to_owned(),
            fields: fields.into(),
            consent_slots: vec![ConsentSlot {
                channel: CHANNEL.to_owned(),
                purpose: PURPOSE.to_owned(),
                can_restrict: true,
                can_grant: true,
            }],
            deliverability: if self.config.takes_bounces {
                DeliverabilitySupport::ReadWrite
            } else {
                DeliverabilitySupport::Read
            },
            capabilities: Capabilities {
                incremental: true,
                deletes: if self.has(Quirk::DeletesByListing) {
                    DeleteVisibility::ByListing
                } else {
                    DeleteVisibility::Reported
                },
                hidden_changes: self.has(Quirk::HiddenChanges),
                preconditions: self.has(Quirk::Preconditions),
                findable: vec![Field::Email.name(self.index).to_owned()],
                max_page: self.config.page,
                max_fetch: self.config.batch,
                max_find: self.config.batch,
                max_write: self.config.batch,
                can_create: true,
                can_archive: self.config.can_archive,
                can_delete: false,
            },
        }
    }
}
