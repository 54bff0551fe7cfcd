//! Where connectors are found.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::error::{Error, Kind};

/// Names a directory of connectors, where the configuration names none.
const VARIABLE: &str = "SAMSPEL_CONNECTORS";

/// The directories that are searched, in order.
#[derive(Debug, Clone)]
pub struct Directories(Vec<PathBuf>);

impl Directories {
    /// Those of a configuration. Without one (`connector list` works without), the defaults.
    pub fn of(config: Option<&Config>) -> Self {
        if let Some(config) = config
            && let Some(directory) = &config.host.connectors
        {
            return Self(vec![config.resolve(directory)]);
        }
        if let Some(directory) = std::env::var_os(VARIABLE).filter(|value| !value.is_empty()) {
            return Self(vec![directory.into()]);
        }
        let mut directories = vec![match config {
            Some(config) => config.resolve(Path::new("connectors")),
            None => "connectors".into(),
        }];
        if let Ok(program) = std::env::current_exe()
            && let Some(beside) = program.parent()
        {
            directories.push(beside.join("connectors"));
            // `cargo build` puts the program into target/debug and our build puts connectors into target/connectors.
            if let Some(target) = beside.parent() {
                directories.push(target.join("connectors"));
            }
        }
        Self(directories)
    }

    /// Every connector file; of files with the same name, the one in the earlier directory.
    pub fn files(&self) -> Vec<PathBuf> {
        let mut found: Vec<PathBuf> = Vec::new();
        for directory in &self.0 {
            let Ok(entries) = std::fs::read_dir(directory) else {
                continue;
            };
            let mut files: Vec<_> = entries
                .filter_map(|entry| Some(entry.ok()?.path()))
                .filter(|path| path.extension() == Some(OsStr::new("wasm")) && path.is_file())
                .collect();
            files.sort();
            for file in files {
                if !found
                    .iter()
                    .any(|known| known.file_name() == file.file_name())
                {
                    found.push(file);
                }
            }
        }
        found
    }

    /// The file of a connector that is called `name`, if there is one under that very name.
    pub fn by_stem(&self, name: &str) -> Option<PathBuf> {
        self.files()
            .into_iter()
            .find(|file| file.file_stem() == Some(OsStr::new(name)))
    }

    /// The directories, for messages.
    pub fn listed(&self) -> String {
        let names: Vec<_> = self
            .0
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        names.join(", ")
    }

    /// What to say when nothing fits.
    pub fn not_found(&self, name: &str) -> Error {
        Error::new(
            Kind::Connector,
            format!("no connector is called `{name}`; searched {}", self.listed()),
        )
        .remedy(format!(
            "`samspel connector list` shows what there is; put the file into one of these directories, set \
             `host.connectors` or {VARIABLE}, or name a path that ends in .wasm"
        ))
    }
}

/// Whether a configured connector is a path and not a name.
pub fn is_path(connector: &str) -> bool {
    connector.contains(['/', '\\']) || connector.ends_with(".wasm")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_earlier_directory_wins_and_other_files_are_ignored() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (directory, name) in [
            (&one, "a.wasm"),
            (&two, "a.wasm"),
            (&two, "b.wasm"),
            (&two, "c.txt"),
        ] {
            std::fs::write(directory.path().join(name), "").unwrap();
        }
        let directories = Directories(vec![
            one.path().to_owned(),
            "does/not/exist".into(),
            two.path().to_owned(),
        ]);
        assert_eq!(
            directories.files(),
            [one.path().join("a.wasm"), two.path().join("b.wasm")]
        );
        assert_eq!(directories.by_stem("b"), Some(two.path().join("b.wasm")));
        assert_eq!(directories.by_stem("c"), None);
    }

    #[test]
    fn names_and_paths_are_told_apart() {
        assert!(!is_path("hubspot"));
        assert!(is_path("./hubspot"));
        assert!(is_path("hubspot.wasm"));
    }
}
