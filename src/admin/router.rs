//! Which path leads to which handler.

use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::admin::access;
use crate::admin::delivery;
use crate::admin::events;
use crate::admin::guard;
use crate::admin::health;
use crate::admin::idempotency;
use crate::admin::journal;
use crate::admin::openapi;
use crate::admin::page;
use crate::admin::problem::Problem;
use crate::admin::rollouts;
use crate::admin::state::AdminState;

/// Makes the whole admin service. Every request passes the guard first, also one that no path fits.
pub fn router(state: AdminState) -> Router {
    Router::new()
        .route("/", get(page::index))
        .route("/assets/{build}/{file}", get(page::asset))
        .route("/livez", get(health::live))
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/version", get(health::version))
        .route("/metrics", get(health::metrics))
        .route("/v1/openapi.json", get(openapi::show))
        .route("/v1/whoami", get(whoami))
        .route("/v1/journal", get(journal::chain))
        .route("/v1/notices", get(rollouts::notices))
        .route("/v1/rollouts", get(rollouts::list).post(rollouts::start))
        .route("/v1/rollouts/{name}", get(rollouts::show))
        .route("/v1/rollouts/{name}/history", get(events::history))
        .route("/v1/rollouts/{name}/journal", get(journal::show))
        .route("/v1/rollouts/{name}/verdict", get(rollouts::verdict).post(rollouts::confirm))
        .route("/v1/rollouts/{name}/abort", post(rollouts::abort))
        .route("/v1/rollouts/{name}/promote", post(rollouts::promote))
        .route("/v1/rollouts/{name}/resume", post(rollouts::resume))
        .route("/v1/rollouts/{name}/approve", post(rollouts::approve))
        .route("/v1/rollouts/{name}/deny", post(rollouts::deny))
        .route("/v1/rollouts/{name}/pause", post(rollouts::pause))
        .route("/v1/rollouts/{name}/weight", put(rollouts::set_weight))
        .route("/v1/rollouts/{name}/retry", post(rollouts::retry))
        .route("/v1/projects", get(delivery::projects).post(delivery::create))
        .route("/v1/projects/{project}/services", post(delivery::onboard))
        .route("/v1/projects/{project}/resources", put(delivery::add_resource))
        .route("/v1/projects/{project}/services/{service}/artifacts", post(delivery::deliver))
        .route("/v1/projects/{project}/services/{service}/stages/{stage}/approve", post(delivery::approve))
        .route("/v1/projects/{project}/services/{service}/stages/{stage}/deny", post(delivery::deny))
        .route("/v1/projects/{project}/services/{service}/stages/{stage}/abort", post(delivery::abort))
        .route("/v1/projects/{project}/services/{service}/stages/{stage}/evaluations", post(delivery::evaluate))
        .route("/v1/projects/{project}/monitoring", post(delivery::monitor))
        .route("/v1/events", get(events::follow).post(delivery::event))
        .route("/v1/contexts/{id}", get(delivery::context))
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(state.answers.clone(), idempotency::remember))
        .layer(from_fn_with_state(state.clone(), guard::guard))
        .with_state(state)
}

/// Says who asks, and what they may do.
async fn whoami(State(state): State<AdminState>) -> Json<Value> {
    let (name, role) = access::asking();
    Json(json!({"name": name, "role": role, "socket": state.access.socket()}))
}

async fn unknown_path(uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(100).collect();
    Problem::new(StatusCode::NOT_FOUND, format!("there is nothing at {path:?}; GET /v1/rollouts lists the rollouts"))
}

async fn wrong_method(method: Method) -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, format!("{method} is not possible here; the Allow field tells what is"))
}
