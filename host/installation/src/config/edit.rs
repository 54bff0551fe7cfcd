//! Changing the configuration file, which people write: what they wrote, how it is laid out and what they said about it
//! stays as it is.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, TableLike, Value, value};

use super::Config;
use super::settings::{AccountSettings, CredentialSettings, SecretSettings};
use crate::error::{Error, Kind};

/// The file, to be changed.
pub struct Editor {
    file: PathBuf,
    /// What it held when it was read.
    text: String,
    document: DocumentMut,
}

impl Editor {
    /// Reads the file.
    ///
    /// # Errors
    /// It cannot be read, or is not TOML.
    pub fn open(file: &Path) -> Result<Self, Error> {
        // A link stays one: what it leads to is replaced.
        let file = file
            .canonicalize()
            .map_err(|error| unwritable(file, &error))?;
        let text = std::fs::read_to_string(&file).map_err(|error| unwritable(&file, &error))?;
        let document = text.parse().map_err(|_| {
            // The parser's own words quote the line, which may hold a secret.
            Error::new(Kind::Config, format!("{} is not TOML", file.display()))
                .remedy("`samspel config check` names what is wrong")
        })?;
        Ok(Self {
            file,
            text,
            document,
        })
    }

    /// Adds an account.
    ///
    /// # Errors
    /// There is one of that name, or a value that TOML cannot express.
    pub fn add_account(&mut self, name: &str, account: &AccountSettings) -> Result<(), Error> {
        let mut table = Table::new();
        table.insert("connector", value(account.connector.as_str()));
        if !account.settings.is_empty() {
            table.insert("settings", value(object(account.settings.iter())?));
        }
        if !account.credentials.is_empty() {
            let mut credentials = Table::new();
            credentials.set_dotted(true);
            for (name, credential) in &account.credentials {
                credentials.insert(name, value(credential_table(credential)));
            }
            table.insert("credentials", Item::Table(credentials));
        }
        if !account.endpoints.is_empty() {
            let endpoints: InlineTable = account
                .endpoints
                .iter()
                .map(|(from, to)| (from.as_str(), Value::from(to.as_str())))
                .collect();
            table.insert("endpoints", value(endpoints));
        }
        if !account.rate_limits {
            table.insert("rate-limits", value(false));
        }
        let accounts = self.accounts()?;
        if accounts.contains_key(name) {
            return Err(
                Error::new(Kind::Usage, format!("there is an account `{name}`")).remedy(
                    "choose another name, or remove that one first: `samspel account remove`",
                ),
            );
        }
        accounts.insert(name, Item::Table(table));
        Ok(())
    }

    /// Removes an account; whether it was there.
    ///
    /// # Errors
    /// `accounts` is no table.
    pub fn remove_account(&mut self, name: &str) -> Result<bool, Error> {
        Ok(self.accounts()?.remove(name).is_some())
    }

    /// Says that a secret is sealed in the vault from now on, instead of where it was.
    ///
    /// # Errors
    /// There is no such credential.
    pub fn seal(&mut self, account: &str, credential: &str) -> Result<(), Error> {
        let table = self
            .accounts()?
            .get_mut(account)
            .and_then(|account| account.as_table_like_mut()?.get_mut("credentials"))
            .and_then(|credentials| credentials.as_table_like_mut()?.get_mut(credential))
            .and_then(Item::as_table_like_mut)
            .ok_or_else(|| {
                Error::new(
                    Kind::Config,
                    format!("there is no `accounts.{account}.credentials.{credential}`"),
                )
            })?;
        table.remove("env");
        table.remove("file");
        table.insert("vault", value(true));
        Ok(())
    }

    /// Writes the file: whole or not at all, and only if it is a configuration.
    ///
    /// # Errors
    /// It would not be one, somebody else changed it meanwhile, or it cannot be written.
    pub fn save(self) -> Result<(), Error> {
        let failed = |error: std::io::Error| unwritable(&self.file, &error);
        let text = self.document.to_string();
        Config::parse(&self.file, &text)?;
        if std::fs::read_to_string(&self.file).map_err(failed)? != self.text {
            return Err(Error::new(
                Kind::Failure,
                format!(
                    "{} was changed by somebody else meanwhile",
                    self.file.display()
                ),
            )
            .remedy("do it again"));
        }
        let directory = self.file.parent().unwrap_or(Path::new("."));
        let mut draft = tempfile::Builder::new()
            .prefix(".samspel-")
            .suffix(".draft")
            .tempfile_in(directory)
            .map_err(failed)?;
        draft.write_all(text.as_bytes()).map_err(failed)?;
        let rights = std::fs::metadata(&self.file).map_err(failed)?.permissions();
        draft.as_file().set_permissions(rights).map_err(failed)?;
        draft.as_file().sync_all().map_err(failed)?;
        draft
            .persist(&self.file)
            .map(drop)
            .map_err(|error| failed(error.error))
    }

    fn accounts(&mut self) -> Result<&mut dyn TableLike, Error> {
        let mut all = Table::new();
        all.set_implicit(true);
        self.document
            .entry("accounts")
            .or_insert(Item::Table(all))
            .as_table_like_mut()
            .ok_or_else(|| Error::new(Kind::Config, "`accounts` holds named tables"))
    }
}

fn unwritable(file: &Path, error: &std::io::Error) -> Error {
    Error::new(
        Kind::Config,
        format!("{} cannot be read or replaced: {error}", file.display()),
    )
    .remedy(
        "its directory must be writable by whoever changes accounts; or add the account by hand",
    )
}

fn credential_table(credential: &CredentialSettings) -> InlineTable {
    let mut table = InlineTable::new();
    if let Some(scheme) = &credential.scheme {
        table.insert("scheme", scheme.as_str().into());
    }
    place(&mut table, &credential.secret());
    if let Some(id) = &credential.client_id {
        table.insert("client-id", id.as_str().into());
    }
    if let Some(secret) = &credential.client_secret {
        let mut client = InlineTable::new();
        place(&mut client, secret);
        table.insert("client-secret", client.into());
    }
    table
}

fn place(table: &mut InlineTable, secret: &SecretSettings) {
    if let Some(name) = &secret.env {
        table.insert("env", name.as_str().into());
    }
    if let Some(file) = &secret.file {
        table.insert("file", file.to_string_lossy().as_ref().into());
    }
    if secret.vault {
        table.insert("vault", true.into());
    }
}

fn object<'a>(members: impl Iterator<Item = (&'a String, &'a Json)>) -> Result<InlineTable, Error> {
    members
        .map(|(name, json)| Ok((name.as_str(), toml(name, json)?)))
        .collect::<Result<BTreeMap<_, _>, Error>>()
        .map(|members| members.into_iter().collect())
}

fn toml(name: &str, json: &Json) -> Result<Value, Error> {
    Ok(match json {
        Json::String(text) => text.as_str().into(),
        Json::Bool(yes) => (*yes).into(),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => whole.into(),
            (None, Some(number)) => number.into(),
            (None, None) => return Err(inexpressible(name)),
        },
        Json::Array(items) => Value::Array(
            items
                .iter()
                .map(|item| toml(name, item))
                .collect::<Result<Array, Error>>()?,
        ),
        Json::Object(members) => Value::InlineTable(object(members.iter())?),
        Json::Null => return Err(inexpressible(name)),
    })
}

fn inexpressible(name: &str) -> Error {
    Error::new(
        Kind::Usage,
        format!("the setting `{name}` has a value that the configuration cannot hold"),
    )
    .remedy("leave it out")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    const BEFORE: &str = "# Ours.\n[host]\nstore   = \"x.db\"   # not default\n\n# The CRM, see wiki.\n\
        [accounts.crm]\nconnector = \"hubspot\"\ncredentials.access = { env = \"T\", scheme = \"oauth\", client-id = \"c\" } # Bo has it\n\n\
        # All of them.\n[syncs]\n";

    fn edited(edit: impl FnOnce(&mut Editor)) -> String {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("samspel.toml");
        std::fs::write(&file, BEFORE).unwrap();
        let mut editor = Editor::open(&file).unwrap();
        edit(&mut editor);
        editor.save().unwrap();
        std::fs::read_to_string(&file).unwrap()
    }

    fn account() -> AccountSettings {
        serde_json::from_value(json!({
            "connector": "mailchimp",
            "settings": { "dc": "us1", "pages": 3, "lists": ["a", "b"] },
            "credentials": { "access": { "vault": true } },
            "endpoints": { "https://us1.api.mailchimp.com": "http://127.0.0.1:1" },
        }))
        .unwrap()
    }

    #[test]
    fn adding_an_account_adds_lines_and_changes_none() {
        let after = edited(|editor| editor.add_account("news", &account()).unwrap());
        let added: Vec<&str> = {
            let mut old = BEFORE.lines().peekable();
            after
                .lines()
                .filter(|line| {
                    let is_old = old.peek() == Some(line);
                    if is_old {
                        old.next();
                    }
                    !is_old
                })
                .collect()
        };
        for line in BEFORE.lines() {
            assert!(after.lines().any(|found| found == line), "{line}\n{after}");
        }
        assert!(added.contains(&"[accounts.news]"), "{after}");
        assert!(
            added.contains(&"credentials.access = { vault = true }"),
            "{after}"
        );
        assert!(
            added.contains(&"settings = { dc = \"us1\", lists = [\"a\", \"b\"], pages = 3 }"),
            "{after}"
        );
    }

    #[test]
    fn what_was_added_is_read_and_can_be_removed() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("samspel.toml");
        std::fs::write(&file, "").unwrap();
        let mut editor = Editor::open(&file).unwrap();
        editor.add_account("news", &account()).unwrap();
        assert!(editor.add_account("news", &account()).is_err());
        editor.save().unwrap();
        let config = Config::load(&file).unwrap();
        assert_eq!(config.accounts["news"].settings["pages"], 3);
        assert!(config.accounts["news"].credentials["access"].vault);
        let mut editor = Editor::open(&file).unwrap();
        assert!(editor.remove_account("news").unwrap());
        assert!(!editor.remove_account("news").unwrap());
        editor.save().unwrap();
        assert!(Config::load(&file).unwrap().accounts.is_empty());
    }

    #[test]
    fn a_secret_is_said_to_be_sealed_where_it_was_said_to_be() {
        let after = edited(|editor| editor.seal("crm", "access").unwrap());
        assert!(
            after.contains("vault = true") && after.contains("# Bo has it"),
            "{after}"
        );
        assert!(!after.contains("env ="), "{after}");
    }

    #[test]
    fn what_somebody_else_wrote_meanwhile_stays() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("samspel.toml");
        std::fs::write(&file, BEFORE).unwrap();
        let mut editor = Editor::open(&file).unwrap();
        editor.add_account("news", &account()).unwrap();
        std::fs::write(&file, "# theirs\n").unwrap();
        assert!(editor.save().is_err());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "# theirs\n");
    }
}
