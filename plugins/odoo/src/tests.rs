//! The connector against a scripted Odoo: what it asks for, and what it makes of the answers.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use samspel_connector::fields::Selection;
use samspel_connector::http::Error;
use samspel_connector::testing::{Remote, Reply, SentRequest};
use samspel_connector::{
    Absence, ChangesRequest, Connector, Consent, ConsentState, Create, Deliverability,
    DeliverabilityState, Failure, Fetched, Outcome, ReadMode, Removal, Remove, Update, Value,
    WriteOp, json, serde_json,
};

use crate::Odoo;

/// One call as Odoo gets it.
struct Seen {
    service: String,
    method: String,
    /// Of `execute_kw`.
    args: Value,
    kwargs: Value,
}

fn seen(request: &SentRequest) -> Seen {
    assert_eq!(
        (request.method.as_str(), request.url.as_str()),
        ("POST", "https://odoo.test/jsonrpc")
    );
    let body: Value = serde_json::from_slice(request.body.as_deref().unwrap()).unwrap();
    let params = &body["params"];
    let service = params["service"].as_str().unwrap().to_owned();
    if service == "common" {
        return Seen {
            service,
            method: params["method"].as_str().unwrap().to_owned(),
            args: Value::Null,
            kwargs: Value::Null,
        };
    }
    assert_eq!(request.credential.as_deref(), Some("password"));
    assert_eq!(
        params["args"][2],
        Value::Null,
        "the host puts the password here"
    );
    Seen {
        service,
        method: format!(
            "{}.{}",
            params["args"][3].as_str().unwrap(),
            params["args"][4].as_str().unwrap()
        ),
        args: params["args"][5].clone(),
        kwargs: params["args"][6].clone(),
    }
}

fn result(value: Value) -> Reply {
    Reply::json(200, json!({"jsonrpc": "2.0", "id": 1, "result": value}))
        .header("date", "Tue, 24 Nov 2026 15:00:00 GMT")
}

fn error(name: &str, message: &str) -> Reply {
    Reply::json(
        200,
        json!({"jsonrpc": "2.0", "id": 1, "error": {"code": 200, "message": "Odoo Server Error",
            "data": {"name": name, "message": message, "debug": "Traceback"}}}),
    )
}

/// Answers login and discovery as Odoo 11 does, and the rest by the script.
fn odoo_11(mut script: impl FnMut(&Seen) -> Reply + 'static) -> Remote {
    Remote::new(move |request| {
        let seen = seen(request);
        match (seen.service.as_str(), seen.method.as_str()) {
            ("common", "authenticate") => result(json!(2)),
            (_, "res.partner.fields_get") => result(json!({
                "name": {"type": "char", "string": "Name", "store": true},
                "email": {"type": "char", "string": "Email", "store": true},
                "country_id": {"type": "many2one", "string": "Country", "store": true, "relation": "res.country"},
                "x_status": {"type": "char", "string": "Status", "store": true},
                "active": {"type": "boolean", "store": true},
                "opt_out": {"type": "boolean", "store": true},
                "message_bounce": {"type": "integer", "store": true},
            })),
            _ => script(&seen),
        }
    })
}

fn settings(more: Value) -> Value {
    let mut settings = json!({"url": "https://odoo.test/", "database": "db", "login": "sync"});
    for (name, value) in more.as_object().unwrap() {
        settings[name] = value.clone();
    }
    settings
}

fn odoo(more: Value) -> Odoo {
    Odoo::open(serde_json::from_value(settings(more)).unwrap()).unwrap()
}

fn write(remote: &Remote, writes: Vec<WriteOp>) -> Result<Vec<Outcome>, Failure> {
    remote.run(|| odoo(json!({})).write("partners", writes))
}

fn row(id: i64, members: Value) -> Value {
    let mut row = json!({"id": id, "write_date": "2026-11-24 14:27:38", "active": true,
        "opt_out": false, "message_bounce": 0, "name": format!("N{id}"), "email": format!("n{id}@x.test"),
        "country_id": false});
    for (name, value) in members.as_object().unwrap() {
        row[name] = value.clone();
    }
    row
}

/// The rows that a `search_read` by ids asks for.
fn rows_asked(seen: &Seen) -> Value {
    let ids = seen.args[0][0][2].as_array().unwrap();
    ids.iter()
        .map(|id| row(id.as_i64().unwrap(), json!({})))
        .collect()
}

fn create(key: &str, fields: Value) -> WriteOp {
    WriteOp::Create(Create {
        idempotency_key: key.into(),
        fields: fields.to_string(),
        consents: vec![],
        deliverability: None,
    })
}

fn update(id: &str, patch: Value) -> Update {
    Update {
        id: id.into(),
        precondition: None,
        patch: patch.to_string(),
        consents: vec![],
        deliverability: None,
        known: json!({"email": "known@x.test"}).to_string(),
    }
}

fn calls(remote: &Remote, method: &str) -> Vec<Seen> {
    remote
        .requests()
        .iter()
        .map(seen)
        .filter(|seen| seen.method == method)
        .collect()
}

fn ids(outcomes: &[Outcome]) -> Vec<&str> {
    outcomes
        .iter()
        .map(|outcome| match outcome {
            Outcome::Written(entity) => entity.id.as_str(),
            Outcome::Rejected(_) => "rejected",
            Outcome::Gone => "gone",
            Outcome::Deferred(_) => "deferred",
            Outcome::Unknown(_) => "unknown",
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn a_wrong_password_is_no_error_to_odoo() {
    let remote = Remote::new(|_| result(json!(false)));
    let answer = remote.run(|| odoo(json!({})).check());
    assert!(
        matches!(answer, Err(Failure::Unauthorized(_))),
        "{answer:?}"
    );
}

#[test]
fn a_login_page_at_the_address_is_about_the_setting() {
    let remote = Remote::new(|_| Reply::new(404));
    let answer = remote.run(|| odoo(json!({})).check());
    let Err(Failure::Misconfigured(what)) = answer else {
        panic!("{answer:?}")
    };
    assert_eq!(what.setting, "url");
}

#[test]
fn a_faulty_row_of_an_import_does_not_stop_the_others() {
    let mut round = 0;
    let remote = odoo_11(move |seen| match seen.method.as_str() {
        "res.partner.load" => {
            round += 1;
            let rows = seen.args[1].as_array().unwrap().len();
            match round {
                1 => {
                    assert_eq!(rows, 3);
                    result(json!({"ids": false, "messages": [
                        {"type": "error", "record": 1, "field": "country_id", "message": "No matching record\nDETAIL:  me@x.test"},
                    ]}))
                }
                _ => {
                    assert_eq!(rows, 2);
                    result(json!({"ids": [11, 12], "messages": []}))
                }
            }
        }
        "res.partner.search_read" => result(rows_asked(seen)),
        other => panic!("{other}"),
    });
    let person = |email: &str| json!({"name": "N", "email": email, "country_id": "75"});
    let outcomes = write(
        &remote,
        vec![
            create("k.1", person("a@x.test")),
            create("k.2", person("b@x.test")),
            create("k.3", person("c@x.test")),
        ],
    )
    .unwrap();
    assert_eq!(ids(&outcomes), ["11", "rejected", "12"]);
    let Outcome::Rejected(rejection) = &outcomes[1] else {
        unreachable!()
    };
    assert_eq!(
        (rejection.reason.as_str(), rejection.field.as_deref()),
        ("No matching record", Some("country_id"))
    );
    let load = &calls(&remote, "res.partner.load")[0];
    // What makes it safe to repeat: external ids, and leaving alone what has one.
    assert_eq!(
        load.args[0],
        json!(["id", "country_id/.id", "email", "name"])
    );
    assert_eq!(
        load.args[1][0],
        json!(["__samspel__.k_x2e_1", "75", "a@x.test", "N"])
    );
    assert_eq!(
        load.kwargs["context"],
        json!({"mode": "update", "noupdate": true})
    );
}

#[test]
fn contention_in_an_import_is_deferred() {
    let remote = odoo_11(|_| {
        result(json!({"ids": false, "messages": [
            {"type": "error", "record": 0, "message": "could not serialize access due to concurrent update"},
        ]}))
    });
    let outcomes = write(&remote, vec![create("k", json!({"name": "N"}))]).unwrap();
    assert_eq!(ids(&outcomes), ["deferred"]);
}

#[test]
fn an_import_that_was_cut_off_may_have_been_applied() {
    let remote = odoo_11(|_| Reply::error(Error::Interrupted("reset".into())));
    assert_eq!(
        ids(&write(&remote, vec![create("k", json!({"name": "N"}))]).unwrap()),
        ["unknown"]
    );
    let remote = odoo_11(|_| Reply::error(Error::NotSent("refused".into())));
    assert_eq!(
        ids(&write(&remote, vec![create("k", json!({"name": "N"}))]).unwrap()),
        ["deferred"]
    );
}

#[test]
fn each_change_has_an_outcome_of_its_own() {
    let remote = odoo_11(
        |seen| match (seen.method.as_str(), seen.args[0][0].as_i64()) {
            ("res.partner.write", Some(2)) => error("odoo.exceptions.MissingError", "deleted"),
            ("res.partner.write", Some(3)) => error("odoo.exceptions.ValidationError", "no\nNone"),
            ("res.partner.write", _) => result(json!(true)),
            ("res.partner.search_read", _) => result(rows_asked(seen)),
            (other, _) => panic!("{other}"),
        },
    );
    let change = |id| WriteOp::Update(update(id, json!({"name": "x"})));
    let writes = vec![
        change("1"),
        change("2"),
        change("3"),
        // The same record once more, and one whose patch is nothing to Odoo.
        change("1"),
        WriteOp::Update(update("5", json!({}))),
        change("not-a-number"),
        WriteOp::Update(update("1", json!({"nosuch": 1}))),
    ];
    let outcomes = write(&remote, writes).unwrap();
    assert_eq!(
        ids(&outcomes),
        ["1", "gone", "rejected", "1", "5", "rejected", "rejected"]
    );
    let Outcome::Written(entity) = &outcomes[0] else {
        unreachable!()
    };
    assert_eq!(
        entity.fields, r#"{"name":"N1"}"#,
        "only what was written is claimed"
    );
}

#[test]
fn a_credential_that_stops_working_is_the_call_s_failure() {
    let remote = odoo_11(|_| error("odoo.exceptions.AccessDenied", "Access denied"));
    let answer = write(&remote, vec![create("k", json!({"name": "N"}))]);
    assert_eq!(answer, Err(Failure::Unauthorized("Access denied".into())));
}

#[test]
fn removals_end_in_gone() {
    let remote = odoo_11(|_| result(json!(true)));
    let remove = |how| {
        WriteOp::Remove(Remove {
            id: "7".into(),
            precondition: None,
            how,
            known: "{}".into(),
        })
    };
    let outcomes = write(
        &remote,
        vec![remove(Removal::Archive), remove(Removal::Delete)],
    )
    .unwrap();
    assert_eq!(ids(&outcomes), ["gone", "gone"]);
    assert_eq!(
        calls(&remote, "res.partner.write")[0].args,
        json!([[7], {"active": false}])
    );
    assert_eq!(calls(&remote, "res.partner.unlink")[0].args, json!([[7]]));
}

#[test]
fn opt_outs_and_bounces_are_written_where_people_see_them() {
    let remote = odoo_11(|seen| match seen.method.as_str() {
        "res.partner.write" => result(json!(true)),
        _ => result(rows_asked(seen)),
    });
    let bounced = Deliverability::new(DeliverabilityState::HardBounced).reason(Some("550"));
    let write = WriteOp::Update(Update {
        consents: vec![Consent::new(
            "email",
            "marketing",
            ConsentState::Unsubscribed,
        )],
        deliverability: Some(bounced),
        ..update("7", json!({}))
    });
    let odoo = odoo(json!({"partner_bounce_field": "x_status", "hard_bounce_count": 5}));
    remote.run(|| odoo.write("partners", vec![write])).unwrap();
    assert_eq!(
        calls(&remote, "res.partner.write")[0].args,
        json!([[7], {"opt_out": true, "message_bounce": 5, "x_status": "hard bounce: 550"}])
    );
}

#[test]
fn a_bounce_field_that_does_not_exist_is_named() {
    let remote = odoo_11(|seen| panic!("{}", seen.method));
    let write = WriteOp::Update(Update {
        deliverability: Some(Deliverability::new(DeliverabilityState::HardBounced)),
        ..update("7", json!({}))
    });
    let odoo = odoo(json!({"partner_bounce_field": "x_nosuch"}));
    let outcomes = remote.run(|| odoo.write("partners", vec![write])).unwrap();
    let Outcome::Rejected(rejection) = &outcomes[0] else {
        panic!("{outcomes:?}")
    };
    assert!(
        rejection.reason.contains("`partner_bounce_field`"),
        "{}",
        rejection.reason
    );
}

#[test]
fn nothing_said_changes_no_opt_out() {
    let remote = odoo_11(|seen| match seen.method.as_str() {
        "res.partner.search_read" => result(rows_asked(seen)),
        other => panic!("{other}"),
    });
    let say = |state| {
        WriteOp::Update(Update {
            consents: vec![Consent::new("email", "marketing", state)],
            ..update("7", json!({}))
        })
    };
    let outcomes = write(
        &remote,
        vec![say(ConsentState::Unspecified), say(ConsentState::Pending)],
    )
    .unwrap();
    assert_eq!(ids(&outcomes), ["7", "7"]);
}

/// A model whose opt-outs are on the blacklist.
fn later_version(refuse_blacklist: bool) -> Remote {
    Remote::new(move |request| {
        let seen = seen(request);
        match seen.method.as_str() {
            "authenticate" => result(json!(2)),
            "res.partner.fields_get" => result(json!({
                "name": {"type": "char", "store": true}, "email": {"type": "char", "store": true},
                "is_blacklisted": {"type": "boolean", "store": false},
                "message_bounce": {"type": "integer", "store": true},
                "active": {"type": "boolean", "store": true},
            })),
            "mail.blacklist.create" if refuse_blacklist => {
                error("odoo.exceptions.AccessError", "You are not allowed")
            }
            "mail.blacklist.create" => result(json!(1)),
            "res.partner.write" => result(json!(true)),
            "res.partner.search_read" => {
                let mut rows = rows_asked(&seen);
                rows[0]["is_blacklisted"] = json!(true);
                result(rows)
            }
            other => panic!("{other}"),
        }
    })
}

#[test]
fn later_versions_get_the_address_on_their_blacklist() {
    let opt_out = |patch| {
        WriteOp::Update(Update {
            consents: vec![Consent::new(
                "email",
                "marketing",
                ConsentState::Unsubscribed,
            )],
            ..update("7", patch)
        })
    };
    let remote = later_version(false);
    let outcomes = write(&remote, vec![opt_out(json!({}))]).unwrap();
    let Outcome::Written(entity) = &outcomes[0] else {
        panic!("{outcomes:?}")
    };
    assert_eq!(entity.consents[0].state, ConsentState::Unsubscribed);
    assert_eq!(
        calls(&remote, "mail.blacklist.create")[0].args,
        json!([{"email": "known@x.test"}])
    );
    // A new address is the one that must not be written to.
    let remote = later_version(false);
    write(&remote, vec![opt_out(json!({"email": "new@x.test"}))]).unwrap();
    assert_eq!(
        calls(&remote, "mail.blacklist.create")[0].args,
        json!([{"email": "new@x.test"}])
    );

    let remote = later_version(true);
    let outcomes = write(&remote, vec![opt_out(json!({}))]).unwrap();
    assert_eq!(
        ids(&outcomes),
        ["rejected"],
        "an opt-out that was not stored is not done"
    );
}

fn changes(
    remote: &Remote,
    more: Value,
    mode: ReadMode,
    fields: Option<Vec<String>>,
) -> samspel_connector::Page {
    let request = ChangesRequest {
        collection: "partners".into(),
        mode,
        fields,
        limit: 2,
    };
    remote.run(|| odoo(more).changes(request)).unwrap()
}

#[test]
fn a_listing_goes_by_id_and_knows_when_it_is_complete() {
    let remote = odoo_11(|seen| {
        let after = seen.args[0]
            .as_array()
            .unwrap()
            .iter()
            .find(|term| term[1] == ">");
        match after.map(|term| term[2].as_i64().unwrap()) {
            None => result(json!([row(1, json!({})), row(4, json!({"active": false}))])),
            Some(4) => result(json!([row(9, json!({}))])),
            Some(other) => panic!("after {other}"),
        }
    });
    let first = changes(&remote, json!({}), ReadMode::Snapshot(None), None);
    assert_eq!((first.records.len(), first.tombstones.len()), (1, 1));
    assert_eq!(first.tombstones[0].why, Absence::Archived);
    assert!(first.more && !first.complete);
    assert!(
        first
            .resume_cursor
            .unwrap()
            .contains("2026-11-24T15:00:00Z"),
        "the server's time"
    );
    let second = changes(&remote, json!({}), ReadMode::Snapshot(first.next), None);
    assert!(
        second.complete && !second.more && second.next.is_none() && second.resume_cursor.is_none()
    );
    let asked = &calls(&remote, "res.partner.search_read")[0].kwargs;
    assert_eq!(
        (&asked["order"], &asked["context"]),
        (&json!("id"), &json!({"active_test": false}))
    );
}

#[test]
fn ids_alone_are_cheap() {
    let remote = odoo_11(|_| result(json!([])));
    changes(&remote, json!({}), ReadMode::Snapshot(None), Some(vec![]));
    let asked = &calls(&remote, "res.partner.search_read")[0].kwargs["fields"];
    // An empty list would mean all of them to Odoo.
    assert_eq!(asked, &json!(["write_date", "active"]));
}

#[test]
fn what_leaves_the_filter_is_out_of_scope() {
    let script = |seen: &Seen| match seen.method.as_str() {
        "res.partner.search_read" => result(json!([row(1, json!({})), row(2, json!({}))])),
        "res.partner.search" => {
            assert_eq!(
                seen.args[0],
                json!([["id", "in", [1, 2]], ["is_company", "=", false]])
            );
            result(json!([2]))
        }
        other => panic!("{other}"),
    };
    let filter = json!({"partner_filter": [["is_company", "=", false]]});
    let remote = odoo_11(script);
    let cursor = r#"{"v":1,"at":{"seen":"2026-11-24T14:00:00Z"}}"#;
    let page = changes(
        &remote,
        filter.clone(),
        ReadMode::Incremental(cursor.into()),
        None,
    );
    assert_eq!(page.records[0].id, "2");
    assert_eq!(
        (page.tombstones[0].id.as_str(), &page.tombstones[0].why),
        ("1", &Absence::OutOfScope)
    );
    let fetched = odoo_11(script).run(|| {
        odoo(filter).fetch(
            "partners",
            vec!["1".into(), "2".into(), "3".into(), "x".into()],
            &Selection::All,
            true,
        )
    });
    assert!(matches!(
        fetched.unwrap().as_slice(),
        [
            Fetched::Absent(Absence::OutOfScope),
            Fetched::Found(_),
            Fetched::Absent(Absence::Deleted),
            Fetched::Failed(_)
        ]
    ));
}

#[test]
fn a_cursor_of_another_layout_has_expired() {
    let remote = odoo_11(|seen| panic!("{}", seen.method));
    let request = ChangesRequest {
        collection: "partners".into(),
        mode: ReadMode::Incremental("garbage".into()),
        fields: None,
        limit: 10,
    };
    let answer = remote.run(|| odoo(json!({})).changes(request));
    assert_eq!(answer.err(), Some(Failure::ExpiredCursor));
}

#[test]
fn find_tells_values_apart_and_letter_cases_not() {
    let remote = odoo_11(|seen| {
        assert_eq!(
            seen.args[0],
            json!([
                "|",
                ["email", "=ilike", r"A\_b@x.test"],
                ["email", "=ilike", "c@x.test"]
            ])
        );
        result(json!([
            row(1, json!({"email": "a_b@x.test"})),
            row(2, json!({"email": "A_B@x.test"})),
            row(3, json!({"email": "c@x.test", "active": false})),
        ]))
    });
    let values = ["A_b@x.test", "c@x.test", ""].map(String::from).to_vec();
    let found = remote
        .run(|| odoo(json!({})).find("partners", "email", values))
        .unwrap();
    let ids: Vec<Vec<&str>> = found
        .iter()
        .map(|found| found.iter().map(|entity| entity.id.as_str()).collect())
        .collect();
    assert_eq!(ids, [vec!["1", "2"], vec![], vec![]]);
}
