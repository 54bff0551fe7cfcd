//! An e-mail.

use std::time::Duration;

use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::Credentials;
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use secrecy::ExposeSecret;

use super::{Alert, Message, unusable};
use crate::config::{Config, EmailSettings};
use crate::credentials;
use crate::error::Error;

const PATIENCE: Duration = Duration::from_secs(15);

/// People who get an e-mail, and the server that takes it.
pub struct Email {
    server: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    to: Vec<Mailbox>,
}

impl Email {
    pub(super) fn new(config: &Config, settings: &EmailSettings) -> Result<Self, Error> {
        let mailbox = |setting: &str, text: &str| {
            text.parse::<Mailbox>()
                .map_err(|error| unusable(setting, format!("`{text}` is no address: {error}")))
        };
        let mut server = AsyncSmtpTransport::<Tokio1Executor>::from_url(settings.server.as_str())
            .map_err(|error| unusable("email.server", error))?
            .timeout(Some(PATIENCE));
        if let (Some(user), Some(password)) = (&settings.user, &settings.password) {
            let password = credentials::read(config, password)
                .map_err(|error| unusable("email.password", &error).remedy(error.remedy()))?;
            server = server.credentials(Credentials::new(
                user.clone(),
                password.expose_secret().to_owned(),
            ));
        }
        Ok(Self {
            server: server.build(),
            from: mailbox("email.from", &settings.from)?,
            to: settings
                .to
                .iter()
                .map(|to| mailbox("email.to", to))
                .collect::<Result<_, _>>()?,
        })
    }

    pub(super) async fn send(&self, message: &Message) -> Result<(), String> {
        let text: Vec<String> = message.alerts.iter().map(Alert::text).collect();
        let mut email = lettre::Message::builder()
            .from(self.from.clone())
            .subject(message.title())
            .message_id(Some(format!("<{}@samspel>", message.id)))
            .header(ContentType::TEXT_PLAIN);
        for to in &self.to {
            email = email.to(to.clone());
        }
        let email = email
            .body(format!("{}\n", text.join("\n\n")))
            .map_err(|error| error.to_string())?;
        self.server
            .send(email)
            .await
            .map(drop)
            .map_err(|error| error.to_string())
    }
}
