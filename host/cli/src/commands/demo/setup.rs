//! A configuration for the demo: what `samspel init` would have somebody write, with overrides that lead to the
//! simulators.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::vendors::Access;
use crate::args::DemoArgs;
use crate::exit::CliError;
use samspel_installation::{Config, Kind};

/// The demo's sync.
pub const SYNC: &str = "contacts";

/// The property of the simulated HubSpot that takes bounces.
pub const BOUNCE_PROPERTY: &str = "email_deliverability";

/// What the simulated HubSpot signs its notifications with.
pub const CLIENT_SECRET: &str = "the client secret of a demo";

/// How the demo's configuration begins, by which it is recognised.
const HEADER: &str = "# Configuration of samspel demo";

/// The sides as people see them.
pub fn names() -> [String; 2] {
    ["HubSpot".to_owned(), "Mailchimp".to_owned()]
}

/// Where configuration and store of the demo are.
pub enum Installed {
    /// To be kept.
    Kept(PathBuf),
    /// Removed with this value.
    Temporary(TempDir),
}

/// Writes configuration and credentials.
pub fn install(args: &DemoArgs, access: &Access) -> Result<Installed, CliError> {
    let installed = match &args.keep {
        Some(directory) => {
            fs::create_dir_all(directory)?;
            forget(directory)?;
            Installed::Kept(directory.clone())
        }
        None => Installed::Temporary(TempDir::with_prefix("samspel-demo-")?),
    };
    let directory = installed.directory();
    secret(&directory.join("hubspot-token"), &access.hubspot_token)?;
    secret(&directory.join("mailchimp-key"), &access.mailchimp_key)?;
    let mut text = text(access);
    if args.serve {
        secret(&directory.join("hubspot-secret"), CLIENT_SECRET)?;
        text.push_str(&server(free_port()?));
    }
    fs::write(directory.join("samspel.toml"), text)?;
    Ok(installed)
}

/// Removes what an earlier demo left: the simulators are new each time, and its store knows records that no longer
/// exist. What is not the demo's is not touched.
fn forget(directory: &Path) -> Result<(), CliError> {
    let store = ["samspel.db", "samspel.db-wal", "samspel.db-shm"].map(|name| directory.join(name));
    let ours = match fs::read_to_string(directory.join("samspel.toml")) {
        Ok(text) => text.starts_with(HEADER),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            !store.iter().any(|file| file.exists())
        }
        Err(error) => return Err(error.into()),
    };
    if !ours {
        return Err(CliError::new(
            Kind::Usage,
            format!(
                "{} holds a configuration or a store that is not the demo's",
                directory.display()
            ),
        )
        .remedy("name another directory with --keep"));
    }
    for file in store {
        match fs::remove_file(&file) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}

impl Installed {
    /// The directory.
    pub fn directory(&self) -> &Path {
        match self {
            Self::Kept(directory) => directory,
            Self::Temporary(directory) => directory.path(),
        }
    }

    /// The directory, if it stays.
    pub fn kept(&self) -> Option<&Path> {
        match self {
            Self::Kept(directory) => Some(directory),
            Self::Temporary(_) => None,
        }
    }

    /// The configuration.
    pub fn config(&self) -> Result<Config, CliError> {
        Ok(Config::load(&self.directory().join("samspel.toml"))?)
    }
}

/// Writes a file that only this user can read.
fn secret(file: &Path, text: &str) -> Result<(), CliError> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    Ok(options.open(file)?.write_all(text.as_bytes())?)
}

/// A port that nobody uses now.
fn free_port() -> Result<u16, CliError> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// What `samspel serve` needs for notifications.
fn server(port: u16) -> String {
    format!(
        r#"
[server]
listen = "127.0.0.1:{port}"
public-url = "http://127.0.0.1:{port}"

[accounts.crm.credentials.webhook]
file = "hubspot-secret"
"#
    )
}

/// The data centre that an API key names.
fn data_centre(key: &str) -> &str {
    key.rsplit_once('-').map_or("us1", |(_, dc)| dc)
}

fn text(access: &Access) -> String {
    let Access {
        hubspot,
        mailchimp,
        mailchimp_key,
        list_id,
        subscription_id,
        ..
    } = access;
    let dc = data_centre(mailchimp_key);
    format!(
        r#"{HEADER}. `samspel init` writes one to start from.

[accounts.crm]
connector = "hubspot"
credentials.access = {{ scheme = "private-app-token", file = "hubspot-token" }}
endpoints = {{ "https://api.hubapi.com" = "{hubspot}" }}

[accounts.crm.settings]
subscription_id = {subscription_id}
bounce_property = "{BOUNCE_PROPERTY}"
bounce_values = {{ deliverable = "ok", soft_bounced = "soft_bounce", hard_bounced = "hard_bounce", complained = "hard_bounce" }}

[accounts.newsletter]
connector = "mailchimp"
settings = {{ dc = "{dc}", list_id = "{list_id}" }}
credentials.access = {{ scheme = "api-key", file = "mailchimp-key" }}
endpoints = {{ "https://{dc}.api.mailchimp.com" = "{mailchimp}" }}

[syncs.{SYNC}]
a = {{ account = "crm", collection = "contacts" }}
b = {{ account = "newsletter", collection = "members" }}
match = {{ a = "email", b = "email_address" }}
new-members = "transactional"
first-sync = "a"
fields = [
  {{ a = "email", b = "email_address" }},
  {{ a = "firstname", b = "FNAME" }},
  {{ a = "lastname", b = "LNAME" }},
  {{ a = "phone", b = "PHONE", normalize = "phone", region = "SE" }},
  {{ a = "company", b = "COMPANY" }},
]
"#
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_store_that_is_not_the_demos_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let store = directory.path().join("samspel.db");
        fs::write(&store, "precious").unwrap();
        assert!(forget(directory.path()).is_err());
        fs::write(directory.path().join("samspel.toml"), "[host]\n").unwrap();
        assert!(forget(directory.path()).is_err());
        assert!(store.exists());
        fs::write(directory.path().join("samspel.toml"), HEADER).unwrap();
        assert!(forget(directory.path()).is_ok());
        assert!(!store.exists());
    }

    #[test]
    fn the_configuration_is_correct() {
        let access = Access {
            hubspot: "http://127.0.0.1:1".to_owned(),
            mailchimp: "http://127.0.0.1:2".to_owned(),
            hubspot_token: "token".to_owned(),
            mailchimp_key: "key-us19".to_owned(),
            list_id: "list".to_owned(),
            subscription_id: "1".to_owned(),
        };
        let config = Config::parse(Path::new("samspel.toml"), &text(&access)).unwrap();
        assert_eq!(
            config.accounts["newsletter"].endpoints["https://us19.api.mailchimp.com"],
            "http://127.0.0.1:2"
        );
    }
}
