//! What an operator configures about one account.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use secrecy::SecretString;
use serde_json::{Map, Value};
use url::Url;

use crate::limits::Limits;

/// A connector's settings and credentials for one account.
#[derive(Clone)]
pub struct AccountConfig {
    /// The account's name, for errors, logs and the store.
    pub name: String,
    /// Checked against the connector's settings schema.
    pub settings: Map<String, Value>,
    /// By the name that the descriptor gives the credential.
    pub credentials: BTreeMap<String, Credential>,
    /// Origins that are reached elsewhere. Each grants exactly the address and scheme it names, also a private one.
    pub endpoints: Vec<EndpointOverride>,
    /// Whether the rate limits of the descriptor are kept.
    pub rate_limits: bool,
    /// What the connector may use.
    pub limits: Limits,
    /// Where rotated OAuth tokens are kept.
    pub tokens: Option<Arc<dyn TokenStore>>,
}

/// An operator's override of an origin, for simulators and servers in the own network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointOverride {
    /// `https://api.hubapi.com`: scheme, host and port of what the connector asks for.
    pub from: Url,
    /// `http://127.0.0.1:8801`: what is connected to instead.
    pub to: Url,
}

/// A secret, and the scheme by which it is used.
#[derive(Clone)]
pub struct Credential {
    /// The name of the scheme; may be left out where the connector offers one only.
    pub scheme: Option<String>,
    /// The secret itself; for OAuth 2 the refresh token.
    pub secret: SecretString,
    /// For OAuth 2: who the client is.
    pub client: Option<OauthClient>,
}

/// An OAuth 2.0 client (RFC 6749, section 2).
#[derive(Clone)]
pub struct OauthClient {
    /// Public.
    pub id: String,
    /// Secret, unless the client is public.
    pub secret: Option<SecretString>,
}

/// Keeps refresh tokens that a server replaced, so that they survive a restart.
#[async_trait]
pub trait TokenStore: Send + Sync {
    /// The newest refresh token of a credential, if one was kept.
    async fn load(&self, account: &str, credential: &str) -> Result<Option<SecretString>, String>;

    /// Keeps a new refresh token. The old one is void from now on.
    async fn save(
        &self,
        account: &str,
        credential: &str,
        token: &SecretString,
    ) -> Result<(), String>;

    /// The server accepts a credential no more: a person must authorise the account again.
    async fn refused(&self, _account: &str, _credential: &str, _why: &str) -> Result<(), String> {
        Ok(())
    }

    /// The server accepts a credential.
    async fn accepted(&self, _account: &str, _credential: &str) -> Result<(), String> {
        Ok(())
    }
}
