//! Where the vault's key is, and how one file follows another when it is replaced.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::XChaCha20Poly1305;
use chacha20poly1305::aead::{Generate, Key};
use secrecy::{ExposeSecret, SecretString};

use super::VaultError;
use crate::files;

/// The vault's key.
pub(super) type VaultKey = Key<XChaCha20Poly1305>;

/// Where the key is.
#[derive(Clone)]
pub enum KeySource {
    /// A file with 32 random bytes as base64, readable by its owner alone. Created when it is missing and the store
    /// holds no credentials yet.
    File(PathBuf),
    /// A file that somebody else guards and fills, such as a credential of systemd's. Never created or replaced, and
    /// its access rights are not ours to judge: systemd grants them by an access-control list.
    Given(PathBuf),
    /// 32 random bytes as base64, from an environment variable or a secret manager.
    Base64(SecretString),
}

/// A key that may fit.
pub(super) struct Candidate {
    pub key: VaultKey,
    /// A rotation was to make it the key, and may have ended before it did.
    pub is_next: bool,
}

impl KeySource {
    /// The keys that may fit: one, or two in the middle of a rotation. None if there is no file yet.
    pub(super) fn candidates(&self) -> Result<Vec<Candidate>, VaultError> {
        let file = match self {
            Self::Base64(text) => {
                return Ok(vec![current(parse("the value", text.expose_secret())?)]);
            }
            Self::Given(file) => {
                let key = read(file, false)?;
                return Ok(vec![current(
                    key.ok_or_else(|| failed(file, ErrorKind::NotFound.into()))?,
                )]);
            }
            Self::File(file) => file,
        };
        let next = read(&next_to(file), true)?.map(|key| Candidate { key, is_next: true });
        Ok(read(file, true)?
            .map(current)
            .into_iter()
            .chain(next)
            .collect())
    }

    /// Makes the file that is missing.
    pub(super) fn make(&self) -> Result<VaultKey, VaultError> {
        match self {
            Self::File(file) => publish(file, &VaultKey::generate()),
            // They gave a key or failed.
            Self::Given(_) | Self::Base64(_) => Err(VaultError::NotAKey("the value".to_owned())),
        }
    }

    /// The file to be made.
    pub(super) fn file(&self) -> Option<&Path> {
        match self {
            Self::File(file) => Some(file),
            Self::Given(_) | Self::Base64(_) => None,
        }
    }

    /// The only key there.
    pub(super) fn key(&self) -> Result<VaultKey, VaultError> {
        let found = match self {
            Self::Base64(text) => Some(parse("the value", text.expose_secret())?),
            Self::Given(file) => read(file, false)?,
            Self::File(file) => read(file, true)?,
        };
        found.ok_or_else(|| VaultError::NotAKey("the place".to_owned()))
    }
}

fn current(key: VaultKey) -> Candidate {
    Candidate {
        key,
        is_next: false,
    }
}

/// Where the key that is to follow stands until everything is sealed with it.
pub(super) fn next_to(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

/// The key that is to follow: the given one, or a new one. What an earlier rotation left is used, and never removed:
/// another process may be about to seal with it.
pub(super) fn prepare(file: &Path, given: Option<&VaultKey>) -> Result<VaultKey, VaultError> {
    let next = next_to(file);
    let wanted = given.copied();
    let key = match read(&next, true)? {
        Some(left) => left,
        None => publish(&next, &wanted.unwrap_or_else(VaultKey::generate))?,
    };
    match wanted {
        Some(wanted) if wanted != key => Err(VaultError::Unfinished(next)),
        _ => Ok(key),
    }
}

/// Everything is sealed with the key that was to follow: it is the key now.
pub(super) fn promote(file: &Path) -> Result<(), VaultError> {
    match std::fs::rename(next_to(file), file) {
        Ok(()) => {}
        // Another process has done it, because it met the store like this.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(file, error)),
    }
    File::open(files::directory(file))
        .and_then(|directory| directory.sync_all())
        .map_err(|error| failed(file, error))
}

fn failed(file: &Path, source: std::io::Error) -> VaultError {
    VaultError::KeyFile {
        file: file.to_owned(),
        source,
    }
}

fn parse(place: &str, text: &str) -> Result<VaultKey, VaultError> {
    let not_a_key = || VaultError::NotAKey(place.to_owned());
    let bytes = STANDARD.decode(text.trim()).map_err(|_| not_a_key())?;
    let bytes: [u8; 32] = bytes.try_into().map_err(|_| not_a_key())?;
    Ok(bytes.into())
}

/// `ours`: its access rights are checked.
fn read(file: &Path, ours: bool) -> Result<Option<VaultKey>, VaultError> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => SecretString::from(text),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == ErrorKind::InvalidData => {
            return Err(VaultError::NotAKey(file.display().to_string()));
        }
        Err(error) => return Err(failed(file, error)),
    };
    #[cfg(unix)]
    if ours {
        use std::os::unix::fs::PermissionsExt;
        match std::fs::metadata(file) {
            Ok(found) if found.permissions().mode() & 0o077 != 0 => {
                return Err(VaultError::Exposed(file.to_owned()));
            }
            Ok(_) => {}
            // A rotation has just given it its place.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(failed(file, error)),
        }
    }
    parse(&file.display().to_string(), text.expose_secret()).map(Some)
}

/// Writes a key. The file appears whole or not at all; if another process was faster, its key is taken.
fn publish(file: &Path, key: &VaultKey) -> Result<VaultKey, VaultError> {
    let failed = |source| failed(file, source);
    let mut draft = files::draft(file).map_err(failed)?;
    writeln!(draft, "{}", STANDARD.encode(key)).map_err(failed)?;
    draft.as_file().sync_all().map_err(failed)?;
    if files::publish(draft.into_temp_path(), file).map_err(failed)? {
        Ok(*key)
    } else {
        read(file, true)?.ok_or_else(|| failed(ErrorKind::NotFound.into()))
    }
}
