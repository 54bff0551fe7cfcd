//! Access tokens of OAuth 2.0 (RFC 6749): obtained with a refresh token, kept until shortly before they expire.
//!
//! Servers may replace the refresh token at each use and void the old one. So a refresh runs on a task of its own,
//! which the end of a guest's call does not interrupt, and a replaced token is kept before anything that came with it
//! is used.

use std::sync::Arc;
use std::time::{Duration, Instant};

use backon::{ExponentialBuilder, Retryable};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tracing::Instrument;

use super::HttpError;
use super::token_endpoint::{Granted, Refusal, TokenEndpoint};
use crate::account::TokenStore;

/// A token is renewed so long before it expires: a request that carries it may be on its way for a while.
const MARGIN: Duration = Duration::from_secs(60);

/// One account's OAuth 2.0 credential.
#[derive(Clone)]
pub struct Oauth(Arc<Inner>);

/// What a credential needs to obtain tokens.
pub struct Inner {
    pub endpoint: TokenEndpoint,
    /// The refresh token that the operator configured.
    pub configured: SecretString,
    pub store: Option<Arc<dyn TokenStore>>,
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
    /// The store knows that the credential works.
    told_works: bool,
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
            Err(error) => Err(self
                .0
                .endpoint
                .failed(&format!("the refresh ended: {error}"))),
        }
    }
}

impl Inner {
    async fn renew(
        &self,
        mut state: OwnedMutexGuard<State>,
        refused: Option<SecretString>,
    ) -> Result<SecretString, HttpError> {
        if let Some(why) = &state.void {
            // A person may have authorised the account again since, in another process.
            let newest = self.newest().await?;
            if is(&state.refresh, &newest) {
                return Err(self.endpoint.failed(why));
            }
            state.void = None;
            state.refresh = Some(newest);
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
        let (used, granted) = match self.refresh(&refresh).await {
            Err(Refusal::Void(word)) => {
                // Another process may have used the token since, and kept the one that replaced it.
                let newest = self.newest().await?;
                if newest.expose_secret() == refresh.expose_secret() {
                    return Err(self.is_void(&mut state, refresh, &word).await);
                }
                let again = self.refresh(&newest).await;
                (newest, again)
            }
            other => (refresh, other),
        };
        let granted = match granted {
            Ok(granted) => granted,
            Err(Refusal::Other(error)) => return Err(error),
            Err(Refusal::Void(word)) => return Err(self.is_void(&mut state, used, &word).await),
        };
        let replaced = granted
            .refresh
            .filter(|token| token.expose_secret() != used.expose_secret());
        state.unsaved = replaced.is_some();
        let refresh = replaced.unwrap_or(used);
        let token = granted.access;
        self.endpoint.scrubber.learn([&token, &refresh]);
        state.refresh = Some(refresh);
        state.access = Some(Access {
            token: token.clone(),
            usable_until: granted
                .lifetime
                .map(|lifetime| usable_until(Instant::now(), lifetime)),
        });
        self.keep(&mut state).await?;
        self.works(&mut state).await;
        Ok(token)
    }

    async fn refresh(&self, token: &SecretString) -> Result<Granted, Refusal> {
        let grant = [
            ("grant_type", "refresh_token"),
            ("refresh_token", token.expose_secret()),
        ];
        self.endpoint.ask(&grant).await
    }

    /// Tells the store once that the credential works, so that nobody is asked to authorise it again.
    async fn works(&self, state: &mut State) {
        let (false, Some(store)) = (state.told_works, &self.store) else {
            return;
        };
        let told = store.accepted(&self.endpoint.wire.account, &self.endpoint.credential);
        match told.await {
            Ok(()) => state.told_works = true,
            Err(why) => {
                tracing::warn!(account = %self.endpoint.wire.account, why, "that a credential works could not be noted");
            }
        }
    }

    /// No token will ever come from this one, and a person must know.
    async fn is_void(&self, state: &mut State, token: SecretString, word: &str) -> HttpError {
        let TokenEndpoint {
            credential, wire, ..
        } = &self.endpoint;
        let refused = format!("the server no longer accepts the refresh token ({word})");
        let why = format!(
            "{refused}; authorise the account again: `samspel account authorise {}`",
            wire.account
        );
        if let Some(store) = &self.store
            && let Err(why) = store.refused(&wire.account, credential, &refused).await
        {
            tracing::warn!(account = %wire.account, why, "that a credential is refused could not be noted");
        }
        let error = self.endpoint.failed(&why);
        state.refresh = Some(token);
        state.void = Some(why);
        state.told_works = false;
        error
    }

    /// The newest refresh token: the one that was kept last, or the configured one.
    async fn newest(&self) -> Result<SecretString, HttpError> {
        let kept = match &self.store {
            Some(store) => store
                .load(&self.endpoint.wire.account, &self.endpoint.credential)
                .await
                .map_err(|why| {
                    self.endpoint
                        .failed(&format!("the kept token cannot be read: {why}"))
                })?,
            None => None,
        };
        let token = kept.unwrap_or_else(|| self.configured.clone());
        self.endpoint.scrubber.learn([&token]);
        Ok(token)
    }

    /// Keeps a replaced refresh token. Until that has worked, what came with it is not used.
    async fn keep(&self, state: &mut State) -> Result<(), HttpError> {
        let (true, Some(token)) = (state.unsaved, &state.refresh) else {
            return Ok(());
        };
        match &self.store {
            Some(store) => {
                let save = || {
                    store.save(
                        &self.endpoint.wire.account,
                        &self.endpoint.credential,
                        token,
                    )
                };
                save.retry(ExponentialBuilder::new().with_min_delay(Duration::from_millis(50)))
                    .await
                    .map_err(|why| {
                        self.endpoint
                            .failed(&format!("the replaced token cannot be kept: {why}"))
                    })?;
            }
            None => tracing::warn!(
                account = %self.endpoint.wire.account,
                credential = %self.endpoint.credential,
                "the server replaced the refresh token, and there is no place to keep it: the account must be \
                 authorised again after a restart"
            ),
        }
        state.unsaved = false;
        Ok(())
    }
}

/// Whether a token is the one that is known.
fn is(known: &Option<SecretString>, token: &SecretString) -> bool {
    known
        .as_ref()
        .is_some_and(|known| known.expose_secret() == token.expose_secret())
}

/// Some servers issue tokens that live shorter than the margin.
fn usable_until(issued: Instant, lifetime: Duration) -> Instant {
    issued + lifetime - MARGIN.min(lifetime / 2)
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
}
