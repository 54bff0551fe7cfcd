//! Secrets, from where the configuration says they are. A secret never appears in a message.

use std::io::Read;
use std::path::PathBuf;

use secrecy::SecretString;
use thiserror::Error;

use crate::config::{Config, SecretSettings};

/// Longer than any token, and short enough to notice that the wrong file was named.
const MAX_BYTES: u64 = 64 * 1024;

/// Why a secret could not be read.
#[derive(Debug, Error)]
pub enum CredentialError {
    /// The environment variable is not set, or empty.
    #[error("environment variable {0} is not set")]
    NoVariable(String),
    /// The environment variable holds something that is not text.
    #[error("environment variable {0} does not hold UTF-8 text")]
    VariableNotText(String),
    /// The file cannot be read.
    #[error("{} cannot be read: {why}", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        why: String,
    },
    /// The file holds nothing.
    #[error("{} is empty", .0.display())]
    Empty(PathBuf),
    /// The configuration check refuses this.
    #[error("neither `env` nor `file` is set")]
    NoSource,
}

impl CredentialError {
    /// What to do.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::NoVariable(_) | Self::VariableNotText(_) => {
                "set it in the environment that samspel is started from"
            }
            Self::Unreadable { .. } | Self::Empty(_) => {
                "write the secret into the file, readable by samspel's user alone (chmod 600)"
            }
            Self::NoSource => "set `env` or `file`",
        }
    }
}

/// Reads a secret that a configuration refers to.
///
/// # Errors
/// It is not where the configuration says.
pub fn read(config: &Config, settings: &SecretSettings) -> Result<SecretString, CredentialError> {
    read_here(&SecretSettings {
        file: settings.file.as_ref().map(|file| config.resolve(file)),
        ..settings.clone()
    })
}

/// Reads a secret from a variable of this process or a file of this machine. White space around it is ignored, because
/// editors end files with a newline.
///
/// # Errors
/// It is not there.
pub fn read_here(settings: &SecretSettings) -> Result<SecretString, CredentialError> {
    if let Some(name) = &settings.env {
        let value = match std::env::var(name) {
            Ok(value) => value,
            Err(std::env::VarError::NotPresent) => {
                return Err(CredentialError::NoVariable(name.clone()));
            }
            Err(std::env::VarError::NotUnicode(_)) => {
                return Err(CredentialError::VariableNotText(name.clone()));
            }
        };
        let value = SecretString::from(value.trim());
        return if secrecy::ExposeSecret::expose_secret(&value).is_empty() {
            Err(CredentialError::NoVariable(name.clone()))
        } else {
            Ok(value)
        };
    }
    let Some(file) = &settings.file else {
        return Err(CredentialError::NoSource);
    };
    let file = file.clone();
    let unreadable = |why: String| CredentialError::Unreadable {
        file: file.clone(),
        why,
    };
    let mut text = String::new();
    std::fs::File::open(&file)
        .and_then(|opened| opened.take(MAX_BYTES + 1).read_to_string(&mut text))
        .map_err(|error| unreadable(error.to_string()))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(unreadable(format!("it holds more than {MAX_BYTES} bytes")));
    }
    match text.trim() {
        "" => Err(CredentialError::Empty(file)),
        secret => Ok(SecretString::from(secret)),
    }
}

/// Whether a credential's file can be read by others than its owner.
#[cfg(unix)]
pub fn is_exposed(config: &Config, settings: &SecretSettings) -> bool {
    use std::os::unix::fs::PermissionsExt;

    settings
        .file
        .as_ref()
        .and_then(|file| std::fs::metadata(config.resolve(file)).ok())
        .is_some_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::path::Path;

    use secrecy::ExposeSecret;

    use super::*;

    fn from_file(content: &[u8]) -> Result<SecretString, CredentialError> {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("secret"), content).unwrap();
        let config = Config::parse(&directory.path().join("samspel.toml"), "").unwrap();
        read(
            &config,
            &SecretSettings {
                file: Some("secret".into()),
                ..SecretSettings::default()
            },
        )
    }

    #[test]
    fn the_newline_that_editors_add_is_not_part_of_a_secret() {
        assert_eq!(from_file(b"abc\n").unwrap().expose_secret(), "abc");
    }

    #[test]
    fn a_file_without_a_secret_is_an_error() {
        assert!(matches!(from_file(b" \n"), Err(CredentialError::Empty(_))));
        assert!(matches!(
            from_file(&[0xff, 0xfe]),
            Err(CredentialError::Unreadable { .. })
        ));
        let large = vec![b'x'; 70_000];
        assert!(matches!(
            from_file(&large),
            Err(CredentialError::Unreadable { .. })
        ));
    }

    #[test]
    fn a_missing_variable_is_named() {
        let config = Config::parse(Path::new("samspel.toml"), "").unwrap();
        let settings = SecretSettings {
            env: Some("SAMSPEL_TEST_NOT_SET".to_owned()),
            ..SecretSettings::default()
        };
        let error = read(&config, &settings).unwrap_err();
        assert!(error.to_string().contains("SAMSPEL_TEST_NOT_SET"));
    }
}
