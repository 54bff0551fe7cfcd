//! The simulated Mailchimp, over HTTP: one test per documented quirk.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[expect(dead_code, reason = "each test program uses a part of it")]
mod support;

use md5::{Digest, Md5};
use reqwest::Method;
use samspel_vendors::mailchimp::{
    Compliance, Mailchimp, MailchimpAct, MailchimpQuirks, MergeField, MergeType, OverLimit,
};
use samspel_vendors::vendor::{ActError, Vendor};
use serde_json::{Value, json};
use support::{Answer, Api, answer, column, list, mailchimp};

fn hash(email: &str) -> String {
    hex::encode(Md5::digest(email.to_lowercase()))
}

fn member(email: &str) -> String {
    list(&format!("/members/{}", hash(email)))
}

async fn put(api: &Api<Mailchimp>, email: &str, status: &str) -> Value {
    let (code, body) = api
        .put(
            &member(email),
            json!({ "email_address": email, "status_if_new": status }),
        )
        .await;
    assert_eq!(code, 200, "{body}");
    body
}

async fn emails(api: &Api<Mailchimp>, query: &str) -> Vec<String> {
    let (status, body) = api.get(&list(&format!("/members?count=1000{query}"))).await;
    assert_eq!(status, 200, "{body}");
    column(&body["members"], "/email_address")
}

fn title((status, body): &Answer) -> (u16, &str) {
    (*status, body["title"].as_str().unwrap_or(""))
}

#[tokio::test]
async fn a_wrong_key_is_refused_as_problem_json() {
    let api = mailchimp(MailchimpQuirks::default()).await;
    let response = api
        .bare(Method::GET, "/3.0/ping")
        .basic_auth("any", Some("wrong"))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 401);
    assert!(
        response.headers()["content-type"]
            .to_str()
            .unwrap()
            .starts_with("application/problem+json")
    );
    assert_eq!(
        api.get("/3.0/ping").await.1["health_status"],
        "Everything's Chimpy!"
    );
    let bearer = api
        .bare(Method::GET, "/3.0/")
        .bearer_auth(samspel_vendors::mailchimp::DEFAULT_KEY);
    assert_eq!(answer(bearer).await.0, 200);
}

#[tokio::test]
async fn a_member_is_addressed_by_hash_address_and_contact_id() {
    let api = mailchimp(MailchimpQuirks::default()).await;
    let made = put(&api, "Eva@Firma.Example", "subscribed").await;
    assert_eq!(made["id"], hash("eva@firma.example"));
    assert_eq!(
        made["email_address"], "Eva@Firma.Example",
        "the address is kept as it was typed"
    );
    for key in [
        hash("eva@firma.example"),
        "eva@firma.example".to_owned(),
        made["contact_id"].as_str().unwrap().to_owned(),
    ] {
        assert_eq!(
            api.get(&list(&format!("/members/{key}"))).await.1["web_id"],
            made["web_id"]
        );
    }
    assert_eq!(
        title(&api.get(&member("nobody@firma.example")).await),
        (404, "Resource Not Found")
    );
    assert_eq!(api.get("/3.0/lists/other/members").await.0, 404);
}

#[tokio::test]
async fn a_changed_address_changes_the_id_and_not_the_contact_id() {
    let api = mailchimp(MailchimpQuirks::default()).await;
    let made = put(&api, "old@firma.example", "unsubscribed").await;
    let (status, moved) = api
        .patch(
            &member("old@firma.example"),
            json!({ "email_address": "new@firma.example" }),
        )
        .await;
    assert_eq!(status, 200);
    assert_eq!(moved["id"], hash("new@firma.example"));
    assert_eq!(
        (&moved["contact_id"], &moved["web_id"]),
        (&made["contact_id"], &made["web_id"])
    );
    assert_eq!(
        moved["status"], "unsubscribed",
        "an opt-out stays with the member"
    );
    assert_eq!(api.get(&member("old@firma.example")).await.0, 404);
    assert_eq!(api.vendor().counts(), (1, 0));
}

#[tokio::test]
async fn a_changed_address_that_somebody_has_is_refused() {
    let api = mailchimp(MailchimpQuirks::default()).await;
    put(&api, "a@firma.example", "subscribed").await;
    put(&api, "b@firma.example", "subscribed").await;
    let answer = api
        .patch(
            &member("a@firma.example"),
            json!({ "email_address": "B@firma.example" }),
        )
        .await;
    assert_eq!(title(&answer), (400, "Member Exists"));
}

#[tokio::test]
async fn an_address_change_can_need_a_subscribed_member() {
    let api = mailchimp(MailchimpQuirks {
        email_change_needs_subscribed: true,
        ..MailchimpQuirks::default()
    })
    .await;
    put(&api, "old@firma.example", "unsubscribed").await;
    let answer = api
        .patch(
            &member("old@firma.example"),
            json!({ "email_address": "new@firma.example" }),
        )
        .await;
    assert_eq!(title(&answer), (400, "Member In Compliance State"));
}

#[tokio::test]
async fn a_new_member_needs_a_status_and_status_if_new_touches_nobody_else() {
    let api = mailchimp(MailchimpQuirks::default()).await;
    let answer = api
        .put(
            &member("eva@firma.example"),
            json!({ "email_address": "eva@firma.example" }),
        )
        .await;
    assert_eq!(title(&answer), (400, "Invalid Resource"));
    assert_eq!(answer.1["errors"][0]["field"], "status_if_new");
    put(&api, "eva@firma.example", "unsubscribed").await;
    assert_eq!(
        put(&api, "eva@firma.example", "subscribed").await["status"],
        "unsubscribed"
    );
    let unknown = json!({ "email_address": "eva@firma.example", "status": "happy" });
    assert_eq!(
        api.put(&member("eva@firma.example"), unknown).await.1["errors"][0]["field"],
        "status"
    );
}

#[tokio::test]
async fn posting_a_member_twice_is_refused() {
    let api = mailchimp(MailchimpQuirks::default()).await;
    let new = json!({ "email_address": "eva@firma.example", "status": "subscribed" });
    assert_eq!(api.post(&list("/members"), new.clone()).await.0, 200);
    assert_eq!(
        title(&api.post(&list("/members"), new).await),
        (400, "Member Exists")
    );
}

#[tokio::test]
async fn unsubscribed_and_cleaned_members_cannot_be_subscribed_through_the_api() {
    let api = mailchimp(MailchimpQuirks::default()).await;
    for status in ["unsubscribed", "cleaned"] {
        let email = format!("{status}@firma.example");
        put(&api, &email, status).await;
        let answer = api
            .patch(&member(&email), json!({ "status": "subscribed" }))
            .await;
        assert_eq!(title(&answer), (400, "Member In Compliance State"));
        assert_eq!(
            api.patch(&member(&email), json!({ "status": "pending" }))
                .await
                .0,
            200
        );
    }
    put(&api, "self@firma.example", "subscribed").await;
    api.vendor()
        .act(MailchimpAct::Unsubscribe {
            member: "self@firma.example".to_owned(),
        })
        .unwrap();
    let back = MailchimpAct::Resubscribe {
        member: "self@firma.example".to_owned(),
    };
    assert_eq!(
        api.vendor().act(back).unwrap()["status"],
        "subscribed",
        "the person itself may"
    );
}

#[tokio::test]
async fn compliance_can_tell_an_own_wish_from_an_administrators() {
    let api = mailchimp(MailchimpQuirks {
        compliance: Compliance::OwnWish,
        ..MailchimpQuirks::default()
    })
    .await;
    put(&api, "admin@firma.example", "unsubscribed").await;
    put(&api, "self@firma.example", "subscribed").await;
    api.vendor()
        .act(MailchimpAct::Unsubscribe {
            member: "self@firma.example".to_owned(),
        })
        .unwrap();
    let subscribe = json!({ "status": "subscribed" });
    assert_eq!(
        api.patch(&member("admin@firma.example"), subscribe.clone())
            .await
            .0,
        200
    );
    assert_eq!(
        api.patch(&member("self@firma.example"), subscribe).await.0,
        400
    );
}

#[tokio::test]
async fn an_archived_member_is_hidden_and_its_opt_out_is_remembered() {
    let api = mailchimp(MailchimpQuirks::default()).await;
    put(&api, "eva@firma.example", "unsubscribed").await;
    assert_eq!(api.delete(&member("eva@firma.example")).await.0, 204);
    assert_eq!(api.delete(&member("eva@firma.example")).await.0, 405);
    assert_eq!(emails(&api, "").await, Vec::<String>::new());
    assert_eq!(
        emails(&api, "&status=archived").await,
        ["eva@firma.example"]
    );
    assert_eq!(
        api.get(&member("eva@firma.example")).await.1["status"],
        "archived"
    );
    let back = json!({ "email_address": "eva@firma.example", "status_if_new": "subscribed" });
    assert_eq!(
        title(&api.put(&member("eva@firma.example"), back).await),
        (400, "Member In Compliance State")
    );
    assert_eq!(
        put(&api, "eva@firma.example", "unsubscribed").await["status"],
        "unsubscribed"
    );
    assert_eq!(emails(&api, "").await, ["eva@firma.example"]);
}

#[tokio::test]
async fn a_member_deleted_for_good_cannot_be_added_again() {
    let api = mailchimp(MailchimpQuirks::default()).await;
    put(&api, "eva@firma.example", "subscribed").await;
    let path = format!("{}/actions/delete-permanent", member("eva@firma.example"));
    assert_eq!(api.post(&path, json!({})).await.0, 204);
    assert_eq!(api.get(&member("eva@firma.example")).await.0, 404);
    let again = json!({ "email_address": "eva@firma.example", "status_if_new": "subscribed" });
    assert_eq!(
        title(&api.put(&member("eva@firma.example"), again).await),
        (400, "Forgotten Email Not Subscribed")
    );
    put(&api, "bo@firma.example", "subscribed").await;
    let taken = json!({ "email_address": "eva@firma.example" });
    assert_eq!(
        title(&api.patch(&member("bo@firma.example"), taken).await),
        (400, "Forgotten Email Not Subscribed")
    );
    let signup = MailchimpAct::Create {
        email: "eva@firma.example".to_owned(),
        status: None,
        merge_fields: Default::default(),
    };
    assert_eq!(
        api.vendor().act(signup).unwrap()["status"],
        "subscribed",
        "the person may sign up again"
    );
}

#[tokio::test]
async fn fake_and_malformed_addresses_are_refused() {
    let api = mailchimp(MailchimpQuirks::default()).await;
    for email in ["eva@example.com", "test@test.com", "eva@firma.invalid"] {
        let answer = api
            .post(
                &list("/members"),
                json!({ "email_address": email, "status": "subscribed" }),
            )
            .await;
        assert_eq!(title(&answer), (400, "Invalid Resource"));
        assert!(
            answer.1["detail"]
                .as_str()
                .unwrap()
                .contains("looks fake or invalid"),
            "{}",
            answer.1
        );
    }
    let answer = api
        .post(
            &list("/members"),
            json!({ "email_address": "eva", "status": "subscribed" }),
        )
        .await;
    assert_eq!(answer.1["detail"], "Please provide a valid email address.");
    let api = mailchimp(MailchimpQuirks {
        refuse_fake: false,
        ..MailchimpQuirks::default()
    })
    .await;
    put(&api, "eva@example.com", "subscribed").await;
}

#[tokio::test]
async fn merge_fields_are_checked_and_always_all_there() {
    let api = mailchimp(MailchimpQuirks::default()).await;
    let field = MergeField {
        tag: "CLUB".to_owned(),
        name: "Club".to_owned(),
        kind: MergeType::Text,
        required: true,
        choices: vec![],
    };
    api.vendor()
        .act(MailchimpAct::AddMergeField { field })
        .unwrap();
    let write = |merge: Value| json!({ "email_address": "eva@firma.example", "status": "subscribed", "merge_fields": merge });
    let refused = api
        .post(&list("/members"), write(json!({ "FNAME": "Eva" })))
        .await;
    assert_eq!(
        (refused.0, &refused.1["detail"]),
        (400, &json!("Your merge fields were invalid."))
    );
    assert_eq!(refused.1["errors"][0]["field"], "CLUB");
    let skipped = api
        .post(
            &list("/members?skip_merge_validation=true"),
            write(json!({ "FNAME": " Eva " })),
        )
        .await;
    assert_eq!(skipped.0, 200);
    assert_eq!(
        skipped.1["merge_fields"]["FNAME"], "Eva",
        "blanks are trimmed"
    );
    assert_eq!(skipped.1["merge_fields"]["LNAME"], "");
    for (tag, value) in [
        ("POINTS", json!("many")),
        ("BIRTHDAY", json!("2020-01-01")),
        ("LEVEL", json!("gold")),
        ("LNAME", json!("x".repeat(256))),
        ("ADDRESS", json!({ "addr1": "Storgatan 1" })),
    ] {
        let (status, body) = api
            .patch(
                &member("eva@firma.example"),
                json!({ "merge_fields": { tag: value } }),
            )
            .await;
        assert_eq!((status, &body["errors"][0]["field"]), (400, &json!(tag)));
    }
    let (_, body) = api
        .patch(
            &member("eva@firma.example"),
            json!({ "merge_fields": { "POINTS": "12", "CLUB": "A" } }),
        )
        .await;
    assert_eq!(
        body["merge_fields"]["POINTS"], 12,
        "a number is shown as a number"
    );
    let (_, body) = api.get(&list("/merge-fields?count=100")).await;
    assert_eq!(
        body["merge_fields"].as_array().unwrap().last().unwrap()["required"],
        true
    );
}

#[tokio::test]
async fn blanks_are_kept_where_the_switch_says_so() {
    let api = mailchimp(MailchimpQuirks {
        trim: false,
        ..MailchimpQuirks::default()
    })
    .await;
    put(&api, "eva@firma.example", "subscribed").await;
    let (_, body) = api
        .patch(
            &member("eva@firma.example"),
            json!({ "merge_fields": { "FNAME": " Eva " } }),
        )
        .await;
    assert_eq!(body["merge_fields"]["FNAME"], " Eva ");
}

#[tokio::test]
async fn last_changed_has_whole_seconds_and_moves_only_with_a_change() {
    for moves in [false, true] {
        let quirks = MailchimpQuirks {
            noop_moves_last_changed: moves,
            ..MailchimpQuirks::default()
        };
        let api = mailchimp(quirks).await;
        let made = put(&api, "eva@firma.example", "subscribed").await;
        let at = made["last_changed"].as_str().unwrap();
        assert!(
            at.ends_with("+00:00") && at.len() == "2026-03-01T09:30:00+00:00".len(),
            "{at}"
        );
        api.vendor().core().clock.advance(5_000);
        let same = put(&api, "eva@firma.example", "subscribed").await;
        assert_eq!(same["last_changed"] != made["last_changed"], moves);
        let (_, other) = api
            .patch(
                &member("eva@firma.example"),
                json!({ "merge_fields": { "FNAME": "Eva" } }),
            )
            .await;
        assert_ne!(other["last_changed"], made["last_changed"]);
    }
}

#[tokio::test]
async fn tags_are_changed_apart_and_move_last_changed_by_switch() {
    for moves in [true, false] {
        let api = mailchimp(MailchimpQuirks {
            tags_move_last_changed: moves,
            ..MailchimpQuirks::default()
        })
        .await;
        let made = put(&api, "eva@firma.example", "subscribed").await;
        api.vendor().core().clock.advance(5_000);
        let path = format!("{}/tags", member("eva@firma.example"));
        let tags = json!({ "tags": [{ "name": "vän", "status": "active" }, { "name": "gone", "status": "inactive" }] });
        assert_eq!(api.post(&path, tags).await.0, 204);
        assert_eq!(column(&api.get(&path).await.1["tags"], "/name"), ["vän"]);
        let now = api.get(&member("eva@firma.example")).await.1;
        assert_eq!(
            (
                &now["tags_count"],
                now["last_changed"] != made["last_changed"]
            ),
            (&json!(1), moves)
        );
    }
}

#[tokio::test]
async fn the_list_of_members_is_filtered_by_time_and_status() {
    for exclusive in [true, false] {
        let api = mailchimp(MailchimpQuirks {
            since_exclusive: exclusive,
            ..MailchimpQuirks::default()
        })
        .await;
        put(&api, "first@firma.example", "subscribed").await;
        api.vendor().core().clock.advance(10_000);
        let second = put(&api, "second@firma.example", "unsubscribed").await;
        let at = second["last_changed"].as_str().unwrap().replace('+', "%2B");
        let since = emails(&api, &format!("&since_last_changed={at}")).await;
        assert_eq!(
            since,
            if exclusive {
                vec![]
            } else {
                vec!["second@firma.example"]
            }
        );
        assert_eq!(
            emails(&api, &format!("&before_last_changed={at}")).await,
            ["first@firma.example"]
        );
        assert_eq!(
            emails(&api, "&status=unsubscribed").await,
            ["second@firma.example"]
        );
        let newest = emails(&api, "&sort_field=last_changed&sort_dir=DESC").await;
        assert_eq!(newest, ["second@firma.example", "first@firma.example"]);
        let gone = emails(
            &api,
            "&status=unsubscribed&unsubscribed_since=2020-01-01T00:00:00%2B00:00",
        )
        .await;
        assert_eq!(gone, ["second@firma.example"]);
        let (status, _) = api
            .get(&list("/members?unsubscribed_since=2020-01-01T00:00:00Z"))
            .await;
        assert_eq!(status, 400, "only together with status=unsubscribed");
        let id = second["unique_email_id"].as_str().unwrap();
        assert_eq!(
            emails(&api, &format!("&unique_email_id={id}")).await,
            ["second@firma.example"]
        );
    }
}

#[tokio::test]
async fn pages_hold_ten_by_default_and_a_thousand_at_most() {
    let api = mailchimp(MailchimpQuirks::default()).await;
    api.vendor().seed(500, 1);
    let (_, page) = api.get(&list("/members")).await;
    assert_eq!(page["members"].as_array().unwrap().len(), 10);
    assert_eq!(page["total_items"], api.vendor().counts().0);
    assert_eq!(api.get(&list("/members?count=1001")).await.0, 400);
}

#[tokio::test]
async fn pages_shift_when_a_member_goes_away_meanwhile() {
    let api = mailchimp(MailchimpQuirks::default()).await;
    for at in 0..4 {
        put(&api, &format!("p{at}@firma.example"), "subscribed").await;
    }
    let first = api.get(&list("/members?count=2&offset=0")).await.1;
    assert_eq!(
        column(&first["members"], "/email_address"),
        ["p0@firma.example", "p1@firma.example"]
    );
    assert_eq!(api.delete(&member("p0@firma.example")).await.0, 204);
    let second = api.get(&list("/members?count=2&offset=2")).await.1;
    assert_eq!(
        column(&second["members"], "/email_address"),
        ["p3@firma.example"],
        "p2 is missed"
    );
}

#[tokio::test]
async fn answers_show_only_the_fields_asked_for() {
    let api = mailchimp(MailchimpQuirks::default()).await;
    put(&api, "eva@firma.example", "subscribed").await;
    let (_, body) = api
        .get(&list(
            "/members?fields=members.email_address,members.merge_fields.FNAME,total_items",
        ))
        .await;
    assert_eq!(
        body,
        json!({ "members": [{ "email_address": "eva@firma.example", "merge_fields": { "FNAME": "" } }], "total_items": 1 })
    );
    let (_, body) = api
        .get(&format!(
            "{}?exclude_fields=_links,stats",
            member("eva@firma.example")
        ))
        .await;
    assert!(
        body.get("_links").is_none()
            && body.get("stats").is_none()
            && body.get("location").is_some()
    );
}

#[tokio::test]
async fn a_batch_answers_200_with_an_error_per_member() {
    let api = mailchimp(MailchimpQuirks::default()).await;
    put(&api, "known@firma.example", "subscribed").await;
    put(&api, "gone@firma.example", "unsubscribed").await;
    let new = |email: &str, status: &str| json!({ "email_address": email, "status": status, "merge_fields": { "FNAME": "Eva" } });
    let members = json!([
        new("new@firma.example", "subscribed"),
        new("known@firma.example", "subscribed"),
        new("eva@example.com", "subscribed"),
        new("NEW@firma.example", "subscribed"),
    ]);
    let (status, body) = api
        .post(
            &list(""),
            json!({ "members": members, "update_existing": false }),
        )
        .await;
    assert_eq!(status, 200);
    assert_eq!(
        (
            &body["total_created"],
            &body["total_updated"],
            &body["error_count"]
        ),
        (&json!(1), &json!(0), &json!(3))
    );
    assert_eq!(
        column(&body["new_members"], "/email_address"),
        ["new@firma.example"]
    );
    assert_eq!(body["errors"][0]["error_code"], "ERROR_CONTACT_EXISTS");
    assert_eq!(body["errors"][1]["error_code"], "ERROR_GENERIC");

    let members = json!([
        new("known@firma.example", "subscribed"),
        new("gone@firma.example", "subscribed")
    ]);
    let (_, body) = api
        .post(
            &list(""),
            json!({ "members": members, "update_existing": true }),
        )
        .await;
    assert_eq!(
        (&body["total_updated"], &body["error_count"]),
        (&json!(1), &json!(1))
    );
    assert!(
        body["errors"][0]["error"]
            .as_str()
            .unwrap()
            .contains("compliance state")
    );
    let writes = api.vendor().core().stats.report().writes;
    assert_eq!((writes.created, writes.updated, writes.rejected), (3, 1, 4));
}

#[tokio::test]
async fn a_batch_takes_500_members_and_may_skip_repeated_ones() {
    let api = mailchimp(MailchimpQuirks::default()).await;
    let members = |n: usize| -> Vec<Value> {
        (0..n).map(|i| json!({ "email_address": format!("p{i}@firma.example"), "status": "subscribed" })).collect()
    };
    assert_eq!(
        api.post(&list(""), json!({ "members": members(501) }))
            .await
            .0,
        400
    );
    let mut repeated = members(2);
    repeated.extend(members(2));
    let (_, body) = api
        .post(
            &list("?skip_duplicate_check=true"),
            json!({ "members": repeated }),
        )
        .await;
    assert_eq!(
        (&body["total_created"], &body["error_count"]),
        (&json!(2), &json!(0))
    );
}

#[tokio::test]
async fn requests_beyond_the_limit_of_connections_are_refused_without_a_hint() {
    for over_limit in [OverLimit::TooManyRequests, OverLimit::BareForbidden] {
        let quirks = MailchimpQuirks {
            max_in_flight: 2,
            over_limit,
            ..MailchimpQuirks::default()
        };
        let api = mailchimp(quirks).await;
        api.vendor()
            .core()
            .settings
            .update(|settings| settings.latency_ms = 300);
        let calls = (0..6).map(|_| api.request(Method::GET, "/3.0/ping").send());
        let responses: Vec<_> = futures::future::join_all(calls)
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect();
        let refused: Vec<_> = responses
            .into_iter()
            .filter(|response| response.status() != 200)
            .collect();
        assert_eq!(refused.len(), 4);
        for response in refused {
            assert!(response.headers().get("retry-after").is_none());
            let problem = response.headers()["content-type"]
                .to_str()
                .unwrap()
                .contains("json");
            match over_limit {
                OverLimit::TooManyRequests => assert!(response.status() == 429 && problem),
                OverLimit::BareForbidden => assert!(response.status() == 403 && !problem),
            }
        }
        assert!(api.vendor().core().stats.report().peak_in_flight > 2);
    }
}

#[tokio::test]
async fn members_are_searched_by_address_and_name() {
    let api = mailchimp(MailchimpQuirks::default()).await;
    put(&api, "eva@firma.example", "subscribed").await;
    api.patch(
        &member("eva@firma.example"),
        json!({ "merge_fields": { "LNAME": "Öberg" } }),
    )
    .await;
    let (_, body) = api.get("/3.0/search-members?query=EVA@firma.example").await;
    assert_eq!(body["exact_matches"]["total_items"], 1);
    let (_, body) = api.get("/3.0/search-members?query=%C3%B6berg").await;
    assert_eq!(
        (
            &body["exact_matches"]["total_items"],
            &body["full_search"]["total_items"]
        ),
        (&json!(0), &json!(1))
    );
}

#[tokio::test]
async fn a_hard_bounce_cleans_the_member() {
    let api = mailchimp(MailchimpQuirks::default()).await;
    put(&api, "eva@firma.example", "subscribed").await;
    api.vendor()
        .act(MailchimpAct::HardBounce {
            member: "eva@firma.example".to_owned(),
        })
        .unwrap();
    assert_eq!(
        api.get(&member("eva@firma.example")).await.1["status"],
        "cleaned"
    );
    assert_eq!(api.get(&list("")).await.1["stats"]["cleaned_count"], 1);
    let nobody = api.vendor().act(MailchimpAct::HardBounce {
        member: "nobody@firma.example".to_owned(),
    });
    assert_eq!(
        nobody,
        Err(ActError::NotFound("nobody@firma.example".to_owned()))
    );
}

#[tokio::test]
async fn seeding_overlaps_with_the_people_of_hubspot_and_adds_some_of_its_own() {
    let api = mailchimp(MailchimpQuirks::default()).await;
    let seeded = api.vendor().seed(5_000, 3);
    assert!((850..1_250).contains(&seeded.records), "{seeded:?}");
    assert!(seeded.opted_out > 0 && seeded.bounced > 0);
    let own = (5_000..5_100).filter_map(|i| samspel_vendors::people::person(3, i).email);
    let mut known = 0;
    for email in own {
        known += usize::from(api.get(&member(&email)).await.0 == 200);
    }
    assert!(known > 80, "{known} of 100 are only in Mailchimp");
}
