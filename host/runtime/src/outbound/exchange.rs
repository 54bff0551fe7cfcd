//! One HTTP exchange: a request goes out, a whole answer comes back, within limits.

use std::error::Error as StdError;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{CONTENT_ENCODING, HeaderMap};
use url::Url;

use super::HttpError;
use super::addresses::{self, NotPublic, PublicResolver};
use super::egress::origin_text;
use super::overrides::Overrides;
use super::stats::Counters;
use crate::error::LoadError;
use crate::limits::Limits;

/// The longest time that a connection may take to come about. What takes longer was certainly not sent.
const CONNECT: Duration = Duration::from_secs(10);

/// How long an unused connection is kept. Less than the five seconds after which Node.js closes one: a write that meets
/// a closing connection would have an unknown outcome.
const IDLE: Duration = Duration::from_secs(4);

/// What all accounts share: connection pools.
pub struct Client {
    /// Connects to public addresses only, and with TLS only.
    public: reqwest::Client,
    /// Connects anywhere. For endpoint overrides, which name the one address that is connected to; a pool of its own,
    /// so that no other request meets its connections.
    granted: reqwest::Client,
}

impl Client {
    /// Builds the connection pools.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new() -> Result<Self, LoadError> {
        let build = |builder: reqwest::ClientBuilder| {
            builder
                .user_agent(concat!("samspel/", env!("CARGO_PKG_VERSION")))
                // Every hop must meet the rules, so they are followed by hand.
                .redirect(reqwest::redirect::Policy::none())
                // A proxy would resolve names itself, behind the address check.
                .no_proxy()
                .connect_timeout(CONNECT)
                .pool_idle_timeout(IDLE)
                .build()
                .map_err(|error| LoadError::Sandbox(format!("HTTP client: {}", chain(&error))))
        };
        Ok(Self {
            public: build(
                reqwest::Client::builder()
                    .https_only(true)
                    .dns_resolver(Arc::new(PublicResolver)),
            )?,
            granted: build(reqwest::Client::builder())?,
        })
    }
}

/// A request with everything in its place.
#[derive(Debug, Clone)]
pub struct Outgoing {
    pub method: Method,
    /// As the connector knows it, before an override.
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Option<Bytes>,
}

/// A whole answer, with secrets that it may echo.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    /// Decompressed.
    pub body: Vec<u8>,
}

/// Without headers and body, which may hold secrets.
impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// The bytes that several answers share.
#[derive(Debug)]
pub struct Allowance {
    limit: usize,
    left: AtomicUsize,
}

impl Allowance {
    /// So many bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            left: AtomicUsize::new(limit),
        }
    }

    /// As much as comes; for a single answer, which has a limit of its own.
    pub fn unlimited() -> Self {
        Self::new(usize::MAX)
    }

    fn take(&self, bytes: usize) -> Result<(), HttpError> {
        self.left
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| {
                left.checked_sub(bytes)
            })
            .map(|_| ())
            .map_err(|_| {
                // What is left is too little for anybody, and the others must stop too.
                self.left.store(0, Ordering::Release);
                HttpError::TooLarge(self.limit as u64)
            })
    }

    /// Takes back what an answer brought that nobody will see.
    pub fn give_back(&self, bytes: usize) {
        // After the allowance was exceeded it stays exceeded.
        let _ = self
            .left
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| {
                (left > 0).then(|| left.saturating_add(bytes).min(self.limit))
            });
    }

    /// Whether nothing is left.
    pub fn is_spent(&self) -> bool {
        self.left.load(Ordering::Acquire) == 0
    }
}

/// One account's way onto the network.
pub struct Wire {
    pub account: String,
    pub client: Arc<Client>,
    pub overrides: Overrides,
    pub limits: Limits,
    pub counters: Arc<Counters>,
}

impl Wire {
    /// Sends a request that the allow-list has passed, and reads the answer.
    ///
    /// # Errors
    /// `Denied` and `NotSent`: it was certainly not executed. `Interrupted` and `TooLarge`: it may have been.
    pub async fn exchange(
        &self,
        outgoing: Outgoing,
        allowance: &Allowance,
    ) -> Result<Answer, HttpError> {
        let (client, url) = self.route(&outgoing.url)?;
        let began = Instant::now();
        let (method, asked) = (outgoing.method.clone(), outgoing.url.clone());
        let result = self.transfer(client, url, outgoing, allowance).await;
        let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let host = asked.host_str().unwrap_or_default();
        match &result {
            Ok(answer) => tracing::debug!(
                account = %self.account, %method, host, path = asked.path(), status = answer.status,
                bytes = answer.body.len(), ms, "HTTP exchange"
            ),
            Err(_) => tracing::debug!(
                account = %self.account, %method, host, path = asked.path(), ms, "HTTP exchange without an answer"
            ),
        }
        result
    }

    /// Where a URL is really connected to, and by whom.
    fn route(&self, url: &Url) -> Result<(&reqwest::Client, Url), HttpError> {
        let origin = url.origin();
        if let Some(end) = self.overrides.of(&origin) {
            return Ok((&self.client.granted, end.apply(url)));
        }
        if url.scheme() != "https" {
            return Err(HttpError::Denied(format!(
                "{} is not https; an endpoint override may grant it",
                origin_text(&origin)
            )));
        }
        addresses::literal(url).map_err(|error| HttpError::Denied(error.to_string()))?;
        Ok((&self.client.public, url.clone()))
    }

    async fn transfer(
        &self,
        client: &reqwest::Client,
        url: Url,
        outgoing: Outgoing,
        allowance: &Allowance,
    ) -> Result<Answer, HttpError> {
        let mut request = client
            .request(outgoing.method, url)
            .headers(outgoing.headers)
            .timeout(Duration::from_millis(self.limits.request_ms));
        self.counters
            .sent(outgoing.body.as_ref().map_or(0, Bytes::len));
        if let Some(body) = outgoing.body {
            request = request.body(body);
        }
        let mut response = request.send().await.map_err(|error| self.failed(error))?;
        let status = response.status().as_u16();
        let headers = std::mem::take(response.headers_mut());
        readable(&headers)?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.broken(error))? {
            self.counters.received(chunk.len());
            if body.len() + chunk.len() > self.limits.response_bytes {
                return Err(HttpError::TooLarge(self.limits.response_bytes as u64));
            }
            allowance.take(chunk.len())?;
            body.extend_from_slice(&chunk);
        }
        Ok(Answer {
            status,
            headers,
            body,
        })
    }

    /// No answer came.
    fn failed(&self, error: reqwest::Error) -> HttpError {
        if let Some(error) = cause::<NotPublic>(&error) {
            return HttpError::Denied(error.to_string());
        }
        if error.is_connect() || error.is_builder() {
            return HttpError::NotSent(chain(&error.without_url()));
        }
        self.broken(error)
    }

    /// An answer did not come, or not to its end, after the request had gone out.
    fn broken(&self, error: reqwest::Error) -> HttpError {
        HttpError::Interrupted(if error.is_timeout() {
            format!(
                "no whole answer in {} ms (request-ms)",
                self.limits.request_ms
            )
        } else {
            chain(&error.without_url())
        })
    }
}

/// An answer that is encoded in a way that was not asked for could not be searched for secrets.
fn readable(headers: &HeaderMap) -> Result<(), HttpError> {
    let encoded = headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"));
    if encoded {
        Err(HttpError::Interrupted(
            "the answer has a content-encoding that was not asked for".to_owned(),
        ))
    } else {
        Ok(())
    }
}

fn cause<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    std::iter::successors(Some(error), |error| (*error).source())
        .find_map(|error| error.downcast_ref())
}

/// An error with its causes; reqwest's own words name none of them.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let causes: Vec<_> = std::iter::successors(Some(error), |error| (*error).source())
        .map(ToString::to_string)
        .collect();
    causes.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allowance_that_was_exceeded_stays_exceeded() {
        let allowance = Allowance::new(10);
        assert_eq!(allowance.take(4), Ok(()));
        allowance.give_back(4);
        assert_eq!(allowance.take(10), Ok(()));
        assert!(allowance.is_spent());
        let allowance = Allowance::new(10);
        assert_eq!(allowance.take(11), Err(HttpError::TooLarge(10)));
        allowance.give_back(5);
        assert_eq!(allowance.take(1), Err(HttpError::TooLarge(10)));
    }

    #[test]
    fn an_encoding_that_was_not_asked_for_is_refused() {
        let of = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(
                CONTENT_ENCODING,
                reqwest::header::HeaderValue::from_static(text),
            );
            readable(&headers)
        };
        assert!(of("br").is_err());
        assert!(of("gzip, gzip").is_err());
        assert!(of("identity").is_ok());
        assert!(readable(&HeaderMap::new()).is_ok());
    }
}
