//! One contact, stored compactly, and how an answer shows it.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::properties::{CREATEDATE, EMAIL, LASTMODIFIED, OBJECT_ID, PropId, Registry};
use crate::clock::Millis;

/// A contact. Values are sorted by property; those HubSpot computes from the record itself are not among them.
#[derive(Debug, Clone)]
pub(crate) struct Contact {
    pub(crate) id: u64,
    pub(crate) created: Millis,
    pub(crate) modified: Millis,
    pub(crate) archived_at: Option<Millis>,
    pub(crate) values: Vec<(PropId, Box<str>)>,
}

impl Contact {
    pub(crate) fn get(&self, property: PropId) -> Option<&str> {
        let at = self
            .values
            .binary_search_by_key(&property, |(id, _)| *id)
            .ok()?;
        Some(&self.values[at].1)
    }

    /// Sets or clears a value and answers whether that changed anything.
    pub(crate) fn set(&mut self, property: PropId, value: Option<Box<str>>) -> bool {
        match (
            self.values.binary_search_by_key(&property, |(id, _)| *id),
            value,
        ) {
            (Ok(at), Some(value)) => {
                let changed = self.values[at].1 != value;
                self.values[at].1 = value;
                changed
            }
            (Ok(at), None) => {
                self.values.remove(at);
                true
            }
            (Err(at), Some(value)) => {
                self.values.insert(at, (property, value));
                true
            }
            (Err(_), None) => false,
        }
    }

    pub(crate) fn email(&self) -> Option<&str> {
        self.get(EMAIL)
    }
}

/// A contact as an answer shows it, with these properties.
pub(crate) struct View<'a> {
    pub(crate) contact: &'a Contact,
    pub(crate) registry: &'a Registry,
    pub(crate) shown: &'a [PropId],
    /// In answers to an upsert: was it created?
    pub(crate) new: Option<bool>,
    /// In answers to a batch: what the input called it.
    pub(crate) trace: Option<&'a str>,
}

impl<'a> View<'a> {
    pub(crate) fn new(contact: &'a Contact, registry: &'a Registry, shown: &'a [PropId]) -> Self {
        Self {
            contact,
            registry,
            shown,
            new: None,
            trace: None,
        }
    }
}

impl Serialize for View<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &Text(self.contact.id))?;
        map.serialize_entry("properties", &Properties(self))?;
        map.serialize_entry("createdAt", &self.contact.created)?;
        map.serialize_entry("updatedAt", &self.contact.modified)?;
        map.serialize_entry("archived", &self.contact.archived_at.is_some())?;
        if let Some(at) = self.contact.archived_at {
            map.serialize_entry("archivedAt", &at)?;
        }
        if let Some(new) = self.new {
            map.serialize_entry("new", &new)?;
        }
        if let Some(trace) = self.trace {
            map.serialize_entry("objectWriteTraceId", trace)?;
        }
        map.end()
    }
}

struct Properties<'a>(&'a View<'a>);

impl Serialize for Properties<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let View {
            contact,
            registry,
            shown,
            ..
        } = self.0;
        let mut map = serializer.serialize_map(Some(shown.len()))?;
        for property in *shown {
            map.serialize_key(&registry.get(*property).name)?;
            match *property {
                OBJECT_ID => map.serialize_value(&Text(contact.id))?,
                CREATEDATE => map.serialize_value(&contact.created)?,
                LASTMODIFIED => map.serialize_value(&contact.modified)?,
                other => map.serialize_value(&contact.get(other))?,
            }
        }
        map.end()
    }
}

/// A number as text, without building the text first.
struct Text(u64);

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}
