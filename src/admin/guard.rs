//! Who may talk to the admin listener: looks at a request's head before any handler does.
//!
//! It keeps web pages away (DNS rebinding by the `Host`, forged changes by `Origin` and `Sec-Fetch-Site`, questions to
//! the API by `Sec-Fetch-Site`) and whoever has not
//! the role that a request takes.

use std::net::IpAddr;

use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::admin::access::{self, Access, CALLER, Caller, Peer, Way};
use crate::admin::condition::{self, EXPECTED};
use crate::admin::lockout::Patience;
use crate::admin::problem::Problem;
use crate::admin::state::AdminState;
use crate::domain::rank::Rank;

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

/// The longest refusal that is told in other words than ours, in bytes.
const WORDS: usize = 1024;

/// Where events of other systems come in.
pub const EVENTS: &str = "/v1/events";

/// Lets a request through to its handler or refuses it, and completes the answer's head either way.
pub async fn guard(State(state): State<AdminState>, request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    let (shown, source) = (head.method.is_safe(), Patience::source(&head));
    let refused = source.and_then(|source| state.patience.refuse(source, &head, state.clock.now()));
    let mut response = match refused {
        Some(refused) => refused,
        None => answered(&state, Request::from_parts(head, body), next).await,
    };
    if response.status().is_client_error() {
        response = told(response).await;
    }
    if response.status() == StatusCode::UNAUTHORIZED {
        challenge(shown, response.headers_mut());
        if let Some(source) = source {
            state.patience.strike(source, state.clock.now());
        }
    }
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// Has a request answered by its handler, where nothing speaks against it.
async fn answered(state: &AdminState, request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    let conditioned =
        check(&head, &state.access).and_then(|caller| Ok((caller, condition::of(&head.method, head.uri.path(), &head.headers)?)));
    match conditioned {
        Ok((caller, expected)) => {
            let answered = next.run(Request::from_parts(head, body));
            CALLER.scope(caller, EXPECTED.scope(expected, answered)).await
        }
        Err(problem) => problem.into_response(),
    }
}

/// Tells a refusal that was made without a handler, such as for a path that is no text, as every other one.
async fn told(response: Response) -> Response {
    if response.headers().get(header::CONTENT_TYPE).is_none_or(|kind| !kind.as_bytes().starts_with(b"text/plain")) {
        return response;
    }
    let (status, allow) = (response.status(), response.headers().get(header::ALLOW).cloned());
    let words = to_bytes(response.into_body(), WORDS).await.unwrap_or_default();
    let mut problem = Problem::new(status, String::from_utf8_lossy(&words).trim_end_matches('.').to_owned()).into_response();
    if let Some(allow) = allow {
        problem.headers_mut().insert(header::ALLOW, allow);
    }
    problem
}

/// Decides on a request's head, and says who asks.
///
/// # Errors
///
/// Returns the refusal: 400 without exactly one valid `Host`, 401 for somebody unknown, else 403.
pub fn check(head: &Parts, access: &Access) -> Result<Caller, Problem> {
    let peer = head.extensions.get::<Peer>().cloned().unwrap_or_default();
    let caller = access.caller(&peer, &head.headers);
    if head.method == Method::POST && head.uri.path() == EVENTS {
        let caller = caller.clone().unwrap_or(Caller { rank: None, name: None });
        // Events of other machines come by whatever name those know; each proves itself where it is read.
        if caller.rank < Some(Rank::Operator) {
            return Ok(caller);
        }
    }
    let arrived = head.extensions.get::<Arrived>().map(|arrived| arrived.0);
    let host = host_of(&head.headers)?;
    for authority in [Some(&host), head.uri.authority()].into_iter().flatten() {
        let named = access.is_own(authority.host()) && !authority.as_str().contains('@');
        if !named && !is_own(authority, arrived) {
            let hint = "use localhost, a loopback address, the address the admin listener is bound to, or a name of admin.hosts";
            return Err(forbidden(format!("{:?} is not a name of this listener; {hint}", authority.as_str())));
        }
    }
    let caller =
        caller.map_err(|access::Unknown| unauthorized("nobody here has this token; is it the right proxy, and the right file?"))?;
    if let Some(needed) = access::needed(&head.method, head.uri.path())
        && caller.rank < Some(needed)
    {
        return Err(too_low(&caller, needed, peer.way, access));
    }
    if !head.method.is_safe() {
        same_origin(&head.headers, &host, peer.encrypted)?;
    } else if head.uri.path().starts_with("/v1/") {
        // The page could not read the answer, but make this process work for it.
        same_site(&head.headers)?;
    }
    Ok(caller)
}

/// Refuses somebody whose role does not suffice.
fn too_low(caller: &Caller, needed: Rank, way: Way, access: &Access) -> Problem {
    if let (Some(name), Some(rank)) = (&caller.name, caller.rank) {
        return forbidden(format!(
            "this takes the role {needed}, and {name} is {rank}; see admin.tokens and admin.clients in the configuration"
        ));
    }
    if way == Way::Network || access.is_guarded() {
        let hint = "send Authorization: Bearer TOKEN (--admin-token-file), or a client certificate (--cert and --key)";
        return unauthorized(format!("this takes the role {needed}; {hint}"));
    }
    let hint = match access.socket() {
        Some(socket) => format!("ask over its socket (--admin {socket}), write admin.tokens in the configuration"),
        None => "write admin.tokens in the configuration".to_owned(),
    };
    forbidden(format!(
        "this address only shows, because it knows nobody; {hint}, or let everybody on this machine command by starting it with --admin 127.0.0.1:PORT"
    ))
}

fn unauthorized(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, detail)
}

/// Says how to be known. A browser asks its user for a name and a password where it shows a page; what pages ask by themselves
/// is answered without making it do so.
fn challenge(shown: bool, headers: &mut HeaderMap) {
    headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"portcullis\""));
    if shown {
        headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"portcullis\", charset=\"UTF-8\""));
    }
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
fn same_origin(headers: &HeaderMap, host: &Authority, encrypted: bool) -> Result<(), Problem> {
    let own = format!("{}://{host}", if encrypted { "https" } else { "http" });
    for origin in headers.get_all(header::ORIGIN) {
        if !origin.to_str().is_ok_and(|origin| origin.eq_ignore_ascii_case(&own)) {
            return Err(forbidden("the request comes from a page of another origin; send no Origin, or this listener's own"));
        }
    }
    same_site(headers)
}

/// Refuses what a browser says that a page of another site asks for.
fn same_site(headers: &HeaderMap) -> Result<(), Problem> {
    for site in headers.get_all("sec-fetch-site") {
        if !matches!(site.as_bytes(), b"same-origin" | b"none") {
            return Err(forbidden("the request comes from a page of another site (Sec-Fetch-Site); open the address itself"));
        }
    }
    Ok(())
}

fn forbidden(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, detail)
}
