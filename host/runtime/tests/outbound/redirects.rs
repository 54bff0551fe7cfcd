//! Redirects: every hop meets all the rules.

use axum::Router;
use axum::http::{StatusCode, Uri, header::LOCATION};
use axum::response::IntoResponse;
use axum::routing::any;
use samspel_model::descriptor::{AuthKind, KeyEncoding, Signing};
use samspel_runtime::outbound::{HttpError, Request};

use crate::server::{Seen, Server};
use crate::setup::{API, OTHER, Setup, Trap, get, header, ok, post, request, with};

/// Redirects to what stands in the query, and answers everything else.
fn redirecting() -> Router {
    Router::new().fallback(any(async |uri: Uri| {
        match uri.query().and_then(|query| query.split_once('=')) {
            Some((status, location)) => {
                let status = StatusCode::from_bytes(status.as_bytes()).unwrap();
                (status, [(LOCATION, location.to_owned())]).into_response()
            }
            None => "arrived".into_response(),
        }
    }))
}

fn targets(server: &Server) -> Vec<String> {
    server.seen().into_iter().map(|seen| seen.target).collect()
}

fn last(server: &Server) -> Seen {
    server.seen().pop().unwrap()
}

#[tokio::test]
async fn a_redirect_to_what_is_not_public_is_not_followed() {
    let server = Server::start(redirecting()).await;
    let trap = Trap::set().await;
    let port = trap.port();
    // A hostile connector declares them all.
    let hosts = [
        "169.254.169.254".to_owned(),
        format!("[::ffff:127.0.0.1]:{port}"),
        format!("127.0.0.1:{port}"),
        format!("localhost:{port}"),
    ];
    for host in hosts {
        let origin = format!("https://{host}");
        let setup = Setup::at(&server.url).egress(&origin, &[], "");
        let target = format!("/?302={origin}/latest/meta-data");
        let result = setup.bind().send(&setup.call(), get(&target)).await;
        assert!(
            matches!(result, Err(HttpError::Denied(_))),
            "{host}: {result:?}"
        );
        trap.assert_untouched();
    }
    assert_eq!(server.seen().len(), 4);
}

#[tokio::test]
async fn a_redirect_to_what_is_not_declared_is_not_followed() {
    let server = Server::start(redirecting()).await;
    let mut setup = Setup::at(&server.url);
    setup.descriptor.egress.clear();
    let setup = setup.egress(API, &["GET"], "/v1");
    let outbound = setup.bind();
    for location in [
        "https://example.org/v1/x",
        "http://api.example.com/v1/x",
        "https://api.example.com:8443/v1/x",
        "/v2/x",
        "//example.org/v1/x",
        "https://u:p@api.example.com/v1/x",
        "/v1/..%2fadmin",
        "file:///etc/passwd",
    ] {
        let result = outbound
            .send(&setup.call(), get(&format!("/v1/?307={location}")))
            .await;
        assert!(
            matches!(result, Err(HttpError::Denied(_))),
            "{location}: {result:?}"
        );
    }
    assert_eq!(server.seen().len(), 8);
}

#[tokio::test]
async fn a_credential_stays_with_its_origin() {
    let server = Server::start(redirecting()).await;
    let other = Server::start(redirecting()).await;
    let setup = Setup::at(&server.url)
        .egress(OTHER, &[], "")
        .endpoint(OTHER, &other.url)
        .credential("access", AuthKind::Bearer, "secret-token");
    let outbound = setup.bind();
    let ask = async |target: &str| {
        let request = header(with("access", get(target)), "x-account", "7");
        outbound.send(&setup.call(), request).await.unwrap()
    };

    ask("/?301=/here").await;
    assert_eq!(last(&server).target, "/here");
    assert_eq!(
        last(&server).header("authorization"),
        Some("Bearer secret-token")
    );
    assert_eq!(last(&server).header("x-account"), Some("7"));

    ask(&format!("/?301={OTHER}/there")).await;
    assert_eq!(last(&other).target, "/there");
    assert_eq!(last(&other).header("authorization"), None);
    assert_eq!(last(&other).header("x-account"), None);

    // Not even after the other origin has sent it back.
    ask(&format!("/?301={OTHER}/?302={API}/back")).await;
    assert_eq!(last(&server).target, "/back");
    assert_eq!(last(&server).header("authorization"), None);
}

#[tokio::test]
async fn a_query_credential_is_neither_carried_over_nor_doubled() {
    let server = Server::start(redirecting()).await;
    let other = Server::start(redirecting()).await;
    let setup = Setup::at(&server.url)
        .egress(OTHER, &[], "")
        .endpoint(OTHER, &other.url)
        .credential("key", AuthKind::Query("key".to_owned()), "secret-token");
    let outbound = setup.bind();
    // The remote writes the location, the connector's own parameters come first.
    let echoing = Server::start(
        Router::new()
            .route(
                "/a",
                any(async || (StatusCode::FOUND, [(LOCATION, "/b?key=secret-token&x=1")])),
            )
            .fallback(any(async || "arrived")),
    )
    .await;
    let own = Setup::at(&echoing.url).credential(
        "key",
        AuthKind::Query("key".to_owned()),
        "secret-token",
    );
    own.bind()
        .send(&own.call(), with("key", get("/a")))
        .await
        .unwrap();
    assert_eq!(
        targets(&echoing),
        ["/a?key=secret-token", "/b?x=1&key=secret-token"]
    );

    let leaking = format!("/?302={OTHER}/?x=1");
    let result = outbound
        .send(&setup.call(), with("key", get(&leaking)))
        .await;
    // The redirecting server puts what follows the location into it: the key.
    assert!(matches!(result, Err(HttpError::Denied(_))), "{result:?}");
    assert!(other.seen().is_empty());
}

#[tokio::test]
async fn a_token_that_the_connector_signed_stays_with_its_origin() {
    let server = Server::start(redirecting()).await;
    let other = Server::start(ok()).await;
    let signing = Signing {
        algorithms: vec!["hmac-sha256".to_owned()],
        key_encoding: KeyEncoding::Utf8,
        key_id_separator: None,
    };
    let setup = Setup::at(&server.url)
        .egress(OTHER, &[], "")
        .endpoint(OTHER, &other.url)
        .credential("admin", AuthKind::Signing(signing), "signing-key");
    let request = header(
        get(&format!("/?307={OTHER}/x")),
        "authorization",
        "Ghost abc",
    );
    setup.bind().send(&setup.call(), request).await.unwrap();
    assert_eq!(last(&server).header("authorization"), Some("Ghost abc"));
    assert_eq!(last(&other).header("authorization"), None);
}

#[tokio::test]
async fn a_redirect_meets_the_override_again() {
    let server = Server::start(redirecting()).await;
    let setup = Setup::at(&server.url).credential("access", AuthKind::Bearer, "secret-token");
    let outbound = setup.bind();
    // By the origin that the connector knows, and by the one that the server knows of itself.
    let own = server.url.join("/own").unwrap();
    for (location, path) in [
        (format!("{API}/public"), "/public"),
        (own.to_string(), "/own"),
    ] {
        let request = with("access", get(&format!("/?308={location}")));
        let answer = outbound.send(&setup.call(), request).await.unwrap();
        assert_eq!(answer.body, b"arrived");
        assert_eq!(last(&server).target, path);
        assert_eq!(
            last(&server).header("authorization"),
            Some("Bearer secret-token")
        );
    }
}

#[tokio::test]
async fn five_hops_are_followed_and_no_more() {
    let server = Server::start(redirecting()).await;
    let setup = Setup::at(&server.url);
    let outbound = setup.bind();
    let chain = |hops: usize| format!("{}/end", "/?302=".repeat(hops));
    let answer = outbound.send(&setup.call(), get(&chain(5))).await.unwrap();
    assert_eq!(answer.body, b"arrived");
    let result = outbound.send(&setup.call(), get(&chain(6))).await;
    assert!(matches!(result, Err(HttpError::Other(_))), "{result:?}");
    assert_eq!(server.seen().len(), 12);
}

#[tokio::test]
async fn reads_keep_their_method_and_writes_get_the_redirect_itself() {
    let server = Server::start(redirecting()).await;
    let setup = Setup::at(&server.url);
    let outbound = setup.bind();
    for status in [301, 302, 303, 307, 308] {
        outbound
            .send(&setup.call(), request("HEAD", &format!("/?{status}=/end")))
            .await
            .unwrap();
        assert_eq!(last(&server).method, "HEAD");
        assert_eq!(last(&server).target, "/end");
        for write in [post("/"), request("PUT", "/"), request("DELETE", "/")] {
            let write = Request {
                url: format!("{API}/?{status}=/end"),
                ..write
            };
            let answer = outbound.send(&setup.call(), write).await.unwrap();
            assert_eq!(answer.status, status);
            assert_ne!(last(&server).target, "/end");
        }
    }
}
