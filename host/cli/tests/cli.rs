//! The program as a user or a script meets it: exit codes, `--json`, what goes to stdout and what to stderr.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn samspel(directory: &Path, arguments: &[&str]) -> Output {
    command(directory, arguments)
        .output()
        .expect("samspel starts")
}

fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_samspel"));
    command
        .args(arguments)
        .current_dir(directory)
        .env_remove("SAMSPEL_CONFIG")
        .env_remove("SAMSPEL_CONNECTORS")
        .env_remove("RUST_LOG")
        .stdin(Stdio::null());
    command
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("it was not killed")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

/// The last line of stdout, which is the object that `--json` promises.
fn object(output: &Output) -> Value {
    let last = text(&output.stdout).lines().last().expect("an object");
    serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {last}"))
}

#[test]
fn init_writes_a_configuration_that_passes_the_check() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(code(&samspel(dir.path(), &["init"])), 0);
    let checked = samspel(dir.path(), &["config", "check", "--json"]);
    assert_eq!(code(&checked), 0);
    assert_eq!(object(&checked)["syncs"][0], "contacts");
}

#[test]
fn init_replaces_nothing_unless_forced() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("samspel.toml");
    std::fs::write(&file, "# mine\n").unwrap();
    let refused = samspel(dir.path(), &["init"]);
    assert_eq!(code(&refused), 1);
    assert!(text(&refused.stderr).contains("--force"));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "# mine\n");
    assert_eq!(
        code(&samspel(
            dir.path(),
            &["init", "--force", "--template", "odoo-ghost"]
        )),
        0
    );
    assert!(std::fs::read_to_string(&file).unwrap().contains("Ghost"));
}

#[test]
fn a_wrong_command_line_is_usage() {
    let dir = tempfile::tempdir().unwrap();
    let output = samspel(dir.path(), &["sync", "rum", "contacts"]);
    assert_eq!(code(&output), 2);
    assert!(text(&output.stderr).contains("rum"));
    let output = samspel(dir.path(), &["sync", "rum", "contacts", "--json"]);
    assert_eq!(code(&output), 2);
    assert_eq!(object(&output)["error"]["code"], "usage");
}

#[test]
fn a_wrong_configuration_names_every_problem() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join("samspel.toml"),
        "[accounts.crm]\nconnector = 1\n[hots]\n",
    )
    .unwrap();
    let output = samspel(dir.path(), &["config", "check"]);
    assert_eq!(code(&output), 3);
    let said = text(&output.stderr);
    assert!(
        said.contains("samspel.toml:2:13: accounts.crm.connector"),
        "{said}"
    );
    assert!(said.contains("samspel.toml:3:2: hots"), "{said}");
    let output = samspel(dir.path(), &["config", "check", "--json"]);
    assert_eq!(code(&output), 3);
    let error = &object(&output)["error"];
    assert_eq!(error["code"], "config");
    assert_eq!(error["exit"], 3);
    assert_eq!(error["problems"][0]["line"], 2);
    assert_eq!(error["problems"][1]["setting"], "hots");
}

#[test]
fn the_configuration_is_found_through_the_environment() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("other.toml"), "").unwrap();
    let output = command(dir.path(), &["config", "check"])
        .env("SAMSPEL_CONFIG", "other.toml")
        .output()
        .unwrap();
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
}

#[test]
fn help_holds_the_exit_codes_and_examples() {
    let dir = tempfile::tempdir().unwrap();
    let output = samspel(dir.path(), &["--help"]);
    assert_eq!(code(&output), 0);
    let help = text(&output.stdout);
    for expected in [
        "Exit codes:",
        "not-confirmed",
        "Examples:",
        "samspel sync plan",
    ] {
        assert!(help.contains(expected), "{expected}");
    }
}

#[test]
fn completions_are_generated_for_every_shell() {
    let dir = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = samspel(dir.path(), &["completions", shell]);
        assert_eq!(code(&output), 0);
        assert!(text(&output.stdout).contains("samspel"), "{shell}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let dir = tempfile::tempdir().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = command(dir.path(), &["config", "schema"])
        .stdout(writer)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(code(&output), 0);
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn a_wrong_log_filter_is_usage() {
    let dir = tempfile::tempdir().unwrap();
    let output = command(dir.path(), &["config", "schema"])
        .env("RUST_LOG", "samspel=loud=er")
        .output()
        .unwrap();
    assert_eq!(code(&output), 2);
    assert!(text(&output.stderr).contains("RUST_LOG"));
}
