//! Consent to marketing by e-mail. HubSpot holds it by address, not by contact [V].

use std::collections::BTreeMap;

use samspel_connector::{Consent, ConsentState, Result, http, jiff, time};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api;
use crate::settings::{OptOut, Settings};

/// The channel of the one consent slot.
pub const CHANNEL: &str = "email";
/// The purpose of the one consent slot.
pub const PURPOSE: &str = "marketing";

/// One address's status for one subscription type. What is not [V] is optional.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    subscription_id: Value,
    status: String,
    #[serde(default)]
    legal_basis: Option<String>,
    #[serde(default)]
    legal_basis_explanation: Option<String>,
    #[serde(default)]
    source: Option<String>,
    #[serde(default)]
    timestamp: Option<Value>,
}

impl Status {
    fn is_about(&self, subscription: u64) -> bool {
        match &self.subscription_id {
            Value::Number(number) => number.as_u64() == Some(subscription),
            Value::String(text) => text.parse() == Ok(subscription),
            _ => false,
        }
    }

    fn at(&self) -> Option<jiff::Timestamp> {
        match self.timestamp.as_ref()? {
            Value::String(text) => time::rfc3339(text),
            Value::Number(ms) => time::millis(ms.as_i64()?),
            _ => None,
        }
    }

    /// "CONSENT_WITH_NOTICE: signed the form (via API)"; only as much as is there.
    fn evidence(&self) -> Option<String> {
        let parts: Vec<&str> = [
            &self.legal_basis,
            &self.legal_basis_explanation,
            &self.source,
        ]
        .into_iter()
        .filter_map(|part| part.as_deref())
        .filter(|part| !part.is_empty())
        .collect();
        (!parts.is_empty()).then(|| parts.join(": "))
    }

    fn consent(&self) -> Consent {
        let state = match self.status.as_str() {
            "SUBSCRIBED" => ConsentState::Subscribed,
            "UNSUBSCRIBED" => ConsentState::Unsubscribed,
            _ => ConsentState::Unspecified,
        };
        if state == ConsentState::Unspecified {
            // Its time would be that of the reading.
            return Consent::new(CHANNEL, PURPOSE, state);
        }
        Consent::new(CHANNEL, PURPOSE, state)
            .at(self.at())
            .evidence(self.evidence().as_deref())
    }
}

/// The statuses of several addresses.
#[derive(Debug)]
pub struct Statuses {
    /// The subscription that was asked about, if one was.
    subscription: Option<u64>,
    /// What was told, by address in lower case.
    told: BTreeMap<String, Option<Status>>,
}

#[derive(Deserialize)]
struct Answer {
    results: Vec<OfAddress>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OfAddress {
    subscriber_id_string: String,
    statuses: Vec<Status>,
}

impl Statuses {
    /// Of no subscription: only an opt-out of everything can be told.
    pub fn not_asked() -> Self {
        Self {
            subscription: None,
            told: BTreeMap::new(),
        }
    }

    /// Of this subscription, none told yet.
    pub fn of(subscription: u64) -> Self {
        Self {
            subscription: Some(subscription),
            told: BTreeMap::new(),
        }
    }

    /// Takes the answer to a batch read, 200 or 207.
    pub fn read(&mut self, answer: &http::Response) -> Result<()> {
        let Some(subscription) = self.subscription else {
            return Ok(());
        };
        for of in answer.json::<Answer>()?.results {
            let status = of
                .statuses
                .into_iter()
                .find(|status| status.is_about(subscription));
            self.told
                .insert(of.subscriber_id_string.to_lowercase(), status);
        }
        Ok(())
    }

    /// What a contact consents to: an opt-out of everything outweighs the subscription's status, which still tells
    /// when it happened. `None` where HubSpot was asked about the address and did not tell: silence is no consent, and
    /// no lack of one either.
    pub fn consent(&self, email: Option<&str>, opted_out: bool) -> Option<Consent> {
        let unspecified = || Consent::new(CHANNEL, PURPOSE, ConsentState::Unspecified);
        let told = match (self.subscription, email) {
            (Some(_), Some(email)) => self
                .told
                .get(&email.to_lowercase())
                .map(|status| status.as_ref().map_or_else(unspecified, Status::consent)),
            _ => Some(unspecified()),
        };
        match told {
            Some(consent) if consent.state == ConsentState::Unsubscribed => Some(consent),
            _ if opted_out => Some(Consent::new(CHANNEL, PURPOSE, ConsentState::Unsubscribed)),
            told => told,
        }
    }
}

/// A consent that is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// Out of all e-mail.
    OutOfAll,
    /// Out of the subscription, or into it.
    Status {
        subscription: u64,
        state: &'static str,
        legal_basis: Option<&'static str>,
        explanation: Option<String>,
    },
}

impl Wish {
    /// What to write for a consent, or why it cannot be written.
    pub fn new(consent: &Consent, settings: &Settings) -> Result<Self, String> {
        if consent.channel != CHANNEL || consent.purpose != PURPOSE {
            return Err(format!(
                "HubSpot has no consent to `{}` by `{}` here",
                consent.purpose, consent.channel
            ));
        }
        let subscription = settings.subscription_id;
        match (&consent.state, subscription) {
            (ConsentState::Unsubscribed, Some(subscription))
                if settings.opt_out == OptOut::Subscription =>
            {
                Ok(Self::Status {
                    subscription,
                    state: "UNSUBSCRIBED",
                    legal_basis: None,
                    explanation: None,
                })
            }
            (ConsentState::Unsubscribed, _) => Ok(Self::OutOfAll),
            (ConsentState::Subscribed, Some(subscription)) => Ok(Self::Status {
                subscription,
                state: "SUBSCRIBED",
                legal_basis: Some(settings.legal_basis.as_str()),
                explanation: Some(
                    consent
                        .evidence
                        .clone()
                        .unwrap_or_else(|| "Opt-in recorded by Samspel".to_owned()),
                ),
            }),
            (ConsentState::Subscribed, None) => {
                Err("an opt-in can be written only with the setting `subscription_id`".to_owned())
            }
            (state, _) => Err(format!("HubSpot cannot be told the consent {state:?}")),
        }
    }

    /// As an input of `statuses/batch/write`.
    pub fn input(&self, email: &str) -> Value {
        match self {
            Self::OutOfAll => json!(email),
            Self::Status {
                subscription,
                state,
                legal_basis,
                explanation,
            } => {
                let mut input = json!({
                    "subscriberIdString": email,
                    "subscriptionId": subscription,
                    "statusState": state,
                    "channel": "EMAIL",
                });
                if let Some(basis) = legal_basis {
                    input["legalBasis"] = (*basis).into();
                }
                if let Some(explanation) = explanation {
                    input["legalBasisExplanation"] = explanation.as_str().into();
                }
                input
            }
        }
    }

    /// The state after it was written.
    pub fn consent(&self, at: Option<jiff::Timestamp>) -> Consent {
        let (state, evidence) = match self {
            Self::Status {
                state: "SUBSCRIBED",
                legal_basis,
                explanation,
                ..
            } => (
                ConsentState::Subscribed,
                legal_basis.map(|basis| {
                    format!("{basis}: {}", explanation.as_deref().unwrap_or_default())
                }),
            ),
            _ => (ConsentState::Unsubscribed, None),
        };
        Consent::new(CHANNEL, PURPOSE, state)
            .at(at)
            .evidence(evidence.as_deref())
    }
}

/// The request for the statuses of these contacts' addresses; `None` where there is nothing to ask.
pub fn request(settings: &Settings, emails: &[String]) -> Option<http::Request> {
    settings.subscription_id?;
    (!emails.is_empty()).then(|| api::statuses(emails))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use samspel_connector::testing::Reply;

    fn statuses(status: &str) -> Statuses {
        let answer = Reply::json(
            200,
            json!({ "status": "COMPLETE", "results": [{
                "subscriberIdString": "Ann@Example.com",
                "statuses": [
                    { "subscriptionId": 1, "status": "UNSUBSCRIBED" },
                    { "subscriptionId": 7, "status": status, "legalBasis": "CONSENT_WITH_NOTICE",
                      "legalBasisExplanation": "form", "timestamp": "2026-11-24T05:16:00Z" },
                ],
            }] }),
        );
        let mut statuses = Statuses::of(7);
        statuses.read(&answer.response()).unwrap();
        statuses
    }

    #[test]
    fn a_subscription_is_told_with_its_time_and_proof() {
        let consent = statuses("SUBSCRIBED")
            .consent(Some("ann@example.COM"), false)
            .unwrap();
        assert_eq!(consent.state, ConsentState::Subscribed);
        assert_eq!(consent.at.as_deref(), Some("2026-11-24T05:16:00Z"));
        assert_eq!(
            consent.evidence.as_deref(),
            Some("CONSENT_WITH_NOTICE: form")
        );
    }

    #[test]
    fn an_opt_out_of_everything_outweighs_the_subscription() {
        let consent = statuses("SUBSCRIBED")
            .consent(Some("ann@example.com"), true)
            .unwrap();
        assert_eq!(consent.state, ConsentState::Unsubscribed);
        assert_eq!(consent.at, None, "the time is that of another state");
        let consent = statuses("UNSUBSCRIBED")
            .consent(Some("ann@example.com"), true)
            .unwrap();
        assert!(consent.at.is_some());
    }

    #[test]
    fn who_never_said_anything_is_unspecified() {
        for consent in [
            statuses("NOT_SPECIFIED").consent(Some("ann@example.com"), false),
            statuses("SUBSCRIBED").consent(None, false),
            Statuses::not_asked().consent(Some("ann@example.com"), false),
        ] {
            assert_eq!(consent.unwrap().state, ConsentState::Unspecified);
        }
    }

    #[test]
    fn of_an_address_that_the_answer_leaves_out_nothing_is_said() {
        let told = statuses("SUBSCRIBED");
        assert_eq!(told.consent(Some("bob@example.com"), false), None);
        let out = told.consent(Some("bob@example.com"), true).unwrap();
        assert_eq!(out.state, ConsentState::Unsubscribed);
    }

    #[test]
    fn an_opt_in_needs_a_subscription() {
        let subscribed = Consent::new("email", "marketing", ConsentState::Subscribed);
        assert!(Wish::new(&subscribed, &Settings::default()).is_err());
        let settings = Settings {
            subscription_id: Some(7),
            ..Settings::default()
        };
        let wish = Wish::new(&subscribed, &settings).unwrap();
        assert_eq!(wish.input("a@b.se")["statusState"], "SUBSCRIBED");
        let out = Consent::new("email", "marketing", ConsentState::Unsubscribed);
        assert_eq!(Wish::new(&out, &settings), Ok(Wish::OutOfAll));
        let sms = Consent::new("sms", "marketing", ConsentState::Unsubscribed);
        assert!(Wish::new(&sms, &settings).is_err());
    }
}
