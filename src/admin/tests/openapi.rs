//! Claims about the description of the API: it is whole, and it is that of the router.

use std::collections::BTreeSet;

use super::*;
use crate::admin::access::needed;
use crate::admin::openapi::document;
use crate::admin::operations::OPERATIONS;
use crate::admin::refusals;

/// Returns every method and path of the router, as its source has them.
fn routed() -> BTreeSet<(String, String)> {
    let source = include_str!("../router.rs");
    let mut all = BTreeSet::new();
    for line in source.lines().filter_map(|line| line.trim().strip_prefix(".route(\"")) {
        let (path, handlers) = line.split_once("\", ").expect("a path and its handlers");
        for method in ["get", "post", "put", "delete", "patch"] {
            if handlers.starts_with(&format!("{method}(")) || handlers.contains(&format!(".{method}(")) {
                all.insert((method.to_owned(), path.to_owned()));
            }
        }
    }
    all
}

#[test]
fn every_route_is_described_and_everything_described_is_a_route() {
    let described: BTreeSet<(String, String)> = OPERATIONS.iter().map(|one| (one.method.to_owned(), one.path.to_owned())).collect();
    assert!(routed().len() > 30, "the source of the router is read");
    assert_eq!(described.len(), OPERATIONS.len(), "nothing is described twice");
    assert_eq!(described, routed());
}

#[tokio::test]
async fn the_description_is_whole_and_is_served() {
    let desk = Desk::new();
    let answer = desk.get("/v1/openapi.json").await;
    assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, "application/json"));
    let document = answer.json();
    assert_eq!(document["openapi"], "3.1.0");
    let text = document.to_string();
    let mut references = 0;
    for part in text.split("\"$ref\":\"#").skip(1) {
        let pointer = part.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer} leads nowhere");
        references += 1;
    }
    assert!(references > 50, "{references}");
    let mut names = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            assert!(names.insert(operation["operationId"].as_str().unwrap()), "{method} {path}");
            let method = method.to_uppercase().parse().unwrap();
            let role = needed(&method, path).map_or("Everybody may ask.".to_owned(), |role| format!("Takes the role {role}."));
            assert_eq!(operation["description"], role, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn who_asks_is_told_what_they_may_do() {
    let desk = Desk::new();
    assert_eq!(desk.get("/v1/whoami").await.json(), serde_json::json!({"name": null, "role": "admin", "socket": null}));
    assert_eq!(document()["info"]["title"], "Portcullis admin API");
}

/// A request that goes wrong in one way: how it is refused where that can go wrong at all, its fields, its body.
type Provoked = (u16, Vec<(&'static str, &'static str)>, String);

fn provoked() -> [Provoked; 5] {
    let (json, any) = (("content-type", "application/json"), ("if-match", "*"));
    [
        (403, vec![json, any, ("host", "elsewhere.example")], "{}".to_owned()),
        (400, vec![json, any, ("host", "")], "{}".to_owned()),
        (413, vec![json, any], format!("\"{}\"", "x".repeat(2 << 20))),
        (415, vec![("content-type", "text/csv"), any], "a,b".to_owned()),
        (428, vec![json], "{}".to_owned()),
    ]
}

#[tokio::test]
async fn what_can_be_provoked_is_declared_and_what_is_declared_can_be_provoked() {
    let desk = Desk::new();
    for operation in &OPERATIONS {
        let declared: BTreeSet<u16> = refusals::of(operation).into_keys().collect();
        let query = if operation.query.iter().any(|(_, needed, _)| *needed) { "?uri=a" } else { "" };
        let path = operation.path.replace("{name}", "carts").replace(['{', '}'], "") + query;
        for (status, fields, body) in provoked() {
            // What is not refused there has no end.
            if operation.id == "follow" && !declared.contains(&status) {
                continue;
            }
            let fields: Vec<_> = fields.into_iter().filter(|(_, value)| !value.is_empty() || status == 400).collect();
            let answer = desk.send(request(&operation.method.to_uppercase(), &path, &fields, &body)).await;
            let place = format!("{} {path}: {} {}", operation.method, answer.status, answer.text);
            assert_eq!(answer.status.as_u16() == status, declared.contains(&status), "{status}: {place}");
        }
    }
}

#[tokio::test]
async fn a_proxy_that_delivers_nothing_says_so_where_that_is_declared() {
    let desk = Desk::new();
    let mut absent = 0;
    for operation in OPERATIONS.iter().filter(|operation| operation.method == "get") {
        let path = operation.path.replace("{name}", "carts").replace(['{', '}'], "");
        if operation.id == "follow" {
            continue;
        }
        let answer = desk.get(&path).await;
        let unknown = answer.status == StatusCode::NOT_FOUND;
        assert!(!unknown || refusals::of(operation).contains_key(&404), "{path}: {}", answer.text);
        absent += usize::from(unknown && answer.text.contains("delivers nothing"));
    }
    assert_eq!(absent, 2, "the projects and a context");
}
