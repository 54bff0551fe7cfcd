//! Credentials, encrypted in the store's file under a key that is not in it.
//!
//! Each is sealed with XChaCha20-Poly1305 under a random nonce (192 bits, so that random ones do not repeat), bound to
//! its tenant, account and name: a row that is copied to another place does not open there.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, Generate, Key, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use samspel_model::store::StoreError;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use sqlx::sqlite::{SqliteConnection, SqlitePool};
use thiserror::Error;

use crate::context::{Context, encode};
use crate::files;
use crate::sqlite::SqliteStore;
use crate::writer::{Task, Writer};

/// Bytes of an XChaCha20 nonce.
const NONCE: usize = 24;

/// Proofs that a key was in use are kept beside the credentials, where no account can be called so.
const PROOFS: &str = "";

/// Where the key is.
pub enum KeySource {
    /// A file with 32 random bytes as base64, readable by its owner alone. Created when it is missing and the store
    /// holds no credentials yet.
    File(PathBuf),
    /// 32 random bytes as base64, from an environment variable or a secret manager.
    Base64(SecretString),
}

/// Why a credential could not be kept or given.
#[derive(Debug, Error)]
pub enum VaultError {
    /// The key file cannot be read or created.
    #[error("the key file {} cannot be read or created: {source}; it and its directory must belong to samspel's user", .file.display())]
    KeyFile {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The key file can be read by others.
    #[error("the key file {} can be read by others; run `chmod 600` on it", .0.display())]
    Exposed(PathBuf),
    /// The key file is gone, and credentials are sealed with it.
    #[error(
        "the key file {} is missing, but the store holds what was made with it: credentials, or what is left of erased \
         people; restore it from a backup", .0.display()
    )]
    KeyLost(PathBuf),
    /// That is no key.
    #[error(
        "{0} does not hold a key: 32 bytes as base64 are needed; make one with `openssl rand -base64 32`"
    )]
    NotAKey(String),
    /// Sealed with another key, or tampered with.
    #[error(
        "credential `{credential}` of account `{account}` cannot be opened: it was sealed with another key, or damaged; \
         use the old key, or enter the credential again"
    )]
    Sealed {
        /// The account.
        account: String,
        /// The credential's name.
        credential: String,
    },
    /// Another key was in use before.
    #[error(
        "what the store holds for `{purpose}` was made with another key; use that one: restore it from a backup"
    )]
    OtherKey {
        /// What the key is for.
        purpose: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Keeps credentials.
pub struct Vault {
    context: Arc<Context>,
    writer: Arc<Writer>,
    readers: SqlitePool,
    cipher: XChaCha20Poly1305,
    /// Makes keys for other purposes.
    derive: Hmac<Sha256>,
}

impl Vault {
    /// The vault in a store.
    ///
    /// # Errors
    /// When there is no usable key.
    pub async fn open(store: &SqliteStore, key: KeySource) -> Result<Self, VaultError> {
        let key = match key {
            KeySource::Base64(text) => parse("the value", text.expose_secret())?,
            KeySource::File(file) => match read(&file)? {
                Some(key) => key,
                None if store.holds_secrets().await? => return Err(VaultError::KeyLost(file)),
                None => create(&file)?,
            },
        };
        Ok(Self {
            context: Arc::clone(store.context()),
            writer: Arc::clone(store.writer()),
            readers: store.readers().clone(),
            cipher: XChaCha20Poly1305::new(&key),
            derive: derivation(&key),
        })
    }

    /// A key for a purpose, made from the vault's own with HMAC-SHA-256 (RFC 2104), which tells nothing about it.
    ///
    /// # Errors
    /// [`VaultError::OtherKey`] if another key was [kept](Self::keep_key) for this purpose.
    pub async fn key_for(&self, purpose: &str) -> Result<[u8; 32], VaultError> {
        match self.get(PROOFS, purpose).await {
            Ok(_) => {}
            Err(VaultError::Sealed { .. }) => {
                return Err(VaultError::OtherKey {
                    purpose: purpose.to_owned(),
                });
            }
            Err(error) => return Err(error),
        }
        let mut mac = self.derive.clone();
        mac.update(b"samspel key\0");
        mac.update(purpose.as_bytes());
        Ok(mac.finalize().into_bytes().into())
    }

    /// The same key, of which the store knows from now on: what is made with it cannot be read under another one, so
    /// that a lost or replaced key is noticed ([`SqliteStore::needs_key_for`]).
    ///
    /// # Errors
    /// As [`key_for`](Self::key_for).
    pub async fn keep_key(&self, purpose: &str) -> Result<[u8; 32], VaultError> {
        let key = self.key_for(purpose).await?;
        self.put(PROOFS, purpose, &SecretString::from("kept"))
            .await?;
        Ok(key)
    }

    /// Keeps a credential; replaces one of the same name.
    pub async fn put(
        &self,
        account: &str,
        credential: &str,
        secret: &SecretString,
    ) -> Result<(), VaultError> {
        let nonce = XNonce::generate();
        let bound = self.bound_to(account, credential)?;
        let payload = Payload {
            msg: secret.expose_secret().as_bytes(),
            aad: bound.as_bytes(),
        };
        let cipher_text = self
            .cipher
            .encrypt(&nonce, payload)
            .map_err(|_| sealed(account, credential))?;
        let put = Put {
            account: account.to_owned(),
            credential: credential.to_owned(),
            sealed: [nonce.as_slice(), &cipher_text].concat(),
        };
        Ok(self.writer.run(put).await?)
    }

    /// A credential, if it is there.
    pub async fn get(
        &self,
        account: &str,
        credential: &str,
    ) -> Result<Option<SecretString>, VaultError> {
        let stored: Option<Vec<u8>> = sqlx::query_scalar(
            "SELECT sealed FROM secret WHERE tenant = ? AND account = ? AND credential = ?",
        )
        .bind(&self.context.tenant)
        .bind(account)
        .bind(credential)
        .fetch_optional(&self.readers)
        .await
        .map_err(self.context.failed("reading a credential"))?;
        stored
            .map(|stored| self.unseal(account, credential, &stored))
            .transpose()
    }

    /// Forgets a credential; whether it was there.
    pub async fn remove(&self, account: &str, credential: &str) -> Result<bool, VaultError> {
        let remove = Remove {
            account: account.to_owned(),
            credential: credential.to_owned(),
        };
        Ok(self.writer.run(remove).await?)
    }

    fn unseal(
        &self,
        account: &str,
        credential: &str,
        stored: &[u8],
    ) -> Result<SecretString, VaultError> {
        let bound = self.bound_to(account, credential)?;
        let broken = || sealed(account, credential);
        let (nonce, cipher_text) = stored.split_first_chunk::<NONCE>().ok_or_else(broken)?;
        let payload = Payload {
            msg: cipher_text,
            aad: bound.as_bytes(),
        };
        let clear = self
            .cipher
            .decrypt(&XNonce::from(*nonce), payload)
            .map_err(|_| broken())?;
        String::from_utf8(clear)
            .map(SecretString::from)
            .map_err(|_| broken())
    }

    /// What a sealed credential is bound to. A JSON array, so that no two places are spelt the same.
    fn bound_to(&self, account: &str, credential: &str) -> Result<String, StoreError> {
        encode(
            "the place of a credential",
            &[&self.context.tenant, account, credential],
        )
    }
}

impl SqliteStore {
    /// Whether something in the store was made with the key for this purpose.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn needs_key_for(&self, purpose: &str) -> Result<bool, StoreError> {
        sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM secret WHERE tenant = ? AND account = ? AND credential = ?)",
        )
        .bind(&self.context().tenant)
        .bind(PROOFS)
        .bind(purpose)
        .fetch_one(self.readers())
        .await
        .map_err(self.context().failed("looking for a key's proof"))
    }

    async fn holds_secrets(&self) -> Result<bool, StoreError> {
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM secret WHERE tenant = ?)")
            .bind(&self.context().tenant)
            .fetch_one(self.readers())
            .await
            .map_err(self.context().failed("looking for credentials"))
    }
}

fn sealed(account: &str, credential: &str) -> VaultError {
    VaultError::Sealed {
        account: account.to_owned(),
        credential: credential.to_owned(),
    }
}

/// HMAC under the vault's key.
fn derivation(key: &Key<XChaCha20Poly1305>) -> Hmac<Sha256> {
    // HMAC fills a key that is shorter than its block with zeros (RFC 2104).
    let mut block = Key::<Hmac<Sha256>>::default();
    block[..key.len()].copy_from_slice(key);
    Hmac::new(&block)
}

fn parse(place: &str, text: &str) -> Result<Key<XChaCha20Poly1305>, VaultError> {
    let not_a_key = || VaultError::NotAKey(place.to_owned());
    let bytes = STANDARD.decode(text.trim()).map_err(|_| not_a_key())?;
    let bytes: [u8; 32] = bytes.try_into().map_err(|_| not_a_key())?;
    Ok(bytes.into())
}

fn read(file: &Path) -> Result<Option<Key<XChaCha20Poly1305>>, VaultError> {
    let failed = |source| VaultError::KeyFile {
        file: file.to_owned(),
        source,
    };
    let text = match std::fs::read_to_string(file) {
        Ok(text) => SecretString::from(text),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == ErrorKind::InvalidData => {
            return Err(VaultError::NotAKey(file.display().to_string()));
        }
        Err(error) => return Err(failed(error)),
    };
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if std::fs::metadata(file)
            .map_err(failed)?
            .permissions()
            .mode()
            & 0o077
            != 0
        {
            return Err(VaultError::Exposed(file.to_owned()));
        }
    }
    parse(&file.display().to_string(), text.expose_secret()).map(Some)
}

/// Makes a key. The file appears whole or not at all; if another process was faster, its key is taken.
fn create(file: &Path) -> Result<Key<XChaCha20Poly1305>, VaultError> {
    let failed = |source| VaultError::KeyFile {
        file: file.to_owned(),
        source,
    };
    let key = Key::<XChaCha20Poly1305>::generate();
    let mut draft = files::draft(file).map_err(failed)?;
    writeln!(draft, "{}", STANDARD.encode(key)).map_err(failed)?;
    draft.as_file().sync_all().map_err(failed)?;
    if files::publish(draft.into_temp_path(), file).map_err(failed)? {
        Ok(key)
    } else {
        read(file)?.ok_or_else(|| failed(ErrorKind::NotFound.into()))
    }
}

struct Put {
    account: String,
    credential: String,
    sealed: Vec<u8>,
}

#[async_trait]
impl Task for Put {
    type Output = ();

    async fn run(
        self,
        context: &Context,
        connection: &mut SqliteConnection,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO secret (tenant, account, credential, sealed) VALUES (?, ?, ?, ?) \
             ON CONFLICT DO UPDATE SET sealed = excluded.sealed",
        )
        .bind(&context.tenant)
        .bind(self.account)
        .bind(self.credential)
        .bind(self.sealed)
        .execute(connection)
        .await
        .map(drop)
        .map_err(context.failed("storing a credential"))
    }
}

struct Remove {
    account: String,
    credential: String,
}

#[async_trait]
impl Task for Remove {
    type Output = bool;

    async fn run(
        self,
        context: &Context,
        connection: &mut SqliteConnection,
    ) -> Result<bool, StoreError> {
        sqlx::query("DELETE FROM secret WHERE tenant = ? AND account = ? AND credential = ?")
            .bind(&context.tenant)
            .bind(self.account)
            .bind(self.credential)
            .execute(connection)
            .await
            .map(|done| done.rows_affected() > 0)
            .map_err(context.failed("removing a credential"))
    }
}
