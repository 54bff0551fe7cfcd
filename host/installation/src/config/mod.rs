//! The configuration file: reading it with every problem found at once, and its JSON Schema.

mod check;
mod document;
pub mod edit;
mod load;
mod problem;
mod settings;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use samspel_engine::spec::SyncSpec;

pub use check::duration;
pub use load::is_name;
pub use problem::ConfigError;
pub use settings::{
    AccountSettings, AlertSettings, CredentialSettings, EmailSettings, HookMode, HookSettings,
    HostSettings, SecretSettings, ServerSettings, TlsSettings, WebhookSettings,
};

use document::Document;

/// Configurations are written by hand; a larger file is something else.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// A configuration in which nothing is wrong.
#[derive(Debug)]
pub struct Config {
    file: PathBuf,
    /// `[host]`
    pub host: HostSettings,
    /// `[server]`
    pub server: ServerSettings,
    /// `[alerts]`
    pub alerts: AlertSettings,
    /// `[hooks.*]`
    pub hooks: BTreeMap<String, HookSettings>,
    /// `[accounts.*]`
    pub accounts: BTreeMap<String, AccountSettings>,
    /// `[syncs.*]`
    pub syncs: BTreeMap<String, SyncSpec>,
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let unreadable = |why: String| {
            ConfigError::of_file(
                file,
                why,
                "write one with `samspel init`, or name another with `--config FILE` or SAMSPEL_CONFIG",
            )
        };
        let size = std::fs::metadata(file)
            .map_err(|error| unreadable(format!("the file cannot be read: {error}")))?
            .len();
        if size > MAX_BYTES {
            return Err(unreadable(format!(
                "the file has {size} bytes, more than the {MAX_BYTES} a configuration may have"
            )));
        }
        let text = std::fs::read_to_string(file)
            .map_err(|error| unreadable(format!("the file cannot be read: {error}")))?;
        Self::parse(file, &text)
    }

    /// Checks a text that stands (or would stand) in `file`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(file: &Path, text: &str) -> Result<Self, ConfigError> {
        let document = Document::parse(file, text).map_err(ConfigError)?;
        let mut problems = Vec::new();
        let settings = load::read(&document, &mut problems);
        check::check(&document, &settings, &mut problems);
        if !problems.is_empty() {
            problems.sort_by_key(problem::Problem::place);
            return Err(ConfigError(problems));
        }
        Ok(Self {
            file: file.to_owned(),
            host: settings.host,
            server: settings.server,
            alerts: settings.alerts,
            hooks: settings.hooks,
            accounts: settings.accounts,
            syncs: settings.syncs,
        })
    }

    /// The file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// What is stored about an account's records is kept under this.
    pub fn account_id<'a>(&'a self, name: &'a str) -> &'a str {
        let account = self.accounts.get(name);
        account
            .and_then(|account| account.id.as_deref())
            .unwrap_or(name)
    }

    /// The syncs of an account, in the order of their names.
    pub fn syncs_of<'a>(&'a self, account: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.syncs
            .iter()
            .filter(move |(_, sync)| sync.a.account == account || sync.b.account == account)
            .map(|(name, _)| name.as_str())
    }

    /// What is stored about a sync is kept under this.
    pub fn sync_id<'a>(&'a self, name: &'a str) -> &'a str {
        let sync = self.syncs.get(name);
        sync.and_then(|sync| sync.id.as_deref()).unwrap_or(name)
    }

    /// A path in the configuration is relative to the file's directory.
    pub fn resolve(&self, path: &Path) -> PathBuf {
        match self.file.parent() {
            Some(directory) if !directory.as_os_str().is_empty() => directory.join(path),
            _ => path.to_owned(),
        }
    }
}

/// The JSON Schema of the configuration file, for editors.
pub fn json_schema() -> serde_json::Value {
    let mut schema = schemars::schema_for!(settings::ConfigFile);
    schema.insert("title".to_owned(), "Samspel configuration".into());
    schema.to_value()
}

#[cfg(test)]
mod tests;
