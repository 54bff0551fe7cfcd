//! The settings, as they stand in the file. Each comment here is the setting's documentation: it becomes the
//! description in the JSON Schema that editors show.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use samspel_engine::spec::SyncSpec;
use samspel_runtime::Limits;
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

/// Configuration of Samspel: accounts at remote systems, and syncs that keep two of them in step.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "describes the file for the JSON Schema; it is read section by section"
)]
pub struct ConfigFile {
    /// Where this installation keeps what it must remember, and where connectors are.
    #[serde(default)]
    pub host: HostSettings,
    /// What `samspel serve` listens to.
    #[serde(default)]
    pub server: ServerSettings,
    /// Whom `samspel serve` tells that something needs a person.
    #[serde(default)]
    pub alerts: AlertSettings,
    /// Addresses for notifications that serve several accounts, by name: of a remote that has one address for a whole
    /// app. Every account has an address of its own besides, under its own name.
    #[serde(default)]
    pub hooks: BTreeMap<String, HookSettings>,
    /// Accounts by name. A name is up to 63 lower-case letters, digits, `-` and `_`, and begins with a letter or a
    /// digit. What is stored about records is kept under it: an account that is renamed keeps it with `id`.
    #[serde(default)]
    pub accounts: BTreeMap<String, AccountSettings>,
    /// Syncs by name; the same rules hold for the names. Links, merge bases and queues are kept under it: a sync that
    /// is renamed keeps them with `id`, and one that is removed keeps them until `samspel sync purge`.
    #[serde(default)]
    pub syncs: BTreeMap<String, SyncSpec>,
}

/// Where this installation keeps what it must remember, and where connectors are.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct HostSettings {
    /// The SQLite database with links, merge bases, queues and history, relative to this file. Back it up: without it
    /// the next run is a first run.
    pub store: PathBuf,
    /// File with the key under which the store seals credentials that their servers replace (OAuth 2.0 refresh tokens)
    /// and hashes the addresses of erased people, relative to this file. It is made when it is needed. The environment
    /// variable `SAMSPEL_KEY` can hold the key instead, or systemd's credential `samspel.key`. Back it up, and not
    /// together with the store.
    pub key: PathBuf,
    /// Directory of connectors (`*.wasm`), relative to this file. Where it is not set, the one that the environment
    /// variable `SAMSPEL_CONNECTORS` names, or else `connectors` beside this file and beside the program.
    pub connectors: Option<PathBuf>,
    /// Directory for compiled connectors, relative to this file. It can be deleted at any time; connectors are then
    /// compiled again.
    pub cache: PathBuf,
    /// How many syncs `samspel serve` runs at the same time. Others wait for their turn.
    #[schemars(range(min = 1, max = 64))]
    pub concurrent_syncs: u32,
    /// Directory that `samspel serve` watches for new connectors, relative to this file. A connector that is put there
    /// (`NAME.wasm`, with `NAME.wasm.manifest.json` and `NAME.wasm.manifest.json.minisig` beside it) is installed if a
    /// trusted key signed it, and used if it asks for no more than was approved. Without it nothing is watched.
    pub watch: Option<PathBuf>,
    /// Directory for copies of the store that `samspel backup` makes, relative to this file. Another disk is a better
    /// place.
    pub backups: PathBuf,
}

impl Default for HostSettings {
    fn default() -> Self {
        Self {
            store: "samspel.db".into(),
            key: "samspel.key".into(),
            connectors: None,
            cache: ".samspel/compiled".into(),
            concurrent_syncs: 4,
            watch: None,
            backups: "backups".into(),
        }
    }
}

/// What `samspel serve` listens to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ServerSettings {
    /// Address and port of the API, and of everything that has no listener of its own. On another address than a
    /// loopback one, `tls` or a proxy that does it belongs in front.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// Address and port for notifications alone, so that nothing else can be reached from outside.
    #[schemars(with = "Option<String>")]
    pub hooks_listen: Option<SocketAddr>,
    /// Address and port for metrics alone. They are then given without a token.
    #[schemars(with = "Option<String>")]
    pub metrics_listen: Option<SocketAddr>,
    /// How remotes reach the notifications' listener: `https://sync.example.com`. Without it no remote is asked to send
    /// any, and signatures that cover the address cannot be checked.
    #[schemars(with = "Option<String>")]
    pub public_url: Option<Url>,
    /// Certificate and key, for TLS without a proxy. Both listeners of the API and of notifications use it.
    pub tls: Option<TlsSettings>,
    /// After a record was fetched because of a notification, further ones about it are gathered for so long.
    pub debounce: String,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8460)),
            hooks_listen: None,
            metrics_listen: None,
            public_url: None,
            tls: None,
            debounce: "200ms".to_owned(),
        }
    }
}

/// Certificate and key, in PEM files relative to this file. They are read again when the configuration is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TlsSettings {
    /// The certificate, and those between it and the root.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Whom `samspel serve` tells that something needs a person: a sync makes no progress, a remote refuses a credential, a
/// valve holds changes, a connector was rolled back.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct AlertSettings {
    /// A sync that did not end a run well for so long makes no progress.
    pub no_progress: String,
    /// What lasts is told again after so long.
    pub repeat: String,
    /// An address that is sent a signed document (<https://www.standardwebhooks.com>).
    pub webhook: Option<WebhookSettings>,
    /// People who get an e-mail.
    pub email: Option<EmailSettings>,
}

impl Default for AlertSettings {
    fn default() -> Self {
        Self {
            no_progress: "1h".to_owned(),
            repeat: "24h".to_owned(),
            webhook: None,
            email: None,
        }
    }
}

/// An address that is told, and the key that signs what it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct WebhookSettings {
    /// The address.
    #[schemars(with = "String")]
    pub url: Url,
    /// Where the key is: at least 24 random bytes, in base64, with or without `whsec_` before them.
    pub secret: SecretSettings,
}

/// People who get an e-mail, and the server that takes it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct EmailSettings {
    /// The server: `smtps://HOST[:PORT]` (TLS from the start), `smtp://HOST[:PORT]?tls=required` (STARTTLS), or
    /// `smtp://HOST[:PORT]` for one on this machine. Without a user name and without a password.
    #[schemars(with = "String")]
    pub server: Url,
    /// The user, if the server wants one.
    #[serde(default)]
    pub user: Option<String>,
    /// Where the user's password is.
    #[serde(default)]
    pub password: Option<SecretSettings>,
    /// From whom it comes.
    pub from: String,
    /// Who gets it.
    #[schemars(length(min = 1))]
    pub to: Vec<String>,
}

/// An address for notifications that serves several accounts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct HookSettings {
    /// The accounts, all with the same connector. The first one that is configured with the credential for it checks
    /// signatures.
    #[schemars(length(min = 1))]
    pub accounts: Vec<String>,
}

/// What is done about an account's notifications.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HookMode {
    /// The remote is asked to send them, where the connector can do that and `server.public-url` is set.
    #[default]
    Subscribe,
    /// They are taken; a person enters the address at the remote (`samspel hooks endpoints` shows it).
    Receive,
    /// They are not taken.
    Off,
}

/// One authenticated system: a connector, its settings and its credentials.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct AccountSettings {
    /// What is stored about records is kept under this, if not under the account's name. An account that is renamed
    /// keeps everything if its old name stands here.
    #[serde(default)]
    pub id: Option<String>,
    /// What is done about notifications.
    #[serde(default)]
    pub hooks: HookMode,
    /// The connector: its name (see `samspel connector list`), or the path of a `.wasm` file relative to this file.
    pub connector: String,
    /// The connector's own settings. `samspel connector inspect` shows which there are.
    #[serde(default)]
    pub settings: serde_json::Map<String, serde_json::Value>,
    /// Credentials by the name that the connector gives them (`samspel connector inspect` shows it). A credential is
    /// referred to and never written here.
    #[serde(default)]
    pub credentials: BTreeMap<String, CredentialSettings>,
    /// Operator's overrides of end points: requests for the origin on the left (`https://api.hubapi.com`) go to the one
    /// on the right (`http://127.0.0.1:8801`), with that scheme and to exactly that address. For simulators, tests and
    /// servers of your own; `samspel account check` shows them.
    #[serde(default)]
    pub endpoints: BTreeMap<String, String>,
    /// Whether the host keeps the rate limits that the connector names for its remote.
    #[serde(default = "yes")]
    pub rate_limits: bool,
    /// Overrides of the sandbox's limits for this account. What is not set keeps its default.
    #[serde(default)]
    pub limits: Limits,
}

fn yes() -> bool {
    true
}

/// Where a credential is found. Exactly one of `env`, `file` and `vault` is set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct CredentialSettings {
    /// Which of the connector's ways to authenticate is used, by its name. Needed only if there are several.
    pub scheme: Option<String>,
    /// Name of the environment variable that holds the secret.
    #[schemars(regex(pattern = "^[A-Za-z_][A-Za-z0-9_]*$"))]
    pub env: Option<String>,
    /// File that holds the secret, relative to this file. White space around the secret is ignored.
    pub file: Option<PathBuf>,
    /// The secret is sealed in the store, under the key that `host.key` names; `samspel account add` and `samspel
    /// account reauthorise` put it there.
    #[serde(default)]
    pub vault: bool,
    /// For OAuth 2.0, where the secret is the refresh token: the client's public id.
    pub client_id: Option<String>,
    /// For OAuth 2.0: where the client's own secret is, unless the client is public.
    pub client_secret: Option<SecretSettings>,
}

impl CredentialSettings {
    /// Where the secret is.
    pub fn secret(&self) -> SecretSettings {
        SecretSettings {
            env: self.env.clone(),
            file: self.file.clone(),
            vault: self.vault,
        }
    }
}

/// Where a secret is found. Exactly one of `env`, `file` and `vault` is set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SecretSettings {
    /// Name of the environment variable that holds the secret.
    #[schemars(regex(pattern = "^[A-Za-z_][A-Za-z0-9_]*$"))]
    pub env: Option<String>,
    /// File that holds the secret, relative to this file. White space around the secret is ignored.
    pub file: Option<PathBuf>,
    /// The secret is sealed in the store.
    #[serde(default)]
    pub vault: bool,
}
