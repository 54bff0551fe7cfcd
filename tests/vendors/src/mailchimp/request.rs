//! Reading requests the way Mailchimp does.

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::LIST_ID;
use super::error::{FieldError, Problem};
use super::mask::Mask;
use super::member::MemberStatus;
use super::merge::{self, MergeField};
use super::quirks::MailchimpQuirks;
use super::store::Wanted;
use crate::clock::Seconds;
use crate::query::{BadParameter, QueryParams};

impl From<BadParameter> for Problem {
    fn from(BadParameter { name }: BadParameter) -> Self {
        Self::Invalid(vec![FieldError::new(name, "Schema describes another type")])
    }
}

/// A JSON body.
pub(crate) fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| {
        Problem::BadRequest(format!(
            "We encountered an unspecified JSON parsing error: {error}"
        ))
    })
}

/// There is one list.
pub(crate) fn check_list(list: &str) -> Result<(), Problem> {
    if list == LIST_ID {
        Ok(())
    } else {
        Err(Problem::NotFound)
    }
}

pub(crate) fn mask(query: &QueryParams) -> Mask {
    Mask::new(query.list("fields"), query.list("exclude_fields"))
}

/// A time of a query or body, in whole seconds.
pub(crate) fn time(field: &str, text: &str) -> Result<Seconds, Problem> {
    // The vendor's clients send `+00:00`, which a careless client turns into a blank.
    let repaired = text.replace(' ', "+");
    repaired
        .parse::<Timestamp>()
        .map(|at| Seconds(at.as_second()))
        .map_err(|_| {
            Problem::Invalid(vec![FieldError::new(
                field,
                "Schema describes string, format date-time",
            )])
        })
}

/// A member as a request describes it.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct MemberBody {
    pub(crate) email_address: Option<String>,
    pub(crate) status: Option<String>,
    pub(crate) status_if_new: Option<String>,
    pub(crate) merge_fields: Option<Map<String, Value>>,
    language: Option<String>,
    vip: Option<bool>,
    #[serde(default)]
    tags: Vec<String>,
    timestamp_opt: Option<String>,
    timestamp_signup: Option<String>,
}

/// A status of a request.
pub(crate) fn status(field: &str, text: Option<&str>) -> Result<Option<MemberStatus>, Problem> {
    let Some(text) = text else { return Ok(None) };
    MemberStatus::parse(text).map(Some).ok_or_else(|| {
        let allowed = "subscribed, unsubscribed, cleaned, pending, transactional";
        Problem::Invalid(vec![FieldError::new(
            field,
            format!("Value must be one of: {allowed}"),
        )])
    })
}

impl MemberBody {
    /// What the body wants of a member, without `status_if_new`.
    pub(crate) fn wanted(
        &self,
        fields: &[MergeField],
        quirks: &MailchimpQuirks,
    ) -> Result<Wanted, Problem> {
        let moment = |name: &str, text: &Option<String>| {
            text.as_deref()
                .filter(|text| !text.is_empty())
                .map(|text| time(name, text))
                .transpose()
        };
        Ok(Wanted {
            email: self.email_address.clone(),
            status: status("status", self.status.as_deref())?,
            merge: match &self.merge_fields {
                Some(values) => merge::accept(fields, values, quirks)?,
                None => Vec::new(),
            },
            language: self.language.clone(),
            vip: self.vip,
            tags: self.tags.clone(),
            opted_in: moment("timestamp_opt", &self.timestamp_opt)?,
            signed_up: moment("timestamp_signup", &self.timestamp_signup)?,
        })
    }
}
