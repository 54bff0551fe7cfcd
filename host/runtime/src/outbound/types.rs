//! What a connector asks for, and what it gets.

use thiserror::Error;

/// One request of a connector; see `wit/http.wit`.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Upper case.
    pub method: String,
    /// Absolute.
    pub url: String,
    /// Names and values; a repeated name is a repeated header.
    pub headers: Vec<(String, String)>,
    /// The body, if any.
    pub body: Option<Vec<u8>>,
    /// The credential that is to be added, by the name that the descriptor declares.
    pub credential: Option<String>,
    /// Doing it twice equals doing it once.
    pub replay_safe: bool,
}

/// The answer to a request, with every secret of the account redacted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// Decompressed.
    pub body: Vec<u8>,
}

/// Why there is no response; see `wit/http.wit`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HttpError {
    /// The request breaks a rule; never sent.
    #[error("denied: {0}")]
    Denied(String),
    /// A budget asks to wait for so many milliseconds; never sent.
    #[error("the budget asks to wait for {0} ms")]
    Throttled(u64),
    /// Certainly not executed.
    #[error("not sent: {0}")]
    NotSent(String),
    /// No complete answer came; it may have been executed.
    #[error("interrupted: {0}")]
    Interrupted(String),
    /// The answer exceeds this limit, in bytes; the request was executed.
    #[error("the answer has more than {0} bytes")]
    TooLarge(u64),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// Why a secret cannot be used; see `wit/secrets.wit`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SecretError {
    /// No credential of that name is configured.
    #[error("the account has no credential `{0}`")]
    Missing(String),
    /// The descriptor does not declare this use.
    #[error("not declared: {0}")]
    NotDeclared(String),
    /// The credential is not written as declared.
    #[error("malformed: {0}")]
    Malformed(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// A keyed algorithm of the `secrets` interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with SHA-1 (RFC 2104), which some hooks still use.
    HmacSha1,
    /// HMAC with SHA-256.
    HmacSha256,
    /// HMAC with SHA-512.
    HmacSha512,
}

impl Algorithm {
    /// The one that a descriptor declares by this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::HmacSha1, Self::HmacSha256, Self::HmacSha512]
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
    }

    /// The name by which a descriptor declares it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::HmacSha1 => "hmac-sha1",
            Self::HmacSha256 => "hmac-sha256",
            Self::HmacSha512 => "hmac-sha512",
        }
    }
}

/// What an account used since it was bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutboundStats {
    /// Requests that were put on the wire, redirects, retries and token refreshes included.
    pub requests: u64,
    /// Bytes of bodies sent.
    pub bytes_sent: u64,
    /// Bytes of bodies received, after decompression.
    pub bytes_received: u64,
    /// Requests that a budget or the remote asked to send later.
    pub throttled: u64,
    /// Requests that were sent again.
    pub retries: u64,
    /// Requests that broke a rule.
    pub denied: u64,
    /// Requests a minute that are allowed at the moment because the remote throttled; `None`: it did not, or long ago.
    pub per_minute: Option<u64>,
    /// How long nothing is sent at the moment, because the remote asked for that; 0: it did not.
    pub blocked_ms: u64,
    /// Requests that the remote said are left of its window.
    pub remaining: Option<u64>,
}
