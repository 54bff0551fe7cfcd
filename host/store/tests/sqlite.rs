//! The facts of every store, and those of the file.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use samspel_store::{SqliteStore, for_each_fact, for_each_registry_fact, suite};

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
