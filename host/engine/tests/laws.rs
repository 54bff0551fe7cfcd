//! The planner's algebra, on random bases, values and policies.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use proptest::prelude::*;
use samspel_engine::Policy;
use samspel_engine::settle;
use samspel_model::{ConsentState, Presence, Side};
use serde_json::{Value, json};
use support::{World, consent, crm, platform, spec};

fn text() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        Just(json!("")),
        "[a-c]{1,2}".prop_map(Value::String),
        "[a-c]{1,2} ".prop_map(Value::String),
    ]
}

fn address() -> impl Strategy<Value = Value> {
    "[aA]{1,2}@x".prop_map(Value::String)
}

fn set() -> impl Strategy<Value = Value> {
    proptest::collection::btree_set("[x-z]", 0..4)
        .prop_map(|items| Value::Array(items.into_iter().map(Value::String).collect()))
}

fn state() -> impl Strategy<Value = (ConsentState, Option<&'static str>)> {
    (
        prop_oneof![
            Just(ConsentState::Subscribed),
            Just(ConsentState::Unsubscribed),
            Just(ConsentState::Pending),
            Just(ConsentState::Unspecified),
        ],
        prop_oneof![
            Just(None),
            Just(Some("2026-01-01T00:00:00Z")),
            Just(Some("2026-02-01T00:00:00Z")),
            Just(Some("2026-03-01T00:00:00Z")),
        ],
    )
}

#[derive(Debug, Clone)]
struct Side1 {
    address: Value,
    name: Value,
    tags: Value,
    consent: (ConsentState, Option<&'static str>),
}

fn side() -> impl Strategy<Value = Side1> {
    (address(), text(), set(), state()).prop_map(|(address, name, tags, consent)| Side1 {
        address,
        name,
        tags,
        consent,
    })
}

fn put(world: &mut World, side: Side, held: &Side1) {
    let names = match side {
        Side::A => ["email", "name", "tags"],
        Side::B => ["address", "NAME", "labels"],
    };
    for (name, value) in names
        .into_iter()
        .zip([&held.address, &held.name, &held.tags])
    {
        world.set(side, name, value.clone());
    }
    world.say(side, consent(held.consent.0.clone(), held.consent.1));
}

fn any_policy() -> impl Strategy<Value = Policy> {
    let conflict = prop_oneof![Just("a"), Just("b"), Just("newest"), Just("queue")];
    let direction = prop_oneof![Just("both"), Just("a-to-b"), Just("b-to-a")];
    let first = prop_oneof![Just("a"), Just("b"), Just("newest"), Just("queue")];
    let opt_in = prop_oneof![
        Just("[]"),
        Just(r#"["a"]"#),
        Just(r#"["b"]"#),
        Just(r#"["a", "b"]"#)
    ];
    (conflict, direction, first, opt_in).prop_map(|(conflict, direction, first, opt_in)| {
        let text = format!(
            r#"
            a = {{ account = "crm", collection = "contacts" }}
            b = {{ account = "mail", collection = "members" }}
            match = {{ a = "email", b = "address" }}
            new-members = "transactional"
            first-sync = "{first}"
            consent = {{ opt-in-from = {opt_in} }}
            fields = [
                {{ a = "email", b = "address" }},
                {{ a = "name", b = "NAME", on-conflict = "{conflict}", direction = "{direction}" }},
                {{ a = "tags", b = "labels", on-conflict = "union" }},
            ]"#
        );
        Policy::compile(&spec(&text), &crm(), &platform()).unwrap()
    })
}

/// The words of one side, said by the other one.
fn other_word(word: &str) -> &str {
    match word {
        "a" => "b",
        "b" => "a",
        "a-to-b" => "b-to-a",
        "b-to-a" => "a-to-b",
        word => word,
    }
}

/// The same sync as both sides see it: as it is, and with its sides swapped.
fn mirrored() -> impl Strategy<Value = (Policy, Policy)> {
    let conflict = prop_oneof![Just("a"), Just("b"), Just("newest"), Just("queue")];
    let direction = prop_oneof![Just("both"), Just("a-to-b"), Just("b-to-a")];
    let first = prop_oneof![Just("a"), Just("b"), Just("newest"), Just("queue")];
    let opt_in = prop_oneof![Just([false, true]), Just([true, false]), Just([true, true])];
    (conflict, direction, first, opt_in).prop_map(|(conflict, direction, first, [a, b])| {
        let sides = |a: bool, b: bool| match (a, b) {
            (true, true) => r#"["a", "b"]"#,
            (true, false) => r#"["a"]"#,
            _ => r#"["b"]"#,
        };
        let text = |names: [[&str; 2]; 3], word: &dyn Fn(&str) -> String, opt_in: &str| {
            let [email, name, tags] = names;
            format!(
                r#"
                a = {{ account = "one", collection = "contacts" }}
                b = {{ account = "two", collection = "members" }}
                match = {{ a = "{}", b = "{}" }}
                new-members = "transactional"
                first-sync = "{}"
                consent = {{ opt-in-from = {opt_in} }}
                fields = [
                    {{ a = "{}", b = "{}" }},
                    {{ a = "{}", b = "{}", on-conflict = "{}", direction = "{}" }},
                    {{ a = "{}", b = "{}", on-conflict = "union" }},
                ]"#,
                email[0],
                email[1],
                word(first),
                email[0],
                email[1],
                name[0],
                name[1],
                word(conflict),
                word(direction),
                tags[0],
                tags[1]
            )
        };
        let names = [["email", "address"], ["name", "NAME"], ["tags", "labels"]];
        let mirror = names.map(|[a, b]| [b, a]);
        let one = text(names, &str::to_owned, sides(a, b));
        let other = text(mirror, &|word| other_word(word).to_owned(), sides(b, a));
        (
            Policy::compile(&spec(&one), &crm(), &platform()).unwrap(),
            Policy::compile(&spec(&other), &platform(), &crm()).unwrap(),
        )
    })
}

/// A world in which two records were reconciled and then changed.
fn changed() -> impl Strategy<Value = (Policy, World)> {
    (any_policy(), side(), side(), side(), side()).prop_map(|(policy, a, b, a2, b2)| {
        let mut world = World::new(json!({}), json!({}));
        put(&mut world, Side::A, &a);
        put(&mut world, Side::B, &b);
        world.step(&policy);
        put(&mut world, Side::A, &a2);
        put(&mut world, Side::B, &b2);
        (policy, world)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn nothing_changed_means_nothing_to_do((policy, mut world) in changed()) {
        for _ in 0..3 {
            world.step(&policy);
        }
        let before = world.base.clone();
        let plan = world.step(&policy);
        prop_assert_eq!(&plan.writes, &[None, None]);
        prop_assert!(!plan.advances());
        prop_assert_eq!(before, world.base);
    }

    #[test]
    fn one_plan_carried_out_leaves_nothing_to_write((policy, mut world) in changed()) {
        world.step(&policy);
        prop_assert_eq!(world.plan(&policy).writes, [None, None]);
    }

    #[test]
    fn swapping_the_sides_swaps_the_plan((policy, mirror) in mirrored(), a in side(), b in side(), a2 in side(), b2 in side()) {
        let mut world = World::new(json!({}), json!({}));
        let mut mirrored = World::new(json!({}), json!({}));
        for (a, b) in [(a, b), (a2, b2)] {
            // Of two who say at the same time that they opt in one is believed first; that is no law.
            prop_assume!(a.consent.0 != ConsentState::Subscribed || b.consent.0 != ConsentState::Subscribed);
            put(&mut world, Side::A, &a);
            put(&mut world, Side::B, &b);
            mirrored.seen = [world.seen[1].clone(), world.seen[0].clone()];
            let plan = world.plan(&policy);
            let swapped = mirrored.plan(&mirror);
            for side in Side::BOTH {
                let [one, other] = [&plan.writes[side.index()], &swapped.writes[side.other().index()]];
                prop_assert_eq!(one.as_ref().map(|w| &w.patch), other.as_ref().map(|w| &w.patch));
                prop_assert_eq!(one.as_ref().map(|w| &w.consents), other.as_ref().map(|w| &w.consents));
            }
            prop_assert_eq!(plan.undecided.len(), swapped.undecided.len());
            prop_assert_eq!(plan.lifted.len(), swapped.lifted.len());
            world.step(&policy);
            mirrored.step(&mirror);
            prop_assert_eq!(&world.seen[0].fields, &mirrored.seen[1].fields);
            prop_assert_eq!(&world.seen[1].fields, &mirrored.seen[0].fields);
        }
    }

    #[test]
    fn every_written_value_was_seen((policy, world) in changed()) {
        let plan = world.plan(&policy);
        for side in Side::BOTH {
            for (name, value) in plan.writes[side.index()].iter().flat_map(|w| &w.patch) {
                if name == "tags" || name == "labels" {
                    continue; // a union is made of items that were seen
                }
                let seen = &world.seen[side.other().index()].fields;
                let empty = value.is_null();
                prop_assert!(
                    empty || seen.values().any(|seen| seen == value),
                    "{name} := {value} was not seen in {seen:?}"
                );
            }
        }
    }

    #[test]
    fn an_opt_out_is_lifted_only_by_newer_dated_evidence_of_an_allowed_side((policy, world) in changed()) {
        let restricted = world.restriction().cloned();
        let plan = world.plan(&policy);
        let grants = plan.writes.iter().flatten().any(|write| write.grants());
        if let Some(restriction) = restricted && grants {
            let justified = Side::BOTH.into_iter().any(|side| {
                let said = &world.seen[side.index()].consents[0];
                policy.opt_in_from[side.index()]
                    && said.state == ConsentState::Subscribed
                    && said.at > Some(restriction.at)
            });
            prop_assert!(justified, "{restriction:?} was lifted by {:?}", world.seen);
            prop_assert_eq!(plan.lifted.len(), 1);
        }
    }

    #[test]
    fn an_opt_out_of_one_side_is_never_answered_by_an_opt_in_of_the_other((policy, mut world) in changed()) {
        world.step(&policy);
        let states = Side::BOTH.map(|side| world.state(side));
        let plan = world.plan(&policy);
        if plan.undecided.iter().all(|u| u.about != "email/marketing") {
            let restricted = world.restriction().is_some();
            if restricted {
                prop_assert_eq!(states, [ConsentState::Unsubscribed, ConsentState::Unsubscribed]);
            }
        }
    }

    #[test]
    fn a_settled_base_is_what_both_sides_hold((policy, mut world) in changed()) {
        let plan = world.step(&policy);
        // What was written to both sides is found to be equal by the next plan.
        world.step(&policy);
        for rule in &policy.fields {
            if plan.undecided.iter().any(|u| u.about == rule.name) {
                continue;
            }
            let base = &world.base.fields[&rule.name];
            for side in Side::BOTH {
                prop_assert!(rule.normalizer.same(base.image(side), world.get(side, rule.field(side))));
            }
        }
    }

    #[test]
    fn a_record_that_is_gone_is_never_written((policy, mut world) in changed(), gone in prop_oneof![Just(Side::A), Just(Side::B)]) {
        world.seen[gone.index()].presence = Presence::Gone;
        prop_assert_eq!(world.plan(&policy).writes, [None, None]);
    }

    #[test]
    fn advancing_twice_is_advancing_once((policy, mut world) in changed()) {
        let plan = world.plan(&policy);
        settle::advance(&mut world.base, plan.advance.clone());
        let once = world.base.clone();
        settle::advance(&mut world.base, plan.advance);
        prop_assert_eq!(once, world.base);
    }
}
