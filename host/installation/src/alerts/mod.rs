//! Telling people that something needs them: what is said, and the ways to say it.

mod email;
mod webhook;

use jiff::Timestamp;
use samspel_model::notice::Subject;
use serde::Serialize;

use crate::config::Config;
use crate::error::{Error, Kind};

/// Something that needs a person, or does no longer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Alert {
    /// `no-progress`, `needs-authorisation`, `holds`, `rolled-back`.
    pub kind: String,
    /// The sync, account or connector.
    pub subject: String,
    /// Since when.
    pub since: Timestamp,
    /// It is over.
    pub over: bool,
    /// What is the matter.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl Alert {
    /// What it is about.
    pub fn about(&self) -> Subject {
        Subject {
            kind: self.kind.clone(),
            name: self.subject.clone(),
        }
    }

    /// One paragraph.
    fn text(&self) -> String {
        if self.over {
            format!("{}: {}: this is over.", self.subject, self.what)
        } else {
            format!(
                "{}: {} (since {:.0}).\n  What to do: {}",
                self.subject, self.what, self.since, self.remedy
            )
        }
    }
}

/// What is sent at once.
#[derive(Debug, Clone)]
pub struct Message {
    /// The same for what is sent again because it may not have arrived.
    pub id: String,
    /// When it is sent first.
    pub at: Timestamp,
    /// Which host tells.
    pub host: String,
    /// What it tells.
    pub alerts: Vec<Alert>,
}

impl Message {
    fn title(&self) -> String {
        let lasting = self.alerts.iter().filter(|alert| !alert.over).count();
        match (lasting, self.alerts.as_slice()) {
            (1, [only]) => format!("Samspel on {}: {}: {}", self.host, only.subject, only.what),
            (0, _) => format!("Samspel on {}: all of this is over", self.host),
            _ => format!("Samspel on {}: {lasting} things need a person", self.host),
        }
    }
}

/// A way to tell people.
pub enum Channel {
    /// A signed document, sent to an address.
    Webhook(webhook::Webhook),
    /// An e-mail.
    Email(Box<email::Email>),
}

impl Channel {
    /// The ways that a configuration names.
    ///
    /// # Errors
    /// A secret is not where it says, or an address is none.
    pub fn of(config: &Config) -> Result<Vec<Self>, Error> {
        let mut channels = Vec::new();
        if let Some(settings) = &config.alerts.webhook {
            channels.push(Self::Webhook(webhook::Webhook::new(config, settings)?));
        }
        if let Some(settings) = &config.alerts.email {
            channels.push(Self::Email(Box::new(email::Email::new(config, settings)?)));
        }
        Ok(channels)
    }

    /// What it is called.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Webhook(_) => "webhook",
            Self::Email(_) => "email",
        }
    }

    /// Sends a message.
    ///
    /// # Errors
    /// It was not taken; it may be sent again.
    pub async fn send(&self, message: &Message) -> Result<(), Error> {
        let sent = match self {
            Self::Webhook(webhook) => webhook.send(message).await,
            Self::Email(email) => email.send(message).await,
        };
        sent.map_err(|why| {
            Error::new(
                Kind::Unavailable,
                format!("`alerts.{}`: nobody was told: {why}", self.name()),
            )
            .remedy("`samspel alerts test` tries it again")
        })
    }
}

/// A setting that cannot be used.
fn unusable(setting: &str, why: impl std::fmt::Display) -> Error {
    Error::new(Kind::Config, format!("`alerts.{setting}`: {why}"))
}
