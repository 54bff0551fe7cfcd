//! What is found wrong with a sync's specification, and how it is said.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use samspel_engine::{Policy, check_expressions};
use support::{SPEC, crm, platform, spec};

/// Every problem of a specification, one a line.
fn problems(text: &str) -> String {
    let spec = spec(text);
    let errors = match check_expressions(&spec) {
        Err(errors) => errors,
        Ok(()) => Policy::compile(&spec, &crm(), &platform()).unwrap_err(),
    };
    errors
        .0
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn a_good_specification_has_no_problems() {
    let spec = spec(SPEC);
    check_expressions(&spec).unwrap();
    Policy::compile(&spec, &crm(), &platform()).unwrap();
}

#[test]
fn an_unknown_field_is_named_with_those_that_exist() {
    let found = problems(&SPEC.replace(r#"b = "NAME""#, r#"b = "NAMES""#));
    assert_eq!(
        found,
        "`fields[1].b`: `members` has no field `NAMES`; it has `NAME`"
    );
}

#[test]
fn an_unknown_name_in_an_expression_is_found_without_the_network() {
    let found = problems(&SPEC.replace(r#"b = "NAME","#, r#"b = "NAME", to-b = "valeu.trim()","#));
    assert!(
        found.starts_with("`fields[1].to-b`: `valeu` is unknown"),
        "{found}"
    );
}

#[test]
fn a_broken_expression_is_found_without_the_network() {
    let found = problems(&SPEC.replace(r#"b = "NAME","#, r#"b = "NAME", to-a = "value +","#));
    assert!(found.starts_with("`fields[1].to-a`: "), "{found}");
}

#[test]
fn an_unknown_function_is_found_without_the_network() {
    let found = problems(&SPEC.replace(r#"b = "NAME","#, r#"b = "NAME", to-b = "shout(value)","#));
    assert!(found.contains("`shout` is unknown"), "{found}");
}

#[test]
fn matching_on_a_field_that_is_not_mapped_is_refused() {
    let found = problems(&SPEC.replace(r#"match = { a = "email""#, r#"match = { a = "name""#));
    assert!(found.starts_with("`match`: "), "{found}");
}

#[test]
fn matching_on_a_name_is_refused() {
    let found = problems(&SPEC.replace(
        r#"match = { a = "email", b = "address" }"#,
        r#"match = { a = "name", b = "NAME" }"#,
    ));
    assert!(
        found.contains("neither unique nor an e-mail address"),
        "{found}"
    );
}

#[test]
fn writing_to_a_read_only_field_is_refused_with_the_remedy() {
    let found = problems(&SPEC.replace(
        r#"{ a = "tags", b = "labels", on-conflict = "union" }"#,
        r#"{ a = "made", b = "labels" }"#,
    ));
    assert!(
        found.contains("`made` of `contacts` is read-only; set `direction = \"a-to-b\"`"),
        "{found}"
    );
}

#[test]
fn two_rules_that_write_one_field_are_refused() {
    let found = problems(&SPEC.replace(
        r#"{ a = "tags", b = "labels", on-conflict = "union" }"#,
        r#"{ a = "score", b = "NAME" }"#,
    ));
    assert!(
        found.contains("`NAME` is written by fields[1] already"),
        "{found}"
    );
}

#[test]
fn a_union_of_texts_is_refused() {
    let found = problems(&SPEC.replace(r#"on-conflict = "queue""#, r#"on-conflict = "union""#));
    assert!(
        found.starts_with("`fields[1].on-conflict`: `union` is for sets"),
        "{found}"
    );
}

#[test]
fn an_unknown_country_is_refused() {
    let found = problems(&SPEC.replace(r#""DE""#, r#""Germany""#));
    assert!(found.starts_with("`fields[2].region`: "), "{found}");
}

#[test]
fn an_interval_that_is_no_duration_is_refused() {
    let found = problems(&SPEC.replace("first-sync", "interval = \"often\"\nfirst-sync"));
    assert!(
        found.starts_with("`interval`: `often` is not a duration"),
        "{found}"
    );
}

#[test]
fn an_unknown_consent_purpose_is_refused() {
    let found = problems(&format!(
        "{SPEC}\nconsent = {{ purposes = [{{ channel = \"sms\", a = \"marketing\", b = \"marketing\" }}] }}"
    ));
    assert!(found.starts_with("`consent.purposes[0]`: "), "{found}");
}

#[test]
fn the_required_settings_have_no_default() {
    for setting in ["new-members", "first-sync"] {
        let text: String = SPEC
            .lines()
            .filter(|line| !line.trim_start().starts_with(setting))
            .collect::<Vec<_>>()
            .join("\n");
        let error = toml::from_str::<samspel_engine::SyncSpec>(&text).unwrap_err();
        assert!(error.to_string().contains(setting), "{error}");
    }
}
