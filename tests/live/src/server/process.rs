//! A server's process: in a process group of its own, with its output in a file, stopped with its value.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::process::{Pid, Signal};
use samspel_provision::{CommandError, ProvisionError, note};

use super::directory::Run;
use crate::error::LiveError;

/// How long a server may take to end by itself before it is killed.
const GRACE: Duration = Duration::from_secs(10);

/// How a server is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopSignal {
    /// SIGTERM to the whole process group.
    Terminate,
    /// SIGINT to the first process alone: PostgreSQL's "fast shutdown", in which it stops its children in order.
    Interrupt,
}

/// A running server. Dropping it stops it, and everything that it started.
#[derive(Debug)]
pub struct ServerProcess {
    name: &'static str,
    child: Mutex<Child>,
    id: Pid,
    log: PathBuf,
    stop: StopSignal,
}

impl ServerProcess {
    /// Starts a server with its output in the run's log directory.
    pub fn start(
        run: &Run,
        name: &'static str,
        mut command: Command,
        stop: StopSignal,
    ) -> Result<Self, LiveError> {
        let log = run.log(name);
        let open = || {
            let out = File::options().create(true).append(true).open(&log)?;
            let err = out.try_clone()?;
            Ok((out, err))
        };
        let (out, err) = open().map_err(ProvisionError::file("open", &log))?;
        command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .process_group(0);
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command
            .spawn()
            .map_err(|source| CommandError::NotStarted { program, source })?;
        let id = Pid::from_child(&child);
        let process = Self {
            name,
            child: Mutex::new(child),
            id,
            log,
            stop,
        };
        if let Some(identity) = Identity::of(id.as_raw_nonzero().get().unsigned_abs()) {
            run.record(identity)?;
        }
        Ok(process)
    }

    /// An error if the process has ended.
    pub fn alive(&self) -> Result<(), LiveError> {
        match self.child.lock().try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(self.error(format!("ended by itself ({status})"))),
            Err(error) => Err(self.error(format!("cannot be observed ({error})"))),
        }
    }

    /// An error about this server with the last of its output.
    pub fn error(&self, what: String) -> LiveError {
        let text = fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let last = lines[lines.len().saturating_sub(15)..].join("\n");
        LiveError::Server {
            server: self.name,
            what,
            log: self.log.clone(),
            last,
        }
    }

    /// Sends a signal to the first process.
    pub fn signal(&self, signal: Signal) -> Result<(), LiveError> {
        rustix::process::kill_process(self.id, signal)
            .map_err(|error| self.error(format!("could not be sent signal {signal:?} ({error})")))
    }

    /// Stops it and waits until it has ended.
    pub fn stop(&self) {
        let mut child = self.child.lock();
        if matches!(child.try_wait(), Ok(Some(_))) {
            // Its children may have stayed.
            kill_group(self.id, Signal::KILL);
            return;
        }
        match self.stop {
            StopSignal::Terminate => kill_group(self.id, Signal::TERM),
            StopSignal::Interrupt => {
                // It may end between the look and the signal, which is what was wanted.
                let _ = rustix::process::kill_process(self.id, Signal::INT);
            }
        }
        let started = Instant::now();
        while matches!(child.try_wait(), Ok(None)) {
            if started.elapsed() > GRACE {
                note(&format!(
                    "{} does not end by itself and is killed",
                    self.name
                ));
                break;
            }
            thread::sleep(Duration::from_millis(20));
        }
        kill_group(self.id, Signal::KILL);
        let _ = child.wait();
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Signals every process of a group; nothing if there is none left.
pub(super) fn kill_group(group: Pid, signal: Signal) {
    let _ = rustix::process::kill_process_group(group, signal);
}

/// A process that cannot be mistaken for a later one with the same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    id: Pid,
    /// In clock ticks since the machine started.
    started: u64,
}

impl Identity {
    /// The process with this id, if there is one.
    pub(super) fn of(id: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // The second field is the program's name in parentheses and may contain anything. Field 22 is the start time,
        // the twentieth after the name (proc_pid_stat(5)).
        let started = stat
            .rsplit_once(')')?
            .1
            .split_whitespace()
            .nth(19)?
            .parse()
            .ok()?;
        Some(Self {
            id: Pid::from_raw(id.try_into().ok()?)?,
            started,
        })
    }

    pub(super) fn id(self) -> Pid {
        self.id
    }

    pub(super) fn is_alive(self) -> bool {
        Self::of(self.id.as_raw_nonzero().get().unsigned_abs()) == Some(self)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.id.as_raw_nonzero(), self.started)
    }
}

impl FromStr for Identity {
    type Err = io::Error;

    fn from_str(text: &str) -> io::Result<Self> {
        let parse = || {
            let (id, started) = text.split_once(' ')?;
            Some(Self {
                id: Pid::from_raw(id.parse().ok()?)?,
                started: started.parse().ok()?,
            })
        };
        parse().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not a recorded process"))
    }
}
