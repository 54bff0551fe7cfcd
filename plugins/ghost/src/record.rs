//! A member as a record of the contract, and a record's fields as Ghost takes them.

use std::collections::BTreeSet;
use std::hash::Hasher;

use fnv::FnvHasher;
use samspel_connector::fields::{Fields, Selection};
use samspel_connector::serde_json::Map;
use samspel_connector::{
    Access, Deliverability, DeliverabilityState, Entity, Field, Rejection, Revision, Role, Value,
    json, schema, time,
};

use crate::api::{Member, Suppression};
use crate::consent::{History, Scope};

/// The fields of a member.
pub fn fields() -> Vec<Field> {
    vec![
        Field::new(
            "email",
            "Email",
            json!({"type": "string", "format": "email", "maxLength": 191}),
        )
        .role(Role::UniqueKey)
        .role(Role::Email)
        .required(),
        Field::new(
            "name",
            "Name",
            json!({"type": ["string", "null"], "maxLength": 191}),
        )
        .role(Role::DisplayName),
        Field::new(
            "note",
            "Note",
            json!({"type": ["string", "null"], "maxLength": 2000}),
        ),
        Field::new(
            "labels",
            "Labels",
            json!({"type": "array", "uniqueItems": true, "items": {"type": "string", "maxLength": 191}}),
        ),
        read_only(
            "status",
            "Status",
            schema::choice(["free", "paid", "comped", "gift"]),
        ),
        read_only("geolocation", "Geolocation", schema::text()),
        read_only("created_at", "Created at", schema::format("date-time")),
        read_only("last_seen_at", "Last seen at", schema::format("date-time")),
    ]
}

fn read_only(name: &str, title: &str, schema: Value) -> Field {
    Field::new(name, title, schema).access(Access::ReadOnly)
}

/// The member as the host sees it.
pub fn entity(member: &Member, scope: &Scope, history: &History, selection: &Selection) -> Entity {
    let labels: BTreeSet<&str> = member
        .labels
        .iter()
        .map(|label| label.name.as_str())
        .collect();
    let time = |text: &Option<String>| {
        text.as_deref()
            .and_then(time::rfc3339)
            .map_or(Value::Null, |time| json!(time.to_string()))
    };
    let fields: Fields = [
        ("email", json!(member.email)),
        ("name", json!(member.name)),
        ("note", json!(member.note)),
        ("labels", json!(labels)),
        ("status", json!(member.status)),
        ("geolocation", json!(member.geolocation)),
        ("created_at", time(&member.created_at)),
        ("last_seen_at", time(&member.last_seen_at)),
    ]
    .into_iter()
    .filter(|(name, _)| selection.wants(name))
    .collect();
    Entity {
        revision: revision(member),
        modified: member
            .updated_at
            .as_deref()
            .and_then(time::rfc3339)
            .map(|time| time.to_string()),
        consents: scope.consent(member, history).into_iter().collect(),
        deliverability: member.email_suppression.as_ref().map(deliverability),
        ..Entity::new(member.id.clone(), fields)
    }
}

/// Its id only. A list of ids does not hold what the revision is made of.
pub fn bare(member: &Member) -> Entity {
    Entity {
        modified: member
            .updated_at
            .as_deref()
            .and_then(time::rfc3339)
            .map(|time| time.to_string()),
        ..Entity::new(member.id.clone(), Fields::new())
    }
}

/// Newsletters and labels change without `updated_at`, and several writes share a second, so the token holds what the
/// member says too.
fn revision(member: &Member) -> Option<Revision> {
    let modified = time::rfc3339(member.updated_at.as_deref()?)?;
    let mut hasher = FnvHasher::default();
    let labels: BTreeSet<&str> = member
        .labels
        .iter()
        .map(|label| label.name.as_str())
        .collect();
    let newsletters: BTreeSet<&str> = member
        .newsletters
        .iter()
        .map(|newsletter| newsletter.id.as_str())
        .collect();
    let suppressed = member
        .email_suppression
        .as_ref()
        .is_some_and(|state| state.suppressed);
    let content = json!([
        member.email,
        member.name,
        member.note,
        labels,
        newsletters,
        suppressed,
        member.status
    ]);
    hasher.write(content.to_string().as_bytes());
    Some(Revision {
        token: format!("{modified}/{:016x}", hasher.finish()),
        order: Some(time::order(modified)),
    })
}

fn deliverability(suppression: &Suppression) -> Deliverability {
    if !suppression.suppressed {
        return Deliverability::new(DeliverabilityState::Deliverable);
    }
    let info = suppression.info.as_ref();
    let spam = info.is_some_and(|info| info.reason == "spam");
    let (state, reason) = if spam {
        (DeliverabilityState::Complained, "Ghost: reported as spam")
    } else {
        (
            DeliverabilityState::HardBounced,
            "Ghost: the address failed permanently",
        )
    };
    Deliverability::new(state)
        .at(info
            .and_then(|info| info.timestamp.as_deref())
            .and_then(time::rfc3339))
        .reason(Some(reason))
}

/// What Ghost's answer leaves open: it looks addresses up with a filter that an apostrophe in any address of the page
/// breaks, and then tells that an address is suppressed, and not why.
pub fn needs_second_look(member: &Member) -> bool {
    member
        .email_suppression
        .as_ref()
        .is_some_and(|state| state.suppressed && state.info.is_none())
}

/// A record's fields as the members of Ghost's JSON. Ghost clears text with the empty text and refuses `null`.
pub fn body(fields: &Fields) -> Result<Map<String, Value>, Rejection> {
    let mut body = Map::new();
    for (name, value) in fields.iter() {
        let value = match (name, value) {
            ("email", Value::String(email)) if !email.is_empty() => json!(email),
            ("email", _) => {
                return Err(rejection(
                    "a member of Ghost needs an e-mail address",
                    Some(name),
                ));
            }
            ("name" | "note", Value::Null) => json!(""),
            ("name" | "note", Value::String(text)) => json!(text),
            ("labels", Value::Null) => json!([]),
            ("labels", Value::Array(labels)) => {
                labels.iter().map(|label| json!({"name": label})).collect()
            }
            ("name" | "note" | "labels", other) => {
                return Err(rejection(format!("`{name}` cannot be {other}"), Some(name)));
            }
            ("status" | "geolocation" | "created_at" | "last_seen_at", _) => {
                return Err(rejection(
                    format!("`{name}` is read-only in Ghost"),
                    Some(name),
                ));
            }
            _ => {
                return Err(rejection(
                    format!("members have no field `{name}`"),
                    Some(name),
                ));
            }
        };
        body.insert(name.to_owned(), value);
    }
    Ok(body)
}

/// Why a write is not even sent.
pub fn rejection(reason: impl Into<String>, field: Option<&str>) -> Rejection {
    Rejection {
        reason: reason.into(),
        field: field.map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use samspel_connector::serde_json;

    fn member(members: Value) -> Member {
        let mut member = json!({
            "id": "m1", "email": "a@x.test", "name": null, "note": "", "status": "free",
            "created_at": "2026-11-24T14:28:12.000Z", "updated_at": "2026-11-24T14:28:12.000Z",
            "labels": [{"id": "l2", "name": "b"}, {"id": "l1", "name": "a"}],
            "newsletters": [{"id": "n", "name": "N"}],
            "email_suppression": {"suppressed": false, "info": null},
        });
        for (name, value) in members.as_object().unwrap() {
            member[name] = value.clone();
        }
        serde_json::from_value(member).unwrap()
    }

    fn read(member: &Member) -> Entity {
        let scope = Scope {
            about: vec!["n".into()],
            start: vec![],
            whole: true,
        };
        entity(member, &scope, &History::new(), &Selection::All)
    }

    #[test]
    fn a_member_is_flat_and_its_labels_are_a_set() {
        let entity = read(&member(json!({})));
        let fields: Value = serde_json::from_str(&entity.fields).unwrap();
        assert_eq!(fields["labels"], json!(["a", "b"]));
        assert_eq!(fields["note"], Value::Null);
        assert_eq!(fields["created_at"], "2026-11-24T14:28:12Z");
        assert_eq!(entity.modified.as_deref(), Some("2026-11-24T14:28:12Z"));
    }

    #[test]
    fn a_suppression_tells_bounce_from_complaint() {
        let state = |suppression: Value| {
            read(&member(json!({"email_suppression": suppression})))
                .deliverability
                .unwrap()
        };
        let at = "2026-11-24T14:00:00.000Z";
        let failed =
            state(json!({"suppressed": true, "info": {"reason": "fail", "timestamp": at}}));
        assert_eq!(failed.state, DeliverabilityState::HardBounced);
        assert_eq!(failed.at.as_deref(), Some("2026-11-24T14:00:00Z"));
        let spam = state(json!({"suppressed": true, "info": {"reason": "spam", "timestamp": at}}));
        assert_eq!(spam.state, DeliverabilityState::Complained);
        let untold = json!({"email_suppression": {"suppressed": true, "info": null}});
        assert!(needs_second_look(&member(untold)));
        assert!(!needs_second_look(&member(json!({}))));
    }

    #[test]
    fn what_does_not_move_updated_at_moves_the_token() {
        let token = |members| read(&member(members)).revision.unwrap().token;
        let before = token(json!({}));
        assert_ne!(before, token(json!({"newsletters": []})));
        assert_ne!(before, token(json!({"labels": []})));
        // The order of a set is nothing.
        assert_eq!(
            before,
            token(json!({"labels": [{"name": "a"}, {"name": "b"}]}))
        );
    }

    #[test]
    fn null_clears_text_with_the_empty_text() {
        let fields = Fields::parse(r#"{"email":"a@x.test","name":null,"labels":["x"]}"#).unwrap();
        assert_eq!(
            Value::Object(body(&fields).unwrap()),
            json!({"email": "a@x.test", "name": "", "labels": [{"name": "x"}]})
        );
        for bad in [
            r#"{"email":null}"#,
            r#"{"status":"paid"}"#,
            r#"{"nosuch":1}"#,
            r#"{"name":5}"#,
        ] {
            assert!(body(&Fields::parse(bad).unwrap()).is_err(), "{bad}");
        }
    }
}
