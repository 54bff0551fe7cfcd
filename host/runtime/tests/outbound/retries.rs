//! What the host sends again by itself.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use axum::Router;
use axum::http::{StatusCode, header::RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use samspel_runtime::outbound::{HttpError, Request};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use url::Url;

use crate::server::Server;
use crate::setup::{Setup, get, nowhere, post};

/// Refuses the first requests, then answers.
fn refusing(
    times: usize,
    refusal: impl Fn() -> Response + Clone + Send + Sync + 'static,
) -> Router {
    let left = Arc::new(AtomicUsize::new(times));
    Router::new().fallback(any(async move || {
        let refuses = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
            left.checked_sub(1)
        });
        match refuses {
            Ok(_) => refusal(),
            Err(_) => "done".into_response(),
        }
    }))
}

fn status(code: u16, retry_after: Option<&str>) -> Response {
    let code = StatusCode::from_u16(code).unwrap();
    match retry_after {
        Some(text) => (code, [(RETRY_AFTER, text.to_owned())], "refused").into_response(),
        None => (code, "refused").into_response(),
    }
}

fn safe(request: Request) -> Request {
    Request {
        replay_safe: true,
        ..request
    }
}

/// Reads requests and hangs up on them; counts the connections.
async fn hanging_up() -> (Url, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::SeqCst);
            let _ = stream.read(&mut [0; 1024]).await;
        }
    });
    (url, count)
}

#[tokio::test]
async fn a_throttled_request_is_sent_again_when_the_remote_says() {
    let server = Server::start(refusing(1, || status(429, Some("1")))).await;
    let setup = Setup::at(&server.url);
    let outbound = setup.bind();
    let began = Instant::now();
    // A write that is not safe to repeat: it was certainly not executed.
    let answer = outbound.send(&setup.call(), post("/")).await.unwrap();
    assert_eq!(answer.body, b"done");
    assert!(
        began.elapsed() >= Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(server.seen().len(), 2);
    assert_eq!(server.seen()[1].body, b"{}");
    assert_eq!(outbound.stats().retries, 1);
}

#[tokio::test]
async fn a_remote_may_name_a_date() {
    let until = SystemTime::now() + Duration::from_secs(2);
    let date = httpdate::fmt_http_date(until);
    let server = Server::start(refusing(1, move || status(429, Some(&date)))).await;
    let setup = Setup::at(&server.url);
    let answer = setup.bind().send(&setup.call(), post("/")).await.unwrap();
    assert_eq!(answer.status, 200);
    // A date has whole seconds.
    assert!(SystemTime::now() > until - Duration::from_secs(1));
}

#[tokio::test]
async fn a_longer_wait_is_the_connectors_to_decide() {
    let server = Server::start(refusing(9, || status(429, Some("3")))).await;
    let setup = Setup::at(&server.url);
    let outbound = setup.bind();
    let answer = outbound.send(&setup.call(), get("/")).await.unwrap();
    assert_eq!(
        (answer.status, answer.body.as_slice()),
        (429, b"refused".as_slice())
    );
    assert!(
        answer
            .headers
            .contains(&("retry-after".to_owned(), "3".to_owned()))
    );
    assert_eq!(server.seen().len(), 1);
    assert_eq!(outbound.stats().throttled, 1);
}

#[tokio::test]
async fn three_attempts_are_made_and_the_last_answer_is_told() {
    let server = Server::start(refusing(9, || status(429, None))).await;
    let setup = Setup::at(&server.url);
    let outbound = setup.bind();
    let answer = outbound.send(&setup.call(), get("/")).await.unwrap();
    assert_eq!(answer.status, 429);
    assert_eq!(server.seen().len(), 3);
    assert_eq!(outbound.stats().retries, 2);
}

#[tokio::test]
async fn an_overloaded_remote_is_asked_again_only_where_that_is_safe() {
    for (request, attempts, answered) in [(safe(post("/")), 2, 200), (post("/"), 1, 503)] {
        let server = Server::start(refusing(1, || status(503, Some("0")))).await;
        let setup = Setup::at(&server.url);
        let answer = setup.bind().send(&setup.call(), request).await.unwrap();
        assert_eq!(answer.status, answered);
        assert_eq!(server.seen().len(), attempts);
    }
}

#[tokio::test]
async fn other_answers_are_not_asked_for_again() {
    for code in [400, 401, 408, 425, 500, 502, 504] {
        let server = Server::start(refusing(1, move || status(code, None))).await;
        let setup = Setup::at(&server.url);
        let answer = setup.bind().send(&setup.call(), get("/")).await.unwrap();
        assert_eq!(answer.status, code);
        assert_eq!(server.seen().len(), 1);
    }
}

#[tokio::test]
async fn what_could_not_be_sent_is_sent_again() {
    let setup = Setup::at(&nowhere().await);
    let outbound = setup.bind();
    let result = outbound.send(&setup.call(), post("/")).await;
    assert!(matches!(result, Err(HttpError::NotSent(_))), "{result:?}");
    assert_eq!(outbound.stats().retries, 2);
}

#[tokio::test]
async fn what_was_interrupted_is_sent_again_only_where_that_is_safe() {
    for (request, attempts) in [(get("/"), 3), (safe(post("/")), 3), (post("/"), 1)] {
        let (url, connections) = hanging_up().await;
        let setup = Setup::at(&url);
        let result = setup.bind().send(&setup.call(), request).await;
        assert!(
            matches!(result, Err(HttpError::Interrupted(_))),
            "{result:?}"
        );
        assert_eq!(connections.load(Ordering::SeqCst), attempts);
    }
}

#[tokio::test]
async fn retries_count_as_requests_of_the_call() {
    let server = Server::start(refusing(9, || status(429, None))).await;
    let setup = Setup::at(&server.url).limits(|limits| limits.requests = 2);
    let answer = setup.bind().send(&setup.call(), get("/")).await.unwrap();
    assert_eq!(answer.status, 429);
    assert_eq!(server.seen().len(), 2);
}
