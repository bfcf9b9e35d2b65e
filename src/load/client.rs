//! What one user keeps between its requests: connections and cookies; sends a step with its redirects.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::header::{CONNECTION, COOKIE, HOST};
use http::uri::{Authority, Parts};
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use http_body_util::Full;

use crate::formats::jmeter_conf::Scheme;
use crate::load::connection::{Connection, Failed, Interrupted};
use crate::load::cookies::Jar;
use crate::load::counters::{Counters, Failure};
use crate::load::plan::Request;
use crate::load::redirect;
use crate::load::script::Step;
use crate::load::target::{Origin, Target};

/// What a complete answer says.
pub(super) type Answer = (StatusCode, HeaderMap);

/// The connections and cookies of one user.
pub(super) struct Client {
    target: Arc<Target>,
    /// The number of the user in its group.
    number: usize,
    /// One open connection for each server, none of them in use.
    idle: Vec<(Arc<Origin>, Connection)>,
    jar: Jar,
}

impl Client {
    pub(super) fn new(target: Arc<Target>, number: usize) -> Self {
        Self { target, number, idle: Vec::new(), jar: Jar::default() }
    }

    /// Forgets every cookie.
    pub(super) fn forget(&mut self) {
        self.jar.clear();
    }

    /// Closes every connection.
    pub(super) fn hang_up(&mut self) {
        self.idle.clear();
    }

    /// Sends the request of a step, follows redirects where it says so, and returns the last answer.
    pub(super) async fn perform(&mut self, step: &Step, counters: &Counters) -> Result<Answer, Failed> {
        let mut request = Cow::Borrowed(&step.request);
        let mut origin = Arc::clone(step.origin.as_ref().unwrap_or(&self.target.origin));
        let mut followed = 0;
        loop {
            let (status, headers) = self.send(step, &origin, &request).await?;
            if step.cookies.is_some() {
                self.jar.keep(&origin, request.path.as_str(), &headers, SystemTime::now());
            }
            if !step.follow_redirects {
                return Ok((status, headers));
            }
            let next = redirect::next(&request, &origin, status, &headers);
            let Some((to, next)) = next.map_err(|why| Failed { failure: Failure::Redirect, why })? else { return Ok((status, headers)) };
            if followed == redirect::MOST {
                let why = format!("more than {} redirects, the last one to {to}{}", redirect::MOST, next.path);
                return Err(Failed { failure: Failure::Redirect, why });
            }
            followed += 1;
            counters.redirected();
            if to != *origin {
                origin = Arc::new(to);
            }
            request = Cow::Owned(next);
        }
    }

    /// Sends on the open connection, and on a new one when that turns out to have been closed while idle.
    ///
    /// The connection is put back only after a complete answer; a cancelled attempt closes it.
    async fn send(&mut self, step: &Step, origin: &Arc<Origin>, request: &Request) -> Result<Answer, Failed> {
        if let Some(at) = self.idle.iter().position(|(known, _)| known == origin) {
            let (known, mut idle) = self.idle.swap_remove(at);
            match idle.exchange(self.compose(step, origin, request, idle.is_http2())).await {
                Ok(answer) => {
                    if step.keep_alive {
                        self.idle.push((known, idle));
                    }
                    return Ok(answer);
                }
                Err(Interrupted::Unsent(_)) => {}
                Err(Interrupted::Broken(failed)) => return Err(failed),
            }
        }
        let opening = Connection::open(&self.target, origin);
        let mut fresh = match step.connect_timeout {
            None => opening.await?,
            Some(limit) => tokio::time::timeout(limit, opening).await.map_err(|_| {
                let why = format!("no connection to {origin} within {}", crate::domain::time::human(limit));
                Failed { failure: Failure::Connect, why }
            })??,
        };
        let sent = fresh.exchange(self.compose(step, origin, request, fresh.is_http2())).await;
        let answer = sent.map_err(Interrupted::into_failed)?;
        if step.keep_alive {
            self.idle.push((Arc::clone(origin), fresh));
        }
        Ok(answer)
    }

    fn compose(&self, step: &Step, origin: &Origin, request: &Request, http2: bool) -> http::Request<Full<Bytes>> {
        let mut composed = http::Request::new(Full::new(request.body.clone()));
        *composed.method_mut() = request.method.clone();
        let mut headers = request.headers.clone();
        if let Some(numbered) = &step.numbered
            && let Some(value) = numbered.value(self.number)
        {
            headers.insert(numbered.name.clone(), value);
        }
        if step.cookies.is_some() {
            self.add_cookies(&mut headers, origin, request);
        }
        if http2 {
            *composed.uri_mut() = absolute(origin, headers.remove(HOST), request);
        } else {
            *composed.uri_mut() = request.path.clone().into();
            headers.entry(HOST).or_insert_with(|| origin.header().clone());
            if !step.keep_alive {
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
        }
        *composed.headers_mut() = headers;
        composed
    }

    /// Adds the jar's cookies to those that the request has of its own.
    fn add_cookies(&self, headers: &mut HeaderMap, origin: &Origin, request: &Request) {
        let Some(kept) = self.jar.header(origin, request.path.as_str()) else { return };
        let both = headers.get(COOKIE).map(|own| [own.as_bytes(), b"; ", kept.as_bytes()].concat());
        // Two values of a header put together are one.
        let value = both.and_then(|both| HeaderValue::from_bytes(&both).ok()).unwrap_or(kept);
        headers.insert(COOKIE, value);
    }
}

/// Returns what a request is named by in HTTP/2, whose authority is the `Host` that was asked for.
fn absolute(origin: &Origin, host: Option<HeaderValue>, request: &Request) -> Uri {
    let host = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let mut parts = Parts::default();
    parts.scheme = Some(match origin.scheme() {
        Scheme::Http => http::uri::Scheme::HTTP,
        Scheme::Https => http::uri::Scheme::HTTPS,
    });
    parts.authority = Some(host.unwrap_or_else(|| origin.authority().clone()));
    parts.path_and_query = Some(request.path.clone());
    Uri::from_parts(parts).expect("scheme, authority and path are all there")
}
