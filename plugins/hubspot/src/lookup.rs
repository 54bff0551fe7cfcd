//! Contacts by id and by key. Both read the records themselves; only a search by phone number uses the lagging index.

use std::collections::{BTreeMap, HashMap};

use samspel_connector::fields::{Fields, Selection};
use samspel_connector::{Absence, Entity, Failure, Fetched, Result, Value, http};
use serde_json::json;

use crate::contact::Contact;
use crate::reader::{ContactPage, Reader};
use crate::settings::Settings;
use crate::{api, property};

/// Groups of filters in one search; the documents allow five [T].
const GROUPS: usize = 5;

/// One answer per id. Consents cost a request of their own.
pub fn fetch(
    settings: &Settings,
    selection: &Selection,
    ids: &[String],
    consents: bool,
) -> Result<Vec<Fetched>> {
    let reader = Reader {
        settings,
        selection,
    };
    let properties = reader.properties()?;
    look_up(ids, &properties, |live| match consents {
        true => reader.entities(live),
        false => Ok(reader.values(live)),
    })
}

/// One answer per id, with the address and nothing else.
pub fn addresses(ids: &[String]) -> Result<Vec<Fetched>> {
    let properties = [property::EMAIL, property::MERGED_IDS].map(str::to_owned);
    look_up(ids, &properties, |live| {
        let address = |contact: &Contact| {
            let email = contact.email().map_or(Value::Null, Value::from);
            contact.bare(Fields::new().with(property::EMAIL, email))
        };
        Ok(live.iter().map(address).collect())
    })
}

/// What became of ids, with the records of those contacts that are there.
fn look_up(
    ids: &[String],
    properties: &[String],
    records: impl FnOnce(&[Contact]) -> Result<Vec<Entity>>,
) -> Result<Vec<Fetched>> {
    let mut found: HashMap<String, Contact> = HashMap::new();
    read_batches(ids, None, properties, false, &mut found)?;
    let missing = not_in(ids, &found);
    read_batches(&missing, None, properties, true, &mut found)?;

    let mut absent = merged(&found);
    let unexplained: Vec<String> = not_in(ids, &found)
        .into_iter()
        .filter(|id| !absent.contains_key(id))
        .collect();
    absent.extend(explain(&unexplained, properties)?);

    let live: Vec<Contact> = found
        .values()
        .filter(|contact| !contact.archived)
        .cloned()
        .collect();
    let entities: HashMap<String, Entity> = records(&live)?
        .into_iter()
        .map(|entity| (entity.id.clone(), entity))
        .collect();
    Ok(ids
        .iter()
        .map(
            |id| match (entities.get(id), found.get(id), absent.get(id)) {
                (Some(entity), _, _) => Fetched::Found(entity.clone()),
                (None, Some(_), _) => Fetched::Absent(Absence::Archived),
                (None, None, Some(answer)) => answer.clone(),
                (None, None, None) => Fetched::Absent(Absence::Deleted),
            },
        )
        .collect())
}

/// Consent, deliverability and revision of contacts, without their fields.
pub fn states(settings: &Settings, ids: &[String]) -> Result<Vec<Entity>> {
    // A selection of nothing would leave out the consents.
    let selection = Selection::new(Some(vec![property::EMAIL.to_owned()]));
    let reader = Reader {
        settings,
        selection: &selection,
    };
    let mut found = HashMap::new();
    read_batches(ids, None, &reader.properties()?, false, &mut found)?;
    reader.entities(&found.into_values().collect::<Vec<_>>())
}

fn not_in(ids: &[String], found: &HashMap<String, Contact>) -> Vec<String> {
    let mut missing: Vec<String> = ids
        .iter()
        .filter(|id| !found.contains_key(*id))
        .cloned()
        .collect();
    missing.sort_unstable();
    missing.dedup();
    missing
}

/// Reads all batches at once. An id that a batch does not know is left out; a batch of which none is known may be
/// answered with 404.
fn read_batches(
    ids: &[String],
    id_property: Option<&str>,
    properties: &[String],
    archived: bool,
    found: &mut HashMap<String, Contact>,
) -> Result<()> {
    let requests = ids
        .chunks(api::BATCH)
        .map(|chunk| api::batch_read(chunk, id_property, properties, archived));
    for answer in http::send_all(requests) {
        let answer = answer?;
        if answer.status() == 404 {
            continue;
        }
        let page: ContactPage = api::accept(Ok(answer))?.json()?;
        for contact in page.results {
            found.entry(contact.id.clone()).or_insert(contact);
        }
    }
    Ok(())
}

/// The ids that contacts which were found had before merges.
fn merged(found: &HashMap<String, Contact>) -> HashMap<String, Fetched> {
    found
        .values()
        .flat_map(|contact| {
            contact.aliases().map(|alias| {
                (
                    alias.to_owned(),
                    Fetched::Absent(Absence::MergedInto(contact.id.clone())),
                )
            })
        })
        .collect()
}

/// What became of ids that no batch knows: each is asked for by itself, live and archived. HubSpot answers the id of a
/// merged contact with the contact it was merged into [M].
fn explain(ids: &[String], properties: &[String]) -> Result<BTreeMap<String, Fetched>> {
    let requests = ids.iter().flat_map(|id| {
        [
            api::contact(id, properties, false),
            api::contact(id, properties, true),
        ]
    });
    let answers = http::send_all(requests);
    ids.iter()
        .zip(answers.chunks(2))
        .map(|(id, pair)| {
            let told = match what_became_of(id, pair) {
                // Wrong with this one only.
                Err(Failure::Bug(why) | Failure::Other(why)) => Fetched::Failed(why),
                absence => Fetched::Absent(absence?),
            };
            Ok((id.clone(), told))
        })
        .collect()
}

fn what_became_of(id: &str, answers: &[Result<http::Response, http::Error>]) -> Result<Absence> {
    for answer in answers {
        let answer = answer.clone()?;
        // An id that is no number is answered with 400.
        if matches!(answer.status(), 400 | 404 | 410) {
            continue;
        }
        let contact: Contact = api::accept(Ok(answer))?.json()?;
        return Ok(if contact.id != id {
            Absence::MergedInto(contact.id)
        } else if contact.archived {
            Absence::Archived
        } else {
            Absence::Other("it is listed only by itself; try again".to_owned())
        });
    }
    Ok(Absence::Deleted)
}

/// Per value the contacts whose property equals it.
pub fn find(settings: &Settings, field: &str, values: &[String]) -> Result<Vec<Vec<Entity>>> {
    let reader = Reader {
        settings,
        selection: &Selection::All,
    };
    let mut properties = reader.properties()?;
    let contacts = if is_searched(field) {
        search(field, values, &properties)?
    } else {
        properties.push(property::MORE_EMAILS.to_owned());
        properties.sort_unstable();
        properties.dedup();
        let mut found = HashMap::new();
        let mut wanted = values.to_vec();
        wanted.sort_unstable();
        wanted.dedup();
        read_batches(&wanted, Some(field), &properties, false, &mut found)?;
        found.into_values().collect()
    };
    let entities = reader.entities(&contacts)?;
    Ok(values
        .iter()
        .map(|value| {
            contacts
                .iter()
                .zip(&entities)
                .filter(|(contact, _)| holds(contact, field, value))
                .map(|(_, entity)| entity.clone())
                .collect()
        })
        .collect())
}

/// Not unique, so that only a search can find them.
pub fn is_searched(field: &str) -> bool {
    matches!(field, "phone" | "mobilephone")
}

fn holds(contact: &Contact, field: &str, value: &str) -> bool {
    if field == property::EMAIL {
        return contact
            .emails()
            .any(|email| email == value.trim().to_lowercase());
    }
    contact
        .properties
        .get(field)
        .and_then(|own| own.as_str())
        .is_some_and(|own| own.eq_ignore_ascii_case(value))
}

fn search(field: &str, values: &[String], properties: &[String]) -> Result<Vec<Contact>> {
    let requests = values.chunks(GROUPS).map(|chunk| {
        let groups: Vec<_> = chunk
            .iter()
            .map(|value| {
                json!({ "filters": [
                    { "propertyName": field, "operator": "EQ", "value": value },
                ] })
            })
            .collect();
        api::search(&json!({
            "filterGroups": groups,
            "properties": properties,
            "limit": api::SEARCH_PAGE,
        }))
    });
    let mut contacts: Vec<Contact> = Vec::new();
    for answer in http::send_all(requests) {
        let page: ContactPage = api::accept(answer)?.json()?;
        if page.after().is_some() {
            return Err(Failure::Other(format!(
                "more than {} contacts share values of `{field}`; match by another field",
                api::SEARCH_PAGE
            )));
        }
        contacts.extend(page.results);
    }
    contacts.sort_unstable_by(|x, y| x.id.cmp(&y.id));
    contacts.dedup_by(|x, y| x.id == y.id);
    Ok(contacts)
}
