//! Two small collections and what is needed to plan a link between them.
#![allow(clippy::unwrap_used, clippy::expect_used, dead_code, missing_docs)]

use jiff::Timestamp;
use samspel_engine::consent::Restrictions;
use samspel_engine::plan::{LinkPlan, LinkState, plan};
use samspel_engine::{Policy, SyncSpec, settle};
use samspel_model::intent::{Effect, Intent};
use samspel_model::link::Restriction;
use samspel_model::schema::DeliverabilitySupport;
use samspel_model::store::{Decision, Endpoint, Observation, RecordRestriction};
use samspel_model::{
    Access, Base, Capabilities, Collection, Consent, ConsentSlot, ConsentState, DeleteVisibility,
    Deliverability, DeliverabilityState, Entity, Field, Fields, Presence, RecordId, Role, Side,
};
use serde_json::{Value, json};

pub fn field(name: &str, roles: &[Role], schema: Value) -> Field {
    Field {
        name: name.into(),
        title: name.into(),
        schema,
        roles: roles.to_vec(),
        access: Access::ReadWrite,
        required: false,
    }
}

pub fn collection(name: &str, fields: Vec<Field>) -> Collection {
    Collection {
        name: name.into(),
        title: name.into(),
        fields,
        consent_slots: vec![ConsentSlot {
            channel: "email".into(),
            purpose: "marketing".into(),
            can_restrict: true,
            can_grant: true,
        }],
        deliverability: DeliverabilitySupport::ReadWrite,
        capabilities: Capabilities {
            incremental: true,
            deletes: DeleteVisibility::Reported,
            hidden_changes: false,
            preconditions: false,
            findable: vec![],
            max_page: 100,
            max_fetch: 100,
            max_find: 100,
            max_write: 100,
            can_create: true,
            can_archive: true,
            can_delete: false,
        },
    }
}

pub fn crm() -> Collection {
    let text = || json!({ "type": ["string", "null"] });
    let mut fields = vec![
        field("email", &[Role::UniqueKey, Role::Email], text()),
        field("name", &[Role::DisplayName], text()),
        field("phone", &[Role::Phone], text()),
        field("tags", &[], json!({ "type": "array", "uniqueItems": true })),
        field("score", &[], json!({ "type": "integer" })),
        field("made", &[], text()),
    ];
    fields[5].access = Access::ReadOnly;
    collection("contacts", fields)
}

pub fn platform() -> Collection {
    let text = || json!({ "type": "string" });
    let mut fields = vec![
        field("address", &[Role::UniqueKey, Role::Email], text()),
        field("NAME", &[], text()),
        field("PHONE", &[Role::Phone], text()),
        field(
            "labels",
            &[],
            json!({ "type": "array", "uniqueItems": true }),
        ),
        field("POINTS", &[], json!({ "type": "number" })),
    ];
    fields[0].required = true;
    collection("members", fields)
}

pub const SPEC: &str = r#"
    a = { account = "crm", collection = "contacts" }
    b = { account = "mail", collection = "members" }
    match = { a = "email", b = "address" }
    new-members = "transactional"
    first-sync = "a"
    fields = [
        { a = "email", b = "address" },
        { a = "name", b = "NAME", on-conflict = "queue" },
        { a = "phone", b = "PHONE", direction = "a-to-b", region = "DE" },
        { a = "tags", b = "labels", on-conflict = "union" },
    ]
"#;

pub fn spec(text: &str) -> SyncSpec {
    toml::from_str(text).unwrap()
}

pub fn policy(text: &str) -> Policy {
    Policy::compile(&spec(text), &crm(), &platform()).unwrap()
}

pub fn fields(value: Value) -> Fields {
    value.as_object().unwrap().clone()
}

pub fn seen(id: &str, value: Value) -> Observation {
    Observation {
        id: RecordId::from(id),
        presence: Presence::Present,
        fields: fields(value),
        consents: vec![],
        deliverability: None,
        revision: None,
        modified: None,
        aliases: vec![],
        merged_into: None,
        hash: String::new(),
    }
}

pub fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub fn now() -> Timestamp {
    at("2026-06-01T00:00:00Z")
}

pub fn consent(state: ConsentState, when: Option<&str>) -> Consent {
    Consent {
        channel: "email".into(),
        purpose: "marketing".into(),
        state,
        at: when.map(at),
        evidence: None,
    }
}

pub fn bounced(state: DeliverabilityState) -> Deliverability {
    Deliverability {
        state,
        at: None,
        reason: None,
    }
}

fn row(rule: &str, restriction: Restriction) -> RecordRestriction {
    let (channel, purpose) = rule.split_once('/').unwrap();
    RecordRestriction {
        endpoint: Endpoint {
            account: "crm".into(),
            collection: "contacts".into(),
        },
        record: RecordId::from("1"),
        channel: channel.into(),
        purpose: purpose.into(),
        restriction,
    }
}

/// A small world: two records and their base, in which plans are carried out at once and without failure.
#[derive(Debug, Clone)]
pub struct World {
    pub base: Base,
    pub seen: [Observation; 2],
    /// The opt-outs that are stored with the two records.
    pub restricted: Restrictions,
    rows: Vec<RecordRestriction>,
    pub told: Vec<Decision>,
}

impl World {
    pub fn new(a: Value, b: Value) -> Self {
        Self {
            base: Base::default(),
            seen: [seen("1", a), seen("m1", b)],
            restricted: Restrictions::default(),
            rows: vec![],
            told: vec![],
        }
    }

    pub fn link(&self) -> LinkState<'_> {
        LinkState {
            base: &self.base,
            seen: [&self.seen[0], &self.seen[1]],
            restricted: &self.restricted,
            told: &self.told,
        }
    }

    pub fn plan(&self, policy: &Policy) -> LinkPlan {
        plan(&self.link(), policy, now())
    }

    /// Plans, writes what is planned and settles it. Returns the plan.
    pub fn step(&mut self, policy: &Policy) -> LinkPlan {
        let planned = self.plan(policy);
        settle::advance(&mut self.base, planned.advance.clone());
        let mut rows = self.rows.clone();
        for (rule, restriction) in &planned.restrict {
            rows.retain(|row| row.restriction.at >= restriction.at);
            if rows.is_empty() {
                rows.push(row(rule, restriction.clone()));
            }
        }
        if !planned.lifted.is_empty() {
            rows.clear();
        }
        self.restricted = Restrictions::default().with(policy, Side::A, &rows);
        self.rows = rows;
        for side in Side::BOTH {
            let Some(write) = &planned.writes[side.index()] else {
                continue;
            };
            let intent = Intent {
                id: "i".into(),
                run: "r".into(),
                target: side,
                source_record: self.seen[side.other().index()].id.clone(),
                link: None,
                effect: Effect::Update(self.seen[side.index()].id.clone()),
                patch: write.patch.clone(),
                before: write.before.clone(),
                consents: write.consents.clone(),
                deliverability: write.deliverability.clone(),
                precondition: None,
                base: write.base.clone(),
                shared: write.shared.clone(),
                restricts: false,
                and_more: false,
                overrules: None,
                told: vec![],
                lost: None,
            };
            let record = &mut self.seen[side.index()];
            for (name, value) in &write.patch {
                record.fields.insert(name.clone(), value.clone());
            }
            for consent in &write.consents {
                record.consents = vec![consent.clone()];
            }
            if write.deliverability.is_some() {
                record.deliverability = write.deliverability.clone();
            }
            let written = Entity {
                id: record.id.clone(),
                revision: None,
                fields: record.fields.clone(),
                consents: record.consents.clone(),
                deliverability: record.deliverability.clone(),
                aliases: vec![],
                modified: None,
            };
            settle::settle(&mut self.base, &intent, &written, policy, now(), false);
        }
        planned
    }

    pub fn settle(&mut self, policy: &Policy) {
        self.step(policy);
        assert!(
            self.plan(policy).is_at_rest(),
            "a second plan has nothing to do: {:?}",
            self.plan(policy)
        );
    }

    pub fn set(&mut self, side: Side, name: &str, value: Value) {
        self.seen[side.index()].fields.insert(name.into(), value);
    }

    pub fn get(&self, side: Side, name: &str) -> &Value {
        &self.seen[side.index()].fields[name]
    }

    pub fn say(&mut self, side: Side, consent: Consent) {
        self.seen[side.index()].consents = vec![consent];
    }

    /// The opt-out in force, if one is.
    pub fn restriction(&self) -> Option<&Restriction> {
        self.rows.first().map(|row| &row.restriction)
    }

    pub fn state(&self, side: Side) -> ConsentState {
        self.seen[side.index()]
            .consents
            .first()
            .map_or(ConsentState::Unspecified, |c| c.state.clone())
    }
}
