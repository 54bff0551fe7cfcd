//! The simulated HubSpot, over HTTP: one test per documented quirk.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[expect(dead_code, reason = "each test program uses a part of it")]
mod support;

use reqwest::Method;
use samspel_vendors::hubspot::{BatchErrors, HubSpot, HubSpotAct, HubSpotQuirks, NEWSLETTER};
use samspel_vendors::vendor::Vendor;
use serde_json::{Value, json};
use support::{Api, answer, column, hubspot};

const CONTACTS: &str = "/crm/v3/objects/contacts";
const STATUSES: &str = "/communication-preferences/v4/statuses";

async fn create(api: &Api<HubSpot>, properties: Value) -> String {
    let (status, body) = api
        .post(CONTACTS, json!({ "properties": properties }))
        .await;
    assert_eq!(status, 201, "{body}");
    body["id"].as_str().unwrap().to_owned()
}

async fn read(api: &Api<HubSpot>, id: &str, properties: &str) -> Value {
    let (status, body) = api
        .get(&format!("{CONTACTS}/{id}?properties={properties}"))
        .await;
    assert_eq!(status, 200, "{body}");
    body
}

/// The addresses a search for one property value finds.
async fn search(api: &Api<HubSpot>, property: &str, operator: &str, value: &str) -> Vec<String> {
    let filter = json!({ "propertyName": property, "operator": operator, "value": value });
    let query = json!({ "filterGroups": [{ "filters": [filter] }], "limit": 200 });
    let (status, body) = api.post(&format!("{CONTACTS}/search"), query).await;
    assert_eq!(status, 200, "{body}");
    column(&body["results"], "/properties/email")
}

/// Moves the simulator's clock on, so that the next change has another time.
fn later(api: &Api<HubSpot>) {
    api.vendor().core().clock.advance(10);
}

#[tokio::test]
async fn a_wrong_token_is_refused_in_hubspots_form() {
    let api = hubspot(HubSpotQuirks::default()).await;
    let (status, body) = answer(api.bare(Method::GET, CONTACTS).bearer_auth("wrong")).await;
    assert_eq!(status, 401);
    assert_eq!(body["category"], "INVALID_AUTHENTICATION");
    assert!(body["correlationId"].is_string());
}

#[tokio::test]
async fn the_list_is_paged_by_an_opaque_cursor_and_skips_nobody_when_one_goes_away() {
    let api = hubspot(HubSpotQuirks::default()).await;
    api.vendor().seed(250, 1);
    let mut seen = Vec::new();
    let mut after = String::new();
    loop {
        let (status, page) = api.get(&format!("{CONTACTS}?limit=100{after}")).await;
        assert_eq!(status, 200);
        seen.extend(column(&page["results"], "/id"));
        let Some(next) = page.pointer("/paging/next/after").and_then(Value::as_str) else {
            break;
        };
        // The first contact of the next page is archived while we are reading.
        assert_eq!(api.delete(&format!("{CONTACTS}/{next}")).await.0, 204);
        after = format!("&after={next}");
    }
    let archived = api
        .get(&format!("{CONTACTS}?archived=true&limit=100"))
        .await
        .1;
    assert_eq!(archived["results"].as_array().unwrap().len(), 2);
    seen.extend(column(&archived["results"], "/id"));
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 250);
    assert_eq!(api.get(&format!("{CONTACTS}?limit=101")).await.0, 400);
}

#[tokio::test]
async fn values_are_strings_and_addresses_are_lower_case() {
    let api = hubspot(HubSpotQuirks::default()).await;
    let id = create(
        &api,
        json!({ "email": " Eva@Firma.Example ", "loyalty_points": 7 }),
    )
    .await;
    let contact = read(&api, &id, "email,loyalty_points,nothing_like_this,jobtitle").await;
    assert_eq!(contact["properties"]["email"], "eva@firma.example");
    assert_eq!(contact["properties"]["loyalty_points"], "7");
    assert_eq!(contact["properties"]["hs_object_id"], id.as_str());
    assert_eq!(contact["properties"]["jobtitle"], Value::Null);
    assert_eq!(contact["properties"].get("nothing_like_this"), None);
    let modified = contact["properties"]["lastmodifieddate"].as_str().unwrap();
    assert_eq!(
        modified.len(),
        "2026-03-01T09:30:00.123Z".len(),
        "{modified}"
    );
}

#[tokio::test]
async fn a_second_contact_with_an_address_is_a_conflict_that_names_the_first() {
    let api = hubspot(HubSpotQuirks::default()).await;
    let id = create(&api, json!({ "email": "eva@firma.example" })).await;
    let (status, body) = api
        .post(
            CONTACTS,
            json!({ "properties": { "email": "EVA@firma.example" } }),
        )
        .await;
    assert_eq!(status, 409);
    assert_eq!(
        body["message"],
        format!("Contact already exists. Existing ID: {id}")
    );
    let other = create(&api, json!({ "email": "other@firma.example" })).await;
    let taken = json!({ "properties": { "email": "eva@firma.example" } });
    assert_eq!(
        api.patch(&format!("{CONTACTS}/{other}"), taken).await.0,
        409
    );
}

#[tokio::test]
async fn read_only_and_unknown_properties_are_refused() {
    let api = hubspot(HubSpotQuirks::default()).await;
    for (name, code) in [
        ("hs_email_optout", "READ_ONLY_VALUE"),
        ("shoe_size", "PROPERTY_DOESNT_EXIST"),
    ] {
        let (status, body) = api
            .post(CONTACTS, json!({ "properties": { name: "true" } }))
            .await;
        assert_eq!(
            (status, &body["category"]),
            (400, &json!("VALIDATION_ERROR"))
        );
        assert!(body["message"].as_str().unwrap().contains(code), "{body}");
    }
}

#[tokio::test]
async fn a_contact_is_found_by_address_and_by_a_unique_custom_property() {
    let api = hubspot(HubSpotQuirks::default()).await;
    let id = create(
        &api,
        json!({ "email": "eva@firma.example", "customer_number": "K-1" }),
    )
    .await;
    for (key, property) in [("EVA@firma.example", "email"), ("K-1", "customer_number")] {
        let (status, body) = api
            .get(&format!("{CONTACTS}/{key}?idProperty={property}"))
            .await;
        assert_eq!((status, body["id"].as_str()), (200, Some(id.as_str())));
    }
    assert_eq!(
        api.get(&format!("{CONTACTS}/x?idProperty=lastname"))
            .await
            .0,
        400
    );
    assert_eq!(api.get(&format!("{CONTACTS}/999999")).await.0, 404);
}

#[tokio::test]
async fn only_a_change_moves_lastmodifieddate_unless_told_otherwise() {
    for moves in [false, true] {
        let quirks = HubSpotQuirks {
            noop_moves_lastmodified: moves,
            ..HubSpotQuirks::default()
        };
        let api = hubspot(quirks).await;
        let id = create(&api, json!({ "firstname": "Eva" })).await;
        let before = read(&api, &id, "").await["updatedAt"].clone();
        later(&api);
        let same = json!({ "properties": { "firstname": "Eva" } });
        assert_eq!(api.patch(&format!("{CONTACTS}/{id}"), same).await.0, 200);
        let after = read(&api, &id, "").await["updatedAt"].clone();
        assert_eq!(before != after, moves);
        later(&api);
        let report = api.vendor().core().stats.report();
        assert_eq!(
            (
                report.writes.created,
                report.writes.updated,
                report.writes.unchanged
            ),
            (1, 0, 1)
        );
        let other = json!({ "properties": { "firstname": "Ewa" } });
        assert_eq!(api.patch(&format!("{CONTACTS}/{id}"), other).await.0, 200);
        assert_ne!(read(&api, &id, "").await["updatedAt"], after);
    }
}

#[tokio::test]
async fn an_archived_contact_is_hidden_and_can_be_restored() {
    let api = hubspot(HubSpotQuirks::default()).await;
    let id = create(&api, json!({ "email": "eva@firma.example" })).await;
    assert_eq!(api.delete(&format!("{CONTACTS}/{id}")).await.0, 204);
    assert_eq!(api.get(&format!("{CONTACTS}/{id}")).await.0, 404);
    let (status, body) = api.get(&format!("{CONTACTS}/{id}?archived=true")).await;
    assert_eq!((status, &body["archived"]), (200, &json!(true)));
    assert!(body["archivedAt"].is_string());
    for (archived, status) in [(true, 200), (false, 207)] {
        let inputs = json!({ "inputs": [{ "id": id }] });
        let path = format!("{CONTACTS}/batch/read?archived={archived}");
        assert_eq!(api.post(&path, inputs).await.0, status);
    }
    assert_eq!(
        search(&api, "email", "EQ", "eva@firma.example").await,
        Vec::<String>::new()
    );
    api.vendor()
        .act(HubSpotAct::Restore {
            contact: id.clone(),
        })
        .unwrap();
    assert_eq!(api.get(&format!("{CONTACTS}/{id}")).await.0, 200);
}

#[tokio::test]
async fn a_batch_reports_its_refused_items_and_applies_the_others() {
    let api = hubspot(HubSpotQuirks::default()).await;
    let known = create(&api, json!({ "email": "known@firma.example" })).await;
    let inputs = json!([
        { "properties": { "email": "new@firma.example" }, "objectWriteTraceId": "first" },
        { "properties": { "email": "known@firma.example" }, "objectWriteTraceId": "second" },
        { "properties": { "email": "new@firma.example" }, "objectWriteTraceId": "third" },
    ]);
    let (status, body) = api
        .post(
            &format!("{CONTACTS}/batch/create"),
            json!({ "inputs": inputs }),
        )
        .await;
    assert_eq!(status, 207, "{body}");
    assert_eq!(body["numErrors"], 2);
    assert_eq!(column(&body["results"], "/objectWriteTraceId"), ["first"]);
    assert_eq!(
        column(&body["errors"], "/context/objectWriteTraceId/0"),
        ["second", "third"]
    );
    assert_eq!(
        body["errors"][0]["message"],
        format!("Contact already exists. Existing ID: {known}")
    );

    let inputs = json!([
        { "id": known, "properties": { "lastname": "Öberg" } },
        { "id": "999999", "properties": { "lastname": "Nobody" } },
    ]);
    let (status, body) = api
        .post(
            &format!("{CONTACTS}/batch/update"),
            json!({ "inputs": inputs }),
        )
        .await;
    assert_eq!((status, &body["numErrors"]), (207, &json!(1)));
    assert_eq!(body["errors"][0]["context"]["ids"], json!(["999999"]));
    let (status, body) = api
        .post(
            &format!("{CONTACTS}/batch/read"),
            json!({ "inputs": [{ "id": known }, { "id": "1" }] }),
        )
        .await;
    assert_eq!(
        (status, body["results"].as_array().unwrap().len()),
        (207, 1)
    );
}

#[tokio::test]
async fn a_batch_can_be_refused_as_a_whole() {
    let api = hubspot(HubSpotQuirks {
        batch_errors: BatchErrors::WholeBatch,
        ..HubSpotQuirks::default()
    })
    .await;
    create(&api, json!({ "email": "known@firma.example" })).await;
    let inputs = json!([
        { "properties": { "email": "new@firma.example" } },
        { "properties": { "email": "known@firma.example" } },
    ]);
    assert_eq!(
        api.post(
            &format!("{CONTACTS}/batch/create"),
            json!({ "inputs": inputs })
        )
        .await
        .0,
        409
    );
    let twice = json!([
        { "properties": { "email": "new@firma.example" } },
        { "properties": { "email": "new@firma.example" } },
    ]);
    assert_eq!(
        api.post(
            &format!("{CONTACTS}/batch/create"),
            json!({ "inputs": twice })
        )
        .await
        .0,
        400
    );
    assert_eq!(api.vendor().counts(), (1, 0), "nothing was applied");
}

#[tokio::test]
async fn a_batch_takes_a_hundred_inputs_and_may_answer_in_another_order() {
    let api = hubspot(HubSpotQuirks {
        shuffle_batch_results: true,
        ..HubSpotQuirks::default()
    })
    .await;
    let inputs = |n: usize| {
        let inputs: Vec<Value> = (0..n)
            .map(|i| json!({ "properties": { "email": format!("p{i}@firma.example") } }))
            .collect();
        json!({ "inputs": inputs })
    };
    assert_eq!(
        api.post(&format!("{CONTACTS}/batch/create"), inputs(101))
            .await
            .0,
        400
    );
    let (status, body) = api
        .post(&format!("{CONTACTS}/batch/create"), inputs(100))
        .await;
    assert_eq!(status, 201);
    let emails = column(&body["results"], "/properties/email");
    assert_eq!(emails.len(), 100);
    assert_ne!(emails[0], "p0@firma.example");
}

#[tokio::test]
async fn an_upsert_says_what_is_new() {
    let api = hubspot(HubSpotQuirks::default()).await;
    create(
        &api,
        json!({ "customer_number": "K-1", "firstname": "Eva" }),
    )
    .await;
    let inputs = json!([
        { "id": "K-1", "idProperty": "customer_number", "properties": { "lastname": "Öberg" } },
        { "id": "K-2", "idProperty": "customer_number", "properties": { "lastname": "Lind" } },
    ]);
    let (status, body) = api
        .post(
            &format!("{CONTACTS}/batch/upsert"),
            json!({ "inputs": inputs }),
        )
        .await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(
        (&body["results"][0]["new"], &body["results"][1]["new"]),
        (&json!(false), &json!(true))
    );
    let (_, second) = api
        .get(&format!(
            "{CONTACTS}/K-2?idProperty=customer_number&properties=lastname"
        ))
        .await;
    assert_eq!(second["properties"]["lastname"], "Lind");
}

#[tokio::test]
async fn an_upsert_by_address_can_be_refused() {
    let upsert = json!({ "inputs": [{ "id": "eva@firma.example", "idProperty": "email", "properties": { "city": "Oslo" } }] });
    let api = hubspot(HubSpotQuirks::default()).await;
    assert_eq!(
        api.post(&format!("{CONTACTS}/batch/upsert"), upsert.clone())
            .await
            .0,
        200
    );
    let api = hubspot(HubSpotQuirks {
        reject_email_upsert: true,
        ..HubSpotQuirks::default()
    })
    .await;
    assert_eq!(
        api.post(&format!("{CONTACTS}/batch/upsert"), upsert)
            .await
            .0,
        400
    );
    assert_eq!(api.vendor().counts(), (0, 0));
}

#[tokio::test]
async fn search_filters_by_type_and_sorts() {
    let api = hubspot(HubSpotQuirks::default()).await;
    create(
        &api,
        json!({ "email": "a@firma.example", "firstname": "Åsa", "loyalty_points": "9" }),
    )
    .await;
    create(
        &api,
        json!({ "email": "b@firma.example", "firstname": "Bo", "loyalty_points": "10" }),
    )
    .await;
    create(&api, json!({ "email": "c@firma.example" })).await;
    assert_eq!(
        search(&api, "loyalty_points", "GTE", "10").await,
        ["b@firma.example"],
        "numbers compare as numbers"
    );
    assert_eq!(
        search(&api, "loyalty_points", "LT", "10").await,
        ["a@firma.example"]
    );
    assert_eq!(
        search(&api, "firstname", "EQ", "åsa").await,
        ["a@firma.example"],
        "text ignores case"
    );
    assert_eq!(
        search(&api, "email", "EQ", "C@firma.example").await,
        ["c@firma.example"]
    );
    assert_eq!(
        search(&api, "loyalty_points", "HAS_PROPERTY", "")
            .await
            .len(),
        2
    );
    assert_eq!(
        search(&api, "loyalty_points", "NOT_HAS_PROPERTY", "").await,
        ["c@firma.example"]
    );

    let query = json!({
        "filterGroups": [
            { "filters": [{ "propertyName": "firstname", "operator": "EQ", "value": "Bo" }] },
            { "filters": [{ "propertyName": "email", "operator": "IN", "values": ["a@firma.example"] }] },
        ],
        "sorts": [{ "propertyName": "email", "direction": "DESCENDING" }],
    });
    let (_, body) = api.post(&format!("{CONTACTS}/search"), query).await;
    assert_eq!(
        column(&body["results"], "/properties/email"),
        ["b@firma.example", "a@firma.example"]
    );
    assert_eq!(body["total"], 2);
}

#[tokio::test]
async fn search_by_lastmodifieddate_finds_exactly_the_later_ones_in_order() {
    let api = hubspot(HubSpotQuirks::default()).await;
    let first = create(&api, json!({ "email": "first@firma.example" })).await;
    later(&api);
    create(&api, json!({ "email": "second@firma.example" })).await;
    later(&api);
    let touched = json!({ "properties": { "city": "Oslo" } });
    let (_, body) = api.patch(&format!("{CONTACTS}/{first}"), touched).await;
    let at = body["updatedAt"].as_str().unwrap();
    let query = |operator: &str, value: &str| {
        json!({
            "filterGroups": [{ "filters": [{ "propertyName": "lastmodifieddate", "operator": operator, "value": value }] }],
            "sorts": [{ "propertyName": "lastmodifieddate", "direction": "ASCENDING" }],
        })
    };
    let find = async |operator: &str, value: &str| {
        let (_, body) = api
            .post(&format!("{CONTACTS}/search"), query(operator, value))
            .await;
        column(&body["results"], "/properties/email")
    };
    assert_eq!(
        find("GTE", "0").await,
        ["second@firma.example", "first@firma.example"]
    );
    assert_eq!(find("GTE", at).await, ["first@firma.example"]);
    assert_eq!(find("GT", at).await, Vec::<String>::new());
    assert_eq!(find("LT", at).await, ["second@firma.example"]);
}

#[tokio::test]
async fn search_pages_by_offset_up_to_its_cap() {
    let api = hubspot(HubSpotQuirks {
        search_cap: 300,
        ..HubSpotQuirks::default()
    })
    .await;
    api.vendor().seed(400, 1);
    let page = |after: usize, limit: usize| json!({ "sorts": ["hs_object_id"], "limit": limit, "after": after.to_string(), "filterGroups": [] });
    let (status, body) = api
        .post(&format!("{CONTACTS}/search"), page(100, 200))
        .await;
    assert_eq!(
        (status, &body["total"], &body["paging"]["next"]["after"]),
        (200, &json!(400), &json!("300"))
    );
    assert_eq!(
        api.post(&format!("{CONTACTS}/search"), page(300, 100))
            .await
            .0,
        400
    );
    assert_eq!(
        api.post(&format!("{CONTACTS}/search"), page(0, 201))
            .await
            .0,
        400
    );
}

#[tokio::test]
async fn search_lags_behind_the_records() {
    let api = hubspot(HubSpotQuirks {
        search_lag_ms: 60_000,
        ..HubSpotQuirks::default()
    })
    .await;
    let id = create(&api, json!({ "email": "old@firma.example" })).await;
    assert_eq!(
        search(&api, "email", "EQ", "old@firma.example").await,
        Vec::<String>::new()
    );
    api.vendor().core().clock.advance(60_000);
    assert_eq!(
        search(&api, "email", "EQ", "old@firma.example").await,
        ["old@firma.example"]
    );
    let renamed = json!({ "properties": { "email": "new@firma.example" } });
    assert_eq!(api.patch(&format!("{CONTACTS}/{id}"), renamed).await.0, 200);
    assert_eq!(
        search(&api, "email", "EQ", "old@firma.example").await,
        ["old@firma.example"],
        "still the old value"
    );
    api.vendor().core().clock.advance(60_000);
    assert_eq!(
        search(&api, "email", "EQ", "old@firma.example").await,
        Vec::<String>::new()
    );
    assert_eq!(
        search(&api, "email", "EQ", "new@firma.example").await,
        ["new@firma.example"]
    );
}

#[tokio::test]
async fn rate_limits_refuse_with_a_policy_and_tell_what_is_left() {
    let quirks = HubSpotQuirks {
        rate_limits: true,
        burst_limit: 3,
        search_limit: 2,
        ..HubSpotQuirks::default()
    };
    let api = hubspot(quirks).await;
    let response = api.request(Method::GET, CONTACTS).send().await.unwrap();
    assert_eq!(response.headers()["x-hubspot-ratelimit-remaining"], "2");
    assert_eq!(api.get(CONTACTS).await.0, 200);
    assert_eq!(api.get(CONTACTS).await.0, 200);
    let (status, body) = api.get(CONTACTS).await;
    assert_eq!(
        (status, &body["errorType"], &body["policyName"]),
        (429, &json!("RATE_LIMIT"), &json!("TEN_SECONDLY_ROLLING"))
    );

    let response = api
        .request(Method::POST, &format!("{CONTACTS}/search"))
        .json(&json!({}))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200, "searches have a limit of their own");
    assert!(
        response
            .headers()
            .keys()
            .all(|name| !name.as_str().starts_with("x-hubspot-ratelimit"))
    );
    assert_eq!(
        api.post(&format!("{CONTACTS}/search"), json!({})).await.0,
        200
    );
    let (status, body) = api.post(&format!("{CONTACTS}/search"), json!({})).await;
    assert_eq!((status, &body["policyName"]), (429, &json!("SECONDLY")));
}

#[tokio::test]
async fn properties_show_types_options_and_what_is_read_only() {
    let api = hubspot(HubSpotQuirks::default()).await;
    let definition = json!({ "name": "shoe_size", "label": "Shoe size", "type": "number", "fieldType": "number" });
    assert_eq!(
        api.post("/crm/v3/properties/contacts", definition.clone())
            .await
            .0,
        201
    );
    assert_eq!(
        api.post("/crm/v3/properties/contacts", definition).await.0,
        409
    );
    let (_, body) = api.get("/crm/v3/properties/contacts").await;
    let property = |name: &str| {
        body["results"]
            .as_array()
            .unwrap()
            .iter()
            .find(|p| p["name"] == name)
            .unwrap_or(&Value::Null)
            .clone()
    };
    assert_eq!(
        property("hs_email_optout")["modificationMetadata"]["readOnlyValue"],
        true
    );
    assert_eq!(
        property("firstname")["modificationMetadata"]["readOnlyValue"],
        false
    );
    assert_eq!(property("customer_number")["hasUniqueValue"], true);
    assert_eq!(
        property("membership_level")["options"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    assert_eq!(
        (
            &property("shoe_size")["type"],
            &property("shoe_size")["hubspotDefined"]
        ),
        (&json!("number"), &json!(false))
    );
    create(&api, json!({ "shoe_size": "43" })).await;
}

#[tokio::test]
async fn the_account_says_who_it_is() {
    let api = hubspot(HubSpotQuirks::default()).await;
    assert!(api.get("/account-info/v3/details").await.1["portalId"].is_u64());
}

#[tokio::test]
async fn a_status_belongs_to_the_address_and_stays_behind_when_it_changes() {
    let api = hubspot(HubSpotQuirks::default()).await;
    let id = create(&api, json!({ "email": "old@firma.example" })).await;
    assert_eq!(
        api.post(
            &format!("{STATUSES}/old@firma.example/unsubscribe-all?channel=EMAIL"),
            json!({})
        )
        .await
        .0,
        200
    );
    assert_eq!(
        read(&api, &id, "hs_email_optout").await["properties"]["hs_email_optout"],
        "true"
    );
    let moved = json!({ "properties": { "email": "new@firma.example" } });
    assert_eq!(api.patch(&format!("{CONTACTS}/{id}"), moved).await.0, 200);
    assert_eq!(
        read(&api, &id, "hs_email_optout").await["properties"]["hs_email_optout"],
        Value::Null
    );
    let (_, body) = api
        .get(&format!("{STATUSES}/old@firma.example?channel=EMAIL"))
        .await;
    assert_eq!(
        column(&body["results"], "/status"),
        ["UNSUBSCRIBED", "UNSUBSCRIBED"]
    );
    let (_, body) = api
        .get(&format!("{STATUSES}/new@firma.example?channel=EMAIL"))
        .await;
    assert_eq!(
        column(&body["results"], "/status"),
        ["NOT_SPECIFIED", "NOT_SPECIFIED"]
    );
}

#[tokio::test]
async fn a_subscription_keeps_time_and_legal_basis() {
    let api = hubspot(HubSpotQuirks::default()).await;
    let write = json!({
        "subscriptionId": NEWSLETTER, "statusState": "SUBSCRIBED", "channel": "EMAIL",
        "legalBasis": "CONSENT_WITH_NOTICE", "legalBasisExplanation": "signed up",
    });
    let (status, body) = api
        .post(&format!("{STATUSES}/Eva@firma.example"), write.clone())
        .await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(
        body["results"][0]["setStatusSuccessReason"],
        "REQUESTED_CHANGE_OCCURRED"
    );
    let (_, body) = api.get(&format!("{STATUSES}/eva@firma.example")).await;
    let newsletter = &body["results"][0];
    assert_eq!(
        (&newsletter["status"], &newsletter["legalBasis"]),
        (&json!("SUBSCRIBED"), &json!("CONSENT_WITH_NOTICE"))
    );
    assert!(newsletter["timestamp"].is_string());
    let (_, body) = api
        .post(&format!("{STATUSES}/eva@firma.example"), write)
        .await;
    assert_eq!(
        body["results"][0]["setStatusSuccessReason"],
        "NO_STATUS_CHANGE"
    );
    assert_eq!(api.vendor().core().stats.report().writes.consents, 1);
    assert_eq!(
        api.get("/communication-preferences/v4/definitions").await.1["results"][0]["id"],
        NEWSLETTER.to_string()
    );
}

#[tokio::test]
async fn statuses_are_read_and_written_in_batches() {
    let api = hubspot(HubSpotQuirks::default()).await;
    let input = |email: &str, state: &str| json!({ "subscriberIdString": email, "subscriptionId": NEWSLETTER, "statusState": state, "channel": "EMAIL" });
    let inputs = json!([
        input("a@firma.example", "SUBSCRIBED"),
        input("b@firma.example", "UNSUBSCRIBED"),
        input("nobody", "SUBSCRIBED")
    ]);
    let (status, body) = api
        .post(
            &format!("{STATUSES}/batch/write"),
            json!({ "inputs": inputs }),
        )
        .await;
    assert_eq!((status, &body["numErrors"]), (207, &json!(1)));
    let all = json!({ "inputs": ["c@firma.example"] });
    assert_eq!(
        api.post(
            &format!("{STATUSES}/batch/unsubscribe-all?channel=EMAIL"),
            all
        )
        .await
        .0,
        200
    );
    let wanted = json!({ "inputs": ["a@firma.example", "b@firma.example", "c@firma.example", "d@firma.example"] });
    let (_, body) = api
        .post(&format!("{STATUSES}/batch/read?channel=EMAIL"), wanted)
        .await;
    assert_eq!(
        column(&body["results"], "/statuses/0/status"),
        [
            "SUBSCRIBED",
            "UNSUBSCRIBED",
            "UNSUBSCRIBED",
            "NOT_SPECIFIED"
        ]
    );
    assert_eq!(body["results"][3]["subscriberIdString"], "d@firma.example");
}

#[tokio::test]
async fn a_status_change_moves_lastmodifieddate_by_switch() {
    for moves in [true, false] {
        let api = hubspot(HubSpotQuirks {
            consent_moves_lastmodified: moves,
            ..HubSpotQuirks::default()
        })
        .await;
        let id = create(&api, json!({ "email": "eva@firma.example" })).await;
        let before = read(&api, &id, "").await["updatedAt"].clone();
        later(&api);
        let out = HubSpotAct::Unsubscribe {
            email: "eva@firma.example".to_owned(),
            subscription: None,
        };
        api.vendor().act(out).unwrap();
        let after = read(&api, &id, "hs_email_optout").await;
        assert_eq!(after["properties"]["hs_email_optout"], "true");
        assert_eq!(after["updatedAt"] != before, moves);
    }
}

#[tokio::test]
async fn the_api_may_resubscribe_only_where_the_switch_allows_it() {
    for allowed in [true, false] {
        let api = hubspot(HubSpotQuirks {
            api_may_resubscribe: allowed,
            ..HubSpotQuirks::default()
        })
        .await;
        api.post(
            &format!("{STATUSES}/eva@firma.example/unsubscribe-all"),
            json!({}),
        )
        .await;
        let write = json!({ "subscriptionId": NEWSLETTER, "statusState": "SUBSCRIBED", "channel": "EMAIL" });
        let (status, _) = api
            .post(&format!("{STATUSES}/eva@firma.example"), write)
            .await;
        assert_eq!(status, if allowed { 200 } else { 400 });
        // The person may, always.
        let back = HubSpotAct::Subscribe {
            email: "eva@firma.example".to_owned(),
            subscription: None,
            legal_basis: None,
        };
        api.vendor().act(back).unwrap();
        let (_, body) = api.get(&format!("{STATUSES}/eva@firma.example")).await;
        assert_eq!(body["results"][0]["status"], "SUBSCRIBED");
    }
}

#[tokio::test]
async fn subscribing_can_need_a_legal_basis() {
    let api = hubspot(HubSpotQuirks {
        require_legal_basis: true,
        ..HubSpotQuirks::default()
    })
    .await;
    let mut write =
        json!({ "subscriptionId": NEWSLETTER, "statusState": "SUBSCRIBED", "channel": "EMAIL" });
    assert_eq!(
        api.post(&format!("{STATUSES}/eva@firma.example"), write.clone())
            .await
            .0,
        400
    );
    write["legalBasis"] = json!("NON_GDPR");
    assert_eq!(
        api.post(&format!("{STATUSES}/eva@firma.example"), write)
            .await
            .0,
        200
    );
}

#[tokio::test]
async fn a_bounce_is_shown_read_only_and_belongs_to_the_address() {
    let api = hubspot(HubSpotQuirks::default()).await;
    let id = create(&api, json!({ "email": "eva@firma.example" })).await;
    api.vendor()
        .act(HubSpotAct::HardBounce {
            email: "eva@firma.example".to_owned(),
        })
        .unwrap();
    let shown = "hs_email_bounce,hs_email_hard_bounce_reason_enum";
    let contact = read(&api, &id, shown).await;
    assert_eq!(contact["properties"]["hs_email_bounce"], "1");
    assert_eq!(
        contact["properties"]["hs_email_hard_bounce_reason_enum"],
        "UNKNOWN_USER"
    );
    let write = json!({ "properties": { "hs_email_bounce": "0" } });
    assert_eq!(api.patch(&format!("{CONTACTS}/{id}"), write).await.0, 400);
    let moved = json!({ "properties": { "email": "new@firma.example" } });
    assert_eq!(api.patch(&format!("{CONTACTS}/{id}"), moved).await.0, 200);
    assert_eq!(
        read(&api, &id, shown).await["properties"]["hs_email_bounce"],
        Value::Null
    );
}

#[tokio::test]
async fn a_merged_contact_is_found_under_its_old_id_and_address() {
    for new_id in [false, true] {
        let api = hubspot(HubSpotQuirks {
            merge_makes_new_id: new_id,
            ..HubSpotQuirks::default()
        })
        .await;
        let kept = create(
            &api,
            json!({ "email": "kept@firma.example", "firstname": "Eva" }),
        )
        .await;
        let lost = create(
            &api,
            json!({ "email": "lost@firma.example", "lastname": "Öberg" }),
        )
        .await;
        let merge = json!({ "primaryObjectId": kept, "objectIdToMerge": lost });
        let (status, body) = api.post(&format!("{CONTACTS}/merge"), merge).await;
        assert_eq!(status, 200, "{body}");
        assert_eq!(body["id"] != kept.as_str(), new_id);
        assert_eq!(body["properties"]["lastname"], "Öberg", "gaps are filled");
        for path in [
            kept.clone(),
            lost.clone(),
            "lost@firma.example?idProperty=email".to_owned(),
        ] {
            let (status, found) = api.get(&format!("{CONTACTS}/{path}")).await;
            assert_eq!((status, &found["id"]), (200, &body["id"]), "{path}");
        }
        assert_eq!(api.vendor().counts(), (1, 0));
        assert_eq!(
            api.post(
                CONTACTS,
                json!({ "properties": { "email": "lost@firma.example" } })
            )
            .await
            .0,
            409
        );
    }
}

#[tokio::test]
async fn a_deletion_for_good_leaves_nothing() {
    let api = hubspot(HubSpotQuirks::default()).await;
    create(&api, json!({ "email": "eva@firma.example" })).await;
    api.post(
        &format!("{STATUSES}/eva@firma.example/unsubscribe-all"),
        json!({}),
    )
    .await;
    let delete = json!({ "objectId": "eva@firma.example", "idProperty": "email" });
    assert_eq!(
        api.post(&format!("{CONTACTS}/gdpr-delete"), delete).await.0,
        204
    );
    assert_eq!(api.vendor().counts(), (0, 0));
    let (_, body) = api.get(&format!("{STATUSES}/eva@firma.example")).await;
    assert_eq!(body["results"][0]["status"], "NOT_SPECIFIED");
}

#[tokio::test]
async fn seeding_makes_opted_out_and_bounced_contacts_that_search_finds() {
    let api = hubspot(HubSpotQuirks::default()).await;
    let seeded = api.vendor().seed(2_000, 3);
    assert_eq!(seeded.records, 2_000);
    let out = search(&api, "hs_email_optout", "EQ", "true").await;
    assert_eq!(out.len() as u64, seeded.opted_out.min(200));
    assert_eq!(
        search(&api, "hs_email_bounce", "HAS_PROPERTY", "")
            .await
            .len() as u64,
        seeded.bounced
    );
    assert_eq!(
        api.vendor().core().stats.report().writes.effective(),
        0,
        "seeding is not counted"
    );
}
