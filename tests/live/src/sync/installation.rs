//! What an operator does first: a configuration file, and each credential in a file of its own.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use samspel_provision::ProvisionError;

use crate::error::LiveError;
use crate::ghost::GhostAccess;
use crate::odoo::OdooAccess;
use crate::server::Run;

/// The sync's name.
pub const SYNC: &str = "contacts";
/// The field of Odoo's contacts that shows a bounce to people.
pub const BOUNCE_FIELD: &str = "x_email_status";

/// Origins under which the configuration knows the servers: Samspel speaks https to public addresses only, and endpoint
/// overrides lead to the loopback interface.
const ODOO_ORIGIN: &str = "https://odoo.live.test";
const GHOST_ORIGIN: &str = "https://ghost.live.test";

/// A configured Samspel.
#[derive(Debug)]
pub struct Installation {
    /// Configuration and store; kept beside the logs, to look at afterwards.
    directory: PathBuf,
    config: PathBuf,
    /// What must appear nowhere.
    secrets: Vec<String>,
}

impl Installation {
    /// Writes configuration and credentials. The credentials end with the run.
    pub fn write(run: &Run, odoo: &OdooAccess, ghost: &GhostAccess) -> Result<Self, LiveError> {
        let credentials = run.data("credentials")?;
        let password = credentials.join("odoo-password");
        let admin_key = credentials.join("ghost-admin-key");
        secret(&password, &odoo.password)?;
        secret(&admin_key, &ghost.admin_key)?;
        let directory = run.directory().join("samspel");
        let config = directory.join("samspel.toml");
        let write = || {
            fs::create_dir(&directory)?;
            fs::write(&config, text(odoo, ghost, &password, &admin_key))
        };
        write().map_err(ProvisionError::file("write", &config))?;
        // The part of Ghost's key before the colon is public: it stands in every token.
        let signing_key = ghost.admin_key.rsplit(':').next().unwrap_or_default();
        Ok(Self {
            directory,
            config,
            secrets: vec![odoo.password.clone(), signing_key.to_owned()],
        })
    }

    /// The configuration file.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Files of the installation, and others, in which one of its secrets can be read.
    pub fn files_with_secrets(&self, others: &[&Path]) -> Result<Vec<PathBuf>, LiveError> {
        let mut files: Vec<PathBuf> = others.iter().map(|&file| file.to_owned()).collect();
        list_files(&self.directory, &mut files)
            .map_err(ProvisionError::file("read", &self.directory))?;
        let mut found = Vec::new();
        for file in files {
            let bytes = fs::read(&file).map_err(ProvisionError::file("read", &file))?;
            if self.secrets.iter().any(|secret| holds(&bytes, secret)) {
                found.push(file);
            }
        }
        Ok(found)
    }
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

fn list_files(directory: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            list_files(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// Writes a file that only this user can read.
fn secret(file: &Path, text: &str) -> Result<(), LiveError> {
    let write = || {
        fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(file)?
            .write_all(text.as_bytes())
    };
    Ok(write().map_err(ProvisionError::file("write", file))?)
}

fn text(odoo: &OdooAccess, ghost: &GhostAccess, password: &Path, admin_key: &Path) -> String {
    let OdooAccess {
        url,
        database,
        login,
        ..
    } = odoo;
    let ghost = &ghost.url;
    let password = password.display();
    let admin_key = admin_key.display();
    format!(
        r#"# Configuration of cargo xtask live. `samspel init --template odoo-ghost` writes one to start from.

[accounts.crm]
connector = "odoo"
credentials.password = {{ file = "{password}" }}
endpoints = {{ "{ODOO_ORIGIN}" = "{url}" }}

[accounts.crm.settings]
url = "{ODOO_ORIGIN}"
database = "{database}"
login = "{login}"
# Persons with an address who are no users of Odoo.
partner_filter = [["is_company", "=", false], ["email", "!=", false], ["user_ids", "=", false]]
partner_bounce_field = "{BOUNCE_FIELD}"

[accounts.publication]
connector = "ghost"
settings = {{ url = "{GHOST_ORIGIN}" }}
credentials.admin-key = {{ file = "{admin_key}" }}
endpoints = {{ "{GHOST_ORIGIN}" = "{ghost}" }}

[syncs.{SYNC}]
a = {{ account = "crm", collection = "partners" }}
b = {{ account = "publication", collection = "members" }}
match = {{ a = "email", b = "email" }}
new-members = "transactional"
first-sync = "a"
deliverability = "b-to-a"
fields = [
  {{ a = "email", b = "email" }},
  {{ a = "name", b = "name" }},
  {{ a = "comment", b = "note" }},
]
"#
    )
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::server::LiveDirectory;

    #[test]
    fn a_secret_is_in_its_own_file_only_and_found_where_it_is_not_supposed_to_be() {
        let root = tempfile::tempdir().unwrap();
        let run = LiveDirectory::new(root.path())
            .unwrap()
            .begin_run()
            .unwrap();
        let odoo = OdooAccess {
            url: "http://127.0.0.1:1".to_owned(),
            database: "d".to_owned(),
            login: "l".to_owned(),
            password: "Live-0123!".to_owned(),
        };
        let ghost = GhostAccess {
            url: "http://127.0.0.1:2".to_owned(),
            admin_key: "public:5ec2e7".to_owned(),
            owner: "o".to_owned(),
            password: "p".to_owned(),
        };
        let installation = Installation::write(&run, &odoo, &ghost).unwrap();
        let config = fs::read_to_string(installation.config()).unwrap();
        let file = config
            .lines()
            .find_map(|line| line.split_once("file = \"")?.1.split('"').next())
            .unwrap();
        let mode = fs::metadata(file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(
            installation.files_with_secrets(&[]).unwrap(),
            Vec::<PathBuf>::new()
        );

        let log = run.log("samspel");
        fs::write(&log, "public is no secret").unwrap();
        assert!(installation.files_with_secrets(&[&log]).unwrap().is_empty());
        fs::write(&log, "signed with 5ec2e7.").unwrap();
        assert_eq!(installation.files_with_secrets(&[&log]).unwrap(), [log]);
    }
}
