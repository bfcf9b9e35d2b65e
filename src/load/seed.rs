//! The loads of the reference scenario as data: keptn's performance test of carts, and ordinary users beside it.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::load::plan::{Accept, Pace, Plan, Request};

/// The body of the performance test, with the line ends of the published file.
pub const ITEM: &str = " {\r\n    \"itemId\":\"03fef6ac-1896-4ce8-bd69-b798f85c6e0b\",\r\n    \"unitPrice\":\"99.99\"\r\n }";

/// The header by which Dynatrace knows a test's requests.
pub const TEST_HEADER: HeaderName = HeaderName::from_static("x-dynatrace-test");

/// Returns the performance test of `carts_load.jmx`: each user POSTs the same item to `/carts/1/items`.
///
/// keptn runs it with 10 users and 500 loops. The think time is 0: the file's timer lacks its `$` and waits for
/// nothing. The users begin over 1 s, and an answer is good below 400, both as in the file. `test_name` is the
/// name of the run, in keptn `PerfCheck_` and a UUID; it goes into [`TEST_HEADER`], and is left out where it is
/// no header value.
#[must_use]
pub fn performance(users: usize, loops: u64, test_name: &str) -> Plan {
    let script = |user: usize| {
        let mut headers = HeaderMap::new();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(HeaderName::from_static("json"), HeaderValue::from_static("true"));
        let test = format!("LSN=Test Scenario;TSN=Add Item to Cart;LTN={test_name};VU=Thread Group{user};");
        if let Ok(test) = HeaderValue::try_from(test) {
            headers.insert(TEST_HEADER, test);
        }
        let body = Bytes::from_static(ITEM.as_bytes());
        vec![Request { method: Method::POST, path: PathAndQuery::from_static("/carts/1/items"), headers, body }]
    };
    Plan {
        scripts: (0..users).map(script).collect(),
        pace: Pace::Closed { loops: Some(loops), think: Duration::ZERO, ramp: Duration::from_secs(1) },
        accept: Accept::BelowError,
        timeout: None,
        host: None,
    }
}

/// Returns a background of users who only look: info page, cart, items and version, with 50 ms between two
/// requests of a user, until stopped. Each user begins at another page.
#[must_use]
pub fn ordinary_users(users: usize) -> Plan {
    const PAGES: [&str; 4] = ["/", "/carts/1", "/carts/1/items", "/version"];
    let look = |page| Request { method: Method::GET, path: PathAndQuery::from_static(page), headers: HeaderMap::new(), body: Bytes::new() };
    let script = |user: usize| PAGES.into_iter().cycle().skip(user % PAGES.len()).take(PAGES.len()).map(look).collect();
    Plan {
        scripts: (0..users).map(script).collect(),
        pace: Pace::Closed { loops: None, think: Duration::from_millis(50), ramp: Duration::from_millis(50) },
        accept: Accept::Success,
        timeout: None,
        host: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_performance_test_is_that_of_the_published_file() {
        let plan = performance(10, 500, "PerfCheck_1");
        assert_eq!(plan.scripts.len(), 10);
        assert!(matches!(plan.pace, Pace::Closed { loops: Some(500), think: Duration::ZERO, .. }));
        let request = &plan.scripts[9][0];
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/carts/1/items"));
        let headers: Vec<_> = request.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        assert_eq!(
            headers,
            [
                ("cache-control", "no-cache"),
                ("content-type", "application/json"),
                ("json", "true"),
                ("x-dynatrace-test", "LSN=Test Scenario;TSN=Add Item to Cart;LTN=PerfCheck_1;VU=Thread Group9;"),
            ]
        );
        assert_eq!(request.body.len(), 85);
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&request.body).unwrap()["unitPrice"], "99.99");
    }

    #[test]
    fn ordinary_users_only_look_and_begin_at_different_pages() {
        let plan = ordinary_users(5);
        let first: Vec<_> = plan.scripts.iter().map(|script| script[0].path.as_str()).collect();
        assert_eq!(first, ["/", "/carts/1", "/carts/1/items", "/version", "/"]);
        assert!(plan.scripts.iter().all(|script| script.len() == 4 && script.iter().all(|request| request.method == Method::GET)));
    }
}
