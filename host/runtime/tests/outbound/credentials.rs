//! Where credentials go.

use samspel_model::descriptor::{AuthKind, BodyPosition, KeyEncoding, Oauth2, Signing};
use samspel_runtime::outbound::{Algorithm, HttpError, Request, SecretError};
use samspel_runtime::{BindError, Credential};
use serde_json::{Value, json};

use crate::server::{Seen, Server};
use crate::setup::{Setup, credential, get, header, ok, post, with};

const SECRET: &str = "s3cret/t+ken=";

/// The request as it arrives with a credential of this kind.
async fn arrives(kind: AuthKind, secret: &str, request: Request) -> Seen {
    let server = Server::start(ok()).await;
    let setup = Setup::at(&server.url)
        .setting("login", "ann")
        .credential("access", kind, secret);
    setup
        .bind()
        .send(&setup.call(), with("access", request))
        .await
        .unwrap();
    server.seen().pop().unwrap()
}

fn position(method: &str, path: &str) -> BodyPosition {
    BodyPosition {
        method: method.to_owned(),
        path: path.to_owned(),
        pointer: "/params/args/2".to_owned(),
        pinned: vec![
            ("/params/service".to_owned(), "\"object\"".to_owned()),
            ("/params/args/0".to_owned(), "1".to_owned()),
        ],
    }
}

fn call(service: &str, args: Value) -> Request {
    let body = json!({ "params": { "service": service, "args": args } });
    Request {
        body: Some(body.to_string().into_bytes()),
        ..post("/jsonrpc")
    }
}

#[tokio::test]
async fn each_kind_has_its_place() {
    let seen = arrives(AuthKind::Bearer, SECRET, get("/")).await;
    assert_eq!(seen.header("authorization"), Some("Bearer s3cret/t+ken="));

    let seen = arrives(
        AuthKind::Basic(Some("{login}@x".to_owned())),
        SECRET,
        get("/"),
    )
    .await;
    assert_eq!(
        seen.header("authorization"),
        Some("Basic YW5uQHg6czNjcmV0L3Qra2VuPQ==")
    );

    let seen = arrives(AuthKind::Basic(None), "ann:pass:word", get("/")).await;
    assert_eq!(
        seen.header("authorization"),
        Some("Basic YW5uOnBhc3M6d29yZA==")
    );

    let seen = arrives(AuthKind::Header("Api-Key".to_owned()), SECRET, get("/")).await;
    assert_eq!(seen.header("api-key"), Some(SECRET));
    assert_eq!(seen.header("authorization"), None);

    let seen = arrives(
        AuthKind::Query("key".to_owned()),
        SECRET,
        get("/a?b=%20c&key=mine"),
    )
    .await;
    assert_eq!(seen.target, "/a?b=+c&key=s3cret%2Ft%2Bken%3D");
    let seen = arrives(AuthKind::Query("key".to_owned()), SECRET, get("/a?b=%20c")).await;
    assert_eq!(seen.target, "/a?b=%20c&key=s3cret%2Ft%2Bken%3D");

    let positions = vec![position("PUT", "/other"), position("POST", "/jsonrpc")];
    let seen = arrives(
        AuthKind::Body(positions),
        SECRET,
        call("object", json!([1, "ann", null])),
    )
    .await;
    let body: Value = serde_json::from_slice(&seen.body).unwrap();
    assert_eq!(body["params"]["args"], json!([1, "ann", SECRET]));
}

#[tokio::test]
async fn a_body_of_another_shape_gets_no_secret() {
    let server = Server::start(ok()).await;
    let setup = Setup::at(&server.url).credential(
        "password",
        AuthKind::Body(vec![position("POST", "/jsonrpc")]),
        SECRET,
    );
    let outbound = setup.bind();
    let fits = call("object", json!([1, "ann", null]));
    let doubled =
        br#"{"params":{"service":"object","args":[1,"ann",null],"args":[1,"ann",{"name":null}]}}"#;
    for request in [
        call("object", json!([1, "ann", "written"])),
        call("object", json!([1, null])),
        call("object", json!([2, "ann", null])),
        call("object", json!([1.0, "ann", null])),
        call("common", json!([1, "ann", null])),
        Request {
            url: fits.url.replace("jsonrpc", "jsonrpc/"),
            ..fits.clone()
        },
        Request {
            method: "PUT".to_owned(),
            ..fits.clone()
        },
        Request {
            body: Some(doubled.to_vec()),
            ..fits.clone()
        },
        Request {
            body: Some(b"params=1".to_vec()),
            ..fits.clone()
        },
        Request {
            body: None,
            ..fits.clone()
        },
    ] {
        let result = outbound
            .send(&setup.call(), with("password", request))
            .await;
        assert!(matches!(result, Err(HttpError::Denied(_))), "{result:?}");
    }
    assert!(server.seen().is_empty());
    assert!(
        outbound
            .send(&setup.call(), with("password", fits))
            .await
            .is_ok()
    );
}

/// What was checked is what is sent: of two members with the same name only one goes out.
#[tokio::test]
async fn a_body_cannot_mean_one_thing_to_the_host_and_another_to_the_remote() {
    let body = br#"{"params":{"service":"db","service":"object","args":[1,"ann",null]}}"#;
    let request = Request {
        body: Some(body.to_vec()),
        ..post("/jsonrpc")
    };
    let seen = arrives(
        AuthKind::Body(vec![position("POST", "/jsonrpc")]),
        SECRET,
        request,
    )
    .await;
    let text = String::from_utf8(seen.body).unwrap();
    assert_eq!(text.matches("service").count(), 1, "{text}");
    assert!(text.contains(r#""service":"object""#), "{text}");
}

#[tokio::test]
async fn a_request_without_a_credential_carries_none() {
    let server = Server::start(ok()).await;
    let setup = Setup::at(&server.url).credential("access", AuthKind::Bearer, SECRET);
    setup.bind().send(&setup.call(), get("/")).await.unwrap();
    assert_eq!(server.seen()[0].header("authorization"), None);
}

#[tokio::test]
async fn a_connector_does_not_set_the_header_of_a_credential() {
    let server = Server::start(ok()).await;
    let setup =
        Setup::at(&server.url).declares("access", "key", AuthKind::Header("Api-Key".to_owned()));
    let request = header(get("/"), "api-key", "guessed");
    let result = setup.bind().send(&setup.call(), request).await;
    assert!(matches!(result, Err(HttpError::Denied(_))), "{result:?}");
    assert!(server.seen().is_empty());
}

fn signing() -> AuthKind {
    AuthKind::Signing(Signing {
        algorithms: vec!["hmac-sha256".to_owned()],
        key_encoding: KeyEncoding::Hex,
        key_id_separator: Some(":".to_owned()),
    })
}

#[tokio::test]
async fn a_signing_credential_is_never_sent() {
    let server = Server::start(ok()).await;
    let setup = Setup::at(&server.url).credential("admin", signing(), "id:4a656665");
    let outbound = setup.bind();
    for name in ["admin", "unknown"] {
        let result = outbound.send(&setup.call(), with(name, get("/"))).await;
        assert!(matches!(result, Err(HttpError::Denied(_))), "{result:?}");
    }
    assert!(server.seen().is_empty());

    assert_eq!(outbound.key_id("admin"), Ok("id".to_owned()));
    // RFC 4231, test case 2.
    let message = b"what do ya want for nothing?";
    let code = outbound
        .sign("admin", Algorithm::HmacSha256, message)
        .unwrap();
    let right = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    assert_eq!(hex::encode(&code), right);
    assert_eq!(
        outbound.verify("admin", Algorithm::HmacSha256, message, &code),
        Ok(true)
    );
    assert_eq!(
        outbound.verify("admin", Algorithm::HmacSha256, message, &code[1..]),
        Ok(false)
    );
    let other = outbound.sign("admin", Algorithm::HmacSha1, message);
    assert!(matches!(other, Err(SecretError::NotDeclared(_))));
    assert!(matches!(
        outbound.key_id("unknown"),
        Err(SecretError::Missing(_))
    ));
}

#[tokio::test]
async fn a_credential_that_is_sent_does_not_sign() {
    let setup = Setup::new().credential("access", AuthKind::Bearer, SECRET);
    let outbound = setup.bind();
    assert!(matches!(
        outbound.key_id("access"),
        Err(SecretError::NotDeclared(_))
    ));
    let signed = outbound.sign("access", Algorithm::HmacSha256, b"");
    assert!(matches!(signed, Err(SecretError::NotDeclared(_))));
}

#[tokio::test]
async fn what_is_wrong_with_a_credential_is_told_when_it_is_bound() {
    let two = || {
        Setup::new()
            .declares("access", "token", AuthKind::Bearer)
            .declares("access", "key", AuthKind::Header("api-key".to_owned()))
    };
    let named = |scheme: &str| Credential {
        scheme: Some(scheme.to_owned()),
        ..credential(SECRET)
    };
    let oauth = AuthKind::Oauth2(Oauth2 {
        authorize_url: "https://api.example.com/authorize".to_owned(),
        token_url: "https://api.example.com/token".to_owned(),
        scopes: Vec::new(),
    });
    let line_break = format!("{SECRET}\n");
    for (setup, why) in [
        (
            two().configures("access", credential(SECRET)),
            "choose its `scheme`: token, key",
        ),
        (
            two().configures("access", named("other")),
            "no scheme `other`",
        ),
        (
            two().configures("acces", credential(SECRET)),
            "it declares: access",
        ),
        (
            Setup::new().credential("access", AuthKind::Bearer, ""),
            "is empty",
        ),
        (
            Setup::new().credential("access", AuthKind::Bearer, &line_break),
            "line break",
        ),
        (
            Setup::new().credential("access", AuthKind::Basic(None), SECRET),
            "<user>:<password>",
        ),
        (
            Setup::new().credential("access", oauth, SECRET),
            "client-id",
        ),
        (
            Setup::new().credential("access", AuthKind::Other("spnego".to_owned()), SECRET),
            "spnego",
        ),
    ] {
        let error = setup.try_bind().err().unwrap();
        assert!(matches!(error, BindError::Credential { .. }));
        let text = format!("{error} {error:?}");
        assert!(text.contains(why), "{text}");
        assert!(!text.contains(SECRET), "{text}");
    }
    assert!(two().configures("access", named("key")).try_bind().is_ok());
}
