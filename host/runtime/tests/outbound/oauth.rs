//! OAuth 2.0: tokens are obtained once, kept, replaced and never lost.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::extract::{Form, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, post};
use axum::{Json, Router};
use samspel_model::descriptor::{AuthKind, Oauth2};
use samspel_runtime::outbound::HttpError;
use samspel_runtime::{Credential, OauthClient, TokenStore};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use tokio::sync::{Notify, Semaphore};

use crate::server::Server;
use crate::setup::{API, Setup, get, with};

const CONFIGURED: &str = "refresh-token-0";

/// A server that replaces refresh tokens: the newest only is good, and each access token belongs to one.
#[derive(Default)]
struct Issuer {
    /// How many times a token was issued; `refresh-token-N` is the good one.
    issued: AtomicUsize,
    /// Requests for tokens.
    asked: Mutex<Vec<HashMap<String, String>>>,
    /// No access token is accepted.
    refuses_all: AtomicBool,
    /// The same refresh token stays good.
    keeps: AtomicBool,
    /// Answers to requests for tokens wait for this, if it is set.
    gate: Mutex<Option<Arc<Semaphore>>>,
    asking: Notify,
}

impl Issuer {
    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    fn revoke_access(&self) {
        self.issued.fetch_add(1, Ordering::SeqCst);
        self.keeps.store(true, Ordering::SeqCst);
    }
}

async fn token(
    State(issuer): State<Arc<Issuer>>,
    Form(form): Form<HashMap<String, String>>,
) -> Response {
    let gate = issuer.gate.lock().unwrap().clone();
    let given = form.get("refresh_token").cloned().unwrap_or_default();
    issuer.asked.lock().unwrap().push(form);
    let number = issuer.issued.load(Ordering::SeqCst);
    let good = given == format!("refresh-token-{number}") || issuer.keeps.load(Ordering::SeqCst);
    if !good {
        return (
            StatusCode::BAD_REQUEST,
            Json(json!({ "error": "invalid_grant" })),
        )
            .into_response();
    }
    let next = issuer.issued.fetch_add(1, Ordering::SeqCst) + 1;
    issuer.asking.notify_one();
    if let Some(gate) = gate {
        gate.acquire().await.unwrap().forget();
    }
    Json(json!({
        "access_token": format!("access-token-{next}"),
        "token_type": "bearer",
        "expires_in": 1800,
        "refresh_token": format!("refresh-token-{next}"),
    }))
    .into_response()
}

/// Answers with what it was sent, if that was the newest access token.
async fn resource(State(issuer): State<Arc<Issuer>>, headers: HeaderMap) -> Response {
    let newest = format!(
        "Bearer access-token-{}",
        issuer.issued.load(Ordering::SeqCst)
    );
    let given = headers["authorization"].to_str().unwrap();
    if given == newest && !issuer.refuses_all.load(Ordering::SeqCst) {
        given.to_owned().into_response()
    } else {
        StatusCode::UNAUTHORIZED.into_response()
    }
}

/// Keeps tokens, and fails when it is told to.
#[derive(Default)]
struct Kept {
    token: Mutex<Option<String>>,
    fails: AtomicBool,
    saved: Notify,
    /// What it was told about the credential, in order: why it is refused, or nothing once it works.
    told: Mutex<Vec<Option<String>>>,
}

impl Kept {
    fn get(&self) -> Option<String> {
        self.token.lock().unwrap().clone()
    }
}

#[async_trait]
impl TokenStore for Kept {
    async fn load(&self, account: &str, credential: &str) -> Result<Option<SecretString>, String> {
        assert_eq!((account, credential), ("crm", "access"));
        Ok(self.get().map(SecretString::from))
    }

    async fn save(
        &self,
        account: &str,
        credential: &str,
        token: &SecretString,
    ) -> Result<(), String> {
        assert_eq!((account, credential), ("crm", "access"));
        if self.fails.load(Ordering::SeqCst) {
            return Err("the disk is full".to_owned());
        }
        *self.token.lock().unwrap() = Some(token.expose_secret().to_owned());
        self.saved.notify_one();
        Ok(())
    }

    async fn refused(&self, account: &str, credential: &str, why: &str) -> Result<(), String> {
        assert_eq!((account, credential), ("crm", "access"));
        self.told.lock().unwrap().push(Some(why.to_owned()));
        Ok(())
    }

    async fn accepted(&self, account: &str, credential: &str) -> Result<(), String> {
        assert_eq!((account, credential), ("crm", "access"));
        self.told.lock().unwrap().push(None);
        Ok(())
    }
}

struct Scene {
    issuer: Arc<Issuer>,
    kept: Arc<Kept>,
    server: Server,
    setup: Setup,
}

impl Scene {
    async fn new() -> Self {
        let issuer = Arc::new(Issuer::default());
        let kept = Arc::new(Kept::default());
        let store = Arc::clone(&kept);
        let guarded = any(async move |state: State<Arc<Issuer>>, headers: HeaderMap| {
            // What came with a replaced token is used only once that is kept.
            let newest = format!("refresh-token-{}", state.issued.load(Ordering::SeqCst));
            if !state.keeps.load(Ordering::SeqCst) && store.get() != Some(newest) {
                return StatusCode::CONFLICT.into_response();
            }
            resource(state, headers).await
        });
        let router = Router::new()
            .route("/oauth/token", post(token))
            .fallback(guarded)
            .with_state(Arc::clone(&issuer));
        let server = Server::start(router).await;
        let oauth = AuthKind::Oauth2(Oauth2 {
            authorize_url: format!("{API}/oauth/authorize"),
            token_url: format!("{API}/oauth/token"),
            scopes: Vec::new(),
        });
        let mut setup = Setup::at(&server.url);
        // The connector itself may not ask for tokens.
        setup.descriptor.egress.clear();
        let setup = setup
            .egress(API, &["GET"], "/v1")
            .declares("access", "oauth2", oauth)
            .configures(
                "access",
                Credential {
                    scheme: None,
                    secret: CONFIGURED.into(),
                    client: Some(OauthClient {
                        id: "client-7".to_owned(),
                        secret: Some("client-secret&1".into()),
                    }),
                },
            )
            .tokens(Arc::clone(&kept) as Arc<dyn TokenStore>);
        Self {
            issuer,
            kept,
            server,
            setup,
        }
    }
}

fn ask() -> samspel_runtime::outbound::Request {
    with("access", get("/v1/people"))
}

#[tokio::test]
async fn ten_requests_at_once_obtain_one_token() {
    let scene = Scene::new().await;
    let outbound = scene.setup.bind();
    let call = scene.setup.call();
    let results = outbound
        .send_all(&call, (0..10).map(|_| ask()).collect())
        .await;
    for result in results {
        let answer = result.unwrap();
        assert_eq!(answer.status, 200);
        // The remote echoed the access token.
        assert_eq!(answer.body, b"Bearer [redacted]");
    }
    assert_eq!(scene.issuer.asked(), 1);
    let form = scene.issuer.asked.lock().unwrap()[0].clone();
    for (name, value) in [
        ("grant_type", "refresh_token"),
        ("refresh_token", CONFIGURED),
        ("client_id", "client-7"),
        ("client_secret", "client-secret&1"),
    ] {
        assert_eq!(form[name], value);
    }
    assert_eq!(scene.kept.get().as_deref(), Some("refresh-token-1"));
    assert_eq!(outbound.stats().requests, 11);
    // Later requests use the same token.
    outbound.send(&scene.setup.call(), ask()).await.unwrap();
    assert_eq!(scene.issuer.asked(), 1);
    let text = "access-token-1 refresh-token-1 refresh-token-0 client-secret&1";
    assert_eq!(
        outbound.scrub(text),
        "[redacted] [redacted] [redacted] [redacted]"
    );
    let grants = outbound.grants().join("\n");
    assert!(grants.contains(&format!("{API}/oauth/token")), "{grants}");
}

#[tokio::test]
async fn after_a_restart_the_kept_token_counts() {
    let scene = Scene::new().await;
    assert!(
        scene
            .setup
            .bind()
            .send(&scene.setup.call(), ask())
            .await
            .is_ok()
    );
    // The configured one is void now.
    let answer = scene
        .setup
        .bind()
        .send(&scene.setup.call(), ask())
        .await
        .unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(scene.kept.get().as_deref(), Some("refresh-token-2"));
    assert_eq!(scene.issuer.asked(), 2);
}

#[tokio::test]
async fn a_token_that_another_process_replaced_is_read_again() {
    let scene = Scene::new().await;
    let outbound = scene.setup.bind();
    assert!(outbound.send(&scene.setup.call(), ask()).await.is_ok());
    // The other process refreshes, which voids both tokens of this one.
    assert!(
        scene
            .setup
            .bind()
            .send(&scene.setup.call(), ask())
            .await
            .is_ok()
    );
    let answer = outbound.send(&scene.setup.call(), ask()).await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(scene.kept.get().as_deref(), Some("refresh-token-3"));
}

#[tokio::test]
async fn a_refused_access_token_is_renewed_once() {
    let scene = Scene::new().await;
    let outbound = scene.setup.bind();
    assert!(outbound.send(&scene.setup.call(), ask()).await.is_ok());
    scene.issuer.revoke_access();
    assert_eq!(
        outbound
            .send(&scene.setup.call(), ask())
            .await
            .unwrap()
            .status,
        200
    );
    assert_eq!(scene.issuer.asked(), 2);

    scene.issuer.refuses_all.store(true, Ordering::SeqCst);
    let before = scene.server.seen().len();
    // The connector is told what the remote says of a fresh token.
    assert_eq!(
        outbound
            .send(&scene.setup.call(), ask())
            .await
            .unwrap()
            .status,
        401
    );
    assert_eq!(scene.issuer.asked(), 3);
    assert_eq!(scene.server.seen().len() - before, 3);
}

#[tokio::test]
async fn a_void_refresh_token_is_told_and_not_tried_again() {
    let scene = Scene::new().await;
    scene.issuer.issued.store(5, Ordering::SeqCst);
    let outbound = scene.setup.bind();
    for _ in 0..3 {
        let result = outbound.send(&scene.setup.call(), ask()).await;
        let Err(HttpError::NotSent(why)) = result else {
            panic!("{result:?}");
        };
        assert!(
            why.contains("`access`") && why.contains("authorise the account again"),
            "{why}"
        );
        assert!(!why.contains(CONFIGURED), "{why}");
    }
    assert_eq!(scene.issuer.asked(), 1);
}

#[tokio::test]
async fn a_void_refresh_token_is_noted_until_a_person_authorised_the_account_again() {
    let scene = Scene::new().await;
    scene.issuer.issued.store(5, Ordering::SeqCst);
    let outbound = scene.setup.bind();
    for _ in 0..2 {
        outbound.send(&scene.setup.call(), ask()).await.unwrap_err();
    }
    let told = || scene.kept.told.lock().unwrap().clone();
    let [Some(why)] = &told()[..] else {
        panic!("{:?}", told());
    };
    assert!(why.contains("invalid_grant"), "{why}");
    // Another process keeps the new token; this one takes it up without a restart.
    *scene.kept.token.lock().unwrap() = Some("refresh-token-5".to_owned());
    let answer = outbound.send(&scene.setup.call(), ask()).await.unwrap();
    assert_eq!(answer.status, 200);
    scene.issuer.revoke_access();
    let answer = outbound.send(&scene.setup.call(), ask()).await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(told().len(), 2, "told once that it works");
    assert_eq!(told()[1], None);
}

#[tokio::test]
async fn a_replaced_token_that_cannot_be_kept_is_not_used_and_not_lost() {
    let scene = Scene::new().await;
    scene.kept.fails.store(true, Ordering::SeqCst);
    let outbound = scene.setup.bind();
    let result = outbound.send(&scene.setup.call(), ask()).await;
    assert!(
        matches!(&result, Err(HttpError::NotSent(why)) if why.contains("the disk is full")),
        "{result:?}"
    );
    let sent_with_token = |seen: &crate::server::Seen| seen.header("authorization").is_some();
    assert!(!scene.server.seen().iter().any(sent_with_token));

    scene.kept.fails.store(false, Ordering::SeqCst);
    assert_eq!(
        outbound
            .send(&scene.setup.call(), ask())
            .await
            .unwrap()
            .status,
        200
    );
    assert_eq!(scene.kept.get().as_deref(), Some("refresh-token-1"));
    assert_eq!(scene.issuer.asked(), 1);
}

#[tokio::test]
async fn a_call_that_ends_during_a_refresh_does_not_lose_the_new_token() {
    let scene = Scene::new().await;
    let gate = Arc::new(Semaphore::new(0));
    *scene.issuer.gate.lock().unwrap() = Some(Arc::clone(&gate));
    let outbound = scene.setup.bind();
    let call = scene.setup.call();
    tokio::select! {
        result = outbound.send(&call, ask()) => panic!("{result:?}"),
        () = scene.issuer.asking.notified() => {}
    }
    // The old token is void; the new one is on its way.
    gate.add_permits(1);
    scene.kept.saved.notified().await;
    assert_eq!(scene.kept.get().as_deref(), Some("refresh-token-1"));
    assert_eq!(
        outbound
            .send(&scene.setup.call(), ask())
            .await
            .unwrap()
            .status,
        200
    );
    assert_eq!(scene.issuer.asked(), 1);
}

#[tokio::test]
async fn a_connector_cannot_ask_for_tokens_itself() {
    let scene = Scene::new().await;
    let request = crate::setup::post("/oauth/token");
    let result = scene
        .setup
        .bind()
        .send(&scene.setup.call(), with("access", request))
        .await;
    assert!(matches!(result, Err(HttpError::Denied(_))), "{result:?}");
    assert!(scene.server.seen().is_empty());
}

#[tokio::test]
async fn a_token_server_that_fails_is_named() {
    let router = Router::new().fallback(any(async || StatusCode::BAD_GATEWAY));
    let server = Server::start(router).await;
    let mut scene = Scene::new().await;
    scene.setup.account.endpoints.clear();
    let setup = scene.setup.endpoint(API, &server.url);
    let call = setup.call();
    let result = setup.bind().send(&call, ask()).await;
    assert!(
        matches!(&result, Err(HttpError::NotSent(why)) if why.contains("HTTP 502")),
        "{result:?}"
    );
    assert!(!call.may_have_applied());
}
