//! What a person does first on a new Ghost: set up the owner, log in, add an integration.

use reqwest::header::{COOKIE, ORIGIN, SET_COOKIE};
use serde_json::{Value, json};

use super::GhostAccess;
use crate::error::LiveError;
use crate::http;

const OWNER: &str = "owner@ghost.test";

/// Sets up the owner and a custom integration, whose key is what Samspel is given.
pub async fn owner_and_integration(url: &str) -> Result<GhostAccess, LiveError> {
    let admin = format!("{url}/ghost/api/admin");
    let password = crate::secret::random();
    let setup = json!({ "setup": [{
        "name": "Owner", "email": OWNER, "password": password, "blogTitle": "Live test",
    }] });
    let post = |path: &str, body: &Value| {
        http::client()
            .post(format!("{admin}{path}"))
            .header(ORIGIN, url)
            .json(body)
    };
    http::json("Ghost's set-up", post("/authentication/setup/", &setup)).await?;

    let call = "Ghost's log-in";
    let login = json!({ "username": OWNER, "password": password });
    let response = http::send(call, post("/session/", &login)).await?;
    let status = response.status();
    let cookies = response
        .headers()
        .get_all(SET_COOKIE)
        .iter()
        .filter_map(|cookie| cookie.to_str().ok()?.split(';').next())
        .collect::<Vec<_>>()
        .join("; ");
    // Read to its end even though it says nothing: Ghost sends the headers before the session is stored.
    let answer = response
        .text()
        .await
        .map_err(|source| LiveError::Transport {
            call: call.to_owned(),
            source,
        })?;
    if !status.is_success() {
        return Err(http::refused(call, status, &answer));
    }

    let call = "Ghost's new integration";
    let integration = json!({ "integrations": [{ "name": "Samspel" }] });
    let request = post("/integrations/?include=api_keys", &integration).header(COOKIE, cookies);
    let answer = http::json(call, request).await?;
    let keys: Vec<Value> = http::part(call, &answer, "/integrations/0/api_keys")?;
    let admin_key = keys
        .iter()
        .find(|key| key["type"] == "admin")
        .and_then(|key| key["secret"].as_str())
        .ok_or_else(|| http::unexpected(call, "it has no admin key"))?;
    Ok(GhostAccess {
        url: url.to_owned(),
        admin_key: admin_key.to_owned(),
        owner: OWNER.to_owned(),
        password,
    })
}
