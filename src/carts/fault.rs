//! An answer that says what went wrong, in the shape of the original's framework.

use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::carts::answer::{Json, date_now};

/// An error answer without its path, which the router adds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    status: StatusCode,
    message: String,
}

#[derive(Serialize)]
struct Body<'a> {
    timestamp: String,
    status: u16,
    error: &'a str,
    message: &'a str,
    path: &'a str,
}

impl Fault {
    /// The request is not understood (400).
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, message: message.into() }
    }

    /// There is no such path (404).
    pub fn not_found() -> Self {
        Self { status: StatusCode::NOT_FOUND, message: "No message available".to_owned() }
    }

    /// The path exists, but not for this method (405).
    pub fn method_not_allowed(method: &str) -> Self {
        let shown: String = method.chars().take(32).collect();
        Self { status: StatusCode::METHOD_NOT_ALLOWED, message: format!("Request method '{shown}' not supported") }
    }

    /// The body is not declared as JSON (415).
    pub fn unsupported_media(media: &str) -> Self {
        let shown: String = media.chars().take(80).collect();
        Self { status: StatusCode::UNSUPPORTED_MEDIA_TYPE, message: format!("Content type '{shown}' not supported") }
    }

    /// The service failed (500).
    pub fn internal(message: impl Into<String>) -> Self {
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, message: message.into() }
    }

    /// Returns the status code.
    #[cfg(test)]
    pub fn status(&self) -> u16 {
        self.status.as_u16()
    }

    /// Writes the answer for a request to `uri`.
    pub fn answer(&self, uri: &Uri) -> Response {
        let body = Body {
            timestamp: date_now(),
            status: self.status.as_u16(),
            error: self.status.canonical_reason().unwrap_or("Unknown"),
            message: &self.message,
            path: uri.path(),
        };
        (self.status, Json(body)).into_response()
    }
}

impl IntoResponse for Fault {
    /// Hands the fault to the router, which knows the path and writes the answer.
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}
