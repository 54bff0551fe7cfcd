//! Places that a guest may not reach, by whatever way it tries.

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::any;
use samspel_runtime::AccountConfig;
use serde_json::{Value, json};

use crate::support::server::Server;
use crate::support::{API, OTHER, Sandbox, account, reach};

/// Asks for each URL, which must be denied without anything being sent.
async fn assert_denied(sandbox: &Sandbox, account: &AccountConfig, urls: &[String]) {
    let requests: Vec<_> = urls.iter().map(|url| json!({ "url": url })).collect();
    let mut account = account.clone();
    account.settings.insert("mode".to_owned(), json!("ask"));
    account
        .settings
        .insert("requests".to_owned(), json!(requests));
    let report = sandbox.deed_on(&account).await.unwrap();
    for (url, answer) in urls.iter().zip(report.as_array().unwrap()) {
        assert_eq!(answer["error"], "denied", "{url}: {answer}");
    }
}

fn texts(urls: &[&str]) -> Vec<String> {
    urls.iter().map(|&url| url.to_owned()).collect()
}

#[tokio::test]
async fn what_the_descriptor_does_not_name_is_denied() {
    let sandbox = Sandbox::new().await;
    let server = Server::start(Router::new().fallback(any(|| async { "reached" }))).await;
    let account = AccountConfig {
        endpoints: vec![reach(API, &server.url), reach(OTHER, &server.url)],
        ..account("denied", json!({ "mode": "idle" }))
    };
    let port = server.url.port().unwrap();
    let mut urls = texts(&[
        "https://example.com/",
        "https://evil.example.net/",
        "https://api.example.com.evil.example.net/",
        "https://api.example.com@evil.example.net/",
        "https://evil.example.net#@api.example.com/",
        "https://evil.example.net\\@api.example.com/",
        "https://api.example.com:8443/",
        "http://api.example.com/",
        "https://API.example.com.:443/",
        "//api.example.com/",
        "/",
        "",
        "file:///etc/passwd",
        "data:text/plain,x",
        "ftp://api.example.com/",
        "unix:///var/run/docker.sock",
        "gopher://api.example.com/",
        // Of the other origin only what is below /open may be read.
        "https://other.example.com/",
        "https://other.example.com/opening",
        "https://other.example.com/open/../closed",
        "https://other.example.com/open/%2e%2e/closed",
        "https://other.example.com/open/..%2fclosed",
        "https://other.example.com/open%2f..%2f../closed",
        "https://other.example.com/open/..;/closed",
    ]);
    // The server itself is granted only in the name of the origins that it stands for.
    urls.push(server.url.to_string());
    urls.push(format!("https://127.0.0.1:{port}/"));
    urls.push(format!("http://localhost:{port}/"));
    let (escapes, urls): (Vec<_>, Vec<_>) = urls
        .into_iter()
        .partition(|url| url.ends_with("..;/closed"));
    assert_denied(&sandbox, &account, &urls).await;
    assert!(server.seen().is_empty(), "{:?}", server.seen());
    // Not a dot segment by any standard: it may be sent, and then exactly as it was checked.
    let mut account = account;
    account.settings = json!({ "mode": "ask", "url": "https://nowhere.example.com", "requests": [{ "url": escapes[0] }] })
        .as_object()
        .unwrap()
        .clone();
    let _ = sandbox.deed_on(&account).await.unwrap();
    assert!(
        server
            .seen()
            .iter()
            .all(|seen| seen.target.starts_with("/open/"))
    );
}

#[tokio::test]
async fn only_the_methods_that_the_descriptor_names_are_sent() {
    let sandbox = Sandbox::new().await;
    let server = Server::start(Router::new().fallback(any(|| async { "reached" }))).await;
    let methods = [
        "POST",
        "DELETE",
        "get",
        "CONNECT",
        "TRACE",
        "GET / HTTP/1.1\r\nx: y",
        "",
    ];
    let requests: Vec<_> = methods
        .iter()
        .map(|method| json!({ "url": format!("{OTHER}/open"), "method": method }))
        .chain([json!({ "url": format!("{OTHER}/open"), "method": "GET" })])
        .collect();
    let account = AccountConfig {
        endpoints: vec![reach(OTHER, &server.url)],
        ..account("methods", json!({ "mode": "ask", "requests": requests }))
    };
    let report = sandbox.deed_on(&account).await.unwrap();
    for (method, answer) in methods.iter().zip(report.as_array().unwrap()) {
        assert_eq!(answer["error"], "denied", "{method:?}: {answer}");
    }
    assert_eq!(report[methods.len()]["body"], "reached");
    assert_eq!(server.seen().len(), 1);
}

/// A setting may name any origin; that it is an operator's does not make an address public.
#[tokio::test]
async fn addresses_that_are_not_public_are_denied_in_every_spelling() {
    let sandbox = Sandbox::new().await;
    let server = Server::start(Router::new().fallback(any(|| async { "reached" }))).await;
    let port = server.url.port().unwrap();
    let hosts = [
        // Loopback, by name and by address.
        "localhost",
        "LOCALHOST",
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "127.255.255.254",
        "0.0.0.0",
        "0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        // Where clouds serve credentials.
        "169.254.169.254",
        "2852039166",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "[::ffff:169.254.169.254]",
        "[::ffff:a9fe:a9fe]",
        "[64:ff9b::a9fe:a9fe]",
        "[2002:a9fe:a9fe::1]",
        "[fd00:ec2::254]",
        "[fe80::1]",
        // Private networks.
        "10.0.0.1",
        "172.16.0.1",
        "192.168.0.1",
        "100.64.0.1",
        "[fc00::1]",
    ];
    for host in hosts {
        let origin = format!("https://{host}:{port}");
        let account = account("addresses", json!({ "mode": "idle", "url": origin }));
        assert_denied(&sandbox, &account, &[format!("{origin}/")]).await;
    }
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn a_setting_is_not_enough_for_plain_http() {
    let sandbox = Sandbox::new().await;
    let server = Server::start(Router::new().fallback(any(|| async { "reached" }))).await;
    let origin = server.url.as_str().trim_end_matches('/');
    let settings = json!({ "mode": "ask", "url": origin, "requests": [{ "url": origin }] });
    let without = account("plain", settings);
    let refused = sandbox.runtime.bind(&sandbox.hostile, &without).err();
    let refused = refused.expect("it is not https").to_string();
    assert!(refused.contains("endpoint override"), "{refused}");
    // What it takes is the operator's word for exactly this address.
    let with = AccountConfig {
        endpoints: vec![reach(origin, &server.url)],
        ..without
    };
    let report = sandbox.deed_on(&with).await.unwrap();
    assert_eq!(report[0]["body"], "reached", "{report}");
}

/// A server that redirects every request for `/?to=URL`.
async fn redirecting() -> Server {
    let handler = |uri: axum::http::Uri| async move {
        let target = uri.query().and_then(|query| query.strip_prefix("to="));
        match target {
            Some(target) => {
                let target = percent_encoding::percent_decode_str(target).decode_utf8_lossy();
                (StatusCode::FOUND, [(header::LOCATION, target.into_owned())]).into_response()
            }
            None => "reached".into_response(),
        }
    };
    Server::start(Router::new().fallback(any(handler))).await
}

fn redirected(to: &str) -> Value {
    let to = percent_encoding::utf8_percent_encode(to, percent_encoding::NON_ALPHANUMERIC);
    json!({ "url": format!("{API}/?to={to}") })
}

#[tokio::test]
async fn a_redirect_leads_nowhere_that_a_request_may_not_go() {
    let sandbox = Sandbox::new().await;
    let victim = Server::start(Router::new().fallback(any(|| async { "reached" }))).await;
    let server = redirecting().await;
    let port = victim.url.port().unwrap();
    let mut targets = texts(&[
        "https://169.254.169.254/latest/meta-data/",
        "https://[::ffff:169.254.169.254]/latest/meta-data/",
        "http://169.254.169.254/latest/meta-data/",
        "https://evil.example.net/",
        "//evil.example.net/",
        "https://other.example.com/closed",
        "http://api.example.com/",
        "file:///etc/passwd",
        "https://user:password@api.example.com/",
    ]);
    targets.push(victim.url.to_string());
    targets.push(format!("https://127.0.0.1:{port}/"));
    targets.push(format!("https://localhost:{port}/"));
    targets.push(format!("https://[::ffff:127.0.0.1]:{port}/"));
    let requests: Vec<_> = targets.iter().map(|target| redirected(target)).collect();
    // The setting grants loopback by name, which is not public whoever names it.
    let settings = json!({
        "mode": "ask",
        "requests": requests,
        "url": format!("https://localhost:{port}"),
    });
    let account = AccountConfig {
        endpoints: vec![reach(API, &server.url)],
        ..account("redirected", settings)
    };
    let report = sandbox.deed_on(&account).await.unwrap();
    for (target, answer) in targets.iter().zip(report.as_array().unwrap()) {
        assert_eq!(answer["error"], "denied", "{target}: {answer}");
    }
    assert_eq!(server.seen().len(), targets.len());
    assert!(victim.seen().is_empty(), "{:?}", victim.seen());
}

#[tokio::test]
async fn a_redirect_is_followed_where_a_request_may_go() {
    let sandbox = Sandbox::new().await;
    let other = Server::start(Router::new().fallback(any(|| async { "other" }))).await;
    let server = redirecting().await;
    let own = server.url.join("/moved").unwrap();
    let requests = [
        redirected("/moved"),
        // A server that knows itself by its own address.
        redirected(own.as_str()),
        redirected(&format!("{OTHER}/open/x")),
    ];
    let account = AccountConfig {
        endpoints: vec![reach(API, &server.url), reach(OTHER, &other.url)],
        ..account("redirected", json!({ "mode": "ask", "requests": requests }))
    };
    let report = sandbox.deed_on(&account).await.unwrap();
    assert_eq!(report[0]["body"], "reached", "{report}");
    assert_eq!(report[1]["body"], "reached", "{report}");
    assert_eq!(report[2]["body"], "other", "{report}");
}

#[tokio::test]
async fn redirects_that_go_round_in_circles_end() {
    let sandbox = Sandbox::new().await;
    let handler = || async { (StatusCode::FOUND, [(header::LOCATION, "/again")]) };
    let server = Server::start(Router::new().fallback(any(handler))).await;
    let settings = json!({ "mode": "ask", "requests": [{ "url": format!("{API}/") }] });
    let account = AccountConfig {
        endpoints: vec![reach(API, &server.url)],
        ..account("circles", settings)
    };
    let report = sandbox.deed_on(&account).await.unwrap();
    assert!(report[0].get("error").is_some(), "{report}");
    assert!(server.seen().len() < 20, "{}", server.seen().len());
}
