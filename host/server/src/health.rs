//! Whether the service lives, and whether it can do its work.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::service::Service;

/// `GET /health/live` and `GET /health/ready`, for whoever starts and stops the service or sends requests to it. They
/// tell nothing about what it does, and need no token.
pub(crate) fn routes(service: Arc<Service>) -> Router {
    Router::new()
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .with_state(service)
}

async fn live() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

async fn ready(State(service): State<Arc<Service>>) -> (StatusCode, Json<Value>) {
    let stopping = service.stop.is_cancelled();
    // One small query: a store that cannot be read is no store.
    let store = service.hook_store().hook_counts().await;
    if let Err(error) = &store {
        tracing::error!(%error, "the store cannot be read");
    }
    let ready = !stopping && store.is_ok();
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let said = json!({
        "status": if ready { "ok" } else { "unavailable" },
        "store": if store.is_ok() { "ok" } else { "failed" },
        "stopping": stopping,
    });
    (status, Json(said))
}
