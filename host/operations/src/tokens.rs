//! Tokens: who may use the installation from elsewhere.

use samspel_installation::{Error, Kind, access};
use samspel_model::access::{Role, Token};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use crate::act::Act;
use crate::operation::{Operation, Route, Work};

/// Makes a token.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateToken {
    /// For people: who or what uses it.
    #[schema(pattern = "^[a-z0-9][a-z0-9_-]{0,62}$")]
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// After which time it is refused, such as `90d` or `12h`; never if left out.
    #[serde(default)]
    #[schema(pattern = "^[1-9][0-9]{0,2}[dhm]$")]
    pub expires: Option<String>,
}

/// A token that was made.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CreatedToken {
    /// What is known of it.
    #[serde(flatten)]
    pub known: Token,
    /// Its text, which is told this once.
    pub token: String,
}

impl Operation for CreateToken {
    type Output = CreatedToken;
    const ROUTE: Route = Route::post(
        "createToken",
        "/tokens",
        Role::Admin,
        "Make a token; its text is told this once",
    )
    .confidential();

    fn act(&self) -> Option<Act> {
        let act = Act::new("token create", self.name.clone());
        Some(act.with(json!({ "role": self.role, "expires": self.expires })))
    }

    async fn run(&self, work: &Work<'_>) -> Result<CreatedToken, Error> {
        let (host, now) = (work.host, work.host.clock().now());
        let expires = self.expires.as_deref();
        let (known, text) =
            access::issue(host.access(), &self.name, self.role, expires, now).await?;
        Ok(CreatedToken {
            known,
            token: text.expose_secret().to_owned(),
        })
    }
}

/// Lists the tokens, also those that are revoked; never their text.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ListTokens {}

/// All tokens.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Tokens {
    /// In the order in which they were made.
    pub tokens: Vec<Token>,
}

impl Operation for ListTokens {
    type Output = Tokens;
    const ROUTE: Route = Route::get(
        "listTokens",
        "/tokens",
        Role::Viewer,
        "List the tokens, also those that are revoked; never their text",
    );

    async fn run(&self, work: &Work<'_>) -> Result<Tokens, Error> {
        Ok(Tokens {
            tokens: work.host.access().tokens().await?,
        })
    }
}

/// Refuses a token from now on.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RevokeToken {
    /// The token's id, as the list shows it.
    pub token: String,
}

impl Operation for RevokeToken {
    type Output = Token;
    const ROUTE: Route = Route::post(
        "revokeToken",
        "/tokens/{token}/revoke",
        Role::Admin,
        "Refuse a token from now on",
    );

    fn act(&self) -> Option<Act> {
        Some(Act::new("token revoke", self.token.clone()))
    }

    async fn run(&self, work: &Work<'_>) -> Result<Token, Error> {
        let now = work.host.clock().now();
        let revoked = work.host.access().revoke_token(&self.token, now).await?;
        revoked.ok_or_else(|| {
            Error::new(
                Kind::NotFound,
                format!("there is no token `{}`", self.token),
            )
            .remedy("`samspel token list` shows their ids")
        })
    }
}
