//! The service as an operator meets it over HTTP: who may do what, doing it from elsewhere, bad input, copies of the
//! store.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use reqwest::{Client, Method, Response, StatusCode};
use samspel_scenarios::{Installation, Serving, program};
use samspel_vendors::vendor::Vendor;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

const PEOPLE: u64 = 20;
const ANY_PORT: &str = "[server]\nlisten = \"127.0.0.1:0\"\n";

struct World {
    installation: Installation,
    serving: Serving,
    admin: String,
    http: Client,
}

impl World {
    async fn new() -> Self {
        let installation = Installation::new(PEOPLE, ANY_PORT).await;
        installation.run().await;
        let admin = installation.token("root", "admin").await;
        let serving = installation.serve().await;
        Self {
            installation,
            serving,
            admin,
            // A connection that the service closes after too large a request is not to be used for the next one.
            http: Client::builder().pool_max_idle_per_host(0).build().unwrap(),
        }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.serving.url)
    }

    async fn get(&self, token: &str, path: &str) -> Response {
        let request = self.http.get(self.url(path)).bearer_auth(token);
        request.send().await.unwrap()
    }

    async fn post(&self, token: &str, path: &str, body: &Value) -> Response {
        let request = self.http.post(self.url(path)).bearer_auth(token);
        request.json(body).send().await.unwrap()
    }

    /// The program, told to let the service do it.
    async fn elsewhere(&self, arguments: &[&str]) -> (bool, String) {
        let output = Command::new(program())
            .args(["--host", &self.serving.url])
            .args(arguments)
            .env("SAMSPEL_TOKEN", &self.admin)
            // Nothing of the host's is here.
            .current_dir("/")
            .stdin(Stdio::null())
            .output()
            .await
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&text).into_owned(),
        )
    }

    async fn lives(&self) {
        let ready = self.http.get(self.url("/health/ready")).send().await;
        assert_eq!(ready.unwrap().status(), StatusCode::OK);
    }
}

async fn problem(response: Response, status: StatusCode, code: &str) -> Value {
    assert_eq!(response.status(), status);
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json"
    );
    let problem: Value = response.json().await.unwrap();
    assert_eq!(problem["code"], code, "{problem}");
    assert_eq!(problem["status"], status.as_u16());
    problem
}

/// Every route of the document, as method and path.
async fn routes(world: &World) -> Vec<(Method, String, String)> {
    let document: Value = world
        .get(&world.admin, "/api/openapi.json")
        .await
        .json()
        .await
        .unwrap();
    let mut routes = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let role = operation["description"].as_str().unwrap();
            let role = role.rsplit_once("Role: ").unwrap().1.trim_end_matches('.');
            // Names that nothing has.
            let path = path.replace('{', "no-").replace('}', "");
            routes.push((method, path, role.to_owned()));
        }
    }
    assert!(routes.len() > 40);
    routes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_done_without_a_token_that_allows_it() {
    let world = World::new().await;
    let viewer = world.installation.token("look", "viewer").await;
    let routes = routes(&world).await;
    for (method, path, _) in &routes {
        let request = world.http.request(method.clone(), world.url(path));
        let refused = request.send().await.unwrap();
        assert!(refused.headers().contains_key("www-authenticate"), "{path}");
        problem(refused, StatusCode::UNAUTHORIZED, "unauthorised").await;
    }
    for path in ["/api/docs/", "/api/openapi.json", "/metrics"] {
        let refused = world.http.get(world.url(path)).send().await.unwrap();
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED, "{path}");
    }
    for (method, path, role) in routes.iter().filter(|(.., role)| role != "viewer") {
        let request = world.http.request(method.clone(), world.url(path));
        let refused = request.bearer_auth(&viewer).send().await.unwrap();
        let told = problem(refused, StatusCode::FORBIDDEN, "forbidden").await;
        assert!(told["detail"].as_str().unwrap().contains(role.as_str()));
    }
    // What was refused is on record.
    let log: Value = world
        .get(&viewer, "/api/v1/audit?limit=100")
        .await
        .json()
        .await
        .unwrap();
    let refused = |entry: &&Value| entry["outcome"] == "refused" && entry["action"] == "pauseSync";
    assert!(
        log["entries"]
            .as_array()
            .unwrap()
            .iter()
            .any(|entry| refused(&entry))
    );
    // A browser sends what it was told to every site's request: it may look, and nothing else.
    let looks = world
        .http
        .get(world.url("/api/v1/syncs"))
        .basic_auth("anybody", Some(&world.admin));
    assert_eq!(looks.send().await.unwrap().status(), StatusCode::OK);
    let acts = world
        .http
        .post(world.url("/api/v1/syncs/contacts/pause"))
        .basic_auth("anybody", Some(&world.admin));
    problem(
        acts.send().await.unwrap(),
        StatusCode::UNAUTHORIZED,
        "unauthorised",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_tokens_are_refused_and_in_the_end_not_listened_to() {
    let world = World::new().await;
    let mut statuses = Vec::new();
    for number in 0..30 {
        let forged = format!("samspel_{number:049}");
        statuses.push(world.get(&forged, "/api/v1/syncs").await.status());
    }
    assert_eq!(statuses[0], StatusCode::UNAUTHORIZED);
    assert_eq!(statuses[29], StatusCode::TOO_MANY_REQUESTS);
    // Who has a good token is not held up by those who have none.
    let good = world.get(&world.admin, "/api/v1/syncs").await;
    assert_eq!(good.status(), StatusCode::OK);
    // A token that is revoked is refused at once.
    let mortal = world.installation.token("mortal", "viewer").await;
    let listed: Value = world
        .get(&mortal, "/api/v1/tokens")
        .await
        .json()
        .await
        .unwrap();
    let of = |token: &&Value| token["name"] == "mortal";
    let id = listed["tokens"]
        .as_array()
        .unwrap()
        .iter()
        .find(of)
        .unwrap()["id"]
        .clone();
    let revoke = format!("/api/v1/tokens/{}/revoke", id.as_str().unwrap());
    let revoked = world.post(&world.admin, &revoke, &json!({})).await;
    assert_eq!(revoked.status(), StatusCode::OK);
    let refused = world.get(&mortal, "/api/v1/tokens").await;
    assert_ne!(refused.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_lets_a_host_do_it() {
    let world = World::new().await;
    let crm = &world.installation.crm.vendor;
    let act = json!({ "act": "create", "properties": { "email": "new@story.example", "firstname": "Åsa" } });
    crm.act(serde_json::from_value(act).unwrap()).unwrap();
    // The scheduled first run may be under way; whoever asks is told so and asks again.
    let mut done = (false, String::new());
    for _ in 0..50 {
        done = world
            .elsewhere(&["sync", "run", "contacts", "--json"])
            .await;
        if done.0 || !done.1.contains("\"held\"") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(done.0, "{}", done.1);
    let (ok, text) = world
        .elsewhere(&["history", "new@story.example", "--json"])
        .await;
    assert!(ok && text.contains("\"partner\":\""), "{text}");
    for arguments in [
        vec!["sync", "pause", "contacts", "--reason", "holidays"],
        vec!["sync", "status", "contacts"],
        vec!["sync", "resume", "contacts"],
        vec!["sync", "verify", "contacts"],
        vec!["conflicts", "list"],
        vec!["holds", "list"],
        vec!["parked", "list"],
        vec!["account", "list"],
        vec!["account", "check", "crm"],
        vec!["connector", "inspect", "hubspot"],
        vec!["connector", "history"],
        vec!["connector", "trust", "list"],
        vec!["hooks", "list"],
        vec!["hooks", "endpoints", "crm"],
        vec!["token", "list"],
        vec!["alerts", "list"],
        vec!["config", "check"],
        vec!["doctor"],
        vec!["backup"],
    ] {
        let (ok, text) = world.elsewhere(&arguments).await;
        assert!(ok, "{arguments:?}: {text}");
    }
    // What names a file of the host's is for who sits there.
    let (ok, text) = world.elsewhere(&["backup", "--to", "/tmp/stolen.db"]).await;
    assert!(!ok && text.contains("sits at the host"), "{text}");
    // Without a yes a dangerous one is refused, with what it would do.
    let (ok, text) = world.elsewhere(&["sync", "reset", "contacts"]).await;
    assert!(!ok && text.contains("--yes"), "{text}");
    let (ok, text) = world.elsewhere(&["audit", "list", "--json"]).await;
    assert!(ok, "{text}");
    let log: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    let paused = log["entries"]
        .as_array()
        .unwrap()
        .iter()
        .find(|entry| entry["action"] == "sync pause");
    let who = paused.unwrap()["who"].as_str().unwrap();
    assert!(who.starts_with("token:") && who.ends_with(":root"), "{who}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_again_under_its_key_is_not_done_again() {
    let world = World::new().await;
    let send = async |path: &str, body: Value, key: &str| {
        let request = world.http.post(world.url(path)).bearer_auth(&world.admin);
        let request = request.header("Idempotency-Key", key).json(&body);
        request.send().await.unwrap()
    };
    let path = "/api/v1/tokens";
    let made = send(path, json!({ "name": "ann", "role": "viewer" }), "one").await;
    assert_eq!(made.status(), StatusCode::OK);
    let again = send(path, json!({ "name": "ann", "role": "viewer" }), "one").await;
    let told = problem(again, StatusCode::CONFLICT, "done-already").await;
    assert!(
        !told.to_string().contains("samspel_"),
        "a secret is not kept"
    );
    // What failed for good fails again; what is another request under the key is refused.
    let path = "/api/v1/holds/approve";
    let body = json!({ "selection": { "ids": ["0123456789"] } });
    let first = send(path, body.clone(), "two").await;
    let first = problem(first, StatusCode::NOT_FOUND, "not-found").await;
    let again = send(path, body, "two").await;
    assert_eq!(again.headers()["idempotent-replayed"], "true");
    assert_eq!(
        problem(again, StatusCode::NOT_FOUND, "not-found").await,
        first
    );
    let other = send(path, json!({ "selection": { "all": true } }), "two").await;
    problem(other, StatusCode::UNPROCESSABLE_ENTITY, "key-reused").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_input_gets_a_clear_answer_and_the_service_stays_up() {
    let world = World::new().await;
    let admin = &world.admin;
    let pause = "/api/v1/syncs/contacts/pause";
    let raw = async |kind: &str, body: Vec<u8>| {
        let request = world.http.post(world.url(pause)).bearer_auth(admin);
        request
            .header("content-type", kind)
            .body(body)
            .send()
            .await
            .unwrap()
    };
    for body in [
        "{",
        "[]",
        "null",
        "\"x\"",
        "{\"reson\":\"x\"}",
        "{\"reason\":1}",
        "{\"sync\":\"x\"}",
    ] {
        let answer = raw("application/json", body.into()).await;
        problem(answer, StatusCode::BAD_REQUEST, "malformed").await;
    }
    let answer = raw("application/json", vec![0xff, 0xfe]).await;
    problem(answer, StatusCode::BAD_REQUEST, "malformed").await;
    let answer = raw("text/plain", b"{}".to_vec()).await;
    problem(answer, StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type").await;
    let answer = raw("application/json", vec![b' '; 2 << 20]).await;
    problem(answer, StatusCode::PAYLOAD_TOO_LARGE, "too-large").await;
    for path in [
        "/api/v1/syncs?limit=many",
        "/api/v1/syncs?limit=10001",
        "/api/v1/syncs?limit=-1",
        "/api/v1/syncs?color=red",
        "/api/v1/history?record=x&side=c",
    ] {
        let answer = world.get(admin, path).await;
        problem(answer, StatusCode::BAD_REQUEST, "malformed").await;
    }
    // Tricks with paths find nothing.
    for path in [
        "/api/v1/syncs/..%2F..%2Fetc%2Fpasswd",
        "/api/v1/syncs/%00",
        "/api/v1/connectors/..%2f..%2fsamspel.key",
        "/api/v1/conflicts/%2e%2e",
    ] {
        let answer = world.get(admin, path).await;
        assert!(
            answer.status().is_client_error(),
            "{path}: {}",
            answer.status()
        );
        let text = answer.text().await.unwrap();
        assert!(!text.contains("root:"), "{path}: {text}");
    }
    let gone = world
        .http
        .get(world.url("/nothing/here"))
        .send()
        .await
        .unwrap();
    problem(gone, StatusCode::NOT_FOUND, "not-found").await;
    let wrong = world
        .http
        .put(world.url(pause))
        .bearer_auth(admin)
        .send()
        .await
        .unwrap();
    assert!(wrong.headers().contains_key("allow"));
    problem(wrong, StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed").await;
    // Notifications: a wrong secret, an endpoint that is not there, too much of it.
    let endpoints: Value = world
        .get(admin, "/api/v1/hooks/endpoints?name=crm")
        .await
        .json()
        .await
        .unwrap();
    let address = endpoints["endpoints"][0]["url"]
        .as_str()
        .unwrap()
        .to_owned();
    for path in [
        "/hooks/crm/wrong",
        "/hooks/nobody/wrong",
        "/hooks/..%2f..%2fetc/x",
    ] {
        let answer = world
            .http
            .post(world.url(path))
            .body("{}")
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
    }
    let much = world
        .http
        .post(world.url(&address))
        .body(vec![b'x'; 2 << 20]);
    // The connection may be closed before all of it is sent.
    if let Ok(answer) = much.send().await {
        assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    }
    // One that is no notification is kept, not understood, and shown: nothing is silent.
    let kept = world
        .http
        .post(world.url(&address))
        .body("nonsense")
        .send()
        .await
        .unwrap();
    assert_eq!(kept.status(), StatusCode::OK);
    world.lives().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_says_nothing_is_not_waited_for() {
    let world = World::new().await;
    let address = world.serving.url.strip_prefix("http://").unwrap();
    let mut connections = Vec::new();
    for _ in 0..200 {
        let mut connection = TcpStream::connect(address).await.unwrap();
        connection
            .write_all(b"GET /api/v1/syncs HTTP/1.1\r\nhost: x\r\nx-slow: ")
            .await
            .unwrap();
        connections.push(connection);
    }
    world.lives().await;
    for mut connection in connections {
        let mut rest = Vec::new();
        // The service's limit for headers is ten seconds.
        let closed =
            tokio::time::timeout(Duration::from_secs(30), connection.read_to_end(&mut rest));
        let _ = closed.await.expect("the connection is closed");
    }
    world.lives().await;
}

fn file(text: &Value) -> PathBuf {
    text.as_str().unwrap().into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_was_made_while_running_is_put_back_and_goes_on() {
    let world = World::new().await;
    let crm = &world.installation.crm.vendor;
    let create = |name: &str| {
        let act = json!({ "act": "create", "properties": { "email": format!("{name}@story.example"), "firstname": name } });
        crm.act(serde_json::from_value(act).unwrap()).unwrap();
    };
    let copied = world
        .post(&world.admin, "/api/v1/backups", &json!({}))
        .await;
    assert_eq!(copied.status(), StatusCode::OK);
    let copied: Value = copied.json().await.unwrap();
    let copy = file(&copied["file"]);
    // A store that is used is not replaced.
    let arguments = ["restore", copy.to_str().unwrap(), "--yes", "--json"];
    let busy = world
        .installation
        .start(&arguments)
        .wait_with_output()
        .await
        .unwrap();
    assert!(!busy.status.success());
    assert!(String::from_utf8_lossy(&busy.stdout).contains("stop it first"));
    world.serving.kill().await;
    // What happens after the copy: somebody is created on the other side, and somebody opts out.
    create("after");
    world.installation.run().await;
    let counts = world.installation.newsletter.vendor.counts();
    let act = json!({ "act": "unsubscribe", "email": "after@story.example" });
    crm.act(serde_json::from_value(act).unwrap()).unwrap();
    // A file that is none, and a copy that is damaged: both are refused, and nothing is lost.
    let store = world.installation.directory().join("samspel.db");
    let before = std::fs::metadata(&store).unwrap().len();
    let broken = world.installation.directory().join("broken.db");
    let mut bytes = std::fs::read(&copy).unwrap();
    let middle = bytes.len() / 2;
    bytes[4096..middle].fill(0xaa);
    std::fs::write(&broken, &bytes).unwrap();
    let none = world.installation.file();
    for wrong in [&broken, &none] {
        let arguments = ["restore", wrong.to_str().unwrap(), "--yes"];
        let refused = world
            .installation
            .start(&arguments)
            .wait_with_output()
            .await
            .unwrap();
        assert!(!refused.status.success(), "{}", wrong.display());
        assert_eq!(std::fs::metadata(&store).unwrap().len(), before);
    }
    let restored = world.installation.finish(&arguments).await;
    assert!(file(&restored["set_aside"]).is_file());
    // The copy knows nothing of what was created since. It is recognised, and nothing is there twice.
    world.installation.run().await;
    world.installation.run().await;
    let rerun = world.installation.run().await;
    assert_eq!(rerun["writes"], 0, "{rerun}");
    assert_eq!(world.installation.newsletter.vendor.counts(), counts);
    let verified = world
        .installation
        .finish(&["sync", "verify", "contacts", "--json"])
        .await;
    assert_eq!(verified["unequal"], 0, "{verified}");
    let told = world
        .installation
        .finish(&["history", "after@story.example", "--json"])
        .await;
    assert!(told["found"][0]["partner"].is_string(), "{told}");
}

/// Generated requests find no answer that the document does not describe. `SCHEMATHESIS` names the program
/// (`pip install schemathesis`).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs schemathesis; `.ci/run api` installs it"]
async fn schemathesis_finds_nothing() {
    let schemathesis = std::env::var_os("SCHEMATHESIS").expect("SCHEMATHESIS names the program");
    let world = World::new().await;
    // It is found in the directory where schemathesis runs.
    let settings = concat!(env!("CARGO_MANIFEST_DIR"), "/schemathesis.toml");
    let directory = world.installation.directory();
    std::fs::copy(settings, directory.join("schemathesis.toml")).unwrap();
    let output = Command::new(schemathesis)
        .args([
            "run",
            &world.url("/api/openapi.json"),
            "--url",
            &world.serving.url,
        ])
        .args([
            "--header",
            &format!("Authorization: Bearer {}", world.admin),
        ])
        .args([
            "--phases",
            "examples,coverage,fuzzing",
            "--max-examples",
            "15",
            "--seed",
            "1",
        ])
        // What would end the session that tests: tokens that are revoked, keys that are replaced.
        .args(["--exclude-operation-id", "rotateKey"])
        .args(["--exclude-operation-id", "revokeToken"])
        .args(["--continue-on-failure", "--no-color"])
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    assert!(
        output.status.success(),
        "schemathesis found something:\n{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    world.lives().await;
}
