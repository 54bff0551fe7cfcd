//! A connector comes from a real registry: Debian's `docker-registry` (the CNCF's distribution), installed if it is
//! missing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use oci_client::client::{ClientConfig, ClientProtocol, Config, ImageLayer};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use samspel_provision::{apt, find_executable};
use samspel_scenarios::Author;
use samspel_scenarios::versions::fickle;
use serde_json::Value;
use tempfile::TempDir;

const PROGRAM: &str = "docker-registry";

/// A registry that ends with the test.
struct Registry {
    process: Child,
    address: String,
    _data: TempDir,
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Registry {
    /// `None`: this machine has none, and this user may not install one.
    async fn start() -> Option<Self> {
        if find_executable(PROGRAM).is_none() {
            if !apt::usable() {
                eprintln!("{PROGRAM} is missing and cannot be installed here: nothing was tested");
                return None;
            }
            tokio::task::spawn_blocking(|| apt::ensure(&[PROGRAM]))
                .await
                .unwrap()
                .unwrap();
        }
        let data = tempfile::tempdir().unwrap();
        let address = {
            let free = TcpListener::bind("127.0.0.1:0").unwrap();
            free.local_addr().unwrap().to_string()
        };
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \"{address}\"}}\n",
            data.path().join("data").display()
        );
        std::fs::write(data.path().join("config.yml"), config).unwrap();
        let process = Command::new(PROGRAM)
            .arg("serve")
            .arg(data.path().join("config.yml"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let registry = Self {
            process,
            address,
            _data: data,
        };
        for _ in 0..100 {
            if std::net::TcpStream::connect(&registry.address).is_ok() {
                return Some(registry);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the registry does not listen at {}", registry.address);
    }

    /// Puts layers there; gives the digest of what names them.
    async fn push(&self, tag: &str, layers: Vec<(Vec<u8>, &str)>) -> String {
        let client = Client::new(ClientConfig {
            protocol: ClientProtocol::Http,
            ..ClientConfig::default()
        });
        let reference: Reference = format!("{}/team/fickle:{tag}", self.address)
            .parse()
            .unwrap();
        let layers: Vec<_> = layers
            .into_iter()
            .map(|(bytes, kind)| ImageLayer::new(bytes, kind.to_owned(), None))
            .collect();
        let config = Config::new(
            b"{}".to_vec(),
            "application/vnd.wasm.config.v0+json".to_owned(),
            None,
        );
        client
            .push(&reference, &layers, config, &RegistryAuth::Anonymous, None)
            .await
            .unwrap();
        client
            .fetch_manifest_digest(&reference, &RegistryAuth::Anonymous)
            .await
            .unwrap()
    }
}

fn samspel(directory: &Path, arguments: &[&str]) -> Output {
    let test = std::env::current_exe().unwrap();
    let program = std::env::var_os("SAMSPEL_PROGRAM").map_or_else(
        || {
            test.parent()
                .and_then(Path::parent)
                .unwrap()
                .join("samspel")
        },
        PathBuf::from,
    );
    Command::new(program)
        .args(arguments)
        .current_dir(directory)
        .env_remove("SAMSPEL_CONFIG")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn said(output: &Output) -> (i32, Value) {
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.lines().last().unwrap_or("null");
    (
        output.status.code().unwrap(),
        serde_json::from_str(last).unwrap(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_connector_is_installed_by_tag_and_by_digest() {
    let Some(registry) = Registry::start().await else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    std::fs::write(here.join("samspel.toml"), "[host]\nconnectors = \"none\"\n").unwrap();
    let component = fickle("1.0.0", "plain");
    std::fs::write(here.join("fickle.wasm"), &component).unwrap();
    let manifest = samspel(here, &["connector", "manifest", "fickle.wasm"]).stdout;
    let author = Author::new();
    let signature = author.sign(&manifest).into_bytes();
    let wasm = (component, "application/wasm");
    let manifest = (
        manifest,
        "application/vnd.samspel.connector.manifest.v1+json",
    );
    let signature = (signature, "application/vnd.samspel.connector.signature.v1");
    let key = author.public();
    assert!(
        samspel(here, &["connector", "trust", "add", "author", &key])
            .status
            .success()
    );
    let install = |reference: &str| {
        let source = format!("oci://{}/team/fickle{reference}", registry.address);
        said(&samspel(
            here,
            &["connector", "install", &source, "--yes", "--json"],
        ))
    };

    registry.push("bare", vec![wasm.clone()]).await;
    let (code, error) = install(":bare");
    assert_eq!(code, 9, "{error}");
    assert!(
        error["error"]["message"]
            .as_str()
            .unwrap()
            .contains("nobody signed it"),
        "{error}"
    );
    registry.push("empty", vec![manifest.clone()]).await;
    assert_eq!(install(":empty").0, 9);
    assert_eq!(install(":missing").0, 10);

    let digest = registry
        .push("1.0.0", vec![wasm, manifest, signature])
        .await;
    let (code, done) = install(":1.0.0");
    assert_eq!(code, 0, "{done}");
    assert_eq!(
        (&done["outcome"], &done["signer"]),
        (&"active".into(), &"author".into())
    );
    assert!(
        done["source"].as_str().unwrap().ends_with(&digest),
        "{done}"
    );
    let (code, again) = install(&format!("@{digest}"));
    assert_eq!(code, 0, "{again}");
    assert_eq!(again["outcome"], "unchanged");
}
