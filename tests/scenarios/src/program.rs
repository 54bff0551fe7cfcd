//! The program that a user runs, and its connectors.

use std::path::{Path, PathBuf};

/// The program, beside the directory of the test that runs now, or the one that `SAMSPEL_PROGRAM` names.
pub fn program() -> PathBuf {
    if let Some(named) = std::env::var_os("SAMSPEL_PROGRAM") {
        return named.into();
    }
    let test = std::env::current_exe().unwrap();
    test.parent()
        .and_then(Path::parent)
        .unwrap()
        .join("samspel")
}

/// The directory of the components, or the one that `SAMSPEL_CONNECTORS` names.
pub fn connectors() -> PathBuf {
    std::env::var_os("SAMSPEL_CONNECTORS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/connectors"),
        PathBuf::from,
    )
}
