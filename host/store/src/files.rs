//! Files that appear whole or not at all, readable by their owner alone.

use std::fs::File;
use std::io::{Error, ErrorKind};
use std::path::Path;

use tempfile::{NamedTempFile, TempPath};

/// A new file beside `target`, readable by its owner alone; it is removed unless it is published.
pub(crate) fn draft(target: &Path) -> Result<NamedTempFile, Error> {
    tempfile::Builder::new()
        .prefix(".samspel-")
        .suffix(".draft")
        .tempfile_in(directory(target))
}

/// Gives a draft its name, and waits until that is on disk. `false` if another process was faster; its file stays.
pub(crate) fn publish(draft: TempPath, target: &Path) -> Result<bool, Error> {
    match draft.persist_noclobber(target) {
        Ok(()) => {
            File::open(directory(target))?.sync_all()?;
            Ok(true)
        }
        Err(error) if error.error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error.error),
    }
}

/// Where a file is.
pub(crate) fn directory(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
