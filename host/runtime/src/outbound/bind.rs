//! Binds what a descriptor asks for to what the operator configured. Everything that can be wrong is told here, before
//! the first request.

use std::sync::Arc;

use reqwest::header::{HeaderName, HeaderValue};
use samspel_model::descriptor::{AuthKind, AuthScheme, Descriptor};
use secrecy::{ExposeSecret, SecretString};
use url::{Origin, Url};

use super::budget::Budget;
use super::credentials::{Credentials, Means, Position};
use super::egress::{Egress, origin_text};
use super::exchange::{Client, Wire};
use super::oauth::{Inner, Oauth};
use super::overrides::{self, Overrides};
use super::scrub::{SHORTEST, Scrubber};
use super::signing::Signer;
use super::stats::Counters;
use super::token_endpoint::TokenEndpoint;
use super::{Authorisation, Outbound, template};
use crate::account::{AccountConfig, Credential};
use crate::error::BindError;

/// A credential with the scheme that is used.
struct Chosen<'a> {
    name: &'a str,
    scheme: &'a AuthScheme,
    credential: &'a Credential,
    oauth: Option<OauthUrls>,
}

/// The addresses of a credential of OAuth 2.
struct OauthUrls {
    /// Where a person grants access, in a browser; or why it cannot be told, which is no matter until somebody is to go
    /// there.
    authorize: Result<Url, BindError>,
    /// Where the host gets tokens.
    token: Url,
}

/// Names the account in errors.
struct Binding<'a> {
    descriptor: &'a Descriptor,
    account: &'a AccountConfig,
}

impl Outbound {
    /// Binds what the descriptor asks for to what the operator configured. `before`: another binding of the same
    /// account, with which its budget is shared. Access tokens are not: each binding takes secrets out of what it lets
    /// through, and knows its own. Two bindings that refresh a token meet in the token store, as two processes do.
    ///
    /// # Errors
    /// A setting, credential or endpoint that is missing or wrong.
    pub fn new(
        client: Arc<Client>,
        descriptor: &Descriptor,
        account: &AccountConfig,
        before: Option<&Self>,
    ) -> Result<Self, BindError> {
        let binding = Binding {
            descriptor,
            account,
        };
        let Reach {
            egress,
            chosen,
            token_urls,
            overrides,
        } = binding.reach()?;
        let scrubber = Arc::new(Scrubber::new(binding.secrets(&chosen)?));
        let wire = Arc::new(Wire {
            account: account.name.clone(),
            client,
            overrides,
            limits: account.limits.clone(),
            counters: Arc::new(Counters::default()),
        });
        let means = chosen
            .iter()
            .map(|chosen| {
                Ok((
                    chosen.name.to_owned(),
                    binding.means(chosen, &wire, &scrubber)?,
                ))
            })
            .collect::<Result<_, BindError>>()?;
        let declared = account
            .rate_limits
            .then_some(descriptor.rate_limits.as_slice());
        let budget = Budget::new(&account.limits, declared);
        Ok(Self {
            egress,
            token_sources: token_urls
                .iter()
                .map(|url| format!("POST: {url} (access tokens, by the host only)"))
                .collect(),
            credentials: Credentials::new(means),
            reserved: binding.reserved()?,
            budget: match before {
                Some(before) => budget.shared_with(&before.budget),
                None => budget,
            },
            scrubber,
            wire,
        })
    }
}

impl Authorisation {
    /// What it takes to authorise a credential of an account. Its secret is not there yet and is not looked at.
    ///
    /// # Errors
    /// A setting or endpoint that is missing or wrong, or a credential that is not one of OAuth 2.
    pub fn new(
        client: Arc<Client>,
        descriptor: &Descriptor,
        account: &AccountConfig,
        credential: &str,
    ) -> Result<Self, BindError> {
        let binding = Binding {
            descriptor,
            account,
        };
        let Reach {
            chosen, overrides, ..
        } = binding.reach()?;
        let found = chosen.iter().find(|chosen| chosen.name == credential);
        let Some((chosen, AuthKind::Oauth2(oauth), Some(urls))) =
            found.map(|chosen| (chosen, &chosen.scheme.kind, &chosen.oauth))
        else {
            return Err(binding.credential(credential, "is not used by OAuth 2"));
        };
        let Some(known) = chosen.credential.client.clone() else {
            return Err(binding.credential(credential, "OAuth 2 needs a `client-id`"));
        };
        let page = urls.authorize.as_ref().map_err(BindError::clone)?;
        binding.must_be_https(page, &overrides)?;
        // A browser goes there and not the host; it is still the operator who says where that is.
        let elsewhere = overrides.of(&page.origin());
        Ok(Self {
            authorize_url: elsewhere.map_or_else(|| page.clone(), |at| at.apply(page)),
            scopes: oauth.scopes.clone(),
            endpoint: TokenEndpoint {
                credential: credential.to_owned(),
                url: urls.token.clone(),
                scrubber: Arc::new(Scrubber::new(known.secret.iter().cloned().collect())),
                client: known,
                wire: Arc::new(Wire {
                    account: account.name.clone(),
                    client,
                    overrides,
                    limits: account.limits.clone(),
                    counters: Arc::new(Counters::default()),
                }),
            },
        })
    }
}

/// What may be reached, and with which credentials.
struct Reach<'a> {
    egress: Egress,
    chosen: Vec<Chosen<'a>>,
    token_urls: Vec<Url>,
    overrides: Overrides,
}

impl<'a> Binding<'a> {
    fn reach(&self) -> Result<Reach<'a>, BindError> {
        let egress = Egress::new(&self.descriptor.egress, &self.account.settings)
            .map_err(|error| self.template(error))?;
        let chosen = self.chosen()?;
        let oauth = || chosen.iter().filter_map(|chosen| chosen.oauth.as_ref());
        let overrides = self.overrides(&egress, oauth())?;
        let token_urls = oauth().map(|urls| urls.token.clone()).collect();
        Ok(Reach {
            egress,
            chosen,
            token_urls,
            overrides,
        })
    }

    fn template(&self, error: template::Unusable) -> BindError {
        let account = self.account.name.clone();
        if error.is_setting {
            BindError::Setting {
                account,
                setting: error.what,
                why: error.why,
            }
        } else {
            BindError::Endpoint {
                account,
                endpoint: error.what,
                why: format!("the connector declares it wrongly: {}", error.why),
            }
        }
    }

    fn credential(&self, name: &str, why: impl Into<String>) -> BindError {
        BindError::Credential {
            account: self.account.name.clone(),
            credential: name.to_owned(),
            why: why.into(),
        }
    }

    /// The scheme of each configured credential.
    fn chosen(&self) -> Result<Vec<Chosen<'a>>, BindError> {
        self.account
            .credentials
            .iter()
            .map(|(name, credential)| {
                let scheme = self.scheme(name, credential)?;
                let url = |text: &str| {
                    template::url(text, &self.account.settings)
                        .map_err(|error| self.template(error))
                };
                let oauth = match &scheme.kind {
                    AuthKind::Oauth2(oauth) => Some(OauthUrls {
                        authorize: url(&oauth.authorize_url),
                        token: url(&oauth.token_url)?,
                    }),
                    _ => None,
                };
                Ok(Chosen {
                    name,
                    scheme,
                    credential,
                    oauth,
                })
            })
            .collect()
    }

    fn scheme(&self, name: &str, credential: &Credential) -> Result<&'a AuthScheme, BindError> {
        let all = &self.descriptor.authentication;
        let offered: Vec<&AuthScheme> = all.iter().filter(|s| s.credential == name).collect();
        let names = || {
            let names: Vec<_> = offered.iter().map(|scheme| scheme.name.as_str()).collect();
            names.join(", ")
        };
        match (&credential.scheme, offered.as_slice()) {
            (_, []) => {
                let declared: Vec<_> = all
                    .iter()
                    .map(|scheme| scheme.credential.as_str())
                    .collect();
                Err(self.credential(
                    name,
                    format!(
                        "the connector does not declare it; it declares: {}",
                        declared.join(", ")
                    ),
                ))
            }
            (None, [only]) => Ok(only),
            (None, _) => Err(self.credential(name, format!("choose its `scheme`: {}", names()))),
            (Some(wanted), _) => offered
                .iter()
                .find(|scheme| scheme.name == *wanted)
                .copied()
                .ok_or_else(|| {
                    self.credential(
                        name,
                        format!("has no scheme `{wanted}`; choose one of: {}", names()),
                    )
                }),
        }
    }

    /// Overrides, and that everything else that the host reaches is https.
    fn overrides<'u>(
        &self,
        egress: &'u Egress,
        oauth: impl Iterator<Item = &'u OauthUrls> + Clone,
    ) -> Result<Overrides, BindError> {
        let reached = || {
            egress
                .origins()
                .chain(oauth.clone().map(|urls| &urls.token))
        };
        let pages = oauth
            .clone()
            .filter_map(|urls| urls.authorize.as_ref().ok());
        let mut known: Vec<Origin> = Vec::new();
        for url in reached().chain(pages) {
            if !known.contains(&url.origin()) {
                known.push(url.origin());
            }
        }
        let overrides = Overrides::new(&self.account.endpoints, &known).map_err(
            |overrides::Unusable { endpoint, why }| BindError::Endpoint {
                account: self.account.name.clone(),
                endpoint,
                why,
            },
        )?;
        for url in reached() {
            self.must_be_https(url, &overrides)?;
        }
        Ok(overrides)
    }

    fn must_be_https(&self, url: &Url, overrides: &Overrides) -> Result<(), BindError> {
        if url.scheme() == "https" || overrides.of(&url.origin()).is_some() {
            return Ok(());
        }
        let endpoint = origin_text(&url.origin());
        Err(BindError::Endpoint {
            account: self.account.name.clone(),
            why: format!(
                "is not https; use https, or grant this very address with an endpoint override: \
                 \"{endpoint}\" = \"{endpoint}\""
            ),
            endpoint,
        })
    }

    /// Everything that must never be seen.
    fn secrets(&self, chosen: &[Chosen<'_>]) -> Result<Vec<SecretString>, BindError> {
        let mut secrets = Vec::new();
        for chosen in chosen {
            let text = chosen.credential.secret.expose_secret();
            if text.is_empty() {
                return Err(self.credential(chosen.name, "is empty"));
            }
            if text.len() < SHORTEST {
                tracing::warn!(
                    account = %self.account.name,
                    credential = chosen.name,
                    "the secret has fewer than {SHORTEST} bytes, which is too short to be redacted where the remote echoes it"
                );
            }
            match &chosen.scheme.kind {
                AuthKind::Basic(user) => {
                    let pair = self.pair(user.as_deref(), chosen)?;
                    if let Some((_, password)) = pair.expose_secret().split_once(':') {
                        secrets.push(password.into());
                    }
                    secrets.push(pair);
                }
                AuthKind::Signing(signing) => {
                    let signer = Signer::new(
                        chosen.name,
                        signing.clone(),
                        chosen.credential.secret.clone(),
                    );
                    secrets.push(signer.key_text());
                    secrets.push(chosen.credential.secret.clone());
                }
                _ => secrets.push(chosen.credential.secret.clone()),
            }
            let client = chosen.credential.client.as_ref();
            secrets.extend(client.and_then(|client| client.secret.clone()));
        }
        Ok(secrets)
    }

    /// User name and password of Basic authentication.
    fn pair(&self, user: Option<&str>, chosen: &Chosen<'_>) -> Result<SecretString, BindError> {
        let secret = chosen.credential.secret.expose_secret();
        match user {
            Some(user) => {
                let user = template::user(user, &self.account.settings)
                    .map_err(|error| self.template(error))?;
                Ok(format!("{user}:{secret}").into())
            }
            None if secret.contains(':') => Ok(secret.into()),
            None => Err(self.credential(chosen.name, "must be <user>:<password>")),
        }
    }

    fn means(
        &self,
        chosen: &Chosen<'_>,
        wire: &Arc<Wire>,
        scrubber: &Arc<Scrubber>,
    ) -> Result<Means, BindError> {
        let Chosen {
            name, credential, ..
        } = chosen;
        let secret = credential.secret.clone();
        let in_header = |secret: &SecretString| {
            HeaderValue::from_bytes(secret.expose_secret().as_bytes()).map(|_| ()).map_err(|_| {
                self.credential(
                    name,
                    "holds a line break or another control character, which no header can hold; check the end of its file",
                )
            })
        };
        Ok(match &chosen.scheme.kind {
            AuthKind::Bearer => {
                in_header(&secret)?;
                Means::Bearer(secret)
            }
            AuthKind::Basic(user) => Means::Basic(self.pair(user.as_deref(), chosen)?),
            AuthKind::Header(header) => {
                in_header(&secret)?;
                Means::Header(self.header(name, header)?, secret)
            }
            AuthKind::Query(parameter) => Means::Query(parameter.clone(), secret),
            AuthKind::Body(positions) => {
                let positions = positions
                    .iter()
                    .map(Position::new)
                    .collect::<Result<_, _>>();
                Means::Body(positions.map_err(|why| self.credential(name, why))?, secret)
            }
            AuthKind::Oauth2(_) => {
                let (Some(client), Some(urls)) = (&credential.client, &chosen.oauth) else {
                    return Err(self.credential(name, "OAuth 2 needs a `client-id`"));
                };
                Means::Oauth(Oauth::new(Inner {
                    endpoint: TokenEndpoint {
                        credential: (*name).to_owned(),
                        url: urls.token.clone(),
                        client: client.clone(),
                        wire: Arc::clone(wire),
                        scrubber: Arc::clone(scrubber),
                    },
                    configured: secret,
                    store: self.account.tokens.clone(),
                    state: Arc::default(),
                }))
            }
            AuthKind::Signing(signing) => {
                Means::Signing(Signer::new(name, signing.clone(), secret))
            }
            AuthKind::Other(kind) => {
                return Err(self.credential(
                    name,
                    format!(
                        "scheme `{}` is of a kind that this host does not know: {kind}",
                        chosen.scheme.name
                    ),
                ));
            }
        })
    }

    fn header(&self, credential: &str, name: &str) -> Result<HeaderName, BindError> {
        HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
            self.credential(
                credential,
                format!("the connector declares a header `{name}`, which is none"),
            )
        })
    }

    /// Headers in which credentials are placed, whether or not they are configured.
    fn reserved(&self) -> Result<Vec<HeaderName>, BindError> {
        self.descriptor
            .authentication
            .iter()
            .filter_map(|scheme| match &scheme.kind {
                AuthKind::Header(name) => Some(self.header(&scheme.credential, name)),
                _ => None,
            })
            .collect()
    }
}
