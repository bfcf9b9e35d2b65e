//! Which version a request goes to where the operator does not leave all of it to the draw: forced by a token, or where its user was.
//!
//! Nothing here goes past a trip: a forced request reaches the canary only while it has a share, and a user's position is what is
//! drawn for it, which the epoch may still refuse.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, HeaderValue, header};

use crate::domain::outcome::Role;
use crate::domain::version::Version;
use crate::proxy::client;
use crate::proxy::sanitise::{Clean, FORCE, Peer};
use crate::proxy::worker::{Found, Worker};
use crate::seam::choice::{By, Choice, Force, Sticky};
use crate::seam::clock;
use crate::seam::table::Epoch;
use crate::seam::token::{self, Kept, POSITIONS};

/// What a request goes to, as far as the epoch lets it.
pub enum Wanted {
    /// The version that plays this part.
    Drawn(Role),
    /// This version, without saying anything in a gate.
    Beside(Arc<Version>),
}

/// What was chosen for a request.
pub struct Chosen {
    /// The version.
    pub version: Wanted,
    /// The cookie to set with its answer.
    pub keep: Option<HeaderValue>,
}

impl Chosen {
    /// Leaves it to the draw.
    pub const fn drawn(role: Role) -> Self {
        Self { version: Wanted::Drawn(role), keep: None }
    }
}

/// Chooses a version: the one that a valid token forces, else the one of the user's position, else by the draw. Takes our own
/// cookies and the token out of what is passed on.
pub fn choose(choice: &Choice, worker: &Worker, found: &Found, peer: &Peer, head: &mut Parts, clean: &Clean) -> Chosen {
    let epoch = found.books.epoch();
    if let Some(force) = &choice.force
        && let Some(token) = take_token(force, &mut head.headers, clean)
    {
        let version = forced(choice, force, epoch, worker, &token);
        let counters = &worker.counters.choices;
        count(if version.is_some() { &counters.forced } else { &counters.force_refused });
        if let Some(version) = version {
            if let Some(Sticky { by: By::OwnCookie { name, .. }, .. }) = &choice.sticky {
                take_cookie(&mut head.headers, name);
            }
            return Chosen { version: Wanted::Beside(version), keep: None };
        }
    }
    match &choice.sticky {
        Some(sticky) => stay(sticky, worker, found, peer, head),
        None => Chosen::drawn(worker.draw(found)),
    }
}

/// Returns the version that a token forces, `None` when it forces nothing.
fn forced(choice: &Choice, force: &Force, epoch: &Epoch, worker: &Worker, token: &str) -> Option<Arc<Version>> {
    let name = token::forced(&force.keys, &epoch.service, epoch.rollout, clock::unix_seconds(), token)?;
    match &epoch.canary {
        // The name of the canary is never looked for among the others: that would lead past a trip.
        Some(canary) if canary.version.name.as_str() == name => {
            epoch.admits_beside(worker.clock.now()).then(|| Arc::clone(&canary.version))
        }
        _ if epoch.stable.name.as_str() == name => Some(Arc::clone(&epoch.stable)),
        _ => choice.others.find(name).cloned(),
    }
}

/// Chooses by the user's position, or draws one.
fn stay(sticky: &Sticky, worker: &Worker, found: &Found, peer: &Peer, head: &mut Parts) -> Chosen {
    let epoch = found.books.epoch();
    let given = match &sticky.by {
        By::OwnCookie { name, .. } => take_cookie(&mut head.headers, name),
        _ => None,
    };
    let Some(weight) = epoch.canary.as_ref().map(|canary| canary.weight.basis_points()) else { return Chosen::drawn(Role::Stable) };
    let role = |position: u16| if position < weight { Role::Canary } else { Role::Stable };
    let hashed = |key: &[u8]| token::position(&sticky.keys, &epoch.service, epoch.rollout, key);
    let known = match &sticky.by {
        By::OwnCookie { .. } => given.and_then(|cookie| match token::kept(&sticky.keys, &epoch.service, epoch.rollout, &cookie) {
            Kept::Position(position) => Some(position),
            Kept::Over => None,
            Kept::Forged => {
                count(&worker.counters.choices.sticky_forged);
                None
            }
        }),
        By::Header(name) => head.headers.get(name).map(|value| hashed(value.as_bytes())),
        By::Cookie(name) => cookies(&head.headers).find(|(known, _)| *known == name.as_bytes()).map(|(_, value)| hashed(value)),
        By::Client => match client::of(&head.headers, peer, &worker.rules().settings.trusted) {
            0 => None,
            client => Some(hashed(&client.to_be_bytes())),
        },
    };
    if let Some(position) = known {
        return Chosen::drawn(role(position));
    }
    let drawn = worker.draw(found);
    let By::OwnCookie { name, age } = &sticky.by else { return Chosen::drawn(drawn) };
    // The draw is exact at small numbers; a place on its side of the weight makes every position as likely as another.
    let random = worker.random();
    let place = |from: u16, to: u16| from + u16::try_from(random % u32::from(to.saturating_sub(from).max(1))).unwrap_or_default();
    let position = if drawn == Role::Canary { place(0, weight) } else { place(weight, POSITIONS) };
    let value = token::keep(&sticky.keys, &epoch.service, epoch.rollout, position);
    Chosen { version: Wanted::Drawn(drawn), keep: set_cookie(name, &value, *age, is_encrypted(peer, &head.headers)) }
}

/// Takes the token out of the request: from the field, else from the cookie.
fn take_token(force: &Force, headers: &mut HeaderMap, clean: &Clean) -> Option<String> {
    let of_field = match &force.header {
        Some(name) if name.as_str() == FORCE => clean.token.clone(),
        Some(name) => headers.remove(name),
        None => None,
    };
    let of_cookie = force.cookie.as_ref().and_then(|name| take_cookie(headers, name));
    // A field that is no text is a token all the same, and none that forces anything.
    of_field.map(|value| value.to_str().unwrap_or_default().to_owned()).or(of_cookie)
}

/// Iterates over the names and values of all cookies; browsers send what is no ASCII, too.
fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&[u8], &[u8])> {
    let pairs = headers.get_all(header::COOKIE).into_iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
    pairs.filter_map(split_pair)
}

fn split_pair(pair: &[u8]) -> Option<(&[u8], &[u8])> {
    let pair = pair.trim_ascii();
    let at = pair.iter().position(|byte| *byte == b'=')?;
    Some((pair.get(..at)?, pair.get(at + 1..)?))
}

/// Takes every cookie of a name out of the request and returns the first one's value; one that is no text is worth nothing.
fn take_cookie(headers: &mut HeaderMap, name: &str) -> Option<String> {
    let name = name.as_bytes();
    let taken = cookies(headers).find(|(known, _)| *known == name).map(|(_, value)| String::from_utf8_lossy(value).into_owned())?;
    let is_other = |pair: &&[u8]| split_pair(pair).is_none_or(|(known, _)| known != name);
    let kept: Vec<HeaderValue> = headers
        .get_all(header::COOKIE)
        .into_iter()
        .filter_map(|value| {
            let pairs = value.as_bytes().split(|byte| *byte == b';').filter(is_other).map(<[u8]>::trim_ascii);
            let rest: Vec<&[u8]> = pairs.filter(|pair| !pair.is_empty()).collect();
            HeaderValue::from_bytes(&rest.join(&b"; "[..])).ok().filter(|rest| !rest.is_empty())
        })
        .collect();
    headers.remove(header::COOKIE);
    for value in kept {
        headers.append(header::COOKIE, value);
    }
    Some(taken)
}

/// Says whether the client speaks over TLS, with us or with a trusted proxy in front of us.
fn is_encrypted(peer: &Peer, headers: &HeaderMap) -> bool {
    peer.scheme == "https" || (peer.trusted && headers.get("x-forwarded-proto").is_some_and(|proto| proto == "https"))
}

/// Writes a cookie that scripts do not see and other sites do not send (RFC 6265 section 4.1).
fn set_cookie(name: &str, value: &str, age: Duration, secure: bool) -> Option<HeaderValue> {
    let mut text = format!("{name}={value}; Path=/; Max-Age={}; HttpOnly; SameSite=Lax", age.as_secs());
    if secure {
        // Writing to a String cannot fail.
        let _ = write!(text, "; Secure");
    }
    HeaderValue::try_from(text).ok()
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(cookies: &[&'static [u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for cookie in cookies {
            headers.append(header::COOKIE, HeaderValue::from_bytes(cookie).unwrap());
        }
        headers
    }

    #[test]
    fn our_cookie_is_taken_out_and_everybody_elses_stays() {
        for (given, taken, kept) in [
            (&[&b"a=1; own=x; b=2"[..]][..], Some("x"), &[&b"a=1; b=2"[..]][..]),
            (&[b"own=x"], Some("x"), &[]),
            (&[b"own=x;own=y; a=1", b"own=z"], Some("x"), &[b"a=1"]),
            (&[b"a=1;;b", b"own="], Some(""), &[b"a=1; b"]),
            (&[b"a=\xff; own=x", b"own=y"], Some("x"), &[b"a=\xff"]),
            (&[b"a=1;  b=2", b"OWN=x"], None, &[b"a=1;  b=2", b"OWN=x"]),
            (&[], None, &[]),
        ] {
            let mut headers = headers(given);
            assert_eq!(take_cookie(&mut headers, "own").as_deref(), taken, "{given:?}");
            let left: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
            assert_eq!(left, kept, "{given:?}");
        }
    }

    #[test]
    fn a_cookie_is_secure_where_the_client_speaks_over_tls() {
        let (hour, remote) = (Duration::from_secs(3600), ([192, 0, 2, 7], 4711).into());
        let plain = "own=x; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax";
        assert_eq!(set_cookie("own", "x", hour, false).unwrap(), plain);
        assert_eq!(set_cookie("own", "x", hour, true).unwrap(), format!("{plain}; Secure").as_str());
        let mut claimed = HeaderMap::new();
        claimed.insert("x-forwarded-proto", HeaderValue::from_static("https"));
        let trusted = ["192.0.2.0/24".parse().unwrap()];
        for (peer, secure) in
            [(Peer::new(remote, 80, &[]), false), (Peer::new(remote, 80, &trusted), true), (Peer::over_tls(remote, 443, &[]), true)]
        {
            assert_eq!(is_encrypted(&peer, &claimed), secure);
        }
    }
}
