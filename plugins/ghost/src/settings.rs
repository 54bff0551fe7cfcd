//! What the operator configures.

use samspel_connector::{JsonSchema, schemars};
use serde::Deserialize;

/// A Ghost site.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "schemars")]
pub struct Settings {
    /// Where Ghost's admin runs, without a path: `https://example.ghost.io`. If the admin has a domain of its own, that
    /// one.
    pub url: String,
    /// The newsletter, by slug or id, that consent to marketing is about. Without it consent is about all newsletters
    /// of the site: a member who gets any of them is subscribed, an opt-out ends all of them, and an opt-in starts
    /// those that Ghost starts for a new member.
    #[serde(default)]
    pub newsletter: Option<String>,
}

impl Settings {
    /// The root of the Admin API.
    pub fn api(&self) -> String {
        format!("{}{}", self.url.trim_end_matches('/'), crate::api::PATH)
    }
}
