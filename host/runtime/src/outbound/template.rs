//! Settings in the origins and user names of a descriptor: `https://{dc}.api.mailchimp.com`, `{url}`.
//!
//! A setting is the operator's, and still must not change what an origin means: it stands for one DNS label, or for a
//! whole origin.

use serde_json::{Map, Value};
use url::Url;

/// Longest DNS label (RFC 1035, section 2.3.4).
const LABEL: usize = 63;

/// A setting, or the template it stands in, that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    /// The setting, or the template where no setting is to blame.
    pub what: String,
    /// Whether a setting is to blame.
    pub is_setting: bool,
    /// What is wrong and what to do.
    pub why: String,
}

impl Unusable {
    fn setting(name: &str, why: impl Into<String>) -> Self {
        Self {
            what: name.to_owned(),
            is_setting: true,
            why: why.into(),
        }
    }

    fn template(text: &str, why: impl Into<String>) -> Self {
        Self {
            what: text.to_owned(),
            is_setting: false,
            why: why.into(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part<'a> {
    Text(&'a str),
    Setting(&'a str),
}

/// Splits once, so that braces inside a setting's value mean nothing.
fn parts(template: &str) -> Result<Vec<Part<'_>>, Unusable> {
    let mut parts = Vec::new();
    let mut rest = template;
    while let Some((text, after)) = rest.split_once('{') {
        let (name, after) = after
            .split_once('}')
            .filter(|(name, _)| !name.is_empty() && !name.contains('{'))
            .ok_or_else(|| Unusable::template(template, "the braces do not name a setting"))?;
        if !text.is_empty() {
            parts.push(Part::Text(text));
        }
        parts.push(Part::Setting(name));
        rest = after;
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest));
    }
    Ok(parts)
}

fn value(settings: &Map<String, Value>, name: &str) -> Result<String, Unusable> {
    match settings.get(name) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Number(number)) => Ok(number.to_string()),
        Some(_) => Err(Unusable::setting(name, "must be a text")),
        None => Err(Unusable::setting(name, "is missing")),
    }
}

fn label(name: &str, text: &str) -> Result<(), Unusable> {
    let fits = !text.is_empty()
        && text.len() <= LABEL
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-');
    if fits {
        Ok(())
    } else {
        Err(Unusable::setting(
            name,
            "must be one part of a host name: letters, digits and hyphens",
        ))
    }
}

/// Scheme, host and port, with nothing after them.
fn bare(text: &str) -> Result<Url, String> {
    if text.contains(|c: char| {
        matches!(c, '\\' | '@' | '?' | '#') || c.is_control() || c.is_whitespace()
    }) {
        return Err("must be scheme, host and, where needed, port".to_owned());
    }
    let url = Url::parse(text).map_err(|error| format!("is no origin: {error}"))?;
    if !matches!(url.scheme(), "https" | "http") {
        return Err("must start with https://".to_owned());
    }
    if url.path() != "/" {
        return Err("must not have a path".to_owned());
    }
    Ok(url)
}

/// The origin that a template stands for with these settings.
pub fn origin(template: &str, settings: &Map<String, Value>) -> Result<Url, Unusable> {
    let parts = parts(template)?;
    if let [Part::Setting(name)] = parts.as_slice() {
        return bare(&value(settings, name)?).map_err(|why| Unusable::setting(name, why));
    }
    let mut text = String::new();
    for (index, part) in parts.iter().enumerate() {
        match part {
            Part::Text(fixed) => text.push_str(fixed),
            Part::Setting(name) => {
                let next = parts.get(index + 1);
                let alone = text.ends_with(['.', '/'])
                    && match next {
                        None => true,
                        Some(Part::Text(fixed)) => fixed.starts_with(['.', ':']),
                        Some(Part::Setting(_)) => false,
                    };
                if !alone {
                    return Err(Unusable::template(
                        template,
                        "a setting must stand for a whole part of the host name",
                    ));
                }
                let value = value(settings, name)?;
                label(name, &value)?;
                text.push_str(&value);
            }
        }
    }
    bare(&text).map_err(|why| Unusable::template(template, why))
}

/// A URL whose origin may hold settings: that of a token end point.
pub fn url(template: &str, settings: &Map<String, Value>) -> Result<Url, Unusable> {
    let path = match template.split_once("://") {
        Some((scheme, rest)) => rest.find('/').map(|at| at + scheme.len() + 3),
        None => template.find('/'),
    };
    let (start, path) = template.split_at(path.unwrap_or(template.len()));
    let origin = origin(start, settings)?;
    origin
        .join(path)
        .map_err(|error| Unusable::template(template, error.to_string()))
        .and_then(|url| {
            // A path that begins with two slashes would name another host.
            if url.origin() == origin.origin() {
                Ok(url)
            } else {
                Err(Unusable::template(template, "is no URL"))
            }
        })
}

/// A user name for Basic authentication (RFC 7617), which cannot hold a colon.
pub fn user(template: &str, settings: &Map<String, Value>) -> Result<String, Unusable> {
    let mut text = String::new();
    for part in parts(template)? {
        match part {
            Part::Text(fixed) => text.push_str(fixed),
            Part::Setting(name) => {
                let value = value(settings, name)?;
                if value.contains(|c: char| c == ':' || c.is_control()) {
                    return Err(Unusable::setting(
                        name,
                        "a user name holds neither colons nor control characters",
                    ));
                }
                text.push_str(&value);
            }
        }
    }
    Ok(text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn settings(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    fn filled(template: &str, value: Value) -> Result<String, Unusable> {
        origin(template, &settings(value)).map(|url| url.origin().ascii_serialization())
    }

    #[test]
    fn a_setting_stands_for_one_label() {
        let template = "https://{dc}.api.example.com";
        assert_eq!(
            filled(template, json!({"dc": "us1"})),
            Ok("https://us1.api.example.com".to_owned())
        );
        for smuggled in [
            "",
            "a.b",
            "evil.com/",
            "evil.com#",
            "evil.com?",
            "u@evil",
            "a:b",
            "evil.com\\",
            "-a",
            "a-",
            "ü",
            "a b",
            "a%2e",
            "{dc}",
            &"a".repeat(64),
        ] {
            let error = filled(template, json!({"dc": smuggled})).unwrap_err();
            assert!(
                error.is_setting && error.what == "dc",
                "{smuggled}: {error:?}"
            );
        }
        assert_eq!(filled(template, json!({})).unwrap_err().why, "is missing");
    }

    #[test]
    fn a_setting_alone_stands_for_a_whole_origin() {
        for (text, origin) in [
            ("https://news.example.org", "https://news.example.org"),
            ("https://news.example.org/", "https://news.example.org"),
            (
                "HTTPS://News.Example.org:8443",
                "https://news.example.org:8443",
            ),
            ("http://10.0.0.5:8069", "http://10.0.0.5:8069"),
        ] {
            assert_eq!(filled("{url}", json!({"url": text})), Ok(origin.to_owned()));
        }
        for wrong in [
            "",
            "news.example.org",
            "ftp://a.b",
            "https://",
            "https://a.b/path",
            "https://u@a.b",
            "https://u:p@a.b",
            "https://a.b?x",
            "https://a.b/#x",
            "https://a.b\\c",
            "https:// a.b",
            "file:///etc/passwd",
            "https://a.b\n",
        ] {
            let error = filled("{url}", json!({"url": wrong})).unwrap_err();
            assert!(
                error.is_setting && error.what == "url",
                "{wrong}: {error:?}"
            );
        }
    }

    #[test]
    fn a_setting_never_stands_for_less_than_a_label() {
        let all = json!({"a": "x", "b": "y"});
        for template in [
            "https://{a}{b}.com",
            "https://x{a}.com",
            "https://{a}x.com",
            "https://a.com:{a}",
            "{a}://b.c",
        ] {
            let error = filled(template, all.clone()).unwrap_err();
            assert!(!error.is_setting, "{template}: {error:?}");
        }
        assert!(filled("https://{a", all.clone()).is_err());
        assert!(filled("https://{}.com", all).is_err());
    }

    #[test]
    fn a_token_url_keeps_the_origin_that_it_names() {
        let settings = settings(json!({"dc": "us1"}));
        assert_eq!(
            url("https://{dc}.example.com/oauth/token", &settings)
                .unwrap()
                .as_str(),
            "https://us1.example.com/oauth/token"
        );
        assert!(url("https://a.example.com//evil.com/x", &settings).is_err());
        assert!(url("/oauth/token", &settings).is_err());
    }

    #[test]
    fn a_user_name_holds_no_colon() {
        let of = |name: &str| user("{name}/x", &settings(json!({"name": name})));
        assert_eq!(of("ann{x}"), Ok("ann{x}/x".to_owned()));
        assert!(of("a:b").unwrap_err().is_setting);
        assert!(of("a\nb").unwrap_err().is_setting);
    }
}
