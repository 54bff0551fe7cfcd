//! Whose data in which file; every failure is told with it.

use std::path::PathBuf;

use jiff::Timestamp;
use samspel_model::store::StoreError;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Primary result codes of SQLite (<https://www.sqlite.org/rescode.html>).
const SQLITE_READONLY: i32 = 8;
const SQLITE_IOERR: i32 = 10;
const SQLITE_CORRUPT: i32 = 11;
const SQLITE_FULL: i32 = 13;
const SQLITE_CANTOPEN: i32 = 14;
const SQLITE_NOTADB: i32 = 26;

/// Whose data in which file.
#[derive(Debug)]
pub(crate) struct Context {
    /// Every row that is read or written carries it.
    pub tenant: String,
    /// The database.
    pub file: PathBuf,
}

impl Context {
    /// Tells a failure of the database with what was being done. A damaged file is told as such.
    pub fn failed(&self, doing: &'static str) -> impl Fn(sqlx::Error) -> StoreError + '_ {
        move |error| match error {
            sqlx::Error::ColumnDecode { index, source } => StoreError::Damaged {
                what: format!("column {index}, read while {doing},"),
                why: source.to_string(),
            },
            error => self.damage(&error).unwrap_or_else(|| {
                let remedy = remedy(&error);
                self.backend(doing, remedy, Box::new(error))
            }),
        }
    }

    /// The same for an error that several callers are told.
    pub fn failed_for_all(&self, doing: &'static str, error: &sqlx::Error) -> StoreError {
        self.damage(error)
            .unwrap_or_else(|| self.backend(doing, remedy(error), error.to_string().into()))
    }

    fn backend(
        &self,
        doing: &str,
        remedy: &str,
        source: Box<dyn std::error::Error + Send + Sync>,
    ) -> StoreError {
        StoreError::Backend {
            doing: format!("{doing} in {}{remedy}", self.file.display()),
            source,
        }
    }

    /// The error, if it says that the file is broken.
    fn damage(&self, error: &sqlx::Error) -> Option<StoreError> {
        matches!(primary_code(error), Some(SQLITE_CORRUPT | SQLITE_NOTADB))
            .then(|| self.damaged_file(&error.to_string()))
    }

    /// The file itself is broken.
    pub fn damaged_file(&self, why: &str) -> StoreError {
        StoreError::Damaged {
            what: format!("the file {}", self.file.display()),
            why: format!(
                "{why}; stop samspel, keep a copy of the file and restore a backup, or try `sqlite3 <file> .recover`"
            ),
        }
    }
}

/// What is wrong with the disk, as far as SQLite tells: what to look at.
fn remedy(error: &sqlx::Error) -> &'static str {
    match primary_code(error) {
        Some(SQLITE_FULL) => " (there is no room left on its disk)",
        Some(SQLITE_READONLY | SQLITE_CANTOPEN) => {
            " (the file and its directory must be writable by the user that samspel runs as, on a disk that is)"
        }
        Some(SQLITE_IOERR) => " (its disk fails)",
        _ => "",
    }
}

/// Whether SQLite says that the file is not one of its own.
pub(crate) fn is_no_database(error: &sqlx::Error) -> bool {
    primary_code(error) == Some(SQLITE_NOTADB)
}

/// The primary result code of an error of the database itself.
fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let extended: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(extended & 0xff)
}

/// A stored text, understood.
pub(crate) fn decode<T: DeserializeOwned>(
    what: &str,
    id: &str,
    text: &str,
) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Damaged {
        what: format!("{what} `{id}`"),
        why: error.to_string(),
    })
}

/// A value as it is stored, or a batch of rows as it is bound.
pub(crate) fn encode<T: Serialize + ?Sized>(what: &str, value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Backend {
        doing: format!("writing {what} as JSON"),
        source: Box::new(error),
    })
}

/// SQLite's integers are signed. Our counters stay far below the limit; a remote's revision may not, and then the
/// largest value still compares as the newest.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The way back; negative numbers are never written.
pub(crate) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// A time as a sortable column.
pub(crate) fn micros(at: Timestamp) -> i64 {
    at.as_microsecond()
}

/// A time that was stored as a column; `what` it is.
pub(crate) fn time(what: &str, micros: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_microsecond(micros).map_err(|error| StoreError::Damaged {
        what: what.to_owned(),
        why: error.to_string(),
    })
}
