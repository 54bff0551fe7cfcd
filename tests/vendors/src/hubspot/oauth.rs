//! How an app is let in by OAuth 2.0: somebody connects it on a page, and it gets tokens.
//!
//! Facts, marked as in [`super`]:
//! - `GET /oauth/authorize` with `client_id`, `scope`, `redirect_uri`, `state`, in the browser; the answer is a
//!   redirect with `code` and `state` (V); the redirect must be one that the app names (V), and without TLS its host
//!   must be `localhost` (T); whoever does not agree is sent back with `error=access_denied` (M)
//! - `POST /oauth/v1/token`, a form; access tokens live for 30 minutes (V)
//! - a refresh answers the same refresh token, which stays good until the app is removed (T)
//! - 400 with a `status` of its own instead of `error`: `BAD_AUTH_CODE`, `BAD_REFRESH_TOKEN` (T), `BAD_CLIENT_ID`,
//!   `BAD_CLIENT_SECRET`, `BAD_REDIRECT_URI` (M)
//! - a proof key (RFC 7636) is checked where there is one (M); apps that need none may leave it out (V)

use std::collections::{HashMap, HashSet};

use axum::extract::{Form, Query, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use url::Url;
use uuid::Uuid;

use super::HubSpot;
use crate::clock::Millis;

/// An app that may ask for access.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubSpotClient {
    /// Names it.
    pub id: String,
    /// What only it knows.
    pub secret: String,
    /// Where somebody may be sent with an answer.
    pub redirects: Vec<String>,
    /// How long an access token is good, in seconds: 1,800 at HubSpot.
    pub lifetime: i64,
}

/// What was granted.
#[derive(Debug, Default)]
pub(super) struct Grants {
    client: Option<HubSpotClient>,
    codes: HashMap<String, Question>,
    refresh: HashSet<String>,
    access: HashMap<String, Millis>,
    issued: Vec<String>,
}

/// What the app asked for, in the address of the page.
#[derive(Debug, Clone, Deserialize)]
struct Question {
    client_id: String,
    redirect_uri: String,
    state: String,
    code_challenge: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Decision {
    answer: String,
}

/// What the app asks tokens with.
#[derive(Debug, Deserialize)]
struct Grant {
    grant_type: String,
    client_id: String,
    #[serde(default)]
    client_secret: String,
    code: Option<String>,
    redirect_uri: Option<String>,
    code_verifier: Option<String>,
    refresh_token: Option<String>,
}

impl Grants {
    /// Whether a bearer token is good now.
    pub(super) fn accept(&self, token: &str, now: Millis) -> bool {
        self.access.get(token).is_some_and(|until| now < *until)
    }

    fn new_secret(&mut self, kind: &str) -> String {
        let secret = format!("{kind}-{}", Uuid::new_v4());
        self.issued.push(secret.clone());
        secret
    }

    fn is_known(&self, question: &Question) -> bool {
        self.client.as_ref().is_some_and(|client| {
            client.id == question.client_id
                && client.redirects.contains(&question.redirect_uri)
                && may_be_named(&question.redirect_uri)
        })
    }

    /// A token for what the app brings, or HubSpot's word for what is wrong with it.
    fn token(&mut self, grant: Grant, now: Millis) -> Result<serde_json::Value, &'static str> {
        let client = self.client.clone().ok_or("BAD_CLIENT_ID")?;
        if client.id != grant.client_id {
            return Err("BAD_CLIENT_ID");
        }
        if client.secret != grant.client_secret {
            return Err("BAD_CLIENT_SECRET");
        }
        let refresh = match grant.grant_type.as_str() {
            "authorization_code" => {
                // A code is good once.
                let code = grant.code.as_deref().unwrap_or_default();
                let question = self.codes.remove(code).ok_or("BAD_AUTH_CODE")?;
                if grant.redirect_uri.as_deref() != Some(&question.redirect_uri) {
                    return Err("BAD_REDIRECT_URI");
                }
                let proof = grant
                    .code_verifier
                    .map(|verifier| URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)));
                if question.code_challenge.is_some() && question.code_challenge != proof {
                    return Err("BAD_AUTH_CODE");
                }
                let refresh = self.new_secret("refresh");
                self.refresh.insert(refresh.clone());
                refresh
            }
            "refresh_token" => {
                let token = grant.refresh_token.unwrap_or_default();
                if !self.refresh.contains(&token) {
                    return Err("BAD_REFRESH_TOKEN");
                }
                token
            }
            _ => return Err("BAD_GRANT_TYPE"),
        };
        let access = self.new_secret("access");
        self.access
            .insert(access.clone(), now.plus(client.lifetime * 1_000));
        Ok(json!({
            "token_type": "bearer",
            "access_token": access,
            "refresh_token": refresh,
            "expires_in": client.lifetime,
        }))
    }
}

impl HubSpot {
    /// Registers an app that may ask for access.
    pub fn register_client(&self, client: HubSpotClient) {
        self.0.grants.lock().client = Some(client);
    }

    /// Somebody removes the app from the account: all its tokens are void.
    pub fn revoke_client(&self) {
        let mut grants = self.0.grants.lock();
        grants.codes.clear();
        grants.refresh.clear();
        grants.access.clear();
    }

    /// Every code and token that was ever issued, so that a test can look for them where they must not be.
    #[must_use]
    pub fn issued(&self) -> Vec<String> {
        self.0.grants.lock().issued.clone()
    }
}

/// Whether an app may name it as a redirect.
fn may_be_named(redirect: &str) -> bool {
    Url::parse(redirect).is_ok_and(|url| match url.scheme() {
        "https" => true,
        "http" => url.host_str() == Some("localhost"),
        _ => false,
    })
}

/// The routes that need no access token.
pub(super) fn routes(hubspot: HubSpot) -> Router {
    Router::new()
        .route("/oauth/authorize", get(ask).post(decide))
        .route("/oauth/v1/token", post(token))
        .with_state(hubspot)
}

/// The page. Its form is sent to its own address, which holds the question.
async fn ask(State(hubspot): State<HubSpot>, Query(question): Query<Question>) -> Response {
    if !hubspot.0.grants.lock().is_known(&question) {
        return unknown();
    }
    Html(
        "<!doctype html><meta charset=utf-8><title>HubSpot</title><h1>Connect an app to this account?</h1>\
         <form method=post><button name=answer value=connect>Connect app</button> \
         <button name=answer value=cancel>Cancel</button></form>\n",
    )
    .into_response()
}

async fn decide(
    State(hubspot): State<HubSpot>,
    Query(question): Query<Question>,
    Form(decision): Form<Decision>,
) -> Response {
    let mut grants = hubspot.0.grants.lock();
    let Some(mut to) = Url::parse(&question.redirect_uri)
        .ok()
        .filter(|_| grants.is_known(&question))
    else {
        return unknown();
    };
    to.query_pairs_mut().append_pair("state", &question.state);
    if decision.answer == "connect" {
        let code = grants.new_secret("code");
        to.query_pairs_mut().append_pair("code", &code);
        grants.codes.insert(code, question);
    } else {
        to.query_pairs_mut().append_pair("error", "access_denied");
    }
    Redirect::to(to.as_str()).into_response()
}

fn unknown() -> Response {
    let page = "<!doctype html><meta charset=utf-8><title>HubSpot</title><h1>This app or its redirect URL is not known</h1>\n";
    (StatusCode::BAD_REQUEST, Html(page)).into_response()
}

async fn token(State(hubspot): State<HubSpot>, Form(grant): Form<Grant>) -> Response {
    let now = hubspot.0.core.clock.now();
    match hubspot.0.grants.lock().token(grant, now) {
        Ok(tokens) => Json(tokens).into_response(),
        Err(status) => {
            let what = status
                .trim_start_matches("BAD_")
                .to_lowercase()
                .replace('_', " ");
            let body = json!({
                "status": status,
                "message": format!("missing or unknown {what}"),
                "correlationId": Uuid::new_v4(),
            });
            (StatusCode::BAD_REQUEST, Json(body)).into_response()
        }
    }
}
