//! The real program installs connectors, swaps them while it serves, and goes back from bad ones by itself.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use samspel_scenarios::Author;
use samspel_scenarios::program;
use samspel_scenarios::versions::{fickle, patched};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// Two syncs between accounts of one connector. `big` is an account for which bad versions are bad.
struct World {
    directory: TempDir,
    author: Author,
}

impl World {
    /// Nothing is installed yet; the author's key is trusted.
    async fn new() -> Self {
        let world = Self {
            directory: tempfile::tempdir().unwrap(),
            author: Author::new(),
        };
        std::fs::create_dir(world.file("drop")).unwrap();
        std::fs::write(world.file("samspel.toml"), configuration()).unwrap();
        let key = world.author.public();
        world
            .done(&["connector", "trust", "add", "author", &key])
            .await;
        world
    }

    /// With version 1.0.0, and both syncs past their first run.
    async fn running() -> Self {
        let world = Self::new().await;
        let first = world.signed("1.wasm", &fickle("1.0.0", "plain")).await;
        world.done(&["connector", "install", &first, "--yes"]).await;
        for sync in ["large", "tiny"] {
            let report = world.done(&["sync", "run", sync, "--yes"]).await;
            assert_eq!(report["writes"], 0);
        }
        world
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Puts a component there, without a manifest.
    fn unsigned(&self, name: &str, component: &[u8]) -> String {
        std::fs::write(self.file(name), component).unwrap();
        self.file(name).to_str().unwrap().to_owned()
    }

    /// The same with its manifest, signed by its author. The component comes last: a watcher finds it complete.
    async fn signed(&self, name: &str, component: &[u8]) -> String {
        let draft = self.unsigned("draft.wasm", component);
        let (code, _, manifest) = self.run(&["connector", "manifest", &draft]).await;
        assert_eq!(code, 0, "{manifest}");
        let manifest_name = format!("{name}.manifest.json");
        std::fs::write(self.file(&manifest_name), &manifest).unwrap();
        let signature = self.author.sign(manifest.as_bytes());
        std::fs::write(self.file(&format!("{manifest_name}.minisig")), signature).unwrap();
        self.unsigned(name, component)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command
            .arg("--config")
            .arg(self.file("samspel.toml"))
            .args(arguments)
            .env_remove("SAMSPEL_KEY")
            .env_remove("SAMSPEL_CONNECTORS")
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Exit code, the object that was printed last, and all that was printed.
    async fn run(&self, arguments: &[&str]) -> (i32, Value, String) {
        let output = self
            .command(arguments)
            .arg("--json")
            .output()
            .await
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let last = text.lines().last().unwrap_or("null");
        let last = serde_json::from_str(last).unwrap_or(Value::Null);
        (output.status.code().unwrap(), last, text)
    }

    async fn done(&self, arguments: &[&str]) -> Value {
        let (code, said, text) = self.run(arguments).await;
        assert_eq!(code, 0, "{arguments:?}: {text}");
        said
    }

    /// The command is refused with this code; gives the message.
    async fn refused(&self, arguments: &[&str], with: i32) -> String {
        let (code, said, text) = self.run(arguments).await;
        assert_eq!(code, with, "{arguments:?}: {text}");
        said["error"]["message"].as_str().unwrap().to_owned()
    }

    /// The version in this file waits for approval: of records of the large sync something else would be decided.
    async fn waits_for(&self, file: &str, about: &str) {
        let (code, said, _) = self.run(&["connector", "upgrade", "fickle", file]).await;
        assert_eq!(code, 6, "{said}");
        let asks = said["error"]["connector"]["asks"].as_array().unwrap();
        assert!(
            asks.iter().any(|line| {
                let line = line.as_str().unwrap();
                line.starts_with("sync `large`: of record")
                    && line.ends_with(&format!("other writes: {about}"))
            }),
            "{asks:?}"
        );
    }

    async fn history(&self) -> Value {
        self.done(&["connector", "history", "fickle", "--limit", "100"])
            .await
    }

    /// The stage of a version.
    async fn stage(&self, version: &str) -> String {
        let history = self.history().await;
        let revisions = history["revisions"].as_array().unwrap();
        let found = revisions.iter().find(|one| one["version"] == version);
        found.unwrap_or_else(|| panic!("{history}"))["stage"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// Which version an account's connector says that it is.
    async fn version_of(&self, account: &str) -> String {
        let said = self.done(&["account", "check", account]).await;
        said["identity"]["label"].as_str().unwrap().to_owned()
    }

    fn serve(&self) -> Child {
        let log = std::fs::File::create(self.file("serve.log")).unwrap();
        self.command(&["serve"])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.file("serve.log")).unwrap()
    }

    /// Waits until the log has a text; gives where it ends.
    async fn until_logged(&self, text: &str) -> usize {
        for _ in 0..120 {
            if let Some(at) = self.log().find(text) {
                return at + text.len();
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        panic!("`{text}` is not in the log: {}", self.log());
    }

    /// Waits until the history tells of an act.
    async fn until(&self, act: &str, with: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..120 {
            let history = self.history().await;
            let events = history["events"].as_array().unwrap();
            if let Some(found) = events.iter().find(|one| one["act"] == act && with(one)) {
                return found.clone();
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        panic!(
            "nothing was {act}: {}\n{}",
            self.history().await,
            self.log()
        );
    }
}

fn configuration() -> String {
    let account = |name: &str, settings: &str| {
        format!("[accounts.{name}]\nconnector = \"fickle\"\nsettings = {{ {settings} }}\n")
    };
    let sync = |name: &str, a: &str, b: &str| {
        format!(
            "[syncs.{name}]\na = {{ account = \"{a}\", collection = \"things\" }}\n\
             b = {{ account = \"{b}\", collection = \"things\" }}\nmatch = {{ a = \"key\", b = \"key\" }}\n\
             new-members = \"transactional\"\nfirst-sync = \"a\"\ninterval = \"1s\"\n\
             fields = [{{ a = \"key\", b = \"key\" }}, {{ a = \"name\", b = \"name\" }}]\n"
        )
    };
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
    [
        format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n\n[host]\ncache = \"{}\"\nconnectors = \"none\"\nwatch = \"drop\"\n",
            cache.display()
        ),
        account("big", "records = 35, fragile = true"),
        account("mirror", "records = 35"),
        account("small", "records = 5, fragile = true"),
        account("pocket", "records = 5"),
        sync("large", "big", "mirror"),
        sync("tiny", "small", "pocket"),
    ]
    .concat()
}

/// Versions that are swapped under a serving host: a good one from the watched directory, and one that panics on its
/// third page.
#[tokio::test(flavor = "multi_thread")]
async fn a_bad_version_goes_back_by_itself_and_only_its_account_notices() {
    let world = World::running().await;
    let mut serving = world.serve();
    world
        .signed("drop/good.wasm", &fickle("1.1.0", "plain"))
        .await;
    world
        .until("activated", |event| event["detail"]["version"] == "1.1.0")
        .await;
    assert_eq!(world.version_of("big").await, "1.1.0");
    world
        .until("retired", |event| event["detail"]["version"] == "1.0.0")
        .await;

    let bad = world.signed("2.wasm", &fickle("2.0.0", "third")).await;
    let said = world.done(&["connector", "upgrade", "fickle", &bad]).await;
    assert_eq!(said["outcome"], "active");
    let event = world
        .until("account-rolled-back", |event| event["account"] == "big")
        .await;
    assert!(
        event["who"].as_str().unwrap().starts_with("samspel serve"),
        "{event}"
    );
    // The others have it, and never noticed.
    assert_eq!(world.stage("2.0.0").await, "active");
    for account in ["mirror", "small", "pocket"] {
        assert_eq!(world.version_of(account).await, "2.0.0");
    }
    assert_eq!(world.version_of("big").await, "1.1.0");
    // The large sync goes on by itself, and nothing was ever wrong with the other.
    let after = world.until_logged("ROLLED BACK").await;
    for _ in 0..120 {
        let log = world.log();
        let mut since = log[after..].lines();
        if since.any(|line| line.contains("sync=\"large\"") && line.contains("synced")) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    let log = world.log();
    let lines = || log[after..].lines().filter(|line| line.contains("synced"));
    assert!(lines().any(|line| line.contains("sync=\"large\"")), "{log}");
    let sore =
        |line: &&str| line.contains("tiny") && (line.contains("WARN") || line.contains("ERROR"));
    assert_eq!(log.lines().find(sore), None, "{log}");

    // What nobody signed is not taken from the directory, and what is good supersedes what was kept.
    world.unsigned("drop/unsigned.wasm", &fickle("3.0.0", "plain"));
    world
        .signed("drop/better.wasm", &fickle("2.1.0", "plain"))
        .await;
    world
        .until("activated", |event| event["detail"]["version"] == "2.1.0")
        .await;
    assert_eq!(world.version_of("big").await, "2.1.0");
    let history = world.history().await;
    let taken = history["revisions"].as_array().unwrap().iter();
    assert_eq!(taken.filter(|one| one["version"] == "3.0.0").count(), 0);
    assert!(world.log().contains("nobody signed it"), "{}", world.log());

    // A restart finds the same files, and takes none of them for news: neither what is old nor what was left.
    serving.kill().await.unwrap();
    let activated = |history: Value| {
        let events = history["events"].as_array().unwrap().clone();
        events
            .iter()
            .filter(|one| one["act"] == "activated")
            .count()
    };
    let before = activated(world.history().await);
    let mut serving = world.serve();
    world.until_logged("nobody signed it").await;
    world.until_logged("synced").await;
    assert_eq!(activated(world.history().await), before);
    assert_eq!(world.version_of("big").await, "2.1.0");
    serving.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn when_several_accounts_go_back_all_do() {
    let world = World::running().await;
    let bad = world.signed("2.wasm", &fickle("2.0.0", "denied")).await;
    world.done(&["connector", "upgrade", "fickle", &bad]).await;
    world.done(&["sync", "run", "large"]).await;
    assert_eq!(world.version_of("big").await, "1.0.0");
    assert_eq!(world.version_of("pocket").await, "2.0.0");
    world.done(&["sync", "run", "tiny"]).await;
    for account in ["big", "mirror", "small", "pocket"] {
        assert_eq!(world.version_of(account).await, "1.0.0");
    }
    assert_eq!(world.stage("1.0.0").await, "active");
    assert_eq!(world.stage("2.0.0").await, "retired");
    let event = world.until("rolled-back", |_| true).await;
    assert!(
        event["detail"]["why"]
            .as_str()
            .unwrap()
            .contains("big, small"),
        "{event}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_asks_for_more_waits_and_a_canary_is_for_its_accounts() {
    let world = World::running().await;
    let more = world.signed("2.wasm", &fickle("2.0.0", "more")).await;
    let (code, said, _) = world.run(&["connector", "upgrade", "fickle", &more]).await;
    assert_eq!(code, 6, "{said}");
    let asked = &said["error"]["connector"]["more"];
    assert_eq!(
        asked["egress"],
        json!(["POST https://elsewhere.example.com/"])
    );
    assert_eq!(asked["credentials"], json!(["access (token): bearer"]));
    assert_eq!(asked["collections"], json!([]));
    // Nothing of it runs with an account before somebody agreed.
    assert_eq!(world.stage("2.0.0").await, "compiled");
    assert_eq!(world.version_of("big").await, "1.0.0");

    world
        .refused(&["connector", "approve", "fickle", "--canary", "nobody"], 2)
        .await;
    let said = world
        .done(&[
            "connector",
            "approve",
            "fickle",
            "2.0.0",
            "--canary",
            "small",
        ])
        .await;
    assert_eq!(said["canary"], json!(["small"]));
    assert_eq!(world.version_of("small").await, "2.0.0");
    assert_eq!(world.version_of("big").await, "1.0.0");
    let said = world.done(&["connector", "approve", "fickle"]).await;
    assert_eq!(said["outcome"], "active");
    assert_eq!(world.version_of("big").await, "2.0.0");

    // By hand: back, and not twice.
    let back = world.done(&["connector", "rollback", "fickle"]).await;
    assert_eq!(back["name"], "fickle");
    assert_eq!(world.version_of("big").await, "1.0.0");
    world.refused(&["connector", "rollback", "fickle"], 2).await;
    world
        .done(&["connector", "rollback", "fickle", "--to", "2.0.0"])
        .await;
    assert_eq!(world.version_of("small").await, "2.0.0");

    // A canary that is no good leaves by itself.
    let bad = world.signed("3.wasm", &fickle("3.0.0", "third")).await;
    world
        .done(&["connector", "upgrade", "fickle", &bad, "--canary", "big"])
        .await;
    let (code, ..) = world.run(&["sync", "run", "large"]).await;
    assert_eq!(code, 9);
    world.done(&["sync", "run", "large"]).await;
    assert_eq!(world.stage("3.0.0").await, "refused");
    assert_eq!(world.version_of("big").await, "2.0.0");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_write_otherwise_waits_for_a_word() {
    let world = World::running().await;
    let same = world.signed("1-1.wasm", &fickle("1.1.0", "plain")).await;
    let said = world.done(&["connector", "upgrade", "fickle", &same]).await;
    assert_eq!(said["outcome"], "active");
    // Of the 35 linked records of the large sync so many were asked for with both versions.
    assert_eq!(said["probes"][0]["compared"], 20, "{said}");
    assert_eq!(said["probes"][0]["differs"], json!([]));

    let other = world.signed("2.wasm", &fickle("2.0.0", "renames")).await;
    world.waits_for(&other, "b.name").await;
    assert_eq!(world.stage("2.0.0").await, "probed");
    assert_eq!(world.version_of("big").await, "1.1.0");
    // Nothing was written, and nothing that the other one read was stored.
    let report = world.done(&["sync", "run", "large"]).await;
    assert_eq!(report["writes"], 0);

    // Who tries it out sees it too, and is not asked.
    let said = world
        .done(&[
            "connector",
            "upgrade",
            "fickle",
            &other,
            "--canary",
            "small",
        ])
        .await;
    assert_eq!(said["outcome"], "canary");
    assert_eq!(said["probes"][0]["account"], "small");
    assert_eq!(said["probes"][0]["compared"], 5);
    assert_ne!(said["probes"][0]["differs"], json!([]));
    let said = world.done(&["connector", "approve", "fickle"]).await;
    assert_eq!(said["outcome"], "active");
    assert_eq!(world.version_of("big").await, "2.0.0");
}

/// The sync's filter cannot be applied to what another version reads: nothing would be written, and it is no small
/// thing.
#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_another_version_breaks_is_a_difference() {
    let world = World::running().await;
    let filter = "filter = { a = \"record.name.startsWith('Thing') || int(record.name) > 0\" }";
    let text = configuration().replace("[syncs.large]\n", &format!("[syncs.large]\n{filter}\n"));
    std::fs::write(world.file("samspel.toml"), text).unwrap();
    world.done(&["sync", "run", "large", "--yes"]).await;
    let other = world.signed("2.wasm", &fickle("2.0.0", "renames")).await;
    world.waits_for(&other, "filter").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_do_what_every_connector_must_is_refused() {
    let world = World::running().await;
    let lost = world.signed("2.wasm", &fickle("2.0.0", "nowhere")).await;
    let told = world
        .refused(&["connector", "upgrade", "fickle", &lost], 9)
        .await;
    assert!(told.contains("gives no position to read on from"), "{told}");
    assert_eq!(world.stage("2.0.0").await, "refused");
    assert_eq!(world.version_of("big").await, "1.0.0");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_components_of_versions_that_nobody_goes_back_to_are_removed() {
    let world = World::running().await;
    for version in 1..=8 {
        let name = format!("1.{version}.wasm");
        let next = fickle(&format!("1.{version}.0"), "plain");
        let next = world.signed(&name, &next).await;
        world.done(&["connector", "upgrade", "fickle", &next]).await;
    }
    // Its row tells of it; the component is gone.
    assert_eq!(world.stage("1.0.0").await, "retired");
    let told = world
        .refused(&["connector", "rollback", "fickle", "--to", "1.0.0"], 9)
        .await;
    assert!(told.contains("is not in the store"), "{told}");
    assert_eq!(world.version_of("big").await, "1.8.0");
    world
        .done(&["connector", "rollback", "fickle", "--to", "1.4.0"])
        .await;
    assert_eq!(world.version_of("big").await, "1.4.0");
}

#[tokio::test(flavor = "multi_thread")]
async fn unsigned_tampered_and_unexpected_components_are_refused() {
    let world = World::new().await;
    let plain = fickle("1.0.0", "plain");
    let install = async |source: &str| {
        world
            .refused(&["connector", "install", source, "--yes"], 9)
            .await
    };

    let unsigned = world.unsigned("unsigned.wasm", &plain);
    assert!(install(&unsigned).await.contains("nobody signed it"));
    // Its bytes are not those that were signed.
    let tampered = world.signed("tampered.wasm", &plain).await;
    world.unsigned("tampered.wasm", &fickle("1.0.0", "third"));
    assert!(
        install(&tampered)
            .await
            .contains("not the component that was signed")
    );
    // Its manifest says more than what was signed.
    let edited = world.signed("edited.wasm", &plain).await;
    let manifest = world.file("edited.wasm.manifest.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text.replace("/v1", "/")).unwrap();
    assert!(install(&edited).await.contains("changed since"));
    // Its signature is somebody else's.
    let stranger = World::new().await;
    let foreign = stranger.signed("foreign.wasm", &plain).await;
    assert!(install(&foreign).await.contains("none of the keys"));

    let digest = "00".repeat(32);
    let told = world
        .refused(
            &[
                "connector",
                "install",
                &unsigned,
                "--dev",
                "--yes",
                "--sha256",
                &digest,
            ],
            9,
        )
        .await;
    assert!(told.contains("its SHA-256 is"), "{told}");
    // A URL without a digest is not even fetched.
    world
        .refused(
            &["connector", "install", "https://example.invalid/a.wasm"],
            2,
        )
        .await;

    let signed = world.signed("1.wasm", &plain).await;
    let said = world
        .done(&["connector", "install", &signed, "--yes"])
        .await;
    assert_eq!(said["signer"], "author");
    // A version means one component, whoever signs it.
    let other = world.signed("other.wasm", &fickle("1.0.0", "third")).await;
    let told = world
        .refused(&["connector", "upgrade", "fickle", &other], 9)
        .await;
    assert!(told.contains("a version means one component"), "{told}");
    // One that does not answer for an account is never used.
    let dead = world.signed("dead.wasm", &fickle("2.0.0", "check")).await;
    let told = world
        .refused(&["connector", "upgrade", "fickle", &dead], 9)
        .await;
    assert!(told.contains("does not work for account `big`"), "{told}");
    world
        .done(&["connector", "trust", "remove", "author"])
        .await;
    let late = world.signed("late.wasm", &fickle("3.0.0", "plain")).await;
    let told = world
        .refused(&["connector", "upgrade", "fickle", &late], 9)
        .await;
    assert!(told.contains("no key is trusted"), "{told}");
    assert_eq!(world.version_of("big").await, "1.0.0");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_lead_nowhere() {
    let world = World::new().await;
    let trick = patched(
        "hostile",
        "samspel-hostile-describe:nothing.",
        "samspel-hostile-describe:name.",
    );
    let trick = world.unsigned("trick.wasm", &trick);
    let told = world
        .refused(&["connector", "install", &trick, "--dev", "--yes"], 9)
        .await;
    assert!(told.contains("name"), "{told}");
    for command in [
        &["connector", "trust", "add", "../../etc", "key"][..],
        &["connector", "upgrade", "../../etc/passwd", "a.wasm"],
        &["connector", "rollback", "../fickle"],
        &["connector", "install", "oci://127.0.0.1:1/../../etc:1"],
        &["connector", "install", "file:///etc/passwd"],
        &["connector", "install", "http://127.0.0.1/a.wasm"],
    ] {
        world.refused(command, 2).await;
    }
    // A link in a watched directory could lead anywhere.
    std::os::unix::fs::symlink(&trick, world.file("drop/link.wasm")).unwrap();
    let drop = world.file("drop");
    let said = world
        .done(&["connector", "install", drop.to_str().unwrap()])
        .await;
    assert_eq!(said["connectors"], json!([]));
}
