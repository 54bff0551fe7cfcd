//! Conveniences on the contract's own words.

use jiff::Timestamp;

use crate::fields::Fields;
use crate::{
    Absence, Consent, ConsentState, Deferral, Deliverability, DeliverabilityState, Entity, Failure,
    Misconfiguration, Outcome, RecordId, Rejection, Revision, Tombstone, time,
};

impl Entity {
    /// A record with its fields and nothing else known of it.
    pub fn new(id: impl Into<RecordId>, fields: Fields) -> Self {
        Self {
            id: id.into(),
            revision: None,
            fields: fields.into_json(),
            consents: Vec::new(),
            deliverability: None,
            aliases: Vec::new(),
            modified: None,
        }
    }

    /// The time of its last change, which is its revision too.
    pub fn modified_at(mut self, modified: Timestamp) -> Self {
        self.revision = Some(Revision::at(modified));
        self.modified = Some(modified.to_string());
        self
    }
}

impl Revision {
    /// A revision that is a point in time of the server's clock.
    pub fn at(modified: Timestamp) -> Self {
        Self {
            token: modified.to_string(),
            order: Some(time::order(modified)),
        }
    }
}

impl Consent {
    /// A state without further knowledge.
    pub fn new(channel: &str, purpose: &str, state: ConsentState) -> Self {
        Self {
            channel: channel.to_owned(),
            purpose: purpose.to_owned(),
            state,
            at: None,
            evidence: None,
        }
    }

    /// When the state was entered, if known.
    pub fn at(mut self, at: Option<Timestamp>) -> Self {
        self.at = at.map(|at| at.to_string());
        self
    }

    /// What proves it, if known; the empty text proves nothing.
    pub fn evidence(mut self, evidence: Option<&str>) -> Self {
        self.evidence = evidence
            .filter(|evidence| !evidence.is_empty())
            .map(str::to_owned);
        self
    }
}

impl Deliverability {
    /// A state without further knowledge.
    pub fn new(state: DeliverabilityState) -> Self {
        Self {
            state,
            at: None,
            reason: None,
        }
    }

    /// Since when, if known.
    pub fn at(mut self, at: Option<Timestamp>) -> Self {
        self.at = at.map(|at| at.to_string());
        self
    }

    /// Why, if known.
    pub fn reason(mut self, reason: Option<&str>) -> Self {
        self.reason = reason
            .filter(|reason| !reason.is_empty())
            .map(str::to_owned);
        self
    }
}

impl Tombstone {
    /// A record that is gone.
    pub fn new(id: impl Into<RecordId>, why: Absence) -> Self {
        Self {
            id: id.into(),
            why,
            revision: None,
        }
    }
}

impl Failure {
    /// A setting that must be corrected.
    pub fn setting(setting: &str, why: impl Into<String>) -> Self {
        Self::Misconfigured(Misconfiguration {
            setting: setting.to_owned(),
            why: why.into(),
        })
    }
}

impl Outcome {
    /// Refused for good.
    pub fn rejected(reason: impl Into<String>, field: Option<&str>) -> Self {
        Self::Rejected(Rejection {
            reason: reason.into(),
            field: field.map(str::to_owned),
        })
    }

    /// Certainly not applied; worth a retry.
    pub fn deferred(reason: impl Into<String>) -> Self {
        Self::Deferred(Deferral {
            reason: reason.into(),
            retry_after: None,
        })
    }
}
