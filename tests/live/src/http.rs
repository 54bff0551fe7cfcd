//! Calls to the servers' own interfaces.

use std::sync::LazyLock;
use std::time::Duration;

use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::LiveError;

/// No server here takes longer over anything it is asked for.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Bytes of a refusal that are repeated in an error.
const ANSWER_EXCERPT: usize = 600;

/// One client for all servers. Redirects are answers like others: whether a server redirects is part of what it does.
static CLIENT: LazyLock<Client> = LazyLock::new(|| {
    Client::builder()
        .timeout(TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap_or_default()
});

/// The client for calls to the servers.
pub(crate) fn client() -> &'static Client {
    &CLIENT
}

/// Sends a request; any answer is a success.
pub(crate) async fn send(call: &str, request: RequestBuilder) -> Result<Response, LiveError> {
    request.send().await.map_err(|source| LiveError::Transport {
        call: call.to_owned(),
        source,
    })
}

/// Sends a request that must succeed, and gives its JSON answer (null where the body is empty).
pub(crate) async fn json(call: &str, request: RequestBuilder) -> Result<Value, LiveError> {
    let response = send(call, request).await?;
    let status = response.status();
    let text = response
        .text()
        .await
        .map_err(|source| LiveError::Transport {
            call: call.to_owned(),
            source,
        })?;
    if !status.is_success() {
        return Err(refused(call, status, &text));
    }
    if text.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(&text).map_err(|error| unexpected(call, error))
}

/// Reads a part of a JSON answer as a type.
pub(crate) fn part<T: DeserializeOwned>(
    call: &str,
    answer: &Value,
    pointer: &str,
) -> Result<T, LiveError> {
    let part = answer
        .pointer(pointer)
        .ok_or_else(|| unexpected(call, format!("there is nothing at {pointer}")))?;
    T::deserialize(part).map_err(|error| unexpected(call, format!("at {pointer}: {error}")))
}

/// The error for an answer with an unwelcome status.
pub(crate) fn refused(call: &str, status: StatusCode, answer: &str) -> LiveError {
    let answer = answer.chars().take(ANSWER_EXCERPT).collect();
    LiveError::Refused {
        call: call.to_owned(),
        status: status.to_string(),
        answer,
    }
}

/// The error for an answer of an unknown form.
pub(crate) fn unexpected(call: &str, why: impl ToString) -> LiveError {
    LiveError::Unexpected {
        call: call.to_owned(),
        why: why.to_string(),
    }
}
