//! Whether a call that was ended may have changed something: what decides if its writes must be read back.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::any;
use samspel_runtime::outbound::{HttpError, Request, Response};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::server::Server;
use crate::setup::{Setup, get, nowhere, ok, post, request};

async fn applied(setup: &Setup, request: Request) -> (Result<Response, HttpError>, bool) {
    let call = setup.call();
    let result = setup.bind().send(&call, request).await;
    let applied = call.may_have_applied();
    (result, applied)
}

#[tokio::test]
async fn reads_change_nothing_and_writes_may() {
    let server = Server::start(ok()).await;
    let setup = Setup::at(&server.url);
    let unsafe_read = Request {
        replay_safe: false,
        ..get("/")
    };
    let safe_write = Request {
        replay_safe: true,
        ..request("PUT", "/")
    };
    for (request, expected) in [
        (get("/"), false),
        (request("HEAD", "/"), false),
        (unsafe_read, true),
        (post("/"), true),
        (safe_write, true),
        (request("PATCH", "/"), true),
        (request("DELETE", "/"), true),
    ] {
        let (result, applied) = applied(&setup, request).await;
        assert!(result.is_ok());
        assert_eq!(applied, expected);
    }
}

#[tokio::test]
async fn what_was_certainly_not_executed_changed_nothing() {
    let throttling =
        Server::start(Router::new().fallback(any(async || StatusCode::TOO_MANY_REQUESTS))).await;
    let server = Server::start(ok()).await;
    let spent = Setup::at(&server.url).limits(|limits| limits.requests = 0);
    for (setup, request) in [
        (Setup::at(&nowhere().await), post("/")),
        (Setup::at(&server.url), post("https://example.org/")),
        (
            Setup::new().egress("https://localhost", &[], ""),
            post("https://localhost/"),
        ),
        (Setup::at(&throttling.url), post("/")),
        (spent, post("/")),
    ] {
        let (result, applied) = applied(&setup, request).await;
        assert!(!applied, "{result:?}");
    }
    assert_eq!(throttling.seen().len(), 3);
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn an_error_status_leaves_it_open() {
    let server = Server::start(Router::new().fallback(any(async || StatusCode::BAD_GATEWAY))).await;
    let (result, applied) = applied(&Setup::at(&server.url), post("/")).await;
    assert_eq!(result.unwrap().status, 502);
    assert!(applied);
}

#[tokio::test]
async fn an_interrupted_write_may_have_been_executed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 1024]).await;
    });
    let (result, applied) = applied(&Setup::at(&url), post("/")).await;
    assert!(
        matches!(result, Err(HttpError::Interrupted(_))),
        "{result:?}"
    );
    assert!(applied);
}

#[tokio::test]
async fn a_write_whose_answer_is_too_large_may_have_been_executed() {
    let server = Server::start(Router::new().fallback(any(async || vec![0; 2_000]))).await;
    let setup = Setup::at(&server.url).limits(|limits| limits.response_bytes = 1_000);
    let (result, applied) = applied(&setup, post("/")).await;
    assert_eq!(result, Err(HttpError::TooLarge(1_000)));
    assert!(applied);
}

/// As when the call's time is over, or nobody waits for it any more.
#[tokio::test]
async fn a_write_that_is_given_up_on_its_way_may_have_been_executed() {
    let arrived = Arc::new(Notify::new());
    let arrives = Arc::clone(&arrived);
    let router = Router::new().fallback(any(async move || {
        arrives.notify_one();
        std::future::pending::<()>().await;
    }));
    let server = Server::start(router).await;
    let setup = Setup::at(&server.url);
    let outbound = setup.bind();
    let call = setup.call();
    tokio::select! {
        result = outbound.send(&call, post("/")) => panic!("{result:?}"),
        () = arrived.notified() => {}
    }
    assert!(call.may_have_applied());
}
