//! An account is authorised in a browser (OAuth 2.0): the vendor's page, the answer at an address of this machine,
//! tokens that are renewed, and what becomes of them when somebody removes the app from the account.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::TcpListener;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use fantoccini::wd::Capabilities;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use samspel_scenarios::{Installation, connectors, program};
use samspel_vendors::Running;
use samspel_vendors::hubspot::{HubSpot, HubSpotClient, HubSpotOptions, NEWSLETTER};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

const CLIENT_SECRET: &str = "client-secret-of-our-app-7f3a";
/// Exit codes.
const ACCOUNT: i32 = 4;
const NOT_CONFIRMED: i32 = 6;
/// A browser may need a while on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whoever opens the page.
enum Browser {
    /// A client that follows redirects and posts the form.
    Plain(reqwest::Client),
    Chromium(Client),
}

impl Browser {
    /// Opens the vendor's page and presses a button on it; what the page says that this leads to.
    async fn answer(&self, url: &str, button: &str) -> String {
        match self {
            Self::Plain(client) => {
                let page = client.get(url).send().await.unwrap();
                let page = page.error_for_status().unwrap().text().await.unwrap();
                assert!(page.contains(&format!("value={button}")), "{page}");
                let sent = client.post(url).form(&[("answer", button)]).send();
                sent.await.unwrap().text().await.unwrap()
            }
            Self::Chromium(client) => {
                client.goto(url).await.unwrap();
                let button = format!("button[value={button}]");
                let button = client.find(Locator::Css(&button)).await.unwrap();
                button.click().await.unwrap();
                let said = client
                    .wait()
                    .at_most(PATIENCE)
                    .for_element(Locator::Css("p"));
                said.await.unwrap().text().await.unwrap()
            }
        }
    }
}

struct World {
    crm: Running<HubSpot>,
    directory: TempDir,
    port: u16,
    browser: Browser,
    /// Everything that any command printed.
    printed: Vec<u8>,
}

impl World {
    async fn new(browser: Browser) -> Self {
        let port = free_port();
        let crm = HubSpot::new(HubSpotOptions::default());
        crm.register_client(HubSpotClient {
            id: "our-app".to_owned(),
            secret: CLIENT_SECRET.to_owned(),
            redirects: vec![format!("http://localhost:{port}/callback")],
            lifetime: 1_800,
        });
        let directory = tempfile::tempdir().unwrap();
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
        let begun = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n\n[host]\ncache = \"{}\"\n",
            cache.display()
        );
        std::fs::write(directory.path().join("samspel.toml"), begun).unwrap();
        Self {
            crm: crm.serve_on_loopback().await.unwrap(),
            directory,
            port,
            browser,
            printed: Vec::new(),
        }
    }

    fn start(&self, arguments: &[&str]) -> Child {
        Command::new(program())
            .args(arguments)
            .current_dir(self.directory.path())
            .env("SAMSPEL_CONNECTORS", connectors())
            .env("CLIENT_SECRET", CLIENT_SECRET)
            .env("RUST_LOG", "debug,wasmtime=info,cranelift=warn")
            .env_remove("SAMSPEL_KEY")
            .env_remove("CREDENTIALS_DIRECTORY")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the program can be started; `cargo xtask test` builds it")
    }

    /// Runs a command to its end; its exit code, and the object that it prints last.
    async fn run(&mut self, arguments: &[&str]) -> (i32, Value) {
        let child = self.start(&[arguments, &["--json"]].concat());
        let output = child.wait_with_output().await.unwrap();
        self.ended(&output)
    }

    fn ended(&mut self, output: &Output) -> (i32, Value) {
        self.printed.extend(&output.stdout);
        self.printed.extend(&output.stderr);
        let text = String::from_utf8_lossy(&output.stdout);
        let last = text.lines().last().unwrap_or_default();
        let said = serde_json::from_str(last)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
        (output.status.code().unwrap(), said)
    }

    /// Runs a command that asks for the browser, which presses a button; and what it says in the end.
    async fn authorise(&mut self, arguments: &[&str], button: &str) -> (i32, Value, String) {
        let port = self.port.to_string();
        let rest = ["--port", &port, "--localhost", "--no-browser", "--json"];
        let mut child = self.start(&[arguments, &rest].concat());
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let url = loop {
            let line = lines.next_line().await.unwrap();
            let line = line.expect("it asks for a browser before it ends");
            if line.trim().starts_with("http") {
                break line.trim().to_owned();
            }
            self.printed.extend(line.as_bytes());
        };
        assert!(url.starts_with(&self.crm.url), "{url}");
        let page = self.browser.answer(&url, button).await;
        let mut rest = Vec::new();
        lines.into_inner().read_to_end(&mut rest).await.unwrap();
        let mut output = child.wait_with_output().await.unwrap();
        output.stderr = rest;
        let (code, said) = self.ended(&output);
        (code, said, page)
    }

    async fn add(&mut self, button: &str) -> (i32, Value, String) {
        let api = format!("https://api.hubapi.com={}", self.crm.url);
        let pages = format!("https://app.hubspot.com={}", self.crm.url);
        let subscription = format!("subscription_id={NEWSLETTER}");
        let add = ["account", "add", "crm", "--connector", "hubspot", "--set"];
        let rest = [
            &subscription,
            "--endpoint",
            &api,
            "--endpoint",
            &pages,
            "--credential",
            "access:oauth2=authorise",
            "--client-id",
            "our-app",
            "--client-secret",
            "env:CLIENT_SECRET",
        ];
        self.authorise(&[&add[..], &rest].concat(), button).await
    }

    /// Nothing that was issued, and not the client's secret, is in an output or in a file.
    fn keeps_secrets(&self) {
        let mut secrets = self.crm.vendor.issued();
        assert!(secrets.len() > 5, "{secrets:?}");
        secrets.push(CLIENT_SECRET.to_owned());
        let mut places = vec![("what was printed".to_owned(), self.printed.clone())];
        for entry in std::fs::read_dir(self.directory.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                places.push((path.display().to_string(), std::fs::read(&path).unwrap()));
            }
        }
        assert!(
            places
                .iter()
                .any(|(place, _)| place.ends_with("samspel.db"))
        );
        for (place, bytes) in places {
            for secret in &secrets {
                let found = bytes
                    .windows(secret.len())
                    .any(|at| at == secret.as_bytes());
                assert!(!found, "{secret} is in {place}");
            }
        }
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

async fn an_account_is_authorised(browser: Browser) {
    let mut world = World::new(browser).await;
    // Somebody does not agree: nothing is added.
    let (code, said, page) = world.add("cancel").await;
    assert_eq!(code, NOT_CONFIRMED, "{said}");
    let message = said["error"]["message"].as_str().unwrap();
    assert!(message.contains("access_denied"), "{message}");
    assert!(page.contains("Access was not granted"), "{page}");
    let (_, listed) = world.run(&["account", "list"]).await;
    assert_eq!(listed["accounts"], json!([]));

    let (code, said, page) = world.add("connect").await;
    assert_eq!(code, 0, "{said}");
    assert!(page.contains("Access was granted"), "{page}");
    // Another process has nothing but the refresh token that is sealed in the store.
    let (code, checked) = world.run(&["account", "check", "crm"]).await;
    assert_eq!(code, 0, "{checked}");
    assert_eq!(checked["identity"]["id"], "24601337");

    // Somebody removes the app: it is clear what has to be done.
    world.crm.vendor.revoke_client();
    let (code, refused) = world.run(&["account", "check", "crm"]).await;
    assert_eq!(code, ACCOUNT, "{refused}");
    assert!(
        refused
            .to_string()
            .contains("samspel account authorise crm"),
        "{refused}"
    );
    let (_, listed) = world.run(&["account", "list"]).await;
    let needs = &listed["accounts"][0]["needs_authorisation"][0];
    assert_eq!(needs["credential"], "access", "{listed}");
    assert!(
        needs["why"].as_str().unwrap().contains("BAD_REFRESH_TOKEN"),
        "{needs}"
    );

    // It is done at a host that serves, and the browser answers here.
    let (_, made) = world
        .run(&["token", "create", "root", "--role", "admin"])
        .await;
    let token = made["token"].as_str().unwrap().to_owned();
    let serving = Installation::listening(world.start(&["serve", "--log-format", "json"])).await;
    std::fs::write(world.directory.path().join("token"), &token).unwrap();
    let elsewhere = ["--host", &serving.url, "--token-file", "token"];
    let again = [&elsewhere[..], &["account", "authorise", "crm"]].concat();
    let (code, said, _) = world.authorise(&again, "connect").await;
    assert_eq!(code, 0, "{said}");
    let (code, checked) = world.run(&["account", "check", "crm"]).await;
    assert_eq!(code, 0, "{checked}");
    let (_, listed) = world.run(&["account", "list"]).await;
    assert_eq!(listed["accounts"][0]["needs_authorisation"], json!([]));
    let log = serving.log();
    assert!(log.contains("/oauth/v1/token"), "{log}");
    world.printed.extend(log.into_bytes());
    serving.kill().await;
    world.keeps_secrets();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_authorised_and_authorised_again() {
    an_account_is_authorised(Browser::Plain(reqwest::Client::new())).await;
}

/// The same in the browser that people use. `.ci/run browser` installs it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium and its driver"]
async fn an_account_is_authorised_in_chromium() {
    let port = free_port();
    let mut driver = Command::new("chromedriver")
        .arg(format!("--port={port}"))
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("chromedriver can be started; `.ci/run browser` installs it");
    let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
    loop {
        let line = lines.next_line().await.unwrap();
        if line.expect("it starts").contains("started successfully") {
            break;
        }
    }
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    let mut capabilities = Capabilities::new();
    let arguments = [
        "--headless",
        // Its own sandbox needs more rights than a container has; the only page is ours.
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
    ];
    capabilities.insert(
        "goog:chromeOptions".to_owned(),
        json!({ "args": arguments }),
    );
    let client = ClientBuilder::new(HttpConnector::new())
        .capabilities(capabilities)
        .connect(&format!("http://127.0.0.1:{port}"))
        .await
        .unwrap();
    an_account_is_authorised(Browser::Chromium(client.clone())).await;
    client.close().await.unwrap();
    driver.kill().await.unwrap();
}
