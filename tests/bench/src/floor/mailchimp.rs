//! Mailchimp: the requests that the connector makes, without the connector.

use std::collections::BTreeMap;

use reqwest::Method;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::FloorError;
use super::api::Api;

/// Most members on a page.
const PAGE: &str = "1000";

/// Most members that one request adds.
pub const BATCH: usize = 500;

const FIELDS: &str = "members.contact_id,members.email_address,members.merge_fields.COMPANY,members.merge_fields.FNAME,\
                      members.merge_fields.LNAME,members.merge_fields.PHONE,members.source,members.status,\
                      members.timestamp_opt,total_items";

/// Merge fields to write.
pub type Changes = BTreeMap<&'static str, String>;

/// A member as the list shows it.
#[derive(Debug, Deserialize)]
pub struct Member {
    /// Stays the same when the address changes.
    pub contact_id: String,
    /// The address.
    pub email_address: String,
    /// `subscribed`, `unsubscribed`, `cleaned`, `pending` or `transactional`.
    pub status: String,
    /// When the member opted in; empty where nobody knows.
    #[serde(default)]
    pub timestamp_opt: String,
    /// Where the member came from.
    #[serde(default)]
    pub source: String,
    /// The merge fields that the sync needs.
    pub merge_fields: MergeFields,
}

/// The merge fields that the sync needs; an empty one is an empty text.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "UPPERCASE", default)]
pub struct MergeFields {
    pub fname: String,
    pub lname: String,
    pub phone: String,
    pub company: String,
}

/// A member to be added.
#[derive(Debug, Serialize)]
pub struct Add {
    /// The address.
    pub email_address: String,
    /// What the member starts with.
    pub status: &'static str,
    /// When the person opted in, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp_opt: Option<String>,
    /// Everything else.
    pub merge_fields: Changes,
}

/// What changes of a member.
#[derive(Debug, Default, Serialize)]
pub struct Change {
    /// Set only to `unsubscribed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<&'static str>,
    /// Merge fields.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub merge_fields: Changes,
}

impl Change {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.status.is_none() && self.merge_fields.is_empty()
    }
}

/// The audience.
#[derive(Clone)]
pub struct Mailchimp {
    api: Api,
    list: String,
}

#[derive(Deserialize)]
struct Page<T> {
    members: Vec<T>,
    total_items: usize,
}

#[derive(Deserialize)]
struct Address {
    email_address: String,
}

/// What is looked at in the answer to a batch. A sync that goes on needs the ids of what it added.
#[derive(Deserialize)]
struct Added {
    new_members: Vec<Id>,
    errors: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Id {
    #[expect(dead_code, reason = "it is read, as a sync has to, and not kept")]
    contact_id: String,
}

impl Mailchimp {
    /// The audience of this id.
    pub fn new(api: Api, list_id: &str) -> Self {
        Self {
            api,
            list: format!("/3.0/lists/{list_id}"),
        }
    }

    /// Reads all members. Nothing is written before the last page is there, so that the list does not move under it.
    pub async fn members(self) -> Result<Vec<Member>, FloorError> {
        self.list(&[
            ("sort_field", "last_changed"),
            ("sort_dir", "ASC"),
            ("fields", FIELDS),
        ])
        .await
    }

    /// Reads the addresses of archived members. Adding one would bring the member back, and an opt-out from before
    /// would be gone.
    pub async fn archived(self) -> Result<Vec<String>, FloorError> {
        let archived: Vec<Address> = self
            .list(&[
                ("status", "archived"),
                ("fields", "members.email_address,total_items"),
            ])
            .await?;
        Ok(archived
            .into_iter()
            .map(|member| member.email_address)
            .collect())
    }

    async fn list<T: DeserializeOwned>(
        &self,
        query: &[(&str, &str)],
    ) -> Result<Vec<T>, FloorError> {
        let path = format!("{}/members", self.list);
        let mut members = Vec::new();
        loop {
            let offset = members.len().to_string();
            let range = [("count", PAGE), ("offset", offset.as_str())];
            let page: Page<T> = self.api.get(&path, &[query, &range].concat()).await?;
            let read = page.members.len();
            members.extend(page.members);
            if read == 0 || members.len() >= page.total_items {
                return Ok(members);
            }
        }
    }

    /// Adds up to [`BATCH`] members.
    pub async fn add(&self, members: Vec<Add>) -> Result<(), FloorError> {
        let path = format!(
            "{}?skip_merge_validation=true&skip_duplicate_check=false",
            self.list
        );
        let wanted = members.len();
        let body = json!({ "members": members, "update_existing": false });
        let added: Added = self.api.write(Method::POST, &path, &body).await?;
        match added.errors.first() {
            None if added.new_members.len() == wanted => Ok(()),
            None => Err(FloorError::Refused {
                path,
                items: wanted - added.new_members.len(),
                first: "no error was given".to_owned(),
            }),
            Some(first) => Err(FloorError::Refused {
                path,
                items: added.errors.len(),
                first: first.to_string(),
            }),
        }
    }

    /// Changes one member. There is no request that changes several.
    pub async fn change(&self, contact_id: &str, change: &Change) -> Result<(), FloorError> {
        let path = format!(
            "{}/members/{contact_id}?skip_merge_validation=true",
            self.list
        );
        let _: Id = self.api.write(Method::PATCH, &path, change).await?;
        Ok(())
    }
}
