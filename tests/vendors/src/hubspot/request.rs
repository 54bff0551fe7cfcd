//! Reading requests the way HubSpot does.

use serde::de::DeserializeOwned;

use super::error::Problem;
use crate::query::BadParameter;

impl From<BadParameter> for Problem {
    fn from(BadParameter { name }: BadParameter) -> Self {
        Self::BadRequest(format!("Invalid value for query parameter {name}"))
    }
}

/// A JSON body.
pub(crate) fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body)
        .map_err(|error| Problem::BadRequest(format!("Invalid input JSON: {error}")))
}

/// HubSpot's page size for a list that allows at most `most`.
pub(crate) fn page_size(limit: usize, most: usize) -> Result<usize, Problem> {
    if (1..=most).contains(&limit) {
        Ok(limit)
    } else {
        Err(Problem::BadRequest(format!(
            "The limit must be between 1 and {most}, but was {limit}"
        )))
    }
}
