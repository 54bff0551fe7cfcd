//! One account: its origin, its credential, and how many requests it may have under way.

use std::sync::Arc;

use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

use super::FloorError;

/// Requests under way at once per account: what the sandbox grants a connector (`concurrent-requests`).
const IN_FLIGHT: usize = 8;

#[derive(Clone)]
enum Credential {
    Bearer(String),
    Basic(String),
}

/// An account that requests are sent to.
#[derive(Clone)]
pub struct Api {
    client: Client,
    origin: String,
    credential: Credential,
    slots: Arc<Semaphore>,
}

impl Api {
    /// An account with a bearer token.
    pub fn bearer(client: &Client, origin: &str, token: &str) -> Self {
        Self::new(client, origin, Credential::Bearer(token.to_owned()))
    }

    /// An account with a key that is sent as a password.
    pub fn basic(client: &Client, origin: &str, key: &str) -> Self {
        Self::new(client, origin, Credential::Basic(key.to_owned()))
    }

    fn new(client: &Client, origin: &str, credential: Credential) -> Self {
        Self {
            client: client.clone(),
            origin: origin.to_owned(),
            credential,
            slots: Arc::new(Semaphore::new(IN_FLIGHT)),
        }
    }

    /// Reads.
    pub async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, FloorError> {
        let request = self.request(Method::GET, path).query(query);
        self.send(request, path).await
    }

    /// Sends a body.
    pub async fn write<B, T>(&self, method: Method, path: &str, body: &B) -> Result<T, FloorError>
    where
        B: Serialize + ?Sized,
        T: DeserializeOwned,
    {
        let request = self.request(method, path).json(body);
        self.send(request, path).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self
            .client
            .request(method, format!("{}{path}", self.origin));
        match &self.credential {
            Credential::Bearer(token) => request.bearer_auth(token),
            Credential::Basic(key) => request.basic_auth("floor", Some(key)),
        }
    }

    async fn send<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
        path: &str,
    ) -> Result<T, FloorError> {
        let (status, body) = {
            // The semaphore is never closed.
            let _slot = self.slots.acquire().await;
            let answer = request.send().await?;
            (answer.status(), answer.bytes().await?)
        };
        // 207 tells about items one by one, and whether any was refused is looked at by the caller.
        if status != StatusCode::OK
            && status != StatusCode::CREATED
            && status != StatusCode::MULTI_STATUS
        {
            return Err(FloorError::Status {
                path: path.to_owned(),
                status,
                body: String::from_utf8_lossy(&body).into_owned(),
            });
        }
        serde_json::from_slice(&body).map_err(|source| FloorError::Answer {
            path: path.to_owned(),
            source,
        })
    }
}
