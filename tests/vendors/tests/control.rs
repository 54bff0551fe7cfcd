//! Control API, faults and the program itself.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[expect(dead_code, reason = "each test program uses a part of it")]
mod support;

use std::process::Stdio;
use std::time::{Duration, Instant};

use reqwest::Method;
use samspel_vendors::hubspot::HubSpotQuirks;
use samspel_vendors::mailchimp::MailchimpQuirks;
use samspel_vendors::vendor::Vendor;
use serde_json::{Value, json};
use support::{answer, column, hubspot, list, mailchimp};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

#[tokio::test]
async fn requests_are_counted_by_endpoint_and_the_control_api_is_not() {
    let api = hubspot(HubSpotQuirks::default()).await;
    api.vendor().seed(3, 1);
    api.get("/crm/v3/objects/contacts/101").await;
    api.get("/crm/v3/objects/contacts/999").await;
    api.post("/crm/v3/objects/contacts/search", json!({})).await;
    api.post(
        "/crm/v3/objects/contacts/batch/read",
        json!({ "inputs": [] }),
    )
    .await;
    api.delete("/crm/v3/objects/contacts/101").await;
    let (_, stats) = answer(api.bare(Method::POST, "/_control/stats/reset")).await;
    assert_eq!(
        (&stats["requests"], &stats["write_requests"]),
        (&json!(5), &json!(1)),
        "a search writes nothing"
    );
    let one = &stats["endpoints"]["GET /crm/v3/objects/contacts/{id}"];
    assert_eq!(
        one,
        &json!({ "requests": 2, "statuses": { "200": 1, "404": 1 } })
    );
    assert_eq!(stats["writes"]["archived"], 1);
    assert_eq!(
        answer(api.bare(Method::GET, "/_control/stats")).await.1["requests"],
        0
    );
}

#[tokio::test]
async fn settings_change_at_run_time_and_latency_spares_the_control_api() {
    let api = mailchimp(MailchimpQuirks::default()).await;
    let patch = api.bare(Method::PATCH, "/_control/settings");
    let (status, now) =
        answer(patch.json(&json!({ "latency_ms": 300, "quirks": { "trim": false } }))).await;
    assert_eq!((status, &now["quirks"]["trim"]), (200, &json!(false)));
    let start = Instant::now();
    assert_eq!(api.get("/3.0/ping").await.0, 200);
    assert!(start.elapsed() >= Duration::from_millis(300));
    let start = Instant::now();
    assert_eq!(
        answer(api.bare(Method::GET, "/_control/health")).await.0,
        200
    );
    assert!(start.elapsed() < Duration::from_millis(300));
    let wrong = api
        .bare(Method::PATCH, "/_control/settings")
        .json(&json!({ "quirks": { "trom": true } }));
    let (status, error) = answer(wrong).await;
    assert_eq!(status, 400);
    assert!(error["error"].as_str().unwrap().contains("trom"), "{error}");
}

#[tokio::test]
async fn acts_come_singly_and_in_lists_and_name_what_is_wrong() {
    let api = mailchimp(MailchimpQuirks::default()).await;
    let act = |body: Value| answer(api.bare(Method::POST, "/_control/acts").json(&body));
    let (status, made) = act(json!({ "act": "create", "email": "eva@firma.example", "merge_fields": { "FNAME": "Eva" } })).await;
    assert_eq!((status, &made["status"]), (200, &json!("subscribed")));
    let (_, done) = act(json!([
        { "act": "change_email", "member": "eva@firma.example", "email": "ewa@firma.example" },
        { "act": "tag", "member": "ewa@firma.example", "name": "vän", "active": true },
        { "act": "unsubscribe", "member": "ewa@firma.example" },
    ]))
    .await;
    assert_eq!(
        column(&done, "/status"),
        ["subscribed", "subscribed", "unsubscribed"]
    );
    let (status, error) = act(json!({ "act": "archive", "member": "nobody@firma.example" })).await;
    assert_eq!(status, 404);
    assert!(
        error["error"]
            .as_str()
            .unwrap()
            .contains("nobody@firma.example")
    );
    assert_eq!(act(json!({ "act": "dance" })).await.0, 400);
    assert_eq!(api.vendor().core().stats.report().requests, 0);
}

#[tokio::test]
async fn a_dump_holds_every_record_and_the_digest_ignores_ids_and_times() {
    let first = hubspot(HubSpotQuirks::default()).await;
    let second = hubspot(HubSpotQuirks::default()).await;
    first.vendor().seed(2_500, 1);
    let seed = second
        .bare(Method::POST, "/_control/seed")
        .json(&json!({ "contacts": 2_500, "seed": 1 }));
    assert_eq!(answer(seed).await.1["records"], 2_500);
    second.delete("/crm/v3/objects/contacts/101").await;
    let dump = second
        .bare(Method::GET, "/_control/records")
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let records: Vec<Value> = dump
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        records.len(),
        2_500,
        "three pages, the archived one included"
    );
    assert_eq!(records.iter().filter(|r| r["archived"] == true).count(), 1);

    let digest =
        async |api: &support::Api<_>| answer(api.bare(Method::GET, "/_control/digest")).await.1;
    let (a, b) = (digest(&first).await, digest(&second).await);
    assert_eq!(
        (&a["records"], &b["records"]),
        (&json!(2_500), &json!(2_500))
    );
    assert_ne!(a["sha256"], b["sha256"]);
    first.delete("/crm/v3/objects/contacts/101").await;
    assert_eq!(digest(&first).await, b);
}

#[tokio::test]
async fn a_scripted_fault_hits_once_and_tells_applied_from_not_applied() {
    let api = mailchimp(MailchimpQuirks::default()).await;
    let script = |fault: &str| {
        let faults = json!([{ "fault": fault, "method": "POST", "path_contains": "/members" }]);
        answer(api.bare(Method::POST, "/_control/faults").json(&faults))
    };
    let new = |email: &str| {
        let body = json!({ "email_address": email, "status": "subscribed" });
        api.request(Method::POST, &list("/members"))
            .json(&body)
            .send()
    };
    for (fault, status, applied) in [
        ("internal_error", 500, false),
        ("unavailable", 503, false),
        ("too_many_requests", 429, false),
        ("bare_forbidden", 403, false),
        ("bad_gateway_after_commit", 502, true),
    ] {
        script(fault).await;
        let email = format!("{}@firma.example", fault.replace('_', "-"));
        assert_eq!(new(&email).await.unwrap().status(), status, "{fault}");
        assert_eq!(
            api.get(&list(&format!("/members/{email}"))).await.0 == 200,
            applied,
            "{fault}"
        );
    }
    for (fault, applied) in [("drop_before", false), ("drop_after_commit", true)] {
        script(fault).await;
        let email = format!("{}@firma.example", fault.replace('_', "-"));
        assert!(new(&email).await.is_err(), "{fault}: no answer comes");
        assert_eq!(
            api.get(&list(&format!("/members/{email}"))).await.0 == 200,
            applied,
            "{fault}"
        );
    }
    script("truncated").await;
    let cut = new("cut@firma.example").await.unwrap();
    assert_eq!(cut.status(), 200);
    assert!(cut.bytes().await.is_err(), "the body ends early");
    assert_eq!(api.get(&list("/members/cut@firma.example")).await.0, 200);
    assert_eq!(
        new("last@firma.example").await.unwrap().status(),
        200,
        "each fault happened once"
    );
}

#[tokio::test]
async fn an_answer_can_be_altered_in_any_part() {
    let api = hubspot(HubSpotQuirks::default()).await;
    api.vendor().seed(2, 1);
    let next = async |alteration: Value| {
        let script = json!([{ "fault": { "altered": alteration } }]);
        answer(api.bare(Method::POST, "/_control/faults").json(&script)).await;
        api.request(Method::GET, "/crm/v3/objects/contacts")
            .send()
            .await
            .unwrap()
    };
    let refused =
        next(json!({ "instead": true, "status": 429, "headers": { "retry-after": "7" } })).await;
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["retry-after"]),
        (429, &"7".parse().unwrap())
    );
    let html = next(json!({ "body": "<html>" })).await;
    assert_eq!(html.status(), 200);
    assert_eq!(html.text().await.unwrap(), "<html>");
    let edited = next(json!({ "patch": [
        { "op": "remove", "path": "/results/0/id" },
        { "op": "replace", "path": "/results/1/id", "value": 17 },
    ] }))
    .await;
    let edited: Value = edited.json().await.unwrap();
    assert_eq!(
        (edited["results"][0].get("id"), &edited["results"][1]["id"]),
        (None, &json!(17))
    );
    let impossible = next(json!({ "patch": [{ "op": "remove", "path": "/nowhere" }] })).await;
    assert_eq!(impossible.status(), 418, "the script's author is told");
    assert_eq!(api.get("/crm/v3/objects/contacts").await.0, 200);
}

#[tokio::test]
async fn answers_are_dated_by_the_clock_that_stamps_the_records() {
    let api = hubspot(HubSpotQuirks::default()).await;
    api.vendor().core().clock.advance(86_400_000);
    let made = json!({ "properties": { "email": "eva@firma.example" } });
    let before = api.vendor().core().clock.now();
    let response = api
        .request(Method::POST, "/crm/v3/objects/contacts")
        .json(&made)
        .send()
        .await
        .unwrap();
    let date = response.headers()["date"].to_str().unwrap().to_owned();
    let after = api.vendor().core().clock.now();
    assert!(
        [before.http_date(), after.http_date()].contains(&date),
        "{date}"
    );
}

#[tokio::test]
async fn a_request_is_applied_also_when_its_client_has_gone_away() {
    let api = mailchimp(MailchimpQuirks::default()).await;
    api.vendor()
        .core()
        .settings
        .update(|settings| settings.latency_ms = 150);
    let body = json!({ "email_address": "eva@firma.example", "status": "subscribed" });
    let request = api
        .request(Method::POST, &list("/members"))
        .json(&body)
        .timeout(Duration::from_millis(50));
    assert!(request.send().await.unwrap_err().is_timeout());
    let deadline = Instant::now() + Duration::from_secs(10);
    while api.vendor().counts().0 == 0 {
        assert!(Instant::now() < deadline, "the request was forgotten");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn random_faults_come_at_their_rate() {
    let api = mailchimp(MailchimpQuirks::default()).await;
    let patch = json!({ "faults": { "rate": 0.5, "kinds": ["internal_error"] } });
    answer(api.bare(Method::PATCH, "/_control/settings").json(&patch)).await;
    let mut failed = 0;
    for _ in 0..200 {
        failed += u32::from(api.get("/3.0/ping").await.0 == 500);
    }
    assert!((60..140).contains(&failed), "{failed} of 200");
}

#[tokio::test]
async fn shutting_down_closes_the_port() {
    let api = hubspot(HubSpotQuirks::default()).await;
    let url = format!("{}/_control/health", api.running.url);
    assert!(reqwest::get(&url).await.is_ok());
    api.running.shutdown().await;
    assert!(reqwest::get(&url).await.is_err());
}

/// Starts the program and reads the line it prints when it is ready.
async fn program(arguments: &[&str]) -> (Child, Value) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_samspel-vendors"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = lines
        .next_line()
        .await
        .unwrap()
        .expect("the program ended without a word");
    (child, serde_json::from_str(&line).unwrap())
}

#[tokio::test]
async fn the_program_serves_both_with_what_it_printed_and_ends_with_its_input() {
    let arguments = [
        "--contacts",
        "300",
        "--seed",
        "5",
        "--mailchimp-max-in-flight",
        "10",
        "--hubspot-search-lag-ms",
        "7",
    ];
    let (mut child, ready) = program(&arguments).await;
    let text = |name: &str| ready[name].as_str().unwrap().to_owned();
    let client = reqwest::Client::new();
    let contacts = client
        .get(format!(
            "{}/crm/v3/objects/contacts?limit=100",
            text("hubspot")
        ))
        .bearer_auth(text("hubspot_token"));
    assert_eq!(
        answer(contacts).await.1["results"]
            .as_array()
            .unwrap()
            .len(),
        100
    );
    let members = client
        .get(format!(
            "{}/3.0/lists/{}/members",
            text("mailchimp"),
            text("list_id")
        ))
        .basic_auth("any", Some(text("mailchimp_key")));
    assert!(answer(members).await.1["total_items"].as_u64().unwrap() > 20);
    let settings = answer(client.get(format!("{}/_control/settings", text("hubspot"))))
        .await
        .1;
    assert_eq!(settings["quirks"]["search_lag_ms"], 7);
    assert_eq!(
        text("subscription_id"),
        samspel_vendors::hubspot::NEWSLETTER.to_string()
    );
    drop(child.stdin.take());
    let ended = tokio::time::timeout(Duration::from_secs(20), child.wait())
        .await
        .unwrap()
        .unwrap();
    assert!(ended.success());
}

#[tokio::test]
async fn the_program_ends_on_sigterm() {
    let (mut child, _) = program(&[]).await;
    let id = child.id().unwrap().to_string();
    assert!(
        std::process::Command::new("kill")
            .args(["-TERM", &id])
            .status()
            .unwrap()
            .success()
    );
    let ended = tokio::time::timeout(Duration::from_secs(20), child.wait())
        .await
        .unwrap()
        .unwrap();
    assert!(ended.success());
}
