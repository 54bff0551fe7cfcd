//! What a guest returns, and what the host does not take.

use samspel_model::write::{Removal, Remove};
use samspel_model::{Connector, Extent, Failure, RecordId, WriteOp};
use samspel_runtime::{AccountConfig, Limits};
use serde_json::{Value, json};

use crate::support::{Sandbox, account, assert_refused, assert_stopped, everything};

const MIB: usize = 1 << 20;

fn limits() -> Limits {
    Limits {
        cpu_ms: 60_000,
        wall_ms: 60_000,
        ..Limits::default()
    }
}

fn with(settings: Value, limits: Limits) -> AccountConfig {
    AccountConfig {
        limits,
        ..account("garbage", settings)
    }
}

#[tokio::test]
async fn records_end_at_items() {
    let sandbox = Sandbox::new().await;
    for mode in ["records", "tombstones"] {
        let few = Limits {
            items: 900,
            ..limits()
        };
        let deed = json!({ "mode": mode, "amount": 1_000 });
        let result = sandbox.page_on(&with(deed.clone(), few)).await;
        assert_refused(&result, "(items)");
        let page = sandbox.page_on(&with(deed, limits())).await.unwrap();
        assert_eq!(page.records.len() + page.tombstones.len(), 1_000);
    }
}

#[tokio::test]
async fn a_million_records_are_too_many_at_the_default() {
    let sandbox = Sandbox::new().await;
    let deed = json!({ "mode": "records", "amount": 1_000_000 });
    // Not even copied: a million records have more bytes than one transfer.
    let roomy = Limits {
        memory_bytes: 1 << 30,
        ..limits()
    };
    let result = sandbox.page_on(&with(deed.clone(), roomy.clone())).await;
    assert_stopped(&result, "transfer-bytes");
    // And refused where the operator allows the bytes.
    let bytes = Limits {
        transfer_bytes: 1 << 30,
        transfer_total_bytes: 1 << 30,
        ..roomy
    };
    let result = sandbox.page_on(&with(deed, bytes)).await;
    assert_refused(&result, "(items)");
}

#[tokio::test]
async fn nesting_ends_at_json_depth() {
    let sandbox = Sandbox::new().await;
    let deep = |levels: usize| {
        let fields = format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        json!({ "mode": "thing", "thing": { "fields": fields } })
    };
    let shallow = Limits {
        json_depth: 10,
        ..limits()
    };
    for levels in [11, 60] {
        let result = sandbox.page_on(&with(deep(levels), shallow.clone())).await;
        assert_refused(&result, "(json-depth)");
        assert!(sandbox.page_on(&with(deep(levels), limits())).await.is_ok());
    }
    assert!(sandbox.page_on(&with(deep(10), shallow)).await.is_ok());
    // So deep that a parser without a limit of its own would overflow the host's stack.
    let result = sandbox.page_on(&with(deep(1_000_000), limits())).await;
    assert_refused(&result, "its fields");
    let unlimited = Limits {
        json_depth: usize::MAX,
        ..limits()
    };
    let result = sandbox.page_on(&with(deep(1_000_000), unlimited)).await;
    assert_refused(&result, "its fields");
}

#[tokio::test]
async fn identifiers_end_at_identifier_bytes() {
    let sandbox = Sandbox::new().await;
    let long = "i".repeat(101);
    let short = Limits {
        identifier_bytes: 100,
        ..limits()
    };
    for thing in [
        json!({ "id": long }),
        json!({ "token": long }),
        json!({ "aliases": ["a", long] }),
        json!({ "consents": [[long, null]] }),
    ] {
        let deed = json!({ "mode": "thing", "thing": thing });
        let result = sandbox.page_on(&with(deed.clone(), short.clone())).await;
        assert_refused(&result, "(identifier-bytes)");
        assert!(sandbox.page_on(&with(deed, limits())).await.is_ok());
    }
}

#[tokio::test]
async fn a_cursor_holds_a_mebibyte_and_no_more() {
    let sandbox = Sandbox::new().await;
    let cursor = |bytes: usize| with(json!({ "mode": "cursor", "amount": bytes }), limits());
    assert!(sandbox.page_on(&cursor(MIB)).await.is_ok());
    assert_refused(&sandbox.page_on(&cursor(MIB + 1)).await, "cursor");
}

#[tokio::test]
async fn records_that_say_nonsense_are_refused() {
    let sandbox = Sandbox::new().await;
    for (thing, why) in [
        (json!({ "id": "" }), "an empty record id"),
        (json!({ "aliases": [""] }), "an empty alias"),
        (json!({ "fields": "" }), "not JSON"),
        (json!({ "fields": "{\"a\": NaN}" }), "not JSON"),
        (json!({ "fields": "{\"a\": Infinity}" }), "not JSON"),
        (json!({ "fields": "{\"a\": 1e999}" }), "not JSON"),
        (json!({ "fields": "{\"a\": 1" }), "not JSON"),
        (json!({ "fields": "{} {}" }), "not JSON"),
        (json!({ "fields": "{\"a\": \"\\ud800\"}" }), "not JSON"),
        (json!({ "fields": "[1, 2]" }), "not a JSON object"),
        (json!({ "fields": "null" }), "not a JSON object"),
        (json!({ "modified": "yesterday" }), "not RFC 3339"),
        (
            json!({ "modified": "2026-02-30T00:00:00Z" }),
            "not RFC 3339",
        ),
        (json!({ "modified": "x".repeat(100_000) }), "not RFC 3339"),
        (
            json!({ "consents": [["email", "2026-13-01T00:00:00Z"]] }),
            "not RFC 3339",
        ),
        (
            json!({ "consents": [["email", null], ["email", null]] }),
            "twice",
        ),
    ] {
        let deed = json!({ "mode": "thing", "thing": thing });
        let result = sandbox.page_on(&with(deed, limits())).await;
        assert_refused(&result, why);
        let Err(failure) = result else { continue };
        assert!(failure.to_string().len() < 5_000, "an endless error");
    }
}

#[tokio::test]
async fn fields_with_a_schema_that_is_none_are_refused() {
    let sandbox = Sandbox::new().await;
    for (schema, why) in [
        ("NaN", "not JSON"),
        ("[]", "not a JSON object"),
        (
            &format!("{{\"a\":{}{}}}", "[".repeat(100), "]".repeat(100)),
            "(json-depth)",
        ),
    ] {
        let deed = json!({ "mode": "schema", "text": schema });
        let bound = sandbox.bind(&with(deed, limits()));
        assert_refused(&bound.collections().await, why);
    }
    let deed = json!({ "mode": "schema", "text": "{\"type\": \"string\"}" });
    let bound = sandbox.bind(&with(deed, limits()));
    assert_eq!(bound.collections().await.unwrap().len(), 1);
    sandbox.neighbour_works().await;
}

#[tokio::test]
async fn answers_are_as_many_as_were_asked_for() {
    let sandbox = Sandbox::new().await;
    let ids: Vec<RecordId> = ["1", "2", "3"].map(RecordId::from).into();
    let values: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let writes = || -> Vec<WriteOp> {
        ids.iter()
            .map(|id| {
                WriteOp::Remove(Remove {
                    id: id.clone(),
                    precondition: None,
                    how: Removal::Delete,
                    known: serde_json::Map::new(),
                })
            })
            .collect()
    };
    for answered in [0, 2, 4, 30_000] {
        let deed = json!({ "mode": "count", "amount": answered });
        let bound = sandbox.bind(&with(deed, limits()));
        let why = format!("asked about 3 items and answered {answered}");
        assert_refused(
            &bound.fetch("things", &ids, None, Extent::Whole).await,
            &why,
        );
        assert_refused(&bound.find("things", "name", &values).await, &why);
        // What was sent was sent: the host must read back every item.
        let failed = bound.write("things", writes()).await.unwrap_err();
        assert!(failed.may_have_applied);
        assert_refused(&Err::<(), _>(failed.failure), &why);
    }
    let bound = sandbox.bind(&with(json!({ "mode": "count", "amount": 3 }), limits()));
    assert_eq!(
        bound
            .fetch("things", &ids, None, Extent::Whole)
            .await
            .unwrap()
            .len(),
        3
    );
    assert_eq!(
        bound.find("things", "name", &values).await.unwrap().len(),
        3
    );
    assert_eq!(bound.write("things", writes()).await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_write_that_panics_before_it_sent_anything_applied_nothing() {
    let sandbox = Sandbox::new().await;
    let bound = sandbox.bind(&with(json!({ "mode": "panic" }), limits()));
    let failed = bound.write("things", Vec::new()).await.unwrap_err();
    assert!(!failed.may_have_applied);
    assert!(matches!(failed.failure, Failure::Stopped(_)), "{failed:?}");
}

#[tokio::test]
async fn a_collection_that_does_not_exist_is_an_error() {
    let sandbox = Sandbox::new().await;
    let bound = sandbox.bind(&with(json!({ "mode": "idle" }), limits()));
    let mut request = everything();
    request.collection = "nothings".to_owned();
    assert_refused(&bound.changes(request).await, "no collection `nothings`");
}
