//! Results that cannot be used, or cannot be borne.

use samspel_connector::fields::Fields;
use samspel_connector::{
    Absence, Access, Capabilities, Collection, Consent, ConsentState, DeleteVisibility,
    DeliverabilitySupport, Entity, Fetched, Field, Page, Revision, Tombstone,
};

use crate::THINGS;
use crate::settings::{Mode, Settings, Thing};

/// A page without records.
pub fn page() -> Page {
    Page {
        records: Vec::new(),
        tombstones: Vec::new(),
        next: None,
        more: false,
        resume_cursor: Some("1".to_owned()),
        complete: true,
    }
}

pub fn records(amount: u64) -> Page {
    Page {
        records: (0..amount)
            .map(|number| Entity::new(number.to_string(), Fields::new()))
            .collect(),
        ..page()
    }
}

pub fn tombstones(amount: u64) -> Page {
    Page {
        tombstones: (0..amount)
            .map(|number| Tombstone::new(number.to_string(), Absence::Deleted))
            .collect(),
        ..page()
    }
}

pub fn large_record(bytes: u64) -> Page {
    let text = "x".repeat(usize::try_from(bytes).unwrap_or(usize::MAX));
    Page {
        records: vec![Entity::new("large", Fields::new().with("text", text))],
        ..page()
    }
}

pub fn cursor(bytes: u64) -> Page {
    Page {
        next: Some("c".repeat(usize::try_from(bytes).unwrap_or(usize::MAX))),
        ..page()
    }
}

pub fn thing(thing: &Thing) -> Page {
    let consents = thing
        .consents
        .iter()
        .map(|(channel, at)| Consent {
            at: at.clone(),
            ..Consent::new(channel, "marketing", ConsentState::Unsubscribed)
        })
        .collect();
    Page {
        records: vec![Entity {
            id: thing.id.clone(),
            revision: thing
                .token
                .clone()
                .map(|token| Revision { token, order: None }),
            fields: thing.fields.clone(),
            consents,
            deliverability: None,
            aliases: thing.aliases.clone(),
            modified: thing.modified.clone(),
        }],
        ..page()
    }
}

pub fn fetched(amount: usize) -> Vec<Fetched> {
    (0..amount)
        .map(|_| Fetched::Absent(Absence::Deleted))
        .collect()
}

pub fn collection(settings: &Settings) -> Collection {
    let schema = match settings.mode {
        Mode::Schema => settings.text.clone(),
        _ => "{}".to_owned(),
    };
    Collection {
        name: THINGS.to_owned(),
        title: "Things".to_owned(),
        fields: vec![Field {
            name: "report".to_owned(),
            title: "Report".to_owned(),
            schema,
            roles: Vec::new(),
            access: Access::ReadWrite,
            required: false,
        }],
        consent_slots: Vec::new(),
        deliverability: DeliverabilitySupport::None,
        capabilities: Capabilities {
            incremental: false,
            deletes: DeleteVisibility::ByListing,
            hidden_changes: false,
            preconditions: false,
            findable: Vec::new(),
            max_page: 100,
            max_fetch: 100,
            max_find: 100,
            max_write: 100,
            can_create: true,
            can_archive: true,
            can_delete: true,
        },
    }
}
