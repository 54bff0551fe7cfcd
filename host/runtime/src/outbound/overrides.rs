//! Endpoint overrides: what the operator says is to be reached elsewhere.
//!
//! An override grants exactly the scheme, host and port that it names, also in a private network. It works behind the
//! allow-list: the connector asks for the origin it knows.

use url::{Origin, Url};

use super::egress::origin_text;
use crate::account::EndpointOverride;

/// An override that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    /// The origin that is replaced.
    pub endpoint: String,
    /// What is wrong and what to do.
    pub why: String,
}

/// One origin that is reached elsewhere.
#[derive(Debug, Clone)]
pub struct Override {
    from: Url,
    to: Url,
}

impl Override {
    /// The URL that is connected to for one that the connector asks for.
    pub fn apply(&self, url: &Url) -> Url {
        moved(&self.to, url)
    }

    /// The URL that the connector would ask for, where the server behind the override speaks of itself.
    pub fn reverse(&self, url: &Url) -> Option<Url> {
        (url.origin() == self.to.origin()).then(|| moved(&self.from, url))
    }
}

fn moved(origin: &Url, url: &Url) -> Url {
    let mut moved = origin.clone();
    moved.set_path(url.path());
    moved.set_query(url.query());
    moved
}

/// The overrides of one account.
#[derive(Debug, Default)]
pub struct Overrides(Vec<Override>);

impl Overrides {
    /// Checks the overrides against the origins that the connector knows.
    pub fn new(overrides: &[EndpointOverride], known: &[Origin]) -> Result<Self, Unusable> {
        let mut checked: Vec<Override> = Vec::new();
        for EndpointOverride { from, to } in overrides {
            let endpoint = origin_text(&from.origin());
            let unusable = |why: String| Unusable {
                endpoint: endpoint.clone(),
                why,
            };
            for url in [from, to] {
                if !is_bare(url) {
                    return Err(unusable(format!(
                        "write scheme, host and, where needed, port, and nothing else, instead of `{}…`",
                        origin_text(&url.origin())
                    )));
                }
            }
            if !known.contains(&from.origin()) {
                let known: Vec<_> = known.iter().map(origin_text).collect();
                return Err(unusable(format!(
                    "the connector asks for nothing there; it asks for {}",
                    known.join(", ")
                )));
            }
            if checked
                .iter()
                .any(|other| other.from.origin() == from.origin())
            {
                return Err(unusable("is overridden twice".to_owned()));
            }
            checked.push(Override {
                from: from.clone(),
                to: to.clone(),
            });
        }
        Ok(Self(checked))
    }

    /// The override of an origin, if there is one.
    pub fn of(&self, origin: &Origin) -> Option<&Override> {
        self.0.iter().find(|end| end.from.origin() == *origin)
    }

    /// The overrides, for people.
    pub fn describe(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|end| {
            format!(
                "endpoint override: {} is reached at {}",
                origin_text(&end.from.origin()),
                origin_text(&end.to.origin())
            )
        })
    }
}

fn is_bare(url: &Url) -> bool {
    matches!(url.scheme(), "https" | "http")
        && url.has_host()
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn overrides(pairs: &[(&str, &str)]) -> Result<Overrides, Unusable> {
        let list: Vec<_> = pairs
            .iter()
            .map(|(from, to)| EndpointOverride {
                from: from.parse().unwrap(),
                to: to.parse().unwrap(),
            })
            .collect();
        let known = Url::parse("https://api.example.com").unwrap().origin();
        Overrides::new(&list, &[known])
    }

    #[test]
    fn path_and_query_stay_and_scheme_host_and_port_are_replaced() {
        let overrides = overrides(&[("https://api.example.com", "http://127.0.0.1:81")]).unwrap();
        let asked = Url::parse("https://api.example.com/a%2Fb/c?d=%20e").unwrap();
        let end = overrides.of(&asked.origin()).unwrap();
        let reached = end.apply(&asked);
        assert_eq!(reached.as_str(), "http://127.0.0.1:81/a%2Fb/c?d=%20e");
        assert_eq!(end.reverse(&reached), Some(asked));
        let neighbour = Url::parse("http://127.0.0.1:82/").unwrap();
        assert_eq!(end.reverse(&neighbour), None);
        assert!(overrides.of(&neighbour.origin()).is_none());
    }

    #[test]
    fn only_origins_that_the_connector_asks_for_can_be_overridden() {
        for pairs in [
            &[("https://api.example.org", "http://127.0.0.1")][..],
            &[("http://api.example.com", "http://127.0.0.1")],
            &[("https://api.example.com/v1", "http://127.0.0.1")],
            &[("https://api.example.com", "http://127.0.0.1/v1")],
            &[("https://api.example.com", "http://u:p@127.0.0.1")],
            &[("https://api.example.com", "ftp://127.0.0.1")],
            &[
                ("https://api.example.com", "http://127.0.0.1:1"),
                ("https://api.example.com", "http://127.0.0.1:2"),
            ],
        ] {
            let error = overrides(pairs).unwrap_err();
            assert!(!error.why.contains("u:p"), "{error:?}");
        }
    }
}
