//! Mailchimp's switches. Marks as in [`crate::hubspot`]: **(V)** vendor document or client, **(T)** third parties,
//! **(M)** unverified memory.

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

/// How Mailchimp refuses a request beyond its limit of simultaneous connections (T).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum OverLimit {
    /// 429 as problem+json, without headers that say when to come back.
    #[default]
    TooManyRequests,
    /// 403 without a JSON body.
    BareForbidden,
}

/// Which members the API may not set to `subscribed`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Compliance {
    /// Every member that is unsubscribed or cleaned (T).
    #[default]
    Strict,
    /// Those that unsubscribed by themselves, and cleaned ones; who was unsubscribed through the API may come back (M).
    OwnWish,
}

/// The behaviour of the simulated Mailchimp account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Args)]
#[serde(default, deny_unknown_fields)]
pub struct MailchimpQuirks {
    /// Requests that may be under way at once; Mailchimp's own limit is 10 (T). 0 means no limit.
    #[arg(long = "mailchimp-max-in-flight", default_value_t = MailchimpQuirks::default().max_in_flight)]
    pub max_in_flight: usize,
    /// How a request beyond that limit is refused.
    #[arg(long = "mailchimp-over-limit", value_enum, default_value_t = MailchimpQuirks::default().over_limit)]
    pub over_limit: OverLimit,
    /// Which members the API may not set to `subscribed`.
    #[arg(long = "mailchimp-compliance", value_enum, default_value_t = MailchimpQuirks::default().compliance)]
    pub compliance: Compliance,
    /// Addresses that look fake are refused (T).
    #[arg(long = "mailchimp-refuse-fake", action = clap::ArgAction::Set, default_value_t = MailchimpQuirks::default().refuse_fake)]
    pub refuse_fake: bool,
    /// Blanks around the text of a merge field are removed (M).
    #[arg(long = "mailchimp-trim", action = clap::ArgAction::Set, default_value_t = MailchimpQuirks::default().trim)]
    pub trim: bool,
    /// The most characters in a text merge field (M).
    #[arg(long = "mailchimp-merge-limit", default_value_t = MailchimpQuirks::default().merge_limit)]
    pub merge_limit: usize,
    /// A write that changes nothing moves `last_changed` all the same (M).
    #[arg(long = "mailchimp-noop-moves-last-changed", action = clap::ArgAction::Set, default_value_t = MailchimpQuirks::default().noop_moves_last_changed)]
    pub noop_moves_last_changed: bool,
    /// A changed tag moves `last_changed` (M).
    #[arg(long = "mailchimp-tags-move-last-changed", action = clap::ArgAction::Set, default_value_t = MailchimpQuirks::default().tags_move_last_changed)]
    pub tags_move_last_changed: bool,
    /// `since_last_changed` leaves out members changed in that very second ("after" in the documents (V), taken
    /// literally).
    #[arg(long = "mailchimp-since-exclusive", action = clap::ArgAction::Set, default_value_t = MailchimpQuirks::default().since_exclusive)]
    pub since_exclusive: bool,
    /// Only members that are subscribed may change their address (M).
    #[arg(long = "mailchimp-email-change-needs-subscribed", action = clap::ArgAction::Set, default_value_t = MailchimpQuirks::default().email_change_needs_subscribed)]
    pub email_change_needs_subscribed: bool,
}

impl Default for MailchimpQuirks {
    fn default() -> Self {
        Self {
            max_in_flight: 0,
            over_limit: OverLimit::TooManyRequests,
            compliance: Compliance::Strict,
            refuse_fake: true,
            trim: true,
            merge_limit: 255,
            noop_moves_last_changed: false,
            tags_move_last_changed: true,
            since_exclusive: true,
            email_change_needs_subscribed: false,
        }
    }
}
