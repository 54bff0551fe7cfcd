//! The real program, as an operator works with it from day to day, against simulated vendors: exit codes, and what
//! `--json` says.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};
use std::process::Stdio;

use samspel_scenarios::{connectors, program};
use samspel_vendors::Running;
use samspel_vendors::hubspot::{self, HubSpot, HubSpotOptions, NEWSLETTER};
use samspel_vendors::mailchimp::{self, Mailchimp, MailchimpOptions};
use samspel_vendors::vendor::Vendor;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

/// Two vendors and a configuration that keeps them in step.
struct World {
    crm: Running<HubSpot>,
    newsletter: Running<Mailchimp>,
    directory: TempDir,
}

impl World {
    /// `company`: how that field is mapped.
    async fn new(company: &str) -> Self {
        let crm = HubSpot::new(HubSpotOptions::default());
        let newsletter = Mailchimp::new(MailchimpOptions::default());
        let crm = crm.serve_on_loopback().await.unwrap();
        let newsletter = newsletter.serve_on_loopback().await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("token"), hubspot::DEFAULT_TOKEN).unwrap();
        std::fs::write(directory.path().join("key"), mailchimp::DEFAULT_KEY).unwrap();
        let world = Self {
            crm,
            newsletter,
            directory,
        };
        std::fs::write(world.file("samspel.toml"), world.configuration(company)).unwrap();
        world
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn configuration(&self, company: &str) -> String {
        let dc = mailchimp::DEFAULT_KEY.rsplit_once('-').unwrap().1;
        format!(
            r#"
[host]
cache = "{cache}"

[accounts.crm]
connector = "hubspot"
rate-limits = false
settings = {{ subscription_id = {NEWSLETTER} }}
credentials.access = {{ scheme = "private-app-token", file = "token" }}
endpoints = {{ "https://api.hubapi.com" = "{crm}" }}

[accounts.newsletter]
connector = "mailchimp"
rate-limits = false
settings = {{ dc = "{dc}", list_id = "{list}" }}
credentials.access = {{ scheme = "api-key", file = "key" }}
endpoints = {{ "https://{dc}.api.mailchimp.com" = "{newsletter}" }}

[syncs.contacts]
a = {{ account = "crm", collection = "contacts" }}
b = {{ account = "newsletter", collection = "members" }}
match = {{ a = "email", b = "email_address" }}
new-members = "transactional"
first-sync = "a"
fields = [
  {{ a = "email", b = "email_address" }},
  {{ a = "firstname", b = "FNAME" }},
  {{ a = "company", b = "COMPANY"{company} }},
]
"#,
            cache = Path::new(env!("CARGO_TARGET_TMPDIR"))
                .join("compiled")
                .display(),
            crm = self.crm.url,
            newsletter = self.newsletter.url,
            list = mailchimp::LIST_ID,
        )
    }

    /// Runs the program: its exit code, and the object that it prints last.
    async fn samspel(&self, arguments: &[&str]) -> (i32, Value) {
        let output = Command::new(program())
            .arg("--config")
            .arg(self.file("samspel.toml"))
            .args(arguments)
            .arg("--json")
            .env("SAMSPEL_CONNECTORS", connectors())
            .env_remove("SAMSPEL_KEY")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .expect("the program can be started; `cargo xtask test` builds it");
        let text = String::from_utf8(output.stdout).unwrap();
        let last = text.lines().last().unwrap_or_else(|| {
            panic!("{arguments:?}: {}", String::from_utf8_lossy(&output.stderr))
        });
        (
            output.status.code().unwrap(),
            serde_json::from_str(last).unwrap(),
        )
    }

    /// The same, where it must succeed.
    async fn done(&self, arguments: &[&str]) -> Value {
        let (code, said) = self.samspel(arguments).await;
        assert_eq!(code, 0, "{arguments:?}: {said}");
        said
    }

    fn crm(&self, act: Value) -> Value {
        let act = serde_json::from_value(act).unwrap();
        self.crm.vendor.act(act).unwrap()
    }

    fn newsletter(&self, act: Value) -> Value {
        let act = serde_json::from_value(act).unwrap();
        self.newsletter.vendor.act(act).unwrap()
    }

    fn add(&self, name: &str) {
        self.crm(json!({ "act": "create", "properties": {
            "email": email(name), "firstname": name, "company": "Firma" } }));
    }

    fn later(&self) {
        self.crm.vendor.core().clock.advance(5_000);
        self.newsletter.vendor.core().clock.advance(5_000);
    }

    fn opted_out_in_crm(&self, name: &str) -> bool {
        let page = self.crm.vendor.dump(0, false);
        let lines = String::from_utf8(page.lines).unwrap();
        let mut contacts = lines
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        let contact = contacts.find(|contact| {
            contact["archived"] == false && contact["properties"]["email"] == email(name).as_str()
        });
        let consent = &contact.expect("a contact")["consent"];
        consent["unsubscribedAll"] == true
            || consent["subscriptions"][NEWSLETTER.to_string()] == "UNSUBSCRIBED"
    }
}

fn email(name: &str) -> String {
    format!("{name}@firma.se")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_agreed_to_by_its_hash_and_a_run_is_explained_and_taken_back() {
    let world = World::new("").await;
    for name in ["ann", "bo", "cia"] {
        world.add(name);
    }
    let plan = world
        .done(&["sync", "plan", "contacts", "--limit", "1"])
        .await;
    assert_eq!(plan["create"]["b"], 3);
    assert_eq!(plan["samples"].as_array().unwrap().len(), 1);
    assert_eq!(plan["mapping"], json!([]));
    let hash = plan["hash"].as_str().unwrap().to_owned();
    let run = ["sync", "run", "contacts", "--plan"];
    let (code, refused) = world.samspel(&[&run[..], &["0123456789ab"]].concat()).await;
    assert_eq!(code, 6);
    assert_eq!(refused["error"]["plan"]["hash"], hash.as_str());
    let done = world.done(&[&run[..], &[&hash[..12]]].concat()).await;
    assert_eq!(
        (&done["writes"], &done["accounts"]["applied"]),
        (&json!(3), &json!(3))
    );

    world.later();
    world.crm(
        json!({ "act": "edit", "contact": email("ann"), "properties": { "firstname": "Anna" } }),
    );
    let wrong = world.done(&["sync", "run", "contacts"]).await;
    let status = world.done(&["sync", "status", "contacts"]).await;
    assert_eq!(status["runs"][0]["id"], wrong["run"]);
    assert_eq!(status["accounts"], wrong["accounts"]);
    let id = wrong["run"].as_str().unwrap();
    let told = world
        .done(&["history", &email("ann"), "--field", "FNAME"])
        .await;
    let field = &told["found"][0]["fields"][0];
    assert_eq!(
        (&field["value"], &field["run"]),
        (&json!("Anna"), &json!(id))
    );

    let (code, _) = world.samspel(&["undo", id]).await;
    assert_eq!(code, 6, "somebody must agree");
    let undone = world.done(&["undo", id, "--yes"]).await;
    assert_eq!(
        (&undone["reverted"]["b"], &undone["left"]),
        (&json!(1), &json!(0))
    );
    let (code, drift) = world.samspel(&["sync", "verify", "contacts"]).await;
    assert_eq!((code, &drift["unequal"]), (7, &json!(1)));
    let healed = world.done(&["sync", "verify", "contacts", "--heal"]).await;
    assert_eq!(healed["healed"], 1);
    let equal = world.done(&["sync", "verify", "contacts"]).await;
    assert_eq!(
        (&equal["unequal"], &equal["equal_share"]),
        (&json!(0), &json!(1.0))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_names_a_field_whose_values_do_not_come_back() {
    let world = World::new(r#", to-b = "value.upperAscii()""#).await;
    world.add("ann");
    world.crm(json!({ "act": "create", "properties": { "email": email("bo"), "company": "AB" } }));
    let about = |said: &Value| -> Vec<Value> {
        let findings = said["findings"].as_array().unwrap().iter();
        findings
            .filter(|found| found["check"] == "mapping of contacts")
            .cloned()
            .collect()
    };
    // Nothing is stored yet: one page of each remote is tried.
    let (code, said) = world.samspel(&["doctor"]).await;
    assert_eq!(code, 1);
    let [found] = about(&said).try_into().unwrap();
    let message = found["message"].as_str().unwrap();
    assert!(
        message.contains("(`company=COMPANY`): of 2 values of crm, 1 do not come back"),
        "{message}"
    );
    assert!(found["remedy"].as_str().unwrap().contains("a-to-b"));
    // A plan says the same of what it read.
    let plan = world.done(&["sync", "plan", "contacts"]).await;
    assert_eq!(plan["mapping"][0]["message"], message);

    let one_way = world.configuration(r#", to-b = "value.upperAscii()", direction = "a-to-b""#);
    std::fs::write(world.file("samspel.toml"), one_way).unwrap();
    let (_, said) = world.samspel(&["doctor"]).await;
    assert_eq!(about(&said), Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_address_comes_back_opted_out_and_no_run_starts_without_the_key() {
    let world = World::new("").await;
    world.add("ann");
    world.done(&["sync", "run", "contacts", "--yes"]).await;
    world.later();
    world.newsletter(json!({ "act": "unsubscribe", "member": email("ann") }));
    world.done(&["sync", "run", "contacts"]).await;
    world.crm(json!({ "act": "delete", "contact": email("ann") }));
    world.newsletter(json!({ "act": "delete", "member": email("ann") }));
    let erased = world
        .done(&["erase", &email("ann"), "--sync", "contacts", "--yes"])
        .await;
    assert_eq!(
        (
            erased["records"].as_array().unwrap().len(),
            &erased["suppressed"]
        ),
        (2, &json!(1))
    );
    let (code, _) = world.samspel(&["history", &email("ann")]).await;
    assert_eq!(code, 2, "nothing is known of her");

    world.later();
    world.newsletter(
        json!({ "act": "create", "email": email("ann"), "status": "transactional", "merge_fields": {} }),
    );
    let key = std::fs::read(world.file("samspel.key")).unwrap();
    std::fs::remove_file(world.file("samspel.key")).unwrap();
    let (code, refused) = world.samspel(&["sync", "run", "contacts"]).await;
    assert_eq!(code, 1);
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(message.contains("samspel.key is missing"), "{message}");
    std::fs::write(world.file("samspel.key"), key).unwrap();
    restrict(&world.file("samspel.key"));
    world.done(&["sync", "run", "contacts"]).await;
    world.done(&["sync", "run", "contacts"]).await;
    assert!(world.opted_out_in_crm("ann"));
}

/// A key that others can read is refused.
fn restrict(file: &Path) {
    use std::os::unix::fs::PermissionsExt;

    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
}
