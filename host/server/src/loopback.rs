//! The address at which a browser answers (RFC 8252, section 7.3): one answer, on this machine only.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONNECTION, REFERRER_POLICY};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use samspel_installation::{Error, Kind};
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

const PATH: &str = "/callback";
/// How long a person may take.
const PERSON: Duration = Duration::from_secs(10 * 60);
/// How long the browser may take to read that it can close the window.
const FAREWELL: Duration = Duration::from_secs(5);

/// Listens for the answer.
pub struct Loopback {
    listeners: Vec<TcpListener>,
    redirect: String,
}

/// How the redirect names this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    /// By its address, as RFC 8252 advises.
    Address,
    /// As `localhost`: HubSpot allows no other name without TLS.
    Localhost,
}

/// What a browser brings.
enum Said {
    Code(SecretString),
    /// The person or the server said no.
    No(String),
    /// Not the answer.
    Other,
}

struct Awaited {
    state: String,
    answer: mpsc::Sender<Result<SecretString, String>>,
}

impl Loopback {
    /// Listens; at any free port if it is 0.
    ///
    /// # Errors
    /// The port is taken.
    pub async fn bind(port: u16, name: Name) -> Result<Self, Error> {
        let failed = |error: std::io::Error| {
            Error::new(
                Kind::Failure,
                format!("the browser's answer cannot be awaited at port {port}: {error}"),
            )
            .remedy("choose another port with --port")
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
        let listener = listener.map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        let mut listeners = vec![listener];
        let name = match name {
            Name::Address => "127.0.0.1",
            Name::Localhost => {
                // Whatever address the browser takes the name for, nobody else may answer there.
                match TcpListener::bind((Ipv6Addr::LOCALHOST, port)).await {
                    Ok(listener) => listeners.push(listener),
                    Err(error) if error.kind() == ErrorKind::AddrInUse => {
                        return Err(failed(error));
                    }
                    // A machine without IPv6.
                    Err(_) => {}
                }
                "localhost"
            }
        };
        Ok(Self {
            listeners,
            redirect: format!("http://{name}:{port}{PATH}"),
        })
    }

    /// Where the browser is to be sent.
    #[must_use]
    pub fn redirect(&self) -> &str {
        &self.redirect
    }

    /// Waits for the answer to the authorisation that has this state.
    ///
    /// # Errors
    /// Access was not granted, or nobody answered in time.
    pub async fn code(self, state: &str) -> Result<SecretString, Error> {
        let (answer, mut answered) = mpsc::channel(1);
        let router = Router::new()
            .route(PATH, get(callback))
            .with_state(Arc::new(Awaited {
                state: state.to_owned(),
                answer,
            }));
        let done = CancellationToken::new();
        let mut serving = JoinSet::new();
        for listener in self.listeners {
            let server = axum::serve(listener, router.clone())
                .with_graceful_shutdown(done.clone().cancelled_owned());
            serving.spawn(server.into_future());
        }
        // The sender that is left is the servers'.
        drop(router);
        let answer = timeout(PERSON, answered.recv()).await;
        done.cancel();
        // A browser that is gone, or opened connections in advance, is not waited for.
        let _ = timeout(FAREWELL, serving.join_all()).await;
        match answer {
            Ok(Some(Ok(code))) => Ok(code),
            Ok(Some(Err(why))) => Err(Error::new(
                Kind::NotConfirmed,
                format!("the account was not authorised: the server answered {why}"),
            )),
            Ok(None) | Err(_) => Err(Error::new(
                Kind::NotConfirmed,
                format!(
                    "nobody authorised the account within {} minutes",
                    PERSON.as_secs() / 60
                ),
            )
            .remedy("do it again")),
        }
    }
}

async fn callback(
    State(awaited): State<Arc<Awaited>>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let (answer, text) = match said(query, &awaited.state) {
        Said::Code(code) => (
            Ok(code),
            "Access was granted; Samspel goes on in the terminal. You can close this window.",
        ),
        Said::No(why) => (
            Err(why),
            "Access was not granted. You can close this window.",
        ),
        Said::Other => {
            let text = "This is not the answer that is awaited.";
            return (StatusCode::BAD_REQUEST, page(text)).into_response();
        }
    };
    // The first answer holds.
    let _ = awaited.answer.try_send(answer);
    page(text).into_response()
}

fn said(mut query: HashMap<String, String>, state: &str) -> Said {
    let mut of = |name: &str| query.remove(name).filter(|value| !value.is_empty());
    if !of("state").is_some_and(|answer| same(&answer, state)) {
        // Whoever sends this has not seen our question.
        return Said::Other;
    }
    match (of("code"), of("error")) {
        (Some(code), None) => Said::Code(code.into()),
        (_, Some(error)) => Said::No(word(error)),
        (None, None) => Said::Other,
    }
}

/// Both are hashed, so that the time that comparing takes tells nothing about how much of it is right.
fn same(one: &str, other: &str) -> bool {
    Sha256::digest(one) == Sha256::digest(other)
}

/// A registered word (RFC 6749, section 4.1.2.1), or else not worth repeating.
fn word(error: String) -> String {
    let is_word = error.len() <= 40 && error.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    if is_word {
        error
    } else {
        "an error".to_owned()
    }
}

fn page(text: &str) -> impl IntoResponse {
    // The address holds the code: it is neither kept nor told to anybody.
    let headers = [
        (CACHE_CONTROL, "no-store"),
        (REFERRER_POLICY, "no-referrer"),
        (CONNECTION, "close"),
    ];
    let page = format!("<!doctype html><meta charset=utf-8><title>Samspel</title><p>{text}</p>\n");
    (headers, Html(page))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said_by(query: &[(&str, &str)]) -> Said {
        let query = query
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        said(query.collect(), "state-1")
    }

    #[test]
    fn only_an_answer_to_our_question_counts() {
        for other in [
            &[("code", "c")][..],
            &[("code", "c"), ("state", "state-2")],
            &[("code", "c"), ("state", "")],
            &[("state", "state-1")],
            &[("code", ""), ("state", "state-1")],
        ] {
            assert!(matches!(said_by(other), Said::Other), "{other:?}");
        }
        let granted = [("code", "c"), ("state", "state-1")];
        assert!(matches!(said_by(&granted), Said::Code(_)));
        let both = [
            ("code", "c"),
            ("error", "access_denied"),
            ("state", "state-1"),
        ];
        assert!(matches!(said_by(&both), Said::No(why) if why == "access_denied"));
        let odd = [("error", "<script>"), ("state", "state-1")];
        assert!(matches!(said_by(&odd), Said::No(why) if why == "an error"));
    }
}
