//! What the host logs of an exchange, its libraries included.

use samspel_model::descriptor::{AuthKind, BodyPosition};
use samspel_runtime::outbound::Request;

use crate::server::Server;
use crate::setup::{Setup, get, ok, post, with};
use crate::trace;

#[tokio::test]
async fn an_exchange_is_logged_without_secrets_and_without_its_query() {
    let captured = trace::capture();
    let server = Server::start(ok()).await;
    let position = BodyPosition {
        method: "POST".to_owned(),
        path: "/logged/body".to_owned(),
        pointer: "/password".to_owned(),
        pinned: Vec::new(),
    };
    let setup = Setup::at(&server.url)
        .credential("bearer", AuthKind::Bearer, "logged-secret-1")
        .credential(
            "header",
            AuthKind::Header("api-key".to_owned()),
            "logged-secret-2",
        )
        .credential("body", AuthKind::Body(vec![position]), "logged-secret-3");
    let outbound = setup.bind();
    for request in [
        with("bearer", get("/logged/people?email=ann%40example.org")),
        with("header", get("/logged/header")),
        with(
            "body",
            Request {
                body: Some(br#"{"password":null}"#.to_vec()),
                ..post("/logged/body")
            },
        ),
    ] {
        outbound.send(&setup.call(), request).await.unwrap();
    }
    assert_eq!(server.seen().len(), 3);
    let text = captured.text();
    let line = text
        .lines()
        .find(|line| line.contains("HTTP exchange") && line.contains("/logged/people"))
        .unwrap();
    for part in [
        "account=crm",
        "method=GET",
        "api.example.com",
        "status=200",
        "ms=",
    ] {
        assert!(line.contains(part), "{line}");
    }
    assert!(!line.contains("ann"), "{line}");
    let leak = text.lines().find(|line| line.contains("logged-secret"));
    assert_eq!(leak, None);
}
