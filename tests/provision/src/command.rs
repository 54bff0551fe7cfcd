//! Running another program and knowing afterwards what went wrong.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use wait_timeout::ChildExt;

/// Bytes of a failed program's output that are repeated in the error.
const TAIL: u64 = 4 * 1024;

/// How running a program failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// There is no such program, or it may not be executed.
    #[error("could not run `{program}`: {source}")]
    NotStarted {
        /// The program.
        program: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// It ran and reported failure.
    #[error("`{line}` failed ({status}){}", tail(.output, .log.as_deref()))]
    Failed {
        /// The program and its arguments.
        line: String,
        /// How it ended.
        status: ExitStatus,
        /// The last of its output, where that was not shown already.
        output: String,
        /// Where all of its output is.
        log: Option<PathBuf>,
    },
    /// It was stopped because it took too long.
    #[error("`{line}` did not finish within {} s and was stopped", .limit.as_secs())]
    TimedOut {
        /// The program and its arguments.
        line: String,
        /// The time it was given.
        limit: Duration,
    },
    /// Its output could not be read or kept.
    #[error("could not keep the output of `{line}`: {source}")]
    Output {
        /// The program and its arguments.
        line: String,
        /// What the operating system said.
        source: io::Error,
    },
}

fn tail(output: &str, log: Option<&Path>) -> String {
    let mut text = String::new();
    if let Some(log) = log {
        text.push_str(&format!("; its output is in {}", log.display()));
    }
    if !output.trim().is_empty() {
        text.push_str(":\n");
        text.push_str(output.trim_end());
    }
    text
}

/// A program to run, described before it runs.
#[derive(Debug)]
pub struct Tool {
    program: OsString,
    command: Command,
    log: Option<PathBuf>,
    limit: Option<Duration>,
}

impl Tool {
    /// A program by name (searched on `PATH`) or by path.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        let program = program.as_ref().to_owned();
        let command = Command::new(&program);
        Self {
            program,
            command,
            log: None,
            limit: None,
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Adds several arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets one environment variable.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Removes one environment variable.
    #[must_use]
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Sets the working directory.
    #[must_use]
    pub fn directory(mut self, directory: impl AsRef<Path>) -> Self {
        self.command.current_dir(directory);
        self
    }

    /// Sends the program's output to the end of a file instead of the terminal; an error then repeats the last of it.
    #[must_use]
    pub fn log_to(mut self, log: impl Into<PathBuf>) -> Self {
        self.log = Some(log.into());
        self
    }

    /// Stops the program when it runs longer than this.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Runs it to success. Its output goes to standard error (or to the log), so that standard output stays free.
    pub fn run(mut self) -> Result<(), CommandError> {
        self.command.stdin(Stdio::null());
        let from = match self.log.clone() {
            None => {
                self.command.stdout(io::stderr()).stderr(Stdio::inherit());
                0
            }
            Some(log) => {
                let (out, err, length) = self.open_log(&log)?;
                self.command.stdout(out).stderr(err);
                length
            }
        };
        let child = self.spawn()?;
        let status = self.wait(child)?;
        let output = match &self.log {
            Some(log) if !status.success() => read_tail(log, from).unwrap_or_default(),
            _ => String::new(),
        };
        self.judge(status, output)
    }

    /// Runs it to success with this program's own standard streams, for a program that is the user's real aim.
    pub fn run_attached(mut self) -> Result<(), CommandError> {
        let child = self.spawn()?;
        let status = self.wait(child)?;
        self.judge(status, String::new())
    }

    /// Runs it and gives its exit status, whatever it is, with this program's own standard streams.
    pub fn status_attached(mut self) -> Result<ExitStatus, CommandError> {
        let child = self.spawn()?;
        self.wait(child)
    }

    /// Runs it to success and gives what it wrote to standard output. Standard error is only shown on failure.
    pub fn output(mut self) -> Result<String, CommandError> {
        let mut stderr = tempfile().map_err(|source| self.output_error(source))?;
        let copy = stderr
            .try_clone()
            .map_err(|source| self.output_error(source))?;
        self.command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(copy);
        let mut child = self.spawn()?;
        let pipe = child.stdout.take();
        // The pipe is drained beside the wait: a program that writes more than a pipe holds would never end.
        let reader = std::thread::spawn(move || {
            let mut text = Vec::new();
            pipe.map_or(Ok(()), |mut pipe| pipe.read_to_end(&mut text).map(|_| ()))?;
            Ok::<_, io::Error>(text)
        });
        let status = self.wait(child)?;
        let text = reader
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the reading thread failed")))
            .map_err(|source| self.output_error(source))?;
        let complaint = if status.success() {
            String::new()
        } else {
            rewind_tail(&mut stderr).unwrap_or_default()
        };
        self.judge(status, complaint)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// Runs it with its two output streams joined, and gives each line to `each` as it comes (without the line end).
    /// The exit status is returned, not judged.
    pub fn lines(mut self, mut each: impl FnMut(&str)) -> Result<ExitStatus, CommandError> {
        let (reader, writer) = io::pipe().map_err(|source| self.output_error(source))?;
        let copy = writer
            .try_clone()
            .map_err(|source| self.output_error(source))?;
        self.command
            .stdin(Stdio::null())
            .stdout(writer)
            .stderr(copy);
        let child = self.spawn()?;
        // The parent's ends of the pipe live in the command; they must go, or reading would never see the end.
        self.command.stdout(Stdio::null()).stderr(Stdio::null());
        for line in io::BufRead::split(io::BufReader::new(reader), b'\n') {
            let line = line.map_err(|source| self.output_error(source))?;
            each(String::from_utf8_lossy(&line).trim_end_matches('\r'));
        }
        self.wait(child)
    }

    /// Starts it and hands over the running child, for callers that stream its output themselves.
    pub fn spawn_with_stdout(mut self) -> Result<Child, CommandError> {
        self.command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit());
        self.spawn()
    }

    /// The program and its arguments as one line, for messages.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = self.program.to_string_lossy().into_owned();
        for arg in self.command.get_args() {
            line.push(' ');
            line.push_str(&arg.to_string_lossy());
        }
        line
    }

    fn spawn(&mut self) -> Result<Child, CommandError> {
        self.command
            .spawn()
            .map_err(|source| CommandError::NotStarted {
                program: self.program.to_string_lossy().into_owned(),
                source,
            })
    }

    fn wait(&self, mut child: Child) -> Result<ExitStatus, CommandError> {
        let waited = match self.limit {
            None => child.wait().map(Some),
            Some(limit) => child.wait_timeout(limit),
        };
        match waited.map_err(|source| self.output_error(source))? {
            Some(status) => Ok(status),
            None => {
                // It may end by itself between the time-out and the signal: then there is nothing left to stop.
                let _ = child.kill();
                let _ = child.wait();
                Err(CommandError::TimedOut {
                    line: self.line(),
                    limit: self.limit.unwrap_or_default(),
                })
            }
        }
    }

    fn judge(&self, status: ExitStatus, output: String) -> Result<(), CommandError> {
        if status.success() {
            return Ok(());
        }
        Err(CommandError::Failed {
            line: self.line(),
            status,
            output,
            log: self.log.clone(),
        })
    }

    fn open_log(&self, log: &Path) -> Result<(File, File, u64), CommandError> {
        let open = || -> io::Result<(File, File, u64)> {
            if let Some(parent) = log.parent() {
                fs::create_dir_all(parent)?;
            }
            let mut file = File::options().create(true).append(true).open(log)?;
            let length = file.metadata()?.len();
            writeln!(file, "$ {}", self.line())?;
            let copy = file.try_clone()?;
            Ok((file, copy, length))
        };
        open().map_err(|source| self.output_error(source))
    }

    fn output_error(&self, source: io::Error) -> CommandError {
        CommandError::Output {
            line: self.line(),
            source,
        }
    }
}

/// An unnamed temporary file: it vanishes with its last handle.
fn tempfile() -> io::Result<File> {
    tempfile::tempfile()
}

fn rewind_tail(file: &mut File) -> io::Result<String> {
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn read_tail(log: &Path, from: u64) -> io::Result<String> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(from.max(length.saturating_sub(TAIL))))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn a_failure_repeats_the_complaint_and_names_the_command() {
        let error = Tool::new("sh")
            .args(["-c", "echo out; echo broken >&2; exit 3"])
            .output()
            .unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("sh -c") && text.contains("exit status: 3") && text.contains("broken"),
            "{text}"
        );
    }

    #[test]
    fn a_program_that_does_not_exist_is_told_apart() {
        let error = Tool::new("no-such-program-of-samspel").run().unwrap_err();
        assert!(matches!(error, CommandError::NotStarted { .. }), "{error}");
    }

    #[test]
    fn a_program_that_hangs_is_stopped() {
        let error = Tool::new("sleep")
            .arg("60")
            .limit(Duration::from_millis(50))
            .run()
            .unwrap_err();
        assert!(matches!(error, CommandError::TimedOut { .. }), "{error}");
    }

    #[test]
    fn output_larger_than_a_pipe_is_read_whole() {
        let text = Tool::new("sh")
            .args(["-c", "head -c 300000 /dev/zero | tr '\\0' x"])
            .output()
            .unwrap();
        assert_eq!(text.len(), 300_000);
    }

    #[test]
    fn lines_of_both_streams_arrive_and_the_status_is_given() {
        let mut seen = Vec::new();
        let status = Tool::new("sh")
            .args(["-c", "echo a; echo b >&2; exit 4"])
            .lines(|line| seen.push(line.to_owned()))
            .unwrap();
        assert_eq!(
            (seen, status.code()),
            (vec!["a".to_owned(), "b".to_owned()], Some(4))
        );
    }

    #[test]
    fn a_log_keeps_everything_and_the_error_only_this_runs_tail() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("sub/run.log");
        Tool::new("echo").arg("first").log_to(&log).run().unwrap();
        let error = Tool::new("sh")
            .args(["-c", "echo second; exit 1"])
            .log_to(&log)
            .run()
            .unwrap_err()
            .to_string();
        assert!(fs::read_to_string(&log).unwrap().contains("first"));
        assert!(
            error.contains("second") && !error.contains("first"),
            "{error}"
        );
    }
}
