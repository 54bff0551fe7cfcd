//! A hostile connector searches all it can reach for the account's secrets, and tries to have them written, echoed,
//! redirected and logged. Whatever it tries: neither what it learns, nor what the host logs, nor another server ever
//! holds a secret, in clear or in a form from which it can be read.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test stops at the first surprise"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use axum::routing::any;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use samspel_model::{Connector, Failure};
use samspel_runtime::{AccountConfig, Credential};
use serde_json::{Value, json};

use support::server::Server;
use support::trace::{self, Captured};
use support::{API, OTHER, Sandbox, account, credential, everything, reach, report};

/// With a `/`, a `"`, a blank and a letter of two bytes, so that every encoding writes it differently.
const SECRET: &str = "s3cr3t/ü\"of the+account=";

/// `<key id>:<key>`, the key in hexadecimal.
const SIGNING: &str = "public-key-id:5ec7e7a11ce0fbad5ec7e7a11ce0fbad";

/// The ways in which a text may be written, without Base64.
fn spellings(secret: &str) -> Vec<String> {
    let bytes = secret.as_bytes();
    let json = Value::from(secret).to_string();
    let percent = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
    vec![
        secret.to_owned(),
        json[1..json.len() - 1].to_owned(),
        format!("{secret:?}").trim_matches('"').to_owned(),
        percent.to_lowercase(),
        percent,
        url::form_urlencoded::byte_serialize(bytes).collect(),
        hex::encode(bytes),
        hex::encode_upper(bytes),
    ]
}

/// Base64 of a text that holds the secret behind so many bytes and before so many others.
fn encodings(secret: &str, before: usize, after: usize) -> [String; 4] {
    let text = format!("{}{secret}{}", " ".repeat(before), " ".repeat(after));
    [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD].map(|engine| engine.encode(&text))
}

/// Every form in which a text would still be as good as told. Of Base64 the part that does not depend on what stands
/// before and behind.
fn forms(secret: &str) -> BTreeSet<String> {
    let mut forms = BTreeSet::from_iter(spellings(secret));
    for before in 0..3 {
        for text in encodings(secret, before, 0) {
            let first = if before == 0 { 0 } else { 4 };
            let last = text.trim_end_matches('=').len() - 4;
            forms.insert(text[first..last].to_owned());
        }
    }
    forms
}

#[track_caller]
fn assert_free_of(secret: &str, what: &str, text: &str) {
    for form in forms(secret) {
        if let Some(place) = text.find(&form) {
            let near: String = text[place..].chars().take(120).collect();
            panic!("{what} holds the secret as {form}: {near}");
        }
    }
}

/// An account with that secret for one credential.
fn holding(name: &str, settings: Value, secrets: &[(&str, &str)]) -> AccountConfig {
    let credentials: BTreeMap<String, Credential> = secrets
        .iter()
        .map(|&(name, secret)| (name.to_owned(), credential(secret)))
        .collect();
    AccountConfig {
        credentials,
        ..account(name, settings)
    }
}

/// Everything that a remote may do with a secret that it is rightly sent: all of it, in every form.
fn echoing() -> Router {
    Router::new().fallback(any(echo))
}

/// The secret that came with a request, wherever the connector's schemes place it.
fn credential_of(uri: &Uri, headers: &HeaderMap, body: &str) -> Option<String> {
    let text = |name: &str| {
        let value = headers.get(name)?.as_bytes();
        Some(String::from_utf8_lossy(value).into_owned())
    };
    let authorization = text("authorization").and_then(|value| {
        let (scheme, value) = value.split_once(' ')?;
        if scheme == "Bearer" {
            return Some(value.to_owned());
        }
        let pair = String::from_utf8(STANDARD.decode(value).ok()?).ok()?;
        Some(pair.strip_prefix("ann:")?.to_owned())
    });
    let in_query = || {
        let pairs = url::form_urlencoded::parse(uri.query()?.as_bytes());
        let (_, value) = pairs.into_iter().find(|(name, _)| name == "api_key")?;
        Some(value.into_owned())
    };
    let in_body = || {
        let body: Value = serde_json::from_str(body).ok()?;
        Some(body.pointer("/params/args/2")?.as_str()?.to_owned())
    };
    authorization
        .or_else(|| text("x-api-key"))
        .or_else(in_query)
        .or_else(in_body)
}

async fn echo(uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let seen: Vec<String> = headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
        .collect();
    let body = String::from_utf8_lossy(&body).into_owned();
    let all = format!("{uri} {} {body}", seen.join("\n"));
    let secret = credential_of(&uri, &headers, &body).unwrap_or_default();
    let mut told = vec![
        all.clone(),
        json!({ "seen": all }).to_string(),
        json!({ "seen": json!({ "seen": all }).to_string() }).to_string(),
        STANDARD.encode(&all),
        body,
    ];
    told.extend(spellings(&secret));
    for (before, after) in (0..3).flat_map(|before| (0..3).map(move |after| (before, after))) {
        told.extend(encodings(&secret, before, after));
    }
    let cookie = format!("session={}", utf8_percent_encode(&secret, NON_ALPHANUMERIC));
    let whole = header::HeaderValue::from_bytes(secret.as_bytes())
        .unwrap_or(header::HeaderValue::from_static("none"));
    let echoed = AppendHeaders([
        ("set-cookie", cookie),
        ("x-base64", STANDARD.encode(&secret)),
        ("x-hex", hex::encode(&secret)),
    ]);
    let mut response = (StatusCode::OK, echoed, told.join("\n")).into_response();
    response.headers_mut().append("x-whole", whole);
    response
}

/// Whether the host was asked to add the credential and did: or nothing would be proven.
fn was_sent(server: &Server, secret: &str) -> bool {
    server.seen().iter().any(|seen| {
        let text = format!("{seen:?} {}", String::from_utf8_lossy(&seen.body));
        forms(secret).iter().any(|form| text.contains(form))
            || seen.headers.iter().any(|(_, value)| value.contains(secret))
    })
}

/// What was logged, and that there was a log at all.
fn logged(captured: &Captured, marker: &str) -> String {
    let text = captured.text();
    assert!(text.contains(marker), "nothing was captured");
    text
}

/// A `POST` whose body has a place for the secret where the descriptor declares it.
fn login(params: Value) -> Value {
    json!({
        "url": format!("{API}/jsonrpc"),
        "method": "POST",
        "credential": "body",
        "body": json!({ "params": params }).to_string(),
    })
}

fn with_credential(name: &str) -> Value {
    match name {
        "body" => {
            login(json!({ "service": "common", "method": "login", "args": ["db", "ann", null] }))
        }
        _ => json!({ "url": format!("{API}/some/path?x=1"), "credential": name }),
    }
}

#[tokio::test]
async fn what_a_remote_echoes_is_redacted_in_every_form() {
    let captured = trace::capture();
    let sandbox = Sandbox::new().await;
    let server = Server::start(echoing()).await;
    for name in ["bearer", "basic", "header", "query", "body"] {
        let settings = json!({ "mode": "ask", "requests": [with_credential(name)] });
        let account = AccountConfig {
            endpoints: vec![reach(API, &server.url)],
            ..holding(name, settings, &[(name, SECRET)])
        };
        let answer = sandbox.deed_on(&account).await.unwrap();
        assert_eq!(answer[0]["status"], 200, "{name}: {answer}");
        let text = answer.to_string();
        assert_free_of(SECRET, name, &text);
        assert!(text.contains("[redacted]"), "{name}: {text}");
        assert_free_of(SECRET, "the log", &logged(&captured, name));
    }
    assert!(was_sent(&server, SECRET));
}

#[tokio::test]
async fn a_secret_is_nowhere_in_the_memory_of_the_guest() {
    let sandbox = Sandbox::new().await;
    let server = Server::start(echoing()).await;
    let marker = "something that the guest may know";
    let needles: Vec<Vec<u8>> = forms(SECRET)
        .iter()
        .map(|form| form.as_bytes().iter().map(|byte| byte ^ 0x5a).collect())
        .chain([marker.bytes().map(|byte| byte ^ 0x5a).collect()])
        .collect();
    for name in ["bearer", "basic", "header", "query", "body"] {
        let mut request = with_credential(name);
        request["headers"] = json!([["x-marker", marker]]);
        let settings = json!({ "mode": "search", "requests": [request], "needles": needles });
        let mut account = AccountConfig {
            endpoints: vec![reach(API, &server.url)],
            ..holding(name, settings, &[(name, SECRET)])
        };
        account.limits.cpu_ms = 60_000;
        account.limits.wall_ms = 60_000;
        let report = sandbox.deed_on(&account).await.unwrap();
        assert_eq!(report["answers"][0]["status"], 200, "{name}: {report}");
        let mut found: Vec<u64> = serde_json::from_value(report["found"].clone()).unwrap();
        // The search does find what is there.
        assert!(found.pop().unwrap() > 1, "{name}: {report}");
        assert!(found.iter().all(|count| *count == 0), "{name}: {report}");
    }
    assert!(was_sent(&server, SECRET));
}

#[tokio::test]
async fn a_guest_that_tells_all_it_has_learned_tells_no_secret() {
    let captured = trace::capture();
    let sandbox = Sandbox::new().await;
    let server = Server::start(echoing()).await;
    for name in ["bearer", "basic", "header", "query", "body"] {
        let settings = json!({ "mode": "betray", "requests": [with_credential(name)] });
        let account = AccountConfig {
            endpoints: vec![reach(API, &server.url)],
            ..holding(&format!("betrayed-{name}"), settings, &[(name, SECRET)])
        };
        let Err(Failure::Other(loot)) = sandbox.bind(&account).changes(everything()).await else {
            unreachable!("it fails with what it knows");
        };
        assert!(loot.contains("[redacted]"), "{loot}");
        assert_free_of(SECRET, "the error", &loot);
        let log = logged(&captured, &format!("betrayed-{name}"));
        assert_free_of(SECRET, "the log", &log);
    }
}

/// A connector that was told the secret by other means is still kept from spreading it by accident.
#[tokio::test]
async fn a_secret_that_the_guest_knows_is_neither_logged_nor_in_an_error() {
    let captured = trace::capture();
    let sandbox = Sandbox::new().await;
    let settings = json!({ "mode": "log", "amount": 1, "text": format!("known: {SECRET}") });
    let account_with = |settings| holding("knowing", settings, &[("bearer", SECRET)]);
    sandbox.deed_on(&account_with(settings)).await.unwrap();
    assert_free_of(SECRET, "the log", &logged(&captured, "known: [redacted]"));
    let thing = json!({ "mode": "thing", "thing": { "id": SECRET, "modified": SECRET } });
    let error = sandbox
        .page_on(&account_with(thing))
        .await
        .unwrap_err()
        .to_string();
    assert_free_of(SECRET, "the error about a record", &error);
}

#[tokio::test]
async fn a_secret_goes_to_its_own_origin_only() {
    let captured = trace::capture();
    let sandbox = Sandbox::new().await;
    let other = Server::start(echoing()).await;
    // The granted server sends the client on, and tells the other all that it has been told.
    let target = format!("{OTHER}/open/here");
    let redirect = move |uri: Uri, headers: HeaderMap| async move {
        let secret = credential_of(&uri, &headers, "").unwrap_or_default();
        let query = uri.query().unwrap_or_default();
        let location = match uri.path() {
            "/plain" => target,
            "/with-secret" => {
                let told = utf8_percent_encode(&secret, NON_ALPHANUMERIC);
                format!("{target}?told={told}")
            }
            "/with-base64" => format!("{target}/{}", URL_SAFE_NO_PAD.encode(secret)),
            _ => format!("{target}?{query}"),
        };
        (StatusCode::FOUND, [(header::LOCATION, location)])
    };
    let server = Server::start(Router::new().fallback(any(redirect))).await;
    for name in ["bearer", "basic", "header", "query"] {
        let requests: Vec<_> = ["/plain", "/with-secret", "/with-base64", "/with-query"]
            .iter()
            .map(|path| {
                json!({
                    "url": format!("{API}{path}"),
                    "credential": name,
                    "headers": [["x-guest", "also not for others"]],
                })
            })
            .collect();
        let settings = json!({ "mode": "ask", "requests": requests });
        let account = AccountConfig {
            endpoints: vec![reach(API, &server.url), reach(OTHER, &other.url)],
            ..holding(&format!("sent-on-{name}"), settings, &[(name, SECRET)])
        };
        let answers = sandbox.deed_on(&account).await.unwrap();
        assert_eq!(answers[0]["status"], 200, "{name}: {answers}");
        assert_free_of(SECRET, name, &answers.to_string());
        assert_free_of(
            SECRET,
            "the log",
            &logged(&captured, &format!("sent-on-{name}")),
        );
    }
    assert!(was_sent(&server, SECRET));
    assert!(!other.seen().is_empty());
    for seen in other.seen() {
        assert!(!was_sent_in(&seen, SECRET), "{seen:?}");
        assert!(seen.header("authorization").is_none());
        assert!(seen.header("x-api-key").is_none());
        assert!(seen.header("x-guest").is_none(), "{seen:?}");
    }
}

fn was_sent_in(seen: &support::server::Seen, secret: &str) -> bool {
    let body = String::from_utf8_lossy(&seen.body);
    let headers: Vec<_> = seen
        .headers
        .iter()
        .map(|(_, value)| value.as_str())
        .collect();
    let text = format!("{} {} {body}", seen.target, headers.join(" "));
    forms(secret).iter().any(|form| text.contains(form))
}

#[tokio::test]
async fn a_guest_cannot_choose_where_a_secret_goes() {
    let sandbox = Sandbox::new().await;
    let server = Server::start(echoing()).await;
    let good = json!({ "service": "common", "method": "login", "args": ["db", "ann", null] });
    let with = |pointer: &str, value: Value| {
        let mut params = good.clone();
        *params.pointer_mut(pointer).unwrap() = value;
        login(params)
    };
    let elsewhere = |url: String, method: &str| {
        let mut request = login(good.clone());
        request["url"] = json!(url);
        request["method"] = json!(method);
        request
    };
    let mut not_json = login(good.clone());
    not_json["body"] = json!("name=ann&password=null");
    let mut twice = login(good.clone());
    // The first object is as declared, and the one that counts is a record of the real server.
    twice["body"] = json!(format!(
        "{{\"params\":{good},\"params\":{}}}",
        json!({ "service": "object", "method": "write", "args": ["db", { "name": "x" }, null] })
    ));
    let requests = [
        // Into a record's name, by the pinned values or by the place.
        with("/service", json!("object")),
        with("/method", json!("write")),
        with("/args", json!(["db", "ann"])),
        with("/args", json!(["db", null, "ann"])),
        with("/args/2", json!("mine")),
        with("/args/2", json!({ "nested": null })),
        twice,
        not_json,
        // To another path, by another method, to another origin.
        elsewhere(format!("{API}/other"), "POST"),
        elsewhere(format!("{API}/jsonrpc/"), "POST"),
        elsewhere(format!("{API}/jsonrpc/x"), "POST"),
        elsewhere(format!("{API}/JSONRPC"), "POST"),
        elsewhere(format!("{API}/jsonrpc"), "PUT"),
        elsewhere(format!("{OTHER}/open"), "GET"),
        elsewhere("https://evil.example.net/jsonrpc".to_owned(), "POST"),
        // By a name that is not declared, or for which there is no credential.
        json!({ "url": format!("{API}/"), "credential": "password" }),
        json!({ "url": format!("{API}/"), "credential": "bearer" }),
        json!({ "url": format!("{API}/"), "credential": "" }),
    ];
    let account_asking = |requests: &[Value]| AccountConfig {
        endpoints: vec![reach(API, &server.url), reach(OTHER, &server.url)],
        ..holding(
            "chooser",
            json!({ "mode": "ask", "requests": requests }),
            &[("body", SECRET)],
        )
    };
    let answers = sandbox.deed_on(&account_asking(&requests)).await.unwrap();
    for (request, answer) in requests.iter().zip(answers.as_array().unwrap()) {
        assert_eq!(answer["error"], "denied", "{request}: {answer}");
    }
    assert!(!was_sent(&server, SECRET));
    assert_free_of(SECRET, "an error", &answers.to_string());
    // As declared it goes.
    let answers = sandbox
        .deed_on(&account_asking(&[login(good.clone())]))
        .await
        .unwrap();
    assert_eq!(answers[0]["status"], 200);
    assert!(was_sent(&server, SECRET));
}

/// What the host itself adds cannot be overwritten, doubled or framed by the guest's own headers.
#[tokio::test]
async fn a_guest_sets_no_header_that_is_the_hosts() {
    let sandbox = Sandbox::new().await;
    let server = Server::start(echoing()).await;
    let headers = [
        ("Authorization", "Bearer mine"),
        ("x-api-key", "mine"),
        ("X-Api-Key", "mine"),
        ("Cookie", "a=b"),
        ("Host", "evil.example.net"),
        ("Content-Length", "0"),
        ("Transfer-Encoding", "chunked"),
        ("Connection", "upgrade"),
        ("Accept-Encoding", "br"),
        ("Range", "bytes=0-3"),
        ("x-a", "1\r\nauthorization: Bearer mine"),
        ("x-a\r\nauthorization", "Bearer mine"),
        ("", "x"),
        ("ü", "x"),
    ];
    let requests: Vec<_> = headers
        .iter()
        .map(|header| json!({ "url": format!("{API}/"), "credential": "header", "headers": [header] }))
        .collect();
    let account = AccountConfig {
        endpoints: vec![reach(API, &server.url)],
        ..holding(
            "headers",
            json!({ "mode": "ask", "requests": requests }),
            &[("header", SECRET)],
        )
    };
    let answers = sandbox.deed_on(&account).await.unwrap();
    for (header, answer) in headers.iter().zip(answers.as_array().unwrap()) {
        assert_eq!(answer["error"], "denied", "{header:?}: {answer}");
    }
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn signing_tells_the_key_id_and_codes_and_never_the_key() {
    let captured = trace::capture();
    let sandbox = Sandbox::new().await;
    let (key_id, key) = SIGNING.split_once(':').unwrap();
    let raw = String::from_utf8_lossy(&hex::decode(key).unwrap()).into_owned();
    let account = holding(
        "signing",
        json!({ "mode": "sign", "text": "signing" }),
        &[("signing", SIGNING)],
    );
    let told = sandbox.deed_on(&account).await.unwrap();
    assert_eq!(told["key-id"], format!("Ok({key_id:?})"));
    for secret in [key, &raw, SIGNING] {
        assert_free_of(secret, "what signing tells", &told.to_string());
        assert_free_of(secret, "the log", &captured.text());
    }
    // Only what the descriptor declares is signed: 2 answers for each of 3 algorithms and 6 messages.
    let codes = told["codes"].as_array().unwrap();
    let signed: Vec<_> = codes
        .iter()
        .filter(|code| code.get("code").is_some())
        .collect();
    assert_eq!((codes.len(), signed.len()), (36, 6));
    assert!(
        signed
            .iter()
            .all(|code| code["code"].as_array().unwrap().len() == 32)
    );
}

#[tokio::test]
async fn a_key_that_is_not_written_as_declared_is_not_told() {
    let captured = trace::capture();
    let sandbox = Sandbox::new().await;
    for (credential, secret) in [
        // Without the separator all of it could be the key.
        ("signing", "n0-separator-in-this-secret"),
        // Not hexadecimal.
        ("signing", "id:n0t-hexadec1mal-secret"),
        // Without a key id there is none to tell.
        ("anonymous-signing", "an0nymous-signing-secret"),
    ] {
        let settings = json!({ "mode": "sign", "text": credential });
        let account = holding("malformed", settings, &[(credential, secret)]);
        // It may be refused when the account is bound, and the error must not tell it either.
        let told = match sandbox.runtime.bind(&sandbox.hostile, &account) {
            Ok(bound) => report(bound.changes(everything()).await.unwrap()).to_string(),
            Err(error) => error.to_string(),
        };
        for part in secret.split(':').filter(|part| part.len() > 6) {
            assert_free_of(part, credential, &told);
            assert_free_of(part, "the log", &captured.text());
        }
    }
}

#[tokio::test]
async fn a_signing_key_is_never_sent_and_a_sent_secret_never_signs() {
    let sandbox = Sandbox::new().await;
    let server = Server::start(echoing()).await;
    let secrets = [("signing", SIGNING), ("bearer", SECRET)];
    let settings = json!({
        "mode": "ask",
        "requests": [{ "url": format!("{API}/"), "credential": "signing" }],
    });
    let account = AccountConfig {
        endpoints: vec![reach(API, &server.url)],
        ..holding("signing", settings, &secrets)
    };
    let answers = sandbox.deed_on(&account).await.unwrap();
    assert_eq!(answers[0]["error"], "denied", "{answers}");
    assert!(server.seen().is_empty());
    let account = holding(
        "signing",
        json!({ "mode": "sign", "text": "bearer" }),
        &secrets,
    );
    let told = sandbox.deed_on(&account).await.unwrap();
    assert!(
        told["key-id"].as_str().unwrap().contains("NotDeclared"),
        "{told}"
    );
    assert!(
        told["codes"]
            .as_array()
            .unwrap()
            .iter()
            .all(|code| code.get("code").is_none())
    );
    assert_free_of(SECRET, "what signing tells", &told.to_string());
}

#[tokio::test]
async fn a_remote_that_breaks_off_does_not_make_an_error_tell_the_secret() {
    let captured = trace::capture();
    let sandbox = Sandbox::new().await;
    // Nobody listens where this server was.
    let gone = Server::start(Router::new()).await.url.clone();
    // This one ends each connection in the middle of an answer.
    let breaking = Server::start(Router::new().fallback(any(|| async {
        let parts = [
            Ok(Bytes::from_static(b"half")),
            Err(std::io::Error::other("broken")),
        ];
        axum::body::Body::from_stream(futures::stream::iter(parts))
    })))
    .await;
    for (what, url) in [("gone", &gone), ("breaking", &breaking.url)] {
        for name in ["bearer", "basic", "header", "query"] {
            let settings = json!({ "mode": "betray", "requests": [with_credential(name)] });
            let account = AccountConfig {
                endpoints: vec![reach(API, url)],
                ..holding(&format!("{what}-{name}"), settings, &[(name, SECRET)])
            };
            let error = sandbox
                .bind(&account)
                .changes(everything())
                .await
                .unwrap_err();
            let error = error.to_string();
            assert!(
                error.contains("not-sent") || error.contains("interrupted"),
                "{error}"
            );
            assert_free_of(SECRET, "the error", &error);
            let log = logged(&captured, &format!("{what}-{name}"));
            assert_free_of(SECRET, "the log", &log);
        }
    }
    assert!(was_sent(&breaking, SECRET));
}

#[tokio::test]
async fn accounts_share_connections_and_no_secrets() {
    let sandbox = Sandbox::new().await;
    let server = Server::start(echoing()).await;
    let settings = json!({ "mode": "ask", "requests": [with_credential("bearer")] });
    let with = |name, secret| AccountConfig {
        endpoints: vec![reach(API, &server.url)],
        ..holding(name, settings.clone(), &[("bearer", secret)])
    };
    let (one, two) = (
        with("one", "the-secret-of-one"),
        with("two", "the-secret-of-two"),
    );
    let (one, two) = (sandbox.bind(&one), sandbox.bind(&two));
    let calls = futures::future::join_all((0..20).map(|call| {
        let bound = if call % 2 == 0 { &one } else { &two };
        bound.changes(everything())
    }));
    for (call, page) in calls.await.into_iter().enumerate() {
        let told = report(page.unwrap()).to_string();
        // Of its own nothing is left, and of the other there was nothing.
        assert_free_of("the-secret-of-one", &format!("call {call}"), &told);
        assert_free_of("the-secret-of-two", &format!("call {call}"), &told);
    }
    let seen = server.seen();
    let with = |secret: &str| seen.iter().filter(|seen| was_sent_in(seen, secret)).count();
    assert_eq!(
        (with("the-secret-of-one"), with("the-secret-of-two")),
        (10, 10)
    );
}

#[tokio::test]
async fn nothing_of_the_machine_can_be_seen_through_wasi() {
    let sandbox = Sandbox::new().await;
    assert!(sandbox.hostile.wasi);
    let seen = sandbox
        .deed(
            json!({ "mode": "look" }),
            samspel_runtime::Limits::default(),
        )
        .await
        .unwrap();
    assert_eq!(seen["environment"], json!([]));
    assert_eq!(seen["arguments"], json!([]));
    assert_eq!(seen["directory"], Value::Null);
    assert_eq!(seen["directories"], json!([]));
    assert!(seen["input"].as_str().unwrap().contains("Closed"), "{seen}");
    for name in ["tcp", "udp"] {
        assert!(
            seen[name].as_str().unwrap().contains("access-denied"),
            "{name}: {seen}"
        );
    }
    // A name is not looked up: even this one is unknown.
    assert!(
        seen["lookup"]
            .as_str()
            .unwrap()
            .contains("permanent-resolver-failure"),
        "{seen}"
    );
}
