//! An account, bound to servers on loopback.

use std::net::Ipv4Addr;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::IntoResponse;
use axum::routing::any;
use futures::FutureExt;
use samspel_model::descriptor::{AuthKind, AuthScheme, Descriptor, EgressRule, RateLimit};
use samspel_runtime::outbound::{Call, Client, Outbound, Request};
use samspel_runtime::{AccountConfig, BindError, Credential, EndpointOverride, Limits, TokenStore};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use url::Url;

/// What the connector asks for.
pub const API: &str = "https://api.example.com";

/// Another origin that it asks for.
pub const OTHER: &str = "https://other.example.com";

/// A descriptor and an account that are put together for one test.
pub struct Setup {
    pub descriptor: Descriptor,
    pub account: AccountConfig,
}

impl Setup {
    /// Any method and path of [`API`] may be asked for; nothing else is granted.
    pub fn new() -> Self {
        let descriptor = Descriptor {
            name: "test".to_owned(),
            version: "1.0.0".to_owned(),
            title: "Test".to_owned(),
            description: String::new(),
            collections: Vec::new(),
            settings_schema: json!({}),
            authentication: Vec::new(),
            egress: Vec::new(),
            rate_limits: Vec::new(),
            cursor_version: 1,
            cursor_versions_read: Vec::new(),
        };
        let account = AccountConfig {
            name: "crm".to_owned(),
            settings: Map::new(),
            credentials: [].into(),
            endpoints: Vec::new(),
            rate_limits: true,
            limits: Limits::default(),
            tokens: None,
        };
        Self {
            descriptor,
            account,
        }
        .egress(API, &[], "")
    }

    /// [`API`] is reached at this address.
    pub fn at(url: &Url) -> Self {
        Self::new().endpoint(API, url)
    }

    pub fn egress(mut self, origin: &str, methods: &[&str], prefix: &str) -> Self {
        self.descriptor.egress.push(EgressRule {
            origin: origin.to_owned(),
            methods: methods.iter().map(|method| (*method).to_owned()).collect(),
            path_prefix: prefix.to_owned(),
        });
        self
    }

    pub fn endpoint(mut self, from: &str, to: &Url) -> Self {
        self.account.endpoints.push(EndpointOverride {
            from: from.parse().unwrap(),
            to: to.clone(),
        });
        self
    }

    /// Declares a way to authenticate; its name is that of the credential.
    pub fn declares(mut self, credential: &str, scheme: &str, kind: AuthKind) -> Self {
        self.descriptor.authentication.push(AuthScheme {
            credential: credential.to_owned(),
            name: scheme.to_owned(),
            help: String::new(),
            kind,
        });
        self
    }

    pub fn configures(mut self, name: &str, credential: Credential) -> Self {
        self.account.credentials.insert(name.to_owned(), credential);
        self
    }

    /// Declares and configures a credential.
    pub fn credential(self, name: &str, kind: AuthKind, secret: &str) -> Self {
        self.declares(name, name, kind)
            .configures(name, credential(secret))
    }

    pub fn setting(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.account.settings.insert(name.to_owned(), value.into());
        self
    }

    pub fn rate(mut self, requests: u32, per_ms: u32) -> Self {
        self.descriptor.rate_limits.push(RateLimit {
            requests,
            per_ms,
            concurrent: 0,
        });
        self
    }

    pub fn limits(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.account.limits);
        self
    }

    pub fn tokens(mut self, store: Arc<dyn TokenStore>) -> Self {
        self.account.tokens = Some(store);
        self
    }

    pub fn bind(&self) -> Outbound {
        self.try_bind().ok().unwrap()
    }

    pub fn try_bind(&self) -> Result<Outbound, BindError> {
        let client = Arc::new(Client::new().unwrap());
        Outbound::new(client, &self.descriptor, &self.account, None)
    }

    pub fn call(&self) -> Call {
        Call::new(&self.account.limits)
    }
}

pub fn credential(secret: &str) -> Credential {
    Credential {
        scheme: None,
        secret: secret.into(),
        client: None,
    }
}

/// A request for a path of [`API`], or for a whole URL. Reads are safe to repeat, others are not.
pub fn request(method: &str, target: &str) -> Request {
    let url = if target.starts_with('/') {
        format!("{API}{target}")
    } else {
        target.to_owned()
    };
    Request {
        method: method.to_owned(),
        url,
        replay_safe: method == "GET" || method == "HEAD",
        ..Request::default()
    }
}

pub fn get(target: &str) -> Request {
    request("GET", target)
}

pub fn post(target: &str) -> Request {
    Request {
        body: Some(b"{}".to_vec()),
        ..request("POST", target)
    }
}

/// The same request with a credential.
pub fn with(credential: &str, request: Request) -> Request {
    Request {
        credential: Some(credential.to_owned()),
        ..request
    }
}

pub fn header(mut request: Request, name: &str, value: &str) -> Request {
    request.headers.push((name.to_owned(), value.to_owned()));
    request
}

/// Answers everything with `200 OK`.
pub fn ok() -> Router {
    Router::new().fallback(any(async || "ok"))
}

/// Answers with everything that it was asked, as JSON.
pub fn echo() -> Router {
    Router::new().fallback(any(
        async |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
            let headers: Vec<_> = headers
                .iter()
                .map(|(name, value)| {
                    [
                        name.as_str().to_owned(),
                        String::from_utf8_lossy(value.as_bytes()).into_owned(),
                    ]
                })
                .collect();
            axum::Json(json!({
                "method": method.as_str(),
                "target": uri.to_string(),
                "headers": headers,
                "body": String::from_utf8_lossy(&body),
            }))
            .into_response()
        },
    ))
}

/// A port on loopback that notices whether anybody connects.
pub struct Trap(TcpListener);

impl Trap {
    pub async fn set() -> Self {
        Self(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap())
    }

    pub fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    /// Nobody connected. A connection of the kernel's queue is accepted at once.
    pub fn assert_untouched(&self) {
        assert!(
            self.0.accept().now_or_never().is_none(),
            "somebody connected"
        );
    }
}

/// An address on loopback at which nothing listens.
pub async fn nowhere() -> Url {
    let trap = Trap::set().await;
    format!("http://127.0.0.1:{}", trap.port()).parse().unwrap()
}
