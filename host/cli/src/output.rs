//! What the user sees: results on stdout (text, or one JSON object last), everything else on stderr.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;

use crate::exit::CliError;

/// Where results go.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    json: bool,
}

impl Output {
    /// Text for people, or one JSON object for programs.
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether a program reads.
    pub fn is_json(self) -> bool {
        self.json
    }

    /// A result: the object itself, or as `text` tells it.
    pub fn result<T: Serialize>(
        self,
        value: &T,
        text: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), CliError> {
        let mut out = io::stdout().lock();
        if self.json {
            serde_json::to_writer(&mut out, value).map_err(io::Error::from)?;
            out.write_all(b"\n")?;
        } else {
            text(&mut out)?;
        }
        Ok(out.flush()?)
    }

    /// A line of the story, for people; programs read the object at the end.
    pub fn say(self, line: impl AsRef<str>) -> Result<(), CliError> {
        if self.json {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        writeln!(out, "{}", line.as_ref())?;
        Ok(out.flush()?)
    }

    /// Text that is the result itself, whether a person or a program reads (a schema, a completion script).
    pub fn raw(self, text: &str) -> Result<(), CliError> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        Ok(out.flush()?)
    }

    /// An error: text on stderr, and for programs an object on stdout as well.
    pub fn error(self, error: &CliError) {
        if matches!(error, CliError::BrokenPipe | CliError::Reported(_)) {
            return;
        }
        if self.json {
            let object: Value = error.to_json();
            // Nobody is left to tell if this fails.
            let _ = writeln!(io::stdout(), "{object}");
        } else {
            let _ = writeln!(io::stderr(), "error: {error}");
        }
    }
}
