//! Access tokens of OAuth 2.0 (RFC 6749): obtained with a refresh token, kept until shortly before they expire.
//!
//! Servers may replace the refresh token at each use and void the old one. So a refresh runs on a task of its own, which
//! the end of a guest's call does not interrupt, and a replaced token is kept before anything that came with it is used.

use std::sync::Arc;
use std::time::{Duration, Instant};

use backon::{ExponentialBuilder, Retryable};
use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tracing::Instrument;
use url::Url;

use super::HttpError;
use super::exchange::{Allowance, Answer, Outgoing, Wire};
use super::retry::{Retries, retry_after};
use super::scrub::Scrubber;
use crate::account::{OauthClient, TokenStore};

/// A token is renewed so long before it expires: a request that carries it may be on its way for a while.
const MARGIN: Duration = Duration::from_secs(60);

/// One account's OAuth 2.0 credential.
#[derive(Clone)]
pub struct Oauth(Arc<Inner>);

/// What a credential needs to obtain tokens.
pub struct Inner {
    pub credential: String,
    pub token_url: Url,
    pub client: OauthClient,
    /// The refresh token that the operator configured.
    pub configured: SecretString,
    pub store: Option<Arc<dyn TokenStore>>,
    pub wire: Arc<Wire>,
    pub scrubber: Arc<Scrubber>,
    pub state: Arc<Mutex<State>>,
}

/// The tokens as they are now.
#[derive(Default)]
pub struct State {
    /// `None` until the store was asked.
    refresh: Option<SecretString>,
    /// The refresh token is not kept yet.
    unsaved: bool,
    access: Option<Access>,
    /// Why no token will ever come from this refresh token.
    void: Option<String>,
}

struct Access {
    token: SecretString,
    /// `None`: until the server refuses it.
    usable_until: Option<Instant>,
}

impl State {
    fn usable(&self, now: Instant, refused: Option<&SecretString>) -> Option<SecretString> {
        let access = self.access.as_ref().filter(|_| !self.unsaved)?;
        let refused =
            refused.is_some_and(|refused| refused.expose_secret() == access.token.expose_secret());
        let expired = access.usable_until.is_some_and(|end| end <= now);
        (!refused && !expired).then(|| access.token.clone())
    }
}

impl Oauth {
    pub fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// A token that is not `refused`. Of several that ask at once, one refreshes and the others wait for it.
    ///
    /// # Errors
    /// `NotSent`: no token could be obtained; says what to do.
    pub async fn token(&self, refused: Option<SecretString>) -> Result<SecretString, HttpError> {
        let state = Arc::clone(&self.0.state).lock_owned().await;
        if let Some(token) = state.usable(Instant::now(), refused.as_ref()) {
            return Ok(token);
        }
        let inner = Arc::clone(&self.0);
        let refresh = async move { inner.renew(state, refused).await };
        match tokio::spawn(refresh.in_current_span()).await {
            Ok(result) => result,
            Err(error) => Err(self.0.failed(&format!("the refresh ended: {error}"))),
        }
    }
}

/// Why a refresh gave no token.
enum Refusal {
    /// The refresh token is void.
    Void,
    Other(HttpError),
}

impl Inner {
    fn failed(&self, why: &str) -> HttpError {
        HttpError::NotSent(format!(
            "OAuth 2 token of credential `{}`: {why}",
            self.credential
        ))
    }

    async fn renew(
        &self,
        mut state: OwnedMutexGuard<State>,
        refused: Option<SecretString>,
    ) -> Result<SecretString, HttpError> {
        if let Some(why) = &state.void {
            return Err(self.failed(why));
        }
        if state.unsaved {
            self.keep(&mut state).await?;
            if let Some(token) = state.usable(Instant::now(), refused.as_ref()) {
                return Ok(token);
            }
        }
        let refresh = match &state.refresh {
            Some(token) => token.clone(),
            None => self.newest().await?,
        };
        let granted = match self.refresh(&refresh).await {
            Err(Refusal::Void) => {
                // Another process may have used the token since, and kept the one that replaced it.
                let newest = self.newest().await?;
                if newest.expose_secret() == refresh.expose_secret() {
                    return Err(self.is_void(&mut state));
                }
                match self.refresh(&newest).await {
                    Err(Refusal::Void) => return Err(self.is_void(&mut state)),
                    other => (newest, other),
                }
            }
            other => (refresh, other),
        };
        let (used, granted) = match granted {
            (used, Ok(granted)) => (used, granted),
            (_, Err(Refusal::Other(error))) => return Err(error),
            (_, Err(Refusal::Void)) => return Err(self.is_void(&mut state)),
        };
        let replaced = granted
            .refresh
            .filter(|token| token.expose_secret() != used.expose_secret());
        state.unsaved = replaced.is_some();
        let refresh = replaced.unwrap_or(used);
        self.scrubber.learn([&granted.access.token, &refresh]);
        let token = granted.access.token.clone();
        state.refresh = Some(refresh);
        state.access = Some(granted.access);
        self.keep(&mut state).await?;
        Ok(token)
    }

    fn is_void(&self, state: &mut State) -> HttpError {
        let why = "the server no longer accepts the refresh token (invalid_grant); authorise the account again and \
                   configure the new token";
        state.void = Some(why.to_owned());
        self.failed(why)
    }

    /// The newest refresh token: the one that was kept last, or the configured one.
    async fn newest(&self) -> Result<SecretString, HttpError> {
        let kept = match &self.store {
            Some(store) => store
                .load(&self.wire.account, &self.credential)
                .await
                .map_err(|why| self.failed(&format!("the kept token cannot be read: {why}")))?,
            None => None,
        };
        let token = kept.unwrap_or_else(|| self.configured.clone());
        self.scrubber.learn([&token]);
        Ok(token)
    }

    /// Keeps a replaced refresh token. Until that has worked, what came with it is not used.
    async fn keep(&self, state: &mut State) -> Result<(), HttpError> {
        let (true, Some(token)) = (state.unsaved, &state.refresh) else {
            return Ok(());
        };
        match &self.store {
            Some(store) => {
                let save = || store.save(&self.wire.account, &self.credential, token);
                save.retry(ExponentialBuilder::new().with_min_delay(Duration::from_millis(50)))
                    .await
                    .map_err(|why| {
                        self.failed(&format!("the replaced token cannot be kept: {why}"))
                    })?;
            }
            None => tracing::warn!(
                account = %self.wire.account,
                credential = %self.credential,
                "the server replaced the refresh token, and there is no place to keep it: the account must be \
                 authorised again after a restart"
            ),
        }
        state.unsaved = false;
        Ok(())
    }

    /// Asks the server (RFC 6749, section 6), again where it certainly did not look at the request.
    async fn refresh(&self, token: &SecretString) -> Result<Granted, Refusal> {
        let mut retries = Retries::new(false);
        let longest = Duration::from_millis(self.wire.limits.wait_ms);
        loop {
            let outcome = self
                .wire
                .exchange(self.request(token), &Allowance::unlimited())
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

    fn request(&self, token: &SecretString) -> Outgoing {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "refresh_token")
            .append_pair("refresh_token", token.expose_secret())
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
            url: self.token_url.clone(),
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
        if !(200..300).contains(&answer.status) {
            let code =
                serde_json::from_slice::<ErrorAnswer>(&answer.body).map(|answer| answer.error);
            return Err(match code.as_deref() {
                Ok("invalid_grant") => Refusal::Void,
                // A registered word (RFC 6749, section 5.2), or else not worth repeating.
                Ok(code)
                    if code.len() <= 40
                        && code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') =>
                {
                    other(&format!(
                        "the server answered {code} (HTTP {})",
                        answer.status
                    ))
                }
                _ => other(&format!("the server answered HTTP {}", answer.status)),
            });
        }
        let tokens: Tokens = serde_json::from_slice(&answer.body)
            .map_err(|_| other("the server's answer holds no token"))?;
        if tokens.access_token.is_empty() {
            return Err(other("the server's answer holds no token"));
        }
        Ok(Granted {
            access: Access {
                token: tokens.access_token.into(),
                usable_until: tokens
                    .expires_in
                    .as_ref()
                    .and_then(seconds)
                    .map(|lifetime| usable_until(Instant::now(), lifetime)),
            },
            refresh: tokens
                .refresh_token
                .filter(|token| !token.is_empty())
                .map(SecretString::from),
        })
    }
}

struct Granted {
    access: Access,
    refresh: Option<SecretString>,
}

/// A successful answer (RFC 6749, section 5.1).
#[derive(Deserialize)]
struct Tokens {
    access_token: String,
    expires_in: Option<Value>,
    refresh_token: Option<String>,
}

/// An error (RFC 6749, section 5.2).
#[derive(Deserialize)]
struct ErrorAnswer {
    error: String,
}

/// Some servers issue tokens that live shorter than the margin.
fn usable_until(issued: Instant, lifetime: Duration) -> Instant {
    issued + lifetime - MARGIN.min(lifetime / 2)
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

    /// Whether a token of this lifetime is used so long after it was issued.
    fn is_used(lifetime: Option<u64>, after: u64) -> bool {
        let issued = Instant::now();
        let state =
            state(lifetime.map(|seconds| usable_until(issued, Duration::from_secs(seconds))));
        state
            .usable(issued + Duration::from_secs(after), None)
            .is_some()
    }

    fn state(usable_until: Option<Instant>) -> State {
        State {
            access: Some(Access {
                token: "token".into(),
                usable_until,
            }),
            ..State::default()
        }
    }

    #[test]
    fn a_token_is_used_until_a_minute_before_it_expires() {
        assert!(is_used(Some(1_800), 1_739));
        assert!(!is_used(Some(1_800), 1_740));
        assert!(is_used(None, 1_000_000));
    }

    #[test]
    fn a_short_lived_token_is_used_for_half_of_its_life() {
        assert!(is_used(Some(40), 19));
        assert!(!is_used(Some(40), 20));
    }

    #[test]
    fn a_token_that_was_refused_or_came_with_one_that_is_not_kept_is_not_used() {
        let now = Instant::now();
        let mut state = state(None);
        assert!(state.usable(now, Some(&"another".into())).is_some());
        assert!(state.usable(now, Some(&"token".into())).is_none());
        state.unsaved = true;
        assert!(state.usable(now, None).is_none());
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
