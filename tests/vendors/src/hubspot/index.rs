//! What the search endpoint sees: a copy of the contacts that lags behind the records by a settable time, as HubSpot's
//! own index does (T). Contacts are shared with the store, so the copy costs little.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use super::contact::Contact;
use crate::clock::Millis;

/// A contact's state that is not visible yet; `None` when it is gone.
#[derive(Debug)]
struct Pending {
    due: Millis,
    id: u64,
    contact: Option<Arc<Contact>>,
}

/// The search index.
#[derive(Debug, Default)]
pub(crate) struct SearchIndex {
    by_id: BTreeMap<u64, Arc<Contact>>,
    by_modified: BTreeMap<(Millis, u64), Arc<Contact>>,
    by_email: HashMap<Box<str>, u64>,
    pending: VecDeque<Pending>,
}

impl SearchIndex {
    /// A contact changed (or, with `None`, went away); the index shows it from `due` on.
    pub(crate) fn change(
        &mut self,
        id: u64,
        contact: Option<Arc<Contact>>,
        now: Millis,
        due: Millis,
    ) {
        if due <= now && self.pending.is_empty() {
            self.apply(id, contact);
        } else {
            self.pending.push_back(Pending { due, id, contact });
        }
    }

    /// Brings the index up to `now`.
    pub(crate) fn catch_up(&mut self, now: Millis) {
        while self.pending.front().is_some_and(|p| p.due <= now) {
            if let Some(Pending { id, contact, .. }) = self.pending.pop_front() {
                self.apply(id, contact);
            }
        }
    }

    fn apply(&mut self, id: u64, contact: Option<Arc<Contact>>) {
        let old = match &contact {
            Some(contact) => self.by_id.insert(id, Arc::clone(contact)),
            None => self.by_id.remove(&id),
        };
        if let Some(old) = old {
            self.by_modified.remove(&(old.modified, id));
            if let Some(email) = old.email()
                && self.by_email.get(email) == Some(&id)
            {
                self.by_email.remove(email);
            }
        }
        if let Some(contact) = contact {
            if let Some(email) = contact.email() {
                self.by_email.insert(email.into(), id);
            }
            self.by_modified.insert((contact.modified, id), contact);
        }
    }

    pub(crate) fn by_id(&self) -> &BTreeMap<u64, Arc<Contact>> {
        &self.by_id
    }

    pub(crate) fn by_modified(&self) -> &BTreeMap<(Millis, u64), Arc<Contact>> {
        &self.by_modified
    }

    pub(crate) fn with_email(&self, email: &str) -> Option<&Arc<Contact>> {
        self.by_id.get(self.by_email.get(email)?)
    }
}
