//! The real program, killed at random moments of its runs: nothing is done twice, nothing is lost.
//!
//! Two simulated vendors are filled with people, and `samspel sync run` is killed (SIGKILL) after a random number of
//! requests and then started again, over and over, while people go on working. In the end both vendors hold exactly
//! what they hold after the same story without a single kill.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use samspel_scenarios::Installation;
use samspel_vendors::vendor::Vendor;
use serde_json::{Value, json};

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

/// Two vendors that are kept in step, and what people do in both.
struct World(Installation);

impl World {
    async fn new() -> Self {
        Self(Installation::new(CONTACTS, "").await)
    }

    async fn run(&self) -> Value {
        self.0.run().await
    }

    /// Requests that both vendors have answered or work on.
    fn requests(&self) -> u64 {
        self.0.crm.vendor.core().stats.report().requests
            + self.0.newsletter.vendor.core().stats.report().requests
    }

    /// Starts a run and kills it after so many requests; `false` if it finished before.
    async fn run_and_kill(&self, after: u64) -> bool {
        let begin = self.requests();
        let mut child = self
            .0
            .start(&["sync", "run", "contacts", "--yes", "--json"]);
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

    /// What people do in chapter `number` of the story, on both sides. None of it contradicts anything else, so that
    /// the order in which it is seen does not matter.
    fn people_work(&self, number: u32) {
        let crm = |act: Value| {
            self.0
                .crm
                .vendor
                .act(serde_json::from_value(act).unwrap())
                .unwrap()
        };
        let newsletter = |act: Value| {
            self.0
                .newsletter
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
        [dump(&self.0.crm.vendor), dump(&self.0.newsletter.vendor)]
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
            .0
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
