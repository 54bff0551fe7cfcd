//! Authorising an account in a browser (OAuth 2.0 with PKCE): begun here, answered where the browser is.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use samspel_installation::config::{AccountSettings, CredentialSettings, HookMode};
use samspel_installation::connectors::is_path;
use samspel_installation::{Error, Kind, Secrets, place_of_client};
use samspel_model::access::Role;
use samspel_model::descriptor::AuthKind;
use samspel_runtime::Limits;
use samspel_runtime::outbound::{Authorisation, Begun};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::given::Given;
use super::{known, scheme};
use crate::operation::{Operation, Route, Work};

/// How long a person may take.
const PERSON: Duration = Duration::from_secs(15 * 60);

/// So many may wait for an answer at once.
const WAITING: usize = 100;

/// Authorisations that were begun and wait for an answer.
#[derive(Default)]
pub struct Authorisations(Mutex<HashMap<String, Waiting>>);

struct Waiting {
    account: String,
    credential: String,
    authorisation: Authorisation,
    begun: Begun,
    since: Instant,
}

impl Authorisations {
    fn keep(&self, state: String, waiting: Waiting) -> Result<(), Error> {
        let mut all = self.0.lock();
        all.retain(|_, waiting| waiting.since.elapsed() < PERSON);
        if all.len() >= WAITING {
            return Err(Error::new(
                Kind::Unavailable,
                "too many authorisations wait for an answer",
            )
            .remedy("try again in some minutes"));
        }
        all.insert(state, waiting);
        Ok(())
    }

    /// The secret that follows from an answer. Each is taken once.
    pub(super) async fn finish(
        &self,
        account: &str,
        credential: &str,
        state: &str,
        code: &SecretString,
    ) -> Result<SecretString, Error> {
        let found = self.0.lock().remove(state).filter(|waiting| {
            waiting.account == account
                && waiting.credential == credential
                && waiting.since.elapsed() < PERSON
        });
        let Some(waiting) = found else {
            return Err(Error::new(
                Kind::NotFound,
                format!(
                    "no authorisation of account `{account}` waits for this answer: it was answered before, or too late"
                ),
            )
            .remedy("begin again"));
        };
        let secret = waiting.authorisation.finish(&waiting.begun, code).await;
        secret.map_err(|error| Error::new(Kind::Account, format!("account `{account}`: {error}")))
    }
}

/// Begins to authorise an account in a browser. Of an account that is not there yet, its settings are said as well.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BeginAuthorisation {
    /// The account.
    pub account: String,
    /// The credential that is authorised.
    pub credential: String,
    /// Where the browser is sent with the answer: an address of this machine, `http://127.0.0.1:PORT/...` or
    /// `http://localhost:PORT/...`, or `https://`.
    pub redirect: String,
    /// Of a new account: its connector.
    #[serde(default)]
    pub connector: Option<String>,
    /// Of a new account: its connector's settings.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub settings: Map<String, Value>,
    /// Of a new account: origins whose requests go elsewhere.
    #[serde(default)]
    pub endpoints: BTreeMap<String, String>,
    /// Of a new account: the scheme, if the credential has several.
    #[serde(default)]
    pub scheme: Option<String>,
    /// Of a new account: the client's id.
    #[serde(default)]
    pub client_id: Option<String>,
    /// Of a new account: where the client's own secret comes from, if it has one.
    #[serde(default)]
    pub client_secret: Option<Given>,
}

/// What a person is asked to open.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct BegunAuthorisation {
    /// The address at which access is granted.
    pub url: String,
    /// By which the answer is recognised.
    pub state: String,
}

impl Operation for BeginAuthorisation {
    type Output = BegunAuthorisation;
    const ROUTE: Route = Route::post(
        "beginAuthorisation",
        "/accounts/{account}/authorisation",
        Role::Admin,
        "Begin to authorise an account in a browser",
    )
    .confidential();

    async fn run(&self, work: &Work<'_>) -> Result<BegunAuthorisation, Error> {
        if !may_be_sent_to(&self.redirect) {
            return Err(Error::new(
                Kind::Usage,
                "`redirect` is no address that a browser may be sent to with a code",
            )
            .remedy("name `http://127.0.0.1:PORT/...` or an address of `https://`"));
        }
        let (name, credential) = (self.account.as_str(), self.credential.as_str());
        let mut client = Secrets::new();
        let settings = match &self.connector {
            None => known(work.host, name)?.clone(),
            Some(connector) => {
                if is_path(connector) {
                    work.must_be_at_host("a file of the host's")?;
                }
                self.new_account(work, connector, &mut client).await?
            }
        };
        let installed = work.host.connector(&settings.connector).await?;
        let chosen = settings
            .credentials
            .get(credential)
            .and_then(|credential| credential.scheme.as_deref());
        let (scheme, _) = scheme(&installed.loaded.descriptor, credential, chosen)?;
        if !matches!(scheme.kind, AuthKind::Oauth2(_)) {
            return Err(Error::new(
                Kind::Usage,
                format!("credential `{credential}` is not authorised in a browser"),
            )
            .remedy("use `env:VARIABLE`, `file:PATH` or `prompt`"));
        }
        let client = client.get(&place_of_client(credential));
        let authorisation = work
            .host
            .authorisation(name, &settings, credential, client)
            .await?;
        let begun = authorisation
            .begin(&self.redirect)
            .map_err(|error| Error::new(Kind::Account, format!("account `{name}`: {error}")))?;
        let (url, state) = (
            begun.url().to_string(),
            begun.state().expose_secret().to_owned(),
        );
        let waiting = Waiting {
            account: name.to_owned(),
            credential: credential.to_owned(),
            authorisation,
            begun,
            since: Instant::now(),
        };
        work.authorisations.keep(state.clone(), waiting)?;
        Ok(BegunAuthorisation { url, state })
    }
}

impl BeginAuthorisation {
    /// The settings of an account that is not there yet, as far as the authorisation needs them.
    async fn new_account(
        &self,
        work: &Work<'_>,
        connector: &str,
        client: &mut Secrets,
    ) -> Result<AccountSettings, Error> {
        let place = place_of_client(&self.credential);
        let place = (
            self.account.as_str(),
            self.credential.as_str(),
            place.as_str(),
        );
        let client_secret = match &self.client_secret {
            Some(given) => Some(given.take(work, place, client).await?),
            None => None,
        };
        let credential = CredentialSettings {
            scheme: self.scheme.clone(),
            vault: true,
            client_id: self.client_id.clone(),
            client_secret,
            ..CredentialSettings::default()
        };
        Ok(AccountSettings {
            id: None,
            hooks: HookMode::default(),
            connector: connector.to_owned(),
            settings: self.settings.clone(),
            credentials: BTreeMap::from([(self.credential.clone(), credential)]),
            endpoints: self.endpoints.clone(),
            rate_limits: true,
            limits: Limits::default(),
        })
    }
}

/// A code goes to this machine (RFC 8252, section 7.3) or through TLS.
fn may_be_sent_to(redirect: &str) -> bool {
    url::Url::parse(redirect).is_ok_and(|url| match url.scheme() {
        "https" => true,
        // Some servers want the name; whoever listens there then holds it at both addresses.
        "http" => matches!(url.host_str(), Some("127.0.0.1" | "[::1]" | "localhost")),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_goes_to_this_machine_or_through_tls() {
        assert!(may_be_sent_to("http://127.0.0.1:3000/callback"));
        assert!(may_be_sent_to("http://[::1]:3000/callback"));
        assert!(may_be_sent_to("http://localhost:3000/callback"));
        assert!(may_be_sent_to("https://sync.example.com/callback"));
        for wrong in [
            "http://localhost.example.com/callback",
            "http://example.com/",
            "javascript:alert(1)",
            "",
        ] {
            assert!(!may_be_sent_to(wrong), "{wrong}");
        }
    }
}
