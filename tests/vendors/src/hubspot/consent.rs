//! Who may be mailed. Statuses are "tied to the email address, and not a specific contact record" (V): a contact that
//! changes its address leaves its opt-out behind, which is what makes that change dangerous.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::properties::SUBSCRIPTION_TYPES;
use crate::clock::Millis;

/// A subscription's state (V).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SubscriptionState {
    /// Opted in.
    Subscribed,
    /// Opted out.
    Unsubscribed,
    /// Never said.
    NotSpecified,
}

/// Why someone may be mailed (V).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(
    missing_docs,
    reason = "the vendor's own names, which say all there is to say"
)]
pub enum LegalBasis {
    LegitimateInterestPql,
    LegitimateInterestClient,
    LegitimateInterestOther,
    PerformanceOfContract,
    ConsentWithNotice,
    NonGdpr,
    ProcessAndStore,
}

/// What is recorded about one address and one subscription type.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) state: SubscriptionState,
    pub(crate) at: Millis,
    pub(crate) source: &'static str,
    pub(crate) basis: Option<LegalBasis>,
    pub(crate) explanation: Option<Arc<str>>,
}

/// What is recorded about one address.
#[derive(Debug, Clone, Default)]
pub(crate) struct Consents {
    /// Opted out of everything, since when.
    pub(crate) all: Option<Millis>,
    /// By position in [`SUBSCRIPTION_TYPES`].
    pub(crate) entries: [Option<Entry>; SUBSCRIPTION_TYPES.len()],
}

impl Consents {
    pub(crate) fn state(&self, position: usize) -> SubscriptionState {
        self.entries[position]
            .as_ref()
            .map_or(SubscriptionState::NotSpecified, |entry| entry.state)
    }
}

/// Why a change succeeded, in the vendor's words (V).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum SuccessReason {
    RequestedChangeOccurred,
    NoStatusChange,
    ResubscribeOccurred,
    UnsubscribeFromAllOccurred,
}

/// All addresses. Keys are in lower case.
#[derive(Debug, Default)]
pub(crate) struct ConsentBook {
    by_email: HashMap<Box<str>, Consents>,
}

impl ConsentBook {
    pub(crate) fn get(&self, email: &str) -> Option<&Consents> {
        self.by_email.get(email)
    }

    /// Records a state. A change away from UNSUBSCRIBED also ends an opt-out of everything.
    pub(crate) fn set(&mut self, email: &str, position: usize, entry: Entry) -> SuccessReason {
        let consents = self.entry(email);
        let before = consents.state(position);
        let reason = match (before, entry.state) {
            (a, b) if a == b => SuccessReason::NoStatusChange,
            (SubscriptionState::Unsubscribed, SubscriptionState::Subscribed) => {
                SuccessReason::ResubscribeOccurred
            }
            _ => SuccessReason::RequestedChangeOccurred,
        };
        if reason != SuccessReason::NoStatusChange {
            if entry.state != SubscriptionState::Unsubscribed {
                consents.all = None;
            }
            consents.entries[position] = Some(entry);
        }
        reason
    }

    /// Opts an address out of everything and answers whether that is new.
    pub(crate) fn unsubscribe_all(
        &mut self,
        email: &str,
        at: Millis,
        source: &'static str,
    ) -> bool {
        let consents = self.entry(email);
        if consents.all.is_some() {
            return false;
        }
        consents.all = Some(at);
        for slot in &mut consents.entries {
            if slot
                .as_ref()
                .is_none_or(|entry| entry.state != SubscriptionState::Unsubscribed)
            {
                *slot = Some(Entry {
                    state: SubscriptionState::Unsubscribed,
                    at,
                    source,
                    basis: None,
                    explanation: None,
                });
            }
        }
        true
    }

    pub(crate) fn forget(&mut self, email: &str) {
        self.by_email.remove(email);
    }

    fn entry(&mut self, email: &str) -> &mut Consents {
        self.by_email.entry(email.into()).or_default()
    }
}
