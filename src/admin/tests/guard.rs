//! Claims about who is kept away before any handler runs.

use std::net::IpAddr;

use super::*;
use crate::admin::guard::Arrived;
use crate::domain::rank::Rank;

const ABORT: &str = "/v1/rollouts/carts/abort";

async fn with_host(desk: &Desk, host: &str) -> u16 {
    desk.send(request("GET", "/livez", &[("host", host)], "")).await.status.as_u16()
}

/// Every path that changes a rollout.
const COMMANDS: [&str; 7] = [
    ABORT,
    "/v1/rollouts/carts/promote",
    "/v1/rollouts/carts/resume",
    "/v1/rollouts/carts/pause",
    "/v1/rollouts/carts/retry",
    "/v1/rollouts/carts/weight",
    "/v1/rollouts",
];

#[tokio::test]
async fn the_host_must_name_this_machine() {
    let desk = Desk::new();
    let own = ["localhost", "LocalHost:9901", "127.0.0.1", "127.0.0.1:80", "127.8.9.10:1", "[::1]", "[::1]:9901", "[::ffff:127.0.0.1]"];
    for host in own {
        assert_eq!(with_host(&desk, host).await, 200, "{host}");
    }
    let foreign = [
        "evil.example",
        "localhost.evil.example",
        "evil.localhost",
        "127.0.0.1.evil.example",
        "127.1",
        "0x7f.0.0.1",
        "2130706433",
        "0.0.0.0",
        "10.0.0.7:9901",
        "[::2]",
        "me@localhost",
        "localhost@evil.example",
    ];
    for host in foreign {
        assert_eq!(with_host(&desk, host).await, 403, "{host}");
    }
    for host in ["", "a b", "localhost:9901, evil.example", "http://localhost", "localhost/x"] {
        assert_eq!(with_host(&desk, host).await, 400, "{host:?}");
    }
}

#[tokio::test]
async fn the_address_a_connection_came_to_is_a_name_of_this_machine() {
    let desk = Desk::new();
    for (arrived, host, status) in [
        ("10.0.0.7", "10.0.0.7:9901", 200),
        ("::ffff:10.0.0.7", "10.0.0.7", 200),
        ("fd00::7", "[fd00::7]:9901", 200),
        ("10.0.0.7", "10.0.0.8", 403),
        ("10.0.0.7", "evil.example", 403),
    ] {
        let mut asked = request("GET", "/livez", &[("host", host)], "");
        asked.extensions_mut().insert(Arrived(arrived.parse::<IpAddr>().unwrap()));
        assert_eq!(desk.send(asked).await.status.as_u16(), status, "{host} at {arrived}");
    }
}

#[tokio::test]
async fn exactly_one_host_is_needed_and_the_target_must_not_name_another() {
    let desk = Desk::new();
    let none = Request::builder().uri("/livez").body(Body::empty()).unwrap();
    assert_eq!(desk.send(none).await.problem().0, 400);
    let two = request("GET", "/livez", &[("host", "localhost"), ("host", "evil.example")], "");
    assert_eq!(desk.send(two).await.problem().0, 400);
    let absolute = request("GET", "http://evil.example/livez", &[], "");
    assert_eq!(desk.send(absolute).await.problem().0, 403);
    let own = request("GET", "http://localhost:9901/livez", &[], "");
    assert_eq!(desk.send(own).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_foreign_host_is_refused_also_where_nothing_is() {
    let desk = Desk::new();
    for (method, path) in [("GET", "/nothing"), ("POST", ABORT), ("OPTIONS", "/metrics"), ("GET", "/metrics")] {
        let answer = desk.send(request(method, path, &[("host", "evil.example")], "")).await;
        let (status, detail) = answer.problem();
        assert!(status == 403 && detail.contains("\"evil.example\"") && detail.contains("localhost"), "{method} {path}: {detail}");
    }
    assert_eq!(desk.commands(), [""; 0]);
}

#[tokio::test]
async fn pages_of_other_origins_cannot_change_anything() {
    let desk = Desk::new();
    let refused: [&[(&str, &str)]; 9] = [
        &[("origin", "http://evil.example")],
        &[("origin", "null")],
        &[("origin", "https://localhost:9901")],
        &[("origin", "http://localhost:9902")],
        &[("origin", "http://localhost:9901.evil.example")],
        &[("origin", "http://localhost:9901"), ("origin", "http://evil.example")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("origin", "http://localhost:9901"), ("sec-fetch-site", "cross-site")],
    ];
    for headers in refused {
        for path in COMMANDS {
            assert_eq!(desk.send(request("POST", path, headers, "")).await.problem().0, 403, "{path} {headers:?}");
        }
    }
    assert_eq!(desk.commands(), [""; 0]);
    let let_through: [&[(&str, &str)]; 4] = [
        &[],
        &[("origin", "http://localhost:9901"), ("sec-fetch-site", "same-origin")],
        &[("origin", "HTTP://LOCALHOST:9901")],
        &[("sec-fetch-site", "none")],
    ];
    for headers in let_through {
        assert_eq!(desk.send(request("POST", ABORT, headers, "")).await.status, StatusCode::OK, "{headers:?}");
    }
    assert_eq!(desk.commands().len(), let_through.len());
}

#[tokio::test]
async fn pages_of_other_sites_cannot_make_a_browser_ask_for_what_is_costly() {
    let desk = Desk::new();
    for path in ["/v1/journal", "/v1/rollouts/carts/journal", "/v1/rollouts", "/v1/events"] {
        for site in ["cross-site", "same-site"] {
            let (status, detail) = desk.send(request("GET", path, &[("sec-fetch-site", site)], "")).await.problem();
            assert!(status == 403 && detail.contains("another site"), "{path} {site}: {status} {detail}");
        }
        for headers in [&[][..], &[("sec-fetch-site", "none")], &[("sec-fetch-site", "same-origin")]] {
            let answer = router(desk.state.clone()).oneshot(request("GET", path, headers, "")).await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK, "{path} {headers:?}");
        }
    }
    // A link that leads here is followed from anywhere, and what watches health is no page.
    for path in ["/", "/livez", "/metrics"] {
        let answer = desk.send(request("GET", path, &[("sec-fetch-site", "cross-site")], "")).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn a_form_of_an_old_browser_is_refused_by_its_type() {
    let desk = Desk::new();
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonp", ""] {
        let answer = desk.send(request("POST", ABORT, &[("content-type", kind)], "")).await;
        let (status, detail) = answer.problem();
        assert!(status == 415 && detail.contains("application/json"), "{kind}: {status} {detail}");
    }
    assert_eq!(desk.commands(), [""; 0]);
}

#[tokio::test]
async fn a_listener_that_knows_nobody_only_shows() {
    let mut desk = Desk::new();
    desk.state.access = Access::default().open_to(Rank::Viewer);
    for path in COMMANDS {
        let (status, detail) = desk.post(path, "{}").await.problem();
        assert!(status == 403 && detail.contains("--admin 127.0.0.1"), "{path}: {status} {detail}");
    }
    assert_eq!(desk.send(request("DELETE", ABORT, &[], "")).await.problem().0, 403);
    assert_eq!(desk.commands(), [""; 0]);
    for path in ["/v1/rollouts", "/metrics", "/readyz"] {
        assert_eq!(desk.get(path).await.status, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn every_answer_forbids_guessing_keeping_and_framing_and_none_allows_another_origin() {
    let desk = Desk::new();
    let origin = ("origin", "http://evil.example");
    let asked = [
        request("GET", "/metrics", &[origin], ""),
        request("GET", "/v1/rollouts", &[origin], ""),
        request("GET", "/nothing", &[], ""),
        request("OPTIONS", ABORT, &[origin, ("access-control-request-method", "POST")], ""),
        request("POST", ABORT, &[origin], ""),
        request("POST", ABORT, &[], ""),
        request("GET", "/livez", &[("host", "evil.example")], ""),
    ];
    for asked in asked {
        let what = format!("{} {}", asked.method(), asked.uri());
        let answer = desk.send(asked).await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{what}");
        assert_eq!(answer.header("cache-control"), "no-store", "{what}");
        assert_eq!(answer.header("content-security-policy"), "default-src 'none'; frame-ancestors 'none'", "{what}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{what}");
        assert_eq!(answer.header("cross-origin-resource-policy"), "same-origin", "{what}");
        assert!(!answer.headers.keys().any(|name| name.as_str().starts_with("access-control-")), "{what}");
    }
}
