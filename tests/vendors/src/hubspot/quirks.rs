//! HubSpot's switches. Marks: **(V)** read in a vendor's document or client, **(T)** third-party sources, **(M)** from
//! memory and unverified. Where a fact is not (V) the switch offers the alternative, so that a connector can be shown
//! to work either way.

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

/// What a batch does when one of its items is refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum BatchErrors {
    /// 207: the other items are applied, `errors[]` and `numErrors` tell of the refused ones (V).
    #[default]
    PerItem,
    /// The whole batch is refused with the first item's error and nothing is applied (T).
    WholeBatch,
}

/// The behaviour of the simulated HubSpot account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Args)]
#[serde(default, deny_unknown_fields)]
pub struct HubSpotQuirks {
    /// Changes become visible to the search endpoint only this many milliseconds later (T).
    #[arg(long = "hubspot-search-lag-ms", default_value_t = HubSpotQuirks::default().search_lag_ms)]
    pub search_lag_ms: u64,
    /// A search answers at most this many results over all its pages, and 400 beyond (T).
    #[arg(long = "hubspot-search-cap", default_value_t = HubSpotQuirks::default().search_cap)]
    pub search_cap: usize,
    /// Rate limits are enforced.
    #[arg(long = "hubspot-rate-limits", action = clap::ArgAction::Set, default_value_t = HubSpotQuirks::default().rate_limits)]
    pub rate_limits: bool,
    /// Requests in any 10 seconds, search not counted (190 for Professional and Enterprise (V), 100 for Starter (T)).
    #[arg(long = "hubspot-burst-limit", default_value_t = HubSpotQuirks::default().burst_limit)]
    pub burst_limit: usize,
    /// Searches in any second (T).
    #[arg(long = "hubspot-search-limit", default_value_t = HubSpotQuirks::default().search_limit)]
    pub search_limit: usize,
    /// Answers carry `X-HubSpot-RateLimit-*` while rate limits are enforced; searches never do (T).
    #[arg(long = "hubspot-rate-limit-headers", action = clap::ArgAction::Set, default_value_t = HubSpotQuirks::default().rate_limit_headers)]
    pub rate_limit_headers: bool,
    /// What a batch does when one of its items is refused.
    #[arg(long = "hubspot-batch-errors", value_enum, default_value_t = HubSpotQuirks::default().batch_errors)]
    pub batch_errors: BatchErrors,
    /// The results of a batch come in another order than its inputs (T).
    #[arg(long = "hubspot-shuffle-batch-results", action = clap::ArgAction::Set, default_value_t = HubSpotQuirks::default().shuffle_batch_results)]
    pub shuffle_batch_results: bool,
    /// A changed subscription status moves the contact's `lastmodifieddate`, because `hs_email_optout` is a property
    /// (M).
    #[arg(long = "hubspot-consent-moves-lastmodified", action = clap::ArgAction::Set, default_value_t = HubSpotQuirks::default().consent_moves_lastmodified)]
    pub consent_moves_lastmodified: bool,
    /// A write that changes no value moves `lastmodifieddate` all the same (M).
    #[arg(long = "hubspot-noop-moves-lastmodified", action = clap::ArgAction::Set, default_value_t = HubSpotQuirks::default().noop_moves_lastmodified)]
    pub noop_moves_lastmodified: bool,
    /// `batch/upsert` with `idProperty=email` is answered with 400. The documents say that partial upserts are not
    /// supported for it (T) and do not say what happens.
    #[arg(long = "hubspot-reject-email-upsert", action = clap::ArgAction::Set, default_value_t = HubSpotQuirks::default().reject_email_upsert)]
    pub reject_email_upsert: bool,
    /// The API may set SUBSCRIBED for an address that is UNSUBSCRIBED (M); the dangerous case, therefore the default.
    #[arg(long = "hubspot-api-may-resubscribe", action = clap::ArgAction::Set, default_value_t = HubSpotQuirks::default().api_may_resubscribe)]
    pub api_may_resubscribe: bool,
    /// SUBSCRIBED needs a legal basis, as in accounts with data privacy settings switched on (T).
    #[arg(long = "hubspot-require-legal-basis", action = clap::ArgAction::Set, default_value_t = HubSpotQuirks::default().require_legal_basis)]
    pub require_legal_basis: bool,
    /// A merge makes a new record id instead of keeping the primary's (M).
    #[arg(long = "hubspot-merge-makes-new-id", action = clap::ArgAction::Set, default_value_t = HubSpotQuirks::default().merge_makes_new_id)]
    pub merge_makes_new_id: bool,
}

impl Default for HubSpotQuirks {
    fn default() -> Self {
        Self {
            search_lag_ms: 0,
            search_cap: 10_000,
            rate_limits: false,
            burst_limit: 190,
            search_limit: 5,
            rate_limit_headers: true,
            batch_errors: BatchErrors::PerItem,
            shuffle_batch_results: false,
            consent_moves_lastmodified: true,
            noop_moves_lastmodified: false,
            reject_email_upsert: false,
            api_may_resubscribe: true,
            require_legal_basis: false,
            merge_makes_new_id: false,
        }
    }
}
