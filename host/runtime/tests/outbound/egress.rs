//! What may be reached, and how.

use samspel_runtime::BindError;
use samspel_runtime::outbound::HttpError;

use crate::server::Server;
use crate::setup::{API, Setup, Trap, get, header, ok, post, request};

#[track_caller]
fn assert_denied<T: std::fmt::Debug>(result: Result<T, HttpError>) {
    assert!(matches!(result, Err(HttpError::Denied(_))), "{result:?}");
}

#[tokio::test]
async fn only_declared_methods_and_paths_are_sent() {
    let server = Server::start(ok()).await;
    let mut setup = Setup::at(&server.url);
    setup.descriptor.egress.clear();
    let setup = setup.egress(API, &["GET"], "/v1/people");
    let outbound = setup.bind();
    let call = setup.call();
    for denied in [
        post("/v1/people"),
        get("/v1/peoples"),
        get("/v2"),
        get("/v1/people/../admin"),
        get("/v1/people/%2e%2e/admin"),
        get("/v1/people/..%2f..%2fadmin"),
        get("https://api.example.com:444/v1/people"),
        get("http://api.example.com/v1/people"),
        get("https://u:p@api.example.com/v1/people"),
        get("https://api.example.com/v1/people#x"),
        get("https://example.com/v1/people"),
        get(server.url.join("/v1/people").unwrap().as_str()),
        request("GET /v1/people HTTP/1.1\r\n\r\nDELETE", "/v1/people"),
    ] {
        assert_denied(outbound.send(&call, denied).await);
    }
    assert!(server.seen().is_empty());
    assert_eq!(outbound.stats().denied, 13);
    assert_eq!(outbound.stats().requests, 0);
    assert_eq!(
        outbound
            .send(&call, get("/v1/people/7?x=%20y"))
            .await
            .unwrap()
            .status,
        200
    );
    assert_eq!(server.seen()[0].target, "/v1/people/7?x=%20y");
}

#[tokio::test]
async fn headers_of_the_host_are_not_sent() {
    let server = Server::start(ok()).await;
    let setup = Setup::at(&server.url);
    let outbound = setup.bind();
    for (name, value) in [
        ("Authorization", "Bearer x"),
        ("Cookie", "a=b"),
        ("Host", "internal.example.com"),
        ("Content-Length", "0"),
        ("Transfer-Encoding", "chunked"),
        ("Accept-Encoding", "br"),
        ("X-HTTP-Method-Override", "DELETE"),
        ("x-a", "b\r\nhost: internal.example.com"),
        ("x-a\r\nhost", "internal.example.com"),
    ] {
        let request = header(get("/"), name, value);
        assert_denied(outbound.send(&setup.call(), request).await);
    }
    assert!(server.seen().is_empty());
    let twice = header(header(get("/"), "X-A", "1"), "x-a", "2");
    outbound.send(&setup.call(), twice).await.unwrap();
    let seen = server.seen();
    let values: Vec<_> = seen[0]
        .headers
        .iter()
        .filter(|(name, _)| name == "x-a")
        .collect();
    assert_eq!(values.len(), 2);
}

/// The connector declares the address itself and is still not let through.
#[tokio::test]
async fn an_address_that_is_not_public_is_never_connected_to() {
    let trap = Trap::set().await;
    let port = trap.port();
    for host in [
        "127.0.0.1",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",
        "2130706433",
        "127.1",
    ] {
        let origin = format!("https://{host}:{port}");
        let setup = Setup::new().egress(&origin, &[], "");
        let result = setup
            .bind()
            .send(&setup.call(), get(&format!("{origin}/")))
            .await;
        assert_denied(result);
        trap.assert_untouched();
    }
    for host in [
        "169.254.169.254",
        "10.0.0.1",
        "[::1]",
        "[fd00:ec2::254]",
        "[64:ff9b::a9fe:a9fe]",
    ] {
        let origin = format!("https://{host}");
        let setup = Setup::new().egress(&origin, &[], "");
        assert_denied(setup.bind().send(&setup.call(), get(&origin)).await);
    }
}

#[tokio::test]
async fn a_name_that_resolves_to_loopback_is_never_connected_to() {
    let trap = Trap::set().await;
    for name in ["localhost", "LOCALHOST"] {
        let origin = format!("https://{name}:{}", trap.port());
        let setup = Setup::new().egress(&origin, &[], "");
        let result = setup.bind().send(&setup.call(), get(&origin)).await;
        let Err(HttpError::Denied(why)) = result else {
            panic!("{result:?}");
        };
        assert!(
            why.contains("localhost") && why.contains("endpoint override"),
            "{why}"
        );
        assert!(!why.contains("127.0.0.1"), "the address is told: {why}");
        trap.assert_untouched();
    }
}

#[tokio::test]
async fn an_override_grants_one_address_and_nothing_beside_it() {
    let server = Server::start(ok()).await;
    let trap = Trap::set().await;
    let neighbour = format!("https://127.0.0.1:{}", trap.port());
    let itself = server.url.as_str().replace("http:", "https:");
    let setup = Setup::at(&server.url).egress(&neighbour, &[], "").egress(
        itself.trim_end_matches('/'),
        &[],
        "",
    );
    let outbound = setup.bind();
    assert!(outbound.send(&setup.call(), get("/a")).await.is_ok());
    assert_denied(outbound.send(&setup.call(), get(&neighbour)).await);
    // Not even the granted address, where the connector asks for it by itself.
    assert_denied(outbound.send(&setup.call(), get(&itself)).await);
    trap.assert_untouched();
    assert_eq!(server.seen().len(), 1);
    let grants = outbound.grants().join("\n");
    let address = server.url.as_str().trim_end_matches('/');
    assert!(
        grants.contains(&format!("{API} is reached at {address}")),
        "{grants}"
    );
}

#[tokio::test]
async fn a_server_of_the_operators_is_reached_over_http_only_where_an_override_grants_it() {
    let server = Server::start(ok()).await;
    let own = server.url.as_str().trim_end_matches('/');
    let setup = || {
        Setup::new()
            .egress("{url}", &[], "/api")
            .setting("url", own)
    };
    let error = setup().try_bind().err().unwrap();
    assert!(
        matches!(&error, BindError::Endpoint { endpoint, .. } if endpoint == own),
        "{error}"
    );
    let granted = setup().endpoint(own, &server.url);
    let answer = granted
        .bind()
        .send(&granted.call(), get(&format!("{own}/api/x")))
        .await;
    assert_eq!(answer.unwrap().status, 200);
}

#[tokio::test]
async fn a_setting_cannot_change_what_an_origin_means() {
    for (origin, value) in [
        ("https://{dc}.api.example.com", "evil.org/"),
        ("https://{dc}.api.example.com", "u@evil"),
        ("https://{dc}.api.example.com", "evil.org#"),
        ("https://{dc}.api.example.com", ""),
        ("{dc}", "https://evil.org/path"),
        ("{dc}", "https://u@evil.org"),
        ("{dc}", "file:///etc"),
    ] {
        let setup = Setup::new().egress(origin, &[], "").setting("dc", value);
        let error = setup.try_bind().err().unwrap();
        assert!(
            matches!(&error, BindError::Setting { setting, .. } if setting == "dc"),
            "{error}"
        );
    }
    let missing = Setup::new().egress("https://{dc}.example.com", &[], "");
    let error = missing.try_bind().err().unwrap();
    assert!(error.to_string().contains("`dc`: is missing"), "{error}");
}

#[tokio::test]
async fn an_override_of_what_nobody_asks_for_is_told() {
    let server = Server::start(ok()).await;
    let setup = Setup::new().endpoint("https://api.example.org", &server.url);
    let error = setup.try_bind().err().unwrap();
    assert!(matches!(error, BindError::Endpoint { .. }));
    assert!(error.to_string().contains(API), "{error}");
}
