//! How fast the simulators are. Not part of the ordinary tests, because a busy machine says little about them:
//! `cargo test -p samspel-vendors --test throughput -- --ignored --nocapture`.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[expect(dead_code, reason = "each test program uses a part of it")]
mod support;

use std::time::{Duration, Instant};

use futures::StreamExt;
use reqwest::Method;
use samspel_vendors::hubspot::HubSpotQuirks;
use samspel_vendors::mailchimp::MailchimpQuirks;
use samspel_vendors::vendor::Vendor;
use serde_json::{Value, json};
use support::{answer, hubspot, list, mailchimp};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: wants a quiet machine"]
async fn small_requests_large_batches_and_full_reads() {
    let api = hubspot(HubSpotQuirks::default()).await;
    api.vendor().seed(100_000, 1);
    let start = Instant::now();
    let requests = 20_000;
    futures::stream::iter(0..requests)
        .map(|_| answer(api.request(Method::GET, "/crm/v3/objects/contacts/101")))
        .buffer_unordered(16)
        .for_each(async |(status, _)| assert_eq!(status, 200))
        .await;
    let rate = f64::from(requests) / start.elapsed().as_secs_f64();
    eprintln!("{rate:.0} small requests a second, client included");
    assert!(rate > 3_000.0);

    let start = Instant::now();
    let (mut after, mut pages) = (String::new(), 0);
    loop {
        let path = format!(
            "/crm/v3/objects/contacts?limit=100&properties=email,firstname,lastname,phone{after}"
        );
        let page = api.get(&path).await.1;
        pages += 1;
        let Some(next) = page.pointer("/paging/next/after").and_then(Value::as_str) else {
            break;
        };
        after = format!("&after={next}");
    }
    eprintln!("{pages} pages of 100 contacts in {:?}", start.elapsed());

    let api = mailchimp(MailchimpQuirks::default()).await;
    let mut slowest = Duration::ZERO;
    for batch in 0..20 {
        let members: Vec<Value> = (0..500)
            .map(|i| json!({ "email_address": format!("p{batch}.{i}@firma.example"), "status": "subscribed", "merge_fields": { "FNAME": "Åsa", "LNAME": "Öberg", "PHONE": "+46701234567" } }))
            .collect();
        let body = json!({ "members": members });
        let request = api
            .request(
                Method::POST,
                &list("?fields=errors,error_count,new_members.id"),
            )
            .json(&body);
        let start = Instant::now();
        let (status, body) = answer(request).await;
        slowest = slowest.max(start.elapsed());
        assert_eq!((status, &body["error_count"]), (200, &json!(0)));
    }
    eprintln!("slowest batch of 500 members: {slowest:?}");
    assert!(slowest < Duration::from_millis(50));
}
