//! The Admin API: requests, the shapes that are read, and what each error means.

use jiff::Timestamp;
use samspel_connector::answers::{self, Attempt};
use samspel_connector::http::{self, Error, Request, Response};
use samspel_connector::{Failure, Outcome, Result, Value, json, time};
use serde::Deserialize;

use crate::settings::Settings;
use crate::token;

/// Below the site's origin.
pub const PATH: &str = "/ghost/api/admin";

/// The version that the shapes below are from. Ghost answers requests for older ones too.
const ACCEPT_VERSION: &str = "v5.0";

/// Ghost's largest page, whatever is asked for.
pub const PAGE: usize = 100;

/// The API with a token for one call.
#[derive(Debug)]
pub struct Api {
    root: String,
    authorization: String,
}

/// A member as Ghost tells it; only what is used. `unsubscribe_url` is not among it: it is a key to the member's
/// account.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Member {
    pub id: String,
    #[serde(default)]
    pub email: Option<String>,
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub note: Option<String>,
    #[serde(default)]
    pub geolocation: Option<String>,
    #[serde(default)]
    pub status: Option<String>,
    #[serde(default)]
    pub created_at: Option<String>,
    #[serde(default)]
    pub updated_at: Option<String>,
    #[serde(default)]
    pub last_seen_at: Option<String>,
    #[serde(default)]
    pub labels: Vec<Label>,
    /// Active newsletters only.
    #[serde(default)]
    pub newsletters: Vec<NewsletterRef>,
    #[serde(default)]
    pub email_suppression: Option<Suppression>,
}

/// A label of a member.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Label {
    pub name: String,
}

/// A newsletter that a member gets.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct NewsletterRef {
    pub id: String,
}

/// Whether Ghost still sends to the member's address.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Suppression {
    #[serde(default)]
    pub suppressed: bool,
    #[serde(default)]
    pub info: Option<SuppressionInfo>,
}

/// Why not.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct SuppressionInfo {
    /// `fail` or `spam`.
    #[serde(default)]
    pub reason: String,
    #[serde(default)]
    pub timestamp: Option<String>,
}

/// A newsletter of the site.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Newsletter {
    pub id: String,
    pub slug: String,
    #[serde(default)]
    pub name: String,
    /// `active` or `archived`.
    #[serde(default)]
    pub status: String,
    #[serde(default)]
    pub subscribe_on_signup: bool,
}

/// A member started or ended a newsletter.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct NewsletterEvent {
    pub id: String,
    pub member_id: String,
    #[serde(default)]
    pub newsletter_id: Option<String>,
    pub subscribed: bool,
    pub created_at: String,
    /// `member`, `import`, `system`, `api`, `admin`.
    #[serde(default)]
    pub source: Option<String>,
}

/// A page of members.
#[derive(Debug, Deserialize)]
pub struct Members {
    pub members: Vec<Member>,
    #[serde(default)]
    pub meta: Meta,
}

/// About a page.
#[derive(Debug, Default, Deserialize)]
pub struct Meta {
    #[serde(default)]
    pub pagination: Pagination,
}

/// Where a page stands.
#[derive(Debug, Default, Deserialize)]
pub struct Pagination {
    /// Matching items on all pages.
    #[serde(default)]
    pub total: u64,
}

/// A page of the activity feed, asked for newsletter events only.
#[derive(Debug, Deserialize)]
pub struct Events {
    pub events: Vec<Event>,
}

/// An entry of the activity feed.
#[derive(Debug, Deserialize)]
pub struct Event {
    pub data: NewsletterEvent,
}

#[derive(Deserialize)]
struct Newsletters {
    newsletters: Vec<Newsletter>,
}

#[derive(Deserialize)]
struct Webhooks {
    webhooks: Vec<Webhook>,
}

#[derive(Deserialize)]
struct Webhook {
    id: String,
}

/// What `/site/` tells.
#[derive(Debug, Deserialize)]
pub struct Site {
    pub title: String,
    pub url: String,
    pub version: String,
    #[serde(default)]
    pub site_uuid: Option<String>,
}

#[derive(Deserialize)]
struct SiteAnswer {
    site: Site,
}

#[derive(Deserialize, Default)]
struct Errors {
    #[serde(default)]
    errors: Vec<ApiError>,
}

/// An error as Ghost tells it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
struct ApiError {
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    context: Option<String>,
    #[serde(default)]
    property: Option<String>,
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    details: Option<Value>,
}

impl Api {
    /// The site's API. The token is good for some minutes, so for one call.
    pub fn open(settings: &Settings) -> Result<Self> {
        Ok(Self {
            root: settings.api(),
            authorization: format!("Ghost {}", token::fresh()?),
        })
    }

    fn request(&self, request: Request) -> Request {
        request
            .header("authorization", self.authorization.clone())
            .header("accept-version", ACCEPT_VERSION)
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.root)
    }

    /// Members by a filter, in an order.
    pub fn members(&self, filter: Option<&str>, order: &str, limit: usize) -> Request {
        self.request(
            http::get(self.url("/members/"))
                .query("limit", limit)
                .query("order", order)
                .query_opt("filter", filter),
        )
    }

    /// The same, with ids and times only.
    pub fn member_ids(&self, filter: Option<&str>, order: &str, limit: usize) -> Request {
        self.members(filter, order, limit)
            .query("fields", "id,updated_at")
    }

    /// One member.
    pub fn member(&self, id: &str) -> Request {
        self.request(http::get(
            self.url(&format!("/members/{}/", http::segment(id))),
        ))
    }

    /// Newsletter events by a filter, the newest first.
    pub fn newsletter_events(&self, filter: &str) -> Request {
        self.request(
            http::get(self.url("/members/events/"))
                .query("limit", PAGE)
                .query("filter", format!("type:newsletter_event+{filter}")),
        )
    }

    /// A new member. Ghost sends it no mail.
    pub fn create(&self, member: &Value) -> Request {
        self.request(http::post(self.url("/members/")))
            .json(&json!({"members": [member]}))
    }

    /// Sets some of a member's values.
    pub fn update(&self, id: &str, patch: &Value) -> Request {
        self.request(http::put(
            self.url(&format!("/members/{}/", http::segment(id))),
        ))
        .json(&json!({"members": [patch]}))
    }

    /// Removes a member. A paid subscription at Stripe goes on.
    pub fn delete(&self, id: &str) -> Request {
        self.request(http::delete(
            self.url(&format!("/members/{}/", http::segment(id))),
        ))
    }

    /// A new webhook of the integration. Ghost refuses a second one for the same event and address.
    pub fn add_webhook(&self, event: &str, url: &str) -> Request {
        self.request(http::post(self.url("/webhooks/")))
            .json(&json!({"webhooks": [{"event": event, "target_url": url, "name": "Samspel"}]}))
    }

    /// Removes a webhook of the integration.
    pub fn remove_webhook(&self, id: &str) -> Request {
        self.request(http::delete(
            self.url(&format!("/webhooks/{}/", http::segment(id))),
        ))
    }

    /// The site's newsletters, archived ones too.
    pub fn newsletters(&self) -> Result<Vec<Newsletter>> {
        let request = self.request(http::get(self.url("/newsletters/")).query("limit", PAGE));
        Ok(read(request.send())?.json::<Newsletters>()?.newsletters)
    }

    /// The site.
    pub fn site(&self) -> Result<Site> {
        Ok(read(self.request(http::get(self.url("/site/"))).send())?
            .json::<SiteAnswer>()?
            .site)
    }
}

/// The answer to a reading request, or what its failure means.
pub fn read(answer: Result<Response, Error>) -> Result<Response> {
    let response = answer?;
    if response.is_success() {
        return Ok(response);
    }
    let error = error(&response);
    let message = error.text();
    Err(match response.status() {
        // A malformed or foreign token is a bad request to Ghost.
        400 if error.code.as_deref() == Some("INVALID_JWT") => Failure::Unauthorized(message),
        404 => Failure::setting(
            "url",
            format!(
                "it does not lead to Ghost's Admin API ({}); it must be an origin, without a path",
                answers::describe(&response, Some(&message))
            ),
        ),
        _ => answers::failure(&response, Some(&message)),
    })
}

/// The answer to a writing request that was done, or what became of it.
pub fn written(answer: Result<Response, Error>) -> Result<Response, Box<Attempt>> {
    let response = answer.map_err(|error| Box::new(answers::unanswered(error)))?;
    if response.is_success() {
        return Ok(response);
    }
    let error = error(&response);
    let message = error.text();
    Err(Box::new(match response.status() {
        400 if error.code.as_deref() == Some("INVALID_JWT") => Err(Failure::Unauthorized(message)),
        // A proxy may answer 404 for the whole API; Ghost's own says what it looked for.
        404 if error.message.is_none() => Err(Failure::setting(
            "url",
            "it does not lead to Ghost's Admin API (HTTP 404); it must be an origin, without a path",
        )),
        422 if message.contains("already exists") => Ok(Outcome::Duplicate(None)),
        422 => Ok(Outcome::rejected(message, error.property.as_deref())),
        _ => answers::refusal(&response, Some(&message)),
    }))
}

/// The id of a webhook that was to be made; `None`: it is there already. A refusal may quote the address, which is a
/// secret.
pub fn webhook_made(answer: Result<Response, Error>, url: &str) -> Result<Option<String>> {
    let response = answer?;
    if response.is_success() {
        let made: Webhooks = response.json()?;
        return Ok(made.webhooks.into_iter().next().map(|webhook| webhook.id));
    }
    let message = error(&response).text().replace(url, "(the address)");
    if response.status() == 422 && message.contains("already been used") {
        return Ok(None);
    }
    Err(match response.status() {
        422 => Failure::Other(format!("Ghost does not take the webhook: {message}")),
        400 | 404 => read(Ok(response)).map_or_else(|failure| failure, |_| Failure::Bug(message)),
        _ => answers::failure(&response, Some(&message)),
    })
}

fn error(response: &Response) -> ApiError {
    let errors: Errors = response.json().unwrap_or_default();
    errors.errors.into_iter().next().unwrap_or_default()
}

impl ApiError {
    /// Message and context; the context is the more telling one.
    fn text(&self) -> String {
        let details = self
            .details
            .as_ref()
            .and_then(Value::as_array)
            .and_then(|details| details.first())
            .and_then(|detail| detail["message"].as_str());
        [self.message.as_deref(), self.context.as_deref(), details]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// A value in a filter (NQL): in quotes, with quotes and backslashes escaped.
pub fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// A time in a filter. Ghost compares text on SQLite, so that the `T` of RFC 3339 would find nothing.
pub fn filter_time(time: Timestamp) -> String {
    quoted(&time::to_database(time))
}

/// Several ids in a filter.
pub fn any_of<'a>(values: impl IntoIterator<Item = &'a str>) -> String {
    let values: Vec<String> = values.into_iter().map(quoted).collect();
    format!("[{}]", values.join(","))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use samspel_connector::testing::Reply;

    fn reply(status: u16, context: &str, property: Option<&str>, code: Option<&str>) -> Response {
        Reply::json(
            status,
            json!({"errors": [{
                "message": "Validation error, cannot save member.", "context": context,
                "type": "ValidationError", "details": null, "property": property, "code": code,
            }]}),
        )
        .response()
    }

    fn attempt(response: Response) -> Attempt {
        *written(Ok(response)).unwrap_err()
    }

    #[test]
    fn a_taken_address_is_a_duplicate_and_a_bad_one_is_rejected() {
        let taken = "Member already exists. Attempting to add member with existing email address";
        assert_eq!(
            attempt(reply(422, taken, Some("email"), None)),
            Ok(Outcome::Duplicate(None))
        );
        let Ok(Outcome::Rejected(rejection)) =
            attempt(reply(422, "Invalid Email", Some("email"), None))
        else {
            panic!("not rejected")
        };
        assert_eq!(rejection.field.as_deref(), Some("email"));
        assert!(rejection.reason.contains("Invalid Email"));
    }

    #[test]
    fn a_foreign_token_is_about_the_credential() {
        let bad = || reply(400, "Invalid token", None, Some("INVALID_JWT"));
        assert!(matches!(read(Ok(bad())), Err(Failure::Unauthorized(_))));
        assert!(matches!(attempt(bad()), Err(Failure::Unauthorized(_))));
    }

    #[test]
    fn a_missing_member_is_gone_and_a_missing_api_is_a_setting() {
        assert_eq!(
            attempt(reply(404, "Could not find Member 5", None, None)),
            Ok(Outcome::Gone)
        );
        assert!(matches!(
            attempt(Reply::new(404).response()),
            Err(Failure::Misconfigured(_))
        ));
    }

    #[test]
    fn filters_are_quoted() {
        assert_eq!(quoted(r"o'b\c"), r"'o\'b\\c'");
        assert_eq!(any_of(["a", "b"]), "['a','b']");
        assert_eq!(
            filter_time("2026-11-24T14:28:45Z".parse().unwrap()),
            "'2026-11-24 14:28:45'"
        );
    }
}
