//! The real program, killed at random moments of its runs: nothing is done twice, nothing is lost.
//!
//! Two simulated vendors are filled with people, and `samspel sync run` is killed (SIGKILL) after a random number of
//! requests and then started again, over and over, while people go on working. In the end both vendors hold exactly
//! what they hold after the same story without a single kill.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use samspel_scenarios::program;
use samspel_vendors::Running;
use samspel_vendors::hubspot::{self, HubSpot, HubSpotOptions};
use samspel_vendors::mailchimp::{self, Mailchimp, MailchimpOptions};
use samspel_vendors::vendor::Vendor;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// How often the program is killed in all.
const KILLS: u32 = 50;
/// How often in one story; then it may finish.
const KILLS_IN_A_STORY: u32 = 10;
/// After so long a search is believed that shows nothing (`samspel-sync`, `recovery/lost.rs`), and a second more.
const SEARCHABLE: Duration = Duration::from_secs(31);
/// Contacts in the CRM when a story begins.
const CONTACTS: u64 = 250;
/// How often the vendors' counters are looked at.
const LOOK: Duration = Duration::from_micros(300);

/// Two vendors and a configuration that keeps them in step.
struct World {
    crm: Running<HubSpot>,
    newsletter: Running<Mailchimp>,
    directory: TempDir,
}

impl World {
    async fn new() -> Self {
        let crm = HubSpot::new(HubSpotOptions::default());
        let newsletter = Mailchimp::new(MailchimpOptions::default());
        crm.seed(CONTACTS, 7);
        newsletter.seed(CONTACTS, 7);
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
        std::fs::write(world.file(), world.configuration()).unwrap();
        world
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("samspel.toml")
    }

    fn configuration(&self) -> String {
        let dc = mailchimp::DEFAULT_KEY.rsplit_once('-').unwrap().1;
        format!(
            r#"
[host]
cache = "{cache}"

[accounts.crm]
connector = "hubspot"
rate-limits = false
settings = {{ subscription_id = {subscription}, bounce_property = "{bounces}" }}
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
  {{ a = "lastname", b = "LNAME" }},
]
"#,
            cache = cache().display(),
            subscription = hubspot::NEWSLETTER,
            bounces = hubspot::DELIVERABILITY_PROPERTY,
            crm = self.crm.url,
            newsletter = self.newsletter.url,
            list = mailchimp::LIST_ID,
        )
    }

    /// Starts the program.
    fn start(&self, arguments: &[&str]) -> Child {
        Command::new(program())
            .arg("--config")
            .arg(self.file())
            .args(arguments)
            .env("SAMSPEL_CONNECTORS", connectors())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the program can be started; `cargo xtask test` builds it")
    }

    /// Runs the program to its end; the JSON that it prints last.
    async fn finish(&self, arguments: &[&str]) -> Value {
        let output = self.start(arguments).wait_with_output().await.unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "{arguments:?}: {}\n{stdout}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_str(stdout.lines().last().unwrap_or_default()).unwrap()
    }

    async fn run(&self) -> Value {
        self.finish(&["sync", "run", "contacts", "--yes", "--json"])
            .await
    }

    /// Requests that both vendors have answered or work on.
    fn requests(&self) -> u64 {
        self.crm.vendor.core().stats.report().requests
            + self.newsletter.vendor.core().stats.report().requests
    }

    /// Starts a run and kills it after so many requests; `false` if it finished before.
    async fn run_and_kill(&self, after: u64) -> bool {
        let begin = self.requests();
        let mut child = self.start(&["sync", "run", "contacts", "--yes", "--json"]);
        let mut look = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                ended = child.wait() => {
                    assert!(ended.unwrap().success(), "a run failed by itself");
                    return false;
                }
                _ = look.tick() => {
                    if self.requests() - begin >= after {
                        child.kill().await.unwrap();
                        return true;
                    }
                }
            }
        }
    }

    /// What people do in chapter `number` of the story, on both sides. None of it contradicts anything else, so that the
    /// order in which it is seen does not matter.
    fn people_work(&self, number: u32) {
        let crm = |act: Value| {
            self.crm
                .vendor
                .act(serde_json::from_value(act).unwrap())
                .unwrap()
        };
        let newsletter = |act: Value| {
            self.newsletter
                .vendor
                .act(serde_json::from_value(act).unwrap())
                .unwrap()
        };
        let person = |what: &str| format!("{what}.{number}@story.example");
        for what in ["renamed", "moved", "leaves"] {
            crm(json!({ "act": "create", "properties": {
                "email": person(what), "firstname": "Åsa", "lastname": format!("Nr {number}") } }));
        }
        newsletter(
            json!({ "act": "create", "email": person("reader"), "status": "subscribed",
            "merge_fields": { "FNAME": "Noor", "LNAME": "de Vries" } }),
        );
        // Somebody whom both know already.
        crm(json!({ "act": "create", "properties": {
            "email": person("bounces"), "firstname": "Dilan", "lastname": "Yılmaz" } }));
        newsletter(
            json!({ "act": "create", "email": person("bounces"), "status": "subscribed",
            "merge_fields": { "FNAME": "Dilan", "LNAME": "Yılmaz" } }),
        );
        if number == 0 {
            return;
        }
        // Those of the chapter before were, or will be, created on the other side.
        let before = |what: &str| format!("{what}.{}@story.example", number - 1);
        crm(
            json!({ "act": "edit", "contact": before("renamed"), "properties": { "lastname": "Öberg" } }),
        );
        crm(json!({ "act": "edit", "contact": before("moved"),
            "properties": { "email": format!("new.{}@story.example", number - 1) } }));
        crm(json!({ "act": "unsubscribe", "email": before("leaves") }));
        newsletter(json!({ "act": "hard_bounce", "member": before("bounces") }));
    }

    /// Everything that both hold, without what differs from run to run.
    fn image(&self) -> [Vec<String>; 2] {
        [dump(&self.crm.vendor), dump(&self.newsletter.vendor)]
    }
}

fn dump<V: Vendor>(vendor: &V) -> Vec<String> {
    let mut lines = Vec::new();
    let mut from = Some(0);
    while let Some(at) = from {
        let page = vendor.dump(at, true);
        lines.extend(
            String::from_utf8(page.lines)
                .unwrap()
                .lines()
                .map(str::to_owned),
        );
        from = page.next;
    }
    // In the order of the records, which is not the order in which they were created.
    lines.sort();
    lines
}

fn connectors() -> PathBuf {
    std::env::var_os("SAMSPEL_CONNECTORS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/connectors"),
        PathBuf::from,
    )
}

/// Compiled connectors, shared by all worlds: what is killed is to be a run and not the compiler.
fn cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_fifty_times_nothing_is_done_twice_and_nothing_is_lost() {
    // The story without a kill: what must be in the end, and how many requests a run makes.
    let undisturbed = World::new().await;
    undisturbed.run().await;
    let mut longest = undisturbed.requests();
    for chapter in 0..KILLS_IN_A_STORY {
        undisturbed.people_work(chapter);
        let before = undisturbed.requests();
        undisturbed.run().await;
        longest = longest.max(undisturbed.requests() - before);
    }
    undisturbed.run().await;
    let expected = undisturbed.image();

    let seed = 2026;
    let mut random = StdRng::seed_from_u64(seed);
    let mut kills = 0;
    let mut story = 0;
    while kills < KILLS {
        story += 1;
        let world = World::new().await;
        for chapter in 0..KILLS_IN_A_STORY {
            // The first runs are long, later ones short: half of the kills hit early.
            let most = if random.random_bool(0.5) { longest } else { 12 };
            if world.run_and_kill(random.random_range(1..=most)).await {
                kills += 1;
            }
            world.people_work(chapter);
        }
        // What became of the last writes is found out, then everything is done, then nothing is left.
        world.run().await;
        if world.run().await["pending"] != 0 {
            // A create that may have been applied is looked for once more, when a search must show it.
            tokio::time::sleep(SEARCHABLE).await;
            world.run().await;
        }
        let rerun = world.run().await;
        assert_eq!(rerun["writes"], 0, "story {story} of seed {seed}: {rerun}");
        let verified = world
            .finish(&["sync", "verify", "contacts", "--json"])
            .await;
        assert_eq!(
            verified["unequal"], 0,
            "story {story} of seed {seed}: {verified}"
        );
        for (name, (held, expected)) in ["CRM", "newsletter"]
            .into_iter()
            .zip(world.image().iter().zip(&expected))
        {
            let more: Vec<_> = held
                .iter()
                .filter(|line| !expected.contains(line))
                .collect();
            let less: Vec<_> = expected
                .iter()
                .filter(|line| !held.contains(line))
                .collect();
            assert!(
                more.is_empty() && less.is_empty() && held.len() == expected.len(),
                "story {story} of seed {seed}, {name} has {} records, {} are right; only here {more:#?}, missing {less:#?}",
                held.len(),
                expected.len()
            );
        }
    }
}
