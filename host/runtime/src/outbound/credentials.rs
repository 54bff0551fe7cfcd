//! Puts credentials where the descriptor declares them, and nowhere else.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use samspel_model::descriptor::BodyPosition;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::exchange::Outgoing;
use super::oauth::Oauth;
use super::signing::Signer;
use super::{HttpError, SecretError};

/// How one credential is used.
pub enum Means {
    Bearer(SecretString),
    /// User name and password, with a colon between them.
    Basic(SecretString),
    Header(HeaderName, SecretString),
    Query(String, SecretString),
    Body(Vec<Position>, SecretString),
    Oauth(Oauth),
    /// Never sent.
    Signing(Signer),
}

/// Where in a JSON body a secret goes.
pub struct Position {
    method: String,
    path: String,
    pointer: String,
    pinned: Vec<(String, Value)>,
}

impl Position {
    /// A position as the descriptor declares it.
    ///
    /// # Errors
    /// A pinned value is not JSON.
    pub fn new(declared: &BodyPosition) -> Result<Self, String> {
        let pinned = declared
            .pinned
            .iter()
            .map(|(pointer, text)| match serde_json::from_str(text) {
                Ok(value) => Ok((pointer.clone(), value)),
                Err(error) => Err(format!(
                    "the connector pins `{pointer}` to what is not JSON: {error}"
                )),
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            method: declared.method.clone(),
            path: declared.path.clone(),
            pointer: declared.pointer.clone(),
            pinned,
        })
    }

    fn fits(&self, outgoing: &Outgoing, body: &Value) -> bool {
        outgoing.method.as_str() == self.method
            && outgoing.url.path() == self.path
            && body.pointer(&self.pointer).is_some_and(Value::is_null)
            && self
                .pinned
                .iter()
                .all(|(pointer, value)| body.pointer(pointer) == Some(value))
    }
}

/// The credentials of one account.
#[derive(Default)]
pub struct Credentials(BTreeMap<String, Means>);

impl Credentials {
    pub fn new(means: BTreeMap<String, Means>) -> Self {
        Self(means)
    }

    /// Whether the connector holds a credential that signs, and may compose `authorization` itself.
    pub fn sign(&self) -> bool {
        self.0
            .values()
            .any(|means| matches!(means, Means::Signing(_)))
    }

    /// A credential that can be added to a request.
    ///
    /// # Errors
    /// There is none of that name, or it is never sent.
    pub fn sendable(&self, name: &str) -> Result<&Means, HttpError> {
        match self.0.get(name) {
            None => Err(HttpError::Denied(format!(
                "the account has no credential `{name}`"
            ))),
            Some(Means::Signing(_)) => Err(HttpError::Denied(format!(
                "credential `{name}` signs and is never sent"
            ))),
            Some(means) => Ok(means),
        }
    }

    /// A credential that signs.
    ///
    /// # Errors
    /// There is none of that name, or it does not sign.
    pub fn signer(&self, name: &str) -> Result<&Signer, SecretError> {
        match self.0.get(name) {
            None => Err(SecretError::Missing(name.to_owned())),
            Some(Means::Signing(signer)) => Ok(signer),
            Some(_) => Err(SecretError::NotDeclared(format!(
                "credential `{name}` does not sign"
            ))),
        }
    }
}

impl Means {
    /// Puts the secret into its place. The access token that was used, if the credential has such.
    ///
    /// # Errors
    /// The request has no place for it, or a token could not be obtained.
    pub async fn place(&self, outgoing: &mut Outgoing) -> Result<Option<SecretString>, HttpError> {
        match self {
            Self::Bearer(secret) => {
                set(outgoing, AUTHORIZATION, "Bearer ", secret.expose_secret())?
            }
            Self::Basic(pair) => {
                let pair = STANDARD.encode(pair.expose_secret());
                set(outgoing, AUTHORIZATION, "Basic ", &pair)?;
            }
            Self::Header(name, secret) => set(outgoing, name.clone(), "", secret.expose_secret())?,
            Self::Query(name, secret) => query(outgoing, name, secret),
            Self::Body(positions, secret) => body(outgoing, positions, secret)?,
            Self::Oauth(oauth) => {
                let token = oauth.token(None).await?;
                set(outgoing, AUTHORIZATION, "Bearer ", token.expose_secret())?;
                return Ok(Some(token));
            }
            Self::Signing(_) => {
                return Err(HttpError::Denied(
                    "a credential that signs is never sent".to_owned(),
                ));
            }
        }
        Ok(None)
    }
}

fn set(
    outgoing: &mut Outgoing,
    name: HeaderName,
    scheme: &str,
    secret: &str,
) -> Result<(), HttpError> {
    let mut value = HeaderValue::from_bytes(format!("{scheme}{secret}").as_bytes())
        .map_err(|_| HttpError::Denied("the credential cannot stand in a header".to_owned()))?;
    // Keeps it out of what HTTP libraries log.
    value.set_sensitive(true);
    outgoing.headers.insert(name, value);
    Ok(())
}

/// Replaces a parameter of that name, which a redirect may have echoed. Other parameters stay as they were written.
fn query(outgoing: &mut Outgoing, name: &str, secret: &SecretString) {
    let url = &mut outgoing.url;
    if url.query_pairs().any(|(other, _)| other == name) {
        let others: Vec<(String, String)> = url
            .query_pairs()
            .filter(|(other, _)| other != name)
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        url.query_pairs_mut().clear().extend_pairs(&others);
    }
    url.query_pairs_mut()
        .append_pair(name, secret.expose_secret());
}

/// The body is written anew from what was read, so that what was checked is what is sent: of two members with the same
/// name only the one that was looked at goes out.
fn body(
    outgoing: &mut Outgoing,
    positions: &[Position],
    secret: &SecretString,
) -> Result<(), HttpError> {
    let text = outgoing.body.as_deref().unwrap_or_default();
    let mut json: Value = serde_json::from_slice(text)
        .map_err(|error| HttpError::Denied(format!("the credential needs a JSON body: {error}")))?;
    let place = positions
        .iter()
        .find(|position| position.fits(outgoing, &json))
        .and_then(|position| json.pointer_mut(&position.pointer))
        .ok_or_else(|| {
            HttpError::Denied(
                "the request has none of the shapes in which the credential may be placed"
                    .to_owned(),
            )
        })?;
    *place = Value::String(secret.expose_secret().to_owned());
    outgoing.body = Some(json.to_string().into());
    Ok(())
}
