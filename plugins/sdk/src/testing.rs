//! A scripted remote: connectors are tested natively, without a host and without WebAssembly.
//!
//! ```
//! use samspel_connector::testing::{Remote, Reply};
//! use samspel_connector::{http, json};
//!
//! let remote = Remote::new(|request| {
//!     assert_eq!(request.url, "https://api.example.com/me");
//!     Reply::json(200, json!({ "id": 7 }))
//! });
//! let answer = remote.run(|| http::get("https://api.example.com/me").send());
//! assert_eq!(answer.map(|answer| answer.status()), Ok(200));
//! assert_eq!(remote.requests().len(), 1);
//! ```

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use serde_json::Value;

use crate::bindings::samspel::connector::http as wire;
use crate::hooks::HookRequest;
use crate::http::{Error, Response};

pub use crate::bindings::samspel::connector::http::Request as SentRequest;

/// What the scripted remote answers.
#[derive(Debug, Clone)]
pub struct Reply(Result<wire::Response, Error>);

impl Reply {
    /// A status without a body.
    pub fn new(status: u16) -> Self {
        Self(Ok(wire::Response {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }))
    }

    /// A JSON body.
    pub fn json(status: u16, body: Value) -> Self {
        Self(Ok(wire::Response {
            status,
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: body.to_string().into_bytes(),
        }))
    }

    /// No answer.
    pub fn error(error: Error) -> Self {
        Self(Err(error))
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Ok(response) = &mut self.0 {
            response.headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// As a connector sees it. Only for replies that are answers.
    ///
    /// # Panics
    /// If the reply is an error.
    pub fn response(self) -> Response {
        match self.0 {
            Ok(response) => response.into(),
            Err(error) => panic!("the reply is no answer: {error:?}"),
        }
    }
}

/// A notification to the address as the remote was given it.
pub fn notification(method: &str, body: impl Into<Vec<u8>>) -> HookRequest {
    HookRequest {
        method: method.to_owned(),
        path: String::new(),
        headers: Vec::new(),
        body: body.into(),
    }
}

/// A notification that is a form.
pub fn form(pairs: &[(&str, &str)]) -> HookRequest {
    let body = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish();
    notification("POST", body).with_header("content-type", "application/x-www-form-urlencoded")
}

impl HookRequest {
    /// Adds a header. For tests: connectors only read notifications.
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// The code that the double's `verify` takes for right, see [`Remote`]; no cryptography is tested here.
pub fn code(credential: &str, message: &[u8]) -> Vec<u8> {
    [credential.as_bytes(), b":", message].concat()
}

type Script = Box<dyn FnMut(&SentRequest) -> Reply>;

struct Host {
    script: Script,
    requests: Vec<SentRequest>,
    settings: String,
    now: u64,
    logged: Vec<String>,
    /// Credentials that the operator did not configure.
    missing: BTreeSet<String>,
}

thread_local! {
    static HOST: RefCell<Option<Rc<RefCell<Host>>>> = const { RefCell::new(None) };
}

/// A remote that answers by a script, and the host around it.
pub struct Remote(Rc<RefCell<Host>>);

impl Remote {
    /// Answers each request by the script.
    pub fn new(script: impl FnMut(&SentRequest) -> Reply + 'static) -> Self {
        Self(Rc::new(RefCell::new(Host {
            script: Box::new(script),
            requests: Vec::new(),
            settings: "{}".to_owned(),
            // 2026-11-24T05:16:00Z; a fixed time keeps tests repeatable.
            now: 1_795_497_360_000,
            logged: Vec::new(),
            missing: BTreeSet::new(),
        })))
    }

    /// The account's settings.
    pub fn settings(self, settings: &Value) -> Self {
        self.0.borrow_mut().settings = settings.to_string();
        self
    }

    /// The host's clock, in milliseconds since 1970.
    pub fn now(self, ms: u64) -> Self {
        self.0.borrow_mut().now = ms;
        self
    }

    /// The operator did not configure this credential. Without this, all are there.
    pub fn without_credential(self, name: &str) -> Self {
        self.0.borrow_mut().missing.insert(name.to_owned());
        self
    }

    /// Runs a piece of a connector against it.
    pub fn run<R>(&self, call: impl FnOnce() -> R) -> R {
        struct Restore(Option<Rc<RefCell<Host>>>);
        impl Drop for Restore {
            fn drop(&mut self) {
                let previous = self.0.take();
                HOST.with(|host| *host.borrow_mut() = previous);
            }
        }
        let _restore = Restore(HOST.with(|host| host.borrow_mut().replace(Rc::clone(&self.0))));
        call()
    }

    /// What was sent, in order.
    pub fn requests(&self) -> Vec<SentRequest> {
        self.0.borrow().requests.clone()
    }

    /// What was logged, in order.
    pub fn logged(&self) -> Vec<String> {
        self.0.borrow().logged.clone()
    }
}

/// The imports, answered by the remote whose [`Remote::run`] is on this thread's stack.
pub(crate) mod imports {
    use super::{HOST, Host, SentRequest, wire};
    use crate::http::Error;
    use crate::log::Level;
    use crate::secrets::{Algorithm, SecretError};

    /// Nothing is granted outside of `Remote::run`.
    fn host<R>(call: impl FnOnce(&mut Host) -> R) -> Option<R> {
        HOST.with(|current| current.borrow().clone())
            .map(|host| call(&mut host.borrow_mut()))
    }

    pub(crate) fn send(request: &SentRequest) -> Result<wire::Response, Error> {
        host(|host| {
            host.requests.push(request.clone());
            (host.script)(request).0
        })
        .unwrap_or_else(|| Err(Error::Denied("no scripted remote is running".to_owned())))
    }

    pub(crate) fn send_all(requests: &[SentRequest]) -> Vec<Result<wire::Response, Error>> {
        requests.iter().map(send).collect()
    }

    pub(crate) fn settings() -> String {
        host(|host| host.settings.clone()).unwrap_or_else(|| "{}".to_owned())
    }

    pub(crate) fn now() -> u64 {
        host(|host| host.now).unwrap_or(0)
    }

    pub(crate) fn log(_level: Level, message: &str) {
        host(|host| host.logged.push(message.to_owned()));
    }

    fn configured(credential: &str) -> Result<(), SecretError> {
        match host(|host| host.missing.contains(credential)) {
            Some(true) => Err(SecretError::Missing(credential.to_owned())),
            _ => Ok(()),
        }
    }

    pub(crate) fn key_id(credential: &str) -> Result<String, SecretError> {
        configured(credential)?;
        Ok(format!("{credential}-key-id"))
    }

    /// A stand-in that shows what would be signed.
    pub(crate) fn sign(
        credential: &str,
        _algorithm: Algorithm,
        message: &[u8],
    ) -> Result<Vec<u8>, SecretError> {
        configured(credential)?;
        Ok(super::code(credential, message))
    }

    pub(crate) fn verify(
        credential: &str,
        algorithm: Algorithm,
        message: &[u8],
        code: &[u8],
    ) -> Result<bool, SecretError> {
        Ok(sign(credential, algorithm, message)? == code)
    }
}
