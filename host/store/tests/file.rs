//! What can be wrong with a file, and what two programs may do with the same one.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use samspel_model::store::{Change, Commit, Endpoint, RunRecord, Step, StoreError};
use samspel_model::{Side, Store};
use samspel_store::SqliteStore;
use serde_json::json;
use sqlx::AssertSqlSafe;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};

const MINUTE: Duration = Duration::from_secs(60);

fn now() -> Timestamp {
    Timestamp::from_second(1_700_000_000).unwrap()
}

fn endpoints() -> [Endpoint; 2] {
    ["crm", "mail"].map(|account| Endpoint {
        account: account.to_owned(),
        collection: "contacts".to_owned(),
    })
}

struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("samspel.db")
    }

    async fn open(&self) -> SqliteStore {
        SqliteStore::open(&self.file(), "main").await.unwrap()
    }

    /// The message of a failure, which names the file and leaves it as it was.
    async fn refused(&self) -> String {
        let before = std::fs::read(self.file()).unwrap();
        let error = SqliteStore::open(&self.file(), "main").await.err().unwrap();
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
        assert_eq!(std::fs::read(self.file()).unwrap(), before);
        let text = error.to_string();
        assert!(text.contains(&self.file().display().to_string()), "{text}");
        text
    }

    /// Someone else writes to the file.
    async fn tamper(&self, statement: &str) {
        let options = SqliteConnectOptions::new()
            .filename(self.file())
            .create_if_missing(true);
        let pool = SqlitePool::connect_with(options).await.unwrap();
        sqlx::query(AssertSqlSafe(statement))
            .execute(&pool)
            .await
            .unwrap();
        pool.close().await;
    }
}

fn run(name: &str) -> Change {
    Change::PutRun(RunRecord {
        id: name.to_owned(),
        started: now(),
        ended: None,
        error: None,
        report: json!({}),
    })
}

fn commit(changes: Vec<Change>) -> Commit {
    Commit {
        step: Step::Page,
        at: now(),
        changes,
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_left_alone() {
    for content in [
        &b"dear diary, this is not a database, and longer than a header"[..],
        b"x",
        &[b'x'; 511],
        &[b'x'; 100_000],
    ] {
        let place = Place::new();
        std::fs::write(place.file(), content).unwrap();
        let text = place.refused().await;
        assert!(
            text.contains("not an SQLite database") && text.contains("another file"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn the_database_of_another_program_is_left_alone() {
    let place = Place::new();
    place.tamper("CREATE TABLE bookmark (url TEXT)").await;
    let text = place.refused().await;
    assert!(text.contains("another program"), "{text}");
}

#[tokio::test]
async fn an_empty_file_becomes_a_store() {
    let place = Place::new();
    std::fs::write(place.file(), b"").unwrap();
    place
        .open()
        .await
        .register("people", &endpoints())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let place = Place::new();
    place.open().await.close().await;
    place
        .tamper(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
             VALUES (9000, 'from the future', 1, x'00', 0)",
        )
        .await;
    let text = place.refused().await;
    assert!(
        text.contains("newer samspel") && text.contains("9000"),
        "{text}"
    );
}

#[tokio::test]
async fn a_truncated_file_is_told_as_damaged() {
    let place = Place::new();
    place.open().await.close().await;
    let length = std::fs::metadata(place.file()).unwrap().len();
    let opened = std::fs::OpenOptions::new()
        .write(true)
        .open(place.file())
        .unwrap();
    opened.set_len(length / 2).unwrap();
    let text = place.refused().await;
    assert!(text.contains("restore a backup"), "{text}");
}

#[tokio::test]
async fn a_stored_text_that_cannot_be_understood_is_named() {
    let place = Place::new();
    let store = place.open().await;
    store.register("people", &endpoints()).await.unwrap();
    place
        .tamper("INSERT INTO intent (tenant, sync, id, body) VALUES ('main', 'people', 'i7', '{')")
        .await;
    let error = store.intents("people", None, 9).await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("intent `i7`"), "{error}");
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_is_named() {
    let place = Place::new();
    std::fs::write(place.directory.path().join("plain"), b"").unwrap();
    for directory in ["missing", "plain"] {
        let file = place.directory.path().join(directory).join("samspel.db");
        let error = SqliteStore::open(&file, "main").await.err().unwrap();
        assert!(matches!(error, StoreError::Backend { .. }), "{error}");
        let text = error.to_string();
        assert!(
            text.contains(&file.display().to_string()) && text.contains("directory"),
            "{text}"
        );
    }
}

#[cfg(unix)]
#[tokio::test]
async fn the_file_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;

    let place = Place::new();
    let store = place.open().await;
    store.register("people", &endpoints()).await.unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let files: Vec<_> = std::fs::read_dir(place.directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert!(files.len() > 1, "the log is there too");
    assert!(files.iter().all(|file| mode(file) == 0o600));
}

#[tokio::test]
async fn programs_that_start_at_the_same_time_share_one_file() {
    let place = Place::new();
    let open = || async { SqliteStore::open(&place.file(), "main").await.unwrap() };
    let (one, two, three) = tokio::join!(open(), open(), open());
    for store in [&one, &two, &three] {
        store.register("people", &endpoints()).await.unwrap();
    }
    for entry in std::fs::read_dir(place.directory.path()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name.starts_with("samspel.db"), "{name} was left behind");
    }
}

#[tokio::test]
async fn two_programs_contend_for_a_lease() {
    let place = Place::new();
    let (serve, run) = (place.open().await, place.open().await);
    let (first, second) = tokio::join!(
        serve.acquire_lease("people", "serve", now(), MINUTE),
        run.acquire_lease("people", "run", now(), MINUTE),
    );
    assert!(first.is_ok() != second.is_ok(), "exactly one has it");
    let (winner, lease, loser) = match (first, second) {
        (Ok(lease), Err(error)) => ((&serve, "serve"), lease, error),
        (Err(error), Ok(lease)) => ((&run, "run"), lease, error),
        other => panic!("{other:?}"),
    };
    assert!(
        matches!(&loser, StoreError::Held { owner, .. } if owner == winner.1),
        "{loser}"
    );
    winner.0.release_lease(&lease).await.unwrap();
    serve
        .acquire_lease("people", "serve", now(), MINUTE)
        .await
        .unwrap();
}

#[tokio::test]
async fn programs_number_their_commits_in_one_row() {
    let place = Place::new();
    let (one, two) = (place.open().await, place.open().await);
    let mine = one
        .acquire_lease("people", "one", now(), MINUTE)
        .await
        .unwrap();
    let yours = two
        .acquire_lease("news", "two", now(), MINUTE)
        .await
        .unwrap();
    let first = one.commit(&mine, commit(vec![])).await.unwrap();
    let second = two.commit(&yours, commit(vec![])).await.unwrap();
    let third = one.commit(&mine, commit(vec![])).await.unwrap();
    assert!(first.sequence < second.sequence && second.sequence < third.sequence);
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_drop_without_close() {
    let place = Place::new();
    let store = place.open().await;
    let lease = store
        .acquire_lease("people", "one", now(), MINUTE)
        .await
        .unwrap();
    let receipt = store.commit(&lease, commit(vec![run("r1")])).await.unwrap();
    drop(store);
    let store = place.open().await;
    assert_eq!(store.runs("people", 9).await.unwrap().len(), 1);
    assert!(store.sequence() >= receipt.sequence);
    // Whoever held the lease is gone, and holds it no more.
    assert_eq!(store.lease_holder("people").await.unwrap(), None);
    store
        .acquire_lease("people", "two", now(), MINUTE)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_failed_commit_says_what_was_being_done() {
    let place = Place::new();
    let store = place.open().await;
    let lease = store
        .acquire_lease("people", "one", now(), MINUTE)
        .await
        .unwrap();
    place
        .tamper(
            "CREATE TRIGGER full BEFORE INSERT ON run BEGIN SELECT RAISE(ABORT, 'it is full'); END",
        )
        .await;
    let error = store
        .commit(&lease, commit(vec![run("r1")]))
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::Backend { .. }), "{error}");
    let text = error.to_string();
    for part in [
        "storing a page",
        "storing a run",
        "it is full",
        &place.file().display().to_string(),
    ] {
        assert!(text.contains(part), "{text}");
    }
    store.close().await;
    let error = store.commit(&lease, commit(vec![])).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("storing a page") && text.contains("closed"),
        "{text}"
    );
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let place = Place::new();
    let store = place.open().await;
    store.close().await;
    store.close().await;
    let error = store.register("people", &endpoints()).await.unwrap_err();
    assert!(error.to_string().contains("closed"), "{error}");
    assert!(store.cursor("people", Side::A).await.is_err());
}

#[tokio::test]
async fn tenants_do_not_see_each_other() {
    let place = Place::new();
    let one = place.open().await;
    let two = SqliteStore::open(&place.file(), "other").await.unwrap();
    let mine = one
        .acquire_lease("people", "one", now(), MINUTE)
        .await
        .unwrap();
    let yours = two
        .acquire_lease("people", "two", now(), MINUTE)
        .await
        .unwrap();
    one.commit(&mine, commit(vec![run("r1")])).await.unwrap();
    assert!(two.runs("people", 9).await.unwrap().is_empty());
    two.commit(&yours, commit(vec![run("r2")])).await.unwrap();
    assert_eq!(one.runs("people", 9).await.unwrap()[0].id, "r1");
}
