//! Opening a file: what it is, whether this program may use it, and bringing its schema up to date. Nothing that is
//! there is ever removed or replaced.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use samspel_model::store::StoreError;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection};

use crate::context::{self, Context};
use crate::files;

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// A database has one page at least, and a page 512 bytes (<https://www.sqlite.org/fileformat.html>).
const SMALLEST: u64 = 512;

const NO_DATABASE: &str = "it is not an SQLite database";

/// `PRAGMA application_id` of our files; set by the first migration.
const APPLICATION_ID: i64 = 0x5361_6D73;

/// Connections that read.
const READERS: u32 = 4;

/// Page caches in KiB; together 8 MiB.
const WRITER_CACHE: &str = "-4096";
const READER_CACHE: &str = "-1024";

/// How long to wait for another process that writes to the same file.
const BUSY: Duration = Duration::from_secs(15);

/// Opens the file for writing, creating it if it is missing, with the newest schema.
///
/// The file is never opened but by SQLite: closing any other descriptor of it would drop SQLite's locks
/// (<https://www.sqlite.org/howtocorrupt.html>, section 2.2).
pub(crate) async fn writer(context: &Context) -> Result<SqliteConnection, StoreError> {
    match std::fs::metadata(&context.file) {
        // SQLite takes such a file for an empty one and would write over it.
        Ok(found) if (1..SMALLEST).contains(&found.len()) => {
            return Err(not_ours(&context.file, NO_DATABASE));
        }
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => create(context).await?,
        Err(error) => return Err(unusable(&context.file, error)),
    }
    let opening = context.failed("opening the database");
    let mut connection = options(&context.file)
        .pragma("cache_size", WRITER_CACHE)
        .connect()
        .await
        .map_err(|error| {
            if context::is_no_database(&error) {
                not_ours(&context.file, NO_DATABASE)
            } else {
                opening(error)
            }
        })?;
    refuse_foreign(context, &mut connection).await?;
    write_ahead(&mut connection).await.map_err(&opening)?;
    migrate(context, &mut connection).await?;
    Ok(connection)
}

/// Makes a new file. It appears with its schema, so that processes that start at the same time do not meet half of it.
async fn create(context: &Context) -> Result<(), StoreError> {
    let draft = files::draft(&context.file)
        .map_err(|error| unusable(&context.file, error))?
        .into_temp_path();
    let creating = context.failed("creating the database");
    let mut connection = options(&draft).connect().await.map_err(&creating)?;
    write_ahead(&mut connection).await.map_err(&creating)?;
    migrate(context, &mut connection).await?;
    connection.close().await.map_err(&creating)?;
    files::publish(draft, &context.file)
        .map(drop)
        .map_err(|error| unusable(&context.file, error))
}

/// Turns on the write-ahead log. That is written into the file, where later connections find it.
async fn write_ahead(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    sqlx::query("PRAGMA journal_mode = WAL")
        .execute(connection)
        .await
        .map(drop)
}

/// A connection for reading everything, which may take long.
pub(crate) async fn reader(context: &Context) -> Result<SqliteConnection, StoreError> {
    connection(context)
        .await
        .map_err(context.failed("opening the database"))
}

/// A connection to a file that was opened before.
pub(crate) async fn connection(context: &Context) -> Result<SqliteConnection, sqlx::Error> {
    options(&context.file).connect().await
}

/// Connections that cannot write.
pub(crate) fn readers(context: &Context) -> SqlitePool {
    let options = options(&context.file)
        .pragma("cache_size", READER_CACHE)
        .pragma("query_only", "ON");
    SqlitePoolOptions::new()
        .max_connections(READERS)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .connect_lazy_with(options)
}

fn options(file: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        // An acknowledged commit survives a power cut: a decision must be on disk before its write is sent.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY)
        // Large commits must not leave a large log behind.
        .pragma("journal_size_limit", "8388608")
        .pragma("temp_store", "MEMORY")
        .disable_statement_logging()
}

pub(crate) fn unusable(file: &Path, error: std::io::Error) -> StoreError {
    StoreError::Backend {
        doing: format!(
            "opening {} (its directory must exist and be writable by the user that samspel runs as; `store` in the \
             configuration names the file)",
            file.display()
        ),
        source: Box::new(error),
    }
}

async fn refuse_foreign(
    context: &Context,
    connection: &mut SqliteConnection,
) -> Result<(), StoreError> {
    let looking = context.failed("looking at the database");
    let id: i64 = sqlx::query_scalar("PRAGMA application_id")
        .fetch_one(&mut *connection)
        .await
        .map_err(&looking)?;
    if id == APPLICATION_ID {
        return Ok(());
    }
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema")
        .fetch_one(&mut *connection)
        .await
        .map_err(&looking)?;
    if tables == 0 {
        Ok(())
    } else {
        Err(not_ours(
            &context.file,
            "it is the database of another program",
        ))
    }
}

/// Brings the schema up to date and makes the tenant known, in one transaction, so that processes that start at the
/// same time follow each other, and a failure leaves the old schema.
async fn migrate(context: &Context, connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let bringing = context.failed("bringing the schema up to date");
    let mut transaction = connection
        .begin_with("BEGIN IMMEDIATE")
        .await
        .map_err(&bringing)?;
    MIGRATIONS
        .run_direct(None, &mut *transaction, false)
        .await
        .map_err(|error| match error {
            MigrateError::VersionMissing(version) => StoreError::Damaged {
                what: format!("the schema of {}", context.file.display()),
                why: format!(
                    "it was made by a newer samspel (schema {version}, this program knows up to {}); run that version, \
                     or restore a backup from before the upgrade",
                    newest()
                ),
            },
            MigrateError::VersionMismatch(version) => StoreError::Damaged {
                what: format!("the schema of {}", context.file.display()),
                why: format!(
                    "schema {version} was made by an unreleased samspel that differs from this one; run that build, \
                     or move the file away to begin anew"
                ),
            },
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => bringing(error),
            other => StoreError::Backend {
                doing: format!("bringing the schema of {} up to date", context.file.display()),
                source: Box::new(other),
            },
        })?;
    sqlx::query("INSERT INTO meta (tenant, sequence) VALUES (?, 0) ON CONFLICT DO NOTHING")
        .bind(&context.tenant)
        .execute(&mut *transaction)
        .await
        .map_err(&bringing)?;
    transaction.commit().await.map_err(&bringing)
}

fn newest() -> i64 {
    MIGRATIONS.iter().map(|one| one.version).max().unwrap_or(0)
}

fn not_ours(file: &Path, why: &str) -> StoreError {
    StoreError::Damaged {
        what: format!("the file {}", file.display()),
        why: format!(
            "{why}, and was left as it is; let `store` in the configuration name another file"
        ),
    }
}
