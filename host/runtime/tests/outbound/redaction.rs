//! Secrets do not come back.

use axum::Router;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use axum::routing::any;
use samspel_model::descriptor::AuthKind;
use samspel_runtime::outbound::Response;

use crate::server::Server;
use crate::setup::{Setup, echo, get, nowhere, post, with};

const SECRET: &str = "s3cret/t+ken=with\"quote";

fn text(answer: &Response) -> String {
    format!(
        "{:?} {}",
        answer.headers,
        String::from_utf8_lossy(&answer.body)
    )
}

#[tokio::test]
async fn an_echoed_credential_is_redacted_in_the_body() {
    let server = Server::start(echo()).await;
    for (kind, forms) in [
        (AuthKind::Bearer, vec!["Bearer "]),
        (AuthKind::Basic(Some("ann".to_owned())), vec!["Basic "]),
        (
            AuthKind::Header("api-key".to_owned()),
            vec!["\"api-key\",\""],
        ),
        (AuthKind::Query("key".to_owned()), vec!["key="]),
    ] {
        let setup = Setup::at(&server.url).credential("access", kind, SECRET);
        let outbound = setup.bind();
        let answer = outbound
            .send(&setup.call(), with("access", get("/")))
            .await
            .unwrap();
        let text = text(&answer);
        for before in forms {
            assert!(text.contains(&format!("{before}[redacted]")), "{text}");
        }
        assert!(
            !text.contains("s3cret") && !text.contains("czNjcmV0"),
            "{text}"
        );
        // A length would no longer be true.
        assert!(
            answer
                .headers
                .iter()
                .all(|(name, _)| name != "content-length")
        );
    }
}

#[tokio::test]
async fn an_echoed_credential_is_redacted_in_headers() {
    let router = Router::new().fallback(any(async |headers: HeaderMap| {
        let token = headers["authorization"].clone();
        let mut echoed = HeaderMap::new();
        echoed.append("x-token", token.clone());
        echoed.append("set-cookie", HeaderValue::from_static("session=abc"));
        echoed.append(
            "location",
            HeaderValue::from_static("/?key=lower-case-secret"),
        );
        echoed.append(HeaderName::from_static("lower-case-secret"), token);
        (StatusCode::CREATED, echoed)
    }));
    let server = Server::start(router).await;
    let setup = Setup::at(&server.url).credential("access", AuthKind::Bearer, "lower-case-secret");
    let answer = setup
        .bind()
        .send(&setup.call(), with("access", post("/")))
        .await
        .unwrap();
    let of = |name: &str| {
        let found = answer.headers.iter().find(|(found, _)| found == name);
        found.map(|(_, value)| value.as_str())
    };
    assert_eq!(of("x-token"), Some("Bearer [redacted]"));
    assert_eq!(of("location"), Some("/?key=[redacted]"));
    assert_eq!(of("set-cookie"), None);
    assert!(!text(&answer).contains("secret"), "{answer:?}");
}

#[tokio::test]
async fn a_secret_that_was_not_sent_is_redacted_too() {
    let router = Router::new().fallback(any(async |uri: Uri| uri.path().to_owned()));
    let server = Server::start(router).await;
    let setup = Setup::at(&server.url).credential("access", AuthKind::Bearer, "pat-na1-0123");
    let answer = setup
        .bind()
        .send(&setup.call(), get("/x/pat-na1-0123/y"))
        .await
        .unwrap();
    assert_eq!(answer.body, b"/x/[redacted]/y");
}

#[tokio::test]
async fn errors_and_log_lines_hold_no_secret() {
    let setup = Setup::at(&nowhere().await).credential("access", AuthKind::Bearer, "pat-na1-0123");
    let outbound = setup.bind();
    let denied = outbound
        .send(&setup.call(), get("https://example.org/pat-na1-0123"))
        .await;
    let text = format!("{denied:?}");
    assert!(
        text.contains("[redacted]") && !text.contains("pat-na1"),
        "{text}"
    );
    assert_eq!(outbound.scrub("token pat-na1-0123!"), "token [redacted]!");
}

#[tokio::test]
async fn a_body_without_secrets_stays_as_it_is() {
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let sent = bytes.clone();
    let router = Router::new().fallback(any(async move || sent.clone()));
    let server = Server::start(router).await;
    let setup = Setup::at(&server.url).credential("access", AuthKind::Bearer, SECRET);
    let answer = setup.bind().send(&setup.call(), get("/")).await.unwrap();
    assert_eq!(answer.body, bytes);
}
