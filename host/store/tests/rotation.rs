//! The vault's key is replaced, and nothing is lost, wherever that ends.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use samspel_store::{KeySource, SqliteStore, Vault, VaultError};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use tempfile::TempDir;

const CLEAR: &str = "refresh-token-that-must-stay";

struct World {
    directory: TempDir,
    store: SqliteStore,
}

impl World {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&directory.path().join("samspel.db"), "main")
            .await
            .unwrap();
        Self { directory, store }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("samspel.key")
    }

    fn next(&self) -> PathBuf {
        self.directory.path().join("samspel.key.new")
    }

    async fn vault(&self) -> Vault {
        Vault::open(&self.store, KeySource::File(self.file()))
            .await
            .unwrap()
    }

    /// A vault with a secret and a key.
    async fn filled(&self) -> (Vault, [u8; 32]) {
        let vault = self.vault().await;
        let secret = SecretString::from(CLEAR);
        vault.put("crm", "token", &secret).await.unwrap();
        let key = vault.keep_key("erasure").await.unwrap();
        (vault, key)
    }

    async fn holds(&self, vault: &Vault, key: [u8; 32]) {
        assert_eq!(get(vault).await.as_deref(), Some(CLEAR));
        assert_eq!(vault.key_for("erasure").await.unwrap(), Some(key));
    }
}

async fn get(vault: &Vault) -> Option<String> {
    let secret = vault.get("crm", "token").await.unwrap()?;
    Some(secret.expose_secret().to_owned())
}

fn text(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap()
}

#[tokio::test]
async fn after_a_rotation_the_new_key_opens_everything_and_the_old_one_nothing() {
    let world = World::new().await;
    let (vault, key) = world.filled().await;
    let old = text(&world.file());
    assert_eq!(vault.rotate(None).await.unwrap(), 2);
    world.holds(&vault, key).await;
    assert_ne!(text(&world.file()), old);
    assert!(!world.next().exists());
    world.holds(&world.vault().await, key).await;
    let error = Vault::open(&world.store, KeySource::Base64(old.into())).await;
    assert!(matches!(error.err(), Some(VaultError::OtherKey)));
}

#[tokio::test]
async fn a_process_that_was_running_reads_the_new_key() {
    let world = World::new().await;
    let (rotating, key) = world.filled().await;
    let running = world.vault().await;
    rotating.rotate(None).await.unwrap();
    // It writes first: what it seals must open with the new key.
    let secret = SecretString::from("newer");
    running.put("crm", "other", &secret).await.unwrap();
    world.holds(&running, key).await;
    let found = rotating.get("crm", "other").await.unwrap().unwrap();
    assert_eq!(found.expose_secret(), "newer");
    rotating.rotate(None).await.unwrap();
    world.holds(&running, key).await;
    running.rotate(None).await.unwrap();
    world.holds(&rotating, key).await;
}

#[tokio::test]
async fn a_rotation_that_ends_before_sealing_leaves_the_old_key() {
    let world = World::new().await;
    let (vault, key) = world.filled().await;
    // The process was killed when the next key was on disk and nothing was sealed with it.
    let next = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    std::fs::write(world.next(), next).unwrap();
    restrict(&world.next());
    drop(vault);
    let vault = world.vault().await;
    world.holds(&vault, key).await;
    vault.rotate(None).await.unwrap();
    assert_eq!(text(&world.file()), next, "it is used, and not lost");
    world.holds(&world.vault().await, key).await;
}

#[tokio::test]
async fn a_rotation_that_ends_after_sealing_is_finished_by_whoever_comes_next() {
    let world = World::new().await;
    let (vault, key) = world.filled().await;
    let old = text(&world.file());
    vault.rotate(None).await.unwrap();
    // The process was killed before the last step.
    std::fs::rename(world.file(), world.next()).unwrap();
    std::fs::write(world.file(), old).unwrap();
    restrict(&world.file());
    drop(vault);
    world.holds(&world.vault().await, key).await;
    assert!(!world.next().exists());
    world.holds(&world.vault().await, key).await;
}

#[tokio::test]
async fn a_secret_that_does_not_open_stops_the_rotation() {
    let world = World::new().await;
    let (vault, key) = world.filled().await;
    let secret = SecretString::from("x");
    vault.put("crm", "damaged", &secret).await.unwrap();
    let pool = pool(&world).await;
    sqlx::query("UPDATE secret SET sealed = x'00' WHERE credential = 'damaged'")
        .execute(&pool)
        .await
        .unwrap();
    let old = text(&world.file());
    let error = vault.rotate(None).await.unwrap_err().to_string();
    assert!(
        error.contains("damaged") && error.contains("nothing was sealed anew"),
        "{error}"
    );
    assert_eq!(text(&world.file()), old);
    world.holds(&world.vault().await, key).await;
}

#[tokio::test]
async fn a_key_from_elsewhere_is_replaced_by_a_named_one() {
    let world = World::new().await;
    let source =
        |byte: &str| KeySource::Base64(SecretString::from(format!("{}=", byte.repeat(43))));
    let vault = Vault::open(&world.store, source("A")).await.unwrap();
    let secret = SecretString::from(CLEAR);
    vault.put("crm", "token", &secret).await.unwrap();
    let error = vault.rotate(None).await.unwrap_err();
    assert!(matches!(error, VaultError::NameTheNewKey), "{error}");
    vault.rotate(Some(&source("E"))).await.unwrap();
    let vault = Vault::open(&world.store, source("E")).await.unwrap();
    assert_eq!(get(&vault).await.as_deref(), Some(CLEAR));
}

/// Earlier versions derived keys for purposes from the vault's own, kept a proof, and set no mark.
#[tokio::test]
async fn keys_that_an_earlier_version_derived_stay_valid() {
    let world = World::new().await;
    let master = [7; 32];
    std::fs::write(world.file(), STANDARD.encode(master)).unwrap();
    restrict(&world.file());
    let bound = r#"["main","","erasure"]"#;
    let payload = Payload {
        msg: b"kept",
        aad: bound.as_bytes(),
    };
    let nonce = [9; 24];
    let sealed = XChaCha20Poly1305::new(&master.into())
        .encrypt(&XNonce::from(nonce), payload)
        .unwrap();
    let pool = pool(&world).await;
    sqlx::query("INSERT INTO secret (tenant, account, credential, sealed) VALUES ('main', '', 'erasure', ?)")
        .bind([nonce.as_slice(), &sealed].concat())
        .execute(&pool)
        .await
        .unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&master).unwrap();
    mac.update(b"samspel key\0erasure");
    let derived: [u8; 32] = mac.finalize().into_bytes().into();

    let vault = world.vault().await;
    assert_eq!(vault.key_for("erasure").await.unwrap(), Some(derived));
    assert_eq!(vault.keep_key("erasure").await.unwrap(), derived);
    vault.rotate(None).await.unwrap();
    assert_eq!(vault.key_for("erasure").await.unwrap(), Some(derived));
    let vault = world.vault().await;
    assert_eq!(vault.key_for("erasure").await.unwrap(), Some(derived));
}

#[tokio::test]
async fn a_given_file_is_neither_made_nor_judged() {
    let world = World::new().await;
    let given = world.directory.path().join("given");
    let error = Vault::open(&world.store, KeySource::Given(given.clone())).await;
    assert!(matches!(error.err(), Some(VaultError::KeyFile { .. })));
    assert!(!given.exists());
    std::fs::write(&given, STANDARD.encode([3; 32])).unwrap();
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&given, std::fs::Permissions::from_mode(0o440)).unwrap();
    Vault::open(&world.store, KeySource::Given(given))
        .await
        .unwrap();
}

async fn pool(world: &World) -> sqlx::SqlitePool {
    let file = world.directory.path().join("samspel.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file);
    sqlx::SqlitePool::connect_with(options).await.unwrap()
}

/// A key that others can read is refused.
fn restrict(file: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
}
