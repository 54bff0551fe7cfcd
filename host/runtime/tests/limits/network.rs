//! What a guest can ask of a remote, and what a remote can do to the host.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{any, get};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::stream;
use samspel_model::{Connector, WriteOp};
use samspel_runtime::{AccountConfig, Limits};
use serde_json::{Value, json};
use tokio::sync::Barrier;

use crate::support::server::Server;
use crate::support::{API, Sandbox, account, reach};

const MIB: usize = 1 << 20;

fn limits() -> Limits {
    Limits {
        cpu_ms: 60_000,
        wall_ms: 60_000,
        // The guest writes down each answer as text.
        memory_bytes: 512 << 20,
        transfer_bytes: 256 << 20,
        ..Limits::default()
    }
}

/// An account whose connector reaches the server.
fn reaching(server: &Server, settings: Value, limits: Limits) -> AccountConfig {
    AccountConfig {
        endpoints: vec![reach(API, &server.url)],
        limits,
        ..account("reaching", settings)
    }
}

/// A request for that path.
fn ask(path: &str) -> Value {
    json!({ "url": format!("{API}{path}") })
}

/// The one answer to a request for `/`.
async fn answer(sandbox: &Sandbox, server: &Server, limits: Limits) -> Value {
    let settings = json!({ "mode": "ask", "requests": [ask("/")] });
    let report = sandbox
        .deed_on(&reaching(server, settings, limits))
        .await
        .unwrap();
    report[0].clone()
}

#[tokio::test]
async fn requests_end_at_their_number() {
    let sandbox = Sandbox::new().await;
    let server = Server::start(Router::new().route("/", get(|| async { "ok" }))).await;
    let settings = json!({ "mode": "flood", "amount": 20, "requests": [ask("/")] });
    let few = Limits {
        requests: 10,
        ..limits()
    };
    let account = reaching(&server, settings.clone(), few);
    let report = sandbox.deed_on(&account).await.unwrap();
    assert_eq!(report["answered"], 10);
    let why = report["refused"]["why"].as_str().unwrap();
    assert!(why.contains("(requests)"), "{why}");
    assert_eq!(server.seen().len(), 10);
    // The number is one of a call: the next call has all of it again.
    let report = sandbox.deed_on(&account).await.unwrap();
    assert_eq!(report["answered"], 10);
    let report = sandbox
        .deed_on(&reaching(&server, settings, limits()))
        .await
        .unwrap();
    assert_eq!(report, json!({ "answered": 20 }));
}

/// Answers with this many MiB, and counts how many of them were taken.
fn large(mebibytes: usize) -> (Router, Arc<AtomicUsize>) {
    let taken = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&taken);
    let handler = move || {
        let counter = Arc::clone(&counter);
        let block = Bytes::from(vec![b'x'; MIB]);
        let blocks = (0..mebibytes).map(move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
            Ok::<_, std::io::Error>(block.clone())
        });
        async move { Body::from_stream(stream::iter(blocks)) }
    };
    (Router::new().fallback(handler), taken)
}

#[tokio::test]
async fn an_answer_of_a_gigabyte_ends_at_response_bytes() {
    let sandbox = Sandbox::new().await;
    let (router, taken) = large(1_024);
    let server = Server::start(router).await;
    let answer = answer(&sandbox, &server, limits()).await;
    assert_eq!(answer["error"], "too-large");
    assert_eq!(answer["why"], Limits::default().response_bytes.to_string());
    // What was not wanted was not read: a few MiB stand in the sockets' buffers.
    let taken = taken.load(Ordering::Relaxed);
    assert!(taken < 64, "{taken} MiB were read");
}

#[tokio::test]
async fn an_answer_ends_at_response_bytes() {
    let sandbox = Sandbox::new().await;
    let (router, _) = large(3);
    let server = Server::start(router).await;
    let small = Limits {
        response_bytes: 3 * MIB - 1,
        ..limits()
    };
    let enough = Limits {
        response_bytes: 3 * MIB,
        ..limits()
    };
    assert_eq!(answer(&sandbox, &server, small).await["error"], "too-large");
    assert_eq!(answer(&sandbox, &server, enough).await["bytes"], 3 * MIB);
}

#[tokio::test]
async fn compressing_an_answer_hides_nothing_of_its_size() {
    let sandbox = Sandbox::new().await;
    // 200 MiB in 200 KB.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let block = vec![0; MIB];
    for _ in 0..200 {
        encoder.write_all(&block).unwrap();
    }
    let bomb = Bytes::from(encoder.finish().unwrap());
    let handler = move || async move { ([("content-encoding", "gzip")], bomb).into_response() };
    let server = Server::start(Router::new().route("/", get(handler))).await;
    let answer = answer(&sandbox, &server, limits()).await;
    assert_eq!(answer["error"], "too-large");
}

#[tokio::test]
async fn answers_that_come_together_end_at_responses_total_bytes() {
    let sandbox = Sandbox::new().await;
    let (router, _) = large(2);
    let server = Server::start(router).await;
    let requests = vec![ask("/"); 4];
    let settings = json!({ "mode": "ask-at-once", "requests": requests });
    let small = Limits {
        responses_total_bytes: 5 * MIB,
        ..limits()
    };
    let report = sandbox
        .deed_on(&reaching(&server, settings.clone(), small))
        .await
        .unwrap();
    let answers = report.as_array().unwrap();
    assert_eq!(answers.len(), 4);
    let refused: Vec<_> = answers
        .iter()
        .filter(|answer| answer["error"] == "too-large")
        .collect();
    // Two of them fit; how far the others came is chance.
    assert!(
        (2..=4).contains(&refused.len()),
        "{} were refused",
        refused.len()
    );
    let limit = json!((5 * MIB).to_string());
    assert!(refused.iter().all(|answer| answer["why"] == limit));
    let report = sandbox
        .deed_on(&reaching(&server, settings, limits()))
        .await
        .unwrap();
    for answer in report.as_array().unwrap() {
        assert_eq!(answer["bytes"], 2 * MIB);
    }
}

#[tokio::test]
async fn a_request_without_an_answer_ends_at_request_ms() {
    let sandbox = Sandbox::new().await;
    let slow = get(|| async {
        // Latency of a remote.
        tokio::time::sleep(Duration::from_millis(600)).await;
        "late"
    });
    let server = Server::start(Router::new().route("/", slow)).await;
    let short = Limits {
        request_ms: 150,
        ..limits()
    };
    let answer_of = |limits| answer(&sandbox, &server, limits);
    let report = answer_of(short).await;
    assert_eq!(report["error"], "interrupted");
    assert!(
        report["why"].as_str().unwrap().contains("(request-ms)"),
        "{report}"
    );
    assert_eq!(answer_of(limits()).await["body"], "late");
}

/// A body that comes one byte at a time is no way around it.
#[tokio::test]
async fn an_answer_without_an_end_ends_at_request_ms() {
    let sandbox = Sandbox::new().await;
    let handler = || async {
        let drip = stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Some((Ok::<_, std::io::Error>(Bytes::from_static(b"x")), ()))
        });
        Body::from_stream(drip)
    };
    let server = Server::start(Router::new().route("/", get(handler))).await;
    let short = Limits {
        request_ms: 300,
        ..limits()
    };
    let began = Instant::now();
    assert_eq!(
        answer(&sandbox, &server, short).await["error"],
        "interrupted"
    );
    assert!(began.elapsed() < Duration::from_secs(30));
}

#[tokio::test]
async fn requests_in_flight_end_at_concurrent_requests() {
    let sandbox = Sandbox::new().await;
    // Nobody is answered before five are here.
    let barrier = Arc::new(Barrier::new(5));
    let (here, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let handler = {
        let (here, most) = (Arc::clone(&here), Arc::clone(&most));
        move || async move {
            struct Leave(Arc<AtomicUsize>);
            impl Drop for Leave {
                fn drop(&mut self) {
                    self.0.fetch_sub(1, Ordering::SeqCst);
                }
            }
            let now = here.fetch_add(1, Ordering::SeqCst) + 1;
            let _leave = Leave(here);
            most.fetch_max(now, Ordering::SeqCst);
            barrier.wait().await;
            "together"
        }
    };
    let server = Server::start(Router::new().route("/", get(handler))).await;
    let settings = json!({ "mode": "ask-at-once", "requests": vec![ask("/"); 5] });
    let few = Limits {
        concurrent_requests: 4,
        request_ms: 300,
        ..limits()
    };
    let report = sandbox
        .deed_on(&reaching(&server, settings.clone(), few))
        .await
        .unwrap();
    assert_eq!(most.load(Ordering::SeqCst), 4);
    assert_eq!(report[0]["error"], "interrupted", "{report}");
    let five = Limits {
        concurrent_requests: 5,
        ..limits()
    };
    let account = reaching(&server, settings, five);
    let report = sandbox.deed_on(&account).await.unwrap();
    for answer in report.as_array().unwrap() {
        assert_eq!(answer["body"], "together");
    }
}

#[tokio::test]
async fn waits_inside_a_call_end_at_wait_ms() {
    let sandbox = Sandbox::new().await;
    let busy = get(|| async {
        (
            StatusCode::TOO_MANY_REQUESTS,
            [("retry-after", "1")],
            "later",
        )
    });
    let server = Server::start(Router::new().route("/", busy)).await;
    let impatient = Limits {
        wait_ms: 900,
        ..limits()
    };
    let patient = Limits {
        wait_ms: 1_000,
        ..limits()
    };
    let began = Instant::now();
    let report = answer(&sandbox, &server, impatient).await;
    assert!(began.elapsed() < Duration::from_secs(1), "it waited");
    assert_eq!(server.seen().len(), 1);
    assert!(
        report["status"] == 429 || report["error"] == "throttled",
        "{report}"
    );
    // Where it may wait, it does, and asks again.
    answer(&sandbox, &server, patient).await;
    assert!(server.seen().len() > 2, "{}", server.seen().len());
}

#[tokio::test]
async fn a_call_that_waits_for_a_remote_ends_at_wall_ms() {
    let sandbox = Sandbox::new().await;
    let never = any(std::future::pending::<String>);
    let server = Server::start(Router::new().route("/", never)).await;
    let short = Limits {
        wall_ms: 300,
        ..limits()
    };
    let settings = json!({ "mode": "ask", "requests": [ask("/")] });
    let account = reaching(&server, settings, short.clone());
    let result = sandbox.deed_on(&account).await;
    crate::support::assert_stopped(&result, "wall-ms");
    // A write that was under way then may have been executed.
    let settings = json!({
        "mode": "idle",
        "requests": [{ "url": format!("{API}/"), "method": "POST", "body": "{}" }],
    });
    let bound = sandbox.bind(&reaching(&server, settings, short));
    let failed = bound
        .write("things", Vec::<WriteOp>::new())
        .await
        .unwrap_err();
    assert!(failed.may_have_applied);
    sandbox.neighbour_works().await;
}
