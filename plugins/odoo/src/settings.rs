//! What the operator configures.

use samspel_connector::{JsonSchema, Value, schemars};
use serde::Deserialize;

/// An account of an Odoo database.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "schemars")]
pub struct Settings {
    /// Where Odoo runs, without a path: `https://example.odoo.com`.
    pub url: String,
    /// The name of the database.
    pub database: String,
    /// The user that Samspel works as. Use one of its own: its rights are Samspel's rights, and Odoo's log shows its
    /// name on every change.
    pub login: String,
    /// An Odoo domain that says which contacts of `partners` belong to it, such as
    /// `[["is_company", "=", false], ["email", "!=", false]]`. Without it all contacts do, companies and the
    /// contacts of Odoo's own users included. A contact that leaves the domain is out of scope, not deleted.
    #[serde(default)]
    pub partner_filter: Vec<Value>,
    /// From how many bounces on a contact counts as hard-bounced; fewer are soft bounces. Odoo counts bounces and does
    /// not tell them apart; its own mass mailing excludes contacts from 3 on.
    #[serde(default = "default_hard_bounce_count")]
    #[schemars(range(min = 1, max = 1000))]
    pub hard_bounce_count: i64,
    /// A field of contacts that shows a bounce to people, such as `x_email_status`: text gets the state and the
    /// reason, a boolean is ticked for an address that must not be written to. Odoo shows its own bounce counter
    /// in developer mode only.
    #[serde(default)]
    pub partner_bounce_field: Option<String>,
}

fn default_hard_bounce_count() -> i64 {
    3
}

impl Settings {
    /// The URL of every request.
    pub fn endpoint(&self) -> String {
        format!("{}{}", self.url.trim_end_matches('/'), crate::rpc::PATH)
    }
}
