//! What the operator sets.

use samspel_connector::JsonSchema;
use serde::Deserialize;

/// The settings of a Mailchimp account.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The data centre: what stands after the dash of an API key, such as `us19`.
    #[schemars(regex(pattern = "^[a-z]{2,3}[0-9]{1,3}$"))]
    pub dc: String,
    /// The audience's id: Audience, Settings, Audience name and defaults.
    #[schemars(regex(pattern = "^[0-9A-Za-z]{1,32}$"))]
    pub list_id: String,
    /// Offer the member's tags as a field.
    #[serde(default)]
    pub tags: bool,
    /// What to do with an opt-in for someone who had opted out: Mailchimp's rules forbid to subscribe them again
    /// without their own act.
    #[serde(default)]
    pub resubscribe: Resubscribe,
    /// Accept members without the merge fields that the audience requires.
    #[serde(default = "yes")]
    pub skip_merge_validation: bool,
    /// How far each incremental read goes back, in seconds; `last_changed` counts whole seconds.
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 86_400))]
    pub overlap_seconds: u32,
}

/// What to do with an opt-in for someone who had opted out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Resubscribe {
    /// Leave them unsubscribed and say so.
    #[default]
    Refuse,
    /// Have Mailchimp ask them to confirm by e-mail.
    Confirm,
}

fn yes() -> bool {
    true
}

fn ten() -> u32 {
    10
}
