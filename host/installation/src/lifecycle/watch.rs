//! A directory that is watched: what is put there is installed, if somebody who is trusted signed it and it asks for no
//! more than was agreed to. Everything else is refused or waits, and the history says why.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tracing::{info, warn};

use super::manifest::{MANIFEST, SIGNATURE};
use super::{Installation, Lifecycle, Outcome, Source, Wish};
use crate::error::Error;

/// A file as it was last seen, with what stands beside it: size and time of each. Both are looked at, because neither
/// alone tells every change.
type Seen = [Option<(u64, SystemTime)>; 3];

/// What was seen in a directory, so that a file is looked at once and not at each turn.
#[derive(Debug, Default)]
pub struct Watch {
    known: HashMap<PathBuf, Seen>,
    /// As they were at the last turn: a file that is still being written changes from one turn to the next.
    last: HashMap<PathBuf, Seen>,
}

/// A file that was new, and what became of it.
#[derive(Debug)]
pub struct Found {
    /// The file.
    pub file: PathBuf,
    /// What became of it.
    pub result: Result<Installation, Error>,
}

impl Watch {
    /// Files that are new or changed, and that did not change since the last turn.
    fn news(&mut self, directory: &Path) -> std::io::Result<Vec<PathBuf>> {
        let now: HashMap<_, _> = components_in(directory)?
            .into_iter()
            .map(|file| {
                let seen = seen(&file);
                (file, seen)
            })
            .collect();
        let mut news: Vec<_> = now
            .iter()
            .filter(|(file, seen)| self.known.get(*file) != Some(seen))
            .filter(|(file, seen)| self.last.get(*file) == Some(seen))
            .map(|(file, _)| file.clone())
            .collect();
        news.sort();
        self.known.retain(|file, _| now.contains_key(file));
        for file in &news {
            if let Some(seen) = now.get(file) {
                self.known.insert(file.clone(), *seen);
            }
        }
        self.last = now;
        Ok(news)
    }
}

/// The components in a directory, in the order of their names.
///
/// # Errors
/// It cannot be read.
pub fn components_in(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let file = entry.path();
        // A link could point anywhere, and what it points to could change behind our back.
        if file.extension() == Some(OsStr::new("wasm")) && entry.file_type()?.is_file() {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

fn seen(file: &Path) -> Seen {
    let of = |suffix: &str| {
        let mut name = file.as_os_str().to_owned();
        name.push(suffix);
        let found = std::fs::symlink_metadata(PathBuf::from(name)).ok()?;
        Some((found.len(), found.modified().ok()?))
    };
    [of(""), of(MANIFEST), of(&format!("{MANIFEST}{SIGNATURE}"))]
}

impl Lifecycle<'_> {
    /// Looks into a directory, turn by turn, and takes what is new as far as it gets without an operator: what is
    /// signed by a trusted key, newer than what is active, and asks for no more than was agreed to becomes active. A
    /// file is taken once it has stopped changing.
    ///
    /// # Errors
    /// The directory cannot be read. What became of each file is in the result.
    pub async fn watch(&self, watch: &mut Watch, directory: &Path) -> Result<Vec<Found>, Error> {
        let mut found = Vec::new();
        for file in watch.news(directory)? {
            let wish = Wish {
                newer: true,
                ..Wish::default()
            };
            let result = self.install(&Source::File(file.clone()), &wish).await;
            match &result {
                Ok(Installation {
                    outcome: Outcome::Unchanged,
                    ..
                }) => {}
                Ok(done) => info!(
                    file = %file.display(), connector = done.revision.name, version = done.revision.version,
                    stage = %done.revision.stage, why = done.revision.why, "a connector was found"
                ),
                Err(error) => {
                    warn!(file = %file.display(), %error, "a connector was found and not taken")
                }
            }
            found.push(Found { file, result });
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_file_is_taken_once_and_only_when_it_has_stopped_changing() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("crm.wasm");
        let mut watch = Watch::default();
        std::fs::write(&file, "a").unwrap();
        assert!(watch.news(directory.path()).unwrap().is_empty());
        std::fs::write(&file, "ab").unwrap();
        assert!(watch.news(directory.path()).unwrap().is_empty());
        let news = watch.news(directory.path()).unwrap();
        assert_eq!(news, std::slice::from_ref(&file));
        assert!(watch.news(directory.path()).unwrap().is_empty());
        // Its signature came later.
        std::fs::write(directory.path().join("crm.wasm.manifest.json.minisig"), "s").unwrap();
        assert!(watch.news(directory.path()).unwrap().is_empty());
        assert_eq!(watch.news(directory.path()).unwrap(), [file]);
    }

    #[cfg(unix)]
    #[test]
    fn links_and_other_files_are_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::NamedTempFile::new().unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), directory.path().join("a.wasm")).unwrap();
        std::fs::create_dir(directory.path().join("b.wasm")).unwrap();
        std::fs::write(directory.path().join("c.cwasm"), "").unwrap();
        assert!(components_in(directory.path()).unwrap().is_empty());
    }
}
