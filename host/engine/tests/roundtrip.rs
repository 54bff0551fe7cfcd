//! Mappings whose transforms do not undo each other are found on sample records.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use samspel_engine::roundtrip::round_trips;
use samspel_model::{Fields, Side};
use serde_json::json;
use support::{SPEC, fields, policy};

/// The usual mapping, with `name` mapped as said.
fn mapped(name: &str) -> samspel_engine::Policy {
    policy(&SPEC.replace(
        r#"{ a = "name", b = "NAME", on-conflict = "queue" }"#,
        &format!(r#"{{ a = "name", b = "NAME", {name} }}"#),
    ))
}

fn people() -> Vec<Fields> {
    ["ann", "Bob", "CAROL"]
        .map(|name| fields(json!({ "email": format!("{name}@x.org"), "name": name })))
        .to_vec()
}

#[test]
fn transforms_that_undo_each_other_pass() {
    let policy = mapped(r#"to-b = "'#' + value", to-a = "value.replace('#', '')""#);
    let tried = round_trips(&policy, Side::A, &people());
    assert_eq!(tried.len(), 1);
    assert_eq!((tried[0].rule.as_str(), tried[0].tried), ("name=NAME", 3));
    assert!(tried[0].holds());
}

#[test]
fn values_that_do_not_come_back_are_counted() {
    let policy = mapped(r#"to-b = "value.upperAscii()""#);
    let tried = round_trips(&policy, Side::A, &people());
    // CAROL is upper case already.
    assert_eq!((tried[0].tried, tried[0].lost, tried[0].failed), (3, 2, 0));
    assert!(!tried[0].holds());
}

#[test]
fn values_that_an_expression_does_not_take_are_counted_apart() {
    let policy = mapped(r#"to-b = "value.trim()", to-a = "value.trim()""#);
    let mut people = people();
    people.push(fields(json!({ "email": "d@x.org", "name": null })));
    let tried = round_trips(&policy, Side::A, &people);
    assert_eq!((tried[0].tried, tried[0].lost, tried[0].failed), (4, 0, 1));
}

#[test]
fn expressions_see_the_copy_on_the_way_back() {
    let policy = mapped(
        r#"to-b = "value + '/' + record.email", to-a = "value.replace('/' + record.address, '')""#,
    );
    assert!(round_trips(&policy, Side::A, &people())[0].holds());
}

#[test]
fn what_flows_one_way_or_unchanged_is_not_tried() {
    let policy = mapped(r#"to-b = "value.upperAscii()", direction = "a-to-b""#);
    assert_eq!(round_trips(&policy, Side::A, &people()), []);
}
