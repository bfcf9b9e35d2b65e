//! Small answers: problem+json (RFC 9457) for clients that accept JSON, plain text for the rest.

use bytes::Bytes;
use http::header;
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;

use crate::proxy::body::Answer;
use crate::proxy::grpc;

/// The form in which a client is told of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// As problem+json instead of plain text.
    pub json: bool,
    /// Over HTTP/1, where a connection carries one request at a time and closes by a field.
    pub http1: bool,
    /// To HEAD, and so without a body; over HTTP/1 hyper sees to that.
    pub bodyless: bool,
    /// To a gRPC call.
    pub grpc: bool,
}

impl Form {
    /// Reads from a request what its client accepts.
    #[must_use]
    pub fn wanted(head: &http::request::Parts) -> Self {
        let json = head.headers.get(header::ACCEPT).is_some_and(|v| v.to_str().is_ok_and(|v| v.contains("json")));
        let http1 = head.version <= http::Version::HTTP_11;
        Self { json, http1, bodyless: !http1 && head.method == http::Method::HEAD, grpc: grpc::is_call(head.version, &head.headers) }
    }
}

/// Makes an answer that explains itself.
#[must_use]
pub fn problem(status: StatusCode, detail: &str, form: Form) -> Response<Answer> {
    if form.grpc {
        return grpc::failed(grpc::status_of_http(status), detail);
    }
    let (kind, text) = if form.json {
        let title = status.canonical_reason().unwrap_or("Error");
        let body = serde_json::json!({"type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail});
        ("application/problem+json", body.to_string())
    } else {
        ("text/plain; charset=utf-8", format!("{} {detail}\n", status.as_u16()))
    };
    let length = text.len();
    let body = if form.bodyless { Bytes::new() } else { Bytes::from(text) };
    let mut response = Response::new(Answer::Local(Full::new(body)));
    if form.bodyless {
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
