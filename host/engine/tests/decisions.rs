//! What the planner decides about fields, presence and new records, one fact a test.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use samspel_engine::consent::Restrictions;
use samspel_engine::create::{CreatePlan, Skip, plan_create};
use samspel_engine::plan::Ending;
use samspel_model::write::Removal;
use samspel_model::{ConsentState, DeliverabilityState, Presence, Side};
use serde_json::{Value, json};
use support::{SPEC, World, at, bounced, consent, now, policy, seen};

fn pair() -> World {
    World::new(
        json!({ "email": "ann@x.org", "name": "Ann", "phone": "030 1234567", "tags": ["vip"] }),
        json!({ "address": "ann@x.org", "NAME": "Ann", "PHONE": "+49301234567", "labels": ["vip"] }),
    )
}

fn settled() -> World {
    let mut world = pair();
    world.settle(&policy(SPEC));
    world
}

#[test]
fn equal_records_are_linked_without_a_write() {
    let mut world = pair();
    let plan = world.step(&policy(SPEC));
    assert_eq!(plan.writes, [None, None]);
    assert!(plan.advances());
}

#[test]
fn case_spaces_composition_and_phone_format_are_no_difference() {
    let world = World::new(
        json!({ "email": " Ann@X.org", "name": "Jose\u{301}  Pe\u{301}rez ", "phone": "030/1234567", "tags": ["b", "a"] }),
        json!({ "address": "ann@x.ORG", "NAME": "José Pérez", "PHONE": "+49 30 1234567", "labels": ["a", "b"] }),
    );
    assert_eq!(world.plan(&policy(SPEC)).writes, [None, None]);
}

#[test]
fn empty_null_and_absent_values_are_no_difference() {
    let world = World::new(
        json!({ "email": "a@x.org", "name": null, "tags": [] }),
        json!({ "address": "a@x.org", "NAME": "", "labels": null }),
    );
    assert_eq!(world.plan(&policy(SPEC)).writes, [None, None]);
}

#[test]
fn first_sync_takes_the_owning_sides_value_and_journals_the_other() {
    let mut world = pair();
    world.set(Side::B, "NAME", json!("Annie"));
    let plan = world.step(&policy(SPEC));
    assert_eq!(world.get(Side::B, "NAME"), "Ann");
    assert_eq!(plan.losers[0].value, "Annie");
    assert_eq!(plan.losers[0].side, Side::B);
}

#[test]
fn first_sync_fills_an_empty_value_from_the_other_side_and_clears_nothing() {
    let mut world = pair();
    world.set(Side::A, "name", Value::Null);
    world.set(Side::A, "phone", Value::Null);
    world.settle(&policy(SPEC));
    assert_eq!(world.get(Side::A, "name"), "Ann");
    assert_eq!(
        world.get(Side::B, "PHONE"),
        "+49301234567",
        "phones flow from A only"
    );
}

#[test]
fn a_change_on_one_side_is_written_to_the_other() {
    let mut world = settled();
    world.set(Side::B, "NAME", json!("Anna"));
    world.settle(&policy(SPEC));
    assert_eq!(world.get(Side::A, "name"), "Anna");
}

#[test]
fn clearing_a_value_clears_it_on_the_other_side() {
    let mut world = settled();
    world.set(Side::A, "name", Value::Null);
    world.settle(&policy(SPEC));
    assert_eq!(world.get(Side::B, "NAME"), &Value::Null);
}

#[test]
fn the_same_change_on_both_sides_only_advances_the_base() {
    let mut world = settled();
    world.set(Side::A, "name", json!("Anna"));
    world.set(Side::B, "NAME", json!("Anna "));
    assert_eq!(world.plan(&policy(SPEC)).writes, [None, None]);
}

#[test]
fn different_changes_on_both_sides_wait_for_a_person() {
    let mut world = settled();
    world.set(Side::A, "name", json!("Anna"));
    world.set(Side::B, "NAME", json!("Anne"));
    let plan = world.step(&policy(SPEC));
    assert_eq!(plan.writes, [None, None]);
    assert_eq!(plan.undecided[0].about, "name=NAME");
    assert_eq!(
        world.plan(&policy(SPEC)).undecided.len(),
        1,
        "it stays undecided"
    );
}

#[test]
fn different_changes_on_both_sides_go_to_the_owning_side() {
    let mut world = settled();
    world.set(Side::A, "email", json!("ann@new.org"));
    world.set(Side::B, "address", json!("ann@other.org"));
    let plan = world.step(&policy(SPEC));
    assert_eq!(world.get(Side::B, "address"), "ann@new.org");
    assert_eq!(plan.losers[0].value, "ann@other.org");
}

#[test]
fn a_union_keeps_additions_and_removals_of_both_sides() {
    let mut world = settled();
    world.set(Side::A, "tags", json!(["vip", "new"]));
    world.set(Side::B, "labels", json!(["paid"]));
    world.settle(&policy(SPEC));
    assert_eq!(world.get(Side::A, "tags"), &json!(["new", "paid"]));
    assert_eq!(world.get(Side::B, "labels"), &json!(["new", "paid"]));
}

#[test]
fn what_changes_against_the_direction_stays_where_it_is() {
    let mut world = settled();
    world.set(Side::B, "PHONE", json!("+49 30 999"));
    world.settle(&policy(SPEC));
    assert_eq!(world.get(Side::A, "phone"), "030 1234567");
    assert_eq!(world.get(Side::B, "PHONE"), "+49 30 999");
}

#[test]
fn a_remote_that_rewrites_what_it_is_given_comes_to_rest() {
    let policy = policy(SPEC);
    let mut world = settled();
    world.set(Side::A, "name", json!("Dr. Ann"));
    world.step(&policy);
    // What the remote made of it, as its answer showed.
    world.set(Side::B, "NAME", json!("Ann"));
    world.base.fields.get_mut("name=NAME").unwrap().b = json!("Ann");
    assert!(world.plan(&policy).is_at_rest());
}

#[test]
fn a_changed_mapping_is_taken_over_without_a_write() {
    let mut world = settled();
    let other = SPEC.replace(
        r#"b = "NAME", on-conflict"#,
        r#"b = "NAME", to-b = "value + '!'", direction = "a-to-b", on-conflict"#,
    );
    let plan = world.step(&policy(&other));
    assert_eq!(plan.writes, [None, None]);
    world.set(Side::A, "name", json!("Anna"));
    world.step(&policy(&other));
    assert_eq!(world.get(Side::B, "NAME"), "Anna!");
}

#[test]
fn a_value_that_would_not_come_back_as_it_was_is_left_to_a_person() {
    let mut world = settled();
    let lossy = SPEC.replace(
        r#"b = "NAME", on-conflict"#,
        r#"b = "NAME", to-b = "value + '!'", on-conflict"#,
    );
    world.step(&policy(&lossy));
    world.set(Side::A, "name", json!("Anna"));
    let plan = world.step(&policy(&lossy));
    assert_eq!(plan.writes, [None, None]);
    assert_eq!(plan.undecided[0].about, "name=NAME");
    let round = lossy.replacen(
        r#"to-b = "value + '!'""#,
        r#"to-b = "value + '!'", to-a = "value.substring(0, size(value) - 1)""#,
        1,
    );
    world.step(&policy(&round));
    assert_eq!(world.get(Side::B, "NAME"), "Anna!");
}

#[test]
fn a_value_that_flows_over_one_of_the_targets_own_is_a_loser() {
    let one_way = SPEC.replace("on-conflict = \"queue\"", "direction = \"a-to-b\"");
    let policy = policy(&one_way);
    let mut world = pair();
    world.set(Side::B, "NAME", json!("Annie"));
    assert_eq!(world.step(&policy).losers[0].value, "Annie");
    world.set(Side::B, "NAME", json!("Nan"));
    world.step(&policy);
    assert_eq!(world.get(Side::B, "NAME"), "Nan", "nothing flows back");
    world.set(Side::A, "name", json!("Anna"));
    let plan = world.step(&policy);
    assert_eq!(world.get(Side::B, "NAME"), "Anna");
    assert_eq!(plan.losers[0].value, "Nan");
}

#[test]
fn an_expression_that_cannot_be_applied_is_a_conflict_of_that_field_only() {
    let text = SPEC.replace(
        r#"b = "NAME", on-conflict"#,
        r#"b = "NAME", to-b = "value.split(' ')[1]", on-conflict"#,
    );
    let mut world = settled();
    world.set(Side::A, "name", json!("Cher"));
    world.set(Side::A, "email", json!("cher@x.org"));
    let plan = world.step(&policy(&text));
    assert_eq!(plan.undecided[0].about, "name=NAME");
    assert!(
        !plan.undecided[0].why.contains("Cher"),
        "no personal data in errors"
    );
    assert_eq!(world.get(Side::B, "address"), "cher@x.org");
}

#[test]
fn a_bounce_is_written_to_the_other_side() {
    let mut world = settled();
    world.seen[1].deliverability = Some(bounced(DeliverabilityState::HardBounced));
    world.settle(&policy(SPEC));
    assert_eq!(
        world.seen[0].deliverability.as_ref().unwrap().state,
        DeliverabilityState::HardBounced
    );
}

#[test]
fn a_bounce_does_not_move_with_a_changed_address() {
    let mut world = settled();
    world.seen[1].deliverability = Some(bounced(DeliverabilityState::HardBounced));
    world.set(Side::A, "email", json!("ann@new.org"));
    let plan = world.step(&policy(SPEC));
    assert_eq!(plan.writes[0], None);
    assert_eq!(plan.writes[1].as_ref().unwrap().deliverability, None);
}

#[test]
fn a_deleted_record_leaves_the_other_alone_by_default() {
    let mut world = settled();
    world.seen[0].presence = Presence::Gone;
    assert_eq!(world.plan(&policy(SPEC)).ending, Some(Ending::End));
}

#[test]
fn a_deleted_record_archives_the_other_where_that_is_wanted() {
    let text = SPEC.replace("first-sync", "deletes = \"archive\"\nfirst-sync");
    let mut world = settled();
    world.seen[0].presence = Presence::Gone;
    assert_eq!(
        world.plan(&policy(&text)).ending,
        Some(Ending::Remove(Side::B, Removal::Archive))
    );
}

#[test]
fn an_edit_beats_a_delete() {
    let text = SPEC.replace("first-sync", "deletes = \"archive\"\nfirst-sync");
    let mut world = settled();
    world.seen[0].presence = Presence::Gone;
    world.set(Side::B, "NAME", json!("Anna"));
    assert_eq!(
        world.plan(&policy(&text)).ending,
        Some(Ending::Recreate(Side::A))
    );
}

#[test]
fn leaving_a_filter_is_not_a_delete() {
    let text = SPEC.replace("first-sync", "deletes = \"archive\"\nfirst-sync");
    let mut world = settled();
    world.seen[0].presence = Presence::OutOfScope;
    assert_eq!(world.plan(&policy(&text)).ending, Some(Ending::End));
}

#[test]
fn an_ended_pair_stays_at_rest_until_both_are_there_again() {
    let policy = policy(SPEC);
    let mut world = settled();
    world.base.ended = true;
    world.seen[0].presence = Presence::Gone;
    world.set(Side::B, "NAME", json!("Anna"));
    assert!(world.plan(&policy).is_at_rest());
    world.seen[0].presence = Presence::Present;
    let plan = world.plan(&policy);
    assert_eq!(plan.ending, Some(Ending::Resume));
    assert_eq!(plan.writes[0].as_ref().unwrap().patch["name"], "Anna");
}

#[test]
fn a_record_without_a_key_is_not_created() {
    let record = seen("1", json!({ "email": null, "name": "Ann" }));
    assert_eq!(
        plan_create(
            &policy(SPEC),
            Side::A,
            &record,
            &Restrictions::default(),
            now()
        ),
        CreatePlan::Skip(Skip::NoKey)
    );
}

#[test]
fn a_new_record_without_opt_in_evidence_becomes_what_the_setting_says() {
    let record = seen("1", json!({ "email": "a@x.org", "name": "Ann" }));
    let state = |setting: &str| {
        let text = SPEC.replace("\"transactional\"", setting);
        match plan_create(
            &policy(&text),
            Side::A,
            &record,
            &Restrictions::default(),
            now(),
        ) {
            CreatePlan::Create(new) => Some(new.write.consents[0].state.clone()),
            CreatePlan::Skip(Skip::NoOptIn) => None,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(state("\"transactional\""), Some(ConsentState::Unspecified));
    assert_eq!(state("\"pending\""), Some(ConsentState::Pending));
    assert_eq!(state("\"skip\""), None);
}

#[test]
fn a_new_record_is_subscribed_only_with_dated_evidence() {
    let mut record = seen("1", json!({ "email": "a@x.org" }));
    let mut created = |given| {
        record.consents = vec![given];
        match plan_create(
            &policy(SPEC),
            Side::A,
            &record,
            &Restrictions::default(),
            now(),
        ) {
            CreatePlan::Create(new) => new.write.consents[0].state.clone(),
            other => panic!("{other:?}"),
        }
    };
    let dated = consent(ConsentState::Subscribed, Some("2026-01-01T00:00:00Z"));
    assert_eq!(created(dated), ConsentState::Subscribed);
    let undated = consent(ConsentState::Subscribed, None);
    assert_eq!(created(undated), ConsentState::Unspecified);
    let out = consent(ConsentState::Unsubscribed, None);
    assert_eq!(created(out), ConsentState::Unsubscribed);
}

#[test]
fn a_record_created_anew_keeps_the_opt_out_of_its_former_link() {
    let mut world = settled();
    world.say(
        Side::A,
        consent(ConsentState::Unsubscribed, Some("2026-01-01T00:00:00Z")),
    );
    world.settle(&policy(SPEC));
    let mut survivor = world.seen[1].clone();
    survivor.consents = vec![consent(
        ConsentState::Subscribed,
        Some("2025-01-01T00:00:00Z"),
    )];
    let CreatePlan::Create(new) =
        plan_create(&policy(SPEC), Side::B, &survivor, &world.restricted, now())
    else {
        panic!("it is created");
    };
    assert_eq!(new.write.consents[0].state, ConsentState::Unsubscribed);
    assert_eq!(new.write.consents[0].at, Some(at("2026-01-01T00:00:00Z")));
}
