//! What a connector asks for: shorthands for the parts of a [`Descriptor`](crate::Descriptor).

use crate::{AuthKind, AuthScheme, EgressRule, RateLimit};

impl AuthScheme {
    /// One way to use the credential. `name` is how the operator chooses it, `help` says what to paste and where to
    /// find it.
    pub fn new(credential: &str, name: &str, help: &str, kind: AuthKind) -> Self {
        Self {
            credential: credential.to_owned(),
            name: name.to_owned(),
            help: help.to_owned(),
            kind,
        }
    }
}

impl EgressRule {
    /// A place that the connector must reach.
    pub fn new(origin: &str, methods: &[&str], path_prefix: &str) -> Self {
        Self {
            origin: origin.to_owned(),
            methods: methods.iter().map(|&method| method.to_owned()).collect(),
            path_prefix: path_prefix.to_owned(),
        }
    }
}

impl RateLimit {
    /// At most so many requests in any so many milliseconds.
    pub const fn requests(requests: u32, per_ms: u32) -> Self {
        Self {
            requests,
            per_ms,
            concurrent: 0,
        }
    }

    /// At most so many requests at once.
    pub const fn concurrent(concurrent: u32) -> Self {
        Self {
            requests: 0,
            per_ms: 0,
            concurrent,
        }
    }
}
