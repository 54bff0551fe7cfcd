//! Secrets as they are handed over: from the environment, a file, a person, or an authorisation in the browser. A secret
//! is never an argument, never echoed, and never part of a message.

use std::path::PathBuf;

use dialoguer::{Input, Password, Select};
use samspel_installation::config::{AccountSettings, Config, CredentialSettings, SecretSettings};
use samspel_installation::{Host, Kind, Secrets, credentials, place_of_client};
use samspel_model::descriptor::{AuthKind, AuthScheme, Descriptor};
use secrecy::{ExposeSecret, SecretString};

use super::loopback::Loopback;
use crate::args::SecretArgs;
use crate::commands::ask::somebody;
use crate::exit::CliError;
use crate::output::Output;

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

    /// Where the configuration finds it, if it is to stay there.
    pub fn settings(&self) -> SecretSettings {
        match self {
            Self::Env(name) => SecretSettings {
                env: Some(name.clone()),
                ..SecretSettings::default()
            },
            Self::File(file) => SecretSettings {
                file: Some(file.clone()),
                ..SecretSettings::default()
            },
            Self::Prompt | Self::Authorise => SecretSettings {
                vault: true,
                ..SecretSettings::default()
            },
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
    /// The installation.
    pub host: &'a Host,
    /// Where people are asked.
    pub output: Output,
    /// The account.
    pub name: &'a str,
    /// What the command line says.
    pub args: &'a SecretArgs,
}

impl Collector<'_> {
    fn config(&self) -> &Config {
        self.host.config()
    }

    /// A secret. `None`: a person has entered nothing.
    async fn read(&self, from: &From, question: String) -> Result<Option<SecretString>, CliError> {
        if matches!(from, From::Env(_) | From::File(_)) {
            return credentials::read(self.config(), &from.settings())
                .map(Some)
                .map_err(|error| CliError::new(Kind::Account, &error).remedy(error.remedy()));
        }
        if !somebody(self.output) {
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

    /// The secret of a credential whose settings are known, and of its client.
    pub async fn secret(
        &self,
        settings: &AccountSettings,
        scheme: &AuthScheme,
        from: Option<&From>,
        client: Option<&SecretString>,
    ) -> Result<Option<SecretString>, CliError> {
        let is_oauth = matches!(scheme.kind, AuthKind::Oauth2(_));
        let from = match from {
            Some(from) => from.clone(),
            None if is_oauth => From::Authorise,
            None => From::Prompt,
        };
        if from != From::Authorise {
            let question = format!("{}.{} ({})", self.name, scheme.credential, scheme.help);
            return self.read(&from, question).await;
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
        self.authorise(settings, &scheme.credential, client)
            .await
            .map(Some)
    }

    /// Lets a person authorise the account in the browser.
    async fn authorise(
        &self,
        settings: &AccountSettings,
        credential: &str,
        client: Option<&SecretString>,
    ) -> Result<SecretString, CliError> {
        let authorisation = self
            .host
            .authorisation(self.name, settings, credential, client)
            .await?;
        let loopback = Loopback::bind(self.args.port).await?;
        let failed =
            |error| CliError::new(Kind::Account, format!("account `{}`: {error}", self.name));
        let begun = authorisation.begin(loopback.redirect()).map_err(failed)?;
        eprintln!(
            "Authorise account {} in a browser on this machine:\n\n  {}\n",
            self.name,
            begun.url()
        );
        if !self.args.no_browser && somebody(self.output) {
            open(begun.url().as_str());
        }
        let code = loopback.code(&begun).await?;
        authorisation.finish(&begun, &code).await.map_err(failed)
    }

    /// The client of an OAuth 2 credential: its settings, and its secret if that is to be sealed.
    pub async fn client(
        &self,
        credential: &mut CredentialSettings,
        name: &str,
        refer: bool,
        secrets: &mut Secrets,
    ) -> Result<(), CliError> {
        credential.client_id = match &self.args.client_id {
            Some(id) => Some(id.clone()),
            None if somebody(self.output) => Some(input("The client's id".to_owned()).await?),
            None => {
                return Err(CliError::new(Kind::Usage, "OAuth 2 needs the client's id")
                    .remedy("name it with --client-id"));
            }
        };
        let from = match &self.args.client_secret {
            Some(text) => From::parse(text)?,
            None if somebody(self.output) => From::Prompt,
            None => return Ok(()),
        };
        let question = "The client's secret (nothing, if it has none)".to_owned();
        let Some(secret) = self.read(&from, question).await? else {
            return Ok(());
        };
        if refer && from.settings().vault {
            return Err(nothing_to_refer_to());
        }
        credential.client_secret = Some(if refer { from.settings() } else { sealed() });
        if !refer {
            secrets.insert(place_of_client(name), secret);
        }
        Ok(())
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
            (None, _) if somebody(self.output) => {
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

/// A sealed secret, as the configuration says it.
pub fn sealed() -> SecretSettings {
    SecretSettings {
        vault: true,
        ..SecretSettings::default()
    }
}

/// Where there is nothing that the configuration could name.
pub fn nothing_to_refer_to() -> CliError {
    CliError::new(
        Kind::Usage,
        "what is entered or authorised cannot be referred to",
    )
    .remedy("leave out --refer, or use `env:VARIABLE` or `file:PATH`")
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

/// Tries to show a page. Whoever has no browser here reads the address.
fn open(url: &str) {
    let program = if cfg!(target_os = "macos") {
        "open"
    } else {
        "xdg-open"
    };
    let _ = std::process::Command::new(program)
        .arg(url)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn();
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
