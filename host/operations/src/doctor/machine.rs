//! The machine: room on the disk, a directory that can be written to, a clock that makes sense.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use indicatif::HumanBytes;

use super::finding::Finding;

/// SQLite needs room for its log before it can free any.
const LEAST_SPACE: u64 = 50 * 1024 * 1024;
const COMFORTABLE_SPACE: u64 = 1024 * 1024 * 1024;

/// A file from the future means a clock that was wrong then or is wrong now.
const SKEW: Duration = Duration::from_secs(120);

/// Room and rights where the store is (or will be).
pub fn disk(store: &Path) -> Vec<Finding> {
    let directory = directory_of(store);
    if !directory.is_dir() {
        return vec![Finding::fail(
            "disk",
            format!("the directory {} does not exist", directory.display()),
            "create it, or set `host.store`",
        )];
    }
    vec![space(&directory), writable(&directory)]
}

fn directory_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn space(directory: &Path) -> Finding {
    match rustix::fs::statvfs(directory) {
        Ok(found) => judge_space(found.f_bavail.saturating_mul(found.f_frsize)),
        Err(error) => Finding::warn(
            "disk",
            format!("free space in {} is unknown: {error}", directory.display()),
            "look at it yourself",
        ),
    }
}

fn judge_space(free: u64) -> Finding {
    let message = format!("{} free", HumanBytes(free));
    if free < LEAST_SPACE {
        Finding::fail(
            "disk",
            message,
            "make room: the store cannot be written to a full disk",
        )
    } else if free < COMFORTABLE_SPACE {
        Finding::warn("disk", message, "make room before the store needs it")
    } else {
        Finding::ok("disk", message)
    }
}

fn writable(directory: &Path) -> Finding {
    match tempfile::tempfile_in(directory) {
        Ok(_) => Finding::ok(
            "directory",
            format!("{} can be written to", directory.display()),
        ),
        Err(error) => Finding::fail(
            "directory",
            format!("{} cannot be written to: {error}", directory.display()),
            "give samspel's user the right to write there, or set `host.store`",
        ),
    }
}

/// Whether the clock is behind what was already written. Signed tokens and consents depend on it.
pub fn clock(store: &Path, now: SystemTime) -> Finding {
    let written = std::fs::metadata(store)
        .and_then(|metadata| metadata.modified())
        .ok();
    match written {
        Some(written) if written > now + SKEW => Finding::fail(
            "clock",
            "the store was last written in the future",
            "set the clock, and let it be kept by NTP: tokens are signed and consents are dated with it",
        ),
        _ => Finding::ok(
            "clock",
            jiff::Timestamp::try_from(now)
                .map_or_else(|_| "out of range".to_owned(), |now| format!("{now:.0}")),
        ),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::finding::Status;
    use super::*;

    #[test]
    fn a_full_disk_fails_and_a_nearly_full_one_warns() {
        assert_eq!(judge_space(1024).status, Status::Fail);
        assert_eq!(judge_space(200 * 1024 * 1024).status, Status::Warn);
        assert_eq!(judge_space(5 * 1024 * 1024 * 1024).status, Status::Ok);
    }

    #[test]
    fn a_clock_behind_the_store_fails() {
        let store = tempfile::NamedTempFile::new().unwrap();
        let now = SystemTime::now();
        assert_eq!(clock(store.path(), now).status, Status::Ok);
        let behind = now - Duration::from_secs(3600);
        assert_eq!(clock(store.path(), behind).status, Status::Fail);
    }

    #[test]
    fn a_missing_directory_fails() {
        let found = disk(Path::new("does/not/exist/samspel.db"));
        assert_eq!(found[0].status, Status::Fail);
    }
}
