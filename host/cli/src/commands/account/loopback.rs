//! The address at which a browser answers (RFC 8252, section 7.3): one request, on this machine only.

use std::time::Duration;

use samspel_installation::Kind;
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use url::Url;

use crate::exit::CliError;

const PATH: &str = "/callback";
/// A request line with a code in it is far shorter.
const HEAD: u64 = 16 * 1024;
/// Browsers open connections in advance and may leave them.
const CONNECTIONS: usize = 16;
const READ: Duration = Duration::from_secs(10);
/// How long a person may take.
const PERSON: Duration = Duration::from_secs(10 * 60);

/// Listens for the answer.
pub struct Loopback {
    listener: TcpListener,
    redirect: String,
}

/// What a request says.
enum Said {
    Code(SecretString),
    /// The person or the server said no.
    No(String),
    /// Not the answer.
    Other(&'static str),
}

impl Loopback {
    /// Listens; at any free port if it is 0.
    pub async fn bind(port: u16) -> Result<Self, CliError> {
        let failed = |error: std::io::Error| {
            CliError::new(
                Kind::Failure,
                format!("the browser's answer cannot be awaited at 127.0.0.1:{port}: {error}"),
            )
            .remedy("choose another port with --port")
        };
        // Never by name: `localhost` may be another machine's.
        let listener = TcpListener::bind(("127.0.0.1", port))
            .await
            .map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        Ok(Self {
            listener,
            redirect: format!("http://127.0.0.1:{port}{PATH}"),
        })
    }

    /// Where the browser is to be sent.
    pub fn redirect(&self) -> &str {
        &self.redirect
    }

    /// Waits for the answer to the authorisation that has this state.
    pub async fn code(self, state: &str) -> Result<SecretString, CliError> {
        timeout(PERSON, self.wait(state)).await.unwrap_or_else(|_| {
            Err(CliError::new(
                Kind::NotConfirmed,
                format!(
                    "nobody authorised the account within {} minutes",
                    PERSON.as_secs() / 60
                ),
            )
            .remedy("do it again"))
        })
    }

    async fn wait(self, state: &str) -> Result<SecretString, CliError> {
        let mut reading = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept(), if reading.len() < CONNECTIONS => {
                    let (stream, _) = accepted?;
                    reading.spawn(timeout(READ, head(stream)));
                }
                Some(read) = reading.join_next() => {
                    // A connection that ended early, or says nothing, is not the answer.
                    let Ok(Ok(Some((stream, line)))) = read else { continue };
                    match said(&line, state) {
                        Said::Code(code) => {
                            respond(stream, "200 OK", "The account is authorised. You can close this window.").await;
                            return Ok(code);
                        }
                        Said::No(why) => {
                            respond(stream, "200 OK", "The account was not authorised. You can close this window.").await;
                            return Err(CliError::new(
                                Kind::NotConfirmed,
                                format!("the account was not authorised: the server answered {why}"),
                            ));
                        }
                        Said::Other(status) => respond(stream, status, "This is not the answer that is awaited.").await,
                    }
                }
            }
        }
    }
}

/// The first line of a request, once its head is complete.
async fn head(stream: TcpStream) -> Option<(TcpStream, String)> {
    let mut read = Vec::new();
    let mut limited = stream.take(HEAD);
    let mut chunk = [0; 1024];
    while !read.windows(4).any(|end| end == b"\r\n\r\n") {
        match limited.read(&mut chunk).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => read.extend_from_slice(&chunk[..count]),
        }
    }
    let line = read.split(|byte| *byte == b'\r').next()?;
    let line = std::str::from_utf8(line).ok()?.to_owned();
    Some((limited.into_inner(), line))
}

fn said(line: &str, state: &str) -> Said {
    let mut words = line.split(' ');
    let (Some("GET"), Some(target)) = (words.next(), words.next()) else {
        return Said::Other("405 Method Not Allowed");
    };
    let Some(url) = Url::parse("http://127.0.0.1")
        .ok()
        .and_then(|base| base.join(target).ok())
        .filter(|url| url.path() == PATH)
    else {
        return Said::Other("404 Not Found");
    };
    let of = |name: &str| {
        url.query_pairs()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.into_owned())
            .filter(|value| !value.is_empty())
    };
    if !of("state").is_some_and(|answer| same(&answer, state)) {
        // Whoever sends this has not seen our question.
        return Said::Other("400 Bad Request");
    }
    match (of("code"), of("error")) {
        (Some(code), None) => Said::Code(code.into()),
        (_, Some(error)) => Said::No(word(error)),
        (None, None) => Said::Other("400 Bad Request"),
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

async fn respond(mut stream: TcpStream, status: &str, text: &str) {
    let page = format!("<!doctype html><meta charset=utf-8><title>Samspel</title><p>{text}</p>\n");
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {}\r\ncache-control: no-store\r\n\
         referrer-policy: no-referrer\r\nconnection: close\r\n\r\n{page}",
        page.len()
    );
    // A browser that is gone needs no answer.
    let _ = timeout(READ, stream.write_all(answer.as_bytes())).await;
    let _ = timeout(READ, stream.shutdown()).await;
}
