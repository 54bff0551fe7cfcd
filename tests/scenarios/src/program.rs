//! The program that a user runs.

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
