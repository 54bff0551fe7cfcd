//! Secrets as they are handed over: from the environment, a file, a person, or an authorisation in the browser. A
//! secret is never an argument, never echoed, and never part of a message.

use std::path::PathBuf;

use dialoguer::{Input, Password, Select};
use samspel_installation::config::SecretSettings;
use samspel_installation::{Kind, credentials};
use samspel_model::descriptor::{AuthKind, AuthScheme, Descriptor};
use samspel_operations::accounts::{AddAccount, BeginAuthorisation, Given};
use samspel_server::{Loopback, Name};
use secrecy::{ExposeSecret, SecretString};

use crate::args::SecretArgs;
use crate::commands::ask::somebody;
use crate::exit::CliError;
use crate::session::Session;

/// Where a secret comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum From {
    /// An environment variable.
    Env(String),
    /// A file.
    File(PathBuf),
    /// A person.
    Prompt,
    /// The browser.
    Authorise,
}

/// What the command line says about one credential.
#[derive(Debug, PartialEq, Eq)]
pub struct Said {
    /// Its name.
    pub name: String,
    /// How it is used.
    pub scheme: Option<String>,
    /// Where it comes from.
    pub from: From,
}

impl From {
    /// Understands `env:VARIABLE` and the like. What is not understood is not quoted: it may be the secret.
    fn parse(text: &str) -> Result<Self, CliError> {
        match text.split_once(':') {
            Some(("env", variable)) if !variable.is_empty() => Ok(Self::Env(variable.to_owned())),
            Some(("file", path)) if !path.is_empty() => std::path::absolute(path)
                .map(Self::File)
                .map_err(CliError::from),
            None if text == "prompt" => Ok(Self::Prompt),
            None if text == "authorise" || text == "authorize" => Ok(Self::Authorise),
            _ => Err(CliError::new(
                Kind::Usage,
                "it is not said where a secret comes from (what was said instead is not repeated: it may be the secret)",
            )
            .remedy(
                "write `env:VARIABLE`, `file:PATH`, `prompt` or `authorise`; if it was the secret, other users of this \
                 machine may have seen it: replace it at the vendor",
            )),
        }
    }
}

/// Understands all `--credential`.
pub fn said(args: &SecretArgs) -> Result<Vec<Said>, CliError> {
    args.credential
        .iter()
        .map(|text| {
            let (place, from) = text.split_once('=').ok_or_else(|| {
                CliError::new(
                    Kind::Usage,
                    "a --credential is not understood (and not repeated)",
                )
                .remedy("write `--credential NAME=env:VARIABLE`, or `NAME:SCHEME=...`")
            })?;
            let (name, scheme) = match place.split_once(':') {
                Some((name, scheme)) => (name, Some(scheme.to_owned())),
                None => (place, None),
            };
            Ok(Said {
                name: name.to_owned(),
                scheme,
                from: From::parse(from)?,
            })
        })
        .collect()
}

/// Collects the secrets of one account.
pub struct Collector<'a> {
    /// Where operations are done and people are asked.
    pub session: &'a Session,
    /// The account.
    pub name: &'a str,
    /// What the command line says.
    pub args: &'a SecretArgs,
    /// The account, if it is not there yet.
    pub new: Option<&'a AddAccount>,
}

impl Collector<'_> {
    /// A secret. `None`: a person has entered nothing.
    async fn read(&self, from: &From, question: String) -> Result<Option<SecretString>, CliError> {
        let place = match from {
            From::Env(name) => Some(SecretSettings {
                env: Some(name.clone()),
                ..SecretSettings::default()
            }),
            From::File(file) => Some(SecretSettings {
                file: Some(file.clone()),
                ..SecretSettings::default()
            }),
            From::Prompt | From::Authorise => None,
        };
        if let Some(place) = place {
            return credentials::read_here(&place)
                .map(Some)
                .map_err(|error| CliError::new(Kind::Account, &error).remedy(error.remedy()));
        }
        if !somebody(self.session.output) {
            return Err(CliError::new(
                Kind::Usage,
                format!("{question} is asked for at a terminal, and there is none"),
            )
            .remedy("say where it is: `--credential NAME=env:VARIABLE` or `NAME=file:PATH`"));
        }
        let asked = tokio::task::spawn_blocking(move || {
            Password::new()
                .with_prompt(question)
                .allow_empty_password(true)
                .interact()
        });
        match asked.await {
            Ok(Ok(text)) => Ok(Some(SecretString::from(text.trim()))
                .filter(|secret| !secret.expose_secret().is_empty())),
            _ => Err(not_entered()),
        }
    }

    /// The secret of a credential. `client`: of a new account, its client's id and secret.
    pub async fn secret(
        &self,
        scheme: &AuthScheme,
        from: Option<&From>,
        client: Option<(Option<&str>, Option<&Given>)>,
    ) -> Result<Option<Given>, CliError> {
        let is_oauth = matches!(scheme.kind, AuthKind::Oauth2(_));
        let from = match from {
            Some(from) => from.clone(),
            None if is_oauth => From::Authorise,
            None => From::Prompt,
        };
        if from != From::Authorise {
            let question = format!("{}.{} ({})", self.name, scheme.credential, scheme.help);
            let secret = self.read(&from, question).await?;
            return Ok(secret.map(|secret| Given::Secret(secret.into())));
        }
        if !is_oauth {
            return Err(CliError::new(
                Kind::Usage,
                format!(
                    "credential `{}` is not authorised in a browser",
                    scheme.credential
                ),
            )
            .remedy("use `env:VARIABLE`, `file:PATH` or `prompt`"));
        }
        self.authorise(scheme, client.unwrap_or_default())
            .await
            .map(Some)
    }

    /// A secret that stays where it is, and that the configuration refers to.
    pub fn referred(&self, from: Option<&From>) -> Result<Given, CliError> {
        match from {
            Some(From::Env(name)) => Ok(Given::Env(name.clone())),
            Some(From::File(file)) => Ok(Given::File(file.display().to_string())),
            Some(From::Prompt | From::Authorise) | None => Err(CliError::new(
                Kind::Usage,
                "what is entered or authorised cannot be referred to",
            )
            .remedy("leave out --refer, or use `env:VARIABLE` or `file:PATH`")),
        }
    }

    /// Lets a person authorise the account in the browser.
    async fn authorise(
        &self,
        scheme: &AuthScheme,
        (client_id, client_secret): (Option<&str>, Option<&Given>),
    ) -> Result<Given, CliError> {
        let loopback = Loopback::bind(self.args.port, self.redirect()).await?;
        let mut begin = BeginAuthorisation {
            account: self.name.to_owned(),
            credential: scheme.credential.clone(),
            redirect: loopback.redirect().to_owned(),
            ..BeginAuthorisation::default()
        };
        if let Some(new) = self.new {
            begin.connector = Some(new.connector.clone());
            begin.settings.clone_from(&new.settings);
            begin.endpoints.clone_from(&new.endpoints);
            begin.scheme = Some(scheme.name.clone());
            begin.client_id = client_id.map(str::to_owned);
            begin.client_secret = client_secret.cloned();
        }
        let begun = self.session.perform(&begin).await?;
        eprintln!(
            "Authorise account {} in a browser on this machine:\n\n  {}\n",
            self.name, begun.url
        );
        if !self.args.no_browser && somebody(self.session.output) {
            // Whoever has no browser here reads the address.
            let _ = open::that_detached(&begun.url);
        }
        let code = loopback.code(&begun.state).await?;
        Ok(Given::Answer {
            state: begun.state,
            code: code.into(),
        })
    }

    fn redirect(&self) -> Name {
        if self.args.localhost {
            Name::Localhost
        } else {
            Name::Address
        }
    }

    /// The client of an OAuth 2 credential: its id, and its secret if it has one.
    pub async fn client(&self, refer: bool) -> Result<(Option<String>, Option<Given>), CliError> {
        let asks = somebody(self.session.output);
        let id = match &self.args.client_id {
            Some(id) => id.clone(),
            None if asks => input("The client's id".to_owned()).await?,
            None => {
                return Err(CliError::new(Kind::Usage, "OAuth 2 needs the client's id")
                    .remedy("name it with --client-id"));
            }
        };
        let from = match &self.args.client_secret {
            Some(text) => From::parse(text)?,
            None if asks => From::Prompt,
            None => return Ok((Some(id), None)),
        };
        if refer {
            return Ok((Some(id), Some(self.referred(Some(&from))?)));
        }
        let question = "The client's secret (nothing, if it has none)".to_owned();
        let secret = self.read(&from, question).await?;
        Ok((Some(id), secret.map(|secret| Given::Secret(secret.into()))))
    }

    /// The scheme by which a credential is used.
    pub async fn scheme<'d>(
        &self,
        descriptor: &'d Descriptor,
        credential: &str,
        wanted: Option<&str>,
    ) -> Result<&'d AuthScheme, CliError> {
        let offered: Vec<&AuthScheme> = descriptor
            .authentication
            .iter()
            .filter(|scheme| scheme.credential == credential)
            .collect();
        let names: Vec<String> = offered.iter().map(|scheme| scheme.name.clone()).collect();
        let choose = |what: String| {
            CliError::new(Kind::Usage, what).remedy(format!(
                "choose one: --credential {credential}:SCHEME=..., of {}",
                names.join(", ")
            ))
        };
        match (wanted, offered.as_slice()) {
            (None, [only]) => Ok(*only),
            (Some(wanted), _) => offered
                .iter()
                .find(|scheme| scheme.name == wanted)
                .copied()
                .ok_or_else(|| {
                    choose(format!(
                        "credential `{credential}` has no scheme `{wanted}`"
                    ))
                }),
            (None, _) if somebody(self.session.output) => {
                let items: Vec<String> = offered
                    .iter()
                    .map(|scheme| format!("{}: {}", scheme.name, scheme.help))
                    .collect();
                let asked = tokio::task::spawn_blocking(move || {
                    Select::new()
                        .with_prompt("How does it authenticate?")
                        .items(items)
                        .default(0)
                        .interact()
                });
                match asked.await {
                    Ok(Ok(index)) => offered.get(index).copied().ok_or_else(not_entered),
                    _ => Err(not_entered()),
                }
            }
            (None, _) => Err(choose(format!(
                "credential `{credential}` has several schemes"
            ))),
        }
    }
}

fn not_entered() -> CliError {
    CliError::new(Kind::NotConfirmed, "nothing was entered")
}

/// Asks for a text that is no secret.
pub async fn input(question: String) -> Result<String, CliError> {
    let asked = tokio::task::spawn_blocking(move || {
        Input::<String>::new().with_prompt(question).interact_text()
    });
    match asked.await {
        Ok(Ok(text)) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
        _ => Err(not_entered()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_pasted_secret_is_not_repeated() {
        let error = From::parse("pat-eu1-secret").unwrap_err();
        assert!(!format!("{error} {}", error.to_json()).contains("pat-eu1"));
        assert_eq!(From::parse("env:A").unwrap(), From::Env("A".to_owned()));
        assert_eq!(From::parse("prompt").unwrap(), From::Prompt);
    }
}
