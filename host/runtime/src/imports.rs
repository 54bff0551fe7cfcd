//! What a guest can reach: the contract's imports, and nothing else.

use std::borrow::Cow;

use futures::future::BoxFuture;

use crate::bindings::samspel::connector::{account, clock, http, log, secrets, types};
use crate::guest::State;
use crate::outbound::{self, Algorithm, HttpError, SecretError};

impl types::Host for State {}

impl account::Host for State {
    fn settings(&mut self) -> wasmtime::Result<String> {
        Ok(self.grants.settings.to_string())
    }
}

impl clock::Host for State {
    fn now(&mut self) -> wasmtime::Result<u64> {
        let now = jiff::Timestamp::now().as_millisecond();
        Ok(u64::try_from(now).unwrap_or_default())
    }
}

impl log::Host for State {
    fn write(&mut self, level: log::Level, message: String) -> wasmtime::Result<()> {
        self.transfer(message.len())?;
        self.log_lines += 1;
        let limits = &self.grants.limits;
        if self.log_lines > limits.log_lines {
            if self.log_lines == limits.log_lines + 1 {
                tracing::warn!(
                    target: "connector",
                    account = %self.grants.account,
                    "more than {} log lines in one call; the rest is dropped (log-lines)",
                    limits.log_lines
                );
            }
            return Ok(());
        }
        let limit = limits.log_line_bytes;
        // Secrets are taken out before the line is cut: the cut could leave half of one.
        let clean = match &self.grants.outbound {
            Some(outbound) => outbound.scrub(&message),
            None => message,
        };
        let kept = &clean[..clean.floor_char_boundary(limit)];
        let cut = if kept.len() < clean.len() {
            " [cut]"
        } else {
            ""
        };
        let text = one_line(kept);
        let account = &self.grants.account;
        match level {
            log::Level::Debug => {
                tracing::debug!(target: "connector", %account, "{text}{cut}");
            }
            log::Level::Info => {
                tracing::info!(target: "connector", %account, "{text}{cut}");
            }
            log::Level::Warn => {
                tracing::warn!(target: "connector", %account, "{text}{cut}");
            }
            log::Level::Error => {
                tracing::error!(target: "connector", %account, "{text}{cut}");
            }
        }
        Ok(())
    }
}

impl http::Host for State {
    async fn send(
        &mut self,
        request: http::Request,
    ) -> wasmtime::Result<Result<http::Response, http::HttpError>> {
        self.transfer(size(&request))?;
        let Some(outbound) = self.grants.outbound.clone() else {
            return Ok(Err(nothing_granted()));
        };
        let result = outbound.send(&self.call, request.into()).await;
        Ok(result.map(Into::into).map_err(Into::into))
    }

    async fn send_all(
        &mut self,
        requests: Vec<http::Request>,
    ) -> wasmtime::Result<Vec<Result<http::Response, http::HttpError>>> {
        self.transfer(requests.iter().map(size).sum())?;
        let Some(outbound) = self.grants.outbound.clone() else {
            return Ok(requests.iter().map(|_| Err(nothing_granted())).collect());
        };
        let requests = requests.into_iter().map(Into::into).collect();
        let results: BoxFuture<'_, _> = Box::pin(outbound.send_all(&self.call, requests));
        Ok(results
            .await
            .into_iter()
            .map(|result| result.map(Into::into).map_err(Into::into))
            .collect())
    }
}

impl secrets::Host for State {
    fn key_id(
        &mut self,
        credential: String,
    ) -> wasmtime::Result<Result<String, secrets::SecretError>> {
        Ok(match &self.grants.outbound {
            Some(outbound) => outbound.key_id(&credential).map_err(Into::into),
            None => Err(secrets::SecretError::Missing(credential)),
        })
    }

    fn sign(
        &mut self,
        credential: String,
        algorithm: secrets::Algorithm,
        message: Vec<u8>,
    ) -> wasmtime::Result<Result<Vec<u8>, secrets::SecretError>> {
        self.transfer(message.len())?;
        Ok(match &self.grants.outbound {
            Some(outbound) => outbound
                .sign(&credential, algorithm.into(), &message)
                .map_err(Into::into),
            None => Err(secrets::SecretError::Missing(credential)),
        })
    }

    fn verify(
        &mut self,
        credential: String,
        algorithm: secrets::Algorithm,
        message: Vec<u8>,
        code: Vec<u8>,
    ) -> wasmtime::Result<Result<bool, secrets::SecretError>> {
        self.transfer(message.len() + code.len())?;
        Ok(match &self.grants.outbound {
            Some(outbound) => outbound
                .verify(&credential, algorithm.into(), &message, &code)
                .map_err(Into::into),
            None => Err(secrets::SecretError::Missing(credential)),
        })
    }
}

/// A text that stays on its line: a guest could forge lines of the host's, or speak to the operator's terminal.
fn one_line(text: &str) -> Cow<'_, str> {
    let leaves = |c: char| c.is_control() && c != '\t';
    if !text.contains(leaves) {
        return Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if leaves(c) {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    Cow::Owned(line)
}

fn nothing_granted() -> http::HttpError {
    http::HttpError::Denied("nothing is granted while a connector describes itself".to_owned())
}

fn size(request: &http::Request) -> usize {
    let headers: usize = request
        .headers
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    request.url.len() + headers + request.body.as_ref().map_or(0, Vec::len)
}

impl From<http::Request> for outbound::Request {
    fn from(request: http::Request) -> Self {
        Self {
            method: request.method,
            url: request.url,
            headers: request.headers,
            body: request.body,
            credential: request.credential,
            replay_safe: request.replay == http::Replay::Safe,
        }
    }
}

impl From<outbound::Response> for http::Response {
    fn from(response: outbound::Response) -> Self {
        Self {
            status: response.status,
            headers: response.headers,
            body: response.body,
        }
    }
}

impl From<HttpError> for http::HttpError {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::Denied(why) => Self::Denied(why),
            HttpError::Throttled(wait) => Self::Throttled(wait),
            HttpError::NotSent(why) => Self::NotSent(why),
            HttpError::Interrupted(why) => Self::Interrupted(why),
            HttpError::TooLarge(limit) => Self::TooLarge(limit),
            HttpError::Other(why) => Self::Other(why),
        }
    }
}

impl From<SecretError> for secrets::SecretError {
    fn from(error: SecretError) -> Self {
        match error {
            SecretError::Missing(why) => Self::Missing(why),
            SecretError::NotDeclared(why) => Self::NotDeclared(why),
            SecretError::Malformed(why) => Self::Malformed(why),
            SecretError::Other(why) => Self::Other(why),
        }
    }
}

impl From<secrets::Algorithm> for Algorithm {
    fn from(algorithm: secrets::Algorithm) -> Self {
        match algorithm {
            secrets::Algorithm::HmacSha1 => Self::HmacSha1,
            secrets::Algorithm::HmacSha256 => Self::HmacSha256,
            secrets::Algorithm::HmacSha512 => Self::HmacSha512,
        }
    }
}
