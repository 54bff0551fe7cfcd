//! What a connector asks for, in lines that a person can agree to, and what of it is more than was agreed to.

use samspel_model::descriptor::{AuthKind, AuthScheme, Descriptor};
use samspel_model::registry::Rights;

/// Stands for every method.
const ANY: &str = "ANY";

/// What a connector asks for.
pub fn of(descriptor: &Descriptor) -> Rights {
    let egress = descriptor.egress.iter().flat_map(|rule| {
        let methods = match rule.methods.as_slice() {
            [] => vec![ANY],
            methods => methods.iter().map(String::as_str).collect(),
        };
        methods
            .into_iter()
            .map(move |method| format!("{method} {}{}", rule.origin, rule.path_prefix))
            .collect::<Vec<_>>()
    });
    // Where a token comes from is reached by the host, with a secret of the account's.
    let tokens = descriptor
        .authentication
        .iter()
        .filter_map(|scheme| match &scheme.kind {
            AuthKind::Oauth2(oauth) => Some(format!("POST {}", oauth.token_url)),
            _ => None,
        });
    Rights {
        egress: egress.chain(tokens).collect(),
        credentials: descriptor.authentication.iter().map(usage).collect(),
        collections: descriptor.collections.iter().cloned().collect(),
    }
}

fn usage(scheme: &AuthScheme) -> String {
    let how = match &scheme.kind {
        AuthKind::Bearer => "bearer".to_owned(),
        AuthKind::Basic(_) => "basic".to_owned(),
        AuthKind::Header(name) => format!("header {name}"),
        AuthKind::Query(name) => format!("query parameter {name}"),
        AuthKind::Oauth2(oauth) => {
            let mut scopes = oauth.scopes.clone();
            scopes.sort();
            format!("OAuth 2.0 with {}", scopes.join(" "))
        }
        AuthKind::Body(positions) => {
            let places = positions.iter().map(|place| {
                format!(
                    "{} {} at {} {:?}",
                    place.method, place.path, place.pointer, place.pinned
                )
            });
            format!("body {}", places.collect::<Vec<_>>().join(", "))
        }
        AuthKind::Signing(signing) => {
            format!("signing with {}", signing.algorithms.join(", "))
        }
        AuthKind::Other(kind) => kind.clone(),
    };
    format!("{} ({}): {how}", scheme.credential, scheme.name)
}

/// What is asked for and not granted.
pub fn beyond(asked: &Rights, granted: &Rights) -> Rights {
    let covered = |line: &String| granted.egress.iter().any(|known| covers(known, line));
    Rights {
        egress: asked
            .egress
            .iter()
            .filter(|line| !covered(line))
            .cloned()
            .collect(),
        credentials: asked
            .credentials
            .difference(&granted.credentials)
            .cloned()
            .collect(),
        collections: asked
            .collections
            .difference(&granted.collections)
            .cloned()
            .collect(),
    }
}

/// Both together.
pub fn union(one: &Rights, other: &Rights) -> Rights {
    Rights {
        egress: one.egress.union(&other.egress).cloned().collect(),
        credentials: one.credentials.union(&other.credentials).cloned().collect(),
        collections: one.collections.union(&other.collections).cloned().collect(),
    }
}

/// For people, a line each.
pub fn told(rights: &Rights) -> Vec<String> {
    let lines = |what: &str, lines: &std::collections::BTreeSet<String>| {
        lines
            .iter()
            .map(|line| format!("{what} {line}"))
            .collect::<Vec<_>>()
    };
    [
        lines("reach", &rights.egress),
        lines("use credential", &rights.credentials),
        lines("read and write", &rights.collections),
    ]
    .concat()
}

/// Whether who may do the first may do the second: the same or every method, the same path or one below it.
fn covers(granted: &str, asked: &str) -> bool {
    let (Some((method, place)), Some((asked_method, asked_place))) =
        (granted.split_once(' '), asked.split_once(' '))
    else {
        return granted == asked;
    };
    let below = asked_place
        .strip_prefix(place)
        .is_some_and(|rest| rest.is_empty() || place.ends_with('/') || rest.starts_with('/'));
    // `https://a.example` begins `https://a.example.org`: only below a path there is anything to be below.
    let has_path = place
        .split_once("://")
        .map_or(place, |(_, rest)| rest)
        .contains('/');
    (method == ANY || method == asked_method) && (place == asked_place || (below && has_path))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeSet;

    use super::*;

    fn reach(lines: &[&str]) -> Rights {
        Rights {
            egress: lines.iter().map(|line| (*line).to_owned()).collect(),
            ..Rights::default()
        }
    }

    fn more(granted: &str, asked: &str) -> bool {
        !beyond(&reach(&[asked]), &reach(&[granted])).is_empty()
    }

    #[test]
    fn a_path_below_and_a_method_among_all_are_no_more() {
        assert!(!more(
            "GET https://a.example/v1",
            "GET https://a.example/v1/contacts"
        ));
        assert!(!more(
            "ANY https://a.example/",
            "DELETE https://a.example/v1"
        ));
        assert!(!more(
            "GET https://a.example/v1",
            "GET https://a.example/v1"
        ));
    }

    #[test]
    fn another_host_method_or_path_is_more() {
        assert!(more(
            "GET https://a.example/v1",
            "POST https://a.example/v1"
        ));
        assert!(more("GET https://a.example/v1", "ANY https://a.example/v1"));
        assert!(more(
            "GET https://a.example/v1",
            "GET https://a.example/v11"
        ));
        assert!(more("GET https://a.example/v1", "GET https://a.example/"));
        assert!(more("GET https://a.example", "GET https://a.example.org"));
        assert!(more("GET https://a.example", "GET https://a.example:8443/"));
        assert!(more("GET https://a.example/", "GET https://b.example/"));
    }

    #[test]
    fn credentials_and_collections_count_by_name() {
        let asked = Rights {
            credentials: BTreeSet::from(["access (token): bearer".to_owned()]),
            collections: BTreeSet::from(["deals".to_owned(), "contacts".to_owned()]),
            ..Rights::default()
        };
        let granted = Rights {
            collections: BTreeSet::from(["contacts".to_owned()]),
            ..Rights::default()
        };
        let more = beyond(&asked, &granted);
        assert_eq!(
            told(&more),
            [
                "use credential access (token): bearer",
                "read and write deals"
            ]
        );
        assert!(beyond(&asked, &union(&granted, &more)).is_empty());
    }
}
