//! Whether the process lives and may get traffic, which build it is, and its metrics.

use std::fmt::Write;

use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::admin::problem::Problem;
use crate::admin::state::{AdminState, Check};
use crate::telemetry::exposition::Exposition;

/// Answers 200 while the process lives, else 503; a supervisor should then restart it.
pub async fn live(State(state): State<AdminState>, RawQuery(query): RawQuery) -> Response {
    answer(&state.liveness(state.clock.now()), is_verbose(query.as_deref()))
}

/// Answers 200 while the process may get traffic, else 503.
pub async fn ready(State(state): State<AdminState>, RawQuery(query): RawQuery) -> Response {
    answer(&state.readiness(state.clock.now()), is_verbose(query.as_deref()))
}

/// Tells the name and version of the program.
pub async fn version() -> Response {
    axum::Json(json!({"name": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION")})).into_response()
}

/// Writes the metrics.
pub async fn metrics(State(state): State<AdminState>) -> Response {
    match state.exposition.text() {
        Ok(text) => ([(header::CONTENT_TYPE, Exposition::MEDIA_TYPE)], text).into_response(),
        Err(error) => Problem::new(StatusCode::INTERNAL_SERVER_ERROR, format!("the metrics cannot be written: {error}")).into_response(),
    }
}

fn is_verbose(query: Option<&str>) -> bool {
    query.is_some_and(|query| query.split('&').any(|pair| pair == "verbose" || pair.starts_with("verbose=")))
}

/// Answers in plain text: the first failure, or with `verbose` a line for each check.
fn answer(checks: &[Check], verbose: bool) -> Response {
    let failed = checks.iter().find_map(|check| check.failure);
    let mut text = String::new();
    if verbose {
        for check in checks {
            // Writing to a text cannot fail.
            let _ = match check.failure {
                None => writeln!(text, "[+] {}: ok", check.name),
                Some(failure) => writeln!(text, "[-] {}: {failure}", check.name),
            };
        }
    }
    text.push_str(failed.unwrap_or("ok"));
    text.push('\n');
    (if failed.is_some() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }, text).into_response()
}
