//! The service on a disk that is full, or can only be read, or has lost something: a clear error, nothing lost, and it
//! goes on as soon as it can.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::process::Stdio;
use std::time::Duration;

use reqwest::{Client, StatusCode};
use samspel_scenarios::{Installation, Serving};
use samspel_vendors::hubspot::HubSpot;
use samspel_vendors::vendor::Vendor;
use serde_json::{Value, json};
use tokio::process::Command;

const PEOPLE: u64 = 20;
const SETTINGS: &str = "interval = \"1s\"\n\n[server]\nlisten = \"127.0.0.1:0\"\n";

/// An installation past its first run. Its store is to be in `disk`, and is in `aside`.
async fn on_a_disk() -> Installation {
    let installation = Installation::new(PEOPLE, SETTINGS).await;
    let file = installation.file();
    let text = std::fs::read_to_string(&file).unwrap();
    let text = text.replace("[host]\n", "[host]\nstore = \"disk/samspel.db\"\n");
    std::fs::write(&file, text).unwrap();
    let disk = installation.directory().join("disk");
    std::fs::create_dir(&disk).unwrap();
    installation.run().await;
    installation
}

/// The program, begun by a script that may mount what only the program sees.
fn on_a_disk_of_its_own(installation: &Installation, script: &str, arguments: &[&str]) -> Command {
    let disk = installation.directory().join("disk");
    let aside = installation.directory().join("aside");
    if !aside.exists() {
        std::fs::rename(&disk, &aside).unwrap();
        std::fs::create_dir(&disk).unwrap();
    }
    let mut command = Command::new("unshare");
    command
        .args(["--map-root-user", "--mount", "sh", "-c", script])
        .current_dir(installation.directory());
    installation.under(command, arguments)
}

/// A service whose store is on a small disk of its own: a file system in memory that only the service sees.
struct SmallDisk {
    installation: Installation,
    serving: Serving,
    token: String,
    hook: String,
    http: Client,
}

impl SmallDisk {
    async fn new() -> Self {
        let installation = on_a_disk().await;
        let token = installation.token("root", "admin").await;
        let endpoints = installation
            .finish(&["hooks", "endpoints", "crm", "--json"])
            .await;
        let hook = endpoints["endpoints"][0]["url"]
            .as_str()
            .unwrap()
            .to_owned();
        // What the store is now, on a disk with little room beside it.
        let script =
            "mount -t tmpfs -o size=8m small disk && cp -a aside/. disk/ && exec \"$0\" \"$@\"";
        let arguments = ["serve", "--log-format", "json"];
        let child = on_a_disk_of_its_own(&installation, script, &arguments)
            .spawn()
            .expect("unshare(1) of util-linux can be run");
        let serving = Installation::listening(child).await;
        Self {
            installation,
            serving,
            token,
            hook,
            http: Client::new(),
        }
    }

    /// Runs a command where the service sees its disk.
    async fn there(&self, script: &str) -> bool {
        let process = self.serving.process().to_string();
        let status = Command::new("nsenter")
            .args([
                "--user",
                "--mount",
                "--preserve-credentials",
                "--target",
                &process,
            ])
            .args(["sh", "-c", script])
            .current_dir("/")
            .env("DISK", self.installation.directory().join("disk"))
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .await
            .expect("nsenter(1) of util-linux can be run");
        status.success()
    }

    fn crm(&self) -> &HubSpot {
        &self.installation.crm.vendor
    }

    fn comes(&self, name: &str) {
        let act = json!({ "act": "create", "properties": { "email": format!("{name}@story.example"), "firstname": name } });
        self.crm()
            .act(serde_json::from_value(act).unwrap())
            .unwrap();
    }

    async fn notify(&self) -> StatusCode {
        let url = format!("{}{}", self.serving.url, self.hook);
        let answer = self.http.post(url).body("x".repeat(64 << 10)).send().await;
        answer.unwrap().status()
    }

    async fn lives(&self) {
        let url = format!("{}/health/live", self.serving.url);
        assert_eq!(
            self.http.get(url).send().await.unwrap().status(),
            StatusCode::OK
        );
    }

    async fn status(&self) -> Value {
        let url = format!("{}/api/v1/syncs/contacts", self.serving.url);
        let asked = self.http.get(url).bearer_auth(&self.token);
        asked.send().await.unwrap().json().await.unwrap()
    }

    /// Waits until somebody is a member of the audience.
    async fn until_member(&self, name: &str) {
        let list = &self.installation.newsletter.vendor;
        let email = format!("{name}@story.example");
        for _ in 0..240 {
            let mut from = Some(0);
            while let Some(at) = from {
                let page = list.dump(at, true);
                if String::from_utf8_lossy(&page.lines).contains(&email) {
                    return;
                }
                from = page.next;
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        panic!("{email} did not arrive: {}", self.status().await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_loses_nothing_and_the_service_goes_on_when_there_is_room() {
    let world = SmallDisk::new().await;
    world.comes("before");
    world.until_member("before").await;
    // `dd` ends when nothing more can be written.
    assert!(
        !world
            .there("dd if=/dev/zero of=\"$DISK/filler\" bs=4k")
            .await
    );
    // What cannot be kept is not taken: whoever sent it sends it again.
    let mut refused = None;
    for _ in 0..200 {
        let status = world.notify().await;
        if !status.is_success() {
            refused = Some(status);
            break;
        }
    }
    assert_eq!(refused, Some(StatusCode::SERVICE_UNAVAILABLE));
    world.comes("meanwhile");
    world.lives().await;
    // The API answers, also where it would have to write; what is wrong with the store is for the log.
    let url = format!("{}/api/v1/syncs/contacts/pause", world.serving.url);
    let asked = world.http.post(url).bearer_auth(&world.token);
    let answer = asked.json(&json!({ "reason": "full" })).send().await;
    let answer = answer.unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    let told: Value = answer.json().await.unwrap();
    assert_eq!(told["code"], "store", "{told}");
    assert!(world.there("rm \"$DISK/filler\"").await);
    world.until_member("meanwhile").await;
    assert!(world.notify().await.is_success());
    world.serving.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_can_only_be_read_is_told_as_such_and_nothing_is_lost() {
    let installation = on_a_disk().await;
    let writes = || {
        let list = installation.newsletter.vendor.core().stats.report().writes;
        let crm = installation.crm.vendor.core().stats.report().writes;
        (list, crm)
    };
    let before = writes();
    for arguments in [
        &["sync", "run", "contacts", "--json"][..],
        &["serve", "--json"],
    ] {
        let script = "mount -t tmpfs -o size=8m small disk && cp -a aside/. disk/ && mount -o remount,ro disk && \
                      exec \"$0\" \"$@\"";
        let output = on_a_disk_of_its_own(&installation, script, arguments)
            .output()
            .await
            .unwrap();
        assert!(!output.status.success());
        let said = String::from_utf8_lossy(&output.stdout);
        let last = said.lines().last().unwrap_or_default();
        assert!(
            last.contains("disk/samspel.db") && last.contains("writable"),
            "{arguments:?}: {last}"
        );
    }
    assert_eq!(writes(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_store_is_told_as_such_and_the_service_stays_up() {
    let installation = Installation::new(PEOPLE, SETTINGS).await;
    installation.run().await;
    let token = installation.token("root", "viewer").await;
    let store = installation.directory().join("samspel.db");
    let mut bytes = std::fs::read(&store).unwrap();
    // Everything but the schema and what was read first.
    let from = bytes.len() / 3;
    bytes[from..].fill(0x5a);
    std::fs::write(&store, &bytes).unwrap();
    let output = installation
        .start(&["sync", "run", "contacts", "--json"])
        .wait_with_output()
        .await
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.contains("damaged") && said.contains("restore a backup"),
        "{said}"
    );
    let writes = installation.newsletter.vendor.core().stats.report().writes;
    let mut child = installation.start(&["serve", "--log-format", "json"]);
    let started = tokio::time::timeout(Duration::from_secs(8), child.wait()).await;
    match started {
        // It tells and ends before it does anything.
        Ok(status) => assert!(!status.unwrap().success()),
        Err(_) => {
            let serving = Installation::listening(child).await;
            let url = format!("{}/api/v1/syncs/contacts", serving.url);
            let answer = Client::new()
                .get(url)
                .bearer_auth(&token)
                .send()
                .await
                .unwrap();
            assert!(!answer.status().is_success());
            serving.kill().await;
        }
    }
    assert_eq!(
        installation.newsletter.vendor.core().stats.report().writes,
        writes
    );
}
