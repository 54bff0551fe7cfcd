//! The connector against a scripted Ghost: what it asks for, and what it makes of the answers.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use samspel_connector::fields::Selection;
use samspel_connector::http::Error;
use samspel_connector::testing::{Remote, Reply, SentRequest};
use samspel_connector::{
    Absence, ChangesRequest, Connector, Consent, ConsentState, Create, Deliverability,
    DeliverabilityState, Failure, Fetched, Outcome, Page, ReadMode, Removal, Remove, Update, Value,
    WriteOp, json, serde_json,
};

use crate::Ghost;

/// One request as Ghost gets it.
#[derive(Debug, Clone)]
struct Seen {
    /// `GET /members/`
    what: String,
    query: BTreeMap<String, String>,
    body: Value,
}

impl Seen {
    fn filter(&self) -> &str {
        self.query
            .get("filter")
            .map(String::as_str)
            .unwrap_or_default()
    }
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first == b'%' {
            let hex = std::str::from_utf8(&rest[..2]).unwrap();
            bytes.push(u8::from_str_radix(hex, 16).unwrap());
            rest = &rest[2..];
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).unwrap()
}

fn seen(request: &SentRequest) -> Seen {
    let url = request
        .url
        .strip_prefix("https://ghost.test/ghost/api/admin")
        .unwrap();
    let authorization = request
        .headers
        .iter()
        .find(|(name, _)| name == "authorization")
        .unwrap();
    assert!(authorization.1.starts_with("Ghost ey"), "{authorization:?}");
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let query = query.split('&').filter_map(|pair| pair.split_once('='));
    Seen {
        what: format!("{} {path}", request.method),
        query: query
            .map(|(name, value)| (name.to_owned(), decoded(value)))
            .collect(),
        body: request
            .body
            .as_deref()
            .map_or(Value::Null, |body| serde_json::from_slice(body).unwrap()),
    }
}

/// Answers the question for newsletters (`a` by default at sign-up, and `b`), and the rest by the script.
fn ghost_6(mut script: impl FnMut(&Seen) -> Reply + 'static) -> Remote {
    Remote::new(move |request| {
        let seen = seen(request);
        let reply = match seen.what.as_str() {
            "GET /newsletters/" => Reply::json(
                200,
                json!({"newsletters": [
                    {"id": "a", "slug": "daily", "status": "active", "subscribe_on_signup": true},
                    {"id": "b", "slug": "weekly", "status": "active", "subscribe_on_signup": false},
                ]}),
            ),
            _ => script(&seen),
        };
        reply.header("date", "Tue, 24 Nov 2026 15:00:00 GMT")
    })
}

fn ghost(newsletter: Option<&str>) -> Ghost {
    let mut settings = json!({"url": "https://ghost.test"});
    if let Some(newsletter) = newsletter {
        settings["newsletter"] = json!(newsletter);
    }
    Ghost::open(serde_json::from_value(settings).unwrap()).unwrap()
}

fn member(id: &str, members: Value) -> Value {
    let mut member = json!({"id": id, "email": format!("{id}@x.test"), "name": null, "note": null, "status": "free",
        "created_at": "2026-11-24T14:00:00.000Z", "updated_at": "2026-11-24T14:00:00.000Z", "labels": [],
        "newsletters": [], "email_suppression": {"suppressed": false, "info": null}});
    for (name, value) in members.as_object().unwrap() {
        member[name] = value.clone();
    }
    member
}

fn members(members: Vec<Value>) -> Reply {
    let total = members.len();
    Reply::json(
        200,
        json!({"members": members, "meta": {"pagination": {"total": total}}}),
    )
}

fn event(id: &str, member: &str, subscribed: bool, source: &str) -> Value {
    json!({"type": "newsletter_event", "data": {"id": id, "member_id": member, "newsletter_id": "a",
        "subscribed": subscribed, "source": source, "created_at": "2026-11-24T14:30:00.000Z"}})
}

fn events(events: Vec<Value>) -> Reply {
    Reply::json(200, json!({"events": events}))
}

fn refused(status: u16, context: &str) -> Reply {
    Reply::json(
        status,
        json!({"errors": [{"message": "Refused.", "context": context, "property": "email"}]}),
    )
}

fn create(email: &str, state: ConsentState) -> WriteOp {
    WriteOp::Create(Create {
        idempotency_key: "k".into(),
        fields: json!({"email": email}).to_string(),
        consents: vec![Consent::new("email", "marketing", state)],
        deliverability: Some(Deliverability::new(DeliverabilityState::HardBounced)),
    })
}

fn update(id: &str, patch: Value, state: Option<ConsentState>) -> WriteOp {
    WriteOp::Update(Update {
        id: id.into(),
        precondition: None,
        patch: patch.to_string(),
        consents: state
            .map(|state| Consent::new("email", "marketing", state))
            .into_iter()
            .collect(),
        deliverability: None,
        known: "{}".into(),
    })
}

fn changes(remote: &Remote, mode: ReadMode, fields: Option<Vec<String>>) -> Page {
    let request = ChangesRequest {
        collection: "members".into(),
        mode,
        fields,
        limit: 500,
    };
    remote.run(|| ghost(None).changes(request)).unwrap()
}

fn requests(remote: &Remote, what: &str) -> Vec<Seen> {
    remote
        .requests()
        .iter()
        .map(seen)
        .filter(|seen| seen.what == what)
        .collect()
}

#[test]
fn a_new_member_s_newsletters_are_always_said() {
    let remote = ghost_6(|seen| match seen.what.as_str() {
        "POST /members/" => {
            let member_body = &seen.body["members"][0];
            Reply::json(
                201,
                json!({"members": [member("m", json!({
                "email": member_body["email"], "newsletters": member_body["newsletters"]}))]}),
            )
        }
        _ => events(vec![]),
    });
    let states = [
        ConsentState::Unspecified,
        ConsentState::Unsubscribed,
        ConsentState::Pending,
        ConsentState::Subscribed,
    ];
    let writes: Vec<WriteOp> = states
        .into_iter()
        .map(|state| create("n@x.test", state))
        .collect();
    let outcomes = remote.run(|| ghost(None).write("members", writes)).unwrap();
    assert!(
        outcomes
            .iter()
            .all(|outcome| matches!(outcome, Outcome::Written(_))),
        "{outcomes:?}"
    );
    let said: Vec<Value> = requests(&remote, "POST /members/")
        .iter()
        .map(|seen| seen.body["members"][0]["newsletters"].clone())
        .collect();
    // Without the member Ghost would subscribe everybody.
    assert_eq!(
        said,
        [json!([]), json!([]), json!([]), json!([{"id": "a"}])]
    );
}

#[test]
fn an_opt_out_needs_to_know_nothing_where_it_is_about_everything() {
    let remote = ghost_6(|seen| match seen.what.as_str() {
        "PUT /members/m/" => Reply::json(200, json!({"members": [member("m", json!({}))]})),
        "GET /members/events/" => events(vec![event("e", "m", false, "api")]),
        other => panic!("{other}"),
    });
    let write = || vec![update("m", json!({}), Some(ConsentState::Unsubscribed))];
    let outcomes = remote
        .run(|| ghost(None).write("members", write()))
        .unwrap();
    let Outcome::Written(entity) = &outcomes[0] else {
        panic!("{outcomes:?}")
    };
    assert_eq!(entity.consents[0].state, ConsentState::Unsubscribed);
    assert_eq!(
        requests(&remote, "PUT /members/m/")[0].body,
        json!({"members": [{"newsletters": []}]})
    );
}

#[test]
fn an_opt_out_of_one_newsletter_keeps_the_others() {
    let remote = ghost_6(|seen| match seen.what.as_str() {
        "GET /members/" => {
            assert_eq!(seen.filter(), "id:['m']");
            members(vec![member(
                "m",
                json!({"newsletters": [{"id": "a"}, {"id": "b"}]}),
            )])
        }
        "PUT /members/m/" => Reply::json(200, json!({"members": [member("m", json!({}))]})),
        _ => events(vec![]),
    });
    let write = vec![update(
        "m",
        json!({"name": "N"}),
        Some(ConsentState::Unsubscribed),
    )];
    remote
        .run(|| ghost(Some("weekly")).write("members", write))
        .unwrap();
    assert_eq!(
        requests(&remote, "PUT /members/m/")[0].body,
        json!({"members": [{"name": "N", "newsletters": [{"id": "a"}]}]})
    );
}

#[test]
fn each_write_has_an_outcome_of_its_own() {
    let remote = ghost_6(|seen| match seen.what.as_str() {
        "POST /members/" if seen.body["members"][0]["email"] == "taken@x.test" => refused(
            422,
            "Member already exists. Attempting to add member with existing email address",
        ),
        "POST /members/" => Reply::error(Error::Interrupted("reset".into())),
        "GET /members/" => {
            assert_eq!(seen.filter(), "email:['taken@x.test']");
            members(vec![member("old", json!({"email": "taken@x.test"}))])
        }
        "PUT /members/gone/" => refused(404, "Could not find Member gone"),
        "PUT /members/bad/" => refused(422, "Invalid Email"),
        "DELETE /members/m/" => Reply::new(204),
        "DELETE /members/gone/" => refused(404, "Resource could not be found."),
        "GET /members/events/" => events(vec![]),
        other => panic!("{other}"),
    });
    let remove = |id: &str, how| {
        WriteOp::Remove(Remove {
            id: id.into(),
            precondition: None,
            how,
            known: "{}".into(),
        })
    };
    let writes = vec![
        create("taken@x.test", ConsentState::Unspecified),
        create("new@x.test", ConsentState::Unspecified),
        update("gone", json!({"name": "x"}), None),
        update("bad", json!({"email": "nonsense"}), None),
        remove("m", Removal::Delete),
        remove("gone", Removal::Delete),
        remove("m", Removal::Archive),
        update("m", json!({"email": null}), None),
    ];
    let outcomes = remote.run(|| ghost(None).write("members", writes)).unwrap();
    assert_eq!(outcomes[0], Outcome::Duplicate(Some("old".into())));
    assert!(
        matches!(outcomes[1], Outcome::Unknown(_)),
        "a create that was cut off may have been done"
    );
    assert_eq!(outcomes[2], Outcome::Gone);
    assert!(
        matches!(&outcomes[3], Outcome::Rejected(why) if why.field.as_deref() == Some("email"))
    );
    assert_eq!(outcomes[4..6], [Outcome::Gone, Outcome::Gone]);
    assert!(matches!(outcomes[6], Outcome::Rejected(_)));
    assert!(matches!(outcomes[7], Outcome::Rejected(_)));
}

#[test]
fn a_key_that_ghost_does_not_know_is_the_call_s_failure() {
    let remote = Remote::new(|_| {
        Reply::json(
            401,
            json!({"errors": [{"message": "Unknown Admin API Key", "code": "UNKNOWN_ADMIN_API_KEY"}]}),
        )
    });
    let answer = remote.run(|| ghost(None).check());
    assert_eq!(
        answer,
        Err(Failure::Unauthorized(
            "HTTP 401: Unknown Admin API Key".into()
        ))
    );
}

#[test]
fn one_reading_joins_changed_rows_events_and_suppressions() {
    let remote = ghost_6(|seen| match (seen.what.as_str(), seen.filter()) {
        ("GET /members/", "updated_at:>='2026-11-24 13:59:00'") => {
            members(vec![member("changed", json!({}))])
        }
        (
            "GET /members/events/",
            "type:newsletter_event+data.created_at:>='2026-11-24 13:59:00'",
        ) => events(vec![
            event("e2", "left", false, "member"),
            event("e1", "changed", true, "member"),
        ]),
        ("GET /members/", "email_disabled:1") => members(vec![member(
            "bounced",
            json!({"email_suppression": {"suppressed": true, "info": {"reason": "fail"}}}),
        )]),
        ("GET /members/", "id:['left']") => members(vec![member("left", json!({}))]),
        ("GET /members/events/", filter) if filter.contains("data.member_id:") => {
            events(vec![event("e2", "left", false, "member")])
        }
        other => panic!("{other:?}"),
    });
    let cursor = r#"{"v":1,"at":{"seen":"2026-11-24T14:00:00Z","suppressed":0}}"#;
    let page = changes(&remote, ReadMode::Incremental(cursor.into()), None);
    let ids: Vec<&str> = page
        .records
        .iter()
        .map(|record| record.id.as_str())
        .collect();
    assert_eq!(ids, ["bounced", "changed", "left"]);
    let bounced = page.records[0].deliverability.as_ref().unwrap();
    assert_eq!(bounced.state, DeliverabilityState::HardBounced);
    assert_eq!(
        page.records[2].consents[0].state,
        ConsentState::Unsubscribed
    );
    assert!(!page.more);
    let next = page.next.unwrap();
    assert_eq!(
        next,
        r#"{"v":1,"at":{"seen":"2026-11-24T15:00:00Z","suppressed":1}}"#
    );

    // As many as before: nobody is read again.
    let quiet = ghost_6(|seen| match (seen.what.as_str(), seen.filter()) {
        ("GET /members/", "email_disabled:1") => {
            assert_eq!(seen.query["limit"], "1");
            members(vec![member("bounced", json!({}))])
        }
        ("GET /members/", _) => members(vec![]),
        _ => events(vec![]),
    });
    let page = changes(&quiet, ReadMode::Incremental(next), None);
    assert!(page.records.is_empty() && !page.more);
}

#[test]
fn a_long_feed_is_read_over_several_pages_and_calls() {
    let full: Vec<Value> = (0..100)
        .map(|n| member(&format!("m{n:03}"), json!({})))
        .collect();
    let remote = ghost_6(move |seen| match seen.what.as_str() {
        "GET /members/" if seen.filter().starts_with("updated_at") => members(full.clone()),
        "GET /members/"
            if seen
                .filter()
                .starts_with("(updated_at:>'2026-11-24 14:00:00'") =>
        {
            assert!(seen.filter().contains("id:>'m099'"), "{}", seen.filter());
            members(vec![member("m100", json!({}))])
        }
        "GET /members/" => members(vec![]),
        _ => events(vec![]),
    });
    let cursor = r#"{"v":1,"at":{"seen":"2026-11-24T14:00:00Z"}}"#;
    let request = ChangesRequest {
        collection: "members".into(),
        mode: ReadMode::Incremental(cursor.into()),
        fields: None,
        limit: 50,
    };
    let first = remote.run(|| ghost(None).changes(request)).unwrap();
    assert_eq!((first.records.len(), first.more), (100, true));
    let second = changes(&remote, ReadMode::Incremental(first.next.unwrap()), None);
    assert_eq!((second.records.len(), second.more), (1, false));
    assert!(
        second
            .next
            .unwrap()
            .contains(r#""seen":"2026-11-24T15:00:00Z""#)
    );
}

#[test]
fn a_listing_goes_by_id_and_knows_when_it_is_complete() {
    let remote = ghost_6(|seen| match (seen.what.as_str(), seen.filter()) {
        ("GET /members/", "") => members(
            (0..100)
                .map(|n| member(&format!("m{n:03}"), json!({})))
                .collect(),
        ),
        ("GET /members/", "id:>'m099'") => members(vec![member("m100", json!({}))]),
        other => panic!("{other:?}"),
    });
    let page = changes(&remote, ReadMode::Snapshot(None), Some(vec![]));
    assert_eq!(page.records.len(), 101);
    assert!(page.complete && !page.more && page.next.is_none());
    assert_eq!(
        page.resume_cursor.unwrap(),
        r#"{"v":1,"at":{"seen":"2026-11-24T15:00:00Z"}}"#
    );
    assert_eq!(
        requests(&remote, "GET /members/")[0].query["order"],
        "id asc"
    );
}

#[test]
fn a_suppression_without_a_reason_is_looked_up() {
    let unclear = json!({"email_suppression": {"suppressed": true, "info": null}});
    let clear = json!({"email_suppression": {"suppressed": true, "info": {"reason": "spam"}}});
    let remote = ghost_6(move |seen| match seen.what.as_str() {
        "GET /members/" => members(vec![
            member("m", unclear.clone()),
            member("vanished", unclear.clone()),
        ]),
        "GET /members/m/" => members(vec![member("m", clear.clone())]),
        "GET /members/vanished/" => refused(404, "Member not found."),
        _ => events(vec![]),
    });
    let page = changes(&remote, ReadMode::Snapshot(None), None);
    let states: Vec<_> = page
        .records
        .into_iter()
        .map(|record| record.deliverability.unwrap().state)
        .collect();
    assert_eq!(
        states,
        [
            DeliverabilityState::Complained,
            DeliverabilityState::HardBounced
        ]
    );
}

#[test]
fn a_long_history_is_read_to_its_end() {
    let remote = ghost_6(
        |seen| match (seen.what.as_str(), seen.filter().contains("id:<'e099'")) {
            ("GET /members/", _) => members(vec![member("m", json!({}))]),
            ("GET /members/events/", false) => events(
                (0..100)
                    .map(|n| event(&format!("e{n:03}"), "other", true, "api"))
                    .collect(),
            ),
            ("GET /members/events/", true) => events(vec![event("e100", "m", false, "member")]),
            other => panic!("{other:?}"),
        },
    );
    let page = changes(&remote, ReadMode::Snapshot(None), None);
    assert_eq!(
        page.records[0].consents[0].state,
        ConsentState::Unsubscribed
    );
}

#[test]
fn each_id_has_an_answer() {
    let remote = ghost_6(|seen| match seen.what.as_str() {
        "GET /members/" => members(vec![member("m", json!({}))]),
        _ => events(vec![]),
    });
    let ids = ["m", "gone", "m"].map(String::from).to_vec();
    let fetched = remote
        .run(|| ghost(None).fetch("members", ids, &Selection::All, true))
        .unwrap();
    assert!(matches!(
        fetched.as_slice(),
        [
            Fetched::Found(_),
            Fetched::Absent(Absence::Deleted),
            Fetched::Found(_)
        ]
    ));
}
