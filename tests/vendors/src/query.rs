//! Query parameters as both vendors read them.

use std::str::FromStr;

use url::form_urlencoded;

/// A parameter whose value is not of its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadParameter {
    pub(crate) name: &'static str,
}

/// The parameters of one request; a name may come several times, and lists may be separated by commas.
#[derive(Debug)]
pub(crate) struct QueryParams(Vec<(String, String)>);

impl QueryParams {
    pub(crate) fn parse(raw: Option<String>) -> Self {
        Self(
            form_urlencoded::parse(raw.unwrap_or_default().as_bytes())
                .into_owned()
                .collect(),
        )
    }

    /// A value that is there and not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        let values = self.0.iter().filter(|(n, _)| n == name);
        values
            .flat_map(|(_, value)| value.split(','))
            .map(str::to_owned)
            .filter(|entry| !entry.is_empty())
            .collect()
    }

    pub(crate) fn value<T: FromStr>(
        &self,
        name: &'static str,
        default: T,
    ) -> Result<T, BadParameter> {
        match self.get(name) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| BadParameter { name }),
        }
    }
}
