//! The cookies of one user: what each host set, sent back to that host alone.
//!
//! A part of RFC 6265: the attributes `Path`, `Secure`, `Max-Age` and `Expires` count. `Domain` does not widen who gets a cookie,
//! and a cookie goes when a server deletes it, not when its time has passed.

use std::time::SystemTime;

use http::header::SET_COOKIE;
use http::{HeaderMap, HeaderValue};
use jiff::Timestamp;

use crate::formats::jmeter_conf::Scheme;
use crate::load::target::Origin;

/// The most cookies that are kept; the oldest goes first.
const MOST: usize = 50;
/// The longest cookie, name and value together, in bytes.
const LONGEST: usize = 4096;

/// The cookies of one user.
#[derive(Debug, Default)]
pub(super) struct Jar {
    cookies: Vec<Cookie>,
}

#[derive(Debug)]
struct Cookie {
    host: String,
    path: String,
    secure: bool,
    name: String,
    value: String,
}

impl Jar {
    /// Forgets every cookie.
    pub(super) fn clear(&mut self) {
        self.cookies.clear();
    }

    /// Takes what an answer to a request for `path` sets or deletes.
    pub(super) fn keep(&mut self, origin: &Origin, path: &str, answer: &HeaderMap, now: SystemTime) {
        for text in answer.get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok()) {
            let Some((cookie, lives)) = read(origin, path, text, now) else { continue };
            self.cookies.retain(|kept| (&kept.host, &kept.path, &kept.name) != (&cookie.host, &cookie.path, &cookie.name));
            if lives {
                self.cookies.push(cookie);
            }
            if self.cookies.len() > MOST {
                self.cookies.remove(0);
            }
        }
    }

    /// Returns the value of `Cookie` for a request, `None` when there is nothing to send. Cookies of longer paths come first.
    pub(super) fn header(&self, origin: &Origin, path: &str) -> Option<HeaderValue> {
        let path = path.split('?').next().unwrap_or(path);
        let fits = |cookie: &&Cookie| {
            cookie.host == origin.name() && covers(&cookie.path, path) && (!cookie.secure || origin.scheme() == Scheme::Https)
        };
        let mut fitting: Vec<&Cookie> = self.cookies.iter().filter(fits).collect();
        fitting.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        let text = fitting.iter().map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect::<Vec<_>>().join("; ");
        if text.is_empty() { None } else { HeaderValue::try_from(text).ok() }
    }
}

/// Reads a cookie and says whether it is set rather than deleted.
fn read(origin: &Origin, path: &str, text: &str, now: SystemTime) -> Option<(Cookie, bool)> {
    let mut parts = text.split(';');
    let (name, value) = parts.next()?.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    if name.is_empty() || name.len() + value.len() > LONGEST {
        return None;
    }
    let (mut whose, mut secure, mut expired, mut aged) = (default_path(path), false, false, None);
    for part in parts {
        let (attribute, given) = part.split_once('=').unwrap_or((part, ""));
        let given = given.trim();
        match attribute.trim().to_ascii_lowercase().as_str() {
            "path" if given.starts_with('/') => whose = given.to_owned(),
            "secure" => secure = true,
            "max-age" => aged = given.parse::<i64>().ok().map(|seconds| seconds <= 0).or(aged),
            "expires" => expired = has_passed(given, now),
            _ => {}
        }
    }
    let cookie = Cookie { host: origin.name().to_owned(), path: whose, secure, name: name.to_owned(), value: value.to_owned() };
    // Max-Age wins over Expires.
    Some((cookie, !aged.unwrap_or(expired)))
}

fn has_passed(date: &str, now: SystemTime) -> bool {
    let written = date.replace('-', " ");
    let at = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(&written);
    at.is_ok_and(|at| Timestamp::try_from(now).is_ok_and(|now| at <= now))
}

/// Returns the path of a cookie that names none: that of the request up to its last `/` (RFC 6265 section 5.1.4).
fn default_path(path: &str) -> String {
    let path = path.split('?').next().unwrap_or(path);
    match path.rfind('/') {
        None | Some(0) => "/".to_owned(),
        Some(last) => path.get(..last).unwrap_or("/").to_owned(),
    }
}

fn covers(cookie: &str, path: &str) -> bool {
    path.strip_prefix(cookie).is_some_and(|rest| rest.is_empty() || cookie.ends_with('/') || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn origin(url: &str) -> Origin {
        Origin::of(&url.parse().unwrap()).unwrap()
    }

    fn set(jar: &mut Jar, url: &str, path: &str, cookies: &[&str]) {
        let mut answer = HeaderMap::new();
        for cookie in cookies {
            answer.append(SET_COOKIE, HeaderValue::try_from(*cookie).unwrap());
        }
        jar.keep(&origin(url), path, &answer, SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
    }

    fn sent(jar: &Jar, url: &str, path: &str) -> String {
        jar.header(&origin(url), path).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
    }

    #[test]
    fn a_host_gets_back_what_it_set_and_no_other_does() {
        let mut jar = Jar::default();
        set(&mut jar, "http://a.test", "/", &["id=1; HttpOnly", "theme=dark=er", "broken", "=x"]);
        assert_eq!(sent(&jar, "http://a.test:8080", "/x?y"), "id=1; theme=dark=er");
        assert_eq!(sent(&jar, "http://b.test", "/"), "");
        set(&mut jar, "http://a.test", "/", &["id=2"]);
        assert_eq!(sent(&jar, "http://a.test", "/"), "theme=dark=er; id=2");
        jar.clear();
        assert_eq!(sent(&jar, "http://a.test", "/"), "");
    }

    #[test]
    fn paths_and_tls_limit_who_sees_a_cookie() {
        let mut jar = Jar::default();
        set(&mut jar, "https://a.test", "/shop/cart?x", &["d=1", "s=2; Secure; Path=/", "p=3; Path=/shop/"]);
        assert_eq!(sent(&jar, "https://a.test", "/shop/item"), "p=3; d=1; s=2");
        assert_eq!(sent(&jar, "http://a.test", "/shop"), "d=1");
        assert_eq!(sent(&jar, "http://a.test", "/shopping"), "");
    }

    #[test]
    fn a_server_deletes_a_cookie_by_its_age_or_date() {
        let mut jar = Jar::default();
        for gone in ["id=; Max-Age=0", "id=; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "id=; expires=Thu, 01-Jan-1970 00:00:00 GMT"] {
            set(&mut jar, "http://a.test", "/", &["id=1"]);
            set(&mut jar, "http://a.test", "/", &[gone]);
            assert_eq!(sent(&jar, "http://a.test", "/"), "", "{gone}");
        }
        set(&mut jar, "http://a.test", "/", &["id=1; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT"]);
        assert_eq!(sent(&jar, "http://a.test", "/"), "id=1");
        set(&mut jar, "http://a.test", "/", &["id=2; Expires=Thu, 01 Jan 2099 00:00:00 GMT"]);
        assert_eq!(sent(&jar, "http://a.test", "/"), "id=2");
    }

    #[test]
    fn a_jar_is_bounded() {
        let mut jar = Jar::default();
        for n in 0..60 {
            set(&mut jar, "http://a.test", "/", &[&format!("c{n}=1"), &format!("long={}", "x".repeat(5000))]);
        }
        let all = sent(&jar, "http://a.test", "/");
        assert_eq!(all.split("; ").count(), 50);
        assert!(all.starts_with("c10=") && !all.contains("long"), "{all}");
    }
}
