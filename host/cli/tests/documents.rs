//! What the documents say about the program is what the program says of itself.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("this crate is two levels below the root")
        .to_owned()
}

fn document(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).expect("UTF-8")
}

fn samspel(arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_samspel"))
        .args(arguments)
        .env_remove("SAMSPEL_CONFIG")
        .output()
        .expect("samspel starts");
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

/// `--help` and the README list the same codes with the same words.
#[test]
fn the_readme_has_the_exit_codes_of_the_program() {
    let (_, help) = samspel(&["--help"]);
    let table = help
        .split_once("Exit codes:\n")
        .expect("the help has the table")
        .1;
    let told: Vec<String> = table
        .lines()
        .map_while(|line| {
            let (code, rest) = line.trim().split_once(' ')?;
            let (name, meaning) = rest.trim().split_once(' ')?;
            Some(format!("| {code} | `{name}` | {} |", meaning.trim()))
        })
        .collect();
    assert!(told.len() > 10, "{help}");
    let readme = document("README.md");
    let missing: Vec<_> = told
        .iter()
        .filter(|row| !readme.contains(row.as_str()))
        .collect();
    assert_eq!(missing, Vec::<&String>::new());
}

/// Every command in a code block exists, with the options that stand there.
#[test]
fn commands_in_documents_are_understood() {
    let mut tried = 0;
    for name in ["README.md", "CONTRIBUTING.md", "plugins/sdk/README.md"] {
        for command in commands(&document(name)) {
            tried += 1;
            let mut arguments: Vec<&str> = command.split_whitespace().skip(1).collect();
            arguments.push("--help");
            let (understood, said) = samspel(&arguments);
            assert!(understood, "{name}: `{command}`: {said}");
        }
    }
    assert!(tried > 5, "the documents show commands");
}

/// The calls of `samspel` in shell blocks, without comments and what follows them on the line.
fn commands(markdown: &str) -> Vec<String> {
    markdown
        .split("```sh\n")
        .skip(1)
        .filter_map(|rest| rest.split_once("\n```"))
        .flat_map(|(block, _)| block.lines())
        .flat_map(|line| line.split('#').next().unwrap_or_default().split("&&"))
        .map(|call| call.split('>').next().unwrap_or_default().trim().to_owned())
        .filter(|call| call.starts_with("samspel "))
        .collect()
}

/// Each limit of the sandbox that can be set is explained.
#[test]
fn every_limit_is_in_the_architecture() {
    let schema: serde_json::Value =
        serde_json::from_str(&document("host/cli/samspel.schema.json")).expect("JSON");
    let limits = schema["$defs"]["Limits"]["properties"]
        .as_object()
        .expect("the schema has the limits");
    let architecture = document("ARCHITECTURE.md");
    let missing: Vec<_> = limits
        .keys()
        .filter(|name| !architecture.contains(&format!("`{name}`")))
        .collect();
    assert_eq!(missing, Vec::<&String>::new());
}
