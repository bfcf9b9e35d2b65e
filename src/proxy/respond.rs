//! Small answers: problem+json (RFC 9457) for clients that accept JSON, plain text for the rest.

use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::Full;

use crate::proxy::body::Answer;
use crate::proxy::grpc;
use crate::proxy::passage::Passage;
use crate::proxy::settings::Tells;

/// The field that names the version that answered.
const VERSION: HeaderName = HeaderName::from_static("x-portcullis-version");
/// The field of the W3C's Server Timing.
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

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
        return call(grpc::status_of_http(status), detail);
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

/// Tells the client which version answered and how long it took, where that is wanted. A version cannot speak for itself here.
#[inline]
pub fn tell(tells: Tells, headers: &mut HeaderMap, passage: &Passage) {
    if (tells.version || tells.timing)
        && let Some((version, time)) = passage.told()
    {
        tell_of(tells, headers, version.as_str(), time);
    }
}

#[cold]
fn tell_of(tells: Tells, headers: &mut HeaderMap, version: &str, time: Duration) {
    let mut set = |name, text: &str| {
        // The name of a version has no character that a field must not have.
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(name, value);
        }
    };
    if tells.version {
        set(VERSION, version);
    }
    if tells.timing {
        set(SERVER_TIMING, &format!("upstream;desc=\"{version}\";dur={:.3}", time.as_secs_f64() * 1e3));
    }
}

/// Makes the answer to a call that failed here: always 200, and all of it in the head ("Trailers-Only").
#[must_use]
pub fn call(status: u32, message: &str) -> Response<Answer> {
    let mut response = Response::new(Answer::Local(Full::default()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(grpc::STATUS, HeaderValue::from(status));
    if let Ok(message) = HeaderValue::try_from(grpc::encoded(message)) {
        headers.insert(grpc::MESSAGE, message);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_tells_only_what_is_wanted() {
        let told = |version, timing| {
            let mut headers = HeaderMap::new();
            headers.insert(VERSION, HeaderValue::from_static("forged"));
            tell_of(Tells { version, timing }, &mut headers, "0.8.2", Duration::from_micros(12_345));
            let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
            (text(VERSION).unwrap(), text(SERVER_TIMING))
        };
        assert_eq!(told(true, false), ("0.8.2".to_owned(), None));
        assert_eq!(told(false, true), ("forged".to_owned(), Some("upstream;desc=\"0.8.2\";dur=12.345".to_owned())));
    }

    #[test]
    fn a_failed_call_is_told_in_one_head() {
        let form = Form { json: true, http1: false, bodyless: false, grpc: true };
        let response = problem(StatusCode::BAD_GATEWAY, "50% gone", form);
        assert_eq!((response.status(), &response.headers()["grpc-status"]), (StatusCode::OK, &HeaderValue::from_static("14")));
        assert_eq!(
            (&response.headers()["grpc-message"], &response.headers()["content-type"]),
            (&HeaderValue::from_static("50%25 gone"), &HeaderValue::from_static("application/grpc"))
        );
        assert!(http_body::Body::is_end_stream(response.body()));
    }
}
