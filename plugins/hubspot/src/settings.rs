//! What the operator sets.

use samspel_connector::{DeliverabilityState, Failure, JsonSchema, Result};
use serde::Deserialize;

/// The settings of a HubSpot account.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The id of the subscription type that stands for marketing by e-mail (Settings, Marketing, Email, Subscription
    /// types). Without it only "opted out of all e-mail" can be told and an opt-in can be neither read nor written.
    pub subscription_id: Option<u64>,
    /// What an opt-out is written as.
    pub opt_out: OptOut,
    /// The legal basis that is recorded with an opt-in; its explanation is the opt-in's evidence.
    pub legal_basis: LegalBasis,
    /// The name of a custom contact property for deliverability. HubSpot's own bounce properties are read-only;
    /// without this setting a bounce can be read and not written.
    pub bounce_property: Option<String>,
    /// The values of `bounce_property`.
    pub bounce_values: BounceValues,
    /// How far each incremental read goes back, in seconds, because HubSpot's search shows changes late.
    #[schemars(range(min = 0, max = 86_400))]
    pub overlap_seconds: Option<u32>,
}

/// What an opt-out is written as.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OptOut {
    /// Out of all e-mail: nothing is sent by mistake of the subscription type.
    #[default]
    All,
    /// Out of `subscription_id` only.
    Subscription,
}

/// HubSpot's names for why someone may be mailed; they say all there is to say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LegalBasis {
    LegitimateInterestPql,
    LegitimateInterestClient,
    LegitimateInterestOther,
    PerformanceOfContract,
    #[default]
    ConsentWithNotice,
    NonGdpr,
    ProcessAndStore,
}

impl LegalBasis {
    /// As requests spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LegitimateInterestPql => "LEGITIMATE_INTEREST_PQL",
            Self::LegitimateInterestClient => "LEGITIMATE_INTEREST_CLIENT",
            Self::LegitimateInterestOther => "LEGITIMATE_INTEREST_OTHER",
            Self::PerformanceOfContract => "PERFORMANCE_OF_CONTRACT",
            Self::ConsentWithNotice => "CONSENT_WITH_NOTICE",
            Self::NonGdpr => "NON_GDPR",
            Self::ProcessAndStore => "PROCESS_AND_STORE",
        }
    }
}

/// The values of `bounce_property`: options of a drop-down, or plain text.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BounceValues {
    /// Nothing is known against the address.
    pub deliverable: String,
    /// A temporary failure was seen.
    pub soft_bounced: String,
    /// The address failed permanently.
    pub hard_bounced: String,
    /// The recipient reported spam.
    pub complained: String,
}

impl Default for BounceValues {
    fn default() -> Self {
        Self {
            deliverable: "deliverable".to_owned(),
            soft_bounced: "soft-bounced".to_owned(),
            hard_bounced: "hard-bounced".to_owned(),
            complained: "complained".to_owned(),
        }
    }
}

impl BounceValues {
    /// The property's value for a state; `None` for a state of a newer contract.
    pub fn value(&self, state: &DeliverabilityState) -> Option<&str> {
        match state {
            DeliverabilityState::Deliverable => Some(&self.deliverable),
            DeliverabilityState::SoftBounced => Some(&self.soft_bounced),
            DeliverabilityState::HardBounced => Some(&self.hard_bounced),
            DeliverabilityState::Complained => Some(&self.complained),
            DeliverabilityState::Other(_) => None,
        }
    }

    /// The state that a value of the property stands for. Where one value stands for several states, the gravest.
    pub fn state(&self, value: &str) -> Option<DeliverabilityState> {
        [
            DeliverabilityState::HardBounced,
            DeliverabilityState::Complained,
            DeliverabilityState::SoftBounced,
            DeliverabilityState::Deliverable,
        ]
        .into_iter()
        .find(|state| {
            self.value(state)
                .is_some_and(|own| own.eq_ignore_ascii_case(value))
        })
    }
}

impl Settings {
    /// What the schema cannot say.
    pub fn checked(self) -> Result<Self> {
        if self.opt_out == OptOut::Subscription && self.subscription_id.is_none() {
            return Err(Failure::setting(
                "opt_out",
                "`subscription` needs the setting `subscription_id`",
            ));
        }
        if self.bounce_property.as_deref() == Some("") {
            return Err(Failure::setting(
                "bounce_property",
                "is empty; name a contact property or leave it out",
            ));
        }
        Ok(self)
    }
}
