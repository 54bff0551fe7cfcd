//! A plain client for the simulators.

use reqwest::{Client, Method, RequestBuilder};
use samspel_vendors::Running;
use samspel_vendors::hubspot::{self, HubSpot, HubSpotOptions, HubSpotQuirks};
use samspel_vendors::mailchimp::{self, LIST_ID, Mailchimp, MailchimpOptions, MailchimpQuirks};
use samspel_vendors::settings::Settings;
use serde_json::Value;

/// A simulator that serves, and a client that speaks to it.
pub struct Api<V> {
    pub running: Running<V>,
    pub client: Client,
    basic: bool,
    credential: String,
}

/// Status, and the body as JSON (null when it is none).
pub type Answer = (u16, Value);

impl<V> Api<V> {
    fn new(running: Running<V>, credential: &str, basic: bool) -> Self {
        Self {
            running,
            client: Client::new(),
            basic,
            credential: credential.to_owned(),
        }
    }

    pub fn vendor(&self) -> &V {
        &self.running.vendor
    }

    /// A request without a credential.
    pub fn bare(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.running.url))
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.bare(method, path);
        if self.basic {
            request.basic_auth("any", Some(&self.credential))
        } else {
            request.bearer_auth(&self.credential)
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        answer(self.request(Method::GET, path)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        answer(self.request(Method::DELETE, path)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        answer(self.request(Method::POST, path).json(&body)).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        answer(self.request(Method::PUT, path).json(&body)).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        answer(self.request(Method::PATCH, path).json(&body)).await
    }
}

pub async fn answer(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let body = response.bytes().await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

pub async fn hubspot(quirks: HubSpotQuirks) -> Api<HubSpot> {
    let settings = Settings {
        quirks,
        ..Settings::default()
    };
    let hubspot = HubSpot::new(HubSpotOptions {
        settings,
        ..HubSpotOptions::default()
    });
    Api::new(
        hubspot.serve_on_loopback().await.unwrap(),
        hubspot::DEFAULT_TOKEN,
        false,
    )
}

pub async fn mailchimp(quirks: MailchimpQuirks) -> Api<Mailchimp> {
    let settings = Settings {
        quirks,
        ..Settings::default()
    };
    let mailchimp = Mailchimp::new(MailchimpOptions {
        settings,
        ..MailchimpOptions::default()
    });
    Api::new(
        mailchimp.serve_on_loopback().await.unwrap(),
        mailchimp::DEFAULT_KEY,
        true,
    )
}

/// A path below the list.
pub fn list(path: &str) -> String {
    format!("/3.0/lists/{LIST_ID}{path}")
}

/// The texts found at `pointer` in each entry of an array.
pub fn column(entries: &Value, pointer: &str) -> Vec<String> {
    let texts = entries.as_array().unwrap().iter();
    texts
        .map(|entry| {
            entry
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or("(none)")
                .to_owned()
        })
        .collect()
}
