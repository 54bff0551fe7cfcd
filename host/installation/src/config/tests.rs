//! What a person is told about a wrong configuration.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;

use super::*;

const GOOD: &str = r#"
[accounts.crm]
connector = "hubspot"
settings = { subscription_id = "1" }
credentials.access = { env = "TOKEN" }

[accounts.mail]
connector = "mailchimp"
credentials.access = { file = "secret.txt" }

[syncs.contacts]
a = { account = "crm", collection = "contacts" }
b = { account = "mail", collection = "members" }
match = { a = "email", b = "email_address" }
new-members = "skip"
first-sync = "a"
fields = [{ a = "email", b = "email_address" }]
"#;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(Path::new("conf/samspel.toml"), text)
}

/// The good configuration with one piece replaced, and everything said about it.
fn complaints(piece: &str, replacement: &str) -> String {
    assert!(GOOD.contains(piece), "{piece}");
    parse(&GOOD.replace(piece, replacement))
        .unwrap_err()
        .to_string()
}

#[test]
fn a_correct_file_is_read() {
    let config = parse(GOOD).unwrap();
    assert_eq!(config.accounts["crm"].connector, "hubspot");
    assert_eq!(
        config.accounts["crm"].credentials["access"].env.as_deref(),
        Some("TOKEN")
    );
    assert_eq!(config.syncs["contacts"].interval, "5m");
    assert_eq!(config.resolve(Path::new("x.db")), Path::new("conf/x.db"));
    assert_eq!(
        config.resolve(Path::new("/abs/x.db")),
        Path::new("/abs/x.db")
    );
}

#[test]
fn a_misspelt_setting_is_named_with_its_place() {
    assert_eq!(
        complaints("connector = \"hubspot\"", "conector = \"hubspot\""),
        "conf/samspel.toml:3:1: accounts.crm.conector: unknown field `conector`, expected one of `id`, `hooks`, \
         `connector`, `settings`, `credentials`, `endpoints`, `rate-limits`, `limits`\n  \
         remedy: check the spelling or remove it; `samspel config schema` describes every setting"
    );
}

#[test]
fn a_missing_setting_is_named() {
    let said = complaints("new-members = \"skip\"\n", "");
    assert!(said.starts_with("conf/samspel.toml:11:"), "{said}");
    assert!(
        said.contains("syncs.contacts: missing field `new-members`"),
        "{said}"
    );
}

#[test]
fn a_mistake_deep_inside_is_named_with_its_path() {
    let said = complaints(
        "fields = [{ a = \"email\", b = \"email_address\" }]",
        "fields = [{ a = \"email\", b = \"email_address\" }, { a = \"x\", b = \"y\", normalize = \"fon\" }]",
    );
    assert!(
        said.contains("syncs.contacts.fields[1].normalize: unknown variant `fon`"),
        "{said}"
    );
    assert!(said.starts_with("conf/samspel.toml:17:"), "{said}");
}

#[test]
fn all_mistakes_are_named_at_once() {
    let text = GOOD
        .replace("connector = \"mailchimp\"", "connector = 5")
        .replace("account = \"crm\"", "account = \"crn\"")
        .replace(
            "first-sync = \"a\"",
            "first-sync = \"a\"\ninterval = \"soon\"",
        )
        + "\n[accounts.\"Bad Name\"]\nconnector = \"x\"\n[host]\nstroe = 1\n[extra]\n";
    let problems = parse(&text).unwrap_err().0;
    let settings: Vec<_> = problems
        .iter()
        .filter_map(|p| p.setting.as_deref())
        .collect();
    assert_eq!(
        settings,
        [
            "accounts.mail.connector",
            "syncs.contacts.a.account",
            "syncs.contacts.interval",
            "accounts.Bad Name",
            "host.stroe",
            "extra",
        ]
    );
    let lines: Vec<_> = problems
        .iter()
        .filter_map(|p| p.position.map(|at| at.line))
        .collect();
    assert!(lines.is_sorted(), "in the order of the file: {lines:?}");
}

#[test]
fn an_account_that_could_not_be_read_is_not_reported_as_missing() {
    let said = complaints("connector = \"mailchimp\"", "connector = 5");
    assert!(!said.contains("there is no account"), "{said}");
}

#[test]
fn a_secret_in_the_file_is_refused_and_not_repeated() {
    for literal in [
        "credentials.access = \"pat-na1-SECRET\"",
        "credentials = \"pat-na1-SECRET\"",
        "credentials.access = { value = \"pat-na1-SECRET\" }",
        "credentials.access = { token = \"pat-na1-SECRET\" }",
        "credentials.access = { env = \"pat-na1-SECRET\" }",
        "credentials.access = { env = \"X\", password = \"pat-na1-SECRET\" }",
        "credentials.access = [\"pat-na1-SECRET\"]",
        "credentials.access = { env = [\"pat-na1-SECRET\"] }",
        "credentials.access = { env = \"X\", \"pat-na1-SECRET\" = 1 }",
        "credentials.access = { file = { name = \"pat-na1-SECRET\" } }",
        "credentials.access = { env = \"X\", client-secret = \"pat-na1-SECRET\" }",
        "credentials.access = { env = \"X\", client-secret = { env = \"pat-na1-SECRET\" } }",
        "credentials.access = { env = \"X\", client-secret = { value = \"pat-na1-SECRET\" } }",
        "credentials.access = { vault = \"pat-na1-SECRET\" }",
        "credentials.access = { env = \"X\", client-secret = { vault = \"pat-na1-SECRET\" } }",
        "credentials.access = \"pat-na1-SECRET",
    ] {
        let said = complaints("credentials.access = { env = \"TOKEN\" }", literal);
        assert!(!said.contains("SECRET"), "{literal}: {said}");
        assert!(said.contains(":5:"), "{literal}: {said}");
    }
}

#[test]
fn a_credential_has_exactly_one_source() {
    let said = complaints("{ env = \"TOKEN\" }", "{ env = \"TOKEN\", file = \"x\" }");
    assert!(
        said.contains(
            "accounts.crm.credentials.access: more than one of `env`, `file` and `vault` is set"
        ),
        "{said}"
    );
    let said = complaints("{ env = \"TOKEN\" }", "{ }");
    assert!(
        said.contains("it is not said where the secret is"),
        "{said}"
    );
}

#[test]
fn an_override_must_be_an_origin() {
    for (wrong, why) in [
        ("localhost:8801", "is neither http nor https"),
        ("http://127.0.0.1:1/path", "has a path"),
        ("http://user:hunter2@host", "holds a user name"),
        ("nonsense", "is not a URL"),
    ] {
        let said = complaints(
            "settings = { subscription_id = \"1\" }",
            &format!("endpoints = {{ \"https://api.example.org\" = \"{wrong}\" }}"),
        );
        assert!(said.contains(why), "{wrong}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[test]
fn both_sides_may_not_be_the_same_collection() {
    let said = complaints(
        "b = { account = \"mail\", collection = \"members\" }",
        "b = { account = \"crm\", collection = \"contacts\" }",
    );
    assert!(
        said.contains("syncs.contacts.b: both sides are the same"),
        "{said}"
    );
}

#[test]
fn expressions_are_checked() {
    let said = complaints(
        "{ a = \"email\", b = \"email_address\" }]",
        "{ a = \"email\", b = \"email_address\" }, { a = \"x\", b = \"y\", to-b = \"value +\" }]",
    );
    assert!(said.contains("syncs.contacts.fields[1].to-b"), "{said}");
}

#[test]
fn an_interval_must_be_a_time() {
    for wrong in ["soon", "-5m", "10ms", "5"] {
        let said = complaints(
            "first-sync = \"a\"",
            &format!("first-sync = \"a\"\ninterval = \"{wrong}\""),
        );
        assert!(said.contains("syncs.contacts.interval"), "{wrong}: {said}");
    }
}

#[test]
fn a_file_that_is_not_there_says_how_to_make_one() {
    let said = Config::load(Path::new("does/not/exist.toml"))
        .unwrap_err()
        .to_string();
    assert!(
        said.contains("does/not/exist.toml") && said.contains("samspel init"),
        "{said}"
    );
}

#[test]
fn every_setting_is_described_in_the_schema() {
    fn undescribed(path: &str, schema: &serde_json::Value, found: &mut Vec<String>) {
        if let Some(properties) = schema.get("properties").and_then(|p| p.as_object()) {
            for (name, property) in properties {
                let path = format!("{path}.{name}");
                if property.get("description").is_none() {
                    found.push(path.clone());
                }
                undescribed(&path, property, found);
            }
        }
    }
    let schema = json_schema();
    let mut found = Vec::new();
    undescribed("", &schema, &mut found);
    for (name, definition) in schema["$defs"].as_object().unwrap() {
        undescribed(name, definition, &mut found);
    }
    assert_eq!(found, Vec::<String>::new());
}
