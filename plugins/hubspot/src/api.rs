//! HubSpot's endpoints and what its errors mean.

use samspel_connector::answers::{self, Attempt};
use samspel_connector::http::{self, Request, Response};
use samspel_connector::{Failure, Outcome, Rejection, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The origin of every endpoint.
pub const ORIGIN: &str = "https://api.hubapi.com";

/// The credential's name.
pub const ACCESS: &str = "access";

/// Most contacts on a page of the list [V].
pub const LIST_PAGE: u32 = 100;

/// Most contacts on a page of a search [V].
pub const SEARCH_PAGE: u32 = 200;

/// Most inputs of a batch [T].
pub const BATCH: usize = 100;

/// Longest `properties` parameter that is put into a URL; beyond it contacts are read by batch.
const LONGEST_QUERY: usize = 4_000;

fn contacts(path: &str) -> String {
    format!("{ORIGIN}/crm/v3/objects/contacts{path}")
}

/// Who the account is.
pub fn account() -> Request {
    http::get(format!("{ORIGIN}/account-info/v3/details")).credential(ACCESS)
}

/// The contact properties, custom ones included.
pub fn properties() -> Request {
    http::get(format!("{ORIGIN}/crm/v3/properties/contacts")).credential(ACCESS)
}

/// Whether the list can be asked for these properties, or the URL would become too long.
pub fn fits_a_query(properties: &[String]) -> bool {
    properties.iter().map(|name| name.len() + 1).sum::<usize>() <= LONGEST_QUERY
}

/// A page of the list, in the order of ids.
pub fn list(after: Option<&str>, limit: u32, properties: &[String], archived: bool) -> Request {
    let request = http::get(contacts(""))
        .query("limit", limit.clamp(1, LIST_PAGE))
        .query_opt("after", after)
        .query("archived", archived)
        .credential(ACCESS);
    if properties.is_empty() {
        request
    } else {
        request.query("properties", properties.join(","))
    }
}

/// One contact by id.
pub fn contact(id: &str, properties: &[String], archived: bool) -> Request {
    let request = http::get(contacts(&format!("/{}", http::segment(id))))
        .query("archived", archived)
        .credential(ACCESS);
    if properties.is_empty() || !fits_a_query(properties) {
        request
    } else {
        request.query("properties", properties.join(","))
    }
}

/// Up to [`BATCH`] contacts by id, or by another unique property.
pub fn batch_read(
    ids: &[String],
    id_property: Option<&str>,
    properties: &[String],
    archived: bool,
) -> Request {
    let inputs: Vec<Value> = ids.iter().map(|id| json!({ "id": id })).collect();
    let mut body = json!({
        "inputs": inputs,
        "properties": properties,
        "propertiesWithHistory": [],
    });
    if let Some(name) = id_property {
        body["idProperty"] = name.into();
    }
    http::post(contacts("/batch/read"))
        .query("archived", archived)
        .json(&body)
        .credential(ACCESS)
        .safe()
}

/// A search. Its index lags behind the list.
pub fn search(body: &Value) -> Request {
    http::post(contacts("/search"))
        .json(body)
        .credential(ACCESS)
        .safe()
}

/// One contact to be created or updated by a batch.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Input<'a> {
    /// Of an update.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<&'a str>,
    /// What changes.
    pub properties: &'a serde_json::Map<String, Value>,
    /// Returned with errors and, in some versions, with results.
    pub object_write_trace_id: &'a str,
}

/// Creates contacts. Twice may be two contacts where there is no e-mail address.
pub fn batch_create(inputs: &[Input<'_>]) -> Request {
    http::post(contacts("/batch/create"))
        .json(&json!({ "inputs": inputs }))
        .credential(ACCESS)
}

/// Updates contacts by id; it sets values, so that repeating it is safe.
pub fn batch_update(inputs: &[Input<'_>]) -> Request {
    http::post(contacts("/batch/update"))
        .json(&json!({ "inputs": inputs }))
        .credential(ACCESS)
        .safe()
}

/// Archives contacts; they can be restored for 90 days.
pub fn batch_archive(ids: &[&str]) -> Request {
    let inputs: Vec<Value> = ids.iter().map(|id| json!({ "id": id })).collect();
    http::post(contacts("/batch/archive"))
        .json(&json!({ "inputs": inputs }))
        .credential(ACCESS)
        .safe()
}

/// The subscription statuses of e-mail addresses.
pub fn statuses(emails: &[String]) -> Request {
    http::post(format!(
        "{ORIGIN}/communication-preferences/v4/statuses/batch/read"
    ))
    .query("channel", "EMAIL")
    .json(&json!({ "inputs": emails }))
    .credential(ACCESS)
    .safe()
}

/// Sets subscription statuses.
pub fn write_statuses(inputs: &[Value]) -> Request {
    http::post(format!(
        "{ORIGIN}/communication-preferences/v4/statuses/batch/write"
    ))
    .json(&json!({ "inputs": inputs }))
    .credential(ACCESS)
    .safe()
}

/// Opts addresses out of all e-mail.
pub fn unsubscribe_all(emails: &[&str]) -> Request {
    http::post(format!(
        "{ORIGIN}/communication-preferences/v4/statuses/batch/unsubscribe-all"
    ))
    .query("channel", "EMAIL")
    .json(&json!({ "inputs": emails }))
    .credential(ACCESS)
    .safe()
}

/// An error, as a whole answer or as an entry of a batch's `errors`. Every member is optional [V].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ApiError {
    /// In words.
    pub message: Option<String>,
    /// `VALIDATION_ERROR`, `CONFLICT`, `OBJECT_NOT_FOUND`, ...
    pub category: Option<String>,
    /// `ids`, `objectWriteTraceId`, ... as lists of texts.
    pub context: Option<Value>,
    /// Of a whole answer: the details.
    pub errors: Vec<Value>,
}

/// The errors of a batch's answer, 200 or 207.
#[derive(Debug, Default, Deserialize)]
pub struct Errors {
    /// Each about one or several items.
    #[serde(default)]
    pub errors: Vec<ApiError>,
}

impl ApiError {
    /// Of an answer; empty where the body is something else (a gateway's page).
    pub fn of(response: &Response) -> Self {
        serde_json::from_slice(response.bytes()).unwrap_or_default()
    }

    /// The texts of one member of the context.
    pub fn context(&self, name: &str) -> Vec<&str> {
        match self.context.as_ref().and_then(|context| context.get(name)) {
            Some(Value::Array(values)) => values.iter().filter_map(Value::as_str).collect(),
            Some(Value::String(value)) => vec![value],
            _ => Vec::new(),
        }
    }

    fn message(&self) -> &str {
        self.message.as_deref().unwrap_or("no explanation given")
    }

    fn is(&self, category: &str) -> bool {
        self.category
            .as_deref()
            .is_some_and(|own| own.eq_ignore_ascii_case(category))
    }

    /// The contact that already has the value: "Contact already exists. Existing ID: 123" [T].
    fn existing_id(&self) -> Option<String> {
        let (_, rest) = self.message.as_deref()?.split_once("xisting ID:")?;
        let id: String = rest
            .trim_start()
            .chars()
            .take_while(char::is_ascii_digit)
            .collect();
        (!id.is_empty()).then_some(id)
    }

    /// The property to blame: "Property values were not valid: [{"name":"x",...}]" [T], or the context's.
    fn property(&self) -> Option<String> {
        if let Some(name) = self.context("propertyName").first() {
            return Some((*name).to_owned());
        }
        let (_, details) = self.message.as_deref()?.split_once("not valid:")?;
        let details: Vec<Value> = serde_json::from_str(details.trim()).ok()?;
        let name = details.first()?.get("name")?.as_str()?;
        Some(name.to_owned())
    }

    /// What became of the one write that this error is about.
    pub fn outcome(&self) -> Outcome {
        let already_exists = self.message.as_deref().is_some_and(|message| {
            message.contains("already exists") || message.contains("already has that value")
        });
        if self.is("CONFLICT") || already_exists {
            return Outcome::Duplicate(self.existing_id());
        }
        if self.is("OBJECT_NOT_FOUND") || self.is("NOT_FOUND") {
            return Outcome::Gone;
        }
        if self.is("RATE_LIMITS") || self.is("RATE_LIMIT") {
            return Outcome::deferred(self.message());
        }
        Outcome::Rejected(Rejection {
            reason: self.message().to_owned(),
            field: self.property(),
        })
    }
}

/// Sends a read.
pub fn read(request: Request) -> Result<Response> {
    accept(request.send())
}

/// The answer to a read, or why the call fails.
pub fn accept(answer: Result<Response, http::Error>) -> Result<Response> {
    answer?.success_or(failure)
}

/// A read's error.
pub fn failure(response: &Response) -> Failure {
    answers::failure(response, ApiError::of(response).message.as_deref())
}

/// A write of one item that was refused as a whole.
pub fn refusal(response: &Response) -> Attempt {
    let error = ApiError::of(response);
    match response.status() {
        400 | 404 | 409 | 422 => Ok(match (response.status(), error.outcome()) {
            (404, _) => Outcome::Gone,
            (409, Outcome::Rejected(_)) => Outcome::Duplicate(error.existing_id()),
            (_, outcome) => outcome,
        }),
        _ => answers::refusal(response, error.message.as_deref()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use samspel_connector::testing::Reply;

    fn error(body: Value) -> ApiError {
        serde_json::from_value(body).unwrap()
    }

    #[test]
    fn a_conflict_names_the_existing_contact() {
        let conflict = error(json!({
            "category": "CONFLICT", "message": "Contact already exists. Existing ID: 4711",
        }));
        assert_eq!(conflict.outcome(), Outcome::Duplicate(Some("4711".into())));
        let terse = error(json!({ "category": "CONFLICT", "message": "Conflict" }));
        assert_eq!(terse.outcome(), Outcome::Duplicate(None));
    }

    #[test]
    fn a_validation_error_names_the_property() {
        let invalid = error(json!({
            "category": "VALIDATION_ERROR",
            "message": "Property values were not valid: [{\"isValid\":false,\"name\":\"birthday\"}]",
        }));
        assert!(matches!(
            invalid.outcome(),
            Outcome::Rejected(rejection) if rejection.field.as_deref() == Some("birthday")
        ));
    }

    #[test]
    fn an_error_without_any_member_is_a_rejection() {
        assert!(matches!(error(json!({})).outcome(), Outcome::Rejected(_)));
    }

    #[test]
    fn a_page_of_a_gateway_is_no_json_and_still_an_error() {
        let page = Reply::new(502).response();
        assert!(matches!(failure(&page), Failure::Unavailable(_)));
        assert!(matches!(refusal(&page), Ok(Outcome::Unknown(_))));
    }
}
