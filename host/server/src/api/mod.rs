//! The API for operators: every operation at its route, for whoever has a token that allows it.
//!
//! `authenticate` finds out who asks, `offer` does one operation for them, `stream` tells its progress, `requests`
//! keeps what is sent again from being done again, `document` describes all of it.

mod authenticate;
mod document;
mod offer;
mod requests;
mod stream;

use std::sync::Arc;

use axum::Router;
use axum::http::header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::{MethodFilter, on};
use samspel_operations::accounts::Authorisations;
use samspel_operations::{Operation, catalogue};
use tower_http::set_header::SetResponseHeaderLayer;
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::metrics;
use crate::problem::Problem;
use crate::service::Service;

pub(crate) use authenticate::Wrong;

/// Below this stands every operation.
const ROOT: &str = "/api/v1";
const DOCUMENT: &str = "/api/openapi.json";
const PAGE: &str = "/api/docs";

/// What the API holds besides what everybody shares.
#[derive(Default)]
pub(crate) struct Api {
    /// Authorisations that wait for an answer.
    pub authorisations: Authorisations,
    /// How often somebody came with a wrong token.
    pub wrong: Wrong,
}

/// All routes. None can be used without a token.
pub(crate) fn routes(service: Arc<Service>) -> Router {
    let mut offers = Offers {
        router: Router::new(),
        document: document::Builder::new(),
    };
    catalogue::each(&mut offers);
    let page = SwaggerUi::new(PAGE)
        .config(
            Config::default()
                .persist_authorization(false)
                .validator_url("none"),
        )
        .url(DOCUMENT, offers.document.finish());
    let header =
        |name, value| SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value));
    offers
        .router
        .with_state(Arc::clone(&service))
        .merge(metrics::routes(Arc::clone(&service)))
        .merge(Router::from(page))
        .method_not_allowed_fallback(not_allowed)
        .layer(from_fn_with_state(service, authenticate::authenticate))
        .layer(header(CACHE_CONTROL, "no-store"))
        .layer(header(X_CONTENT_TYPE_OPTIONS, "nosniff"))
}

struct Offers {
    router: Router<Arc<Service>>,
    document: document::Builder,
}

impl catalogue::Visitor for Offers {
    fn visit<O: Operation>(&mut self) {
        let route = O::ROUTE;
        // The catalogue's methods are those that HTTP has routes for.
        let Ok(method) = MethodFilter::try_from(route.method.clone()) else {
            return;
        };
        let path = format!("{ROOT}{}", route.path);
        let router = std::mem::take(&mut self.router);
        self.router = router.route(&path, on(method, offer::offer::<O>));
        self.document.add::<O>(&path);
    }
}

async fn not_allowed() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed")
        .detail("nothing is done here with this method")
}

/// The answer to whoever asks for something that is not there.
pub(crate) async fn nothing() -> Response {
    use axum::response::IntoResponse as _;
    Problem::new(StatusCode::NOT_FOUND, "not-found")
        .detail("there is nothing at this path; /api/docs shows what there is")
        .into_response()
}
