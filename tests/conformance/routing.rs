//! U-18 to U-21 and routes: which service gets a request, and that thousands of rules change nothing.

use std::sync::Arc;

use portcullis::domain::route::{Conditions, Rule};
use portcullis::domain::time::Timestamp;
use portcullis::seam::table::{Epoch, Route, Table};

use crate::oracle::telling;
use crate::split::{name, named, version};
use crate::support::client::Client;
use crate::support::message::Message;
use crate::support::proxy::{self, Proxy};
use crate::support::upstream::Upstream;

fn rule(host: &str, path: &str) -> Rule {
    Rule { path: path.parse().unwrap(), ..Rule::for_host(host.parse().unwrap_or_default()) }
}

/// Starts a proxy with these services, each with an upstream that answers with the service's name.
fn services(services: Vec<(&'static str, Vec<Rule>)>) -> (Proxy, Vec<Upstream>) {
    let upstreams: Vec<Upstream> = services.iter().map(|(service, _)| named(service)).collect();
    let proxy = proxy::to([upstreams[0].address]).start();
    let routes = services.iter().zip(&upstreams).map(|((service, rules), upstream)| {
        let epoch = Epoch::new(name(service), 0, 1, version("v1", upstream.address), None, Timestamp::NEVER);
        Route::new(rules.clone(), Arc::new(epoch))
    });
    proxy.routes.publish(Table::new(2, routes.collect()));
    (proxy, upstreams)
}

fn ask(proxy: &Proxy, line: &str, host: &str, fields: &str) -> Message {
    Client::connect(proxy.address).ask(format!("{line} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n"))
}

fn who(proxy: &Proxy, line: &str, host: &str, fields: &str) -> String {
    let answer = ask(proxy, line, host, fields);
    if answer.status() == 200 { String::from_utf8(answer.body).unwrap() } else { answer.status().to_string() }
}

#[test]
fn a_request_goes_to_the_service_of_the_most_special_rule() {
    let header = Conditions::new(Vec::new(), vec![(http::HeaderName::from_static("x-beta"), None)], vec![("v".into(), Some("2".into()))]);
    let (proxy, _upstreams) = services(vec![
        ("shop", vec![rule("shop.test", "/")]),
        ("carts", vec![rule("shop.test", "/carts"), rule("*.shop.test", "/")]),
        ("items", vec![rule("shop.test", "/carts/{id}/items")]),
        ("health", vec![rule("shop.test", "=/health")]),
        (
            "writes",
            vec![Rule { conditions: Conditions::new(vec![http::Method::POST], Vec::new(), Vec::new()), ..rule("shop.test", "/carts") }],
        ),
        ("beta", vec![Rule { conditions: header, ..rule("shop.test", "/carts") }]),
    ]);
    for (line, host, fields, wanted) in [
        ("GET /", "shop.test", "", "shop"),
        ("GET /", "SHOP.test.:80", "", "shop"),
        ("GET /cartsx", "shop.test", "", "shop"),
        ("GET /carts", "shop.test", "", "carts"),
        ("GET /carts/1?v=2", "shop.test", "", "carts"),
        ("GET /carts/1?v=2", "shop.test", "X-Beta: 0\r\n", "beta"),
        ("GET /carts/1?w=1&%76=%32", "shop.test", "X-Beta: 0\r\n", "beta"),
        ("GET /carts/1/items", "shop.test", "", "items"),
        ("GET /carts/1/items/", "shop.test", "", "carts"),
        ("POST /carts/1", "shop.test", "Content-Length: 0\r\n", "writes"),
        ("GET /health", "shop.test", "", "health"),
        ("GET /health/x", "shop.test", "", "shop"),
        ("OPTIONS *", "shop.test", "", "shop"),
        ("GET http://shop.test/carts", "ignored.test", "", "carts"),
        ("GET /", "a.shop.test", "", "carts"),
        ("GET /", "a.b.shop.test", "", "404"),
        ("GET /", "other.test", "", "404"),
    ] {
        assert_eq!(who(&proxy, line, host, fields), wanted, "{line} of {host} with {fields:?}");
    }
}

#[test]
fn u18_a_path_with_two_readings_is_refused_and_every_other_goes_on_byte_for_byte() {
    let upstream = telling();
    let proxy = proxy::to([upstream.address]).start();
    let epoch = |service: &str| Arc::new(Epoch::new(name(service), 0, 1, version("v1", upstream.address), None, Timestamp::NEVER));
    let table = |number, rules: [Vec<Rule>; 2]| {
        let [public, admin] = rules;
        Table::new(number, vec![Route::new(public, epoch("public")), Route::new(admin, epoch("admin"))])
    };
    let ambiguous = [
        "/a/../admin",
        "/a/%2e%2e/admin",
        "/a/.%2E/admin",
        "//admin",
        "/a%2f..%2fadmin",
        "/a\\..\\admin",
        "/%61dmin",
        "/a/..;/admin",
        "/admin/..",
        "/admin/%2e%2e/x",
    ];
    proxy.routes.publish(table(2, [vec![rule("", "/")], vec![rule("", "/admin")]]));
    let refused = proxy.refused();
    for (path, count) in ambiguous.iter().zip(1..) {
        assert_eq!(ask(&proxy, &format!("GET {path}"), "a.test", "").status(), 400, "{path}");
        assert_eq!(proxy.refused(), refused + count);
    }
    assert!(upstream.requests().is_empty(), "nobody got one");
    for path in ["/admin/a/../b", "/admin//x", "/x/%2e%2e/y", "/x%2fy", "/caf%C3%A9", "/admin/%61;v=1"] {
        assert_eq!(String::from_utf8(ask(&proxy, &format!("GET {path}"), "a.test", "").body).unwrap(), format!("GET {path}"));
    }
    // Where the host alone decides, a path cannot be mistaken.
    proxy.routes.publish(table(3, [vec![rule("a.test", "/")], vec![rule("b.test", "/")]]));
    for path in ambiguous {
        assert_eq!(String::from_utf8(ask(&proxy, &format!("GET {path}"), "a.test", "").body).unwrap(), format!("GET {path}"));
    }
}

#[test]
fn ten_thousand_rules_of_a_hundred_services_each_find_their_own() {
    let names: Vec<String> = (0..100).map(|number| format!("service-{number}")).collect();
    let upstream = Upstream::start(|peer| {
        while let Some(request) = peer.request() {
            let body = format!("{} {}", request.one("host"), request.target());
            if !peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes()) {
                return;
            }
        }
    });
    let proxy = proxy::to([upstream.address]).start();
    let routes = names.iter().map(|service| {
        let rules: Vec<Rule> = (0..100).map(|area| rule(&format!("{service}.test"), &format!("/area-{area}/{{id}}/x"))).collect();
        let epoch = Epoch::new(name(service), 0, 1, version("v1", upstream.address), None, Timestamp::NEVER);
        Route::new(rules, Arc::new(epoch))
    });
    proxy.routes.publish(Table::new(2, routes.collect()));
    let mut client = Client::connect(proxy.address);
    for turn in 0..200 {
        let (service, area) = (turn * 37 % 100, turn * 61 % 100);
        let request = format!("GET /area-{area}/7/x HTTP/1.1\r\nHost: service-{service}.test\r\n\r\n");
        assert_eq!(client.ask(request).body, format!("service-{service}.test /area-{area}/7/x").into_bytes());
        assert_eq!(proxy.line().service.unwrap().as_str(), format!("service-{service}"));
    }
    assert_eq!(client.ask("GET /area-100/7/x HTTP/1.1\r\nHost: service-1.test\r\n\r\n").status(), 404);
}
