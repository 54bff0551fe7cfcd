//! Redirects, which are followed one hop at a time so that every hop meets all the rules.
//!
//! Only `GET` and `HEAD` are followed, as the contract says: what a write becomes behind a redirect is for the
//! connector to decide. So the method never changes (RFC 9110, section 15.4, changes it for `POST` only).

use reqwest::Method;
use reqwest::header::{HeaderMap, LOCATION};
use url::Url;

use super::HttpError;
use super::egress;
use super::exchange::Answer;
use super::overrides::Override;
use super::scrub::Scrubber;

/// Hops that one request may take.
pub const MOST: usize = 5;

/// Where an answer leads, if it is a redirect that is to be followed.
///
/// `url` is what the connector asked for, before the override. A server behind an override that speaks of itself by its
/// own address means the origin that it stands for.
///
/// # Errors
/// The location is one that no connector may ask for, or would carry a credential to another origin.
pub fn next(
    method: &Method,
    url: &Url,
    answer: &Answer,
    end: Option<&Override>,
    scrubber: &Scrubber,
) -> Result<Option<Url>, HttpError> {
    let follows = matches!(*method, Method::GET | Method::HEAD)
        && matches!(answer.status, 301 | 302 | 303 | 307 | 308);
    if !follows {
        return Ok(None);
    }
    let Some(location) = location(&answer.headers) else {
        return Ok(None);
    };
    let denied = |why: &str| HttpError::Denied(format!("a redirect leads astray: {why}"));
    let location = location.ok_or_else(|| denied("its location is not a URL"))?;
    if location.contains(|c: char| c == '\\' || c.is_control()) {
        return Err(denied(
            "its location holds a backslash or a control character",
        ));
    }
    let mut target = url
        .join(location)
        .map_err(|_| denied("its location is not a URL"))?;
    target.set_fragment(None);
    if let Some(own) = end.and_then(|end| end.reverse(&target)) {
        target = own;
    }
    let target = egress::parse(target.as_str()).map_err(|error| denied(&error.to_string()))?;
    if target.origin() != url.origin() && scrubber.finds(location.as_bytes()) {
        return Err(denied("it would carry a credential to another origin"));
    }
    Ok(Some(target))
}

/// The location, which is text; the inner `None` if it is not.
fn location(headers: &HeaderMap) -> Option<Option<&str>> {
    headers
        .get(LOCATION)
        .map(|value| std::str::from_utf8(value.as_bytes()).ok())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn of(method: Method, status: u16, location: &str) -> Result<Option<String>, HttpError> {
        let mut headers = HeaderMap::new();
        headers.insert(LOCATION, location.parse().unwrap());
        let answer = Answer {
            status,
            headers,
            body: Vec::new(),
        };
        let url = Url::parse("https://a.example/v1/people?x=1").unwrap();
        let scrubber = Scrubber::new(vec!["secret-token".into()]);
        next(&method, &url, &answer, None, &scrubber).map(|url| url.map(String::from))
    }

    #[test]
    fn reads_are_followed_and_writes_are_not() {
        let target = Ok(Some("https://a.example/v2".to_owned()));
        for status in [301, 302, 303, 307, 308] {
            assert_eq!(of(Method::GET, status, "/v2"), target, "{status}");
            assert_eq!(of(Method::HEAD, status, "/v2#part"), target, "{status}");
            for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
                assert_eq!(of(method, status, "/v2"), Ok(None), "{status}");
            }
        }
        for status in [200, 201, 300, 304, 305, 404] {
            assert_eq!(of(Method::GET, status, "/v2"), Ok(None), "{status}");
        }
    }

    #[test]
    fn a_location_must_be_a_url_that_a_connector_may_write() {
        for location in [
            "file:///etc/passwd",
            "ftp://a.example/",
            "https://u:p@a.example/",
            "https://",
            "/\\evil.example",
            "/v1/..%2fadmin",
        ] {
            let result = of(Method::GET, 302, location);
            assert!(
                matches!(result, Err(HttpError::Denied(_))),
                "{location}: {result:?}"
            );
        }
    }

    #[test]
    fn a_location_carries_no_secret_to_another_origin() {
        let result = of(Method::GET, 302, "https://b.example/?key=secret-token");
        assert!(matches!(result, Err(HttpError::Denied(_))), "{result:?}");
        assert!(of(Method::GET, 302, "/v1/?key=secret-token").is_ok());
        assert!(of(Method::GET, 302, "https://b.example/").is_ok());
    }
}
