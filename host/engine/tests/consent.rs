//! What the planner decides about opt-ins and opt-outs, one fact a test.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use samspel_engine::consent::Restrictions;
use samspel_engine::plan::differences;
use samspel_engine::settle;
use samspel_model::intent::{Effect, Intent};
use samspel_model::link::ConsentBase;
use samspel_model::store::Observation;
use samspel_model::{Base, ConsentState, Entity, Fields, Side};
use serde_json::json;
use support::{SPEC, World, at, consent, fields, policy, seen};

const EARLY: &str = "2026-01-01T00:00:00Z";
const LATE: &str = "2026-03-01T00:00:00Z";

fn pair() -> World {
    World::new(
        json!({ "email": "ann@x.org" }),
        json!({ "address": "ann@x.org" }),
    )
}

fn allowing(sides: &str) -> String {
    format!("{SPEC}\nconsent = {{ opt-in-from = {sides} }}")
}

#[test]
fn the_first_sync_takes_the_most_restrictive() {
    for (out, other) in [(Side::A, Side::B), (Side::B, Side::A)] {
        let mut world = pair();
        world.say(out, consent(ConsentState::Unsubscribed, Some(EARLY)));
        // Newer, and still no reason: at the first sync nothing tells that it was given after the opt-out was known.
        world.say(other, consent(ConsentState::Subscribed, Some(LATE)));
        world.settle(&policy(&allowing(r#"["a", "b"]"#)));
        assert_eq!(world.state(other), ConsentState::Unsubscribed);
    }
}

#[test]
fn an_opt_out_on_either_side_reaches_the_other() {
    for side in Side::BOTH {
        let mut world = pair();
        world.settle(&policy(SPEC));
        world.say(side, consent(ConsentState::Unsubscribed, Some(EARLY)));
        world.settle(&policy(SPEC));
        assert_eq!(world.state(side.other()), ConsentState::Unsubscribed);
    }
}

#[test]
fn absence_and_unspecified_never_lift_an_opt_out() {
    let mut world = pair();
    world.say(Side::B, consent(ConsentState::Unsubscribed, Some(EARLY)));
    world.settle(&policy(SPEC));
    // HubSpot forgets an opt-out when the address changes.
    world.seen[0].consents.clear();
    world.settle(&policy(SPEC));
    assert_eq!(world.state(Side::A), ConsentState::Unsubscribed);
}

#[test]
fn an_opt_out_that_both_sides_forget_is_written_to_both() {
    let mut world = pair();
    world.say(Side::B, consent(ConsentState::Unsubscribed, Some(EARLY)));
    world.settle(&policy(SPEC));
    world.seen[0].consents.clear();
    world.seen[1].consents.clear();
    world.settle(&policy(SPEC));
    for side in Side::BOTH {
        assert_eq!(world.state(side), ConsentState::Unsubscribed);
    }
}

#[test]
fn an_opt_out_that_one_side_forgets_is_told_again_although_none_is_stored() {
    for forgets in Side::BOTH {
        let mut world = pair();
        let says = forgets.other();
        world.say(says, consent(ConsentState::Unsubscribed, Some(EARLY)));
        world.settle(&policy(SPEC));
        // It was lifted by an opt-in that the side has forgotten with the address that it belonged to.
        world.restricted = Restrictions::default();
        world.seen[forgets.index()].consents.clear();
        world.step(&policy(SPEC));
        assert_eq!(world.state(forgets), ConsentState::Unsubscribed);
    }
}

#[test]
fn an_undated_opt_in_never_lifts_an_opt_out() {
    let policy = policy(&allowing(r#"["a", "b"]"#));
    let mut world = pair();
    world.say(Side::B, consent(ConsentState::Unsubscribed, Some(EARLY)));
    world.settle(&policy);
    world.say(Side::A, consent(ConsentState::Subscribed, None));
    world.settle(&policy);
    assert_eq!(world.state(Side::A), ConsentState::Unsubscribed);
}

#[test]
fn an_older_opt_in_never_lifts_an_opt_out() {
    let policy = policy(&allowing(r#"["a", "b"]"#));
    let mut world = pair();
    world.say(Side::B, consent(ConsentState::Unsubscribed, Some(LATE)));
    world.settle(&policy);
    world.say(Side::A, consent(ConsentState::Subscribed, Some(EARLY)));
    world.settle(&policy);
    assert_eq!(world.state(Side::A), ConsentState::Unsubscribed);
}

#[test]
fn a_newer_dated_opt_in_from_an_allowed_side_lifts_an_opt_out() {
    let policy = policy(&allowing(r#"["b"]"#));
    let mut world = pair();
    world.say(Side::A, consent(ConsentState::Unsubscribed, Some(EARLY)));
    world.settle(&policy);
    world.say(Side::B, consent(ConsentState::Subscribed, Some(LATE)));
    let plan = world.step(&policy);
    assert_eq!(world.state(Side::A), ConsentState::Subscribed);
    assert_eq!(plan.lifted.len(), 1, "the evidence goes to the journal");
    assert!(world.plan(&policy).is_at_rest());
}

#[test]
fn a_newer_opt_in_from_another_side_is_left_to_a_person() {
    let policy = policy(&allowing(r#"["a"]"#));
    let mut world = pair();
    world.say(Side::A, consent(ConsentState::Unsubscribed, Some(EARLY)));
    world.settle(&policy);
    world.say(Side::B, consent(ConsentState::Subscribed, Some(LATE)));
    let plan = world.step(&policy);
    assert_eq!(plan.writes, [None, None]);
    assert_eq!(plan.undecided[0].about, "email/marketing");
    assert_eq!(world.state(Side::A), ConsentState::Unsubscribed);
}

#[test]
fn a_side_that_does_not_take_an_opt_out_is_not_asked_again() {
    let policy = policy(SPEC);
    let mut world = pair();
    world.settle(&policy);
    world.say(Side::A, consent(ConsentState::Unsubscribed, Some(EARLY)));
    world.step(&policy);
    // The remote answered with another state than the one that was sent.
    world.say(Side::B, consent(ConsentState::Pending, None));
    world.base.consents.get_mut("email/marketing").unwrap().b = ConsentState::Pending;
    assert!(world.plan(&policy).is_at_rest());
}

#[test]
fn an_opt_out_that_a_side_did_not_take_is_a_difference_unless_it_knows_none_without_an_opt_in() {
    let policy = policy(SPEC);
    let mut world = pair();
    world.settle(&policy);
    world.say(Side::A, consent(ConsentState::Unsubscribed, Some(EARLY)));
    let waiting = differences(&world.link(), &policy);
    assert_eq!(waiting, ["email/marketing"], "B was not told yet");
    world.step(&policy);
    for (answer, differs) in [
        (ConsentState::Unspecified, false),
        (ConsentState::Pending, true),
        (ConsentState::Subscribed, true),
    ] {
        world.say(Side::B, consent(answer.clone(), None));
        world.base.consents.get_mut("email/marketing").unwrap().b = answer;
        assert_eq!(!differences(&world.link(), &policy).is_empty(), differs);
    }
    // It held the opt-out, and lost it.
    world.say(Side::B, consent(ConsentState::Unspecified, None));
    world.base.consents.get_mut("email/marketing").unwrap().b = ConsentState::Unsubscribed;
    assert_eq!(differences(&world.link(), &policy), ["email/marketing"]);
}

/// A write to B that carries these consents.
fn intent(effect: Effect, consents: Vec<samspel_model::Consent>) -> Intent {
    Intent {
        id: "w".to_owned(),
        run: "r".to_owned(),
        target: Side::B,
        source_record: "a".into(),
        link: None,
        effect,
        patch: Fields::new(),
        before: Fields::new(),
        consents,
        deliverability: None,
        precondition: None,
        base: Base::default(),
        shared: Vec::new(),
        restricts: false,
        and_more: false,
        overrules: None,
        told: Vec::new(),
        lost: None,
    }
}

fn entity(seen: Observation) -> Entity {
    Entity {
        id: seen.id,
        revision: None,
        fields: seen.fields,
        consents: seen.consents,
        deliverability: None,
        aliases: Vec::new(),
        modified: None,
    }
}

#[test]
fn a_create_that_is_answered_with_an_opt_in_did_not_tell_of_the_opt_out() {
    let policy = policy(SPEC);
    let opt_out = consent(ConsentState::Unsubscribed, Some(EARLY));
    let mut create = intent(Effect::Create, vec![opt_out]);
    let planned = ConsentBase {
        a: ConsentState::Unsubscribed,
        b: ConsentState::Unsubscribed,
        since: [Some(at(EARLY)); 2],
        told: [true; 2],
    };
    let name = "email/marketing";
    create.base.consents.insert(name.to_owned(), planned);
    for (answer, told) in [
        (ConsentState::Unsubscribed, true),
        (ConsentState::Unspecified, true),
        (ConsentState::Subscribed, false),
    ] {
        let mut made = seen("b", json!({ "address": "ann@x.org" }));
        made.consents = vec![consent(answer, Some(LATE))];
        let made = entity(made);
        let mut base = Base::default();
        settle::settle(&mut base, &create, &made, &policy, at(LATE), false);
        assert_eq!(base.consents[name].told, [true, told]);
        // What it says is planned as news.
        assert_eq!(settle::shows_more(&base, &create, &made, &policy), !told);
    }
}

#[test]
fn an_answer_that_shows_another_consent_than_was_known_tells_more() {
    let policy = policy(SPEC);
    let mut known = seen("b", json!({ "address": "ann@x.org" }));
    known.consents = vec![consent(ConsentState::Unsubscribed, Some(EARLY))];
    let mut update = intent(Effect::Update("b".into()), Vec::new());
    update.patch = fields(json!({ "address": "bea@x.org" }));
    // The remote forgets with the address what the person agreed to.
    let mut written = entity(seen("b", json!({ "address": "bea@x.org" })));
    written.consents = vec![consent(ConsentState::Unspecified, None)];
    assert!(settle::tells_more(&update, &known, &written, &policy));
    written.consents = known.consents.clone();
    assert!(!settle::tells_more(&update, &known, &written, &policy));
    // It is what was written.
    update.consents = vec![consent(ConsentState::Subscribed, Some(LATE))];
    written.consents = update.consents.clone();
    assert!(!settle::tells_more(&update, &known, &written, &policy));
}
