//! The floor: a bare client that makes exactly the API calls which a perfect first sync needs. It has no sandbox, no
//! store, no plan and no recovery, knows both APIs and the mapping by heart, and overlaps whatever may overlap.

mod api;
mod decide;
mod hubspot;
mod mailchimp;
mod writes;

use std::collections::{BTreeMap, HashMap, HashSet};

use reqwest::{Client, StatusCode};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};

use crate::simulators::Access;
use api::Api;
pub use hubspot::{BOUNCE_PROPERTY, HARD_BOUNCE};
use hubspot::{Consent, Contact, HubSpot, Update};
use mailchimp::{Mailchimp, Member};
use writes::Writes;
pub use writes::Written;

/// Pages that are read and not paired yet.
const PAGES_AHEAD: usize = 64;

/// Why the floor could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum FloorError {
    /// No answer.
    #[error("the floor's client got no answer: {0}")]
    Request(#[from] reqwest::Error),
    /// An answer that is no success.
    #[error("the floor's client was answered {status} to {path}: {body}")]
    Status {
        /// The request's path.
        path: String,
        /// The status.
        status: StatusCode,
        /// The body.
        body: String,
    },
    /// An answer that cannot be understood.
    #[error("the floor's client does not understand the answer to {path}: {source}")]
    Answer {
        /// The request's path.
        path: String,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// Items of a batch were refused. What a perfect sync writes is accepted.
    #[error("{items} items of the floor's {path} were refused, the first with: {first}")]
    Refused {
        /// The request's path.
        path: String,
        /// How many.
        items: usize,
        /// What was said about the first.
        first: String,
    },
    /// A part of the client panicked.
    #[error("a part of the floor's client ended early: {0}")]
    Task(#[from] JoinError),
    /// The subscription's id is no number.
    #[error("the simulators name the subscription `{0}`, which is no number")]
    Subscription(String),
}

/// What one person is on both sides, before the consents are known.
type Pair = (Contact, Option<Member>);

/// People whose consents were asked for, and the answer by address.
type Asked = (Vec<Pair>, BTreeMap<String, Consent>);

/// Does a first sync.
///
/// # Errors
/// Anything but success: a floor that had to retry would be none.
pub async fn run(access: &Access) -> Result<Written, FloorError> {
    let client = Client::builder().no_proxy().build()?;
    let subscription = access
        .subscription_id
        .parse()
        .map_err(|_| FloorError::Subscription(access.subscription_id.clone()))?;
    let hubspot = HubSpot::new(
        Api::bearer(&client, &access.hubspot, &access.hubspot_token),
        subscription,
    );
    let mailchimp = Mailchimp::new(
        Api::basic(&client, &access.mailchimp, &access.mailchimp_key),
        &access.list_id,
    );
    let (send, mut pages) = mpsc::channel(PAGES_AHEAD);
    let reading = tokio::spawn(hubspot.clone().contacts(send));
    let archived = tokio::spawn(mailchimp.clone().archived());
    let mut members = by_key(mailchimp.clone().members().await?);
    let archived: HashSet<String> = archived
        .await??
        .iter()
        .filter_map(|email| decide::key(email))
        .collect();

    let mut writes = Writes::new(hubspot.clone(), mailchimp);
    let mut asked: JoinSet<Result<Asked, FloorError>> = JoinSet::new();
    let mut read_out = false;
    loop {
        tokio::select! {
            page = pages.recv(), if !read_out => match page {
                Some(contacts) => {
                    let pairs = contacts.into_iter().map(|contact| pair(contact, &mut members)).collect();
                    asked.spawn(consents(hubspot.clone(), pairs));
                }
                None => {
                    read_out = true;
                    for member in members.drain().map(|(_, member)| member) {
                        writes.create(decide::new_contact(&member));
                    }
                    writes.flush_creates();
                }
            },
            Some(answered) = asked.join_next() => {
                let (pairs, consents) = answered??;
                for pair in pairs.into_iter().filter(|pair| !is_archived(pair, &archived)) {
                    write(pair, &consents, &mut writes);
                }
            }
            else => break,
        }
    }
    reading.await??;
    writes.finish().await
}

fn by_key(members: Vec<Member>) -> HashMap<String, Member> {
    members
        .into_iter()
        .filter_map(|member| Some((decide::key(&member.email_address)?, member)))
        .collect()
}

fn key_of(contact: &Contact) -> Option<String> {
    decide::key(contact.properties.email.as_deref()?)
}

fn pair(contact: Contact, members: &mut HashMap<String, Member>) -> Pair {
    let member = key_of(&contact).and_then(|key| members.remove(&key));
    (contact, member)
}

/// Whether the member was archived: nobody else decides to bring them back.
fn is_archived((contact, member): &Pair, archived: &HashSet<String>) -> bool {
    member.is_none() && key_of(contact).is_some_and(|key| archived.contains(&key))
}

async fn consents(hubspot: HubSpot, pairs: Vec<Pair>) -> Result<Asked, FloorError> {
    let emails = pairs
        .iter()
        .filter_map(|(contact, _)| key_of(contact))
        .collect();
    let consents = hubspot.consents(emails).await?;
    Ok((pairs, consents))
}

fn write((contact, member): Pair, consents: &BTreeMap<String, Consent>, writes: &mut Writes) {
    let consent = key_of(&contact)
        .and_then(|key| consents.get(&key))
        .unwrap_or(&Consent::Unspecified);
    let Some(member) = member else {
        if let Some(member) = decide::new_member(&contact, consent) {
            writes.add(member);
        }
        return;
    };
    let decision = decide::pair(&contact, consent, &member);
    if !decision.member.is_empty() {
        writes.change(member.contact_id, decision.member);
    }
    if decision.opts_out
        && let Some(email) = contact.properties.email
    {
        writes.opt_out(email);
    }
    if !decision.contact.is_empty() {
        writes.update(Update {
            id: contact.id,
            properties: decision.contact,
        });
    }
}
