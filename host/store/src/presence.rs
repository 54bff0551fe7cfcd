//! Which processes that opened a file are still there.
//!
//! A lease lasts for a while, so that a process that hangs keeps its sync to itself. One that died holds nothing: each
//! open store has a file beside the database and a lock on it, and the system drops the lock with the process,
//! whatever ended it. All users of an SQLite file are on one machine, so that the lock can be trusted.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, TryLockError};
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

use crate::files;

/// Between the database's name and the id of an open store.
const INFIX: &str = "-open-";

/// One open store, for as long as this value lives.
#[derive(Debug)]
pub(crate) struct Presence {
    id: String,
    path: PathBuf,
    /// Holds the lock.
    _lock: File,
}

impl Presence {
    /// Makes it known that the database is open, and removes what processes that died left behind.
    pub fn announce(database: &Path) -> Result<Self, Error> {
        sweep(database)?;
        let draft = files::draft(database)?;
        // It is locked before anybody can find it under its name.
        draft.as_file().lock()?;
        let id = draft
            .path()
            .file_stem()
            .map(|stem| {
                stem.to_string_lossy()
                    .trim_start_matches(".samspel-")
                    .to_owned()
            })
            .ok_or(ErrorKind::InvalidFilename)?;
        let path = file_of(database, &id);
        let lock = draft.persist_noclobber(&path)?;
        Ok(Self {
            id,
            path,
            _lock: lock,
        })
    }

    /// The name under which leases are taken.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        // If it stays, whoever opens the database next removes it.
        let _ = fs::remove_file(&self.path);
    }
}

/// Whether an open store is certainly gone. Where that cannot be found out, it is taken to be there.
pub(crate) fn is_gone(database: &Path, id: &str) -> bool {
    match File::open(file_of(database, id)) {
        Ok(file) => file.try_lock().is_ok(),
        Err(error) => error.kind() == ErrorKind::NotFound,
    }
}

fn file_of(database: &Path, id: &str) -> PathBuf {
    let mut name = prefix(database);
    name.push(id);
    database.with_file_name(name)
}

fn prefix(database: &Path) -> OsString {
    let mut name = database.file_name().unwrap_or(OsStr::new("")).to_owned();
    name.push(INFIX);
    name
}

/// Whether a process has the database open.
pub(crate) fn is_open(database: &Path) -> Result<bool, Error> {
    sweep(database)
}

/// Removes what processes that died left behind; whether there are others.
fn sweep(database: &Path) -> Result<bool, Error> {
    let prefix = prefix(database);
    let mut others = false;
    for entry in fs::read_dir(files::directory(database))? {
        let entry = entry?;
        if !entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(prefix.as_encoded_bytes())
        {
            continue;
        }
        let Ok(file) = File::open(entry.path()) else {
            continue;
        };
        match file.try_lock() {
            Ok(()) => match fs::remove_file(entry.path()) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            },
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => others = true,
        }
    }
    Ok(others)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn an_open_store_is_there_until_it_is_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("samspel.db");
        let first = Presence::announce(&database).unwrap();
        let second = Presence::announce(&database).unwrap();
        assert!(!is_gone(&database, first.id()));
        assert!(!is_gone(&database, second.id()));
        let id = first.id().to_owned();
        drop(first);
        assert!(is_gone(&database, &id));
        assert!(!is_gone(&database, second.id()));
    }

    #[test]
    fn what_a_dead_process_left_is_swept_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("samspel.db");
        let left = directory.path().join("samspel.db-open-dead");
        fs::write(&left, "").unwrap();
        fs::write(directory.path().join("samspel.db-wal"), "").unwrap();
        assert!(is_gone(&database, "dead"));
        let present = Presence::announce(&database).unwrap();
        assert!(!left.exists());
        assert!(directory.path().join("samspel.db-wal").exists());
        assert!(!is_gone(&database, present.id()));
    }
}
