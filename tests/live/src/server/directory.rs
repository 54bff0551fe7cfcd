//! Where installations, logs and running servers are kept.
//!
//! ```text
//! target/live/
//!   ghost-6.65.0/  odoo-11.0.7/     installations, kept between runs
//!   runs/ID/                        one for each start of the harness
//!     lock                          locked as long as the harness lives
//!     processes                     what it started: process id and start time, one a line
//!     data                          path of its temporary data
//!     *.log                         what the servers printed
//! ```
//!
//! A harness that is killed cannot stop its servers. The next one finds a run whose lock is free and does it instead.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use samspel_provision::{ProvisionError, note};
use tempfile::TempDir;

use super::process::{Identity, kill_group};
use crate::error::LiveError;

/// Runs whose logs are kept after they ended.
const KEPT_RUNS: usize = 5;

/// The directory for everything that live servers need.
#[derive(Clone, Debug)]
pub struct LiveDirectory {
    root: PathBuf,
}

impl LiveDirectory {
    /// Uses (and makes, if need be) this directory.
    pub fn new(root: impl Into<PathBuf>) -> Result<Self, LiveError> {
        let root = root.into();
        fs::create_dir_all(&root).map_err(ProvisionError::file("create", &root))?;
        let root = root
            .canonicalize()
            .map_err(ProvisionError::file("find", &root))?;
        Ok(Self { root })
    }

    /// The place of one installation.
    pub fn installation(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Keeps other harnesses from installing at the same time, as long as the returned file is held.
    pub fn lock_installations(&self) -> Result<File, LiveError> {
        let path = self.root.join("install.lock");
        let lock = || {
            let file = File::options()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&path)?;
            file.lock()?;
            Ok(file)
        };
        Ok(lock().map_err(ProvisionError::file("lock", &path))?)
    }

    /// Begins a run, after having ended those that were cut off.
    pub fn begin_run(&self) -> Result<Run, LiveError> {
        let runs = self.root.join("runs");
        fs::create_dir_all(&runs).map_err(ProvisionError::file("create", &runs))?;
        end_cut_off_runs(&runs)?;
        Run::begin(&runs)
    }
}

/// One life of the harness: what is recorded here is stopped and removed with it, or by the next one.
#[derive(Debug)]
pub struct Run {
    directory: PathBuf,
    data: TempDir,
    /// Held, never read: the lock on it says that this run is alive.
    _lock: File,
}

impl Run {
    fn begin(runs: &Path) -> Result<Self, LiveError> {
        // Version 7 ids sort by time, which is how old runs are found.
        let directory = runs.join(uuid::Uuid::now_v7().to_string());
        let begin = || {
            fs::create_dir(&directory)?;
            let lock = File::create(directory.join("lock"))?;
            lock.lock()?;
            // Not below the checkout: servers that refuse to run as root run as another user, who may not be able to
            // reach it; and a PostgreSQL socket's path may have no more than 107 bytes.
            let data = tempfile::Builder::new()
                .prefix("samspel-live-")
                .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
                .tempdir()?;
            fs::write(
                directory.join("data"),
                data.path().as_os_str().as_encoded_bytes(),
            )?;
            Ok(Self {
                directory: directory.clone(),
                data,
                _lock: lock,
            })
        };
        Ok(begin().map_err(ProvisionError::file("begin a run in", &directory))?)
    }

    /// A directory below the run's temporary data. It is empty and exists.
    pub fn data(&self, name: &str) -> Result<PathBuf, LiveError> {
        let path = self.data.path().join(name);
        fs::create_dir(&path).map_err(ProvisionError::file("create", &path))?;
        Ok(path)
    }

    /// Where a server's output goes.
    pub fn log(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.log"))
    }

    /// The directory with the logs.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Writes down a process, so that a later harness can stop it if this one cannot.
    pub(crate) fn record(&self, process: Identity) -> Result<(), LiveError> {
        let path = self.directory.join("processes");
        let append = || {
            writeln!(
                File::options().create(true).append(true).open(&path)?,
                "{process}"
            )
        };
        Ok(append().map_err(ProvisionError::file("write", &path))?)
    }
}

/// Stops servers whose harness is gone, removes their data, and forgets the oldest logs.
fn end_cut_off_runs(runs: &Path) -> Result<(), LiveError> {
    let mut ended = Vec::new();
    for entry in fs::read_dir(runs).map_err(ProvisionError::file("read", runs))? {
        let directory = entry.map_err(ProvisionError::file("read", runs))?.path();
        // Without a lock file it was cut off while it was being made, or is being made now: either way nothing runs.
        let Ok(lock) = File::open(directory.join("lock")) else {
            continue;
        };
        if lock.try_lock().is_err() {
            continue;
        }
        stop_recorded(&directory);
        remove_data(&directory);
        ended.push(directory);
    }
    ended.sort();
    for old in ended.iter().rev().skip(KEPT_RUNS) {
        fs::remove_dir_all(old).map_err(ProvisionError::file("remove", old))?;
    }
    Ok(())
}

fn stop_recorded(run: &Path) {
    let Ok(recorded) = fs::read_to_string(run.join("processes")) else {
        return;
    };
    for process in recorded
        .lines()
        .filter_map(|line| line.parse::<Identity>().ok())
    {
        if process.is_alive() {
            note(&format!(
                "stopping process {process} that a former run left behind"
            ));
            kill_group(process.id(), Signal::KILL);
        }
    }
}

/// Removes a cut-off run's data, but only a directory that a run could have made.
fn remove_data(run: &Path) {
    let Ok(path) = fs::read_to_string(run.join("data")) else {
        return;
    };
    let path = Path::new(&path);
    let ours = path.parent() == Some(&std::env::temp_dir())
        && path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("samspel-live-"));
    if ours
        && path.is_dir()
        && let Err(error) = fs::remove_dir_all(path)
    {
        note(&format!("could not remove {}: {error}", path.display()));
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_cut_off_runs_process_and_data_are_gone_with_the_next_run() {
        let root = tempfile::tempdir().unwrap();
        let live = LiveDirectory::new(root.path().join("live")).unwrap();
        let run = live.begin_run().unwrap();
        let data = run.data("x").unwrap();
        let mut sleeper = Command::new("sleep")
            .arg("600")
            .process_group(0)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        run.record(Identity::of(sleeper.id()).unwrap()).unwrap();
        // What a kill leaves behind: the lock is free, nothing was stopped or removed.
        let Run {
            directory,
            data: temporary,
            _lock,
        } = run;
        let _ = temporary.keep();
        drop(_lock);
        assert!(data.is_dir());

        let next = live.begin_run().unwrap();
        assert!(!sleeper.wait().unwrap().success());
        assert!(!data.exists());
        assert!(directory.exists(), "its logs are kept");
        drop(next);
    }

    #[test]
    fn a_living_run_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let live = LiveDirectory::new(root.path()).unwrap();
        let run = live.begin_run().unwrap();
        let data = run.data("x").unwrap();
        let other = live.begin_run().unwrap();
        assert!(data.is_dir());
        assert_ne!(run.directory(), other.directory());
    }

    #[test]
    fn a_process_id_that_was_given_to_another_process_is_not_ours() {
        let mine = Identity::of(std::process::id()).unwrap();
        assert!(mine.is_alive());
        let imposter: Identity = format!("{} 1", std::process::id()).parse().unwrap();
        assert!(!imposter.is_alive());
    }
}
