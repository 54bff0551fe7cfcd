//! HTTP and secrets of one bound account: every rule of the sandbox that concerns the network. Knows nothing of
//! wasmtime.
//!
//! A request passes, in this order:
//! - `egress`: the URL and the method are among what the connector declares;
//! - `headers`: it sets no header that is the host's;
//! - `credentials`: the credential it names is put into its declared place; `oauth` obtains access tokens;
//! - `budget`: it waits for its turn, by what the connector declares, what the remote tells (`told`), and what it shows
//!   by throttling (`pace`);
//! - `overrides` and `addresses`: it goes where the operator says, or to a public address;
//! - `exchange`: it is sent and its answer read, within limits;
//! - `retry` and `redirect`: it is sent again, or on; every hop begins anew with the allow-list;
//! - `scrub`: secrets are taken out of what comes back.

mod addresses;
mod authorise;
mod bind;
mod budget;
mod call;
mod credentials;
mod egress;
mod exchange;
mod headers;
mod oauth;
mod overrides;
mod pace;
mod redirect;
mod retry;
mod scrub;
mod signing;
mod stats;
mod template;
mod token_endpoint;
mod told;
mod types;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::join_all;
use reqwest::Method;
use reqwest::header::{CONTENT_LENGTH, HeaderMap, HeaderName, SET_COOKIE};
use secrecy::SecretString;
use url::Url;

use budget::Budget;
use credentials::{Credentials, Means};
use egress::Egress;
use exchange::{Allowance, Answer, Outgoing, Wire};
use retry::Retries;
use scrub::Scrubber;

pub use authorise::{Authorisation, Begun};
pub use call::Call;
pub use exchange::Client;
pub use types::{Algorithm, HttpError, OutboundStats, Request, Response, SecretError};

/// Whoever asks whether a request may go out waits so long for it at most.
const READY_WITHIN: Duration = Duration::from_secs(1);

/// One account's way to its remote.
pub struct Outbound {
    wire: Arc<Wire>,
    egress: Egress,
    /// Where access tokens come from, for people.
    token_sources: Vec<String>,
    credentials: Credentials,
    /// Headers in which the connector's credentials are placed.
    reserved: Vec<HeaderName>,
    budget: Budget,
    scrubber: Arc<Scrubber>,
}

/// What one attempt came to.
struct Attempt {
    outcome: Result<Answer, HttpError>,
    /// The access token that was used, if there was one.
    token: Option<SecretString>,
    /// From connecting to the end of the answer.
    took: Duration,
}

impl Attempt {
    /// It ended before anything was sent.
    fn unsent(error: HttpError, token: Option<SecretString>) -> Self {
        Self {
            outcome: Err(error),
            token,
            took: Duration::ZERO,
        }
    }
}

/// A request on its way, hop by hop.
struct Journey<'a> {
    method: Method,
    /// As the connector knows it, before an override.
    url: Url,
    headers: HeaderMap,
    body: Option<Bytes>,
    /// `None` once a redirect has left the origin.
    credential: Option<&'a Means>,
    replay_safe: bool,
}

impl Journey<'_> {
    /// Whether it may change something at the remote.
    fn changes(&self) -> bool {
        !self.replay_safe || !matches!(self.method, Method::GET | Method::HEAD)
    }

    /// Goes on to where a redirect leads. What was meant for one origin is not told to another.
    fn go_on(&mut self, target: Url) {
        if target.origin() != self.url.origin() {
            self.credential = None;
            self.headers = headers::for_another_origin(&self.headers);
            self.body = None;
        }
        self.url = target;
    }
}

impl Outbound {
    /// Sends one request.
    ///
    /// # Errors
    /// See [`HttpError`].
    pub async fn send(&self, call: &Call, request: Request) -> Result<Response, HttpError> {
        self.deliver(call, request, &Allowance::unlimited()).await
    }

    /// Sends all of them at once; answers come in the order of the requests, and share one limit on their size.
    pub async fn send_all(
        &self,
        call: &Call,
        requests: Vec<Request>,
    ) -> Vec<Result<Response, HttpError>> {
        let allowance = Allowance::new(self.wire.limits.responses_total_bytes);
        let deliveries = requests
            .into_iter()
            .map(|request| self.deliver(call, request, &allowance));
        join_all(deliveries).await
    }

    async fn deliver(
        &self,
        call: &Call,
        request: Request,
        allowance: &Allowance,
    ) -> Result<Response, HttpError> {
        let result = self.travel(call, request, allowance).await;
        match &result {
            Err(HttpError::Denied(_)) => self.wire.counters.denied(),
            Err(HttpError::Throttled(_)) => self.wire.counters.throttled(),
            Ok(answer) if answer.status == 429 => self.wire.counters.throttled(),
            _ => {}
        }
        match result {
            Ok(answer) => Ok(self.response(answer)),
            Err(error) => {
                let error = self.scrubbed(error);
                tracing::debug!(account = %self.wire.account, %error, "no answer for the connector");
                Err(error)
            }
        }
    }

    /// Follows redirects; every hop meets all the rules.
    async fn travel(
        &self,
        call: &Call,
        request: Request,
        allowance: &Allowance,
    ) -> Result<Answer, HttpError> {
        let mut journey = self.prepare(request)?;
        for _ in 0..=redirect::MOST {
            self.egress.check(journey.method.as_str(), &journey.url)?;
            let answer = self.persist(call, &journey, allowance).await?;
            let end = self.wire.overrides.of(&journey.url.origin());
            let (method, url) = (&journey.method, &journey.url);
            match redirect::next(method, url, &answer, end, &self.scrubber)? {
                None => return Ok(answer),
                Some(target) => {
                    allowance.give_back(answer.body.len());
                    journey.go_on(target);
                }
            }
        }
        Err(HttpError::Other(format!(
            "more than {} redirects",
            redirect::MOST
        )))
    }

    fn prepare(&self, request: Request) -> Result<Journey<'_>, HttpError> {
        Ok(Journey {
            method: Method::from_bytes(request.method.as_bytes())
                .map_err(|_| HttpError::Denied("the method is not one of HTTP".to_owned()))?,
            url: egress::parse(&request.url)?,
            headers: headers::checked(&request.headers, self.credentials.sign(), &self.reserved)?,
            body: request.body.map(Bytes::from),
            credential: match &request.credential {
                Some(name) => Some(self.credentials.sendable(name)?),
                None => None,
            },
            replay_safe: request.replay_safe,
        })
    }

    /// One hop, with as many attempts as it takes and may take.
    async fn persist(
        &self,
        call: &Call,
        journey: &Journey<'_>,
        allowance: &Allowance,
    ) -> Result<Answer, HttpError> {
        let mut retries = Retries::new(journey.replay_safe);
        let mut renewed = false;
        loop {
            let Attempt {
                outcome,
                token,
                took,
            } = self.attempt(call, journey, allowance).await;
            if let (Ok(answer), Some(Means::Oauth(oauth)), Some(token)) =
                (&outcome, journey.credential, token)
                && answer.status == 401
                && !renewed
                && call.has_requests()
            {
                // The server refuses the token before its time. Once only: a fresh one that is refused is another
                // matter.
                renewed = true;
                match oauth.token(Some(token)).await {
                    Ok(_) => {
                        allowance.give_back(answer.body.len());
                        self.wire.counters.retried();
                        continue;
                    }
                    Err(error) => {
                        let error = self.scrubbed(error);
                        tracing::warn!(account = %self.wire.account, %error, "the access token was refused");
                        return outcome;
                    }
                }
            }
            // A remote that was too slow for one request would be slower for two.
            let patient = Duration::from_millis(self.wire.limits.request_ms);
            let delay = retries
                .after(&outcome)
                .filter(|delay| took < patient && call.may_wait(*delay) && call.has_requests());
            let Some(delay) = delay else { return outcome };
            if let Ok(answer) = &outcome {
                allowance.give_back(answer.body.len());
            }
            self.wire.counters.retried();
            tokio::time::sleep(delay).await;
        }
    }

    async fn attempt(&self, call: &Call, journey: &Journey<'_>, allowance: &Allowance) -> Attempt {
        let mut outgoing = Outgoing {
            method: journey.method.clone(),
            url: journey.url.clone(),
            headers: journey.headers.clone(),
            body: journey.body.clone(),
        };
        // Before the turn: a token that must be renewed first would hold up others.
        let token = match journey.credential {
            Some(means) => match means.place(&mut outgoing).await {
                Ok(token) => token,
                Err(error) => return Attempt::unsent(error, None),
            },
            None => None,
        };
        let permit = match self.budget.enter(call).await {
            Ok(permit) => permit,
            Err(error) => return Attempt::unsent(error, token),
        };
        if let Err(error) = self.may_send(call, allowance) {
            return Attempt::unsent(error, token);
        }
        let sending = call.sending(journey.changes());
        let began = Instant::now();
        let outcome = self.wire.exchange(outgoing, allowance).await;
        let took = began.elapsed();
        if let Ok(answer) = &outcome {
            self.budget.answered(began, answer);
        }
        drop(permit);
        let executed = match &outcome {
            Err(HttpError::Denied(_) | HttpError::NotSent(_)) => false,
            Ok(answer) => answer.status != 429,
            Err(_) => true,
        };
        if !executed {
            sending.not_executed();
        }
        Attempt {
            outcome,
            token,
            took,
        }
    }

    fn may_send(&self, call: &Call, allowance: &Allowance) -> Result<(), HttpError> {
        if allowance.is_spent() {
            return Err(HttpError::NotSent(format!(
                "other answers of the same `send-all` used up their {} bytes (responses-total-bytes)",
                self.wire.limits.responses_total_bytes
            )));
        }
        if !call.take() {
            return Err(HttpError::NotSent(format!(
                "the call used up its {} requests (requests)",
                self.wire.limits.requests
            )));
        }
        Ok(())
    }

    /// What the connector gets to see of an answer.
    fn response(&self, answer: Answer) -> Response {
        let redacted = match self.scrubber.bytes(&answer.body) {
            std::borrow::Cow::Borrowed(_) => None,
            std::borrow::Cow::Owned(clean) => Some(clean),
        };
        let headers = answer
            .headers
            .iter()
            // Cookies are credentials that the remote made up. A length is void once something was replaced.
            .filter(|(name, _)| {
                **name != SET_COOKIE && !(redacted.is_some() && **name == CONTENT_LENGTH)
            })
            .map(|(name, value)| {
                let value = String::from_utf8_lossy(value.as_bytes());
                (
                    self.scrubber.text(name.as_str()),
                    self.scrubber.text(&value),
                )
            })
            .collect();
        Response {
            status: answer.status,
            headers,
            body: redacted.unwrap_or(answer.body),
        }
    }

    fn scrubbed(&self, error: HttpError) -> HttpError {
        match error {
            HttpError::Denied(why) => HttpError::Denied(self.scrub(&why)),
            HttpError::NotSent(why) => HttpError::NotSent(self.scrub(&why)),
            HttpError::Interrupted(why) => HttpError::Interrupted(self.scrub(&why)),
            HttpError::Other(why) => HttpError::Other(self.scrub(&why)),
            error @ (HttpError::Throttled(_) | HttpError::TooLarge(_)) => error,
        }
    }

    /// The public part of a signing credential.
    ///
    /// # Errors
    /// See [`SecretError`].
    pub fn key_id(&self, credential: &str) -> Result<String, SecretError> {
        self.credentials.signer(credential)?.key_id()
    }

    /// The message's authentication code.
    ///
    /// # Errors
    /// See [`SecretError`].
    pub fn sign(
        &self,
        credential: &str,
        algorithm: Algorithm,
        message: &[u8],
    ) -> Result<Vec<u8>, SecretError> {
        self.credentials
            .signer(credential)?
            .sign(algorithm, message)
    }

    /// Whether the code is right, compared in constant time.
    ///
    /// # Errors
    /// See [`SecretError`].
    pub fn verify(
        &self,
        credential: &str,
        algorithm: Algorithm,
        message: &[u8],
        code: &[u8],
    ) -> Result<bool, SecretError> {
        self.credentials
            .signer(credential)?
            .verify(algorithm, message, code)
    }

    /// The text without the account's secrets, in whatever form they stand there.
    #[must_use]
    pub fn scrub(&self, text: &str) -> String {
        self.scrubber.text(text)
    }

    /// Waits until a request would not have to wait for the rate of the account. Whether there was something to wait
    /// for.
    pub async fn ready(&self) -> bool {
        self.budget.ready(READY_WITHIN).await
    }

    /// What was used since the account was bound.
    #[must_use]
    pub fn stats(&self) -> OutboundStats {
        let left = self.budget.left();
        OutboundStats {
            per_minute: left.rate.map(|rate| (rate * 60.0) as u64),
            blocked_ms: u64::try_from(left.blocked.as_millis()).unwrap_or(u64::MAX),
            remaining: left.remaining,
            ..self.wire.counters.read()
        }
    }

    /// What may be reached, for people: the rules, where access tokens come from, and the endpoint overrides.
    #[must_use]
    pub fn grants(&self) -> Vec<String> {
        self.egress
            .describe()
            .chain(self.token_sources.iter().cloned())
            .chain(self.wire.overrides.describe())
            .collect()
    }
}
