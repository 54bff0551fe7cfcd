//! Copies of a store, made while it is used, and putting one in its place.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use samspel_model::store::StoreError;
use sqlx::Connection;

use crate::context::Context;
use crate::sqlite::SqliteStore;
use crate::{files, open, presence};

/// What belongs to a database besides its file.
const COMPANIONS: [&str; 3] = ["", "-wal", "-shm"];

/// A store that was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Where the store is that was there before, if there was one.
    pub set_aside: Option<PathBuf>,
}

impl SqliteStore {
    /// Writes a copy of the store, as it is at one moment, to a file that is not there yet. It goes on being used
    /// meanwhile. Tells the copy's size in bytes.
    ///
    /// # Errors
    /// [`StoreError::Backend`] if the file is there, or cannot be written.
    pub async fn backup(&self, target: &Path) -> Result<u64, StoreError> {
        let context = self.context();
        let unusable = |error| unwritable(target, error);
        if target.exists() {
            return Err(unusable(ErrorKind::AlreadyExists.into()));
        }
        let draft = files::draft(target).map_err(unusable)?.into_temp_path();
        let mut connection = open::reader(context).await?;
        let copying = context.failed("copying the database");
        sqlx::query("VACUUM INTO ?")
            .bind(draft.to_string_lossy().into_owned())
            .execute(&mut connection)
            .await
            .map_err(&copying)?;
        connection.close().await.map_err(&copying)?;
        let file = File::open(&draft).map_err(unusable)?;
        file.sync_all().map_err(unusable)?;
        let bytes = file.metadata().map_err(unusable)?.len();
        match files::publish(draft, target) {
            Ok(true) => Ok(bytes),
            Ok(false) => Err(unusable(ErrorKind::AlreadyExists.into())),
            Err(error) => Err(unusable(error)),
        }
    }
}

/// Puts a copy in the place of a store. The copy is checked as a whole first, and stays as it is; the store that was
/// there is set aside.
///
/// # Errors
/// [`StoreError::Damaged`] if the copy is not one of a store of ours, damaged, or made by a newer program;
/// [`StoreError::Backend`] if the store is open somewhere, or something cannot be written. In each case what was there
/// stays.
pub async fn restore(
    backup: &Path,
    target: &Path,
    tenant: &str,
    now: Timestamp,
) -> Result<Restored, StoreError> {
    let unusable = |error| unwritable(target, error);
    let unreadable = |error: std::io::Error| StoreError::Backend {
        doing: format!("reading the backup {}", backup.display()),
        source: Box::new(error),
    };
    if !fs::metadata(backup).map_err(unreadable)?.is_file() {
        return Err(unreadable(ErrorKind::InvalidInput.into()));
    }
    refuse_open(target)?;
    let draft = files::draft(target).map_err(unusable)?.into_temp_path();
    fs::copy(backup, &draft).map_err(unreadable)?;
    check(backup, &draft, tenant).await?;
    File::open(&draft)
        .and_then(|file| file.sync_all())
        .map_err(unusable)?;
    // Somebody may have opened it meanwhile.
    refuse_open(target)?;
    let set_aside = set_aside(target, now).map_err(unusable)?;
    match files::publish(draft, target) {
        Ok(true) => Ok(Restored { set_aside }),
        Ok(false) => Err(unusable(ErrorKind::AlreadyExists.into())),
        Err(error) => Err(unusable(error)),
    }
}

fn unwritable(target: &Path, error: std::io::Error) -> StoreError {
    StoreError::Backend {
        doing: format!("writing {}", target.display()),
        source: Box::new(error),
    }
}

fn refuse_open(target: &Path) -> Result<(), StoreError> {
    match presence::is_open(target) {
        Ok(false) => Ok(()),
        Ok(true) => Err(StoreError::Backend {
            doing: format!(
                "replacing {}, which a running samspel uses: stop it first",
                target.display()
            ),
            source: Box::new(std::io::Error::from(ErrorKind::ResourceBusy)),
        }),
        Err(error) => Err(unwritable(target, error)),
    }
}

/// Whether a copy is a whole store of ours; brings it up to date.
async fn check(backup: &Path, draft: &Path, tenant: &str) -> Result<(), StoreError> {
    let draft = Context {
        tenant: tenant.to_owned(),
        file: draft.to_owned(),
    };
    let damaged = |why: String| StoreError::Damaged {
        what: format!("the backup {}", backup.display()),
        why,
    };
    let mut connection = open::writer(&draft).await.map_err(|error| match error {
        StoreError::Damaged { why, .. } => damaged(why),
        other => other,
    })?;
    let checking = draft.failed("checking the backup");
    let found: String = sqlx::query_scalar("PRAGMA integrity_check(1)")
        .fetch_one(&mut connection)
        .await
        .map_err(&checking)?;
    // The log is written into the file, which is moved alone.
    sqlx::query("PRAGMA journal_mode = DELETE")
        .execute(&mut connection)
        .await
        .map_err(&checking)?;
    connection.close().await.map_err(&checking)?;
    if found == "ok" {
        Ok(())
    } else {
        Err(damaged(found))
    }
}

/// Gives a store that is there another name.
fn set_aside(target: &Path, now: Timestamp) -> Result<Option<PathBuf>, std::io::Error> {
    let with = |file: &Path, suffix: &str| {
        let mut name = file.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let aside = with(
        target,
        &format!(".replaced-{}", now.strftime("%Y%m%dT%H%M%SZ")),
    );
    let mut moved = None;
    for companion in COMPANIONS {
        match fs::rename(with(target, companion), with(&aside, companion)) {
            Ok(()) => moved = Some(aside.clone()),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(moved)
}
