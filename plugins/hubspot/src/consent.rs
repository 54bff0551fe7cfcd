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

/// The statuses of several addresses, by address in lower case.
#[derive(Debug, Default)]
pub struct Statuses(BTreeMap<String, Status>);

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    results: Vec<OfAddress>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OfAddress {
    subscriber_id_string: String,
    #[serde(default)]
    statuses: Vec<Status>,
}

impl Statuses {
    /// From the answer to a batch read, 200 or 207. An address that the answer leaves out has no status.
    pub fn read(answer: &http::Response, subscription: u64) -> Result<Self> {
        let answer: Answer = answer.json()?;
        Ok(Self(
            answer
                .results
                .into_iter()
                .filter_map(|of| {
                    let status = of
                        .statuses
                        .into_iter()
                        .find(|status| status.is_about(subscription))?;
                    Some((of.subscriber_id_string.to_lowercase(), status))
                })
                .collect(),
        ))
    }

    /// Adds the statuses of more addresses.
    pub fn extend(&mut self, more: Self) {
        self.0.extend(more.0);
    }

    /// What a contact consents to: an opt-out of everything outweighs the subscription's status, which still tells
    /// when it happened.
    pub fn consent(&self, email: Option<&str>, opted_out: bool) -> Consent {
        let status = email
            .and_then(|email| self.0.get(&email.to_lowercase()))
            .map(Status::consent);
        match status {
            Some(consent) if !opted_out || consent.state == ConsentState::Unsubscribed => consent,
            _ if opted_out => Consent::new(CHANNEL, PURPOSE, ConsentState::Unsubscribed),
            _ => Consent::new(CHANNEL, PURPOSE, ConsentState::Unspecified),
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
        Statuses::read(&answer.response(), 7).unwrap()
    }

    #[test]
    fn a_subscription_is_told_with_its_time_and_proof() {
        let consent = statuses("SUBSCRIBED").consent(Some("ann@example.COM"), false);
        assert_eq!(consent.state, ConsentState::Subscribed);
        assert_eq!(consent.at.as_deref(), Some("2026-11-24T05:16:00Z"));
        assert_eq!(
            consent.evidence.as_deref(),
            Some("CONSENT_WITH_NOTICE: form")
        );
    }

    #[test]
    fn an_opt_out_of_everything_outweighs_the_subscription() {
        let consent = statuses("SUBSCRIBED").consent(Some("ann@example.com"), true);
        assert_eq!(consent.state, ConsentState::Unsubscribed);
        assert_eq!(consent.at, None, "the time is that of another state");
        let consent = statuses("UNSUBSCRIBED").consent(Some("ann@example.com"), true);
        assert!(consent.at.is_some());
    }

    #[test]
    fn who_never_said_anything_is_unspecified() {
        for consent in [
            statuses("NOT_SPECIFIED").consent(Some("ann@example.com"), false),
            statuses("SUBSCRIBED").consent(Some("bob@example.com"), false),
            statuses("SUBSCRIBED").consent(None, false),
            Statuses::default().consent(Some("ann@example.com"), false),
        ] {
            assert_eq!(consent.state, ConsentState::Unspecified);
        }
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
