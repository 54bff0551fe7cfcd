//! What happened to contacts, in order, for webhooks to tell.

use super::contact::Contact;
use super::properties::PropId;

/// Who changes something that webhooks tell of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Watch {
    /// Nobody is told.
    Nobody,
    /// A user, or the person.
    User,
    /// The API.
    Integration,
}

impl Watch {
    /// What is needed only if somebody is told.
    pub(crate) fn then<T>(self, make: impl FnOnce() -> T) -> Option<T> {
        (self != Self::Nobody).then(make)
    }

    /// `changeSource` of events (T).
    pub(crate) fn change_source(self) -> &'static str {
        match self {
            Self::Integration => "INTEGRATION",
            Self::User | Self::Nobody => "CRM_UI",
        }
    }
}

/// What happened to a contact.
#[derive(Debug, Clone)]
pub(crate) enum Happening {
    Created,
    Changed {
        property: PropId,
        value: Option<Box<str>>,
    },
    Deleted,
    Purged,
    Restored,
    Merged {
        primary: u64,
        other: u64,
        new: u64,
    },
}

/// Something that happened.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) contact: u64,
    pub(crate) happening: Happening,
    pub(crate) by: Watch,
}

/// Happenings since it was last read.
#[derive(Debug, Default)]
pub(crate) struct Journal(Vec<Entry>);

impl Journal {
    fn add(&mut self, contact: u64, happening: Happening, by: Watch) {
        if by != Watch::Nobody {
            self.0.push(Entry {
                contact,
                happening,
                by,
            });
        }
    }

    /// All of it, and it is empty again.
    pub(crate) fn take(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.0)
    }

    /// A new contact, whose values count as changed (T).
    pub(crate) fn created(&mut self, contact: &Contact, by: Watch) {
        self.add(contact.id, Happening::Created, by);
        for (property, value) in &contact.values {
            self.value(contact.id, *property, Some(value), by);
        }
    }

    /// Values that differ. Without `before` nobody asked.
    pub(crate) fn changed(&mut self, before: Option<&Contact>, after: &Contact, by: Watch) {
        let Some(before) = before else { return };
        for (property, value) in &after.values {
            if before.get(*property) != Some(value) {
                self.value(after.id, *property, Some(value), by);
            }
        }
        for (property, _) in &before.values {
            if after.get(*property).is_none() {
                self.value(after.id, *property, None, by);
            }
        }
    }

    fn value(&mut self, contact: u64, property: PropId, value: Option<&str>, by: Watch) {
        let value = value.map(Into::into);
        self.add(contact, Happening::Changed { property, value }, by);
    }

    pub(crate) fn deleted(&mut self, contact: u64, by: Watch) {
        self.add(contact, Happening::Deleted, by);
    }

    pub(crate) fn purged(&mut self, contact: u64, by: Watch) {
        self.add(contact, Happening::Purged, by);
    }

    pub(crate) fn restored(&mut self, contact: u64, by: Watch) {
        self.add(contact, Happening::Restored, by);
    }

    pub(crate) fn merged(&mut self, primary: u64, other: u64, new: u64, by: Watch) {
        let happening = Happening::Merged {
            primary,
            other,
            new,
        };
        self.add(new, happening, by);
    }
}
