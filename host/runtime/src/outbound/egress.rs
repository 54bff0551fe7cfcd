//! The allow-list: which URLs a connector may ask for, with which methods.
//!
//! A URL is parsed and normalised once, and what was checked is what is sent: nothing behind this reads the text that
//! the connector wrote.

use percent_encoding::percent_decode_str;
use samspel_model::descriptor::EgressRule;
use serde_json::{Map, Value};
use url::{Origin, Url};

use super::HttpError;
use super::template::{self, Unusable};

/// Methods that are never sent: they ask the server to repeat a request's headers, or for a tunnel.
const FORBIDDEN_METHODS: &[&str] = &["CONNECT", "TRACE", "TRACK"];

#[derive(Debug)]
struct Rule {
    origin: Url,
    /// Empty: any.
    methods: Vec<String>,
    /// Without a slash at the end.
    prefix: String,
}

impl Rule {
    fn matches(&self, method: &str, url: &Url) -> bool {
        let rest = url.path().strip_prefix(&self.prefix);
        self.origin.origin() == url.origin()
            && (self.methods.is_empty() || self.methods.iter().any(|allowed| allowed == method))
            && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// What one account's connector may ask for.
#[derive(Debug)]
pub struct Egress(Vec<Rule>);

impl Egress {
    /// The rules with the account's settings in place.
    pub fn new(rules: &[EgressRule], settings: &Map<String, Value>) -> Result<Self, Unusable> {
        rules
            .iter()
            .map(|rule| {
                Ok(Rule {
                    origin: template::origin(&rule.origin, settings)?,
                    methods: rule.methods.clone(),
                    prefix: rule.path_prefix.trim_end_matches('/').to_owned(),
                })
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Every origin that some rule names, with the place of the rule.
    pub fn origins(&self) -> impl Iterator<Item = &Url> {
        self.0.iter().map(|rule| &rule.origin)
    }

    /// Whether one rule allows the method and the URL.
    pub fn check(&self, method: &str, url: &Url) -> Result<(), HttpError> {
        // Without the query, which may hold a person's data.
        let place = || format!("{method} {}{}", origin_text(&url.origin()), url.path());
        if FORBIDDEN_METHODS.contains(&method) {
            return Err(HttpError::Denied(format!(
                "the method {method} is never sent"
            )));
        }
        if hides_dot_segments(url.path()) {
            return Err(HttpError::Denied(format!("{} hides dot segments", place())));
        }
        if self.0.iter().any(|rule| rule.matches(method, url)) {
            Ok(())
        } else {
            Err(HttpError::Denied(format!(
                "{} is not among what the connector declares in `egress`",
                place()
            )))
        }
    }

    /// The rules, for people.
    pub fn describe(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|rule| {
            let methods = if rule.methods.is_empty() {
                "any method".to_owned()
            } else {
                rule.methods.join(", ")
            };
            let origin = origin_text(&rule.origin.origin());
            format!("{methods}: {origin}{}/…", rule.prefix)
        })
    }
}

/// Scheme, host and port.
pub fn origin_text(origin: &Origin) -> String {
    origin.ascii_serialization()
}

/// Reads the URL that a connector wrote.
///
/// # Errors
/// It is not an absolute http or https URL, or it has parts that mean different things to different readers.
pub fn parse(text: &str) -> Result<Url, HttpError> {
    let denied = |why: &str| Err(HttpError::Denied(why.to_owned()));
    // The parser drops control characters and reads a backslash as a slash; servers may do otherwise.
    if text.contains(|c: char| c == '\\' || c.is_control() || c == ' ') {
        return denied("the URL holds a backslash, a space or a control character");
    }
    let path = text.split(['?', '#']).next().unwrap_or_default();
    if hides_dot_segments(path) {
        return denied("the URL hides dot segments");
    }
    let url = Url::parse(text)
        .map_err(|error| HttpError::Denied(format!("not an absolute URL: {error}")))?;
    if !matches!(url.scheme(), "https" | "http") {
        return denied("the URL is not an https URL");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return denied("the URL holds a user name or password; name a credential instead");
    }
    if url.fragment().is_some() {
        return denied("the URL has a fragment, which is never sent");
    }
    Ok(url)
}

/// Whether a server that decodes the path may see `.` or `..` where the allow-list saw a name. A plain dot segment is
/// resolved by the parser before the allow-list looks.
fn hides_dot_segments(path: &str) -> bool {
    path.contains('%')
        && percent_decode_str(path)
            .collect::<Vec<u8>>()
            .split(|byte| matches!(byte, b'/' | b'\\'))
            .any(|segment| matches!(segment, b"." | b".."))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn egress(rules: &[(&str, &[&str], &str)]) -> Egress {
        let rules: Vec<_> = rules
            .iter()
            .map(|(origin, methods, prefix)| EgressRule {
                origin: (*origin).to_owned(),
                methods: methods.iter().map(|method| (*method).to_owned()).collect(),
                path_prefix: (*prefix).to_owned(),
            })
            .collect();
        Egress::new(&rules, &Map::new()).unwrap()
    }

    fn allows(egress: &Egress, method: &str, url: &str) -> bool {
        parse(url)
            .and_then(|url| egress.check(method, &url))
            .is_ok()
    }

    #[test]
    fn a_request_matches_one_rule_in_all_parts() {
        let egress = egress(&[
            ("https://api.example.com", &["GET"], "/v1/people"),
            ("https://api.example.com", &["POST"], "/v1/people/batch/"),
            ("https://any.example.com", &[], ""),
        ]);
        for (method, url) in [
            ("GET", "https://api.example.com/v1/people"),
            ("GET", "https://api.example.com/v1/people/7?x=1"),
            ("GET", "https://API.example.com:443/v1/x/../people"),
            ("GET", "https://api.example.com/v1/people/a%2Fb"),
            ("POST", "https://api.example.com/v1/people/batch/read"),
            ("REPORT", "https://any.example.com/"),
            ("DELETE", "https://any.example.com/x/y"),
        ] {
            assert!(allows(&egress, method, url), "{method} {url}");
        }
        for (method, url) in [
            ("POST", "https://api.example.com/v1/people"),
            ("get", "https://api.example.com/v1/people"),
            ("GET", "https://api.example.com/v1/peoples"),
            ("GET", "https://api.example.com/v1/people/../admin"),
            ("GET", "https://api.example.com/V1/people"),
            ("GET", "https://api.example.com:8443/v1/people"),
            ("GET", "http://api.example.com/v1/people"),
            ("GET", "https://api.example.com./v1/people"),
            ("GET", "https://api.example.com.evil.org/v1/people"),
            ("GET", "https://example.com/v1/people"),
            ("TRACE", "https://any.example.com/"),
            ("CONNECT", "https://any.example.com/"),
        ] {
            assert!(!allows(&egress, method, url), "{method} {url}");
        }
    }

    #[test]
    fn what_readers_of_a_url_disagree_about_is_denied() {
        let egress = egress(&[("https://a.example", &[], "/v1")]);
        for url in [
            "https://u@a.example/v1",
            "https://u:p@a.example/v1",
            "https://a.example/v1#x",
            "https://a.example/v1/%2e%2e/admin",
            "https://a.example/v1/.%2E/v1/x",
            "https://a.example/v1/%2e/x",
            "https://a.example/v1/..%2fadmin",
            "https://a.example/v1/x%2f..%2f..%2fadmin",
            "https://a.example/v1/..%5cadmin",
            "https://a.example/v1\\admin",
            "https:\\\\a.example/v1",
            "https://a.example/v1/\tx",
            "https://a.example/v1/x\n",
            "file:///v1",
            "ftp://a.example/v1",
            "data:,v1",
            "//a.example/v1",
            "/v1",
            "",
        ] {
            assert!(!allows(&egress, "GET", url), "{url:?}");
        }
        assert!(allows(
            &egress,
            "GET",
            "https://a.example/v1/a..b/...?q=../%2e%2e"
        ));
    }
}
