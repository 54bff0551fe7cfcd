//! What the service tells others by itself: alerts to a webhook and by e-mail, traces to a collector, numbers to a
//! dashboard.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use samspel_scenarios::Installation;
use samspel_vendors::vendor::Vendor;
use samspel_vendors::{hubspot, mailchimp};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

const PEOPLE: u64 = 20;
/// The service looks every ten seconds at what needs somebody.
const PATIENCE: Duration = Duration::from_secs(60);
const KEY: [u8; 32] = [7; 32];

type Received = (HeaderMap, Bytes);

/// Somebody who takes what is sent to an address; and the address.
async fn receiver() -> (mpsc::UnboundedReceiver<Received>, String) {
    async fn take(
        State(taken): State<Arc<mpsc::UnboundedSender<Received>>>,
        headers: HeaderMap,
        body: Bytes,
    ) {
        taken.send((headers, body)).unwrap();
    }
    let (sender, received) = mpsc::unbounded_channel();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new()
        .route("/{*any}", post(take))
        .with_state(Arc::new(sender));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (received, url)
}

/// Somebody who takes e-mails (RFC 5321), as they are; and the port.
async fn mailbox() -> (mpsc::UnboundedReceiver<String>, u16) {
    let (sender, received) = mpsc::unbounded_channel();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let sender = sender.clone();
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                stream.write_all(b"220 mail.example\r\n").await.unwrap();
                let (mut line, mut mail, mut in_mail) = (String::new(), String::new(), false);
                loop {
                    line.clear();
                    if stream.read_line(&mut line).await.unwrap() == 0 {
                        return;
                    }
                    let answer = match line.trim_end() {
                        "." if in_mail => {
                            in_mail = false;
                            sender.send(std::mem::take(&mut mail)).unwrap();
                            "250 taken"
                        }
                        _ if in_mail => {
                            mail.push_str(&line);
                            continue;
                        }
                        "DATA" => {
                            in_mail = true;
                            "354 go on"
                        }
                        "QUIT" => "221 bye",
                        _ => "250 fine",
                    };
                    stream
                        .write_all(format!("{answer}\r\n").as_bytes())
                        .await
                        .unwrap();
                }
            });
        }
    });
    (received, port)
}

/// What was sent, after its signature was checked as its receiver would.
fn believed((headers, body): &Received) -> Value {
    let text = |name: &str| headers[name].to_str().unwrap().to_owned();
    let signed = [
        text("webhook-id").as_bytes(),
        b".",
        text("webhook-timestamp").as_bytes(),
        b".",
        body,
    ]
    .concat();
    let signature = text("webhook-signature");
    let signature = STANDARD
        .decode(signature.strip_prefix("v1,").unwrap())
        .unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &KEY);
    hmac::verify(&key, &signed, &signature).expect("it is signed with the key");
    serde_json::from_slice(body).unwrap()
}

async fn soon<T>(received: &mut mpsc::UnboundedReceiver<T>) -> T {
    tokio::time::timeout(PATIENCE, received.recv())
        .await
        .expect("it arrives in time")
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_are_told_what_needs_them_and_when_it_is_over() {
    let (mut webhook, url) = receiver().await;
    let (mut mails, port) = mailbox().await;
    let more = format!(
        r#"
interval = "1s"
valves.creates = {{ count = 1, percent = 0 }}

[server]
listen = "127.0.0.1:0"

[alerts.webhook]
url = "{url}/alerts"
secret = {{ file = "alerts-key" }}

[alerts.email]
server = "smtp://127.0.0.1:{port}"
from = "Samspel <samspel@host.example>"
to = ["ops@company.example"]
"#
    );
    let installation = Installation::new(PEOPLE, &more).await;
    std::fs::write(
        installation.directory().join("alerts-key"),
        STANDARD.encode(KEY),
    )
    .unwrap();
    let tested = installation.finish(&["alerts", "test", "--json"]).await;
    assert_eq!(tested["channels"].as_array().unwrap().len(), 2, "{tested}");
    let first = soon(&mut webhook).await;
    assert_eq!(believed(&first)["type"], "samspel.alerts");
    let mail = soon(&mut mails).await;
    assert!(mail.contains("To: ops@company.example"), "{mail}");

    installation.run().await;
    let crm = &installation.crm.vendor;
    for number in 0..5 {
        let act = json!({ "act": "create", "properties": { "email": format!("new{number}@story.example") } });
        crm.act(serde_json::from_value(act).unwrap()).unwrap();
    }
    let serving = installation.serve().await;
    let told = soon(&mut webhook).await;
    let alert = &believed(&told)["data"]["alerts"][0];
    assert_eq!(
        (&alert["kind"], &alert["subject"], &alert["over"]),
        (&json!("holds"), &json!("contacts"), &json!(false)),
        "{alert}"
    );
    assert_ne!(told.0["webhook-id"], first.0["webhook-id"]);
    let mail = soon(&mut mails).await;
    assert!(mail.contains("the safety valves hold"), "{mail}");

    installation
        .finish(&["holds", "reject", "--sync", "contacts", "--all", "--json"])
        .await;
    let over = soon(&mut webhook).await;
    let alert = &believed(&over)["data"]["alerts"][0];
    assert_eq!(
        (&alert["kind"], &alert["over"]),
        (&json!("holds"), &json!(true))
    );
    serving.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traces_go_to_the_collector_and_hold_no_secret() {
    let (mut collector, url) = receiver().await;
    let installation = Installation::new(PEOPLE, "\n[server]\nlisten = \"127.0.0.1:0\"\n").await;
    installation.run().await;
    let serving = installation
        .serve_with(&["--traces", &format!("{url}/v1/traces")])
        .await;
    let mut sent = Vec::new();
    let has = |sent: &[u8], text: &str| {
        sent.windows(text.len())
            .any(|window| window == text.as_bytes())
    };
    // The service runs the sync when it starts.
    while !has(&sent, "contacts") {
        let (headers, body) = soon(&mut collector).await;
        assert_eq!(headers["content-type"], "application/x-protobuf");
        sent.extend(body);
    }
    for expected in ["service.name", "samspel", "run"] {
        assert!(has(&sent, expected), "{expected} is in no trace");
    }
    for secret in [hubspot::DEFAULT_TOKEN, mailchimp::DEFAULT_KEY] {
        assert!(!has(&sent, secret), "a trace holds a secret");
    }
    serving.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_dashboard_asks_for_numbers_that_there_are() {
    let installation = Installation::new(PEOPLE, "\n[server]\nlisten = \"127.0.0.1:0\"\n").await;
    // What the remotes say of their limits is told where it is kept.
    let file = installation.file();
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("rate-limits = false\n", "")).unwrap();
    installation.run().await;
    installation
        .finish(&["sync", "verify", "contacts", "--json"])
        .await;
    let token = installation.token("look", "admin").await;
    let serving = installation.serve().await;
    let http = reqwest::Client::new();
    let get = async |path: &str| {
        let request = http
            .get(format!("{}{path}", serving.url))
            .bearer_auth(&token);
        request.send().await.unwrap().text().await.unwrap()
    };
    let endpoints: Value = serde_json::from_str(&get("/api/v1/hooks/endpoints").await).unwrap();
    let hook = endpoints["endpoints"][0]["url"]
        .as_str()
        .unwrap()
        .to_owned();
    let to = |path: &str| format!("{}{path}", serving.url);
    for address in [to(&hook), to("/hooks/crm/wrong")] {
        http.post(address).body("nonsense").send().await.unwrap();
    }
    let dashboard = include_str!("../../../host/deploy/grafana.json");
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let asked: BTreeSet<String> = dashboard
        .match_indices("samspel_")
        .map(|(at, _)| {
            dashboard[at..]
                .chars()
                .take_while(|c| is_name(*c))
                .collect()
        })
        .collect();
    assert!(asked.len() > 20);
    // Some remotes say how much is left, and only while it matters.
    let asked: BTreeSet<String> = asked
        .into_iter()
        .filter(|name| name != "samspel_budget_left")
        .collect();
    // The first run of the service must have ended; numbers from the store are read every ten seconds.
    let missing = async || {
        let told = get("/metrics").await;
        let told: BTreeSet<String> = told
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.chars().take_while(|c| is_name(*c)).collect())
            .collect();
        asked.difference(&told).cloned().collect::<Vec<_>>()
    };
    let mut left = missing().await;
    for _ in 0..60 {
        if left.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        left = missing().await;
    }
    assert!(left.is_empty(), "nothing tells {left:?}");
    serving.kill().await;
}
