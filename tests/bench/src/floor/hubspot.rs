//! HubSpot: the requests that the connector makes, without the connector.

use std::collections::BTreeMap;

use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::FloorError;
use super::api::Api;

/// Most contacts on a page of the list.
const PAGE: &str = "100";

/// Most inputs of a batch.
pub const BATCH: usize = 100;

/// The property that takes bounces, as the sync's configuration names it.
pub const BOUNCE_PROPERTY: &str = "email_deliverability";

/// Its value for an address that failed for good.
pub const HARD_BOUNCE: &str = "hard_bounce";

const PROPERTIES: &str = "company,email,email_deliverability,firstname,hs_email_hard_bounce_reason_enum,hs_email_optout,\
                          lastname,phone";

/// Properties to write.
pub type Changes = BTreeMap<&'static str, String>;

/// A contact as the list shows it.
#[derive(Debug, Deserialize)]
pub struct Contact {
    /// Its record id.
    pub id: String,
    /// What was asked for.
    pub properties: Properties,
}

/// The properties that the sync needs.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Properties {
    pub email: Option<String>,
    pub firstname: Option<String>,
    pub lastname: Option<String>,
    pub phone: Option<String>,
    pub company: Option<String>,
    pub email_deliverability: Option<String>,
    pub hs_email_hard_bounce_reason_enum: Option<String>,
    pub hs_email_optout: Option<String>,
}

/// What an address said about the newsletter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Consent {
    /// Nothing.
    Unspecified,
    /// Opted in, at this time.
    Subscribed(String),
    /// Opted out.
    Unsubscribed,
}

/// A contact to be changed.
#[derive(Debug, Serialize)]
pub struct Update {
    /// Which.
    pub id: String,
    /// What changes.
    pub properties: Changes,
}

/// A contact to be created, and the opt-in or opt-out that follows for its address.
#[derive(Debug)]
pub struct Create {
    /// The address, which is among the properties too.
    pub email: String,
    /// Everything else.
    pub properties: Changes,
    /// What the address is to say.
    pub consent: NewConsent,
}

/// What is written for the address of a new contact.
#[derive(Debug, PartialEq, Eq)]
pub enum NewConsent {
    /// Nothing.
    None,
    /// Opted in; where the evidence comes from.
    OptIn(String),
    /// Out of all e-mail.
    OptOut,
}

/// The account.
#[derive(Clone)]
pub struct HubSpot {
    api: Api,
    subscription: u64,
}

#[derive(Deserialize)]
struct Page {
    results: Vec<Contact>,
    paging: Option<Paging>,
}

#[derive(Deserialize)]
struct Paging {
    next: Option<Next>,
}

#[derive(Deserialize)]
struct Next {
    after: String,
}

#[derive(Deserialize)]
struct Statuses {
    results: Vec<OfAddress>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OfAddress {
    subscriber_id_string: String,
    statuses: Vec<Status>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    subscription_id: u64,
    status: String,
    timestamp: String,
}

/// What is looked at in the answer to a batch. A sync that goes on needs the ids of what it created.
#[derive(Deserialize)]
struct Written {
    results: Vec<Id>,
    #[serde(default)]
    errors: Vec<Value>,
}

#[derive(Deserialize)]
struct Id {
    #[serde(default)]
    #[expect(dead_code, reason = "it is read, as a sync has to, and not kept")]
    id: String,
}

impl Written {
    fn check(&self, path: &str, expected: usize) -> Result<(), FloorError> {
        let first = match self.errors.first() {
            None if self.results.len() == expected => return Ok(()),
            None => "no error was given".to_owned(),
            Some(first) => first.to_string(),
        };
        Err(FloorError::Refused {
            path: path.to_owned(),
            items: expected.saturating_sub(self.results.len()),
            first,
        })
    }
}

impl HubSpot {
    /// An account in which this subscription type stands for the newsletter.
    pub fn new(api: Api, subscription: u64) -> Self {
        Self { api, subscription }
    }

    /// Reads the list, page after page: each names the next.
    pub async fn contacts(self, pages: mpsc::Sender<Vec<Contact>>) -> Result<(), FloorError> {
        let mut after: Option<String> = None;
        loop {
            let mut query = vec![
                ("limit", PAGE),
                ("archived", "false"),
                ("properties", PROPERTIES),
            ];
            query.extend(after.as_deref().map(|after| ("after", after)));
            let page: Page = self.api.get("/crm/v3/objects/contacts", &query).await?;
            if pages.send(page.results).await.is_err() {
                // Nobody listens any more: another part failed and says why.
                return Ok(());
            }
            after = page
                .paging
                .and_then(|paging| paging.next)
                .map(|next| next.after);
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// What addresses said about the newsletter, by address; those that said nothing are left out.
    pub async fn consents(
        &self,
        emails: Vec<String>,
    ) -> Result<BTreeMap<String, Consent>, FloorError> {
        if emails.is_empty() {
            return Ok(BTreeMap::new());
        }
        let path = "/communication-preferences/v4/statuses/batch/read?channel=EMAIL";
        let body = json!({ "inputs": emails });
        let answer: Statuses = self.api.write(Method::POST, path, &body).await?;
        Ok(answer
            .results
            .into_iter()
            .filter_map(|of| {
                let status = of
                    .statuses
                    .into_iter()
                    .find(|status| status.subscription_id == self.subscription)?;
                let consent = match status.status.as_str() {
                    "SUBSCRIBED" => Consent::Subscribed(status.timestamp),
                    "UNSUBSCRIBED" => Consent::Unsubscribed,
                    _ => return None,
                };
                Some((of.subscriber_id_string, consent))
            })
            .collect())
    }

    /// Changes up to [`BATCH`] contacts.
    pub async fn update(&self, updates: Vec<Update>) -> Result<(), FloorError> {
        let path = "/crm/v3/objects/contacts/batch/update";
        self.batch(path, &updates, updates.len()).await
    }

    /// Creates up to [`BATCH`] contacts, then writes what their addresses say.
    pub async fn create(&self, creates: Vec<Create>) -> Result<(), FloorError> {
        let (mut inputs, mut opt_ins, mut opt_outs) = (Vec::new(), Vec::new(), Vec::new());
        for create in creates {
            inputs.push(json!({ "properties": create.properties }));
            match create.consent {
                NewConsent::None => {}
                NewConsent::OptOut => opt_outs.push(create.email),
                NewConsent::OptIn(evidence) => opt_ins.push(json!({
                    "subscriberIdString": create.email,
                    "subscriptionId": self.subscription,
                    "statusState": "SUBSCRIBED",
                    "channel": "EMAIL",
                    "legalBasis": "CONSENT_WITH_NOTICE",
                    "legalBasisExplanation": evidence,
                })),
            }
        }
        let path = "/crm/v3/objects/contacts/batch/create";
        self.batch(path, &inputs, inputs.len()).await?;
        tokio::try_join!(self.opt_in(opt_ins), self.opt_out(opt_outs))?;
        Ok(())
    }

    async fn opt_in(&self, inputs: Vec<Value>) -> Result<(), FloorError> {
        let path = "/communication-preferences/v4/statuses/batch/write";
        self.batch(path, &inputs, inputs.len()).await
    }

    /// Opts up to [`BATCH`] addresses out of all e-mail.
    pub async fn opt_out(&self, emails: Vec<String>) -> Result<(), FloorError> {
        let path = "/communication-preferences/v4/statuses/batch/unsubscribe-all?channel=EMAIL";
        // The short answer tells about errors only.
        self.batch(path, &emails, 0).await
    }

    async fn batch<T: Serialize>(
        &self,
        path: &str,
        inputs: &[T],
        results: usize,
    ) -> Result<(), FloorError> {
        if inputs.is_empty() {
            return Ok(());
        }
        let body = json!({ "inputs": inputs });
        let written: Written = self.api.write(Method::POST, path, &body).await?;
        written.check(path, results)
    }
}
