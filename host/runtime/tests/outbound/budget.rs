//! What the remote allows per account.

use std::time::{Duration, Instant};

use samspel_model::descriptor::RateLimit;
use samspel_runtime::outbound::HttpError;

use crate::server::Server;
use crate::setup::{Setup, get, ok, post};

#[tokio::test]
async fn requests_beyond_the_budget_wait_for_their_turn() {
    let server = Server::start(ok()).await;
    let setup = Setup::at(&server.url).rate(2, 300);
    let outbound = setup.bind();
    let call = setup.call();
    let began = Instant::now();
    let results = outbound
        .send_all(&call, (0..4).map(|_| get("/")).collect())
        .await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    // One at once, and one each 150 ms: at most two in any 300 ms.
    assert!(
        began.elapsed() >= Duration::from_millis(450),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(server.seen().len(), 4);
    assert_eq!(outbound.stats().throttled, 0);
}

#[tokio::test]
async fn a_wait_that_is_too_long_for_a_call_ends_it_as_throttled() {
    let server = Server::start(ok()).await;
    let setup = Setup::at(&server.url).rate(1, 60_000);
    let outbound = setup.bind();
    assert!(outbound.send(&setup.call(), get("/")).await.is_ok());
    let call = setup.call();
    let began = Instant::now();
    let result = outbound.send(&call, post("/")).await;
    let Err(HttpError::Throttled(ms)) = result else {
        panic!("{result:?}");
    };
    assert!((50_000..=60_000).contains(&ms), "{ms}");
    assert!(began.elapsed() < Duration::from_secs(2));
    assert!(!call.may_have_applied());
    assert_eq!(server.seen().len(), 1);
    assert_eq!(outbound.stats().throttled, 1);
}

#[tokio::test]
async fn a_wait_that_outlives_the_call_ends_it_as_throttled() {
    let server = Server::start(ok()).await;
    let setup = Setup::at(&server.url)
        .rate(1, 1_500)
        .limits(|limits| limits.wall_ms = 1_000);
    let outbound = setup.bind();
    assert!(outbound.send(&setup.call(), get("/")).await.is_ok());
    let result = outbound.send(&setup.call(), get("/")).await;
    assert!(matches!(result, Err(HttpError::Throttled(_))), "{result:?}");
}

#[tokio::test]
async fn the_budget_is_the_accounts_and_not_the_calls() {
    let server = Server::start(ok()).await;
    let setup = Setup::at(&server.url).rate(1, 60_000);
    assert!(setup.bind().send(&setup.call(), get("/")).await.is_ok());
    // Another account, with a budget of its own.
    assert!(setup.bind().send(&setup.call(), get("/")).await.is_ok());
}

#[tokio::test]
async fn an_operator_can_lift_the_remotes_limits() {
    let server = Server::start(ok()).await;
    let mut setup = Setup::at(&server.url).rate(1, 60_000);
    setup.account.rate_limits = false;
    let results = setup
        .bind()
        .send_all(&setup.call(), (0..5).map(|_| get("/")).collect())
        .await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
}

/// Six requests, of which each waits for another one to arrive: with one in flight at once none would ever be answered.
#[tokio::test]
async fn the_remotes_limit_on_requests_in_flight_is_kept() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    let now = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let gate = Arc::new(tokio::sync::Barrier::new(2));
    let (counter, highest) = (Arc::clone(&now), Arc::clone(&most));
    let router = axum::Router::new().fallback(axum::routing::any(async move || {
        let here = counter.fetch_add(1, Ordering::SeqCst) + 1;
        highest.fetch_max(here, Ordering::SeqCst);
        gate.wait().await;
        counter.fetch_sub(1, Ordering::SeqCst);
    }));
    let server = Server::start(router).await;
    let mut setup = Setup::at(&server.url);
    setup.descriptor.rate_limits.push(RateLimit {
        requests: 0,
        per_ms: 0,
        concurrent: 2,
    });
    let results = setup
        .bind()
        .send_all(&setup.call(), (0..6).map(|_| get("/")).collect())
        .await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(most.load(Ordering::SeqCst), 2);
}
