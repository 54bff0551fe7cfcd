//! Reads pages of contacts, each page's consents together with the request for the next page.

use samspel_connector::fields::Selection;
use samspel_connector::{Entity, Failure, Result, http};
use serde::Deserialize;

use crate::consent::{self, Statuses};
use crate::contact::{Contact, Detail};
use crate::settings::Settings;
use crate::{api, property};

/// A page of contacts, of the list, a search or a batch.
#[derive(Debug, Deserialize)]
pub struct ContactPage {
    /// The contacts. Always there [V]: without them an answer of another kind would be an empty account.
    pub results: Vec<Contact>,
    #[serde(default)]
    paging: Option<Paging>,
}

#[derive(Debug, Deserialize)]
struct Paging {
    #[serde(default)]
    next: Option<Next>,
}

#[derive(Debug, Deserialize)]
struct Next {
    after: String,
}

impl ContactPage {
    /// Where the next page starts; `None` after the last.
    pub fn after(&self) -> Option<&str> {
        let next = self.paging.as_ref()?.next.as_ref()?;
        Some(next.after.as_str()).filter(|after| !after.is_empty())
    }
}

/// Something that has pages.
pub trait Pages {
    /// The request for the next page; `None` when everything was read.
    fn request(&self) -> Option<http::Request>;

    /// Takes the answer, moves on, and gives the contacts of the page.
    fn accept(&mut self, answer: &http::Response) -> Result<Vec<Contact>>;
}

/// Turns pages into records.
pub struct Reader<'a> {
    /// The account's settings.
    pub settings: &'a Settings,
    /// What the host asked for.
    pub selection: &'a Selection,
}

impl Reader<'_> {
    /// The properties that requests must name.
    pub fn properties(&self) -> Result<Vec<String>> {
        let mut names = Detail::of(self.selection).properties(self.settings);
        match self.selection {
            Selection::Only(selected) => names.extend(selected.iter().cloned()),
            Selection::All => names.extend(
                property::all()?
                    .into_iter()
                    .map(|property| property.name().to_owned()),
            ),
        }
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    /// Reads until about `limit` records are there or everything was read.
    pub fn read(&self, limit: u32, pages: &mut impl Pages) -> Result<Vec<Entity>> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut entities = Vec::new();
        let mut waiting: Vec<Contact> = Vec::new();
        loop {
            let next = pages
                .request()
                .filter(|_| entities.len() + waiting.len() < limit);
            let consents = self.statuses_of(&waiting);
            if next.is_none() && waiting.is_empty() {
                return Ok(entities);
            }
            let has_next = next.is_some();
            let mut answers = http::send_all(next.into_iter().chain(consents)).into_iter();
            let page = if has_next { answers.next() } else { None };
            let statuses = self.statuses(answers.collect())?;
            entities.extend(
                waiting
                    .iter()
                    .map(|contact| contact.entity(self.selection, self.settings, &statuses)),
            );
            waiting = match page {
                Some(answer) => pages.accept(&api::accept(answer)?)?,
                None => Vec::new(),
            };
        }
    }

    /// The records of contacts that are there already.
    pub fn entities(&self, contacts: &[Contact]) -> Result<Vec<Entity>> {
        let statuses = self.statuses(http::send_all(self.statuses_of(contacts)))?;
        Ok(contacts
            .iter()
            .map(|contact| contact.entity(self.selection, self.settings, &statuses))
            .collect())
    }

    /// The same, without what their people consent to.
    pub fn values(&self, contacts: &[Contact]) -> Vec<Entity> {
        let untold = Statuses::not_asked();
        let mut entities: Vec<Entity> = contacts
            .iter()
            .map(|contact| contact.entity(self.selection, self.settings, &untold))
            .collect();
        for entity in &mut entities {
            entity.consents.clear();
        }
        entities
    }

    fn statuses_of(&self, contacts: &[Contact]) -> Vec<http::Request> {
        if Detail::of(self.selection) == Detail::Revision {
            return Vec::new();
        }
        let mut emails: Vec<String> = contacts
            .iter()
            .filter_map(Contact::email)
            .map(str::to_lowercase)
            .collect();
        emails.sort_unstable();
        emails.dedup();
        emails
            .chunks(api::BATCH)
            .filter_map(|chunk| consent::request(self.settings, chunk))
            .collect()
    }

    fn statuses(&self, answers: Vec<Result<http::Response, http::Error>>) -> Result<Statuses> {
        let Some(subscription) = self.settings.subscription_id else {
            return Ok(Statuses::not_asked());
        };
        let mut all = Statuses::of(subscription);
        for answer in answers {
            let answer = answer?.success_or(|response| match response.status() {
                404 => Failure::setting(
                    "subscription_id",
                    "HubSpot does not know the communication preferences of this account",
                ),
                _ => api::failure(response),
            })?;
            all.read(&answer)?;
        }
        Ok(all)
    }
}
