//! A signed document, sent to an address, as <https://www.standardwebhooks.com> specifies.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretSlice};
use serde_json::json;
use sha2::Sha256;
use url::Url;

use super::{Message, unusable};
use crate::config::{Config, WebhookSettings};
use crate::credentials;
use crate::error::Error;

/// Keys may be written with this before them.
const PREFIX: &str = "whsec_";
/// Shorter keys can be tried.
const SHORTEST: usize = 24;
const PATIENCE: Duration = Duration::from_secs(15);

/// An address, and the key that signs what it is sent.
pub struct Webhook {
    url: Url,
    key: SecretSlice<u8>,
    client: reqwest::Client,
}

impl Webhook {
    pub(super) fn new(config: &Config, settings: &WebhookSettings) -> Result<Self, Error> {
        let secret = credentials::read(config, &settings.secret)
            .map_err(|error| unusable("webhook.secret", &error).remedy(error.remedy()))?;
        let text = secret.expose_secret();
        let key = STANDARD
            .decode(text.strip_prefix(PREFIX).unwrap_or(text))
            .ok()
            .filter(|key| key.len() >= SHORTEST);
        let key = key.ok_or_else(|| {
            unusable(
                "webhook.secret",
                "it is no key of at least 24 bytes in base64",
            )
            .remedy("`openssl rand -base64 32` makes one; the receiver needs the same")
        })?;
        let client = reqwest::Client::builder()
            .timeout(PATIENCE)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| unusable("webhook", error))?;
        Ok(Self {
            url: settings.url.clone(),
            key: key.into(),
            client,
        })
    }

    pub(super) async fn send(&self, message: &Message) -> Result<(), String> {
        let body = json!({
            "type": "samspel.alerts",
            "timestamp": message.at,
            "data": { "host": message.host, "title": message.title(), "alerts": message.alerts },
        })
        .to_string();
        let time = message.at.as_second().to_string();
        let signature = sign(self.key.expose_secret(), &message.id, &time, &body)?;
        let answer = self
            .client
            .post(self.url.clone())
            .header("content-type", "application/json")
            .header("webhook-id", &message.id)
            .header("webhook-timestamp", &time)
            .header("webhook-signature", format!("v1,{signature}"))
            .body(body)
            .send()
            .await
            // The address may hold a token.
            .map_err(|error| error.without_url().to_string())?;
        if answer.status().is_success() {
            Ok(())
        } else {
            Err(format!("the address answers {}", answer.status()))
        }
    }
}

fn sign(key: &[u8], id: &str, time: &str, body: &str) -> Result<String, String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|error| error.to_string())?;
    for part in [id, ".", time, ".", body] {
        mac.update(part.as_bytes());
    }
    Ok(STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// The example of <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>.
    #[test]
    fn a_document_is_signed_as_specified() {
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature = sign(
            &key,
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "1614265330",
            r#"{"test": 2432232314}"#,
        );
        assert_eq!(
            signature.unwrap(),
            "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }
}
