//! What a connector says about itself, with nothing granted.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A connector's description of itself; see `wit/remote.wit` for each item.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Descriptor {
    /// Short and lower case; configuration refers to it.
    pub name: String,
    /// The connector's own semantic version.
    pub version: String,
    /// The system's name as people know it.
    pub title: String,
    /// For a person who chooses a connector.
    pub description: String,
    /// Names of the collections it can offer.
    pub collections: Vec<String>,
    /// JSON Schema of the settings.
    pub settings_schema: Value,
    /// Ways to authenticate.
    pub authentication: Vec<AuthScheme>,
    /// Everything it must reach.
    pub egress: Vec<EgressRule>,
    /// What the remote allows per account.
    pub rate_limits: Vec<RateLimit>,
    /// The layout of the cursors it writes.
    pub cursor_version: u32,
    /// The layouts of cursors that it reads besides.
    pub cursor_versions_read: Vec<u32>,
}

/// One way to use one credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthScheme {
    /// The name by which requests ask for it.
    pub credential: String,
    /// How the operator chooses among alternatives.
    pub name: String,
    /// What to paste and where to find it.
    pub help: String,
    /// How the secret is used.
    pub kind: AuthKind,
}

/// How a secret is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuthKind {
    /// `Authorization: Bearer`.
    Bearer,
    /// `Authorization: Basic`; with a user name the secret is the password.
    Basic(Option<String>),
    /// A header of this name.
    Header(String),
    /// A query parameter of this name.
    Query(String),
    /// OAuth 2.0.
    Oauth2(Oauth2),
    /// A string inside a JSON body, of a request that has one of these shapes.
    Body(Vec<BodyPosition>),
    /// It signs and is never sent.
    Signing(Signing),
    /// Of a newer contract; cannot be used.
    Other(String),
}

/// OAuth 2.0 end points (RFC 6749).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Oauth2 {
    /// Where a person grants access.
    pub authorize_url: String,
    /// Where tokens are issued and refreshed.
    pub token_url: String,
    /// What to ask for.
    pub scopes: Vec<String>,
}

/// Where in a JSON body the secret goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BodyPosition {
    /// The request's method.
    pub method: String,
    /// The exact path of the URL.
    pub path: String,
    /// JSON Pointer to the secret's place.
    pub pointer: String,
    /// JSON Pointers and the exact JSON texts that must stand there.
    pub pinned: Vec<(String, String)>,
}

/// How the text of a key becomes bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyEncoding {
    /// As it stands.
    Utf8,
    /// Hexadecimal.
    Hex,
    /// Base64.
    Base64,
}

/// What a signing credential may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signing {
    /// Algorithms that may be used.
    pub algorithms: Vec<String>,
    /// How the key is written.
    pub key_encoding: KeyEncoding,
    /// What separates a public key id from the key.
    pub key_id_separator: Option<String>,
}

/// A place that may be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EgressRule {
    /// Scheme and host, with settings in braces.
    pub origin: String,
    /// Upper case; empty: any.
    pub methods: Vec<String>,
    /// Start of the path, on a segment boundary.
    pub path_prefix: String,
}

/// At most `requests` in `per_ms` milliseconds and `concurrent` at once; 0 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateLimit {
    /// Requests in the window.
    pub requests: u32,
    /// The window, in milliseconds.
    pub per_ms: u32,
    /// Requests in flight.
    pub concurrent: u32,
}
