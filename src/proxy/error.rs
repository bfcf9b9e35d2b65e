//! Answers made here: what a failure or refusal looks like to the client, and how it names itself in `Proxy-Status`.

use http::header::{self, HeaderMap};
use http::{HeaderValue, Response, StatusCode};

use crate::domain::outcome::Failure;
use crate::proxy::body::Answer;
use crate::proxy::grpc;
use crate::proxy::respond::{self, Form};
use crate::proxy::sanitise::{Policy, Refusal};

/// Makes the answer to a request that failed on its way to or from its version.
#[must_use]
pub fn failed(failure: Failure, form: Form, policy: &Policy) -> Response<Answer> {
    let status = StatusCode::from_u16(failure.status()).unwrap_or(StatusCode::BAD_GATEWAY);
    let detail = match failure {
        Failure::ConnectionRefused => "the service refused the connection",
        Failure::ConnectionTimeout => "the service did not accept a connection in time",
        Failure::TlsCertificate => "the service's certificate is not accepted, or it does not accept ours",
        Failure::TlsHandshake => "the service does not speak TLS as it must",
        Failure::ConnectionTerminated => "the service closed the connection before it answered",
        Failure::ResponseTimeout => "the service did not answer in time",
        Failure::GivenUp => "the service did not answer in the time that the client had set",
        Failure::ResponseInvalid => "the service's answer is not valid HTTP",
        Failure::ResponseInformational => "the service sent too many informational answers, or switched protocols unasked",
        Failure::ResponseBodyTimeout | Failure::ResponseBodyCut => "the service's answer is incomplete",
        Failure::RequestBodyInvalid => "the request's body is malformed or incomplete",
        Failure::RequestBodyTimeout => "the request's body did not arrive in time",
        Failure::ClientGone => "the client left",
        Failure::ProxyExhausted => "the proxy has no connection left to make",
        Failure::NoEndpoint => "the service has no endpoint",
        Failure::VersionBusy => "the service has as many requests in flight as it may",
        Failure::Shed => "the service was given back to a version that holds as much as it can take now",
        Failure::TakenBack => "the request was taken back from a version that is rolled back",
    };
    let mut response =
        if form.grpc { respond::call(grpc::status_of_failure(failure), detail) } else { respond::problem(status, detail, form) };
    let headers = response.headers_mut();
    proxy_status(headers, policy, failure.proxy_status());
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    if form.http1 && matches!(failure, Failure::RequestBodyInvalid | Failure::RequestBodyTimeout) {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Makes the answer to a request that is not passed on, and closes the connection after it.
#[must_use]
pub fn refused(refusal: Refusal, form: Form, policy: &Policy) -> Response<Answer> {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST);
    let mut response = respond::problem(status, refusal.reason, form);
    let headers = response.headers_mut();
    let token = if refusal.status == 508 { "proxy_loop_detected" } else { "http_request_denied" };
    if !status.is_success() {
        proxy_status(headers, policy, token);
    }
    if form.http1 {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    if status.is_success() || status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
    }
    response
}

/// Makes the answer to a request that nobody serves here.
#[must_use]
pub fn no_route(form: Form, policy: &Policy) -> Response<Answer> {
    let mut response = respond::problem(StatusCode::NOT_FOUND, "no service here answers this request", form);
    proxy_status(response.headers_mut(), policy, "destination_not_found");
    response
}

fn proxy_status(headers: &mut HeaderMap, policy: &Policy, token: &str) {
    if let Ok(value) = HeaderValue::try_from(format!("{}; error={token}", policy.pseudonym)) {
        headers.insert("proxy-status", value);
    }
}
