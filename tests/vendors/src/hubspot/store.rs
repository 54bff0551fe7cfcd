//! The account's contacts and the rules by which they change. No HTTP here.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::consent::{ConsentBook, Entry, SubscriptionState, SuccessReason};
use super::contact::Contact;
use super::error::Problem;
use super::index::SearchIndex;
use super::journal::{Journal, Watch};
use super::properties::{
    ADDITIONAL_EMAILS, BOUNCE_COUNT, BOUNCE_REASON, Changes, EMAIL, MERGED_IDS, OPTOUT, PropId,
    Registry, SUBSCRIPTION_TYPES, optout_of,
};
use super::quirks::HubSpotQuirks;
use crate::clock::Millis;

/// When, and under which rules, a change happens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) now: Millis,
    pub(crate) quirks: &'a HubSpotQuirks,
    /// Who is told of the change.
    pub(crate) watch: Watch,
}

impl Context<'_> {
    fn visible(&self) -> Millis {
        self.now
            .plus(i64::try_from(self.quirks.search_lag_ms).unwrap_or(i64::MAX))
    }
}

/// Bounces of one address.
#[derive(Debug, Clone)]
struct Bounce {
    count: u32,
    reason: Box<str>,
}

/// Everything the account holds.
#[derive(Debug)]
pub(crate) struct Store {
    registry: Arc<Registry>,
    live: BTreeMap<u64, Arc<Contact>>,
    archived: BTreeMap<u64, Arc<Contact>>,
    /// Holders of unique values, e-mail addresses among them.
    unique: HashMap<PropId, HashMap<Box<str>, u64>>,
    /// Ids that were merged into others.
    aliases: HashMap<u64, u64>,
    consents: ConsentBook,
    bounces: HashMap<Box<str>, Bounce>,
    index: SearchIndex,
    /// What webhooks are to tell.
    pub(crate) journal: Journal,
    next_id: u64,
}

impl Store {
    pub(crate) fn new() -> Self {
        Self {
            registry: Arc::new(Registry::standard()),
            live: BTreeMap::new(),
            archived: BTreeMap::new(),
            unique: HashMap::new(),
            aliases: HashMap::new(),
            consents: ConsentBook::default(),
            bounces: HashMap::new(),
            index: SearchIndex::default(),
            journal: Journal::default(),
            next_id: 101,
        }
    }

    pub(crate) fn registry(&self) -> Arc<Registry> {
        Arc::clone(&self.registry)
    }

    pub(crate) fn registry_mut(&mut self) -> &mut Registry {
        Arc::make_mut(&mut self.registry)
    }

    pub(crate) fn live(&self) -> &BTreeMap<u64, Arc<Contact>> {
        &self.live
    }

    pub(crate) fn archived(&self) -> &BTreeMap<u64, Arc<Contact>> {
        &self.archived
    }

    pub(crate) fn consents(&self) -> &ConsentBook {
        &self.consents
    }

    /// The search index as of `now`.
    pub(crate) fn searchable(&mut self, now: Millis) -> &SearchIndex {
        self.index.catch_up(now);
        &self.index
    }

    /// The live contact with this id, or the one it was merged into.
    pub(crate) fn find(&self, id: u64) -> Option<&Arc<Contact>> {
        self.live
            .get(&id)
            .or_else(|| self.live.get(self.aliases.get(&id)?))
    }

    /// The live contact that holds this value of a unique property.
    pub(crate) fn holder(&self, property: PropId, value: &str) -> Option<u64> {
        self.unique.get(&property)?.get(value).copied()
    }

    /// The id of the live contact that `key` names under `id_property` (absent: the record id).
    pub(crate) fn resolve(&self, key: &str, id_property: Option<&str>) -> Result<u64, Problem> {
        let missing = || Problem::NotFound(key.to_owned());
        match id_property {
            None | Some("hs_object_id") => {
                let id: u64 = key.parse().map_err(|_| missing())?;
                self.find(id).map(|contact| contact.id).ok_or_else(missing)
            }
            Some(name) => {
                let property = self.id_property(name)?;
                let key = if property == EMAIL {
                    key.trim().to_lowercase()
                } else {
                    key.to_owned()
                };
                self.holder(property, &key).ok_or_else(missing)
            }
        }
    }

    /// The live contact that `key` names under `id_property`.
    pub(crate) fn live_by_key(
        &self,
        key: &str,
        id_property: Option<&str>,
    ) -> Result<Arc<Contact>, Problem> {
        let id = self.resolve(key, id_property)?;
        self.live
            .get(&id)
            .map(Arc::clone)
            .ok_or_else(|| Problem::NotFound(key.to_owned()))
    }

    /// The archived contact with this id; an archived contact has no other key.
    pub(crate) fn archived_by_key(&self, key: &str) -> Result<Arc<Contact>, Problem> {
        let found = key.parse().ok().and_then(|id: u64| self.archived.get(&id));
        found
            .map(Arc::clone)
            .ok_or_else(|| Problem::NotFound(key.to_owned()))
    }

    /// A property that may serve as `idProperty`.
    pub(crate) fn id_property(&self, name: &str) -> Result<PropId, Problem> {
        self.registry
            .id(name)
            .filter(|id| self.registry.is_unique(*id))
            .ok_or_else(|| {
                Problem::BadRequest(format!("{name} is not a unique property of contacts"))
            })
    }

    /// Would these values collide with another contact than `own`?
    pub(crate) fn check_unique(&self, changes: &Changes, own: Option<u64>) -> Result<(), Problem> {
        for (property, value) in changes {
            if let Some(value) = value
                && self.registry.is_unique(*property)
                && let Some(existing) = self.holder(*property, value)
                && Some(existing) != own
            {
                return Err(Problem::Conflict { existing });
            }
        }
        Ok(())
    }

    /// Creates a contact. `created` lies in the past when seeding.
    pub(crate) fn create(
        &mut self,
        changes: Changes,
        created: Millis,
        context: Context<'_>,
    ) -> Result<Arc<Contact>, Problem> {
        self.check_unique(&changes, None)?;
        let id = self.next_id;
        // Ids rise with gaps, as an account shared with other activity has them.
        self.next_id += 1 + id % 3;
        let mut contact = Contact {
            id,
            created,
            modified: created,
            archived_at: None,
            values: Vec::new(),
        };
        for (property, value) in changes {
            contact.set(property, value);
        }
        contact.values.shrink_to_fit();
        self.derive(&mut contact);
        self.journal.created(&contact, context.watch);
        Ok(self.put(contact, context))
    }

    /// Changes values and answers the contact and whether anything changed.
    pub(crate) fn update(
        &mut self,
        id: u64,
        changes: Changes,
        context: Context<'_>,
    ) -> Result<(Arc<Contact>, bool), Problem> {
        let id = self
            .find(id)
            .map(|contact| contact.id)
            .ok_or_else(|| Problem::NotFound(id.to_string()))?;
        self.check_unique(&changes, Some(id))?;
        let Some(current) = self.live.get(&id) else {
            return Err(Problem::NotFound(id.to_string()));
        };
        let moves = changes
            .iter()
            .any(|(property, value)| current.get(*property) != value.as_deref());
        if !moves && !context.quirks.noop_moves_lastmodified {
            return Ok((Arc::clone(current), false));
        }
        let before = self.before(id, context);
        let mut contact = self.take(id)?;
        let email_before = contact.email().map(str::to_owned);
        for (property, value) in changes {
            contact.set(property, value);
        }
        contact.modified = context.now;
        if contact.email() != email_before.as_deref() {
            self.derive(&mut contact);
        }
        self.journal
            .changed(before.as_deref(), &contact, context.watch);
        Ok((self.put(contact, context), moves))
    }

    /// Archives a contact; its unique values are free again. Archiving an archived contact changes nothing (T).
    pub(crate) fn archive(&mut self, id: u64, context: Context<'_>) -> bool {
        let Ok(mut contact) = self.take(id) else {
            return false;
        };
        contact.archived_at = Some(context.now);
        contact.modified = context.now;
        self.index.change(id, None, context.now, context.visible());
        self.archived.insert(id, Arc::new(contact));
        self.journal.deleted(id, context.watch);
        true
    }

    /// Brings an archived contact back; possible for 90 days (V).
    pub(crate) fn restore(
        &mut self,
        id: u64,
        context: Context<'_>,
    ) -> Result<Arc<Contact>, Problem> {
        let archived = self
            .archived
            .get(&id)
            .ok_or_else(|| Problem::NotFound(id.to_string()))?;
        let values: Changes = archived
            .values
            .iter()
            .map(|(p, v)| (*p, Some(v.clone())))
            .collect();
        self.check_unique(&values, None)?;
        let mut contact = Contact::clone(archived);
        self.archived.remove(&id);
        contact.archived_at = None;
        contact.modified = context.now;
        self.derive(&mut contact);
        self.journal.restored(id, context.watch);
        Ok(self.put(contact, context))
    }

    /// Deletes a contact and what is known about its address, without a trace.
    pub(crate) fn purge(&mut self, id: u64, context: Context<'_>) -> bool {
        let contact = match self.take(id) {
            Ok(contact) => {
                self.index.change(id, None, context.now, context.visible());
                contact
            }
            Err(_) => match self.archived.remove(&id) {
                Some(contact) => Arc::unwrap_or_clone(contact),
                None => return false,
            },
        };
        self.journal.purged(id, context.watch);
        if let Some(email) = contact.email() {
            self.consents.forget(email);
            self.bounces.remove(email);
        }
        true
    }

    /// Merges `other` into `primary`: the primary's values win, gaps are filled, the other's address becomes an
    /// additional one that still finds the contact, and its id becomes an alias.
    pub(crate) fn merge(
        &mut self,
        primary: u64,
        other: u64,
        context: Context<'_>,
    ) -> Result<Arc<Contact>, Problem> {
        let found = |store: &Self, id: u64| {
            store
                .find(id)
                .map(|contact| contact.id)
                .ok_or_else(|| Problem::NotFound(id.to_string()))
        };
        let (primary, other) = (found(self, primary)?, found(self, other)?);
        if primary == other {
            return Err(Problem::BadRequest(
                "cannot merge a contact with itself".to_owned(),
            ));
        }
        let lost = self.take(other)?;
        self.index
            .change(other, None, context.now, context.visible());
        let before = self.before(primary, context);
        let mut kept = self.take(primary)?;
        if let (Some(_), Some(email)) = (kept.email(), lost.email()) {
            append(&mut kept, ADDITIONAL_EMAILS, email);
        }
        for (property, value) in &lost.values {
            if kept.get(*property).is_none() {
                kept.set(*property, Some(value.clone()));
            }
        }
        append(&mut kept, MERGED_IDS, &other.to_string());
        if context.quirks.merge_makes_new_id {
            append(&mut kept, MERGED_IDS, &primary.to_string());
            self.index
                .change(primary, None, context.now, context.visible());
            kept.id = self.next_id;
            self.next_id += 1;
            self.aliases.insert(primary, kept.id);
        }
        self.aliases
            .values_mut()
            .filter(|to| **to == other || **to == primary)
            .for_each(|to| *to = kept.id);
        self.aliases.insert(other, kept.id);
        kept.modified = context.now;
        self.derive(&mut kept);
        self.journal.merged(primary, other, kept.id, context.watch);
        self.journal
            .changed(before.as_deref(), &kept, context.watch);
        Ok(self.put(kept, context))
    }

    /// Records a subscription state for an address.
    pub(crate) fn set_consent(
        &mut self,
        email: &str,
        position: usize,
        entry: Entry,
        context: Context<'_>,
    ) -> SuccessReason {
        let reason = self.consents.set(email, position, entry);
        if reason != SuccessReason::NoStatusChange {
            self.rederive(email, context.quirks.consent_moves_lastmodified, context);
        }
        reason
    }

    /// Opts an address out of everything and answers whether that is new.
    pub(crate) fn unsubscribe_all(
        &mut self,
        email: &str,
        at: Millis,
        source: &'static str,
        context: Context<'_>,
    ) -> bool {
        let changed = self.consents.unsubscribe_all(email, at, source);
        if changed {
            self.rederive(email, context.quirks.consent_moves_lastmodified, context);
        }
        changed
    }

    /// A mail to this address came back for good.
    pub(crate) fn bounce(&mut self, email: &str, reason: &str, context: Context<'_>) {
        let bounce = self.bounces.entry(email.into()).or_insert_with(|| Bounce {
            count: 0,
            reason: reason.into(),
        });
        bounce.count += 1;
        bounce.reason = reason.into();
        self.rederive(email, true, context);
    }

    /// Like [`Store::bounce`], but known since the contact was created: used when seeding.
    pub(crate) fn seed_bounce(&mut self, email: &str, reason: &str) {
        self.bounces.insert(
            email.into(),
            Bounce {
                count: 1,
                reason: reason.into(),
            },
        );
    }

    /// Direct access for seeding, before the contact exists.
    pub(crate) fn consents_mut(&mut self) -> &mut ConsentBook {
        &mut self.consents
    }

    /// The contact as it is before a change that somebody is told of.
    fn before(&self, id: u64, context: Context<'_>) -> Option<Arc<Contact>> {
        context.watch.then(|| self.live.get(&id).cloned()).flatten()
    }

    /// Takes a live contact out of the store and its unique values out of the directory.
    fn take(&mut self, id: u64) -> Result<Contact, Problem> {
        let contact = self
            .live
            .remove(&id)
            .ok_or_else(|| Problem::NotFound(id.to_string()))?;
        let additional = contact
            .get(ADDITIONAL_EMAILS)
            .into_iter()
            .flat_map(|list| list.split(';'));
        let additional = additional.map(|email| (EMAIL, email));
        let own = contact
            .values
            .iter()
            .map(|(property, value)| (*property, value.as_ref()));
        for (property, value) in own.chain(additional) {
            if let Some(holders) = self.unique.get_mut(&property)
                && holders.get(value) == Some(&id)
            {
                holders.remove(value);
            }
        }
        Ok(Arc::unwrap_or_clone(contact))
    }

    /// Puts a live contact into the store, the directory of unique values and, when its time has come, the index.
    fn put(&mut self, contact: Contact, context: Context<'_>) -> Arc<Contact> {
        let id = contact.id;
        for (property, value) in &contact.values {
            if self.registry.is_unique(*property) {
                self.unique
                    .entry(*property)
                    .or_default()
                    .insert(value.clone(), id);
            }
        }
        if let Some(list) = contact.get(ADDITIONAL_EMAILS) {
            let holders = self.unique.entry(EMAIL).or_default();
            holders.extend(list.split(';').map(|email| (email.into(), id)));
        }
        let contact = Arc::new(contact);
        self.live.insert(id, Arc::clone(&contact));
        self.index.change(
            id,
            Some(Arc::clone(&contact)),
            context.now,
            context.visible(),
        );
        contact
    }

    /// Sets the read-only properties that follow from the contact's address.
    fn derive(&self, contact: &mut Contact) {
        let email = contact.email().map(str::to_owned);
        let consents = email.as_deref().and_then(|email| self.consents.get(email));
        contact.set(
            OPTOUT,
            consents.map(|c| if c.all.is_some() { "true" } else { "false" }.into()),
        );
        for position in 0..SUBSCRIPTION_TYPES.len() {
            let out =
                consents.is_some_and(|c| c.state(position) == SubscriptionState::Unsubscribed);
            contact.set(optout_of(position), out.then(|| "true".into()));
        }
        let bounce = email.as_deref().and_then(|email| self.bounces.get(email));
        contact.set(BOUNCE_COUNT, bounce.map(|b| b.count.to_string().into()));
        contact.set(BOUNCE_REASON, bounce.map(|b| b.reason.clone()));
    }

    /// Something about an address changed: brings the contact that has it, if any, up to date.
    fn rederive(&mut self, email: &str, moves_lastmodified: bool, context: Context<'_>) {
        let Some(id) = self.holder(EMAIL, email) else {
            return;
        };
        let before = self.before(id, context);
        let Ok(mut contact) = self.take(id) else {
            return;
        };
        self.derive(&mut contact);
        self.journal
            .changed(before.as_deref(), &contact, context.watch);
        if moves_lastmodified {
            contact.modified = context.now;
        }
        self.put(contact, context);
    }
}

/// Adds an entry to a list separated by semicolons.
fn append(contact: &mut Contact, property: PropId, entry: &str) {
    let list = match contact.get(property) {
        Some(list) => format!("{list};{entry}"),
        None => entry.to_owned(),
    };
    contact.set(property, Some(list.into()));
}
