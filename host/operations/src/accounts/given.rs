//! Secrets as they are handed over.

use std::collections::BTreeMap;

use samspel_installation::config::{CredentialSettings, SecretSettings};
use samspel_installation::{Error, Kind, Secrets, place_of_client};
use samspel_model::descriptor::{AuthKind, AuthScheme};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::operation::Work;
use crate::values::Secret;

/// Where a secret comes from.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Given {
    /// This is it. It is sealed in the store.
    Secret(Secret),
    /// It stays in an environment variable of the host's, which the configuration refers to.
    Env(String),
    /// It stays in a file of the host's, which the configuration refers to.
    File(String),
    /// A person authorised the account in a browser (OAuth 2.0); what comes of it is sealed in the store.
    Answer {
        /// Which authorisation was answered.
        state: String,
        /// The code that the answer holds.
        code: Secret,
    },
}

/// A credential, and how it is used.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GivenCredential {
    /// The scheme by which it is used. Needed only if there are several.
    #[serde(default)]
    pub scheme: Option<String>,
    /// Where its secret comes from.
    pub from: Given,
    /// For OAuth 2.0: the client's id.
    #[serde(default)]
    pub client_id: Option<String>,
    /// For OAuth 2.0: where the client's own secret comes from, if it has one.
    #[serde(default)]
    pub client_secret: Option<Given>,
}

impl Given {
    /// What the configuration says about it. A secret that is to be sealed is put to those that are.
    pub(super) async fn take(
        &self,
        work: &Work<'_>,
        (account, credential, place): (&str, &str, &str),
        sealed: &mut Secrets,
    ) -> Result<SecretSettings, Error> {
        let secret = match self {
            Self::Env(name) => {
                work.must_be_at_host("an environment variable of the host's")?;
                return Ok(SecretSettings {
                    env: Some(name.clone()),
                    ..SecretSettings::default()
                });
            }
            Self::File(file) => {
                work.must_be_at_host("a file of the host's")?;
                return Ok(SecretSettings {
                    file: Some(file.into()),
                    ..SecretSettings::default()
                });
            }
            Self::Secret(secret) => secret.get().clone(),
            Self::Answer { state, code } => {
                work.authorisations
                    .finish(account, credential, state, code.get())
                    .await?
            }
        };
        sealed.insert(place.to_owned(), secret);
        Ok(SecretSettings {
            vault: true,
            ..SecretSettings::default()
        })
    }
}

impl GivenCredential {
    /// What the configuration says about it.
    pub(super) async fn settings(
        &self,
        work: &Work<'_>,
        (account, credential): (&str, &str),
        (scheme, several): (&AuthScheme, bool),
        sealed: &mut Secrets,
    ) -> Result<CredentialSettings, Error> {
        if matches!(scheme.kind, AuthKind::Oauth2(_)) && self.client_id.is_none() {
            return Err(Error::new(Kind::Usage, "OAuth 2 needs the client's id")
                .remedy("name it with --client-id"));
        }
        let place = (account, credential, credential);
        let secret = self.from.take(work, place, sealed).await?;
        let client_secret = match &self.client_secret {
            None => None,
            Some(given) => {
                let of_client = place_of_client(credential);
                let place = (account, credential, of_client.as_str());
                Some(given.take(work, place, sealed).await?)
            }
        };
        Ok(CredentialSettings {
            scheme: several.then(|| scheme.name.clone()),
            env: secret.env,
            file: secret.file,
            vault: secret.vault,
            client_id: self.client_id.clone(),
            client_secret,
        })
    }
}

/// Credentials by their names.
pub(super) type GivenCredentials = BTreeMap<String, GivenCredential>;
