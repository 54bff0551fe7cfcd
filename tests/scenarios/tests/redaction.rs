//! No secret is ever written anywhere: the real program works with real secrets for a day, logs everything it can,
//! fails where it can, and afterwards none of them is in a log, an error, an output, or a page of the database, in any
//! form.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};
use std::process::Stdio;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use samspel_scenarios::{connectors, program};
use samspel_store::SqliteStore;
use samspel_vendors::Running;
use samspel_vendors::hubspot::{self, HubSpot, HubSpotOptions, NEWSLETTER};
use samspel_vendors::mailchimp::{self, Mailchimp, MailchimpOptions};
use samspel_vendors::vendor::Vendor;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

const WRONG_TOKEN: &str = "pat-eu1-WRONG+token/with=signs&8f3b2c";
const WRONG_KEY: &str = "0ddba11c0ffee0ddba11c0ffee0ddba1-us9";
const PASTED: &str = "pat-eu1-pasted-by-mistake-51c";

/// Everything is logged, but by the compilers, who write gigabytes about machine code and meet no secret.
const LOGGED: &str = "trace,cranelift=warn,cranelift_codegen=warn,cranelift_frontend=warn,regalloc2=warn,\
                      wasmtime=info,wasmtime_cranelift=warn,wasmtime_environ=warn,wasmtime_internal_cranelift=warn,\
                      wasmtime_internal_cache=warn";

/// What a person wrote, and wants to find again.
const BEGUN: &str = "# Ours: ask Ann before changing anything.\n[host]\nstore = \"samspel.db\"   # beside this file\n";

struct World {
    crm: Running<HubSpot>,
    newsletter: Running<Mailchimp>,
    directory: TempDir,
    /// Everything that any command printed.
    printed: Vec<u8>,
}

impl World {
    async fn new() -> Self {
        let crm = HubSpot::new(HubSpotOptions::default());
        let newsletter = Mailchimp::new(MailchimpOptions::default());
        let world = Self {
            crm: crm.serve_on_loopback().await.unwrap(),
            newsletter: newsletter.serve_on_loopback().await.unwrap(),
            directory: tempfile::tempdir().unwrap(),
            printed: Vec::new(),
        };
        std::fs::create_dir(world.file("handed-over")).unwrap();
        std::fs::write(world.file("handed-over/key"), mailchimp::DEFAULT_KEY).unwrap();
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
        let begun = format!("{BEGUN}cache = \"{}\"\n", cache.display());
        std::fs::write(world.file("samspel.toml"), begun).unwrap();
        world
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs the program with everything logged: its exit code, and the object that it prints last.
    async fn samspel(&mut self, arguments: &[&str]) -> (i32, Value) {
        let (code, said, printed) = self.quietly(arguments).await;
        self.printed.extend(printed);
        (code, said)
    }

    /// The same, where what it prints is not looked at.
    async fn quietly(&self, arguments: &[&str]) -> (i32, Value, Vec<u8>) {
        let output = Command::new(program())
            .arg("--config")
            .arg(self.file("samspel.toml"))
            .args(arguments)
            .arg("--json")
            .env("SAMSPEL_CONNECTORS", connectors())
            .env("RUST_LOG", LOGGED)
            .env("RUST_BACKTRACE", "full")
            .env("CRM_TOKEN", hubspot::DEFAULT_TOKEN)
            .env("WRONG_TOKEN", WRONG_TOKEN)
            .env("WRONG_KEY", WRONG_KEY)
            .env_remove("SAMSPEL_KEY")
            .env_remove("CREDENTIALS_DIRECTORY")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .expect("the program can be started; `cargo xtask test` builds it");
        let text = String::from_utf8_lossy(&output.stdout);
        let said = text
            .lines()
            .last()
            .and_then(|last| serde_json::from_str(last).ok());
        let said = said.unwrap_or_else(|| {
            panic!("{arguments:?}: {}", String::from_utf8_lossy(&output.stderr))
        });
        let code = output.status.code().unwrap();
        (code, said, [output.stdout, output.stderr].concat())
    }

    async fn done(&mut self, arguments: &[&str]) -> Value {
        let (code, said) = self.samspel(arguments).await;
        assert_eq!(code, 0, "{arguments:?}: {said}");
        said
    }

    /// It fails with this exit code, and says so to programs.
    async fn fails(&mut self, expected: i32, arguments: &[&str]) -> String {
        let (code, said) = self.samspel(arguments).await;
        assert_eq!(code, expected, "{arguments:?}: {said}");
        said["error"]["message"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    async fn add_crm(&mut self, name: &str, variable: &str) -> (i32, Value) {
        let endpoint = format!("https://api.hubapi.com={}", self.crm.url);
        let subscription = format!("subscription_id={NEWSLETTER}");
        let credential = format!("access:private-app-token=env:{variable}");
        let add = [
            "account",
            "add",
            name,
            "--connector",
            "hubspot",
            "--set",
            &subscription,
        ];
        let rest = ["--endpoint", &endpoint, "--credential", &credential];
        self.samspel(&[&add[..], &rest].concat()).await
    }

    async fn add_newsletter(&mut self) -> (i32, Value) {
        let dc = mailchimp::DEFAULT_KEY.rsplit_once('-').unwrap().1;
        let endpoint = format!("https://{dc}.api.mailchimp.com={}", self.newsletter.url);
        let (dc, list) = (
            format!("dc={dc}"),
            format!("list_id={}", mailchimp::LIST_ID),
        );
        let credential = format!(
            "access:api-key=file:{}",
            self.file("handed-over/key").display()
        );
        let add = ["account", "add", "newsletter", "--connector", "mailchimp"];
        let set = ["--set", &dc, "--set", &list, "--endpoint", &endpoint];
        self.samspel(&[&add[..], &set, &["--credential", &credential]].concat())
            .await
    }

    fn configure_sync(&self) {
        let file = self.file("samspel.toml");
        let sync = r#"
[syncs.contacts]
a = { account = "crm", collection = "contacts" }
b = { account = "newsletter", collection = "members" }
match = { a = "email", b = "email_address" }
new-members = "transactional"
first-sync = "a"
fields = [{ a = "email", b = "email_address" }, { a = "firstname", b = "FNAME" }]
"#;
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.starts_with(BEGUN), "what a person wrote stays: {text}");
        assert_eq!(
            text.matches("{ scheme").count() + text.matches("{ vault").count(),
            2,
            "{text}"
        );
        assert_eq!(text.matches("vault = true").count(), 2, "{text}");
        std::fs::write(&file, text + sync).unwrap();
    }

    /// Everything in the directory, but what was handed over and the key.
    fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        std::fs::read_dir(self.directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file() && *path != self.file("samspel.key"))
            .map(|path| {
                let bytes = std::fs::read(&path).unwrap();
                (path, bytes)
            })
            .collect()
    }
}

/// The forms in which a secret may stand somewhere.
fn forms(secret: &str) -> Vec<(&'static str, Vec<u8>)> {
    let percent = |all: bool, upper: bool| -> Vec<u8> {
        let mut text = String::new();
        for byte in secret.bytes() {
            let plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
            match (plain && !all, upper) {
                (true, _) => text.push(char::from(byte)),
                (false, true) => text.push_str(&format!("%{byte:02X}")),
                (false, false) => text.push_str(&format!("%{byte:02x}")),
            }
        }
        text.into_bytes()
    };
    let mut forms = vec![
        ("plain", secret.as_bytes().to_vec()),
        ("hex", hex::encode(secret).into_bytes()),
        ("HEX", hex::encode_upper(secret).into_bytes()),
        ("percent", percent(false, true)),
        ("percent, lower case", percent(false, false)),
        ("percent, everything", percent(true, true)),
    ];
    // Inside of a longer text base64 begins at any of three places; what depends on the neighbours is left out.
    for before in 0..3 {
        let bytes = [&vec![0; before][..], secret.as_bytes()].concat();
        let (first, last) = ([0, 2, 3][before], bytes.len() * 8 / 6);
        let part = |text: String| text.into_bytes()[first..last].to_vec();
        forms.push(("base64", part(STANDARD_NO_PAD.encode(&bytes))));
        forms.push(("base64url", part(URL_SAFE_NO_PAD.encode(&bytes))));
    }
    forms
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window[0] == needle[0] && window == needle)
}

#[test]
fn the_search_finds_each_form() {
    let secret = "p+t/ö-1";
    let basic = STANDARD_NO_PAD.encode(format!("anybody:{secret} and more"));
    let found = |text: &str| {
        forms(secret)
            .iter()
            .any(|(_, form)| contains(text.as_bytes(), form))
    };
    for text in [
        "a p+t/ö-1 b",
        "p%2Bt%2F%C3%B6-1",
        "p%2bt%2f%c3%b6-1",
        &hex::encode(secret),
        &basic,
        &STANDARD_NO_PAD.encode(format!("a{secret}")),
        &URL_SAFE_NO_PAD.encode(format!("ab{secret}")),
    ] {
        assert!(found(text), "{text}");
    }
    assert!(!found("nothing of it"));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_written_anywhere() {
    let mut world = World::new().await;
    // An open store keeps the write-ahead log, so that its pages are looked at too.
    let store = SqliteStore::open(&world.file("samspel.db"), "main")
        .await
        .unwrap();

    // Accounts: one that works, from the environment and from a file; one that does not; one that is pasted.
    let (code, said) = world.add_crm("wrong", "WRONG_TOKEN").await;
    assert_eq!(code, 4, "{said}");
    let (code, said) = world.add_crm("crm", "CRM_TOKEN").await;
    assert_eq!(code, 0, "{said}");
    let (code, said) = world.add_newsletter().await;
    assert_eq!(code, 0, "{said}");
    let pasted = format!("access={PASTED}");
    let add = [
        "account",
        "add",
        "other",
        "--connector",
        "hubspot",
        "--credential",
    ];
    world.fails(2, &[&add[..], &[&pasted]].concat()).await;
    world
        .fails(2, &["account", "add", "crm", "--connector", "hubspot"])
        .await;

    // A first sync, and looking at everything.
    world.configure_sync();
    for name in ["ann", "bo"] {
        let act = json!({ "act": "create", "properties": {
            "email": format!("{name}@firma.se"), "firstname": name } });
        world
            .crm
            .vendor
            .act(serde_json::from_value(act).unwrap())
            .unwrap();
    }
    world.done(&["sync", "plan", "contacts"]).await;
    let run = ["sync", "run", "contacts", "--yes", "--log-format", "json"];
    let done = world.done(&run).await;
    assert_eq!(done["writes"], 2);
    world.done(&["sync", "status", "contacts"]).await;
    world.done(&["account", "check"]).await;
    world.samspel(&["doctor"]).await;

    // A secret that does not work is not kept.
    let reauthorise = ["account", "reauthorise", "newsletter", "--credential"];
    world
        .fails(4, &[&reauthorise[..], &["access=env:WRONG_KEY"]].concat())
        .await;
    world.fails(2, &["account", "check", "nobody"]).await;
    let again = format!("access=file:{}", world.file("handed-over/key").display());
    world.done(&[&reauthorise[..], &[&again]].concat()).await;

    // Tokens: the one time that one is shown is the only one.
    let create = [
        "token",
        "create",
        "ann",
        "--role",
        "admin",
        "--expires",
        "90d",
    ];
    let (code, created, _) = world.quietly(&create).await;
    assert_eq!(code, 0, "{created}");
    let token = created["token"].as_str().unwrap().to_owned();
    assert!(token.starts_with("samspel_"), "{created}");
    world.fails(2, &create).await;
    let listed = world.done(&["token", "list"]).await;
    assert_eq!(listed["tokens"][0]["id"], created["id"]);
    world
        .done(&["token", "revoke", created["id"].as_str().unwrap()])
        .await;

    // Another key opens everything.
    let key = |world: &World| std::fs::read_to_string(world.file("samspel.key")).unwrap();
    let old = key(&world);
    let rotated = world.done(&["key", "rotate"]).await;
    assert_eq!(rotated["sealed"], 2);
    let new = key(&world);
    assert_ne!(old, new);
    world.done(&["account", "check"]).await;

    // Who did what.
    let audit = world.done(&["audit", "list"]).await;
    let acts: Vec<(String, String)> = audit["entries"]
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .map(|entry| {
            assert!(
                entry["who"].as_str().unwrap().starts_with("cli:"),
                "{entry}"
            );
            let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
            (text("action"), text("outcome"))
        })
        .collect();
    let expected = [
        ("account add", "failed"),
        // A command line that is not understood asks for nothing, and leaves nothing here.
        ("account add", "done"),
        ("account add", "done"),
        ("sync run", "done"),
        ("account reauthorise", "failed"),
        ("account reauthorise", "done"),
        ("token create", "done"),
        ("token create", "failed"),
        ("token revoke", "done"),
        ("key rotate", "done"),
    ];
    let expected = expected.map(|(action, outcome)| (action.to_owned(), outcome.to_owned()));
    assert_eq!(acts, expected);

    // An account goes with its secrets.
    let text = std::fs::read_to_string(world.file("samspel.toml")).unwrap();
    let (before, _) = text.split_once("\n[syncs.contacts]").unwrap();
    std::fs::write(world.file("samspel.toml"), before).unwrap();
    let removed = world
        .done(&["account", "remove", "newsletter", "--yes"])
        .await;
    assert_eq!(removed["forgotten_secrets"], 1);
    world.fails(2, &["account", "check", "newsletter"]).await;

    let files = world.files();
    let names: Vec<_> = files
        .iter()
        .map(|(path, _)| path.file_name().unwrap())
        .collect();
    assert!(names.contains(&"samspel.db-wal".as_ref()), "{names:?}");
    // The search looks at what is there.
    let database = files
        .iter()
        .filter(|(path, _)| path != &world.file("samspel.toml"));
    assert!(
        database
            .into_iter()
            .any(|(_, bytes)| contains(bytes, b"ann@firma.se"))
    );
    assert!(contains(&world.printed, b"HTTP exchange"));
    let secrets = [
        ("the CRM's token", hubspot::DEFAULT_TOKEN),
        ("the newsletter's key", mailchimp::DEFAULT_KEY),
        ("a wrong token", WRONG_TOKEN),
        ("a wrong key", WRONG_KEY),
        ("a pasted token", PASTED),
        ("a bearer token", &token),
        ("the vault's old key", old.trim()),
        ("the vault's key", new.trim()),
    ];
    for (what, secret) in secrets {
        for (form, needle) in forms(secret) {
            if contains(&world.printed, &needle) {
                let at = world
                    .printed
                    .windows(needle.len())
                    .position(|found| found == needle);
                let at = at.unwrap();
                let line =
                    &world.printed[at.saturating_sub(300)..(at + 100).min(world.printed.len())];
                panic!(
                    "{what} was printed ({form}): {}",
                    String::from_utf8_lossy(line)
                );
            }
            for (path, bytes) in &files {
                assert!(
                    !contains(bytes, &needle),
                    "{what} is in {} ({form})",
                    path.display()
                );
            }
        }
    }
    store.close().await;
}
