//! Documents say what is there. Links lead somewhere, examples are those that are compiled, and tests that are named
//! exist.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("this crate is two levels below the root")
        .to_owned()
}

/// Every file of the project with one of these extensions; what builds leave behind is none of it.
fn files(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|own| own == extension) {
            found.push(path);
        }
    }
    found
}

fn text(file: &Path) -> String {
    std::fs::read_to_string(file).expect("UTF-8")
}

/// The code blocks of a language.
fn blocks<'t>(markdown: &'t str, language: &str) -> Vec<&'t str> {
    let fence = format!("```{language}\n");
    markdown
        .split(&fence)
        .skip(1)
        .filter_map(|rest| Some(rest.split_once("\n```")?.0))
        .collect()
}

/// The text without its code blocks.
fn prose(markdown: &str) -> String {
    markdown.split("```").step_by(2).collect()
}

#[test]
fn links_lead_somewhere() {
    let mut broken = Vec::new();
    for document in files(&root(), "md") {
        let directory = document.parent().expect("a directory").to_owned();
        for rest in prose(&text(&document)).split("](").skip(1) {
            let target = rest.split(')').next().unwrap_or_default();
            let path = target.split('#').next().unwrap_or_default();
            if !target.contains("://") && !path.is_empty() && !directory.join(path).exists() {
                broken.push(format!("{}: {target}", document.display()));
            }
        }
    }
    assert_eq!(broken, Vec::<String>::new());
}

/// The SDK's documentation tests compile the examples of its README.
#[test]
fn the_readme_s_examples_are_compiled() {
    let readme = text(&root().join("README.md"));
    let sdk = text(&root().join("plugins/sdk/README.md"));
    let compiled = blocks(&sdk, "rust");
    let shown = blocks(&readme, "rust");
    assert!(!shown.is_empty());
    for example in shown {
        assert!(
            compiled.contains(&example),
            "an example of README.md is not in plugins/sdk/README.md"
        );
    }
}

/// What is guaranteed is shown by tests, by name.
#[test]
fn tests_that_are_named_exist() {
    let mut sources = String::new();
    for directory in ["host", "plugins", "tests"] {
        for file in files(&root().join(directory), "rs") {
            sources.push_str(&text(&file));
        }
    }
    let readme = prose(&text(&root().join("README.md")));
    let named: BTreeSet<&str> = readme
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| word.matches('_').count() >= 3)
        .filter(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
        .collect();
    assert!(!named.is_empty());
    let missing: Vec<_> = named
        .into_iter()
        .filter(|name| !sources.contains(&format!("fn {name}(")))
        .collect();
    assert_eq!(missing, Vec::<&str>::new());
}
