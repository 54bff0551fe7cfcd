//! Credentials, encrypted in the store's file under a key that is not in it.
//!
//! Each is sealed with XChaCha20-Poly1305 under a random nonce (192 bits, so that random ones do not repeat), bound to
//! its tenant, account and name: a row that is copied to another place does not open there.
//!
//! One row is the *mark*: it opens with the key that everything else is sealed with, and each key has another. Whoever
//! writes names the mark that the vault was opened with, in the same transaction, so that nothing is sealed under a key
//! that was replaced meanwhile. [`Vault::rotate`] replaces the key: the new one is on disk beside the old one before
//! everything is sealed with it, in one transaction; after that, it takes the old one's place. Wherever that ends, one
//! of the two keys opens everything, and whoever opens the vault next finishes it.
//!
//! Keys for other purposes are random and sealed like credentials, so that they survive the vault's own.

mod key;
mod seal;
mod tasks;

use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::Generate;
use samspel_model::store::StoreError;
use secrecy::{ExposeSecret, SecretString};
use sqlx::sqlite::SqlitePool;
use thiserror::Error;
use tokio::sync::RwLock;

use crate::context::Context;
use crate::sqlite::SqliteStore;
use crate::writer::Writer;
use key::VaultKey;
use seal::{Place, Seal};
use tasks::{Put, Remove, Reseal, SetMark};

pub use key::KeySource;

/// Keys for purposes are kept beside the credentials, where no account can be called so.
const PURPOSES: &str = "";
/// The mark is one of them, with no purpose.
const MARK: &str = "";
/// What earlier versions kept of a key that they derived from the vault's own.
const KEPT: &str = "kept";
/// A key that is replaced while the vault is being opened is read again.
const ATTEMPTS: usize = 3;

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
    /// Damaged, or moved here from another place.
    #[error(
        "credential `{credential}` of account `{account}` cannot be opened: it was damaged or sealed for another place; \
         enter it again"
    )]
    Sealed {
        /// The account.
        account: String,
        /// The credential's name.
        credential: String,
    },
    /// Another key is in use.
    #[error(
        "the key does not open the vault: what the store holds (credentials, what is left of erased people) was sealed \
         with another one; use that one, from a backup, or the new one if it was replaced"
    )]
    OtherKey,
    /// An earlier rotation ended before it began, and left another key.
    #[error(
        "{} holds another key, which an earlier rotation left; rotate without naming a key to use that one, or remove \
         the file", .0.display()
    )]
    Unfinished(PathBuf),
    /// The key is not in a file of ours.
    #[error(
        "the key is not in a file that samspel keeps; make one with `openssl rand -base64 32`, and name where it is"
    )]
    NameTheNewKey,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The store, as far as the vault uses it.
struct Parts {
    context: Arc<Context>,
    writer: Arc<Writer>,
    readers: SqlitePool,
}

/// What it is opened with.
#[derive(Clone)]
struct Opened {
    seal: Seal,
    mark: Vec<u8>,
}

/// Keeps credentials.
pub struct Vault {
    parts: Parts,
    source: KeySource,
    opened: RwLock<Opened>,
}

impl Vault {
    /// The vault in a store.
    ///
    /// # Errors
    /// When there is no key that fits.
    pub async fn open(store: &SqliteStore, key: KeySource) -> Result<Self, VaultError> {
        let parts = Parts {
            context: Arc::clone(store.context()),
            writer: Arc::clone(store.writer()),
            readers: store.readers().clone(),
        };
        let opened = RwLock::new(parts.unlock(&key).await?);
        Ok(Self {
            parts,
            source: key,
            opened,
        })
    }

    /// The key for a purpose, if one was [kept](Self::keep_key).
    ///
    /// # Errors
    /// [`VaultError`].
    pub async fn key_for(&self, purpose: &str) -> Result<Option<[u8; 32]>, VaultError> {
        let Some(kept) = self.get(PURPOSES, purpose).await? else {
            return Ok(None);
        };
        if kept.expose_secret() == KEPT {
            return Ok(Some(self.opened.read().await.seal.derived(purpose)));
        }
        let bytes = STANDARD.decode(kept.expose_secret()).ok();
        match bytes.and_then(|bytes| bytes.try_into().ok()) {
            Some(key) => Ok(Some(key)),
            None => Err(self.place(PURPOSES, purpose).broken()),
        }
    }

    /// The key for a purpose; made at random the first time. It stays the same also when the vault's own is replaced,
    /// and the store knows that it is needed ([`SqliteStore::needs_key_for`]).
    ///
    /// # Errors
    /// [`VaultError`].
    pub async fn keep_key(&self, purpose: &str) -> Result<[u8; 32], VaultError> {
        for _ in 0..ATTEMPTS {
            if let Some(key) = self.key_for(purpose).await? {
                return Ok(key);
            }
            let key = STANDARD.encode(VaultKey::generate());
            if !self.try_put(PURPOSES, purpose, &key, false).await? {
                self.reopen().await?;
            }
        }
        Err(VaultError::OtherKey)
    }

    /// Keeps a credential; replaces one of the same name.
    ///
    /// # Errors
    /// [`VaultError`].
    pub async fn put(
        &self,
        account: &str,
        credential: &str,
        secret: &SecretString,
    ) -> Result<(), VaultError> {
        for _ in 0..ATTEMPTS {
            if self
                .try_put(account, credential, secret.expose_secret(), true)
                .await?
            {
                return Ok(());
            }
            self.reopen().await?;
        }
        Err(VaultError::OtherKey)
    }

    /// Whether it was kept: not if the key was replaced, or the place is not free.
    async fn try_put(
        &self,
        account: &str,
        credential: &str,
        clear: &str,
        replace: bool,
    ) -> Result<bool, VaultError> {
        let Opened { seal, mark } = self.opened.read().await.clone();
        let put = Put {
            mark,
            sealed: seal.close(self.place(account, credential), clear)?,
            account: account.to_owned(),
            credential: credential.to_owned(),
            replace,
        };
        Ok(self.parts.writer.run(put).await?)
    }

    /// A credential, if it is there.
    ///
    /// # Errors
    /// [`VaultError`].
    pub async fn get(
        &self,
        account: &str,
        credential: &str,
    ) -> Result<Option<SecretString>, VaultError> {
        let Some(stored) = self.parts.stored(account, credential).await? else {
            return Ok(None);
        };
        let place = self.place(account, credential);
        let opened = self.opened.read().await.seal.open(place, &stored);
        match opened {
            Ok(secret) => Ok(Some(secret)),
            Err(error) => {
                // Another process may have replaced the key since.
                if !self.reopen().await? {
                    return Err(error);
                }
                let Some(stored) = self.parts.stored(account, credential).await? else {
                    return Ok(None);
                };
                self.opened.read().await.seal.open(place, &stored).map(Some)
            }
        }
    }

    /// Forgets a credential; whether it was there.
    ///
    /// # Errors
    /// [`VaultError`].
    pub async fn remove(&self, account: &str, credential: &str) -> Result<bool, VaultError> {
        let remove = Remove {
            account: account.to_owned(),
            credential: Some(credential.to_owned()),
        };
        Ok(self.parts.writer.run(remove).await? > 0)
    }

    /// Forgets everything that is sealed for an account; how much that was.
    ///
    /// # Errors
    /// [`VaultError`].
    pub async fn forget(&self, account: &str) -> Result<u64, VaultError> {
        let remove = Remove {
            account: account.to_owned(),
            credential: None,
        };
        // No account is called as the place of keys is.
        if account == PURPOSES {
            return Ok(0);
        }
        Ok(self.parts.writer.run(remove).await?)
    }

    /// Seals everything with another key: the one in `next`, or a new one where the key is in a file that is kept here.
    /// How many secrets that were. If it ends half-way, everything opens with the old key or everything with the new
    /// one.
    ///
    /// # Errors
    /// [`VaultError`]; nothing was changed then, but that the key file could not be replaced after everything was
    /// sealed.
    pub async fn rotate(&self, next: Option<&KeySource>) -> Result<u64, VaultError> {
        self.reopen().await?;
        let given = next.map(KeySource::key).transpose()?;
        let new = match (self.source.file(), given) {
            (Some(file), given) => key::prepare(file, given.as_ref())?,
            (None, Some(given)) => given,
            (None, None) => return Err(VaultError::NameTheNewKey),
        };
        let seal = Seal::new(&new);
        let mut opened = self.opened.write().await;
        let reseal = Reseal {
            mark: opened.mark.clone(),
            old: opened.seal.clone(),
            new: seal.clone(),
        };
        let Some((count, mark)) = self.parts.writer.run(reseal).await? else {
            return Err(VaultError::OtherKey);
        };
        *opened = Opened { seal, mark };
        if let Some(file) = self.source.file() {
            key::promote(file)?;
        }
        Ok(count)
    }

    /// Opens it anew; whether that changed something.
    async fn reopen(&self) -> Result<bool, VaultError> {
        let fresh = self.parts.unlock(&self.source).await?;
        let mut opened = self.opened.write().await;
        let changed = opened.mark != fresh.mark;
        *opened = fresh;
        Ok(changed)
    }

    fn place<'a>(&'a self, account: &'a str, credential: &'a str) -> Place<'a> {
        self.parts.place(account, credential)
    }
}

impl Parts {
    /// Finds the key that fits.
    async fn unlock(&self, source: &KeySource) -> Result<Opened, VaultError> {
        for _ in 0..ATTEMPTS {
            let mut candidates = source.candidates()?;
            if candidates.is_empty() {
                if self.holds_secrets().await? {
                    let file = source.file().map(PathBuf::from).unwrap_or_default();
                    return Err(VaultError::KeyLost(file));
                }
                source.make()?;
                candidates = source.candidates()?;
            }
            let mark = self.stored(PURPOSES, MARK).await?;
            if let Some(mark) = &mark {
                for candidate in &candidates {
                    let seal = Seal::new(&candidate.key);
                    if seal.open(self.place(PURPOSES, MARK), mark).is_ok() {
                        if let (true, Some(file)) = (candidate.is_next, source.file()) {
                            // A rotation ended before its last step.
                            key::promote(file)?;
                        }
                        let mark = mark.clone();
                        return Ok(Opened { seal, mark });
                    }
                }
                if self.holds_secrets().await? {
                    // The key may have been replaced between the two looks.
                    continue;
                }
            }
            let Some(first) = candidates.first() else {
                continue;
            };
            let seal = Seal::new(&first.key);
            if mark.is_none() && !self.fits(&seal).await? {
                return Err(VaultError::OtherKey);
            }
            let set = SetMark {
                was: mark,
                mark: seal.close(self.place(PURPOSES, MARK), "mark")?,
            };
            self.writer.run(set).await?;
        }
        Err(VaultError::OtherKey)
    }

    /// Whether a key opens what an earlier version has sealed, which set no mark.
    async fn fits(&self, seal: &Seal) -> Result<bool, VaultError> {
        let any: Option<(String, String, Vec<u8>)> = sqlx::query_as(
            "SELECT account, credential, sealed FROM secret WHERE tenant = ? LIMIT 1",
        )
        .bind(&self.context.tenant)
        .fetch_optional(&self.readers)
        .await
        .map_err(self.context.failed("reading a credential"))?;
        Ok(any.is_none_or(|(account, credential, sealed)| {
            seal.open(self.place(&account, &credential), &sealed)
                .is_ok()
        }))
    }

    async fn stored(&self, account: &str, credential: &str) -> Result<Option<Vec<u8>>, StoreError> {
        sqlx::query_scalar(
            "SELECT sealed FROM secret WHERE tenant = ? AND account = ? AND credential = ?",
        )
        .bind(&self.context.tenant)
        .bind(account)
        .bind(credential)
        .fetch_optional(&self.readers)
        .await
        .map_err(self.context.failed("reading a credential"))
    }

    /// Whether there is anything but the mark.
    async fn holds_secrets(&self) -> Result<bool, StoreError> {
        sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM secret WHERE tenant = ? AND NOT (account = ? AND credential = ?))",
        )
        .bind(&self.context.tenant)
        .bind(PURPOSES)
        .bind(MARK)
        .fetch_one(&self.readers)
        .await
        .map_err(self.context.failed("looking for credentials"))
    }

    fn place<'a>(&'a self, account: &'a str, credential: &'a str) -> Place<'a> {
        Place {
            tenant: &self.context.tenant,
            account,
            credential,
        }
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
        .bind(PURPOSES)
        .bind(purpose)
        .fetch_one(self.readers())
        .await
        .map_err(self.context().failed("looking for a key's proof"))
    }
}
