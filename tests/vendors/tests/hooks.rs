//! Webhooks of both simulators, received by a small server: one test per documented behaviour and per switch.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[expect(dead_code, reason = "each test program uses a part of it")]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use parking_lot::Mutex;
use samspel_vendors::hooks::{HookQuirks, HookStats};
use samspel_vendors::hubspot::{AppSubscription, HubSpot, HubSpotAct, HubSpotApp, HubSpotQuirks};
use samspel_vendors::mailchimp::{Mailchimp, MailchimpAct, MailchimpQuirks};
use samspel_vendors::vendor::Vendor;
use serde_json::{Value, json};
use sha2::Sha256;
use support::{Api, answer, hubspot, list, mailchimp};
use url::form_urlencoded;

const SECRET: &str = "client-secret";

/// A request that the receiver got.
#[derive(Debug, Clone)]
struct Got {
    method: Method,
    headers: HeaderMap,
    body: Bytes,
}

impl Got {
    fn form(&self) -> BTreeMap<String, String> {
        form_urlencoded::parse(&self.body).into_owned().collect()
    }

    fn events(&self) -> Vec<Value> {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }
}

#[derive(Debug, Default)]
struct Log {
    got: Mutex<Vec<Got>>,
    /// Statuses to answer with before 200.
    refusals: Mutex<Vec<StatusCode>>,
    in_flight: AtomicUsize,
    peak: AtomicUsize,
    slow_ms: AtomicUsize,
}

/// Somebody who takes webhooks.
struct Receiver {
    url: String,
    log: Arc<Log>,
}

async fn take(
    State(log): State<Arc<Log>>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let now = log.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
    log.peak.fetch_max(now, Ordering::SeqCst);
    let slow = log.slow_ms.load(Ordering::SeqCst) as u64;
    tokio::time::sleep(Duration::from_millis(slow)).await;
    log.got.lock().push(Got {
        method,
        headers,
        body,
    });
    log.in_flight.fetch_sub(1, Ordering::SeqCst);
    log.refusals.lock().pop().unwrap_or(StatusCode::OK)
}

impl Receiver {
    async fn new() -> Self {
        let log = Arc::new(Log::default());
        let router = Router::new().fallback(take).with_state(Arc::clone(&log));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/in?key=s3cret", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, log }
    }

    fn refuse(&self, statuses: impl IntoIterator<Item = u16>) {
        let statuses = statuses.into_iter();
        *self.log.refusals.lock() = statuses
            .map(|status| StatusCode::from_u16(status).unwrap())
            .collect();
    }

    /// What was posted since this was last asked.
    fn posted(&self) -> Vec<Got> {
        let got = std::mem::take(&mut *self.log.got.lock());
        got.into_iter()
            .filter(|got| got.method == Method::POST)
            .collect()
    }

    fn forms(&self) -> Vec<BTreeMap<String, String>> {
        self.posted().iter().map(Got::form).collect()
    }

    fn events(&self) -> Vec<Value> {
        self.posted().iter().flat_map(Got::events).collect()
    }
}

/// Waits until nothing is on its way, and answers the counters.
async fn settled<V: Vendor>(vendor: &V) -> HookStats {
    let start = Instant::now();
    loop {
        let stats = vendor.core().stats.report().hooks;
        if stats.waiting == 0 {
            return stats;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "{stats:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn switch<V: Vendor>(vendor: &V, hooks: HookQuirks) {
    vendor
        .core()
        .settings
        .update(|settings| settings.hooks = hooks);
}

// ---- Mailchimp ---------------------------------------------------------------------------------------------------

fn webhook(receiver: &Receiver, sources: Value) -> Value {
    json!({
        "url": receiver.url,
        "events": { "subscribe": true, "unsubscribe": true, "profile": true, "cleaned": true, "upemail": true },
        "sources": sources,
    })
}

async fn hooked_mailchimp(sources: Value) -> (Api<Mailchimp>, Receiver, String) {
    let api = mailchimp(MailchimpQuirks::default()).await;
    let receiver = Receiver::new().await;
    let (status, made) = api
        .post(&list("/webhooks"), webhook(&receiver, sources))
        .await;
    assert_eq!(status, 200, "{made}");
    let id = made["id"].as_str().unwrap().to_owned();
    (api, receiver, id)
}

fn join(mailchimp: &Mailchimp, email: &str) {
    let act = MailchimpAct::Create {
        email: email.into(),
        status: None,
        merge_fields: serde_json::from_value(json!({ "FNAME": "Åsa" })).unwrap(),
    };
    mailchimp.act(act).unwrap();
}

#[tokio::test]
async fn mailchimp_asks_an_address_before_it_takes_it() {
    let (api, receiver, id) = hooked_mailchimp(json!({ "user": true })).await;
    let asked = receiver.log.got.lock().clone();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].method, Method::GET);
    receiver.refuse([404]);
    let (status, refused) = api
        .post(&list("/webhooks"), webhook(&receiver, json!({})))
        .await;
    assert_eq!(
        (status, &refused["errors"][0]["field"]),
        (400, &json!("url"))
    );
    let nobody = json!({ "url": "http://127.0.0.1:9/" });
    assert_eq!(api.post(&list("/webhooks"), nobody).await.0, 400);
    let (_, all) = api.get(&list("/webhooks")).await;
    assert_eq!(all["total_items"], 1);
    assert_eq!(all["webhooks"][0]["id"], *id);
    assert_eq!(all["webhooks"][0]["sources"]["api"], false);
    assert_eq!(api.get("/3.0/lists/other/webhooks").await.0, 404);
}

#[tokio::test]
async fn mailchimp_tells_of_what_people_do_as_forms() {
    let (api, receiver, id) = hooked_mailchimp(json!({ "user": true, "admin": true })).await;
    join(api.vendor(), "asa@firma.example");
    let member = || "asa@firma.example".to_owned();
    for act in [
        MailchimpAct::Edit {
            member: member(),
            merge_fields: serde_json::from_value(json!({ "LNAME": "Öberg & Co" })).unwrap(),
        },
        MailchimpAct::Tag {
            member: member(),
            name: "vän".into(),
            active: true,
        },
        MailchimpAct::Unsubscribe { member: member() },
        MailchimpAct::ChangeEmail {
            member: member(),
            email: "asa+ny@firma.example".into(),
        },
    ] {
        api.vendor().act(act).unwrap();
    }
    join(api.vendor(), "bo@firma.example");
    let bo = "bo@firma.example".to_owned();
    api.vendor()
        .act(MailchimpAct::HardBounce { member: bo })
        .unwrap();
    let stats = settled(api.vendor()).await;
    assert_eq!((stats.delivered, stats.failed), (7, 0));
    let mut forms = receiver.forms();
    // Up to ten are under way at once, so that they may arrive in another order.
    forms.sort_by_key(|form| form["type"].clone());
    let types: Vec<&str> = forms.iter().map(|form| &*form["type"]).collect();
    assert_eq!(
        types,
        [
            "cleaned",
            "profile",
            "profile",
            "subscribe",
            "subscribe",
            "unsubscribe",
            "upemail"
        ]
    );
    assert_eq!(forms[0]["data[email]"], "bo@firma.example");
    let upemail = &forms[6];
    assert_eq!(upemail["data[old_email]"], "asa@firma.example");
    assert_eq!(upemail["data[new_email]"], "asa+ny@firma.example");
    let edited = forms[1..3]
        .iter()
        .find(|form| form["data[email]"] == "asa@firma.example")
        .unwrap();
    assert_eq!(edited["data[merges][LNAME]"], "Öberg & Co");
    assert_eq!(edited["data[list_id]"], samspel_vendors::mailchimp::LIST_ID);
    assert!(!edited.contains_key("data[contact_id]"));
    let fired_at = &edited["fired_at"];
    assert_eq!((fired_at.len(), &fired_at[10..11]), (19, " "), "{fired_at}");

    assert_eq!(api.delete(&list(&format!("/webhooks/{id}"))).await.0, 204);
    assert_eq!(api.delete(&list(&format!("/webhooks/{id}"))).await.0, 404);
    join(api.vendor(), "cy@firma.example");
    assert_eq!(settled(api.vendor()).await.events, 7);
}

#[tokio::test]
async fn mailchimp_honours_sources_and_events() {
    let (api, receiver, id) = hooked_mailchimp(json!({ "user": true, "admin": true })).await;
    let members = list("/members");
    let body = json!({ "email_address": "eva@firma.example", "status": "subscribed" });
    assert_eq!(api.post(&members, body).await.0, 200);
    api.vendor().seed(20, 1);
    assert_eq!(settled(api.vendor()).await.events, 0);

    let change = json!({ "events": { "unsubscribe": true }, "sources": { "api": true } });
    let path = list(&format!("/webhooks/{id}"));
    assert_eq!(api.patch(&path, change).await.0, 200);
    let member = list("/members/eva@firma.example");
    api.patch(&member, json!({ "merge_fields": { "FNAME": "Eva" } }))
        .await;
    api.delete(&member).await;
    let body = json!({ "email_address": "ida@firma.example", "status": "subscribed" });
    api.post(&members, body).await;
    let ida = "ida@firma.example".to_owned();
    api.vendor()
        .act(MailchimpAct::Unsubscribe { member: ida })
        .unwrap();
    settled(api.vendor()).await;
    let forms = receiver.forms();
    assert_eq!(forms.len(), 1, "{forms:?}");
    assert_eq!(forms[0]["data[action]"], "archive");
    assert_eq!(forms[0]["data[email]"], "eva@firma.example");
}

#[tokio::test]
async fn mailchimp_sends_twice_what_was_entered_twice_and_repeats_what_failed() {
    let (api, receiver, _) = hooked_mailchimp(json!({ "user": true })).await;
    let again = webhook(&receiver, json!({ "user": true }));
    assert_eq!(api.post(&list("/webhooks"), again).await.0, 200);
    switch(
        api.vendor(),
        HookQuirks {
            retry_ms: 10,
            retries: Some(2),
            ..HookQuirks::default()
        },
    );
    receiver.posted();
    receiver.refuse([500, 302]);
    join(api.vendor(), "asa@firma.example");
    let stats = settled(api.vendor()).await;
    assert_eq!((stats.events, stats.delivered), (2, 2));
    assert_eq!((stats.requests, stats.failed, stats.retried), (4, 2, 2));
    assert_eq!(receiver.posted().len(), 4);

    receiver.refuse([500; 6]);
    join(api.vendor(), "bo@firma.example");
    let stats = settled(api.vendor()).await;
    assert_eq!((stats.delivered, stats.given_up), (2, 2));
    let (_, report) = answer(api.bare(Method::POST, "/_control/stats/reset")).await;
    assert_eq!(report["hooks"]["given_up"], 2);
    assert_eq!(settled(api.vendor()).await, HookStats::default());
}

// ---- HubSpot -----------------------------------------------------------------------------------------------------

fn app(receiver: &Receiver) -> HubSpotApp {
    serde_json::from_value(json!({ "target_url": receiver.url, "client_secret": SECRET })).unwrap()
}

async fn hooked_hubspot() -> (Api<HubSpot>, Receiver) {
    let api = hubspot(HubSpotQuirks::default()).await;
    let receiver = Receiver::new().await;
    api.vendor().install_app(app(&receiver));
    (api, receiver)
}

fn edit(hubspot: &HubSpot, contact: &str, name: &str, value: &str) {
    let properties = [(name.to_owned(), json!(value))].into();
    let contact = contact.to_owned();
    hubspot
        .act(HubSpotAct::Edit {
            contact,
            properties,
        })
        .unwrap();
}

/// `subscriptionType`, or the property of a change.
fn kinds(events: &[Value]) -> Vec<&str> {
    let name = |event: &'_ Value| event["propertyName"].is_string();
    events
        .iter()
        .map(|event| {
            let member = if name(event) {
                "propertyName"
            } else {
                "subscriptionType"
            };
            event[member].as_str().unwrap()
        })
        .collect()
}

#[tokio::test]
async fn hubspot_signs_the_address_as_it_was_entered() {
    let (api, receiver) = hooked_hubspot().await;
    switch(
        api.vendor(),
        HookQuirks {
            skew_ms: -600_000,
            ..HookQuirks::default()
        },
    );
    let (status, made) = api
        .post(
            "/crm/v3/objects/contacts",
            json!({ "properties": { "email": "eva@firma.example" } }),
        )
        .await;
    assert_eq!(status, 201);
    settled(api.vendor()).await;
    let posted = receiver.posted();
    assert_eq!(posted.len(), 1);
    let sent_at = posted[0].header("x-hubspot-request-timestamp");
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(format!("POST{}", receiver.url).as_bytes());
    mac.update(&posted[0].body);
    mac.update(sent_at.as_bytes());
    assert_eq!(
        posted[0].header("x-hubspot-signature-v3"),
        STANDARD.encode(mac.finalize().into_bytes())
    );
    let age = jiff::Timestamp::now().as_millisecond() - sent_at.parse::<i64>().unwrap();
    assert!((600_000..660_000).contains(&age), "{age}");
    let events = posted[0].events();
    assert_eq!(kinds(&events), ["contact.creation", "email"]);
    let creation = &events[0];
    assert_eq!(
        creation["objectId"].to_string(),
        made["id"].as_str().unwrap()
    );
    assert_eq!(creation["portalId"], samspel_vendors::hubspot::PORTAL_ID);
    assert_eq!(creation["changeSource"], "INTEGRATION");
    assert_eq!(creation["attemptNumber"], 0);
}

#[tokio::test]
async fn hubspot_tells_of_each_property_of_deletions_and_of_merges() {
    let (api, receiver) = hooked_hubspot().await;
    api.vendor().seed(10, 1);
    assert_eq!(settled(api.vendor()).await.events, 0, "a seed is old news");
    let create = |email: &str| {
        let properties = json!({ "email": email, "firstname": "Eva", "city": "Luleå" });
        let properties = serde_json::from_value(properties).unwrap();
        let made = api.vendor().act(HubSpotAct::Create { properties }).unwrap();
        made["id"].as_str().unwrap().to_owned()
    };
    let (eva, other, gone) = (
        create("eva@firma.example"),
        create("other@firma.example"),
        create("gone@firma.example"),
    );
    settled(api.vendor()).await;
    receiver.posted();
    let patch = json!({ "properties": { "firstname": "Ewa", "city": "", "lastname": "Öberg" } });
    api.patch(&format!("/crm/v3/objects/contacts/{eva}"), patch.clone())
        .await;
    api.patch(&format!("/crm/v3/objects/contacts/{eva}"), patch)
        .await;
    settled(api.vendor()).await;
    let events = receiver.events();
    let names: BTreeSet<&str> = kinds(&events).into_iter().collect();
    assert_eq!(
        (events.len(), names),
        (3, ["city", "firstname", "lastname"].into()),
        "values that stay the same make no event"
    );

    for act in [
        HubSpotAct::Unsubscribe {
            email: "eva@firma.example".into(),
            subscription: None,
        },
        HubSpotAct::Archive {
            contact: other.clone(),
        },
        HubSpotAct::Restore {
            contact: other.clone(),
        },
        HubSpotAct::Merge {
            primary: eva.clone(),
            other: other.clone(),
        },
        HubSpotAct::Delete { contact: gone },
    ] {
        api.vendor().act(act).unwrap();
        settled(api.vendor()).await;
    }
    let events = receiver.events();
    let told: BTreeSet<&str> = kinds(&events).into_iter().collect();
    for kind in [
        "hs_email_optout",
        "contact.deletion",
        "contact.restore",
        "contact.merge",
        "contact.privacyDeletion",
    ] {
        assert!(told.contains(kind), "{kind} is not among {told:?}");
    }
    assert!(events.iter().all(|event| event["changeSource"] == "CRM_UI"));
    let merge = events
        .iter()
        .find(|event| event["subscriptionType"] == "contact.merge")
        .unwrap();
    assert_eq!(merge["mergedObjectIds"][0].to_string(), other);
    assert_eq!(merge["primaryObjectId"].to_string(), eva);
}

#[tokio::test]
async fn hubspot_sends_a_hundred_events_at_once_and_few_requests() {
    let (api, receiver) = hooked_hubspot().await;
    api.vendor().install_app(HubSpotApp {
        max_concurrent_requests: 2,
        subscriptions: Some(vec![AppSubscription {
            event_type: "contact.propertyChange".into(),
            property_name: Some("email".into()),
        }]),
        ..app(&receiver)
    });
    receiver.log.slow_ms.store(50, Ordering::SeqCst);
    for batch in 0..5 {
        let inputs: Vec<Value> = (0..100)
            .map(|at| json!({ "properties": { "email": format!("p{batch}-{at}@firma.example") } }))
            .collect();
        let path = "/crm/v3/objects/contacts/batch/create";
        assert_eq!(api.post(path, json!({ "inputs": inputs })).await.0, 201);
    }
    let stats = settled(api.vendor()).await;
    assert_eq!((stats.events, stats.delivered), (500, 500));
    assert!(receiver.log.peak.load(Ordering::SeqCst) <= 2);
    assert!(stats.peak_in_flight <= 2);
    let posted = receiver.posted();
    assert!(posted.iter().all(|got| got.events().len() <= 100));
    assert!(posted.len() < 50, "{} requests", posted.len());
    let events: Vec<Value> = posted.iter().flat_map(Got::events).collect();
    assert!(events.iter().all(|event| event["propertyName"] == "email"));
}

#[tokio::test]
async fn hubspot_repeats_ten_times_and_counts_the_attempts() {
    let (api, receiver) = hooked_hubspot().await;
    switch(
        api.vendor(),
        HookQuirks {
            retry_ms: 1,
            ..HookQuirks::default()
        },
    );
    receiver.refuse([503; 11]);
    let properties = serde_json::from_value(json!({ "email": "eva@firma.example" })).unwrap();
    api.vendor().act(HubSpotAct::Create { properties }).unwrap();
    let stats = settled(api.vendor()).await;
    assert_eq!((stats.requests, stats.retried, stats.given_up), (11, 10, 2));
    let attempts: Vec<Value> = receiver
        .posted()
        .iter()
        .map(|got| got.events()[0]["attemptNumber"].clone())
        .collect();
    assert_eq!(attempts, (0..11).map(Value::from).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_control_api_sets_the_app_up_and_removes_it() {
    let api = hubspot(HubSpotQuirks::default()).await;
    let control = |method: Method| api.bare(method, "/_control/app");
    assert_eq!(answer(control(Method::GET)).await, (200, json!(null)));
    let set_up = json!({ "target_url": "http://127.0.0.1:9/", "client_secret": SECRET });
    let (status, now) = answer(control(Method::PUT).json(&set_up)).await;
    assert_eq!((status, &now["max_concurrent_requests"]), (200, &json!(10)));
    switch(
        api.vendor(),
        HookQuirks {
            delay_ms: 200,
            ..HookQuirks::default()
        },
    );
    let properties = serde_json::from_value(json!({ "email": "eva@firma.example" })).unwrap();
    api.vendor().act(HubSpotAct::Create { properties }).unwrap();
    assert_eq!(answer(control(Method::DELETE)).await.0, 200);
    let stats = settled(api.vendor()).await;
    assert_eq!((stats.requests, stats.given_up), (0, 2));
}

// ---- switches ----------------------------------------------------------------------------------------------------

#[tokio::test]
async fn webhooks_are_lost_doubled_held_back_and_late_as_the_switches_say() {
    let (api, receiver) = hooked_hubspot().await;
    let properties = serde_json::from_value(json!({ "email": "eva@firma.example" })).unwrap();
    api.vendor().act(HubSpotAct::Create { properties }).unwrap();
    settled(api.vendor()).await;
    receiver.posted();
    let patch = json!({ "hooks": { "lost": 1.0 } });
    let patch = api.bare(Method::PATCH, "/_control/settings").json(&patch);
    assert_eq!(answer(patch).await.0, 200);
    edit(api.vendor(), "eva@firma.example", "city", "Umeå");
    assert_eq!(settled(api.vendor()).await.lost, 1);
    assert_eq!(receiver.posted().len(), 0);

    let doubled = HookQuirks {
        duplicated: 1.0,
        ..HookQuirks::default()
    };
    switch(api.vendor(), doubled);
    edit(api.vendor(), "eva@firma.example", "city", "Luleå");
    assert_eq!(settled(api.vendor()).await.duplicated, 1);
    let twice = receiver.posted();
    assert_eq!(twice.len(), 2);
    assert_eq!(twice[0].events(), twice[1].events());

    let held_back = HookQuirks {
        reordered: 1.0,
        ..HookQuirks::default()
    };
    switch(api.vendor(), held_back);
    edit(api.vendor(), "eva@firma.example", "city", "first");
    // Until that one has been drawn and is held back.
    while api.vendor().core().stats.report().hooks.held_back == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    switch(api.vendor(), HookQuirks::default());
    edit(api.vendor(), "eva@firma.example", "city", "second");
    settled(api.vendor()).await;
    let values: Vec<Value> = receiver
        .events()
        .iter()
        .map(|event| event["propertyValue"].clone())
        .collect();
    assert_eq!(values, ["second", "first"]);

    let late = HookQuirks {
        delay_ms: 300,
        ..HookQuirks::default()
    };
    switch(api.vendor(), late);
    let start = Instant::now();
    edit(api.vendor(), "eva@firma.example", "city", "late");
    settled(api.vendor()).await;
    assert!(start.elapsed() >= Duration::from_millis(300));
}
