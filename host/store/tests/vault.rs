//! Credentials are kept, and only the key opens them.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use samspel_store::{KeySource, SqliteStore, Vault, VaultError};
use secrecy::{ExposeSecret, SecretString};

const CLEAR: &str = "shpat_do_not_find_this_anywhere";

async fn open(directory: &Path) -> SqliteStore {
    open_as(directory, "main").await
}

async fn open_as(directory: &Path, tenant: &str) -> SqliteStore {
    SqliteStore::open(&directory.join("samspel.db"), tenant)
        .await
        .unwrap()
}

fn key_file(directory: &Path) -> KeySource {
    KeySource::File(directory.join("samspel.key"))
}

fn other_key() -> KeySource {
    KeySource::Base64(SecretString::from(
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
    ))
}

async fn get(vault: &Vault, account: &str, credential: &str) -> Option<String> {
    let secret = vault.get(account, credential).await.unwrap()?;
    Some(secret.expose_secret().to_owned())
}

#[tokio::test]
async fn a_credential_is_given_back_after_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    let vault = Vault::open(&store, key_file(directory.path()))
        .await
        .unwrap();
    assert_eq!(get(&vault, "crm", "token").await, None);
    vault
        .put("crm", "token", &SecretString::from("old"))
        .await
        .unwrap();
    vault
        .put("crm", "token", &SecretString::from(CLEAR))
        .await
        .unwrap();
    vault
        .put("crm", "other", &SecretString::from(""))
        .await
        .unwrap();
    store.close().await;
    drop(vault);

    let store = open(directory.path()).await;
    let vault = Vault::open(&store, key_file(directory.path()))
        .await
        .unwrap();
    assert_eq!(get(&vault, "crm", "token").await.as_deref(), Some(CLEAR));
    assert_eq!(get(&vault, "crm", "other").await.as_deref(), Some(""));
    assert_eq!(get(&vault, "shop", "token").await, None);
    assert!(vault.remove("crm", "token").await.unwrap());
    assert!(!vault.remove("crm", "token").await.unwrap());
    assert_eq!(get(&vault, "crm", "token").await, None);
}

#[tokio::test]
async fn the_clear_text_is_in_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    let vault = Vault::open(&store, key_file(directory.path()))
        .await
        .unwrap();
    vault
        .put("crm", "marker-that-is-found", &SecretString::from(CLEAR))
        .await
        .unwrap();
    // Before closing, the log is a file of its own; afterwards, all is in the main one.
    for closed in [false, true] {
        if closed {
            store.close().await;
        }
        let mut marker = false;
        for entry in std::fs::read_dir(directory.path()).unwrap() {
            let path = entry.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            let contains = |text: &str| {
                bytes
                    .windows(text.len())
                    .any(|window| window == text.as_bytes())
            };
            assert!(!contains(CLEAR), "{}", path.display());
            marker |= contains("marker-that-is-found");
        }
        assert!(marker, "the search finds what is there");
    }
}

#[tokio::test]
async fn another_key_does_not_open_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    let key = |byte: &str| KeySource::Base64(SecretString::from(format!("{}=", byte.repeat(43))));
    let vault = Vault::open(&store, key("A")).await.unwrap();
    vault
        .put("crm", "token", &SecretString::from(CLEAR))
        .await
        .unwrap();
    assert_eq!(get(&vault, "crm", "token").await.as_deref(), Some(CLEAR));
    let error = Vault::open(&store, key("E")).await.err().unwrap();
    assert!(matches!(error, VaultError::OtherKey), "{error}");
    assert_eq!(get(&vault, "crm", "token").await.as_deref(), Some(CLEAR));
}

#[tokio::test]
async fn a_credential_does_not_open_in_another_place() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    let vault = Vault::open(&store, key_file(directory.path()))
        .await
        .unwrap();
    vault
        .put("crm", "token", &SecretString::from(CLEAR))
        .await
        .unwrap();
    let other = open_as(directory.path(), "other").await;
    let foreign = Vault::open(&other, key_file(directory.path()))
        .await
        .unwrap();
    assert_eq!(get(&foreign, "crm", "token").await, None);

    // Whoever can write to the file copies the row.
    let options =
        sqlx::sqlite::SqliteConnectOptions::new().filename(directory.path().join("samspel.db"));
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    for place in [
        "'main', 'shop', 'token'",
        "'main', 'crm', 'tokem'",
        "'other', 'crm', 'token'",
    ] {
        let copy = format!(
            "INSERT INTO secret SELECT {place}, sealed FROM secret WHERE tenant = 'main' LIMIT 1"
        );
        sqlx::query(sqlx::AssertSqlSafe(copy))
            .execute(&pool)
            .await
            .unwrap();
    }
    assert!(matches!(
        vault.get("shop", "token").await,
        Err(VaultError::Sealed { .. })
    ));
    assert!(matches!(
        vault.get("crm", "tokem").await,
        Err(VaultError::Sealed { .. })
    ));
    assert!(matches!(
        foreign.get("crm", "token").await,
        Err(VaultError::Sealed { .. })
    ));
    assert_eq!(get(&vault, "crm", "token").await.as_deref(), Some(CLEAR));
}

#[tokio::test]
async fn a_lost_key_is_not_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    let vault = Vault::open(&store, key_file(directory.path()))
        .await
        .unwrap();
    vault
        .put("crm", "token", &SecretString::from(CLEAR))
        .await
        .unwrap();
    std::fs::remove_file(directory.path().join("samspel.key")).unwrap();
    let error = Vault::open(&store, key_file(directory.path()))
        .await
        .err()
        .unwrap();
    assert!(matches!(error, VaultError::KeyLost(_)), "{error}");
    assert!(!directory.path().join("samspel.key").exists());
}

#[tokio::test]
async fn what_is_no_key_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    for text in ["", "hunter2", "QUJD"] {
        let error = Vault::open(&store, KeySource::Base64(SecretString::from(text)))
            .await
            .err()
            .unwrap();
        assert!(matches!(error, VaultError::NotAKey(_)), "{error}");
        assert!(text.is_empty() || !error.to_string().contains(text));
    }
}

#[cfg(unix)]
#[tokio::test]
async fn the_key_file_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;

    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    Vault::open(&store, key_file(directory.path()))
        .await
        .unwrap();
    let file = directory.path().join("samspel.key");
    assert_eq!(
        std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = Vault::open(&store, key_file(directory.path()))
        .await
        .err()
        .unwrap();
    assert!(matches!(error, VaultError::Exposed(_)), "{error}");
}

#[tokio::test]
async fn a_key_for_a_purpose_is_the_same_each_time_and_another_for_another_purpose() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    let vault = Vault::open(&store, key_file(directory.path()))
        .await
        .unwrap();
    assert_eq!(vault.key_for("one").await.unwrap(), None);
    assert!(!store.needs_key_for("one").await.unwrap());
    let key = vault.keep_key("one").await.unwrap();
    assert_eq!(vault.keep_key("one").await.unwrap(), key);
    assert_eq!(vault.key_for("one").await.unwrap(), Some(key));
    assert_ne!(vault.keep_key("two").await.unwrap(), key);
    assert!(store.needs_key_for("one").await.unwrap());
    assert!(!store.needs_key_for("three").await.unwrap());
}

#[tokio::test]
async fn a_kept_key_that_is_lost_or_replaced_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    let vault = Vault::open(&store, key_file(directory.path()))
        .await
        .unwrap();
    vault.keep_key("one").await.unwrap();
    drop(vault);
    let file = directory.path().join("samspel.key");
    std::fs::remove_file(&file).unwrap();
    assert!(matches!(
        Vault::open(&store, key_file(directory.path())).await,
        Err(VaultError::KeyLost(_))
    ));
    let error = Vault::open(&store, other_key()).await.err().unwrap();
    assert!(matches!(error, VaultError::OtherKey), "{error}");
}

#[tokio::test]
async fn a_key_with_which_nothing_was_sealed_may_be_lost() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    Vault::open(&store, key_file(directory.path()))
        .await
        .unwrap();
    let vault = Vault::open(&store, other_key()).await.unwrap();
    vault
        .put("crm", "token", &SecretString::from(CLEAR))
        .await
        .unwrap();
    assert_eq!(get(&vault, "crm", "token").await.as_deref(), Some(CLEAR));
}

#[tokio::test]
async fn what_is_forgotten_with_an_account_is_all_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    let vault = Vault::open(&store, key_file(directory.path()))
        .await
        .unwrap();
    let secret = SecretString::from(CLEAR);
    for (account, credential) in [("crm", "token"), ("crm", "token@1"), ("shop", "token")] {
        vault.put(account, credential, &secret).await.unwrap();
    }
    let key = vault.keep_key("one").await.unwrap();
    assert_eq!(vault.forget("").await.unwrap(), 0, "keys are no account's");
    assert_eq!(vault.forget("crm").await.unwrap(), 2);
    assert_eq!(get(&vault, "crm", "token").await, None);
    assert_eq!(get(&vault, "shop", "token").await.as_deref(), Some(CLEAR));
    assert_eq!(vault.key_for("one").await.unwrap(), Some(key));
}
