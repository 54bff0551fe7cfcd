//! Where a server of OAuth 2.0 issues tokens (RFC 6749, section 3.2): asking it, and what it answers.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::HttpError;
use super::exchange::{Allowance, Answer, Outgoing, Wire};
use super::retry::{Retries, retry_after};
use super::scrub::Scrubber;
use crate::account::OauthClient;

/// One client at one server.
pub struct TokenEndpoint {
    pub credential: String,
    pub url: Url,
    pub client: OauthClient,
    pub wire: Arc<Wire>,
    pub scrubber: Arc<Scrubber>,
}

/// Why no token was issued.
pub enum Refusal {
    /// What the token was asked with is void: the refresh token, or the code. With the server's word for it.
    Void(String),
    Other(HttpError),
}

/// What the server issued.
pub struct Granted {
    pub access: SecretString,
    /// How long the access token lives; `None`: until the server refuses it.
    pub lifetime: Option<Duration>,
    pub refresh: Option<SecretString>,
}

impl TokenEndpoint {
    /// Says that there is no token, and why.
    pub fn failed(&self, why: &str) -> HttpError {
        HttpError::NotSent(format!(
            "OAuth 2 token of credential `{}`: {why}",
            self.credential
        ))
    }

    /// Asks for tokens, again where the server certainly did not look at the request. `grant`: the parameters besides
    /// those of the client.
    pub async fn ask(&self, grant: &[(&str, &str)]) -> Result<Granted, Refusal> {
        let mut retries = Retries::new(false);
        let longest = Duration::from_millis(self.wire.limits.wait_ms);
        loop {
            let outcome = self
                .wire
                .exchange(self.request(grant), &Allowance::unlimited())
                .await;
            match retries.after(&outcome).filter(|delay| *delay <= longest) {
                Some(delay) => {
                    self.wire.counters.retried();
                    tokio::time::sleep(delay).await;
                }
                None => return self.read(outcome.map_err(|error| self.unreachable(&error))?),
            }
        }
    }

    fn unreachable(&self, error: &HttpError) -> Refusal {
        Refusal::Other(match error {
            HttpError::Denied(why) => HttpError::Denied(why.clone()),
            error => self.failed(&error.to_string()),
        })
    }

    fn request(&self, grant: &[(&str, &str)]) -> Outgoing {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(grant)
            .append_pair("client_id", &self.client.id);
        if let Some(secret) = &self.client.secret {
            form.append_pair("client_secret", secret.expose_secret());
        }
        let headers = HeaderMap::from_iter([
            (
                CONTENT_TYPE,
                HeaderValue::from_static("application/x-www-form-urlencoded"),
            ),
            (ACCEPT, HeaderValue::from_static("application/json")),
        ]);
        Outgoing {
            method: Method::POST,
            url: self.url.clone(),
            headers,
            body: Some(form.finish().into()),
        }
    }

    fn read(&self, answer: Answer) -> Result<Granted, Refusal> {
        let other = |why: &str| Refusal::Other(self.failed(why));
        if answer.status == 429 {
            let wait = retry_after(&answer.headers, std::time::SystemTime::now());
            return Err(Refusal::Other(match wait {
                Some(wait) => {
                    HttpError::Throttled(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
                }
                None => self.failed("the server throttles (HTTP 429)"),
            }));
        }
        let refused: ErrorAnswer = serde_json::from_slice(&answer.body).unwrap_or_default();
        if let Some(word) = refused.word().filter(|word| is_void(word)) {
            return Err(Refusal::Void(word.to_owned()));
        }
        if !(200..300).contains(&answer.status) {
            return Err(match refused.word() {
                Some(word) => other(&format!(
                    "the server answered {word} (HTTP {})",
                    answer.status
                )),
                None => other(&format!("the server answered HTTP {}", answer.status)),
            });
        }
        if let Some(word) = word(&refused.error) {
            return Err(other(&format!("the server answered {word}")));
        }
        let tokens: Tokens = serde_json::from_slice(&answer.body)
            .map_err(|_| other("the server's answer holds no token"))?;
        if tokens.access_token.is_empty() {
            return Err(other("the server's answer holds no token"));
        }
        Ok(Granted {
            access: tokens.access_token.into(),
            lifetime: tokens.expires_in.as_ref().and_then(seconds),
            refresh: tokens
                .refresh_token
                .filter(|token| !token.is_empty())
                .map(SecretString::from),
        })
    }
}

/// A successful answer (RFC 6749, section 5.1).
#[derive(Deserialize)]
struct Tokens {
    access_token: String,
    expires_in: Option<Value>,
    refresh_token: Option<String>,
}

/// An error (RFC 6749, section 5.2). HubSpot says `status` instead, which others have for a number.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ErrorAnswer {
    error: Value,
    status: Value,
}

impl ErrorAnswer {
    /// The server's word for what is wrong.
    fn word(&self) -> Option<&str> {
        word(&self.error).or_else(|| word(&self.status))
    }
}

/// A word. Anything else is not worth repeating: it may hold what it was sent.
fn word(value: &Value) -> Option<&str> {
    let is_word = |text: &&str| {
        !text.is_empty()
            && text.len() <= 40
            && text.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_')
    };
    value.as_str().filter(is_word)
}

/// Whether a word says that nothing will ever come of this refresh token, or code: `invalid_grant` (RFC 6749, section
/// 5.2); `BAD_REFRESH_TOKEN` and `BAD_AUTH_CODE` of HubSpot; `bad_refresh_token` and `bad_verification_code` of GitHub,
/// which says it with HTTP 200.
fn is_void(word: &str) -> bool {
    matches!(
        word.to_ascii_lowercase().as_str(),
        "invalid_grant" | "bad_refresh_token" | "bad_auth_code" | "bad_verification_code"
    )
}

/// A number, which some servers write as a text.
fn seconds(value: &Value) -> Option<Duration> {
    let seconds = match value {
        Value::String(text) => text.parse().ok(),
        value => value.as_u64(),
    }?;
    // A lifetime beyond this cannot be added to the clock, and means "for ever".
    Some(Duration::from_secs(seconds.min(u64::from(u32::MAX))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_say_in_their_own_words_that_a_grant_is_void() {
        let of = |text: &str| {
            let answer: ErrorAnswer = serde_json::from_str(text).unwrap_or_default();
            answer.word().map(|word| (word.to_owned(), is_void(word)))
        };
        for (text, word, void) in [
            (r#"{"error":"invalid_grant"}"#, "invalid_grant", true),
            (
                r#"{"error":"invalid_grant","status":400}"#,
                "invalid_grant",
                true,
            ),
            (
                r#"{"status":"BAD_REFRESH_TOKEN","message":"missing"}"#,
                "BAD_REFRESH_TOKEN",
                true,
            ),
            (r#"{"status":"BAD_AUTH_CODE"}"#, "BAD_AUTH_CODE", true),
            (
                r#"{"error":"bad_refresh_token"}"#,
                "bad_refresh_token",
                true,
            ),
            (
                r#"{"error":"bad_verification_code"}"#,
                "bad_verification_code",
                true,
            ),
            (r#"{"error":"invalid_client"}"#, "invalid_client", false),
            (
                r#"{"status":"error","message":"internal error"}"#,
                "error",
                false,
            ),
            (
                r#"{"error":{"code":7},"status":"BAD_AUTH_CODE"}"#,
                "BAD_AUTH_CODE",
                true,
            ),
        ] {
            assert_eq!(of(text), Some((word.to_owned(), void)), "{text}");
        }
        for none in [
            r#"{"error":"token abc123 is unknown"}"#,
            "<html>",
            r#"{"access_token":"a"}"#,
        ] {
            assert_eq!(of(none), None, "{none}");
        }
    }

    #[test]
    fn a_lifetime_is_a_number_or_a_text() {
        let of = |text: &str| seconds(&serde_json::from_str(text).unwrap_or_default());
        assert_eq!(of("3600"), Some(Duration::from_secs(3_600)));
        assert_eq!(of("\"3600\""), Some(Duration::from_secs(3_600)));
        assert_eq!(of("-1"), None);
        assert_eq!(of("\"soon\""), None);
        assert!(of("18446744073709551615").is_some_and(|end| end.as_secs() <= u64::from(u32::MAX)));
    }
}
