//! Which headers a connector may set.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::HttpError;

/// Headers that are the host's: they frame the message, choose the server, or carry credentials.
const HOSTS: &[&str] = &[
    "host",
    "content-length",
    "cookie",
    "cookie2",
    // Hop by hop (RFC 9110, section 7.6.1).
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
    "expect",
    // An answer must be readable as a whole, or a secret in it could not be redacted.
    "accept-encoding",
    "range",
    "if-range",
    // They would change the method or the address behind the allow-list's back.
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
];

/// What goes along when a redirect leads to another origin: nothing that could identify the account.
const HARMLESS: &[HeaderName] = &[
    reqwest::header::ACCEPT,
    reqwest::header::ACCEPT_LANGUAGE,
    reqwest::header::USER_AGENT,
];

/// Checks a connector's headers. `signs`: it holds a signing credential and may compose `authorization` itself.
/// `reserved`: the headers in which the host places credentials.
///
/// # Errors
/// A header is the host's, or no header at all.
pub fn checked(
    headers: &[(String, String)],
    signs: bool,
    reserved: &[HeaderName],
) -> Result<HeaderMap, HttpError> {
    let mut checked = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let denied =
            |why: &str| HttpError::Denied(format!("header `{}` {why}", name.escape_debug()));
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| denied("is not a header's name"))?;
        // Refuses line breaks, with which a value could become a header or a request of its own.
        let value = HeaderValue::from_bytes(value.as_bytes())
            .map_err(|_| denied("has a value with control characters"))?;
        if HOSTS.contains(&name.as_str()) {
            return Err(denied("is the host's"));
        }
        if name == reqwest::header::AUTHORIZATION && !signs {
            return Err(denied("is the host's; name a credential instead"));
        }
        if reserved.contains(&name) {
            return Err(denied("carries a credential; name the credential instead"));
        }
        checked
            .try_append(name, value)
            .map_err(|_| HttpError::Denied("too many headers".to_owned()))?;
    }
    Ok(checked)
}

/// What remains of the headers once a redirect has left the origin.
pub fn for_another_origin(headers: &HeaderMap) -> HeaderMap {
    headers
        .iter()
        .filter(|(name, _)| HARMLESS.contains(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn check(name: &str, value: &str) -> Result<HeaderMap, HttpError> {
        let reserved = [HeaderName::from_static("api-key")];
        checked(&[(name.to_owned(), value.to_owned())], false, &reserved)
    }

    #[test]
    fn headers_of_the_host_are_refused_in_any_case() {
        for name in HOSTS {
            assert!(
                matches!(check(name, "x"), Err(HttpError::Denied(_))),
                "{name}"
            );
            assert!(check(&name.to_ascii_uppercase(), "x").is_err(), "{name}");
        }
        assert!(check("Authorization", "x").is_err());
        assert!(check("Api-Key", "x").is_err());
        for name in ["accept", "content-type", "if-match", "x-request-id"] {
            assert!(check(name, "x").is_ok(), "{name}");
        }
    }

    #[test]
    fn a_value_cannot_become_a_header() {
        for value in ["a\r\nhost: b", "a\nb", "a\rb", "a\0b"] {
            assert!(check("x-a", value).is_err(), "{value:?}");
        }
        for name in ["x a", "x:a", "x\r\n", "", "ü"] {
            assert!(check(name, "x").is_err(), "{name:?}");
        }
        assert!(check("x-name", "Åsa").is_ok());
    }

    #[test]
    fn who_signs_may_compose_authorization() {
        let token = [("authorization".to_owned(), "Ghost abc".to_owned())];
        assert!(checked(&token, false, &[]).is_err());
        assert_eq!(checked(&token, true, &[]).unwrap().len(), 1);
    }

    #[test]
    fn a_repeated_header_stays_repeated() {
        let twice = [("x-a", "1"), ("X-A", "2")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        let map = checked(&twice, false, &[]).unwrap();
        assert_eq!(map.get_all("x-a").iter().count(), 2);
    }
}
