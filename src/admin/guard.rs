//! Who may talk to the admin listener: looks at a request's head before any handler does.
//!
//! It keeps web pages away (DNS rebinding by the `Host`, forged requests by `Origin` and `Sec-Fetch-Site`) and refuses
//! changes where the listener is reachable from other machines. It knows no users.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::admin::problem::Problem;
use crate::admin::state::AdminState;

/// The address at which a connection arrived; the server adds it to each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrived(pub IpAddr);

/// What every answer says that does not say otherwise: do not guess its type, do not keep it, do not show it within a page, or with one of another origin.
const HEADERS: [(HeaderName, &str); 6] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CACHE_CONTROL, "no-store"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Where events of other systems come in.
pub const EVENTS: &str = "/v1/events";

/// Lets a request through to its handler or refuses it, and completes the answer's head either way.
pub async fn guard(State(state): State<AdminState>, request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    let mut response = match check(&head, state.mutations) {
        Ok(()) => next.run(Request::from_parts(head, body)).await,
        Err(problem) => problem.into_response(),
    };
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// Decides on a request's head.
///
/// # Errors
///
/// Returns the refusal: 400 without exactly one valid `Host`, else 403.
pub fn check(head: &Parts, mutations: bool) -> Result<(), Problem> {
    let arrived = head.extensions.get::<Arrived>().map(|arrived| arrived.0);
    // Events of other machines come by whatever name those know; each proves itself where it is read.
    if head.method == Method::POST && head.uri.path() == EVENTS && !mutations {
        return Ok(());
    }
    let host = host_of(&head.headers)?;
    for authority in [Some(&host), head.uri.authority()].into_iter().flatten() {
        if !is_own(authority, arrived) {
            let hint = "use localhost, a loopback address, or the address the admin listener is bound to";
            return Err(forbidden(format!("{:?} is not a name of this listener; {hint}", authority.as_str())));
        }
    }
    if head.method.is_safe() {
        return Ok(());
    }
    if !mutations {
        let hint = "bind it to a loopback address (--admin 127.0.0.1:PORT) and ask from this machine";
        return Err(forbidden(format!("this admin listener only shows, because it is reachable from other machines; {hint}")));
    }
    same_origin(&head.headers, &host)
}

/// Returns the one `Host` of a request.
fn host_of(headers: &HeaderMap) -> Result<Authority, Problem> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().ok().and_then(|host| host.parse::<Authority>().ok()),
        _ => None,
    };
    host.ok_or_else(|| Problem::new(StatusCode::BAD_REQUEST, "a request needs exactly one valid Host field"))
}

/// Says whether an authority names this listener: `localhost`, a loopback address, or the address the connection came to.
fn is_own(authority: &Authority, arrived: Option<IpAddr>) -> bool {
    let host = authority.host();
    if authority.as_str().contains('@') {
        return false;
    }
    if host.eq_ignore_ascii_case("localhost") {
        return true;
    }
    let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let address = literal.parse::<IpAddr>().map(|address| address.to_canonical());
    address.is_ok_and(|address| address.is_loopback() || arrived.is_some_and(|arrived| arrived.to_canonical() == address))
}

/// Refuses changes that a page of another origin asks for. Programs that are no browsers send neither field.
fn same_origin(headers: &HeaderMap, host: &Authority) -> Result<(), Problem> {
    let own = format!("http://{host}");
    for origin in headers.get_all(header::ORIGIN) {
        if !origin.to_str().is_ok_and(|origin| origin.eq_ignore_ascii_case(&own)) {
            return Err(forbidden("the request comes from a page of another origin; send no Origin, or this listener's own"));
        }
    }
    for site in headers.get_all("sec-fetch-site") {
        if !matches!(site.as_bytes(), b"same-origin" | b"none") {
            return Err(forbidden("the request comes from a page of another site (Sec-Fetch-Site)"));
        }
    }
    Ok(())
}

fn forbidden(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, detail)
}
