//! Mailchimp's endpoints and what its errors mean.

use md5::{Digest, Md5};
use samspel_connector::answers::{self, Attempt};
use samspel_connector::http::{self, Request, Response};
use samspel_connector::{Failure, Outcome, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::settings::Settings;

/// The credential's name.
pub const ACCESS: &str = "access";

/// The origin, with the setting that stands for the data centre.
pub const ORIGIN: &str = "https://{dc}.api.mailchimp.com";

/// Most members on a page [V].
pub const PAGE: u32 = 1_000;

/// Most members that one request adds [V].
pub const BATCH: usize = 500;

/// Most connections at once [T].
pub const CONNECTIONS: u32 = 10;

/// The endpoints of one audience.
pub struct Api<'a> {
    settings: &'a Settings,
}

impl<'a> Api<'a> {
    /// Of the account's settings.
    pub fn new(settings: &'a Settings) -> Self {
        Self { settings }
    }

    fn list(&self, path: &str) -> String {
        format!(
            "https://{}.api.mailchimp.com/3.0/lists/{}{path}",
            http::segment(&self.settings.dc),
            http::segment(&self.settings.list_id)
        )
    }

    fn one(&self, member: &str) -> String {
        self.list(&format!("/members/{}", http::segment(member)))
    }

    /// The audience itself.
    pub fn audience(&self) -> Request {
        http::get(self.list(""))
            .query("fields", "id,name")
            .credential(ACCESS)
    }

    /// The audience's merge fields.
    pub fn merge_fields(&self) -> Request {
        http::get(self.list("/merge-fields"))
            .query("count", PAGE)
            .query("fields", "merge_fields")
            .credential(ACCESS)
    }

    /// A page of members, the longest unchanged first.
    pub fn members(
        &self,
        fields: &str,
        count: u32,
        offset: u64,
        status: Option<&str>,
        since: Option<&str>,
    ) -> Request {
        http::get(self.list("/members"))
            .query("count", count)
            .query("offset", offset)
            .query("sort_field", "last_changed")
            .query("sort_dir", "ASC")
            .query_opt("status", status)
            .query_opt("since_last_changed", since)
            .query("fields", fields)
            .credential(ACCESS)
    }

    /// A page of the keys under which members are archived.
    pub fn archived(&self, offset: usize) -> Request {
        http::get(self.list("/members"))
            .query("status", "archived")
            .query("count", PAGE)
            .query("offset", offset)
            .query("fields", "members.id,total_items")
            .credential(ACCESS)
    }

    /// One member, by contact id or by the hash of the address.
    pub fn member(&self, member: &str, fields: &str) -> Request {
        http::get(self.one(member))
            .query("fields", fields)
            .credential(ACCESS)
    }

    /// Adds members; never changes one that is there. Repeating it cannot add anybody twice: the address is the key.
    pub fn add(&self, members: &[Value]) -> Request {
        http::post(self.list(""))
            .query("skip_merge_validation", self.settings.skip_merge_validation)
            .query("skip_duplicate_check", false)
            .json(&json!({ "members": members, "update_existing": false }))
            .credential(ACCESS)
    }

    /// Changes a member.
    pub fn change(&self, member: &str, body: &Value) -> Request {
        http::patch(self.one(member))
            .query("skip_merge_validation", self.settings.skip_merge_validation)
            .json(body)
            .credential(ACCESS)
    }

    /// Archives a member.
    pub fn archive(&self, member: &str) -> Request {
        http::delete(self.one(member)).credential(ACCESS)
    }

    /// The audience's webhooks. The documents know no pages of them [V].
    pub fn webhooks(&self) -> Request {
        http::get(self.list("/webhooks")).credential(ACCESS)
    }

    /// Adds a webhook; doing it twice adds two.
    pub fn add_webhook(&self, webhook: &impl Serialize) -> Request {
        http::post(self.list("/webhooks"))
            .json(webhook)
            .credential(ACCESS)
    }

    /// Changes a webhook.
    pub fn change_webhook(&self, id: &str, webhook: &impl Serialize) -> Request {
        http::patch(self.webhook(id))
            .json(webhook)
            .credential(ACCESS)
    }

    /// Removes a webhook.
    pub fn remove_webhook(&self, id: &str) -> Request {
        http::delete(self.webhook(id)).credential(ACCESS)
    }

    fn webhook(&self, id: &str) -> String {
        self.list(&format!("/webhooks/{}", http::segment(id)))
    }

    /// A read's error. The audience's own paths are the only ones that 404 can be about here.
    pub fn failure(&self, response: &Response) -> Failure {
        if response.status() == 404 {
            return Failure::setting(
                "list_id",
                format!(
                    "Mailchimp has no audience `{}` in this account; look up its id under Audience, Settings",
                    self.settings.list_id
                ),
            );
        }
        failure(response)
    }

    /// The answer to a read about the audience.
    pub fn read(&self, answer: Result<Response, http::Error>) -> Result<Response> {
        answer?.success_or(|response| self.failure(response))
    }
}

/// Mailchimp's key of an address: the MD5 of its lower-case form [V].
pub fn key(email: &str) -> String {
    let digest = Md5::digest(email.trim().to_lowercase().as_bytes());
    digest
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 0xf])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

/// A problem document (RFC 9457).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Problem {
    title: Option<String>,
    detail: Option<String>,
    errors: Vec<Blame>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Blame {
    field: String,
    message: String,
}

impl Problem {
    /// Of an answer; `None` where the body is something else.
    pub fn of(response: &Response) -> Option<Self> {
        serde_json::from_slice::<Self>(response.bytes())
            .ok()
            .filter(|problem| problem.title.is_some() || problem.detail.is_some())
    }

    fn message(&self) -> String {
        let mut message = [&self.title, &self.detail]
            .into_iter()
            .flatten()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(": ");
        for blame in &self.errors {
            message.push_str(&format!(" {}: {}", blame.field, blame.message));
        }
        message
    }

    /// What became of the one write that this problem is about. `None`: what its status says.
    fn outcome(&self) -> Option<Outcome> {
        let field = self.errors.first().map(|blame| blame.field.as_str());
        let text = self.message();
        match self.title.as_deref() {
            Some("Member In Compliance State" | "Forgotten Email Not Subscribed") => {
                Some(Outcome::Suppressed(text))
            }
            Some("Member Exists") => Some(Outcome::Duplicate(None)),
            _ => Meaning::of(&text, field).map(|meaning| meaning.outcome(&text)),
        }
    }
}

/// What one of Mailchimp's sentences says. Batches tell errors by sentence only [T].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// The address is on the list already.
    Exists,
    /// The person left, bounced or was deleted for good: only they themselves can come back.
    Protected,
    /// The address is none, or is made up.
    BadAddress,
    /// A field was refused.
    BadField(String),
}

impl Meaning {
    /// Of a sentence, and the field that stands with it.
    pub fn of(text: &str, field: Option<&str>) -> Option<Self> {
        let text = text.to_lowercase();
        let has = |part: &str| text.contains(part);
        if has("already a list member") || has("already exists") {
            return Some(Self::Exists);
        }
        if has("compliance state")
            || has("permanently deleted")
            || has("cannot be re-imported")
            || has("has unsubscribed")
            || has("has bounced")
        {
            return Some(Self::Protected);
        }
        if has("looks fake or invalid") || has("valid email address") {
            return Some(Self::BadAddress);
        }
        field
            .filter(|field| !field.is_empty())
            .map(|field| Self::BadField(field.trim_start_matches("merge_fields.").to_owned()))
    }

    /// As an outcome.
    pub fn outcome(&self, text: &str) -> Outcome {
        match self {
            Self::Exists => Outcome::Duplicate(None),
            Self::Protected => Outcome::Suppressed(text.to_owned()),
            Self::BadAddress => Outcome::rejected(text, Some("email_address")),
            Self::BadField(field) => Outcome::rejected(text, Some(field)),
        }
    }
}

/// Throttled: 429, or a 403 that is no problem document [T].
fn is_throttled(response: &Response) -> bool {
    match response.status() {
        429 => true,
        403 => Problem::of(response).is_none(),
        _ => false,
    }
}

/// A read's error.
pub fn failure(response: &Response) -> Failure {
    if is_throttled(response) {
        return Failure::Throttled(response.retry_after());
    }
    let message = Problem::of(response).map(|problem| problem.message());
    answers::failure(response, message.as_deref())
}

/// A write of one member that was refused.
pub fn refusal(response: &Response) -> Attempt {
    if is_throttled(response) {
        return Err(Failure::Throttled(response.retry_after()));
    }
    let problem = Problem::of(response);
    let meant = match response.status() {
        400 | 409 | 422 => problem.as_ref().and_then(Problem::outcome),
        _ => None,
    };
    match meant {
        Some(outcome) => Ok(outcome),
        None => answers::refusal(
            response,
            problem.map(|problem| problem.message()).as_deref(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use samspel_connector::testing::Reply;

    fn problem(status: u16, title: &str, detail: &str) -> Response {
        Reply::json(status, json!({ "title": title, "detail": detail })).response()
    }

    #[test]
    fn a_bare_403_is_patience_and_a_real_one_is_not() {
        assert_eq!(
            failure(&Reply::new(403).response()),
            Failure::Throttled(None)
        );
        assert_eq!(
            refusal(&Reply::new(403).response()),
            Err(Failure::Throttled(None))
        );
        assert!(matches!(
            failure(&problem(403, "Forbidden", "no")),
            Failure::Forbidden(_)
        ));
    }

    #[test]
    fn protection_of_a_person_is_no_failure() {
        let compliance = problem(
            400,
            "Member In Compliance State",
            "x is in a compliance state",
        );
        assert!(matches!(refusal(&compliance), Ok(Outcome::Suppressed(_))));
        let sentence = "x was permanently deleted and cannot be re-imported.";
        assert_eq!(Meaning::of(sentence, None), Some(Meaning::Protected));
    }

    #[test]
    fn sentences_are_understood() {
        let exists = "a@b.se is already a list member. Use PUT to insert or update list members.";
        assert_eq!(Meaning::of(exists, None), Some(Meaning::Exists));
        let fake = "a@b looks fake or invalid, please enter a real email address.";
        assert_eq!(Meaning::of(fake, None), Some(Meaning::BadAddress));
        assert_eq!(
            Meaning::of(
                "Your merge fields were invalid.",
                Some("merge_fields.BIRTHDAY")
            ),
            Some(Meaning::BadField("BIRTHDAY".into()))
        );
        assert_eq!(Meaning::of("something else", Some("")), None);
    }

    #[test]
    fn the_key_of_an_address_ignores_its_case() {
        assert_eq!(
            key(" Urist.McVankab@freddiesjokes.com"),
            "62eeb292278cc15f5817cb78f7790b08"
        );
    }
}
