//! A person authorises an account: the code alone is worth nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::extract::{Form, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use samspel_model::descriptor::{AuthKind, Oauth2};
use samspel_runtime::outbound::{Authorisation, Begun, Client, HttpError};
use samspel_runtime::{Credential, EndpointOverride, OauthClient};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::server::Server;
use crate::setup::{API, Setup};

const REDIRECT: &str = "http://127.0.0.1:4711/callback";
const CODE: &str = "code-1 & more";

/// What the server knows of an authorisation, from the question that the browser brought.
#[derive(Default)]
struct Asked(Mutex<HashMap<String, String>>);

impl Asked {
    fn by(&self, begun: &Begun) -> HashMap<String, String> {
        let asked: HashMap<_, _> = begun.url().query_pairs().into_owned().collect();
        *self.0.lock().unwrap() = asked.clone();
        asked
    }
}

async fn token(
    State(asked): State<Arc<Asked>>,
    Form(form): Form<HashMap<String, String>>,
) -> Response {
    let asked = asked.0.lock().unwrap().clone();
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&form["code_verifier"]));
    let good = form["grant_type"] == "authorization_code"
        && form["code"] == CODE
        && form["redirect_uri"] == asked["redirect_uri"]
        && form["client_id"] == asked["client_id"]
        && form["client_secret"] == "client-secret&1"
        && challenge == asked["code_challenge"];
    if !good {
        let error = json!({ "error": "invalid_grant", "error_description": form["code"] });
        return (StatusCode::BAD_REQUEST, Json(error)).into_response();
    }
    let mut tokens = json!({ "access_token": "a", "token_type": "bearer", "expires_in": 1800 });
    if asked["scope"].contains("offline") {
        tokens["refresh_token"] = "refresh-token-1".into();
    }
    Json(tokens).into_response()
}

fn client_7() -> Credential {
    Credential {
        scheme: None,
        secret: "none yet".into(),
        client: Some(OauthClient {
            id: "client-7".to_owned(),
            secret: Some("client-secret&1".into()),
        }),
    }
}

struct Scene {
    asked: Arc<Asked>,
    authorisation: Authorisation,
    _server: Server,
}

async fn scene(scopes: &[&str]) -> Scene {
    let asked = Arc::new(Asked::default());
    let router = Router::new()
        .route("/oauth/token", post(token))
        .with_state(Arc::clone(&asked));
    let server = Server::start(router).await;
    let kind = AuthKind::Oauth2(Oauth2 {
        authorize_url: "https://app.example.com/authorize?tenant=7".to_owned(),
        token_url: format!("{API}/oauth/token"),
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
    });
    let setup = Setup::at(&server.url)
        .declares("access", "oauth2", kind)
        .configures("access", client_7());
    let client = Arc::new(Client::new().unwrap());
    let made = Authorisation::new(client, &setup.descriptor, &setup.account, "access");
    Scene {
        asked,
        authorisation: made.ok().unwrap(),
        _server: server,
    }
}

#[tokio::test]
async fn a_code_is_exchanged_by_who_asked_for_it() {
    let scene = scene(&["contacts", "offline"]).await;
    let begun = scene.authorisation.begin(REDIRECT).unwrap();
    let asked = scene.asked.by(&begun);
    assert_eq!(begun.url().host_str(), Some("app.example.com"));
    for (name, value) in [
        ("tenant", "7"),
        ("response_type", "code"),
        ("client_id", "client-7"),
        ("redirect_uri", REDIRECT),
        ("scope", "contacts offline"),
        ("code_challenge_method", "S256"),
    ] {
        assert_eq!(asked[name], value);
    }
    assert!(!begun.url().as_str().contains("client-secret"));
    assert_eq!(begun.state().expose_secret(), asked["state"].as_str());
    let token = scene
        .authorisation
        .finish(&begun, &CODE.into())
        .await
        .unwrap();
    assert_eq!(token.expose_secret(), "refresh-token-1");
}

#[tokio::test]
async fn a_code_is_worth_nothing_to_who_did_not_ask() {
    let scene = scene(&["offline"]).await;
    let begun = scene.authorisation.begin(REDIRECT).unwrap();
    let asked = scene.asked.by(&begun);
    let other = scene.authorisation.begin(REDIRECT).unwrap();
    assert_ne!(other.state().expose_secret(), asked["state"].as_str());
    let refused = |result: Result<SecretString, HttpError>| match result {
        Err(HttpError::NotSent(why)) => {
            assert!(
                why.contains("begin again") && !why.contains("code-"),
                "{why}"
            );
        }
        other => panic!("{:?}", other.map(drop)),
    };
    refused(scene.authorisation.finish(&other, &CODE.into()).await);
    refused(scene.authorisation.finish(&begun, &"code-2".into()).await);
}

#[tokio::test]
async fn without_a_refresh_token_nobody_is_authorised() {
    let scene = scene(&["contacts"]).await;
    let begun = scene.authorisation.begin(REDIRECT).unwrap();
    scene.asked.by(&begun);
    let result = scene.authorisation.finish(&begun, &CODE.into()).await;
    assert!(
        matches!(&result, Err(HttpError::NotSent(why)) if why.contains("offline access")),
        "{:?}",
        result.map(drop)
    );
}

/// Where a browser is sent for this page; or why it is not.
fn page(authorize_url: &str, elsewhere: Option<[&str; 2]>) -> Result<String, String> {
    let kind = AuthKind::Oauth2(Oauth2 {
        authorize_url: authorize_url.to_owned(),
        token_url: format!("{API}/oauth/token"),
        scopes: Vec::new(),
    });
    let mut setup = Setup::at(&"http://127.0.0.1:9".parse().unwrap())
        .declares("access", "oauth2", kind)
        .configures("access", client_7());
    let elsewhere = elsewhere.map(|[from, to]| EndpointOverride {
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
    });
    setup.account.endpoints.extend(elsewhere);
    let client = Arc::new(Client::new().unwrap());
    Authorisation::new(client, &setup.descriptor, &setup.account, "access")
        .map_err(|error| error.to_string())
        .map(|made| made.begin(REDIRECT).unwrap().url().to_string())
}

#[tokio::test]
async fn the_page_is_https_or_where_the_operator_says() {
    let url = page("https://app.example.com/authorize", None).unwrap();
    assert!(
        url.starts_with("https://app.example.com/authorize?"),
        "{url}"
    );
    let refused = page("http://app.example.com/authorize", None).unwrap_err();
    assert!(
        refused.contains("http://app.example.com") && refused.contains("not https"),
        "{refused}"
    );
    for from in ["http://app.example.com", "https://app.example.com"] {
        let elsewhere = Some([from, "http://127.0.0.1:8080"]);
        let url = page(&format!("{from}/authorize"), elsewhere).unwrap();
        assert!(url.starts_with("http://127.0.0.1:8080/authorize?"), "{url}");
    }
}
