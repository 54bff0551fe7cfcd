//! Requests and answers. The host adds the credential, retries what is safe, and keeps to the account's budget.
//!
//! ```no_run
//! # use samspel_connector::{http, Result, Value};
//! # fn f() -> Result<()> {
//! let page: Value = http::get("https://api.example.com/people")
//!     .query("limit", 100)
//!     .credential("access")
//!     .send()?
//!     .success()?
//!     .json()?;
//! # Ok(()) }
//! ```

use std::fmt::Display;

use jiff::{SignedDuration, Timestamp};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use crate::bindings::samspel::connector::http as wire;
use crate::{Failure, Result, answers, clock, imports, time};

pub use wire::{HttpError as Error, Replay};

/// RFC 3986's unreserved characters stay as they are.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// How far the host's clock may be ahead of the server's, where an answer has no `Date`.
const CLOCK_MARGIN: SignedDuration = SignedDuration::from_mins(15);

/// One segment of a path, encoded: an id or an e-mail address may hold a `/` or a `?`.
pub fn segment(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// A `GET`, safe to repeat.
pub fn get(url: impl Into<String>) -> Request {
    Request::new("GET", url, Replay::Safe)
}

/// A `POST`, not safe to repeat unless [`Request::safe`] says so.
pub fn post(url: impl Into<String>) -> Request {
    Request::new("POST", url, Replay::Unsafe)
}

/// A `PUT`, safe to repeat.
pub fn put(url: impl Into<String>) -> Request {
    Request::new("PUT", url, Replay::Safe)
}

/// A `PATCH`, safe to repeat: it sets values.
pub fn patch(url: impl Into<String>) -> Request {
    Request::new("PATCH", url, Replay::Safe)
}

/// A `DELETE`, safe to repeat.
pub fn delete(url: impl Into<String>) -> Request {
    Request::new("DELETE", url, Replay::Safe)
}

/// A request under construction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    wire: wire::Request,
    has_query: bool,
    /// A body that could not be written as JSON; told when the request is sent.
    broken: Option<String>,
}

impl Request {
    /// Any other method.
    pub fn new(method: &str, url: impl Into<String>, replay: Replay) -> Self {
        let url = url.into();
        Self {
            has_query: url.contains('?'),
            wire: wire::Request {
                method: method.to_owned(),
                url,
                headers: Vec::new(),
                body: None,
                credential: None,
                replay,
            },
            broken: None,
        }
    }

    /// Adds a query parameter, encoded.
    pub fn query(mut self, name: &str, value: impl Display) -> Self {
        let separator = if self.has_query { '&' } else { '?' };
        self.has_query = true;
        self.wire.url.push(separator);
        self.wire.url.push_str(&segment(name));
        self.wire.url.push('=');
        self.wire.url.push_str(&segment(&value.to_string()));
        self
    }

    /// Adds a query parameter where there is a value.
    pub fn query_opt(self, name: &str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.query(name, value),
            None => self,
        }
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.wire.headers.push((name.to_owned(), value.into()));
        self
    }

    /// The body as JSON, with its content type.
    pub fn json(mut self, body: &impl Serialize) -> Self {
        match serde_json::to_vec(body) {
            Ok(bytes) => self.wire.body = Some(bytes),
            Err(error) => self.broken = Some(error.to_string()),
        }
        self.header("content-type", "application/json")
    }

    /// The body as it is.
    pub fn body(mut self, content_type: &str, body: Vec<u8>) -> Self {
        self.wire.body = Some(body);
        self.header("content-type", content_type)
    }

    /// The credential that the host shall add, by the name that the descriptor declares.
    pub fn credential(mut self, name: &str) -> Self {
        self.wire.credential = Some(name.to_owned());
        self
    }

    /// Doing it twice equals doing it once; the host may repeat it.
    pub fn safe(mut self) -> Self {
        self.wire.replay = Replay::Safe;
        self
    }

    /// Doing it twice may create two things; the host repeats it only where it was certainly not executed.
    pub fn unsafe_to_repeat(mut self) -> Self {
        self.wire.replay = Replay::Unsafe;
        self
    }

    /// Sends it and waits for the answer. Any status is an answer: [`Response::success`] makes errors of them.
    pub fn send(self) -> Result<Response, Error> {
        if let Some(why) = self.broken {
            return Err(Error::Other(format!("the body cannot be JSON: {why}")));
        }
        imports::send(&self.wire).map(Response::from)
    }
}

/// Sends all of them at once, within the account's budget. Answers come in the order of the requests.
pub fn send_all(requests: impl IntoIterator<Item = Request>) -> Vec<Result<Response, Error>> {
    let requests: Vec<Request> = requests.into_iter().collect();
    if let Some(why) = requests.iter().find_map(|request| request.broken.clone()) {
        // None of them was sent, which is what the caller must be able to rely on.
        return requests
            .iter()
            .map(|_| Err(Error::NotSent(format!("a body cannot be JSON: {why}"))))
            .collect();
    }
    if requests.is_empty() {
        return Vec::new();
    }
    let wires: Vec<wire::Request> = requests.into_iter().map(|request| request.wire).collect();
    imports::send_all(&wires)
        .into_iter()
        .map(|answer| answer.map(Response::from))
        .collect()
}

/// An answer, whatever its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response(wire::Response);

impl From<wire::Response> for Response {
    fn from(response: wire::Response) -> Self {
        Self(response)
    }
}

impl Response {
    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.0.status
    }

    /// 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.0.status)
    }

    /// The first header of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.0
            .headers
            .iter()
            .find(|(candidate, _)| candidate.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The body's bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0.body
    }

    /// The body as JSON. A body of another shape is the connector's error: its author expected something else. The
    /// message names the place and holds nothing of the body, which may be about a person.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        read_json(&self.0.body).map_err(|why| {
            Failure::Bug(format!(
                "the answer (HTTP {}) has an unexpected shape: {why}",
                self.0.status
            ))
        })
    }

    /// The answer if it is 2xx, and else what its status usually means; see [`answers::failure`].
    pub fn success(self) -> Result<Self> {
        self.success_or(|response| answers::failure(response, None))
    }

    /// The answer if it is 2xx, and else what this API means by it.
    pub fn success_or(self, failure: impl FnOnce(&Self) -> Failure) -> Result<Self> {
        if self.is_success() {
            Ok(self)
        } else {
            Err(failure(&self))
        }
    }

    /// When the server answered, by its own clock.
    pub fn date(&self) -> Option<Timestamp> {
        self.header("date").and_then(time::http_date)
    }

    /// A time that is not later than the server's clock at this answer: its `Date`, or without one the host's clock
    /// less a generous margin.
    pub fn server_time(&self) -> Timestamp {
        self.date().unwrap_or_else(|| {
            clock::now()
                .checked_sub(CLOCK_MARGIN)
                .unwrap_or(Timestamp::UNIX_EPOCH)
        })
    }

    /// How long `Retry-After` asks to wait, in milliseconds, be it seconds or a date.
    pub fn retry_after(&self) -> Option<u64> {
        let value = self.header("retry-after")?.trim();
        if let Ok(seconds) = value.parse::<u64>() {
            return seconds.checked_mul(1_000);
        }
        let until = time::http_date(value)?;
        let from = self.date().unwrap_or_else(clock::now);
        u64::try_from(until.duration_since(from).as_millis().max(0)).ok()
    }
}

/// A body as JSON, or why it is none of this shape.
pub(crate) fn read_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| explain::<T>(body, &error))
}

/// Why JSON could not be read, and where. The parser's own words about a value would quote it.
fn explain<T: DeserializeOwned>(body: &[u8], error: &serde_json::Error) -> String {
    match error.classify() {
        Category::Data => {
            let text = error.to_string();
            let what = match text.split_once(" at line ") {
                Some((what, _)) if what.starts_with("missing field") => what,
                _ => "another kind of value",
            };
            format!("{what} at {}", place::<T>(body))
        }
        Category::Eof => "it ends early".to_owned(),
        Category::Syntax | Category::Io => format!(
            "it is not JSON at line {} column {}",
            error.line(),
            error.column()
        ),
    }
}

/// Where the shape is another one. Following the path costs time, so only a body that was refused is read again.
fn place<T: DeserializeOwned>(body: &[u8]) -> String {
    let mut json = serde_json::Deserializer::from_slice(body);
    match serde_path_to_error::deserialize::<_, T>(&mut json) {
        Err(error) if error.path().iter().len() > 0 => format!("`{}`", error.path()),
        _ => "its top".to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::testing::Reply;

    #[test]
    fn queries_are_encoded_and_joined() {
        let request = get("https://example.com/a")
            .query("q", "a b&c=ü")
            .query("limit", 100)
            .query_opt("after", None::<&str>)
            .query_opt("x", Some("1"));
        assert_eq!(
            request.wire.url,
            "https://example.com/a?q=a%20b%26c%3D%C3%BC&limit=100&x=1"
        );
        assert_eq!(
            get("https://example.com/?a=1").query("b", 2).wire.url,
            "https://example.com/?a=1&b=2"
        );
    }

    #[test]
    fn a_segment_cannot_leave_its_place() {
        assert_eq!(segment("../a?b#c/d@e.se"), "..%2Fa%3Fb%23c%2Fd%40e.se");
    }

    #[test]
    fn only_posts_are_unsafe_by_themselves() {
        assert_eq!(post("u").wire.replay, Replay::Unsafe);
        assert_eq!(post("u").safe().wire.replay, Replay::Safe);
        for request in [get("u"), put("u"), patch("u"), delete("u")] {
            assert_eq!(request.wire.replay, Replay::Safe);
        }
    }

    #[test]
    fn retry_after_is_read_as_seconds_and_as_a_date() {
        let seconds = Reply::new(429).header("Retry-After", "7").response();
        assert_eq!(seconds.retry_after(), Some(7_000));
        let date = Reply::new(503)
            .header("date", "Tue, 24 Nov 2026 05:16:00 GMT")
            .header("retry-after", "Tue, 24 Nov 2026 05:17:30 GMT")
            .response();
        assert_eq!(date.retry_after(), Some(90_000));
        assert_eq!(Reply::new(503).response().retry_after(), None);
        let past = Reply::new(503)
            .header("date", "Tue, 24 Nov 2026 05:16:00 GMT")
            .header("retry-after", "Tue, 24 Nov 2026 05:15:00 GMT")
            .response();
        assert_eq!(past.retry_after(), Some(0));
    }

    #[derive(serde::Deserialize, Debug)]
    #[expect(dead_code)]
    struct Wanted {
        results: Vec<Person>,
    }

    #[derive(serde::Deserialize, Debug)]
    #[expect(dead_code)]
    struct Person {
        id: String,
        #[serde(default)]
        age: u8,
    }

    fn complaint(body: &[u8]) -> String {
        let answer = Response::from(wire::Response {
            status: 200,
            headers: Vec::new(),
            body: body.to_vec(),
        });
        match answer.json::<Wanted>() {
            Err(Failure::Bug(message)) => message,
            other => unreachable!("{other:?}"),
        }
    }

    #[test]
    fn an_unexpected_shape_names_the_place_and_nothing_of_the_body() {
        for (body, told) in [
            (
                r#"{"results":[{"id":"1"},{"email":"ann@example.com"}]}"#,
                "missing field `id` at `results[1]`",
            ),
            (
                r#"{"results":[{"id":"1","age":"ann@example.com"}]}"#,
                "another kind of value at `results[0].age`",
            ),
            (r#""ann@example.com""#, "at its top"),
            (r#"{"results":[{"id":"ann@exam"#, "it ends early"),
            (
                "<html>ann@example.com</html>",
                "not JSON at line 1 column 1",
            ),
        ] {
            let message = complaint(body.as_bytes());
            assert!(message.contains(told), "{message}");
            assert!(!message.contains("ann"), "{message}");
        }
    }

    #[test]
    fn deep_nesting_is_refused_and_not_followed() {
        let body = format!(r#"{{"results":{}"#, "[".repeat(100_000));
        assert!(complaint(body.as_bytes()).contains("unexpected shape"));
    }
}
