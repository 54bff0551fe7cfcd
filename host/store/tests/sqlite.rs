//! The facts of every store, and those of the file.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use samspel_store::{
    SqliteStore, for_each_access_fact, for_each_fact, for_each_hook_fact, for_each_registry_fact,
    suite,
};

macro_rules! on_sqlite {
    ($($fact:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $fact() {
                let directory = tempfile::tempdir().unwrap();
                let store = SqliteStore::open(&directory.path().join("samspel.db"), "main").await.unwrap();
                suite::$fact(Arc::new(store)).await;
            }
        )*
    };
}

for_each_fact!(on_sqlite);
for_each_registry_fact!(on_sqlite);
for_each_hook_fact!(on_sqlite);
for_each_access_fact!(on_sqlite);

#[tokio::test]
async fn the_audit_log_cannot_be_changed_through_sql_either() {
    use samspel_model::access::{Access, AuditEntry, AuditOutcome};

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("samspel.db");
    let store = SqliteStore::open(&file, "main").await.unwrap();
    let entry = AuditEntry {
        at: jiff::Timestamp::UNIX_EPOCH,
        who: "cli:ann".to_owned(),
        action: "sync pause".to_owned(),
        subject: None,
        detail: serde_json::json!({}),
        outcome: AuditOutcome::Done,
    };
    store.audit(entry.clone()).await.unwrap();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&file);
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    for statement in ["UPDATE audit SET who = 'cli:bo'", "DELETE FROM audit"] {
        let error = sqlx::query(statement).execute(&pool).await.unwrap_err();
        assert!(error.to_string().contains("append-only"), "{error}");
    }
    assert_eq!(store.audited(None, 9).await.unwrap()[0].1, entry);
}
