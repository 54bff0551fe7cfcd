//! How a person authorises an account: the authorisation code grant of OAuth 2.0 (RFC 6749, section 4.1) with a proof
//! key (RFC 7636), answered at a loopback address (RFC 8252, section 7.3).
//!
//! The code travels through a browser. Whoever sees it can do nothing without the verifier, which never leaves this
//! process but to the token end point; and an answer that was not asked for has not the state.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use url::Url;

use super::HttpError;
use super::token_endpoint::{Refusal, TokenEndpoint};

/// Authorises one credential of one account.
pub struct Authorisation {
    pub(super) authorize_url: Url,
    pub(super) scopes: Vec<String>,
    pub(super) endpoint: TokenEndpoint,
}

/// An authorisation that a person was asked for.
pub struct Begun {
    url: Url,
    redirect: String,
    state: SecretString,
    verifier: SecretString,
}

impl Begun {
    /// Where the person grants access.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// By which the answer is recognised: whoever has not seen our question does not know it.
    #[must_use]
    pub fn state(&self) -> &SecretString {
        &self.state
    }
}

impl Authorisation {
    /// Begins: the answer is to come to `redirect`.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn begin(&self, redirect: &str) -> Result<Begun, HttpError> {
        let (state, verifier) = (random()?, random()?);
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.expose_secret()));
        let mut url = self.authorize_url.clone();
        {
            let mut query = url.query_pairs_mut();
            query
                .append_pair("response_type", "code")
                .append_pair("client_id", &self.endpoint.client.id)
                .append_pair("redirect_uri", redirect)
                .append_pair("state", state.expose_secret())
                .append_pair("code_challenge", &challenge)
                .append_pair("code_challenge_method", "S256");
            if !self.scopes.is_empty() {
                query.append_pair("scope", &self.scopes.join(" "));
            }
        }
        Ok(Begun {
            url,
            redirect: redirect.to_owned(),
            state,
            verifier,
        })
    }

    /// Exchanges the code that the answer holds for a refresh token.
    ///
    /// # Errors
    /// `NotSent`: says why there is no token.
    pub async fn finish(
        &self,
        begun: &Begun,
        code: &SecretString,
    ) -> Result<SecretString, HttpError> {
        let endpoint = &self.endpoint;
        endpoint.scrubber.learn([code, &begun.verifier]);
        let granted = endpoint
            .ask(&[
                ("grant_type", "authorization_code"),
                ("code", code.expose_secret()),
                ("redirect_uri", &begun.redirect),
                ("code_verifier", begun.verifier.expose_secret()),
            ])
            .await;
        match granted {
            Ok(granted) => granted.refresh.ok_or_else(|| {
                endpoint.failed(
                    "the server issued no refresh token; the client must be allowed to be used while nobody is there \
                     (offline access)",
                )
            }),
            Err(Refusal::Void(word)) => Err(endpoint.failed(&format!(
                "the server does not accept the code ({word}); it is good once and for a short time: begin again",
            ))),
            Err(Refusal::Other(error)) => Err(match error {
                HttpError::NotSent(why) => HttpError::NotSent(endpoint.scrubber.text(&why)),
                other => other,
            }),
        }
    }
}

/// 256 bits as text of unreserved characters (RFC 7636, section 4.1: 43 to 128 of them).
fn random() -> Result<SecretString, HttpError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|error| HttpError::Other(format!("the system gives no random bytes: {error}")))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes).into())
}
