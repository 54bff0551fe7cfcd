//! Filling the account with test people, and reading all of it.

use std::io::Write as _;
use std::ops::Bound;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::HubSpot;
use super::consent::{Entry, LegalBasis, SubscriptionState};
use super::contact::Contact;
use super::journal::Watch;
use super::properties::{
    CITY, COMPANY, COUNTRY, CUSTOMER_NUMBER, Changes, EMAIL, FIRSTNAME, JOBTITLE, LASTNAME, PHONE,
    SUBSCRIPTION_TYPES, by_name,
};
use super::store::{Context, Store};
use crate::people::{Permission, Person, person};
use crate::vendor::{DumpPage, Seeded};

/// How many people are added before others get a turn at the store.
const CHUNK: u64 = 1_000;
/// How many contacts one page of a dump holds.
const DUMP_PAGE: usize = 1_000;

const DAY_MS: i64 = 86_400_000;

pub(super) fn fill(hubspot: &HubSpot, count: u64, seed: u64) -> Seeded {
    let explanation: Arc<str> = "Ticked the box on the sign-up form".into();
    let mut seeded = Seeded::default();
    for start in (0..count).step_by(CHUNK as usize) {
        let people: Vec<Person> = (start..(start + CHUNK).min(count))
            .map(|index| person(seed, index))
            .collect();
        hubspot.change_watched(Watch::Nobody, |store, context| {
            for person in people {
                add(store, context, person, &explanation, &mut seeded);
            }
        });
    }
    seeded
}

fn add(
    store: &mut Store,
    context: Context<'_>,
    person: Person,
    explanation: &Arc<str>,
    seeded: &mut Seeded,
) {
    if let Some(email) = &person.email {
        seeded.with_email += 1;
        match person.permission {
            Permission::NotSpecified => {}
            Permission::OptedIn { days_ago } => {
                let entry = Entry {
                    state: SubscriptionState::Subscribed,
                    at: context.now.plus(-days_ago * DAY_MS),
                    source: "Form",
                    basis: Some(LegalBasis::ConsentWithNotice),
                    explanation: Some(Arc::clone(explanation)),
                };
                store.consents_mut().set(email, 0, entry);
            }
            Permission::OptedOut { days_ago } => {
                let at = context.now.plus(-days_ago * DAY_MS);
                store
                    .consents_mut()
                    .unsubscribe_all(email, at, "Email preferences page");
                seeded.opted_out += 1;
            }
        }
        if person.bounced {
            store.seed_bounce(email, "UNKNOWN_USER");
            seeded.bounced += 1;
        }
    }
    let created = context.now.plus(-person.age_ms);
    let values = [
        (EMAIL, person.email),
        (FIRSTNAME, person.first),
        (LASTNAME, person.last),
        (PHONE, person.phone),
        (COMPANY, person.company),
        (JOBTITLE, person.title),
        (CITY, person.city),
        (COUNTRY, person.country),
        (CUSTOMER_NUMBER, person.customer_number),
    ];
    let changes: Changes = values
        .into_iter()
        .filter_map(|(property, value)| Some((property, Some(value?.into()))))
        .collect();
    // Someone seeded before under the same address or number stays as they are.
    if store.create(changes, created, context).is_ok() {
        seeded.records += 1;
    }
}

pub(super) fn dump(hubspot: &HubSpot, from: u64, stable: bool) -> DumpPage {
    let (registry, mut page, consents) = {
        let store = hubspot.store();
        let range = (Bound::Included(from), Bound::Unbounded);
        let live = store.live().range(range).take(DUMP_PAGE + 1);
        let archived = store.archived().range(range).take(DUMP_PAGE + 1);
        let mut page: Vec<Arc<Contact>> = live
            .chain(archived)
            .map(|(_, contact)| Arc::clone(contact))
            .collect();
        page.sort_unstable_by_key(|contact| contact.id);
        page.truncate(DUMP_PAGE + 1);
        let consents: Vec<Value> = page
            .iter()
            .map(|contact| consent_of(&store, contact))
            .collect();
        (store.registry(), page, consents)
    };
    let next = if page.len() > DUMP_PAGE {
        page.pop().map(|contact| contact.id)
    } else {
        None
    };
    let mut lines = Vec::new();
    for (contact, consent) in page.iter().zip(consents) {
        let mut record = Map::new();
        if !stable {
            record.insert("id".to_owned(), json!(contact.id.to_string()));
            record.insert("createdAt".to_owned(), json!(contact.created));
            record.insert("updatedAt".to_owned(), json!(contact.modified));
        }
        record.insert("archived".to_owned(), json!(contact.archived_at.is_some()));
        record.insert(
            "properties".to_owned(),
            Value::Object(by_name(&registry, &contact.values)),
        );
        record.insert("consent".to_owned(), consent);
        // Writing to a vector cannot fail, and a map of strings can always be written.
        let _ = serde_json::to_writer(&mut lines, &record);
        let _ = lines.write_all(b"\n");
    }
    DumpPage { lines, next }
}

fn consent_of(store: &Store, contact: &Contact) -> Value {
    let consents = contact
        .email()
        .and_then(|email| store.consents().get(email));
    let Some(consents) = consents else {
        return Value::Null;
    };
    let states: Map<String, Value> = SUBSCRIPTION_TYPES
        .iter()
        .enumerate()
        .map(|(position, kind)| (kind.id.to_string(), json!(consents.state(position))))
        .collect();
    json!({ "unsubscribedAll": consents.all.is_some(), "subscriptions": states })
}
