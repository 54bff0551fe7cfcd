//! A row of Odoo as a record of the contract, and what a record's consent and bounce are in Odoo's words.

use samspel_connector::fields::{Fields, Selection};
use samspel_connector::{
    Absence, Consent, ConsentState, Deliverability, DeliverabilityState, Entity, Failure, Result,
    Revision, Tombstone, Value, time,
};

use crate::model::{Model, OptOut};
use crate::session::Row;

/// A row: listed, or kept by Odoo and hidden.
#[derive(Debug, Clone, PartialEq)]
pub enum Listed {
    /// Active.
    Record(Entity),
    /// Archived.
    Archived(Tombstone),
}

/// The id of a row.
pub fn id(row: &Row) -> Result<i64> {
    row.get("id")
        .and_then(Value::as_i64)
        .ok_or_else(|| Failure::Bug("Odoo returned a row without an id".to_owned()))
}

/// The row as the host sees it. Only selected fields that were read are in it.
pub fn listed(model: &Model, row: &Row, selection: &Selection, hard_at: i64) -> Result<Listed> {
    let id = id(row)?;
    let modified = row
        .get("write_date")
        .and_then(Value::as_str)
        .and_then(time::database);
    let revision = modified.map(Revision::at);
    if row.get("active") == Some(&Value::Bool(false)) {
        return Ok(Listed::Archived(Tombstone {
            revision,
            ..Tombstone::new(id.to_string(), Absence::Archived)
        }));
    }
    let mut fields = Fields::new();
    for field in &model.fields {
        if let Some(raw) = row
            .get(&field.name)
            .filter(|_| selection.wants(&field.name))
        {
            let value = field.kind.reading(raw).map_err(|unexpected| {
                Failure::Bug(format!(
                    "`{}` of {} {id}: {}",
                    field.name, model.name, unexpected.0
                ))
            })?;
            fields.set(&field.name, value);
        }
    }
    Ok(Listed::Record(Entity {
        revision,
        modified: modified.map(|modified| modified.to_string()),
        consents: consent(model, row).into_iter().collect(),
        deliverability: deliverability(row, hard_at),
        ..Entity::new(id.to_string(), fields)
    }))
}

/// Odoo can say that a person opted out. That somebody did not is no opt-in: `unspecified`.
fn consent(model: &Model, row: &Row) -> Option<Consent> {
    let (opted_out, evidence) = match model.opt_out? {
        OptOut::Field { .. } => (row.get("opt_out")?.as_bool()?, "Odoo: opt_out"),
        OptOut::Blacklist => (
            row.get("is_blacklisted")?.as_bool()?,
            "Odoo: mail.blacklist",
        ),
    };
    if !opted_out {
        return Some(Consent::new(
            "email",
            "marketing",
            ConsentState::Unspecified,
        ));
    }
    let at = row
        .get("unsubscription_date")
        .and_then(Value::as_str)
        .and_then(time::database);
    Some(
        Consent::new("email", "marketing", ConsentState::Unsubscribed)
            .at(at)
            .evidence(Some(evidence)),
    )
}

fn deliverability(row: &Row, hard_at: i64) -> Option<Deliverability> {
    let bounces = row.get("message_bounce")?.as_i64()?;
    let state = match bounces {
        ..=0 => DeliverabilityState::Deliverable,
        _ if bounces < hard_at => DeliverabilityState::SoftBounced,
        _ => DeliverabilityState::HardBounced,
    };
    let reason = match bounces {
        ..=0 => None,
        1 => Some("Odoo counted 1 bounce".to_owned()),
        _ => Some(format!("Odoo counted {bounces} bounces")),
    };
    Some(Deliverability::new(state).reason(reason.as_deref()))
}

/// The bounce count that stands for a state. Odoo has no word for a complaint; it must not be written to either, so it
/// counts like a hard bounce. `None`: a state of a newer contract.
pub fn bounce_count(state: &DeliverabilityState, hard_at: i64) -> Option<i64> {
    match state {
        DeliverabilityState::Deliverable => Some(0),
        DeliverabilityState::SoftBounced => Some(1.min(hard_at - 1)),
        DeliverabilityState::HardBounced | DeliverabilityState::Complained => Some(hard_at),
        DeliverabilityState::Other(_) => None,
    }
}

/// What a text field shows about an address, for people; `null` where nothing is known against it.
pub fn bounce_note(deliverability: &Deliverability) -> Value {
    let state = match &deliverability.state {
        DeliverabilityState::Deliverable => return Value::Null,
        DeliverabilityState::SoftBounced => "soft bounce",
        DeliverabilityState::HardBounced => "hard bounce",
        DeliverabilityState::Complained => "complaint (spam)",
        DeliverabilityState::Other(state) => state,
    };
    let at = deliverability
        .at
        .as_deref()
        .map(|at| format!(", {at}"))
        .unwrap_or_default();
    let reason = deliverability
        .reason
        .as_deref()
        .map(|reason| format!(": {reason}"))
        .unwrap_or_default();
    Value::String(format!("{state}{at}{reason}"))
}

/// Whether a boolean field that shows bounces is ticked.
pub fn must_not_be_written_to(state: &DeliverabilityState) -> bool {
    matches!(
        state,
        DeliverabilityState::HardBounced | DeliverabilityState::Complained
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::fields::Offered;
    use crate::values::Kind;
    use samspel_connector::json;

    fn model(opt_out: OptOut) -> Model {
        Model {
            name: "res.partner".into(),
            collection: crate::model::PARTNERS,
            fields: vec![Offered {
                name: "email".into(),
                title: "Email".into(),
                kind: Kind::Text,
                read_only: false,
                required: false,
            }],
            archivable: true,
            opt_out: Some(opt_out),
            bounces: true,
        }
    }

    fn row(members: Value) -> Row {
        let mut row = json!({
            "id": 7, "write_date": "2026-11-24 14:27:38", "active": true, "email": false,
            "opt_out": false, "message_bounce": 0,
        });
        for (name, value) in members.as_object().unwrap() {
            row[name] = value.clone();
        }
        row.as_object().unwrap().clone()
    }

    fn read(row: &Row) -> Entity {
        let model = model(OptOut::Field { dated: true });
        match listed(&model, row, &Selection::All, 3).unwrap() {
            Listed::Record(entity) => entity,
            Listed::Archived(tombstone) => panic!("archived: {tombstone:?}"),
        }
    }

    #[test]
    fn an_absent_opt_out_is_no_opt_in() {
        let consent = &read(&row(json!({}))).consents[0];
        assert_eq!(consent.state, ConsentState::Unspecified);
        let consent = &read(&row(
            json!({"opt_out": true, "unsubscription_date": "2026-11-24 14:00:00"}),
        ))
        .consents[0];
        assert_eq!(consent.state, ConsentState::Unsubscribed);
        assert_eq!(consent.at.as_deref(), Some("2026-11-24T14:00:00Z"));
    }

    #[test]
    fn bounces_count_up_to_hard() {
        let state = |n| {
            read(&row(json!({"message_bounce": n})))
                .deliverability
                .unwrap()
                .state
        };
        assert_eq!(state(0), DeliverabilityState::Deliverable);
        assert_eq!(state(2), DeliverabilityState::SoftBounced);
        assert_eq!(state(3), DeliverabilityState::HardBounced);
        for hard_at in 1..5 {
            for state in [
                DeliverabilityState::Deliverable,
                DeliverabilityState::HardBounced,
            ] {
                let n = bounce_count(&state, hard_at).unwrap();
                let read_back =
                    deliverability(&row(json!({"message_bounce": n})), hard_at).unwrap();
                assert_eq!(read_back.state, state);
            }
        }
    }

    #[test]
    fn an_archived_row_is_a_tombstone() {
        let model = model(OptOut::Field { dated: false });
        let listed = listed(&model, &row(json!({"active": false})), &Selection::All, 3).unwrap();
        assert!(
            matches!(listed, Listed::Archived(tombstone) if tombstone.why == Absence::Archived && tombstone.id == "7")
        );
    }

    #[test]
    fn later_versions_keep_the_opt_out_with_the_address() {
        let model = model(OptOut::Blacklist);
        let row = row(json!({"is_blacklisted": true}));
        assert_eq!(
            consent(&model, &row).unwrap().state,
            ConsentState::Unsubscribed
        );
    }

    #[test]
    fn people_read_what_happened() {
        let bounce = Deliverability::new(DeliverabilityState::HardBounced)
            .at("2026-11-24T14:00:00Z".parse().ok())
            .reason(Some("550 no such user"));
        assert_eq!(
            bounce_note(&bounce),
            json!("hard bounce, 2026-11-24T14:00:00Z: 550 no such user")
        );
        assert_eq!(
            bounce_note(&Deliverability::new(DeliverabilityState::Deliverable)),
            Value::Null
        );
    }
}
