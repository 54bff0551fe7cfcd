//! A host that runs somewhere, asked over HTTP.

use std::path::Path;
use std::time::Duration;

use eventsource_stream::Eventsource;
use futures::StreamExt;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Certificate, Method, Response};
use samspel_installation::{Error, Kind};
use samspel_operations::{Operation, Route};
use samspel_sync::{Progress, Snapshot};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;
use url::Url;
use uuid::Uuid;

use crate::args::Access;

/// Below the host's address.
const ROOT: &str = "api/v1";
const CONNECT: Duration = Duration::from_secs(10);
/// A host tells every few seconds that it still works.
const SILENCE: Duration = Duration::from_secs(60);

/// Holds a token, where a file is not wanted.
const VARIABLE: &str = "SAMSPEL_TOKEN";

/// Asks a host.
pub struct Client {
    http: reqwest::Client,
    root: Url,
    token: SecretString,
}

impl Client {
    /// A host at this address.
    ///
    /// # Errors
    /// The address is none, or would show the token to everybody on the way; there is no token.
    pub fn new(host: &Url, access: &Access) -> Result<Self, Error> {
        let mut root = host.clone();
        check(&root)?;
        if !root.path().ends_with('/') {
            root.set_path(&format!("{}/", root.path()));
        }
        let root = root
            .join(&format!("{ROOT}/"))
            .map_err(|error| Error::new(Kind::Usage, format!("--host: {error}")))?;
        let mut builder = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .redirect(reqwest::redirect::Policy::none());
        if let Some(file) = &access.ca {
            for certificate in certificates(file)? {
                builder = builder.add_root_certificate(certificate);
            }
        }
        Ok(Self {
            http: builder
                .build()
                .map_err(|error| Error::new(Kind::Failure, error))?,
            root,
            token: token(access)?,
        })
    }

    /// Asks it to do something. `progress` takes what it tells meanwhile. `stop` ends the waiting: what the host does,
    /// it does to its end.
    pub async fn call<O: Operation>(
        &self,
        operation: &O,
        progress: &dyn Progress,
        stop: &CancellationToken,
    ) -> Result<O::Output, Error> {
        tokio::select! {
            done = self.ask(operation, progress) => done,
            () = stop.cancelled() => Err(Error::new(
                Kind::Interrupted,
                "the host goes on with it; nobody waits for the result",
            )
            .remedy("`samspel sync status` shows what becomes of it")),
        }
    }

    async fn ask<O: Operation>(
        &self,
        operation: &O,
        progress: &dyn Progress,
    ) -> Result<O::Output, Error> {
        let route = O::ROUTE;
        let mut said = fields(operation)?;
        let mut url = self.root.clone();
        path(&mut url, &route, &mut said)?;
        let mut request = self
            .http
            .request(method(&route), url)
            .bearer_auth(self.token.expose_secret());
        if route.method == Method::GET {
            said.retain(|_, value| !value.is_null());
            request = request.query(&said);
        } else {
            request = request
                .header("Idempotency-Key", Uuid::new_v4().to_string())
                .json(&said);
        }
        if route.long {
            request = request.header(ACCEPT, "text/event-stream");
        }
        let answer = request.send().await.map_err(|error| self.failed(error))?;
        if !answer.status().is_success() {
            return Err(self.problem(answer).await);
        }
        let kind = answer.headers().get(CONTENT_TYPE);
        let streams = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        let text = if streams {
            self.follow(answer, progress).await?
        } else {
            answer.text().await.map_err(|error| self.failed(error))?
        };
        serde_json::from_str(&text).map_err(|error| {
            Error::new(
                Kind::Failure,
                format!("the host's answer is not understood: {error}"),
            )
            .remedy("use the same version of samspel here and there")
        })
    }

    /// Takes events until the one that holds the result.
    async fn follow(&self, answer: Response, progress: &dyn Progress) -> Result<String, Error> {
        let mut events = answer.bytes_stream().eventsource();
        while let Some(event) = events.next().await {
            let event = event.map_err(|error| {
                Error::new(Kind::Unavailable, format!("the host fell silent: {error}"))
                    .remedy("`samspel sync status` shows what became of it")
            })?;
            match event.event.as_str() {
                "progress" => {
                    if let Ok(snapshot) = serde_json::from_str::<Snapshot>(&event.data) {
                        progress.update(&snapshot);
                    }
                }
                "result" => return Ok(event.data),
                "problem" => return Err(told(&event.data)),
                _ => {}
            }
        }
        Err(Error::new(
            Kind::Unavailable,
            "the host ended the connection before the result",
        )
        .remedy("`samspel sync status` shows what became of it"))
    }

    async fn problem(&self, answer: Response) -> Error {
        let status = answer.status();
        match answer.text().await {
            Ok(text) if text.starts_with('{') => told(&text),
            _ => Error::new(Kind::Failure, format!("{} answers {status}", self.root)).remedy(
                "check --host: is this the address of a samspel host, and not of something before it?",
            ),
        }
    }

    fn failed(&self, error: reqwest::Error) -> Error {
        // The whole chain: the outermost error says only that something failed.
        let mut why = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(inner) = source {
            why = format!("{why}: {inner}");
            source = inner.source();
        }
        Error::new(
            Kind::Unavailable,
            format!("the host at {} is not reached: {why}", self.root),
        )
        .remedy("check --host; is `samspel serve` running there?")
    }
}

/// What an operation says, by name.
fn fields<O: Operation>(operation: &O) -> Result<Map<String, Value>, Error> {
    match serde_json::to_value(operation) {
        Ok(Value::Object(fields)) => Ok(fields),
        _ => Err(Error::new(Kind::Failure, "the request cannot be written")),
    }
}

/// Puts fields into the path where it names them.
fn path(url: &mut Url, route: &Route, said: &mut Map<String, Value>) -> Result<(), Error> {
    let wrong = || Error::new(Kind::Usage, "--host is no address of a host");
    let mut segments = url.path_segments_mut().map_err(|()| wrong())?;
    segments.pop_if_empty();
    for part in route.path.split('/').skip(1) {
        match part
            .strip_prefix('{')
            .and_then(|part| part.strip_suffix('}'))
        {
            None => segments.push(part),
            Some(name) => {
                let value = said.remove(name);
                let text = value.as_ref().and_then(Value::as_str).unwrap_or_default();
                if matches!(text, "" | "." | "..") {
                    return Err(Error::new(Kind::Usage, format!("`{text}` is no {name}")));
                }
                segments.push(text)
            }
        };
    }
    Ok(())
}

fn method(route: &Route) -> Method {
    route.method.clone()
}

/// An error, from a problem document (RFC 9457).
fn told(text: &str) -> Error {
    let Ok(Value::Object(mut problem)) = serde_json::from_str(text) else {
        return Error::new(Kind::Failure, "the host's answer is not understood");
    };
    let mut take = |name: &str| problem.remove(name);
    let text = |value: Option<Value>| value.and_then(|value| value.as_str().map(str::to_owned));
    let code = text(take("code")).unwrap_or_default();
    let title = text(take("title"));
    let message = text(take("detail")).or(title).unwrap_or_default();
    let remedy = text(take("remedy"));
    for known in ["type", "status", "instance"] {
        take(known);
    }
    let kind = Kind::of_code(&code).unwrap_or(match code.as_str() {
        "unauthorised" | "forbidden" => Kind::Account,
        "malformed" => Kind::Usage,
        "too-many" | "stopping" => Kind::Unavailable,
        _ => Kind::Failure,
    });
    let mut error = Error::new(kind, message);
    if let Some(remedy) = remedy {
        error = error.remedy(remedy);
    }
    for (name, value) in problem {
        error = error.detail(&name, value);
    }
    error
}

/// A token goes through TLS, or stays on this machine.
fn check(host: &Url) -> Result<(), Error> {
    let local = matches!(host.host_str(), Some("127.0.0.1" | "[::1]" | "localhost"));
    match host.scheme() {
        "https" => Ok(()),
        "http" if local => Ok(()),
        "http" => Err(Error::new(
            Kind::Usage,
            "--host: the token and everything else would be readable on the way",
        )
        .remedy("use `https://`: see `server.tls`, or put a proxy in front of the host")),
        _ => Err(Error::new(Kind::Usage, "--host is no address of a host")
            .remedy("write `https://HOST[:PORT]`")),
    }
}

fn token(access: &Access) -> Result<SecretString, Error> {
    let text = match &access.token_file {
        Some(file) => std::fs::read_to_string(file).map_err(|error| {
            Error::new(
                Kind::Usage,
                format!("--token-file: {} cannot be read: {error}", file.display()),
            )
        })?,
        None => std::env::var(VARIABLE).map_err(|_| {
            Error::new(Kind::Account, "a host is asked with a token, and there is none").remedy(
                format!(
                    "put it into {VARIABLE} or a file (--token-file); `samspel token create NAME --role ROLE` makes one, \
                     on the host's machine"
                ),
            )
        })?,
    };
    Ok(SecretString::from(text.trim()))
}

fn certificates(file: &Path) -> Result<Vec<Certificate>, Error> {
    let wrong = |why: String| Error::new(Kind::Usage, format!("--ca: {}: {why}", file.display()));
    let text = std::fs::read(file).map_err(|error| wrong(error.to_string()))?;
    Certificate::from_pem_bundle(&text).map_err(|error| wrong(error.to_string()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use samspel_operations::queues::ShowConflict;

    use super::*;

    #[test]
    fn a_token_is_not_sent_in_clear() {
        for good in [
            "https://sync.example.com",
            "http://127.0.0.1:8460",
            "http://[::1]:8460",
            "http://localhost:8460",
        ] {
            assert!(check(&Url::parse(good).unwrap()).is_ok(), "{good}");
        }
        for wrong in [
            "http://sync.example.com",
            "ftp://127.0.0.1",
            "http://127.0.0.1.example.com",
        ] {
            assert!(check(&Url::parse(wrong).unwrap()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_stands_in_the_path_is_escaped_there_and_not_said_again() {
        let show = ShowConflict {
            id: "a/b?c".to_owned(),
            sync: Some("contacts".to_owned()),
        };
        let mut said = fields(&show).unwrap();
        let mut url = Url::parse("http://127.0.0.1/api/v1/").unwrap();
        path(&mut url, &ShowConflict::ROUTE, &mut said).unwrap();
        assert_eq!(url.path(), "/api/v1/conflicts/a%2Fb%3Fc");
        assert_eq!(said.keys().collect::<Vec<_>>(), ["sync"]);
    }

    #[test]
    fn a_problem_is_the_error_that_it_was() {
        let problem = r#"{"type":"urn:samspel:problem:held","title":"Conflict","status":409,"code":"held","detail":"somebody works on it","remedy":"wait","syncs":["a"]}"#;
        let error = told(problem);
        assert_eq!(error.kind(), Kind::Held);
        assert_eq!(error.to_string(), "somebody works on it\n  remedy: wait");
        assert_eq!(error.found("syncs"), Some(&serde_json::json!(["a"])));
    }
}
