//! Limits on answers and requests.

use std::convert::Infallible;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_ENCODING;
use axum::response::IntoResponse;
use axum::routing::any;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::stream;
use samspel_runtime::outbound::HttpError;
use tokio::sync::Barrier;

use crate::server::Server;
use crate::setup::{Setup, get, ok};

const MIB: usize = 1 << 20;

/// What the kernel may hold on its way, generously.
const IN_FLIGHT: u64 = 64 << 20;

/// Streams a gigabyte, and counts what it got rid of.
fn gigabyte() -> (Router, Arc<AtomicU64>) {
    let sent = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&sent);
    let router = Router::new().fallback(any(async move || {
        let chunk = Bytes::from(vec![b'x'; 64 << 10]);
        let chunks = (0..(1 << 30) / chunk.len()).map(move |_| {
            counter.fetch_add(chunk.len() as u64, Ordering::Relaxed);
            Ok::<_, Infallible>(chunk.clone())
        });
        Body::from_stream(stream::iter(chunks))
    }));
    (router, sent)
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let (router, sent) = gigabyte();
    let server = Server::start(router).await;
    let setup = Setup::at(&server.url).limits(|limits| limits.response_bytes = MIB);
    let outbound = setup.bind();
    let result = outbound.send(&setup.call(), get("/")).await;
    assert_eq!(result, Err(HttpError::TooLarge(MIB as u64)));
    assert!(outbound.stats().bytes_received < 2 * MIB as u64);
    assert!(sent.load(Ordering::Relaxed) < IN_FLIGHT, "{sent:?}");
}

#[tokio::test]
async fn an_answer_that_unpacks_to_too_much_is_not_unpacked() {
    let mut bomb = GzEncoder::new(Vec::new(), Compression::fast());
    for _ in 0..100 {
        bomb.write_all(&vec![0; MIB]).unwrap();
    }
    let bomb = bomb.finish().unwrap();
    assert!(bomb.len() < MIB);
    let router = Router::new().fallback(any(async move || {
        ([(CONTENT_ENCODING, "gzip")], bomb.clone())
    }));
    let server = Server::start(router).await;
    let setup = Setup::at(&server.url).limits(|limits| limits.response_bytes = MIB);
    let outbound = setup.bind();
    let result = outbound.send(&setup.call(), get("/")).await;
    assert_eq!(result, Err(HttpError::TooLarge(MIB as u64)));
    assert!(outbound.stats().bytes_received < 2 * MIB as u64);
}

#[tokio::test]
async fn a_packed_answer_is_unpacked() {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(b"contents").unwrap();
    let packed = packed.finish().unwrap();
    let router = Router::new().fallback(any(async move || {
        ([(CONTENT_ENCODING, "gzip")], packed.clone())
    }));
    let server = Server::start(router).await;
    let setup = Setup::at(&server.url);
    let answer = setup.bind().send(&setup.call(), get("/")).await.unwrap();
    assert_eq!(answer.body, b"contents");
    assert_eq!(server.seen()[0].header("accept-encoding"), Some("gzip"));
}

/// It could hold an echo that nobody can find.
#[tokio::test]
async fn an_answer_in_an_encoding_that_was_not_asked_for_is_refused() {
    let router = Router::new().fallback(any(async || ([(CONTENT_ENCODING, "br")], "?")));
    let server = Server::start(router).await;
    let setup = Setup::at(&server.url);
    let result = setup.bind().send(&setup.call(), get("/")).await;
    assert!(
        matches!(&result, Err(HttpError::Interrupted(why)) if why.contains("content-encoding")),
        "{result:?}"
    );
}

#[tokio::test]
async fn answers_of_one_send_all_share_a_limit() {
    let router = Router::new().fallback(any(async || vec![b'x'; 600 << 10]));
    let server = Server::start(router).await;
    let setup = Setup::at(&server.url).limits(|limits| {
        limits.responses_total_bytes = MIB;
        limits.concurrent_requests = 1;
    });
    let outbound = setup.bind();
    let requests = (0..5).map(|number| get(&format!("/{number}"))).collect();
    let results = outbound.send_all(&setup.call(), requests).await;
    assert_eq!(results[0].as_ref().unwrap().body.len(), 600 << 10);
    assert_eq!(results[1], Err(HttpError::TooLarge(MIB as u64)));
    for rest in &results[2..] {
        assert!(
            matches!(rest, Err(HttpError::NotSent(why)) if why.contains("responses-total-bytes")),
            "{rest:?}"
        );
    }
    // Those were certainly not executed.
    assert_eq!(server.seen().len(), 2);
    // The next one begins anew.
    assert!(outbound.send(&setup.call(), get("/")).await.is_ok());
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_not_waited_for() {
    let router = Router::new().fallback(any(async || std::future::pending::<()>().await));
    let server = Server::start(router).await;
    let setup = Setup::at(&server.url).limits(|limits| limits.request_ms = 100);
    let result = setup.bind().send(&setup.call(), get("/")).await;
    assert!(
        matches!(&result, Err(HttpError::Interrupted(why)) if why.contains("request-ms")),
        "{result:?}"
    );
    // Nor is it asked for again.
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn an_answer_that_stalls_is_not_waited_for() {
    let router = Router::new().fallback(any(async || {
        let first = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"{"))]);
        let rest = stream::pending();
        Body::from_stream(futures::StreamExt::chain(first, rest)).into_response()
    }));
    let server = Server::start(router).await;
    let setup = Setup::at(&server.url).limits(|limits| limits.request_ms = 200);
    let result = setup.bind().send(&setup.call(), get("/")).await;
    assert!(
        matches!(&result, Err(HttpError::Interrupted(why)) if why.contains("request-ms")),
        "{result:?}"
    );
}

#[tokio::test]
async fn a_call_has_so_many_requests() {
    let server = Server::start(ok()).await;
    let setup = Setup::at(&server.url).limits(|limits| limits.requests = 3);
    let outbound = setup.bind();
    let call = setup.call();
    let results = outbound
        .send_all(&call, (0..5).map(|_| get("/")).collect())
        .await;
    let (sent, not_sent): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!((sent.len(), not_sent.len()), (3, 2));
    for result in not_sent {
        assert!(
            matches!(&result, Err(HttpError::NotSent(why)) if why.contains("(requests)")),
            "{result:?}"
        );
    }
    assert_eq!(server.seen().len(), 3);
    // Another call of the same account has its own.
    assert!(outbound.send(&setup.call(), get("/")).await.is_ok());
}

#[tokio::test]
async fn redirects_count_as_requests() {
    let router = Router::new()
        .route(
            "/from",
            any(async || axum::response::Redirect::temporary("/to")),
        )
        .fallback(any(async || "arrived"));
    let server = Server::start(router).await;
    let setup = Setup::at(&server.url).limits(|limits| limits.requests = 1);
    let result = setup.bind().send(&setup.call(), get("/from")).await;
    assert!(
        matches!(&result, Err(HttpError::NotSent(why)) if why.contains("(requests)")),
        "{result:?}"
    );
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn so_many_requests_are_in_flight_and_no_more() {
    let now = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    // Opens only when three are there.
    let gate = Arc::new(Barrier::new(3));
    let (counter, highest) = (Arc::clone(&now), Arc::clone(&most));
    let router = Router::new().fallback(any(async move || {
        let here = counter.fetch_add(1, Ordering::SeqCst) + 1;
        highest.fetch_max(here, Ordering::SeqCst);
        gate.wait().await;
        counter.fetch_sub(1, Ordering::SeqCst);
    }));
    let server = Server::start(router).await;
    let setup = Setup::at(&server.url).limits(|limits| limits.concurrent_requests = 3);
    let results = setup
        .bind()
        .send_all(&setup.call(), (0..9).map(|_| get("/")).collect())
        .await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(most.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn what_is_used_is_counted() {
    let router = Router::new().fallback(any(async || "12345"));
    let server = Server::start(router).await;
    let setup = Setup::at(&server.url);
    let outbound = setup.bind();
    let request = samspel_runtime::outbound::Request {
        body: Some(b"123".to_vec()),
        ..crate::setup::post("/")
    };
    outbound
        .send_all(
            &setup.call(),
            vec![request, get("/"), get("https://example.org")],
        )
        .await;
    let stats = outbound.stats();
    assert_eq!(
        (stats.requests, stats.bytes_sent, stats.bytes_received),
        (2, 3, 10)
    );
    assert_eq!((stats.denied, stats.throttled, stats.retries), (1, 0, 0));
}
